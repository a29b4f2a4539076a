"""One lake as the core sees it: its ledger, and the ports to everything else it touches.

The ports are small protocols; `adapters` fills them with boto3, tests with fakes. Clock and randomness
come in here too, so that the logic has neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from .ledger import Ledger, ObjectVersion
from .settings import Settings
from .store import Store


class Operations(Protocol):
    """The operations bucket: JSON objects by key."""

    def read(self, key: str) -> Any | None:
        """Return the parsed object, or None if there is none."""
        ...

    def create(self, key: str, value: object) -> bool:
        """Write an object unless it exists; say whether it was written."""
        ...


class VersionPage(NamedTuple):
    """A page of a listing: the current versions in it, and where the next page starts ('' at the end)."""

    versions: list[ObjectVersion]
    cursor: str


class Bronze(Protocol):
    """The landing bucket."""

    def current_version(self, key: str) -> str | None:
        """The id of an object's current version, or None if it is deleted."""
        ...

    def latest(self, key: str) -> ObjectVersion | None:
        """An object's current version as a listing shows it, or None if it is deleted or was never there."""
        ...

    def folders(self) -> Iterator[str]:
        """The names of the first folders."""
        ...

    def page(self, prefix: str, cursor: str) -> VersionPage:
        """One page of the current versions under a prefix."""
        ...


class Execution(NamedTuple):
    """How a state machine's execution stands. ``error`` and ``cause`` are '' unless it failed."""

    status: str
    error: str
    cause: str


class Executions(Protocol):
    """Executions of state machines."""

    def start(self, state_machine_arn: str, name: str, request: Mapping[str, str]) -> None:
        """Start an execution; one of that name that exists already is as good."""
        ...

    def describe(self, state_machine_arn: str, name: str) -> Execution | None:
        """How an execution stands, or None if there never was one."""
        ...


class JobRun(NamedTuple):
    """A run of a Glue job: its id, state and error message ('' if none)."""

    job_run_id: str
    state: str
    error: str


class Jobs(Protocol):
    """Runs of Glue jobs."""

    def runs(self, job_name: str, run_id: str, since: datetime) -> list[JobRun]:
        """The job runs started for one of our runs, looking back to ``since``."""
        ...

    def stop(self, job_name: str, job_run_ids: list[str]) -> None:
        """Tell job runs to stop. They end some time later."""
        ...


class Commit(NamedTuple):
    """A snapshot of a table: its summary, and when it was committed (milliseconds since 1970)."""

    summary: Mapping[str, str]
    committed_ms: int


class Tables(Protocol):
    """Iceberg tables of the catalog."""

    def names(self, database: str) -> list[str]:
        """The Iceberg tables of a database."""
        ...

    def drop_branch(self, database: str, table: str, branch: str) -> bool:
        """Remove a branch; say whether table and branch were there."""
        ...

    def has_marker(self, database: str, table: str, run_id: str) -> bool:
        """Whether main's history holds the marker commit of a run."""
        ...

    def history(self, database: str, table: str) -> list[Commit]:
        """Main's snapshots, newest first; [] if there is no such table."""
        ...


class Topic(Protocol):
    """Where people are told that something needs them."""

    def publish(self, subject: str, message: str) -> None:
        """Send one message."""
        ...


class Functions(Protocol):
    """Lambda functions."""

    def invoke_later(self, name: str, event: Mapping[str, object]) -> None:
        """Call a function asynchronously."""
        ...


class Metrics(Protocol):
    """Where numbers go that are watched over time."""

    def put(self, name: str, value: float, unit: Literal["Count", "Seconds"], **dimensions: str) -> None:
        """Record one value of a metric of this lake."""
        ...


@dataclass(frozen=True)
class Lake:
    """Everything a function works with. ``now`` is UTC; ``token`` gives 8 random hex digits."""

    settings: Settings
    ledger: Ledger
    lineage: Store
    operations: Operations
    bronze: Bronze
    executions: Executions
    jobs: Jobs
    tables: Tables
    topic: Topic
    functions: Functions
    metrics: Metrics
    now: Callable[[], datetime]
    token: Callable[[], str]
    pause: Callable[[float], None]

    def stamp(self) -> str:
        """The present moment as it stands in items: ISO 8601, UTC, milliseconds."""
        return iso(self.now())


def iso(moment: datetime) -> str:
    """A UTC moment as text that sorts by time: ``2024-05-01T07:00:00.123Z``."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
