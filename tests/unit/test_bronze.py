"""The Bronze table: made from a contract, its partitions from paths, its plan from a crawl."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import boto3
import pytest
from moto import mock_aws

from lakehouse.adapters.bronze_catalog import GlueBronze, S3Texts
from lakehouse.bronze import Landing, ensure_table, partition_keys, register, table_input
from lakehouse.contracts import compile_contract
from lakehouse.errors import AwsError, SchemaNotFound
from lakehouse.payloads import ClaimResult
from lakehouse.words import DatasetPlan

from . import sample_lake
from .fakes import Faults, MemoryOperations
from .test_contracts import column, contract, custom

BUCKET = "lake-dev-bronze"


class FakeCatalog:
    """Tables by name, partitions by values."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Any]] = {}
        self.partitions: dict[tuple[str, ...], str] = {}
        self.calls: list[str] = []

    def table(self, name: str) -> dict[str, Any] | None:
        return self.tables.get(name)

    def create(self, table: dict[str, Any]) -> None:
        self.calls.append("create")
        self.tables[table["Name"]] = table

    def update(self, table: dict[str, Any]) -> None:
        self.calls.append("update")
        self.tables[table["Name"]] = table

    def delete(self, name: str) -> None:
        self.calls.append("delete")
        del self.tables[name]

    def add_partitions(self, name: str, partitions: Sequence[dict[str, Any]]) -> None:
        for partition in partitions:
            self.partitions[tuple(partition["Values"])] = partition["StorageDescriptor"]["Location"]


class FakeTexts:
    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def put_text(self, key: str, text: str) -> None:
        self.texts[key] = text


def landing() -> tuple[Landing, MemoryOperations, FakeTexts, FakeCatalog]:
    operations, texts, catalog = MemoryOperations(Faults()), FakeTexts(), FakeCatalog()
    return Landing(operations, texts, catalog, BUCKET), operations, texts, catalog


def claim(dataset: str, plan: str) -> ClaimResult:
    return ClaimResult(
        run_id=f"{dataset}-20240501T070000000Z-0123abcd",
        writer=f"promote:{dataset}",
        dataset=dataset,
        claimed=1,
        size_bytes=1,
        manifest="runs/manifest.json",
        report="runs/report.json",
        plan=plan,
        assets_prefix="assets/abc/",
        crawl=not plan,
        workers=2,
        timeout_minutes=20,
    )


def flights() -> DatasetPlan:
    return sample_lake.definitions().plans["flights"]


def manifest(*keys: str) -> dict[str, Any]:
    return {"files": [{"key": key} for key in keys]}


# --- With a contract --------------------------------------------------------------------------


def test_the_table_of_flights() -> None:
    table = table_input(flights(), BUCKET)
    storage = table["StorageDescriptor"]
    assert table["PartitionKeys"] == [{"Name": "year", "Type": "bigint"}, {"Name": "month", "Type": "bigint"}]
    assert storage["Location"] == "s3://lake-dev-bronze/flights/"
    assert [c["Name"] for c in storage["Columns"]][:3] == ["day", "dep_time", "sched_dep_time"]
    assert {c["Type"] for c in storage["Columns"]} == {"string"}
    assert storage["SerdeInfo"] == {
        "SerializationLibrary": "org.apache.hadoop.hive.serde2.OpenCSVSerde",
        "Parameters": {"separatorChar": ",", "quoteChar": '"', "escapeChar": "\x7f"},
    }
    assert table["Parameters"]["skip.header.line.count"] == "1"


@pytest.mark.parametrize(
    ("options", "serde", "parameters"),
    [
        (
            {"columnOrder": "fixed", "quote": "", "delimiter": ";"},
            "LazySimpleSerDe",
            {"field.delim": ";", "serialization.format": ";"},
        ),
        (
            {"columnOrder": "fixed", "escape": "\\"},
            "OpenCSVSerde",
            {"separatorChar": ",", "quoteChar": '"', "escapeChar": "\\"},
        ),
        ({"format": "jsonl"}, "JsonSerDe", {"case.insensitive": "FALSE", "mapping.b": "B b"}),
        ({"format": "parquet"}, "ParquetHiveSerDe", {}),
    ],
)
def test_each_format_has_its_reader(options: dict[str, Any], serde: str, parameters: dict[str, str]) -> None:
    columns = [column("a", "integer"), column("b", physicalName="B b")]
    plan = compile_contract(contract(columns, **options), "contracts/orders.yaml")
    info = table_input(plan, BUCKET)["StorageDescriptor"]["SerdeInfo"]
    assert info["SerializationLibrary"].rpartition(".")[2] == serde
    assert info["Parameters"] == parameters


def test_parquet_keeps_its_types() -> None:
    columns = [column("a", "integer"), column("t", "timestamp", physicalType="timestamp_ntz")]
    plan = compile_contract(contract(columns, format="parquet"), "contracts/orders.yaml")
    types = [c["Type"] for c in table_input(plan, BUCKET)["StorageDescriptor"]["Columns"]]
    assert types == ["bigint", "timestamp"]


def test_a_path_value_with_the_name_of_a_column_is_told_apart() -> None:
    text = contract([column("day"), column("d", physicalName="shop", customProperties=custom(source="path"))],
                    pathPattern="day={day}/shop={shop}/*")  # fmt: skip
    plan = compile_contract(text, "contracts/orders.yaml")
    assert partition_keys(plan) == {"day": ("path_day", "string"), "shop": ("d", "string")}


