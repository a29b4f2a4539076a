"""The ledger's protocol in motion: order, repetition, crashes, poison, failing environments."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from lakehouse import claim, complete, recover, sweep, writers
from lakehouse.errors import JobStillRunning, StaleRun
from lakehouse.lake import Execution, JobRun
from lakehouse.payloads import CompleteRequest, RunRequest
from lakehouse.store import Delete
from lakehouse.words import FAILURE_FILE, run_prefix

from .fakes import Crash, FakeLake, plan_of, settings
from .world import JobDied, World, version

FLIGHTS = "promote:flights"
FAILED_EXECUTION = Execution("FAILED", "States.TaskFailed", "")


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
        "unrecorded": sorted(set(published(world)) ^ set(recorded(world))),
        "running": [
            item["run_id"] for item in world.lake.store.items.values() if item.get("state") == "RUNNING"
        ],
    }


def published(world: World) -> list[str]:
    """The runs whose markers Silver or Gold holds."""
    tables = world.lake.tables.known
    return [run_id for name in tables if not name.endswith("__quarantine") for run_id in tables[name].markers]


def recorded(world: World) -> list[str]:
    """The runs that lineage says wrote Silver or Gold."""
    return [pk.partition("#")[2] for pk, sk in world.lake.lineage.items if sk.startswith("OUT#")]


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
    "unrecorded": [],
    "running": [],
}
EFFECTS = len(undisturbed().lake.faults.seen)


def test_files_go_all_the_way():
    assert end_state(undisturbed()) == EXPECTED


@pytest.mark.parametrize("at", range(1, EFFECTS + 1))
def test_a_crash_after_any_effect_changes_nothing_in_the_end(at: int):
    """Fault 5 of docs/testing.md: a crash between any two steps loses no file and doubles none."""
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


# --- order and repetition ---------------------------------------------------------------------


def test_the_same_event_three_times_is_one_file():
    """Fault 1 of docs/testing.md."""
    world = World()
    one = version("flights/a.csv")
    world.put(one, one)
    world.announce([one])
    world.settle()
    assert world.batches == [["flights/a.csv"]]
    assert world.silver() == {"flights/a.csv@v1": 10}


def test_a_finished_version_announced_again_starts_nothing():
    world = World()
    world.put(version("flights/a.csv"))
    world.settle()
    runs = list(world.runs)
    world.announce([version("flights/a.csv")])
    world.settle()
    assert world.runs == runs


@pytest.mark.parametrize("together", [True, False])
def test_the_second_version_announced_before_the_first(together: bool):
    """Fault 2 of docs/testing.md."""
    world = World()
    first, second = version("flights/a.csv", 1), version("flights/a.csv", 2)
    world.lake.bronze.put(second)
    if together:
        world.announce([second, first])
    else:
        world.announce([second])
        world.settle()
        world.announce([first])
    world.settle()
    assert world.states() == {"flights/a.csv@v2": "PROMOTED", "flights/a.csv@v1": "SUPERSEDED"}
    assert world.silver() == {"flights/a.csv@v2": 10}


def test_a_version_written_while_the_run_of_the_one_before_is_at_work():
    world = World()
    world.put(version("flights/a.csv", 1))
    world.deliver()
    world.job_failure = lambda *_: world.lake.bronze.put(version("flights/a.csv", 2))
    world.execute(world.lake.executions.running()[0])
    world.job_failure = lambda *_: None
    world.announce([version("flights/a.csv", 2)])
    world.settle()
    assert world.states() == {"flights/a.csv@v1": "SUPERSEDED", "flights/a.csv@v2": "PROMOTED"}
    assert world.silver() == {"flights/a.csv@v2": 10}


def test_two_datasets_in_one_batch_are_two_rightly_named_runs():
    """Fault 3 of docs/testing.md."""
    world = World()
    world.put(version("flights/a.csv"), version("weather/w.csv"))
    world.deliver()
    started = world.lake.executions.running()
    assert [name.partition("-")[0] for name in started] == ["flights", "weather"]
    requests = [world.lake.executions.requests[name] for name in started]
    assert [one["writer"] for one in requests] == ["promote:flights", "promote:weather"]
    assert [one["dataset"] for one in requests] == ["flights", "weather"]


def test_every_record_of_a_batch_is_handled():
    """Fault 4 of docs/testing.md."""
    world = World()
    world.put(*(version(f"flights/{n}.csv") for n in range(10)))
    world.settle()
    assert set(world.states().values()) == {"PROMOTED"}


def test_five_hundred_files_in_a_burst_are_two_runs():
    """Fault 9 of docs/testing.md: what arrives while a run is at work waits for the next one, all of it together."""
    world = World()
    files = [version(f"flights/{n:03d}.csv") for n in range(500)]
    world.put(files[0])
    world.deliver()

    def burst(*_: Any) -> None:
        for at in range(1, 500, 10):
            world.put(*files[at : at + 10])
        world.deliver()

    world.job_failure = burst
    world.execute(world.lake.executions.running()[0])
    world.job_failure = lambda *_: None
    while world.queue:
        world.deliver()
    world.settle()
    assert [len(batch) for batch in world.batches] == [1, 499]
    assert set(world.states().values()) == {"PROMOTED"}
    assert world.pending() == []


def test_a_batch_is_limited_by_count_and_by_bytes():
    world = World(max_batch_files=3, max_batch_bytes=100)
    sizes = [10, 10, 10, 200, 60, 60]
    world.put(*(version(f"flights/{n}.csv", n, size_bytes=size) for n, size in enumerate(sizes, 1)))
    world.settle()
    assert [len(batch) for batch in world.batches] == [3, 1, 1, 1]


def test_a_run_keeps_the_assets_it_claimed_with():
    world = World()
    world.put(version("flights/a.csv"))
    world.deliver()
    name = world.lake.executions.running()[0]
    request = RunRequest.model_validate(world.lake.executions.requests[name])
    before = claim.claim(world.lake, request)
    later = dataclasses.replace(world.lake, settings=settings(assets_prefix="assets/new/"))
    assert claim.claim(later, request) == before
    assert before.assets_prefix == "assets/abc/"


# --- poison and failing environments ----------------------------------------------------------


def poisoned(*keys: str) -> Callable[..., None]:
    """A job that dies whenever one of the keys is in its batch."""

    def fail(_: Any, __: Any, manifest: Any) -> None:
        if any(file["key"] in keys for file in manifest["files"]):
            raise JobDied

    return fail


def test_one_poisoned_file_of_fifty_fails_and_the_others_are_promoted():
    world = World()
    world.job_failure = poisoned("flights/17.csv")
    world.put(*(version(f"flights/{n}.csv") for n in range(50)))
    world.settle()
    states = world.states()
    assert states.pop("flights/17.csv@v1") == "FAILED"
    assert len(states) == 49
    assert set(states.values()) == {"PROMOTED"}
    assert world.batches.count(["flights/17.csv"]) == 3
    assert len(world.silver()) == 49
    assert [subject for subject, _ in world.lake.topic.messages] == [
        "lake-dev: files FAILED (promote:flights)"
    ]
    assert world.leases()[FLIGHTS] == "FREE"


def test_files_that_arrive_meanwhile_do_not_wait_for_the_poisoned_one():
    world = World()
    world.job_failure = poisoned("flights/0.csv")
    world.put(*(version(f"flights/{n}.csv") for n in range(8)))
    world.deliver()
    world.execute(world.lake.executions.running()[0])
    world.put(version("flights/new.csv", 2))
    world.deliver()
    world.settle()
    assert world.batches[1] == ["flights/new.csv"]


def test_a_crash_at_any_effect_neither_spares_the_poisoned_file_nor_harms_another():
    undisturbed = World()
    poison_scenario(undisturbed)
    expected = end_state(undisturbed)
    assert world_states(undisturbed) == {"a": "PROMOTED", "b": "FAILED", "c": "PROMOTED"}
    for at in range(1, len(undisturbed.lake.faults.seen) + 1, 3):
        world = World()
        world.lake.faults.at = {at}
        poison_scenario(world)
        assert end_state(world) == expected, f"crash after effect {at}"


def poison_scenario(world: World) -> None:
    world.job_failure = poisoned("flights/b.csv")
    world.put(*(version(f"flights/{name}.csv") for name in "abc"))
    world.settle()


def world_states(world: World) -> dict[str, str]:
    return {name.partition("/")[2][0]: state for name, state in world.states().items()}


def test_when_all_runs_die_the_files_are_not_the_reason_and_the_writer_is_held():
    world = World()
    names = [f"flights/{n}.csv" for n in range(200)]
    world.job_failure = poisoned(*names)
    world.put(*(version(name) for name in names))
    world.settle()
    assert world.leases()[FLIGHTS] == "HELD"
    assert len(world.batches) == 25
    assert set(world.states().values()) == {"PENDING"}


def denied(lake: FakeLake, request: RunRequest, _: Any) -> None:
    """A job that is refused something and says so."""
    failure = {
        "run_id": request.run_id,
        "failure_class": "ENVIRONMENT",
        "error": "AccessDenied",
        "message": "",
    }
    lake.operations.objects[run_prefix(request.writer, request.run_id) + FAILURE_FILE] = json.dumps(failure)
    raise JobDied


def test_a_denied_permission_splits_nothing_waits_longer_each_time_and_is_held_after_three():
    world = World()
    world.job_failure = denied
    world.put(version("flights/a.csv"), version("flights/b.csv"))
    waits = []
    for _ in range(2):
        world.work()
        lease = writers.read(world.lake, FLIGHTS)
        assert lease.state == "WAITING"
        waits.append(datetime.fromisoformat(lease.not_before) - world.lake.clock.at)
        world.lake.clock.forward(waits[-1].total_seconds())
        sweep.sweep(world.lake)
    world.work()
    assert [round(wait.total_seconds()) for wait in waits] == [60, 240]
    assert writers.read(world.lake, FLIGHTS).state == "HELD"
    assert world.batches == [["flights/a.csv", "flights/b.csv"]] * 3
    assert [subject for subject, _ in world.lake.topic.messages] == [
        "lake-dev: writer HELD (promote:flights)"
    ]


def test_a_held_writer_stays_so_whatever_arrives_until_retry():
    world = World()
    world.job_failure = denied
    world.put(version("flights/a.csv"))
    world.settle()
    world.put(version("flights/b.csv"))
    world.settle()
    assert world.leases()[FLIGHTS] == "HELD"
    world.job_failure = lambda *_: None
    lease = writers.retry(world.lake, FLIGHTS)
    assert (lease.state, lease.failures, lease.deaths) == ("TAKEN", 0, 0)
    world.settle()
    assert set(world.states().values()) == {"PROMOTED"}
    assert world.leases() == {FLIGHTS: "FREE", "refresh": "FREE"}


def test_a_success_forgets_the_failures_before_it():
    world = World()
    world.job_failure = denied
    world.put(version("flights/a.csv"))
    world.work()
    world.job_failure = lambda *_: None
    world.settle()
    assert writers.read(world.lake, FLIGHTS).failures == 0


# --- runs that lost their lease ---------------------------------------------------------------


def test_a_stale_claim_is_refused_and_its_recovery_does_nothing():
    world = World()
    world.put(version("flights/a.csv"))
    world.settle()
    stale = RunRequest(run_id="flights-19990101T000000000Z-00000000", writer=FLIGHTS, dataset="flights")
    before = dict(world.lake.store.items)
    with pytest.raises(StaleRun):
        claim.claim(world.lake, stale)
    assert recover.recover(world.lake, stale, FAILED_EXECUTION).outcome == "stale"
    assert world.lake.store.items == before


def test_a_run_being_recovered_can_claim_nothing_more():
    """A claim that goes on after its execution was stopped would take files nobody gives back."""
    world = World()
    world.put(version("flights/a.csv"))
    world.deliver()
    request = RunRequest.model_validate(world.lake.executions.requests[world.lake.executions.running()[0]])
    writers.confirm(world.lake, FLIGHTS, request.run_id)
    writers.bar(world.lake, FLIGHTS, request.run_id)
    with pytest.raises(StaleRun):
        claim.claim(world.lake, request)
    with pytest.raises(StaleRun):
        writers.write_fenced(world.lake, FLIGHTS, request.run_id, [[Delete(("PENDING#flights", "x"))]])


def test_a_job_that_does_not_stop_is_not_recovered_yet():
    world = World()
    world.put(version("flights/a.csv"))
    world.deliver()
    request = RunRequest.model_validate(world.lake.executions.requests[world.lake.executions.running()[0]])
    claim.claim(world.lake, request)
    world.lake.jobs.add(request.run_id, "RUNNING")
    world.lake.jobs.stubborn = True
    world.lake.executions.end(request.run_id, "ABORTED")
    with pytest.raises(JobStillRunning):
        recover.recover(world.lake, request, world.lake.executions.known[request.run_id])
    world.lake.jobs.stubborn = False
    assert (
        recover.recover(world.lake, request, world.lake.executions.known[request.run_id]).outcome == "waiting"
    )
    assert world.lake.jobs.known[request.run_id][0].state == "STOPPED"
    world.settle()
    assert world.silver() == {"flights/a.csv@v1": 10}


def test_the_sweep_starts_a_run_whose_start_never_came():
    world = World()
    world.put(version("flights/a.csv"))
    world.deliver()
    world.lake.executions.known.clear()
    assert len(sweep.sweep(world.lake).started) == 1
    world.settle()
    assert world.silver() == {"flights/a.csv@v1": 10}


def test_the_sweep_starts_a_writer_whose_files_nobody_counted():
    """A message that intake gave up on leaves files in the ledger and no arrival."""
    world = World()
    one = version("flights/a.csv")
    world.lake.bronze.put(one)
    world.lake.ledger.add_writer(FLIGHTS, "now")
    world.lake.ledger.register(one, "flights", "now", world.lake.bronze.current_version)
    assert len(sweep.sweep(world.lake).started) == 1
    world.settle()
    assert world.silver() == {"flights/a.csv@v1": 10}


def test_the_sweep_ends_a_wait_even_if_nothing_waits_any_more():
    world = World()
    world.job_failure = denied
    world.put(version("flights/a.csv"))
    world.work()
    (pointer,) = (key for key in world.lake.store.items if key[0] == "PENDING#flights")
    del world.lake.store.items[pointer]
    world.settle()
    assert world.leases()[FLIGHTS] == "FREE"


def test_the_sweep_recovers_a_run_whose_end_nobody_announced():
    world = World()
    world.put(version("flights/a.csv"))
    world.deliver()
    run_id = world.lake.executions.running()[0]
    world.lake.executions.end(run_id, "TIMED_OUT")
    assert sweep.sweep(world.lake).recovered == [run_id]
    world.settle()
    assert world.silver() == {"flights/a.csv@v1": 10}


def test_the_sweep_refreshes_once_after_a_deployment_that_changed_the_assets():
    world = World()
    world.put(version("flights/a.csv"))
    world.settle()
    before = len(world.runs)
    for kind in ("index", "plans/flights", "models/by_day"):
        objects = world.lake.operations.objects
        objects[f"assets/new/{kind}.json"] = objects[f"assets/abc/{kind}.json"]
    world.lake = dataclasses.replace(world.lake, settings=settings(assets_prefix="assets/new/"))
    assert len(sweep.sweep(world.lake).started) == 1
    world.settle()
    assert world.kinds()[before:] == ["refresh refresh"]
    manifest = json.loads(objects[run_prefix("refresh", world.runs[-1]) + "manifest.json"])
    assert manifest["assets_prefix"] == "assets/new/"
    assert sweep.sweep(world.lake).started == []


def test_a_deployment_before_the_first_file_refreshes_nothing():
    world = World(assets_prefix="assets/new/")
    assert sweep.sweep(world.lake).started == []


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_refresh_that_died_after_it_published_is_completed_and_followed_by_another(deaths: int):
    """A new table's tags and the emptying of a former place come after publishing: the next run sees to it."""
    world = World()
    world.put(version("flights/a.csv"))
    whole = world._gold
    left = [deaths]

    def gold(request: RunRequest) -> None:
        whole(request)
        if left[0]:
            left[0] -= 1
            raise JobDied

    world._gold = gold  # type: ignore[method-assign]
    world.settle()
    assert world.kinds() == ["promote promote:flights", *["refresh refresh"] * (deaths + 1)]
    assert world.leases()["refresh"] == "FREE"
    first = world.lake.ledger.run("refresh", world.runs[1])
    assert first is not None
    assert first["state"] == "SUCCEEDED"


