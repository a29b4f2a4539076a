"""Which rows of the live files become Silver's, which quarantine's, and which rows of the table they oust."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pyspark.sql import Column as PySparkColumn
from pyspark.sql import DataFrame, functions

from lakehouse import words
from lakehouse_spark import order, publish
from lakehouse_spark.cast import literals, quoted
from lakehouse_spark.parse import RAW, UNKNOWN
from lakehouse_spark.schema import Column
from lakehouse_spark.silver_run import Run

SMALL_BATCH_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True)
class Frames:
    """What is to be written.

    ``columns`` are those of the rows; ``displaced`` rows of the table that a unique rule now keeps out;
    ``keyed``: whether Silver's rows win over the table's by primary key.
    """

    columns: list[Column]
    silver: DataFrame
    quarantine: list[DataFrame]
    displaced: DataFrame | None
    keyed: bool


def sort_out(run: Run, frame: DataFrame) -> Frames | None:
    """What is to be written of the parsed rows. None: a rule of the table rejected files, try again."""
    mine, columns = _with_new_fields(run, _of_live_files(run, frame))
    good, bad = mine.where(f"NOT {run.bad}"), mine.where(run.bad)
    if not run.resolves:
        return Frames(columns, good, [bad], None, keyed=False)
    resolved = order.resolve(good, _staying_rows(run), _keys(run), run.how.book)
    rows = resolved.rows.persist()
    _tally(run, rows)
    if run.files.judge(run.how):
        rows.unpersist()
        return None
    silver = rows.where(functions.col(order.STATE) == order.SILVER)
    losers = rows.where(functions.col(order.STATE) == order.QUARANTINE)
    quarantined = [bad]
    if run.how.book.of_kind("unique"):
        quarantined.append(losers.withColumn(RAW, typed_record(columns)))
    return Frames(columns, silver, quarantined, resolved.displaced, keyed=bool(run.plan["primary_key"]))


def _keys(run: Run) -> order.Keys:
    return order.Keys(
        tuple(run.plan["primary_key"]),
        run.plan["sequence_column"] if run.plan["mode"] == "upsert" else None,
        run.files.text_bytes <= SMALL_BATCH_BYTES,
    )


def _of_live_files(run: Run, frame: DataFrame) -> DataFrame:
    if len(run.files.live) == len(run.files.tallies):
        return frame
    return frame.where(functions.col(words.SOURCE_VERSION_ID).isin(run.files.live))


def _with_new_fields(run: Run, frame: DataFrame) -> tuple[DataFrame, list[Column]]:
    """JSON: fields that no column reads become columns of text. Returns the rows and all their columns."""
    columns = list(run.how.columns)
    if not run.how.finds_columns:
        return frame, columns
    by_name: dict[str, list[str]] = {}
    for name in sorted(set().union(*(run.files.tallies[source_id].fields for source_id in run.files.live))):
        by_name.setdefault(words.column_name(name), []).append(name)
    for name, keys in by_name.items():
        values = (f"try_element_at({UNKNOWN}, {literals([key])})" for key in keys)
        frame = frame.withColumn(name, functions.expr(f"coalesce({', '.join(values)})"))
        columns.append(Column(name, "string", "file", name))
    return frame.drop(UNKNOWN), columns


def _staying_rows(run: Run) -> DataFrame | None:
    """The table's rows that this run does not replace by their object version."""
    if not run.table or run.replaces_table or publish.main_snapshot_id(run.spark, run.job.silver) is None:
        return None
    rows = run.spark.table(run.job.silver)
    replaced = run.replaced_versions()
    return rows.where(~functions.col(words.SOURCE_VERSION_ID).isin(replaced)) if replaced else rows


def typed_record(columns: Iterable[Column]) -> PySparkColumn:
    """The record of a row that breaks nothing but a unique rule: the same from a file as from the table."""
    names = sorted(column.name for column in columns)
    return functions.to_json(functions.struct(*(functions.col(quoted(name)) for name in names)))


def _tally(run: Run, rows: DataFrame) -> None:
    """Count, per file, what keys and unique rules decided."""
    bits = run.how.book.bit_columns
    unique = {bit for bit, _ in run.how.book.of_kind("unique")}
    for tally in run.files.tallies.values():
        tally.unique = tally.superseded = 0
        for bit in unique:
            tally.broken[bit] = 0
    run.meter.actions += 1
    for row in rows.groupBy(words.SOURCE_VERSION_ID, order.STATE, *bits).count().collect():
        tally = run.files.tallies[row[words.SOURCE_VERSION_ID]]
        tally.superseded += row["count"] if row[order.STATE] == order.SUPERSEDED else 0
        tally.unique += row["count"] if row[order.STATE] == order.QUARANTINE else 0
        for bit in unique.intersection(run.how.book.broken(row[name] for name in bits)):
            tally.broken[bit] += row["count"]
