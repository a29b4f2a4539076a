"""Statistics: Athena is told to plan with those of a table, and nothing else about the table changes."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from lakehouse_spark.statistics import GlueCatalog

TABLE = {
    "Name": "flights",
    "TableType": "EXTERNAL_TABLE",
    "StorageDescriptor": {
        "Columns": [{"Name": "tailnum", "Type": "string", "Parameters": {"iceberg.field.id": "1"}}],
        "Location": "s3://silver/flights",
    },
    "Parameters": {"table_type": "ICEBERG", "metadata_location": "s3://silver/flights/metadata/1.json"},
}


@pytest.fixture
def glue(aws: boto3.Session) -> Any:
    """A catalog with one Iceberg table."""
    client = aws.client("glue")
    client.create_database(DatabaseInput={"Name": "silver"})
    client.create_table(DatabaseName="silver", TableInput=TABLE)  # type: ignore[arg-type]
    return client


class Counted:
    """A client that notes what is written. Its tables are nobody's."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.written: list[dict[str, Any]] = []

    def get_table(self, **request: Any) -> Any:
        answer = self._client.get_table(**request)
        return {"Table": {**answer["Table"], "Owner": "", "IsRegisteredWithLakeFormation": False}}

    def update_table(self, **request: Any) -> Any:
        self.written.append(request)
        return self._client.update_table(**request)


def table(glue: Any) -> dict[str, Any]:
    return dict(glue.get_table(DatabaseName="silver", Name="flights")["Table"])


def test_athena_is_told_once_and_the_table_stays_as_it_is(glue: Any) -> None:
    client, first = Counted(glue), table(glue)
    for _ in range(2):
        GlueCatalog(client).use_statistics("glue_catalog.silver.flights")  # type: ignore[arg-type]
    found = table(glue)
    assert found["Parameters"] == {**TABLE["Parameters"], "use_iceberg_statistics": "true"}  # type: ignore[dict-item]
    assert found["StorageDescriptor"]["Columns"] == TABLE["StorageDescriptor"]["Columns"]  # type: ignore[index]
    assert found["TableType"] == "EXTERNAL_TABLE"
    [written] = client.written
    # A commit that came in between would be undone otherwise, since its metadata file is a parameter too. (The
    # catalog in memory does not look at it; Glue does.)
    assert (written["VersionId"], written["SkipArchive"]) == (first["VersionId"], True)
