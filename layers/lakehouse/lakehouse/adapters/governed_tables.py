"""Govern the tables that are there when a deployment changed what governs them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import boto3  # noqa: TID251 - this is where the custom resource gets its clients

from lakehouse.governing import OFF, Governor
from lakehouse.settings import Settings
from lakehouse.words import GovernancePlan

from .calls import aws_call

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient


def govern_tables(settings: Settings, plan: GovernancePlan) -> int:
    """Govern the tables that are there; returns how many. Nothing where IAM alone decides.

    Raises ``AwsError`` and ``NotGoverned``.
    """
    return 0 if settings.governed_roles == OFF else GovernedTables.connect(settings).govern(plan)


class GovernedTables:
    """Silver's and Gold's tables, with Lake Formation's word on them."""

    def __init__(self, glue: GlueClient, lake_formation: Any, settings: Settings) -> None:
        self._glue = glue
        self._lake_formation = lake_formation
        self._settings = settings

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """The tables as the Lambda function's own role sees them."""
        return cls(boto3.client("glue"), boto3.client("lakeformation"), settings)

    def govern(self, plan: GovernancePlan) -> int:
        """Put the plan's tags and filters on every table; returns how many.

        Raises ``AwsError`` and ``NotGoverned``.
        """
        governor = Governor(self._lake_formation, self._settings.governed_roles, plan, may_loosen=True)
        layers = {"silver": self._settings.silver_database, "gold": self._settings.gold_database}
        governed = 0
        for layer, database in layers.items():
            for table, columns in self._tables(database):
                with aws_call("lakeformation", "GovernTable"):
                    governor.govern(layer, database, table, columns)
                governed += 1
        return governed

    def _tables(self, database: str) -> Iterator[tuple[str, list[str]]]:
        """Names and columns. What left an Iceberg table stays in the catalog, marked as not current."""
        with aws_call("glue", "GetTables"):
            pages = list(self._glue.get_paginator("get_tables").paginate(DatabaseName=database))
        for table in (table for page in pages for table in page["TableList"]):
            columns = [
                column["Name"]
                for column in table.get("StorageDescriptor", {}).get("Columns", [])
                if column.get("Parameters", {}).get("iceberg.field.current") != "false"
            ]
            if columns:
                yield table["Name"], columns
