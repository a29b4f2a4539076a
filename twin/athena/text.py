"""Values and types as Athena's results show them.

Every value is text there; nested ones in Trino's notation (``[a, b]``, ``{k=v}``).
"""

from __future__ import annotations

import datetime as dt
import re
import struct
from decimal import Decimal
from typing import Any, Final

from twin.athena.errors import not_supported

SAME: Final = (
    "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "VARCHAR", "DATE", "TIME",
    "TIMESTAMP",
)  # fmt: skip
TYPES: Final = {
    **{name: name.lower() for name in SAME},
    "HUGEINT": "bigint",
    "BLOB": "varbinary",
    "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "UUID": "varchar",
    '"NULL"': "unknown",
}
"""DuckDB's types and Athena's. A sum of integers is HUGEINT there and bigint here."""
FLOAT_DIGITS: Final = 9
PLAIN_FROM, PLAIN_BELOW = 1e-3, 1e7
"""Java writes a floating point number outside these bounds with an exponent."""


def athena_type(duck: str) -> str:
    """The name of a result column's type; raises ``QueryError`` for one that Athena has not."""
    if duck in TYPES:
        return TYPES[duck]
    if duck.startswith("DECIMAL"):
        return "decimal"
    if duck.endswith("]"):
        return "array"
    for prefix, name in (("STRUCT", "row"), ("MAP", "map")):
        if duck.startswith(prefix):
            return name
    raise not_supported(f"a column of type {duck.lower()} in a result")


def precision_and_scale(duck: str) -> tuple[int, int] | None:
    """Those of a DECIMAL type, else None."""
    found = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", duck)
    return (int(found[1]), int(found[2])) if found else None


def show(value: Any, duck: str) -> str | None:
    """One value of a DuckDB type as text; None for null."""
    return None if value is None else _show(value, duck)


def _show(value: Any, duck: str) -> str:  # noqa: PLR0911 - one line per type
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return java_double(_shortest_float(value) if duck == "FLOAT" else value)
        case Decimal():
            return f"{value:f}"
        case dt.datetime():
            return _show_timestamp(value, duck)
        case dt.time():
            return value.isoformat("milliseconds")
        case bytes():
            return value.hex(" ")
        case list():
            inner = duck.removesuffix("[]")
            return "[" + ", ".join(_show(item, inner) for item in value) + "]"
        case dict():
            return "{" + ", ".join(f"{key}={_show(item, '')}" for key, item in value.items()) + "}"
        case _:
            return str(value)


def _show_timestamp(value: dt.datetime, duck: str) -> str:
    """As many digits of a second as the type keeps; an instant in UTC, the session's zone."""
    digits = "milliseconds" if duck == "TIMESTAMP_MS" else "microseconds"
    if value.tzinfo is None:
        return value.isoformat(" ", digits)
    return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(" ", digits) + " UTC"


def java_double(value: float) -> str:
    """As Java's ``Double.toString`` writes it: ``1.0``, ``1.0E7``, ``Infinity``."""
    if value != value:  # noqa: PLR0124 - NaN
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or PLAIN_FROM <= abs(value) < PLAIN_BELOW:
        return repr(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    power = len(digits) - 1 + int(exponent)
    fraction = "".join(map(str, digits[1:])) or "0"
    return f"{'-' if sign else ''}{digits[0]}.{fraction}E{power}"


def _shortest_float(value: float) -> float:
    """The shortest number that is the same in four bytes."""
    for count in range(1, FLOAT_DIGITS + 1):
        short = float(f"{value:.{count}g}")
        if struct.pack("f", short) == struct.pack("f", value):
            return short
    return value
