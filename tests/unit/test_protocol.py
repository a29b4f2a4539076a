"""The ledger's protocol in motion: order, repetition, crashes after any effect, poison, failing environments."""

from __future__ import annotations

import pytest

from .world import World, version

FLIGHTS = "promote:flights"


def undisturbed() -> World:
    """Three files of one dataset, one rewritten later, and one file of another."""
    world = World()
    scenario(world)
    return world


def scenario(world: World) -> None:
    world.put(version("flights/a.csv"), version("flights/b.csv"), version("weather/w.csv"))
    world.settle()
    world.put(version("flights/a.csv", 2), version("flights/c.csv"))
    world.settle()


def end_state(world: World) -> dict[str, object]:
    return {
        "states": world.states(),
        "silver": world.silver(),
        "weather": world.silver("weather"),
        "gold": world.gold(),
        "leases": world.leases(),
        "pending": world.pending() + world.pending("weather"),
        "branches": world.open_branches(),
        "sources": sorted(sk for (pk, sk) in world.lake.store.items if pk.startswith("SOURCES#")),
        "running": [
            item["run_id"] for item in world.lake.store.items.values() if item.get("state") == "RUNNING"
        ],
    }


EXPECTED: dict[str, object] = {
    "states": {
        "flights/a.csv@v1": "PROMOTED",
        "flights/b.csv@v1": "PROMOTED",
        "weather/w.csv@v1": "PROMOTED",
        "flights/a.csv@v2": "PROMOTED",
        "flights/c.csv@v1": "PROMOTED",
    },
    "silver": {"flights/a.csv@v2": 10, "flights/b.csv@v1": 10, "flights/c.csv@v1": 10},
    "weather": {"weather/w.csv@v1": 10},
    "gold": {"flights/a.csv@v2": 10, "flights/b.csv@v1": 10, "flights/c.csv@v1": 10},
    "leases": {"promote:flights": "FREE", "promote:weather": "FREE", "refresh": "FREE"},
    "pending": [],
    "branches": [],
    "sources": [
        "flights/a.csv@v1",
        "flights/a.csv@v2",
        "flights/b.csv@v1",
        "flights/c.csv@v1",
        "weather/w.csv@v1",
    ],
    "running": [],
}
EFFECTS = len(undisturbed().lake.faults.seen)


def test_files_go_all_the_way():
    assert end_state(undisturbed()) == EXPECTED


@pytest.mark.parametrize("at", range(1, EFFECTS + 1))
def test_a_crash_after_any_effect_changes_nothing_in_the_end(at: int):
    """Peers 5: a crash between any two steps loses no file and doubles none."""
    world = World()
    world.lake.faults.at = {at}
    scenario(world)
    assert len(world.lake.faults.seen) >= at
    assert end_state(world) == EXPECTED


@pytest.mark.parametrize("at", range(1, EFFECTS + 1))
def test_a_second_crash_during_recovery_changes_nothing_either(at: int):
    world = World()
    world.lake.faults.at = {at, at + 2, at + 5}
    scenario(world)
    assert end_state(world) == EXPECTED
