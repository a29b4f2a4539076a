"""From changed input partitions to the output partitions to recompute, and the conditions that pick them.

A model's ``mapping`` promises: an output row depends only on input rows whose mapped column falls into the
same output partition (or into one of ``lookback`` partitions before it). Everything here is arithmetic on
partition values; a function that returns None says "cannot be told, recompute everything".

A temporal output partition is an ordinal of its unit since 1970 (years, months, days, hours); any other
partition is its plain value; within a key, None is the partition of the nulls. Types are Spark's names:
``timestamp`` is an instant, ``timestamp_ntz`` a zoneless time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lakehouse.words import ModelInput, PartitionField
    from lakehouse_spark.gold_changes import Partition

MAX_PARTITIONS: Final = 1000
"""More changed partitions than this are cheaper to recompute as everything than to pick out."""

EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - zoneless arithmetic; zones are applied where they matter
MICROSECOND: Final = timedelta(microseconds=1)
TEMPORAL: Final = frozenset({"date", "timestamp", "timestamp_ntz"})
UNITS: Final = frozenset({"year", "month", "day", "hour"})
PLAIN: Final = frozenset({"int", "bigint", "string", "boolean"})
WHOLE: Final = frozenset({"int", "bigint"})

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Axis:
    """One partition column of the output that every mapped input has a column for.

    ``type`` is its type as Spark names it; ``unit`` is year, month, day or hour, or None for a plain value.
    """

    column: str
    type: str
    unit: str | None


def axes_of(
    partition_by: Iterable[PartitionField], inputs: Iterable[ModelInput], types: Mapping[str, str]
) -> list[Axis] | None:
    """The output's partition columns that all mapped inputs map to; None when there is none to go by.

    ``types`` are the types of the output table's columns, as Spark names them.
    """
    targets = [set(each["mapping"].values()) for each in inputs if each["mapping"]]
    if not targets:
        return None
    shared = set.intersection(*targets)
    fields = [field for field in partition_by if field["column"] in shared]
    axes = {field["column"]: _axis(field, types[field["column"]]) for field in fields}
    found = [axis for axis in axes.values() if axis is not None]
    return found or None


def _axis(field: PartitionField, column_type: str) -> Axis | None:
    if field["transform"] in UNITS and column_type in TEMPORAL:
        return Axis(field["column"], column_type, field["transform"])
    if field["transform"] == "identity" and column_type == "date":
        return Axis(field["column"], column_type, "day")
    if field["transform"] == "identity" and column_type in PLAIN:
        return Axis(field["column"], column_type, None)
    return None


# --- Changed input partitions to output partitions ---------------------------------------------


def affected(
    axes: list[Axis], model_input: ModelInput, partitions: Iterable[Partition], timezone: str
) -> set[Key] | None:
    """The output partitions that the changed partitions of one mapped input touch, lookback included."""
    keys: set[Key] = set()
    for partition in partitions:
        values = [_axis_values(axis, model_input, partition, timezone) for axis in axes]
        if any(each is None for each in values):
            return None
        keys.update(product(*(each for each in values if each is not None)))
        if len(keys) > MAX_PARTITIONS:
            return None
    return widen(axes, keys, range(model_input["lookback"] + 1))


def widen(axes: list[Axis], keys: set[Key], steps: Iterable[int]) -> set[Key] | None:
    """``keys`` moved by each of ``steps`` along the one temporal axis; None when there is no such axis."""
    moves = list(steps)
    if moves == [0]:
        return keys
    ordered = [i for i, axis in enumerate(axes) if axis.unit is not None]
    if len(ordered) != 1:
        return None
    at = ordered[0]
    return {
        (*key[:at], None if key[at] is None else key[at] + step, *key[at + 1 :])
        for key in keys
        for step in moves
    }


def _axis_values(
    axis: Axis, model_input: ModelInput, partition: Partition, timezone: str
) -> list[Any] | None:
    """The values of one axis that one changed partition touches."""
    source = source_column(axis, model_input)
    for field in partition:
        if field.column != source:
            continue
        if field.value is None and field.transform != "void":
            return [None]
        if axis.unit is None:
            return (
                [field.value]
                if field.transform == "identity" and _same_plain(field.type, axis.type)
                else None
            )
        return _ordinals(
            axis, axis.unit, _span(field.type, field.transform, field.value), field.type, timezone
        )
    return None


def _same_plain(input_type: str, output_type: str) -> bool:
    return input_type == output_type or {input_type, output_type} <= WHOLE


def source_column(axis: Axis, model_input: ModelInput) -> str:
    """The input's column that maps to an axis."""
    mapping = model_input["mapping"] or {}
    return next(source for source, target in mapping.items() if target == axis.column)


