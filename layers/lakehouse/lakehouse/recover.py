"""Recover: what a run left behind when it ended without completing. Safe to repeat, and to run twice at once.

First the run is barred from any further step and its job is stopped. Then its branches are dropped: after
that nothing of it can become visible, and main's history says for good whether it was published. A published
run is completed; the files of one that was not go back to wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from . import complete, lineage, split, writers
from .claim import find_plan
from .errors import ConditionFailed, JobStillRunning, LedgerInconsistent, files_fault_names
from .lake import Execution, JobRun, Lake
from .ledger import pending_pointer, version_key
from .payloads import RecoverResult, RunRequest
from .store import Is, Item, Update, Write
from .words import (
    CLAIMED,
    FAILED,
    FAILURE_FILE,
    MAINTENANCE,
    PENDING,
    REFRESH_WRITER,
    Failure,
    FailureClass,
    GoldReport,
    MaintenanceReport,
    Manifest,
    quarantine_table,
    run_branch,
    run_prefix,
)

ENDED_JOB_STATES = frozenset({"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR", "EXPIRED"})
STOP_LOOKS = 20
STOP_PAUSE_SECONDS = 6.0
CLOCK_SKEW = timedelta(minutes=10)

MAX_FILE_DEATHS = 3
"""How often a file may kill a run of its own before it is FAILED."""
MAX_ENVIRONMENT_FAILURES = 3
"""After so many failures of its environment in a row a writer is HELD."""
MAX_MODEL_DEATHS = 3
"""After so many runs in a row that a model killed, refresh is HELD."""
MAX_DEATHS = 25
"""After so many runs in a row that their files killed, the files are not the reason: promote is HELD."""
BACKOFF_FACTOR = 4
WRITE_ATTEMPTS = 5

ENVIRONMENT_WORDS = (
    "AccessDenied",
    "not authorized",
    "Throttl",
    "TooManyRequests",
    "Rate exceeded",
    "ConcurrentRunsExceeded",
    "ResourceNumberLimitExceeded",
    "ResourceNotReady",
    "Resource unavailable",
    "insufficient capacity",
    "InsufficientInstanceCapacity",
    "ServiceUnavailable",
    "InternalServiceException",
    "States.Permissions",
    "CrawlFailed",
    "CrawlTimedOut",
)
"""Words of AWS's own errors that blame no file. Looked for, never repeated: a text may quote data."""


def recover(lake: Lake, request: RunRequest, execution: Execution) -> RecoverResult:
    """Put right what a run left whose ``execution`` has ended.

    Raises ``JobStillRunning`` if its job does not stop: then call again.
    """
    lease = writers.bar(lake, request.writer, request.run_id)
    if lease is None:
        return _result(request, "stale")
    jobs = _stop_jobs(lake, request, lease)
    if lease.maintaining:
        return _after_maintenance(lake, request, lease, execution, jobs)
    if _drop_and_look(lake, request):
        return _after_published(lake, request, lease, execution, jobs)
    failure = _failure(lake, request)
    kind = classify(failure, execution, jobs)
    _record(lake, request, kind, failure["error"] if failure else execution.error)
    if request.writer == REFRESH_WRITER:
        return _after_refresh(lake, request, lease, kind)
    return _after_promote(lake, request, lease, kind)


def _result(request: RunRequest, outcome: str, **more: object) -> RecoverResult:
    base = {"run_id": request.run_id, "writer": request.writer, "dataset": request.dataset}
    return RecoverResult.model_validate({**base, "outcome": outcome, **more})


def _record(lake: Lake, request: RunRequest, kind: FailureClass, error: str) -> None:
    """Write down that the run failed, by the error's name alone, and which models it published before."""
    report = complete.read_report(lake, request) if request.writer == REFRESH_WRITER else None
    lineage.record_fail(lake, request, error, report)
    details = {"failure_class": kind, "error": error}
    lake.ledger.end_run(request.writer, request.run_id, FAILED, details, lake.stamp())


# --- stop, drop, look -------------------------------------------------------------------------


def _stop_jobs(lake: Lake, request: RunRequest, lease: writers.Lease) -> list[JobRun]:
    """Stop the run's live job runs and wait until they have ended. Returns all its job runs."""
    name = lake.settings.job_name(request.writer, maintaining=lease.maintaining)
    since = datetime.fromisoformat(lease.taken_at) - CLOCK_SKEW
    for look in range(STOP_LOOKS):
        jobs = lake.jobs.runs(name, request.run_id, since)
        live = [job.job_run_id for job in jobs if job.state not in ENDED_JOB_STATES]
        if not live:
            return jobs
        if look == 0:
            lake.jobs.stop(name, live)
        lake.pause(STOP_PAUSE_SECONDS)
    raise JobStillRunning(f"the Glue job of run {request.run_id} does not stop")


