"""The SQL by which Athena answers which object versions are behind a part of a Silver table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from .errors import LineageUnknown
from .trace import TIME, Partition, SourceQuery
from .words import SOURCE_VERSION_ID

_NULL: Final = "null"
_NUMBERS: Final = frozenset({"int", "integer", "bigint", "long", "smallint", "tinyint"})
_COLUMN: Final = re.compile(r"[a-z_][a-z0-9_]*")
_YEAR, _MONTH, _DAY, _HOUR = "%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H"
_FORMS: Final = {4: _YEAR, 7: _MONTH, 10: _DAY, 13: _HOUR}


def source_sql(query: SourceQuery, database: str, types: Mapping[str, str]) -> str:
    """The Athena SQL that answers a ``SourceQuery``.

    Arguments: ``types`` are the Silver table's columns with Glue's or Spark's type names. Raises
    ``LineageUnknown`` for a partition column that is not the table's, or a value that is none of its type.
    """
    version = "" if query.snapshot_id is None else f" FOR VERSION AS OF {query.snapshot_id}"
    conditions = [_all_of(query.where, types, query.timezone)] if query.where else []
    rewritten = (_all_of(part, types, query.timezone) for part in query.without)
    conditions += [f"NOT coalesce({condition}, false)" for condition in rewritten]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    table = f'"{database}"."{query.dataset}"'
    select = f"SELECT DISTINCT {SOURCE_VERSION_ID} FROM {table}"  # noqa: S608 - see _is
    return select + version + where


def _all_of(values: Partition, types: Mapping[str, str], timezone: str) -> str:
    return (
        "(" + " AND ".join(_is(name, value, types, timezone) for name, value in sorted(values.items())) + ")"
    )


def _is(name: str, value: str, types: Mapping[str, str], timezone: str) -> str:
    """One column's condition, with a literal of the column's type."""
    if name not in types or not _COLUMN.fullmatch(name):
        raise LineageUnknown(f"there is no column '{name}'")
    kind = types[name].lower()
    if value == _NULL:
        return f'"{name}" IS NULL'
    if kind in _NUMBERS:
        if not re.fullmatch(r"-?[0-9]{1,19}", value):
            raise LineageUnknown(f"'{name}' is {kind}: write a whole number")
        return f'"{name}" = {value}'
    if kind == "date" or kind.startswith("timestamp"):
        return _is_time(name, kind, value, timezone)
    if kind == "boolean" and value in {"true", "false"}:
        return f'"{name}" = {value}'
    return f"\"{name}\" = '{value.replace(chr(39), chr(39) * 2)}'"


def _is_time(name: str, kind: str, value: str, timezone: str) -> str:
    """A year, month, day or hour as a range."""
    if not TIME.fullmatch(value):
        raise LineageUnknown(f"'{name}' is {kind}: write a year, month, day or hour like 2013-01-31T07")
    first, last = _bounds(value)
    if kind == "date":
        low, high = (f"DATE '{moment:%Y-%m-%d}'" for moment in (first, last))
    elif kind == "timestamp_ntz":
        low, high = (f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}'" for moment in (first, last))
    else:
        instants = (moment.replace(tzinfo=ZoneInfo(timezone)).astimezone(UTC) for moment in (first, last))
        low, high = (f"TIMESTAMP '{instant:%Y-%m-%d %H:%M:%S} UTC'" for instant in instants)
    return f'"{name}" >= {low} AND "{name}" < {high}'


def _bounds(value: str) -> tuple[datetime, datetime]:
    """The zoneless moments at which a year, month, day or hour begins and ends."""
    form = _FORMS[len(value)]
    first = datetime.strptime(value, form)  # noqa: DTZ007 - local by meaning; the zone is applied by the caller
    if form == _YEAR:
        return first, first.replace(year=first.year + 1)
    if form == _MONTH:
        return first, (first + timedelta(days=32)).replace(day=1)
    return first, first + (timedelta(days=1) if form == _DAY else timedelta(hours=1))
