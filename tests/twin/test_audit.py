"""Saved queries, reused answers, and who read what: asked in the twin as the roles that people assume."""

from __future__ import annotations

from typing import Any

import pytest

from tests.twin.account import Account
from tests.twin.lake import STACK, TwinLake
from tests.twin.test_access import role_arn

REUSE = {"ResultReuseByAgeConfiguration": {"Enabled": True}}


@pytest.fixture(scope="module")
def people(lake: TwinLake, twin: dict[str, str]) -> dict[str, Account]:
    """A session of each role."""
    roles = ("engineer", "analyst", "steward", "auditor")
    return {role: Account.administrator(twin).assume(role_arn(twin, role)) for role in roles}


def saved(account: Account, workgroup: str) -> dict[str, dict[str, Any]]:
    """The saved queries of a workgroup, by name."""
    athena = account.client("athena")
    ids = athena.list_named_queries(WorkGroup=workgroup)["NamedQueryIds"]
    return {q["Name"]: q for q in athena.batch_get_named_query(NamedQueryIds=ids)["NamedQueries"]}


def ask_saved(people: dict[str, Account], role: str, name: str) -> list[list[str | None]]:
    """The rows of a saved query, asked as its role in its workgroup."""
    query = saved(people[role], f"{STACK}-{role}")[name]
    answer = people[role].ask(query["QueryString"], f"{STACK}-{role}", query["Database"])
    assert answer.refusal is None
    return answer.rows


def test_a_saved_query_answers_in_its_workgroup_as_its_role(people: dict[str, Account]) -> None:
    fresh = ask_saved(people, "engineer", "freshness")
    assert sorted(str(row[0]) for row in fresh) == ["airlines", "airports", "flights", "planes", "weather"]
    assert all(int(str(row[2])) > 0 for row in fresh)
    broken = ask_saved(people, "steward", "quarantine")
    assert {len(row) for row in broken} <= {4}
    with pytest.raises(people["analyst"].client("athena").exceptions.ClientError, match="AccessDenied"):
        saved(people["analyst"], f"{STACK}-engineer")


@pytest.mark.parametrize(
    ("table", "reused"), [("carrier_punctuality_daily", True), ("aircraft_monthly", False)]
)
def test_an_answer_from_open_gold_is_reused_and_one_from_closed_gold_is_not(
    lake: TwinLake, people: dict[str, Account], table: str, reused: bool
) -> None:
    athena, database = people["analyst"].client("athena"), lake.cli.name("GoldDatabaseName")

    def ask() -> bool:
        started = athena.start_query_execution(
            QueryString=f"SELECT count(*) AS asked_twice FROM {table}",
            WorkGroup=f"{STACK}-analyst",
            QueryExecutionContext={"Database": database},
            ResultReuseConfiguration=REUSE,
        )
        execution = people["analyst"].finished(started["QueryExecutionId"])
        assert execution["Status"]["State"] == "SUCCEEDED"
        return bool(execution["Statistics"]["ResultReuseInformation"]["ReusedPreviousResult"])

    assert (ask(), ask()) == (False, reused)
