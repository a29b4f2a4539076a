"""The first half of a promote run: which files are read, reading them once, and counting what is in them."""

from __future__ import annotations

import json
from urllib.parse import quote

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Row, functions

from lakehouse import words
from lakehouse_spark import publish
from lakehouse_spark.choose import changed_files, current_files, newest_group, readable_files, stage_zstd
from lakehouse_spark.failure import is_environment, jvm_text
from lakehouse_spark.parse import UNKNOWN, parsed, reading
from lakehouse_spark.preflight import is_damaged
from lakehouse_spark.read import Group, groups_of, parquet_fields
from lakehouse_spark.schema import adds_columns, known_columns, new_columns
from lakehouse_spark.session import configure
from lakehouse_spark.silver_files import Tally
from lakehouse_spark.silver_run import Run


def choose(run: Run) -> None:
    """Find the files to be read, and settle the others."""
    files = run.files
    with run.meter.timed("heads"):
        files.sources, gone = current_files(run.bronze, files.listed)
        files.settle(gone)
    configure(run.spark, files.text_bytes)
    with run.meter.timed("preflight"):
        prefix = words.staged_prefix(run.job.run_id)
        run.staged, damaged = stage_zstd(run.spark, run.operations, files.sources, prefix)
        files.settle(damaged)
        files.sources, refused = readable_files(
            run.bronze, run.staged, files.sources, run.plan, lambda uri: parquet_fields(run.spark, uri)
        )
        files.settle(refused)
        if run.plan["mode"] == "snapshot":
            _choose_group(run)


def _choose_group(run: Run) -> None:
    """Snapshot mode: keep the newest complete group."""
    held = publish.main_summary(run.spark, run.job.silver, words.MARKER_GROUP) if run.table else None
    chosen = newest_group(run.files.sources, run.plan, json.loads(held) if held else None)
    run.files.settle(chosen.settled)
    run.group, run.replaces_table = chosen.group, chosen.replaces_table


def empty_staged(run: Run) -> None:
    """Leave nothing but names of the decompressed copies: the bucket's rule for what is staged does the
    rest, also where a run was killed before it came here.
    """
    for operations, key, _ in run.staged.values():
        operations.put_json(key, None)


def read(run: Run) -> DataFrame | None:
    """Parse all live files once, cached, and count per file. None: files had to be left out, try again."""
    groups = groups_of(run.files.sources)
    columns = known_columns(run.plan, run.table)
    if adds_columns(run.plan):
        columns += new_columns(columns, [group.fields for group in groups])
    run.how = reading(run.plan, columns)
    with run.meter.timed("read"):
        try:
            frame = _counted(run, groups)
        except (PySparkException, Py4JError) as error:
            run.spark.catalog.clearCache()
            _leave_out_culprits(run, error)
            return None
    run.files.settle(changed_files(run.bronze, run.files.sources))
    run.files.judge(run.how)
    return frame


def _counted(run: Run, groups: list[Group]) -> DataFrame:
    """The parsed rows; one grouped count over them gives rows, bad rows and broken rules per file."""
    frame = parsed(run.spark, groups, run.how).persist()
    bits = run.how.book.bit_columns
    counts = [functions.count(functions.lit(1)).alias("n"), functions.expr(run.bad).alias("bad")]
    if run.how.finds_columns:
        keys = functions.flatten(functions.collect_set(functions.map_keys(UNKNOWN)))
        counts.append(functions.array_distinct(keys).alias("fields"))
    run.meter.actions += 1
    grouped = frame.groupBy(words.SOURCE_VERSION_ID, *bits).agg(*counts)
    run.files.tallies = {source_id: Tally() for source_id in run.files.live}
    for row in grouped.collect():
        _add(run, row, bits)
    return frame


def _add(run: Run, row: Row, bits: list[str]) -> None:
    """Add one group of rows that broke the same rules to its file's tally."""
    tally = run.files.tallies[row[words.SOURCE_VERSION_ID]]
    tally.rows += row["n"]
    tally.bad += row["n"] if row["bad"] else 0
    for bit in run.how.book.broken(row[name] for name in bits):
        tally.broken[bit] += row["n"]
    if run.how.finds_columns:
        tally.fields.update(row["fields"])


def _leave_out_culprits(run: Run, error: PySparkException | Py4JError) -> None:
    """Spark could not read something: find which file it was and go on without it, or raise."""
    if is_environment(error):
        raise error
    text, sources = jvm_text(error), run.files.sources
    named = [source for source in sources if any(address in text for address in _spellings(source.uri))]
    damaged = named or [source for source in sources if is_damaged(run.bronze, source)]
    if run.files.settle(changed_files(run.bronze, sources)):
        return
    if not run.files.reject(damaged, "the file cannot be read"):
        raise error


def _spellings(uri: str) -> tuple[str, str]:
    """A file's address as it stands in messages: plain, or with its odd characters encoded."""
    bare = uri.partition(":")[2].lstrip("/")
    return bare, quote(bare)
