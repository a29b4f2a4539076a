"""Statistics of a table's columns for query planners: how many different values each holds, roughly.

Iceberg writes them as Theta sketches into one Puffin file beside the table's metadata, and names it there
under the snapshot it counted. No snapshot is made for it, and the file goes when its snapshot expires.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from lakehouse_spark import publish
from lakehouse_spark.gold_changes import REPLACE

if TYPE_CHECKING:
    from mypy_boto3_glue.client import GlueClient
    from pyspark.sql import SparkSession

CHANGED: Final = ("added-data-files", "deleted-data-files", "added-delete-files", "removed-delete-files")
"""What Iceberg says in the summary of a snapshot that brought or took away files; absent otherwise."""
ATHENA: Final = "use_iceberg_statistics"
"""Athena plans with the statistics of an Iceberg table only if this parameter of it in the catalog is true:
https://docs.aws.amazon.com/athena/latest/ug/cost-based-optimizer.html
"""
INPUT: Final = frozenset(
    {"Name", "Description", "Owner", "Retention", "StorageDescriptor", "PartitionKeys", "TableType"}
)
"""What Glue's answer about an Iceberg table has in common with the ``TableInput`` that it takes."""


class Commit(NamedTuple):
    """A snapshot of main: which, and whether it may have changed rows."""

    snapshot_id: int
    changed_rows: bool


class Catalog(Protocol):
    """Where query engines look tables up."""

    def use_statistics(self, table: str) -> None:
        """Have them plan with the statistics of a table, ``table`` being its full name in Spark."""


class GlueCatalog:
    """Glue's catalog, behind a boto3 client."""

    def __init__(self, client: GlueClient) -> None:
        self._client = client

    def use_statistics(self, table: str) -> None:
        """See ``Catalog``. Nothing is written where it is said already; Iceberg's commits keep it."""
        _, database, name = table.split(".")
        found: dict[str, Any] = dict(self._client.get_table(DatabaseName=database, Name=name)["Table"])
        parameters = found.get("Parameters", {})
        if parameters.get(ATHENA) == "true":
            return
        # An owner that nobody is may be answered as an empty text, which is not taken back.
        changed: Any = {key: value for key, value in found.items() if key in INPUT and value != ""}
        changed["Parameters"] = {**parameters, ATHENA: "true"}
        self._client.update_table(
            DatabaseName=database,
            TableInput=changed,
            VersionId=found["VersionId"],
            SkipArchive=True,
        )


def compute(spark: SparkSession, table: str, max_bytes: int) -> int:
    """Count the columns of main, if its rows may have changed since that was last done.

    Reads the whole table once, so one of more than ``max_bytes`` is left as it is. Columns of our own
    (``_…``), which nobody joins by, and nested ones are not counted. Returns how many were.
    """
    iceberg_table = publish.load_table(spark, table)
    iceberg_table.refresh()
    columns = counted_columns(iceberg_table)
    snapshot = iceberg_table.currentSnapshot()
    if snapshot is None or not columns:
        return 0
    if not 0 < int(snapshot.summary().getOrDefault("total-files-size", "0")) <= max_bytes:
        return 0
    if not is_due(map(_commit, publish.main_history(spark, table)), known(iceberg_table)):
        return 0
    catalog, _, name = table.partition(".")
    names = ", ".join(f"'{column}'" for column in columns)
    spark.sql(f"CALL {catalog}.system.compute_table_stats(table => '{name}', columns => array({names}))")
    return len(columns)


def is_due(history: Iterable[Commit], counted: set[int]) -> bool:
    """Whether rows may have changed since the newest snapshot that was counted. ``history``: newest first."""
    for commit in history:
        if commit.snapshot_id in counted:
            return False
        if commit.changed_rows:
            return True
    return True


def known(iceberg_table: Any) -> set[int]:
    """The ids of the snapshots that have statistics."""
    return {int(file.snapshotId()) for file in iceberg_table.statisticsFiles()}


def counted_columns(iceberg_table: Any) -> list[str]:
    """The columns to count, by name."""
    fields = iceberg_table.schema().columns()
    names = [str(field.name()) for field in fields if field.type().isPrimitiveType()]
    return [name for name in names if not name.startswith("_")]


def _commit(snapshot: Any) -> Commit:
    summary = snapshot.summary()
    changed = any(int(summary.getOrDefault(key, "0")) for key in CHANGED)
    return Commit(int(snapshot.snapshotId()), changed and snapshot.operation() != REPLACE)
