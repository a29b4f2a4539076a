"""Files as frames, before any value is judged: text as it came, a row number, and where the row is from.

Files are read per group of equal fields, each in its own order of columns. Frames here have internal
columns only: ``__path``, ``__row`` (bigint) and the inputs (``__c0``... for CSV and Parquet, ``__line``
and ``__map`` for JSON).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from pyspark.sql import DataFrame, SparkSession, functions
from pyspark.sql.types import StringType, StructField, StructType

from lakehouse import words
from lakehouse_spark.cast import as_text, literal, literals, quoted, without_tokens
from lakehouse_spark.preflight import Fields, Shape, Source
from lakehouse_spark.schema import Column, column_name_sql, places_of, unknown_fields
from lakehouse_spark.session import SPLIT_BYTES

NO_GLOB: Final = ("__globPaths__", "false")
"""Keys are names, not patterns: a key with a star or a bracket is read as it is."""

# Spark spells the same address with one slash or with three: only what follows is compared.
_PATH: Final = (
    "trim(LEADING '/' FROM substr(_metadata.file_path, instr(_metadata.file_path, ':') + 1)) AS __path"
)
GLOB_CHARACTERS: Final = frozenset("{}[]*?\\")

_INDEX: Final = "(monotonically_increasing_id() & 8589934591L)"
_PLAIN_ROW: Final = f"_metadata.file_block_start + {_INDEX}"
# A compressed split can hold more rows than it has bytes: its number, not its place, leads.
_PACKED_ROW: Final = f"shiftleft(_metadata.file_block_start div {SPLIT_BYTES}, 40) + {_INDEX}"
_EXACT_DIGITS: Final = 15
"""Significant digits that a double surely keeps; Spark's JSON parser reads fractions as doubles."""


@dataclass(frozen=True)
class Group:
    """Files that one read can take: same shape, same fields in the same order."""

    shape: Shape
    fields: Fields
    packed: bool
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Raw:
    """A group's rows. ``frame`` has the inputs; the rest is SQL over them.

    ``texts``: the value of each column as it came (type beside it), None where the files have no such field.
    ``unknown``: map<string,string> of the fields no column reads, None when there can be none.
    """

    frame: DataFrame
    texts: tuple[tuple[str, str] | None, ...]
    record: str
    malformed: str
    unreadable: str
    unknown: str | None


def groups_of(sources: Iterable[Source]) -> list[Group]:
    """The groups of ``sources``, in order of their first file."""
    found: dict[tuple[Shape, Fields, bool, str], list[Source]] = {}
    for source in sources:
        # Spark reads every path once more for each path among them that looks like a pattern (seen in 3.5.6).
        alone = source.uri if GLOB_CHARACTERS & set(source.uri) else ""
        key = (source.shape, source.fields, source.compression is not None, alone)
        found.setdefault(key, []).append(source)
    return [Group(*key[:3], tuple(members)) for key, members in found.items()]


def read_group(spark: SparkSession, group: Group, columns: Sequence[Column], plan: words.DatasetPlan) -> Raw:
    """The rows of a group, to be read as ``columns``."""
    if group.shape == "csv":
        return _csv(spark, group, columns, plan)
    if group.shape == "parquet":
        return _parquet(spark, group, columns)
    return _json(spark, group, columns, plan)


# --- CSV --------------------------------------------------------------------------------------


def _csv(spark: SparkSession, group: Group, columns: Sequence[Column], plan: words.DatasetPlan) -> Raw:
    form = plan["format"]
    names = [f"__c{place}" for place in range(len(group.fields))]
    schema = StructType([StructField(name, StringType()) for name in [*names, "__corrupt"]])
    reader = spark.read.schema(schema).options(**_csv_options(form))
    frame = reader.option(*NO_GLOB).csv(_uris(group))
    frame = frame.selectExpr(*_first_cell(names, form), "__corrupt", *_place(group))
    # The parser would drop the header by itself, and log it: a file without one would have a row in the log.
    frame = frame.where("__row != 0") if form["header"] else frame
    return Raw(
        frame=frame,
        texts=tuple(_csv_text(column, group.fields, form) for column in columns),
        record=f"coalesce(__corrupt, {_record(group.fields, names)})",
        malformed=_csv_malformed(names, form),
        unreadable="false",
        unknown=_unknown_cells(columns, group.fields),
    )


def _csv_options(form: words.FileFormat) -> dict[str, Any]:
    wide = form["encoding"].lower().replace("-", "").startswith(("utf16", "utf32"))
    return {
        "sep": form["delimiter"],
        "quote": form["quote"],
        "escape": form["escape"] or "\\",
        "header": False,
        "encoding": form["encoding"],
        "multiLine": form["multiline"] or wide,
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": "__corrupt",
        # No token is null to the parser: which ones are is the contract's to say.
        "nullValue": "\u0001",
        "emptyValue": "",
        "maxCharsPerColumn": -1,
    }


