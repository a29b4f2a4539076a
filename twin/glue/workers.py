"""The processes that run Glue jobs, and the reserve of them that is started and warm before a job comes.

A worker is one JVM with its keeper (``worker.py``); it runs one job at a time, each in a Python process and
a Spark session of its own, and is killed after some jobs, or with a job that is stopped or dies. Two are
kept in reserve, since Gold follows Silver. The reserve is refilled one at a time, and only while no job
has run for some seconds: on two cores a refill would cost the running job more than the next one gains.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, cast

from twin.glue.machine import SparkMachine

QUIET_SECONDS: Final = 2.0
"""How long no job may have run before a refill starts."""
START_SECONDS: Final = 180.0
JOBS_PER_WORKER: Final = 20
"""After so many a JVM is replaced, before what jobs leave behind in it could matter."""
log = logging.getLogger("twin.glue")


@dataclass
class WorkerProcess:
    """A started ``worker.py`` in a directory of its own. Its standard streams are files there."""

    process: subprocess.Popen[bytes]
    stdin: IO[bytes]
    directory: Path
    report_fd: int
    ready: threading.Event = field(default_factory=threading.Event)
    """Set while it waits for a job, and once the process has ended."""
    done: threading.Event = field(default_factory=threading.Event)
    """Set when the job has reported its result, or the process has ended without."""
    ended: bool = False
    reported: bool = False
    error: str | None = None
    jobs: int = 0

    def listen(self) -> None:
        """Follow the worker's reports on a thread."""
        threading.Thread(target=self._read_reports, daemon=True).start()

    def _read_reports(self) -> None:
        with os.fdopen(self.report_fd) as reports:
            for line in reports:
                report = json.loads(line)
                if report["event"] == "ready":
                    self.ready.set()
                if report["event"] == "done":
                    self.reported, self.error = True, report["error"]
                    self.done.set()
        self.ended = True
        self.done.set()
        self.ready.set()

    def order(self, order: dict[str, Any]) -> None:
        """Send a warm-up or a job. A worker that is dead already shows it by ``done``."""
        self.ready.clear()
        self.done.clear()
        self.reported, self.error = False, None
        self.jobs += order["kind"] == "job"
        if self.ended:
            self.done.set()
            self.ready.set()
        try:
            self.stdin.write(json.dumps(order).encode() + b"\n")
            self.stdin.flush()
        except BrokenPipeError:
            log.warning("A Glue worker has died before it got its order.")

    def can_go_on(self) -> bool:
        """Whether it may be given another job after the one that has just ended."""
        return self.reported and self.process.poll() is None and self.jobs < JOBS_PER_WORKER

    def output(self, stream: str) -> list[str]:
        """The lines of ``stdout`` or ``stderr`` so far."""
        return (self.directory / f"{stream}.log").read_text(errors="replace").splitlines()

    def kill(self) -> None:
        """End the process and its JVM. The process leads a group of its own."""
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def remove(self) -> None:
        """Kill the process and delete its directory."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class WorkerPool:
    """Hands out workers, warm ones first, and keeps ``reserve_size`` of them ready."""

    def __init__(self, machine: SparkMachine, work_dir: Path, reserve_size: int, parallel: int) -> None:
        self._machine = machine
        self._work_dir = work_dir
        self._reserve_size = reserve_size
        self._slots = threading.BoundedSemaphore(parallel)
        self._lock = threading.Condition()
        self._reserve: list[WorkerProcess] = []
        self._all: list[WorkerProcess] = []
        self._active = 0
        self._quiet_since = 0.0
        self._closed = False

    def start(self) -> None:
        """Make the class archive if there is none, then keep the reserve full, on a thread of its own."""
        shutil.rmtree(self._work_dir, ignore_errors=True)  # what a twin that was killed left behind
        self._work_dir.mkdir(parents=True)
        if self._reserve_size:
            threading.Thread(target=self._keep_reserve, daemon=True, name="glue-reserve").start()

    @contextmanager
    def worker(self) -> Iterator[WorkerProcess]:
        """A worker for one job, once a slot is free: a warm one, else one warming up, else a new one."""
        with self._slots:
            with self._lock:
                self._active += 1
                alive = [worker for worker in self._reserve if not worker.ended]
                worker = min(alive, key=lambda worker: not worker.ready.is_set(), default=None)
                self._reserve = [other for other in alive if other is not worker]
            try:
                worker = worker or self._spawn()
                yield worker
            finally:
                if worker is not None:
                    self._take_back(worker)
                with self._lock:
                    self._active -= 1
                    self._quiet_since = time.monotonic()
                    self._lock.notify_all()

    def ready_count(self) -> int:
        """How many workers are warm and free."""
        with self._lock:
            return sum(worker.ready.is_set() for worker in self._reserve)

    def close(self) -> None:
        """Kill every worker."""
        with self._lock:
            self._closed = True
            workers = list(self._all)
            self._lock.notify_all()
        for worker in workers:
            worker.remove()

    def _take_back(self, worker: WorkerProcess) -> None:
        with self._lock:
            kept = not self._closed and worker.can_go_on() and len(self._reserve) < self._reserve_size
            if kept:
                self._reserve.append(worker)
        if not kept:
            self._discard(worker)

    def _discard(self, worker: WorkerProcess) -> None:
        worker.remove()
        with self._lock:
            self._all.remove(worker)

    def _keep_reserve(self) -> None:
        if not self._machine.archive.exists():
            self._make_archive()
        while self._wait_for_need():
            worker = self._spawn()
            worker.order(self._machine.warm_up_order(archive=False))
            with self._lock:
                self._reserve.append(worker)
            warm = worker.ready.wait(START_SECONDS)
            with self._lock:
                failed = worker in self._reserve and (worker.ended or not warm)
                if failed:
                    self._reserve.remove(worker)
            if failed:
                self._report_failed(worker)
                return

    def _wait_for_need(self) -> bool:
        """Block until a worker is lacking and no job has run for a while; False when the twin stops."""
        with self._lock:
            while not self._closed:
                quiet = time.monotonic() - self._quiet_since
                if self._active == 0 and len(self._reserve) < self._reserve_size:
                    if quiet >= QUIET_SECONDS:
                        return True
                    self._lock.wait(QUIET_SECONDS - quiet)
                else:
                    self._lock.wait()
        return False

    def _make_archive(self) -> None:
        """One worker at low priority whose JVM leaves its loaded classes in a file for all later ones."""
        partial = self._machine.archive.with_suffix(f".{uuid.uuid4().hex[:8]}")
        worker = self._spawn(write_archive=partial)
        worker.order(self._machine.warm_up_order(archive=True))
        worker.done.wait(START_SECONDS)
        worker.process.wait(START_SECONDS)
        if partial.exists():
            partial.rename(self._machine.archive)
            self._discard(worker)
        else:
            self._report_failed(worker)

    def _report_failed(self, worker: WorkerProcess) -> None:
        if not self._closed:
            reason = "\n".join(worker.output("stderr")[-15:])
            log.error("The warm-up of a Glue worker failed; jobs start cold from now on.\n%s", reason)
            self._discard(worker)

    def _spawn(self, write_archive: Path | None = None) -> WorkerProcess:
        directory = self._work_dir / uuid.uuid4().hex[:12]
        (directory / "tmp").mkdir(parents=True)
        read_fd, write_fd = os.pipe()
        with (directory / "stdout.log").open("ab") as out, (directory / "stderr.log").open("ab") as err:
            process = subprocess.Popen(
                [*(("nice", "-n", "10") if write_archive else ()), *self._machine.command(write_fd)],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                cwd=directory,
                env=self._machine.environment(directory, write_archive),
                pass_fds=(write_fd,),
                start_new_session=True,
            )
        os.close(write_fd)
        worker = WorkerProcess(process, cast("IO[bytes]", process.stdin), directory, read_fd)
        with self._lock:
            self._all.append(worker)
        worker.listen()
        return worker
