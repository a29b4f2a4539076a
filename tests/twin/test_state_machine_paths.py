"""The ways through the state machines that a lake in good health never takes (acceptance 11, fault 7).

Nearly all of them end before Spark. What a state machine asks of a service is refused, or
held, by a fault in front of that service (`twin/faults.py`); recovery follows by the lake's own rule.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from lakehouse import recover, writers
from lakehouse.lake import Execution
from lakehouse.payloads import RunRequest
from lakehouse.words import REFRESH_WRITER
from tests.twin import paths
from tests.twin.lake import STACK, TwinLake
from tests.twin.paths import THE_END, Step
from tests.twin.topic import failure_messages

DATASET = "probes"
PROBES = f"promote:{DATASET}"
IDLE = "promote:idle"
"""The writer of a dataset that no file ever came for: its runs find nothing to do."""
SHARED = "shared"
NO_MODELS = "assets/no-models/"
PROMOTE, REFRESH, CRAWLER = "PromoteStateMachineRole", "RefreshStateMachineRole", "BronzeCrawlerRole"
DENIED, MISSING = "AccessDeniedException", "EntityNotFoundException"


def refused(role: str, service: str, call: str, code: str) -> dict[str, Any]:
    """A fault: the next such call is refused."""
    return {"role": role, "service": service, "call": call, "when": "before", "effect": code}


def held(role: str, service: str, call: str) -> dict[str, Any]:
    """A fault: the next such call waits until it is let go."""
    return refused(role, service, call, "hold")


def function_refused(role: str, function: str) -> dict[str, Any]:
    """A fault: the next call of a function finds none."""
    return refused(role, "lambda", f"{STACK}-{function}/invocations", "ResourceNotFoundException")


TOPIC_REFUSED = refused("", "sns", "POST", "AuthorizationError")


class Ended(NamedTuple):
    """An execution that is over."""

    run_id: str
    status: str
    error: str
    steps: list[Step]


class Runs:
    """The runs of one writer, started and watched one at a time."""

    def __init__(self, lake: TwinLake, writer: str) -> None:
        self.lake, self.writer = lake, writer
        machine = "refresh" if writer == REFRESH_WRITER else "promote"
        self.machine_arn = paths.machines(lake)[machine]
        self.stem = writer.removeprefix("promote:") + "-"

    def newest(self) -> str:
        """The run id of the newest execution, '' if there is none."""
        mine = [e for e in paths.executions(self.lake, self.machine_arn) if e["name"].startswith(self.stem)]
        return max(mine, key=lambda e: e["startDate"])["name"] if mine else ""

    def next(self, start: Callable[[], object]) -> str:
        """Start a run; its id."""
        before = self.newest()
        start()
        self.lake.until(lambda: self.newest() != before, f"a run of {self.writer}")
        return self.newest()

    def go(self) -> str:
        """Start the writer, whether it is free or waits after a failure; the run's id."""

        def start() -> None:
            writers.retry(self.lake.core, self.writer)
            if self.lease().state == writers.FREE:
                writers.wake(self.lake.core, self.writer, 1)

        return self.next(start)

    def arn(self, run_id: str) -> str:
        return self.machine_arn.replace(":stateMachine:", ":execution:") + f":{run_id}"

    def entered(self, run_id: str, state: str) -> bool:
        return any(step.target == state for step in paths.history(self.lake, self.arn(run_id)))

    def ended(self, run_id: str) -> Ended:
        """The run once it is over, and whatever has to be recovered is."""
        states = self.lake.client("stepfunctions")

        def status() -> dict[str, Any]:
            return dict(states.describe_execution(executionArn=self.arn(run_id)))

        self.lake.until(lambda: status()["status"] != "RUNNING", f"{run_id} is over", 120)
        self.lake.until(lambda: self.lease().run_id != run_id, f"{run_id} is recovered", 120)
        found = status()
        steps = paths.history(self.lake, self.arn(run_id))
        return Ended(run_id, found["status"], found.get("error", ""), steps)

    def lease(self) -> writers.Lease:
        return writers.read(self.lake.core, self.writer)


@pytest.fixture(scope="module")
def lake(deployed: TwinLake) -> TwinLake:
    """The lake with or without the sample lake in it: nothing here needs that."""
    return deployed


@pytest.fixture(autouse=True)
def no_fault_stays(lake: TwinLake) -> Iterator[None]:
    """No fault is left armed for the next test."""
    yield
    lake.arm_all()


@pytest.fixture(scope="module")
def told(lake: TwinLake) -> Iterator[Callable[[Ended], list[str]]]:
    """The errors that the topic was told of a run."""
    with failure_messages(lake) as listen:

        def errors(run: Ended) -> list[str]:
            told = [json.loads(text) for text in listen() if text.startswith("{")]
            return [message["error"] for message in told if message["runId"] == run.run_id]

        yield errors


