"""Raw rows as typed rows: strict casts, the bits of the broken rules, what is rescued, the raw record of
bad rows.

Reads what ``read.with_origin`` gives; writes the columns of the plan and

    _rescued (string, where the plan keeps such), __unknown (map, where JSON may bring new columns),
    _source_version_id, _source_row, __b0... (bigint), __raw (string, null for a good row), __key (string).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame, SparkSession

from lakehouse import words
from lakehouse_spark.cast import Style, as_text, literal, quoted, strict_native
from lakehouse_spark.read import Group, Raw, read_group, with_origin
from lakehouse_spark.rules import KEEP_OUT, RuleBook, rule_book, value_rule_sql
from lakehouse_spark.schema import Column, adds_columns, keeps_rescued

UNKNOWN = "__unknown"
RAW = "__raw"
KEY = "__key"


@dataclass(frozen=True)
class Reading:
    """How a run reads: its columns and rules."""

    plan: words.DatasetPlan
    columns: tuple[Column, ...]
    book: RuleBook
    style: Style
    json: bool

    @property
    def names(self) -> list[str]:
        """The business columns, and ``_rescued`` where the plan keeps it."""
        rescued = [words.RESCUED] if keeps_rescued(self.plan) else []
        return [column.name for column in self.columns] + rescued

    @property
    def finds_columns(self) -> bool:
        """Whether new columns show only in the rows."""
        return self.json and adds_columns(self.plan)


def reading(plan: words.DatasetPlan, columns: Sequence[Column]) -> Reading:
    """How to read files of ``plan`` as ``columns``."""
    form = plan["format"]
    style = Style()
    if form["type"] == "csv":
        true, false = tuple(form["true_tokens"]) or ("true",), tuple(form["false_tokens"]) or ("false",)
        style = Style(form["decimal"], form["group"], true, false)
    elif form["type"] != "parquet":
        style = Style(".", "", ("true", *form["true_tokens"]), ("false", *form["false_tokens"]))
    book = rule_book(plan, mistyped_lands=keeps_rescued(plan))
    return Reading(plan, tuple(columns), book, style, form["type"] in {"json", "jsonl"})


def parsed(spark: SparkSession, groups: Sequence[Group], how: Reading) -> DataFrame:
    """All rows of all groups, typed and judged by the rules that one row can break by itself."""
    frames = [_typed(spark, group, how) for group in groups]
    return reduce(DataFrame.union, frames)


def _typed(spark: SparkSession, group: Group, how: Reading) -> DataFrame:
    raw = read_group(spark, group, how.columns, how.plan)
    frame = with_origin(spark, raw, group)
    frame = frame.selectExpr(
        "*", *(f"{_value(how, raw, i)} AS {quoted(c.name)}" for i, c in enumerate(how.columns))
    )
    return frame.selectExpr(*_kept(how, raw, _bits(how, raw)))


def _value(how: Reading, raw: Raw, number: int) -> str:
    column, text = how.columns[number], raw.texts[number]
    if text is None:
        return f"CAST(NULL AS {column.type})"
    value = strict_native(text[0], text[1], column.type, how.style, column.date_format, column.timezone)
    return value if column.type == "string" else f"CAST({value} AS {column.type})"


def _is_mistyped(how: Reading, raw: Raw, number: int) -> str:
    """SQL: whether the value is there but does not fit its column."""
    text = raw.texts[number]
    if text is None or text[1] == how.columns[number].type:
        return "false"
    return f"(({text[0]}) IS NOT NULL AND {quoted(how.columns[number].name)} IS NULL)"


def _bits(how: Reading, raw: Raw) -> list[str]:
    numbers = {column.name: number for number, column in enumerate(how.columns)}
    types = {column.name: column.type for column in how.columns}
    broken: dict[int, str] = {}
    for bit, rule in enumerate(how.book.rules):
        if rule.kind == "type":
            tests = [_is_mistyped(how, raw, numbers[name]) for name in rule.columns]
        elif rule.kind == "required":
            tests = [_is_missing(how, raw, numbers[name]) for name in rule.columns]
        elif rule.kind == "unknown":
            tests = [f"size({raw.unknown}) > 0"] if raw.unknown else []
        else:
            tests = [test] if (test := value_rule_sql(rule, types)) else []
        tests = [test for test in tests if test != "false"]
        if tests:
            broken[bit] = " OR ".join(tests)
    return _alone_if_malformed(how.book, raw, how.book.bits_sql(broken))


def _is_missing(how: Reading, raw: Raw, number: int) -> str:
    """A value that is there but mistyped breaks ``type``; it is missing only where the row would land
    without it.
    """
    missing = f"{quoted(how.columns[number].name)} IS NULL"
    text = raw.texts[number]
    if text is None or keeps_rescued(how.plan) or text[1] == how.columns[number].type:
        return missing
    return f"({missing} AND ({text[0]}) IS NULL)"


def _alone_if_malformed(book: RuleBook, raw: Raw, bits: list[str]) -> list[str]:
    """Of a record that could not be taken apart nothing else is known."""
    [(malformed, _), *_] = book.of_kind("malformed")
    [(unreadable, _)] = book.of_kind("unreadable")
    if raw.malformed == "false":
        return bits
    only_malformed = book.bits_sql({malformed: "true"})
    only_unreadable = book.bits_sql({unreadable: "true"})
    cut_off = zip(bits, only_malformed, only_unreadable, strict=True)
    return [
        f"CASE WHEN {raw.unreadable} THEN {u} WHEN {raw.malformed} THEN {m} ELSE {b} END"
        for b, m, u in cut_off
    ]


def _kept(how: Reading, raw: Raw, bits: list[str]) -> list[str]:
    """The columns of a parsed row. All in one step: each step more would copy every wide row once more."""
    bad = how.book.mask_sql(KEEP_OUT, bits)
    kept = [quoted(column.name) for column in how.columns]
    if keeps_rescued(how.plan):
        kept.append(f"{_rescued(how, raw)} AS {words.RESCUED}")
    if how.finds_columns:
        kept.append(f"{raw.unknown or 'CAST(NULL AS map<string,string>)'} AS {UNKNOWN}")
    kept += [words.SOURCE_VERSION_ID, f"__row AS {words.SOURCE_ROW}"]
    kept += [f"{sql} AS {name}" for name, sql in zip(how.book.bit_columns, bits, strict=True)]
    return [*kept, f"CASE WHEN {bad} THEN {raw.record} END AS {RAW}", KEY]


def _rescued(how: Reading, raw: Raw) -> str:
    """JSON of the values that found no place, under the names the file gives them; null when there are
    none.
    """
    pairs = [
        f"{literal(column.source_name)}, CASE WHEN {test} THEN {as_text(text[0], text[1])} END"
        for number, column in enumerate(how.columns)
        if (text := raw.texts[number]) and (test := _is_mistyped(how, raw, number)) != "false"
    ]
    parts = [f"map_filter(map({', '.join(pairs)}), (k, v) -> v IS NOT NULL)"] if pairs else []
    if raw.unknown and not adds_columns(how.plan):
        parts.append(f"coalesce({raw.unknown}, map())")
    if not parts:
        return "CAST(NULL AS STRING)"
    both = f"map_concat({', '.join(parts)})"
    return f"CASE WHEN size({both}) > 0 THEN to_json({both}) END"
