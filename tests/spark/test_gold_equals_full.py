"""Whatever happens to the inputs, in whatever order: refreshed step by step, Gold equals Gold made anew."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lakehouse.words import ModelPlan
from tests.spark import gold_lake
from tests.spark.gold_lake import CARRIERS, DAILY_PLAN, FLIGHTS, LAKE, Run, by, model_input, plan, rows

STEPS = 6
SEEDS = [1, 2, 3]
DAYS = [f"2013-0{month}-{day:02d}" for month in (1, 2, 3) for day in (1, 2, 3, 27, 28)]

MONTHLY = plan(
    "monthly",
    "SELECT day, carrier, sum(flights) AS flights, max(delay) AS worst FROM gold__daily"
    " GROUP BY day, carrier",
    ["day", "carrier"],
    [model_input("gold", "daily", {"day": "day"})],
    partition_by=by("day", "month"),
)
ROLLING = plan(
    "rolling",
    "SELECT day, carrier, sum(flights) OVER (PARTITION BY carrier ORDER BY day RANGE BETWEEN 3 PRECEDING"
    " AND CURRENT ROW) AS flights FROM (SELECT day, carrier, count(*) AS flights FROM silver__flights"
    " WHERE day IS NOT NULL GROUP BY day, carrier)",
    ["day", "carrier"],
    [model_input("silver", "flights", {"day": "day"}, lookback=3)],
    partition_by=by("day"),
)
TOTAL = plan(
    "total",
    "SELECT 1 AS one, count(*) AS flights FROM silver__flights",
    ["one"],
    [model_input("silver", "flights")],
)
PLANS = [
    {
        **DAILY_PLAN,
        "keys": ["label"],
        "sql": """
    SELECT f.day, f.carrier, c.name, concat(coalesce(string(f.day), '-'), f.carrier) AS label,
      count(*) AS flights, sum(f.delay) AS delay
    FROM silver__flights f LEFT JOIN silver__carriers c ON c.carrier = f.carrier
    GROUP BY f.day, f.carrier, c.name""",
    },
    {**MONTHLY, "keys": []},
    ROLLING,
    TOTAL,
]


@pytest.mark.parametrize("seed", SEEDS)
def test_incremental_equals_full(spark: SparkSession, seed: int) -> None:
    gold_lake.make(spark)
    dice = random.Random(seed)
    if seed % 2:
        spark.sql(f"ALTER TABLE {FLIGHTS} SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read')")
    spark.sql(f"INSERT INTO {CARRIERS} VALUES ('UA', 'United'), ('AA', 'American')")
    for step in range(STEPS):
        for _ in range(dice.randint(1, 3)):
            change(spark, dice)
        Run(spark, f"refresh-{step}")(*plans())
    stepwise = {name: rows(spark, LAKE.table("gold", name)) for name in names()}
    for name in names():
        spark.sql(f"DROP TABLE {LAKE.table('gold', name)}")
    Run(spark, "refresh-anew")(*plans())
    assert stepwise == {name: rows(spark, LAKE.table("gold", name)) for name in names()}
    assert len(stepwise["daily"]) > 0


def plans() -> list[ModelPlan]:
    return PLANS  # type: ignore[return-value]


def names() -> list[str]:
    return [each["model"] for each in plans()]


def change(spark: SparkSession, dice: random.Random) -> None:
    day = dice.choice(DAYS)
    statements: list[tuple[int, Any]] = [
        (6, lambda: spark.sql(f"INSERT INTO {FLIGHTS} VALUES {', '.join(values(dice) for _ in range(4))}")),
        (3, lambda: spark.sql(f"DELETE FROM {FLIGHTS} WHERE day = DATE '{day}'")),
        (2, lambda: spark.sql(f"DELETE FROM {FLIGHTS} WHERE carrier = 'AA' AND delay % 2 = 0")),
        (2, lambda: spark.sql(f"UPDATE {FLIGHTS} SET delay = delay + 1 WHERE day <= DATE '{day}'")),
        (
            1,
            lambda: spark.sql(
                f"UPDATE {FLIGHTS} SET day = DATE '{dice.choice(DAYS)}' WHERE day = DATE '{day}'"
            ),
        ),
        (
            2,
            lambda: spark.sql(
                f"CALL glue_catalog.system.rewrite_data_files('{LAKE.silver_database}.flights')"
            ),
        ),
        (1, lambda: spark.sql(f"UPDATE {CARRIERS} SET name = concat(name, '!') WHERE carrier = 'UA'")),
    ]
    dice.choices([run for _, run in statements], [weight for weight, _ in statements])[0]()


def values(dice: random.Random) -> str:
    day = "NULL" if dice.random() < 0.05 else f"DATE '{dice.choice(DAYS)}'"
    return f"({day}, '{dice.choice(['UA', 'AA', 'B6'])}', {dice.randint(-10, 90)})"
