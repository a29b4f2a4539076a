"""The twin makes metrics of the lines that CloudWatch would make metrics of, and of no others."""

from __future__ import annotations

import json

import pytest

from twin.cloudwatch import Measured, measured

LINE = {
    "_aws": {
        "Timestamp": 1714546860000,
        "CloudWatchMetrics": [
            {
                "Namespace": "Lakehouse",
                "Dimensions": [["service"], ["service", "Dataset"]],
                "Metrics": [{"Name": "DataAge", "Unit": "Seconds"}, {"Name": "Files"}],
            }
        ],
    },
    "service": "lake-dev",
    "Dataset": "flights",
    "DataAge": [60.0, 90.0],
    "Files": 2,
}


def test_every_set_of_dimensions_has_its_own_metric() -> None:
    whole, each = {"service": "lake-dev"}, {"service": "lake-dev", "Dataset": "flights"}
    assert list(measured(json.dumps(LINE))) == [
        Measured("Lakehouse", name, value, unit, dimensions)
        for dimensions in (whole, each)
        for name, value, unit in (
            ("DataAge", 60.0, "Seconds"),
            ("DataAge", 90.0, "Seconds"),
            ("Files", 2.0, "None"),
        )
    ]


@pytest.mark.parametrize("line", ["", "plain text", '{"level": "INFO"}', 'a quoted "_aws" in a sentence'])
def test_any_other_line_is_only_a_line(line: str) -> None:
    assert list(measured(line)) == []
