"""What a run read and wrote: whole OpenLineage events on S3, and edges to look things up by in DynamoDB.

| item of the lineage table | pk | sk |
|---|---|---|
| a run that wrote a table | ``TABLE#<layer>.<table>`` | ``RUN#<run id>`` |
| a table's columns, and the definition they are of | ``TABLE#<layer>.<table>`` | ``COLUMNS`` |
| where a column comes from | ``COLUMN#<layer>.<table>.<column>`` | ``FROM#<layer>.<table>.<column>`` |
| where a column goes to | ``COLUMN#<layer>.<table>.<column>`` | ``TO#<layer>.<table>.<column>`` |
| a run's inputs and outputs | ``RUN#<run id>`` | ``IN#<layer>.<table>``, ``OUT#<layer>.<table>`` |

Everything here may be repeated: an event is written once, an edge is the same each time. ``*`` as a column
stands for what decides which rows a table has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from . import openlineage
from .lake import Lake
from .openlineage import EventType, Place
from .payloads import RunRequest
from .store import MAX_TRANSACTION_WRITES, Delete, Item, Put, Store, Write
from .words import (
    MANIFEST_FILE,
    REFRESH_WRITER,
    ColumnSource,
    DatasetPlan,
    GoldReport,
    Manifest,
    ModelPlan,
    SilverReport,
    TableOutcome,
    model_key,
    run_prefix,
)

_RUN_DATE: Final = re.compile(r"-([0-9]{4})([0-9]{2})([0-9]{2})T[0-9]+Z-[0-9a-f]{8}$")
EVERYTHING: Final = "*"
"""Among a run's partitions: it rewrote the whole table."""


def event_key(run_id: str, kind: EventType) -> str:
    """Where an event of a run lies in the operations bucket: under the day that the run id tells."""
    match = _RUN_DATE.search(run_id)
    day = "/".join(match.groups()) if match else "undated"
    return f"lineage/{day}/{run_id}.{kind}.json"


# --- What the core calls ----------------------------------------------------------------------


def record_start(lake: Lake, request: RunRequest) -> None:
    """Say that a run began, by its own record's time if there is one."""
    run = lake.ledger.run(request.writer, request.run_id) or {}
    at = run.get("started_at") or lake.stamp()
    _write_event(lake, request, "START", at)


def record_silver(
    lake: Lake, request: RunRequest, manifest: Manifest, plan: DatasetPlan, report: SilverReport
) -> None:
    """Say what a promote run brought: one event, and edges from its files' fields to Silver's columns."""
    record_start(lake, request)
    place = Place.of(lake.settings)
    key = run_prefix(request.writer, request.run_id) + MANIFEST_FILE
    source = openlineage.bronze_input(place, request.dataset, key, manifest, report)
    outputs = openlineage.silver_outputs(place, plan, report)
    _write_event(lake, request, "COMPLETE", lake.stamp(), inputs=[source], outputs=outputs)
    if report["silver"]["snapshot_id"] <= 0:
        return
    name = f"silver.{request.dataset}"
    names = [column["name"] for column in report["silver"]["columns"]]
    columns = openlineage.silver_lineage(plan, names)
    _record_columns(lake.lineage, name, columns, f"{plan['hash']}:{len(names)}", request.run_id)
    inputs = {f"bronze.{request.dataset}": {"manifest": key, "files": len(manifest["files"])}}
    _record_table(lake, request, name, report["silver"], inputs)


def record_gold(lake: Lake, request: RunRequest, report: GoldReport) -> None:
    """Say what a refresh run brought: one event, and edges between columns and tables for every model."""
    record_start(lake, request)
    plans = _model_plans(lake, request, report["models"])
    _write_event(lake, request, "COMPLETE", lake.stamp(), **_gold_datasets(lake, plans, report["models"]))
    _record_models(lake, request, plans, report["models"])


def record_fail(lake: Lake, request: RunRequest, error: str, report: GoldReport | None = None) -> None:
    """Say that a run failed, by the error's name alone.

    A refresh run may have published some of its models before it failed: ``report`` is what it saved, and
    those models whose tables carry its marker are recorded like any other.
    """
    record_start(lake, request)
    models = _published(lake, request, report) if report else []
    plans = _model_plans(lake, request, models)
    facets = {"errorMessage": openlineage.failure_facet(error)}
    datasets = _gold_datasets(lake, plans, models)
    _write_event(lake, request, "FAIL", lake.stamp(), run_facets=facets, **datasets)
    _record_models(lake, request, plans, models)


def _published(lake: Lake, request: RunRequest, report: GoldReport) -> list[TableOutcome]:
    database = lake.settings.gold_database
    run_id = request.run_id
    return [each for each in report["models"] if lake.tables.has_marker(database, each["table"], run_id)]


def _model_plans(lake: Lake, request: RunRequest, models: Sequence[TableOutcome]) -> dict[str, ModelPlan]:
    """The plans by which the models were made: those of the assets the run claimed with."""
    if not models:
        return {}
    manifest = lake.operations.read(run_prefix(request.writer, request.run_id) + MANIFEST_FILE)
    prefix = manifest["assets_prefix"] if manifest else lake.settings.assets_prefix
    plans = {each["table"]: lake.operations.read(model_key(prefix, each["table"])) for each in models}
    return {name: plan for name, plan in plans.items() if plan is not None}


def _gold_datasets(
    lake: Lake, plans: Mapping[str, ModelPlan], models: Sequence[TableOutcome]
) -> dict[str, Any]:
    place = Place.of(lake.settings)
    known = [each for each in models if each["table"] in plans]
    return {
        "inputs": openlineage.gold_inputs(place, known),
        "outputs": openlineage.gold_outputs(place, plans, known),
    }


