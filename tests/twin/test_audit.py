"""Saved queries, reused answers, and who read what: asked in the twin as the roles that people assume."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any

import pytest

from tests.twin.account import Account
from tests.twin.lake import STACK, TwinLake
from tests.twin.test_access import role_arn

REUSE = {"ResultReuseByAgeConfiguration": {"Enabled": True}}


@pytest.fixture(scope="module")
def people(lake: TwinLake, twin: dict[str, str]) -> dict[str, Account]:
    """A session of each role."""
    roles = ("engineer", "analyst", "steward", "auditor")
    return {role: Account.administrator(twin).assume(role_arn(twin, role)) for role in roles}


def saved(account: Account, workgroup: str) -> dict[str, dict[str, Any]]:
    """The saved queries of a workgroup, by name."""
    athena = account.client("athena")
    ids = athena.list_named_queries(WorkGroup=workgroup)["NamedQueryIds"]
    return {q["Name"]: q for q in athena.batch_get_named_query(NamedQueryIds=ids)["NamedQueries"]}


def ask_saved(people: dict[str, Account], role: str, name: str) -> list[list[str | None]]:
    """The rows of a saved query, asked as its role in its workgroup."""
    query = saved(people[role], f"{STACK}-{role}")[name]
    answer = people[role].ask(query["QueryString"], f"{STACK}-{role}", query["Database"])
    assert answer.refusal is None
    return answer.rows


def test_a_saved_query_answers_in_its_workgroup_as_its_role(people: dict[str, Account]) -> None:
    fresh = ask_saved(people, "engineer", "freshness")
    assert sorted(str(row[0]) for row in fresh) == ["airlines", "airports", "flights", "planes", "weather"]
    assert all(int(str(row[2])) > 0 for row in fresh)
    broken = ask_saved(people, "steward", "quarantine")
    assert {len(row) for row in broken} <= {4}
    with pytest.raises(people["analyst"].client("athena").exceptions.ClientError, match="AccessDenied"):
        saved(people["analyst"], f"{STACK}-engineer")


@pytest.mark.parametrize(
    ("table", "reused"), [("carrier_punctuality_daily", True), ("aircraft_monthly", False)]
)
def test_an_answer_from_open_gold_is_reused_and_one_from_closed_gold_is_not(
    lake: TwinLake, people: dict[str, Account], table: str, reused: bool
) -> None:
    athena, database = people["analyst"].client("athena"), lake.cli.name("GoldDatabaseName")

    def ask() -> bool:
        started = athena.start_query_execution(
            QueryString=f"SELECT count(*) AS asked_twice FROM {table}",
            WorkGroup=f"{STACK}-analyst",
            QueryExecutionContext={"Database": database},
            ResultReuseConfiguration=REUSE,
        )
        execution = people["analyst"].finished(started["QueryExecutionId"])
        assert execution["Status"]["State"] == "SUCCEEDED"
        return bool(execution["Statistics"]["ResultReuseInformation"]["ReusedPreviousResult"])

    assert (ask(), ask()) == (False, reused)


# --- Who read what ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asked(lake: TwinLake, people: dict[str, Account]) -> dict[str, str]:
    """What an analyst asked for, and what came of it: an open table, a closed one, and one it may not see."""
    place = {"gold": lake.cli.name("GoldDatabaseName"), "silver": lake.cli.name("SilverDatabaseName")}
    outcomes: dict[str, str] = {}
    for layer, table in (
        ("gold", "carrier_punctuality_monthly"),
        ("gold", "aircraft_monthly"),
        ("silver", "weather"),
    ):
        answer = people["analyst"].ask(f"SELECT max(month) FROM {table}", f"{STACK}-analyst", place[layer])
        outcomes[table] = answer.refusal or "answered"
    return outcomes


def test_the_auditor_sees_who_read_a_table(people: dict[str, Account], asked: dict[str, str]) -> None:
    assert asked["carrier_punctuality_monthly"] == asked["aircraft_monthly"] == "answered"
    reads = {tuple(row[:3]) for row in ask_saved(people, "auditor", "who-read")}
    analyst = f"arn:aws:iam::000000000000:role/{STACK}-analyst"
    # By its own permissions, file by file; and with keys that Lake Formation handed out.
    assert ("gold", "carrier_punctuality_monthly", analyst) in reads
    assert ("gold", "aircraft_monthly", analyst) in reads
    assert ("silver", "weather", analyst) not in reads
    # The location's role reads for others only.
    assert not [who for _, _, who in reads if "LocationRole" in str(who)]


def test_the_auditor_sees_who_was_refused(people: dict[str, Account], asked: dict[str, str]) -> None:
    assert "Required Describe on weather" in asked["weather"]
    rows = ask_saved(people, "auditor", "who-was-refused")
    analyst = f"arn:aws:iam::000000000000:role/{STACK}-analyst"
    mine = [row for row in rows if row[1] == analyst and str(row[5]).endswith(".weather")]
    assert mine
    _, _, source, event, code, _, message = mine[0]
    assert (source, event, code) == ("glue.amazonaws.com", "GetTable", "AccessDeniedException")
    assert "Required Describe on weather" in str(message)


def test_the_auditor_sees_what_requests_cost(people: dict[str, Account], asked: dict[str, str]) -> None:
    rows = ask_saved(people, "auditor", "cost")
    analysts = [row for row in rows if row[2] == f"{STACK}-analyst" and "-gold-" in str(row[1])]
    assert analysts
    assert int(str(analysts[0][3])) > 0
    assert float(str(analysts[0][5])) > 0


def test_nobody_but_the_auditor_reads_the_audit_tables(lake: TwinLake, people: dict[str, Account]) -> None:
    for role in ("analyst", "engineer", "steward"):
        refused = people[role].ask(
            "SELECT 1 FROM trail", f"{STACK}-{role}", lake.cli.name("AuditDatabaseName")
        )
        assert "Insufficient permissions" in str(refused.refusal), role
        with pytest.raises(people[role].client("s3").exceptions.ClientError, match="AccessDenied"):
            people[role].client("s3").list_objects_v2(Bucket=lake.cli.name("AuditBucketName"))


def test_records_lie_encrypted_where_the_trail_says_and_hold_selected_calls_only(
    lake: TwinLake, people: dict[str, Account], asked: dict[str, str]
) -> None:
    s3, bucket = lake.client("s3"), lake.cli.name("AuditBucketName")
    trail = lake.client("cloudtrail").get_trail(Name=STACK)["Trail"]
    assert trail["S3BucketName"] == bucket
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    names = re.compile(
        r"AWSLogs/0{12}/CloudTrail/us-east-1/\d{4}/\d\d/\d\d/0{12}_CloudTrail_us-east-1_\d{8}T\d{4}Z_\w+\.json\.gz"
    )
    assert all(names.fullmatch(each["Key"]) for each in listed)
    newest = max(listed, key=lambda each: each["LastModified"])
    found = s3.get_object(Bucket=bucket, Key=newest["Key"])
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", trail["KmsKeyId"])
    records = json.loads(gzip.decompress(found["Body"].read()))["Records"]
    assert {record["eventSource"] for record in records} <= {
        f"{s}.amazonaws.com" for s in ("s3", "glue", "athena", "lakeformation")
    }
    touched = {
        record["requestParameters"]["bucketName"]
        for record in records
        if record["eventSource"].startswith("s3.")
    }
    assert not {
        name for name in touched if "-audit-" in name or "-logs-" in name or not name.startswith(STACK)
    }


def test_a_statements_text_is_not_in_the_trail(lake: TwinLake, people: dict[str, Account]) -> None:
    workgroup, database = f"{STACK}-auditor", lake.cli.name("AuditDatabaseName")
    sql = "SELECT count(*), count_if(requestparameters LIKE '%OMITTED%') FROM trail WHERE eventname = 'StartQueryExecution'"
    [[started, omitted]] = people["auditor"].ask(sql, workgroup, database).rows
    assert started == omitted != "0"