Told = Callable[[Ended], list[str]]


def assert_failed(run: Ended, told: Told, state: str, error: str) -> None:
    """The run ended FAILED by an error of one state, and the topic was told that."""
    assert (run.status, run.error) == ("FAILED", error), run
    assert run.steps[-3:] == [
        Step(state, "error", "NotifyFailure"),
        Step("NotifyFailure", "next", "FailRun"),
        Step("FailRun", "next", THE_END),
    ]
    assert told(run) == [error]


@contextmanager
def impatient(lake: TwinLake) -> Iterator[None]:
    """While it lasts, promote gives a crawl up after the first look instead of after two hours of them."""
    states, arn = lake.client("stepfunctions"), paths.machines(lake)["promote"]
    definition = states.describe_state_machine(stateMachineArn=arn)["definition"]
    changed, places = re.subn(r"\$polls > \d+", "$polls > 0", definition)
    assert places == 2
    states.update_state_machine(stateMachineArn=arn, definition=changed)
    try:
        yield
    finally:
        states.update_state_machine(stateMachineArn=arn, definition=definition)


@contextmanager
def no_models(lake: TwinLake) -> Iterator[None]:
    """While it lasts, refresh plans with assets that hold no model."""
    bucket, s3 = lake.cli.name("OperationsBucketName"), lake.client("s3")
    index = json.loads(lake.operations_text(f"{lake.cli.outputs['AssetsPrefix']}index.json"))
    body = json.dumps({**index, "models": []}).encode()
    s3.put_object(Bucket=bucket, Key=f"{NO_MODELS}index.json", Body=body)
    functions, name = lake.client("lambda"), f"{STACK}-plan"
    before = functions.get_function_configuration(FunctionName=name)["Environment"]
    empty = {"Variables": {**before["Variables"], "ASSETS_PREFIX": NO_MODELS}}
    functions.update_function_configuration(FunctionName=name, Environment=empty)
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=name, Environment=before)
        s3.delete_object(Bucket=bucket, Key=f"{NO_MODELS}index.json")


def recovered_before_it_completes(runs: Runs, role: str) -> Ended:
    """A run that recovery took for dead while it lived, just before its last step."""
    lake = runs.lake
    lake.arm(**held(role, "lambda", f"{STACK}-complete/invocations"))
    run_id = runs.go()
    lake.until(lake.fault_fired, f"{run_id} is at its last step")
    request = RunRequest(run_id=run_id, writer=runs.writer, dataset=writers.dataset_of(runs.writer))
    recover.recover(lake.core, request, Execution("ABORTED", "", ""))
    lake.arm_all()
    return runs.ended(run_id)


def assert_stale(run: Ended, told: Told) -> None:
    """The run found that another one may hold its lease: it ended without a message and without a trace."""
    assert (run.status, run.error) == ("FAILED", "StaleRun")
    assert run.steps[-2:] == [Step("CompleteRun", "error", "FailRun"), Step("FailRun", "next", THE_END)]
    assert told(run) == []


# --- refresh -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def refreshes(lake: TwinLake) -> Runs:
    """The writer of Gold, with nothing to do."""
    lake.rest()
    return Runs(lake, REFRESH_WRITER)


def test_a_plan_that_is_refused_ends_the_refresh_and_tells(
    lake: TwinLake, refreshes: Runs, told: Told
) -> None:
    lake.arm(**function_refused(REFRESH, "plan"))
    assert_failed(refreshes.ended(refreshes.go()), told, "PlanModels", "Lambda.ResourceNotFoundException")


def test_a_gold_job_that_cannot_start_ends_the_refresh_and_tells(
    lake: TwinLake, refreshes: Runs, told: Told
) -> None:
    lake.arm(**refused(REFRESH, "glue", "StartJobRun", DENIED))
    assert_failed(refreshes.ended(refreshes.go()), told, "RunGold", "Glue.AccessDeniedException")


def stopped(runs: Runs, job: str, role: str) -> list[str]:
    """Stop a run while its job, which has that role, is at its first file; the states of its job runs."""
    lake = runs.lake
    lake.arm(**held(role, "s3", "GET"))
    run_id = runs.go()
    lake.until(lake.fault_fired, f"the job of {run_id} has begun", 120)
    lake.client("stepfunctions").stop_execution(executionArn=runs.arn(run_id))
    lake.arm_all()
    assert runs.ended(run_id).status == "ABORTED"
    found = lake.client("glue").get_job_runs(JobName=f"{STACK}-{job}")["JobRuns"]
    return [each["JobRunState"] for each in found if each["Arguments"].get("--run_id") == run_id]


def test_a_refresh_that_is_stopped_stops_its_job(lake: TwinLake, refreshes: Runs) -> None:
    assert stopped(refreshes, "gold", "GoldJobRole") == ["STOPPED"]


