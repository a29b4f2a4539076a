# ruff: noqa: S608 - every name and text is quoted by twin.athena.sql
"""Pieces of DuckDB's SQL that the twin writes itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from sqlglot import exp


def text(value: str) -> str:
    """A text literal."""
    return "'" + value.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def text_list(values: Iterable[str]) -> str:
    """A list of text literals."""
    return "[" + ", ".join(text(value) for value in values) + "]"


def literal(value: object) -> str:
    """A literal of a Python value: text, number, boolean, None."""
    if value is None:
        return "NULL"
    return text(value) if isinstance(value, str) else str(value)


def row_set(columns: Mapping[str, str], rows: Sequence[Sequence[object]]) -> str:
    """A SELECT of these rows. ``columns``: name to DuckDB type."""
    values = ", ".join("(" + ", ".join(map(literal, row)) + ")" for row in rows)
    values = values or "(" + ", ".join("NULL" for _ in columns) + ")"
    named = ", ".join(map(quoted, columns))
    cast = ", ".join(f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in columns.items())
    condition = "" if rows else " WHERE false"
    return f"SELECT {cast} FROM (VALUES {values}) AS given({named}){condition}"


@cache
def to_duck_type(hive_type: str) -> str:
    """DuckDB's name of a catalog type."""
    if hive_type == "timestamp":
        return "TIMESTAMP_MS"  # Athena keeps milliseconds of a file's timestamps
    kind: str = exp.DataType.build(hive_type, dialect="hive").sql(dialect="duckdb")
    return kind
