"""The report of a promote run: the words of ``report.json``, which complete and recovery read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lakehouse import words
from lakehouse_spark import publish, write
from lakehouse_spark.silver_run import Run

NO_SNAPSHOT: Final = -1


def report(run: Run, changes: Mapping[str, publish.Changes]) -> words.SilverReport:
    """The report as things stand. ``changes``, up to the marker, of each table that is to be published."""
    job = run.job
    return {
        "run_id": job.run_id,
        "dataset": job.dataset,
        "plan_hash": run.plan["hash"],
        "silver": _table_outcome(run, job.silver, changes, run.table),
        "quarantine": _table_outcome(run, job.quarantine, changes, write.QUARANTINE_TYPES),
        "files": run.files.outcomes(),
        "rules": run.files.rule_results(run.how.book.rules),
        "spark_actions": run.meter.actions,
        "seconds": dict(run.meter.seconds),
    }


def _table_outcome(
    run: Run, table: str, changes: Mapping[str, publish.Changes], columns: Mapping[str, str]
) -> words.TableOutcome:
    change = changes.get(table) or publish.Changes(_head_of(run, table), 0, 0)
    return {
        "table": table.removeprefix(f"{words.CATALOG}.{run.job.database}."),
        "snapshot_id": change.snapshot_id,
        "rows_added": change.rows_added,
        "rows_deleted": change.rows_deleted,
        "columns": [{"name": name, "type": kind} for name, kind in columns.items()],
    }


def _head_of(run: Run, table: str) -> int:
    """Main's head, or ``NO_SNAPSHOT``."""
    if not run.table or not run.spark.catalog.tableExists(table):
        return NO_SNAPSHOT
    found = publish.main_snapshot_id(run.spark, table)
    return NO_SNAPSHOT if found is None else found
