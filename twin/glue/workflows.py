"""Glue's workflows: a run begins with the workflow's on-demand trigger, and conditional triggers follow.

Source: https://docs.aws.amazon.com/glue/latest/dg/workflows_overview.html and ``.../trigger-job.html``. A
conditional trigger looks at jobs and crawlers that a trigger of the same workflow started, and fires once in
a run. A run is COMPLETED when nothing of it runs and no trigger fires, whether its actions succeeded or not.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from ministack.services import glue as emulated

from twin import hooks
from twin.errors import RefusedError
from twin.glue.api import ApiError, JsonObject
from twin.glue.crawlers import CrawlerRunner
from twin.glue.jobs import JobRunner

ENDS: Final = {
    "SUCCEEDED": "SucceededActions",
    "FAILED": "FailedActions",
    "ERROR": "FailedActions",
    "TIMEOUT": "TimeoutActions",
    "STOPPED": "StoppedActions",
}
"""Which count of a run an action's last state belongs to."""
PASSED_ON: Final[tuple[str, ...]] = ("Arguments", "Timeout")
"""What an action may say about the run of its job."""


@dataclass
class WorkflowRun:
    """One run. ``record`` has the shape of the API's WorkflowRun."""

    record: JsonObject
    states: dict[str, str] = field(default_factory=dict)
    """Last state by job or crawler, for those that have ended."""
    running: int = 0
    fired: set[str] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)


class WorkflowRunner:
    """Answers the actions on runs of workflows and on triggers."""

    def __init__(self, jobs: JobRunner, crawlers: CrawlerRunner) -> None:
        hooks.require(emulated, "_workflows", "_workflow_runs", "_triggers")
        self._jobs = jobs
        self._crawlers = crawlers
        self._lock = threading.Lock()

    # --- The API ----------------------------------------------------------------------------------

    def start_workflow_run(self, request: JsonObject) -> JsonObject:
        """Begin a run with the workflow's one on-demand trigger."""
        name = request["Name"]
        start = [each for each in _triggers(name) if each["Type"] == "ON_DEMAND"]
        if len(start) != 1:
            raise ApiError("InvalidInputException", f"Workflow {name} has {len(start)} on-demand triggers")
        with self._lock:
            limit = _workflow(name).get("MaxConcurrentRuns") or 0
            active = sum(run["Status"] == "RUNNING" for run in emulated._workflow_runs[name])
            if limit and active >= limit:
                raise ApiError("ConcurrentRunsExceededException", f"Concurrent runs exceeded for {name}")
            run = WorkflowRun(_new_record(name))
            emulated._workflow_runs[name].append(run.record)
        self._fire(run, start[0])
        return {"RunId": run.record["WorkflowRunId"]}

    def get_workflow_run(self, request: JsonObject) -> JsonObject:
        """One run's record."""
        for run in _runs(request["Name"]):
            if run["WorkflowRunId"] == request["RunId"]:
                return {"Run": run}
        raise ApiError("EntityNotFoundException", f"Workflow run {request['RunId']} not found")

    def get_workflow_runs(self, request: JsonObject) -> JsonObject:
        """All runs, newest first, in one page."""
        return {"Runs": _runs(request["Name"])[::-1]}

    def start_trigger(self, request: JsonObject) -> JsonObject:
        """Activate a conditional trigger. An on-demand one is refused: it is started with its workflow."""
        trigger = emulated._triggers.get(request["Name"])
        if trigger is None:
            raise ApiError("EntityNotFoundException", f"Trigger {request['Name']} not found")
        if trigger["Type"] == "ON_DEMAND":
            raise ApiError("InvalidInputException", "The twin starts on-demand triggers by their workflow.")
        trigger["State"] = "ACTIVATED"
        return {"Name": request["Name"]}

    # --- A run --------------------------------------------------------------------------------------

    def _fire(self, run: WorkflowRun, trigger: JsonObject) -> None:
        """Start a trigger's actions; one that does not start has failed."""
        with run.lock:
            run.fired.add(trigger["Name"])
            run.running += len(trigger["Actions"])
            run.record["Statistics"]["TotalActions"] += len(trigger["Actions"])
            _count_running(run)
        for action in trigger["Actions"]:
            name = action.get("JobName") or action["CrawlerName"]
            try:
                self._start(action, partial(self._ended, run, name))
            except ApiError as error:
                run.record["ErrorMessage"] = f"{name}: {error}"
                self._ended(run, name, "FAILED")

    def _start(self, action: JsonObject, ended: Callable[[str], None]) -> None:
        if "CrawlerName" in action:
            self._crawlers.start_crawler({"Name": action["CrawlerName"]}, ended)
            return
        given: JsonObject = {key: action[key] for key in PASSED_ON if key in action}
        self._jobs.start_job_run({**given, "JobName": action["JobName"]}, ended)

    def _ended(self, run: WorkflowRun, name: str, state: str) -> None:
        """Count an action that has ended, and fire what waited for it; close the run if nothing did."""
        with run.lock:
            run.states[name] = state
            run.running -= 1
            run.record["Statistics"][ENDS[state]] += 1
            _count_running(run)
            due = [
                trigger
                for trigger in _triggers(run.record["Name"])
                if _waits(trigger) and trigger["Name"] not in run.fired and _holds(trigger, run.states)
            ]
            run.fired.update(trigger["Name"] for trigger in due)
        for trigger in due:
            self._fire(run, trigger)
        with run.lock:
            if not run.running and run.record["Status"] == "RUNNING":
                run.record.update(Status="COMPLETED", CompletedOn=time.time())


