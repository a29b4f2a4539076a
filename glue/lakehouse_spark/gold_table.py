"""A Gold table on Iceberg: its marker, its creation with rows in it, the overwriting of partitions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F  # noqa: N812 - Spark's own convention

from lakehouse import words
from lakehouse_spark import publish
from lakehouse_spark.errors import BadPlan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.words import ModelPlan, PartitionField

PROPERTIES: Final = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    "write.distribution-mode": "hash",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "100",
}
TRANSFORMS: Final = {"year": F.years, "month": F.months, "day": F.days, "hour": F.hours, "identity": F.col}


@dataclass(frozen=True)
class Marker:
    """What a Gold table says of itself: by which run, from which inputs and which model it was made."""

    snapshot_id: int
    run_id: str
    inputs: dict[str, int]
    model_hash: str


def newest_marker(spark: SparkSession, table: str) -> Marker | None:
    """The newest marker in main's history, or None when there is none (any more)."""
    for snapshot in publish.main_history(spark, table):
        summary = snapshot.summary()
        if summary.get(words.MARKER_MODEL_HASH) is not None:
            return Marker(
                int(snapshot.snapshotId()),
                str(summary.get(words.MARKER_RUN)),
                json.loads(summary.get(words.MARKER_INPUTS)),
                str(summary.get(words.MARKER_MODEL_HASH)),
            )
    return None


def exists(spark: SparkSession, table: str) -> bool:
    """Whether the catalog has the table."""
    return bool(spark.catalog.tableExists(table))


def head(spark: SparkSession, table: str) -> int | None:
    """Main's snapshot id now; None for a table that is not there or was never published."""
    if not exists(spark, table):
        return None
    iceberg_table = publish.load_table(spark, table)
    iceberg_table.refresh()
    snapshot = iceberg_table.currentSnapshot()
    return None if snapshot is None else int(snapshot.snapshotId())


def read_at(spark: SparkSession, table: str, snapshot_id: int) -> DataFrame:
    """The table as it was at a snapshot."""
    return spark.read.option("snapshot-id", str(snapshot_id)).table(table)


def create(
    frame: DataFrame, table: str, plan: ModelPlan, location: str | None, summary: dict[str, str]
) -> None:
    """Make the table and its rows in one commit, so that nobody reads it empty; ``summary`` is its marker."""
    writer = frame.writeTo(table).using("iceberg")
    for key, value in PROPERTIES.items():
        writer = writer.tableProperty(key, value)
    if location is not None:
        writer = writer.tableProperty("location", location)
    if plan["description"]:
        writer = writer.tableProperty("comment", plan["description"])
    if plan["partition_by"]:
        fields = [TRANSFORMS[field["transform"]](field["column"]) for field in plan["partition_by"]]
        writer = writer.partitionedBy(*fields)
    _with_summary(writer, summary).create()


def overwrite(
    frame: DataFrame, table: str, branch: str, condition: str | None, summary: dict[str, str]
) -> None:
    """On ``branch``, replace the rows that satisfy ``condition`` (None: all) by ``frame``, in one commit."""
    writer = _with_summary(frame.writeTo(publish.branch_table(table, branch)), summary).option(
        "distribution-mode", "none"
    )
    writer.overwrite(F.expr("true" if condition is None else condition))


def _with_summary(writer: Any, summary: dict[str, str]) -> Any:
    for key, value in summary.items():
        writer = writer.option(f"snapshot-property.{key}", value)
    return writer


def row_counts(spark: SparkSession, table: str, snapshot_id: int) -> tuple[int, int]:
    """How many rows a snapshot added and deleted, by its own summary."""
    summary = publish.load_table(spark, table).snapshot(snapshot_id).summary()
    return int(summary.get("added-records") or 0), int(summary.get("deleted-records") or 0)


def size_bytes(spark: SparkSession, table: str, snapshot_id: int) -> int:
    """How large the files of a snapshot are, by its own summary."""
    summary = publish.load_table(spark, table).snapshot(snapshot_id).summary()
    return int(summary.get("total-files-size") or 0)


# --- Where it lies ---------------------------------------------------------------------------------


def is_elsewhere(spark: SparkSession, table: str, location: str | None) -> bool:
    """Whether the table lies, or left rows, somewhere else than at ``location``."""
    iceberg_table = publish.load_table(spark, table)
    moved = bool(iceberg_table.properties().containsKey(words.FORMER_LOCATION))
    return moved or (location is not None and str(iceberg_table.location()) != location)


