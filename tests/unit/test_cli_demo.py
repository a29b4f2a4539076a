"""The demo's questions of people who may see less: one is refused, one is answered in part, and it looks that it is so."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from lakehouse_cli import demo
from lakehouse_cli.connection import Lake
from lakehouse_cli.errors import CommandError
from tests.unit.cli_fakes import FakeConnection, fake_lake
from tests.unit.test_cli_athena import FakeAthena

ACCOUNT = "000000000000"
OF_ONE = [("carrier", "varchar"), ("aircraft", "bigint"), ("flights", "bigint")]


class People(FakeConnection):
    """Gives each role an Athena of its own, and keeps who was asked for."""

    def __init__(self, **athenas: FakeAthena) -> None:
        super().__init__()
        self.athenas = athenas
        self.assumed: list[str] = []

    def as_role(self, role_arn: str) -> FakeConnection:
        self.assumed.append(role_arn)
        return FakeConnection(athena=self.athenas[role_arn.rpartition("lake-dev-")[2].replace("-", "_")])


def asked(**athenas: FakeAthena) -> tuple[str, People]:
    people = People(**athenas)
    lake: Lake = replace(fake_lake(), connection=people)  # type: ignore[arg-type] # a duck
    written = io.StringIO()
    demo._show_access(lake, ACCOUNT, Console(file=written, width=100))
    return written.getvalue(), people


def test_each_is_asked_as_its_role_in_its_own_workgroup() -> None:
    analyst = FakeAthena([], [], state="FAILED")
    airline = FakeAthena([["UA", "621", "57979"]], OF_ONE)
    said, people = asked(analyst=analyst, carrier_ua=airline)
    assert people.assumed == [
        f"arn:aws:iam::{ACCOUNT}:role/lake-dev-analyst",
        f"arn:aws:iam::{ACCOUNT}:role/lake-dev-carrier-ua",
    ]
    started: list[dict[str, Any]] = [analyst.started, airline.started]
    assert [each["WorkGroup"] for each in started] == ["lake-dev-analyst", "lake-dev-carrier-ua"]
    assert "Refused: The query failed: COLUMN_NOT_FOUND: line 1:8" in said
    assert "57979" in said.replace(",", "")


def test_an_answer_that_had_to_be_refused_ends_the_demo() -> None:
    seen = FakeAthena([["N1", "2"]], [("tailnum", "varchar"), ("flights", "bigint")])
    with pytest.raises(CommandError, match="lake-dev-analyst was let through where it has to be refused"):
        asked(analyst=seen, carrier_ua=FakeAthena([], OF_ONE))


def test_a_refusal_that_was_not_expected_ends_the_demo() -> None:
    refused = FakeAthena([], [], state="FAILED")
    with pytest.raises(CommandError, match="COLUMN_NOT_FOUND"):
        asked(analyst=refused, carrier_ua=refused)
