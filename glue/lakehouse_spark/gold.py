"""Refresh the Gold models whose inputs changed: decide, recompute what changed, check, publish, report.

The inputs' snapshots are pinned once, and every model of the run reads the same ones. Models that do not
depend on each other run side by side. A model that fails stops its dependents only; the run then fails as a
whole. The report is saved before each model is published, so that whatever is published is also reported.
"""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError
from pyspark.errors import AnalysisException, PySparkException

from lakehouse import words
from lakehouse.governing import NotGoverned
from lakehouse_spark import gold_changes, gold_frame, gold_scope, gold_table, publish
from lakehouse_spark.errors import JobError, ModelBroken, RefreshFailed
from lakehouse_spark.failure import found_words, is_environment, safe_text, told
from lakehouse_spark.governed import NOT_GOVERNED, Governing, governed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.words import GoldManifest, GoldReport, ModelInput, ModelPlan, TableOutcome
    from lakehouse_spark.gold_scope import Scope
    from lakehouse_spark.gold_table import Marker
    from lakehouse_spark.objects import Objects

SIDE_BY_SIDE: Final = 4
"""How many models are worked on at once at most: while one is planned or published, another one computes."""


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

    def input_table(self, model_input: ModelInput) -> str:
        """The full name in Spark of a model's input."""
        return self.table(model_input["layer"], model_input["table"])

    def location(self, folder: str, model: str) -> str | None:
        """Where a Gold table belongs: below the open or the closed folder."""
        return None if self.gold_location is None else f"{self.gold_location}/{folder}/{model}"


@dataclass(frozen=True)
class Job:
    """A run's arguments. The keys lie in the operations bucket."""

    run_id: str
    manifest_key: str
    report_key: str
    lake: Lake


def refresh(
    spark: SparkSession, job: Job, operations: Objects, governing: Governing | None = None
) -> GoldReport:
    """Refresh the models of a manifest; returns the report, which also lies at ``job.report_key``.

    When it fails, ``failure.json`` lies beside the report, and ``JobFailed`` is raised: it names no value.
    """
    try:
        manifest: GoldManifest = operations.get_json(job.manifest_key)
        plans = load_plans(manifest, operations.get_json)
        previous = operations.get_json(job.report_key) if operations.head(job.report_key) else None
        save = partial(operations.put_json, job.report_key)
        todo = Refresh(spark, job.run_id, job.lake, job.report_key, save, previous)
        if governing is not None:
            todo.governed = governed(operations, manifest["assets_prefix"], governing)
        return todo.run(plans)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is written down, and raised without its values
        raise told(operations, job.report_key, job.run_id, "refresh", error) from None


class Waiting(Exception):  # noqa: N818 - no error: the model's turn has not come
    """A model cannot be refreshed yet: an input table or column has not landed."""


@dataclass
class Log:
    """What became of each model of a run, told to several threads. ``save`` writes the report."""

    run_id: str
    models: list[str]
    save: Callable[[GoldReport], None]
    outcomes: dict[str, TableOutcome]
    skipped: set[str] = field(default_factory=set)
    published: set[str] = field(default_factory=set)
    waiting: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    environment: Exception | None = None
    """An error of a model that is the environment's fault, and makes the run's failure that as well."""
    seconds: dict[str, float] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def announce(self, outcome: TableOutcome) -> None:
        """Save the report with a model that is about to be published."""
        with self.lock:
            self.outcomes[outcome["table"]] = outcome
            self.save(self.report())

    def skip(self, model: str, reason: str | None = None) -> None:
        """A model is up to date, or waits for ``reason``."""
        with self.lock:
            self.outcomes.pop(model, None)
            self.skipped.add(model)
            if reason is not None:
                self.waiting[model] = reason

    def fail(self, model: str, error: Exception) -> None:
        """A model failed. It stays among those that were made only if it was published before."""
        with self.lock:
            if model not in self.published:
                self.outcomes.pop(model, None)
            self.failed[model] = describe(error)
            if is_environment(error):
                self.environment = error

    def report(self) -> GoldReport:
        """The report as things stand, in the run's order."""
        return {
            "run_id": self.run_id,
            "models": [self.outcomes[model] for model in self.models if model in self.outcomes],
            "skipped": [model for model in self.models if model in self.skipped],
            "waiting": dict(self.waiting),
            "failed": dict(self.failed),
            "seconds": dict(self.seconds),
        }


