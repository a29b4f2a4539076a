"""What a deployment governs: the tables that are there, and nothing where IAM alone decides."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from lakehouse.adapters.governed_tables import GovernedTables, govern_tables
from lakehouse.errors import AwsError
from lakehouse.settings import Settings
from lakehouse.words import GovernancePlan

from . import fakes
from .test_governing import Client, plan

ROLES = "arn:aws:iam::123456789012:role/lake-dev-"
SETTINGS = fakes.settings().model_copy(update={"governed_roles": ROLES})
NOT_CURRENT = {"iceberg.field.current": "false"}


@pytest.fixture
def client() -> Client:
    client = Client()
    client.create_lf_tag(TagKey="lake-dev:classification", TagValues=["public", "internal", "restricted"])
    client.create_lf_tag(TagKey="lake-dev:domain", TagValues=["aviation"])
    return client


def govern(client: Client, settings: Settings, governance: GovernancePlan) -> int:
    """Govern Gold's one table, of which a column has left, beside an empty Silver."""
    glue = boto3.client("glue", region_name="us-east-1")
    for database in (settings.silver_database, settings.gold_database):
        glue.create_database(DatabaseInput={"Name": database})
    columns: list[Any] = [
        {"Name": "carrier", "Type": "string"},
        {"Name": "former", "Type": "string", "Parameters": NOT_CURRENT},
    ]
    glue.create_table(
        DatabaseName=settings.gold_database,
        TableInput={"Name": "fleet", "StorageDescriptor": {"Columns": columns}},
    )
    return GovernedTables(glue, client, settings).govern(governance)


@mock_aws
def test_the_tables_that_are_there_are_governed(client: Client) -> None:
    assert govern(client, SETTINGS, plan(carrier="public", former="public")) == 1
    columns = {key[2] for key in client.lake.assigned if len(key) == 3}
    assert columns == {"carrier"}
    assert client.lake.assigned[(SETTINGS.gold_database, "fleet", "carrier")] == {
        "lake-dev:classification": "public"
    }


@mock_aws
@pytest.mark.parametrize(("layer", "left"), [("silver", "public"), ("gold", "restricted")])
def test_a_deployment_opens_no_gold_column_whose_rows_are_those_of_the_model_before(
    client: Client, layer: str, left: str
) -> None:
    database = {"silver": SETTINGS.silver_database, "gold": SETTINGS.gold_database}[layer]
    tables = GovernedTables(of_tables(1, database), client, SETTINGS)
    for classification in ("restricted", "public"):
        one = plan(carrier=classification)
        [access] = one["tables"].values()
        tables.govern({**one, "tables": {f"{layer}.fleet": access}})
    assert client.lake.assigned[(database, "fleet", "carrier")] == {"lake-dev:classification": left}


class Busy:
    """Lake Formation that is busy with another change some times, or refuses a table."""

    def __init__(self, client: Client, times: int, refused: str = "") -> None:
        self.client, self.times, self.refused = client, times, refused

    def __getattr__(self, name: str) -> Any:
        def call(**request: Any) -> Any:
            if name == "add_lf_tags_to_resource" and self.times:
                self.times -= 1
                raise ClientError(
                    {"Error": {"Code": "ConcurrentModificationException"}}, "AddLFTagsToResource"
                )
            if self.refused and self.refused in str(request):
                raise ClientError({"Error": {"Code": "AccessDeniedException"}}, name)
            return getattr(self.client, name)(**request)

        return call


def of_tables(count: int, database_name: str = SETTINGS.gold_database) -> Any:
    """Glue with so many tables in a database: fleet, fleet1, ..."""
    glue = boto3.client("glue", region_name="us-east-1")
    for database in (SETTINGS.silver_database, SETTINGS.gold_database):
        glue.create_database(DatabaseInput={"Name": database})
    columns: list[Any] = [{"Name": "carrier", "Type": "string"}]
    for index in range(count):
        glue.create_table(
            DatabaseName=database_name,
            TableInput={"Name": f"fleet{index or ''}", "StorageDescriptor": {"Columns": columns}},
        )
    return glue


def of_fleets(count: int) -> GovernancePlan:
    one = plan(carrier="public")
    [access] = one["tables"].values()
    return {**one, "tables": {f"gold.fleet{index or ''}": access for index in range(count)}}


@mock_aws
@pytest.mark.parametrize(("times", "told"), [(4, False), (5, True)])
def test_what_lake_formation_is_too_busy_for_is_tried_again(client: Client, times: int, told: bool) -> None:
    waited: list[float] = []
    tables = GovernedTables(of_tables(1), Busy(client, times), SETTINGS, waited.append)
    if told:
        with pytest.raises(AwsError, match="ConcurrentModificationException"):
            tables.govern(of_fleets(1))
    else:
        assert tables.govern(of_fleets(1)) == 1
    assert waited == [1, 2, 3, 4]


@mock_aws
def test_tables_are_governed_side_by_side_and_all_of_them_though_one_is_refused(client: Client) -> None:
    tables = GovernedTables(of_tables(30), Busy(client, 0, "'fleet7'"), SETTINGS)
    with pytest.raises(AwsError, match="lakeformation GovernTable failed: AccessDeniedException"):
        tables.govern(of_fleets(30))
    governed = {key[1] for key in client.lake.assigned if len(key) == 3}
    assert governed == {f"fleet{index or ''}" for index in range(30)} - {"fleet7"}


@mock_aws
def test_a_database_that_cannot_be_listed_is_told() -> None:
    glue = boto3.client("glue", region_name="us-east-1")
    with pytest.raises(AwsError, match="glue GetTables failed: EntityNotFoundException"):
        GovernedTables(glue, Client(), SETTINGS).govern(plan(carrier="public"))


def test_nothing_is_governed_where_iam_alone_decides() -> None:
    assert govern_tables(fakes.settings(), plan(carrier="public")) == 0
