"""Tables are maintained while files arrive: no run fails, no row is lost, Gold is as if made anew (acceptance 9).

`make test` takes three rounds, `make soak` twenty. The last tests take the ways through the state machine that
a lake in good health never takes.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from lakehouse import writers
from lakehouse.store import Item
from lakehouse.words import REFRESH_WRITER
from tests.twin import paths
from tests.twin.conftest import ROOT
from tests.twin.lake import TwinLake
from tests.twin.paths import THE_END, Step
from tests.twin.sample import flights_file, flights_key, weather_file
from tests.twin.test_state_machine_paths import (
    DENIED,
    TOPIC_REFUSED,
    Runs,
    Told,
    assert_failed,
    assert_stale,
    function_refused,
    no_models,
    recovered_before_it_completes,
    refused,
    stopped,
    told,
)

__all__ = ["told"]

ROUNDS = 20 if os.environ.get("LAKEHOUSE_SOAK") else 3
YEAR = 2041
FRACTION = re.compile(r"-?\d+\.\d+(E-?\d+)?")
MODELS = {path.stem for path in (ROOT / "models").glob("*.sql")}
FLIGHTS, WEATHER = "promote:flights", "promote:weather"
WRITERS = (FLIGHTS, WEATHER, REFRESH_WRITER)
MAINTAIN, JOB = "MaintainStateMachineRole", "MaintainJobRole"


@pytest.fixture(autouse=True)
def no_fault_stays(lake: TwinLake) -> Iterator[None]:
    """No fault is left armed for the next test."""
    yield
    lake.arm_all()


def ask(lake: TwinLake, *names: str) -> dict[str, Any]:
    """Ask for maintenance as `lakehouse maintain --always` does."""
    return dict(lake.invoke("maintain", {"writers": list(names), "always": True}))


def new_runs(lake: TwinLake, since: dict[str, set[str]]) -> list[Item]:
    """All runs but those known before."""
    return [run for writer in WRITERS for run in lake.runs(writer) if run["run_id"] not in since[writer]]


def known_runs(lake: TwinLake) -> dict[str, set[str]]:
    return {writer: {run["run_id"] for run in lake.runs(writer)} for writer in WRITERS}


def gold(lake: TwinLake) -> dict[str, list[str]]:
    """All rows of all Gold tables; sums of fractions are compared to eight digits."""
    rows = {name: lake.result_file(f"SELECT * FROM {name}", "gold") for name in gold_tables(lake)}
    assert all(rows.values())
    return {name: sorted(repr([*map(readable, row)]) for row in found) for name, found in rows.items()}


def readable(value: str) -> str:
    return f"{float(value):.8g}" if FRACTION.fullmatch(value) else value


class Rounds(NamedTuple):
    """What came of the rounds, once all is at rest: the files' ledger items, and the runs of all writers."""

    items: dict[str, Item]
    runs: list[Item]


@pytest.fixture(scope="module")
def rounds(lake: TwinLake) -> Rounds:
    """In each round flights and weather get a file, and their tables are maintained while more arrives."""
    lake.rest()
    before, puts = known_runs(lake), []
    for number in range(1, ROUNDS + 1):
        first = lake.put(flights_key(YEAR, 1, f"a{number}"), flights_file(YEAR, 1, [2 * number], number))
        puts += [first, lake.put(f"weather/{YEAR}-{number}.csv", weather_file(YEAR, number))]
        lake.take_in("weather")
        lake.until_claimed(first)
        assert ask(lake, FLIGHTS, WEATHER)["failed"] == {}
        numbers = [2 * number + 1]
        puts.append(lake.put(flights_key(YEAR, 1, f"b{number}"), flights_file(YEAR, 1, numbers, number)))
    items = lake.settle(puts)
    lake.rest()
    return Rounds(items, new_runs(lake, before))


class Look(NamedTuple):
    """What Silver's tables hold: files and rows by table; and which files Gold's tables hold."""

    files: dict[str, int]
    rows: dict[str, int]
    gold_files: dict[str, set[str]]

    @classmethod
    def at(cls, lake: TwinLake) -> Look:
        tables = ("flights", "weather")
        counts = {name: int(lake.query(f'SELECT count(*) FROM "{name}$files"')[0][0]) for name in tables}
        return cls(counts, {name: lake.count(name) for name in tables}, gold_files(lake))


