"""Events come twice, late, together and out of order; every row lands once (acceptance 3, faults 1-5, 9)."""

from __future__ import annotations

import random

import pytest

from tests.twin.lake import TwinLake
from tests.twin.sample import flights_file, flights_key

pytestmark = pytest.mark.usefixtures("gold_held")

NUMBERS = "SELECT flight, count(*) FROM flights WHERE year = {year} AND month = {month} GROUP BY flight"


def numbers(lake: TwinLake, year: int, month: int) -> dict[int, int]:
    """How often each flight number stands in a month of Silver."""
    return {row[0]: row[1] for row in lake.query(NUMBERS.format(year=year, month=month))}


def test_peer_01_the_same_event_three_times_lands_once(lake: TwinLake) -> None:
    file = lake.put(flights_key(2014, 1, "thrice"), flights_file(2014, 1, [1, 2, 3]))
    lake.settle([file], gold=False)
    runs = len(lake.runs("promote:flights"))
    for _ in range(3):
        lake.announce(file)
    marker = lake.put(flights_key(2014, 2, "after"), flights_file(2014, 2, [9]))
    lake.settle([marker], gold=False)
    assert numbers(lake, 2014, 1) == {1: 1, 2: 1, 3: 1}
    assert lake.states("flights")[file[1]] == ["PROMOTED"]
    assert len(lake.runs("promote:flights")) == runs + 1, "a known file started a run"


def test_peer_02_the_second_version_announced_before_the_first(lake: TwinLake) -> None:
    key = flights_key(2014, 3, "overtaken")
    with lake.silence():
        first = lake.put(key, flights_file(2014, 3, [1, 2]))
        second = lake.put(key, flights_file(2014, 3, [2, 3]))
        lake.announce(second, first, sequencers=["0062", "0061"])
        lake.settle([first, second], gold=False)
    assert numbers(lake, 2014, 3) == {2: 1, 3: 1}
    assert lake.state(first) == "SUPERSEDED"
    assert lake.state(second) == "PROMOTED"


def test_both_versions_in_one_batch(lake: TwinLake) -> None:
    key = flights_key(2014, 4, "both")
    with lake.silence():
        first = lake.put(key, flights_file(2014, 4, [1, 2]))
        second = lake.put(key, flights_file(2014, 4, [3]))
        events = [lake.event(first, "0061"), lake.event(second, "0062")]
        lake.deliver(events)
        lake.settle([first, second], gold=False)
    assert numbers(lake, 2014, 4) == {3: 1}
    assert lake.states("flights")[key] == ["PROMOTED", "SUPERSEDED"]


def test_the_second_version_while_the_first_runs(lake: TwinLake) -> None:
    key = flights_key(2014, 5, "during")
    first = lake.put(key, flights_file(2014, 5, [1, 2]))
    lake.until_claimed(first)
    second = lake.put(key, flights_file(2014, 5, [2, 3]))
    lake.settle([first, second], gold=False)
    assert numbers(lake, 2014, 5) == {2: 1, 3: 1}
    assert "PROMOTED" in lake.states("flights")[key]


def test_peer_03_two_datasets_in_one_batch_are_two_executions(lake: TwinLake) -> None:
    with lake.silence():
        flights = lake.put(flights_key(2014, 6, "pair"), flights_file(2014, 6, [1]))
        airline = lake.put("airlines/pair.csv", "carrier,name\nQ1,Pair Airlines\n")
        lake.deliver([lake.event(flights), lake.event(airline)])
        items = lake.settle([flights, airline], gold=False)
    for dataset, key in (("flights", flights[1]), ("airlines", airline[1])):
        assert items[key]["state"] == "PROMOTED"
        assert items[key]["run_id"].startswith(f"{dataset}-")
        assert lake.execution_input(items[key]["run_id"])["dataset"] == dataset


def test_peer_04_every_record_of_an_event_is_handled(lake: TwinLake) -> None:
    with lake.silence():
        files = [
            lake.put(flights_key(2014, 7, f"record-{i}"), flights_file(2014, 7, [i])) for i in range(1, 4)
        ]
        records = [lake.notification_record(file) for file in files]
        lake.deliver([{"Records": records}])
        lake.settle(files, gold=False)
    assert numbers(lake, 2014, 7) == {1: 1, 2: 1, 3: 1}


def test_peer_09_fifty_files_at_once_make_at_most_three_runs(lake: TwinLake) -> None:
    before = len(lake.runs("promote:flights"))
    files = lake.put_all(
        [(flights_key(2014, 8, f"burst-{i:02d}"), flights_file(2014, 8, [100 + i])) for i in range(50)]
    )
    items = lake.settle(files, gold=False)
    assert {item["state"] for item in items.values()} == {"PROMOTED"}
    assert numbers(lake, 2014, 8) == {100 + i: 1 for i in range(50)}
    assert len(lake.runs("promote:flights")) - before <= 3
    assert [*lake.core.ledger.pending("flights")] == []


def test_peer_12_keys_with_every_kind_of_character(lake: TwinLake) -> None:
    names = ["a+b", "100%25", "with space", "ünïcödé-飛行", "semi;colon,comma", "quote'and\"", "and&equals=x"]
    files = lake.put_all(
        [(flights_key(2014, 9, name), flights_file(2014, 9, [i + 1])) for i, name in enumerate(names)]
    )
    items = lake.settle(files, gold=False)
    assert {key: item["state"] for key, item in items.items()} == {key: "PROMOTED" for _, key, _ in files}
    assert numbers(lake, 2014, 9) == {i + 1: 1 for i in range(len(names))}


def test_splits_and_orders_of_the_same_files_give_the_same_tables(lake: TwinLake) -> None:
    """Airlines are upserted by their code: whichever way the files come, the later file's row stays."""
    with lake.silence():
        files = [
            lake.put(f"airlines/split-{i}.csv", f"carrier,name\nX{i},First {i}\nXX,File {i}\nbad,{i}\n")
            for i in range(4)
        ]
        order = [*files]
        random.Random(7).shuffle(order)
        for file in order:
            lake.announce(file)
            lake.settle([file], gold=False)
    names = dict(lake.query("SELECT carrier, name FROM airlines WHERE carrier LIKE 'X%'"))
    assert names == {"X0": "First 0", "X1": "First 1", "X2": "First 2", "X3": "First 3", "XX": "File 3"}
    bad = [row for row in lake.quarantined("airlines", "_source_key") if "split-" in row[0]]
    assert sorted(row[0] for row in bad) == [f"airlines/split-{i}.csv" for i in range(4)]
