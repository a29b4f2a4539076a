"""A refresh run: what it makes, publishes, reports and skips."""

from __future__ import annotations

from dataclasses import replace

import pytest
from botocore.exceptions import ClientError
from pyspark.sql import SparkSession

from lakehouse.governing import NotGoverned
from lakehouse.words import GovernancePlan, TableAccess
from lakehouse_spark import gold_frame, gold_table, publish
from lakehouse_spark.errors import JobFailed, RefreshFailed
from lakehouse_spark.failure import failure_of
from lakehouse_spark.governed import Governed
from tests.spark import gold_lake
from tests.spark.gold_lake import (
    CARRIERS,
    DAILY,
    DAILY_PLAN,
    FLIGHTS,
    LAKE,
    MONTHLY,
    MONTHLY_PLAN,
    FakeOperations,
    Run,
    land,
    model_input,
    plan,
    refresh,
    rows,
)


@pytest.fixture
def lake(spark: SparkSession) -> SparkSession:
    gold_lake.make(spark)
    return spark


def test_a_first_run_makes_the_tables(lake: SparkSession) -> None:
    land(lake)
    report = Run(lake, "refresh-1")(DAILY_PLAN, MONTHLY_PLAN)
    assert rows(lake, DAILY) == [
        ("2013-01-01", "UA", "United", "2", "10"),
        ("2013-01-02", "AA", "American", "1", "1"),
        ("2013-02-01", "UA", "United", "1", "2"),
    ]
    assert rows(lake, MONTHLY) == [("2013-01-01", "3"), ("2013-02-01", "1")]
    daily, monthly = report["models"]
    assert (daily["table"], daily["rows_added"], daily["rows_deleted"]) == ("daily", 3, 0)
    assert daily["snapshot_id"] == gold_table.head(lake, DAILY)
    assert daily["columns"][:2] == [{"name": "day", "type": "date"}, {"name": "carrier", "type": "string"}]
    assert daily["inputs"] == {
        "silver.flights": gold_table.head(lake, FLIGHTS),
        "silver.carriers": gold_table.head(lake, CARRIERS),
    }
    assert monthly["inputs"] == {"gold.daily": daily["snapshot_id"]}
    assert report["skipped"] == []
    assert report["failed"] == {}


def test_a_new_table_is_never_seen_empty(lake: SparkSession) -> None:
    land(lake)
    Run(lake, "refresh-1")(DAILY_PLAN)
    history = lake.table(f"{DAILY}.history").collect()
    assert len(history) == 1
    marker = gold_table.newest_marker(lake, DAILY)
    assert marker is not None
    assert (marker.run_id, marker.model_hash) == ("refresh-1", "h1")
    properties = {row.key: row.value for row in lake.sql(f"SHOW TBLPROPERTIES {DAILY}").collect()}
    assert properties["format-version"] == "2"
    assert properties["write.parquet.compression-codec"] == "zstd"


def test_nothing_changed_nothing_done(lake: SparkSession) -> None:
    land(lake)
    Run(lake, "refresh-1")(DAILY_PLAN, MONTHLY_PLAN)
    before = gold_table.head(lake, DAILY)
    report = Run(lake, "refresh-2")(DAILY_PLAN, MONTHLY_PLAN)
    assert report["models"] == []
    assert report["skipped"] == ["daily", "monthly"]
    assert gold_table.head(lake, DAILY) == before


def test_a_model_waits_for_an_input_that_has_not_landed(lake: SparkSession) -> None:
    lake.sql(f"INSERT INTO {FLIGHTS} VALUES (DATE '2013-01-01', 'UA', 4)")
    report = Run(lake, "refresh-1")(DAILY_PLAN, MONTHLY_PLAN)
    assert report["skipped"] == ["daily", "monthly"]
    assert report["waiting"] == {
        "daily": "silver.carriers has not landed yet",
        "monthly": "gold.daily has not landed yet",
    }
    assert not gold_table.exists(lake, DAILY)


def test_keys_that_are_not_unique_publish_nothing(lake: SparkSession) -> None:
    land(lake)
    broken = plan(
        "broken",
        "SELECT day, carrier, delay FROM silver__flights",
        ["day", "carrier"],
        [model_input("silver", "flights")],
    )
    run = Run(lake, "refresh-1")
    with pytest.raises(RefreshFailed, match="broken: the model's keys are null or not unique"):
        run(broken, MONTHLY_PLAN, DAILY_PLAN)
    report = run.saved[-1]
    assert report["failed"] == {"broken": gold_frame.KEYS_BROKEN}
    assert [each["table"] for each in report["models"]] == ["daily"]
    assert not gold_table.exists(lake, LAKE.table("gold", "broken"))


