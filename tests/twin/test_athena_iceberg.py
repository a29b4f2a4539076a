"""Iceberg tables through Athena in the twin: snapshots, branches, changed schemas, metadata tables."""

from __future__ import annotations

import pytest

from tests.twin.account import Account
from tests.twin.test_athena_api import execute, reason, rows
from tests.twin.test_glue_jobs import CONF, ended, make_job, start

BUCKET = "athena-iceberg-tests"
TABLE = "athena_iceberg.trips"
SCRIPT = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
table = "glue_catalog.athena_iceberg.trips"
spark.sql(f"CREATE TABLE {table} (id BIGINT, at TIMESTAMP, local TIMESTAMP_NTZ, price DECIMAL(8,2), tags ARRAY<STRING>) "
          "USING iceberg PARTITIONED BY (days(at)) TBLPROPERTIES ('format-version'='2')")
spark.sql("CREATE TABLE glue_catalog.athena_iceberg.empty (id BIGINT, name STRING) USING iceberg")
spark.sql(f"INSERT INTO {table} VALUES "
          "(1, TIMESTAMP '2013-01-01 10:00:00Z', TIMESTAMP_NTZ '2013-01-01 05:00:00', 1.50, array('a', 'b')),"
          "(2, TIMESTAMP '2013-01-02 10:00:00Z', NULL, NULL, NULL),"
          "(4, TIMESTAMP '2013-01-02 12:00:00Z', NULL, 4.00, NULL)")
spark.sql(f"ALTER TABLE {table} ADD COLUMN city STRING")
spark.sql(f"INSERT INTO {table} VALUES (3, TIMESTAMP '2013-01-02 11:00:00Z', NULL, 3.00, NULL, 'Rome')")
spark.sql(f"ALTER TABLE {table} SET TBLPROPERTIES ('write.delete.mode'='merge-on-read')")
spark.sql(f"DELETE FROM {table} WHERE id = 2")
spark.sql(f"ALTER TABLE {table} CREATE BRANCH unpublished")
spark.sql(f"INSERT INTO {table}.branch_unpublished VALUES (99, NULL, NULL, NULL, NULL, 'nowhere')")
"""


@pytest.fixture(scope="module")
def account(twin: dict[str, str]) -> Account:
    account = Account.administrator(twin)
    account.make_bucket(BUCKET)
    account.put(BUCKET, "job.py", SCRIPT)
    account.client("glue").create_database(
        DatabaseInput={"Name": "athena_iceberg", "LocationUri": f"s3://{BUCKET}/tables"}
    )
    configuration = {"ResultConfiguration": {"OutputLocation": f"s3://{BUCKET}/results/"}}
    account.client("athena").create_work_group(Name="iceberg-tests", Configuration=configuration)
    everything = account.make_glue_role("iceberg-tests", (["s3:*", "glue:*"], ["*"]))
    make_job(account, "iceberg", everything)
    arguments = {"--scriptLocation": f"s3://{BUCKET}/job.py", "--extra-py-files": "", "--conf": CONF}
    run = ended(account, "iceberg", start(account, "iceberg", "none", Arguments=arguments))
    assert run["JobRunState"] == "SUCCEEDED", run
    return account


def ask(account: Account, sql: str) -> list[list[str | None]]:
    return rows(account, sql, "iceberg-tests")


def test_shows_main_with_deletes_and_without_branches(account: Account) -> None:
    assert ask(account, f"SELECT id, at, local, price, tags, city FROM {TABLE} ORDER BY id") == [
        ["1", "2013-01-01 10:00:00.000000 UTC", "2013-01-01 05:00:00.000000", "1.50", "[a, b]", None],
        ["3", "2013-01-02 11:00:00.000000 UTC", None, "3.00", None, "Rome"],
        ["4", "2013-01-02 12:00:00.000000 UTC", None, "4.00", None, None],
    ]


def test_an_empty_table_has_columns_and_no_rows(account: Account) -> None:
    assert ask(account, "SELECT count(*), max(name) FROM athena_iceberg.empty") == [["0", None]]
    assert ask(account, 'SELECT count(*) FROM athena_iceberg."empty$snapshots"') == [["0"]]


def test_travels_in_time(account: Account) -> None:
    sql = 'SELECT snapshot_id, committed_at, operation FROM athena_iceberg."trips$snapshots" ORDER BY committed_at'
    snapshots = ask(account, sql)
    assert [row[2] for row in snapshots] == ["append", "append", "delete", "append"]
    first, second = snapshots[0][0], snapshots[1][1]
    assert ask(account, f"SELECT count(*) FROM {TABLE} FOR VERSION AS OF {first}") == [["3"]]
    at = f"SELECT count(*) FROM {TABLE} FOR TIMESTAMP AS OF TIMESTAMP '{second}'"
    assert ask(account, at) == [["4"]]
    later = f"SELECT count(*) FROM {TABLE} FOR TIMESTAMP AS OF (current_timestamp + INTERVAL '1' DAY)"
    assert ask(account, later) == [["3"]]
    both = f"SELECT n.id FROM {TABLE} n JOIN {TABLE} FOR VERSION AS OF {first} o ON n.id = o.id ORDER BY 1"
    assert ask(account, both) == [["1"], ["4"]]


@pytest.mark.parametrize(
    ("clause", "message"),
    [
        ("VERSION AS OF 1", "INVALID_ARGUMENTS: Iceberg snapshot ID does not exists: 1"),
        ("TIMESTAMP AS OF TIMESTAMP '2000-01-01 00:00:00 UTC'", "INVALID_ARGUMENTS: No version history"),
        ("VERSION AS OF 'unpublished'", "NOT_SUPPORTED"),
    ],
)
def test_refuses_versions_that_are_none(account: Account, clause: str, message: str) -> None:
    execution = execute(account, f"SELECT id FROM {TABLE} FOR {clause}", "iceberg-tests")
    assert reason(execution).startswith(message)


def test_metadata_tables(account: Account) -> None:
    history = 'SELECT is_current_ancestor, count(*) FROM athena_iceberg."trips$history" GROUP BY is_current_ancestor'
    assert ask(account, history) == [["true", "3"]]
    refs = 'SELECT name, type FROM athena_iceberg."trips$refs" ORDER BY name'
    assert ask(account, refs) == [["main", "BRANCH"], ["unpublished", "BRANCH"]]
    files = 'SELECT content, file_format, sum(record_count) FROM athena_iceberg."trips$files" GROUP BY 1, 2 ORDER BY 1'
    assert ask(account, files) == [["0", "PARQUET", "4"], ["1", "PARQUET", "1"]]
    partitions = (
        'SELECT partition, record_count, file_count FROM athena_iceberg."trips$partitions" ORDER BY 2'
    )
    assert ask(account, partitions) == [["{at_day=2013-01-01}", "1", "1"], ["{at_day=2013-01-02}", "3", "2"]]
    assert ask(account, 'SELECT count(*) FROM athena_iceberg."trips$manifests"') == [["3"]]
    summary = "SELECT element_at(summary, 'added-records') FROM athena_iceberg.\"trips$snapshots\" ORDER BY committed_at LIMIT 1"
    assert ask(account, summary) == [["3"]]