def test_a_refresh_that_cannot_tell_fails_all_the_same(lake: TwinLake, refreshes: Runs, told: Told) -> None:
    lake.arm_all(plan=function_refused(REFRESH, "plan"), topic=TOPIC_REFUSED | {"role": REFRESH})
    run = refreshes.ended(refreshes.go())
    assert (run.status, run.error) == ("FAILED", "Lambda.ResourceNotFoundException")
    assert Step("NotifyFailure", "error", "FailRun") in run.steps
    assert told(run) == []


def test_a_lake_without_models_refreshes_nothing(lake: TwinLake, refreshes: Runs, told: Told) -> None:
    with no_models(lake):
        lake.arm(**function_refused(REFRESH, "complete"))
        refused_run = refreshes.ended(refreshes.go())
        stale = recovered_before_it_completes(refreshes, REFRESH)
        done = refreshes.ended(refreshes.go())
    assert_failed(refused_run, told, "CompleteRun", "Lambda.ResourceNotFoundException")
    assert_stale(stale, told)
    assert done.status == "SUCCEEDED"
    assert done.steps == [
        Step("PlanModels", "next", "ChooseWork"),
        Step("ChooseWork", "next", "CompleteRun"),
        Step("CompleteRun", "next", THE_END),
    ]


# --- promote: a run that has nothing to do ----------------------------------------------------------------


def test_a_run_that_finds_no_file_completes(lake: TwinLake, told: Told) -> None:
    idle = Runs(lake, IDLE)
    lake.arm(**function_refused(PROMOTE, "complete"))
    refused_run = idle.ended(idle.go())
    stale = recovered_before_it_completes(idle, PROMOTE)
    done = idle.ended(idle.go())
    assert_failed(refused_run, told, "CompleteRun", "Lambda.ResourceNotFoundException")
    assert_stale(stale, told)
    assert done.status == "SUCCEEDED"
    assert done.steps == [
        Step("ClaimFiles", "next", "ChooseWork"),
        Step("ChooseWork", "next", "CompleteRun"),
        Step("CompleteRun", "next", THE_END),
    ]


# --- promote: a dataset without a contract ------------------------------------------------------------------------------------------

TASKS = [
    ("ClaimFiles", function_refused(PROMOTE, "claim"), "Lambda.ResourceNotFoundException"),
    ("PointCrawler", refused(PROMOTE, "glue", "UpdateCrawler", DENIED), "Glue.AccessDeniedException"),
    ("StartCrawler", refused(PROMOTE, "glue", "StartCrawler", MISSING), "Glue.EntityNotFoundException"),
    ("GetCrawler", refused(PROMOTE, "glue", "GetCrawler", MISSING), "Glue.EntityNotFoundException"),
    ("RegisterBronze", function_refused(PROMOTE, "bronze"), "Lambda.ResourceNotFoundException"),
]


@pytest.fixture(scope="module")
def probes(lake: TwinLake) -> Runs:
    """The writer of a dataset without a contract, with one file that waits. Its tests follow one another."""
    lake.rest()
    runs = Runs(lake, PROBES)
    with lake.silence():
        file = lake.put(f"{DATASET}/day=1/a.csv", "id,depth\n1,2.5\n2,3.5\n")
    lake.arm(**function_refused(PROMOTE, "claim"))
    first = runs.ended(runs.next(lambda: lake.deliver([lake.event(file)])))
    assert first.status == "FAILED"
    return runs


@pytest.mark.parametrize(("state", "fault", "error"), TASKS, ids=[state for state, _, _ in TASKS])
def test_a_task_of_promote_that_is_refused_ends_the_run_and_tells(
    lake: TwinLake, probes: Runs, told: Told, state: str, fault: dict[str, Any], error: str
) -> None:
    lake.arm(**fault)
    run = probes.ended(probes.go())
    assert_failed(run, told, state, error)
    assert probes.lease().state == "WAITING"


def test_a_message_that_cannot_be_sent_changes_nothing_of_the_failure(
    lake: TwinLake, probes: Runs, told: Told
) -> None:
    lake.arm_all(
        crawler=refused(PROMOTE, "glue", "UpdateCrawler", DENIED),
        topic=TOPIC_REFUSED | {"role": PROMOTE},
    )
    run = probes.ended(probes.go())
    assert (run.status, run.error) == ("FAILED", "Glue.AccessDeniedException")
    assert Step("NotifyFailure", "error", "FailRun") in run.steps
    assert told(run) == []


def test_a_crawl_that_fails_is_told(lake: TwinLake, probes: Runs, told: Told) -> None:
    lake.arm(**refused(CRAWLER, "s3", "GET", "AccessDenied"))
    run = probes.ended(probes.go())
    assert (run.status, run.error) == ("FAILED", "CrawlFailed")
    assert run.steps[-4] == Step("CheckCrawl", "next", "FailCrawl")
    assert told(run) == ["CrawlFailed"]


