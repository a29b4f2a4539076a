"""The session's settings that decide results, so that they are the same on every Glue version and
machine.

Only settings that may change at run time stand here. Catalog, endpoints and memory come from the job's
arguments.
"""

from __future__ import annotations

from typing import Final

from pyspark.sql import SparkSession

SPLIT_BYTES: Final = 32 * 1024 * 1024
"""How a plain file is cut for parallel reading. ``_source_row`` of files above it depends on this: never
change it.
"""

SETTINGS: Final = {
    "spark.sql.session.timeZone": "UTC",
    # The same answers with Spark 3.5 and 4; a rule that divides by zero is null, and does not
    # end the job.
    "spark.sql.ansi.enabled": "false",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    # An opening cost as high as the split size puts every split into a partition of its own, so that a row's
    # place within its split is its place within its partition, however files were batched.
    "spark.sql.files.maxPartitionBytes": str(SPLIT_BYTES),
    "spark.sql.files.openCostInBytes": str(SPLIT_BYTES),
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    # With pruning, a CSV row of the wrong length is not seen.
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    # One part of a nested value that does not fit makes the value a violation, not a value with a hole.
    "spark.sql.json.enablePartialResults": "false",
    # HotSpot does not compile methods above 8,000 bytes: better many small ones than one that is interpreted.
    "spark.sql.codegen.hugeMethodLimit": "8000",
    # The parsed rows are cached for one run; looking for a good compression costs more than it saves.
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
}
BYTES_PER_SHUFFLE_PARTITION: Final = 32 * 1024 * 1024
MAX_SHUFFLE_PARTITIONS: Final = 400


def job_session() -> SparkSession:
    """The session of a Glue job: all that is static comes from the job's arguments."""
    return SparkSession.builder.getOrCreate()


def configure(spark: SparkSession, size_bytes: int) -> None:
    """Apply ``SETTINGS`` and a number of shuffle partitions that fits ``size_bytes`` of input."""
    for key, value in SETTINGS.items():
        spark.conf.set(key, value)
    wanted = -(-size_bytes // BYTES_PER_SHUFFLE_PARTITION)
    cores = spark.sparkContext.defaultParallelism
    spark.conf.set(
        "spark.sql.shuffle.partitions", str(max(1, min(MAX_SHUFFLE_PARTITIONS, max(wanted, cores))))
    )
