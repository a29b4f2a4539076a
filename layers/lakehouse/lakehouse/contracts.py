"""Contracts: from Open Data Contract Standard YAML to the plan a run needs, or to every mistake in it.

A contract is ``contracts/<dataset>.yaml``. It is checked in three steps: the standard's own JSON schema and
model, our customProperties, and what both say about each other. All problems are collected, then raised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jsonschema
from open_data_contract_standard.model import OpenDataContractStandard
from pydantic import ValidationError

from .column_types import INTEGER_TYPES, TIME_TYPES, UnknownType, family, is_nested, property_type
from .errors import DefinitionError
from .options import DatasetOptions, PropertyOptions, read_options
from .plans import PLAN_VERSION, content_hash, is_timezone
from .problems import Problems, one_of
from .quality import Rules, property_rules, quality_rule
from .service_levels import freshness_seconds
from .words import (
    DATASET_PATTERN,
    DatasetPlan,
    FileFormat,
    MaintenanceTargets,
    PartitionField,
    PlanColumn,
    path_regex,
)
from .yaml_text import read_mapping

SUFFIX: Final = ".yaml"
MEBIBYTE: Final = 1024**2

_COLUMN: Final = re.compile(r"[a-z][a-z0-9_]{0,127}")
_SCHEMA: Final = "schema[0]"
_CSV_ONLY: Final = (
    "delimiter", "quote", "escape", "header", "columnOrder", "multiline", "decimal", "group",
)  # fmt: skip
_ZONE_LETTERS: Final = frozenset("VzOXxZ")
_REFUSED_LETTERS: Final = frozenset("YwWuecA")
_TRANSFORM_FAMILIES: Final = {
    "year": {"date", *TIME_TYPES},
    "month": {"date", *TIME_TYPES},
    "day": {"date", *TIME_TYPES},
    "hour": set(TIME_TYPES),
}
_PATH_TYPES: Final = {
    "int": {"int", "bigint", "string"},
    "date": {"date", "string"},
    "string": {"string"},
}
_ERROR_TEXT: Final = 200


def compile_contract(text: str, file: str) -> DatasetPlan:
    """Compile one contract.

    Arguments: ``text`` is the YAML; ``file`` its path, whose stem is the dataset. Raises ``DefinitionError``
    with every problem found.
    """
    problems = Problems(file)
    data = read_mapping(text, problems)
    if data is None or not _meets_standard(data, problems):
        problems.end()
    assert data is not None  # noqa: S101 - end() has raised
    plan = _compile(data, Path(file).stem, problems)
    problems.end()
    assert plan is not None  # noqa: S101 - end() has raised
    return plan


def compile_contracts(directory: Path, shown_as: str = "contracts") -> dict[str, DatasetPlan]:
    """Compile all contracts of a directory, by dataset. Raises ``DefinitionError`` with every problem."""
    plans: dict[str, DatasetPlan] = {}
    found: list[str] = []
    for path in sorted(directory.iterdir()):
        file = f"{shown_as}/{path.name}"
        if path.suffix == ".yml":
            found.append(f"{file}: is not read. Name it {path.stem}{SUFFIX}.")
        if path.suffix != SUFFIX:
            continue
        try:
            plan = compile_contract(path.read_text(encoding="utf-8"), file)
            plans[plan["dataset"]] = plan
        except DefinitionError as error:
            found.extend(error.problems)
        except UnicodeDecodeError:
            found.append(f"{file}: is not UTF-8 text. Save it as UTF-8.")
    if found:
        raise DefinitionError(tuple(found))
    return plans


# --- The standard -----------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _validator() -> Any:
    text = resources.files("open_data_contract_standard").joinpath("schema.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    return jsonschema.validators.validator_for(schema)(schema)


def _meets_standard(data: dict[str, Any], problems: Problems) -> bool:
    """Check against the standard's JSON schema, then its model; notes what does not fit."""
    for error in sorted(_validator().iter_errors(data), key=lambda item: list(map(str, item.absolute_path))):
        place, what = _deepest(error)
        if what.startswith("Unevaluated") and problems.found:
            continue  # the same again: what is not allowed was not evaluated
        if "logicalType" in error.absolute_path or not _lacks_type(error.instance):
            problems.add(place, what, "See the Open Data Contract Standard")
        else:
            problems.add(place, "has no logicalType", "Set it, e.g. logicalType: string")
    if problems.found:
        return False
    try:
        OpenDataContractStandard.model_validate(data)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            problems.add(
                _dotted(item["loc"]), item["msg"][:_ERROR_TEXT], "See the Open Data Contract Standard"
            )
    return not problems.found


