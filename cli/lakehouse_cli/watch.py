"""Following files and runs through the lake, until everything has come to rest.

Nothing is inferred from time: a file is done when the ledger says so; the promote run that did it is over
when its lease has moved on; Gold has seen it when a refresh has claimed what had arrived by then and is over.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from lakehouse.ledger import Ledger, lease_key
from lakehouse.store import Item
from lakehouse.words import REFRESH_WRITER, RUNNING, UNFINISHED_STATES, promote_writer
from lakehouse.writers import FREE, HELD, TAKEN, WAITING, Lease, dataset_of
from lakehouse_cli.connection import Lake
from lakehouse_cli.errors import CommandError, TimedOutError

POLL_SECONDS = 0.5
SLOW_POLL_SECONDS = 3.0
SLOW_AFTER_SECONDS = 60.0

COUNTS = {
    "promoted": "promoted",
    "rejected": "rejected",
    "superseded": "superseded",
    "deleted": "deleted",
    "waiting": "waiting",
    "rows": "rows",
    "quarantined_rows": "in quarantine",
    "superseded_rows": "replaced by later rows",
    "models": "models made",
    "skipped": "up to date",
    "tables": "tables maintained",
    "files_before": "files before",
    "files_after": "files after",
}
"""Counts of a run, and what to call them before a person."""

File = tuple[str, str, str]
"""Dataset, key, version id."""


@dataclass(frozen=True)
class Step:
    """Something that happened: seconds since the watch began, to whom, what, and whether it is bad news."""

    seconds: float
    who: str
    what: str
    bad: bool = False


@dataclass
class _Run:
    """A run that is being followed: its execution, and how much of its history has been told."""

    writer: str
    run_id: str
    maintaining: bool = False
    events_told: int = 0


@dataclass
class Watch:
    """Polls the ledger and the executions, and tells each change once."""

    lake: Lake
    ledger: Ledger
    tell: Callable[[Step], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _began: float = 0.0
    _items: dict[File, Item | None] = field(default_factory=dict)
    _counts: dict[str, str] = field(default_factory=dict)
    _following: dict[str, _Run] = field(default_factory=dict)
    _told: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._began = self.clock()

    # --- the two things to wait for -----------------------------------------------------------

    def until_files_are_through(
        self, files: Sequence[File], timeout_seconds: float, *, gold: bool = True
    ) -> list[Item]:
        """Wait until these files have left the way, and ``gold`` has seen them. Returns their ledger items.

        Raises ``TimedOutError``, and ``CommandError`` when a writer is HELD on the way.
        """
        self._items = dict.fromkeys(files)
        datasets = sorted({dataset for dataset, _, _ in files})
        writers = [promote_writer(dataset) for dataset in datasets]
        self._wait(
            lambda: self._files_done() and self._runs_over(writers),
            [*writers, REFRESH_WRITER] if gold else writers,
            timeout_seconds,
        )
        if gold:
            arrivals = self._lease(REFRESH_WRITER).arrivals
            self._wait(lambda: self._refreshed(arrivals), [REFRESH_WRITER], timeout_seconds)
        return [item for item in self._items.values() if item is not None]

    def until_at_rest(self, timeout_seconds: float) -> None:
        """Wait until no file waits and no writer has work. Raises as ``until_files_are_through`` does."""
        self._wait(self._at_rest, None, timeout_seconds)

    def _wait(self, done: Callable[[], bool], writers: Sequence[str] | None, timeout_seconds: float) -> None:
        while True:
            self._tell_files()
            self._tell_runs(self.ledger.writers() if writers is None else writers)
            if done():
                self._tell_runs([])
                return
            if self.clock() - self._began > timeout_seconds:
                raise TimedOutError(
                    f"Not done after {timeout_seconds:.0f} s; it goes on by itself. "
                    "`lakehouse status` shows where it stands, `lakehouse wait` waits on."
                )
            slow = self.clock() - self._began > SLOW_AFTER_SECONDS
            self.sleep(SLOW_POLL_SECONDS if slow else POLL_SECONDS)

    # --- conditions ---------------------------------------------------------------------------

    def _files_done(self) -> bool:
        open_files = self._open_files()
        return not open_files or self._all_set_aside(open_files)

    def _open_files(self) -> list[File]:
        """The files that are not known yet, or not finished."""
        return [f for f, item in self._items.items() if item is None or item["state"] in UNFINISHED_STATES]

    def _all_set_aside(self, files: Sequence[File]) -> bool:
        """Whether a run has looked at all of these, and let them wait for the rest of their snapshot."""
        for dataset in {file[0] for file in files}:
            lease = self._lease(promote_writer(dataset))
            waiting = {
                (file.key, file.version_id)
                for file in (self.ledger.pending(dataset) if lease.state == FREE else ())
                if not file.claimable(lease.arrivals)
            }
            if not {(key, version) for owner, key, version in files if owner == dataset} <= waiting:
                return False
        return True

    def _runs_over(self, writers: Iterable[str]) -> bool:
        """Whether the runs that finished our files have given their leases back: then Gold has been told."""
        ours = {item["run_id"] for item in self._items.values() if item and item.get("run_id")}
        return all(self._lease(writer).run_id not in ours for writer in writers)

    def _refreshed(self, arrivals: int) -> bool:
        lease = self._lease(REFRESH_WRITER)
        return lease.state != TAKEN and lease.claimed_arrivals >= arrivals

    def _at_rest(self) -> bool:
        return not any(self._has_work(self._lease(writer)) for writer in self.ledger.writers())

    def _has_work(self, lease: Lease) -> bool:
        if lease.state in (TAKEN, WAITING):
            return True
        if lease.writer == REFRESH_WRITER:
            return lease.arrivals > lease.claimed_arrivals
        return any(file.claimable(lease.arrivals) for file in self.ledger.pending(dataset_of(lease.writer)))

    def _lease(self, writer: str) -> Lease:
        lease = Lease.of(writer, self.ledger.store.get(lease_key(writer)))
        if lease.state == HELD:
            raise CommandError(
                f"{label(writer)} is HELD: {lease.reason or 'its environment failed three times in a row'}. "
                f"Mend the cause, then: lakehouse retry {dataset_of(writer) or REFRESH_WRITER}"
            )
        return lease

    # --- telling ------------------------------------------------------------------------------

    def _step(self, who: str, what: str, *, bad: bool = False) -> None:
        self.tell(Step(self.clock() - self._began, who, what, bad))

    def _tell_files(self) -> None:
        """Read the files that are not finished, and tell each dataset's counts when they changed."""
        open_files = self._open_files()
        found = self.ledger.versions((key, version) for _, key, version in open_files)
        for file in open_files:
            self._items[file] = found.get((file[1], file[2]))
        for dataset in sorted({file[0] for file in open_files}):
            states = Counter(
                item["state"] if item else "on the way" for f, item in self._items.items() if f[0] == dataset
            )
            counts = ", ".join(f"{n} {state}" for state, n in sorted(states.items()))
            if self._counts.get(dataset) != counts:
                self._counts[dataset] = counts
                self._step(dataset, f"files: {counts}", bad=bool(states["REJECTED"] + states["FAILED"]))

    def _tell_runs(self, writers: Iterable[str]) -> None:
        """Follow the run that holds each writer's lease, and tell what became of the one before."""
        for writer in writers:
            lease = self._lease(writer)
            before = self._following.get(writer)
            if before and before.run_id != lease.run_id:
                self._tell_end(self._following.pop(writer))
            if lease.state == TAKEN and writer not in self._following:
                self._following[writer] = _Run(writer, lease.run_id, lease.maintaining)
                kind = "maintenance" if lease.maintaining else "run"
                self._step(label(writer), f"{kind} {lease.run_id}")
            if lease.state == WAITING and (writer, lease.not_before) not in self._told:
                self._told.add((writer, lease.not_before))
                self._step(label(writer), f"waits until {lease.not_before}: {lease.reason}", bad=True)
        for run in list(self._following.values()):
            self._tell_stages(run)
            if not writers and self._lease(run.writer).run_id != run.run_id:
                self._tell_end(self._following.pop(run.writer))

    def _tell_stages(self, run: _Run) -> None:
        """Tell each task the run's execution has begun since the last look."""
        stages = [*self._stages(run)]
        for stage in stages[run.events_told :]:
            self._step(label(run.writer), stage, bad=stage == "NotifyFailure")
        run.events_told = max(run.events_told, len(stages))

    def _stages(self, run: _Run) -> Iterable[str]:
        kind = "Refresh" if run.writer == REFRESH_WRITER else "Promote"
        machine = "Maintain" if run.maintaining else kind
        machine_arn = self.lake.name(f"{machine}StateMachineArn")
        arn = machine_arn.replace(":stateMachine:", ":execution:") + f":{run.run_id}"
        pages = self.lake.client("stepfunctions").get_paginator("get_execution_history")
        try:
            for page in pages.paginate(executionArn=arn, includeExecutionData=False):
                for event in page["events"]:
                    if event["type"] == "TaskStateEntered":
                        yield event["stateEnteredEventDetails"]["name"]
        except ClientError as refused:
            if refused.response["Error"]["Code"] != "ExecutionDoesNotExist":
                raise

    def _tell_end(self, run: _Run) -> None:
        self._tell_stages(run)
        item = self.ledger.run(run.writer, run.run_id)
        if item is None or item["state"] == RUNNING:
            return
        bad = item["state"] == "FAILED"
        self._step(label(run.writer), f"{item['state']}: {outcome(item)}", bad=bad)


def label(writer: str) -> str:
    """How a writer is called before a person: the dataset, or gold."""
    return dataset_of(writer) or "gold"


def outcome(run: Item) -> str:
    """What a finished run did, in a few words; '' while it runs."""
    if run["state"] == RUNNING:
        return ""
    if run.get("error"):
        return str(run["error"])
    parts = [f"{run[name]:,} {words}" for name, words in COUNTS.items() if run.get(name)]
    return ", ".join(parts) or "nothing to do"


def ledger_of(lake: Lake) -> Ledger:
    """The lake's ledger."""
    from lakehouse.adapters.dynamo import DynamoStore

    client: Any = lake.client("dynamodb")
    return Ledger(DynamoStore(client, lake.name("LedgerTableName")))
