"""Lake Formation in the twin: what a small template grants is what a query through Athena sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.twin.account import Account, Asked, policy, wait_for

BUCKET = "guarded"
DATABASE = "guarded"
RESULTS = (
    ["s3:GetBucketLocation", "s3:GetObject", "s3:PutObject"],
    [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/results/*"],
)
"""What a query's caller needs where its results go."""
STACK = "guarded"
KEY = "guarded:classification"
COLUMNS = {"id": "int", "city": "string", "salary": "int"}
DATA = "id,city,salary\n1,Rome,10\n2,Oslo,20\n3,Rome,30\n"
TEXT = "org.apache.hadoop.mapred.TextInputFormat"
REFUSED = "Insufficient Lake Formation permission(s): Required"


def catalog_template(account: str) -> dict[str, Any]:
    """A database whose tables nobody may see by default, born restricted, with a registered location."""
    admin = {"DataLakePrincipalIdentifier": f"arn:aws:iam::{account}:user/twin-admin"}
    reader = {"DataLakePrincipalIdentifier": f"arn:aws:iam::{account}:role/reader"}
    tag = {"TagKey": KEY, "TagValues": ["restricted"]}
    expression = [{"TagKey": KEY, "TagValues": ["public"]}]
    return {
        "Settings": made("DataLakeSettings", Admins=[admin], MutationType="APPEND"),
        "Database": {
            "Type": "AWS::Glue::Database",
            "Properties": {
                "CatalogId": account,
                "DatabaseInput": {"Name": DATABASE, "CreateTableDefaultPermissions": []},
            },
        },
        "Tag": made("Tag", "Settings", TagKey=KEY, TagValues=["public", "restricted"]),
        "Born": made(
            "TagAssociation", ["Tag", "Database"], Resource={"Database": {"Name": DATABASE}}, LFTags=[tag]
        ),
        "Location": made(
            "Resource",
            "Settings",
            ResourceArn=f"arn:aws:s3:::{BUCKET}/closed",
            RoleArn=f"arn:aws:iam::{account}:role/location",
            UseServiceLinkedRole=False,
        ),
        "Grant": made(
            "PrincipalPermissions",
            "Born",
            Principal=reader,
            Resource={"LFTagPolicy": {"ResourceType": "TABLE", "Expression": expression}},
            Permissions=["SELECT"],
            PermissionsWithGrantOption=[],
        ),
    }


def made(kind: str, after: str | list[str] = "", **properties: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"Type": f"AWS::LakeFormation::{kind}", "Properties": properties}
    return {**body, "DependsOn": after} if after else body


@pytest.fixture(scope="module")
def account(twin: dict[str, str]) -> Iterator[Account]:
    account = Account.administrator(twin)
    number = twin["account"]
    account.make_bucket(BUCKET)
    account.client("athena").create_work_group(
        Name=BUCKET,
        Configuration={"ResultConfiguration": {"OutputLocation": f"s3://{BUCKET}/results/"}},
    )
    role(account, "location", {"Service": "lakeformation.amazonaws.com"}, (["s3:*"], ["*"]))
    catalog = [
        "glue:GetTable",
        "glue:GetTables",
        "glue:GetDatabase",
        "glue:GetDatabases",
        "glue:GetPartitions",
    ]
    own = (["athena:*", *catalog], ["*"]), RESULTS
    people = {"AWS": f"arn:aws:iam::{number}:root"}
    role(account, "reader", people, *own, (["lakeformation:GetDataAccess"], ["*"]))
    role(account, "barred", people, *own)
    deploy(account, catalog_template(number))
    for name in ("closed", "open"):
        account.put(BUCKET, f"{name}/people/a.csv", DATA)
        account.client("glue").create_table(DatabaseName=DATABASE, TableInput=table(name))
    yield account
    account.client("cloudformation").delete_stack(StackName=STACK)


def table(folder: str) -> dict[str, Any]:
    return {
        "Name": f"people_{folder}",
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"skip.header.line.count": "1"},
        "PartitionKeys": [],
        "StorageDescriptor": {
            "Columns": [{"Name": name, "Type": kind} for name, kind in COLUMNS.items()],
            "Location": f"s3://{BUCKET}/{folder}/people/",
            "InputFormat": TEXT,
            "SerdeInfo": {
                "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
                "Parameters": {"field.delim": ","},
            },
        },
    }


