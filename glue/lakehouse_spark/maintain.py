"""Maintain the tables of one writer: drop dead branches, expire snapshots, join small files, remove orphans,
count the columns' values.

The run holds the writer's lease, so nobody else commits to the tables. Every step leaves the rows as they are
and is one commit or none, so a run may end anywhere. A table that fails leaves the others alone; the run then
fails as a whole. The last commit on each table is a marker: what was committed before it has been looked at.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from py4j.java_gateway import JavaClass
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from lakehouse import words
from lakehouse_spark import gold_table, publish, statistics
from lakehouse_spark.errors import JobError, MaintenanceFailed
from lakehouse_spark.failure import failure_of, told

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.words import MaintainedTable, MaintenanceManifest, MaintenanceReport
    from lakehouse_spark.objects import Objects

RUN_BRANCHES: Final = words.run_branch("")
"""What the name of every run's branch begins with."""
CARRIED: Final = (words.MARKER_INPUTS, words.MARKER_MODEL_HASH, words.MARKER_GROUP)
"""What a table says of how it was made stands in the newest commit, or expiry would take it away."""


@dataclass(frozen=True)
class Job:
    """A run's arguments. The keys lie in the operations bucket.

    ``databases``: by layer, the full name in Spark (``glue_catalog.<database>``).
    """

    run_id: str
    manifest_key: str
    report_key: str
    databases: Mapping[str, str]
    as_of: datetime
    catalog: statistics.Catalog


@dataclass(frozen=True)
class State:
    """What main holds by its newest snapshot's own counts: data and delete files, and their bytes."""

    files: int
    size_bytes: int


def maintain(spark: SparkSession, job: Job, operations: Objects) -> MaintenanceReport:
    """Maintain the tables of a manifest; returns the report, which also lies at ``job.report_key``.

    When it fails, ``failure.json`` lies beside the report, and ``JobFailed`` is raised: it names no value.
    """
    try:
        report = _maintain_all(spark, job, operations.get_json(job.manifest_key))
        operations.put_json(job.report_key, report)
        _require_all(report)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is written down, and raised without its values
        raise told(operations, job.report_key, job.run_id, "maintain", error) from None
    return report


def _require_all(report: MaintenanceReport) -> None:
    if report["failed"]:
        reasons = (f"{table}: {why}" for table, why in sorted(report["failed"].items()))
        raise MaintenanceFailed("; ".join(reasons))


def _maintain_all(spark: SparkSession, job: Job, manifest: MaintenanceManifest) -> MaintenanceReport:
    started = time.monotonic()
    done: list[MaintainedTable] = []
    failed: dict[str, str] = {}
    for name in manifest["tables"]:
        table = f"{job.databases[manifest['layer']]}.{name}"
        try:
            if gold_table.exists(spark, table):
                done.append(maintain_table(spark, table, job, manifest))
        except (JobError, PySparkException, Py4JError, ClientError, BotoCoreError) as error:
            failed[name] = failure_of(job.run_id, "maintain", error)["message"]
    seconds = round(time.monotonic() - started, 3)
    return {"run_id": job.run_id, "tables": done, "failed": failed, "seconds": seconds}


def maintain_table(
    spark: SparkSession, table: str, job: Job, manifest: MaintenanceManifest
) -> MaintainedTable:
    """All steps on one table, ``table`` being its full name in Spark.

    Snapshots go before files are joined: what the joining replaces is then still read by whoever began
    before it.
    """
    started = time.monotonic()
    iceberg_table = publish.load_table(spark, table)
    iceberg_table.refresh()
    before = state(iceberg_table)
    branches = drop_run_branches(iceberg_table)
    expired = expire(spark, table, job.as_of, manifest["retention_days"], manifest["min_snapshots"])
    compact(spark, table, manifest, marker(spark, table, job.run_id))
    older_than = job.as_of - timedelta(days=manifest["orphan_days"])
    orphans = remove_orphans(spark, iceberg_table, older_than)
    counted = statistics.compute(spark, table, manifest["statistics_bytes"])
    iceberg_table.refresh()
    if statistics.known(iceberg_table):
        job.catalog.use_statistics(table)
    after = state(iceberg_table)
    return {
        "table": table.rpartition(".")[2],
        "files_before": before.files,
        "files_after": after.files,
        "bytes_before": before.size_bytes,
        "bytes_after": after.size_bytes,
        "branches_dropped": branches,
        "snapshots_expired": expired,
        "orphans_removed": orphans,
        "columns_counted": counted,
        "seconds": round(time.monotonic() - started, 3),
    }


def state(iceberg_table: Any) -> State:
    """What main holds now."""
    snapshot = iceberg_table.currentSnapshot()
    if snapshot is None:
        return State(0, 0)
    counts = snapshot.summary()
    files = (int(counts.getOrDefault(f"total-{kind}-files", "0")) for kind in ("data", "delete"))
    return State(sum(files), int(counts.getOrDefault("total-files-size", "0")))


