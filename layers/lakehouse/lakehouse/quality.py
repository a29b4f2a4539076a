"""The rules of a contract: from the standard's attributes and quality entries to the rules of a plan."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from .column_types import INTEGER_TYPES, REAL_TYPES, TIME_TYPES, family, is_nested
from .expressions import row_expression_faults
from .options import Action, PropertyOptions, RuleOptions, read_options
from .problems import Problems, one_of
from .words import PlanRule, RuleKind

ENGINE: Final = "lakehouse"
_NAME: Final = re.compile(r"[a-z][A-Za-z0-9_]{0,127}")
_RANGE_KINDS: Final[dict[str, RuleKind]] = {"minimum": "min", "maximum": "max"}
_EXCLUSIVE: Final = {"exclusiveMinimum": ">", "exclusiveMaximum": "<"}
_LENGTH_KINDS: Final[dict[str, RuleKind]] = {"minLength": "minLength", "maxLength": "maxLength"}
_ARGUMENTS: Final = frozenset({"validValues", "pattern", *_RANGE_KINDS, *_LENGTH_KINDS})


@dataclass
class Rules:
    """The rules found so far. A rule stated again for the same columns replaces the implied one."""

    types: Mapping[str, str]
    problems: Problems
    found: dict[tuple[str, ...], PlanRule] = field(default_factory=dict)

    def add(
        self, kind: RuleKind, columns: list[str], value: object, action: Action, path: str, name: str = ""
    ) -> None:
        """Add one rule, named by its columns and kind unless it has a name of its own."""
        name = name or "_".join([*columns, kind])
        key = (kind, *columns, *([name] if kind == "sql" else []))
        rule = PlanRule(name=name, kind=kind, columns=columns, value=value, action=action)
        twins = [other for place, other in self.found.items() if other["name"] == name and place != key]
        if twins:
            self.problems.add(path, f"a second rule is named '{name}'", "Give it another name")
        self.found[key] = rule

    def listed(self) -> list[PlanRule]:
        """All rules, in the order they were first stated.

        A unique rule keeps the first row and turns later ones away. Were it to refuse whole files, that would
        make rows of others unique again, and the batch a file came in would decide what lands.
        """
        for rule in self.found.values():
            if rule["kind"] == "unique" and rule["action"] in {"rejectFile", "rejectBatch"}:
                self.problems.add(
                    "schema[0]",
                    f"the unique rule '{rule['name']}' cannot {rule['action']}",
                    "State it as a quality entry of its own (duplicateValues), to warn or quarantine",
                )
        return list(self.found.values())


def property_rules(
    rules: Rules, column: str, data: dict[str, Any], options: PropertyOptions, path: str, required: bool
) -> None:
    """Add what a property's own attributes demand: its type, required, unique, enum, logicalTypeOptions."""
    kind, action = rules.types[column], options.action
    if kind != "string":
        rules.add("type", [column], None, action, path)
    if required and options.source == "file":
        rules.add("required", [column], None, action, path)
    if data.get("unique"):
        rules.add("unique", [column], None, action, path)
    if "enum" in data:
        values = [entry["value"] for entry in data["enum"]]
        _add_enum(rules, column, values, action, f"{path}.enum", "")
    for name, value in (data.get("logicalTypeOptions") or {}).items():
        _add_option(rules, column, name, value, action, f"{path}.logicalTypeOptions.{name}")
    for index, entry in enumerate(data.get("quality") or []):
        quality_rule(rules, entry, f"{path}.quality[{index}]", column)


def _add_option(rules: Rules, column: str, name: str, value: Any, action: Action, path: str) -> None:
    if name in _EXCLUSIVE:
        literal = _sql_literal(value, rules.types[column])
        if _fits(rules, column, value, path):
            sql = f"`{column}` {_EXCLUSIVE[name]} {literal}"
            rules.add("sql", [column], sql, action, path, f"{column}_{name}")
    elif name == "multipleOf":
        rules.add("sql", [column], f"`{column}` % {value} = 0", action, path, f"{column}_{name}")
    elif name in _RANGE_KINDS or name in _LENGTH_KINDS or name == "pattern":
        _add_limit(rules, column, name, value, action, path, "")


def _add_limit(
    rules: Rules, column: str, name: str, value: Any, action: Action, path: str, rule_name: str
) -> None:
    """Add a min, max, length or pattern rule after checking that its value suits the column."""
    if name in _RANGE_KINDS:
        if _fits(rules, column, value, path):
            rules.add(_RANGE_KINDS[name], [column], value, action, path, rule_name)
    elif rules.types[column] != "string":
        rules.problems.add(path, f"{name} is for text, and '{column}' is {rules.types[column]}", "Remove it")
    elif name in _LENGTH_KINDS:
        rules.add(_LENGTH_KINDS[name], [column], value, action, path, rule_name)
    elif _pattern_reads(value, path, rules.problems):
        rules.add("pattern", [column], value, action, path, rule_name)


def _pattern_reads(value: Any, path: str, problems: Problems) -> bool:
    r"""Java knows more than Python does (``\p{Alpha}``); what neither knows is a mistake."""
    try:
        re.compile(re.sub(r"\\[pP]\{\w+\}", r"\\w", str(value)))
    except re.error as error:
        problems.add(path, f"is no regular expression ({error.msg})", "Mend it; anchor it with ^ and $")
        return False
    return True


