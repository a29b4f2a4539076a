"""The Bronze layer's table in the catalog: from a contract's plan, or a plan from what the crawler found.

A Bronze table shows the files as they are: all of csv and JSON as text. Its partitions come from the paths of
the files a run claimed, so that no crawler runs on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from .claim import draft_plan_key
from .draft import draft_contract, draft_plan, sketch_of_table
from .errors import ObjectMissing, SchemaNotFound
from .lake import Operations
from .payloads import ClaimResult
from .words import DatasetPlan, Manifest, path_regex

PLAN_HASH: Final = "lakehouse.plan-hash"
_TEXT_INPUT: Final = "org.apache.hadoop.mapred.TextInputFormat"
_TEXT_OUTPUT: Final = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
_PARQUET: Final = "org.apache.hadoop.hive.ql.io.parquet"
_NO_ESCAPE: Final = "\x7f"
"""OpenCSVSerDe always has an escape character; one that no text holds leaves backslashes alone."""

_HIVE_TYPES: Final = {"timestamp_ntz": "timestamp"}

Table = dict[str, Any]


class BronzeCatalog(Protocol):
    """The tables of the Bronze database, in Glue's own structures."""

    def table(self, name: str) -> Table | None:
        """Glue's ``Table``, or None."""
        ...

    def create(self, table: Table) -> None:
        """Create a table from a ``TableInput``."""
        ...

    def update(self, table: Table) -> None:
        """Replace a table's definition."""
        ...

    def delete(self, name: str) -> None:
        """Remove a table from the catalog; its files stay."""
        ...

    def add_partitions(self, name: str, partitions: Sequence[Table]) -> None:
        """Add those of the ``PartitionInput`` that are not there."""
        ...


class Texts(Protocol):
    """Where a draft is laid down for a person."""

    def put_text(self, key: str, text: str) -> None:
        """Write a text, replacing what was there."""
        ...


def draft_contract_key(dataset: str) -> str:
    """Where the draft contract of a dataset lies in the operations bucket."""
    return f"drafts/{dataset}/contract.yaml"


@dataclass(frozen=True)
class Landing:
    """What registering needs; ``bucket`` is the name of the Bronze bucket."""

    operations: Operations
    texts: Texts
    catalog: BronzeCatalog
    bucket: str


def register(landing: Landing, request: ClaimResult) -> ClaimResult:
    """Make the catalog know a run's files, and make sure that the run has a plan. Safe to repeat.

    Returns the request with its ``plan``. Raises ``SchemaNotFound`` if a crawler ran and left no table that
    can be read.
    """
    if not request.plan:
        return request.model_copy(update={"plan": _draft(landing, request.dataset)})
    plan: DatasetPlan | None = landing.operations.read(request.plan)
    manifest: Manifest | None = landing.operations.read(request.manifest)
    if plan is None or manifest is None:
        raise ObjectMissing(f"run {request.run_id} has lost its plan or its manifest")
    if plan["bronze_table"]:
        ensure_table(plan, landing.catalog, landing.bucket)
    _add_partitions(landing, plan, [file["key"] for file in manifest["files"]])
    return request


def _draft(landing: Landing, dataset: str) -> str:
    """Write a plan and a draft contract from the crawled table; returns the plan's key."""
    table = landing.catalog.table(dataset)
    if table is None:
        raise SchemaNotFound(f"the crawler found no table in the files of '{dataset}'")
    found = sketch_of_table(dataset, table)
    landing.texts.put_text(draft_contract_key(dataset), draft_contract(found))
    key = draft_plan_key(dataset)
    landing.operations.create(key, draft_plan(found))
    return key


def ensure_table(plan: DatasetPlan, catalog: BronzeCatalog, bucket: str) -> None:
    """Create the plan's Bronze table, or bring it up to date; partition keys change only with the table."""
    wanted, known = table_input(plan, bucket), catalog.table(plan["dataset"])
    if known is not None and _keys(known) != _keys(wanted):
        catalog.delete(plan["dataset"])
        known = None
    if known is None:
        catalog.create(wanted)
    elif known.get("Parameters", {}).get(PLAN_HASH) != plan["hash"]:
        catalog.update(wanted)


def _keys(table: Mapping[str, Any]) -> list[str]:
    return [key["Name"] for key in table.get("PartitionKeys", [])]


def table_input(plan: DatasetPlan, bucket: str) -> Table:
    """Glue's ``TableInput`` of a plan's Bronze table."""
    return {
        "Name": plan["dataset"],
        "Description": "The files as they landed. Made from the contract; changed by deployment only.",
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", PLAN_HASH: plan["hash"], **_table_parameters(plan)},
        "PartitionKeys": [{"Name": name, "Type": kind} for name, kind in partition_keys(plan).values()],
        "StorageDescriptor": {
            "Columns": [
                {"Name": column["name"], "Type": _column_type(plan, column["type"])}
                for column in plan["columns"]
                if column["source"] == "file"
            ],
            "Location": f"s3://{bucket}/{plan['dataset']}/",
            **_storage(plan),
        },
    }


