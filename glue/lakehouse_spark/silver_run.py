"""What a promote run was asked to do, and what it knows while it does it: the ground its steps share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from pyspark.sql import SparkSession

from lakehouse import words
from lakehouse_spark.governed import NOT_GOVERNED, Governed, Governing, governed
from lakehouse_spark.objects import Head, Objects
from lakehouse_spark.parse import Reading, reading
from lakehouse_spark.rules import KEEP_OUT
from lakehouse_spark.silver_files import Files


@dataclass(frozen=True)
class Job:
    """What a run was asked to do. ``silver_root`` is the folder of the tables (None: the catalog decides)."""

    run_id: str
    dataset: str
    manifest_key: str
    plan_key: str
    report_key: str
    database: str
    silver_root: str | None
    as_of: datetime

    @property
    def silver(self) -> str:
        """Silver's table."""
        return f"{words.CATALOG}.{self.database}.{self.dataset}"

    @property
    def quarantine(self) -> str:
        """Quarantine's table."""
        return f"{words.CATALOG}.{self.database}.{words.quarantine_table(self.dataset)}"

    @property
    def branch(self) -> str:
        """The run's branch, in both tables."""
        return words.run_branch(self.run_id)


@dataclass
class Meter:
    """The step a run is in, for a failure; its seconds by step and its Spark actions, for the report."""

    step: str = "start"
    seconds: dict[str, float] = field(default_factory=dict)
    actions: int = 0

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Name the step and add up its seconds."""
        self.step, start = step, time.monotonic()
        yield
        self.seconds[step] = round(self.seconds.get(step, 0.0) + time.monotonic() - start, 3)


@dataclass
class Run:
    """One promote run.

    ``table``: name and type of Silver's columns, empty as long as there is no table. ``staged``: decompressed
    copies by ``_source_version_id``. ``group`` and ``replaces_table``: snapshot mode's choice.
    """

    spark: SparkSession
    job: Job
    bronze: Objects
    operations: Objects
    meter: Meter
    plan: words.DatasetPlan
    files: Files
    how: Reading
    governed: Governed = NOT_GOVERNED
    table: dict[str, str] = field(default_factory=dict)
    staged: dict[str, tuple[Objects, str, Head]] = field(default_factory=dict)
    group: dict[str, str] | None = None
    replaces_table: bool = False

    @property
    def resolves(self) -> bool:
        """Whether rows compete: by primary key or by a rule that holds for the whole table."""
        return bool(self.plan["primary_key"] or self.how.book.of_kind("unique"))

    @property
    def bad(self) -> str:
        """SQL: whether a parsed row is kept out of Silver."""
        return self.how.book.mask_sql(KEEP_OUT)

    def replaced_versions(self) -> list[str]:
        """``_source_version_id`` of the versions whose rows leave Silver. An upsert's rows stay as older
        changes.
        """
        if self.plan["mode"] == "upsert" or self.replaces_table:
            return []
        return sorted(old for entry in self.files.live_entries for old in entry["replaces"])


def start(
    spark: SparkSession,
    job: Job,
    bronze: Objects,
    operations: Objects,
    meter: Meter,
    governing: Governing | None,
) -> Run:
    """A run with its manifest and plan read."""
    manifest: words.Manifest = operations.get_json(job.manifest_key)
    plan: words.DatasetPlan = operations.get_json(job.plan_key)
    how = reading(plan, [])
    governance = NOT_GOVERNED
    if governing is not None:
        governance = governed(operations, manifest["assets_prefix"], governing)
    return Run(spark, job, bronze, operations, meter, plan, Files(manifest), how, governance)


def columns_of(spark: SparkSession, table: str) -> dict[str, str]:
    """Name and type of a table's columns; empty when there is no table."""
    if not spark.catalog.tableExists(table):
        return {}
    return {field.name: field.dataType.simpleString() for field in spark.table(table).schema.fields}
