"""The words the core and the Spark jobs share: states, columns, summary keys, object names, JSON shapes.

Only the standard library is imported here, because Glue runs this file on another Python
and another processor than Lambda does. Every name that crosses from one to the other is defined once, below.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal, NotRequired, TypedDict

# --- Names -----------------------------------------------------------------------------------

DATASET_PATTERN: Final = re.compile(r"(?!.*__)[a-z][a-z0-9_]{0,62}")
"""A dataset is the first folder of a Bronze key; ``__`` is kept for our own tables (``x__quarantine``)."""

CATALOG: Final = "glue_catalog"
"""The name under which Spark knows the Glue Data Catalog."""

QUARANTINE_SUFFIX: Final = "__quarantine"
REFRESH_WRITER: Final = "refresh"
PROMOTE_WRITER_PREFIX: Final = "promote:"
MAINTENANCE: Final = "maintain"
"""The kind of a run, of any writer, that maintains its tables."""


def quarantine_table(dataset: str) -> str:
    """The quarantine table's name of a dataset."""
    return f"{dataset}{QUARANTINE_SUFFIX}"


def promote_writer(dataset: str) -> str:
    """The writer whose lease guards a dataset's Silver and quarantine tables."""
    return f"{PROMOTE_WRITER_PREFIX}{dataset}"


def run_branch(run_id: str) -> str:
    """The Iceberg branch a run writes to before it publishes."""
    return "run_" + run_id.replace("-", "_")


def source_version_id(last_modified: str, key: str, version_id: str) -> str:
    """The time-ordered name of one object version, as it stands in ``_source_version_id``.

    Arguments: ``last_modified`` is S3's own time of the version as ``YYYYMMDDTHHMMSSZ``; ``key`` and
    ``version_id`` are S3's. Text order is object order: S3 time first, then the key below the dataset's
    folder (its first 64 bytes, in hex so that no character of an untrusted name gets in), then a digest.
    """
    digest = hashlib.sha256(f"{key}\n{version_id}".encode()).hexdigest()[:16]
    path = key.partition("/")[2]
    return f"{last_modified}.{path.encode()[:64].hex()}.{digest}"


MAX_COLUMN_NAME: Final = 128


def column_name(field: str) -> str:
    """A field's name as a column's: lower case letters, digits, underscores, never like one of our own."""
    plain = re.sub(r"[^a-z0-9_]+", "_", field.strip().lower()).strip("_")[:MAX_COLUMN_NAME]
    return plain if re.match(r"[a-z]", plain) else f"c_{plain}" if plain else "c"


_PATH_TOKEN: Final = re.compile(
    r"\{(?P<name>[a-z][a-z0-9_]*)(?::(?P<kind>int|date|string))?\}|(?P<stars>\*\*?)|(?P<text>[^*{]+)"
)
_PATH_KINDS: Final = {"int": r"-?[0-9]{1,18}", "date": r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "string": r"[^/]+?"}


def path_regex(pattern: str) -> re.Pattern[str]:
    """The regular expression of a contract's path pattern: ``fullmatch`` it on the key below the dataset.

    ``{name}``, ``{name:int}`` and ``{name:date}`` (YYYY-MM-DD) catch a value within one segment, ``*`` is
    anything within one segment, ``**`` anything at all. Raises ValueError for a pattern it cannot read.
    """
    parts, end = [], 0
    for token in _PATH_TOKEN.finditer(pattern):
        if token.start() != end:
            break
        end = token.end()
        if token["name"]:
            parts.append(f"(?P<{token['name']}>{_PATH_KINDS[token['kind'] or 'string']})")
        else:
            parts.append({"*": "[^/]*", "**": ".*"}.get(token["stars"] or "", re.escape(token["text"] or "")))
    if end != len(pattern) or not pattern:
        raise ValueError(f"path pattern: cannot read from character {end + 1} on")
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error as error:
        raise ValueError(f"path pattern: {error.msg}") from error


# --- States of an object version in the ledger ------------------------------------------------

ObjectState = Literal[
    "PENDING", "CLAIMED", "PROMOTED", "REJECTED", "SUPERSEDED", "DELETED", "FAILED", "IGNORED"
]
PENDING: Final = "PENDING"
CLAIMED: Final = "CLAIMED"
PROMOTED: Final = "PROMOTED"
REJECTED: Final = "REJECTED"
SUPERSEDED: Final = "SUPERSEDED"
DELETED: Final = "DELETED"
FAILED: Final = "FAILED"
IGNORED: Final = "IGNORED"
UNFINISHED_STATES: Final = frozenset({PENDING, CLAIMED})

