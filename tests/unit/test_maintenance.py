"""Maintenance under the writers' leases: who needs it, the wish, the hand-over both ways, crashes, failures."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lakehouse import claim, complete, maintain, plan, recover, sweep, writers
from lakehouse.errors import LedgerUnavailable, MaintenanceIncomplete, StaleRun
from lakehouse.lake import Commit
from lakehouse.ledger import lease_key
from lakehouse.payloads import CompleteRequest, MaintainRequest, RunRequest
from lakehouse.words import FAILURE_FILE, REPORT_FILE, run_prefix

from .fakes import FakeLake, plan_of
from .test_protocol import EXPECTED, end_state
from .world import JobDied, World, version

FLIGHTS = "promote:flights"
ADDED = {"operation": "append", "added-data-files": "1"}
EMPTY = {"operation": "append"}
COMPACTED = {"operation": "replace", "added-data-files": "1", "lakehouse.run-id": "r1"}
MAINTAINED = {"operation": "append", "lakehouse.maintenance": "r1"}
YESTERDAY = datetime(2024, 4, 30, 7, tzinfo=UTC)
YESTERDAY_MS, TODAY_MS = 1714460400000, 1714546800000


def landed() -> World:
    """One file is in Silver and Gold, and all is at rest."""
    world = World()
    world.put(version("flights/a.csv"))
    world.settle()
    world.runs.clear()
    return world


def at_work(world: World, busy: str = "") -> RunRequest:
    """A promote run of flights that has claimed its file. ``busy`` is a run of another writer."""
    world.put(version("flights/b.csv"))
    world.deliver()
    (run_id,) = (run_id for run_id in world.lake.executions.running() if run_id != busy)
    request = RunRequest.model_validate(world.lake.executions.requests[run_id])
    claim.claim(world.lake, request)
    return request


def lease(world: World, writer: str = FLIGHTS) -> writers.Lease:
    return writers.read(world.lake, writer)


def broken(lake: FakeLake, request: RunRequest) -> None:
    raise JobDied


# --- who needs it -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "due"),
    [
        ([], False),
        ([ADDED, ADDED], False),
        ([ADDED, ADDED, ADDED], True),
        ([ADDED, EMPTY, ADDED, EMPTY], False),
        ([ADDED, {"added-delete-files": "2"}, ADDED], True),
        ([{"added-data-files": "0"}, ADDED, ADDED], False),
        ([ADDED, ADDED, MAINTAINED, COMPACTED, ADDED, ADDED], False),
        ([ADDED, ADDED, ADDED, MAINTAINED, COMPACTED, ADDED], True),
        ([MAINTAINED, *[ADDED] * 9], False),
    ],
)
def test_a_table_is_due_after_three_commits_that_brought_files(history: list[dict[str, str]], due: bool):
    commits = [Commit(summary, TODAY_MS) for summary in history]
    assert maintain.is_due(commits, 3, YESTERDAY) is due


@pytest.mark.parametrize(
    ("history", "due"),
    [
        ([], False),
        ([(ADDED, TODAY_MS)], False),
        ([(ADDED, YESTERDAY_MS)], True),
        ([(ADDED, TODAY_MS), (ADDED, YESTERDAY_MS)], True),
        ([(EMPTY, YESTERDAY_MS)], False),
        ([(ADDED, TODAY_MS), (MAINTAINED, TODAY_MS), (ADDED, YESTERDAY_MS)], False),
    ],
)
def test_a_table_is_due_when_a_commit_that_brought_files_has_waited_too_long(
    history: list[tuple[dict[str, str], int]], due: bool
):
    assert maintain.is_due([Commit(*each) for each in history], 3, YESTERDAY) is due


def test_a_contract_says_how_long_its_tables_wait_and_how_large_their_files_are_to_be():
    world = landed()
    flights = world.lake.tables.table("lake_dev_silver", "flights")
    flights.summaries, flights.committed_at = [ADDED], world.lake.clock.at - timedelta(days=3)
    assert maintain.maintain(world.lake, MaintainRequest()).not_due == [FLIGHTS, "refresh"]
    asked = {**plan_of("flights"), "maintenance": {"maximum_delay_days": 2, "target_file_bytes": 1024}}
    world.lake.operations.objects["assets/abc/plans/flights.json"] = json.dumps(asked)
    (run_id,) = maintain.maintain(world.lake, MaintainRequest()).started.values()
    request = RunRequest.model_validate(world.lake.executions.requests[run_id])
    planned = plan.plan(world.lake, request)
    manifest = world.lake.operations.read(planned.manifest)
    assert manifest is not None
    assert manifest["target_file_bytes"] == 1024


def test_only_writers_with_a_table_that_is_due_are_asked():
    world = World(maintenance_commits=3)
    world.put(version("flights/a.csv"), version("weather/w.csv"))
    world.settle()
    world.lake.tables.table("lake_dev_silver", "flights").summaries = [ADDED] * 2
    world.lake.tables.table("lake_dev_silver", "weather__quarantine").summaries = [ADDED] * 3
    world.lake.tables.table("lake_dev_gold", "by_day").summaries = [ADDED] * 3 + [MAINTAINED]
    result = maintain.maintain(world.lake, MaintainRequest())
    (run_id,) = world.lake.executions.running()
    assert result.model_dump() == {
        "started": {"promote:weather": run_id},
        "wanted": [],
        "not_due": ["promote:flights", "refresh"],
        "unknown": [],
        "failed": {},
    }


def test_named_writers_are_asked_always_if_that_is_wished_and_unknown_ones_are_told():
    world = landed()
    result = maintain.maintain(world.lake, MaintainRequest(writers=["refresh", "promote:x"], always=True))
    assert (list(result.started), result.not_due, result.unknown) == (["refresh"], [], ["promote:x"])


def test_an_error_with_one_writer_leaves_the_others_alone_and_fails_the_call(monkeypatch: Any):
    world = landed()
    ask = writers.ask_for_maintenance

    def refuse(lake: Any, writer: str) -> writers.Lease:
        if writer == FLIGHTS:
            raise LedgerUnavailable("throttled")
        return ask(lake, writer)

    monkeypatch.setattr(writers, "ask_for_maintenance", refuse)
    result = maintain.maintain(world.lake, MaintainRequest(always=True))
    assert (list(result.started), result.failed) == (["refresh"], {FLIGHTS: "LedgerUnavailable"})
    with pytest.raises(MaintenanceIncomplete, match="promote:flights \\(LedgerUnavailable\\)"):
        maintain.checked(result)


# --- taking and giving back -------------------------------------------------------------------


def test_a_free_writer_is_maintained_at_once_and_is_free_again():
    world = landed()
    world.ask(FLIGHTS)
    assert (lease(world).state, lease(world).maintaining, lease(world).maintenance_wanted) == (
        "TAKEN",
        True,
        False,
    )
    world.work()
    assert world.kinds() == ["maintain promote:flights"]
    tables = world.lake.tables
    assert tables.table("lake_dev_silver", "flights").maintained == world.runs
    assert tables.table("lake_dev_silver", "flights__quarantine").maintained == world.runs
    assert tables.table("lake_dev_gold", "by_day").maintained == []
    assert lease(world) == writers.Lease(
        FLIGHTS, arrivals=1, claimed_arrivals=1, taken_at=lease(world).taken_at
    )
    run = world.lake.ledger.run(FLIGHTS, world.runs[0])
    assert run is not None
    assert (run["kind"], run["state"], run["tables"], run["files_before"], run["files_after"]) == (
        "maintain",
        "SUCCEEDED",
        2,
        12,
        2,
    )


def test_the_manifest_names_the_writers_tables_and_the_limits():
    world = World(snapshot_retention_days=5, min_snapshots=4)
    world.put(version("flights/a.csv"))
    world.settle()
    world.ask("refresh", FLIGHTS)
    for run_id in world.lake.executions.running():
        request = RunRequest.model_validate(world.lake.executions.requests[run_id])
        planned = plan.plan(world.lake, request)
        assert plan.plan(world.lake, request) == planned
        gold = request.writer == "refresh"
        assert world.lake.operations.read(planned.manifest) == {
            "run_id": run_id,
            "assets_prefix": "assets/abc/",
            "layer": "gold" if gold else "silver",
            "tables": ["by_day"] if gold else ["flights", "flights__quarantine"],
            "target_file_bytes": 268435456,
            "min_input_files": 2,
            "retention_days": 5,
            "min_snapshots": 4,
            "orphan_days": 3,
            "statistics_bytes": 68719476736,
        }


def test_a_run_hands_over_to_maintenance_and_that_to_the_files_that_wait():
    world = landed()
    at_work(world)
    world.ask(FLIGHTS)
    assert (lease(world).maintaining, lease(world).maintenance_wanted) == (False, True)
    world.put(version("flights/c.csv"))
    world.deliver()
    world.work()
    assert [kind for kind in world.kinds() if "flights" in kind] == [
        "promote promote:flights",
        "maintain promote:flights",
        "promote promote:flights",
    ]
    assert set(world.silver()) == {"flights/a.csv@v1", "flights/b.csv@v1", "flights/c.csv@v1"}
    assert set(world.leases().values()) == {"FREE"}


def test_files_that_arrive_during_maintenance_are_taken_after_it_without_a_sweep():
    world = landed()
    world.ask(FLIGHTS)
    world.put(version("flights/b.csv"))
    world.deliver()
    world.work()
    assert world.kinds()[:2] == ["maintain promote:flights", "promote promote:flights"]
    assert set(world.silver()) == {"flights/a.csv@v1", "flights/b.csv@v1"}


@pytest.mark.parametrize("late", [False, True], ids=["before", "during"])
def test_silver_that_changes_before_or_during_the_maintenance_of_gold_is_seen_without_a_sweep(late: bool):
    """Maintenance sees to no arrivals, so confirming it must not count them as seen to."""
    world = landed()
    world.ask("refresh")
    maintenance = lease(world, "refresh").run_id
    promote = at_work(world, busy=maintenance).run_id
    if late:
        plan.plan(world.lake, RunRequest.model_validate(world.lake.executions.requests[maintenance]))
    world.execute(promote)
    world.work()
    assert world.kinds() == ["promote promote:flights", "maintain refresh", "refresh refresh"]
    assert world.gold() == world.silver() == {"flights/a.csv@v1": 10, "flights/b.csv@v1": 10}


def test_nobody_wishes_what_is_being_done():
    world = landed()
    world.ask(FLIGHTS)
    first = lease(world)
    result = maintain.maintain(world.lake, MaintainRequest(writers=[FLIGHTS], always=True))
    assert result.started == {FLIGHTS: first.run_id}
    assert lease(world) == first
    world.settle()
    assert world.maintained == [FLIGHTS]


def test_wishing_twice_is_one_maintenance():
    world = landed()
    at_work(world)
    world.ask(FLIGHTS)
    world.ask(FLIGHTS)
    world.settle()
    assert world.maintained == [FLIGHTS]


@pytest.mark.parametrize("state", ["WAITING", "HELD"])
def test_a_writer_that_rests_is_not_maintained_until_it_works_again(state: str):
    world = landed()
    resting = {"state": state, "not_before": "2024-05-01T07:00:00.000Z", "reason": "its environment failed"}
    world.lake.store.items[lease_key(FLIGHTS)] |= resting
    world.ask(FLIGHTS)
    assert (lease(world).state, lease(world).maintenance_wanted) == (state, True)
    assert world.lake.executions.running() == []
    if state == "HELD":
        world.settle()
        assert (lease(world).state, world.maintained) == ("HELD", [])
        writers.retry(world.lake, FLIGHTS)
    world.settle()
    assert (lease(world).state, world.maintained) == ("FREE", [FLIGHTS])


def test_a_model_that_died_is_tried_again_before_the_maintenance_somebody_wishes_for():
    world = World()
    gold, dying = world._gold, [True]

    def dies_once(request: RunRequest) -> None:
        if dying:
            dying.clear()
            world.ask("refresh")
            failure = {"run_id": request.run_id, "failure_class": "FILES", "error": "e", "message": ""}
            key = run_prefix("refresh", request.run_id) + FAILURE_FILE
            world.lake.operations.objects[key] = json.dumps(failure)
            raise JobDied
        gold(request)

    world._gold = dies_once  # type: ignore[method-assign]
    world.put(version("flights/a.csv"))
    world.deliver()
    world.work()
    assert world.kinds()[1:] == ["refresh refresh", "refresh refresh", "maintain refresh"]
    assert world.gold() == {"flights/a.csv@v1": 10}


# --- crashes ----------------------------------------------------------------------------------


def maintained_meanwhile(world: World) -> None:
    """The scenario of test_protocol.py, with maintenance asked for at rest, and while runs are at work."""
    world.put(version("flights/a.csv"), version("flights/b.csv"), version("weather/w.csv"))
    world.settle()
    world.ask()
    world.put(version("flights/a.csv", 2), version("flights/c.csv"))
    world.deliver()
    for _ in range(2):
        if running := world.lake.executions.running():
            world.execute(running[0])
    world.ask()
    world.settle()


def undisturbed() -> World:
    world = World()
    maintained_meanwhile(world)
    return world


EFFECTS = len(undisturbed().lake.faults.seen)


def wishes(world: World) -> list[str]:
    return [
        pk
        for (pk, sk), item in world.lake.store.items.items()
        if sk == "LEASE" and {"maintenance_wanted", "maintaining"} & set(item)
    ]


def test_maintenance_between_runs_changes_nothing_in_the_end():
    world = undisturbed()
    assert end_state(world) == EXPECTED
    assert set(world.maintained) == {FLIGHTS, "promote:weather", "refresh"}
    assert wishes(world) == []


@pytest.mark.parametrize("at", range(1, EFFECTS + 1))
def test_a_crash_after_any_effect_changes_nothing_and_leaves_no_wish(at: int):
    world = World()
    world.lake.faults.at = {at}
    maintained_meanwhile(world)
    assert len(world.lake.faults.seen) >= at
    assert end_state(world) == EXPECTED
    assert wishes(world) == []


@pytest.mark.parametrize("at", range(1, EFFECTS + 1))
def test_further_crashes_during_recovery_change_nothing_either(at: int):
    world = World()
    world.lake.faults.at = {at, at + 2, at + 5}
    maintained_meanwhile(world)
    assert end_state(world) == EXPECTED
    assert wishes(world) == []


def test_the_sweep_starts_what_is_wished_on_a_free_lease():
    """A crash between the wish and the taking."""
    world = landed()
    world.lake.store.items[lease_key(FLIGHTS)]["maintenance_wanted"] = True
    assert len(sweep.sweep(world.lake).started) == 1
    world.work()
    assert world.kinds() == ["maintain promote:flights"]


@pytest.mark.parametrize("who", ["sweep", "wake", "ask"])
def test_whoever_meets_maintenance_that_never_started_starts_it(who: str):
    """A crash between the taking and the start."""
    world = landed()
    world.ask(FLIGHTS)
    run_id = lease(world).run_id
    del world.lake.executions.known[run_id]
    if who == "sweep":
        assert sweep.sweep(world.lake).started == [run_id]
    elif who == "wake":
        world.put(version("flights/b.csv"))
        world.deliver()
    else:
        world.ask(FLIGHTS)
    assert world.lake.executions.machines[run_id] == "maintain"
    assert world.lake.executions.running() == [run_id]


def test_a_wish_between_the_last_look_and_the_release_is_not_left_behind(monkeypatch: Any):
    world = landed()
    look, late = writers.has_work, [True]

    def wished_after_the_look(lake: Any, seen: writers.Lease) -> bool:
        found = look(lake, seen)
        if not found and seen.writer == FLIGHTS and late:
            late.clear()
            world.ask(FLIGHTS)
        return found

    at_work(world)
    monkeypatch.setattr(writers, "has_work", wished_after_the_look)
    world.work()
    assert [kind for kind in world.kinds() if "flights" in kind] == [
        "promote promote:flights",
        "maintain promote:flights",
    ]


# --- failures ---------------------------------------------------------------------------------


def test_maintenance_that_fails_counts_against_nobody_and_is_not_tried_again():
    world = landed()
    world.maintenance_failure = broken
    world.lake.store.items[lease_key(FLIGHTS)] |= {"failures": 2, "deaths": 1}
    world.ask(FLIGHTS)
    world.put(version("flights/b.csv"))
    world.deliver()
    (run_id,) = world.lake.executions.running()
    world.execute(run_id)
    after = lease(world)
    assert (after.state, after.maintaining, after.maintenance_wanted) == ("TAKEN", False, False)
    assert (after.failures, after.deaths) == (2, 1)
    run = world.lake.ledger.run(FLIGHTS, world.runs[0])
    assert run is not None
    assert (run["kind"], run["state"], run["error"]) == ("maintain", "FAILED", "JobDied")
    world.settle()
    assert world.maintained == [FLIGHTS]
    assert set(world.silver()) == {"flights/a.csv@v1", "flights/b.csv@v1"}
    assert world.states()["flights/b.csv@v1"] == "PROMOTED"


def test_maintenance_that_fails_ten_times_holds_no_writer():
    world = landed()
    world.maintenance_failure = broken
    for _ in range(10):
        world.ask(FLIGHTS, "refresh")
        world.settle()
    assert world.leases() == {FLIGHTS: "FREE", "refresh": "FREE"}
    assert world.lake.topic.messages == []


def test_success_of_maintenance_forgets_no_failure():
    world = landed()
    world.lake.store.items[lease_key(FLIGHTS)] |= {"failures": 2, "deaths": 1}
    world.ask(FLIGHTS)
    world.settle()
    assert (lease(world).state, lease(world).failures, lease(world).deaths) == ("FREE", 2, 1)


def test_recovery_stops_the_maintenance_job_and_lets_the_run_do_nothing_more():
    world = landed()
    world.ask(FLIGHTS)
    (run_id,) = world.lake.executions.running()
    request = RunRequest.model_validate(world.lake.executions.requests[run_id])
    plan.plan(world.lake, request)
    world.lake.jobs.add(run_id, "RUNNING")
    world.lake.executions.end(run_id, "ABORTED")
    assert sweep.sweep(world.lake).recovered == [run_id]
    assert world.lake.jobs.known[run_id][0].state == "STOPPED"
    assert set(world.lake.jobs.asked) == {"lake-dev-maintain"}
    assert lease(world).state == "FREE"
    with pytest.raises(StaleRun):
        plan.plan(world.lake, request)
    with pytest.raises(StaleRun):
        complete.complete(world.lake, CompleteRequest(**request.model_dump()))
    assert recover.recover(world.lake, request, world.lake.executions.known[run_id]).outcome == "stale"


@pytest.mark.parametrize(("failed", "outcome"), [({}, "completed"), ({"flights": "e"}, "ended")])
def test_maintenance_whose_job_had_done_all_is_completed(failed: dict[str, str], outcome: str):
    world = landed()
    world.ask(FLIGHTS)
    (run_id,) = world.lake.executions.running()
    request = RunRequest.model_validate(world.lake.executions.requests[run_id])
    plan.plan(world.lake, request)
    report = {"run_id": run_id, "tables": [], "failed": failed, "seconds": 1.0}
    world.lake.operations.objects[run_prefix(FLIGHTS, run_id) + REPORT_FILE] = json.dumps(report)
    world.lake.executions.end(run_id, "FAILED", "Lambda.Unknown")
    done = recover.recover(world.lake, request, world.lake.executions.known[run_id])
    run = world.lake.ledger.run(FLIGHTS, run_id)
    assert run is not None
    assert (done.outcome, run["state"]) == (outcome, "FAILED" if failed else "SUCCEEDED")
    assert lease(world).state == "FREE"