def role(
    account: Account, name: str, trusted: dict[str, str], *statements: tuple[list[str], list[str]]
) -> None:
    trust = {"Effect": "Allow", "Principal": trusted, "Action": "sts:AssumeRole"}
    iam = account.client("iam")
    iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy(*statements))


def deploy(account: Account, resources: dict[str, Any], name: str = STACK) -> str:
    """The state a stack ends in."""
    client = account.client("cloudformation")
    client.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))

    def ended() -> str | None:
        status = str(client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
        return None if status.endswith("IN_PROGRESS") else status

    return str(wait_for(ended))


def ask(account: Account, name: str, sql: str) -> Asked:
    arn = f"arn:aws:iam::{account.endpoint['account']}:role/{name}"
    return account.assume(arn).ask(sql, BUCKET, DATABASE)


def opened(account: Account, name: str, *columns: str) -> None:
    resource = {"TableWithColumns": {"DatabaseName": DATABASE, "Name": name, "ColumnNames": list(columns)}}
    answer = account.client("lakeformation").add_lf_tags_to_resource(
        Resource=resource, LFTags=[{"TagKey": KEY, "TagValues": ["public"]}]
    )
    assert answer["Failures"] == []


def test_a_table_is_born_closed_and_opened_column_by_column(account: Account) -> None:
    refused = ask(account, "reader", "SELECT id FROM people_closed").refusal
    assert refused == (
        "PERMISSION_DENIED: Insufficient permissions to execute the query. "
        f"{REFUSED} Describe on people_closed"
    )
    opened(account, "people_closed", "id", "city")
    seen = ask(account, "reader", "SELECT * FROM people_closed ORDER BY id")
    assert seen == Asked(seen.query_id, None, ["id", "city"], [["1", "Rome"], ["2", "Oslo"], ["3", "Rome"]])
    closed = ask(account, "reader", "SELECT salary FROM people_closed").refusal
    assert closed == "COLUMN_NOT_FOUND: Column 'salary' cannot be resolved"
    assert ask(account, "reader", "SHOW TABLES").rows == [["people_closed"]]
    assert ask(account, "reader", "DESCRIBE people_closed").rows == [
        ["id", "int", ""],
        ["city", "string", ""],
    ]


def test_files_of_a_registered_location_are_read_by_its_role_for_who_may_ask(account: Account) -> None:
    """The reader has no permission on the files, and needs none; the barred one may not ask for the keys."""
    opened(account, "people_closed", "id", "city")
    grant_all(account, "barred", "people_closed")
    refused = str(ask(account, "barred", "SELECT id FROM people_closed").refusal)
    assert refused.startswith("PERMISSION_DENIED: Insufficient permissions to execute the query.")
    assert "lakeformation:GetDataAccess" in refused


def test_files_elsewhere_are_read_with_the_callers_own_permissions(account: Account) -> None:
    opened(account, "people_open", "id")
    refused = str(ask(account, "reader", "SELECT id FROM people_open").refusal)
    assert refused.startswith("PERMISSION_DENIED: Access denied when reading s3://guarded/open/people")


def test_a_filter_shows_its_rows_and_a_tag_grant_beside_it_all(account: Account) -> None:
    lake_formation = account.client("lakeformation")
    role(
        account,
        "filtered",
        {"AWS": f"arn:aws:iam::{account.endpoint['account']}:root"},
        (["athena:*", "glue:GetDatabase", "glue:GetTable", "lakeformation:GetDataAccess"], ["*"]),
        RESULTS,
    )
    named = {"DatabaseName": DATABASE, "TableName": "people_closed", "Name": "romans"}
    data = {
        "TableCatalogId": account.endpoint["account"],
        **named,
        "RowFilter": {"FilterExpression": "city = 'Rome'"},
        "ColumnNames": ["id", "salary"],
    }
    lake_formation.create_data_cells_filter(TableData=data)
    with pytest.raises(ClientError, match="AlreadyExistsException"):
        lake_formation.create_data_cells_filter(TableData=data)
    grant(account, "filtered", {"DataCellsFilter": {"TableCatalogId": account.endpoint["account"], **named}})
    seen = ask(account, "filtered", "SELECT * FROM people_closed ORDER BY id")
    assert (seen.columns, seen.rows) == (["id", "salary"], [["1", "10"], ["3", "30"]])
    assert ask(account, "filtered", "SELECT count(*) FROM people_closed").rows == [["2"]]
    assert ask(account, "filtered", "SELECT id FROM people_closed WHERE id = 2").rows == []

    grant(account, "filtered", {"TableWithColumns": {**place("people_closed"), "ColumnNames": ["id"]}})
    seen = ask(account, "filtered", "SELECT id, salary FROM people_closed ORDER BY id")
    assert seen.rows == [["1", "10"], ["2", None], ["3", "30"]]


def test_who_may_select_by_name_sees_it_until_the_grant_is_taken_back(account: Account) -> None:
    grant_all(account, "reader", "people_closed")
    assert ask(account, "reader", "SELECT max(salary) FROM people_closed").rows == [["30"]]
    account.client("lakeformation").revoke_permissions(**granted(account, "reader", by_name("people_closed")))
    assert ask(account, "reader", "SELECT max(salary) FROM people_closed").refusal


def test_a_table_made_anew_is_closed_again(account: Account) -> None:
    glue = account.client("glue")
    glue.create_table(DatabaseName=DATABASE, TableInput={**table("closed"), "Name": "again"})
    opened(account, "again", "id")
    assert ask(account, "reader", "SELECT count(id) FROM again").rows == [["3"]]
    glue.delete_table(DatabaseName=DATABASE, Name="again")
    glue.create_table(DatabaseName=DATABASE, TableInput={**table("closed"), "Name": "again"})
    assert REFUSED in str(ask(account, "reader", "SELECT count(id) FROM again").refusal)


def test_who_may_make_no_table_is_not_told_that_one_is_not_there(account: Account) -> None:
    reader = account.assume(f"arn:aws:iam::{account.endpoint['account']}:role/reader").client("glue")
    with pytest.raises(ClientError, match=r"AccessDeniedException.* on nowhere"):
        reader.get_table(DatabaseName=DATABASE, Name="nowhere")
    making = {
        **granted(account, "reader", {"Database": {"Name": DATABASE}}),
        "Permissions": ["CREATE_TABLE"],
    }
    account.client("lakeformation").grant_permissions(**making)
    try:
        with pytest.raises(ClientError, match="EntityNotFoundException"):
            reader.get_table(DatabaseName=DATABASE, Name="nowhere")
    finally:
        account.client("lakeformation").revoke_permissions(**making)
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        account.client("glue").get_table(DatabaseName=DATABASE, Name="nowhere")


def test_grants_of_a_stack_need_a_data_lake_administrator(account: Account) -> None:
    lake_formation = account.client("lakeformation")
    settings = lake_formation.get_data_lake_settings()["DataLakeSettings"]
    lake_formation.put_data_lake_settings(DataLakeSettings={"DataLakeAdmins": []})
    try:
        tag = made("Tag", TagKey="nobodys", TagValues=["a"])
        assert deploy(account, {"Tag": tag}, "nobodys") == "ROLLBACK_COMPLETE"
    finally:
        lake_formation.put_data_lake_settings(DataLakeSettings=settings)
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        lake_formation.get_lf_tag(TagKey="nobodys")


def test_settings_that_would_replace_the_administrators_are_refused(account: Account) -> None:
    other = {"DataLakePrincipalIdentifier": "arn:aws:iam::000000000000:role/other"}
    replacing = made("DataLakeSettings", Admins=[other], MutationType="REPLACE")
    assert deploy(account, {"Settings": replacing}, "replacing") == "ROLLBACK_COMPLETE"


def test_a_tag_of_an_unknown_value_is_a_failure(account: Account) -> None:
    answer = account.client("lakeformation").add_lf_tags_to_resource(
        Resource={"Table": place("people_open")}, LFTags=[{"TagKey": KEY, "TagValues": ["secret"]}]
    )
    assert [each["Error"]["ErrorCode"] for each in answer["Failures"]] == ["EntityNotFoundException"]


def place(name: str) -> dict[str, str]:
    return {"DatabaseName": DATABASE, "Name": name}


def by_name(name: str) -> dict[str, Any]:
    return {"Table": place(name)}


def granted(account: Account, to: str, resource: dict[str, Any]) -> dict[str, Any]:
    principal = {"DataLakePrincipalIdentifier": f"arn:aws:iam::{account.endpoint['account']}:role/{to}"}
    return {"Principal": principal, "Resource": resource, "Permissions": ["SELECT"]}


def grant(account: Account, to: str, resource: dict[str, Any]) -> None:
    account.client("lakeformation").grant_permissions(**granted(account, to, resource))


def grant_all(account: Account, to: str, name: str) -> None:
    grant(account, to, by_name(name))
