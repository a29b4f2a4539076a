from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from lakehouse_cli import athena
from lakehouse_cli.errors import CommandError, TimedOutError
from tests.unit.cli_fakes import Pages, fake_lake, refused


class FakeAthena:
    """Answers one query: some polls RUNNING, then a state; rows come in pages with the header first."""

    def __init__(
        self,
        rows: list[list[str | None]],
        columns: list[tuple[str, str]],
        state: str = "SUCCEEDED",
        statement: str = "DML",
        running_polls: int = 0,
    ) -> None:
        self.rows, self.columns, self.state, self.statement = rows, columns, state, statement
        self.running_polls = running_polls
        self.reused = False
        self.started: dict[str, Any] = {}
        self.stopped: list[str] = []

    def start_query_execution(self, **request: Any) -> dict[str, str]:
        self.started = request
        return {"QueryExecutionId": "q-1"}

    def get_query_execution(self, QueryExecutionId: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        self.running_polls -= 1
        status: dict[str, str] = {"State": "RUNNING" if self.running_polls >= 0 else self.state}
        if status["State"] == "FAILED":
            status["StateChangeReason"] = "COLUMN_NOT_FOUND: line 1:8"
        return {
            "QueryExecution": {
                "Status": status,
                "StatementType": self.statement,
                "Statistics": {
                    "DataScannedInBytes": 2048,
                    "ResultReuseInformation": {"ReusedPreviousResult": self.reused},
                },
            }
        }

    def stop_query_execution(self, QueryExecutionId: str) -> None:  # noqa: N803
        self.stopped.append(QueryExecutionId)

    def get_paginator(self, name: str) -> Pages:
        assert name == "get_query_results"
        return Pages(self._pages)

    def _pages(self, QueryExecutionId: str) -> list[dict[str, Any]]:  # noqa: N803
        info = [{"Name": n, "Type": t} for n, t in self.columns]
        header: list[list[str | None]] = [[n for n, _ in self.columns]] if self.statement == "DML" else []
        data = [
            {"Data": [{} if v is None else {"VarCharValue": v} for v in row]} for row in [*header, *self.rows]
        ]
        return [
            {"ResultSet": {"ResultSetMetadata": {"ColumnInfo": info}, "Rows": data[at : at + 2]}}
            for at in range(0, len(data), 2)
        ]


TYPES = [
    ("carrier", "varchar"),
    ("flights", "bigint"),
    ("mean", "double"),
    ("exact", "decimal(5,2)"),
    ("on", "boolean"),
]


def test_rows_come_as_python_values_over_all_pages() -> None:
    client = FakeAthena([["UA", "58665", "12.5", "1.50", "true"], [None, None, None, None, "false"]], TYPES)
    client.running_polls = 1
    found = athena.run(fake_lake(athena=client), "select 1")
    assert found.rows == [["UA", 58665, 12.5, Decimal("1.50"), True], [None, None, None, None, False]]
    assert found.columns == ["carrier", "flights", "mean", "exact", "on"]
    assert client.started["QueryExecutionContext"] == {"Database": "lake_dev_gold"}
    assert client.started["WorkGroup"] == "lake-dev"


def test_a_first_row_that_repeats_the_header_is_data_outside_of_select() -> None:
    client = FakeAthena([["name"], ["flights"]], [("name", "string")], statement="UTILITY")
    assert athena.run(fake_lake(athena=client), "show tables").rows == [["name"], ["flights"]]


def test_more_rows_than_wanted_are_cut_and_said_so() -> None:
    client = FakeAthena([["1"], ["2"], ["3"]], [("n", "integer")])
    found = athena.run(fake_lake(athena=client), "select n", max_rows=2)
    assert (found.rows, found.truncated) == ([[1], [2]], True)
    assert found.summary().startswith("2 rows (there are more: --max-rows), 2.0 KiB read, ")


def test_an_earlier_answer_is_asked_for_only_where_it_may_be_reused_and_told() -> None:
    client = FakeAthena([["1"]], [("n", "integer")])
    found = athena.run(fake_lake(athena=client), "select n")
    assert "ResultReuseConfiguration" not in client.started
    assert (found.reused, found.as_json()["reused"]) == (False, False)
    client.reused = True
    found = athena.ask(fake_lake(athena=client), "select n", athena.Asking(reuse_minutes=7))
    by_age = {"Enabled": True, "MaxAgeInMinutes": 7}
    assert client.started["ResultReuseConfiguration"] == {"ResultReuseByAgeConfiguration": by_age}
    assert found.as_json()["reused"] is True
    assert found.summary().startswith("1 row, an earlier answer, reused, ")


def test_a_failed_query_says_athenas_reason() -> None:
    client = FakeAthena([], [], state="FAILED")
    with pytest.raises(CommandError, match="The query failed: COLUMN_NOT_FOUND: line 1:8"):
        athena.run(fake_lake(athena=client), "select x")


def test_a_query_that_takes_too_long_is_stopped() -> None:
    client = FakeAthena([], [], running_polls=10**6)
    with pytest.raises(TimedOutError) as caught:
        athena.run(fake_lake(athena=client), "select 1", timeout_seconds=0.01)
    assert caught.value.exit_code == 4
    assert client.stopped == ["q-1"]


def test_a_refused_query_says_why() -> None:
    class Refusing(FakeAthena):
        def start_query_execution(self, **request: Any) -> dict[str, str]:
            raise refused("StartQueryExecution", "InvalidRequestException", "line 1:1: mismatched input")

    with pytest.raises(CommandError, match="Athena refused the query: line 1:1: mismatched input"):
        athena.run(fake_lake(athena=Refusing([], [])), "selekt")
