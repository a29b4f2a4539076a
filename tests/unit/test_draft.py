"""Drafts: from a crawled table or a sample to a plan that lands everything and a contract that passes."""

from __future__ import annotations

from typing import Any

import pytest

from lakehouse.contracts import compile_contract
from lakehouse.draft import draft_contract, draft_plan, sketch, sketch_of_table, unique_names
from lakehouse.errors import SchemaNotFound
from lakehouse.words import PlanColumn, column_name

FIELDS = ("name", "type", "source", "source_name")


def table(
    columns: list[tuple[str, str]], keys: list[tuple[str, str]] | None = None, **parameters: str
) -> dict[str, Any]:
    return {
        "Name": "sensors",
        "StorageDescriptor": {
            "Columns": [{"Name": name, "Type": kind} for name, kind in columns],
            "SerdeInfo": {"Parameters": {}},
        },
        "PartitionKeys": [{"Name": name, "Type": kind} for name, kind in keys or []],
        "Parameters": {"classification": "csv", "skip.header.line.count": "1", **parameters},
    }


def fields(columns: list[PlanColumn]) -> list[tuple[object, ...]]:
    return [tuple(dict(column)[name] for name in FIELDS) for column in columns]


def test_a_crawled_csv_table_becomes_this_plan() -> None:
    crawled = table(
        [("id", "bigint"), ("Reading", "double"), ("at", "timestamp")], [("day", "string")], delimiter=";"
    )
    plan = draft_plan(sketch_of_table("sensors", crawled))
    assert fields(plan["columns"]) == [
        ("id", "bigint", "file", "id"),
        ("reading", "double", "file", "Reading"),
        ("at", "timestamp_ntz", "file", "at"),
        ("day", "string", "path", "day"),
    ]
    assert (plan["contracted"], plan["rules"], plan["primary_key"], plan["mode"]) == (False, [], [], "append")
    assert (plan["format"]["delimiter"], plan["format"]["header"]) == (";", True)
    assert plan["path_pattern"] == "day={day}/**"
    assert not any(column["required"] for column in plan["columns"])


@pytest.mark.parametrize(
    ("crawled", "form", "columns"),
    [
        (table([("a", "int")], classification="parquet"), "parquet", [("a", "int")]),
        (table([("a", "int")], classification="json"), "jsonl", [("a", "bigint")]),
        (
            table([("a", "smallint"), ("b", "varchar(3)"), ("c", "float")]),
            "csv",
            [("a", "bigint"), ("b", "string"), ("c", "double")],
        ),
        (table([("a", "array<int>")]), "csv", [("a", "string")]),
        (table([("a", "array<int>")], classification="json"), "jsonl", [("a", "array<int>")]),
        (table([("a", "struct<x-y:int>")], classification="json"), "jsonl", [("a", "string")]),
        (
            table([("array", "array<struct<id:int,p:struct<a:int,b:string>>>")], classification="json"),
            "json",
            [("id", "bigint"), ("p", "struct<a:int,b:string>")],
        ),
    ],
)
def test_formats_and_types(crawled: dict[str, Any], form: str, columns: list[tuple[str, str]]) -> None:
    plan = draft_plan(sketch_of_table("sensors", crawled))
    assert plan["format"]["type"] == form
    assert [(column["name"], column["type"]) for column in plan["columns"]] == columns


@pytest.mark.parametrize("classification", ["csv", "json", "parquet"])
def test_the_draft_contract_passes_and_says_the_same_as_the_plan(classification: str) -> None:
    columns = [
        ("id", "bigint"),
        ("A Value", "decimal(10,2)"),
        ("_x", "timestamp"),
        ("no", "boolean"),
        ("d", "date"),
    ]
    if classification != "csv":
        columns += [("tags", "map<string,int>"), ("place", "struct<a:int,b:array<string>>")]
    crawled = table(columns, [("year", "int"), ("partition_1", "string")], classification=classification)
    found = sketch_of_table("sensors", crawled)
    contracted, drafted = compile_contract(draft_contract(found), "contracts/sensors.yaml"), draft_plan(found)
    assert fields(contracted["columns"]) == fields(drafted["columns"])
    assert contracted["format"] == drafted["format"]
    assert contracted["path_pattern"] == drafted["path_pattern"] == "year={year:int}/*/**"


def test_a_sample_becomes_a_contract() -> None:
    found = sketch(
        "orders", "csv", [("Id", "BIGINT"), ("When", "TIMESTAMP"), ("Odd", "HUGEINT")], delimiter="\t"
    )
    plan = compile_contract(draft_contract(found), "contracts/orders.yaml")
    assert fields(plan["columns"]) == [
        ("id", "bigint", "file", "Id"),
        ("when", "timestamp_ntz", "file", "When"),
        ("odd", "string", "file", "Odd"),
    ]
    assert plan["format"]["delimiter"] == "\t"


@pytest.mark.parametrize(
    ("crawled", "why"),
    [
        (table([("a", "int")], classification="xml"), "took the files of 'sensors' for 'xml'"),
        (table([("a", "int")], classification=""), "for 'unknown'"),
        (table([]), "found no columns"),
    ],
)
def test_what_the_crawler_could_not_read(crawled: dict[str, Any], why: str) -> None:
    with pytest.raises(SchemaNotFound, match=why):
        sketch_of_table("sensors", crawled)


def test_names() -> None:
    assert [column_name(name) for name in ("Straße 1", "_id", "2nd", "%", "ok_1")] == [
        "stra_e_1",
        "id",
        "c_2nd",
        "c",
        "ok_1",
    ]
    assert unique_names(["A b", "a_b", "a-b"]) == ["a_b", "a_b_2", "a_b_3"]
