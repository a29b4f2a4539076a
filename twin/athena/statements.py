"""SHOW and DESCRIBE, which are no queries: answered from the catalog."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twin.athena import hive
from twin.athena.errors import QueryError

if TYPE_CHECKING:
    from twin.athena.catalog import Catalog

Rows = list[list[str | None]]
Statement = Callable[["Catalog"], tuple[list[str], Rows]]
NAME: Final = r"[`\"]?(\w+)[`\"]?"
TABLE: Final = rf"(?:{NAME}\.)?{NAME}"


def find(sql: str) -> Statement | None:
    """What answers this text, if it is one of these statements."""
    words = " ".join(sql.strip().rstrip(";").split())
    for pattern, answer in PATTERNS:
        if found := re.fullmatch(pattern, words, re.IGNORECASE):
            parts = found.groups()
            return lambda catalog: answer(catalog, *parts)
    return None


def _show_databases(catalog: Catalog, like: str | None) -> tuple[list[str], Rows]:
    return ["database_name"], [[name] for name in catalog.get_databases() if _is_like(name, like)]


def _show_tables(catalog: Catalog, database: str | None, like: str | None) -> tuple[list[str], Rows]:
    names = sorted(table["Name"] for table in catalog.get_tables((database or catalog.database).lower()))
    return ["tab_name"], [[name] for name in names if _is_like(name, like)]


def _show_columns(catalog: Catalog, database: str | None, table: str) -> tuple[list[str], Rows]:
    return ["field"], [[column["Name"]] for column in _columns(catalog, database, table)]


def _describe(catalog: Catalog, database: str | None, table: str) -> tuple[list[str], Rows]:
    rows: Rows = [
        [column["Name"], column["Type"], column.get("Comment", "")]
        for column in _columns(catalog, database, table)
    ]
    return ["col_name", "data_type", "comment"], rows


def _show_partitions(catalog: Catalog, database: str | None, table: str) -> tuple[list[str], Rows]:
    schema, name = (database or catalog.database).lower(), table.lower()
    found = catalog.get_table(schema, name)
    keys = [key["Name"] for key in found.get("PartitionKeys", [])]
    if not keys:
        raise QueryError("NOT_SUPPORTED", f"Table {schema}.{name} is not a partitioned table")
    partitions = [partition["Values"] for partition in catalog.get_partitions(schema, name)]
    rows = [
        "/".join(f"{key}={value}" for key, value in zip(keys, values, strict=True)) for values in partitions
    ]
    return ["partition"], [[row] for row in sorted(rows)]


def _columns(catalog: Catalog, database: str | None, table: str) -> list[dict[str, str]]:
    return hive.all_columns(catalog.get_table((database or catalog.database).lower(), table.lower()))


def _is_like(name: str, pattern: str | None) -> bool:
    """Hive's patterns: ``*`` for anything, ``|`` between alternatives."""
    if pattern is None:
        return True
    expression = "|".join(re.escape(part).replace(r"\*", ".*") for part in pattern.lower().split("|"))
    return re.fullmatch(expression, name) is not None


PATTERNS: Final[tuple[tuple[str, Callable[..., tuple[list[str], Rows]]], ...]] = (
    (r"SHOW (?:DATABASES|SCHEMAS)(?: (?:LIKE )?'([^']*)')?", _show_databases),
    (rf"SHOW TABLES(?: (?:IN|FROM) {NAME})?(?: (?:LIKE )?'([^']*)')?", _show_tables),
    (rf"SHOW COLUMNS (?:IN|FROM) {TABLE}", _show_columns),
    (rf"SHOW PARTITIONS {TABLE}", _show_partitions),
    (rf"(?:DESCRIBE|DESC)(?: FORMATTED| EXTENDED)? {TABLE}", _describe),
)
