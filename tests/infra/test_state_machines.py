"""The shape of the state machines: what a linter does not see."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from lakehouse import errors
from tests.infra.templates import MACHINES, machine, machine_text, placeholders, resource, substitutions

JSONPATH_FIELDS = {"Parameters", "ResultPath", "InputPath", "OutputPath", "ResultSelector", "ItemsPath"}
OWN_ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
JOBS = {"promote": "RunSilver", "refresh": "RunGold", "maintain": "RunMaintenance"}
SCRIPTS = {"promote": "silver", "refresh": "gold", "maintain": "maintain"}
LAMBDA_SERVICE_ERRORS = {
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
}


def tasks(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for state, body in machine(name)["States"].items():
        if body["Type"] == "Task":
            yield state, body


def targets(body: dict[str, Any]) -> set[str]:
    named = {body[key] for key in ("Next", "Default") if key in body}
    named |= {choice["Next"] for choice in body.get("Choices", [])}
    return named | {catcher["Next"] for catcher in body.get("Catch", [])}


@pytest.mark.parametrize("name", MACHINES)
def test_every_transition_resolves_and_every_state_is_reachable(name: str) -> None:
    states = machine(name)["States"]
    reached, waiting = set(), [machine(name)["StartAt"]]
    while waiting:
        state = waiting.pop()
        assert state in states, f"{name}: nothing is named {state}"
        if state not in reached:
            reached.add(state)
            waiting.extend(targets(states[state]))
    assert reached == set(states)


@pytest.mark.parametrize("name", MACHINES)
def test_every_way_ends(name: str) -> None:
    states = machine(name)["States"]
    for state, body in states.items():
        ends = body.get("End") is True or body["Type"] == "Fail"
        assert ends or targets(body), f"{state} leads nowhere"
    ended = {state for state, body in states.items() if body.get("End") or body["Type"] == "Fail"}
    assert ended == {"CompleteRun", "FailRun"}


@pytest.mark.parametrize("name", MACHINES)
def test_names_are_verb_and_noun_and_everything_says_what_it_is_for(name: str) -> None:
    assert machine(name)["Comment"]
    for state, body in machine(name)["States"].items():
        assert re.fullmatch(r"([A-Z][a-z]+){2,3}", state), state
        assert body["Comment"].endswith((".", "?")), state


@pytest.mark.parametrize("name", MACHINES)
def test_jsonata_only_and_bounded_in_time(name: str) -> None:
    definition = machine(name)
    assert definition["QueryLanguage"] == "JSONata"
    assert 8 * 3600 < definition["TimeoutSeconds"] <= 2 * 86400
    for state, body in definition["States"].items():
        assert not JSONPATH_FIELDS & set(body), state
    # JSONPath's signs: a key that ends with .$ and the intrinsic functions.
    assert ".$:" not in machine_text(name)
    assert "States.Format" not in machine_text(name)


@pytest.mark.parametrize("name", MACHINES)
def test_every_placeholder_is_filled_and_none_is_left_over(name: str) -> None:
    assert placeholders(name) == set(substitutions(name))
    # AWS::Partition and its kind are not substituted inside a definition's file.
    assert "AWS::" not in machine_text(name)


@pytest.mark.parametrize("name", MACHINES)
def test_every_task_catches_everything_and_tells_it(name: str) -> None:
    for state, body in tasks(name):
        last = body["Catch"][-1]
        assert last["ErrorEquals"] == ["States.ALL"], state
        if state == "NotifyFailure":
            assert last["Next"] == "FailRun"
        else:
            assert last["Next"] == "NotifyFailure", state
            assert last["Assign"] == {"failure": "{% $states.errorOutput.Error %}"}, state


@pytest.mark.parametrize("name", MACHINES)
def test_every_retry_has_its_reason_and_none_repeats_an_error_of_our_own(name: str) -> None:
    reasons = len(re.findall(r"^    Retry:\n +#", machine_text(name), re.MULTILINE))
    assert reasons == len(list(tasks(name)))
    for state, body in tasks(name):
        for retrier in body["Retry"]:
            assert not OWN_ERRORS & set(retrier["ErrorEquals"]), state
            assert not {error for error in retrier["ErrorEquals"] if error.startswith("States.")}, state
            assert retrier["JitterStrategy"] == "FULL", state
        if body["Resource"].endswith("lambda:invoke"):
            assert {error for r in body["Retry"] for error in r["ErrorEquals"]} == LAMBDA_SERVICE_ERRORS, (
                state
            )


@pytest.mark.parametrize(("name", "job"), JOBS.items())
def test_a_job_that_may_have_started_is_never_started_again(name: str, job: str) -> None:
    [retrier] = machine(name)["States"][job]["Retry"]
    assert set(retrier["ErrorEquals"]) == {
        "Glue.ConcurrentRunsExceededException",
        "Glue.ResourceNumberLimitExceededException",
        "Glue.ThrottlingException",
    }


@pytest.mark.parametrize(("name", "job"), JOBS.items())
def test_the_wait_for_a_free_slot_is_longer_than_a_job_and_fits_into_the_execution(
    name: str, job: str
) -> None:
    [retrier] = machine(name)["States"][job]["Retry"]
    delay, waited = retrier["IntervalSeconds"], 0
    for _ in range(retrier["MaxAttempts"]):
        waited += min(delay, retrier["MaxDelaySeconds"])
        delay *= retrier["BackoffRate"]
    # Full jitter waits half of that on average.
    jobs = {"promote": "SilverJob", "refresh": "GoldJob", "maintain": "MaintainJob"}
    job_seconds = resource(jobs[name]).properties["Timeout"] * 60
    assert waited > job_seconds
    assert waited / 2 + job_seconds + 240 * 30 < machine(name)["TimeoutSeconds"]


@pytest.mark.parametrize("name", MACHINES)
def test_a_stale_run_ends_without_a_message(name: str) -> None:
    caught = {
        state: body["Catch"][0]["Next"]
        for state, body in tasks(name)
        if body["Catch"][0]["ErrorEquals"] == ["StaleRun"]
    }
    first = {"promote": "ClaimFiles", "refresh": "PlanModels", "maintain": "PlanMaintenance"}
    assert caught == {first[name]: "FailRun", "CompleteRun": "FailRun"}


@pytest.mark.parametrize("name", MACHINES)
def test_no_cause_leaves_the_execution(name: str) -> None:
    assert "errorOutput.Cause" not in machine_text(name)
    logging = resource(f"{name.capitalize()}StateMachine").properties["Logging"]
    assert logging["IncludeExecutionData"] is False


def test_a_crawl_cannot_outgrow_the_history_of_an_execution() -> None:
    polls = substitutions("promote")["CrawlMaxPolls"]
    # At most 11 events a round: wait 2, task 5, its choice 2, and the choice of the turn 2.
    assert polls * 11 < 25_000 / 2


@pytest.mark.parametrize(
    ("name", "job", "script"), [(name, job, SCRIPTS[name]) for name, job in JOBS.items()]
)
def test_a_run_uses_script_and_library_of_the_assets_it_claimed_with(
    name: str, job: str, script: str
) -> None:
    arguments = machine(name)["States"][job]["Arguments"]["Arguments"]
    assert arguments["--scriptLocation"] == (
        "{% 's3://operationsbucketname/' & $run.assetsPrefix & 'jobs/" + script + ".py' %}"
    )
    assert arguments["--extra-py-files"] == (
        "{% 's3://operationsbucketname/' & $run.assetsPrefix & 'lakehouse_spark.zip' %}"
    )