def _lacks_type(instance: Any) -> bool:
    """A property without a logicalType breaks a dozen rules of the schema, none of which says so."""
    return isinstance(instance, dict) and "name" in instance and "logicalType" not in instance


def _deepest(error: Any) -> tuple[str, str]:
    """The place and words of the most telling part of a nested schema error."""
    while error.context:
        error = max(error.context, key=lambda item: len(item.absolute_path))
    return _dotted(error.absolute_path), error.message[:_ERROR_TEXT].rstrip(".")


def _dotted(parts: Any) -> str:
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


# --- From the contract to the plan ------------------------------------------------------------


def _compile(data: dict[str, Any], dataset: str, problems: Problems) -> DatasetPlan | None:
    table = _only_table(data, dataset, problems)
    if table is None:
        return None
    options = read_options(DatasetOptions, table.get("customProperties") or [], _SCHEMA, problems)
    if data.get("customProperties"):
        _refuse_misplaced(data["customProperties"], problems)
    if options is None:
        return None
    variables = _path_variables(options, problems)
    columns, details = _columns(table, options, variables, problems)
    rules = _rules(table, columns, details, options, problems)
    primary_key = _ordered(table, details, "primaryKey", "primaryKeyPosition")
    plan = DatasetPlan(
        plan_version=PLAN_VERSION,
        dataset=dataset,
        contracted=True,
        hash="",
        contract_version=str(data["version"]),
        format=_format(options),
        path_pattern=options.path_pattern,
        columns=columns,
        primary_key=primary_key,
        mode=options.mode if options.mode in {"append", "upsert", "snapshot"} else "append",
        sequence_column=options.sequence_column,
        snapshot_group=options.snapshot_group,
        snapshot_files=_snapshot_files(options),
        evolution=options.schema_evolution,
        rules=rules,
        partition_by=_partitions(table, details, columns, problems),
        bronze_table=False,
    )
    if domain := data.get("domain"):
        plan["domain"] = domain
    if limit := freshness_seconds(data.get("slaProperties") or [], dataset, problems):
        plan["freshness_seconds"] = limit
    if options.intake == "scheduled":
        plan["scheduled"] = True
    if targets := _maintenance(options):
        plan["maintenance"] = targets
    _check_format(options, table, columns, problems)
    _check_mode(options, plan, variables, problems)
    plan["bronze_table"] = reads_faithfully(plan, options.column_order == "fixed")
    plan["hash"] = content_hash(plan)
    return plan


def _maintenance(options: DatasetOptions) -> MaintenanceTargets:
    """What the contract asks of maintenance; empty where it leaves that to the lake's defaults."""
    targets: MaintenanceTargets = {}
    if options.maximum_delay_days is not None:
        targets["maximum_delay_days"] = options.maximum_delay_days
    if options.target_file_mebibytes is not None:
        targets["target_file_bytes"] = options.target_file_mebibytes * MEBIBYTE
    return targets


def _only_table(data: dict[str, Any], dataset: str, problems: Problems) -> dict[str, Any] | None:
    """The contract's one schema object, whose name is the dataset's, which is the file's."""
    tables = data.get("schema") or []
    if len(tables) != 1:
        problems.add("schema", f"holds {len(tables)} objects", "Describe exactly one dataset per contract")
        return None
    name = tables[0]["name"]
    if not DATASET_PATTERN.fullmatch(name):
        problems.add(
            f"{_SCHEMA}.name",
            f"'{name}' is no dataset name",
            "Use lower case letters, digits and single underscores, a letter first, at most 63 characters",
        )
    elif name != dataset:
        problems.add(f"{_SCHEMA}.name", f"'{name}' is not the file's name", f"Name the file {name}{SUFFIX}")
    if not tables[0].get("properties"):
        problems.add(f"{_SCHEMA}.properties", "is missing", "Describe the columns")
        return None
    table: dict[str, Any] = tables[0]
    return table


def _refuse_misplaced(entries: list[dict[str, Any]], problems: Problems) -> None:
    for entry in entries:
        if entry.get("vendor", "lakehouse") == "lakehouse":
            problems.add(
                f"customProperties[{entry['property']}]",
                "is not read here",
                f"Move it to {_SCHEMA}.customProperties, or name its vendor",
            )


