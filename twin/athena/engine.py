"""One query, from its text to its rows: DuckDB locked down, with the caller's credentials."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import duckdb

from twin.athena import dialect, statements
from twin.athena.caller import Caller, secret_of
from twin.athena.catalog import Catalog
from twin.athena.errors import QueryError
from twin.athena.sql import text
from twin.athena.text import athena_type, precision_and_scale, show

EXTENSIONS: Final = ("avro", "httpfs", "iceberg")
CONFIGURATION: Final[dict[str, str | bool | int | float | list[str]]] = {
    "allow_unsigned_extensions": "true",
    "autoinstall_known_extensions": "false",
}
HERE: Final = Path(__file__).resolve().parent
COLUMN_MISSING: Final = re.compile(r'(?:Referenced column|does not have a column named|Column) "([^"]+)"')


@dataclass
class Result:
    """Rows as text (None for null), and what Athena tells about the columns."""

    columns: list[str]
    types: list[str]
    rows: list[list[str | None]]
    decimals: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Precision and scale of the DECIMAL columns, by their place."""
    scanned_bytes: int = 0
    reusable: bool = False
    """Whether the same query may be answered by it again."""
    reused: bool = False
    location: str = ""
    """Where it was written."""


def run(
    sql: str,
    database: str,
    caller: Caller,
    parameters: list[str],
    started: Callable[[duckdb.DuckDBPyConnection], None],
    earlier: Callable[[], Result | None],
) -> Result:
    """Answer one statement. ``started`` is given the connection, by which it can be interrupted.

    ``earlier`` looks for an answer to reuse, once it is known that the caller may read the tables and that
    they allow it. Raises ``QueryError``.
    """
    with connection_of(caller) as connection:
        started(connection)
        catalog = Catalog(caller, connection, database)
        if statement := statements.find(sql):
            columns, rows = statement(catalog)
            return Result(columns, ["string"] * len(columns), rows)
        tree = dialect.parse(sql)
        if parameters:
            tree = dialect.with_parameters(tree, parameters)
        try:
            translated = dialect.translate(sql, tree, catalog.view, catalog.columns)
            if catalog.reusable and (known := earlier()):
                return replace(known, scanned_bytes=0, reused=True)
            return _fetch(connection, translated, catalog)
        except duckdb.Error as error:
            raise in_athenas_words(error) from error


def _fetch(connection: duckdb.DuckDBPyConnection, sql: str, catalog: Catalog) -> Result:
    answer = connection.execute(sql)
    types = [str(column[1]) for column in answer.description or []]
    names = [str(column[0]).lower() for column in answer.description or []]
    athena_types = [athena_type(kind) for kind in types]
    rows = [[show(value, kind) for value, kind in zip(row, types, strict=True)] for row in answer.fetchall()]
    decimals = {place: found for place, kind in enumerate(types) if (found := precision_and_scale(kind))}
    return Result(names, athena_types, rows, decimals, catalog.scanned_bytes, catalog.reusable)


@contextmanager
def connection_of(caller: Caller) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB that reads S3 as the caller, and nothing else: no local file, no other setting."""
    context = caller.context
    with duckdb.connect(config=CONFIGURATION) as duck:
        for name in EXTENSIONS:
            duck.execute(f"LOAD {text(_extension(name))}")
        duck.execute(
            "SET TimeZone = 'UTC'; SET integer_division = true; SET python_enable_replacements = false"
        )
        duck.execute("SET allow_persistent_secrets = false; SET enable_server_cert_verification = true")
        duck.execute(f"SET ca_cert_file = {text(str(context.ca_bundle))}")
        duck.execute(macros())
        duck.execute(secret_of(caller))
        duck.execute("SET disabled_filesystems = 'LocalFileSystem'; SET lock_configuration = true")
        yield duck


@cache
def macros() -> str:
    """The SQL that defines what Athena's operators mean."""
    return (HERE / "macros.sql").read_text()


@cache
def _extension(name: str) -> str:
    """The file of a DuckDB extension inside its Python distribution; nothing is downloaded."""
    package = distribution(f"duckdb-extension-{name}")
    files = [file for file in package.files or [] if str(file).endswith(".duckdb_extension")]
    return str(package.locate_file(files[0]))


def in_athenas_words(error: duckdb.Error) -> QueryError:
    """DuckDB's failure under Trino's name for it. DuckDB's text may quote data and is not passed on."""
    message = str(error)
    if found := re.search(r"Error: ([A-Z_]{6,}): (.*)", message):
        return QueryError(found[1], found[2])
    if found := COLUMN_MISSING.search(message):
        return QueryError("COLUMN_NOT_FOUND", f"Column '{found[1].lower()}' cannot be resolved")
    if "403" in message or "AccessDenied" in message:
        return QueryError("PERMISSION_DENIED", "Access denied when reading the table's files from S3")
    names: tuple[tuple[type[duckdb.Error], str, str], ...] = (
        (duckdb.InterruptException, "USER_CANCELED", "Query was canceled"),
        (duckdb.OutOfRangeException, "NUMERIC_VALUE_OUT_OF_RANGE", "A value is out of its type's range"),
        (duckdb.ConversionException, "INVALID_CAST_ARGUMENT", "A value cannot be cast to the type asked for"),
        (duckdb.BinderException, "TYPE_MISMATCH", message.splitlines()[0]),
        (duckdb.ParserException, "SYNTAX_ERROR", message.splitlines()[0]),
    )
    for kind, name, words in names:
        if isinstance(error, kind):
            return QueryError(name, words)
    return QueryError("GENERIC_INTERNAL_ERROR", f"DuckDB failed with {type(error).__name__}")