RunState = Literal["RUNNING", "SUCCEEDED", "FAILED"]
RUNNING: Final = "RUNNING"
SUCCEEDED: Final = "SUCCEEDED"

# --- Columns every Silver row carries ---------------------------------------------------------

SOURCE_VERSION_ID: Final = "_source_version_id"
SOURCE_ROW: Final = "_source_row"
ROW_HASH: Final = "_row_hash"
RUN_ID: Final = "_run_id"
INGESTED_AT: Final = "_ingested_at"
RESCUED: Final = "_rescued"
SYSTEM_COLUMNS: Final = (SOURCE_VERSION_ID, SOURCE_ROW, ROW_HASH, RUN_ID, INGESTED_AT)
RUN_COLUMNS: Final = (RUN_ID, INGESTED_AT)
"""What differs between two runs over the same files; everything else must be equal."""

# Quarantine holds the whole bad row: SYSTEM_COLUMNS and these.
RAW_RECORD: Final = "_raw_record"
BROKEN_RULES: Final = "_broken_rules"
SOURCE_KEY: Final = "_source_key"
QUARANTINE_COLUMNS: Final = (SOURCE_KEY, RAW_RECORD, BROKEN_RULES, *SYSTEM_COLUMNS)

# --- Snapshot summary keys of the marker commit -----------------------------------------------

MARKER_RUN: Final = "lakehouse.run-id"
MARKER_REPORT: Final = "lakehouse.report"
MARKER_INPUTS: Final = "lakehouse.inputs"
"""Gold only: JSON object, input table (``silver.flights``) to the snapshot id it was read at."""
MARKER_MODEL_HASH: Final = "lakehouse.model-hash"
MARKER_GROUP: Final = "lakehouse.snapshot-group"
"""Snapshot mode: JSON object ``{"group": ..., "order": ...}`` of the group of files the table holds."""
MARKER_MAINTENANCE: Final = "lakehouse.maintenance"
"""The last commit of maintenance: the run id. What was committed before it has been looked at."""

FORMER_LOCATION: Final = "lakehouse.former-location"
"""A table's property: where it lay before it moved, as long as something may be left there."""

# --- Objects in the operations bucket ---------------------------------------------------------


def run_prefix(writer: str, run_id: str) -> str:
    """Everything one run leaves on S3 lies under this prefix."""
    return f"runs/{writer.replace(':', '/')}/{run_id}/"


def staged_prefix(run_id: str) -> str:
    """Where a run keeps decompressed copies of files. The bucket's lifecycle knows the beginning: whatever
    lies there expires after a day.
    """
    return f"runs/staged/{run_id}/"


MANIFEST_FILE: Final = "manifest.json"
PLAN_FILE: Final = "plan.json"
REPORT_FILE: Final = "report.json"
FAILURE_FILE: Final = "failure.json"

LIBRARY_FILE: Final = "lakehouse_spark.zip"
INDEX_FILE: Final = "index.json"
GOVERNANCE_FILE: Final = "governance.json"
RETIRED_FILE: Final = "retired.json"
"""Lies under a prefix that is no longer the deployed one; its S3 time says since when."""

OPEN_FOLDER: Final = "open"
CLOSED_FOLDER: Final = "closed"
"""The two prefixes of the Gold bucket: Lake Formation guards what lies below the closed one."""


def plan_key(assets_prefix: str, dataset: str) -> str:
    """Where the compiled contract of a dataset lies under an assets prefix (which ends with ``/``)."""
    return f"{assets_prefix}plans/{dataset}.json"


def model_key(assets_prefix: str, model: str) -> str:
    """Where a compiled Gold model lies under an assets prefix (which ends with ``/``)."""
    return f"{assets_prefix}models/{model}.json"


# --- A compiled contract: the plan of a dataset -----------------------------------------------

RuleAction = Literal["warn", "quarantine", "rejectFile", "rejectBatch"]
RuleKind = Literal[
    "required",
    "type",
    "malformed",
    "unique",
    "enum",
    "min",
    "max",
    "minLength",
    "maxLength",
    "pattern",
    "sql",
]