@pytest.fixture(scope="module")
def maintained(lake: TwinLake, rounds: Rounds) -> tuple[Look, Look]:
    """Before and after all tables were maintained, with nothing else at work."""
    before = Look.at(lake)
    asked = ask(lake, *WRITERS)
    assert sorted(asked["started"]) == sorted(WRITERS)
    lake.rest()
    return before, Look.at(lake)


def test_no_run_fails_while_files_arrive_and_tables_are_maintained(lake: TwinLake, rounds: Rounds) -> None:
    assert {item["state"] for item in rounds.items.values()} == {"PROMOTED"}
    assert {run["state"] for run in rounds.runs} == {"SUCCEEDED"}, rounds.runs
    kinds = Counter((run["writer"], run["kind"]) for run in rounds.runs)
    # A round begins when a run has claimed its file: by then the maintenance of the round before is over.
    assert min(kinds[FLIGHTS, "promote"], kinds[FLIGHTS, "maintain"]) >= ROUNDS, kinds
    assert kinds[WEATHER, "promote"], kinds
    assert kinds[WEATHER, "maintain"], kinds
    numbers = [[number] for number in range(2, 2 * ROUNDS + 2)]
    assert lake.query(f"SELECT flight FROM flights WHERE year = {YEAR} ORDER BY flight") == numbers
    counts = lake.query(f"SELECT count(*), count(DISTINCT day) FROM weather WHERE year = {YEAR}")
    assert counts == [[2 * ROUNDS, ROUNDS]]


def test_a_maintained_table_has_fewer_files_and_the_same_rows(
    lake: TwinLake, maintained: tuple[Look, Look]
) -> None:
    before, after = maintained
    assert after.rows == before.rows
    assert after.files["flights"] < before.files["flights"]
    assert lake.query(f"SELECT count(*) FROM \"flights$files\" WHERE file_path LIKE '%year={YEAR}%'") == [[1]]
    for writer in WRITERS:
        run = lake.runs(writer)[-1]
        assert (run["kind"], run["state"], run["tables"]) == (
            "maintain",
            "SUCCEEDED",
            len(MODELS) if writer == REFRESH_WRITER else 2,
        )


def test_athena_is_told_to_plan_with_a_maintained_tables_statistics(
    lake: TwinLake, maintained: tuple[Look, Look]
) -> None:
    database = lake.cli.name("SilverDatabaseName")
    told = {}
    for name in ("flights", "flights__quarantine"):
        table = lake.client("glue").get_table(DatabaseName=database, Name=name)["Table"]
        told[name] = table["Parameters"].get("use_iceberg_statistics")
    assert told == {"flights": "true", "flights__quarantine": None}
    run = lake.runs(FLIGHTS)[-1]
    report = json.loads(lake.operations_text(f"runs/promote/flights/{run['run_id']}/report.json"))
    counted = {table["table"]: table["columns_counted"] > 0 for table in report["tables"]}
    assert counted == {"flights": True, "flights__quarantine": False}


def test_nobody_needs_maintenance_right_after_it(lake: TwinLake, maintained: tuple[Look, Look]) -> None:
    asked = lake.invoke("maintain", {"writers": list(WRITERS)})
    assert (asked["started"], asked["wanted"], asked["failed"]) == ({}, [], {})
    assert sorted(asked["notDue"]) == sorted(WRITERS)


def test_gold_is_not_made_again_for_maintenance_and_equals_a_full_recompute(
    lake: TwinLake, maintained: tuple[Look, Look]
) -> None:
    """Made anew without its tables, as an administrator takes them from the catalog."""
    kept = gold(lake)
    assert set(kept) == MODELS
    refresh(lake)
    assert gold_files(lake) == maintained[1].gold_files
    assert gold(lake) == kept
    for name in kept:
        lake.client("glue").delete_table(DatabaseName=lake.cli.name("GoldDatabaseName"), Name=name)
    refresh(lake)
    assert gold(lake) == kept
    now, then = (
        {path for paths in found.values() for path in paths}
        for found in (gold_files(lake), maintained[1].gold_files)
    )
    assert not now & then


def refresh(lake: TwinLake) -> None:
    writers.wake(lake.core, REFRESH_WRITER, 1)
    lake.rest()
    assert lake.runs(REFRESH_WRITER)[-1]["state"] == "SUCCEEDED"


def gold_tables(lake: TwinLake) -> list[str]:
    return sorted(row[0] for row in lake.query("SHOW TABLES", "gold"))


