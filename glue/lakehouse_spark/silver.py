"""A promote run: from a manifest of object versions to published rows and a report.

The order of things is what makes it safe to die anywhere: quarantine is published before Silver, the
report is written before either, every object's version is checked again before, and Silver's marker is
the one proof of success. Spark actions of a run, at most six: count (and cache) the parsed rows; resolve
keys and unique rules; append to quarantine; delete from quarantine; append to Silver; delete from Silver.

The steps: ``silver_read`` (which files, reading, counting), ``silver_winners`` (which rows),
``silver_write`` and ``silver_quarantine`` (the branches), ``silver_files`` (the account of every file),
``silver_report``. ``silver_run`` holds what they share.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Final

from botocore.exceptions import ClientError
from pyspark.sql import DataFrame, SparkSession

from lakehouse import words
from lakehouse_spark import publish, silver_quarantine, silver_write
from lakehouse_spark.choose import changed_files
from lakehouse_spark.errors import StillChanging
from lakehouse_spark.failure import told
from lakehouse_spark.governed import Governing
from lakehouse_spark.objects import Objects
from lakehouse_spark.silver_read import choose, empty_staged, read
from lakehouse_spark.silver_report import report
from lakehouse_spark.silver_run import Job, Meter, Run, columns_of, start
from lakehouse_spark.silver_winners import Frames, sort_out

MAX_ATTEMPTS: Final = 5


def promote(
    spark: SparkSession,
    job: Job,
    bronze: Objects,
    operations: Objects,
    governing: Governing | None = None,
) -> words.SilverReport:
    """Promote the files of a manifest into Silver; returns the report, which also lies at
    ``job.report_key``.

    When it fails, ``failure.json`` lies beside where the report would, and ``JobFailed`` is raised, which
    names no value of a row.
    """
    meter = Meter()
    try:
        run = start(spark, job, bronze, operations, meter, governing)
        try:
            done = _promote(run)
        except Exception:
            with suppress(ClientError):  # the run's own error is to be told
                empty_staged(run)
            raise
        empty_staged(run)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is written down, and raised without its values
        raise told(operations, job.report_key, job.run_id, meter.step, error) from None
    finally:
        spark.catalog.clearCache()
    return done


def _promote(run: Run) -> words.SilverReport:
    """Do all of it. A run that was published before is not done again."""
    job = run.job
    table = columns_of(run.spark, job.silver)
    if table and publish.published_snapshot(run.spark, job.silver, job.run_id) is not None:
        done: words.SilverReport = run.operations.get_json(job.report_key)
        return done
    run.table = table
    choose(run)
    for _ in range(MAX_ATTEMPTS):
        if not run.files.sources:
            return _report_nothing_new(run)
        frame = read(run)
        while frame is not None and run.files.sources:  # every time round at least one file is left out
            if (published := _write(run, frame)) is not None:
                return published
    raise StillChanging(f"files of {job.dataset} changed in each of {MAX_ATTEMPTS} attempts")


def _report_nothing_new(run: Run) -> words.SilverReport:
    """All files are settled: there is a report, and no commit."""
    done = report(run, {})
    run.operations.put_json(run.job.report_key, done)
    return done


def _write(run: Run, frame: DataFrame) -> words.SilverReport | None:
    """Write to the branches, audit, report, publish. None: files had to be left out, try again."""
    job = run.job
    with run.meter.timed("resolve"):
        frames = sort_out(run, frame)
    if frames is None:
        return None
    with run.meter.timed("tables"):
        silver_write.make_tables(run, frames.columns)
        govern(run)
        publish.create_branch(run.spark, job.silver, job.branch)
    expected = run.files.expected()
    with run.meter.timed("write"):
        with_quarantine = silver_quarantine.append(run, frames, expected.quarantined)
        silver_write.append(run, frames, expected.silver)
    with run.meter.timed("audit"):
        if not _leave_out_changed(run, frames, with_quarantine=with_quarantine):
            return None
        counted = with_quarantine and frames.displaced is None
        silver_write.audit(run, expected, with_quarantine=counted)
    return _publish(run, with_quarantine=with_quarantine)


def govern(run: Run) -> None:
    """Open what the contract opens, before any row of this run is there to be seen."""
    database, dataset = run.job.database, run.job.dataset
    run.governed.tag("silver", database, dataset, run.table)
    run.governed.tag("silver", database, words.quarantine_table(dataset), words.QUARANTINE_COLUMNS)


def _leave_out_changed(run: Run, frames: Frames, *, with_quarantine: bool) -> bool:
    """Take replaced rows, and those of files that changed meanwhile, off the branches.

    False: a file changed whose rows took part in deciding about others.
    """
    changed = changed_files(run.bronze, run.files.sources)
    run.files.settle(changed)
    if changed and (run.resolves or run.replaces_table):
        return False
    versions = [one.source_version_id for one in changed if one.source_version_id]
    if with_quarantine:
        silver_quarantine.delete(run, versions)
    silver_write.delete(run, frames, versions)
    return True


def _publish(run: Run, *, with_quarantine: bool) -> words.SilverReport:
    """Markers, report, then quarantine and Silver, in this order."""
    job, spark = run.job, run.spark
    summary = {words.MARKER_RUN: job.run_id, words.MARKER_REPORT: job.report_key}
    if run.group is not None:
        summary[words.MARKER_GROUP] = json.dumps(run.group, sort_keys=True)
    tables = [job.quarantine, job.silver] if with_quarantine else [job.silver]
    with run.meter.timed("publish"):
        changes = {table: publish.branch_changes(spark, table, job.branch) for table in tables}
        for table, change in changes.items():
            marker = publish.commit_marker(spark, table, job.branch, summary, change.snapshot_id)
            changes[table] = change._replace(snapshot_id=marker)
        done = report(run, changes)
        run.operations.put_json(job.report_key, done)
        for table in tables:
            publish.publish(spark, table, job.branch)
    return done
