"""Fakes of the core's ports: all in memory, and any effect can be made the process's last one."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from lakehouse.errors import ConditionFailed
from lakehouse.lake import Commit, Execution, JobRun, Lake, VersionPage
from lakehouse.ledger import Ledger, ObjectVersion
from lakehouse.settings import Settings
from lakehouse.store import (
    AnyOf,
    AtMost,
    Check,
    Condition,
    Delete,
    Is,
    Item,
    Key,
    Missing,
    Put,
    Update,
    Write,
)

START = datetime(2024, 5, 1, 7, 0, 0, tzinfo=UTC)


class Crash(BaseException):
    """The process died right after an effect."""


@dataclass
class Faults:
    """Counts effects; the process dies after each of those named in ``at``."""

    at: set[int] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)

    def effect(self, name: str) -> None:
        self.seen.append(name)
        if len(self.seen) in self.at:
            raise Crash(name)


class MemoryStore:
    """A ``Store`` in memory, with DynamoDB's meaning of every condition."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.items: dict[Key, Item] = {}
        self.faults = faults or Faults()
        self._lock = threading.RLock()

    def get(self, key: Key) -> Item | None:
        return _copied(self.items[key]) if key in self.items else None

    def get_many(self, keys: Iterable[Key]) -> dict[Key, Item]:
        return {key: _copied(self.items[key]) for key in keys if key in self.items}

    def query(
        self, pk: str, *, begins: str = "", before: str = "", newest_first: bool = False
    ) -> Iterator[Item]:
        found = sorted(
            (item for (partition, _), item in self.items.items() if partition == pk),
            key=lambda item: item["sk"],
            reverse=newest_first,
        )
        wanted = [i for i in found if i["sk"].startswith(begins) and (not before or i["sk"] < before)]
        return iter([_copied(item) for item in wanted])

    def write(self, write: Put | Update | Delete) -> Item:
        with self._lock:
            self._check([write])
            after = self._apply(write)
            self.faults.effect(f"{type(write).__name__} {_key_of(write)}")
            return after

    def transact(self, writes: Sequence[Write]) -> None:
        with self._lock:
            keys = [_key_of(write) for write in writes]
            assert 0 < len(writes) <= 100, "DynamoDB takes 1 to 100 writes"
            assert len(set(keys)) == len(keys), "DynamoDB takes one write for an item"
            self._check(writes)
            for write in writes:
                self._apply(write)
            self.faults.effect(f"transaction of {len(writes)} from {keys[0]}")

    def _check(self, writes: Sequence[Write]) -> None:
        failed = tuple(
            at
            for at, write in enumerate(writes)
            if not all(_holds(condition, self.items.get(_key_of(write), {})) for condition in write.when)
        )
        if failed:
            raise ConditionFailed(failed)

    def _apply(self, write: Write) -> Item:
        if isinstance(write, Check):
            return {}
        if isinstance(write, Put):
            self.items[write.key] = _copied(write.item)
            return _copied(write.item)
        if isinstance(write, Delete):
            self.items.pop(write.key, None)
            return {}
        before = self.items.get(write.key, {"pk": write.key[0], "sk": write.key[1]})
        after = {**before, **_copied(write.values)}
        after |= {name: value for name, value in write.defaults.items() if name not in before}
        after |= {name: before[source] for name, source in write.copy.items()}
        after |= {name: before.get(name, 0) + amount for name, amount in write.add.items()}
        for name in write.remove:
            after.pop(name, None)
        self.items[write.key] = after
        return _copied(after)


def _copied(item: Mapping[str, Any]) -> Item:
    """An item that shares nothing with another one. Most values are texts and numbers: nothing to copy."""
    return {k: v if isinstance(v, str | int) else copy.deepcopy(v) for k, v in item.items()}


def _key_of(write: Write) -> Key:
    return write.key


def _holds(condition: Condition, item: Mapping[str, Any]) -> bool:
    if isinstance(condition, AnyOf):
        return any(all(_holds(each, item) for each in group) for group in condition.groups)
    if isinstance(condition, Missing):
        return condition.attribute not in item
    if condition.attribute not in item:
        return False
    if isinstance(condition, AtMost):
        return bool(item[condition.attribute] <= condition.value)
    assert isinstance(condition, Is)
    return bool(item[condition.attribute] == condition.value)


class MemoryOperations:
    """The operations bucket."""

    def __init__(self, faults: Faults) -> None:
        self.objects: dict[str, str] = {}
        self.faults = faults

    def read(self, key: str) -> Any | None:
        return json.loads(self.objects[key]) if key in self.objects else None

    def create(self, key: str, value: object) -> bool:
        if key in self.objects:
            return False
        self.objects[key] = json.dumps(value)
        self.faults.effect(f"object {key.rpartition('/')[2]}")
        return True


