"""Crawlers in the twin: what they find in files, as whom, and what they leave in the catalog."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from tests.twin.account import Account, policy, wait_for

BUCKET = "crawl-tests"
CRAWLER = "crawl-tests"
DATABASE = "crawl_tests"
READ = (["s3:GetObject", "s3:ListBucket"], [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"])
CATALOG = (["glue:GetTable", "glue:CreateTable", "glue:UpdateTable", "glue:BatchCreatePartition"], ["*"])


@pytest.fixture(scope="module")
def account(twin: dict[str, str]) -> Account:
    account = Account.administrator(twin)
    account.make_bucket(BUCKET)
    glue = account.client("glue")
    glue.create_database(DatabaseInput={"Name": DATABASE})
    role = account.make_glue_role("crawl-tests", READ, CATALOG)
    target = {"S3Targets": [{"Path": f"s3://{BUCKET}/"}]}
    glue.create_crawler(Name=CRAWLER, Role=role, DatabaseName=DATABASE, TablePrefix="raw_", Targets=target)
    return account


def crawl(account: Account, folder: str) -> dict[str, Any]:
    """Crawl one folder; the crawler afterwards."""
    glue = account.client("glue")
    path = {"Path": f"s3://{BUCKET}/{folder}/", "Exclusions": ["**/_*", "**/.*", "*.tmp"]}
    glue.update_crawler(Name=CRAWLER, Targets={"S3Targets": [path]})
    glue.start_crawler(Name=CRAWLER)

    def ready() -> dict[str, Any] | None:
        crawler = glue.get_crawler(Name=CRAWLER)["Crawler"]
        return crawler if crawler["State"] == "READY" else None

    return dict(wait_for(ready))


def table(account: Account, name: str) -> dict[str, Any]:
    return dict(account.client("glue").get_table(DatabaseName=DATABASE, Name=name)["Table"])


def columns(found: dict[str, Any]) -> dict[str, str]:
    return {column["Name"]: column["Type"] for column in found["StorageDescriptor"]["Columns"]}


def test_csv_with_a_header_in_partitions(account: Account) -> None:
    account.put(
        BUCKET,
        "trips/year=2013/month=1/a.csv",
        "Id,city,day,km\n1,Rome,2013-01-01,1.5\n2,Oslo,2013-01-02,2\n",
    )
    packed = gzip.compress(b"Id,city,day,km\n3,Bern,2013-02-01,3\n")
    account.put(BUCKET, "trips/year=2013/month=2/b.csv.gz", packed)
    account.put(BUCKET, "trips/year=2013/month=2/_SUCCESS", "x")
    account.put(BUCKET, "trips/half.tmp", "not,to,be,seen")
    assert crawl(account, "trips")["LastCrawl"]["Status"] == "SUCCEEDED"
    found = table(account, "raw_trips")
    # Dates are strings for Glue's csv classifier.
    assert columns(found) == {"id": "bigint", "city": "string", "day": "string", "km": "double"}
    assert [(key["Name"], key["Type"]) for key in found["PartitionKeys"]] == [
        ("year", "string"),
        ("month", "string"),
    ]
    parameters = found["Parameters"]
    assert parameters["classification"] == "csv"
    assert parameters["skip.header.line.count"] == "1"
    assert parameters["delimiter"] == ","
    assert parameters["UPDATED_BY_CRAWLER"] == CRAWLER
    partitions = account.client("glue").get_partitions(DatabaseName=DATABASE, TableName="raw_trips")[
        "Partitions"
    ]
    assert {tuple(p["Values"]): p["StorageDescriptor"]["Location"] for p in partitions} == {
        ("2013", "1"): f"s3://{BUCKET}/trips/year=2013/month=1/",
        ("2013", "2"): f"s3://{BUCKET}/trips/year=2013/month=2/",
    }


def test_a_new_file_adds_its_column_and_widens_types(account: Account) -> None:
    account.put(BUCKET, "grows/a.csv", "a;b\n1;2\n")
    crawl(account, "grows")
    account.put(BUCKET, "grows/b.csv", "a;b;c\n1.5;x;3\n")
    crawl(account, "grows")
    assert columns(table(account, "raw_grows")) == {"a": "double", "b": "string", "c": "bigint"}
    assert table(account, "raw_grows")["Parameters"]["delimiter"] == ";"


def test_a_csv_of_strings_alone_has_no_header_for_glue(account: Account) -> None:
    account.put(BUCKET, "names/a.csv", "name,city\nAda,Rome\n")
    crawl(account, "names")
    assert columns(table(account, "raw_names")) == {"col0": "string", "col1": "string"}
    assert "skip.header.line.count" not in table(account, "raw_names")["Parameters"]


def test_json_lines_in_unnamed_folders(account: Account) -> None:
    line = '{"id":1,"at":"2013-01-01","deep":{"x":[1,2]},"ok":true,"f":1.5}\n'
    account.put(BUCKET, "lines/2013/a.json", line)
    crawl(account, "lines")
    assert columns(table(account, "raw_lines")) == {
        "id": "bigint",
        "at": "string",
        "deep": "struct<x:array<bigint>>",
        "ok": "boolean",
        "f": "double",
    }
    assert [key["Name"] for key in table(account, "raw_lines")["PartitionKeys"]] == ["partition_0"]


def test_a_json_array_is_one_column(account: Account) -> None:
    account.put(BUCKET, "arrays/a.json", '[{"id":1},\n {"id":2,"b":"x"}]')
    crawl(account, "arrays")
    assert columns(table(account, "raw_arrays")) == {"array": "array<struct<id:bigint,b:string>>"}


def test_parquet(account: Account) -> None:
    held = io.BytesIO()
    schema = pa.schema([("n", pa.int32()), ("day", pa.date32()), ("price", pa.decimal128(8, 2))])
    pq.write_table(pa.table({"n": [1], "day": [0], "price": [None]}, schema=schema), held)
    account.put(BUCKET, "tables/a.parquet", held.getvalue())
    crawl(account, "tables")
    assert columns(table(account, "raw_tables")) == {"n": "int", "day": "date", "price": "decimal(8,2)"}


@pytest.mark.parametrize(
    ("folder", "body"), [("prose", "hello\nworld\n"), ("broken", b"\x1f\x8bgarbage"), ("void", "")]
)
def test_what_no_classifier_knows_makes_no_table(account: Account, folder: str, body: bytes | str) -> None:
    account.put(BUCKET, f"{folder}/a.bin", body)
    assert crawl(account, folder)["LastCrawl"]["Status"] == "SUCCEEDED"
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        table(account, f"raw_{folder}")


def test_mixed_formats_fail_the_crawl(account: Account) -> None:
    account.put(BUCKET, "mixed/a.csv", "a,b\n1,2\n")
    account.put(BUCKET, "mixed/b.json", '{"a":1}\n')
    last = crawl(account, "mixed")["LastCrawl"]
    assert (last["Status"], last["ErrorMessage"]) == ("FAILED", "Files of different formats: csv, json.")


def test_a_crawler_has_only_its_roles_permissions(account: Account) -> None:
    iam = account.client("iam")
    account.put(BUCKET, "secret/a.csv", "a,b\n1,2\n")
    try:
        iam.put_role_policy(RoleName="crawl-tests", PolicyName="all", PolicyDocument=policy(CATALOG))
        last = crawl(account, "secret")["LastCrawl"]
    finally:
        iam.put_role_policy(RoleName="crawl-tests", PolicyName="all", PolicyDocument=policy(READ, CATALOG))
    assert last["Status"] == "FAILED"
    assert "Access denied when reading" in last["ErrorMessage"]


def test_who_changes_a_crawler_passes_its_role_on(account: Account) -> None:
    """Service Authorization Reference, AWS Glue: UpdateCrawler depends on iam:PassRole."""
    role = account.make_glue_role("crawler-passed", (["s3:GetObject"], ["*"]))
    targets = {"S3Targets": [{"Path": f"s3://{BUCKET}/passed/"}]}
    account.client("glue").create_crawler(Name="passed", Role=role, DatabaseName=DATABASE, Targets=targets)
    change = (["glue:UpdateCrawler"], ["*"])
    without = account.make_user("crawler-changer", change).client("glue")
    with pytest.raises(ClientError, match="iam:PassRole"):
        without.update_crawler(Name="passed", Targets=targets)
    passing = (["iam:PassRole"], [role])
    account.make_user("crawler-passer", change, passing).client("glue").update_crawler(
        Name="passed", Targets=targets
    )


def test_one_crawl_at_a_time(account: Account) -> None:
    glue = account.client("glue")
    for number in range(20):
        account.put(BUCKET, f"busy/{number}.csv", "a,b\n1,2\n")
    glue.update_crawler(Name=CRAWLER, Targets={"S3Targets": [{"Path": f"s3://{BUCKET}/busy/"}]})
    glue.start_crawler(Name=CRAWLER)
    for call in (glue.start_crawler, glue.update_crawler, glue.delete_crawler):
        with pytest.raises(ClientError) as refused:
            call(Name=CRAWLER)
        assert refused.value.response["Error"]["Code"] == "CrawlerRunningException"
    wait_for(lambda: glue.get_crawler(Name=CRAWLER)["Crawler"]["State"] == "READY")