def _path_variables(options: DatasetOptions, problems: Problems) -> dict[str, str]:
    """The names a path pattern catches, with their kinds (int, date, string)."""
    if options.path_pattern is None:
        return {}
    place = f"{_SCHEMA}.customProperties[pathPattern]"
    try:
        path_regex(options.path_pattern)
    except ValueError as error:
        problems.add(
            place, str(error), "Write {name}, {name:int}, {name:date}, * and **, e.g. year={year:int}/*"
        )
        return {}
    if options.path_pattern.startswith("/"):
        problems.add(place, "begins with a slash", "Begin below the dataset's folder")
    return {
        name: kind or "string"
        for name, kind in re.findall(r"\{([a-z][a-z0-9_]*)(?::([a-z]+))?\}", options.path_pattern)
    }


def _columns(
    table: dict[str, Any], options: DatasetOptions, variables: dict[str, str], problems: Problems
) -> tuple[list[PlanColumn], dict[str, PropertyOptions]]:
    """The plan's columns and, by column, the options of each property that could be read."""
    columns: list[PlanColumn] = []
    details: dict[str, PropertyOptions] = {}
    for index, data in enumerate(table["properties"]):
        place = f"{_SCHEMA}.properties[{index}]"
        detail = read_options(PropertyOptions, data.get("customProperties") or [], place, problems)
        _check_column_name(data["name"], details, place, problems)
        try:
            kind = property_type(data)
        except UnknownType as error:
            problems.add(place, f"'{data['name']}' {error.what}", error.remedy)
            continue
        if detail is None:
            continue
        details[data["name"]] = detail
        column = _column(data, kind, detail, options)
        _check_column(column, data, variables, options, place, problems)
        columns.append(column)
    _check_source_names(columns, problems)
    return columns, details


def _check_column_name(name: str, known: Mapping[str, Any], place: str, problems: Problems) -> None:
    if name.startswith("_"):
        problems.add(
            f"{place}.name", f"'{name}' begins with _, which is kept for our own columns", "Rename it"
        )
    elif not _COLUMN.fullmatch(name):
        problems.add(
            f"{place}.name",
            f"'{name}' is no column name",
            "Use lower case letters, digits and underscores; give the file's name as physicalName",
        )
    elif name in known:
        problems.add(f"{place}.name", f"'{name}' stands twice", "Keep one of them")


def _column(data: dict[str, Any], kind: str, detail: PropertyOptions, options: DatasetOptions) -> PlanColumn:
    logical = data.get("logicalTypeOptions") or {}
    zone = logical.get("defaultTimezone") or options.timezone
    return PlanColumn(
        name=data["name"],
        type=kind,
        source=detail.source,
        source_name=data.get("physicalName") or data["name"],
        required=_is_required(data, detail),
        date_format=logical.get("format") if kind == "date" or kind in TIME_TYPES else None,
        timezone=zone if kind == "timestamp" else None,
        classification=data.get("classification"),
        description=_one_line(data.get("description")),
    )


def _is_required(data: dict[str, Any], detail: PropertyOptions) -> bool:
    return bool(data.get("required") or data.get("primaryKey") or detail.source == "path")


def _one_line(text: str | None) -> str | None:
    return " ".join(text.split()) if text else None


def _check_column(
    column: PlanColumn,
    data: dict[str, Any],
    variables: dict[str, str],
    options: DatasetOptions,
    place: str,
    problems: Problems,
) -> None:
    kind = column["type"]
    if column["source"] == "path":
        _check_path_column(column, variables, place, problems)
    if (is_nested(kind) or kind == "binary") and options.format == "csv":
        problems.add(place, f"a csv file cannot hold {kind}", "Use string, or another format")
    if kind == "binary" and options.format in {"json", "jsonl"}:
        problems.add(place, "a JSON file cannot hold binary", "Use string")
    if data.get("primaryKey") and (is_nested(kind) or kind in {"float", "double", "binary"}):
        problems.add(f"{place}.primaryKey", f"{kind} cannot be a key", "Choose another key")
    _check_zone(column["timezone"], place, problems)
    if column["date_format"] is not None:
        _check_date_format(column, data, place, problems)


def _check_path_column(column: PlanColumn, variables: dict[str, str], place: str, problems: Problems) -> None:
    variable = column["source_name"]
    if variable not in variables:
        known = one_of(variable, variables) if variables else "Set the dataset's pathPattern"
        problems.add(place, f"the path has no value '{variable}'", known)
    elif column["type"] not in _PATH_TYPES.get(variables[variable], {"string"}):
        problems.add(
            place,
            f"the path's value '{variable}' is {variables[variable]}, the column {column['type']}",
            "Let them agree, e.g. {" + variable + ":int} and int",
        )


def _check_zone(zone: str | None, place: str, problems: Problems) -> None:
    if zone is not None and not is_timezone(zone):
        problems.add(place, f"'{zone}' is no time zone", "Use a name like UTC or America/New_York")