class MemoryBronze:
    """The landing bucket: the current version of each key; ``history`` keeps the order of all."""

    def __init__(self) -> None:
        self.current: dict[str, ObjectVersion] = {}
        self.page_size = 1000

    def put(self, version: ObjectVersion) -> None:
        self.current[version.key] = version

    def current_version(self, key: str) -> str | None:
        return self.current[key].version_id if key in self.current else None

    def latest(self, key: str) -> ObjectVersion | None:
        return self.current[key]._replace(sequencer="") if key in self.current else None

    def folders(self) -> Iterator[str]:
        return iter(sorted({key.partition("/")[0] for key in self.current if "/" in key}))

    def page(self, prefix: str, cursor: str) -> VersionPage:
        keys = [key for key in sorted(self.current) if key.startswith(prefix) and key > cursor]
        page = [self.current[key]._replace(sequencer="") for key in keys[: self.page_size]]
        return VersionPage(page, page[-1].key if len(keys) > self.page_size else "")


@dataclass
class FakeExecutions:
    """Executions by name. ``lost`` names are accepted and never start, as a start that never came."""

    faults: Faults
    known: dict[str, Execution] = field(default_factory=dict)
    requests: dict[str, dict[str, str]] = field(default_factory=dict)
    machines: dict[str, str] = field(default_factory=dict)

    def start(self, state_machine_arn: str, name: str, request: Mapping[str, str]) -> None:
        machine = state_machine_arn.rpartition("-")[2]
        assert machine in {"maintain", "refresh" if request["writer"] == "refresh" else "promote"}
        assert self.machines.setdefault(name, machine) == machine, "one run is of one kind"
        if name not in self.known:
            self.known[name] = Execution("RUNNING", "", "")
            self.requests[name] = dict(request)
        assert self.requests[name] == request, "an execution is started again with the same input only"
        self.faults.effect(f"start {name}")

    def describe(self, state_machine_arn: str, name: str) -> Execution | None:
        ours = self.machines.get(name) == state_machine_arn.rpartition("-")[2]
        return self.known.get(name) if ours else None

    def running(self) -> list[str]:
        return [name for name, execution in self.known.items() if execution.status == "RUNNING"]

    def end(self, name: str, status: str, error: str = "", cause: str = "") -> None:
        self.known[name] = Execution(status, error, cause)


