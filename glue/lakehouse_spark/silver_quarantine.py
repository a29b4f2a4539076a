"""Quarantine's side of a promote run: the rows it gets, whole and with the rules they broke, and loses."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from pyspark.sql import DataFrame, functions

from lakehouse import words
from lakehouse_spark import publish, write
from lakehouse_spark.cast import literals
from lakehouse_spark.parse import KEY, RAW
from lakehouse_spark.schema import Column
from lakehouse_spark.silver_run import Run
from lakehouse_spark.silver_winners import Frames, typed_record


def append(run: Run, frames: Frames, expected: int) -> bool:
    """Append the bad rows to quarantine's branch. False: quarantine is not touched at all."""
    table, branch = run.job.quarantine, run.job.branch
    gets_rows = bool(expected) or frames.displaced is not None
    if not gets_rows and not publish.holds_rows(run.spark, table):
        return False
    publish.create_branch(run.spark, table, branch)
    if gets_rows:
        parts = list(frames.quarantine)
        if frames.displaced is not None:
            parts.append(_as_displaced(run, frames.displaced, frames.columns))
        rules = run.how.book.names_sql()
        rows = [write.quarantine_rows(part, rules, run.job.run_id, run.job.as_of) for part in parts]
        run.meter.actions += 1
        target = publish.branch_table(table, branch)
        write.append(reduce(DataFrame.union, rows), target, run.files.text_bytes, partitioned=False)
    return True


def _as_displaced(run: Run, frame: DataFrame, columns: Iterable[Column]) -> DataFrame:
    """Rows of the table with what quarantine wants to know; the key comes out of ``_source_version_id``."""
    hidden = functions.split_part(words.SOURCE_VERSION_ID, functions.lit("."), functions.lit(2))
    key = functions.concat(
        functions.lit(f"{run.job.dataset}/"), functions.decode(functions.unhex(hidden), "UTF-8")
    )
    here = [column for column in columns if column.name in frame.columns]
    return frame.withColumns({RAW: typed_record(here), KEY: key})


def delete(run: Run, changed: list[str]) -> None:
    """Take off the branch what this run's files replace, and the rows of files that ``changed`` meanwhile."""
    if publish.holds_rows(run.spark, run.job.quarantine, run.job.branch):
        run.meter.actions += 1
        target = publish.branch_table(run.job.quarantine, run.job.branch)
        write.delete(run.spark, target, _stale(run, changed))


def _stale(run: Run, changed: list[str]) -> str:
    """SQL: quarantine's rows that this run's files replace, or that a run left which never published
    Silver.
    """
    older = f"{words.RUN_ID} != {literals([run.job.run_id])}"
    out = f"{words.SOURCE_VERSION_ID} IN ({literals(changed)})" if changed else "false"
    if run.replaces_table:
        return f"({older}) OR {out}"
    live = run.files.live_entries
    tests = [f"{words.SOURCE_KEY} IN ({literals(entry['key'] for entry in live)})"] if live else []
    if replaced := [old for entry in live for old in entry["replaces"]]:
        tests.append(f"{words.SOURCE_VERSION_ID} IN ({literals(replaced)})")
    if left_out := [
        words.source_version_id("", *version).rpartition(".")[2] for version in run.files.settled
    ]:
        tests.append(f"substring_index({words.SOURCE_VERSION_ID}, '.', -1) IN ({literals(left_out)})")
    return f"({older} AND ({' OR '.join(tests) or 'false'})) OR {out}"