def _check_date_format(column: PlanColumn, data: dict[str, Any], place: str, problems: Problems) -> None:
    """Spark's patterns are java.time's without week dates; a zone in the text decides the type."""
    pattern = column["date_format"] or ""
    letters = set(re.sub(r"'[^']*'", "", pattern)) & set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    )
    place = f"{place}.logicalTypeOptions.format"
    if wrong := sorted(letters & _REFUSED_LETTERS):
        problems.add(place, f"Spark does not read the pattern letter '{wrong[0]}'", "Use yyyy, MM and dd")
    has_zone = bool(letters & _ZONE_LETTERS)
    if column["type"] == "timestamp" and not has_zone and column["timezone"] is None:
        problems.add(
            place,
            "times without a zone are no instants",
            "Set the timezone (customProperties), a defaultTimezone, or physicalType timestamp_ntz",
        )
    if column["type"] == "timestamp_ntz" and has_zone:
        problems.add(place, "the text carries a zone", f"Set the type of '{data['name']}' to timestamp")


def _check_source_names(columns: list[PlanColumn], problems: Problems) -> None:
    seen: dict[tuple[str, str], str] = {}
    for index, column in enumerate(columns):
        key = (column["source"], column["source_name"].lower())
        if seen.setdefault(key, column["name"]) != column["name"]:
            problems.add(
                f"{_SCHEMA}.properties[{index}]",
                f"a second column reads '{column['source_name']}'",
                "Read each field once (case does not count)",
            )


def _rules(
    table: dict[str, Any],
    columns: list[PlanColumn],
    details: dict[str, PropertyOptions],
    options: DatasetOptions,
    problems: Problems,
) -> list[Any]:
    rules = Rules({column["name"]: column["type"] for column in columns}, problems)
    rules.add("malformed", [], None, options.malformed_action, _SCHEMA)
    by_name = {column["name"]: column for column in columns}
    for index, data in enumerate(table["properties"]):
        if data["name"] in by_name:
            column = by_name[data["name"]]
            place = f"{_SCHEMA}.properties[{index}]"
            property_rules(rules, column["name"], data, details[column["name"]], place, column["required"])
    for index, entry in enumerate(table.get("quality") or []):
        quality_rule(rules, entry, f"{_SCHEMA}.quality[{index}]")
    return rules.listed()


def _ordered(table: dict[str, Any], details: Mapping[str, Any], flag: str, position: str) -> list[str]:
    """The properties with a flag, by their stated position, else as they stand."""
    chosen = [data for data in table["properties"] if data.get(flag) and data["name"] in details]
    return [data["name"] for data in sorted(chosen, key=lambda data: data.get(position, 0))]


def _partitions(
    table: dict[str, Any], details: dict[str, PropertyOptions], columns: list[PlanColumn], problems: Problems
) -> list[PartitionField]:
    types = {column["name"]: column["type"] for column in columns}
    fields = []
    for name in _ordered(table, details, "partitioned", "partitionKeyPosition"):
        transform = details[name].partition_transform
        fields.append(PartitionField(column=name, transform=transform))
        index = next(i for i, data in enumerate(table["properties"]) if data["name"] == name)
        place = f"{_SCHEMA}.properties[{index}].partitioned"
        if types[name] not in _TRANSFORM_FAMILIES.get(transform, {types[name]}):
            problems.add(place, f"no {transform} can be taken of {types[name]}", "Use identity")
        if is_nested(types[name]) or types[name] in {"float", "double", "binary"}:
            problems.add(place, f"{types[name]} cannot be a partition", "Choose another column")
    for name, detail in details.items():
        if detail.partition_transform != "identity" and name not in {field["column"] for field in fields}:
            problems.add(
                _SCHEMA, f"'{name}' has a partitionTransform but is not partitioned", "Set partitioned"
            )
    return fields


def _format(options: DatasetOptions) -> FileFormat:
    return FileFormat(
        type=options.format,
        delimiter=options.delimiter,
        quote=options.quote,
        escape=options.escape,
        header=options.header,
        encoding=options.encoding,
        multiline=options.multiline,
        null_tokens=list(options.null_tokens) if options.format == "csv" else [],
        decimal=options.decimal,
        group=options.group,
        true_tokens=list(options.true_tokens),
        false_tokens=list(options.false_tokens),
    )


