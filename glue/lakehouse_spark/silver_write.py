"""Silver's side of a promote run: tables with the right columns, rows added and deleted, the audit."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import functions

from lakehouse import words
from lakehouse_spark import publish, write
from lakehouse_spark.cast import literals, quoted
from lakehouse_spark.errors import CountsDiffer
from lakehouse_spark.schema import Column, keeps_rescued
from lakehouse_spark.silver_files import Expected
from lakehouse_spark.silver_run import Run
from lakehouse_spark.silver_winners import Frames


def make_tables(run: Run, columns: Iterable[Column]) -> None:
    """Silver's and quarantine's tables with all the columns this run writes."""
    job = run.job
    rescued = {words.RESCUED: "string"} if keeps_rescued(run.plan) else {}
    wanted = {column.name: column.type for column in columns} | rescued | write.SYSTEM_TYPES
    if run.table:
        write.fit_columns(run.spark, job.silver, run.table, wanted)
    else:
        place = _location(run, job.dataset)
        write.create_table(run.spark, job.silver, wanted, run.plan["partition_by"], place)
    run.table |= wanted
    if not run.spark.catalog.tableExists(job.quarantine):
        place = _location(run, words.quarantine_table(job.dataset))
        write.create_table(run.spark, job.quarantine, write.QUARANTINE_TYPES, (), place)


def _location(run: Run, name: str) -> str | None:
    return None if run.job.silver_root is None else f"{run.job.silver_root}/{name}"


def append(run: Run, frames: Frames, expected: int) -> None:
    """Append the good rows to Silver's branch, or put them in the place of all it holds."""
    if not expected and not run.replaces_table:
        return
    names = [column.name for column in frames.columns]
    names += [words.RESCUED] if keeps_rescued(run.plan) else []
    rows = write.silver_rows(frames.silver, frames.columns, names, run.job.run_id, run.job.as_of)
    for name, kind in run.table.items():
        if name not in rows.columns:
            rows = rows.withColumn(name, functions.lit(None).cast(kind))
    put = write.overwrite if run.replaces_table else write.append
    run.meter.actions += 1
    target = publish.branch_table(run.job.silver, run.job.branch)
    put(rows, target, run.files.text_bytes, partitioned=bool(run.plan["partition_by"]))


def delete(run: Run, frames: Frames, changed: list[str]) -> None:
    """Take off Silver's branch what is replaced, and the rows of files that ``changed`` meanwhile."""
    conditions = []
    if versions := [*run.replaced_versions(), *changed]:
        conditions.append(f"{words.SOURCE_VERSION_ID} IN ({literals(versions)})")
    if not run.replaces_table and publish.main_snapshot_id(run.spark, run.job.silver) is not None:
        conditions += _losing_rows(run, frames)
    if conditions:
        run.meter.actions += 1
        target = publish.branch_table(run.job.silver, run.job.branch)
        write.delete(run.spark, f"{target} AS t", " OR ".join(conditions))


def _losing_rows(run: Run, frames: Frames) -> list[str]:
    """SQL conditions over ``t``: the table's rows that a winner replaces or a unique rule keeps out."""
    found = []
    this_run = f"{words.RUN_ID} = {literals([run.job.run_id])}"
    # Winners and displaced rows are read back from the branches they were just written to: Spark's
    # DELETE takes no subquery over the parsed files, whose row numbers it calls non-deterministic.
    if frames.keyed:
        silver = publish.branch_table(run.job.silver, run.job.branch)
        same = " AND ".join(f"w.{quoted(k)} = t.{quoted(k)}" for k in run.plan["primary_key"])
        winners = f"SELECT 1 FROM {silver} w WHERE w.{this_run} AND {same}"  # noqa: S608 - names of our own
        found.append(f"(NOT t.{this_run} AND EXISTS ({winners}))")
    if frames.displaced is not None:
        quarantine = publish.branch_table(run.job.quarantine, run.job.branch)
        names = (words.SOURCE_VERSION_ID, words.SOURCE_ROW)
        same = " AND ".join(f"d.{name} = t.{name}" for name in names)
        displaced = f"SELECT 1 FROM {quarantine} d WHERE d.{this_run} AND {same}"  # noqa: S608 - as above
        found.append(f"EXISTS ({displaced})")
    return found


def audit(run: Run, expected: Expected, *, with_quarantine: bool) -> None:
    """What the branches say was added must be what was counted.

    Raises ``CountsDiffer``. ``with_quarantine`` is False where no count of quarantine's rows is known.
    """
    _audit_table(run, run.job.silver, expected.silver, "Silver")
    if with_quarantine:
        _audit_table(run, run.job.quarantine, expected.quarantined, "quarantine")


def _audit_table(run: Run, table: str, counted: int, name: str) -> None:
    added = publish.branch_changes(run.spark, table, run.job.branch).rows_added
    if added != counted:
        raise CountsDiffer(f"{counted} rows were counted for {name}, {added} were written")