def _write_event(lake: Lake, request: RunRequest, kind: EventType, at: str, **content: Any) -> None:
    """Write an event unless it is there: a step that is repeated tells the same story."""
    place = Place.of(lake.settings)
    event = openlineage.event(place, kind, at, request.run_id, request.writer, **content)
    lake.operations.create(event_key(request.run_id, kind), event)


# --- Edges ------------------------------------------------------------------------------------


def _record_models(
    lake: Lake, request: RunRequest, plans: Mapping[str, ModelPlan], models: Sequence[TableOutcome]
) -> None:
    for outcome in models:
        plan = plans.get(outcome["table"])
        if plan is None:
            continue
        name = f"gold.{outcome['table']}"
        _record_columns(lake.lineage, name, plan["column_lineage"], plan["hash"], request.run_id)
        _record_table(lake, request, name, outcome, _gold_reads(plan, outcome))


def _gold_reads(plan: ModelPlan, outcome: TableOutcome) -> dict[str, Any]:
    """By input table: the snapshot it was read at, and how its partitions lead to the model's."""
    snapshots = outcome.get("inputs", {})
    return {
        f"{each['layer']}.{each['table']}": {
            "snapshot_id": snapshots[f"{each['layer']}.{each['table']}"],
            "mapping": each["mapping"],
            "lookback": each["lookback"],
            "timezone": plan["timezone"],
        }
        for each in plan["inputs"]
        if f"{each['layer']}.{each['table']}" in snapshots
    }


def _record_table(
    lake: Lake, request: RunRequest, name: str, outcome: TableOutcome, inputs: Mapping[str, Any]
) -> None:
    run_id = request.run_id
    kind = "silver" if request.writer != REFRESH_WRITER else "gold"
    partitions = outcome.get("partitions", [EVERYTHING] if kind == "gold" else [])
    table: Item = {
        "pk": f"TABLE#{name}",
        "sk": f"RUN#{run_id}",
        "run_id": run_id,
        "writer": request.writer,
        "snapshot_id": outcome["snapshot_id"],
        "rows_added": outcome["rows_added"],
        "rows_deleted": outcome["rows_deleted"],
        "partitions": list(partitions),
        "definition": outcome.get("model_hash", ""),
        "inputs": json.dumps(inputs, sort_keys=True),
        "event": event_key(run_id, "COMPLETE"),
        "at": lake.stamp(),
    }
    lake.lineage.write(Put(table))
    lake.lineage.write(
        Put({"pk": f"RUN#{run_id}", "sk": f"OUT#{name}", "snapshot_id": outcome["snapshot_id"]})
    )
    for source, details in inputs.items():
        lake.lineage.write(Put({"pk": f"RUN#{run_id}", "sk": f"IN#{source}", "details": json.dumps(details)}))


def _record_columns(
    store: Store, table: str, lineage: Mapping[str, Sequence[ColumnSource]], definition: str, run_id: str
) -> None:
    """Write a table's column edges and remove those that its definition no longer has.

    Nothing is written while the definition stays the same, which is nearly always.
    """
    known = store.get((f"TABLE#{table}", "COLUMNS"))
    if known is not None and known["definition"] == definition:
        return
    edges = {edge for column, sources in lineage.items() for edge in _edges(table, column, sources)}
    columns = sorted(set(lineage) | set(known["columns"] if known else []))
    kept = {edge[:2] for edge in edges}
    stored = {edge for column in columns for edge in _stored_edges(store, table, column)}
    stale = sorted(edge for edge in stored if edge[:2] not in kept)
    writes: list[Write] = [write for edge in stale for write in _removals(edge)]
    writes += [write for edge in sorted(edges) for write in _additions(edge, run_id)]
    for start in range(0, len(writes), MAX_TRANSACTION_WRITES):
        store.transact(writes[start : start + MAX_TRANSACTION_WRITES])
    columns_item = {
        "pk": f"TABLE#{table}",
        "sk": "COLUMNS",
        "definition": definition,
        "columns": sorted(lineage),
        "run_id": run_id,
    }
    store.write(Put(columns_item))


Edge = tuple[str, str, str]
"""(column, the column it comes from, transformation); columns are ``<layer>.<table>.<column>``."""


def _edges(table: str, column: str, sources: Iterable[ColumnSource]) -> Iterator[Edge]:
    """One edge for every source; of several uses of the same source, the first (most direct) counts."""
    seen: set[str] = set()
    for source in sources:
        name = f"{source['layer']}.{source['table']}.{source['column']}"
        if name not in seen:
            seen.add(name)
            yield f"{table}.{column}", name, source["transformation"]


def _stored_edges(store: Store, table: str, column: str) -> Iterator[Edge]:
    name = f"{table}.{column}"
    for item in store.query(f"COLUMN#{name}", begins="FROM#"):
        yield name, item["sk"].removeprefix("FROM#"), item["transformation"]


def _removals(edge: Edge) -> Iterator[Write]:
    column, source, _ = edge
    yield Delete((f"COLUMN#{column}", f"FROM#{source}"))
    yield Delete((f"COLUMN#{source}", f"TO#{column}"))


def _additions(edge: Edge, run_id: str) -> Iterator[Write]:
    column, source, transformation = edge
    details = {"transformation": transformation, "run_id": run_id}
    yield Put({"pk": f"COLUMN#{column}", "sk": f"FROM#{source}", **details})
    yield Put({"pk": f"COLUMN#{source}", "sk": f"TO#{column}", **details})