def test_a_broken_model_is_retried_and_holds_refresh_after_three():
    world = World()
    world.put(version("flights/a.csv"))
    broken = {"by_day": "the model's keys are null or not unique"}

    def gold(request: RunRequest) -> None:
        report = {"run_id": request.run_id, "models": [], "skipped": [], "failed": broken, "seconds": {}}
        world.lake.operations.objects[run_prefix("refresh", request.run_id) + "report.json"] = json.dumps(
            report
        )
        raise JobDied

    world._gold, whole = gold, world._gold  # type: ignore[method-assign]
    world.settle()
    assert world.leases()["refresh"] == "HELD"
    assert len([run for run in world.runs if run.startswith("refresh-")]) == 3
    world._gold = whole  # type: ignore[method-assign]
    assert writers.retry(world.lake, "refresh").state == "TAKEN"
    world.settle()
    assert world.gold() == {"flights/a.csv@v1": 10}


# --- snapshots --------------------------------------------------------------------------------


def test_files_of_an_incomplete_snapshot_wait_for_something_new_and_cause_no_loop():
    world = World()
    world._file, whole = incomplete(world), world._file  # type: ignore[method-assign]
    world.put(version("flights/g=1/a.csv"))
    world.settle()
    assert world.states() == {"flights/g=1/a.csv@v1": "PENDING"}
    assert world.batches == [["flights/g=1/a.csv"]]
    assert world.leases()[FLIGHTS] == "FREE"
    world._file = whole  # type: ignore[method-assign]
    world.put(version("flights/g=1/b.csv", 2))
    world.settle()
    assert world.batches[1:] == [["flights/g=1/a.csv", "flights/g=1/b.csv"]]
    assert set(world.states().values()) == {"PROMOTED"}