def move(spark: SparkSession, table: str, location: str | None) -> None:
    """Let the table lie at ``location`` from now on; where it lay is noted until nothing is left there.

    All of its rows have to be written anew on the next branch.
    """
    iceberg_table = publish.load_table(spark, table)
    former = str(iceberg_table.location())
    if location is None or former == location:
        return
    both = iceberg_table.newTransaction()
    both.updateProperties().set(words.FORMER_LOCATION, former).commit()
    both.updateLocation().setLocation(location).commit()
    both.commitTransaction()


def purge_former_place(spark: SparkSession, table: str) -> None:
    """Once main's rows lie in the table's new place: forget all older snapshots and delete the old place.

    The table as it was before cannot be read any more, which is the point.
    """
    iceberg_table = publish.load_table(spark, table)
    former = iceberg_table.properties().get(words.FORMER_LOCATION)
    if former is None:
        return
    iceberg_table.refresh()
    expiry = iceberg_table.expireSnapshots().cleanExpiredFiles(True)
    current = iceberg_table.currentSnapshot().snapshotId()
    for snapshot in list(_each(iceberg_table.snapshots())):
        if snapshot.snapshotId() != current:
            expiry = expiry.expireSnapshotId(snapshot.snapshotId())
    expiry.commit()
    delete_folder(iceberg_table, str(former).rstrip("/") + "/")
    iceberg_table.updateProperties().remove(words.FORMER_LOCATION).commit()


def delete_folder(iceberg_table: Any, folder: str) -> None:
    """Delete whatever lies below a folder, by the table's own access to files."""
    iceberg_table.io().deletePrefix(folder)


# --- Schema and partitioning -------------------------------------------------------------------


def evolve(spark: SparkSession, table: str, frame: DataFrame, plan: ModelPlan) -> None:
    """Give the table what the model's result has and it lacks: columns, wider types, another partitioning.

    Raises ``BadPlan`` for a change that Iceberg cannot make to a table that holds rows.
    """
    iceberg_table = publish.load_table(spark, table)
    update = iceberg_table.updateSchema().unionByNameWith(_iceberg_schema(spark, frame))
    try:
        changed = not update.apply().sameSchema(iceberg_table.schema())
    except (Py4JJavaError, PySparkException) as error:
        raise BadPlan(
            "a column's type changed in a way that an Iceberg table cannot follow: give the column a new name"
        ) from error
    if changed:
        update.commit()
    _repartition(spark, iceberg_table, plan["partition_by"])


def _iceberg_schema(spark: SparkSession, frame: DataFrame) -> Any:
    jvm = _jvm(spark)
    return jvm.org.apache.iceberg.spark.SparkSchemaUtil.convert(frame._jdf.schema().asNullable())


def _repartition(spark: SparkSession, iceberg_table: Any, wanted: list[PartitionField]) -> None:
    spec = iceberg_table.spec()
    current = [
        (spec.schema().findColumnName(field.sourceId()), field.transform().toString(), field.name())
        for field in _each(spec.fields())
        if field.transform().toString() != "void"
    ]
    if [each[:2] for each in current] == [(field["column"], field["transform"]) for field in wanted]:
        return
    expressions = _jvm(spark).org.apache.iceberg.expressions.Expressions
    update = iceberg_table.updateSpec()
    for _, _, name in current:
        update = update.removeField(name)
    for field in wanted:
        term = (
            expressions.ref if field["transform"] == "identity" else getattr(expressions, field["transform"])
        )
        update = update.addField(term(field["column"]))
    update.commit()


def aligned(spark: SparkSession, table: str, frame: DataFrame) -> DataFrame:
    """``frame`` with all of the table's columns; one that the model no longer has is null."""
    fields = spark.table(table).schema.fields
    if {field.name for field in fields} == set(frame.columns):
        return frame
    columns = [
        (F.col(f"`{field.name}`") if field.name in frame.columns else F.lit(None))
        .cast(field.dataType)
        .alias(field.name)
        for field in fields
    ]
    return frame.select(*columns)


def _each(iterable: Any) -> Iterator[Any]:
    iterator = iterable.iterator()
    while iterator.hasNext():
        yield iterator.next()


def _jvm(spark: SparkSession) -> Any:
    return spark._jvm
