"""A refresh run: what it makes, publishes, reports and skips."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lakehouse import words
from lakehouse.words import GoldReport, ModelInput, ModelPlan
from lakehouse_spark import gold, gold_table
from lakehouse_spark.errors import RefreshFailed

LAKE = gold.Lake("gold_test_silver", "gold_test_gold")
FLIGHTS = LAKE.table("silver", "flights")
CARRIERS = LAKE.table("silver", "carriers")
DAILY = LAKE.table("gold", "daily")
MONTHLY = LAKE.table("gold", "monthly")

DAILY_SQL = """
SELECT f.day, f.carrier, c.name, count(*) AS flights, sum(f.delay) AS delay
FROM silver__flights f LEFT JOIN silver__carriers c ON c.carrier = f.carrier
GROUP BY f.day, f.carrier, c.name
"""
MONTHLY_SQL = (
    "SELECT cast(trunc(day, 'MM') AS date) AS month, sum(flights) AS flights FROM gold__daily GROUP BY 1"
)


def model_input(
    layer: Any, table: str, mapping: dict[str, str] | None = None, lookback: int = 0
) -> ModelInput:
    return {
        "layer": layer,
        "table": table,
        "view": f"{layer}__{table}",
        "mapping": mapping,
        "lookback": lookback,
    }


def plan(model: str, sql: str, keys: list[str], inputs: list[ModelInput], **changes: Any) -> ModelPlan:
    base: ModelPlan = {
        "plan_version": 1,
        "model": model,
        "hash": "h1",
        "description": "",
        "sql": sql,
        "keys": keys,
        "partition_by": [],
        "timezone": "UTC",
        "inputs": inputs,
        "columns": [],
        "column_lineage": {},
    }
    return {**base, **changes}  # type: ignore[typeddict-item]


DAILY_PLAN = plan(
    "daily",
    DAILY_SQL,
    ["day", "carrier"],
    [model_input("silver", "flights", {"day": "day"}), model_input("silver", "carriers")],
    partition_by=[{"column": "day", "transform": "day"}],
)
MONTHLY_PLAN = plan("monthly", MONTHLY_SQL, ["month"], [model_input("gold", "daily")])


@pytest.fixture
def lake(spark: SparkSession) -> Iterator[SparkSession]:
    for database in (LAKE.silver_database, LAKE.gold_database):
        spark.sql(f"CREATE NAMESPACE IF NOT EXISTS glue_catalog.{database}")
        for row in spark.sql(f"SHOW TABLES IN glue_catalog.{database}").collect():
            spark.sql(f"DROP TABLE glue_catalog.{database}.{row.tableName}")
    spark.sql(
        f"CREATE TABLE {FLIGHTS} (day date, carrier string, delay int) USING iceberg PARTITIONED BY (days(day))"
    )
    spark.sql(f"CREATE TABLE {CARRIERS} (carrier string, name string) USING iceberg")
    yield spark


def land(spark: SparkSession) -> None:
    spark.sql(
        f"INSERT INTO {FLIGHTS} VALUES (DATE '2013-01-01', 'UA', 4), (DATE '2013-01-01', 'UA', 6),"
        " (DATE '2013-01-02', 'AA', 1), (DATE '2013-02-01', 'UA', 2)"
    )
    spark.sql(f"INSERT INTO {CARRIERS} VALUES ('UA', 'United'), ('AA', 'American')")


class Run:
    """A refresh run with its report kept as the job keeps it."""

    def __init__(self, spark: SparkSession, run_id: str, previous: GoldReport | None = None) -> None:
        self.saved: list[GoldReport] = []
        self.refresh = gold.Refresh(
            spark, run_id, LAKE, f"runs/refresh/{run_id}/report.json", self.save, previous
        )

    def save(self, report: GoldReport) -> None:
        self.saved.append(copy.deepcopy(report))

    def __call__(self, *plans: ModelPlan) -> GoldReport:
        return self.refresh.run(list(plans))


def rows(spark: SparkSession, table: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(str(value) for value in row) for row in spark.table(table).collect())


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
    with pytest.raises(RefreshFailed, match="not refreshed: broken"):
        run(broken, MONTHLY_PLAN, DAILY_PLAN)
    report = run.saved[-1]
    assert report["failed"] == {"broken": gold.KEYS_BROKEN}
    assert [each["table"] for each in report["models"]] == ["daily"]
    assert not gold_table.exists(lake, LAKE.table("gold", "broken"))


def test_a_changed_model_is_made_anew_with_its_new_columns(lake: SparkSession) -> None:
    land(lake)
    Run(lake, "refresh-1")(DAILY_PLAN)
    changed = {
        **DAILY_PLAN,
        "hash": "h2",
        "sql": "SELECT day, carrier, max(delay) AS worst, 1L AS flights"
        " FROM silver__flights GROUP BY day, carrier",
    }
    report = Run(lake, "refresh-2")(changed)
    assert (report["models"][0]["rows_added"], report["models"][0]["rows_deleted"]) == (3, 3)
    assert lake.table(DAILY).columns == ["day", "carrier", "name", "flights", "delay", "worst"]
    assert ("2013-01-01", "UA", "None", "1", "None", "6") in rows(lake, DAILY)
    assert [row.name for row in lake.table(f"{DAILY}.refs").collect()] == ["main"]
