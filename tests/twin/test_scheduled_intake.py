"""Scheduled intake, night by night: the bookmark proposes, the ledger decides (issue 4, acceptance 6).

The first night is the sample lake's (`conftest.py`): it took in `weather/weather.csv`, with all the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError

from lakehouse import writers
from lakehouse.store import Item
from lakehouse_cli import scheduled
from tests.twin.lake import STACK, TwinLake
from tests.twin.sample import weather_file

pytestmark = pytest.mark.usefixtures("gold_held")

YEAR = 2051
WRITER = "promote:weather"
JOB, CRAWLER = f"{STACK}-scheduled", f"{STACK}-scheduled"
WORKFLOW = f"{STACK}-scheduled-intake"
ANOTHER = '{"Name": "somebody-elses"}'
NIGHT_SECONDS = 90


class Night(NamedTuple):
    """A run of the workflow, and how things stood when all it brought about was over.

    ``actions``: its counts; ``weather``: what its job said of weather; ``promotes``: runs of weather's writer so
    far, maintenance left out; ``claimed``: what the last of them was given; ``rows``: of the nights, by day;
    ``known``: the keys of weather that the ledger has.
    """

    actions: dict[str, int]
    weather: dict[str, int]
    job_state: str
    promotes: int
    claimed: list[str]
    rows: list[list[Any]]
    known: set[str]


def runs(lake: TwinLake) -> list[dict[str, Any]]:
    """The workflow's runs, newest first."""
    return list(lake.client("glue").get_workflow_runs(Name=WORKFLOW)["Runs"])


def end_of(lake: TwinLake, run_id: str) -> Night:
    """Wait until a run is over, and all that it brought about."""
    glue = lake.client("glue")

    def run() -> dict[str, Any]:
        return dict(glue.get_workflow_run(Name=WORKFLOW, RunId=run_id)["Run"])

    lake.until(lambda: run()["Status"] == "COMPLETED", f"night {run_id}", NIGHT_SECONDS)
    lake.until(lambda: is_still(lake), "weather's writer has nothing to do", NIGHT_SECONDS)
    job = glue.get_job_runs(JobName=JOB)["JobRuns"][0]
    group = f"/aws-glue/jobs/{JOB}/output"
    lines = lake.client("logs").get_log_events(logGroupName=group, logStreamName=job["Id"])["events"]
    said = [json.loads(line["message"]) for line in lines if line["message"].startswith("{")]
    promotes = [each for each in lake.runs(WRITER) if each["kind"] == "promote"]
    return Night(
        run()["Statistics"],
        said[-1]["weather"] if said else {},
        job["JobRunState"],
        len(promotes),
        manifest(lake, promotes[-1]),
        rows(lake),
        set(lake.states("weather")),
    )


def is_still(lake: TwinLake) -> bool:
    """Whether no run of weather is at work or due. (Gold is held, and waits.)"""
    lease = writers.read(lake.core, WRITER)
    return lease.state == writers.FREE and not writers.has_work(lake.core, lease)


def night(lake: TwinLake) -> Night:
    return end_of(lake, lake.start_scheduled_intake())


def manifest(lake: TwinLake, run: Item) -> list[str]:
    """The keys that a promote run was given."""
    return [file["key"] for file in json.loads(lake.operations_text(run["manifest"]))["files"]]


def rows(lake: TwinLake) -> list[list[Any]]:
    return lake.query(f"SELECT day, count(*) FROM weather WHERE year = {YEAR} GROUP BY day ORDER BY day")


@pytest.fixture(scope="module")
def by_hand(lake: TwinLake) -> dict[str, Any]:
    """A file that came with nobody but a person to take it in: what was tried before, and what became of it."""
    file = lake.put("weather/by-hand.csv", weather_file(YEAR, 1))
    tried = {
        "event": lake.deliver([lake.event(file)])["batchItemFailures"],
        "daily": lake.invoke("reconcile", {"follow": False})["registered"],
        "before": lake.state(file),
        "named": lake.take_in("weather")["registered"],
    }
    return {**tried, "state": lake.settle([file], gold=False)[file[1]]["state"]}


@pytest.fixture(scope="module")
def second(lake: TwinLake, by_hand: dict[str, Any]) -> Night:
    """One file more came since the first night. The schedule itself starts the workflow."""
    lake.put("weather/night-2.csv", weather_file(YEAR, 2))
    known = {run["WorkflowRunId"] for run in runs(lake)}
    with due_schedules(lake):
        lake.until(lambda: len(runs(lake)) > len(known), "the schedule has started the workflow", 20)
    return end_of(lake, runs(lake)[0]["WorkflowRunId"])


@contextmanager
def due_schedules(lake: TwinLake) -> Iterator[None]:
    """The lake's schedule, due now: enabled, disabled, and for a workflow that its role may not start."""
    scheduler = lake.client("scheduler")
    target = scheduler.get_schedule(Name=WORKFLOW)["Target"]
    another = {**target, "Input": ANOTHER}
    for name, state, of in (
        ("off", "DISABLED", target),
        ("on", "ENABLED", target),
        ("no", "ENABLED", another),
    ):
        scheduler.create_schedule(
            Name=f"tonight-{name}",
            ScheduleExpression=f"at({datetime.now(UTC):%Y-%m-%dT%H:%M:%S})",
            FlexibleTimeWindow={"Mode": "OFF"},
            State=state,
            Target=of,
        )
    yield
    for name in ("off", "on", "no"):
        scheduler.delete_schedule(Name=f"tonight-{name}")


@pytest.fixture(scope="module")
def again(lake: TwinLake, second: Night) -> Night:
    """The same night once more."""
    return night(lake)


