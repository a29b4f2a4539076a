"""Lineage: the events of runs, the edges between columns and tables, and the way back to object versions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pytest

from lakehouse.errors import LineageUnknown
from lakehouse.lake import Lake
from lakehouse.lineage import event_key, record_fail, record_gold, record_silver
from lakehouse.payloads import RunRequest
from lakehouse.source_sql import source_sql
from lakehouse.store import Put
from lakehouse.trace import (
    ColumnNode,
    SourceObject,
    SourceQuery,
    downstream,
    impact,
    parse_partition,
    trace,
    upstream,
)
from lakehouse.words import (
    DatasetPlan,
    GoldReport,
    Manifest,
    ManifestFile,
    SilverReport,
    TableOutcome,
    run_prefix,
)

from . import sample_lake
from .fakes import MemoryStore, fake_lake

PLANS = sample_lake.definitions().plans
MODELS = sample_lake.definitions().models
PROMOTE = "flights-20240501T070000000Z-0000000a"
REFRESH_1 = "refresh-20240501T071000000Z-0000000b"
REFRESH_2 = "refresh-20240502T071000000Z-0000000c"
REFRESH_3 = "refresh-20240503T071000000Z-0000000d"
DAILY, MONTHLY = "carrier_punctuality_daily", "carrier_punctuality_monthly"


def outcome(table: str, snapshot_id: int, **more: Any) -> TableOutcome:
    fields = {"table": table, "snapshot_id": snapshot_id, "rows_added": 7, "rows_deleted": 2, "columns": []}
    return {**fields, **more}  # type: ignore[typeddict-item]


def promote(lake: Lake, dataset: str, run_id: str, snapshot_id: int) -> dict[str, Any]:
    """Record a promote run of one file; returns its COMPLETE event."""
    plan: DatasetPlan = PLANS[dataset]
    file: ManifestFile = {"key": f"{dataset}/a.csv", "version_id": "v1", "size_bytes": 100, "replaces": []}
    manifest: Manifest = {
        "run_id": run_id,
        "dataset": dataset,
        "assets_prefix": "assets/abc/",
        "files": [file],
    }
    names = [column["name"] for column in plan["columns"]]
    columns = [{"name": name, "type": "x"} for name in [*names, "late_column", "_run_id"]]
    report: SilverReport = {
        "run_id": run_id,
        "dataset": dataset,
        "plan_hash": plan["hash"],
        "silver": outcome(dataset, snapshot_id, columns=columns),
        "quarantine": outcome(f"{dataset}__quarantine", 0),
        "files": [{"rows": 9}],  # type: ignore[typeddict-item]
        "rules": [
            {"rule": "carrier_pattern", "columns": ["carrier"], "action": "quarantine", "violations": 2},
            {"rule": "landed", "columns": ["a", "b"], "action": "warn", "violations": 0},
        ],
        "spark_actions": 4,
        "seconds": {},
    }
    request = RunRequest(run_id=run_id, writer=f"promote:{dataset}", dataset=dataset)
    record_silver(lake, request, manifest, plan, report)
    return read(lake, event_key(run_id, "COMPLETE"))


def read(lake: Lake, key: str) -> dict[str, Any]:
    found = lake.operations.read(key)
    assert found is not None
    return dict(found)


def refresh(lake: Lake, run_id: str, *models: TableOutcome, fail: str = "") -> None:
    """Record a refresh run of these models."""
    request = RunRequest(run_id=run_id, writer="refresh")
    manifest = {"run_id": run_id, "assets_prefix": "assets/abc/", "models": list(MODELS)}
    lake.operations.create(run_prefix("refresh", run_id) + "manifest.json", manifest)
    for name, plan in MODELS.items():
        lake.operations.create(f"assets/abc/models/{name}.json", plan)
    report: GoldReport = {
        "run_id": run_id,
        "models": list(models),
        "skipped": [],
        "failed": {},
        "seconds": {},
    }
    if fail:
        record_fail(lake, request, fail, report)
    else:
        record_gold(lake, request, report)


def daily(snapshot_id: int, flights: int, **more: Any) -> TableOutcome:
    inputs = {"silver.flights": flights, "silver.airlines": 50}
    return outcome(DAILY, snapshot_id, inputs=inputs, model_hash="h", **more)


def monthly(snapshot_id: int, read: int, **more: Any) -> TableOutcome:
    return outcome(MONTHLY, snapshot_id, inputs={f"gold.{DAILY}": read}, model_hash="h", **more)


def recorded() -> Lake:
    """Flights and airlines promoted; Gold made whole once, then twice in part."""
    lake = fake_lake()
    promote(lake, "flights", PROMOTE, 10)
    promote(lake, "airlines", "airlines-20240501T070000000Z-0000000e", 50)
    refresh(lake, REFRESH_1, daily(100, 10), monthly(200, 100))
    refresh(
        lake,
        REFRESH_2,
        daily(101, 11, partitions=["year=2013/month=2"]),
        monthly(201, 101, partitions=["year=2013/month=2"]),
    )
    refresh(lake, REFRESH_3, daily(102, 12, partitions=["year=2013/month=3", "year=2013/month=2"]))
    return lake


# --- Events -----------------------------------------------------------------------------------


def assert_valid(event: dict[str, Any]) -> None:
    """What the specification's schema demands of a RunEvent and of every facet in it."""
    assert event["eventType"] in {"START", "COMPLETE", "FAIL"}
    assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", event["run"]["runId"])
    assert event["job"]["namespace"]
    assert event["job"]["name"]
    holders = [event["run"], event["job"], *event["inputs"], *event["outputs"]]
    facets = [
        f for h in holders for k in ("facets", "inputFacets", "outputFacets") for f in h.get(k, {}).values()
    ]
    assert facets
    assert all(facet["_producer"] == event["producer"] and facet["_schemaURL"] for facet in facets)
    assert all(dataset["namespace"] and dataset["name"] for dataset in event["inputs"] + event["outputs"])


