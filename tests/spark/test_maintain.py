"""Maintenance: many small commits become few files, in order, with the same rows; Gold sees no change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pyiceberg.table.metadata import TableMetadataUtil
from pyspark.sql import SparkSession

from lakehouse import words
from lakehouse.words import MaintenanceManifest
from lakehouse_spark import gold, gold_changes, gold_table, maintain, publish, statistics, write
from lakehouse_spark.errors import JobFailed
from lakehouse_spark.maintain import Job, oldest_kept
from tests.spark.gold_lake import DAILY_PLAN, Run
from tests.spark.lake import FolderObjects

SILVER, GOLD = "files.silver", "files.gold"
RUN = "flights-20130101T000000000Z-00000001"
COLUMNS = {"month": "int", "flight": "int", **write.SYSTEM_TYPES}
BY_MONTH: list[words.PartitionField] = [{"column": "month", "transform": "identity"}]


@pytest.fixture(scope="module")
def files(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The session with a second catalog, on local files: orphans are looked for where files can be listed."""
    warehouse = tmp_path_factory.mktemp("files")
    spark.conf.set("spark.sql.catalog.files", "org.apache.iceberg.spark.SparkCatalog")
    spark.conf.set("spark.sql.catalog.files.type", "hadoop")
    spark.conf.set("spark.sql.catalog.files.warehouse", str(warehouse))
    for database in (SILVER, GOLD):
        spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {database}")
    yield spark
    for name in ("", ".type", ".warehouse"):
        spark.conf.unset(f"spark.sql.catalog.files{name}")


@pytest.fixture
def table(files: SparkSession) -> Iterator[str]:
    """``flights``, as Silver makes it, in two partitions."""
    write.create_table(files, f"{SILVER}.flights", COLUMNS, BY_MONTH)
    yield f"{SILVER}.flights"
    files.sql(f"DROP TABLE IF EXISTS {SILVER}.flights PURGE")
    files.sql(f"DROP TABLE IF EXISTS {SILVER}.flights__quarantine PURGE")


def put(spark: SparkSession, table: str, month: int, *flights: int) -> None:
    """One commit with one file; the older the source, the later it is written."""
    rows = ", ".join(
        f"({month}, {flight}, '{9999 - flight}', {flight}, 0, 'r', TIMESTAMP '2013-01-01')"
        for flight in flights
    )
    spark.sql(f"INSERT INTO {table} VALUES {rows}")


def rows(spark: SparkSession, table: str) -> list[tuple[int, int]]:
    return sorted((row.month, row.flight) for row in spark.table(table).collect())


def count(spark: SparkSession, table: str) -> int:
    return int(spark.table(f"{table}.files").count())


def history(spark: SparkSession, table: str) -> list[dict[str, str]]:
    """The summaries of main's snapshots, newest first, with the operation among them."""
    return [
        {**dict(snapshot.summary()), "operation": snapshot.operation()}
        for snapshot in publish.main_history(spark, table)
    ]


def manifest(*tables: str, **changes: Any) -> MaintenanceManifest:
    base: dict[str, Any] = {
        "run_id": RUN,
        "assets_prefix": "assets/abc/",
        "layer": "silver",
        "tables": list(tables),
        "target_file_bytes": 256 * 1024**2,
        "min_input_files": 2,
        "retention_days": 7,
        "min_snapshots": 1,
        "orphan_days": 3,
        "statistics_bytes": 64 * 1024**3,
    }
    return {**base, **changes}  # type: ignore[typeddict-item]


