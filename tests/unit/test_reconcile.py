"""Reconciliation: what no event announced is found, in as many calls as it takes."""

from __future__ import annotations

import pytest

from lakehouse import reconcile, writers
from lakehouse.errors import EventError
from lakehouse.payloads import ReconcileRequest, ReconcileResult

from .fakes import Crash
from .world import World, version


def compare(world: World, **request: object) -> ReconcileResult:
    return reconcile.reconcile(world.lake, ReconcileRequest.model_validate(request), lambda: True)


def lay(world: World, *keys: str) -> None:
    """Objects that nobody announces."""
    for key in keys:
        world.lake.bronze.put(version(key))


def test_files_that_nobody_announced_are_registered_and_promoted():
    world = World()
    lay(world, "flights/a.csv", "flights/b.csv", "weather/w.csv", "flights/_SUCCESS", "Bad/x.csv", "x.csv")
    result = compare(world)
    assert (result.listed, result.registered, result.ignored, result.done) == (4, 3, 1, True)
    world.settle()
    assert world.states() == {
        "flights/a.csv@v1": "PROMOTED",
        "flights/b.csv@v1": "PROMOTED",
        "weather/w.csv@v1": "PROMOTED",
        "flights/_SUCCESS@v1": "IGNORED",
    }


def test_a_second_comparison_finds_nothing_and_starts_nothing():
    world = World()
    lay(world, "flights/a.csv")
    compare(world)
    world.settle()
    runs = list(world.runs)
    assert compare(world).registered == 0
    world.settle()
    assert world.runs == runs


def test_one_dataset_can_be_asked_for():
    world = World()
    lay(world, "flights/a.csv", "weather/w.csv")
    assert compare(world, dataset="weather").registered == 1
    assert world.lake.ledger.datasets() == ["weather"]


def test_an_event_that_comes_after_the_listing_changes_nothing():
    world = World()
    lay(world, "flights/a.csv")
    compare(world)
    world.announce([version("flights/a.csv")])
    world.settle()
    assert world.batches == [["flights/a.csv"]]


def test_it_stops_when_time_is_up_and_goes_on_from_there():
    world = World()
    world.lake.bronze.page_size = 2
    lay(world, *(f"{name}/{n}.csv" for name in ("airlines", "flights", "weather") for n in range(5)))
    request, calls, result = ReconcileRequest(), 0, None
    while result is None or not result.done:
        result = reconcile.reconcile(world.lake, request, iter([True, False]).__next__)
        request, calls = ReconcileRequest.model_validate(result.dump()), calls + 1
    assert calls == 5
    assert (result.listed, result.registered, result.cursor) == (15, 15, "")
    world.settle()
    assert set(world.states().values()) == {"PROMOTED"}


def test_the_scheduled_run_calls_itself_until_all_is_done():
    world = World()
    world.lake.bronze.page_size = 1
    lay(world, "flights/a.csv", "flights/b.csv")
    first = reconcile.run(world.lake, ReconcileRequest(), lambda: False, "lake-dev-reconcile")
    ((name, event),) = world.lake.functions.called
    assert (name, first.done) == ("lake-dev-reconcile", False)
    again = reconcile.run(world.lake, ReconcileRequest.model_validate(event), lambda: False, name)
    assert (again.done, again.registered) == (True, 2)
    assert len(world.lake.functions.called) == 1


def test_a_caller_that_follows_itself_is_not_followed():
    world = World()
    world.lake.bronze.page_size = 1
    lay(world, "flights/a.csv", "flights/b.csv")
    request = ReconcileRequest(dataset="flights", follow=False)
    assert not reconcile.run(world.lake, request, lambda: False, "f").done
    assert world.lake.functions.called == []


def test_a_version_closed_by_mistake_is_opened_again_if_s3_says_it_is_current():
    world = World()
    one = version("flights/a.csv")
    world.put(one)
    del world.lake.bronze.current[one.key]
    world.settle()
    assert world.states() == {"flights/a.csv@v1": "SUPERSEDED"}
    world.lake.bronze.put(one)
    assert compare(world).reopened == 1
    world.settle()
    assert world.states() == {"flights/a.csv@v1": "PROMOTED"}
    assert world.silver() == {"flights/a.csv@v1": 10}


def test_a_file_that_waits_for_others_is_not_woken_by_a_listing():
    world = World()
    lay(world, "flights/a.csv")
    compare(world)
    assert compare(world).unfinished == 1
    assert world.lake.store.items["WRITER#promote:flights", "LEASE"]["arrivals"] == 1


# --- datasets that are taken in by schedule -----------------------------------------------------


def name(world: World, *keys: str) -> ReconcileResult:
    """What the scheduled job asks for."""
    request = ReconcileRequest(dataset="tides", keys=list(keys), follow=False)
    return reconcile.run(world.lake, request, lambda: True, "reconcile")


def test_what_is_taken_in_by_schedule_is_not_looked_at_unless_it_is_named():
    world = World()
    lay(world, "flights/a.csv", "tides/t.csv")
    assert compare(world).listed == 1
    assert world.lake.ledger.datasets() == ["flights"]
    assert compare(world, dataset="tides").registered == 1


def test_a_file_that_the_schedule_names_is_taken_in_once_however_often_it_is_named():
    world = World()
    lay(world, "tides/a.csv", "tides/b.csv", "tides/_SUCCESS")
    first = name(world, "tides/a.csv", "tides/_SUCCESS", "tides/gone.csv")
    assert (first.listed, first.registered, first.ignored, first.keys, first.done) == (2, 1, 1, [], True)
    assert name(world, "tides/a.csv").unfinished == 1
    world.settle()
    assert world.batches == [["tides/a.csv"]]
    again = name(world, "tides/a.csv", "tides/b.csv")
    assert (again.listed, again.registered, again.unfinished) == (2, 1, 0)
    world.settle()
    assert world.batches == [["tides/a.csv"], ["tides/b.csv"]]


def test_a_file_that_was_written_again_is_taken_in_as_a_new_version():
    world = World()
    lay(world, "tides/a.csv")
    name(world, "tides/a.csv")
    world.settle()
    world.lake.bronze.put(version("tides/a.csv", 2))
    assert name(world, "tides/a.csv").registered == 1
    world.settle()
    assert world.states() == {"tides/a.csv@v1": "PROMOTED", "tides/a.csv@v2": "PROMOTED"}


def test_a_key_of_another_dataset_is_refused():
    world = World()
    with pytest.raises(EventError):
        name(world, "flights/a.csv")


def test_a_death_between_the_ledger_and_the_wake_up_loses_nothing_and_doubles_nothing(
    monkeypatch: pytest.MonkeyPatch,
):
    """The scheduled job gets no answer, keeps its bookmark as it was, and names the file again."""
    world = World()
    lay(world, "tides/a.csv")

    def die(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(writers, "wake", die)
        with pytest.raises(Crash):
            name(world, "tides/a.csv")
    assert name(world, "tides/a.csv").unfinished == 1
    world.settle()
    assert world.batches == [["tides/a.csv"]]
