"""Refresh the Gold models whose inputs changed: decide, recompute what changed, check, publish, report.

The inputs' snapshots are pinned once, and every model of the run reads the same ones. A model that fails
stops its dependents only; the run then fails as a whole. The report is saved before each model is published,
so that whatever is published is also reported.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException

from lakehouse import words
from lakehouse_spark import gold_changes, gold_frame, gold_scope, gold_table, publish
from lakehouse_spark.errors import JobError, ModelBroken, RefreshFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.words import GoldManifest, GoldReport, ModelInput, ModelPlan, TableOutcome
    from lakehouse_spark.gold_scope import Scope
    from lakehouse_spark.gold_table import Marker


@dataclass(frozen=True)
class Lake:
    """Where the tables are. ``gold_location`` is ``s3://<gold bucket>``; None where the catalog decides."""

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


class Waiting(Exception):  # noqa: N818 - no error: the model's turn has not come
    """A model cannot be refreshed yet: an input table or column has not landed."""


@dataclass
class Refresh:
    """One refresh run. ``save`` writes the report; ``previous`` is what an earlier attempt of it saved."""

    spark: SparkSession
    run_id: str
    lake: Lake
    report_key: str
    save: Callable[[GoldReport], None]
    previous: GoldReport | None = None
    pins: dict[str, int] = field(default_factory=dict)
    report: GoldReport = field(init=False)

    def __post_init__(self) -> None:
        earlier = list(self.previous["models"]) if self.previous else []
        self.report = {"run_id": self.run_id, "models": earlier, "skipped": [], "failed": {}, "seconds": {}}

    def run(self, plans: list[ModelPlan]) -> GoldReport:
        """Refresh the models, given in dependency order. Raises ``RefreshFailed`` when one of them failed."""
        started = time.monotonic()
        self._pin_silver(plans)
        for plan in plans:
            before = time.monotonic()
            self._guarded(plan)
            self.report["seconds"][plan["model"]] = round(time.monotonic() - before, 3)
        self.report["seconds"]["total"] = round(time.monotonic() - started, 3)
        self.save(self.report)
        if self.report["failed"]:
            raise RefreshFailed("not refreshed: " + ", ".join(sorted(self.report["failed"])))
        return self.report

    def _pin_silver(self, plans: list[ModelPlan]) -> None:
        """Fix, before anything is done, the snapshot at which each Silver table is read in this run."""
        for each in (each for plan in plans for each in plan["inputs"] if each["layer"] == "silver"):
            self._pin(each)

    def _pin(self, model_input: ModelInput) -> int | None:
        """The snapshot at which an input is read; a Gold one is pinned after it had its own turn."""
        name = input_name(model_input)
        if name not in self.pins:
            snapshot_id = gold_table.head(self.spark, self._table_of(model_input))
            if snapshot_id is None:
                return None
            self.pins[name] = snapshot_id
        return self.pins[name]

    def _table_of(self, model_input: ModelInput) -> str:
        return self.lake.table(model_input["layer"], model_input["table"])

    def _guarded(self, plan: ModelPlan) -> None:
        """Refresh one model; its failure is noted and leaves the others alone."""
        try:
            self._require_inputs(plan)
            with gold_frame.session_for(self.spark, plan["timezone"], self._size_bytes(plan)):
                self._model(plan)
        except Waiting as reason:
            self._skip(plan)
            self.report.setdefault("waiting", {})[plan["model"]] = str(reason)
        except (JobError, PySparkException, Py4JJavaError) as error:
            self._withdraw(plan)
            self.report["failed"][plan["model"]] = describe(error)

    def _require_inputs(self, plan: ModelPlan) -> None:
        for each in plan["inputs"]:
            if each["layer"] == "gold" and each["table"] in self.report["failed"]:
                raise ModelBroken(f"it reads gold.{each['table']}, which failed")
            if self._pin(each) is None:
                raise Waiting(f"{input_name(each)} has not landed yet")

    def _size_bytes(self, plan: ModelPlan) -> int:
        return sum(
            gold_table.size_bytes(self.spark, self._table_of(each), self.pins[input_name(each)])
            for each in plan["inputs"]
        )

    def _model(self, plan: ModelPlan) -> None:
        table = self.lake.table("gold", plan["model"])
        is_new = not gold_table.exists(self.spark, table)
        marker = None if is_new else gold_table.newest_marker(self.spark, table)
        inputs = {input_name(each): self.pins[input_name(each)] for each in plan["inputs"]}
        if marker is not None and marker.inputs == inputs and marker.model_hash == plan["hash"]:
            self._up_to_date(plan, marker)
            return
        scope = self._scope(plan, table, marker)
        frame = self.spark.table(table) if scope.nothing else self._frame(plan, scope)
        outcome = _outcome(plan, frame, scope, inputs)
        if is_new:
            self._create(plan, frame, table, outcome)
        else:
            self._rewrite(plan, frame, table, scope, outcome)

    def _up_to_date(self, plan: ModelPlan, marker: Marker) -> None:
        """Nothing to do. What an earlier attempt of this very run published stays in the report."""
        earlier = [each for each in self.report["models"] if each["table"] == plan["model"]]
        if marker.run_id == self.run_id and earlier:
            earlier[0]["snapshot_id"] = marker.snapshot_id
        else:
            self._skip(plan)

    def _skip(self, plan: ModelPlan) -> None:
        self._withdraw(plan)
        self.report["skipped"].append(plan["model"])

    def _withdraw(self, plan: ModelPlan) -> None:
        self.report["models"] = [each for each in self.report["models"] if each["table"] != plan["model"]]

    # --- What to recompute, and from what ------------------------------------------------------

    def _scope(self, plan: ModelPlan, table: str, marker: Marker | None) -> Scope:
        names = {input_name(each) for each in plan["inputs"]}
        if marker is None or marker.model_hash != plan["hash"] or set(marker.inputs) != names:
            return gold_scope.EVERYTHING
        changes = {each["view"]: self._changes(each, marker) for each in plan["inputs"]}
        return gold_scope.scope_of(plan, changes, gold_table.column_types(self.spark, table))

    def _changes(self, each: ModelInput, marker: Marker) -> frozenset[gold_changes.Partition] | None:
        name = input_name(each)
        iceberg_table = publish.load_table(self.spark, self._table_of(each))
        return gold_changes.changed_partitions(iceberg_table, marker.inputs[name], self.pins[name])

    def _frame(self, plan: ModelPlan, scope: Scope) -> DataFrame:
        """The model's rows over its inputs at their pinned snapshots, checked and cut to the scope."""
        for each in plan["inputs"]:
            table, snapshot_id = self._table_of(each), self.pins[input_name(each)]
            wanted = scope.to_read(
                each, gold_table.column_types(self.spark, table, snapshot_id), plan["timezone"]
            )
            rows = gold_table.read_at(self.spark, table, snapshot_id)
            (rows if wanted is None else rows.where(wanted)).coalesce(1).createOrReplaceTempView(each["view"])
        try:
            frame = self.spark.sql(plan["sql"])
        except AnalysisException as error:
            if (error.getErrorClass() or "").startswith("UNRESOLVED_COLUMN"):
                raise Waiting("a column it reads has not landed yet") from error
            raise
        return gold_frame.checked(frame, plan["keys"], scope.promised(plan["inputs"]), scope.to_write())

    # --- Writing and publishing ------------------------------------------------------------------

    def _create(self, plan: ModelPlan, frame: DataFrame, table: str, outcome: TableOutcome) -> None:
        """A new table appears with its rows in it: creating it is publishing it."""
        self._announce(plan, outcome)
        gold_table.create(frame, table, plan, self.lake.location(plan["model"]), self._summary(outcome))
        self._count(outcome, table, int(gold_table.head(self.spark, table) or 0))
        self.save(self.report)

    def _rewrite(
        self, plan: ModelPlan, frame: DataFrame, table: str, scope: Scope, outcome: TableOutcome
    ) -> None:
        branch = words.run_branch(self.run_id)
        summary = self._summary(outcome)
        if scope.nothing:
            publish.create_branch(self.spark, table, branch)
            publish.commit_marker(self.spark, table, branch, summary)
        else:
            gold_table.evolve(self.spark, table, frame, plan)
            publish.create_branch(self.spark, table, branch)
            rows = gold_table.aligned(self.spark, table, frame)
            gold_table.overwrite(rows, table, branch, scope.to_write(), summary)
        self._count(outcome, table, publish.branch_head(self.spark, table, branch))
        self._announce(plan, outcome)
        publish.publish(self.spark, table, branch)

    def _summary(self, outcome: TableOutcome) -> dict[str, str]:
        return {
            words.MARKER_RUN: self.run_id,
            words.MARKER_REPORT: self.report_key,
            words.MARKER_INPUTS: json.dumps(outcome["inputs"], sort_keys=True),
            words.MARKER_MODEL_HASH: outcome["model_hash"],
        }

    def _announce(self, plan: ModelPlan, outcome: TableOutcome) -> None:
        self._withdraw(plan)
        self.report["models"].append(outcome)
        self.save(self.report)

    def _count(self, outcome: TableOutcome, table: str, snapshot_id: int) -> None:
        outcome["snapshot_id"] = snapshot_id
        outcome["rows_added"], outcome["rows_deleted"] = gold_table.row_counts(self.spark, table, snapshot_id)