def _drop_and_look(lake: Lake, request: RunRequest) -> bool:
    """Drop the run's branches, Silver's before quarantine's, then say whether the run was published."""
    branch = run_branch(request.run_id)
    if request.writer == REFRESH_WRITER:
        database = lake.settings.gold_database
        for table in lake.tables.names(database):
            lake.tables.drop_branch(database, table, branch)
        return _whole_refresh_published(lake, request)
    database = lake.settings.silver_database
    for table in (request.dataset, quarantine_table(request.dataset)):
        lake.tables.drop_branch(database, table, branch)
    return lake.tables.has_marker(database, request.dataset, request.run_id)


def _whole_refresh_published(lake: Lake, request: RunRequest) -> bool:
    """Whether every model of the run is published or was up to date."""
    manifest = complete.read_manifest(lake, request)
    report: GoldReport | None = complete.read_report(lake, request)
    if manifest is None or report is None or report["failed"]:
        return False
    written = [model["table"] for model in report["models"]]
    if set(written) | set(report["skipped"]) != set(manifest["models"]):
        return False
    database = lake.settings.gold_database
    return all(lake.tables.has_marker(database, table, request.run_id) for table in written)


# --- whose fault ------------------------------------------------------------------------------


def _failure(lake: Lake, request: RunRequest) -> Failure | None:
    failure: Failure | None = lake.operations.read(run_prefix(request.writer, request.run_id) + FAILURE_FILE)
    return failure


def classify(failure: Failure | None, execution: Execution, jobs: Sequence[JobRun]) -> FailureClass:
    """Say whether the environment failed a run, or its files (or a model) did.

    The job's own word counts first. Without it: an execution that somebody stopped, and one that never came
    to its job, are no file's fault; otherwise AWS's error decides.
    """
    if failure is not None:
        return failure["failure_class"]
    if execution.error in files_fault_names():
        return "FILES"
    if not jobs or execution.status == "ABORTED":
        return "ENVIRONMENT"
    told = " ".join([execution.error, execution.cause, *(job.error for job in jobs)]).lower()
    return "ENVIRONMENT" if any(word.lower() in told for word in ENVIRONMENT_WORDS) else "FILES"


# --- what follows -----------------------------------------------------------------------------


def _after_published(
    lake: Lake, request: RunRequest, lease: writers.Lease, execution: Execution, jobs: Sequence[JobRun]
) -> RecoverResult:
    """Complete a run that was published.

    Something follows a Gold table's publishing: its tags, if it is new, and the emptying of its former place
    if it became classified. Where the job did not come to its end, the next run does it.
    """
    settled = complete.settle(lake, request, lease)
    if request.writer == REFRESH_WRITER and not any(job.state == "SUCCEEDED" for job in jobs):
        return _after_refresh(lake, request, lease, classify(_failure(lake, request), execution, jobs))
    return _result(request, "completed", next=complete.with_next(lake, settled, lease).next)


def _after_promote(
    lake: Lake, request: RunRequest, lease: writers.Lease, kind: FailureClass
) -> RecoverResult:
    back = _put_back(lake, request, kind)
    if back.failed:
        _tell(
            lake,
            request,
            "files FAILED",
            f"{back.failed} file(s) killed {MAX_FILE_DEATHS} runs and are FAILED.",
        )
    done = {"failure_class": kind, "files": back.waiting, "failed_files": back.failed}
    if kind == "ENVIRONMENT":
        return _rest(lake, request, lease, done)
    deaths = 0 if back.failed else lease.deaths + 1
    if deaths >= MAX_DEATHS:
        return _hold(lake, request, lease, f"{deaths} runs in a row died of their files", done)
    following = writers.finish(lake, request.writer, request.run_id, {"failures": 0, "deaths": deaths})
    return _result(request, "requeued", next=following, **done)


def _after_refresh(
    lake: Lake, request: RunRequest, lease: writers.Lease, kind: FailureClass
) -> RecoverResult:
    if kind == "ENVIRONMENT":
        return _rest(lake, request, lease, {"failure_class": kind})
    deaths = lease.deaths + 1
    if deaths >= MAX_MODEL_DEATHS:
        reason = f"{deaths} runs in a row died of a model"
        return _hold(lake, request, lease, reason, {"failure_class": kind})
    counters = {"failures": 0, "deaths": deaths}
    following = writers.finish(lake, request.writer, request.run_id, counters, again=True)
    return _result(request, "requeued", next=following, failure_class=kind)


