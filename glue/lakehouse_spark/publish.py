"""Write, audit, publish: a run's branch, its marker commit, and the one commit that makes it visible.

``table`` is always the full name in Spark (``glue_catalog.<database>.<table>``); ``branch`` is a plain
branch name (``words.run_branch(run_id)``). A DataFrame or SQL statement writes to ``branch_table(table,
branch)``. Spark 3.5's SQL MERGE and DELETE cannot carry snapshot summary properties, so the marker is an
empty append made through Iceberg's Java API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from py4j.java_gateway import JavaClass

from lakehouse import words
from lakehouse_spark.errors import BranchLost, NotPublished

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

MAIN = "main"


class Changes(NamedTuple):
    """What a branch holds beside main: its head's snapshot id, rows added and rows deleted."""

    snapshot_id: int
    rows_added: int
    rows_deleted: int


def branch_table(table: str, branch: str) -> str:
    """The name under which Spark reads and writes a branch of a table.

    ``write.wap.enabled`` is never relied on: where it is off, the branch option is ignored in silence.
    """
    return f"{table}.branch_{branch}"


def load_table(spark: SparkSession, table: str) -> Any:
    """Iceberg's own ``Table`` object, as the session's catalog caches it (so both sides see each other's
    commits).
    """
    # By its full name: a walk along the packages asks the JVM at each step for a class that is not there.
    util = JavaClass("org.apache.iceberg.spark.Spark3Util", _jvm(spark)._gateway_client)
    return util.loadIcebergTable(spark._jsparkSession, table)


def create_branch(spark: SparkSession, table: str, branch: str) -> None:
    """Start ``branch`` at main's head. A branch of that name left over from a dead attempt is replaced.

    On a table that has no snapshot yet the branch starts at an empty snapshot of its own.
    """
    iceberg_table = load_table(spark, table)
    head = iceberg_table.currentSnapshot()
    snapshots = iceberg_table.manageSnapshots()
    if iceberg_table.refs().containsKey(branch):
        snapshots = snapshots.removeBranch(branch)
        snapshots.commit()
        snapshots = iceberg_table.manageSnapshots()
    if head is None:
        snapshots.createBranch(branch).commit()
    else:
        snapshots.createBranch(branch, head.snapshotId()).commit()


def drop_branch(spark: SparkSession, table: str, branch: str) -> bool:
    """Remove ``branch`` if it is there; tells whether it was. A writer that comes late can no longer
    commit to it.
    """
    iceberg_table = load_table(spark, table)
    iceberg_table.refresh()
    if not iceberg_table.refs().containsKey(branch):
        return False
    iceberg_table.manageSnapshots().removeBranch(branch).commit()
    return True


def commit_marker(spark: SparkSession, table: str, branch: str, summary: dict[str, str], after: int) -> int:
    """Put the last, empty commit on ``branch``; its snapshot summary carries ``summary``. Returns its
    snapshot id.

    ``after``: the snapshot the run itself left the branch at. Raises ``BranchLost`` when the marker would
    follow, or follows, another one. Iceberg's Java API makes a branch that is gone anew, from main: a run
    whose branch recovery dropped would otherwise publish a marker without its rows.
    """
    if branch_head(spark, table, branch) != after:
        raise BranchLost(f"branch {branch} of {table} is not at the run's own snapshot {after}")
    append = load_table(spark, table).newAppend()
    for key, value in summary.items():
        append = append.set(key, value)
    append.toBranch(branch).commit()
    marker = branch_head(spark, table, branch)
    if load_table(spark, table).snapshot(marker).parentId() != after:
        drop_branch(spark, table, branch)
        raise BranchLost(f"branch {branch} of {table} was dropped while its marker was written")
    return marker


def branch_head(spark: SparkSession, table: str, branch: str) -> int:
    """The snapshot id ``branch`` points to. Raises ``BranchLost`` when there is no such branch."""
    iceberg_table = load_table(spark, table)
    iceberg_table.refresh()  # another thread may have loaded it before the last commit on the branch
    reference = iceberg_table.refs().get(branch)
    if reference is None:
        raise BranchLost(f"{table} has no branch {branch}")
    return int(reference.snapshotId())


