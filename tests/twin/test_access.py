"""Who sees what of the sample lake: each question of ``governance/access.yaml``, asked as that role."""

from __future__ import annotations

from typing import Any

import pytest

from lakehouse.governance import AccessCase, read_access
from tests.twin.account import Account, Asked
from tests.twin.conftest import ROOT
from tests.twin.lake import STACK, TwinLake

CASES, _ = read_access(ROOT)
ROLES = sorted({case.role for case in CASES})


@pytest.fixture(scope="module")
def people(lake: TwinLake, twin: dict[str, str]) -> dict[str, Account]:
    """A session of each role."""
    administrator = Account.administrator(twin)
    return {role: administrator.assume(role_arn(twin, role)) for role in ROLES}


def role_arn(twin: dict[str, str], role: str) -> str:
    return f"arn:aws:iam::{twin['account']}:role/{STACK}-{role}"


def asked(lake: TwinLake, people: dict[str, Account], case: AccessCase) -> Asked:
    database = lake.cli.name(f"{case.layer.capitalize()}DatabaseName")
    return people[case.role].ask(case.query, f"{STACK}-{case.role}", database)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
def test_access(lake: TwinLake, people: dict[str, Account], case: AccessCase) -> None:
    answer = asked(lake, people, case)
    if case.refused is not None:
        assert case.refused in str(answer.refusal)
    else:
        assert answer.refusal is None
        assert answer.columns == case.columns
        assert answer.rows == case.rows


def test_nobody_reads_another_groups_results(lake: TwinLake, people: dict[str, Account]) -> None:
    own = people["steward"].ask(
        "SELECT tailnum FROM planes LIMIT 1", f"{STACK}-steward", lake.cli.name("SilverDatabaseName")
    )
    place = f"groups/steward/{own.query_id}.csv"
    bucket = lake.cli.name("ResultsBucketName")
    assert people["steward"].client("s3").get_object(Bucket=bucket, Key=place)["ContentLength"] > 0
    for role in ("analyst", "carrier-ua", "engineer", "auditor"):
        with pytest.raises(people[role].client("s3").exceptions.ClientError, match="AccessDenied"):
            people[role].client("s3").get_object(Bucket=bucket, Key=place)
        refused = people[role].ask("SELECT 1", f"{STACK}-steward", lake.cli.name("GoldDatabaseName"))
        assert refused.refusal == "AccessDeniedException", role


def test_nobody_reads_the_files_of_a_closed_table(lake: TwinLake, people: dict[str, Account]) -> None:
    table = lake.client("glue").get_table(
        DatabaseName=lake.cli.name("GoldDatabaseName"), Name="aircraft_monthly"
    )["Table"]
    bucket, _, key = table["Parameters"]["metadata_location"].removeprefix("s3://").partition("/")
    assert key.startswith("closed/aircraft_monthly/")
    for role in ROLES:
        with pytest.raises(people[role].client("s3").exceptions.ClientError, match="AccessDenied"):
            people[role].client("s3").get_object(Bucket=bucket, Key=key)


def test_every_classification_of_a_contract_is_in_the_catalog(lake: TwinLake) -> None:
    assert column_tags(lake, "silver", "planes") == {
        "tailnum": "restricted",
        "year": "public",
        "type": "public",
        "manufacturer": "public",
        "model": "public",
        "engines": "public",
        "seats": "public",
        "speed": "public",
        "engine": "public",
        "_source_version_id": "public",
        "_source_row": "public",
        "_row_hash": "restricted",
        "_run_id": "public",
        "_ingested_at": "public",
    }
    assert set(column_tags(lake, "silver", "flights__quarantine").values()) == {"restricted"}
    assert column_tags(lake, "gold", "aircraft_monthly")["tailnum"] == "restricted"
    assert column_tags(lake, "gold", "fleet_use")["aircraft"] == "public"


def column_tags(lake: TwinLake, layer: str, table: str) -> dict[str, str]:
    """The classification that was put on each column itself."""
    database = lake.cli.name(f"{layer.capitalize()}DatabaseName")
    found: dict[str, Any] = lake.client("glue").get_table(DatabaseName=database, Name=table)["Table"]
    columns = [column["Name"] for column in found["StorageDescriptor"]["Columns"]]
    resource = {"TableWithColumns": {"DatabaseName": database, "Name": table, "ColumnNames": columns}}
    answer = lake.client("lakeformation").get_resource_lf_tags(Resource=resource, ShowAssignedLFTags=True)
    return {each["Name"]: tag["TagValues"][0] for each in answer["LFTagsOnColumns"] for tag in each["LFTags"]}


def test_open_tables_lie_open_and_closed_ones_closed(lake: TwinLake) -> None:
    tables = lake.client("glue").get_tables(DatabaseName=lake.cli.name("GoldDatabaseName"))["TableList"]
    folders = {table["Name"]: table["StorageDescriptor"]["Location"].split("/")[3] for table in tables}
    assert folders["aircraft_monthly"] == "closed"
    assert {folder for name, folder in folders.items() if name != "aircraft_monthly"} == {"open"}