def _after_maintenance(
    lake: Lake, request: RunRequest, lease: writers.Lease, execution: Execution, jobs: Sequence[JobRun]
) -> RecoverResult:
    """End a maintenance run. What it committed stands, since each of its commits left the rows as they were.

    It counts against nobody: files and models had no part in it, and the writer goes on at once.
    """
    report: MaintenanceReport | None = complete.read_report(lake, request)
    if report is not None and not report["failed"]:
        settled = complete.with_next(lake, complete.settle(lake, request, lease), lease)
        return _result(request, "completed", next=settled.next)
    failure = _failure(lake, request)
    kind = classify(failure, execution, jobs)
    details = {
        "kind": MAINTENANCE,
        "failure_class": kind,
        "error": failure["error"] if failure else execution.error,
    }
    lake.ledger.end_run(request.writer, request.run_id, FAILED, details, lake.stamp())
    following = writers.finish(lake, request.writer, request.run_id, {})
    return _result(request, "ended", failure_class=kind, next=following)


def _rest(lake: Lake, request: RunRequest, lease: writers.Lease, done: Mapping[str, object]) -> RecoverResult:
    """Let the writer wait after its environment failed, longer each time; hold it after three in a row."""
    failures = lease.failures + 1
    if failures >= MAX_ENVIRONMENT_FAILURES:
        return _hold(lake, request, lease, f"its environment failed {failures} runs in a row", done)
    seconds = lake.settings.backoff_seconds * BACKOFF_FACTOR ** (failures - 1)
    until = lake.now() + timedelta(seconds=seconds)
    writers.wait(lake, lease, until, "its environment failed", failures)
    return _result(request, "waiting", **done)


def _hold(
    lake: Lake, request: RunRequest, lease: writers.Lease, reason: str, done: Mapping[str, object]
) -> RecoverResult:
    """Tell people first: a message twice is better than a writer held in silence."""
    _tell(lake, request, "writer HELD", f"Held because {reason}. Mend the cause, then: lakehouse retry NAME.")
    writers.hold(lake, lease, reason)
    return _result(request, "held", **done)


def _tell(lake: Lake, request: RunRequest, what: str, sentence: str) -> None:
    name = f"{lake.settings.lake_name}-{lake.settings.environment}"
    text = f"{sentence}\n\nLake: {name}\nWriter: {request.writer}\nRun: {request.run_id}\n"
    lake.topic.publish(f"{name}: {what} ({request.writer})", text)


# --- files ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Back:
    waiting: int
    failed: int


def _put_back(lake: Lake, request: RunRequest, kind: FailureClass) -> _Back:
    """Let the run's files wait again: as they were after a failure of the environment, else in two parts.

    The parts follow from the manifest, so that a repeated recovery makes the same ones.
    """
    manifest: Manifest | None = complete.read_manifest(lake, request)
    if manifest is None:
        return _Back(0, 0)
    names = [(file["key"], file["version_id"]) for file in manifest["files"]]
    _, plan = find_plan(lake, manifest["assets_prefix"], request.dataset)
    parts = split.parts(names, plan) if kind == "FILES" else None
    for _ in range(WRITE_ATTEMPTS):
        items = lake.ledger.versions(names).values()
        mine = [item for item in items if item.get("run_id") == request.run_id and item["state"] == CLAIMED]
        try:
            lake.ledger.write_all(_back(item, request, parts, lake.stamp()) for item in mine)
        except ConditionFailed:
            continue
        return _count(lake, request, names)
    raise LedgerInconsistent(f"the files of {request.run_id} kept changing while it was recovered")


def _count(lake: Lake, request: RunRequest, names: list[split.Name]) -> _Back:
    items = lake.ledger.versions(names).values()
    states = [item["state"] for item in items if item.get("run_id") == request.run_id]
    return _Back(states.count(PENDING), states.count(FAILED))


def _back(item: Item, request: RunRequest, parts: split.Parts | None, now: str) -> list[Write]:
    """The writes that put one file back, or end it as FAILED when it has died alone too often."""
    attempts, group = item["attempts"], item.get("split_group", "")
    if parts is not None:
        attempts += 1 if parts.alone else 0
        part = parts.part_of[item["key"], item["version_id"]]
        group = split.next_group(group, request.run_id, part)
    failed = attempts >= MAX_FILE_DEATHS
    changes = {
        "state": FAILED if failed else PENDING,
        "reason": f"{attempts} runs of this file alone died" if failed else "its run died",
        "attempts": attempts,
        "split_group": group,
        "updated_at": now,
    }
    when = (Is("state", CLAIMED), Is("run_id", request.run_id))
    version = Update(version_key(item["key"], item["version_id"]), changes, when=when)
    if failed:
        return [version]
    pointer = pending_pointer(
        request.dataset,
        item["key"],
        item["version_id"],
        item["size_bytes"],
        item["event_time"],
        attempts=attempts,
        split_group=group,
    )
    return [version, pointer]
