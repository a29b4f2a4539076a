"""Retry, on the core's fake lake in motion."""

from __future__ import annotations

import json
from typing import Any

from lakehouse.retrying import Retried, retry
from lakehouse.words import Failure
from tests.unit.world import POISON, JobDied, World, version

WRITER = "promote:flights"


def kill_poisoned(lake: Any, request: Any, manifest: Any) -> None:
    if any(POISON in file["key"] for file in manifest["files"]):
        raise JobDied


def nobody(lake: Any, request: Any, manifest: Any) -> None:
    """The job does its work."""


def test_a_failed_file_tries_again_with_its_attempts_forgotten() -> None:
    world = World()
    world.job_failure = kill_poisoned
    world.put(version("flights/poison.csv"), version("flights/good.csv", 2))
    world.settle()
    assert world.states() == {"flights/poison.csv@v1": "FAILED", "flights/good.csv@v2": "PROMOTED"}

    done = retry(world.lake, WRITER, ["FAILED"])
    assert (done.files, done.outdated, done.was, done.now) == (1, 0, "FREE", "TAKEN")
    item = world.lake.ledger.version("flights/poison.csv", "v1")
    assert item is not None
    assert (item["state"], item["attempts"], item["reason"]) == ("PENDING", 0, "retried after FAILED")

    world.job_failure = nobody
    world.settle()
    assert world.states()["flights/poison.csv@v1"] == "PROMOTED"
    assert world.silver() == {"flights/poison.csv@v1": 10, "flights/good.csv@v2": 10}


def test_a_failed_file_with_a_newer_version_is_left_alone() -> None:
    world = World()
    world.job_failure = kill_poisoned
    world.put(version("flights/poison.csv"))
    world.settle()
    world.job_failure = nobody
    world.put(version("flights/poison.csv", 2))
    world.settle()
    done = retry(world.lake, WRITER, ["FAILED"])
    assert (done.files, done.outdated) == (0, 1)
    assert world.states() == {"flights/poison.csv@v1": "FAILED", "flights/poison.csv@v2": "PROMOTED"}


def test_a_held_writer_is_freed_and_does_what_waited() -> None:
    world = World()

    def denied(lake: Any, request: Any, manifest: Any) -> None:
        failure: Failure = {
            "run_id": request.run_id,
            "failure_class": "ENVIRONMENT",
            "error": "AccessDenied",
            "message": "",
        }
        lake.operations.objects[f"runs/promote/flights/{request.run_id}/failure.json"] = json.dumps(failure)
        raise JobDied

    world.job_failure = denied
    world.put(version("flights/a.csv"))
    world.settle()
    assert world.leases()[WRITER] == "HELD"

    world.job_failure = nobody
    done = retry(world.lake, WRITER, ["FAILED"])
    assert (done.files, done.was, done.now) == (0, "HELD", "TAKEN")
    world.settle()
    assert world.states() == {"flights/a.csv@v1": "PROMOTED"}


def test_there_may_be_nothing_to_retry() -> None:
    world = World()
    world.put(version("flights/a.csv"))
    world.settle()
    assert retry(world.lake, WRITER, ["FAILED"]) == Retried(WRITER, 0, 0, "FREE", "FREE", "")
    assert retry(world.lake, "refresh", ["FAILED"]) == Retried("refresh", 0, 0, "FREE", "FREE", "")
