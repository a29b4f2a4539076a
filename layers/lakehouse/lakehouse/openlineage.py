"""OpenLineage events of runs, as plain dicts. Pure: names, times and reports come in.

Source: the OpenLineage specification 2-0-2 and its facets. A dataset is named by where it lies
(``s3://<bucket>``, path) and, as a symlink, by the catalog's name. Our own facets begin with ``lakehouse_``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from .plans import WHOLE_ROW
from .settings import Settings
from .words import (
    SYSTEM_COLUMNS,
    ColumnSource,
    DatasetPlan,
    Manifest,
    ModelPlan,
    RuleResult,
    SilverReport,
    TableOutcome,
)

EventType = Literal["START", "COMPLETE", "FAIL"]
Layer = Literal["bronze", "silver", "gold"]
Facet = dict[str, Any]

PRODUCER: Final = "urn:lakehouse:0.1.0"
EVENT_SCHEMA: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS: Final = "https://openlineage.io/spec/facets"
_DIRECT: Final = frozenset({"IDENTITY", "TRANSFORMATION", "AGGREGATION"})
_RUN_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, PRODUCER)


@dataclass(frozen=True)
class Place:
    """The lake's buckets and databases, by layer, and its catalog."""

    lake: str
    catalog: str
    buckets: Mapping[str, str]
    databases: Mapping[str, str]

    @classmethod
    def of(cls, settings: Settings) -> Place:
        """The places that the settings name; account and region stand in any ARN."""
        partition, _, region, account = settings.promote_state_machine_arn.split(":")[1:5]
        return cls(
            lake=f"{settings.lake_name}-{settings.environment}",
            catalog=f"arn:{partition}:glue:{region}:{account}",
            buckets={
                "bronze": settings.bronze_bucket,
                "silver": settings.silver_bucket,
                "gold": settings.gold_bucket,
            },
            databases={
                "bronze": settings.bronze_database,
                "silver": settings.silver_database,
                "gold": settings.gold_database,
            },
        )

    def name(self, layer: str, table: str) -> dict[str, str]:
        """A table's or folder's name: namespace and name."""
        return {"namespace": f"s3://{self.buckets[layer]}", "name": table}


def facet(schema: str, **content: Any) -> Facet:
    """A facet of the specification; ``schema`` is like ``1-0-1/SchemaDatasetFacet``."""
    name = schema.rpartition("/")[2]
    return {"_producer": PRODUCER, "_schemaURL": f"{_FACETS}/{schema}.json#/$defs/{name}", **content}


def own_facet(name: str, **content: Any) -> Facet:
    """A facet of our own."""
    return {"_producer": PRODUCER, "_schemaURL": f"{PRODUCER}:facet:{name}", **content}


def run_uuid(place: Place, run_id: str) -> str:
    """The UUID that stands for a run: always the same for the same lake and run id."""
    return str(uuid.uuid5(_RUN_NAMESPACE, f"{place.lake}/{run_id}"))


def event(
    place: Place,
    kind: EventType,
    at: str,
    run_id: str,
    writer: str,
    *,
    inputs: Sequence[Mapping[str, Any]] = (),
    outputs: Sequence[Mapping[str, Any]] = (),
    run_facets: Mapping[str, Facet] | None = None,
) -> dict[str, Any]:
    """A RunEvent. ``at`` is ISO 8601 in UTC."""
    job = facet("2-0-3/JobTypeJobFacet", processingType="BATCH", integration="LAKEHOUSE", jobType="JOB")
    return {
        "eventType": kind,
        "eventTime": at,
        "producer": PRODUCER,
        "schemaURL": EVENT_SCHEMA,
        "run": {
            "runId": run_uuid(place, run_id),
            "facets": {"lakehouse_run": own_facet("run", runId=run_id, writer=writer), **(run_facets or {})},
        },
        "job": {
            "namespace": place.lake,
            "name": writer.replace(":", "."),
            "facets": {"jobType": job},
        },
        "inputs": list(inputs),
        "outputs": list(outputs),
    }


def failure_facet(error: str) -> Facet:
    """The error's name, never its text: that may quote a row."""
    return facet("1-0-1/ErrorMessageRunFacet", message=error, programmingLanguage="Python")


# --- Datasets ---------------------------------------------------------------------------------


def bronze_input(
    place: Place, dataset: str, manifest_key: str, manifest: Manifest, report: SilverReport
) -> dict[str, Any]:
    """The files of a promote run as one dataset: a pointer to the manifest, counts, the rules' results."""
    size_bytes = sum(file["size_bytes"] for file in manifest["files"])
    rows = sum(file["rows"] for file in report["files"])
    return {
        **place.name("bronze", dataset),
        "facets": {
            "lakehouse_manifest": own_facet(
                "manifest", manifest=manifest_key, files=len(manifest["files"]), sizeBytes=size_bytes
            ),
        },
        "inputFacets": {
            "inputStatistics": facet(
                "1-0-0/InputStatisticsInputDatasetFacet",
                rowCount=rows,
                size=size_bytes,
                fileCount=len(manifest["files"]),
            ),
            "dataQualityAssertions": assertions(report["rules"]),
            "lakehouse_rules": own_facet("rules", rules=[dict(rule) for rule in report["rules"]]),
        },
    }


def assertions(rules: Iterable[RuleResult]) -> Facet:
    """What the rules found, in the specification's words."""
    found = []
    for rule in rules:
        entry = {"assertion": rule["rule"], "success": rule["violations"] == 0}
        found.append(entry | ({"column": rule["columns"][0]} if len(rule["columns"]) == 1 else {}))
    return facet("1-0-1/DataQualityAssertionsDatasetFacet", assertions=found)


