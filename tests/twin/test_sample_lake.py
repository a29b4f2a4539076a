"""The flights lake, put into the deployed template: the figures everybody can check (acceptance 1, 10)."""

from __future__ import annotations

import re

from tests.twin.conftest import Figures


def test_every_row_of_every_file_is_in_silver(figures: Figures) -> None:
    assert figures.silver == {
        "flights": 336_776,
        "weather": 26_115,
        "planes": 3_322,
        "airports": 1_458,
        "airlines": 16,
    }


def test_no_row_is_in_quarantine(figures: Figures) -> None:
    assert figures.quarantined == {"flights": 0, "weather": 0, "planes": 0, "airports": 0, "airlines": 0}


def test_missing_departures_are_null_and_no_errors(figures: Figures) -> None:
    assert figures.missing_departures == 8_255


def test_gold_agrees_with_the_published_figures_of_carrier_ua(figures: Figures) -> None:
    assert figures.ua_flights == 58_665
    assert round(figures.ua_mean_dep_delay, 3) == 12.106


def test_all_models_were_published(figures: Figures) -> None:
    assert figures.gold_tables == [
        "aircraft_monthly",
        "cancellations",
        "carrier_punctuality_daily",
        "carrier_punctuality_monthly",
        "delay_weather",
        "fleet_use",
        "route_punctuality_daily",
    ]
    assert figures.gold_rows["carrier_punctuality_daily"] > 0
    assert figures.gold_rows["carrier_punctuality_monthly"] == 185  # carrier and month pairs that flew


def test_rows_in_equal_silver_and_quarantined_for_every_file(figures: Figures) -> None:
    assert len(figures.files) == 16
    for item in figures.files:
        assert item["state"] == "PROMOTED", item["key"]
        assert item["rows"] == item["silver_rows"] + item["quarantined_rows"] + item["superseded_rows"]
    assert sum(item["silver_rows"] for item in figures.files if item["dataset"] == "flights") == 336_776


def test_executions_are_named_after_their_dataset(figures: Figures) -> None:
    for dataset, runs in figures.runs.items():
        assert runs, dataset
        for run in runs:
            assert re.fullmatch(rf"{dataset}-\d{{8}}T\d{{9}}Z-[0-9a-f]{{8}}", run["run_id"])
            assert run["state"] == "SUCCEEDED"
