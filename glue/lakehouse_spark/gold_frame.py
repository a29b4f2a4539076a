"""A Gold model's result: its promises checked while it is written, and cut to what is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lakehouse_spark import session
from lakehouse_spark.gold_partitions import quoted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

KEYS_BROKEN: Final = "the model's keys are null or not unique"
MAPPING_BROKEN: Final = "the model made rows outside the partitions that its mapping promises"
MARK: Final = "__mark"
TIMEZONE: Final = "spark.sql.session.timeZone"


def configure(spark: SparkSession, timezone: str, size_bytes: int) -> None:
    """The session as a model's SQL expects it: a day is one of ``timezone``; ``size_bytes`` may be read."""
    session.configure(spark, size_bytes)
    spark.conf.set(TIMEZONE, timezone)
    # A model's text and a partition's value are taken as they stand, whatever they look like.
    spark.conf.set("spark.sql.variable.substitute", "false")
    # Small data makes few files.
    spark.conf.set("spark.sql.adaptive.coalescePartitions.parallelismFirst", "false")


def checked(
    spark: SparkSession, sql: str, keys: list[str], promised: str | None, replaced: str | None
) -> DataFrame:
    """The rows of ``sql`` that satisfy ``replaced`` (None: all); writing them fails when a promise is broken.

    The promises: every row satisfies ``promised`` (None: no promise); among the rows that stay, ``keys`` are
    never null and unique. Columns are those of ``sql``. All is checked in the one pass that writes, by a
    filter that hangs on a window (or on the row's number), below which Spark moves no such filter: so it
    judges rows of the result and never an input's.
    """
    names = ", ".join(quoted(key) for key in keys)
    mark = f"count(1) OVER (PARTITION BY {names})" if keys else "monotonically_increasing_id()"
    sound = " AND ".join([f"{MARK} = 1", *(f"{quoted(key)} IS NOT NULL" for key in keys)])
    verdict = (
        f"CASE WHEN NOT {_true(promised)} THEN boolean(raise_error({_text(MAPPING_BROKEN)}))"
        f" WHEN NOT {_true(replaced)} THEN false"
        f" WHEN {sound if keys else f'{MARK} >= 0'} THEN true"
        f" ELSE boolean(raise_error({_text(KEYS_BROKEN)})) END"
    )
    marked = f"SELECT *, {mark} AS {MARK} FROM (\n{sql}\n)"  # noqa: S608 - compiled at deployment
    return spark.sql(f"SELECT * FROM ({marked}) WHERE {verdict}").drop(MARK)  # noqa: S608


def _true(condition: str | None) -> str:
    """Whether a condition is true; null is not."""
    return "true" if condition is None else f"coalesce({condition}, false)"


def _text(sentence: str) -> str:
    return "'" + sentence.replace("'", "\\'") + "'"
