"""The payloads between state machines and functions, in camelCase outside and snake_case inside."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, Json
from pydantic.alias_generators import to_camel

from .lake import Execution


class Payload(BaseModel):
    """The base of all payloads."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    def dump(self) -> dict[str, object]:
        """The payload as JSON's types, with its outside names."""
        return self.model_dump(mode="json", by_alias=True)


class RunRequest(Payload):
    """The input of an execution: which run of which writer. ``dataset`` is '' for refresh."""

    run_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,80}$")
    writer: str = Field(pattern=r"^(refresh|promote:[a-z][a-z0-9_]{0,62})$")
    dataset: str = ""


class ClaimResult(RunRequest):
    """What a promote run has to do: pointers and counts only."""

    claimed: int
    size_bytes: int
    manifest: str
    report: str
    plan: str
    assets_prefix: str
    crawl: bool
    workers: int
    timeout_minutes: int


class CompleteRequest(RunRequest):
    """The end of a run. ``report`` is the key the job wrote its report to."""

    report: str = ""


class CompleteResult(RunRequest):
    """What a run brought. ``next`` is the run that follows at once, or ''."""

    promoted: int = 0
    rejected: int = 0
    superseded: int = 0
    deleted: int = 0
    waiting: int = 0
    rows: int = 0
    silver_rows: int = 0
    quarantined_rows: int = 0
    superseded_rows: int = 0
    models: int = 0
    skipped: int = 0
    changed: bool = False
    tables: int = 0
    files_before: int = 0
    files_after: int = 0
    next: str = ""


class PlanResult(RunRequest):
    """What a refresh run has to do."""

    models: int
    manifest: str
    report: str
    assets_prefix: str
    workers: int
    timeout_minutes: int


class MaintenancePlan(RunRequest):
    """What a maintenance run has to do."""

    tables: int
    manifest: str
    report: str
    assets_prefix: str
    workers: int
    timeout_minutes: int


class MaintainRequest(Payload):
    """Whose tables to maintain (all writers' if none is named); ``always``: whether they need it or not."""

    writers: list[str] = Field(default_factory=list)
    always: bool = False


class MaintainResult(Payload):
    """What became of each writer that was looked at.

    ``started``: the run that maintains its tables now; ``wanted``: its tables come next, once the run that
    holds the lease is over; ``not_due``; ``unknown``: no such writer; ``failed``: the error's name.
    """

    started: dict[str, str] = Field(default_factory=dict)
    wanted: list[str] = Field(default_factory=list)
    not_due: list[str] = Field(default_factory=list)
    unknown: list[str] = Field(default_factory=list)
    failed: dict[str, str] = Field(default_factory=dict)


class RecoverResult(RunRequest):
    """What recovery did: ``stale``, ``completed``, ``requeued``, ``waiting``, ``held``, or ``ended`` (a
    maintenance run that failed).
    """

    outcome: str
    failure_class: str = ""
    files: int = 0
    failed_files: int = 0
    next: str = ""


class _ExecutionDetail(BaseModel):
    """The part of the event that recovery needs. ``error`` and ``cause`` are None where AWS gives none."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    input: Json[RunRequest]
    status: str
    error: str | None = None
    cause: str | None = None


class ExecutionEvent(BaseModel):
    """EventBridge's ``Step Functions Execution Status Change``."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    detail: _ExecutionDetail

    def run_request(self) -> RunRequest:
        """The run that ended."""
        return self.detail.input

    def execution(self) -> Execution:
        """How its execution ended."""
        return Execution(self.detail.status, self.detail.error or "", self.detail.cause or "")


class SweepResult(Payload):
    """The runs a sweep started or recovered, and the writers it could not see to with the error's name."""

    started: list[str] = Field(default_factory=list)
    recovered: list[str] = Field(default_factory=list)
    failed: dict[str, str] = Field(default_factory=dict)


class FreshnessRequest(Payload):
    """At which moment to judge: now, unless ``as_of`` names another (ISO 8601 with its zone).

    What is found is recorded in any case, so that a moment to come tries the alarm out.
    """

    as_of: AwareDatetime | None = None


class DatasetFreshness(Payload):
    """How old the newest landing of a dataset is, in seconds; '' and None while nothing has landed."""

    dataset: str
    limit_seconds: int
    landed_at: str = ""
    age_seconds: int | None = None
    stale: bool = False


class FreshnessResult(Payload):
    """The datasets whose contract says how often files come, and how many of them are overdue."""

    datasets: list[DatasetFreshness]
    stale: int


class ReconcileRequest(Payload):
    """Which dataset to compare ('' for all), from where; ``follow`` lets the function call itself again.

    ``unannounced`` are those of the registered files whose event must be taken for lost. ``keys``: only these
    objects of the dataset.
    """

    dataset: str = ""
    keys: list[str] = Field(default_factory=list, max_length=1000)
    cursor: str = ""
    follow: bool = True
    listed: int = 0
    registered: int = 0
    reopened: int = 0
    unfinished: int = 0
    ignored: int = 0
    unannounced: int = 0


class ReconcileResult(ReconcileRequest):
    """Counts so far, and whether that was all. If not, call again with this as the request."""

    done: bool
