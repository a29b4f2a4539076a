"""Appending CSV files by contract: rows, bad rows, counts, replaced and changed files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from tests.spark.lake import Lake, column, outcomes, plan, rule

COLUMNS = [column("id", "int", required=True), column("amount", "decimal(6,2)"), column("day", "date")]

MakeLake = Callable[[Any], Lake]


@pytest.fixture
def make(spark: SparkSession, tmp_path: Path) -> MakeLake:
    return lambda a_plan: Lake(spark, tmp_path, a_plan)


def test_good_rows_land_and_bad_rows_go_whole_to_quarantine(make: MakeLake) -> None:
    lake = make(plan("sales", COLUMNS, [rule("id_min", "min", ["id"], 1)]))
    lake.put("a.csv", "id,amount,day\n1,2.50,2013-02-28\n50.7,x,2013-02-30\n,1.005,2013-01-01\n-4,NA,\n")
    report = lake.run()
    assert lake.rows("id", "CAST(amount AS string)", "CAST(day AS string)") == [(1, "2.50", "2013-02-28")]
    assert lake.bad_rows() == [
        (2, ["id_type", "amount_type", "day_type"], '{"id":"50.7","amount":"x","day":"2013-02-30"}'),
        (3, ["amount_type", "id_required"], '{"id":null,"amount":"1.005","day":"2013-01-01"}'),
        (4, ["id_min"], '{"id":"-4","amount":"NA","day":null}'),
    ]
    assert outcomes(report) == [("PROMOTED", None, 4, 1, 3, 0)]
    assert report["spark_actions"] <= 6