def test_the_event_of_a_promote_run() -> None:
    lake = fake_lake()
    event = promote(lake, "flights", PROMOTE, 5552368551563237374)
    start = read(lake, f"lineage/2024/05/01/{PROMOTE}.START.json")
    assert_valid(event)
    assert_valid(start)
    assert start["run"]["runId"] == event["run"]["runId"]
    assert event["job"]["namespace"] == "lake-dev"
    assert event["job"]["name"] == "promote.flights"
    (source,) = event["inputs"]
    assert (source["namespace"], source["name"]) == ("s3://lake-dev-bronze", "flights")
    manifest = source["facets"]["lakehouse_manifest"]
    assert manifest["manifest"] == f"runs/promote/flights/{PROMOTE}/manifest.json"
    assert (manifest["files"], manifest["sizeBytes"]) == (1, 100)
    assert source["inputFacets"]["inputStatistics"]["rowCount"] == 9
    assert source["inputFacets"]["dataQualityAssertions"]["assertions"] == [
        {"assertion": "carrier_pattern", "success": False, "column": "carrier"},
        {"assertion": "landed", "success": True},
    ]
    (table,) = event["outputs"]
    assert (table["namespace"], table["name"]) == ("s3://lake-dev-silver", "flights")
    assert table["facets"]["version"]["datasetVersion"] == "5552368551563237374"
    assert table["facets"]["lakehouse_snapshot"]["snapshotId"] == "5552368551563237374"
    assert table["facets"]["symlinks"]["identifiers"] == [
        {
            "namespace": "arn:aws:glue:us-east-1:000000000000",
            "name": "table/lake_dev_silver/flights",
            "type": "TABLE",
        }
    ]
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 7
    columns = table["facets"]["columnLineage"]["fields"]
    assert "_run_id" not in columns
    assert columns["dep_delay"]["inputFields"] == [
        {
            "namespace": "s3://lake-dev-bronze",
            "name": "flights",
            "field": "dep_delay",
            "transformations": [
                {"type": "DIRECT", "subtype": "TRANSFORMATION", "description": "", "masking": False}
            ],
        }
    ]
    assert columns["late_column"]["inputFields"][0]["field"] == "late_column"


def test_the_event_of_a_refresh_run() -> None:
    lake = recorded()
    event = read(lake, event_key(REFRESH_2, "COMPLETE"))
    assert_valid(event)
    assert [(each["namespace"], each["name"]) for each in event["outputs"]] == [
        ("s3://lake-dev-gold", DAILY),
        ("s3://lake-dev-gold", MONTHLY),
    ]
    assert [(each["name"], each["facets"]["version"]["datasetVersion"]) for each in event["inputs"]] == [
        (DAILY, "101"),
        ("airlines", "50"),
        ("flights", "11"),
    ]
    facets = event["outputs"][0]["facets"]
    assert facets["lakehouse_snapshot"]["partitions"] == ["year=2013/month=2"]
    assert {each["field"] for each in facets["columnLineage"]["dataset"]} >= {
        "carrier",
        "year",
        "month",
        "day",
    }


