"""The rules of a plan as bits: one pass marks in every row which of them it broke.

A row carries its broken rules as bits of one or more bigint columns (``__b0``...), so that counting them
is one grouped count, whatever their number; the names appear when the row is written to quarantine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Literal

from pyspark.sql import Column, functions

from lakehouse import words
from lakehouse_spark.cast import literal, quoted
from lakehouse_spark.errors import BadPlan

BITS_PER_COLUMN: Final = 62
KEEP_OUT: Final = frozenset({"quarantine", "rejectFile", "rejectBatch"})

Kind = words.RuleKind | Literal["unreadable", "unknown"]


@dataclass(frozen=True)
class Rule:
    """A rule and its bit. ``reported`` is False for what the job itself adds beside the contract's rules."""

    name: str
    kind: Kind
    columns: tuple[str, ...]
    value: object
    action: words.RuleAction
    reported: bool = True


class RuleBook:
    """All rules of a run, in a fixed order: the order is the bit."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = list(rules)

    @property
    def bit_columns(self) -> list[str]:
        """The names of the bigint columns that hold the bits."""
        return [f"__b{number}" for number in range(-(-len(self.rules) // BITS_PER_COLUMN))]

    def of_kind(self, kind: Kind, column: str | None = None) -> list[tuple[int, Rule]]:
        """Bit and rule of a kind, of one column if given."""
        return [
            (bit, rule)
            for bit, rule in enumerate(self.rules)
            if rule.kind == kind and (column is None or column in rule.columns)
        ]

    def mask_sql(self, actions: frozenset[str], bits: Sequence[str] = ()) -> str:
        """SQL: whether a row broke a rule with one of the actions. ``bits``: SQL of the bit columns, if
        they are no columns yet.
        """
        masks = [0] * len(self.bit_columns)
        for bit, rule in enumerate(self.rules):
            if rule.action in actions:
                masks[bit // BITS_PER_COLUMN] |= 1 << (bit % BITS_PER_COLUMN)
        tests = [
            f"(({name}) & {mask}L) != 0L"
            for name, mask in zip(bits or self.bit_columns, masks, strict=True)
            if mask
        ]
        return "(" + " OR ".join(tests) + ")" if tests else "false"

    def bits_sql(self, broken: Mapping[int, str]) -> list[str]:
        """SQL of each bit column from SQL conditions by bit."""
        terms: list[list[str]] = [["0L"] for _ in self.bit_columns]
        for bit, condition in broken.items():
            weight = 1 << (bit % BITS_PER_COLUMN)
            terms[bit // BITS_PER_COLUMN].append(f"CASE WHEN {condition} THEN {weight}L ELSE 0L END")
        return [" | ".join(term) for term in terms]

    def names_sql(self) -> str:
        """SQL: array<string> of the names of the rules a row broke, in the plan's order."""
        names = [
            f"CASE WHEN {self.is_broken_sql(bit)} THEN {literal(rule.name)} END"
            for bit, rule in enumerate(self.rules)
        ]
        return f"array_compact(array({', '.join(names)}))"

    def is_broken_sql(self, bit: int) -> str:
        """SQL: whether a row broke the rule with that bit."""
        return f"({quoted(self.bit_columns[bit // BITS_PER_COLUMN])} & {1 << (bit % BITS_PER_COLUMN)}L) != 0L"

    def broken(self, bits: Iterable[int]) -> list[int]:
        """The numbers of the rules whose bits are set in the values of the bit columns."""
        return [
            place * BITS_PER_COLUMN + bit
            for place, value in enumerate(bits)
            for bit in range(BITS_PER_COLUMN)
            if value >> bit & 1
        ]


def rule_book(plan: words.DatasetPlan, *, mistyped_lands: bool) -> RuleBook:
    """The plan's rules and those that hold without being written.

    ``mistyped_lands``: a mistyped value goes to ``_rescued``, so breaking a ``type`` rule only counts.
    """
    rules = [Rule(r["name"], r["kind"], tuple(r["columns"]), r["value"], r["action"]) for r in plan["rules"]]
    if mistyped_lands:
        rules = [replace(rule, action="warn") if rule.kind == "type" else rule for rule in rules]
    held = {(rule.kind, rule.columns) for rule in rules}
    for key in plan["primary_key"]:
        if ("required", (key,)) not in held:
            rules.append(Rule(f"{key}_required", "required", (key,), None, "quarantine"))
    if not any(rule.kind == "malformed" for rule in rules):
        rules.append(Rule("malformed", "malformed", (), None, "quarantine"))
    rules.append(Rule("unreadable", "unreadable", (), None, "rejectFile", reported=False))
    if plan["evolution"] == "strict":
        rules.append(Rule("unknown", "unknown", (), None, "rejectFile", reported=False))
    return RuleBook(rules)


def value_rule_sql(rule: Rule, types: Mapping[str, str]) -> str | None:
    """SQL: whether a row's typed columns break ``rule``; null counts as not broken. None for other kinds
    of rules.
    """
    if rule.kind == "sql":
        return f"NOT ({rule.value})"
    if rule.kind not in {"enum", "min", "max", "minLength", "maxLength", "pattern"}:
        return None
    tests = [_column_rule_sql(rule, column, types[column]) for column in rule.columns]
    return "(" + " OR ".join(tests) + ")"


def _column_rule_sql(rule: Rule, column: str, kind: str) -> str:
    name = quoted(column)
    match rule.kind:
        case "enum":
            return f"{name} NOT IN ({', '.join(value_sql(v, kind) for v in _listed(rule))})"
        case "min":
            return f"{name} < {value_sql(rule.value, kind)}"
        case "max":
            return f"{name} > {value_sql(rule.value, kind)}"
        case "minLength":
            return f"length({name}) < {int(str(rule.value))}"
        case "maxLength":
            return f"length({name}) > {int(str(rule.value))}"
        case _:
            return f"NOT ({name} RLIKE {literal(str(rule.value))})"


def _listed(rule: Rule) -> list[object]:
    if not isinstance(rule.value, list) or not rule.value:
        raise BadPlan(f"rule {rule.name}: an enum needs a list of values")
    return rule.value


def value_sql(value: object, kind: str) -> str:
    """A rule's value as SQL, comparable with a column of type ``kind``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | Decimal) and kind != "string":
        number = format(Decimal(str(value)), "f")
        return f"CAST({literal(number)} AS DOUBLE)" if kind in {"float", "double"} else f"{number}BD"
    return literal(str(value)) if kind == "string" else f"CAST({literal(str(value))} AS {kind})"


def constant(sql: str) -> Column:
    """A column of an SQL expression."""
    return functions.expr(sql)