def _span(column_type: str, transform: str, value: Any) -> tuple[datetime, datetime] | None:
    """What a partition value covers, from (inclusive) to (exclusive), in the column's own clock."""
    if transform in UNITS:
        return unit_start(transform, value), unit_start(transform, value + 1)
    if transform == "identity" and column_type == "date":
        return unit_start("day", value), unit_start("day", value + 1)
    if transform == "identity" and column_type in TEMPORAL:
        start = EPOCH + value * MICROSECOND
        return start, start + MICROSECOND
    return None


def _ordinals(
    axis: Axis, unit: str, span: tuple[datetime, datetime] | None, column_type: str, timezone: str
) -> list[int] | None:
    if span is None or not _comparable(column_type, axis.type):
        return None
    first, last = span[0], span[1] - MICROSECOND
    if column_type == "timestamp" and axis.type != "timestamp":
        first, last = _local_bounds(first, last, timezone)
    ordinals = range(unit_ordinal(unit, first), unit_ordinal(unit, last) + 1)
    return list(ordinals) if len(ordinals) <= MAX_PARTITIONS else None


def _comparable(input_type: str, output_type: str) -> bool:
    """An instant maps to an instant or, by the model's timezone, to local time; local time to itself only."""
    return input_type == "timestamp" or output_type != "timestamp"


def _local_bounds(first: datetime, last: datetime, timezone: str) -> tuple[datetime, datetime]:
    """The earliest and latest local time within a stretch of UTC, whatever the clocks did meanwhile."""
    zone = ZoneInfo(timezone)
    start, end = (each.replace(tzinfo=UTC).astimezone(zone) for each in (first, last))
    shift = abs((start.utcoffset() or timedelta()) - (end.utcoffset() or timedelta()))
    return start.replace(tzinfo=None) - shift, end.replace(tzinfo=None) + shift