def _first_cell(names: list[str], form: words.FileFormat) -> list[str]:
    """A byte order mark survives only where no header line is dropped."""
    if form["header"] or not names:
        return names
    return [f"trim(LEADING '\ufeff' FROM {names[0]}) AS {names[0]}", *names[1:]]


def _csv_text(column: Column, fields: Fields, form: words.FileFormat) -> tuple[str, str] | None:
    if column.source == "path":
        return _path_text(column)
    places = places_of(column, fields)
    if not places:
        return None
    cell = f"__c{places[0]}"
    # The parser hands an unquoted empty cell over as null.
    tokens = form["null_tokens"]
    return without_tokens(cell if "" in tokens else f"coalesce({cell}, '')", tokens), "string"


def _csv_malformed(names: list[str], form: words.FileFormat) -> str:
    """Too few or too many cells, or bytes that are no text in the file's encoding."""
    wrong_length = "__corrupt IS NOT NULL"
    if not form["encoding"].lower().replace("-", "").startswith("utf") or not names:
        return wrong_length
    return f"({wrong_length} OR instr(concat_ws('', {', '.join(names)}), '\ufffd') > 0)"


def _unknown_cells(columns: Sequence[Column], fields: Fields) -> str | None:
    unknown = {field[0] for field in unknown_fields(list(columns), fields)}
    pairs = [
        f"{literal(name)}, {as_text(f'__c{place}', kind)}"
        for place, (name, kind) in enumerate(fields)
        if name in unknown
    ]
    return f"map_filter(map({', '.join(pairs)}), (k, v) -> v IS NOT NULL)" if pairs else None


def _record(fields: Fields, names: list[str]) -> str:
    """The whole row as JSON, under the names the file itself gives."""
    pairs = ", ".join(f"{literal(name)}, {cell}" for (name, _), cell in zip(fields, names, strict=True))
    return f"to_json(named_struct({pairs}), map('ignoreNullFields', 'false'))"


# --- Parquet ----------------------------------------------------------------------------------


def _parquet(spark: SparkSession, group: Group, columns: Sequence[Column]) -> Raw:
    schema = ", ".join(f"{quoted(name)} {kind}" for name, kind in group.fields)
    frame = spark.read.schema(schema).option(*NO_GLOB).parquet(*_uris(group))
    cells = [f"{quoted(name)} AS __c{place}" for place, (name, _) in enumerate(group.fields)]
    frame = frame.selectExpr(*cells, _PATH, "_metadata.row_index AS __row")
    return Raw(
        frame=frame,
        texts=tuple(_parquet_text(column, group.fields) for column in columns),
        record=_record(group.fields, [f"__c{place}" for place in range(len(group.fields))]),
        malformed="false",
        unreadable="false",
        unknown=_unknown_cells(columns, group.fields),
    )


def _parquet_text(column: Column, fields: Fields) -> tuple[str, str] | None:
    if column.source == "path":
        return _path_text(column)
    places = places_of(column, fields)
    return (f"__c{places[0]}", fields[places[0]][1]) if places else None


def parquet_fields(spark: SparkSession, uri: str) -> Fields:
    """Name and Spark type of a Parquet file's columns, from its footer alone: no Spark job runs."""
    jvm, conf = spark._jvm, spark._jsc.hadoopConfiguration()
    hadoop = jvm.org.apache.parquet.hadoop  # type: ignore[union-attr]
    path = jvm.org.apache.hadoop.fs.Path(uri)  # type: ignore[union-attr]
    reader = hadoop.ParquetFileReader.open(hadoop.util.HadoopInputFile.fromPath(path, conf))
    try:
        schema = reader.getFileMetaData().getSchema()
    finally:
        reader.close()
    package = jvm.org.apache.spark.sql.execution.datasources.parquet  # type: ignore[union-attr]
    settings = spark._jsparkSession.sessionState().conf()
    converted = StructType.fromJson(
        json.loads(package.ParquetToSparkSchemaConverter(settings).convert(schema).json())
    )
    return tuple((field.name, field.dataType.simpleString()) for field in converted.fields)


# --- JSON -------------------------------------------------------------------------------------


def _json(spark: SparkSession, group: Group, columns: Sequence[Column], plan: words.DatasetPlan) -> Raw:
    frame = _json_lines(spark, group) if group.shape == "lines" else _json_whole(spark, group)
    encoding = plan["format"]["encoding"]
    if encoding.lower().replace("-", "") != "utf8":
        frame = frame.withColumn(
            "__line", functions.expr(f"decode(CAST(__line AS BINARY), {literal(encoding)})")
        )
    frame = frame.withColumn("__map", functions.expr("from_json(__line, 'map<string,string>')"))
    exact = [column.source_name for column in columns if column.source == "file"]
    frame = frame.withColumn("__other", functions.expr(_other_than(exact)))
    return Raw(
        frame=frame,
        texts=tuple(_json_text(column, plan, group.shape) for column in columns),
        record="__line",
        malformed="__map IS NULL",
        unreadable="__line IS NULL",
        unknown=_unknown_keys(columns),
    )


