"""Which output partitions a changed input partition touches, and the SQL that picks them. Starts no Spark."""

from __future__ import annotations

from typing import Any

import pytest

from lakehouse.words import ModelInput
from lakehouse_spark import gold_partitions
from lakehouse_spark.gold_changes import FieldValue
from lakehouse_spark.gold_partitions import Axis

DAY = Axis("day", "date", "day")
MONTH = Axis("day", "date", "month")
YEAR = Axis("year", "int", None)
MONTH_OF_YEAR = Axis("month", "int", None)
JANUARY_2013 = 43 * 12
NEW_YEAR_2013 = 15706


def reads(mapping: dict[str, str], lookback: int = 0) -> ModelInput:
    return {"layer": "silver", "table": "t", "view": "silver__t", "mapping": mapping, "lookback": lookback}


def touched(axis: Axis, field: FieldValue, timezone: str = "UTC", lookback: int = 0) -> Any:
    keys = gold_partitions.affected(
        [axis], reads({field.column: axis.column}, lookback), [(field,)], timezone
    )
    return None if keys is None else gold_partitions.names([axis], keys)


@pytest.mark.parametrize(
    ("axis", "field", "timezone", "expected"),
    [
        (DAY, FieldValue("d", "date", "day", NEW_YEAR_2013), "UTC", ["day=2013-01-01"]),
        (DAY, FieldValue("d", "date", "identity", NEW_YEAR_2013), "UTC", ["day=2013-01-01"]),
        (MONTH, FieldValue("d", "date", "day", NEW_YEAR_2013 + 30), "UTC", ["day=2013-01"]),
        (
            MONTH,
            FieldValue("d", "date", "year", 42),
            "UTC",
            [f"day=2012-{month:02d}" for month in range(1, 13)],
        ),
        (DAY, FieldValue("d", "date", "day", None), "UTC", ["day=null"]),
        # A UTC day is parts of two local days; an hour is not.
        (
            DAY,
            FieldValue("t", "timestamp", "day", NEW_YEAR_2013),
            "America/New_York",
            ["day=2012-12-31", "day=2013-01-01"],
        ),
        (
            DAY,
            FieldValue("t", "timestamp", "hour", NEW_YEAR_2013 * 24 + 5),
            "America/New_York",
            ["day=2013-01-01"],
        ),
        (
            DAY,
            FieldValue("t", "timestamp", "hour", NEW_YEAR_2013 * 24 + 4),
            "America/New_York",
            ["day=2012-12-31"],
        ),
        (DAY, FieldValue("t", "timestamp_ntz", "day", NEW_YEAR_2013), "America/New_York", ["day=2013-01-01"]),
        (YEAR, FieldValue("y", "bigint", "identity", 2013), "UTC", ["year=2013"]),
    ],
)
def test_a_changed_partition_touches(
    axis: Axis, field: FieldValue, timezone: str, expected: list[str]
) -> None:
    assert touched(axis, field, timezone) == expected


@pytest.mark.parametrize(
    ("axis", "field"),
    [
        (DAY, FieldValue("d", "date", "void", None)),
        (DAY, FieldValue("d", "string", "identity", "2013-01-01")),
        (YEAR, FieldValue("y", "int", "bucket[16]", 3)),
        (Axis("at", "timestamp", "day"), FieldValue("t", "timestamp_ntz", "day", NEW_YEAR_2013)),
    ],
)
def test_what_cannot_be_told_recomputes_everything(axis: Axis, field: FieldValue) -> None:
    assert touched(axis, field) is None


def test_an_input_that_is_not_partitioned_by_the_mapped_column_recomputes_everything() -> None:
    assert gold_partitions.affected([DAY], reads({"d": "day"}), [()], "UTC") is None


def test_too_many_partitions_recompute_everything() -> None:
    partitions = [(FieldValue("d", "date", "day", day),) for day in range(gold_partitions.MAX_PARTITIONS + 1)]
    assert gold_partitions.affected([DAY], reads({"d": "day"}), partitions, "UTC") is None


def test_lookback_touches_what_comes_after() -> None:
    field = FieldValue("d", "date", "day", NEW_YEAR_2013)
    assert touched(DAY, field, lookback=2) == ["day=2013-01-01", "day=2013-01-02", "day=2013-01-03"]
    assert touched(MONTH, field, lookback=1) == ["day=2013-01", "day=2013-02"]
    assert touched(YEAR, FieldValue("y", "int", "identity", 2013), lookback=1) is None


def test_plain_columns_touch_pairs_not_products() -> None:
    axes = [YEAR, MONTH_OF_YEAR]
    partitions = [
        (FieldValue("y", "int", "identity", year), FieldValue("m", "int", "identity", month))
        for year, month in ((2012, 12), (2013, 1))
    ]
    keys = gold_partitions.affected(axes, reads({"y": "year", "m": "month"}), partitions, "UTC")
    assert keys == {(2012, 12), (2013, 1)}
    assert gold_partitions.output_condition(axes, keys) == (
        "((`year` IN (2012) AND `month` IN (12)) OR (`year` IN (2013) AND `month` IN (1)))"
    )


def test_unbroken_days_are_one_range() -> None:
    keys = {(NEW_YEAR_2013,), (NEW_YEAR_2013 + 1,), (None,)}
    assert gold_partitions.output_condition([DAY], keys) == (
        "(`day` IS NULL OR (`day` >= DATE '2013-01-01' AND `day` < DATE '2013-01-03'))"
    )


def test_an_input_is_cut_on_its_own_clock() -> None:
    keys = {(NEW_YEAR_2013,)}
    cut = {
        column_type: gold_partitions.input_condition(
            [DAY], keys, reads({"t": "day"}), {"t": column_type}, "America/New_York"
        )
        for column_type in ("date", "timestamp", "timestamp_ntz")
    }
    assert cut == {
        "date": "(`t` >= DATE '2013-01-01' AND `t` < DATE '2013-01-02')",
        "timestamp": "(`t` >= TIMESTAMP_LTZ '2013-01-01 05:00:00Z'"
        " AND `t` < TIMESTAMP_LTZ '2013-01-02 05:00:00Z')",
        "timestamp_ntz": "(`t` >= TIMESTAMP_NTZ '2013-01-01 00:00:00'"
        " AND `t` < TIMESTAMP_NTZ '2013-01-02 00:00:00')",
    }


def test_text_is_quoted() -> None:
    axis = Axis("na`me", "string", None)
    assert (
        gold_partitions.output_condition([axis], {("O'Hare \\ ${x}",)})
        == "`na``me` IN ('O\\'Hare \\\\ ${x}')"
    )


def test_only_columns_that_all_mapped_inputs_share_are_gone_by() -> None:
    types = {"year": "int", "month": "int", "carrier": "string"}
    by: Any = [{"column": column, "transform": "identity"} for column in ("year", "month", "carrier")]
    both = [reads({"year": "year", "month": "month"}), reads({"y": "year"})]
    assert gold_partitions.axes_of(by, both, types) == [YEAR]
    assert gold_partitions.axes_of(by, [reads({"x": "other"})], types) is None
    assert gold_partitions.axes_of([], both, types) is None