def test_a_changed_model_is_made_anew_with_its_new_columns(lake: SparkSession) -> None:
    land(lake)
    Run(lake, "refresh-1")(DAILY_PLAN)
    changed = DAILY_PLAN.copy()
    changed["hash"] = "h2"
    changed["sql"] = (
        "SELECT day, carrier, max(delay) AS worst, 1L AS flights FROM silver__flights GROUP BY day, carrier"
    )
    report = Run(lake, "refresh-2")(changed)
    assert (report["models"][0]["rows_added"], report["models"][0]["rows_deleted"]) == (3, 3)
    assert lake.table(DAILY).columns == ["day", "carrier", "name", "flights", "delay", "worst"]
    assert ("2013-01-01", "UA", "None", "1", "None", "6") in rows(lake, DAILY)
    assert [row.name for row in lake.table(f"{DAILY}.refs").collect()] == ["main"]


def test_the_job_leaves_its_report(lake: SparkSession) -> None:
    land(lake)
    operations = FakeOperations(DAILY_PLAN, MONTHLY_PLAN)
    report = refresh(lake, operations, "refresh-1")
    assert operations.objects["runs/report.json"] == report
    assert [each["table"] for each in report["models"]] == ["daily", "monthly"]
    assert sorted(report["seconds"]) == ["daily", "monthly", "total"]
    assert "runs/failure.json" not in operations.objects
    summary = gold_lake.summary(lake, DAILY)
    assert summary["lakehouse.report"] == "runs/report.json"


def test_a_model_that_fails_stops_only_those_that_read_it_and_tells_no_value(lake: SparkSession) -> None:
    land(lake)
    lake.sql(f"INSERT INTO {FLIGHTS} VALUES (DATE '2013-01-01', 'CANARY', 4)")
    leaky = {**DAILY_PLAN, "sql": "SELECT day, string(raise_error(carrier)) AS carrier FROM silver__flights"}
    other = plan(
        "other", "SELECT count(*) AS n FROM silver__flights", ["n"], [model_input("silver", "flights")]
    )
    operations = FakeOperations(leaky, MONTHLY_PLAN, other)  # type: ignore[arg-type]
    with pytest.raises(JobFailed) as error:
        refresh(lake, operations, "refresh-1")
    report = operations.objects["runs/report.json"]
    assert report["failed"] == {
        "daily": "RuntimeException",
        "monthly": "it reads gold.daily, which failed",
    }
    assert [each["table"] for each in report["models"]] == ["other"]
    assert rows(lake, LAKE.table("gold", "other")) == [("5",)]
    assert operations.objects["runs/failure.json"] == {
        "run_id": "refresh-1",
        "failure_class": "FILES",
        "error": "RefreshFailed",
        "message": "refresh: daily: RuntimeException; monthly: it reads gold.daily, which failed",
    }
    assert "CANARY" not in str(error.value) + str(operations.objects)


def test_a_denied_permission_is_the_environments_fault(lake: SparkSession) -> None:
    land(lake)
    denied = plan(
        "denied",
        "SELECT string(raise_error('AccessDenied (403)')) AS n FROM silver__flights",
        ["n"],
        [model_input("silver", "flights")],
    )
    operations = FakeOperations(denied)
    with pytest.raises(JobFailed, match="ENVIRONMENT"):
        refresh(lake, operations, "refresh-1")
    assert operations.objects["runs/failure.json"]["failure_class"] == "ENVIRONMENT"


class Refusing:
    """Lake Formation's place in a run; ``error`` is what it answers."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def govern(self, *_about: object, loosen: bool) -> None:
        assert loosen
        raise self.error


THROTTLED = ClientError({"Error": {"Code": "ThrottledException", "Message": "CANARY"}}, "GetResourceLFTags")
UNKNOWN = ClientError({"Error": {"Code": "EntityNotFoundException", "Message": "CANARY"}}, "GrantPermissions")


@pytest.mark.parametrize(
    ("error", "failure_class", "why"),
    [
        (NotGoverned("lake-dev:domain: not taken"), "ENVIRONMENT", "lake-dev:domain: not taken"),
        (THROTTLED, "ENVIRONMENT", "ThrottledException in GetResourceLFTags"),
        (UNKNOWN, "FILES", "EntityNotFoundException in GrantPermissions"),
        (ValueError("CANARY"), "FILES", "ValueError"),
    ],
)
def test_whatever_a_model_dies_of_it_is_named_and_the_others_are_made(
    lake: SparkSession, error: Exception, failure_class: str, why: str
) -> None:
    land(lake)
    run = Run(lake, "refresh-1")
    run.refresh.governed = Governed(None, Refusing(error))  # type: ignore[arg-type] # a duck
    with pytest.raises(RefreshFailed) as failed:
        run(DAILY_PLAN, MONTHLY_PLAN)
    assert run.saved[-1]["failed"] == {"daily": why, "monthly": "it reads gold.daily, which failed"}
    failure = failure_of("refresh-1", "refresh", failed.value)
    assert failure["failure_class"] == failure_class
    assert "CANARY" not in str(failure) + str(run.saved)
    assert [each["table"] for each in run.saved[-1]["models"]] == ["daily"]  # it was made before


class Watching:
    """Lake Formation's place in a run: notes what Gold's table holds when it is closed, and when it is opened."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark
        self.seen: list[tuple[str, int]] = []

    def govern(self, *_about: object, loosen: bool) -> None:
        self.seen.append(("opened" if loosen else "kept", self.spark.table(DAILY).count()))

    def close(self, *_about: object) -> None:
        self.seen.append(("closed", self.spark.table(DAILY).count()))