def _check_format(
    options: DatasetOptions, table: dict[str, Any], columns: list[PlanColumn], problems: Problems
) -> None:
    stated = {entry["property"] for entry in table.get("customProperties") or []}
    place = f"{_SCHEMA}.customProperties"
    if options.format != "csv":
        for name in sorted(stated & {*_CSV_ONLY, "nullTokens", "trueTokens", "falseTokens"}):
            problems.add(f"{place}[{name}]", f"means nothing for {options.format} files", "Remove it")
    if options.format == "parquet" and "encoding" in stated:
        problems.add(f"{place}[encoding]", "means nothing for parquet files", "Remove it")
    if options.delimiter in {options.quote, options.escape, "\n", "\r"}:
        problems.add(f"{place}[delimiter]", "is also the quote, the escape or a line end", "Choose another")
    if options.group and options.group == options.decimal:
        problems.add(f"{place}[group]", "is the decimal character too", "Choose another")
    if set(options.true_tokens) & set(options.false_tokens):
        problems.add(f"{place}[trueTokens]", "shares a token with falseTokens", "Let them differ")
    if columns and all(column["source"] == "path" for column in columns):
        problems.add(f"{_SCHEMA}.properties", "no column comes from the file", "Describe the file's columns")
    _check_zone(options.timezone, f"{place}[timezone]", problems)


def _snapshot_files(options: DatasetOptions) -> int | None:
    if options.mode != "snapshot":
        return None
    return options.snapshot_files or 1


def _check_mode(
    options: DatasetOptions, plan: DatasetPlan, variables: dict[str, str], problems: Problems
) -> None:
    place = f"{_SCHEMA}.customProperties"
    if options.mode in {"cdc", "scd2"}:
        problems.add(
            f"{place}[mode]", f"'{options.mode}' is not supported yet", "Use append, upsert or snapshot"
        )
    if options.mode == "upsert" and not plan["primary_key"]:
        problems.add(f"{place}[mode]", "upsert needs a key", "Set primaryKey: true on the key's properties")
    if options.sequence_column is not None:
        _check_sequence(options, plan, f"{place}[sequenceColumn]", problems)
    if options.mode != "snapshot":
        for name in ("snapshotGroup", "snapshotFiles"):
            if (
                getattr(options, "snapshot_group" if name == "snapshotGroup" else "snapshot_files")
                is not None
            ):
                problems.add(f"{place}[{name}]", "needs mode snapshot", "Remove it or set the mode")
    elif options.snapshot_group is not None and options.snapshot_group not in variables:
        problems.add(
            f"{place}[snapshotGroup]",
            f"the path has no value '{options.snapshot_group}'",
            one_of(options.snapshot_group, variables) if variables else "Set the pathPattern",
        )
    elif options.snapshot_group is None and (options.snapshot_files or 1) > 1:
        problems.add(f"{place}[snapshotFiles]", "without a group a file is the snapshot", "Set snapshotGroup")


def _check_sequence(options: DatasetOptions, plan: DatasetPlan, place: str, problems: Problems) -> None:
    column = next((c for c in plan["columns"] if c["name"] == options.sequence_column), None)
    if options.mode != "upsert":
        problems.add(place, f"means nothing in mode {options.mode}", "Remove it or set mode to upsert")
    if column is None:
        names = [c["name"] for c in plan["columns"]]
        problems.add(
            place, f"'{options.sequence_column}' is no column", one_of(str(options.sequence_column), names)
        )
    elif not (family(column["type"]) in {"decimal", "date"} or column["type"] in INTEGER_TYPES | TIME_TYPES):
        problems.add(place, f"{column['type']} gives no sure order", "Use a number, a date or a timestamp")
    elif not column["required"]:
        problems.add(place, f"'{column['name']}' may be null", "Set required: true on it")


# --- Bronze -----------------------------------------------------------------------------------


def reads_faithfully(plan: DatasetPlan, fixed_order: bool) -> bool:
    """Whether Athena's readers show the files as they are, so that a Bronze table is worth having.

    ``fixed_order`` says that all csv files hold the contract's columns in the contract's order: Athena reads
    csv by position. Not faithful: JSON arrays, quoted newlines, encodings other than UTF-8, nested types in
    csv, a path pattern with a wildcard above the file (one partition would be many folders).
    """
    form = plan["format"]
    folders = (plan["path_pattern"] or "").rpartition("/")[0]
    if "*" in folders and "{" in folders:
        return False
    if form["type"] == "csv":
        return form["encoding"] == "UTF-8" and not form["multiline"] and (fixed_order or not form["header"])
    if form["type"] == "parquet":
        names = [column for column in plan["columns"] if column["source"] == "file"]
        return all(column["source_name"] == column["name"] for column in names)
    return form["type"] == "jsonl" and form["encoding"] == "UTF-8"
