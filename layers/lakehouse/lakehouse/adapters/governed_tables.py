"""Govern the tables that are there when a deployment changed what governs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Self

import boto3  # noqa: TID251 - this is where the custom resource gets its clients

from lakehouse.errors import AwsError
from lakehouse.governing import OFF, Governor
from lakehouse.settings import Settings
from lakehouse.words import GovernancePlan

from .calls import aws_call

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient


THREADS: Final = 8
"""So many tables at once: each takes four calls and more, and the function's time is limited."""
ATTEMPTS: Final = 5
BUSY: Final = "ConcurrentModificationException"
"""Lake Formation's word for two changes at once, of one role's grants too. botocore does not try again."""


def govern_tables(settings: Settings, plan: GovernancePlan) -> int:
    """Govern the tables that are there; returns how many. Nothing where IAM alone decides.

    Raises ``AwsError`` and ``NotGoverned``.
    """
    return 0 if settings.governed_roles == OFF else GovernedTables.connect(settings).govern(plan)


class GovernedTables:
    """Silver's and Gold's tables, with Lake Formation's word on them."""

    def __init__(
        self,
        glue: GlueClient,
        lake_formation: Any,
        settings: Settings,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._glue = glue
        self._lake_formation = lake_formation
        self._settings = settings
        self._wait = wait

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """The tables as the Lambda function's own role sees them."""
        return cls(boto3.client("glue"), boto3.client("lakeformation"), settings)

    def govern(self, plan: GovernancePlan) -> int:
        """Put the plan's tags and filters on every table; returns how many.

        A Gold column whose tag is stricter than the plan's keeps it: the rows are those of the model before,
        until a refresh has made them anew and opens the column.
        Raises ``AwsError`` and ``NotGoverned``.
        """
        governor = Governor(self._lake_formation, self._settings.governed_roles, plan, deploys=True)
        layers = {"silver": self._settings.silver_database, "gold": self._settings.gold_database}
        found = [
            (layer, database, table, columns)
            for layer, database in layers.items()
            for table, columns in self._tables(database)
        ]
        with ThreadPoolExecutor(THREADS) as threads:
            turns = [threads.submit(self._govern, governor, *each) for each in found]
        # Every table has had its turn, whatever became of another.
        for turn in turns:
            turn.result()
        return len(turns)

    def _govern(self, governor: Governor, layer: str, database: str, table: str, columns: list[str]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with aws_call("lakeformation", "GovernTable"):
                    return governor.govern(layer, database, table, columns, loosen=layer == "silver")
            except AwsError as error:
                if error.code != BUSY or attempt == ATTEMPTS:
                    raise
                self._wait(attempt)
        return None

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