class Catalog:
    """Where query engines look: the tables whose statistics they were told to use, each time."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def use_statistics(self, table: str) -> None:
        self.told.append(table)


def job(as_of: datetime | None = None, run_id: str = RUN) -> Job:
    databases = {"silver": SILVER, "gold": GOLD}
    now = as_of or datetime.now(UTC)
    return Job(run_id, "run/manifest.json", "run/report.json", databases, now, Catalog())


def maintained(
    spark: SparkSession, table: str, as_of: datetime | None = None, run_id: str = RUN, **changes: Any
) -> Any:
    name = table.rpartition(".")[2]
    return maintain.maintain_table(spark, table, job(as_of, run_id), manifest(name, **changes))


# --- joining files ------------------------------------------------------------------------------


def test_many_small_commits_become_one_ordered_file_for_each_partition(
    files: SparkSession, table: str
) -> None:
    for flight in range(6):
        put(files, table, 1, flight, 50 + flight)
        put(files, table, 2, 100 + flight)
    files.sql(f"DELETE FROM {table} WHERE flight = 3")
    before = rows(files, table)
    assert len(before) == 17
    assert count(files, table) == 13
    done = maintained(files, table)
    assert rows(files, table) == before
    assert (done["table"], done["files_after"], count(files, table)) == ("flights", 2, 2)
    assert done["files_before"] == 13
    assert done["bytes_after"] < done["bytes_before"]
    for path in [row.file_path for row in files.table(f"{table}.files").collect()]:
        written = [row[words.SOURCE_VERSION_ID] for row in files.read.parquet(path).collect()]
        assert written == sorted(written)
        assert len(written) in {6, 11}


def test_the_newest_commit_says_by_which_run_and_only_replaces(files: SparkSession, table: str) -> None:
    put(files, table, 1, 1)
    put(files, table, 1, 2)
    known = len(history(files, table))
    maintained(files, table)
    new = history(files, table)[:-known]
    assert [each["operation"] for each in new] == ["replace"]
    assert new[0][words.MARKER_RUN] == new[0][words.MARKER_MAINTENANCE] == RUN


def test_deletes_folded_in_leave_the_marker_on_top_and_no_file_of_deletes(
    files: SparkSession, table: str
) -> None:
    put(files, table, 1, 1, 2, 3)
    files.sql(f"DELETE FROM {table} WHERE flight = 2")
    known = len(history(files, table))
    maintained(files, table)
    new = history(files, table)[:-known]
    assert {each["operation"] for each in new[1:]} <= {"replace"}
    assert new[0][words.MARKER_MAINTENANCE] == RUN
    assert files.table(f"{table}.delete_files").count() == 0
    assert rows(files, table) == [(1, 1), (1, 3)]


def test_a_table_that_needs_nothing_gets_a_marker_and_keeps_its_file(files: SparkSession, table: str) -> None:
    put(files, table, 1, 1)
    kept = {row.file_path for row in files.table(f"{table}.files").collect()}
    done = maintained(files, table)
    assert (done["files_before"], done["files_after"]) == (1, 1)
    assert {row.file_path for row in files.table(f"{table}.files").collect()} == kept
    assert history(files, table)[0][words.MARKER_MAINTENANCE] == RUN
    assert "added-data-files" not in history(files, table)[0]


def test_a_table_without_a_commit_stays_so(files: SparkSession, table: str) -> None:
    done = maintained(files, table)
    assert (done["files_before"], done["files_after"], history(files, table)) == (0, 0, [])


# --- Gold sees no change ------------------------------------------------------------------------


def test_no_partition_changed_between_before_and_after(files: SparkSession, table: str) -> None:
    put(files, table, 1, 1)
    put(files, table, 2, 2)
    put(files, table, 1, 3)
    files.sql(f"DELETE FROM {table} WHERE flight = 3")
    before = publish.main_snapshot_id(files, table)
    maintained(files, table)
    after = publish.main_snapshot_id(files, table)
    assert before is not None
    assert after is not None
    assert after != before
    iceberg_table = publish.load_table(files, table)
    assert gold_changes.changed_partitions(iceberg_table, before, after) == frozenset()


def test_a_model_is_not_made_again_because_its_inputs_or_its_own_table_were_maintained(
    files: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when every snapshot but the newest is gone from both."""
    monkeypatch.setattr(words, "CATALOG", "files")
    lake = gold.Lake("silver", "gold")
    monkeypatch.setattr("tests.spark.gold_lake.LAKE", lake)
    names = {"flights": lake.table("silver", "flights"), "carriers": lake.table("silver", "carriers")}
    files.sql(
        f"CREATE TABLE {names['flights']} (day date, carrier string, delay int) USING iceberg PARTITIONED BY (day)"
    )
    files.sql(f"CREATE TABLE {names['carriers']} (carrier string, name string) USING iceberg")
    files.sql(f"INSERT INTO {names['carriers']} VALUES ('UA', 'United')")
    for day in (1, 2):
        files.sql(f"INSERT INTO {names['flights']} VALUES (DATE '2013-01-0{day}', 'UA', 4)")
        files.sql(f"INSERT INTO {names['flights']} VALUES (DATE '2013-01-0{day}', 'UA', 6)")
    Run(files, "refresh-1")(DAILY_PLAN)
    daily = lake.table("gold", "daily")
    made = {row.file_path for row in files.table(f"{daily}.files").collect()}
    newest = gold_table.newest_marker(files, daily)
    late = datetime.now(UTC) + timedelta(days=30)
    for table in (*names.values(), daily):
        maintained(files, table, late, min_input_files=5)
    carried = gold_table.newest_marker(files, daily)
    assert newest is not None
    assert carried is not None
    assert (carried.inputs, carried.model_hash) == (newest.inputs, newest.model_hash)
    assert (carried.run_id, carried.snapshot_id) == (RUN, publish.main_snapshot_id(files, daily))
    report = Run(files, "refresh-2")(DAILY_PLAN)
    assert (report["models"][0]["rows_added"], report["models"][0]["partitions"]) == (0, [])
    assert {row.file_path for row in files.table(f"{daily}.files").collect()} == made
    assert Run(files, "refresh-3")(DAILY_PLAN)["skipped"] == ["daily"]
    for table in (*names.values(), daily):
        files.sql(f"DROP TABLE {table} PURGE")