def test_registering_makes_the_table_and_the_partitions_once() -> None:
    lake, operations, _, catalog = landing()
    operations.create("assets/abc/plans/flights.json", flights())
    keys = (
        "flights/year=2013/month=1/a.csv",
        "flights/year=2013/month=1/b.csv",
        "flights/year=2013/month=2/a.csv",
        "flights/odd.csv",
    )
    operations.create("runs/manifest.json", manifest(*keys))
    request = claim("flights", "assets/abc/plans/flights.json")
    assert register(lake, request) == request
    assert register(lake, request) == request
    assert catalog.calls == ["create"]
    assert catalog.partitions == {
        ("2013", "1"): "s3://lake-dev-bronze/flights/year=2013/month=1/",
        ("2013", "2"): "s3://lake-dev-bronze/flights/year=2013/month=2/",
    }


def test_a_changed_contract_changes_the_table_and_other_partition_keys_make_it_anew() -> None:
    catalog = FakeCatalog()
    plan = flights()
    ensure_table(plan, catalog, BUCKET)
    ensure_table({**plan, "hash": "other"}, catalog, BUCKET)
    ensure_table({**plan, "hash": "third", "path_pattern": "year={year:int}/*"}, catalog, BUCKET)
    assert catalog.calls == ["create", "update", "delete", "create"]


def test_no_table_where_athena_would_misread_the_files() -> None:
    lake, operations, _, catalog = landing()
    operations.create("plan", compile_contract(contract(), "contracts/orders.yaml"))
    operations.create("runs/manifest.json", manifest("orders/a.csv"))
    register(lake, claim("orders", "plan"))
    assert catalog.tables == {}


# --- Without a contract -----------------------------------------------------------------------


def crawled(**more: Any) -> dict[str, Any]:
    return {
        "Name": "sensors",
        "StorageDescriptor": {
            "Columns": [{"Name": "id", "Type": "bigint"}],
            "Location": "s3://lake-dev-bronze/sensors/",
        },
        "PartitionKeys": [{"Name": "day", "Type": "string"}],
        "Parameters": {"classification": "csv", "skip.header.line.count": "1"},
        **more,
    }


def test_a_crawled_table_gives_a_plan_and_a_draft_contract() -> None:
    lake, operations, texts, catalog = landing()
    catalog.tables["sensors"] = crawled()
    answer = register(lake, claim("sensors", ""))
    assert answer.plan == "drafts/sensors/plan.json"
    plan = operations.read(answer.plan)
    assert plan is not None
    assert plan["columns"][0]["name"] == "id"
    compile_contract(texts.texts["drafts/sensors/contract.yaml"], "contracts/sensors.yaml")
    assert catalog.calls == []


def test_later_files_of_a_crawled_dataset_get_their_partitions() -> None:
    lake, operations, _, catalog = landing()
    catalog.tables["sensors"] = crawled()
    plan = register(lake, claim("sensors", "")).plan
    operations.create(
        "runs/manifest.json", manifest("sensors/day=2024-05-01/x.csv", "sensors/day=2024-05-02/deep/x.csv")
    )
    register(lake, claim("sensors", plan))
    assert catalog.partitions == {
        ("2024-05-01",): "s3://lake-dev-bronze/sensors/day=2024-05-01/",
        ("2024-05-02",): "s3://lake-dev-bronze/sensors/day=2024-05-02/",
    }
    assert catalog.calls == []


def test_no_table_after_a_crawl_blames_the_files() -> None:
    lake, *_ = landing()
    with pytest.raises(SchemaNotFound, match="found no table in the files of 'sensors'"):
        register(lake, claim("sensors", ""))


# --- The adapter ------------------------------------------------------------------------------


@pytest.fixture
def glue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("glue", region_name="us-east-1")
        client.create_database(DatabaseInput={"Name": "lake_dev_bronze"})
        yield client


def test_the_adapter_speaks_to_glue(glue: Any) -> None:
    catalog = GlueBronze(glue, "lake_dev_bronze")
    assert catalog.table("flights") is None
    plan = flights()
    ensure_table(plan, catalog, BUCKET)
    ensure_table({**plan, "hash": "other"}, catalog, BUCKET)
    table = catalog.table("flights")
    assert table is not None
    assert table["Parameters"]["lakehouse.plan-hash"] == "other"
    many = [{"Values": ["2013", str(n)], "StorageDescriptor": table["StorageDescriptor"]} for n in range(150)]
    catalog.add_partitions("flights", many)
    catalog.add_partitions("flights", many[:3])
    pages = glue.get_paginator("get_partitions").paginate(DatabaseName="lake_dev_bronze", TableName="flights")
    assert sum(len(page["Partitions"]) for page in pages) == 150
    catalog.create(table_input(plan, BUCKET))
    catalog.delete("flights")
    assert catalog.table("flights") is None
    with pytest.raises(AwsError, match="glue UpdateTable failed: EntityNotFoundException"):
        catalog.update(table_input(plan, BUCKET))


def test_a_text_is_laid_down(glue: Any) -> None:
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="ops")
    S3Texts(client, "ops").put_text("drafts/x/contract.yaml", "ä: 1\n")
    assert client.get_object(Bucket="ops", Key="drafts/x/contract.yaml")["Body"].read().decode() == "ä: 1\n"