# --- Branches and snapshots ----------------------------------------------------------------------


def drop_run_branches(iceberg_table: Any) -> int:
    """Remove the branches of runs, all of which have ended: under the lease nobody else is at work."""
    names = [str(name) for name in iceberg_table.refs() if str(name).startswith(RUN_BRANCHES)]
    if names:
        snapshots = iceberg_table.manageSnapshots()
        for name in names:
            snapshots = snapshots.removeBranch(name)
        snapshots.commit()
    return len(names)


def expire(spark: SparkSession, table: str, as_of: datetime, retention_days: int, min_snapshots: int) -> int:
    """Expire the snapshots that no moment of the retention needs, with the files only they hold.

    Returns how many went.
    """
    iceberg_table = publish.load_table(spark, table)
    iceberg_table.refresh()
    times = [int(snapshot.timestampMillis()) for snapshot in publish.main_history(spark, table)]
    oldest = oldest_kept(times, _milliseconds(as_of - timedelta(days=retention_days)), min_snapshots)
    if oldest is None:
        return 0
    count = iceberg_table.snapshots
    before = sum(1 for _ in _each(count()))
    iceberg_table.expireSnapshots().expireOlderThan(oldest).retainLast(min_snapshots).commit()
    iceberg_table.refresh()
    return before - sum(1 for _ in _each(count()))


def oldest_kept(times: Sequence[int], since: int, min_snapshots: int) -> int | None:
    """The time of the oldest snapshot to keep, or None if all are kept.

    ``times`` are those of main's snapshots, newest first, in milliseconds since 1970 like ``since``. Kept are
    the newest ``min_snapshots``, all from ``since`` on, and the one that was main's head at ``since``: until
    the next one came, queries and refreshes began to read it.
    """
    at_since = next((at for at, moment in enumerate(times) if moment <= since), len(times) - 1)
    last = max(at_since, min_snapshots - 1)
    return times[last] if last < len(times) - 1 else None


# --- Files -----------------------------------------------------------------------------------------


def marker(spark: SparkSession, table: str, run_id: str) -> dict[str, str]:
    """The summary of maintenance's commits on a table. What a table was made from is carried on."""
    carried = {key: publish.main_summary(spark, table, key) for key in CARRIED}
    own = {words.MARKER_RUN: run_id, words.MARKER_MAINTENANCE: run_id}
    return own | {key: value for key, value in carried.items() if value is not None}


def compact(
    spark: SparkSession, table: str, manifest: MaintenanceManifest, summary: Mapping[str, str]
) -> None:
    """Join small files and fold deletes in, in the table's own order, in one commit that carries ``summary``.

    Where that was not main's last commit, an empty one carries it.
    """
    iceberg_table = publish.load_table(spark, table)
    iceberg_table.refresh()
    if iceberg_table.currentSnapshot() is None:
        return
    options = {
        "target-file-size-bytes": str(manifest["target_file_bytes"]),
        "min-input-files": str(manifest["min_input_files"]),
        "delete-file-threshold": "1",
        "remove-dangling-deletes": "true",
        # The new files are younger than the deletes folded into them, so that these can be removed. The older
        # number is for those who delete rows meanwhile, and nobody does.
        "use-starting-sequence-number": "false",
    }
    action = _actions(spark).rewriteDataFiles(iceberg_table)
    for key, value in options.items():
        action = action.option(key, value)
    for key, value in summary.items():
        action = action.snapshotProperty(key, value)
    (action.binPack() if iceberg_table.sortOrder().isUnsorted() else action.sort()).execute()
    iceberg_table.refresh()
    if iceberg_table.currentSnapshot().summary().get(words.MARKER_MAINTENANCE) != summary[words.MARKER_RUN]:
        append = iceberg_table.newAppend()
        for key, value in summary.items():
            append = append.set(key, value)
        append.commit()


def remove_orphans(spark: SparkSession, iceberg_table: Any, older_than: datetime) -> int:
    """Remove the files at the table's location that no snapshot knows and that are older than a moment.

    Returns how many went. The listing is Iceberg's own, below the location with a slash at its end, so that
    a table whose name only begins like this one's is never looked at.
    """
    action = _actions(spark).deleteOrphanFiles(iceberg_table).usePrefixListing(True)
    result = action.olderThan(_milliseconds(older_than)).execute()
    return sum(1 for _ in _each(result.orphanFileLocations()))


# --- Java --------------------------------------------------------------------------------------------


def _actions(spark: SparkSession) -> Any:
    """Iceberg's actions. By its full name, as in ``publish.load_table``."""
    jvm: Any = spark._jvm
    actions = JavaClass("org.apache.iceberg.spark.actions.SparkActions", jvm._gateway_client)
    return actions.get(spark._jsparkSession)


def _each(iterable: Any) -> Iterator[Any]:
    iterator = iterable.iterator()
    while iterator.hasNext():
        yield iterator.next()


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