# --- branches, snapshots, orphans ---------------------------------------------------------------


def test_branches_of_runs_are_dropped_and_others_kept(files: SparkSession, table: str) -> None:
    put(files, table, 1, 1)
    for branch in ("run_flights_1", "run_flights_2", "mine"):
        files.sql(f"ALTER TABLE {table} CREATE BRANCH {branch}")
    assert maintained(files, table)["branches_dropped"] == 2
    assert sorted(row.name for row in files.table(f"{table}.refs").collect()) == ["main", "mine"]


@pytest.mark.parametrize(
    ("times", "since", "min_snapshots", "kept"),
    [
        ([], 50, 1, None),
        ([90], 95, 1, None),
        ([90, 60, 40, 20], 50, 1, 40),
        ([90, 60, 50, 20], 50, 1, 50),
        ([90, 60, 40, 20], 95, 1, 90),
        ([90, 60, 40, 20], 95, 3, 40),
        ([90, 60, 40, 20], 95, 4, None),
        ([90, 60, 40, 20], 95, 9, None),
        ([90, 60, 40, 20], 10, 1, None),
        ([90, 60, 40, 20], 20, 1, None),
    ],
)
def test_kept_is_what_was_the_head_at_any_moment_of_the_retention(
    times: list[int], since: int, min_snapshots: int, kept: int | None
) -> None:
    assert oldest_kept(times, since, min_snapshots) == kept


def test_a_month_later_old_snapshots_are_gone_and_the_rows_are_not(files: SparkSession, table: str) -> None:
    for flight in range(5):
        put(files, table, 1, flight)
    maintained(files, table)
    assert len(history(files, table)) == 6
    late = datetime.now(UTC) + timedelta(days=30)
    done = maintained(files, table, late)
    assert done["snapshots_expired"] == 5
    assert len(history(files, table)) == 1  # the same run again: its marker is on top already
    assert len(rows(files, table)) == 5
    data = Path(urlsplit(publish.load_table(files, table).location()).path) / "data"
    assert len(list(data.rglob("*.parquet"))) == 1