class FileFormat(TypedDict):
    """How the files of a dataset are to be read. Compression follows the file's ending (.gz, .zst, .bz2)."""

    type: Literal["csv", "jsonl", "json", "parquet"]
    delimiter: str
    quote: str
    escape: str
    header: bool
    encoding: str
    multiline: bool
    null_tokens: list[str]
    decimal: str
    group: str
    true_tokens: list[str]
    false_tokens: list[str]


class PlanColumn(TypedDict):
    """One Silver column; ``type`` is Spark SQL's: ``timestamp`` an instant, ``timestamp_ntz`` zoneless."""

    name: str
    type: str
    source: Literal["file", "path"]
    source_name: str
    required: bool
    date_format: str | None
    timezone: str | None
    classification: str | None
    description: str | None


class PlanRule(TypedDict):
    """One quality rule. ``value`` by kind: a list (enum), a number or text (min, max...), SQL (sql)."""

    name: str
    kind: RuleKind
    columns: list[str]
    value: object
    action: RuleAction


class PartitionField(TypedDict):
    """One field of an Iceberg partition spec."""

    column: str
    transform: Literal["identity", "year", "month", "day", "hour"]


class MaintenanceTargets(TypedDict, total=False):
    """What a contract asks of the maintenance of its tables; what it does not name is as for all tables.

    ``maximum_delay_days``: so long a commit that brought files waits at most for the next maintenance.
    """

    maximum_delay_days: int
    target_file_bytes: int


class DatasetPlan(TypedDict):
    """A contract, compiled at deployment. Needs nothing but the standard library to be used."""

    plan_version: int
    dataset: str
    contracted: bool
    hash: str
    contract_version: str | None
    format: FileFormat
    path_pattern: str | None
    columns: list[PlanColumn]
    primary_key: list[str]
    mode: Literal["append", "upsert", "snapshot"]
    sequence_column: str | None
    snapshot_group: str | None
    snapshot_files: int | None
    evolution: Literal["evolve", "rescue", "strict"]
    rules: list[PlanRule]
    partition_by: list[PartitionField]
    bronze_table: bool
    domain: NotRequired[str]
    freshness_seconds: NotRequired[int]
    """The longest time between two landings that the contract promises."""
    maintenance: NotRequired[MaintenanceTargets]
    scheduled: NotRequired[bool]
    """Files are taken in by schedule only, not when they arrive."""


class ModelInput(TypedDict):
    """A table a model reads. ``mapping`` is input to output column; None: any change recomputes all."""

    layer: Literal["silver", "gold"]
    table: str
    view: str
    mapping: dict[str, str] | None
    lookback: int


class ColumnSource(TypedDict):
    """Where an output column comes from."""

    layer: str
    table: str
    column: str
    transformation: Literal["IDENTITY", "TRANSFORMATION", "AGGREGATION", "FILTER", "JOIN", "GROUP_BY", "SORT"]


class ModelPlan(TypedDict):
    """A Gold model, compiled at deployment. ``sql`` is Spark SQL over the inputs' ``view`` names."""

    plan_version: int
    model: str
    hash: str
    description: str
    sql: str
    keys: list[str]
    partition_by: list[PartitionField]
    timezone: str
    inputs: list[ModelInput]
    columns: list[str]
    column_lineage: dict[str, list[ColumnSource]]
    domain: NotRequired[str]
    declassified: NotRequired[dict[str, str]]
    """Columns that show nothing of what they are made of, each with the reason."""


class TableAccess(TypedDict):
    """What a table is tagged with. ``columns``: each one's classification; one that is not named stays
    closed.

    ``closed``: it lies under a location that Lake Formation guards.
    """

    domain: str | None
    columns: dict[str, str]
    closed: bool


class RowFilter(TypedDict):
    """The rows of ``table`` (``gold.<model>``) that a role sees, and which columns of them (None: all)."""

    name: str
    role: str
    table: str
    rows: str
    columns: list[str] | None


class GovernancePlan(TypedDict):
    """``governance.json`` under an assets prefix. ``tables`` by layer and name; the last classification is
    the strictest.
    """

    plan_version: int
    hash: str
    classifications: list[str]
    tables: dict[str, TableAccess]
    row_filters: list[RowFilter]


class AssetsIndex(TypedDict):
    """``index.json`` under an assets prefix. ``models`` stand in dependency order.

    ``freshness_seconds``: of the datasets whose contract promises it, the longest time between two landings.
    ``scheduled`` are the datasets that are taken in by schedule only.
    """

    hash: str
    datasets: list[str]
    models: list[str]
    freshness_seconds: NotRequired[dict[str, int]]
    scheduled: list[str]


