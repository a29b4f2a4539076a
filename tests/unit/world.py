"""A lake in motion: the queue, state machines, jobs, the failure rule and the sweep, around the real core.

It does what AWS does and nothing else: it delivers a message again if intake died, runs an execution's states
in turn, ends it as FAILED if one of them died, and calls recovery for it. A `Crash` ends the function it
happens in, never the world.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from lakehouse import claim, complete, intake, maintain, plan, recover, sweep
from lakehouse.errors import LakehouseError
from lakehouse.ledger import ObjectVersion
from lakehouse.payloads import CompleteRequest, MaintainRequest, RunRequest, SweepResult
from lakehouse.words import (
    MANIFEST_FILE,
    REPORT_FILE,
    MaintenanceManifest,
    Manifest,
    run_branch,
    run_prefix,
)

from .fakes import Crash, FakeLake, fake_lake, plan_of

SWEEP_SECONDS = 300
POISON = "poison"
JobFailure = Callable[[FakeLake, RunRequest, Manifest], None]


class JobDied(Exception):  # noqa: N818 - what happened, not an error of ours
    """A Glue job ended without its work done."""


def version(key: str, number: int = 1, *, sequencer: str = "", size_bytes: int = 10) -> ObjectVersion:
    """A version of an object: versions of a key are numbered by time."""
    return ObjectVersion(
        key=key,
        version_id=f"v{number}",
        size_bytes=size_bytes,
        etag="e",
        sequencer=sequencer or f"{number:016X}",
        event_time=f"2024-05-01T07:{number:02d}:00Z",
    )


def event(one: ObjectVersion) -> dict[str, Any]:
    """S3's event of a version, as EventBridge brings it."""
    item = {
        "key": one.key,
        "size": one.size_bytes,
        "etag": one.etag,
        "version-id": one.version_id,
        "sequencer": one.sequencer,
    }
    return {
        "detail-type": "Object Created",
        "time": one.event_time,
        "detail": {"bucket": {"name": "lake-dev-bronze"}, "object": item, "reason": "PutObject"},
    }