def gold_files(lake: TwinLake) -> dict[str, set[str]]:
    """The data files of each Gold table."""
    return {
        name: {row[0] for row in lake.query(f'SELECT file_path FROM "{name}$files"', "gold")}
        for name in gold_tables(lake)
    }


# --- failures ----------------------------------------------------------------------------------------


class Maintenance(Runs):
    """The maintenance runs of one writer."""

    def __init__(self, lake: TwinLake, writer: str) -> None:
        super().__init__(lake, writer)
        self.machine_arn = paths.machines(lake)["maintain"]

    def go(self) -> str:
        """Ask for one while nobody holds the lease; the run's id."""
        self.lake.until(lambda: self.lease().state == writers.FREE, f"{self.writer} is free", 120)
        return self.next(lambda: writers.ask_for_maintenance(self.lake.core, self.writer))


@pytest.fixture
def maintenance(lake: TwinLake) -> Maintenance:
    lake.rest()
    return Maintenance(lake, FLIGHTS)


def test_a_job_killed_in_the_middle_is_recovered_and_files_go_on(
    lake: TwinLake, maintenance: Maintenance, told: Told
) -> None:
    rows = lake.count("flights")
    lake.arm(role=JOB, service="glue", call="UpdateTable", when="after", effect="kill")
    run_id = maintenance.go()
    file = lake.put(flights_key(YEAR, 2, "late"), flights_file(YEAR, 2, [1]))
    run = maintenance.ended(run_id)
    assert lake.fault_fired()
    assert_failed(run, told, "RunMaintenance", "States.TaskFailed")
    assert lake.settle([file])[file[1]]["state"] == "PROMOTED"
    lake.rest()
    noted = lake.core.ledger.run(FLIGHTS, run_id)
    assert noted is not None
    assert (noted["kind"], noted["state"]) == ("maintain", "FAILED")
    lease = maintenance.lease()
    assert (lease.state, lease.failures, lease.deaths, lease.maintenance_wanted) == ("FREE", 0, 0, False)
    assert lake.count("flights") == rows + 1
    again = maintenance.ended(maintenance.go())
    assert again.status == "SUCCEEDED"
    assert lake.count("flights") == rows + 1


def test_maintenance_that_is_stopped_stops_its_job(maintenance: Maintenance) -> None:
    assert stopped(maintenance, "maintain", JOB) == ["STOPPED"]


def test_a_plan_that_is_refused_ends_the_maintenance_and_tells(
    lake: TwinLake, maintenance: Maintenance, told: Told
) -> None:
    lake.arm(**function_refused(MAINTAIN, "plan"))
    run = maintenance.ended(maintenance.go())
    assert_failed(run, told, "PlanMaintenance", "Lambda.ResourceNotFoundException")


def test_a_job_that_cannot_start_ends_the_maintenance_and_a_message_that_cannot_be_sent_changes_nothing(
    lake: TwinLake, maintenance: Maintenance, told: Told
) -> None:
    job = refused(MAINTAIN, "glue", "StartJobRun", DENIED)
    lake.arm_all(job=job)
    assert_failed(maintenance.ended(maintenance.go()), told, "RunMaintenance", "Glue.AccessDeniedException")
    lake.arm_all(job=job, topic=TOPIC_REFUSED | {"role": MAINTAIN})
    run = maintenance.ended(maintenance.go())
    assert (run.status, run.error) == ("FAILED", "Glue.AccessDeniedException")
    assert Step("NotifyFailure", "error", "FailRun") in run.steps
    assert told(run) == []


def test_a_lake_without_models_has_no_gold_to_maintain(lake: TwinLake, told: Told) -> None:
    lake.rest()
    runs = Maintenance(lake, REFRESH_WRITER)
    with no_models(lake):
        lake.arm(**function_refused(MAINTAIN, "complete"))
        refused_run = runs.ended(runs.go())
        stale = recovered_before_it_completes(runs, MAINTAIN)
        done = runs.ended(runs.go())
    assert_failed(refused_run, told, "CompleteRun", "Lambda.ResourceNotFoundException")
    assert_stale(stale, told)
    assert done.status == "SUCCEEDED"
    assert done.steps == [
        Step("PlanMaintenance", "next", "ChooseWork"),
        Step("ChooseWork", "next", "CompleteRun"),
        Step("CompleteRun", "next", THE_END),
    ]
