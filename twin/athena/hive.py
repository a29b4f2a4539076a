# ruff: noqa: S608 - every name and text is quoted by twin.athena.sql
"""Tables over files (csv, JSON lines, parquet), read the way Athena's SerDes read them.

Formats: https://docs.aws.amazon.com/athena/latest/ug/supported-serdes.html. Only registered partitions count,
and a partition's values come from the catalog.
"""

from __future__ import annotations

from typing import Any, Final

import duckdb

from twin.athena import trail
from twin.athena.caller import Caller
from twin.athena.errors import not_supported
from twin.athena.sql import literal, quoted, row_set, text, text_list, to_duck_type

LAZY: Final = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
OPEN_CSV: Final = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
JSON_SERDES: Final = ("org.openx.data.jsonserde.JsonSerDe", "org.apache.hive.hcatalog.data.JsonSerDe")
REGEX: Final = "org.apache.hadoop.hive.serde2.RegexSerDe"
TRAIL_INPUT: Final = "com.amazon.emr.cloudtrail.CloudTrailInputFormat"
PARQUET: Final = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
PATH_IS_NO_DATA: Final = "hive_partitioning => false"
"""For DuckDB's readers: the values in a path come from the catalog."""
CONTROL_A: Final = "\x01"
"""Hive's field delimiter where the table names none."""


def all_columns(table: dict[str, Any]) -> list[dict[str, str]]:
    """A catalog table's columns, its partition keys last."""
    return [*table["StorageDescriptor"].get("Columns", []), *table.get("PartitionKeys", [])]