def incomplete(world: World) -> Callable[..., dict[str, Any]]:
    """A job that cannot use its files yet."""

    def outcome(one: Any, _: Any) -> dict[str, Any]:
        counts = {"rows": 0, "silver_rows": 0, "quarantined_rows": 0, "superseded_rows": 0}
        names = {"key": one["key"], "version_id": one["version_id"], "source_version_id": None}
        return {**names, "outcome": "PENDING", "reason": "1 of 2 files of the group", **counts}

    return outcome


def test_a_snapshot_takes_all_that_waits_however_much():
    world = World(max_batch_files=1)
    world.lake.operations.objects["assets/abc/plans/flights.json"] = json.dumps(
        plan_of("flights", mode="snapshot")
    )
    world.put(version("flights/a.csv"), version("flights/b.csv"))
    world.settle()
    assert world.batches == [["flights/a.csv", "flights/b.csv"]]


# --- between two steps ------------------------------------------------------------------------
# Nothing here sweeps: what a sweep would mend is not to be needed.


def test_what_arrives_during_a_run_is_taken_by_the_next_without_a_sweep():
    world = World()
    world.put(version("flights/a.csv"))
    world.deliver()

    def another(*_: Any) -> None:
        if not world.queue:
            world.put(version(f"flights/b{len(world.batches)}.csv"))

    world.job_failure = another
    world.execute(world.lake.executions.running()[0])
    world.job_failure = lambda *_: None
    world.work()
    assert world.batches == [["flights/a.csv"], ["flights/b1.csv"]]
    assert world.leases()[FLIGHTS] == "FREE"


