"""A draft contract from one sample file: DuckDB looks at it, the core writes the contract."""

from __future__ import annotations

import bz2
import gzip
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import yaml
import zstandard

from lakehouse.draft import FormatType, Sketch, SketchColumn, draft_contract
from lakehouse.words import column_name
from lakehouse_cli.errors import CommandError, UsageError
from lakehouse_cli.upload import hive_folders

SAMPLE_ROWS = 200_000
NULL_CANDIDATES = ("NA", "N/A", "NULL", "null", "None", r"\N", "NaN")
FORMATS: dict[str, FormatType] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
COMPRESSIONS = (".gz", ".zst", ".bz2")
SCALARS = {
    "boolean": "boolean",
    "tinyint": "int",
    "smallint": "int",
    "integer": "int",
    "utinyint": "int",
    "usmallint": "int",
    "bigint": "bigint",
    "uinteger": "bigint",
    "ubigint": "decimal(20,0)",
    "hugeint": "decimal(38,0)",
    "float": "float",
    "double": "double",
    "date": "date",
    "timestamp": "timestamp_ntz",
    "timestamp with time zone": "timestamp",
    "blob": "binary",
}
"""DuckDB's types and Silver's; what is missing (TIME, UUID...) is text."""

STRPTIME = {
    "%Y": "yyyy",
    "%y": "yy",
    "%m": "MM",
    "%d": "dd",
    "%H": "HH",
    "%M": "mm",
    "%S": "ss",
    "%f": "SSSSSS",
}
OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".zst": zstandard.open}
ZONE = r"(Z|[+-]\d\d:?\d\d)$"


@dataclass(frozen=True)
class Sniffed:
    """What a sample showed, and what the core's sketch has no word for."""

    sketch: Sketch
    null_tokens: list[str] = field(default_factory=list)
    date_formats: dict[str, str] = field(default_factory=dict)


def draft(dataset: str, file: Path) -> tuple[str, Sniffed]:
    """A contract in YAML, and what it was made from. Raises ``UsageError``, ``CommandError``."""
    found = sniff(dataset, file)
    introduction, start, body = draft_contract(found.sketch).partition("apiVersion:")
    contract = yaml.safe_load(start + body)
    table = contract["schema"][0]
    if found.null_tokens:
        table["customProperties"].append({"property": "nullTokens", "value": ["", *found.null_tokens]})
    for entry in table["properties"]:
        if entry["name"] in found.date_formats:
            entry["logicalTypeOptions"] = {"format": found.date_formats[entry["name"]]}
    return introduction + yaml.safe_dump(contract, sort_keys=False, allow_unicode=True, width=100), found


def sniff(dataset: str, file: Path) -> Sniffed:
    """Look at a sample file. Its ``key=value`` folders become columns of the path."""
    plain = file.with_suffix("") if file.suffix in COMPRESSIONS else file
    form = FORMATS.get(plain.suffix.lower())
    if form is None:
        known = ", ".join(sorted(FORMATS))
        raise UsageError(f"What format {file.name} is cannot be told from its ending. Known: {known}.")
    if not file.is_file():
        raise UsageError(f"There is no file {file}.")
    with _readable(file) as path, duckdb.connect() as database:
        try:
            return _look(database, dataset, form, str(path), file)
        except duckdb.Error as problem:
            # DuckDB quotes lines of the file in its errors: its first line is enough, and names none.
            first = str(problem).splitlines()[0]
            raise CommandError(f"{file} cannot be read as {form}: {first}") from problem


@contextmanager
def _readable(file: Path) -> Iterator[Path]:
    """The file, unpacked first if DuckDB cannot read its compression."""
    if file.suffix != ".bz2":
        yield file
        return
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, file.with_suffix("").name)
        with bz2.open(file, "rb") as packed, target.open("wb") as out:
            shutil.copyfileobj(packed, out)
        yield target


def _look(database: Any, dataset: str, form: FormatType, path: str, file: Path) -> Sniffed:
    if form == "csv":
        return _look_at_csv(database, dataset, path, file)
    if form == "parquet":
        relation = database.sql(
            "SELECT * FROM read_parquet($path, hive_partitioning = false)", params={"path": path}
        )
        columns = {name: _type(kind) for name, kind in zip(relation.columns, relation.types, strict=True)}
        return Sniffed(_sketch(dataset, form, columns, file))
    form = "json" if _first_character(file) == "[" else "jsonl"
    layout = {"path": path, "layout": "array" if form == "json" else "newline_delimited"}
    relation = database.sql(
        "SELECT * FROM read_json_auto($path, format = $layout, hive_partitioning = false)", params=layout
    )
    kinds = dict(zip(relation.columns, relation.types, strict=True))
    times = [name for name, kind in kinds.items() if kind.id == "timestamp"]
    zoned = _zoned(database, layout, times)
    columns = {name: "timestamp" if name in zoned else _json_type(kind) for name, kind in kinds.items()}
    return Sniffed(_sketch(dataset, form, columns, file))