@dataclass
class FakeJobs:
    """Job runs by run id. A job told to stop stops at once, unless it is stubborn."""

    faults: Faults
    known: dict[str, list[JobRun]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    stubborn: bool = False

    def add(self, run_id: str, state: str, error: str = "") -> None:
        self.known.setdefault(run_id, []).append(JobRun(f"jr_{run_id}", state, error))

    def runs(self, job_name: str, run_id: str, since: datetime) -> list[JobRun]:
        assert job_name in {"lake-dev-silver", "lake-dev-gold", "lake-dev-maintain"}
        self.asked.append(job_name)
        return list(self.known.get(run_id, []))

    def stop(self, job_name: str, job_run_ids: list[str]) -> None:
        self.faults.effect("stop job")
        if self.stubborn:
            return
        for run_id, runs in self.known.items():
            self.known[run_id] = [
                run._replace(state="STOPPED") if run.job_run_id in job_run_ids else run for run in runs
            ]


@dataclass
class FakeTable:
    """An Iceberg table: rows by source, the runs whose markers main holds, and open branches.

    ``maintained`` are the runs that maintained it; ``summaries`` those of main's snapshots, oldest first, all
    of which were committed at one moment.
    """

    rows: dict[str, int] = field(default_factory=dict)
    markers: list[str] = field(default_factory=list)
    maintained: list[str] = field(default_factory=list)
    summaries: list[dict[str, str]] = field(default_factory=list)
    committed_at: datetime = START
    branches: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass
class FakeTables:
    """Tables by ``database.table``."""

    faults: Faults
    known: dict[str, FakeTable] = field(default_factory=dict)

    def table(self, database: str, name: str) -> FakeTable:
        return self.known.setdefault(f"{database}.{name}", FakeTable())

    def names(self, database: str) -> list[str]:
        return sorted(name.partition(".")[2] for name in self.known if name.startswith(database + "."))

    def drop_branch(self, database: str, table: str, branch: str) -> bool:
        known = self.known.get(f"{database}.{table}")
        if known is None or branch not in known.branches:
            return False
        del known.branches[branch]
        self.faults.effect(f"drop branch of {table}")
        return True

    def has_marker(self, database: str, table: str, run_id: str) -> bool:
        known = self.known.get(f"{database}.{table}")
        return known is not None and run_id in known.markers

    def history(self, database: str, table: str) -> list[Commit]:
        known = self.known.get(f"{database}.{table}")
        committed_ms = int(known.committed_at.timestamp() * 1000) if known else 0
        return [Commit(each, committed_ms) for each in reversed(known.summaries)] if known else []


@dataclass
class FakeTopic:
    """Messages sent."""

    faults: Faults
    messages: list[tuple[str, str]] = field(default_factory=list)

    def publish(self, subject: str, message: str) -> None:
        self.messages.append((subject, message))
        self.faults.effect("message")


@dataclass
class FakeFunctions:
    """Functions called asynchronously."""

    called: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def invoke_later(self, name: str, event: Mapping[str, object]) -> None:
        self.called.append((name, dict(event)))


@dataclass
class FakeMetrics:
    """Metrics as they were put: name, value, unit, dimensions."""

    said: list[tuple[str, float, str, dict[str, str]]] = field(default_factory=list)

    def put(self, name: str, value: float, unit: str, **dimensions: str) -> None:
        self.said.append((name, value, unit, dimensions))


class FakeClock:
    """A clock that ticks a millisecond whenever it is read."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def settings(**changes: Any) -> Settings:
    """The settings of a lake named ``lake-dev``."""
    machine = "arn:aws:states:us-east-1:000000000000:stateMachine:lake-dev-"
    values = {
        "lake_name": "lake",
        "environment": "dev",
        "bronze_bucket": "lake-dev-bronze",
        "silver_bucket": "lake-dev-silver",
        "gold_bucket": "lake-dev-gold",
        "operations_bucket": "lake-dev-operations",
        "ledger_table": "lake-dev-ledger",
        "lineage_table": "lake-dev-lineage",
        "promote_state_machine_arn": machine + "promote",
        "refresh_state_machine_arn": machine + "refresh",
        "maintain_state_machine_arn": machine + "maintain",
        "failure_topic_arn": "arn:aws:sns:us-east-1:000000000000:lake-dev-failures",
        "bronze_database": "lake_dev_bronze",
        "silver_database": "lake_dev_silver",
        "gold_database": "lake_dev_gold",
        "silver_job_name": "lake-dev-silver",
        "gold_job_name": "lake-dev-gold",
        "maintain_job_name": "lake-dev-maintain",
        "crawler_name": "lake-dev-bronze",
        "assets_prefix": "assets/abc/",
    }
    return Settings.model_validate({**values, **changes})


def plan_of(dataset: str, **changes: Any) -> dict[str, Any]:
    """What the core reads of a dataset's plan."""
    return {"dataset": dataset, "hash": "h", "mode": "append", "columns": [], **changes}


MODEL = {
    "model": "by_day",
    "hash": "m",
    "inputs": [{"layer": "silver", "table": "flights", "view": "flights", "mapping": None, "lookback": 0}],
    "column_lineage": {},
}


@dataclass(frozen=True)
class FakeLake(Lake):
    """A lake whose ports are the fakes above, typed as such for the tests."""

    store: MemoryStore
    lineage: MemoryStore
    faults: Faults
    clock: FakeClock
    operations: MemoryOperations
    bronze: MemoryBronze
    executions: FakeExecutions
    jobs: FakeJobs
    tables: FakeTables
    topic: FakeTopic
    functions: FakeFunctions
    metrics: FakeMetrics


def fake_lake(**changes: Any) -> FakeLake:
    """A new, empty lake; ``changes`` are settings."""
    faults = Faults()
    store, clock = MemoryStore(faults), FakeClock()
    tokens = iter(range(1, 10**6))
    operations = MemoryOperations(faults)
    operations.objects["assets/abc/index.json"] = json.dumps(
        {"hash": "abc", "datasets": ["flights"], "models": ["by_day"], "scheduled": ["tides"]}
    )
    operations.objects["assets/abc/plans/flights.json"] = json.dumps(plan_of("flights"))
    operations.objects["assets/abc/models/by_day.json"] = json.dumps(MODEL)
    return FakeLake(
        settings=settings(**changes),
        ledger=Ledger(store),
        lineage=MemoryStore(faults),
        operations=operations,
        bronze=MemoryBronze(),
        executions=FakeExecutions(faults),
        jobs=FakeJobs(faults),
        tables=FakeTables(faults),
        topic=FakeTopic(faults),
        functions=FakeFunctions(),
        metrics=FakeMetrics(),
        now=clock,
        token=lambda: f"{next(tokens):08x}",
        pause=clock.forward,
        store=store,
        faults=faults,
        clock=clock,
    )