def test_a_step_that_is_repeated_changes_nothing() -> None:
    lake = recorded()
    store = lake.lineage
    assert isinstance(store, MemoryStore)
    events = dict(lake.operations.objects)  # type: ignore[attr-defined]
    items = {key: {**item, "at": ""} for key, item in store.items.items()}
    refresh(lake, REFRESH_3, daily(102, 12, partitions=["year=2013/month=3", "year=2013/month=2"]))
    assert lake.operations.objects == events  # type: ignore[attr-defined]
    assert {key: {**item, "at": ""} for key, item in store.items.items()} == items


def test_a_failed_run_says_so_by_name_and_records_what_it_published() -> None:
    lake = fake_lake()
    lake.tables.table("lake_dev_gold", DAILY).markers.append(REFRESH_1)
    refresh(lake, REFRESH_1, daily(100, 10), monthly(200, 100), fail="RefreshFailed")
    event = read(lake, event_key(REFRESH_1, "FAIL"))
    assert_valid(event)
    assert event["run"]["facets"]["errorMessage"]["message"] == "RefreshFailed"
    assert [each["name"] for each in event["outputs"]] == [DAILY]
    assert lake.lineage.get((f"TABLE#gold.{DAILY}", f"RUN#{REFRESH_1}")) is not None
    assert lake.lineage.get((f"TABLE#gold.{MONTHLY}", f"RUN#{REFRESH_1}")) is None


def test_no_value_of_a_row_can_get_into_an_event() -> None:
    lake = recorded()
    record_fail(lake, RunRequest(run_id=PROMOTE, writer="promote:flights", dataset="flights"), "FilesFault")
    texts = lake.operations.objects  # type: ignore[attr-defined]
    event = json.loads(texts[event_key(PROMOTE, "FAIL")])
    assert event["run"]["facets"]["errorMessage"].keys() == {
        "_producer",
        "_schemaURL",
        "message",
        "programmingLanguage",
    }


# --- Columns ----------------------------------------------------------------------------------


def test_the_way_of_a_column_from_gold_to_the_files() -> None:
    assert upstream(recorded().lineage, f"gold.{MONTHLY}.mean_dep_delay") == ColumnNode(
        f"gold.{MONTHLY}.mean_dep_delay",
        "",
        (
            ColumnNode(
                f"gold.{DAILY}.dep_delay_minutes",
                "AGGREGATION",
                (
                    ColumnNode(
                        "silver.flights.dep_delay",
                        "AGGREGATION",
                        (ColumnNode("bronze.flights.dep_delay", "TRANSFORMATION"),),
                    ),
                ),
            ),
            ColumnNode(
                f"gold.{DAILY}.departures",
                "AGGREGATION",
                (
                    ColumnNode(
                        "silver.flights.dep_delay",
                        "AGGREGATION",
                        (ColumnNode("bronze.flights.dep_delay", "TRANSFORMATION"),),
                    ),
                ),
            ),
        ),
    )


def test_a_count_of_rows_comes_from_what_decides_the_rows() -> None:
    tree = upstream(recorded().lineage, f"gold.{DAILY}.flights")
    assert {(node.name, node.transformation) for node in tree.sources} == {
        ("silver.airlines.carrier", "JOIN"),
        ("silver.airlines.name", "GROUP_BY"),
        ("silver.flights.carrier", "JOIN"),
        ("silver.flights.day", "GROUP_BY"),
        ("silver.flights.month", "GROUP_BY"),
        ("silver.flights.year", "GROUP_BY"),
    }


def test_what_a_change_would_reach() -> None:
    store = recorded().lineage
    assert impact(store, "bronze.flights", "dep_delay") == [
        "silver.flights",
        f"gold.{DAILY}",
        f"gold.{MONTHLY}",
    ]
    assert impact(store, "silver.airlines", "carrier") == [f"gold.{DAILY}", f"gold.{MONTHLY}"]
    assert impact(store, "silver.flights") == [f"gold.{DAILY}", f"gold.{MONTHLY}"]
    assert impact(store, f"gold.{MONTHLY}") == []
    tree = downstream(store, "silver.flights.arr_delay")
    assert {node.name for node in tree.sources} == {
        f"gold.{DAILY}.{name}"
        for name in ("arr_delay_minutes", "arrivals", "mean_arr_delay", "on_time_arrivals")
    }


