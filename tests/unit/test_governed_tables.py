"""What a deployment governs: the tables that are there, and nothing where IAM alone decides."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
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
def test_a_database_that_cannot_be_listed_is_told() -> None:
    glue = boto3.client("glue", region_name="us-east-1")
    with pytest.raises(AwsError, match="glue GetTables failed: EntityNotFoundException"):
        GovernedTables(glue, Client(), SETTINGS).govern(plan(carrier="public"))


def test_nothing_is_governed_where_iam_alone_decides() -> None:
    assert govern_tables(fakes.settings(), plan(carrier="public")) == 0