class Refresh:
    """One refresh run. ``previous`` is the report that an earlier attempt of it saved."""

    def __init__(
        self,
        spark: SparkSession,
        run_id: str,
        lake: Lake,
        report_key: str,
        save: Callable[[GoldReport], None],
        previous: GoldReport | None = None,
    ) -> None:
        self.spark = spark
        self.run_id = run_id
        self.lake = lake
        self.report_key = report_key
        earlier = {each["table"]: each for each in previous["models"]} if previous else {}
        self.log = Log(run_id, [], save, earlier)
        self.pins: dict[str, int] = {}
        self.turns: dict[str, Future[None]] = {}
        self.planning = threading.Lock()
        self.governed = NOT_GOVERNED
        self.timezone = ""
        self.size_bytes = 0

    def run(self, plans: list[ModelPlan]) -> GoldReport:
        """Refresh the models, given in dependency order. Raises ``RefreshFailed`` when one of them failed."""
        started = time.monotonic()
        self.log.models = [plan["model"] for plan in plans]
        self._pin_silver(plans)
        self._take_turns(plans)
        self.log.seconds["total"] = round(time.monotonic() - started, 3)
        self.log.save(self.log.report())
        if self.log.failed:
            reasons = (f"{model}: {why}" for model, why in sorted(self.log.failed.items()))
            raise RefreshFailed("; ".join(reasons)) from self.log.environment
        return self.log.report()

    def _take_turns(self, plans: list[ModelPlan]) -> None:
        try:
            with ThreadPoolExecutor(_threads(plans)) as pool:
                for plan in plans:
                    self.turns[plan["model"]] = pool.submit(self._turn, plan)
            for turn in self.turns.values():
                turn.result()
        finally:
            self.spark.conf.set(gold_frame.TIMEZONE, "UTC")

    def _pin_silver(self, plans: list[ModelPlan]) -> None:
        """Fix, before anything is done, the snapshot at which each Silver table is read in this run."""
        inputs = [each for plan in plans for each in plan["inputs"] if each["layer"] == "silver"]
        for name, each in {each["table"]: each for each in inputs}.items():
            snapshot_id = self._pin(each)
            if snapshot_id is not None:
                table = self.lake.table("silver", name)
                self.size_bytes += gold_table.size_bytes(self.spark, table, snapshot_id)

    def _pin(self, model_input: ModelInput) -> int | None:
        """The snapshot at which an input is read; a Gold one is pinned after it had its own turn."""
        name = input_name(model_input)
        if name not in self.pins:
            snapshot_id = gold_table.head(self.spark, self.lake.input_table(model_input))
            if snapshot_id is None:
                return None
            self.pins[name] = snapshot_id
        return self.pins[name]

    def _turn(self, plan: ModelPlan) -> None:
        """Refresh one model after those it reads; its failure is noted and leaves the others alone."""
        model = plan["model"]
        self._await_inputs(plan)
        started = time.monotonic()
        try:
            self._model(plan)
        except Waiting as reason:
            self.log.skip(model, str(reason))
        except Exception as error:  # noqa: BLE001 - whatever it is, the run fails by it and names the model
            self.log.fail(model, error)
        self.log.seconds[model] = round(time.monotonic() - started, 3)

    def _await_inputs(self, plan: ModelPlan) -> None:
        """They were submitted before, so they are at work or done: nobody waits for one that waits."""
        for each in plan["inputs"]:
            if each["layer"] == "gold" and each["table"] in self.turns:
                self.turns[each["table"]].result()

    def _model(self, plan: ModelPlan) -> None:
        table = self.lake.table("gold", plan["model"])
        with self.planning:
            inputs = self._require_inputs(plan)
            is_new = not gold_table.exists(self.spark, table)
            marker = None if is_new else gold_table.newest_marker(self.spark, table)
            moves = not is_new and gold_table.is_elsewhere(self.spark, table, self._location(plan))
            if (
                marker is not None
                and marker.inputs == inputs
                and marker.model_hash == plan["hash"]
                and not moves
            ):
                self._up_to_date(plan, marker)
                return
            scope = gold_scope.EVERYTHING if moves else self._scope(plan, table, marker)
            frame = self.spark.table(table) if scope.nothing else self._frame(plan, scope)
        outcome = _outcome(plan, frame, scope, inputs)
        if is_new:
            self._create(plan, frame, table, outcome)
        else:
            self._rewrite(plan, frame, table, scope, outcome)

    def _require_inputs(self, plan: ModelPlan) -> dict[str, int]:
        """The inputs' snapshots, by their names."""
        found: dict[str, int] = {}
        for each in plan["inputs"]:
            if each["layer"] == "gold" and each["table"] in self.log.failed:
                raise ModelBroken(f"it reads gold.{each['table']}, which failed")
            snapshot_id = self._pin(each)
            if snapshot_id is None:
                raise Waiting(f"{input_name(each)} has not landed yet")
            found[input_name(each)] = snapshot_id
        return found

    def _up_to_date(self, plan: ModelPlan, marker: Marker) -> None:
        """No row to make. What an earlier attempt of this very run published stays in the report."""
        self._govern(plan)
        earlier = self.log.outcomes.get(plan["model"])
        if earlier is not None and marker.run_id == self.run_id:
            earlier["snapshot_id"] = marker.snapshot_id
        else:
            self.log.skip(plan["model"])

    # --- What to recompute, and from what ------------------------------------------------------

    def _scope(self, plan: ModelPlan, table: str, marker: Marker | None) -> Scope:
        names = {input_name(each) for each in plan["inputs"]}
        if marker is None or marker.model_hash != plan["hash"] or set(marker.inputs) != names:
            return gold_scope.EVERYTHING
        changes = {each["view"]: self._changes(each, marker) for each in plan["inputs"]}
        return gold_scope.scope_of(plan, changes, column_types(self.spark.table(table)))

    def _changes(self, each: ModelInput, marker: Marker) -> frozenset[gold_changes.Partition] | None:
        name = input_name(each)
        if marker.inputs[name] == self.pins[name]:
            return frozenset()
        iceberg_table = publish.load_table(self.spark, self.lake.input_table(each))
        return gold_changes.changed_partitions(iceberg_table, marker.inputs[name], self.pins[name])

    def _frame(self, plan: ModelPlan, scope: Scope) -> DataFrame:
        """The model's rows over its inputs at their pinned snapshots, checked and cut to the scope."""
        self._configure(plan["timezone"])
        for each in plan["inputs"]:
            rows = gold_table.read_at(self.spark, self.lake.input_table(each), self.pins[input_name(each)])
            wanted = scope.to_read(each, column_types(rows), plan["timezone"])
            (rows if wanted is None else rows.where(wanted)).createOrReplaceTempView(each["view"])
        try:
            return gold_frame.checked(
                self.spark, plan["sql"], plan["keys"], scope.promised(plan["inputs"]), scope.to_write()
            )
        except AnalysisException as error:
            if (error.getErrorClass() or "").startswith("UNRESOLVED_COLUMN"):
                raise Waiting("a column it reads has not landed yet") from error
            raise

    def _configure(self, timezone: str) -> None:
        """Set up the session when the timezone is another one; never while another model is at work."""
        if timezone != self.timezone:
            gold_frame.configure(self.spark, timezone, self.size_bytes)
            self.timezone = timezone

    # --- Writing and publishing ------------------------------------------------------------------

    def _create(self, plan: ModelPlan, frame: DataFrame, table: str, outcome: TableOutcome) -> None:
        """A new table appears with its rows in it: creating it is publishing it. It is born closed."""
        self.log.announce(outcome)
        gold_table.create(frame, table, plan, self._location(plan), self._summary(outcome))
        self.log.published.add(plan["model"])
        self._govern(plan)
        self._count(outcome, table, int(gold_table.head(self.spark, table) or 0))

    def _rewrite(
        self, plan: ModelPlan, frame: DataFrame, table: str, scope: Scope, outcome: TableOutcome
    ) -> None:
        branch = words.run_branch(self.run_id)
        summary = self._summary(outcome)
        if scope.nothing:
            publish.create_branch(self.spark, table, branch)
            head = publish.branch_head(self.spark, table, branch)
            publish.commit_marker(self.spark, table, branch, summary, head)
        else:
            gold_table.evolve(self.spark, table, frame, plan)
            self.governed.close("gold", self.lake.gold_database, plan["model"], self._columns(table))
            gold_table.move(self.spark, table, self._location(plan))
            publish.create_branch(self.spark, table, branch)
            rows = gold_table.aligned(self.spark, table, frame)
            gold_table.overwrite(rows, table, branch, scope.to_write(), summary)
        self._count(outcome, table, publish.branch_head(self.spark, table, branch))
        self.log.announce(outcome)
        publish.publish(self.spark, table, branch)
        self.log.published.add(plan["model"])
        gold_table.purge_former_place(self.spark, table)
        self._govern(plan)

    def _location(self, plan: ModelPlan) -> str | None:
        return self.lake.location(self.governed.folder(plan["model"]), plan["model"])

    def _govern(self, plan: ModelPlan) -> None:
        """Open what the model opens, now that the table's rows are this model's."""
        columns = self._columns(self.lake.table("gold", plan["model"]))
        self.governed.tag("gold", self.lake.gold_database, plan["model"], columns)

    def _columns(self, table: str) -> list[str]:
        return self.spark.table(table).columns

    def _summary(self, outcome: TableOutcome) -> dict[str, str]:
        return {
            words.MARKER_RUN: self.run_id,
            words.MARKER_REPORT: self.report_key,
            words.MARKER_INPUTS: json.dumps(outcome["inputs"], sort_keys=True),
            words.MARKER_MODEL_HASH: outcome["model_hash"],
        }

    def _count(self, outcome: TableOutcome, table: str, snapshot_id: int) -> None:
        rows_added, rows_deleted = gold_table.row_counts(self.spark, table, snapshot_id)
        with self.log.lock:
            outcome["snapshot_id"] = snapshot_id
            outcome["rows_added"], outcome["rows_deleted"] = rows_added, rows_deleted