def test_the_group_that_a_snapshot_table_holds_outlives_the_commit_that_brought_it(
    files: SparkSession, table: str
) -> None:
    held = '{"group": "2013-02", "order": "20130201T000000Z"}'
    put(files, table, 1, 1)
    publish.load_table(files, table).newAppend().set(words.MARKER_GROUP, held).commit()
    for _ in range(2):
        maintained(files, table, datetime.now(UTC) + timedelta(days=30))
    assert all(words.MARKER_MAINTENANCE in each for each in history(files, table))
    assert publish.main_summary(files, table, words.MARKER_GROUP) == held


def test_inside_the_retention_any_moment_can_be_read(files: SparkSession, table: str) -> None:
    for flight in range(4):
        put(files, table, 1, flight)
    moments = [(each.committed_at, each.snapshot_id) for each in files.table(f"{table}.snapshots").collect()]
    done = maintained(files, table)
    assert done["snapshots_expired"] == 0
    for seen, (_, snapshot_id) in enumerate(sorted(moments), start=1):
        assert gold_table.read_at(files, table, snapshot_id).count() == seen


def test_after_fifty_small_commits_one_file_is_left_and_the_retention_can_be_read(
    files: SparkSession, table: str
) -> None:
    for flight in range(50):
        put(files, table, 1, flight)
    moments = [
        (int(snapshot.timestampMillis()), int(snapshot.snapshotId()))
        for snapshot in publish.main_history(files, table)
    ][::-1]
    fortieth = datetime.fromtimestamp(moments[39][0] / 1000, UTC)
    done = maintained(files, table, fortieth + timedelta(days=7))
    assert (done["files_before"], done["files_after"], count(files, table)) == (50, 1, 1)
    assert rows(files, table) == [(1, flight) for flight in range(50)]
    assert done["snapshots_expired"] == 39
    for seen, (_, snapshot_id) in list(enumerate(moments, start=1))[39:]:
        assert gold_table.read_at(files, table, snapshot_id).count() == seen
    kept = {row.snapshot_id for row in files.table(f"{table}.snapshots").collect()}
    assert not kept & {snapshot_id for _, snapshot_id in moments[:39]}


def test_only_old_files_that_no_snapshot_knows_are_removed_and_none_of_the_neighbour(
    files: SparkSession, table: str
) -> None:
    put(files, table, 1, 1)
    write.create_table(files, f"{table}__quarantine", COLUMNS, BY_MONTH)
    put(files, f"{table}__quarantine", 1, 1)
    places = [
        Path(urlsplit(publish.load_table(files, each).location()).path) / "data" / "orphan.parquet"
        for each in (table, f"{table}__quarantine")
    ]
    for place in places:
        place.write_bytes(b"left behind")
    assert maintained(files, table)["orphans_removed"] == 0
    in_four_days = datetime.now(UTC) + timedelta(days=4)
    assert maintained(files, table, in_four_days)["orphans_removed"] == 1
    assert [place.exists() for place in places] == [False, True]
    assert rows(files, table) == rows(files, f"{table}__quarantine") == [(1, 1)]


# --- statistics ---------------------------------------------------------------------------------


def different_values(spark: SparkSession, table: str) -> list[dict[int, str]]:
    """What the statistics files that the table names say: for each snapshot, different values by column id."""
    found = publish.load_table(spark, table)
    found.refresh()
    files = [file for file in found.statisticsFiles() if Path(urlsplit(file.path()).path).exists()]
    return [
        {int(blob.fields()[0]): str(blob.properties()["ndv"]) for blob in file.blobMetadata()}
        for file in files
    ]


def statistics_files(spark: SparkSession, table: str) -> list[Path]:
    """The files on disk."""
    place = Path(urlsplit(publish.load_table(spark, table).location()).path)
    return sorted((place / "metadata").glob("*.stats"))