class World:
    """One lake and everything around it."""

    def __init__(self, **changes: Any) -> None:
        self.lake = fake_lake(**changes)
        self.queue: deque[list[intake.Message]] = deque()
        self.messages = 0
        self.runs: list[str] = []
        self.batches: list[list[str]] = []
        self.job_failure: JobFailure = lambda *_: None
        self.maintained: list[str] = []
        self.maintenance_failure: Callable[[FakeLake, RunRequest], None] = lambda *_: None

    # --- what happens -------------------------------------------------------------------------

    def put(self, *versions: ObjectVersion) -> None:
        """Objects are put; one queue batch announces them."""
        for one in versions:
            self.lake.bronze.put(one)
        self.announce(versions)

    def announce(self, versions: Iterable[ObjectVersion]) -> None:
        """One queue batch of events."""
        batch = []
        for one in versions:
            self.messages += 1
            batch.append(intake.Message(f"m{self.messages}", event(one)))
        self.queue.append(batch)

    def settle(self, *, rounds: int = 60) -> None:
        """Let everything happen until nothing does any more, the sweep included."""
        for _ in range(rounds):
            self.work()
            self.lake.clock.forward(SWEEP_SECONDS)
            if not self._guarded(lambda: sweep.sweep(self.lake)) and not self._busy():
                return
        raise AssertionError(f"not settled after {rounds} sweeps")

    def work(self, *, steps: int = 500) -> None:
        """Deliver messages and run executions until there are none."""
        for _ in range(steps):
            if self.queue:
                self.deliver()
            elif running := self.lake.executions.running():
                self.execute(running[0])
            else:
                return
        raise AssertionError(f"still busy after {steps} steps")

    def _busy(self) -> bool:
        return bool(self.queue or self.lake.executions.running())

    def deliver(self) -> None:
        """Give intake one batch; what failed, or all of it if intake died, is delivered again."""
        batch = self.queue.popleft()
        results: list[intake.IntakeResult] = []
        died = self._guarded(lambda: results.append(intake.take_in(self.lake, batch, parallel=1)))
        failed = batch if died else [one for one in batch if one.message_id in results[0].failed]
        if failed:
            self.queue.append(failed)

    def ask(self, *writers: str, always: bool = True) -> None:
        """Ask for maintenance, again where the function died, as Lambda does with an asynchronous call."""
        request = MaintainRequest(writers=list(writers), always=always)
        while self._guarded(lambda: maintain.checked(maintain.maintain(self.lake, request))):
            pass

    def execute(self, run_id: str) -> None:
        """Run an execution to its end, and recovery if that end is a bad one."""
        self.runs.append(run_id)
        request = RunRequest.model_validate(self.lake.executions.requests[run_id])
        error = self._states(request)
        if not error:
            self.lake.executions.end(run_id, "SUCCEEDED")
            return
        self.lake.executions.end(run_id, "FAILED", error)
        ended = self.lake.executions.known[run_id]
        self._guarded(lambda: recover.recover(self.lake, request, ended))

    def _states(self, request: RunRequest) -> str:
        """The name of the error that ended the states, or ''."""
        machines = {"promote": self._promote, "refresh": self._refresh, "maintain": self._maintain}
        try:
            machines[self.lake.executions.machines[request.run_id]](request)
        except Crash:
            return "Lambda.Unknown"
        except (LakehouseError, JobDied) as error:
            return type(error).__name__
        return ""

    def _promote(self, request: RunRequest) -> None:
        claimed = claim.claim(self.lake, request)
        if claimed.crawl:
            self.lake.operations.objects[f"drafts/{request.dataset}/plan.json"] = json.dumps(
                plan_of(request.dataset)
            )
        if claimed.claimed:
            self._run_job(request, self._silver)
        report = claimed.report if claimed.claimed else ""
        complete.complete(self.lake, CompleteRequest(**request.model_dump(), report=report))

    def _refresh(self, request: RunRequest) -> None:
        planned = plan.plan(self.lake, request)
        self._run_job(request, self._gold)
        complete.complete(self.lake, CompleteRequest(**request.model_dump(), report=planned.report))

    def _maintain(self, request: RunRequest) -> None:
        planned = plan.plan(self.lake, request)
        self._run_job(request, self._maintenance)
        complete.complete(self.lake, CompleteRequest(**request.model_dump(), report=planned.report))

    def _run_job(self, request: RunRequest, job: Callable[[RunRequest], None]) -> None:
        try:
            job(request)
        except (Crash, JobDied):
            self.lake.jobs.add(request.run_id, "FAILED")
            raise JobDied from None
        self.lake.jobs.add(request.run_id, "SUCCEEDED")

    def _guarded(self, call: Callable[[], Any]) -> bool:
        """Make a call; True if it did something or died, which is reason enough to look again."""
        try:
            result = call()
        except (Crash, LakehouseError):
            return True
        if isinstance(result, SweepResult):
            return bool(result.started or result.recovered or result.failed)
        return False

    # --- what the jobs do ---------------------------------------------------------------------

    def _silver(self, request: RunRequest) -> None:
        """Write every file's rows to the run's branch, report, publish quarantine, publish Silver."""
        lake, database = self.lake, "lake_dev_silver"
        prefix = run_prefix(request.writer, request.run_id)
        manifest: Manifest | None = lake.operations.read(prefix + MANIFEST_FILE)
        assert manifest is not None
        self.batches.append(sorted(file["key"] for file in manifest["files"]))
        silver = lake.tables.table(database, request.dataset)
        quarantine = lake.tables.table(database, request.dataset + "__quarantine")
        branch = run_branch(request.run_id)
        silver.branches[branch] = dict(silver.rows)
        quarantine.branches[branch] = dict(quarantine.rows)
        lake.faults.effect("branch")
        self.job_failure(lake, request, manifest)
        files = [self._file(one, silver.branches[branch]) for one in manifest["files"]]
        lake.faults.effect("rows")
        report = _silver_report(request, files)
        lake.operations.objects[prefix + REPORT_FILE] = json.dumps(report)
        lake.faults.effect("report")
        for table in (quarantine, silver):
            table.rows = table.branches.pop(branch)
            table.markers.append(request.run_id)
            lake.faults.effect("publish")

    def _file(self, one: Any, rows: dict[str, int]) -> dict[str, Any]:
        """Ten rows of a current version; a file that changed meanwhile leaves none."""
        source = f"{one['key']}@{one['version_id']}"
        current = self.lake.bronze.current_version(one["key"])
        for replaced in one["replaces"]:
            rows.pop(replaced, None)
        counts = {"rows": 10, "silver_rows": 10, "quarantined_rows": 0, "superseded_rows": 0}
        outcome = "PROMOTED" if current == one["version_id"] else "SUPERSEDED"
        if outcome == "PROMOTED":
            rows[source] = 10
        return {
            "key": one["key"],
            "version_id": one["version_id"],
            "source_version_id": source,
            "outcome": outcome,
            "reason": None,
            **counts,
        }

    def _gold(self, request: RunRequest) -> None:
        """Make the one model anew from Silver, if that changed."""
        lake = self.lake
        silver = lake.tables.table("lake_dev_silver", "flights")
        gold = lake.tables.table("lake_dev_gold", "by_day")
        prefix = run_prefix(request.writer, request.run_id)
        report: dict[str, Any] = {"run_id": request.run_id, "models": [], "skipped": ["by_day"], "failed": {}}
        if gold.rows != silver.rows:
            gold.branches[run_branch(request.run_id)] = dict(silver.rows)
            lake.faults.effect("branch")
            report |= {"models": [_table("by_day")], "skipped": []}
        lake.operations.objects[prefix + REPORT_FILE] = json.dumps({**report, "seconds": {}})
        lake.faults.effect("report")
        if report["models"]:
            gold.rows = gold.branches.pop(run_branch(request.run_id))
            gold.markers.append(request.run_id)
            lake.faults.effect("publish")

    def _maintenance(self, request: RunRequest) -> None:
        """Maintain the writer's tables: rows stay as they are. Nobody else may be at work on them."""
        lake = self.lake
        prefix = run_prefix(request.writer, request.run_id)
        manifest: MaintenanceManifest | None = lake.operations.read(prefix + MANIFEST_FILE)
        assert manifest is not None
        self.maintained.append(request.writer)
        self.maintenance_failure(lake, request)
        for name in manifest["tables"]:
            table = lake.tables.table(f"lake_dev_{manifest['layer']}", name)
            assert not table.branches, "a run is at work on a table that is maintained"
            table.maintained.append(request.run_id)
            lake.faults.effect(f"maintain {name}")
        lake.operations.objects[prefix + REPORT_FILE] = json.dumps(_maintenance_report(request, manifest))
        lake.faults.effect("report")

    # --- what there is to see -----------------------------------------------------------------

    def states(self) -> dict[str, str]:
        """The state of every object version, as ``key@version``."""
        return {
            f"{item['key']}@{item['version_id']}": item["state"]
            for (_, sk), item in self.lake.store.items.items()
            if sk.startswith("VERSION#")
        }

    def silver(self, dataset: str = "flights") -> dict[str, int]:
        """Silver's rows by source."""
        return self.lake.tables.table("lake_dev_silver", dataset).rows

    def gold(self) -> dict[str, int]:
        """Gold's rows by source."""
        return self.lake.tables.table("lake_dev_gold", "by_day").rows

    def pending(self, dataset: str = "flights") -> list[str]:
        """The keys that wait."""
        return [file.key for file in self.lake.ledger.pending(dataset)]

    def kinds(self) -> list[str]:
        """The state machines of all executions in their order, each with its writer."""
        machines, requests = self.lake.executions.machines, self.lake.executions.requests
        return [f"{machines[run_id]} {requests[run_id]['writer']}" for run_id in self.runs]

    def leases(self) -> dict[str, str]:
        """The state of every lease."""
        return {
            pk.partition("#")[2]: item["state"]
            for (pk, sk), item in self.lake.store.items.items()
            if sk == "LEASE"
        }

    def open_branches(self) -> list[str]:
        """Tables with a branch that nobody will publish."""
        return [name for name, table in self.lake.tables.known.items() if table.branches]


def _table(name: str) -> dict[str, Any]:
    return {"table": name, "snapshot_id": 1, "rows_added": 10, "rows_deleted": 0, "columns": [], "inputs": {}}


def _silver_report(request: RunRequest, files: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "run_id": request.run_id,
        "dataset": request.dataset,
        "plan_hash": "h",
        "silver": _table(request.dataset),
        "quarantine": {**_table(request.dataset + "__quarantine"), "rows_added": 0},
        "files": files,
        "rules": [],
        "spark_actions": 1,
        "seconds": {},
    }


def _maintenance_report(request: RunRequest, manifest: MaintenanceManifest) -> dict[str, Any]:
    counts = {"files_before": 6, "files_after": 1, "bytes_before": 60, "bytes_after": 50, "seconds": 1.0}
    counts |= {"branches_dropped": 0, "snapshots_expired": 0, "orphans_removed": 0, "columns_counted": 0}
    tables = [{"table": name, **counts} for name in manifest["tables"]]
    return {"run_id": request.run_id, "tables": tables, "failed": {}, "seconds": 1.0}
