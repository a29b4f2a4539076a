"""What people's tools do with their roles: look around, follow queries, fetch answers and files.

Each person's role holds what this takes, and `test_access.py` shows what rows it leads to.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from tests.twin.account import Account
from tests.twin.lake import STACK, TwinLake
from tests.twin.test_access import role_arn


class Person(NamedTuple):
    """A role, and a question that it may ask: the layer, a table there, and the answer to ``sql``."""

    role: str
    layer: str
    table: str
    sql: str

    @property
    def workgroup(self) -> str:
        return f"{STACK}-{self.role}"


OF_GOLD = "SELECT count(*) > 0 AS there FROM carrier_punctuality_daily"
PEOPLE = [
    Person("engineer", "Gold", "carrier_punctuality_daily", OF_GOLD),
    Person("analyst", "Gold", "carrier_punctuality_daily", OF_GOLD),
    Person("steward", "Bronze", "flights", "SELECT count(*) > 0 AS there FROM flights WHERE year = 2013"),
    Person("auditor", "Audit", "trail", "SELECT 1 = 1 AS there"),
    Person("carrier-ua", "Gold", "aircraft_monthly", "SELECT count(*) > 0 AS there FROM aircraft_monthly"),
]
WITH_SAVED_QUERIES = ("engineer", "steward", "auditor")
AIRLINES = "airlines/airlines.csv"
READERS_OF_OPEN_GOLD = ("engineer", "analyst", "steward")
ENDLESS = (
    "SELECT count(*) FROM UNNEST(sequence(1, 10000)) AS a (x) CROSS JOIN UNNEST(sequence(1, 10000)) AS b (y) "
    "CROSS JOIN UNNEST(sequence(1, 10000)) AS c (z)"
)


def session(twin: dict[str, str], role: str) -> Account:
    return Account.administrator(twin).assume(role_arn(twin, role))


def tables(who: Account, database: str) -> list[str]:
    return [table["Name"] for table in who.client("glue").get_tables(DatabaseName=database)["TableList"]]


def open_gold(who: Account, lake: TwinLake) -> bytes:
    """The first file of an open table, found by listing its folder."""
    s3, bucket = who.client("s3"), lake.cli.name("GoldBucketName")
    found = s3.list_objects_v2(Bucket=bucket, Prefix="open/carrier_punctuality_daily/", MaxKeys=1)
    return bytes(s3.get_object(Bucket=bucket, Key=found["Contents"][0]["Key"])["Body"].read())


def bronze_file(who: Account, lake: TwinLake) -> str:
    """The first line of the airlines' file, found by listing."""
    s3, bucket = who.client("s3"), lake.cli.name("BronzeBucketName")
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix="airlines/")["Contents"]]
    assert AIRLINES in keys
    return str(s3.get_object(Bucket=bucket, Key=AIRLINES)["Body"].read().decode().partition("\n")[0])


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.role)
def test_people_look_around_in_the_catalog(lake: TwinLake, twin: dict[str, str], person: Person) -> None:
    who, database = session(twin, person.role), lake.cli.name(f"{person.layer}DatabaseName")
    glue = who.client("glue")
    assert database in [each["Name"] for each in glue.get_databases()["DatabaseList"]]
    assert glue.get_database(Name=database)["Database"]["Name"] == database
    assert person.table in tables(who, database)
    assert glue.get_table(DatabaseName=database, Name=person.table)["Table"]["Name"] == person.table


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.role)
def test_people_follow_their_queries_and_fetch_the_answers(
    lake: TwinLake, twin: dict[str, str], person: Person
) -> None:
    who = session(twin, person.role)
    athena, s3 = who.client("athena"), who.client("s3")
    group = athena.get_work_group(WorkGroup=person.workgroup)["WorkGroup"]
    place = group["Configuration"]["ResultConfiguration"]["OutputLocation"]
    bucket = lake.cli.name("ResultsBucketName")
    assert place == f"s3://{bucket}/groups/{person.role}/"
    answer = who.ask(person.sql, person.workgroup, lake.cli.name(f"{person.layer}DatabaseName"))
    assert (answer.refusal, answer.columns, answer.rows) == (None, ["there"], [["true"]])
    assert answer.query_id in athena.list_query_executions(WorkGroup=person.workgroup)["QueryExecutionIds"]
    [execution] = athena.batch_get_query_execution(QueryExecutionIds=[answer.query_id])["QueryExecutions"]
    assert (execution["Query"], execution["Status"]["State"]) == (person.sql, "SUCCEEDED")
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    text = s3.get_object(Bucket=bucket, Key=f"groups/{person.role}/{answer.query_id}.csv")["Body"].read()
    assert text.decode().split() == ['"there"', '"true"']


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.role)
def test_people_stop_what_takes_too_long(lake: TwinLake, twin: dict[str, str], person: Person) -> None:
    who = session(twin, person.role)
    athena = who.client("athena")
    database = lake.cli.name(f"{person.layer}DatabaseName")
    started = athena.start_query_execution(
        QueryString=ENDLESS, WorkGroup=person.workgroup, QueryExecutionContext={"Database": database}
    )["QueryExecutionId"]
    athena.stop_query_execution(QueryExecutionId=started)
    assert who.finished(started)["Status"]["State"] == "CANCELLED"


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.role)
def test_an_answer_that_is_given_up_while_it_is_written_leaves_nothing(
    lake: TwinLake, twin: dict[str, str], person: Person
) -> None:
    """Athena writes large answers in parts, as whoever asked."""
    s3, bucket = session(twin, person.role).client("s3"), lake.cli.name("ResultsBucketName")
    key = f"groups/{person.role}/given-up.csv"
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    assert uploads(lake, bucket, key) == [upload]
    s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
    assert uploads(lake, bucket, key) == []


def uploads(lake: TwinLake, bucket: str, key: str) -> list[str]:
    """The uploads of a key that have begun and not ended."""
    found: dict[str, Any] = lake.client("s3").list_multipart_uploads(Bucket=bucket, Prefix=key)
    return [each["UploadId"] for each in found.get("Uploads", [])]


@pytest.mark.parametrize("role", WITH_SAVED_QUERIES)
def test_people_find_the_saved_queries_of_their_workgroup(
    lake: TwinLake, twin: dict[str, str], role: str
) -> None:
    athena = session(twin, role).client("athena")
    ids = athena.list_named_queries(WorkGroup=f"{STACK}-{role}")["NamedQueryIds"]
    groups = {q["WorkGroup"] for q in athena.batch_get_named_query(NamedQueryIds=ids)["NamedQueries"]}
    assert groups == {f"{STACK}-{role}"}


@pytest.mark.parametrize("role", READERS_OF_OPEN_GOLD)
def test_whoever_reads_open_gold_finds_its_files(lake: TwinLake, twin: dict[str, str], role: str) -> None:
    assert open_gold(session(twin, role), lake)


def test_a_steward_looks_at_a_file_as_it_landed(lake: TwinLake, twin: dict[str, str]) -> None:
    assert bronze_file(session(twin, "steward"), lake) == "carrier,name"


def test_a_steward_sees_the_partitions_of_a_table_of_files(lake: TwinLake, twin: dict[str, str]) -> None:
    glue = session(twin, "steward").client("glue")
    found = glue.get_partitions(DatabaseName=lake.cli.name("BronzeDatabaseName"), TableName="flights")
    assert ["2013", "1"] in [each["Values"] for each in found["Partitions"]]