def _outcome(plan: ModelPlan, frame: DataFrame, scope: Scope, inputs: dict[str, int]) -> TableOutcome:
    outcome: TableOutcome = {
        "table": plan["model"],
        "snapshot_id": 0,
        "rows_added": 0,
        "rows_deleted": 0,
        "columns": gold_table.output_columns(frame),
        "inputs": inputs,
        "model_hash": plan["hash"],
    }
    if not scope.everything:
        outcome["partitions"] = scope.partitions
    return outcome


def input_name(model_input: ModelInput) -> str:
    """An input as reports and markers name it: ``silver.flights``."""
    return f"{model_input['layer']}.{model_input['table']}"


def load_plans(manifest: GoldManifest, read_json: Callable[[str], Any]) -> list[ModelPlan]:
    """The compiled models of a run, in its order."""
    return [read_json(words.model_key(manifest["assets_prefix"], model)) for model in manifest["models"]]


_OUR_SENTENCES: Final = (gold_frame.KEYS_BROKEN, gold_frame.MAPPING_BROKEN)


def describe(error: Exception) -> str:
    """Why a model failed, in words that hold no row's value.

    Our own sentences, and Spark's when it did not like the SQL (no row was read then); else the error's name.
    """
    if isinstance(error, JobError):
        return str(error)
    text = str(error)
    for sentence in _OUR_SENTENCES:
        if sentence in text:
            return sentence
    if isinstance(error, AnalysisException):
        return str(error).partition("\n")[0]
    if isinstance(error, PySparkException):
        return f"{type(error).__name__} {error.getErrorClass() or ''}".strip()
    return _root_name(error)


def _root_name(error: Exception) -> str:
    cause: Any = getattr(error, "java_exception", None)
    if cause is None:
        return type(error).__name__
    while cause.getCause() is not None:
        cause = cause.getCause()
    return str(cause.getClass().getSimpleName())