# --- What a run is given and what it reports --------------------------------------------------


class ManifestFile(TypedDict):
    """One object version to promote, and the ``_source_version_id`` of the promoted versions it replaces."""

    key: str
    version_id: str
    size_bytes: int
    replaces: list[str]


class Manifest(TypedDict):
    """What a promote run is given: files of one dataset. Lies under the run's prefix as ``manifest.json``."""

    run_id: str
    dataset: str
    assets_prefix: str
    files: list[ManifestFile]


class GoldManifest(TypedDict):
    """What a refresh run is given: models in dependency order."""

    run_id: str
    assets_prefix: str
    models: list[str]


class FileOutcome(TypedDict):
    """What became of one file: rows == silver_rows + quarantined_rows + superseded_rows for a promoted one.

    ``superseded_rows`` are rows that a later row with the same key replaced (within the run or in the table).
    """

    key: str
    version_id: str
    source_version_id: str | None
    outcome: Literal["PROMOTED", "REJECTED", "SUPERSEDED", "DELETED", "PENDING"]
    reason: str | None
    rows: int
    silver_rows: int
    quarantined_rows: int
    superseded_rows: int


class RuleResult(TypedDict):
    """How many rows broke a rule in one run."""

    rule: str
    columns: list[str]
    action: RuleAction
    violations: int


class OutputColumn(TypedDict):
    """A column of an output table, as reported to lineage."""

    name: str
    type: str


class TableOutcome(TypedDict):
    """What a run did to one table. ``snapshot_id`` is main's head after publishing."""

    table: str
    snapshot_id: int
    rows_added: int
    rows_deleted: int
    columns: list[OutputColumn]
    inputs: NotRequired[dict[str, int]]
    partitions: NotRequired[list[str]]
    model_hash: NotRequired[str]


class SilverReport(TypedDict):
    """``report.json`` of a promote run; written before publishing, so that recovery can complete from it."""

    run_id: str
    dataset: str
    plan_hash: str
    silver: TableOutcome
    quarantine: TableOutcome
    files: list[FileOutcome]
    rules: list[RuleResult]
    spark_actions: int
    seconds: dict[str, float]


class GoldReport(TypedDict):
    """``report.json`` of a refresh run. ``models`` were rewritten, ``skipped`` were up to date.

    ``waiting`` says which of the skipped ones wait for an input that has not landed, and for which. The
    report is written anew before each model is published: its last model is published only if main's history
    holds the marker. A ``snapshot_id`` of 0 belongs to a table about to be created, whose first snapshot is
    the marker.
    """

    run_id: str
    models: list[TableOutcome]
    skipped: list[str]
    waiting: NotRequired[dict[str, str]]
    failed: dict[str, str]
    seconds: dict[str, float]


class MaintenanceManifest(TypedDict):
    """What a maintenance run is given: the tables of one writer; one that is not there yet is passed over.

    Files of a partition are joined up to ``target_file_bytes``, from ``min_input_files`` on. Snapshots are
    kept for ``retention_days``, and the newest ``min_snapshots`` in any case; a file that no snapshot knows
    is removed once it is older than ``orphan_days``. Tables up to ``statistics_bytes`` get statistics.
    """

    run_id: str
    assets_prefix: str
    layer: Literal["silver", "gold"]
    tables: list[str]
    target_file_bytes: int
    min_input_files: int
    retention_days: int
    min_snapshots: int
    orphan_days: int
    statistics_bytes: int


class MaintainedTable(TypedDict):
    """What maintenance did to one table. Files are data and delete files of main; sizes in bytes.

    ``columns_counted``: those that got statistics; none where no row had changed.
    """

    table: str
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    branches_dropped: int
    snapshots_expired: int
    orphans_removed: int
    columns_counted: int
    seconds: float


class MaintenanceReport(TypedDict):
    """``report.json`` of a maintenance run. ``failed`` says why, by the table's name, without a value."""

    run_id: str
    tables: list[MaintainedTable]
    failed: dict[str, str]
    seconds: float


FailureClass = Literal["ENVIRONMENT", "FILES"]


class Failure(TypedDict):
    """``failure.json``: why a job died. Never holds a value of a row."""

    run_id: str
    failure_class: FailureClass
    error: str
    message: str
