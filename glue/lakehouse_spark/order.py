"""Which row wins: keys, sequence, object order, and rules that hold for a whole table.

An order is a struct of the sequence column (upsert only; null is lowest), ``_source_version_id`` and
``_source_row``. The table's own rows take part with their order, so that the result is the same however
files were batched.

Two things do depend on how files were batched: a plan with several unique rules, where a row that one rule
keeps out may already have kept out another by the second rule; and rows whose winner leaves with a replaced
version of its file, which do not come back by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame, Window, functions

from lakehouse import words
from lakehouse_spark.cast import quoted
from lakehouse_spark.rules import BITS_PER_COLUMN, Rule, RuleBook

STATE = "__state"
SILVER = "silver"
SUPERSEDED = "superseded"
QUARANTINE = "quarantine"

_RANK = "__rank"
_THEIRS = "__theirs"
_FIRST = "__first"


@dataclass(frozen=True)
class Keys:
    """What makes rows one, and how they are ordered. ``sequence`` is None where object order alone
    decides.
    """

    primary_key: tuple[str, ...]
    sequence: str | None
    small: bool
    """Whether this run's keys fit into every executor's memory, so that the table need not be shuffled."""


@dataclass(frozen=True)
class Resolved:
    """``rows`` have ``__state``; ``displaced`` are rows of the table that a unique rule now keeps out."""

    rows: DataFrame
    displaced: DataFrame | None


def order(sequence: str | None) -> Column:
    """The struct that orders rows of one key; the greatest wins."""
    names = [sequence] if sequence else []
    return functions.struct(
        *(functions.col(quoted(n)) for n in [*names, words.SOURCE_VERSION_ID, words.SOURCE_ROW])
    )


def resolve(good: DataFrame, table: DataFrame | None, keys: Keys, book: RuleBook) -> Resolved:
    """Decide for every good row whether it is Silver's, superseded, or kept out by a unique rule.

    ``good``: this run's rows without violations. ``table``: Silver's rows as they would stay without this run
    (None: there are none).
    """
    rows = good.withColumn(STATE, functions.lit(SILVER))
    if keys.primary_key:
        rows = _newest_per_key(rows, table, keys)
        table = None if table is None else _without_keys(table, rows, keys)
    unique = book.of_kind("unique")
    displaced: list[DataFrame] = []
    marked = rows
    for bit, rule in unique:
        marked = _mark_later(marked, table, rule, bit, book)
        if table is not None and rule.action != "warn":
            displaced.append(_displaced(rows, table, rule, keys).withColumns(_only_bit(bit, book)))
    marked = _keep_out(marked, unique, book)
    return Resolved(marked, _distinct_rows(displaced))


def _newest_per_key(rows: DataFrame, table: DataFrame | None, keys: Keys) -> DataFrame:
    names = [quoted(name) for name in keys.primary_key]
    window = Window.partitionBy(*names).orderBy(order(keys.sequence).desc())
    ranked = rows.withColumn(_RANK, functions.row_number().over(window))
    wins = functions.col(_RANK) == 1
    if table is not None:
        ours = _broadcast(ranked.where(wins).select(*names), keys)
        theirs = table.join(ours, list(keys.primary_key), "left_semi")
        theirs = theirs.groupBy(*names).agg(functions.max(order(keys.sequence)).alias(_THEIRS))
        ranked = ranked.join(_broadcast(theirs, keys), list(keys.primary_key), "left")
        wins = wins & (functions.col(_THEIRS).isNull() | (order(keys.sequence) > functions.col(_THEIRS)))
    state = functions.when(wins, SILVER).otherwise(SUPERSEDED)
    return ranked.withColumn(STATE, state).drop(_RANK, _THEIRS)


def _without_keys(table: DataFrame, rows: DataFrame, keys: Keys) -> DataFrame:
    """The table's rows that no winner of this run replaces."""
    winners = rows.where(functions.col(STATE) == SILVER).select(*(quoted(name) for name in keys.primary_key))
    return table.join(_broadcast(winners, keys), list(keys.primary_key), "left_anti")


def _mark_later(rows: DataFrame, table: DataFrame | None, rule: Rule, bit: int, book: RuleBook) -> DataFrame:
    """Set the rule's bit in every row before which, in object order, the table has the same values."""
    names = [quoted(name) for name in rule.columns]
    counted = (functions.col(STATE) != SUPERSEDED) & _all_present(rule)
    mine = functions.when(counted, order(None))
    first = functions.min(mine).over(Window.partitionBy(*names))
    rows = rows.withColumn(_FIRST, first)
    later = mine > functions.col(_FIRST)
    if table is not None:
        theirs = (
            table.where(_all_present(rule)).groupBy(*names).agg(functions.min(order(None)).alias(_THEIRS))
        )
        rows = rows.join(theirs, list(rule.columns), "left")
        later = later | functions.coalesce(mine > functions.col(_THEIRS), functions.lit(False))
    name = book.bit_columns[bit // BITS_PER_COLUMN]
    weight = functions.lit(1 << (bit % BITS_PER_COLUMN)).cast("bigint")
    marked = functions.when(later, functions.col(name).bitwiseOR(weight)).otherwise(functions.col(name))
    return rows.withColumn(name, marked).drop(_FIRST, _THEIRS)


def _displaced(rows: DataFrame, table: DataFrame, rule: Rule, keys: Keys) -> DataFrame:
    """Rows of the table whose values an earlier object of this run has: they came first by chance only."""
    names = [quoted(name) for name in rule.columns]
    mine = rows.where((functions.col(STATE) == SILVER) & _all_present(rule))
    firsts = mine.groupBy(*names).agg(functions.min(order(None)).alias(_FIRST))
    joined = table.join(_broadcast(firsts, keys), list(rule.columns))
    return joined.where(order(None) > functions.col(_FIRST)).select(*table.columns)


def _only_bit(bit: int, book: RuleBook) -> dict[str, Column]:
    place, weight = bit // BITS_PER_COLUMN, 1 << (bit % BITS_PER_COLUMN)
    return {
        name: functions.lit(weight if number == place else 0).cast("bigint")
        for number, name in enumerate(book.bit_columns)
    }


def _all_present(rule: Rule) -> Column:
    return reduce(Column.__and__, (functions.col(quoted(name)).isNotNull() for name in rule.columns))


def _keep_out(rows: DataFrame, unique: Sequence[tuple[int, Rule]], book: RuleBook) -> DataFrame:
    kept_out = [book.is_broken_sql(bit) for bit, rule in unique if rule.action != "warn"]
    if not kept_out:
        return rows
    broken = functions.expr(" OR ".join(kept_out))
    return rows.withColumn(STATE, functions.when(broken, QUARANTINE).otherwise(functions.col(STATE)))


def _distinct_rows(frames: list[DataFrame]) -> DataFrame | None:
    if not frames:
        return None
    return reduce(DataFrame.union, frames).dropDuplicates([words.SOURCE_VERSION_ID, words.SOURCE_ROW])


def _broadcast(frame: DataFrame, keys: Keys) -> DataFrame:
    return functions.broadcast(frame) if keys.small else frame