def _json_type(kind: Any) -> str:
    """Like ``_type``; times inside of a structure stay text: whether they carry a zone is not known."""
    return _type(kind) if kind.id == "timestamp" else _type(kind).replace("timestamp_ntz", "string")


def _look_at_csv(database: Any, dataset: str, path: str, file: Path) -> Sniffed:
    tokens = ["", *NULL_CANDIDATES]
    shape = database.execute(
        "SELECT Delimiter, Quote, HasHeader, Columns, DateFormat, TimestampFormat "
        "FROM sniff_csv($path, nullstr = $tokens, sample_size = $rows)",
        {"path": path, "tokens": tokens, "rows": SAMPLE_ROWS},
    ).fetchone()
    delimiter, quote, header, described, date_format, time_format = shape
    kinds = {column["name"]: column["type"].lower() for column in described}
    columns = {name: SCALARS.get(kind, "string") for name, kind in kinds.items()}
    formats = {"date": _java(date_format, "%Y-%m-%d"), "timestamp": _java(time_format, "")}
    dated = {column_name(name): formats[kind] for name, kind in kinds.items() if formats.get(kind)}
    sketch = _sketch(
        dataset,
        "csv",
        columns,
        file,
        delimiter=delimiter,
        quote=quote if len(quote) == 1 else '"',
        header=bool(header),
    )
    return Sniffed(sketch, _null_tokens(database, path, delimiter), dated)


def _java(strptime: str | None, usual: str) -> str:
    """A pattern of dates in Java's letters; '' for the usual one, or where Java has no letter for it."""
    if not strptime or strptime == usual:
        return ""
    pattern = re.sub(r"%[a-zA-Z]", lambda match: STRPTIME.get(match[0], match[0]), strptime)
    return "" if "%" in pattern else pattern.replace("T", "'T'")


def _null_tokens(database: Any, path: str, delimiter: str) -> list[str]:
    """Which of the usual words for null stand in the file as whole fields."""
    found = database.execute(
        "WITH sample AS (SELECT * FROM read_csv($path, all_varchar = true, delim = $delimiter, "
        "hive_partitioning = false) LIMIT $rows) "
        "SELECT DISTINCT value FROM (UNPIVOT sample ON COLUMNS(*)) WHERE list_contains($tokens, value)",
        {"path": path, "delimiter": delimiter, "rows": SAMPLE_ROWS, "tokens": list(NULL_CANDIDATES)},
    ).fetchall()
    return sorted(value for (value,) in found)


def _first_character(file: Path) -> str:
    """The first character of a JSON file that is no blank: an array begins otherwise than lines do."""
    with OPENERS.get(file.suffix, open)(file, "rb") as opened:
        start: bytes = opened.read(4096)
    return start.decode("utf-8-sig", errors="replace").lstrip()[:1]


def _zoned(database: Any, layout: dict[str, str], names: list[str]) -> set[str]:
    """Which of the fields that DuckDB took for times carry a zone in their text (it drops it)."""
    if not names:
        return set()
    tests = ", ".join(f"bool_or(regexp_matches({_quoted(name)}, $zone))" for name in names)
    found = database.execute(
        f"SELECT {tests} FROM "  # noqa: S608 - the names are quoted
        "read_json($path, format = $layout, columns = $columns, hive_partitioning = false)",
        {**layout, "zone": ZONE, "columns": dict.fromkeys(names, "VARCHAR")},
    ).fetchone()
    return {name for name, zoned in zip(names, found, strict=True) if zoned}


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _type(kind: Any) -> str:
    """Silver's type for one of DuckDB's."""
    if kind.id == "decimal":
        precision, scale = (value for _, value in kind.children)
        return f"decimal({precision},{scale})"
    if kind.id in ("list", "array"):
        return f"array<{_type(kind.children[0][1])}>"
    if kind.id == "map":
        (_, key), (_, value) = kind.children
        return f"map<{_type(key)},{_type(value)}>"
    if kind.id == "struct":
        return "struct<" + ",".join(f"{name}:{_type(inner)}" for name, inner in kind.children) + ">"
    return SCALARS.get(str(kind.id), "string")


def _sketch(dataset: str, form: FormatType, columns: dict[str, str], file: Path, **details: Any) -> Sketch:
    """The core's sketch: the file's columns, then those of its ``key=value`` folders, which win."""
    folders = [part.partition("=")[::2] for part in hive_folders(file)]
    path_columns = tuple(
        SketchColumn(name, "bigint" if value.isdecimal() else "string", in_path=True)
        for name, value in folders
    )
    in_path = {column_name(name) for name, _ in folders}
    kept = tuple(
        SketchColumn(name, kind) for name, kind in columns.items() if column_name(name) not in in_path
    )
    pattern = "/".join(
        f"{name}={{{column_name(name)}{':int' if value.isdecimal() else ''}}}" for name, value in folders
    )
    return Sketch(
        dataset, form, (*kept, *path_columns), path_pattern=f"{pattern}/*" if pattern else None, **details
    )