def table_input(place: Place, layer: str, table: str, snapshot_id: int) -> dict[str, Any]:
    """A table as a run read it, at one snapshot."""
    return {**place.name(layer, table), "facets": _identity(place, layer, table, snapshot_id)}


def table_output(
    place: Place, layer: str, outcome: TableOutcome, columns: Facet | None, extra: Mapping[str, Any]
) -> dict[str, Any]:
    """A table as a run left it. ``extra`` goes into our own facet beside the snapshot."""
    facets = _identity(place, layer, outcome["table"], outcome["snapshot_id"])
    facets["schema"] = facet("1-1-1/SchemaDatasetFacet", fields=[dict(c) for c in outcome["columns"]])
    facets["lakehouse_snapshot"] |= {"rowsDeleted": outcome["rows_deleted"], **extra}
    if columns is not None:
        facets["columnLineage"] = columns
    statistics = facet("1-0-2/OutputStatisticsOutputDatasetFacet", rowCount=outcome["rows_added"])
    return {
        **place.name(layer, outcome["table"]),
        "facets": facets,
        "outputFacets": {"outputStatistics": statistics},
    }


def _identity(place: Place, layer: str, table: str, snapshot_id: int) -> dict[str, Facet]:
    catalog_name = f"table/{place.databases[layer]}/{table}"
    symlink = {"namespace": place.catalog, "name": catalog_name, "type": "TABLE"}
    return {
        "symlinks": facet("1-0-1/SymlinksDatasetFacet", identifiers=[symlink]),
        "version": facet("1-0-1/DatasetVersionDatasetFacet", datasetVersion=str(snapshot_id)),
        # As text: a snapshot id has up to 63 bits, and JSON's numbers often only 53.
        "lakehouse_snapshot": own_facet("snapshot", snapshotId=str(snapshot_id)),
    }


# --- Columns ----------------------------------------------------------------------------------


def silver_lineage(plan: DatasetPlan, names: Iterable[str]) -> dict[str, list[ColumnSource]]:
    """By Silver column: the file's field, or the path's value, it is made of."""
    known = {column["name"]: column for column in plan["columns"]}
    lineage: dict[str, list[ColumnSource]] = {}
    for name in names:
        if name in SYSTEM_COLUMNS or name.startswith("_"):
            continue
        column = known.get(name)
        source = column["source_name"] if column else name
        kept = column is None or column["type"] == "string"
        lineage[name] = [
            ColumnSource(
                layer="bronze",
                table=plan["dataset"],
                column=source,
                transformation="IDENTITY" if kept else "TRANSFORMATION",
            )
        ]
    return lineage


def column_facet(place: Place, lineage: Mapping[str, Sequence[ColumnSource]]) -> Facet:
    """The columnLineage facet; what decides on whole rows (``*``) is the specification's ``dataset``."""
    fields = {
        name: {"inputFields": [_field(place, source) for source in sources]}
        for name, sources in lineage.items()
        if name != WHOLE_ROW
    }
    whole = [_field(place, source) for source in lineage.get(WHOLE_ROW, [])]
    return facet("1-2-0/ColumnLineageDatasetFacet", fields=fields, **({"dataset": whole} if whole else {}))


def _field(place: Place, source: ColumnSource) -> dict[str, Any]:
    kind = source["transformation"]
    transformation = {
        "type": "DIRECT" if kind in _DIRECT else "INDIRECT",
        "subtype": kind,
        "description": "",
        "masking": False,
    }
    return {
        **place.name(source["layer"], source["table"]),
        "field": source["column"],
        "transformations": [transformation],
    }


# --- Whole events -----------------------------------------------------------------------------


def silver_outputs(place: Place, plan: DatasetPlan, report: SilverReport) -> list[dict[str, Any]]:
    """The Silver table and its quarantine, as a promote run left them, if they were ever written."""
    names = [column["name"] for column in report["silver"]["columns"]]
    columns = column_facet(place, silver_lineage(plan, names))
    tables = [(report["silver"], columns), (report["quarantine"], None)]
    extra = {"planHash": report["plan_hash"], "runId": report["run_id"]}
    outputs = []
    for outcome, lineage in tables:
        named = TableOutcome(**{**outcome, "table": outcome["table"].rpartition(".")[2]})
        if named["snapshot_id"] > 0:
            outputs.append(table_output(place, "silver", named, lineage, extra))
    return outputs


def gold_outputs(
    place: Place, plans: Mapping[str, ModelPlan], models: Iterable[TableOutcome]
) -> list[dict[str, Any]]:
    """The Gold tables that a refresh run rewrote."""
    return [
        table_output(
            place,
            "gold",
            outcome,
            column_facet(place, plans[outcome["table"]]["column_lineage"]),
            {"modelHash": outcome.get("model_hash", ""), "partitions": outcome.get("partitions")},
        )
        for outcome in models
    ]


def gold_inputs(place: Place, models: Iterable[TableOutcome]) -> list[dict[str, Any]]:
    """What a refresh run read, each table once for every snapshot."""
    read = {(name, snapshot) for outcome in models for name, snapshot in outcome.get("inputs", {}).items()}
    tables = ((*name.partition(".")[::2], snapshot) for name, snapshot in sorted(read))
    return [table_input(place, layer, table, snapshot) for layer, table, snapshot in tables]