def _json_lines(spark: SparkSession, group: Group) -> DataFrame:
    frame = spark.read.option(*NO_GLOB).text(_uris(group))
    unmarked = "trim(LEADING '\ufeff' FROM value)"
    line = f"CASE WHEN _metadata.file_block_start = 0 THEN {unmarked} ELSE value END AS __line"
    return frame.selectExpr(line, *_place(group)).where("trim(__line) != ''")


def _json_whole(spark: SparkSession, group: Group) -> DataFrame:
    """An array's elements, or the one object, as lines. What is no JSON gives one row without a line."""
    frame = spark.read.option(*NO_GLOB).text(_uris(group), wholetext=True)
    text = "trim(LEADING '\ufeff' FROM value)"
    items = f"from_json({text}, 'array<string>')" if group.shape == "array" else f"array({text})"
    frame = frame.selectExpr(f"{items} AS __items", _PATH)
    frame = frame.where("__items IS NULL OR size(__items) > 0")
    return frame.selectExpr("posexplode_outer(__items) AS (__at, __line)", "__path").selectExpr(
        "__line", "__path", "CAST(coalesce(__at, 0) AS BIGINT) AS __row"
    )


def _other_than(names: list[str]) -> str:
    if not names:
        return "__map"
    return f"map_filter(__map, (k, v) -> k NOT IN ({literals(names)}))"


def _json_text(column: Column, plan: words.DatasetPlan, shape: Shape) -> tuple[str, str]:
    if column.source == "path":
        return _path_text(column)
    name, normal = literal(column.source_name), literal(words.column_name(column.source_name))
    alike = f"filter(map_keys(__other), k -> {column_name_sql('k')} = {normal})"
    near = f"CASE WHEN size(__other) > 0 THEN try_element_at(__other, try_element_at({alike}, 1)) END"
    text = f"coalesce(try_element_at(__map, {name}), {near})"
    if column.type.startswith("decimal("):
        text = _exact_decimal(text, column, shape)
    return without_tokens(text, plan["format"]["null_tokens"]), "string"


def _exact_decimal(text: str, column: Column, shape: Shape) -> str:
    """The digits of a long number as they stand in the line, which the map of texts has only as a double."""
    digits = f"length(regexp_replace({text}, '[^0-9]', '')) > {_EXACT_DIGITS}"
    in_quotes = f"instr(__line, concat('\"', {text}, '\"')) > 0"
    precision, scale = (int(part) for part in column.type[len("decimal(") : -1].split(","))
    wide = literal(f"{quoted(column.source_name)} decimal(38,{38 - precision + scale})")
    exact = f"CAST(from_json(__line, {wide}).{quoted(column.source_name)} AS STRING)"
    again = exact if shape == "lines" else "'not exact'"
    return f"CASE WHEN {digits} AND NOT {in_quotes} THEN coalesce({again}, {text}) ELSE {text} END"


def _unknown_keys(columns: Sequence[Column]) -> str:
    known = literals(sorted({words.column_name(column.source_name) for column in columns}))
    return f"map_filter(__other, (k, v) -> {column_name_sql('k')} NOT IN ({known}))" if known else "__other"


# --- Where a row is from ----------------------------------------------------------------------


def _uris(group: Group) -> list[str]:
    return [source.uri for source in group.sources]


def _place(group: Group) -> list[str]:
    row = _PACKED_ROW if group.packed else _PLAIN_ROW
    return [_PATH, f"{row} AS __row"]


def _path_text(column: Column) -> tuple[str, str]:
    return f"__p_{column.source_name}", "string"


def with_origin(spark: SparkSession, raw: Raw, group: Group) -> DataFrame:
    """``raw``'s frame with ``_source_version_id``, ``__key`` and the path's values (``__p_<name>``) of
    each row.
    """
    if len(group.sources) == 1:
        source = group.sources[0]
        values = {f"__p_{name}": value for name, value in source.values.items()}
        found = {words.SOURCE_VERSION_ID: source.source_version_id, "__key": source.key, **values}
        constants = [functions.lit(value).cast("string").alias(name) for name, value in found.items()]
        return raw.frame.drop("__path").select("*", *constants)
    names = sorted({name for source in group.sources for name in source.values})
    addresses = _addresses(raw.frame)
    rows = [
        (addresses[_bare(s.uri)], s.source_version_id, s.key, *(s.values.get(name) for name in names))
        for s in group.sources
    ]
    heads = ["__path", words.SOURCE_VERSION_ID, "__key", *(f"__p_{name}" for name in names)]
    schema = StructType([StructField(name, StringType()) for name in heads])
    files = functions.broadcast(spark.createDataFrame(rows, schema))
    return raw.frame.join(files, "__path").drop("__path")


def _addresses(frame: DataFrame) -> dict[str, str]:
    """Each file's ``__path``, which Spark encodes in its own way, by its plain address without scheme."""
    return {_bare(unquote(address)): _bare(address) for address in frame.inputFiles()}


def _bare(address: str) -> str:
    return address.partition(":")[2].lstrip("/")
