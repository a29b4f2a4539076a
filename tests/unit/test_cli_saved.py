"""Reused answers and saved queries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lakehouse_cli import reuse, saved
from lakehouse_cli.connection import Lake
from lakehouse_cli.errors import NotFoundError
from tests.unit.cli_fakes import OUTPUTS, FakeConnection, FakeLedger, fake_lake, refused

NOW = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)


def ended(ledger: FakeLedger, writer: str, at: str) -> None:
    ledger.writer(writer, state="FREE", run_id="", arrivals=1, claimed_arrivals=1)
    ledger.has_run(writer, f"{writer}-1", state="SUCCEEDED", ended_at=f"2026-05-01T{at}.000Z")


def test_an_answer_may_be_as_old_as_the_last_run_but_a_minute() -> None:
    ledger = FakeLedger()
    ended(ledger, "promote:flights", "11:30:00")
    ended(ledger, "refresh", "11:50:00")
    assert reuse.quiet_minutes(ledger, NOW) == 9


def test_no_answer_is_reused_while_something_runs_or_before_anything_ran() -> None:
    ledger = FakeLedger()
    assert reuse.quiet_minutes(ledger, NOW) == 0
    ended(ledger, "refresh", "09:00:00")
    assert reuse.quiet_minutes(ledger, NOW) == 179
    ledger.writer("promote:weather", state="TAKEN", run_id="weather-1", arrivals=2, claimed_arrivals=1)
    assert reuse.quiet_minutes(ledger, NOW) == 0


def test_no_answer_is_older_than_athena_keeps_one() -> None:
    ledger = FakeLedger()
    ledger.writer("refresh", state="FREE", run_id="", arrivals=1, claimed_arrivals=1)
    ledger.has_run("refresh", "refresh-1", state="SUCCEEDED", ended_at="2025-05-01T00:00:00.000Z")
    assert reuse.quiet_minutes(ledger, NOW) == 10080


@pytest.mark.parametrize(
    ("sql", "layer"),
    [
        ("SELECT count(*) FROM flights", "bronze"),
        ("SELECT count(*) FROM lake_dev_bronze.flights", "gold"),
        ("SELECT * FROM lake_dev_audit.trail", "gold"),
        ("SELECT * FROM t WHERE day = current_date", "gold"),
        ("SELECT rand() FROM t", "gold"),
    ],
)
def test_what_changes_without_a_run_is_asked_anew(sql: str, layer: str) -> None:
    """The ledger is not even asked: the fake lake has none."""
    assert reuse.minutes_for(fake_lake(), sql, layer) == 0


def test_who_may_not_read_the_ledger_reuses_nothing() -> None:
    class Closed:
        def query(self, **_: Any) -> None:
            raise refused("Query", "AccessDeniedException")

    assert reuse.minutes_for(fake_lake(dynamodb=Closed()), "SELECT 1", "gold") == 0


class FakeSaved:
    """Saved queries by workgroup; one workgroup is closed."""

    def __init__(self) -> None:
        self.queries = {
            "1": {
                "Name": "freshness",
                "QueryString": "SELECT 1",
                "Database": "silver",
                "Description": "When.",
            },
            "2": {"Name": "readers", "QueryString": "SELECT 2", "Database": "audit"},
        }
        self.places = {"lake-dev": [], "lake-dev-engineer": ["1"], "lake-dev-auditor": ["2"]}

    def list_named_queries(self, WorkGroup: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        if WorkGroup not in self.places:
            raise refused("ListNamedQueries", "AccessDeniedException")
        return {"NamedQueryIds": self.places[WorkGroup]}

    def batch_get_named_query(self, NamedQueryIds: list[str]) -> dict[str, Any]:  # noqa: N803
        return {"NamedQueries": [self.queries[each] for each in NamedQueryIds]}


@pytest.fixture
def lake() -> Lake:
    outputs = {
        **OUTPUTS,
        "OperatingWorkgroupName": "lake-dev-engineer",
        "StewardingWorkgroupName": "lake-dev-steward",
        "AuditWorkgroupName": "lake-dev-auditor",
    }
    return Lake("lake-dev", outputs, FakeConnection(athena=FakeSaved()))  # type: ignore[arg-type] # a duck


def test_saved_queries_are_found_in_the_workgroups_that_one_may_look_into(lake: Lake) -> None:
    assert saved.every(lake) == [
        saved.SavedQuery("freshness", "SELECT 1", "silver", "lake-dev-engineer", "When."),
        saved.SavedQuery("readers", "SELECT 2", "audit", "lake-dev-auditor"),
    ]
    assert saved.find(lake, "readers").workgroup == "lake-dev-auditor"


def test_an_unknown_name_says_those_that_there_are(lake: Lake) -> None:
    with pytest.raises(NotFoundError, match=r"no saved query reader\. There are: freshness, readers\."):
        saved.find(lake, "reader")