def _threads(plans: list[ModelPlan]) -> int:
    """One session has one timezone at a time, so models of several timezones take turns."""
    return SIDE_BY_SIDE if len({plan["timezone"] for plan in plans}) <= 1 else 1


def _outcome(plan: ModelPlan, frame: DataFrame, scope: Scope, inputs: dict[str, int]) -> TableOutcome:
    outcome: TableOutcome = {
        "table": plan["model"],
        "snapshot_id": 0,
        "rows_added": 0,
        "rows_deleted": 0,
        "columns": [{"name": name, "type": type_name} for name, type_name in column_types(frame).items()],
        "inputs": inputs,
        "model_hash": plan["hash"],
    }
    if not scope.everything:
        outcome["partitions"] = scope.partitions
    return outcome


def column_types(frame: DataFrame) -> dict[str, str]:
    """The columns and their types as Spark names them."""
    return {column.name: column.dataType.simpleString() for column in frame.schema.fields}


def input_name(model_input: ModelInput) -> str:
    """An input as reports and markers name it: ``silver.flights``."""
    return f"{model_input['layer']}.{model_input['table']}"


def load_plans(manifest: GoldManifest, read_json: Callable[[str], Any]) -> list[ModelPlan]:
    """The compiled models of a run, in its order."""
    return [read_json(words.model_key(manifest["assets_prefix"], model)) for model in manifest["models"]]


_OUR_SENTENCES: Final = (gold_frame.KEYS_BROKEN, gold_frame.MAPPING_BROKEN)


def describe(error: Exception) -> str:
    """Why a model failed, in words that hold no row's value.

    Our own sentences, and Spark's when it did not like the SQL (no row was read then); else the error's name
    and what of a fixed list of words it says.
    """
    if isinstance(error, JobError | NotGoverned | ClientError):
        return safe_text(error)
    text = str(error)
    for sentence in _OUR_SENTENCES:
        if sentence in text:
            return sentence
    if isinstance(error, AnalysisException):
        return str(error).partition("\n")[0]
    name = type(error).__name__ if isinstance(error, PySparkException) else _root_name(error)
    found = found_words(error)
    return f"{name} ({', '.join(found)})" if found else name


def _root_name(error: Exception) -> str:
    cause: Any = getattr(error, "java_exception", None)
    if cause is None:
        return type(error).__name__
    while cause.getCause() is not None:
        cause = cause.getCause()
    return str(cause.getClass().getSimpleName())