def test_the_different_values_of_the_datas_own_columns_are_counted(files: SparkSession, table: str) -> None:
    put(files, table, 1, 1, 2, 3)
    put(files, table, 2, 3, 4)
    files.sql(f"DELETE FROM {table} WHERE flight = 1")
    known = len(history(files, table))
    assert maintained(files, table)["columns_counted"] == 2
    assert different_values(files, table) == [{1: "2", 2: "3"}]
    assert history(files, table)[0][words.MARKER_MAINTENANCE] == RUN
    assert {each["operation"] for each in history(files, table)[:-known]} <= {"replace", "append"}
    [counted] = publish.load_table(files, table).statisticsFiles()
    assert counted.snapshotId() == publish.main_snapshot_id(files, table)
    assert rows(files, table) == [(1, 2), (1, 3), (2, 3), (2, 4)]


def test_columns_are_counted_again_once_rows_have_changed_and_not_before(
    files: SparkSession, table: str
) -> None:
    put(files, table, 1, 1)
    put(files, table, 1, 2)
    counted = [maintained(files, table, run_id=run)["columns_counted"] for run in ("a", "b")]
    put(files, table, 1, 3)
    counted += [maintained(files, table, run_id="c")["columns_counted"]]
    files.sql(f"DELETE FROM {table} WHERE flight > 1")
    counted += [maintained(files, table, run_id="d")["columns_counted"]]
    assert counted == [2, 0, 2, 2]
    assert sorted(each[2] for each in different_values(files, table)) == ["1", "2", "3"]


def test_a_table_that_is_too_large_and_one_without_rows_are_not_counted(
    files: SparkSession, table: str
) -> None:
    assert maintained(files, table)["columns_counted"] == 0
    put(files, table, 1, 1)
    done = maintained(files, table, statistics_bytes=1)
    assert (done["columns_counted"], statistics_files(files, table)) == (0, [])
    assert maintained(files, table, statistics_bytes=done["bytes_after"])["columns_counted"] == 2


def test_quarantine_has_no_column_that_anybody_joins_by(files: SparkSession, table: str) -> None:
    quarantine = f"{table}__quarantine"
    write.create_table(files, quarantine, write.QUARANTINE_TYPES)
    files.sql(
        f"INSERT INTO {quarantine} VALUES ('k', 'raw', array('r'), 'v', 1, 0, 'r', TIMESTAMP '2013-01-01')"
    )
    assert maintained(files, quarantine)["columns_counted"] == 0


def test_every_type_of_a_contract_is_counted_and_nested_values_are_not(
    files: SparkSession, table: str
) -> None:
    values = {
        "a": "1", "b": "CAST(1 AS bigint)", "c": "CAST(1 AS float)", "d": "CAST(1 AS double)", "e": "true",
        "f": "CAST(1.50 AS decimal(20,2))", "g": "'x'", "h": "DATE '2013-01-01'", "i": "TIMESTAMP '2013-01-01'",
        "j": "TIMESTAMP_NTZ '2013-01-01'", "k": "CAST(NULL AS string)", "l": "X'00'",
        "m": "array(1)", "n": "named_struct('x', 1)", "o": "map('x', 1)",
    }  # fmt: skip
    chosen = ", ".join(f"{value} AS {name}" for name, value in values.items())
    files.sql(f"CREATE TABLE {SILVER}.types USING iceberg AS SELECT {chosen}")
    assert maintained(files, f"{SILVER}.types")["columns_counted"] == 12
    [counted] = different_values(files, f"{SILVER}.types")
    assert list(counted.values()) == ["1"] * 10 + ["0", "1"]
    files.sql(f"DROP TABLE {SILVER}.types PURGE")


def test_statistics_go_with_their_snapshot_and_those_in_use_are_no_orphans(
    files: SparkSession, table: str
) -> None:
    put(files, table, 1, 1)
    maintained(files, table)
    put(files, table, 1, 2)
    in_four_days = datetime.now(UTC) + timedelta(days=4)
    maintained(files, table, in_four_days)
    assert len(statistics_files(files, table)) == len(different_values(files, table)) == 2
    left = statistics_files(files, table)[0].with_name("left-behind.stats")
    left.write_bytes(b"of a run that died before its commit")
    late = datetime.now(UTC) + timedelta(days=30)
    assert maintained(files, table, late, run_id="late")["columns_counted"] == 0
    assert len(statistics_files(files, table)) == 1
    assert different_values(files, table) == [{1: "1", 2: "2"}]
    assert rows(files, table) == [(1, 1), (1, 2)]