def _table_parameters(plan: DatasetPlan) -> dict[str, str]:
    form = plan["format"]
    if form["type"] == "csv":
        return {"classification": "csv", "skip.header.line.count": "1" if form["header"] else "0"}
    return {"classification": "json" if form["type"] == "jsonl" else "parquet"}


def _column_type(plan: DatasetPlan, kind: str) -> str:
    return _HIVE_TYPES.get(kind, kind) if plan["format"]["type"] == "parquet" else "string"


def _storage(plan: DatasetPlan) -> Table:
    """Input, output and SerDe. Source of the names: Athena's list of supported SerDes."""
    form = plan["format"]
    if form["type"] == "parquet":
        serde = f"{_PARQUET}.serde.ParquetHiveSerDe"
        return _formats(
            f"{_PARQUET}.MapredParquetInputFormat", f"{_PARQUET}.MapredParquetOutputFormat", serde, {}
        )
    if form["type"] == "jsonl":
        serde = "org.openx.data.jsonserde.JsonSerDe"
        return _formats(_TEXT_INPUT, _TEXT_OUTPUT, serde, _json_names(plan))
    if not form["quote"]:
        serde = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
        parameters = {"field.delim": form["delimiter"], "serialization.format": form["delimiter"]}
        return _formats(_TEXT_INPUT, _TEXT_OUTPUT, serde, parameters)
    escape = form["escape"] if form["escape"] not in {"", form["quote"]} else _NO_ESCAPE
    characters = {"separatorChar": form["delimiter"], "quoteChar": form["quote"], "escapeChar": escape}
    return _formats(_TEXT_INPUT, _TEXT_OUTPUT, "org.apache.hadoop.hive.serde2.OpenCSVSerde", characters)


def _json_names(plan: DatasetPlan) -> dict[str, str]:
    renamed = {
        f"mapping.{column['name']}": column["source_name"]
        for column in plan["columns"]
        if column["source"] == "file" and column["source_name"] != column["name"]
    }
    return {"case.insensitive": "FALSE", **renamed} if renamed else {}


def _formats(read: str, write: str, serde: str, parameters: dict[str, str]) -> Table:
    return {
        "InputFormat": read,
        "OutputFormat": write,
        "SerdeInfo": {"SerializationLibrary": serde, "Parameters": parameters},
    }


# --- Partitions -------------------------------------------------------------------------------


def partition_keys(plan: DatasetPlan) -> dict[str, tuple[str, str]]:
    """By value in the path's folders, in order: the partition key's name and Hive type.

    The name is the Silver column's; a value that is no column but has the name of one gets ``path_`` first.
    """
    folders = (plan["path_pattern"] or "").rpartition("/")[0]
    if not folders:
        return {}
    columns = {c["source_name"]: c["name"] for c in plan["columns"] if c["source"] == "path"}
    taken = {column["name"] for column in plan["columns"] if column["source"] == "file"}
    keys = {}
    for variable in path_regex(folders).groupindex:
        name = columns.get(variable, variable)
        kind = "bigint" if f"{{{variable}:int}}" in folders else "string"
        keys[variable] = (f"path_{name}" if name in taken else name, kind)
    return keys


def _add_partitions(landing: Landing, plan: DatasetPlan, keys: list[str]) -> None:
    """Add the partitions of the files' folders to the table, if there is one that has such partitions."""
    names = [name for name, _ in partition_keys(plan).values()]
    table = landing.catalog.table(plan["dataset"]) if names else None
    if table is None or _keys(table) != names:
        return
    partitions = list(partition_inputs(plan, keys, table["StorageDescriptor"], landing.bucket))
    if partitions:
        landing.catalog.add_partitions(plan["dataset"], partitions)


def partition_inputs(
    plan: DatasetPlan, keys: Sequence[str], storage: Mapping[str, Any], bucket: str
) -> Iterator[Table]:
    """Glue's ``PartitionInput`` of every folder among the keys whose path fits the pattern.

    The folder is the one at the pattern's own depth: what ``**`` stands for lies below it.
    """
    pattern = path_regex(plan["path_pattern"] or "**")
    depth = (plan["path_pattern"] or "").count("/")
    variables = list(partition_keys(plan))
    seen: set[tuple[str, ...]] = set()
    for key in keys:
        match = pattern.fullmatch(key.partition("/")[2])
        values = tuple(match[variable] for variable in variables) if match else ()
        if values and values not in seen:
            seen.add(values)
            folder = "/".join(key.split("/")[: depth + 1])
            yield {
                "Values": list(values),
                "StorageDescriptor": {**storage, "Location": f"s3://{bucket}/{folder}/"},
            }
