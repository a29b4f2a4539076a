"""How a batch that died is split."""

from __future__ import annotations

from typing import Any

from lakehouse.split import next_group, parts

RUN = "flights-20240501T070000000Z-00000001"


def halves(plan: Any, *keys: str) -> list[list[str]]:
    names = [(key, "v1") for key in keys]
    found = parts(names, plan)
    return [[key for key, version in names if found.part_of[key, version] == part] for part in (0, 1)]


def test_files_are_halved_in_their_order():
    assert halves(None, "f/1", "f/2", "f/3", "f/4", "f/5") == [["f/1", "f/2", "f/3"], ["f/4", "f/5"]]
    assert halves({"mode": "append"}, "f/1", "f/2") == [["f/1"], ["f/2"]]


def test_one_file_stands_alone():
    assert parts([("f/1", "v1")], None).alone
    assert not parts([("f/1", "v1"), ("f/1", "v2")], None).alone


def test_the_files_of_a_snapshot_group_stay_together():
    plan = {"mode": "snapshot", "snapshot_group": "day", "path_pattern": "day={day:date}/**"}
    first, second = "f/day=2024-05-01/", "f/day=2024-05-02/"
    assert halves(plan, first + "a", second + "a", first + "b", second + "b") == [
        [first + "a", first + "b"],
        [second + "a", second + "b"],
    ]
    assert parts([(first + "a", "v1"), (first + "b", "v1")], plan).alone
    assert halves(plan, "f/stray", first + "a") == [["f/stray"], [first + "a"]]


def test_a_snapshot_of_one_file_each_is_halved_by_file():
    assert halves({"mode": "snapshot", "snapshot_group": None}, "f/1", "f/2") == [["f/1"], ["f/2"]]


def test_larger_parts_come_before_smaller_ones():
    half = next_group("", RUN, 1)
    quarter = next_group(half, RUN.replace("07", "08"), 0)
    assert (half, quarter) == (f"01.{RUN}.1", f"02.{RUN.replace('07', '08')}.0")
    assert half < quarter