def test_a_table_is_closed_before_its_rows_change_and_opened_after(lake: SparkSession) -> None:
    land(lake)
    watching = Watching(lake)

    def governed_by(run_id: str) -> Run:
        run = Run(lake, run_id)
        run.refresh.governed = Governed(None, watching)  # type: ignore[arg-type] # a duck
        return run

    governed_by("refresh-1")(DAILY_PLAN)
    before = lake.table(DAILY).count()
    lake.sql(f"INSERT INTO {FLIGHTS} VALUES (DATE '2013-05-05', 'UA', 4)")
    governed_by("refresh-2")(DAILY_PLAN)
    governed_by("refresh-3")(DAILY_PLAN)
    assert watching.seen == [
        ("opened", before),
        ("closed", before),
        ("opened", before + 1),
        ("opened", before + 1),
    ]


def test_a_column_that_has_not_landed_is_waited_for(lake: SparkSession) -> None:
    land(lake)
    eager = plan(
        "eager",
        "SELECT day, max(gate) AS gate FROM silver__flights GROUP BY day",
        ["day"],
        [model_input("silver", "flights")],
    )
    report = Run(lake, "refresh-1")(eager)
    assert report["waiting"] == {"eager": "a column it reads has not landed yet"}
    lake.sql(f"ALTER TABLE {FLIGHTS} ADD COLUMN gate string")
    lake.sql(f"INSERT INTO {FLIGHTS} VALUES (DATE '2013-01-01', 'UA', 4, 'B22')")
    Run(lake, "refresh-2")(eager)
    assert rows(lake, LAKE.table("gold", "eager"))[0] == ("2013-01-01", "B22")


# --- Where a table lies ---------------------------------------------------------------------------

PLACE = "memory/gold"


def governed_run(spark: SparkSession, run_id: str, *, closed: bool) -> Run:
    """A run in a lake whose ``daily`` belongs under the open or the closed location."""
    run = Run(spark, run_id)
    run.refresh.lake = replace(LAKE, gold_location=PLACE)
    access = TableAccess(domain=None, columns={}, closed=closed)
    governance = GovernancePlan(
        plan_version=1, hash="", classifications=["public"], tables={"gold.daily": access}, row_filters=[]
    )
    run.refresh.governed = Governed(governance)
    return run


def place(spark: SparkSession) -> str:
    return str(publish.load_table(spark, DAILY).location())


def test_a_table_that_becomes_classified_moves_and_leaves_nothing_behind(
    lake: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted: list[str] = []
    monkeypatch.setattr(gold_table, "delete_folder", lambda table, folder: deleted.append(folder))
    land(lake)
    governed_run(lake, "refresh-1", closed=False)(DAILY_PLAN)
    before = rows(lake, DAILY)
    assert place(lake) == f"{PLACE}/open/daily"

    report = governed_run(lake, "refresh-2", closed=True)(DAILY_PLAN)
    assert [each["table"] for each in report["models"]] == ["daily"]
    assert (place(lake), deleted) == (f"{PLACE}/closed/daily", [f"{PLACE}/open/daily/"])
    assert rows(lake, DAILY) == before
    files = [row.file_path for row in lake.table(f"{DAILY}.all_files").collect()]
    assert files
    assert all(file.startswith(f"{PLACE}/closed/daily/data/") for file in files)
    assert lake.table(f"{DAILY}.snapshots").count() == 1

    assert governed_run(lake, "refresh-3", closed=True)(DAILY_PLAN)["skipped"] == ["daily"]
    assert len(deleted) == 1


def test_a_move_that_died_before_the_old_place_was_emptied_is_done_again(
    lake: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted: list[str] = []

    def die(table: object, folder: str) -> None:
        raise InterruptedError

    land(lake)
    governed_run(lake, "refresh-1", closed=False)(DAILY_PLAN)
    monkeypatch.setattr(gold_table, "delete_folder", die)
    with pytest.raises(RefreshFailed, match="daily: InterruptedError"):
        governed_run(lake, "refresh-2", closed=True)(DAILY_PLAN)
    monkeypatch.setattr(gold_table, "delete_folder", lambda table, folder: deleted.append(folder))
    governed_run(lake, "refresh-3", closed=True)(DAILY_PLAN)
    assert (place(lake), deleted) == (f"{PLACE}/closed/daily", [f"{PLACE}/open/daily/"])
    assert governed_run(lake, "refresh-4", closed=True)(DAILY_PLAN)["skipped"] == ["daily"]
