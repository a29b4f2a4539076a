"""Drafts: a plan, and a contract for somebody to finish, for a dataset that nobody has described.

What is known comes from a crawled Glue table or from a sample file; both are first turned into a `Sketch`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import yaml

from .column_types import INTEGER_TYPES, REAL_TYPES, TIME_TYPES, UnknownType, family, spark_type, split_types
from .errors import SchemaNotFound
from .plans import PLAN_VERSION, content_hash
from .words import MAX_COLUMN_NAME, DatasetPlan, FileFormat, PlanColumn, column_name

FormatType = Literal["csv", "jsonl", "json", "parquet"]

_CLASSIFICATIONS: Final[dict[str, FormatType]] = {"csv": "csv", "json": "jsonl", "parquet": "parquet"}
_WIDENED: Final = {"tinyint": "int", "smallint": "int", "varchar": "string", "char": "string"}
_TEXT_WIDENED: Final = {"int": "bigint", "float": "double", "timestamp": "timestamp_ntz", "binary": "string"}
_UNNAMED_PARTITION: Final = re.compile(r"partition_[0-9]+")


@dataclass(frozen=True)
class SketchColumn:
    """A column as found: its name in the file (or in the path, ``day=...``) and its Spark type."""

    source_name: str
    type: str
    in_path: bool = False


@dataclass(frozen=True)
class Sketch:
    """What is known of a dataset without a contract."""

    dataset: str
    format: FormatType
    columns: tuple[SketchColumn, ...]
    path_pattern: str | None = None
    delimiter: str = ","
    quote: str = '"'
    header: bool = True


def sketch(
    dataset: str, format_type: FormatType, columns: Iterable[tuple[str, str]], **details: Any
) -> Sketch:
    """A sketch from what a sample file shows.

    Arguments: ``columns`` are (name in the file, Spark SQL type); ``details`` are delimiter, quote, header.
    """
    found = tuple(SketchColumn(name, _type(kind, format_type)) for name, kind in columns)
    return Sketch(dataset, format_type, found, **details)


# --- From a crawled table ---------------------------------------------------------------------


def sketch_of_table(dataset: str, table: Mapping[str, Any]) -> Sketch:
    """A sketch from what the crawler wrote: Glue's ``Table`` structure.

    Raises ``SchemaNotFound`` for a table without columns or of a format that Silver does not read.
    """
    storage = table["StorageDescriptor"]
    parameters = {**storage.get("Parameters", {}), **table.get("Parameters", {})}
    classification = parameters.get("classification", "")
    if classification not in _CLASSIFICATIONS:
        raise SchemaNotFound(f"the crawler took the files of '{dataset}' for '{classification or 'unknown'}'")
    form = _CLASSIFICATIONS[classification]
    fields = [(column["Name"], column.get("Type", "string")) for column in storage.get("Columns", [])]
    if form == "jsonl" and (inner := _array_fields(fields)) is not None:
        form, fields = "json", inner
    if not fields:
        raise SchemaNotFound(f"the crawler found no columns in the files of '{dataset}'")
    keys = [(key["Name"], key.get("Type", "string")) for key in table.get("PartitionKeys", [])]
    named = [(name, kind) for name, kind in keys if not _UNNAMED_PARTITION.fullmatch(name)]
    serde = storage.get("SerdeInfo", {}).get("Parameters", {})
    return Sketch(
        dataset=dataset,
        format=form,
        columns=(
            *(SketchColumn(name, _type(kind, form)) for name, kind in fields),
            *(SketchColumn(name, _path_type(kind), in_path=True) for name, kind in named),
        ),
        path_pattern=_pattern(keys) if named else None,
        **(_csv_details(parameters, serde) if form == "csv" else {}),
    )


def _csv_details(parameters: Mapping[str, str], serde: Mapping[str, str]) -> dict[str, Any]:
    delimiter = parameters.get("delimiter") or serde.get("separatorChar") or serde.get("field.delim")
    return {
        "delimiter": delimiter or ",",
        "quote": serde.get("quoteChar", '"'),
        "header": parameters.get("skip.header.line.count", "0") != "0",
    }


def _array_fields(fields: list[tuple[str, str]]) -> list[tuple[str, str]] | None:
    """A file that holds one JSON array is crawled as a single column ``array`` of structs."""
    if len(fields) != 1 or not (match := re.fullmatch(r"array<struct<(.*)>>", fields[0][1])):
        return None
    return [(part[0], part[1]) for part in _struct_fields(match[1])] if fields[0][0] == "array" else None


def _struct_fields(inner: str) -> list[tuple[str, str]]:
    named = [part.partition(":") for part in split_types(inner)]
    return [(name, kind) for name, _, kind in named]


def _type(kind: str, form: FormatType) -> str:
    """The column's Spark type. Text is given the widest of its kind, so that later files land, too."""
    lowered = kind.lower()
    known = _WIDENED.get(family(lowered), kind)
    try:
        known = spark_type(known)
    except UnknownType:
        return "string"
    if form == "csv" and family(known) in {"array", "struct", "map"}:
        return "string"
    return known if form == "parquet" else _TEXT_WIDENED.get(known, known)