def test_edges_that_a_new_definition_no_longer_has_are_gone() -> None:
    lake = recorded()
    changed = {**MODELS[DAILY], "hash": "new"}
    changed["column_lineage"] = {"year": MODELS[DAILY]["column_lineage"]["year"], "*": []}
    lake.operations.objects[f"assets/abc/models/{DAILY}.json"] = json.dumps(changed)  # type: ignore[attr-defined]
    refresh(lake, "refresh-20240509T071000000Z-0000000f", daily(109, 12))
    assert downstream(lake.lineage, "silver.flights.dep_delay").sources == ()
    assert impact(lake.lineage, "silver.airlines") == []
    assert upstream(lake.lineage, f"gold.{DAILY}.year").sources[0].name == "silver.flights.year"


# --- Rows -------------------------------------------------------------------------------------


class Silver:
    """Answers which sources stand where, and remembers what it was asked."""

    def __init__(self, lake: Lake) -> None:
        self.asked: list[SourceQuery] = []
        for number in range(1, 13):
            item = {
                "pk": "SOURCES#flights",
                "sk": f"source-{number}",
                "key": f"flights/year=2013/month={number}/flights.csv",
                "version_id": f"version-{number}",
                "run_id": PROMOTE,
            }
            lake.ledger.store.write(Put(item))

    def __call__(self, query: SourceQuery) -> Iterable[str]:
        self.asked.append(query)
        return [f"source-{query.where.get('month', '7')}"]


def test_the_literal_answer_for_a_column_and_a_partition_of_gold() -> None:
    lake = recorded()
    silver = Silver(lake)
    answer = trace(
        lake.lineage,
        lake.ledger,
        silver,
        f"gold.{MONTHLY}",
        "mean_dep_delay",
        parse_partition("year=2013/month=2"),
    )
    assert [(run.table, run.run_id, run.snapshot_id) for run in answer.runs] == [
        (f"gold.{MONTHLY}", REFRESH_2, 201),
        (f"gold.{DAILY}", REFRESH_2, 101),
    ]
    (read,) = answer.silver
    assert read.query == SourceQuery("flights", 11, {"year": "2013", "month": "2"}, (), "America/New_York")
    assert read.objects == (
        SourceObject("flights/year=2013/month=2/flights.csv", "version-2", PROMOTE, "source-2"),
    )
    assert answer.unknown == ()
    assert answer.runs[0].event == f"lineage/2024/05/02/{REFRESH_2}.COMPLETE.json"


@pytest.mark.parametrize(
    ("table", "partition", "runs", "asked"),
    [
        (DAILY, "year=2013/month=2", [REFRESH_3], [("flights", 12, {"year": "2013", "month": "2"}, ())]),
        (DAILY, "year=2013/month=1", [REFRESH_1], [("flights", 10, {"year": "2013", "month": "1"}, ())]),
        (MONTHLY, "year=2013/month=1", [REFRESH_1], [("flights", 10, {"year": "2013", "month": "1"}, ())]),
        (
            DAILY,
            "year=2013",
            [REFRESH_3, REFRESH_1],
            [
                ("flights", 12, {"year": "2013", "month": "3"}, ()),
                ("flights", 12, {"year": "2013", "month": "2"}, ()),
                (
                    "flights",
                    10,
                    {"year": "2013"},
                    ({"year": "2013", "month": "3"}, {"year": "2013", "month": "2"}),
                ),
            ],
        ),
    ],
)
def test_each_partition_is_traced_to_the_run_that_wrote_it_last(
    table: str, partition: str, runs: list[str], asked: list[tuple[Any, ...]]
) -> None:
    lake = recorded()
    silver = Silver(lake)
    answer = trace(
        lake.lineage, lake.ledger, silver, f"gold.{table}", "mean_dep_delay", parse_partition(partition)
    )
    assert list(dict.fromkeys(run.run_id for run in answer.runs)) == runs
    assert [(q.dataset, q.snapshot_id, q.where, q.without) for q in silver.asked] == asked


def test_a_dimension_is_asked_for_whole() -> None:
    lake = recorded()
    silver = Silver(lake)
    answer = trace(
        lake.lineage, lake.ledger, silver, f"gold.{DAILY}", "carrier_name", {"year": "2013", "month": "1"}
    )
    assert silver.asked == [SourceQuery("airlines", 50, {}, (), "America/New_York")]
    assert answer.unknown == ("source-7",)


def test_a_silver_table_is_asked_as_it_is_now() -> None:
    lake = recorded()
    silver = Silver(lake)
    answer = trace(lake.lineage, lake.ledger, silver, "silver.flights", None, {"year": "2013", "month": "3"})
    assert silver.asked == [SourceQuery("flights", None, {"year": "2013", "month": "3"})]
    assert [run.run_id for run in answer.runs] == [PROMOTE]
    assert [one.version_id for one in answer.silver[0].objects] == ["version-3"]