def test_a_crawl_that_does_not_end_is_given_up(lake: TwinLake, probes: Runs, told: Told) -> None:
    lake.arm(**held(CRAWLER, "s3", "GET"))
    with impatient(lake):
        run = probes.ended(probes.go())
    assert run.error == "CrawlTimedOut"
    assert run.steps[-4] == Step("CheckCrawl", "next", "GiveUpCrawl")
    assert told(run) == ["CrawlTimedOut"]


def test_a_crawler_that_is_never_free_is_given_up(lake: TwinLake, probes: Runs, told: Told) -> None:
    start_crawl_elsewhere(lake)
    with impatient(lake):
        run = probes.ended(probes.go())
    assert run.error == "CrawlTimedOut"
    assert run.steps[-4] == Step("CheckTurn", "next", "GiveUpCrawl")
    assert told(run) == ["CrawlTimedOut"]


def start_crawl_elsewhere(lake: TwinLake, **faults: dict[str, Any]) -> None:
    """Somebody else has the crawler look at another folder; it does so until it is let go. ``faults``: others."""
    glue, name, bucket = lake.client("glue"), f"{STACK}-bronze", lake.cli.name("BronzeBucketName")
    lake.until(lambda: glue.get_crawler(Name=name)["Crawler"]["State"] == "READY", "the crawler is free")
    lake.arm_all(crawl=held(CRAWLER, "s3", "GET"), **faults)
    glue.update_crawler(Name=name, Targets={"S3Targets": [{"Path": f"s3://{bucket}/elsewhere/"}]})
    glue.start_crawler(Name=name)
    lake.until(lambda: lake.fault_fired("crawl"), "the crawler reads")


def test_a_job_that_cannot_start_ends_the_run_and_tells(lake: TwinLake, probes: Runs, told: Told) -> None:
    lake.arm(**refused(PROMOTE, "glue", "StartJobRun", DENIED))
    run = probes.ended(probes.go())
    assert_failed(run, told, "RunSilver", "Glue.AccessDeniedException")


def test_a_job_whose_time_is_over_fails_its_run_and_the_next_one_lands_the_file(
    lake: TwinLake, probes: Runs, told: Told
) -> None:
    """Here the twin ends the job as it does when its Timeout is over: `test_glue_jobs.py` waits for a real one."""
    lake.arm(**refused("SilverJobRole", "s3", f"GET .*{DATASET}", "time-out"))
    run = probes.ended(probes.go())
    assert_failed(run, told, "RunSilver", "States.TaskFailed")
    jobs = lake.client("glue").get_job_runs(JobName=f"{STACK}-silver")["JobRuns"]
    assert [job["JobRunState"] for job in jobs if job["Arguments"]["--run_id"] == run.run_id] == ["TIMEOUT"]
    lake.until(lambda: probes.lease().state == writers.FREE, "the next run has ended", 120)
    assert lake.states(DATASET) == {f"{DATASET}/day=1/a.csv": ["PROMOTED"]}
    assert lake.query(f"SELECT id, depth FROM {DATASET} ORDER BY id") == [[1, 2.5], [2, 3.5]]


# --- promote: contention for the crawler ------------------------------------------------------------------


def test_peer_07_a_crawler_that_somebody_else_uses_is_waited_for(lake: TwinLake) -> None:
    lake.rest()
    shared, mine = Runs(lake, f"promote:{SHARED}"), held(PROMOTE, "glue", "StartCrawler")
    start_crawl_elsewhere(lake)
    with lake.silence():
        file = lake.put(f"{SHARED}/a.csv", "id,name\n1,North\n")
    run_id = shared.next(lambda: lake.deliver([lake.event(file)]))
    lake.until(lambda: shared.entered(run_id, "CheckTurn"), "the run waits for its turn")
    # The other crawl goes on to its end. The run aims the crawler, and somebody is faster to start it.
    lake.arm_all(start=mine)
    lake.until(lambda: lake.fault_fired("start"), "the run starts its crawl")
    start_crawl_elsewhere(lake, start=mine)
    lake.arm_all(crawl=held(CRAWLER, "s3", "GET"))
    lost = Step("CheckCrawl", "next", "WaitForCrawler")
    lake.until(lambda: lost in paths.history(lake, shared.arn(run_id)), "the run sees another's crawl")
    lake.arm_all()
    run = shared.ended(run_id)
    assert run.status == "SUCCEEDED"
    assert Step("PointCrawler", "error", "WaitForCrawler") in run.steps
    assert Step("StartCrawler", "error", "GetCrawler") in run.steps
    assert lake.state(file) == "PROMOTED"
    assert lake.query(f"SELECT id, name FROM {SHARED}") == [[1, "North"]]
