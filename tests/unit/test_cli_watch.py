"""The watch is driven by a script: at each sleep the fake world moves one step on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lakehouse_cli.errors import CommandError, TimedOutError
from lakehouse_cli.watch import Step, Watch
from tests.unit.cli_fakes import FakeLedger, Pages, fake_lake, refused

FLIGHTS = ("flights", "flights/a.csv", "v1")
WRITER = "promote:flights"


class FakeExecutions:
    """Histories by run id; a run without one does not exist yet."""

    def __init__(self) -> None:
        self.entered: dict[str, list[str]] = {}

    def get_paginator(self, name: str) -> Pages:
        assert name == "get_execution_history"
        return Pages(self._pages)

    def _pages(self, executionArn: str, includeExecutionData: bool) -> list[dict[str, Any]]:  # noqa: N803
        run_id = executionArn.rpartition(":")[2]
        if run_id not in self.entered:
            raise refused("GetExecutionHistory", "ExecutionDoesNotExist")
        return [
            {
                "events": [
                    {"type": "ExecutionStarted"},
                    *(
                        {"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": name}}
                        for name in self.entered[run_id]
                    ),
                ]
            }
        ]


class World:
    def __init__(self, *moves: Callable[[], None]) -> None:
        self.ledger, self.executions = FakeLedger(), FakeExecutions()
        self.moves = list(moves)
        self.now = 0.0
        self.steps: list[Step] = []

    def watch(self) -> Watch:
        lake = fake_lake(stepfunctions=self.executions)
        return Watch(lake, self.ledger, self.steps.append, clock=lambda: self.now, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.moves:
            self.moves.pop(0)()

    def told(self) -> list[str]:
        return [f"{step.who}: {step.what}" for step in self.steps]


def test_a_file_is_followed_from_put_to_gold() -> None:
    world = World()
    ledger, entered = world.ledger, world.executions.entered

    def known() -> None:
        ledger.file(*FLIGHTS, state="PENDING")
        ledger.writer(WRITER, state="TAKEN", run_id="flights-1", arrivals=1)

    def claimed() -> None:
        ledger.file(*FLIGHTS, state="CLAIMED", run_id="flights-1")
        entered["flights-1"] = ["ClaimFiles", "RunSilver"]

    def promoted_but_not_released() -> None:
        ledger.file(*FLIGHTS, state="PROMOTED", run_id="flights-1")
        ledger.has_run(WRITER, "flights-1", state="SUCCEEDED", promoted=1, rows=1200, rejected=0)

    def released() -> None:
        ledger.writer("refresh", state="TAKEN", run_id="refresh-1", arrivals=1, claimed_arrivals=0)
        ledger.writer(WRITER, state="FREE", run_id="", arrivals=1, claimed_arrivals=1)

    def refreshing() -> None:
        ledger.writer("refresh", state="TAKEN", run_id="refresh-1", arrivals=1, claimed_arrivals=1)
        entered["refresh-1"] = ["PlanModels"]

    def refreshed() -> None:
        ledger.writer("refresh", state="FREE", run_id="", arrivals=1, claimed_arrivals=1)
        ledger.has_run("refresh", "refresh-1", state="SUCCEEDED", models=4)

    world.moves = [known, claimed, promoted_but_not_released, released, refreshing, refreshed]
    items = world.watch().until_files_are_through([FLIGHTS], 60)

    assert [item["state"] for item in items] == ["PROMOTED"]
    assert world.told() == [
        "flights: files: 1 on the way",
        "flights: files: 1 PENDING",
        "flights: run flights-1",
        "flights: files: 1 CLAIMED",
        "flights: ClaimFiles",
        "flights: RunSilver",
        "flights: files: 1 PROMOTED",
        "flights: SUCCEEDED: 1 promoted, 1,200 rows",
        "gold: run refresh-1",
        "gold: PlanModels",
        "gold: SUCCEEDED: 4 models made",
    ]
    assert world.moves == []


def test_a_held_writer_ends_the_wait_with_its_reason() -> None:
    world = World()
    world.ledger.writer(WRITER, state="HELD", reason="AccessDenied in the Silver job")
    with pytest.raises(CommandError) as caught:
        world.watch().until_files_are_through([FLIGHTS], 60)
    assert str(caught.value) == (
        "flights is HELD: AccessDenied in the Silver job. Mend the cause, then: lakehouse retry flights"
    )


def test_time_runs_out_with_a_sentence() -> None:
    world = World()
    with pytest.raises(TimedOutError, match="Not done after 60 s"):
        world.watch().until_files_are_through([FLIGHTS], 60)


def test_a_file_of_an_incomplete_snapshot_is_not_waited_for() -> None:
    world = World()
    world.ledger.file("airports", "airports/p=1/a.csv", "v1", "PENDING")
    pointer = next(item for (pk, _), item in world.ledger.fake.items.items() if pk == "PENDING#airports")
    pointer["waits_past"] = 1
    world.ledger.writer("promote:airports", state="FREE", arrivals=1, claimed_arrivals=1)
    items = world.watch().until_files_are_through([("airports", "airports/p=1/a.csv", "v1")], 60)
    assert [item["state"] for item in items] == ["PENDING"]


def test_rest_means_nothing_pending_and_nobody_at_work() -> None:
    world = World()
    world.ledger.writer(WRITER, state="FREE", arrivals=1, claimed_arrivals=0)
    world.ledger.writer("refresh", state="FREE", arrivals=2, claimed_arrivals=1)
    world.ledger.file(*FLIGHTS, state="PENDING")
    world.moves = [
        lambda: world.ledger.file(*FLIGHTS, state="PROMOTED"),
        lambda: world.ledger.writer("refresh", state="FREE", arrivals=2, claimed_arrivals=2),
    ]
    world.watch().until_at_rest(60)
    assert world.moves == []
