"""The job runs the twin knows, by account, region and job.

Whoever waits for a run waits for its "Glue Job State Change" event, which comes once the record is complete.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

from ministack.core.responses import get_account_id, get_region

from twin.errors import TwinError

ACTIVE_STATES: Final = frozenset({"STARTING", "RUNNING", "STOPPING"})


class RunUnknownError(TwinError):
    """No such run of this job."""


@dataclass
class JobRun:
    """One run. ``record`` has the shape of the API's JobRun; times are seconds since 1970."""

    record: dict[str, Any]
    stop_requested: threading.Event = field(default_factory=threading.Event)
    time_over: threading.Event = field(default_factory=threading.Event)
    """Set by a fault that ends the run before its Timeout has passed."""

    @property
    def run_id(self) -> str:
        """The run's id, ``jr_...``."""
        return str(self.record["Id"])

    @property
    def is_active(self) -> bool:
        """Whether the run counts against the job's MaxConcurrentRuns."""
        return self.record["JobRunState"] in ACTIVE_STATES

    def enter(self, state: str, **fields: object) -> None:
        """Take the next state; ``RUNNING`` never replaces ``STOPPING``."""
        now = time.time()
        if state == "RUNNING" and self.stop_requested.is_set():
            return
        self.record.update(JobRunState=state, LastModifiedOn=now, **fields)
        if state not in ACTIVE_STATES:
            self.record["CompletedOn"] = now


_runs: dict[tuple[str, str, str], list[JobRun]] = {}


def new_run_id() -> str:
    """An id in Glue's form."""
    return "jr_" + secrets.token_hex(32)


def add(run: JobRun) -> None:
    """Remember a new run under its job."""
    _of(str(run.record["JobName"])).append(run)


def list_runs(job_name: str) -> list[JobRun]:
    """All runs of a job, newest first."""
    return list(reversed(_of(job_name)))


def get(job_name: str, run_id: str) -> JobRun:
    """Raises ``RunUnknownError``."""
    for run in _of(job_name):
        if run.run_id == run_id:
            return run
    raise RunUnknownError(f"Job run {run_id} of job {job_name} is not known.")


def _of(job_name: str) -> list[JobRun]:
    return _runs.setdefault((get_account_id(), get_region(), job_name), [])
