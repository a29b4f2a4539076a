"""Alarms, metrics and freshness: what is measured is there, and what rings is heard."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.twin.account import Account, wait_for
from tests.twin.conftest import ROOT
from tests.twin.lake import STACK, TwinLake
from tests.twin.test_properties import bodies, create_stack
from tests.twin.topic import failure_messages

TEMPLATE = ROOT / "tests" / "twin" / "fixtures" / "alarms.yaml"


@pytest.fixture(scope="module")
def account(twin: dict[str, str]) -> Account:
    return Account.administrator(twin)


@pytest.fixture(scope="module")
def alarms(account: Account) -> Account:
    create_stack(account, "alarms", TEMPLATE.read_text())
    return account


def measure(account: Account, value: float) -> None:
    datum = {"MetricName": "Boxes", "Value": value, "Unit": "Count"}
    account.client("cloudwatch").put_metric_data(Namespace="Alarms", MetricData=[datum])


def test_an_alarm_reaches_the_topic_whose_policy_and_key_admit_it(alarms: Account) -> None:
    measure(alarms, 2)
    state = alarms.client("cloudwatch").describe_alarms(AlarmNames=["alarms-boxes"])["MetricAlarms"][0]
    assert state["StateValue"] == "OK"
    measure(alarms, 3)
    [told] = wait_for(lambda: bodies(alarms, "alarms-admitting"))
    said = json.loads(json.loads(told)["Message"])
    assert (said["AlarmName"], said["NewStateValue"]) == ("alarms-boxes", "ALARM")
    # One topic's policy names nobody, the other's key does not know the service.
    assert bodies(alarms, "alarms-closed") == []
    assert bodies(alarms, "alarms-locked") == []


def test_a_budget_is_recorded(alarms: Account) -> None:
    budgets = alarms.client("budgets")
    found = budgets.describe_budget(AccountId=alarms.endpoint["account"], BudgetName="alarms-account")
    assert found["Budget"]["BudgetLimit"]["Amount"].startswith("100")
    told = budgets.describe_notifications_for_budget(
        AccountId=alarms.endpoint["account"], BudgetName="alarms-account"
    )
    assert [each["Threshold"] for each in told["Notifications"]] == [80.0]


def test_an_alarm_of_the_lake_is_told_with_its_page(deployed: TwinLake) -> None:
    name = f"{STACK}-intake-dead-letters"
    cloudwatch = deployed.client("cloudwatch")
    with failure_messages(deployed) as heard:
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
        [message] = wait_for(heard)
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")
    said = json.loads(message)
    assert (said["AlarmName"], said["Trigger"]["MetricName"]) == (name, "ApproximateNumberOfMessagesVisible")
    assert said["AlarmDescription"].endswith("See docs/runbook.md#dead-letters")


def values(lake: TwinLake, metric: str, **dimensions: str) -> list[float]:
    """The largest values of one of the lake's metrics, of the last minutes."""
    now = datetime.now(UTC)
    found = lake.client("cloudwatch").get_metric_statistics(
        Namespace="Lakehouse",
        MetricName=metric,
        Dimensions=[
            {"Name": name, "Value": value} for name, value in {**dimensions, "service": STACK}.items()
        ],
        StartTime=now - timedelta(minutes=10),
        EndTime=now + timedelta(minutes=1),
        Period=60,
        Statistics=["Maximum"],
    )
    return [point["Maximum"] for point in found["Datapoints"]]


def test_a_dataset_becomes_stale_and_a_metric_says_so(lake: TwinLake) -> None:
    def judged(**request: str) -> dict[str, Any]:
        found: dict[str, Any] = lake.invoke("freshness", request)
        return found

    now = judged()
    assert (now["stale"], [each["dataset"] for each in now["datasets"]]) == (0, ["flights", "weather"])
    in_two_days = datetime.now(UTC) + timedelta(days=2)
    later = judged(asOf=in_two_days.isoformat())
    flights, weather = later["datasets"]
    # Weather is promised daily, flights by the month.
    assert (later["stale"], flights["stale"], weather["stale"]) == (1, False, True)
    assert 2 * 86400 - 60 < weather["ageSeconds"] < 2 * 86400 + 7200
    assert max(wait_for(lambda: values(lake, "StaleDatasets"))) == 1
    assert max(values(lake, "DataAge", Dataset="weather")) == weather["ageSeconds"]
