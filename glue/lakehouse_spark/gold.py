"""Refresh the Gold models whose inputs changed: decide, recompute what changed, check, publish, report.

The inputs' snapshots are pinned when the run first needs them, and every model of the run reads the same ones. A model
that fails stops its dependents only; the run then fails as a whole. ``report.json`` is written anew before each model
is published, so that whatever is published is also reported.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Window
from pyspark.sql import functions as F  # noqa: N812 - Spark's own convention

from lakehouse import words
from lakehouse_spark import gold_changes, gold_partitions, gold_table, publish
from lakehouse_spark.errors import JobError, ModelBroken, RefreshFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.words import GoldManifest, GoldReport, ModelInput, ModelPlan, TableOutcome
    from lakehouse_spark.gold_partitions import Axis, Key

KEYS_BROKEN: Final = "the model's keys are null or not unique"
MAPPING_BROKEN: Final = "the model made rows outside the partitions its mapping promises"
BYTES_PER_TASK: Final = 64 * 1024 * 1024
COPIES: Final = "__copies"


@dataclass(frozen=True)
class Lake:
    """Where the tables are. ``gold_location`` is ``s3://<gold bucket>``, or None where the catalog decides."""

    silver_database: str
    gold_database: str
    gold_location: str | None = None

    def table(self, layer: str, name: str) -> str:
        """The full name in Spark."""
        database = self.gold_database if layer == "gold" else self.silver_database
        return f"{words.CATALOG}.{database}.{name}"

    def location(self, model: str) -> str | None:
        """Where a new Gold table lies."""
        return None if self.gold_location is None else f"{self.gold_location}/{model}"


@dataclass(frozen=True)
class Scope:
    """What of a model is to be recomputed: the partitions ``keys`` along ``axes``; everything when ``axes`` is None."""

    axes: list[Axis] | None
    keys: set[Key]

    @property
    def everything(self) -> bool:
        """Whether the whole table is made anew."""
        return self.axes is None


EVERYTHING: Final = Scope(None, set())


class Waiting(Exception):  # noqa: N818 - no error: the model's turn has not come
    """A model cannot be refreshed yet: an input table or column has not landed."""


