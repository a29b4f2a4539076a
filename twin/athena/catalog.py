"""The tables a query names, as DuckDB views over what the caller may read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import duckdb
from botocore.exceptions import ClientError
from sqlglot import exp

from twin.athena import dialect, governed, hive, iceberg, projection
from twin.athena.caller import Caller, secret_of
from twin.athena.errors import QueryError, not_supported
from twin.athena.sql import row_set, text, to_duck_type

CATALOG_NAME: Final = "awsdatacatalog"
INFORMATION_SCHEMA: Final = "information_schema"


@dataclass
class Catalog:
    """One query's view of the Glue Data Catalog. Makes a DuckDB view for each table it is asked for."""

    caller: Caller
    connection: duckdb.DuckDBPyConnection
    database: str
    scanned_bytes: int = 0
    """An upper bound: the sizes of all files of the tables (of the snapshots) that were read."""
    reusable: bool = True
    """Whether no table lies in a registered location or shows a part of its rows or columns only.

    Source: https://docs.aws.amazon.com/athena/latest/ug/reusing-query-results.html
    """
    _views: dict[str, str] = field(default_factory=dict)

    # --- What a translation asks for ---------------------------------------------------------------

    def view(self, table: exp.Table) -> str:
        """The name of a view that answers this reference."""
        key = table.sql(dialect="athena") if not table.alias else _without_alias(table).sql(dialect="athena")
        if key not in self._views:
            name = f"athena_table_{len(self._views)}"
            self.connection.execute(f'CREATE TEMP VIEW "{name}" AS {self._relation(table)}')
            self._views[key] = name
        return self._views[key]

    def columns(self, table: exp.Table) -> list[str]:
        """The names of a table's columns."""
        described = self.connection.execute(f'DESCRIBE "{self.view(table)}"').fetchall()
        return [str(row[0]) for row in described]

    def _relation(self, table: exp.Table) -> str:
        database, name = self._names(table)
        if database == INFORMATION_SCHEMA:
            return self._information(table, name)
        name, _, metadata_table = name.partition("$")
        found = self._described(database, name, table)
        access = governed.access_of(self.caller, found)
        if access is None:
            return self._rows(table, found, metadata_table, self.caller)
        if not access.columns:
            raise governed.refused(self.caller, "Select", found)
        if metadata_table and not access.sees_all_of([column["Name"] for column in hive.all_columns(found)]):
            raise governed.refused(self.caller, "Select on all columns and rows", found)
        self.reusable &= access.sees_all_of([column["Name"] for column in hive.all_columns(found)])
        rows = self._rows(table, found, metadata_table, self._reader(found))
        return rows if metadata_table else governed.restricted(rows, access)

    def _reader(self, found: dict[str, Any]) -> Caller:
        """Who reads a governed table's files: the role of its registered location, else the caller."""
        reader = governed.reader_of(self.caller, found)
        if reader is not self.caller:
            self.reusable = False
            scope = found["StorageDescriptor"]["Location"].rstrip("/") + "/"
            name = f"vended_{len(self._views)}"
            self.connection.execute(secret_of(reader, f'"{name}"', f", SCOPE {text(scope)}"))
        return reader

    def _rows(self, table: exp.Table, found: dict[str, Any], metadata_table: str, reader: Caller) -> str:
        database, name = found["DatabaseName"], found["Name"]
        if found.get("Parameters", {}).get("table_type", "").upper() == "ICEBERG":
            return self._iceberg(table, found, metadata_table, reader)
        if metadata_table:
            raise self._table_not_found(database, f"{name}${metadata_table}", table)
        if table.args.get("version"):
            raise not_supported("time travel on a table that is not Iceberg")
        partitions = self._partitions(found, reader) if found.get("PartitionKeys") else []
        files = hive.FileTable(found, partitions, reader, self.connection)
        relation = files.relation()
        self.scanned_bytes += files.scanned_bytes
        return relation

    def _partitions(self, found: dict[str, Any], reader: Caller) -> list[dict[str, Any]]:
        if projection.is_projected(found):
            return projection.partitions(found, reader)
        return self.get_partitions(found["DatabaseName"], found["Name"])

    def _iceberg(self, table: exp.Table, found: dict[str, Any], metadata_table: str, reader: Caller) -> str:
        location = found["Parameters"]["metadata_location"]
        source = iceberg.IcebergTable(location, json.loads(reader.read(location)), self.connection)
        if metadata_table:
            if table.args.get("version"):
                raise not_supported("time travel on a metadata table")
            relation = source.metadata_relation(metadata_table)
            if relation is None:
                database, name = self._names(table)
                raise self._table_not_found(database, name, table)
            return relation
        snapshot = source.snapshot(*self._version(table))
        self.scanned_bytes += source.size_bytes(snapshot)
        if snapshot is None:
            return _empty(found)
        return source.relation(snapshot)

    def _version(self, table: exp.Table) -> tuple[int | None, int | None]:
        """The snapshot id, or the moment in milliseconds, that a reference is to be read at."""
        version = table.args.get("version")
        if version is None:
            return None, None
        sql = f"SELECT {version.expression.sql(dialect='athena')}"
        translated = dialect.translate(sql, dialect.parse(sql), self.view, self.columns)
        if version.name.upper() == "TIMESTAMP":
            moment = f"SELECT epoch_ms(CAST(({translated}) AS TIMESTAMPTZ))"
            return None, int(self.connection.execute(moment).fetchall()[0][0])
        value = self.connection.execute(translated).fetchall()[0][0]
        if not isinstance(value, int):
            raise not_supported("a version that is not a snapshot id")
        return value, None

    # --- Glue --------------------------------------------------------------------------------------

    def get_table(self, database: str, name: str) -> dict[str, Any]:
        """What the caller may know of a table, in Glue's structure. Raises ``QueryError``."""
        found = self._described(database, name, None)
        return governed.without_hidden(found, governed.access_of(self.caller, found))

    def _described(self, database: str, name: str, reference: exp.Table | None) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self.caller.glue.get_table(DatabaseName=database, Name=name)["Table"]
        except ClientError as error:
            raise self._refused_by_glue(error, database, name, reference) from error
        access = governed.access_of(self.caller, found)
        if access is not None and not access.describes:
            raise governed.refused(self.caller, "Describe", found)
        return found

    def get_tables(self, database: str) -> list[dict[str, Any]]:
        """All tables of a database that the caller may see."""
        pages = self.caller.glue.get_paginator("get_tables").paginate(DatabaseName=database)
        tables = self._all(pages, "TableList", database)
        seen = [(table, governed.access_of(self.caller, table)) for table in tables]
        return [
            governed.without_hidden(table, access)
            for table, access in seen
            if access is None or access.describes
        ]

    def get_databases(self) -> list[str]:
        """The names of all databases."""
        pages = self.caller.glue.get_paginator("get_databases").paginate()
        return sorted(entry["Name"] for entry in self._all(pages, "DatabaseList", ""))

    def get_partitions(self, database: str, name: str) -> list[dict[str, Any]]:
        """The partitions of a file table."""
        pages = self.caller.glue.get_paginator("get_partitions").paginate(
            DatabaseName=database, TableName=name
        )
        return self._all(pages, "Partitions", database)

    def _all(self, pages: Any, key: str, database: str) -> list[dict[str, Any]]:
        try:
            return [entry for page in pages for entry in page[key]]
        except ClientError as error:
            raise self._refused_by_glue(error, database, "", None) from error

    def _refused_by_glue(
        self, error: ClientError, database: str, name: str, reference: exp.Table | None
    ) -> QueryError:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if code == "EntityNotFoundException":
            if name and message.startswith("Database"):
                return QueryError(
                    "SCHEMA_NOT_FOUND", f"{_place(reference)}Schema '{database}' does not exist"
                )
            return self._table_not_found(database, name, reference)
        if code == "AccessDeniedException":
            return QueryError(
                "PERMISSION_DENIED", f"Insufficient permissions to execute the query. {message}"
            )
        return QueryError("GENERIC_INTERNAL_ERROR", f"Glue answered {code}")

    def _table_not_found(self, database: str, name: str, reference: exp.Table | None) -> QueryError:
        full = f"{CATALOG_NAME}.{database}.{name}"
        return QueryError("TABLE_NOT_FOUND", f"{_place(reference)}Table '{full}' does not exist")

    def _names(self, table: exp.Table) -> tuple[str, str]:
        if table.catalog and table.catalog.lower() != CATALOG_NAME:
            raise QueryError(
                "CATALOG_NOT_FOUND", f"{_place(table)}Catalog '{table.catalog.lower()}' not found"
            )
        return (table.db or self.database).lower(), table.name.lower()

    # --- information_schema ------------------------------------------------------------------------

    def _information(self, reference: exp.Table, name: str) -> str:
        makers: dict[str, Callable[[], str]] = {
            "schemata": self._schemata,
            "tables": self._tables,
            "columns": self._columns,
        }
        if name not in makers:
            raise self._table_not_found(INFORMATION_SCHEMA, name, reference)
        return makers[name]()

    def _schemata(self) -> str:
        return row_set(
            {"catalog_name": "VARCHAR", "schema_name": "VARCHAR"},
            [(CATALOG_NAME, name) for name in self.get_databases()],
        )

    def _tables(self) -> str:
        columns = dict.fromkeys(("table_catalog", "table_schema", "table_name", "table_type"), "VARCHAR")
        rows = [
            (CATALOG_NAME, database, table["Name"], "BASE TABLE")
            for database in self.get_databases()
            for table in self.get_tables(database)
        ]
        return row_set(columns, rows)

    def _columns(self) -> str:
        names = ("table_catalog", "table_schema", "table_name", "column_name")
        columns = {**dict.fromkeys(names, "VARCHAR"), "ordinal_position": "BIGINT", "data_type": "VARCHAR"}
        rows = [
            (CATALOG_NAME, database, table["Name"], column["Name"], position, trino_type(column["Type"]))
            for database in self.get_databases()
            for table in self.get_tables(database)
            for position, column in enumerate(hive.all_columns(table), start=1)
        ]
        return row_set(columns, rows)


@cache
def trino_type(hive_type: str) -> str:
    """Athena's own name of a catalog type: ``int`` is ``integer``, ``string`` is ``varchar``."""
    names = {"int": "integer", "string": "varchar", "binary": "varbinary", "float": "real"}
    return names.get(hive_type, hive_type)


def _empty(found: dict[str, Any]) -> str:
    """A table without a snapshot has its columns and no rows."""
    return row_set({column["Name"]: to_duck_type(column["Type"]) for column in hive.all_columns(found)}, [])


def _without_alias(table: exp.Table) -> exp.Table:
    bare = table.copy()
    bare.set("alias", None)
    return bare


def _place(table: exp.Table | None) -> str:
    meta = table.this.meta if table is not None else {}
    return f"line {meta['line']}:{meta['col'] - meta['end'] + meta['start']}: " if "line" in meta else ""