def _path_type(kind: str) -> str:
    return "bigint" if kind.lower() in {"int", "bigint", "smallint", "tinyint"} else "string"


def _pattern(keys: list[tuple[str, str]]) -> str:
    """``day={day}/**``: the named folders as values, the unnamed ones as anything."""
    parts = []
    for name, kind in keys:
        value = f"{{{column_name(name)}:int}}" if _path_type(kind) == "bigint" else f"{{{column_name(name)}}}"
        parts.append("*" if _UNNAMED_PARTITION.fullmatch(name) else f"{name}={value}")
    return "/".join([*parts, "**"])


# --- The plan ---------------------------------------------------------------------------------


def draft_plan(found: Sketch) -> DatasetPlan:
    """The plan by which files land as long as nobody has written a contract: no rules, nothing refused."""
    plan = DatasetPlan(
        plan_version=PLAN_VERSION,
        dataset=found.dataset,
        contracted=False,
        hash="",
        contract_version=None,
        format=_format(found),
        path_pattern=found.path_pattern,
        columns=_columns(found),
        primary_key=[],
        mode="append",
        sequence_column=None,
        snapshot_group=None,
        snapshot_files=None,
        evolution="evolve",
        rules=[],
        partition_by=[],
        bronze_table=False,
    )
    plan["hash"] = content_hash(plan)
    return plan


def _format(found: Sketch) -> FileFormat:
    return FileFormat(
        type=found.format,
        delimiter=found.delimiter,
        quote=found.quote,
        escape='"',
        header=found.header,
        encoding="UTF-8",
        multiline=False,
        null_tokens=[""] if found.format == "csv" else [],
        decimal=".",
        group="",
        true_tokens=["true"],
        false_tokens=["false"],
    )


def _columns(found: Sketch) -> list[PlanColumn]:
    names = unique_names(column.source_name for column in found.columns)
    return [
        PlanColumn(
            name=name,
            type=column.type,
            source="path" if column.in_path else "file",
            source_name=column_name(column.source_name) if column.in_path else column.source_name,
            required=False,
            date_format=None,
            timezone=None,
            classification=None,
            description=None,
        )
        for name, column in zip(names, found.columns, strict=True)
    ]


def unique_names(fields: Iterable[str]) -> list[str]:
    """Column names of the fields; where two become the same, the later ones get a number."""
    names: list[str] = []
    for field in fields:
        name, number = column_name(field), 2
        while name in names:
            name, number = f"{column_name(field)[: MAX_COLUMN_NAME - 4]}_{number}", number + 1
        names.append(name)
    return names


# --- The contract -----------------------------------------------------------------------------


def draft_contract(found: Sketch) -> str:
    """A contract in YAML that passes `check`, for somebody to finish: keys, rules, descriptions."""
    contract = {
        "apiVersion": "v3.2.0",
        "kind": "DataContract",
        "id": found.dataset,
        "name": found.dataset,
        "version": "0.1.0",
        "status": "draft",
        "description": {"purpose": "Drafted from the files. Say what the data is for."},
        "schema": [
            {
                "name": found.dataset,
                "description": "Say what one row is.",
                "customProperties": _options(found),
                "properties": [
                    _property(column, stated)
                    for column, stated in zip(_columns(found), found.columns, strict=True)
                ],
            }
        ],
    }
    return _INTRODUCTION + yaml.safe_dump(contract, sort_keys=False, allow_unicode=True, width=100)


_INTRODUCTION: Final = """\
# A draft. To finish it: say which columns are required or a key (required, primaryKey), which values are
# right (enum, logicalTypeOptions, quality), describe and classify the columns, set the status to active.
"""


def _options(found: Sketch) -> list[dict[str, Any]]:
    options: dict[str, Any] = {"format": found.format}
    if found.format == "csv":
        options |= {"delimiter": found.delimiter, "quote": found.quote, "header": found.header}
        defaults = {"delimiter": ",", "quote": '"', "header": True}
        options = {name: value for name, value in options.items() if defaults.get(name) != value}
    if found.path_pattern:
        options["pathPattern"] = found.path_pattern
    return [{"property": name, "value": value} for name, value in options.items()]


def _property(column: PlanColumn, stated: SketchColumn) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": column["name"]}
    if column["source_name"] != column["name"]:
        entry["physicalName"] = column["source_name"]
    entry |= logical_type(column["type"])
    if stated.in_path:
        entry["customProperties"] = [{"property": "source", "value": "path"}]
    return entry


def logical_type(kind: str) -> dict[str, Any]:
    """The standard's words for a Spark type."""
    if kind in {"string", "boolean", "date"}:
        return {"logicalType": kind}
    name = family(kind)
    if kind in INTEGER_TYPES:
        logical = "integer"
    elif kind in REAL_TYPES or name == "decimal":
        logical = "number"
    elif kind in TIME_TYPES:
        logical = "timestamp"
    else:
        logical = {"binary": "string", "struct": "object", "array": "array", "map": "map"}[name]
    entry: dict[str, Any] = {"logicalType": logical, "physicalType": kind}
    if name == "map":
        entry["map"] = {"key": {"logicalType": "string"}, "value": {"logicalType": "string"}}
    return entry
