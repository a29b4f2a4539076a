"""Whatever is killed, wherever: after recovery all is as if nothing had happened (acceptance 7).

`make test` kills at some boundaries, `make soak` at all. The sweep is called here every few seconds; its
schedule has a test of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pytest

from lakehouse import writers
from lakehouse.words import REFRESH_WRITER
from tests.twin.lake import TwinLake
from tests.twin.sample import csv, flight, flights_key

RECOVERY_SECONDS = 240
PROMOTE = "promote:flights"
BEFORE_GOLD = {"IntakeFunctionRole", "ClaimFunctionRole", "SilverJobRole"}
"""Roles that only promotion has. While these are killed Gold is held: nothing of it is to be seen."""


class Boundary(NamedTuple):
    """Where a caller is killed: at the matching call number ``skip`` (from 0), after it had its effect."""

    name: str
    role: str
    service: str
    call: str
    skip: int = 0
    when: str = "after"


SHORT = [
    Boundary("ledger written", "IntakeFunctionRole", "dynamodb", "TransactWriteItems"),
    Boundary("arrivals counted", "IntakeFunctionRole", "dynamodb", "UpdateItem"),
    Boundary("lease taken", "IntakeFunctionRole", "dynamodb", "UpdateItem", 1),
    Boundary("execution started", "IntakeFunctionRole", "states", "StartExecution"),
    Boundary("confirmed", "ClaimFunctionRole", "dynamodb", "UpdateItem"),
    Boundary("manifest written", "ClaimFunctionRole", "s3", r"PUT .*manifest\.json"),
    Boundary("report written", "SilverJobRole", "s3", r"PUT .*report\.json"),
    Boundary("outcomes written", "CompleteFunctionRole", "dynamodb", "TransactWriteItems"),
    Boundary("gold commit 0 made", "GoldJobRole", "glue", "UpdateTable"),
]
LONG = [
    Boundary("files claimed", "ClaimFunctionRole", "dynamodb", "TransactWriteItems"),
    *(Boundary(f"silver commit {n} made", "SilverJobRole", "glue", "UpdateTable", n) for n in range(8)),
    Boundary("report not yet written", "SilverJobRole", "s3", r"PUT .*report\.json", 0, "before"),
    Boundary("gold woken", "CompleteFunctionRole", "dynamodb", "UpdateItem"),
    Boundary("lease released", "CompleteFunctionRole", "dynamodb", "UpdateItem", 2),
    Boundary("refresh confirmed", "PlanFunctionRole", "dynamodb", "UpdateItem"),
    Boundary("refresh manifest written", "PlanFunctionRole", "s3", r"PUT .*manifest\.json"),
    *(Boundary(f"gold commit {n} made", "GoldJobRole", "glue", "UpdateTable", n) for n in range(1, 4)),
    Boundary("gold report written", "GoldJobRole", "s3", r"PUT .*report\.json"),
]
CHOSEN = SHORT + LONG if os.environ.get("LAKEHOUSE_SOAK") else SHORT
BOUNDARIES = sorted(CHOSEN, key=lambda boundary: boundary.role not in BEFORE_GOLD)


@pytest.fixture(scope="module", autouse=True)
def gold_goes_on(lake: TwinLake) -> Iterator[None]:
    """Whichever of these tests ran last, Gold is not left held."""
    yield
    lake.release_gold()


@pytest.fixture
def undisturbed(lake: TwinLake) -> Any:
    """No fault is left armed for the next test."""
    yield
    lake.arm(service="none", call="none", role="none", when="before", effect="kill")


@pytest.mark.parametrize("number", range(len(BOUNDARIES)), ids=[b.name.replace(" ", "-") for b in BOUNDARIES])
def test_a_kill_at_a_boundary_changes_nothing(lake: TwinLake, undisturbed: None, number: int) -> None:
    boundary = BOUNDARIES[number]
    on_the_way_to_gold = boundary.role not in BEFORE_GOLD
    if on_the_way_to_gold:
        lake.release_gold()
        lake.rest()  # another file's refresh shall not meet the fault
    else:
        lake.hold_gold()
    year, month = 2020 + number // 12, 1 + number % 12
    key = flights_key(year, month, f"crash-{number}")
    rows = [flight(year, month, 1, 1), flight(year, month, 1, 2), flight(year, month, 1, 3, distance=-1)]
    lake.arm(effect="kill", **{k: v for k, v in boundary._asdict().items() if k != "name"})
    with lake.quick_backoff():
        file = lake.put(key, csv(rows))
        item = settle_with_sweeps(lake, file, [PROMOTE, *[REFRESH_WRITER] * on_the_way_to_gold])
    assert lake.fault_fired(), f"nothing met the boundary: {boundary.name}"
    assert (item["state"], item["silver_rows"], item["quarantined_rows"]) == ("PROMOTED", 2, 1)
    flights = f"SELECT flight FROM flights WHERE year = {year} AND month = {month} ORDER BY flight"
    assert lake.query(flights) == [[1], [2]]
    bad = f"SELECT count(*) FROM flights__quarantine WHERE _source_key = '{key}'"
    assert lake.query(bad) == [[1]]
    assert lake.branches("flights") == {"main"}
    assert lake.branches("flights__quarantine") == {"main"}


def test_gold_has_every_row_of_a_killed_run_once(lake: TwinLake) -> None:
    """Looked at once for all of them, since Gold takes in several files together."""
    lake.release_gold()
    lake.rest()
    months = "year BETWEEN 2020 AND 2023 GROUP BY year, month ORDER BY year, month"
    landed = lake.query(f"SELECT year, month, count(*) FROM flights WHERE {months}")
    assert landed
    assert {count for _, _, count in landed} == {2}
    daily = f"SELECT year, month, sum(flights) FROM carrier_punctuality_daily WHERE {months}"
    assert lake.query(daily, "gold") == landed
    assert lake.branches("carrier_punctuality_daily", "gold") == {"main"}
    assert {writers.read(lake.core, writer).state for writer in (PROMOTE, REFRESH_WRITER)} == {"FREE"}


def settle_with_sweeps(
    lake: TwinLake, file: tuple[str, str, str], waited_for: Sequence[str]
) -> dict[str, Any]:
    """Wait for a file and these writers while the sweep runs every few seconds, not every few minutes."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while True:
        item = lake.core.ledger.version(file[1], file[2])
        if item is not None and item["state"] == "PROMOTED" and all(at_rest(lake, w) for w in waited_for):
            return item
        assert time.monotonic() < deadline, f"not recovered: {item and item['state']}"
        lake.invoke("sweep", {})
        time.sleep(1)


def at_rest(lake: TwinLake, writer: str) -> bool:
    lease = writers.read(lake.core, writer)
    return lease.state == "FREE" and (writer == PROMOTE or lease.claimed_arrivals >= lease.arrivals)