@pytest.fixture(scope="module")
def killed(lake: TwinLake, again: Night) -> Night:
    """The bookmark is reset, a file comes, and the job dies once the ledger has it, before its commit."""
    lake.client("glue").reset_job_bookmark(JobName=JOB)
    lake.put("weather/night-3.csv", weather_file(YEAR, 3))
    fault = {"role": "ScheduledJobRole", "service": "lambda", "call": "reconcile/invocations"}
    lake.arm(**fault, when="after", effect="kill")
    found = night(lake)
    assert lake.fault_fired()
    lake.arm_all()
    return found


@pytest.fixture(scope="module")
def after(lake: TwinLake, killed: Night) -> Night:
    """The night after that: the bookmark knows nothing, the ledger everything."""
    return night(lake)


@pytest.fixture(autouse=True)
def no_fault_stays(lake: TwinLake) -> Iterator[None]:
    """No fault is left armed for the next test."""
    yield
    lake.arm_all()


def test_a_file_waits_for_the_night_and_for_nothing_else(by_hand: dict[str, Any]) -> None:
    """Neither its event nor the daily reconciliation takes it in; a person can, by the dataset's name."""
    assert by_hand == {"event": [], "daily": 0, "before": "", "named": 1, "state": "PROMOTED"}


def test_the_schedule_that_is_enabled_starts_a_run_and_the_job_follows_the_crawl(
    lake: TwinLake, second: Night
) -> None:
    assert lake.client("scheduler").get_schedule(Name=WORKFLOW)["ScheduleExpression"] == "cron(17 2 * * ? *)"
    assert (second.job_state, second.actions["TotalActions"], second.actions["SucceededActions"]) == (
        "SUCCEEDED",
        2,
        2,
    )
    crawler = lake.client("glue").get_crawler(Name=CRAWLER)["Crawler"]
    assert crawler["LastCrawl"]["Status"] == "SUCCEEDED"
    table = lake.client("glue").get_table(DatabaseName=lake.cli.name("BronzeDatabaseName"), Name="weather")
    assert "lakehouse.plan-hash" in table["Table"]["Parameters"]


def test_a_start_that_is_refused_and_a_job_that_failed_are_kept_with_the_failed_events(
    lake: TwinLake, killed: Night
) -> None:
    queue, seen = lake.cli.name("FailedEventsQueueUrl"), dict[str, str]()

    def kept() -> bool:
        answer = lake.client("sqs").receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=5
        )
        seen.update({message["MessageId"]: message["Body"] for message in answer.get("Messages", [])})
        details = [json.loads(body).get("detail", {}) for body in seen.values() if body != ANOTHER]
        failed = [detail for detail in details if detail.get("jobName") == JOB]
        return ANOTHER in seen.values() and [detail["state"] for detail in failed] == ["FAILED"]

    lake.until(kept, "both are in the queue", 20)


def test_the_second_night_reads_only_what_is_new(second: Night) -> None:
    # What was taken in by hand since the first night, here and by other tests, is in the ledger; the bookmark has not
    # seen it yet, and names it too.
    assert {"weather/weather.csv", "weather/by-hand.csv", "weather/night-2.csv"} <= second.known
    assert (second.weather["listed"], second.weather["registered"]) == (len(second.known) - 1, 1)
    assert second.claimed == ["weather/night-2.csv"]
    assert second.rows == [[1, 2], [2, 2]]


def test_the_same_night_again_adds_nothing(again: Night, second: Night) -> None:
    assert again.weather == dict.fromkeys(("listed", "registered", "reopened", "unfinished", "ignored"), 0)
    assert (again.job_state, again.promotes) == ("SUCCEEDED", second.promotes)


def test_a_kill_before_the_bookmarks_commit_loses_nothing(killed: Night, again: Night) -> None:
    assert (killed.job_state, killed.actions["FailedActions"]) == ("FAILED", 1)
    assert killed.promotes == again.promotes + 1
    assert killed.claimed == ["weather/night-3.csv"]
    assert killed.rows == [[1, 2], [2, 2], [3, 2]]


def test_neither_a_reset_bookmark_nor_a_killed_job_doubles_anything(
    lake: TwinLake, after: Night, killed: Night
) -> None:
    known = [key for key, states in lake.states("weather").items() if states == ["PROMOTED"]]
    assert {"weather/weather.csv", "weather/night-2.csv", "weather/night-3.csv"} <= set(known)
    assert (after.weather["listed"], after.weather["registered"]) == (len(known), 0)
    assert (after.job_state, after.promotes) == ("SUCCEEDED", killed.promotes)
    assert after.rows == killed.rows
    assert lake.quarantined("weather") == []


def test_the_night_ends_with_asking_for_maintenance(lake: TwinLake, after: Night) -> None:
    """Which looks at every writer, whether it has a schedule or not."""
    events = lake.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{STACK}-maintain")["events"]
    asked = [json.loads(e["message"]) for e in events if "maintenance asked for" in e["message"]]
    assert WRITER in [*asked[-1]["notDue"], *asked[-1]["started"], *asked[-1]["wanted"]]
    assert "promote:flights" in [*asked[-1]["notDue"], *asked[-1]["started"], *asked[-1]["wanted"]]


def test_only_one_run_at_a_time_and_only_active_triggers(lake: TwinLake, after: Night) -> None:
    glue, trigger = lake.client("glue"), f"{STACK}-scheduled-job"
    glue.stop_trigger(Name=trigger)
    try:
        run_id = lake.start_scheduled_intake()
        with pytest.raises(ClientError, match="ConcurrentRunsExceeded"):
            glue.start_workflow_run(Name=WORKFLOW)
        assert scheduled.follow(lake.cli, run_id, NIGHT_SECONDS)["TotalActions"] == 1
    finally:
        glue.start_trigger(Name=trigger)
