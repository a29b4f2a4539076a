"""After a change only the output partitions that it touches are written, and the table is as if made anew."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyspark.sql import SparkSession

from lakehouse.words import ModelPlan
from lakehouse_spark import gold_frame, gold_table, publish
from lakehouse_spark.errors import RefreshFailed
from tests.spark import gold_lake
from tests.spark.gold_lake import (
    CARRIERS,
    DAILY,
    DAILY_PLAN,
    FLIGHTS,
    LAKE,
    MONTHLY,
    MONTHLY_PLAN,
    Run,
    by,
    land,
    model_input,
    plan,
    rows,
    summary,
)

DEPARTURES = LAKE.table("silver", "departures")


@pytest.fixture
def lake(spark: SparkSession) -> SparkSession:
    """Landed, and refreshed once."""
    gold_lake.make(spark)
    land(spark)
    Run(spark, "refresh-1")(DAILY_PLAN, MONTHLY_PLAN)
    return spark


def test_one_more_day_rewrites_one_partition(lake: SparkSession) -> None:
    lake.sql(f"INSERT INTO {FLIGHTS} VALUES (DATE '2013-01-02', 'AA', 9), (DATE '2013-01-02', 'UA', 3)")
    report = Run(lake, "refresh-2")(DAILY_PLAN, MONTHLY_PLAN)
    assert rows(lake, DAILY) == [
        ("2013-01-01", "UA", "United", "2", "10"),
        ("2013-01-02", "AA", "American", "2", "10"),
        ("2013-01-02", "UA", "United", "1", "3"),
        ("2013-02-01", "UA", "United", "1", "2"),
    ]
    daily = report["models"][0]
    assert daily["partitions"] == ["day=2013-01-02"]
    assert (daily["rows_added"], daily["rows_deleted"]) == (2, 1)
    assert summary(lake, DAILY)["changed-partition-count"] == "1"
    assert summary(lake, DAILY)["lakehouse.run-id"] == "refresh-2"
    assert "partitions" not in report["models"][1]
    assert rows(lake, MONTHLY) == [("2013-01-01", "5"), ("2013-02-01", "1")]


def test_a_day_that_lost_its_rows_loses_them_in_gold(lake: SparkSession) -> None:
    lake.sql(f"DELETE FROM {FLIGHTS} WHERE day = DATE '2013-01-02'")
    report = Run(lake, "refresh-2")(DAILY_PLAN)
    assert report["models"][0]["partitions"] == ["day=2013-01-02"]
    assert [row[0] for row in rows(lake, DAILY)] == ["2013-01-01", "2013-02-01"]


def test_a_deletion_by_delete_file_counts(lake: SparkSession) -> None:
    lake.sql(
        f"ALTER TABLE {FLIGHTS} SET TBLPROPERTIES"
        " ('write.delete.mode' = 'merge-on-read', 'write.delete.granularity' = 'file')"
    )
    lake.sql(f"DELETE FROM {FLIGHTS} WHERE day = DATE '2013-01-01' AND delay = 4")
    assert summary(lake, FLIGHTS)["added-delete-files"] == "1"
    report = Run(lake, "refresh-2")(DAILY_PLAN)
    assert report["models"][0]["partitions"] == ["day=2013-01-01"]
    assert rows(lake, DAILY)[0] == ("2013-01-01", "UA", "United", "1", "6")


def test_a_row_that_moved_to_another_day_changes_both(lake: SparkSession) -> None:
    lake.sql(f"UPDATE {FLIGHTS} SET day = DATE '2013-03-01' WHERE day = DATE '2013-02-01'")
    report = Run(lake, "refresh-2")(DAILY_PLAN)
    assert report["models"][0]["partitions"] == ["day=2013-02-01", "day=2013-03-01"]
    assert [row[0] for row in rows(lake, DAILY)] == ["2013-01-01", "2013-01-02", "2013-03-01"]


def test_rows_without_a_day_have_a_partition_too(lake: SparkSession) -> None:
    any_day = plan(
        "any_day",
        "SELECT day, carrier, coalesce(string(day), 'none') AS label, count(*) AS flights"
        " FROM silver__flights GROUP BY day, carrier",
        ["label", "carrier"],
        [model_input("silver", "flights", {"day": "day"})],
        partition_by=by("day", "day"),
    )
    Run(lake, "refresh-2")(any_day)
    lake.sql(f"INSERT INTO {FLIGHTS} VALUES (NULL, 'UA', 1)")
    report = Run(lake, "refresh-3")(any_day)
    assert report["models"][0]["partitions"] == ["day=null"]
    assert ("None", "UA", "none", "1") in rows(lake, LAKE.table("gold", "any_day"))
    lake.sql(f"DELETE FROM {FLIGHTS} WHERE day IS NULL")
    Run(lake, "refresh-4")(any_day)
    assert len(rows(lake, LAKE.table("gold", "any_day"))) == 3


def test_compaction_moves_the_marker_and_no_row(lake: SparkSession) -> None:
    lake.sql(f"INSERT INTO {FLIGHTS} VALUES (DATE '2013-01-01', 'UA', 1)")
    Run(lake, "refresh-2")(DAILY_PLAN)
    compact(lake, FLIGHTS)
    assert summary(lake, FLIGHTS)["added-data-files"] != "0"
    report = Run(lake, "refresh-3")(DAILY_PLAN)
    daily = report["models"][0]
    assert (daily["partitions"], daily["rows_added"], daily["rows_deleted"]) == ([], 0, 0)
    assert Run(lake, "refresh-4")(DAILY_PLAN)["skipped"] == ["daily"]


def test_a_compacted_gold_table_keeps_its_marker(lake: SparkSession) -> None:
    lake.sql(f"INSERT INTO {FLIGHTS} VALUES (DATE '2013-01-01', 'AA', 1)")
    Run(lake, "refresh-2")(DAILY_PLAN)
    lake.sql(f"CALL glue_catalog.system.rewrite_manifests(table => '{LAKE.gold_database}.daily')")
    assert Run(lake, "refresh-3")(DAILY_PLAN)["skipped"] == ["daily"]


def test_a_changed_dimension_recomputes_everything(lake: SparkSession) -> None:
    lake.sql(f"UPDATE {CARRIERS} SET name = 'United Air Lines' WHERE carrier = 'UA'")
    report = Run(lake, "refresh-2")(DAILY_PLAN)
    assert "partitions" not in report["models"][0]
    assert (report["models"][0]["rows_added"], report["models"][0]["rows_deleted"]) == (3, 3)
    assert rows(lake, DAILY)[2] == ("2013-02-01", "UA", "United Air Lines", "1", "2")


def test_lost_history_recomputes_everything(lake: SparkSession) -> None:
    lake.sql(f"INSERT INTO {FLIGHTS} VALUES (DATE '2013-01-02', 'AA', 9)")
    lake.sql(f"INSERT INTO {FLIGHTS} VALUES (DATE '2013-01-03', 'AA', 9)")
    lake.sql(
        f"CALL glue_catalog.system.expire_snapshots(table => '{LAKE.silver_database}.flights',"
        " older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1)"
    )
    report = Run(lake, "refresh-2")(DAILY_PLAN)
    assert "partitions" not in report["models"][0]
    assert len(rows(lake, DAILY)) == 4


def test_a_rollback_recomputes_everything(lake: SparkSession) -> None:
    before = gold_table.head(lake, FLIGHTS)
    lake.sql(f"INSERT INTO {FLIGHTS} VALUES (DATE '2013-01-03', 'AA', 9)")
    Run(lake, "refresh-2")(DAILY_PLAN)
    lake.sql(f"CALL glue_catalog.system.rollback_to_snapshot('{LAKE.silver_database}.flights', {before})")
    report = Run(lake, "refresh-3")(DAILY_PLAN)
    assert "partitions" not in report["models"][0]
    assert len(rows(lake, DAILY)) == 3


def test_a_mapping_that_lies_fails_the_model(lake: SparkSession) -> None:
    liar = plan(
        "liar",
        "SELECT cast(trunc(day, 'MM') AS date) AS month, count(*) AS flights FROM silver__flights GROUP BY 1",
        ["month"],
        [model_input("silver", "flights", {"day": "month"})],
        partition_by=by("month"),
    )
    Run(lake, "refresh-2")(liar)
    table = LAKE.table("gold", "liar")
    before = gold_table.head(lake, table)
    lake.sql(f"INSERT INTO {FLIGHTS} VALUES (DATE '2013-01-02', 'AA', 9)")
    run = Run(lake, "refresh-3")
    with pytest.raises(RefreshFailed):
        run(liar)
    assert run.saved[-1]["failed"] == {"liar": gold_frame.MAPPING_BROKEN}
    assert gold_table.head(lake, table) == before


def test_lookback_recomputes_the_days_after_a_change(lake: SparkSession) -> None:
    rolling = plan(
        "rolling",
        "SELECT day, sum(flights) OVER (ORDER BY day RANGE BETWEEN 2 PRECEDING AND CURRENT ROW)"
        " AS flights FROM (SELECT day, count(*) AS flights FROM silver__flights GROUP BY day)",
        ["day"],
        [model_input("silver", "flights", {"day": "day"}, lookback=2)],
        partition_by=by("day", "day"),
    )
    lake.sql(
        f"INSERT INTO {FLIGHTS} SELECT day, 'UA', 0 FROM"
        " (SELECT explode(sequence(DATE '2013-05-01', DATE '2013-05-08')) AS day)"
    )
    Run(lake, "refresh-2")(rolling)
    lake.sql(f"INSERT INTO {FLIGHTS} VALUES (DATE '2013-05-04', 'AA', 1)")
    report = Run(lake, "refresh-3")(rolling)
    assert report["models"][0]["partitions"] == ["day=2013-05-04", "day=2013-05-05", "day=2013-05-06"]
    table = LAKE.table("gold", "rolling")
    assert [row for row in rows(lake, table) if row[0] >= "2013-05"] == [
        ("2013-05-01", "1"),
        ("2013-05-02", "2"),
        ("2013-05-03", "3"),
        ("2013-05-04", "4"),
        ("2013-05-05", "4"),
        ("2013-05-06", "4"),
        ("2013-05-07", "3"),
        ("2013-05-08", "3"),
    ]


def test_an_instant_falls_on_the_day_of_the_models_timezone(lake: SparkSession) -> None:
    lake.sql(f"CREATE TABLE {DEPARTURES} (at timestamp) USING iceberg PARTITIONED BY (days(at))")
    depart(lake, "2013-01-02 04:59:00Z", "2013-01-05 12:00:00Z")
    local = plan(
        "local",
        "SELECT to_date(at) AS day, count(*) AS flights FROM silver__departures GROUP BY 1",
        ["day"],
        [model_input("silver", "departures", {"at": "day"})],
        partition_by=by("day", "day"),
        timezone="America/New_York",
    )
    Run(lake, "refresh-2")(local)
    table = LAKE.table("gold", "local")
    assert rows(lake, table) == [("2013-01-01", "1"), ("2013-01-05", "1")]
    depart(lake, "2013-01-02 05:00:00Z", "2013-01-02 04:00:00Z")
    report = Run(lake, "refresh-3")(local)
    assert report["models"][0]["partitions"] == ["day=2013-01-01", "day=2013-01-02"]
    assert rows(lake, table) == [("2013-01-01", "2"), ("2013-01-02", "1"), ("2013-01-05", "1")]


def test_two_plain_columns_map_together(lake: SparkSession) -> None:
    trips = LAKE.table("silver", "trips")
    lake.sql(f"CREATE TABLE {trips} (year int, month int, km int) USING iceberg PARTITIONED BY (year, month)")
    lake.sql(f"INSERT INTO {trips} VALUES (2012, 12, 1), (2013, 1, 2), (2013, 12, 3)")
    monthly = plan(
        "trips_monthly",
        "SELECT year, month, sum(km) AS km FROM silver__trips GROUP BY year, month",
        ["year", "month"],
        [model_input("silver", "trips", {"year": "year", "month": "month"})],
        partition_by=[*by("year"), *by("month")],
    )
    Run(lake, "refresh-2")(monthly)
    lake.sql(f"INSERT INTO {trips} VALUES (2012, 12, 10), (2013, 1, 20)")
    report = Run(lake, "refresh-3")(monthly)
    assert report["models"][0]["partitions"] == ["year=2012/month=12", "year=2013/month=1"]
    assert summary(lake, LAKE.table("gold", "trips_monthly"))["deleted-records"] == "2"
    assert rows(lake, LAKE.table("gold", "trips_monthly")) == [
        ("2012", "12", "11"),
        ("2013", "1", "22"),
        ("2013", "12", "3"),
    ]


def test_another_partitioning_moves_all_rows_to_it(lake: SparkSession) -> None:
    other: ModelPlan = {**DAILY_PLAN, "hash": "h2", "partition_by": by("day", "month")}  # type: ignore[typeddict-item]
    Run(lake, "refresh-2")(other)
    partitions = lake.sql(f"SELECT DISTINCT partition.day_month FROM {DAILY}.files").collect()
    assert sorted(row.day_month for row in partitions) == [516, 517]
    lake.sql(f"INSERT INTO {FLIGHTS} VALUES (DATE '2013-02-07', 'AA', 9)")
    report = Run(lake, "refresh-3")(other)
    assert report["models"][0]["partitions"] == ["day=2013-02"]
    assert len(rows(lake, DAILY)) == 4


@pytest.mark.parametrize(
    "point", ["before the write", "before the report", "before publishing", "after publishing"]
)
@pytest.mark.parametrize("again", ["refresh-2", "refresh-3"])
def test_a_run_that_died_is_made_good_by_the_next(
    lake: SparkSession, monkeypatch: pytest.MonkeyPatch, point: str, again: str
) -> None:
    lake.sql(f"INSERT INTO {FLIGHTS} VALUES (DATE '2013-01-02', 'AA', 9)")
    died = Run(lake, "refresh-2")
    with monkeypatch.context() as patch:
        die_at(patch, died, point)
        with pytest.raises(KeyboardInterrupt):
            died(DAILY_PLAN, MONTHLY_PLAN)
    if point != "after publishing":
        assert rows(lake, DAILY)[1] == ("2013-01-02", "AA", "American", "1", "1")
    previous = died.saved[-1] if died.saved and again == "refresh-2" else None
    report = Run(lake, again, previous)(DAILY_PLAN, MONTHLY_PLAN)
    assert rows(lake, DAILY)[1] == ("2013-01-02", "AA", "American", "2", "10")
    assert rows(lake, MONTHLY) == [("2013-01-01", "4"), ("2013-02-01", "1")]
    published = point == "after publishing" and again != "refresh-2"
    assert [each["table"] for each in report["models"]] == (
        ["monthly"] if published else ["daily", "monthly"]
    )
    for each in report["models"]:
        table = LAKE.table("gold", each["table"])
        assert publish.published_snapshot(lake, table, again) == each["snapshot_id"]
        assert each["rows_added"] > 0


def die_at(patch: pytest.MonkeyPatch, run: Run, point: str) -> None:
    def dies(then: Callable[..., object] | None = None) -> Callable[..., None]:
        def die(*arguments: object) -> None:
            if then is not None:
                then(*arguments)
            raise KeyboardInterrupt

        return die

    if point == "before the write":
        patch.setattr(gold_table, "overwrite", dies())
    elif point == "before the report":
        patch.setattr(run.refresh.log, "save", dies())
    elif point == "before publishing":
        patch.setattr(publish, "publish", dies())
    else:
        patch.setattr(publish, "publish", dies(publish.publish))


def test_readers_see_the_old_or_the_new_state(lake: SparkSession) -> None:
    lake.sql(f"INSERT INTO {FLIGHTS} VALUES (DATE '2013-01-02', 'B6', 9)")
    changed: ModelPlan = {**DAILY_PLAN, "hash": "h2"}
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(Run(lake, "refresh-2"), changed)
        seen = []
        while not run.done():
            lake.catalog.refreshTable(DAILY)
            seen.append(len(lake.table(DAILY).collect()))
    lake.catalog.refreshTable(DAILY)
    assert len(rows(lake, DAILY)) == 4
    assert run.result()["models"][0]["rows_added"] == 4
    assert set(seen) <= {3, 4}
    assert 3 in seen


def test_models_of_several_timezones_each_get_their_own_day(lake: SparkSession) -> None:
    lake.sql(f"CREATE TABLE {DEPARTURES} (at timestamp) USING iceberg")
    depart(lake, "2013-01-02 04:00:00Z")
    plans = [
        plan(
            name,
            "SELECT to_date(at) AS day, count(*) AS flights FROM silver__departures GROUP BY 1",
            ["day"],
            [model_input("silver", "departures")],
            timezone=timezone,
        )
        for name, timezone in (("new_york", "America/New_York"), ("utc", "UTC"), ("tokyo", "Asia/Tokyo"))
    ]
    Run(lake, "refresh-2")(*plans)
    days = {each["model"]: rows(lake, LAKE.table("gold", each["model"]))[0][0] for each in plans}
    assert days == {"new_york": "2013-01-01", "utc": "2013-01-02", "tokyo": "2013-01-02"}


def depart(spark: SparkSession, *moments: str) -> None:
    for moment in moments:
        spark.sql(f"INSERT INTO {DEPARTURES} VALUES (TIMESTAMP '{moment}')")


def compact(spark: SparkSession, table: str) -> None:
    name = table.partition(".")[2]
    options = "map('rewrite-all', 'true')"
    spark.sql(f"CALL glue_catalog.system.rewrite_data_files(table => '{name}', options => {options})")