def _waits(trigger: JsonObject) -> bool:
    """A conditional trigger fires only once it is activated."""
    return bool(trigger["Type"] == "CONDITIONAL" and trigger["State"] == "ACTIVATED")


def _holds(trigger: JsonObject, states: dict[str, str]) -> bool:
    """Whether a predicate is met by what has ended. Raises ``ApiError`` for a part that is not known here."""
    predicate = trigger["Predicate"]
    met = [_meets(condition, states) for condition in predicate["Conditions"]]
    return any(met) if predicate.get("Logical") == "ANY" else all(met)


def _meets(condition: JsonObject, states: dict[str, str]) -> bool:
    if condition.get("LogicalOperator", "EQUALS") != "EQUALS":
        raise ApiError("InvalidInputException", "A condition's operator is EQUALS.")
    name = condition.get("JobName") or condition["CrawlerName"]
    wanted: str = condition.get("State") or condition["CrawlState"]
    return states.get(name) == wanted


def _count_running(run: WorkflowRun) -> None:
    run.record["Statistics"]["RunningActions"] = run.running


def _new_record(name: str) -> JsonObject:
    counts = ("TotalActions", "RunningActions", *dict.fromkeys(ENDS.values()))
    return {
        "Name": name,
        "WorkflowRunId": f"wr_{uuid.uuid4().hex}",
        "StartedOn": time.time(),
        "Status": "RUNNING",
        "Statistics": dict.fromkeys(counts, 0),
    }


def _workflow(name: str) -> JsonObject:
    workflow: JsonObject | None = emulated._workflows.get(name)
    if workflow is None:
        raise ApiError("EntityNotFoundException", f"Workflow {name} not found")
    return workflow


def _runs(name: str) -> list[JsonObject]:
    _workflow(name)
    found: list[JsonObject] = emulated._workflow_runs[name]
    return found


def _triggers(workflow: str) -> list[JsonObject]:
    _workflow(workflow)
    return [each for each in emulated._triggers.values() if each["WorkflowName"] == workflow]


# --- CloudFormation ---------------------------------------------------------------------------------


def provision() -> None:
    """Add workflows to the types that a stack may hold; triggers are there."""
    from ministack.services.cloudformation import provisioners

    hooks.require(emulated, "_create_workflow", "_update_workflow", "_delete_workflow")
    hooks.require(provisioners, "_RESOURCE_HANDLERS")
    provisioners._RESOURCE_HANDLERS["AWS::Glue::Workflow"] = {
        "create": lambda _id, properties, _stack: _made(emulated._create_workflow, properties),
        "update": _update,
        "delete": lambda name, _properties: emulated._delete_workflow({"Name": name}),
    }


def _update(name: str, _before: JsonObject, wanted: JsonObject, *_: Any) -> tuple[str, JsonObject]:
    if wanted["Name"] != name:
        raise RefusedError(f"The twin does not rename the workflow {name}.")
    return _made(emulated._update_workflow, wanted)


def _made(call: Callable[[JsonObject], Any], properties: JsonObject) -> tuple[str, JsonObject]:
    request = {key: value for key, value in properties.items() if key != "Tags"}
    if "MaxConcurrentRuns" in request:
        request["MaxConcurrentRuns"] = int(request["MaxConcurrentRuns"])
    status, _, body = call(request)
    if status != HTTPStatus.OK:
        raise RefusedError(f"The workflow {properties['Name']}: {body!r}")
    return str(properties["Name"]), {}