def test_once_the_counted_snapshot_has_expired_columns_are_counted_again(
    files: SparkSession, table: str
) -> None:
    put(files, table, 1, 1)
    maintained(files, table, run_id="a")
    maintained(files, table, run_id="b")
    late = datetime.now(UTC) + timedelta(days=30)
    done = maintained(files, table, late, run_id="c")
    assert (done["snapshots_expired"], done["columns_counted"]) == (2, 2)
    assert len(statistics_files(files, table)) == 1


def test_pyiceberg_reads_a_table_with_statistics(files: SparkSession, table: str) -> None:
    """Recovery and the asking for maintenance look at tables with it."""
    put(files, table, 1, 1)
    maintained(files, table)
    place = Path(urlsplit(publish.load_table(files, table).location()).path)
    newest = max((place / "metadata").glob("*.metadata.json"), key=lambda path: path.stat().st_mtime_ns)
    metadata = TableMetadataUtil.parse_raw(newest.read_text())
    assert [each.snapshot_id for each in metadata.statistics] == [metadata.current_snapshot_id]


@pytest.mark.parametrize(
    ("commits", "counted", "due"),
    [
        ([], {1}, True),
        ([(3, True), (2, False)], {2}, True),
        ([(3, False), (2, False), (1, True)], {2}, False),
        ([(3, False), (2, True), (1, True)], {1}, True),
        ([(3, False), (2, False)], {1}, True),
        ([(3, True)], {3}, False),
    ],
)
def test_due_is_what_changed_after_the_last_count(
    commits: list[tuple[int, bool]], counted: set[int], due: bool
) -> None:
    assert statistics.is_due([statistics.Commit(*each) for each in commits], counted) is due


# --- a run --------------------------------------------------------------------------------------


def test_a_table_that_fails_leaves_the_others_alone_and_fails_the_run(
    files: SparkSession, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(files, table, 1, 1)
    put(files, table, 1, 2)
    write.create_table(files, f"{table}__quarantine", COLUMNS, BY_MONTH)
    put(files, f"{table}__quarantine", 1, 1)
    for row in files.table(f"{table}__quarantine.manifests").collect():
        Path(urlsplit(row.path).path).unlink()
    operations = FolderObjects(tmp_path)
    operations.put_json("run/manifest.json", manifest("flights__quarantine", "flights", "not_there"))
    with pytest.raises(JobFailed, match="flights__quarantine"):
        maintain.maintain(files, job(), operations)
    report = operations.get_json("run/report.json")
    assert [each["table"] for each in report["tables"]] == ["flights"]
    assert list(report["failed"]) == ["flights__quarantine"]
    assert count(files, table) == 1
    failure = operations.get_json("run/failure.json")
    assert (failure["error"], failure["run_id"]) == ("MaintenanceFailed", RUN)


def test_a_run_reports_what_it_did_to_each_table(files: SparkSession, table: str, tmp_path: Path) -> None:
    put(files, table, 1, 1)
    put(files, table, 1, 2)
    operations = FolderObjects(tmp_path)
    operations.put_json("run/manifest.json", manifest("flights", "flights__quarantine"))
    write.create_table(files, f"{table}__quarantine", COLUMNS, BY_MONTH)
    catalog = Catalog()
    report = maintain.maintain(files, replace(job(), catalog=catalog), operations)
    assert operations.get_json("run/report.json") == report
    done, empty = report["tables"]
    assert (done["table"], done["files_before"], done["files_after"]) == ("flights", 2, 1)
    assert (empty["table"], empty["columns_counted"]) == ("flights__quarantine", 0)
    assert report["failed"] == {}
    assert catalog.told == [table]