def test_what_arrives_between_the_last_look_and_the_release_is_not_left_behind(monkeypatch: Any):
    world = World()
    world.put(version("flights/a.csv"))
    world.deliver()
    looked = writers.has_work

    def arrive_after_the_look(lake: Any, lease: writers.Lease) -> bool:
        found = looked(lake, lease)
        if lease.writer == FLIGHTS and not world.states().get("flights/late.csv@v1"):
            world.put(version("flights/late.csv"))
            world.deliver()
        return found

    monkeypatch.setattr(writers, "has_work", arrive_after_the_look)
    world.work()
    assert world.states()["flights/late.csv@v1"] == "PROMOTED"
    assert world.leases()[FLIGHTS] == "FREE"


def test_silver_that_changes_between_the_last_look_and_the_release_of_refresh_is_seen(monkeypatch: Any):
    world = World()
    world.put(version("flights/a.csv"))
    looked, late = writers.has_work, [version("flights/late.csv")]

    def change_after_the_look(lake: Any, lease: writers.Lease) -> bool:
        found = looked(lake, lease)
        if lease.writer == "refresh" and late:
            world.put(late.pop())
            world.deliver()
            world.execute(next(run for run in world.lake.executions.running() if run.startswith("flights")))
        return found

    monkeypatch.setattr(writers, "has_work", change_after_the_look)
    world.work()
    assert world.gold() == world.silver() == {"flights/a.csv@v1": 10, "flights/late.csv@v1": 10}