@dataclass
class Refresh:
    """One refresh run. ``save`` writes the report; ``previous`` is what an earlier attempt of this run had reported."""

    spark: SparkSession
    run_id: str
    lake: Lake
    report_key: str
    save: Callable[[GoldReport], None]
    previous: GoldReport | None = None
    pins: dict[str, int] = field(default_factory=dict)
    report: GoldReport = field(init=False)

    def __post_init__(self) -> None:
        self.report = {"run_id": self.run_id, "models": [], "skipped": [], "failed": {}, "seconds": {}}

    def run(self, plans: list[ModelPlan]) -> GoldReport:
        """Refresh all models in the given (dependency) order. Raises ``RefreshFailed`` when one of them failed."""
        self.pin_silver(plans)
        for plan in plans:
            started = time.monotonic()
            self._guarded(plan)
            self.report["seconds"][plan["model"]] = round(time.monotonic() - started, 3)
        self.save(self.report)
        if self.report["failed"]:
            raise RefreshFailed("not refreshed: " + ", ".join(sorted(self.report["failed"])))
        return self.report

    def pin_silver(self, plans: list[ModelPlan]) -> None:
        """Fix the snapshot at which every Silver input is read in this run."""
        for each in (each for plan in plans for each in plan["inputs"] if each["layer"] == "silver"):
            self._pin(each)

    def _pin(self, model_input: ModelInput) -> int | None:
        name = input_name(model_input)
        if name not in self.pins:
            snapshot_id = gold_table.head(
                self.spark, self.lake.table(model_input["layer"], model_input["table"])
            )
            if snapshot_id is None:
                return None
            self.pins[name] = snapshot_id
        return self.pins[name]

    def _guarded(self, plan: ModelPlan) -> None:
        """Refresh one model; its failure is noted and leaves the others alone."""
        try:
            self._check_dependencies(plan)
            self._model(plan)
        except Waiting as reason:
            self.report["skipped"].append(plan["model"])
            self.report.setdefault("waiting", {})[plan["model"]] = str(reason)
        except (JobError, PySparkException, Py4JJavaError) as error:
            self._withdraw(plan["model"])
            self.report["failed"][plan["model"]] = describe(error)

    def _withdraw(self, model: str) -> None:
        """Take back the announcement of a model that failed before it was published."""
        self.report["models"] = [each for each in self.report["models"] if each["table"] != model]

    def _check_dependencies(self, plan: ModelPlan) -> None:
        for each in plan["inputs"]:
            if each["layer"] == "gold" and each["table"] in self.report["failed"]:
                raise ModelBroken(f"it reads gold.{each['table']}, which failed")
            if self._pin(each) is None:
                raise Waiting(f"{input_name(each)} has not landed yet")

    def _model(self, plan: ModelPlan) -> None:
        table = self.lake.table("gold", plan["model"])
        marker = gold_table.newest_marker(self.spark, table) if gold_table.exists(self.spark, table) else None
        inputs = {input_name(each): self.pins[input_name(each)] for each in plan["inputs"]}
        if marker is not None and marker.inputs == inputs and marker.model_hash == plan["hash"]:
            self._up_to_date(plan, marker)
            return
        scope = self._scope(plan, table, marker)
        summary = {
            words.MARKER_RUN: self.run_id,
            words.MARKER_REPORT: self.report_key,
            words.MARKER_INPUTS: json.dumps(inputs, sort_keys=True),
            words.MARKER_MODEL_HASH: plan["hash"],
        }
        self._write(plan, table, scope, summary, inputs)

    def _up_to_date(self, plan: ModelPlan, marker: gold_table.Marker) -> None:
        """Nothing to do. What an earlier attempt of this very run published stays in the report."""
        earlier = [each for each in (self.previous or {}).get("models", []) if each["table"] == plan["model"]]
        if marker.run_id == self.run_id and earlier:
            self.report["models"].append({**earlier[0], "snapshot_id": marker.snapshot_id})
        else:
            self.report["skipped"].append(plan["model"])

    def _scope(self, plan: ModelPlan, table: str, marker: gold_table.Marker | None) -> Scope:
        return EVERYTHING

    def _write(
        self, plan: ModelPlan, table: str, scope: Scope, summary: dict[str, str], inputs: dict[str, int]
    ) -> None:
        frame = checked(self._result(plan, scope), plan["keys"])
        outcome: TableOutcome = {
            "table": plan["model"],
            "snapshot_id": 0,
            "rows_added": 0,
            "rows_deleted": 0,
            "columns": gold_table.output_columns(frame),
            "inputs": inputs,
            "model_hash": plan["hash"],
        }
        if not gold_table.exists(self.spark, table):
            self._announce(outcome)
            gold_table.create(frame, table, plan, self.lake.location(plan["model"]), summary)
            self._count(outcome, table, int(gold_table.head(self.spark, table) or 0))
            self.save(self.report)
            return
        branch = words.run_branch(self.run_id)
        gold_table.evolve(self.spark, table, frame, plan)
        publish.create_branch(self.spark, table, branch)
        gold_table.overwrite(gold_table.aligned(self.spark, table, frame), table, branch, None, summary)
        self._count(outcome, table, publish.branch_head(self.spark, table, branch))
        self._announce(outcome)
        publish.publish(self.spark, table, branch)

    def _announce(self, outcome: TableOutcome) -> None:
        self.report["models"].append(outcome)
        self.save(self.report)

    def _count(self, outcome: TableOutcome, table: str, snapshot_id: int) -> None:
        outcome["snapshot_id"] = snapshot_id
        outcome["rows_added"], outcome["rows_deleted"] = gold_table.row_counts(self.spark, table, snapshot_id)

    def _result(self, plan: ModelPlan, scope: Scope) -> DataFrame:
        """The model's rows over its inputs at their pinned snapshots."""
        for each in plan["inputs"]:
            table = self.lake.table(each["layer"], each["table"])
            gold_table.read_at(self.spark, table, self.pins[input_name(each)]).createOrReplaceTempView(
                each["view"]
            )
        return self.spark.sql(plan["sql"])


def input_name(model_input: ModelInput) -> str:
    """An input as reports and markers name it: ``silver.flights``."""
    return f"{model_input['layer']}.{model_input['table']}"


def checked(frame: DataFrame, keys: list[str]) -> DataFrame:
    """``frame``, whose writing fails when a key is null or occurs twice. Columns are as before.

    The check runs inside the one pass that writes. It hangs on a window, below which Spark pushes no filter, so that
    it sees the result and nothing else.
    """
    if not keys:
        return frame
    copies = F.count(F.lit(1)).over(Window.partitionBy(*keys))
    sound = F.col(COPIES) == 1
    for key in keys:
        sound = sound & F.col(f"`{key}`").isNotNull()
    passes = F.when(sound, F.lit(True)).otherwise(F.raise_error(KEYS_BROKEN).cast("boolean"))  # noqa: FBT003
    return frame.withColumn(COPIES, copies).where(passes).drop(COPIES)


def describe(error: Exception) -> str:
    """Why a model failed, in words that cannot hold a row's value: our own sentences, else only the error's name."""
    if isinstance(error, JobError):
        return str(error)
    text = str(error)
    for sentence in (KEYS_BROKEN, MAPPING_BROKEN):
        if sentence in text:
            return sentence
    if isinstance(error, PySparkException):
        return f"{type(error).__name__} {error.getErrorClass() or ''}".strip()
    return _java_name(error)


def _java_name(error: Exception) -> str:
    cause: Any = getattr(error, "java_exception", None)
    if cause is None:
        return type(error).__name__
    while cause.getCause() is not None:
        cause = cause.getCause()
    return str(cause.getClass().getSimpleName())


def load_plans(manifest: GoldManifest, read_json: Callable[[str], Any]) -> list[ModelPlan]:
    """The compiled models of a run, in its order."""
    return [read_json(words.model_key(manifest["assets_prefix"], model)) for model in manifest["models"]]
