"""Every file under events/ has the shape that its receiver reads."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from lakehouse.intake import parse_messages
from lakehouse.payloads import (
    ClaimResult,
    CompleteRequest,
    ExecutionEvent,
    FreshnessRequest,
    MaintainRequest,
    ReconcileRequest,
    RunRequest,
)
from tests.infra.templates import ROOT, resource, resources

EVENTS = {path.stem: json.loads(path.read_text()) for path in (ROOT / "events").glob("*.json")}
FUNCTIONS = {f.properties["CodeUri"].split("/")[1] for f in resources("AWS::Serverless::Function")}
TRIGGERS = {"arrival", "promote", "refresh", "maintenance"}


def test_there_is_one_event_for_each_function_and_trigger() -> None:
    assert set(EVENTS) == FUNCTIONS | TRIGGERS


def matches(pattern: Any, event: Any) -> bool:
    """EventBridge's exact matching: every field of the pattern names the values it takes."""
    if isinstance(pattern, dict):
        return all(key in event and matches(inner, event[key]) for key, inner in pattern.items())
    return event in pattern


def filled(pattern: Any, known: dict[str, str]) -> Any:
    """A rule's pattern with the values in place of intrinsics, by their last word."""
    if isinstance(pattern, list):
        return [filled(value, known) for value in pattern]
    if isinstance(pattern, dict) and set(pattern) <= {"Ref", "Fn::GetAtt"}:
        [value] = pattern.values()
        return known[value if isinstance(value, str) else value[-1]]
    if isinstance(pattern, dict):
        return {key: filled(value, known) for key, value in pattern.items()}
    return pattern


def test_the_arrival_matches_the_rule_and_no_other_bucket_does() -> None:
    event = EVENTS["arrival"]
    bucket = "lake-dev-bronze-000000000000-us-east-1"
    pattern = filled(resource("ArrivalRule").properties["EventPattern"], {"Outputs.BronzeBucketName": bucket})
    assert matches(pattern, event)
    other = event | {"detail": event["detail"] | {"bucket": {"name": bucket.replace("bronze", "silver")}}}
    assert not matches(pattern, other)
    assert not matches(pattern, event | {"detail-type": "Object Deleted"})


def test_the_end_of_a_run_matches_the_rule_of_recovery_and_its_success_does_not() -> None:
    event = EVENTS["recover"]
    machine = event["detail"]["stateMachineArn"]
    trigger = resource("RecoverFunction").properties["Events"]["RunEnded"]["Properties"]
    known = {
        f"{name.capitalize()}StateMachine": machine.replace("promote", name)
        for name in ("promote", "refresh", "maintain")
    }
    pattern = filled(trigger["Pattern"], known)
    assert matches(pattern, event)
    assert matches(pattern, event | {"detail": event["detail"] | {"status": "TIMED_OUT"}})
    assert not matches(pattern, event | {"detail": event["detail"] | {"status": "SUCCEEDED"}})
    assert ExecutionEvent.model_validate(event).run_request().run_id == event["detail"]["name"]


def test_the_batch_holds_announcements_of_two_datasets() -> None:
    records = EVENTS["intake"]["Records"]
    messages = list(parse_messages((record["messageId"], record["body"]) for record in records))
    keys = [message.body["detail"]["object"]["key"] for message in messages]
    assert keys == ["flights/year=2014/month=1/flights.csv", "weather/2014.csv"]
    assert messages[0].body == EVENTS["arrival"]
    for record in records:
        digest = hashlib.md5(record["body"].encode(), usedforsecurity=False).hexdigest()
        assert record["md5OfBody"] == digest


@pytest.mark.parametrize(
    ("name", "writer"),
    [
        ("promote", "promote:flights"),
        ("claim", "promote:flights"),
        ("maintenance", "promote:flights"),
        ("refresh", "refresh"),
        ("plan", "refresh"),
    ],
)
def test_an_execution_starts_with_a_run_and_its_first_function_gets_the_same(name: str, writer: str) -> None:
    request = RunRequest.model_validate(EVENTS[name])
    assert request.writer == writer
    if name != "maintenance":
        assert EVENTS[name] == EVENTS["promote" if writer != "refresh" else "refresh"]
    assert request.dataset == ("flights" if writer != "refresh" else "")


def test_what_bronze_gets_is_what_claim_returns() -> None:
    claimed = ClaimResult.model_validate(EVENTS["bronze"])
    assert claimed.dump() == EVENTS["bronze"]
    assert EVENTS["complete"] == {**EVENTS["claim"], "report": claimed.report}
    assert CompleteRequest.model_validate(EVENTS["complete"]).report == claimed.report


@pytest.mark.parametrize("name", ["sweep", "reconcile", "maintain", "freshness"])
def test_a_schedule_says_nothing_but_its_rule(name: str) -> None:
    event = EVENTS[name]
    assert event["detail-type"] == "Scheduled Event"
    assert event["resources"][0].endswith(f":rule/lake-dev-{name}")
    assert event["detail"] == {}
    # What the daily schedules send is read as: everything, from the start; everybody whose tables need it.
    assert ReconcileRequest.model_validate(event) == ReconcileRequest()
    assert MaintainRequest.model_validate(event) == MaintainRequest()
    assert FreshnessRequest.model_validate(event) == FreshnessRequest()


def test_the_custom_resource_is_asked_with_its_own_properties() -> None:
    asked = set(EVENTS["assets"]["ResourceProperties"])
    assert asked == set(resource("ShippedAssets").properties)
    assert EVENTS["assets"]["PhysicalResourceId"] == "lake-dev-assets"