def publish(spark: SparkSession, table: str, branch: str) -> int:
    """Fast-forward main to ``branch`` and remove the branch, in one commit; then verify main.

    Returns main's snapshot id. Raises ``NotPublished`` when main is not what the branch was. Iceberg
    itself refuses when main has moved since the branch was made.
    """
    iceberg_table = load_table(spark, table)
    iceberg_table.refresh()
    expected = branch_head(spark, table, branch)
    iceberg_table.manageSnapshots().fastForwardBranch(MAIN, branch).removeBranch(branch).commit()
    iceberg_table.refresh()
    head = iceberg_table.currentSnapshot()
    if head is None or head.snapshotId() != expected or iceberg_table.refs().containsKey(branch):
        raise NotPublished(f"main of {table} is not at snapshot {expected} after publishing {branch}")
    return expected


def published_snapshot(spark: SparkSession, table: str, run_id: str, since_ms: int = 0) -> int | None:
    """The snapshot id on main whose marker names ``run_id``, or None.

    ``since_ms`` (milliseconds since 1970) ends the walk: a marker cannot be older than its run.
    """
    for snapshot in main_history(spark, table):
        if snapshot.summary().get(words.MARKER_RUN) == run_id:
            return int(snapshot.snapshotId())
        if snapshot.timestampMillis() < since_ms:
            return None
    return None


def main_history(spark: SparkSession, table: str) -> Iterator[Any]:
    """Main's snapshots, newest first."""
    iceberg_table = load_table(spark, table)
    snapshot = iceberg_table.currentSnapshot()
    while snapshot is not None:
        yield snapshot
        parent = snapshot.parentId()
        snapshot = None if parent is None else iceberg_table.snapshot(parent)


def branch_changes(spark: SparkSession, table: str, branch: str) -> Changes:
    """What the commits on ``branch`` did since it left main."""
    head = branch_head(spark, table, branch)
    iceberg_table = load_table(spark, table)
    main = iceberg_table.currentSnapshot()
    base = None if main is None else main.snapshotId()
    snapshot = iceberg_table.snapshot(head)
    added = deleted = 0
    while snapshot is not None and snapshot.snapshotId() != base:
        summary = snapshot.summary()
        added += int(summary.getOrDefault("added-records", "0"))
        deleted += int(summary.getOrDefault("deleted-records", "0"))
        deleted += int(summary.getOrDefault("added-position-deletes", "0"))
        parent = snapshot.parentId()
        snapshot = None if parent is None else iceberg_table.snapshot(parent)
    return Changes(head, added, deleted)


def holds_rows(spark: SparkSession, table: str, branch: str = MAIN) -> bool:
    """Whether a branch may hold rows, by its newest snapshot's own count; no data is read."""
    iceberg_table = load_table(spark, table)
    reference = iceberg_table.refs().get(branch)
    if reference is None:
        return False
    summary = iceberg_table.snapshot(reference.snapshotId()).summary()
    return int(summary.getOrDefault("total-records", "0")) > int(
        summary.getOrDefault("total-position-deletes", "0")
    )


def main_summary(spark: SparkSession, table: str, key: str) -> str | None:
    """The value of ``key`` in the newest snapshot of main's history that has it."""
    for snapshot in main_history(spark, table):
        value = snapshot.summary().get(key)
        if value is not None:
            return str(value)
    return None


def main_snapshot_id(spark: SparkSession, table: str) -> int | None:
    """Main's head; None for a table that never had a commit."""
    head = load_table(spark, table).currentSnapshot()
    return None if head is None else int(head.snapshotId())


def _jvm(spark: SparkSession) -> Any:
    jvm = spark._jvm
    if jvm is None:
        raise NotPublished("the Spark session has no JVM")
    return jvm
