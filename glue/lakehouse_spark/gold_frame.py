"""A Gold model's result: its promises checked while it is written, and cut to what is replaced."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pyspark.sql import Window
from pyspark.sql import functions as F  # noqa: N812 - Spark's own convention

from lakehouse_spark import session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import Column, DataFrame, SparkSession

KEYS_BROKEN: Final = "the model's keys are null or not unique"
MAPPING_BROKEN: Final = "the model made rows outside the partitions that its mapping promises"
MARK: Final = "__mark"
TIMEZONE: Final = "spark.sql.session.timeZone"


@contextmanager
def session_for(spark: SparkSession, timezone: str, size_bytes: int) -> Iterator[None]:
    """The session as a model's SQL expects it: a day is one of ``timezone``; ``size_bytes`` are to be read.

    Adaptive execution then merges small partitions, so that small data makes few files.
    """
    session.configure(spark, size_bytes)
    spark.conf.set(TIMEZONE, timezone)
    spark.conf.set("spark.sql.adaptive.coalescePartitions.parallelismFirst", "false")
    spark.conf.set("spark.sql.autoBroadcastJoinThreshold", "-1")
    spark.conf.set("spark.sql.shuffle.partitions", "1")
    try:
        yield
    finally:
        spark.conf.set(TIMEZONE, "UTC")


def checked(frame: DataFrame, keys: list[str], promised: Column | None, replaced: Column | None) -> DataFrame:
    """The rows of ``frame`` that satisfy ``replaced`` (None: all); writing fails when a promise is broken.

    The promises: every row satisfies ``promised`` (None: no promise); among the rows that stay, ``keys`` are
    never null and unique. Columns are as before. All is checked in the one pass that writes, by a filter
    that hangs on a window (or on the row's number), below which Spark moves no such filter: so it judges
    rows of the result and never an input's.
    """
    mark = F.count(F.lit(1)).over(Window.partitionBy(*keys)) if keys else F.monotonically_increasing_id()
    sound = F.col(MARK) == 1 if keys else F.col(MARK) >= 0
    for key in keys:
        sound = sound & F.col(f"`{key}`").isNotNull()
    verdict = (
        F.when(~_true(promised), F.raise_error(MAPPING_BROKEN).cast("boolean"))
        .when(~_true(replaced), F.lit(False))
        .when(sound, F.lit(True))
        .otherwise(F.raise_error(KEYS_BROKEN).cast("boolean"))
    )
    return frame.withColumn(MARK, mark).where(verdict).drop(MARK)


def _true(condition: Column | None) -> Column:
    """Whether a condition is true; null is not."""
    return F.lit(True) if condition is None else F.coalesce(condition, F.lit(False))