def test_where_the_snapshot_has_expired_silver_is_asked_as_it_is_now_once() -> None:
    lake = recorded()
    silver, looked = Silver(lake), list[str]()

    def kept(dataset: str) -> list[int]:
        looked.append(dataset)
        return [12, 13]

    whole_year = {"year": "2013"}
    trace(lake.lineage, lake.ledger, silver, f"gold.{DAILY}", "mean_dep_delay", whole_year, kept)
    assert looked == ["flights"]
    assert [(q.snapshot_id, q.where) for q in silver.asked] == [
        (12, {"year": "2013", "month": "3"}),
        (12, {"year": "2013", "month": "2"}),
        (None, {"year": "2013"}),
    ]
    silver.asked.clear()
    trace(lake.lineage, lake.ledger, silver, f"gold.{DAILY}", "mean_dep_delay", {}, lambda _: [])
    assert len({repr(query) for query in silver.asked}) == len(silver.asked)
    assert {query.snapshot_id for query in silver.asked} == {None}


@pytest.mark.parametrize(
    ("table", "column"), [("gold.nothing", None), (f"gold.{DAILY}", "nothing"), ("silver.nothing", None)]
)
def test_a_question_about_what_is_not_there(table: str, column: str | None) -> None:
    lake = recorded()
    with pytest.raises(LineageUnknown):
        trace(lake.lineage, lake.ledger, Silver(lake), table, column)


@pytest.mark.parametrize("text", ["2013", "=x", "year=1/x", ""])
def test_a_partition_is_columns_and_values(text: str) -> None:
    with pytest.raises(ValueError, match="column=value"):
        parse_partition(text)


# --- The SQL ----------------------------------------------------------------------------------

TYPES = {
    "year": "int",
    "name": "string",
    "day": "date",
    "at": "timestamp",
    "local": "timestamp_ntz",
    "ok": "boolean",
}
SELECT = 'SELECT DISTINCT _source_version_id FROM "lake_dev_silver"."flights"'


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (SourceQuery("flights", None, {}), ""),
        (SourceQuery("flights", 5, {"year": "2013"}), ' FOR VERSION AS OF 5 WHERE ("year" = 2013)'),
        (SourceQuery("flights", None, {"name": "O'Hare", "ok": "true"}), ' WHERE ("name" = \'O\'\'Hare\' AND "ok" = true)'),
        (SourceQuery("flights", None, {"year": "null"}), ' WHERE ("year" IS NULL)'),
        (
            SourceQuery("flights", 5, {"year": "2013"}, ({"year": "2013", "name": "x"},)),
            ' FOR VERSION AS OF 5 WHERE ("year" = 2013) AND NOT coalesce(("name" = \'x\' AND "year" = 2013), false)',
        ),
        (SourceQuery("flights", None, {"day": "2013-02"}), " WHERE (\"day\" >= DATE '2013-02-01' AND \"day\" < DATE '2013-03-01')"),
        (SourceQuery("flights", None, {"day": "2013-02-28"}), " WHERE (\"day\" >= DATE '2013-02-28' AND \"day\" < DATE '2013-03-01')"),
        (
            SourceQuery("flights", None, {"local": "2013-02-28T23"}),
            " WHERE (\"local\" >= TIMESTAMP '2013-02-28 23:00:00' AND \"local\" < TIMESTAMP '2013-03-01 00:00:00')",
        ),
        (
            SourceQuery("flights", None, {"at": "2013-03-10"}, (), "America/New_York"),
            " WHERE (\"at\" >= TIMESTAMP '2013-03-10 05:00:00 UTC' AND \"at\" < TIMESTAMP '2013-03-11 04:00:00 UTC')",
        ),
    ],
)  # fmt: skip
def test_the_question_to_athena(query: SourceQuery, expected: str) -> None:
    assert source_sql(query, "lake_dev_silver", TYPES) == SELECT + expected


@pytest.mark.parametrize(
    "where", [{"nope": "1"}, {"year": "2013 OR 1=1"}, {"day": "yesterday"}, {'x" OR "1"="1': "1"}]
)
def test_what_is_no_value_of_a_column_is_not_asked(where: dict[str, str]) -> None:
    with pytest.raises(LineageUnknown):
        source_sql(SourceQuery("flights", None, where), "lake_dev_silver", TYPES)
