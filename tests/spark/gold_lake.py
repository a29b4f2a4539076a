"""A small lake for the Gold tests: two Silver tables, models over them, and runs whose reports are kept."""

from __future__ import annotations

import copy
from typing import Any

from pyspark.sql import SparkSession

from lakehouse.words import GoldReport, ModelInput, ModelPlan
from lakehouse_spark import gold

LAKE = gold.Lake("gold_test_silver", "gold_test_gold")
FLIGHTS = LAKE.table("silver", "flights")
CARRIERS = LAKE.table("silver", "carriers")
DAILY = LAKE.table("gold", "daily")
MONTHLY = LAKE.table("gold", "monthly")


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
    base: dict[str, Any] = {
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


def by(column: str, transform: str = "identity") -> list[dict[str, str]]:
    return [{"column": column, "transform": transform}]


DAILY_PLAN = plan(
    "daily",
    """
    SELECT f.day, f.carrier, c.name, count(*) AS flights, sum(f.delay) AS delay
    FROM silver__flights f LEFT JOIN silver__carriers c ON c.carrier = f.carrier
    GROUP BY f.day, f.carrier, c.name
    """,
    ["day", "carrier"],
    [model_input("silver", "flights", {"day": "day"}), model_input("silver", "carriers")],
    partition_by=by("day", "day"),
)
MONTHLY_PLAN = plan(
    "monthly",
    "SELECT cast(trunc(day, 'MM') AS date) AS month, sum(flights) AS flights FROM gold__daily GROUP BY 1",
    ["month"],
    [model_input("gold", "daily")],
)


def make(spark: SparkSession) -> None:
    """Empty databases with the two Silver tables, never published to."""
    for database in (LAKE.silver_database, LAKE.gold_database):
        spark.sql(f"CREATE NAMESPACE IF NOT EXISTS glue_catalog.{database}")
        for row in spark.sql(f"SHOW TABLES IN glue_catalog.{database}").collect():
            spark.sql(f"DROP TABLE glue_catalog.{database}.{row.tableName}")
    spark.sql(
        f"CREATE TABLE {FLIGHTS} (day date, carrier string, delay int) USING iceberg"
        " PARTITIONED BY (days(day))"
    )
    spark.sql(f"CREATE TABLE {CARRIERS} (carrier string, name string) USING iceberg")


def land(spark: SparkSession) -> None:
    """Four flights on three days, two carriers."""
    spark.sql(
        f"INSERT INTO {FLIGHTS} VALUES (DATE '2013-01-01', 'UA', 4), (DATE '2013-01-01', 'UA', 6),"
        " (DATE '2013-01-02', 'AA', 1), (DATE '2013-02-01', 'UA', 2)"
    )
    spark.sql(f"INSERT INTO {CARRIERS} VALUES ('UA', 'United'), ('AA', 'American')")


class FakeOperations:
    """JSON objects of the operations bucket, in memory."""

    def __init__(self, *plans: ModelPlan) -> None:
        manifest = {"run_id": "", "assets_prefix": "assets/1/", "models": [plan["model"] for plan in plans]}
        self.objects: dict[str, Any] = {"runs/manifest.json": manifest}
        self.objects |= {f"assets/1/models/{plan['model']}.json": plan for plan in plans}

    def head(self, key: str) -> bool:
        return key in self.objects

    def get_json(self, key: str) -> Any:
        return copy.deepcopy(self.objects[key])

    def put_json(self, key: str, value: object) -> None:
        self.objects[key] = copy.deepcopy(value)


def refresh(spark: SparkSession, operations: FakeOperations, run_id: str) -> GoldReport:
    """As the job runs it: everything lies under ``runs/``."""
    job = gold.Job(run_id, "runs/manifest.json", "runs/report.json", LAKE)
    return gold.refresh(spark, job, operations)  # type: ignore[arg-type]


class Run:
    """A refresh run with its report kept as the job keeps it."""

    def __init__(self, spark: SparkSession, run_id: str, previous: GoldReport | None = None) -> None:
        self.saved: list[GoldReport] = []
        report_key = f"runs/refresh/{run_id}/report.json"
        self.refresh = gold.Refresh(spark, run_id, LAKE, report_key, self.save, previous)

    def save(self, report: GoldReport) -> None:
        self.saved.append(copy.deepcopy(report))

    def __call__(self, *plans: ModelPlan) -> GoldReport:
        return self.refresh.run(list(plans))


def rows(spark: SparkSession, table: str) -> list[tuple[str, ...]]:
    return sorted(tuple(str(value) for value in row) for row in spark.table(table).collect())


def summary(spark: SparkSession, table: str) -> dict[str, str]:
    """The summary of main's newest snapshot."""
    from lakehouse_spark import publish

    found = publish.load_table(spark, table).currentSnapshot().summary()
    return {str(key): str(found.get(key)) for key in found}
