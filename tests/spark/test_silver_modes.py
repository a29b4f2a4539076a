"""Which rows win: append with a key, upsert, snapshot, rules over a whole table; whatever the batches and their order."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

from lakehouse import words
from tests.spark.lake import Lake, column, outcomes, plan, rule

KEYED = [column("id", "int", required=True), column("name"), column("seq", "int")]

MakeLake = Callable[[Any], Lake]


def state(lake: Lake) -> tuple[list[Any], list[Any]]:
    """Silver and quarantine without what tells runs apart."""
    names = [n for n in lake.spark.table(lake.silver).columns if n not in words.RUN_COLUMNS]
    bad = [words.SOURCE_VERSION_ID, words.SOURCE_ROW, words.BROKEN_RULES, words.RAW_RECORD, words.SOURCE_KEY]
    rows = sorted(map(repr, lake.rows(*names)))
    return rows, sorted(repr(tuple(row)) for row in lake.spark.table(lake.quarantine).select(*bad).collect())


def test_append_with_a_key_keeps_the_later_row(make: MakeLake) -> None:
    lake = make(plan("keyed", KEYED, primary_key=["id"]))
    lake.put("a.csv", "id,name,seq\n1,a,9\n2,b,9\n1,a again,1\n")
    first = lake.run()
    lake.put("b.csv", "id,name,seq\n2,B,0\n,x,1\n")
    second = lake.run()
    assert lake.rows("id", "name") == [(1, "a again"), (2, "B")]
    assert outcomes(first) == [("PROMOTED", None, 3, 2, 0, 1)]
    assert outcomes(second) == [("PROMOTED", None, 2, 1, 1, 0)]
    assert (second["silver"]["rows_added"], second["silver"]["rows_deleted"]) == (1, 1)
    assert second["spark_actions"] <= 6


def test_upsert_takes_the_highest_sequence_then_the_later_object(make: MakeLake) -> None:
    lake = make(plan("upserted", KEYED, primary_key=["id"], mode="upsert", sequence_column="seq"))
    lake.put("a.csv", "id,name,seq\n1,one,5\n2,two,5\n3,three,\n")
    lake.run()
    lake.put("b.csv", "id,name,seq\n1,late,4\n2,TWO,5\n3,THREE,0\n4,four,1\n")
    report = lake.run()
    assert sorted(lake.rows("id", "name")) == [(1, "one"), (2, "TWO"), (3, "THREE"), (4, "four")]
    assert outcomes(report) == [("PROMOTED", None, 4, 3, 0, 1)]


def test_upsert_of_a_rewritten_key_keeps_rows_the_new_version_lacks(make: MakeLake) -> None:
    lake = make(plan("rewritten", KEYED, primary_key=["id"], mode="upsert"))
    lake.put("a.csv", "id,name,seq\n1,a,1\n2,b,1\nx,bad,1\n")
    lake.run()
    lake.put("a.csv", "id,name,seq\n1,A,1\n")
    lake.run()
    assert sorted(lake.rows("id", "name")) == [(1, "A"), (2, "b")]
    assert lake.bad_rows() == []


def test_a_snapshot_is_the_newest_file(make: MakeLake) -> None:
    lake = make(plan("shot", KEYED, mode="snapshot", snapshot_files=1))
    lake.put("a.csv", "id,name,seq\n1,a,1\n2,b,1\nx,bad,1\n", at=10)
    lake.run()
    lake.put("b.csv", "id,name,seq\n3,c,1\n", at=20)
    lake.put("old.csv", "id,name,seq\n9,z,1\n", at=5)
    report = lake.run()
    assert lake.rows("id") == [(3,)]
    assert lake.bad_rows() == []
    assert [o[:2] for o in outcomes(report)] == [
        ("PROMOTED", None), ("SUPERSEDED", "a newer complete group of files is the table"),
    ]  # fmt: skip
    assert report["silver"]["rows_deleted"] == 2
    lake.put("older.csv", "id,name,seq\n8,z,1\n", at=6)
    assert [o[0] for o in outcomes(lake.run())] == ["SUPERSEDED"]
    assert lake.rows("id") == [(3,)]


def test_a_snapshot_of_several_files_waits_until_it_is_whole(make: MakeLake) -> None:
    lake = make(
        plan(
            "group",
            KEYED,
            mode="snapshot",
            path_pattern="{day:date}/*",
            snapshot_group="day",
            snapshot_files=2,
        )
    )
    lake.put("2013-01-01/a.csv", "id,name,seq\n1,a,1\n")
    lake.put("2013-01-01/b.csv", "id,name,seq\n2,b,1\n")
    lake.run()
    lake.put("2013-01-02/a.csv", "id,name,seq\n3,c,1\n")
    waiting = lake.run()
    assert [o[:2] for o in outcomes(waiting)] == [("PENDING", "its group of files is not complete yet")]
    assert lake.rows("id") == [(1,), (2,)]
    lake.put("2013-01-02/b.csv", "id,name,seq\n4,d,1\n")
    assert [o[0] for o in outcomes(lake.run())] == ["PROMOTED", "PROMOTED"]
    assert lake.rows("id") == [(3,), (4,)]
    lake.put("2013-01-02/a.csv", "id,name,seq\n5,c again,1\n")
    lake.run()
    assert lake.rows("id") == [(4,), (5,)]


def test_unique_holds_over_the_table_and_the_first_stays(make: MakeLake) -> None:
    lake = make(plan("unique", KEYED, [rule("name_unique", "unique", ["name"])]))
    lake.put("b.csv", "id,name,seq\n1,a,1\n2,b,1\n3,a,1\n4,,1\n5,,1\n", at=20)
    first = lake.run()
    lake.put("c.csv", "id,name,seq\n6,b,1\n", at=30)
    lake.put("a.csv", "id,name,seq\n7,b,1\n8,c,1\n", at=10)
    second = lake.run()
    assert lake.rows("id") == [(7,), (8,), (1,), (4,), (5,)]
    assert outcomes(first) == [("PROMOTED", None, 5, 4, 1, 0)]
    assert outcomes(second) == [("PROMOTED", None, 1, 0, 1, 0), ("PROMOTED", None, 2, 2, 0, 0)]
    assert lake.bad_rows() == [
        (2, ["name_unique"], '{"id":2,"name":"b","seq":1}'),
        (3, ["name_unique"], '{"id":3,"name":"a","seq":1}'),
        (1, ["name_unique"], '{"id":6,"name":"b","seq":1}'),
    ]
    assert second["spark_actions"] <= 6


FILES = {
    "a.csv": "id,name,seq\n1,a,3\n2,b,1\nx,bad,1\n",
    "b.csv": "seq,name,id\n1,a2,1\n7,b2,2\n2,c,3\n",
    "c.csv": "id,name\n3,c2\n4,d\n4,d3\n",
    "d.csv": "id,name,seq\n1,a4,3\n,none,1\n",
    "e.csv": "id,name,seq\n5,d,1\n6,f,1\n",
}
PLANS: dict[str, dict[str, Any]] = {
    "append": {"mode": "append"},
    "append_by_key": {"mode": "append", "primary_key": ["id"]},
    "upsert": {"mode": "upsert", "primary_key": ["id"], "sequence_column": "seq"},
    "unique": {"mode": "append", "unique": "name"},
}


@pytest.mark.parametrize("kind", PLANS)
def test_the_result_does_not_depend_on_batches_or_order(make: MakeLake, kind: str) -> None:
    more = dict(PLANS[kind])
    rules = [rule("u", "unique", [more.pop("unique")])] if "unique" in more else []
    shuffled = random.Random(kind)
    seen = []
    for attempt in range(3):
        lake = make(plan(f"order_{kind}", KEYED, rules, **more))
        names = list(FILES)
        shuffled.shuffle(names)
        cuts = sorted(shuffled.sample(range(1, len(names)), attempt and shuffled.randint(1, 3)))
        for start, end in itertools.pairwise([0, *cuts, len(names)]):
            for name in names[start:end]:
                lake.put(name, FILES[name], at=ord(name[0]) // 2, version=f"v-{name}")
            lake.run()
        seen.append(state(lake))
    assert seen[0][0]
    assert seen == [seen[0]] * 3


def test_a_run_takes_at_most_six_actions_also_by_what_spark_itself_counted(make: MakeLake) -> None:
    rules = [rule("name_unique", "unique", ["name"])]
    lake = make(plan("counted", KEYED, rules, primary_key=["id"]))
    lake.put("a.csv", "id,name,seq\n1,a,1\n2,b,1\nx,bad,1\n3,b,1\n", at=10)
    lake.run()
    before = max(executions(lake))
    lake.put("a.csv", "id,name,seq\n1,a,1\n4,b,1\ny,bad,1\n", at=20)
    lake.put("b.csv", "id,name,seq\n2,B,1\n5,B,1\n1,c,1\n", at=30)
    report = lake.run()
    counted = sum(with_jobs for number, with_jobs in executions(lake).items() if number > before)
    assert 4 <= counted <= report["spark_actions"] <= 6, counted
    assert sorted(lake.rows("id", "name")) == [(1, "c"), (2, "B"), (4, "b")]


def executions(lake: Lake) -> dict[int, bool]:
    """Spark's SQL executions it still remembers (the oldest are forgotten), and whether each ran a job."""
    lake.spark.sparkContext._jsc.sc().listenerBus().waitUntilEmpty()
    found = lake.spark._jsparkSession.sharedState().statusStore().executionsList()
    each = (found.apply(at) for at in range(found.size()))
    return {entry.executionId(): not entry.jobs().isEmpty() for entry in each}