def unit_start(unit: str, ordinal: int) -> datetime:
    """When the n-th year, month, day or hour since 1970 begins."""
    if unit == "year":
        return datetime(1970 + ordinal, 1, 1)  # noqa: DTZ001
    if unit == "month":
        return datetime(1970 + ordinal // 12, ordinal % 12 + 1, 1)  # noqa: DTZ001
    return EPOCH + (timedelta(days=ordinal) if unit == "day" else timedelta(hours=ordinal))


def unit_ordinal(unit: str, moment: datetime) -> int:
    """Which year, month, day or hour since 1970 a moment lies in."""
    if unit == "year":
        return moment.year - 1970
    if unit == "month":
        return (moment.year - 1970) * 12 + moment.month - 1
    return (moment - EPOCH) // (timedelta(days=1) if unit == "day" else timedelta(hours=1))


# --- Output partitions to conditions and names --------------------------------------------------


def output_condition(axes: list[Axis], keys: set[Key]) -> str:
    """SQL that is true for exactly the output rows of these partitions."""
    return _condition(keys, [partial(_pick, axis, axis.column, axis.type, "UTC") for axis in axes])


def input_condition(
    axes: list[Axis], keys: set[Key], model_input: ModelInput, types: Mapping[str, str], timezone: str
) -> str:
    """SQL that is true for exactly the input rows that map to these output partitions.

    ``types`` are the types of the input's columns. Bare columns are compared, so that Iceberg prunes.
    """
    sources = [source_column(axis, model_input) for axis in axes]
    pairs = zip(axes, sources, strict=True)
    return _condition(keys, [partial(_pick, axis, source, types[source], timezone) for axis, source in pairs])


def _condition(keys: set[Key], picks: list[Callable[[frozenset[Any]], str]]) -> str:
    """Keys as nested groups: first values that go with the same rest share one branch."""
    if len(picks) == 1:
        return picks[0](frozenset(key[0] for key in keys))
    rests: dict[Any, set[Key]] = {}
    for key in keys:
        rests.setdefault(key[0], set()).add(key[1:])
    groups: dict[frozenset[Key], set[Any]] = {}
    for first, rest in rests.items():
        groups.setdefault(frozenset(rest), set()).add(first)
    pairs = sorted(
        (picks[0](frozenset(firsts)), _condition(set(rest), picks[1:])) for rest, firsts in groups.items()
    )
    return _any_of([f"({first} AND {rest})" for first, rest in pairs])


def _pick(axis: Axis, column: str, column_type: str, timezone: str, values: frozenset[Any]) -> str:
    """``column`` lies in one of the axis's ``values``."""
    name = quoted(column)
    known = sorted(value for value in values if value is not None)
    found = [f"{name} IS NULL"] if None in values else []
    if axis.unit is None:
        return _any_of([*found, *([f"{name} IN ({', '.join(map(_plain, known))})"] if known else [])])
    for first, last in runs(known):
        start, end = unit_start(axis.unit, first), unit_start(axis.unit, last + 1)
        lower, upper = (_literal(each, axis.type, column_type, timezone) for each in (start, end))
        found.append(f"({name} >= {lower} AND {name} < {upper})")
    return _any_of(found)


def runs(ordinals: list[int]) -> list[tuple[int, int]]:
    """Sorted ordinals as unbroken runs (first, last): [1, 2, 3, 7] is [(1, 3), (7, 7)]."""
    found: list[tuple[int, int]] = []
    for ordinal in ordinals:
        if found and ordinal == found[-1][1] + 1:
            found[-1] = (found[-1][0], ordinal)
        else:
            found.append((ordinal, ordinal))
    return found


def quoted(column: str) -> str:
    """A column's name as SQL takes any name."""
    return "`" + column.replace("`", "``") + "`"


def _plain(value: object) -> str:
    """A partition value as a literal."""
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return str(value).lower()


def _literal(moment: datetime, clock: str, column_type: str, timezone: str) -> str:
    """A moment on the output's clock (``clock`` is its type) as a literal of the compared column's type."""
    text = moment.isoformat(sep=" ")
    if column_type == "date":
        return f"DATE '{text[:10]}'"
    if column_type == "timestamp_ntz":
        return f"TIMESTAMP_NTZ '{text}'"
    if clock != "timestamp":
        local = moment.replace(tzinfo=ZoneInfo(timezone))
        text = local.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
    return f"TIMESTAMP_LTZ '{text}Z'"


def _any_of(conditions: list[str]) -> str:
    """OR as a balanced tree, since a long chain would overflow the planner's stack."""
    if len(conditions) == 1:
        return conditions[0]
    half = len(conditions) // 2
    return f"({_any_of(conditions[:half])} OR {_any_of(conditions[half:])})"


def names(axes: list[Axis], keys: set[Key]) -> list[str]:
    """The partitions as a report shows them: ``flight_date=2013-01`` for a month, ``year=2013/month=1``."""
    rows = sorted(keys, key=lambda key: tuple((value is not None, value) for value in key))
    return [
        "/".join(f"{axis.column}={_shown(axis, value)}" for axis, value in zip(axes, row, strict=True))
        for row in rows
    ]


_SHOWN: Final = {"year": "%Y", "month": "%Y-%m", "day": "%Y-%m-%d", "hour": "%Y-%m-%dT%H"}


def _shown(axis: Axis, value: Any) -> str:
    if value is None:
        return "null"
    return str(value) if axis.unit is None else unit_start(axis.unit, value).strftime(_SHOWN[axis.unit])
