"""The reserve of workers, with small Python programs in the place of JVMs: who gets which, and who cleans up."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from twin.glue import workers
from twin.glue.machine import SparkMachine
from twin.glue.workers import WorkerPool, WorkerProcess

PROGRAM = """
import json, os, sys
report = os.fdopen(int(sys.argv[1]), "w", buffering=1)
tell = lambda **event: report.write(json.dumps(event) + "\\n")
for line in sys.stdin:
    order = json.loads(line)
    if order["kind"] == "warm-up":
        if order["fails"]:
            sys.exit("no warmth")
        tell(event="ready")
    elif order["text"] == "die":
        os._exit(3)
    elif order["text"] != "stay":
        print("did", order["text"], flush=True)
        tell(event="done", error=None)
        tell(event="ready")
"""


@dataclass
class FakeMachine:
    """Starts ``PROGRAM`` where the real one starts a worker."""

    program: Path
    archive: Path
    fails: bool = False

    def command(self, report_fd: int) -> list[str]:
        return [sys.executable, str(self.program), str(report_fd)]

    def environment(self, directory: Path, write_archive: Path | None) -> dict[str, str]:
        return {"PATH": os.environ["PATH"]}

    def warm_up_order(self, archive: bool) -> dict[str, Any]:
        return {"kind": "warm-up", "archive": archive, "fails": self.fails}


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    program, archive = tmp_path / "program.py", tmp_path / "archive"
    program.write_text(PROGRAM)
    archive.write_text("is there")
    return FakeMachine(program, archive)


@pytest.fixture
def make_pool(machine: FakeMachine, tmp_path: Path) -> Iterator[Callable[[int], WorkerPool]]:
    pools: list[WorkerPool] = []

    def make(reserve_size: int) -> WorkerPool:
        pool = WorkerPool(cast("SparkMachine", machine), tmp_path / "workers", reserve_size, parallel=2)
        pools.append(pool)
        pool.start()
        return pool

    yield make
    for pool in pools:
        pool.close()


def wait_until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def do(worker: WorkerProcess, text: str) -> None:
    worker.order({"kind": "job", "text": text})
    assert worker.done.wait(20)


def test_a_job_gets_a_warm_worker_which_then_waits_for_the_next_job(
    make_pool: Callable[[int], WorkerPool],
) -> None:
    pool = make_pool(2)
    wait_until(lambda: pool.ready_count() == 2)
    with pool.worker() as first:
        assert first.ready.is_set()
        do(first, "this")
        assert (first.reported, first.error, first.output("stdout")) == (True, None, ["did this"])
        assert pool.ready_count() == 1, "no refill while a job runs"
    wait_until(lambda: pool.ready_count() == 2)
    with pool.worker() as other, pool.worker() as again:
        assert {other.process.pid, again.process.pid} >= {first.process.pid}
        do(first, "that")
        assert first.output("stdout") == ["did this", "did that"]


def test_a_worker_is_replaced_after_its_jobs(
    make_pool: Callable[[int], WorkerPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "JOBS_PER_WORKER", 2)
    pool = make_pool(1)
    pids = []
    for text in ("one", "two", "three"):
        wait_until(lambda: pool.ready_count() == 1)
        with pool.worker() as worker:
            pids.append(worker.process.pid)
            do(worker, text)
    assert pids[0] == pids[1]
    assert pids[2] != pids[0]


def test_a_worker_whose_job_was_stopped_is_killed(make_pool: Callable[[int], WorkerPool]) -> None:
    pool = make_pool(1)
    wait_until(lambda: pool.ready_count() == 1)
    with pool.worker() as worker:
        worker.order({"kind": "job", "text": "stay"})
        worker.kill()
    assert worker.process.poll() is not None
    assert not worker.directory.exists()
    wait_until(lambda: pool.ready_count() == 1)


def test_without_a_reserve_a_job_gets_a_new_worker(make_pool: Callable[[int], WorkerPool]) -> None:
    pool = make_pool(0)
    with pool.worker() as worker:
        do(worker, "that")
        assert worker.output("stdout") == ["did that"]


def test_a_worker_that_dies_has_reported_nothing(make_pool: Callable[[int], WorkerPool]) -> None:
    with make_pool(0).worker() as worker:
        do(worker, "die")
        assert not worker.reported
        assert worker.process.wait() == 3


def test_a_dead_worker_in_reserve_is_given_to_nobody(make_pool: Callable[[int], WorkerPool]) -> None:
    pool = make_pool(1)
    wait_until(lambda: pool.ready_count() == 1)
    victim = pool._reserve[0]
    victim.process.kill()
    assert victim.done.wait(20)
    with pool.worker() as worker:
        assert worker is not victim
        do(worker, "anyway")


def test_a_failed_warm_up_is_told_and_jobs_start_cold(
    machine: FakeMachine, make_pool: Callable[[int], WorkerPool], caplog: pytest.LogCaptureFixture
) -> None:
    machine.fails = True
    pool = make_pool(2)
    wait_until(lambda: "no warmth" in caplog.text)
    with pool.worker() as worker:
        do(worker, "cold")


def test_closing_kills_all_and_leaves_nothing(make_pool: Callable[[int], WorkerPool], tmp_path: Path) -> None:
    pool = make_pool(2)
    wait_until(lambda: pool.ready_count() == 2)
    all_workers = list(pool._reserve)
    pool.close()
    assert all(worker.process.poll() is not None for worker in all_workers)
    assert list((tmp_path / "workers").iterdir()) == []


def test_what_a_killed_twin_left_is_cleared(tmp_path: Path, make_pool: Callable[[int], WorkerPool]) -> None:
    (tmp_path / "workers" / "old").mkdir(parents=True)
    make_pool(0)
    assert not (tmp_path / "workers" / "old").exists()
