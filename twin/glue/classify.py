# ruff: noqa: S608 - every name and text is quoted by twin.athena.sql
"""What a crawler finds in files: their format, their columns, and the names Glue's built-in classifiers give.

https://docs.aws.amazon.com/glue/latest/dg/add-classifier.html. DuckDB looks into the files; here stands what
Glue makes of it: a csv column is a bigint, a double or a string (dates are strings), and a header is taken
for one only where a column below it is no string.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb
from sqlglot import exp

from twin.athena import hive
from twin.athena.hive import PATH_IS_NO_DATA
from twin.athena.sql import text

HEAD_BYTES: Final = 4096
CSV_TYPES: Final = "['BIGINT', 'DOUBLE', 'VARCHAR']"
"""What DuckDB may take a csv column for."""
WIDER: Final = {("BIGINT", "DOUBLE"): "DOUBLE", ("DOUBLE", "BIGINT"): "DOUBLE"}
TEXT_INPUT: Final = "org.apache.hadoop.mapred.TextInputFormat"
TEXT_OUTPUT: Final = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
PARQUET: Final = "org.apache.hadoop.hive.ql.io.parquet.MapredParquet"


@dataclass
class Finding:
    """One format found, and its columns: name to DuckDB type."""

    classification: str
    columns: dict[str, str]
    parameters: dict[str, str] = field(default_factory=dict)
    """Of the table."""
    delimiter: str = ","

    def merge(self, other: Finding) -> None:
        """Take in another file's columns; a column of two types is a double, or a string."""
        for name, kind in other.columns.items():
            known = self.columns.get(name, kind)
            self.columns[name] = known if known == kind else WIDER.get((known, kind), "VARCHAR")

    def storage(self, location: str) -> dict[str, Any]:
        """Glue's StorageDescriptor."""
        columns = [{"Name": name, "Type": hive_type(kind)} for name, kind in self.columns.items()]
        library, parameters, input_format, output_format = {
            "csv": (hive.LAZY, {"field.delim": self.delimiter}, TEXT_INPUT, TEXT_OUTPUT),
            "json": (hive.JSON_SERDES[0], {"paths": ",".join(self.columns)}, TEXT_INPUT, TEXT_OUTPUT),
            "parquet": (hive.PARQUET, {}, f"{PARQUET}InputFormat", f"{PARQUET}OutputFormat"),
        }[self.classification]
        return {
            "Columns": columns,
            "Location": location,
            "InputFormat": input_format,
            "OutputFormat": output_format,
            "Compressed": self.parameters.get("compressionType", "none") != "none",
            "SerdeInfo": {"SerializationLibrary": library, "Parameters": parameters},
            "StoredAsSubDirectories": False,
        }


def hive_type(duck: str) -> str:
    """The catalog's name of a DuckDB type, in Glue's spelling: ``struct<a:int,b:array<string>>``."""
    name: str = exp.DataType.build(duck, dialect="duckdb").sql(dialect="hive")
    return re.sub(r"([:,]) ", r"\1", name.lower().replace("`", ""))


def classify(url: str, head: bytes, duck: duckdb.DuckDBPyConnection) -> Finding | None:
    """What one file holds, or None for what no classifier knows. ``head``: its first bytes."""
    is_gzip = head.startswith(b"\x1f\x8b")
    plain = _unpacked(head) if is_gzip else head
    start = plain.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    finding: Finding | None
    try:
        if plain.startswith(b"PAR1"):
            finding = Finding("parquet", _described(f"read_parquet({text(url)}, {PATH_IS_NO_DATA})", duck))
        elif start in (b"{", b"["):
            finding = _classify_json(url, start, duck)
        else:
            finding = _classify_csv(url, duck)
    except duckdb.Error as error:
        if isinstance(error, duckdb.HTTPException):
            raise
        return None
    if finding is not None:
        finding.parameters["compressionType"] = "gzip" if is_gzip else "none"
    return finding


def _unpacked(head: bytes) -> bytes:
    """The beginning of a gzip file, as far as ``head`` goes; nothing where it is no gzip after all."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head)
    except zlib.error:
        return b""


def _classify_json(url: str, start: bytes, duck: duckdb.DuckDBPyConnection) -> Finding:
    """Objects give their fields; an array is one column ``array``, as Glue has it. Dates stay strings."""
    options = (
        f"{PATH_IS_NO_DATA}, map_inference_threshold => -1, dateformat => 'none', timestampformat => 'none'"
    )
    if start == b"[":
        source = f"read_json({text(url)}, format => 'array', records => false, {options})"
        element = next(iter(_described(source, duck).values()))
        return Finding("json", {"array": f"{element}[]"})
    source = f"read_json({text(url)}, format => 'newline_delimited', {options})"
    return Finding("json", _described(source, duck))


def _classify_csv(url: str, duck: duckdb.DuckDBPyConnection) -> Finding | None:
    sniffed = f"SELECT Delimiter, Columns FROM sniff_csv({text(url)}, auto_type_candidates => {CSV_TYPES})"
    delimiter, found = duck.execute(sniffed).fetchall()[0]
    if len(found) < 2:  # noqa: PLR2004 - Glue's classifier wants two columns
        return None
    kinds = f"sample_size => -1, auto_type_candidates => {CSV_TYPES}"
    options = f"{PATH_IS_NO_DATA}, delim => {text(delimiter)}, {kinds}"
    columns = _described(f"read_csv({text(url)}, header => true, {options})", duck)
    has_header = set(columns.values()) != {"VARCHAR"} and not any(_is_number(name) for name in columns)
    if not has_header:
        unnamed = _described(f"read_csv({text(url)}, header => false, {options})", duck).values()
        columns = {f"col{place}": kind for place, kind in enumerate(unnamed)}
    parameters = {"delimiter": delimiter, "columnsOrdered": "true", "areColumnsQuoted": "false"}
    if has_header:
        parameters["skip.header.line.count"] = "1"
    return Finding("csv", columns, parameters, delimiter)


def _is_number(name: str) -> bool:
    return re.fullmatch(r"[-+.\d]+", name) is not None


def _described(source: str, duck: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Columns of a DuckDB source, their names in lower case as the catalog keeps them."""
    rows = duck.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    return {str(row[0]).lower(): "VARCHAR" if row[1] == "JSON" else str(row[1]) for row in rows}
