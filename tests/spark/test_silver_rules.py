"""Rules of every kind and action; columns that come, go, or do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lakehouse import words
from tests.spark.lake import Lake, column, outcomes, plan, rule

COLUMNS = [
    column("id", "int", required=True), column("code"), column("amount", "decimal(6,2)"),
    column("ratio", "double"), column("day", "date"), column("at", "timestamp"),
]  # fmt: skip
HEADER = "id,code,amount,ratio,day,at\n"

MakeLake = Callable[[Any], Lake]


def test_every_kind_of_rule(make: MakeLake) -> None:
    rules = [
        rule("enum", "enum", ["code"], ["AB", "CD"]),
        rule("enum_numbers", "enum", ["id"], [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        rule("min", "min", ["amount"], 0.5),
        rule("max", "max", ["ratio"], 1),
        rule("max_day", "max", ["day"], "2013-12-31"),
        rule("min_at", "min", ["at"], "2013-01-01T00:00:00Z"),
        rule("long", "maxLength", ["code"], 3),
        rule("short", "minLength", ["code"], 2),
        rule("pattern", "pattern", ["code"], "^[A-Z]+$"),
        rule("sql", "sql", ["id", "amount"], "amount < 100 OR id = 1"),
        rule("odd", "sql", ["id"], "10 / (id - 7) > 0", "warn"),
    ]
    lake = make(plan("kinds", COLUMNS, rules))
    good = ["1,AB,500,1,2013-12-31,2013-01-01T00:00:00Z", "7,,,,,"]
    bad = ["2,abcd,0.49,1.5,2014-01-01,2012-12-31T23:59:59Z", "3,C,100,,,", "10,,,,,"]
    lake.put("a.csv", HEADER + "".join(line + "\n" for line in good + bad))
    report = lake.run()
    assert lake.rows("id") == [(1,), (7,)]
    assert [(row, broken) for row, broken, _ in lake.bad_rows()] == [
        (3, ["enum", "min", "max", "max_day", "min_at", "long", "pattern", "odd"]),
        (4, ["enum", "short", "sql", "odd"]),
        (5, ["enum_numbers"]),
    ]
    violations = {r["rule"]: r["violations"] for r in report["rules"]}
    assert (violations["odd"], violations["enum"], violations["id_type"]) == (3, 2, 0)


def test_warn_only_counts(make: MakeLake) -> None:
    lake = make(plan("warned", COLUMNS, [rule("low", "min", ["id"], 2, "warn")]))
    lake.put("a.csv", "id\n1\n2\n")
    report = lake.run()
    assert lake.rows("id") == [(1,), (2,)]
    assert [r["violations"] for r in report["rules"] if r["rule"] == "low"] == [1]


def test_reject_file_and_reject_batch(make: MakeLake) -> None:
    lake = make(
        plan(
            "strictly",
            COLUMNS,
            [rule("low", "min", ["id"], 2, "rejectFile"), rule("high", "max", ["id"], 9, "rejectBatch")],
        )
    )
    lake.put("a.csv", "id\n1\n2\nx\n")
    lake.put("b.csv", "id\n3\n")
    assert outcomes(lake.run()) == [
        ("REJECTED", "rule low was broken by 1 rows", 3, 0, 0, 0), ("PROMOTED", None, 1, 1, 0, 0),
    ]  # fmt: skip
    lake.put("c.csv", "id\n4\n")
    lake.put("d.csv", "id\n10\n")
    reason = "rule high was broken by 1 rows of the batch, which rejects it"
    assert outcomes(lake.run()) == [("REJECTED", reason, 1, 0, 0, 0)] * 2
    assert lake.rows("id") == [(3,)]
    assert lake.bad_rows() == []


def test_more_rules_than_one_bigint_has_bits(make: MakeLake) -> None:
    rules = [rule(f"r{n}", "max", ["id"], n, "quarantine" if n == 99 else "warn") for n in range(100)]
    lake = make(plan("many", COLUMNS, rules))
    lake.put("a.csv", "id\n98\n100\n")
    lake.run()
    assert lake.rows("id") == [(98,)]
    assert lake.bad_rows()[0][1] == [f"r{n}" for n in range(100)]


def test_evolve_adds_columns_within_the_run(make: MakeLake) -> None:
    lake = make(plan("evolving", [column("id", "int", required=True)]))
    lake.put("a.csv", "id\n1\n")
    lake.run()
    lake.put("b.csv", "Flight No,id\nUA1,2\n")
    lake.put("c.csv", "id,other\n3,x\n")
    report = lake.run()
    assert lake.rows("id", "flight_no", "other") == [(1, None, None), (2, "UA1", None), (3, None, "x")]
    assert [c["name"] for c in report["silver"]["columns"]][-2:] == ["flight_no", "other"]
    lake.put("d.csv", "flight_no,id\nB6,4\n")
    lake.run()
    assert lake.rows("id", "flight_no")[-1] == (4, "B6")


def test_evolve_adds_the_fields_of_json_rows(make: MakeLake) -> None:
    lake = make(plan("fields", [column("id", "int", required=True)], format={"type": "jsonl"}))
    lake.put("a.json", '{"id": 1}\n{"ID": 2, "New Field": {"a": 1}}\n{"id": 3, "zoo": true}\n')
    lake.run()
    assert lake.rows("id", "new_field", "zoo") == [(1, None, None), (2, '{"a":1}', None), (3, None, "true")]
    lake.put("b.json", '{"id": 4, "New Field": "x"}\n')
    lake.run()
    assert lake.rows("id", "new_field")[-1] == (4, "x")


def test_fields_of_odd_names_find_their_columns_again(make: MakeLake) -> None:
    lake = make(plan("odd", [column("id", "int", required=True)], format={"type": "jsonl"}))
    for number in (1, 2):
        lake.put(
            f"{number}.json", f'{{"id": {number}, "1st": "a{number}", "%": "b{number}", "_x": "c{number}"}}\n'
        )
        lake.run()
    assert lake.rows("id", "c_1st", "c", "x") == [(1, "a1", "b1", "c1"), (2, "a2", "b2", "c2")]


def test_rescue_keeps_what_is_unknown_or_mistyped(make: MakeLake) -> None:
    columns = [column("id", "int", required=True), column("n", "int")]
    lake = make(plan("rescued", columns, evolution="rescue"))
    lake.put("a.csv", "id,n,extra\n1,2,\n2,x,y\nz,3,\n")
    lake.run()
    assert lake.rows("id", "n", words.RESCUED) == [(1, 2, None), (2, None, '{"n":"x","extra":"y"}')]
    assert [broken for _, broken, _ in lake.bad_rows()] == [["id_type", "id_required"]]


def test_rescue_of_json(make: MakeLake) -> None:
    columns = [column("id", "int", required=True), column("n", "int")]
    lake = make(plan("rescued_json", columns, evolution="rescue", format={"type": "json"}))
    lake.put("a.json", '[{"id": 1, "n": 1.5, "more": [1]}, {"id": 2}]')
    lake.run()
    assert lake.rows("id", "n", words.RESCUED) == [(1, None, '{"n":"1.5","more":"[1]"}'), (2, None, None)]


@pytest.mark.parametrize(
    ("name", "form", "body", "reason"),
    [
        ("more.csv", {}, "id,n,x\n1,2,3\n", "the file has columns the contract does not have (columns 3)"),
        ("less.csv", {}, "id\n1\n", "the file lacks columns of the contract (n)"),
        ("more.json", {"type": "jsonl"}, '{"id":1}\n{"id":2,"x":1}\n', "1 rows have fields the contract does not have"),
    ],
)  # fmt: skip
def test_strict_refuses_the_file(make: MakeLake, name: str, form: Any, body: str, reason: str) -> None:
    columns = [column("id", "int", required=True), column("n", "int")]
    lake = make(plan("closed", columns, evolution="strict", format=form))
    lake.put(name, body)
    assert [o[:2] for o in outcomes(lake.run())] == [("REJECTED", reason)]


def test_a_dataset_without_a_contract_takes_everything(make: MakeLake) -> None:
    lake = make(
        plan("free", [column("id", "bigint"), column("n", "double")], contracted=False) | {"rules": []}
    )
    lake.put("a.csv", "id,n\n1,2.5\nx,y\n1,2,3\n")
    lake.put("b.csv", "other\nz\n")
    report = lake.run()
    assert lake.rows("id", "n", "other", words.RESCUED) == [
        (1, 2.5, None, None), (None, None, None, '{"id":"x","n":"y"}'), (None, None, "z", None),
    ]  # fmt: skip
    assert [o[2:] for o in outcomes(report)] == [(3, 2, 1, 0), (1, 1, 0, 0)]


def test_a_widened_type_is_widened_in_the_table(make: MakeLake) -> None:
    lake = make(plan("widened", [column("id", "int")]))
    lake.put("a.csv", "id\n1\n")
    lake.run()
    lake.plan["columns"][0]["type"] = "bigint"
    lake.put("b.csv", "id\n3000000000\n")
    lake.run()
    assert lake.rows("id") == [(1,), (3000000000,)]