class FileTable:
    """One table of files, in Glue's description, with its partitions if it has keys."""

    def __init__(
        self,
        table: dict[str, Any],
        partitions: list[dict[str, Any]],
        caller: Caller,
        connection: duckdb.DuckDBPyConnection,
    ) -> None:
        self._table = table
        self._partitions = partitions
        self._caller = caller
        self._connection = connection
        self._columns = {c["Name"]: to_duck_type(c["Type"]) for c in table["StorageDescriptor"]["Columns"]}
        self._keys = {key["Name"]: to_duck_type(key["Type"]) for key in table.get("PartitionKeys", [])}
        self.scanned_bytes = 0

    def relation(self) -> str:
        """All rows, partition by partition."""
        places = self._places()
        parts = [part for location, values in places if (part := self._part(location, values))]
        if not parts:
            return row_set({**self._columns, **self._keys}, [])
        return " UNION ALL ".join(parts)

    def _places(self) -> list[tuple[str, list[str]]]:
        """The folders to read, and the partition values of each."""
        if not self._keys:
            return [(self._table["StorageDescriptor"]["Location"], [])]
        return [(part["StorageDescriptor"]["Location"], part["Values"]) for part in self._partitions]

    def _part(self, location: str, values: list[str]) -> str | None:
        files = self._caller.list_files(location)
        if not files:
            return None
        self.scanned_bytes += sum(files.values())
        chosen = self._rows_of(list(files))
        constants = [
            f"CAST({literal(value)} AS {kind}) AS {quoted(name)}"
            for (name, kind), value in zip(self._keys.items(), values, strict=True)
        ]
        return f"SELECT {', '.join(['*', *constants])} FROM ({chosen})"

    def _rows_of(self, files: list[str]) -> str:
        serde = self._table["StorageDescriptor"].get("SerdeInfo", {})
        library = serde.get("SerializationLibrary", "")
        parameters = serde.get("Parameters") or {}
        if library == LAZY:
            return self._csv(files, parameters.get("field.delim", CONTROL_A), quote="", escape="")
        if library == OPEN_CSV:
            # Athena's own defaults of this SerDe.
            quote, escape = parameters.get("quoteChar", '"'), parameters.get("escapeChar", "\\")
            return self._csv(files, parameters.get("separatorChar", ","), quote, escape)
        if self._table["StorageDescriptor"].get("InputFormat") == TRAIL_INPUT:
            return trail.relation(files, self._table["StorageDescriptor"]["Columns"])
        if library == REGEX:
            return self._by_pattern(files, parameters["input.regex"])
        if library in JSON_SERDES:
            return self._json(files, parameters)
        if library == PARQUET:
            return self._parquet(files)
        raise not_supported(f"a table with the SerDe {library or 'of no name'}")

    def _csv(self, files: list[str], delimiter: str, quote: str, escape: str) -> str:
        """By position; a field that is missing or not of its column's type is null; further ones are left."""
        parameters = self._table.get("Parameters") or {}
        skip = int(parameters.get("skip.header.line.count", 0))
        names = list(self._columns)
        types = "{" + ", ".join(f"{text(name)}: 'VARCHAR'" for name in names) + "}"
        null = parameters.get("serialization.null.format", "\\N")
        source = (
            f"read_csv({text_list(files)}, {PATH_IS_NO_DATA}, header => false, skip => {skip}, "
            f"delim => {text(delimiter)}, quote => {text(quote)}, escape => {text(escape)}, "
            f"columns => {types}, nullstr => {text(null)}, "
            "null_padding => true, strict_mode => false, auto_detect => false, parallel => false, "
            "max_line_size => 10000000)"
        )
        fields = (f"TRY_CAST({quoted(name)} AS {self._columns[name]}) AS {quoted(name)}" for name in names)
        return f"SELECT {', '.join(fields)} FROM {source}"

    def _by_pattern(self, files: list[str], pattern: str) -> str:
        """The groups of a pattern, line by line; a line that it does not match is null throughout."""
        names = text_list(list(self._columns))
        lines = (
            "SELECT unnest(string_split(rtrim(content, chr(10)), chr(10))) AS line "
            f"FROM read_text({text_list(files)})"
        )
        found = f"SELECT regexp_extract(line, {text(pattern)}, {names}) AS found FROM ({lines})"
        fields = (
            f"TRY_CAST(nullif(found[{text(name)}], '') AS {kind}) AS {quoted(name)}"
            for name, kind in self._columns.items()
        )
        return f"SELECT {', '.join(fields)} FROM ({found})"

    def _json(self, files: list[str], parameters: dict[str, str]) -> str:
        """By name, without regard to case unless the table says so; a value of another type is an error."""
        objects = f"read_json_objects({text_list(files)}, format => 'newline_delimited')"
        found = self._connection.execute(f"SELECT DISTINCT unnest(json_keys(json)) FROM {objects}").fetchall()
        sensitive = parameters.get("case.insensitive", "TRUE").upper() == "FALSE"
        by_name = {str(row[0]) if sensitive else str(row[0]).lower(): str(row[0]) for row in found}
        fields, types = [], []
        for name, kind in self._columns.items():
            key = by_name.get(parameters.get(f"mapping.{name}", name))
            if key is None:
                fields.append(f"CAST(NULL AS {kind}) AS {quoted(name)}")
            else:
                fields.append(f"{quoted(key)} AS {quoted(name)}")
                types.append(f"{text(key)}: {text(kind)}")
        columns = f", columns => {{{', '.join(types)}}}" if types else ""
        source = f"read_json({text_list(files)}, format => 'newline_delimited', {PATH_IS_NO_DATA}{columns})"
        return f"SELECT {', '.join(fields)} FROM {source}"

    def _parquet(self, files: list[str]) -> str:
        """By name; a column that a file lacks is null there."""
        source = f"read_parquet({text_list(files)}, {PATH_IS_NO_DATA}, union_by_name => true)"
        described = self._connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        present = {str(row[0]).lower() for row in described}
        fields = (
            f"CAST({quoted(name) if name in present else 'NULL'} AS {kind}) AS {quoted(name)}"
            for name, kind in self._columns.items()
        )
        return f"SELECT {', '.join(fields)} FROM {source}"