def test_a_complete_that_died_between_hand_over_and_start_starts_when_it_is_repeated(monkeypatch: Any):
    world = World()
    world.put(version("flights/a.csv"))
    world.deliver()
    request = RunRequest.model_validate(world.lake.executions.requests[world.lake.executions.running()[0]])
    world._run_job(RunRequest(**claim.claim(world.lake, request).model_dump()), world._silver)
    world.put(version("flights/b.csv"))
    world.deliver()
    with monkeypatch.context() as patch:
        patch.setattr(writers, "start", lambda _, writer, __, **___: crash() if writer == FLIGHTS else None)
        with pytest.raises(Crash):
            complete.complete(world.lake, CompleteRequest(**request.model_dump()))
    following = writers.read(world.lake, FLIGHTS).run_id
    assert following not in world.lake.executions.known
    assert complete.complete(world.lake, CompleteRequest(**request.model_dump())).next == following
    assert world.lake.executions.known[following].status == "RUNNING"


def crash() -> None:
    raise Crash("start")


# --- whose fault ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "status", "error", "cause", "job_error", "kind"),
    [
        ("FILES", "FAILED", "Glue.AccessDeniedException", "", None, "FILES"),
        ("ENVIRONMENT", "FAILED", "States.TaskFailed", "", "boom", "ENVIRONMENT"),
        ("", "FAILED", "SchemaNotFound", "", None, "FILES"),
        ("", "FAILED", "Lambda.Unknown", "", None, "ENVIRONMENT"),
        ("", "FAILED", "LedgerUnavailable", "", None, "ENVIRONMENT"),
        ("", "FAILED", "Glue.ConcurrentRunsExceededException", "", None, "ENVIRONMENT"),
        ("", "ABORTED", "", "", "", "ENVIRONMENT"),
        ("", "TIMED_OUT", "States.Timeout", "", "", "FILES"),
        ("", "FAILED", "States.TaskFailed", "JobRunState TIMEOUT", "", "FILES"),
        ("", "FAILED", "States.TaskFailed", "", "java.lang.OutOfMemoryError: Java heap space", "FILES"),
        ("", "FAILED", "States.TaskFailed", "", "Command failed with exit code 137", "FILES"),
        (
            "",
            "FAILED",
            "States.TaskFailed",
            "(Status Code: 403; Error Code: AccessDenied)",
            "",
            "ENVIRONMENT",
        ),
        ("", "FAILED", "States.TaskFailed", "", "not authorized to perform: s3:PutObject", "ENVIRONMENT"),
        ("", "FAILED", "States.TaskFailed", "", "ThrottlingException: Rate exceeded", "ENVIRONMENT"),
    ],
)
def test_whose_fault_it_was(word: str, status: str, error: str, cause: str, job_error: Any, kind: str):
    failure: Any = {"run_id": "r", "failure_class": word, "error": "e", "message": ""} if word else None
    jobs = [] if job_error is None else [JobRun("jr", "FAILED", job_error)]
    assert recover.classify(failure, Execution(status, error, cause), jobs) == kind
