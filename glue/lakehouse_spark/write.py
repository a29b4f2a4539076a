"""Silver's and quarantine's tables: made, widened, written to and deleted from, always on a branch.

Deletes are merge-on-read: a run then costs what its own rows cost, not what the table's files cost, and
compaction folds the deletes in later. ``_source_version_id`` and ``_run_id`` keep whole bounds per file,
so that replacing a version opens only the files that hold it, and drops a file that holds nothing else
without reading it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from pyspark.sql import DataFrame, SparkSession, functions

from lakehouse import words
from lakehouse_spark.cast import NESTED, literals, quoted
from lakehouse_spark.errors import BadPlan
from lakehouse_spark.schema import Column

PROPERTIES: Final = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    "write.target-file-size-bytes": str(256 * 1024 * 1024),
    "write.delete.mode": "merge-on-read",
    "write.update.mode": "merge-on-read",
    "write.merge.mode": "merge-on-read",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "50",
    f"write.metadata.metrics.column.{words.SOURCE_VERSION_ID}": "full",
    f"write.metadata.metrics.column.{words.RUN_ID}": "full",
}
SYSTEM_TYPES: Final = {
    words.SOURCE_VERSION_ID: "string",
    words.SOURCE_ROW: "bigint",
    words.ROW_HASH: "bigint",
    words.RUN_ID: "string",
    words.INGESTED_AT: "timestamp",
}
QUARANTINE_TYPES: Final = {
    words.SOURCE_KEY: "string",
    words.RAW_RECORD: "string",
    words.BROKEN_RULES: "array<string>",
    **SYSTEM_TYPES,
}
BYTES_PER_WRITER: Final = 96 * 1024 * 1024
_WIDER: Final = {("int", "bigint"), ("float", "double")}


def create_table(
    spark: SparkSession,
    table: str,
    columns: Mapping[str, str],
    partition_by: Sequence[words.PartitionField] = (),
    location: str | None = None,
) -> None:
    """Make an Iceberg table (format 2), its files sorted by ``_source_version_id``."""
    body = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
    parts = ", ".join(_partition_sql(field) for field in partition_by)
    properties = ", ".join(f"'{key}' = '{value}'" for key, value in PROPERTIES.items())
    spark.sql(
        f"CREATE TABLE IF NOT EXISTS {table} ({body}) USING iceberg"
        + (f" PARTITIONED BY ({parts})" if parts else "")
        + (f" LOCATION '{location}'" if location else "")
        + f" TBLPROPERTIES ({properties})"
    )
    distributed = "DISTRIBUTED BY PARTITION " if parts else ""
    spark.sql(f"ALTER TABLE {table} WRITE {distributed}LOCALLY ORDERED BY {words.SOURCE_VERSION_ID}")


def _partition_sql(field: words.PartitionField) -> str:
    name = quoted(field["column"])
    return name if field["transform"] == "identity" else f"{field['transform']}s({name})"


def fit_columns(spark: SparkSession, table: str, have: Mapping[str, str], want: Mapping[str, str]) -> None:
    """Add the columns ``table`` lacks and widen those Iceberg can widen.

    Additive and idempotent. Raises ``BadPlan`` for any other change of a type.
    """
    known = {name.casefold(): kind for name, kind in have.items()}
    missing = {name: kind for name, kind in want.items() if name.casefold() not in known}
    if missing:
        added = ", ".join(f"{quoted(name)} {kind}" for name, kind in missing.items())
        spark.sql(f"ALTER TABLE {table} ADD COLUMNS ({added})")
    for name, kind in want.items():
        old = known.get(name.casefold(), kind)
        if old == kind or kind.startswith(NESTED):
            continue
        if not _widens(old, kind):
            raise BadPlan(
                f"column {name} is {old} in the table and {kind} in the contract: only widening is possible"
            )
        spark.sql(f"ALTER TABLE {table} ALTER COLUMN {quoted(name)} TYPE {kind}")


def _widens(old: str, new: str) -> bool:
    if (old, new) in _WIDER:
        return True
    before, after = (re.fullmatch(r"decimal\((\d+),(\d+)\)", kind) for kind in (old, new))
    return bool(before and after and before[2] == after[2] and int(before[1]) < int(after[1]))


def silver_rows(
    frame: DataFrame, columns: Sequence[Column], names: Sequence[str], run_id: str, as_of: datetime
) -> DataFrame:
    """``names`` and the system columns of every row, ready to be written."""
    return frame.select(
        *(functions.col(quoted(name)) for name in names),
        functions.col(words.SOURCE_VERSION_ID),
        functions.col(words.SOURCE_ROW),
        functions.expr(row_hash_sql({column.name: column.type for column in columns})).alias(words.ROW_HASH),
        functions.lit(run_id).alias(words.RUN_ID),
        functions.lit(as_of).cast("timestamp").alias(words.INGESTED_AT),
    )


def row_hash_sql(columns: Mapping[str, str]) -> str:
    """SQL: a bigint hash of a row's values.

    Each value is hashed after its name, nulls leave no trace: a column that comes later does not change
    the hash of rows that lack it, and (null, 'a') differs from ('a', null).
    """
    parts = []
    for name in sorted(columns):
        value = f"to_json({quoted(name)})" if columns[name].startswith(NESTED) else quoted(name)
        parts += [f"CASE WHEN {quoted(name)} IS NOT NULL THEN {literals([name])} END", value]
    return f"xxhash64({', '.join(parts)})"


def quarantine_rows(frame: DataFrame, rules_sql: str, run_id: str, as_of: datetime) -> DataFrame:
    """Bad rows as quarantine keeps them. Reads ``__raw`` and ``__key``; ``rules_sql`` gives the broken
    rules' names.
    """
    return frame.select(
        functions.col("__key").alias(words.SOURCE_KEY),
        functions.col("__raw").alias(words.RAW_RECORD),
        functions.expr(rules_sql).alias(words.BROKEN_RULES),
        functions.col(words.SOURCE_VERSION_ID),
        functions.col(words.SOURCE_ROW),
        functions.expr("xxhash64(__raw)").alias(words.ROW_HASH),
        functions.lit(run_id).alias(words.RUN_ID),
        functions.lit(as_of).cast("timestamp").alias(words.INGESTED_AT),
    )


def writers(size_bytes: int) -> int:
    """How many files a batch of that many input bytes should become where no partitioning decides."""
    return max(1, -(-size_bytes // BYTES_PER_WRITER))


def append(frame: DataFrame, target: str, size_bytes: int, *, partitioned: bool) -> None:
    """Append ``frame`` to a branch, in few files."""
    _few_files(frame, size_bytes, partitioned=partitioned).writeTo(target).append()


def overwrite(frame: DataFrame, target: str, size_bytes: int, *, partitioned: bool) -> None:
    """Put ``frame`` in the place of all a branch holds, in one commit."""
    few = _few_files(frame, size_bytes, partitioned=partitioned)
    few.writeTo(target).overwrite(functions.lit(True))


def _few_files(frame: DataFrame, size_bytes: int, *, partitioned: bool) -> DataFrame:
    """An unpartitioned table is written without a shuffle: join what many small files were read as."""
    return frame if partitioned else frame.coalesce(writers(size_bytes))


def delete(spark: SparkSession, target: str, condition: str) -> None:
    """Delete from a branch. A condition that is proven by a file's bounds drops the file without reading
    it.
    """
    spark.sql(f"DELETE FROM {target} WHERE {condition}")  # noqa: S608 - names and digests of our own