def _fits(rules: Rules, column: str, value: Any, path: str) -> bool:
    """Whether a value can be compared with a column; notes a problem if not."""
    kind = rules.types[column]
    fits = _comparable(value, kind)
    if not fits:
        rules.problems.add(
            path,
            f"{value!r} cannot be compared with '{column}', which is {kind}",
            "Write a value of that type",
        )
    return fits


def _comparable(value: Any, kind: str) -> bool:
    if kind in INTEGER_TYPES:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in REAL_TYPES or family(kind) == "decimal":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str)
    if kind == "boolean":
        return isinstance(value, bool)
    return (kind == "date" or kind in TIME_TYPES) and _is_iso(value, kind)


def _is_iso(value: Any, kind: str) -> bool:
    try:
        parsed = dt.date.fromisoformat(value) if kind == "date" else dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return kind == "date" or (cast("dt.datetime", parsed).tzinfo is not None) == (kind == "timestamp")


def _sql_literal(value: Any, kind: str) -> str:
    return f"{kind.upper()} '{value}'" if kind == "date" or kind in TIME_TYPES else str(value)


def _add_enum(rules: Rules, column: str, values: Any, action: Action, path: str, name: str) -> None:
    if not isinstance(values, list) or not values:
        rules.problems.add(path, "is no list of values", "Write the allowed values as a list")
    elif is_nested(rules.types[column]):
        rules.problems.add(path, f"'{column}' is {rules.types[column]}", "Use a custom rule instead")
    elif sum(not _fits(rules, column, value, path) for value in values) == 0:
        rules.add("enum", [column], values, action, path, name)


def quality_rule(rules: Rules, entry: dict[str, Any], path: str, column: str | None = None) -> None:
    """Add the rule of one quality entry, of a property (``column``) or of the schema object."""
    kind = entry.get("type", "library" if "metric" in entry else None)
    options = read_options(RuleOptions, entry.get("customProperties") or [], path, rules.problems)
    name = entry.get("name", "")
    if name and not _NAME.fullmatch(name):
        rules.problems.add(f"{path}.name", f"'{name}' is no rule name", "Use letters, digits and underscores")
    if options is None or kind == "text":
        return
    if kind == "custom":
        _add_custom(rules, entry, name, options.action, path, column)
    elif kind == "library":
        _add_library(rules, entry, name, options.action, path, column)
    else:
        rules.problems.add(
            path,
            f"a quality entry of type '{kind}' does not judge rows",
            f"Use 'type: custom, engine: {ENGINE}, implementation: <boolean SQL over the row>'",
        )


def _add_custom(
    rules: Rules, entry: dict[str, Any], name: str, action: Action, path: str, column: str | None
) -> None:
    if entry["engine"] != ENGINE:
        return  # another tool's rule: theirs to run
    sql = entry["implementation"]
    if not name:
        rules.problems.add(path, "an SQL rule needs a name", "Add 'name: what_holds'")
    if not isinstance(sql, str):
        rules.problems.add(f"{path}.implementation", "is no text", "Write one boolean SQL expression")
        return
    faults = row_expression_faults(sql, rules.types)
    for what, remedy in faults:
        rules.problems.add(f"{path}.implementation", what, remedy)
    if not faults and name:
        columns = [column] if column else [c for c in rules.types if re.search(rf"\b{c}\b", sql)]
        rules.add("sql", columns, sql.strip(), action, path, name)


def _add_library(
    rules: Rules, entry: dict[str, Any], name: str, action: Action, path: str, column: str | None
) -> None:
    metric, arguments = entry["metric"], entry.get("arguments") or {}
    if entry.get("mustBe") != 0:
        rules.problems.add(path, "only 'mustBe: 0' is supported", "A rule judges rows: each bad row counts")
    elif metric == "nullValues" and column:
        rules.add("required", [column], None, action, path, name)
    elif metric == "duplicateValues":
        columns = [column] if column else arguments.get("properties")
        _add_unique(rules, columns, name, action, path)
    elif metric == "invalidValues" and column:
        _add_invalid(rules, arguments, name, action, path, column)
    else:
        rules.problems.add(f"{path}.metric", f"'{metric}' is not supported here", "Use a custom rule instead")


def _add_unique(rules: Rules, columns: Any, name: str, action: Action, path: str) -> None:
    if not isinstance(columns, list) or not columns:
        rules.problems.add(path, "does not say which columns", "Add 'arguments: {properties: [...]}'")
        return
    unknown = [column for column in columns if column not in rules.types]
    for wrong in unknown:
        rules.problems.add(path, f"'{wrong}' is no column", one_of(str(wrong), rules.types))
    if not unknown:
        rules.add("unique", columns, None, action, path, name)


def _add_invalid(
    rules: Rules, arguments: dict[str, Any], name: str, action: Action, path: str, column: str
) -> None:
    unknown = sorted(set(arguments) - _ARGUMENTS)
    if unknown or len(arguments) != 1:
        rules.problems.add(
            f"{path}.arguments", "must hold exactly one argument", one_of("".join(unknown), _ARGUMENTS)
        )
        return
    argument, value = next(iter(arguments.items()))
    if argument == "validValues":
        _add_enum(rules, column, value, action, f"{path}.arguments", name)
    else:
        _add_limit(rules, column, argument, value, action, f"{path}.arguments.{argument}", name)
