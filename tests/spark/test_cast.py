"""Strict casts, value by value: what fits lands exactly, what does not is null, whatever ANSI mode says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lakehouse_spark.cast import Style, has_zone, literal, strict, strict_native, without_tokens
from lakehouse_spark.session import configure

PLAIN = Style()
GERMAN = Style(decimal=",", group=".", true_tokens=("ja", "1"), false_tokens=("nein", "0"))
NEW_YORK = "America/New_York"

# text, type, style, date format, timezone, the result as text (None: does not fit)
CASES = [
    ("50", "int", PLAIN, None, None, "50"),
    (" -7 ", "int", PLAIN, None, None, "-7"),
    ("+7", "int", PLAIN, None, None, "7"),
    ("50.0", "int", PLAIN, None, None, "50"),
    ("50.7", "int", PLAIN, None, None, None),
    ("1e3", "int", PLAIN, None, None, None),
    ("", "int", PLAIN, None, None, None),
    ("12a", "int", PLAIN, None, None, None),
    ("2147483647", "int", PLAIN, None, None, "2147483647"),
    ("2147483648", "int", PLAIN, None, None, None),
    ("2147483648", "bigint", PLAIN, None, None, "2147483648"),
    ("9223372036854775808", "bigint", PLAIN, None, None, None),
    ("1.234", "int", GERMAN, None, None, "1234"),
    ("12.34", "int", GERMAN, None, None, None),
    ("1.5", "double", PLAIN, None, None, "1.5"),
    (".5", "double", PLAIN, None, None, "0.5"),
    ("1e3", "double", PLAIN, None, None, "1000.0"),
    ("1e400", "double", PLAIN, None, None, None),
    ("5d", "double", PLAIN, None, None, None),
    ("NaN", "double", PLAIN, None, None, None),
    ("0x1p3", "double", PLAIN, None, None, None),
    ("1e39", "float", PLAIN, None, None, None),
    ("1.234,5", "double", GERMAN, None, None, "1234.5"),
    ("50.7", "double", GERMAN, None, None, None),
    ("2.50", "decimal(4,2)", PLAIN, None, None, "2.50"),
    ("2.5000", "decimal(4,2)", PLAIN, None, None, "2.50"),
    ("2.505", "decimal(4,2)", PLAIN, None, None, None),
    ("99.99", "decimal(4,2)", PLAIN, None, None, "99.99"),
    ("100.00", "decimal(4,2)", PLAIN, None, None, None),
    ("1.5E1", "decimal(4,2)", PLAIN, None, None, "15.00"),
    ("1.555E1", "decimal(4,2)", PLAIN, None, None, "15.55"),
    ("1.5555E1", "decimal(4,2)", PLAIN, None, None, None),
    ("7.", "decimal(4,0)", PLAIN, None, None, "7"),
    ("12345678901234567890123456789012345678", "decimal(38,0)", PLAIN, None, None,
     "12345678901234567890123456789012345678"),
    ("TRUE", "boolean", PLAIN, None, None, "true"),
    ("yes", "boolean", PLAIN, None, None, None),
    ("1", "boolean", GERMAN, None, None, "true"),
    ("Nein", "boolean", GERMAN, None, None, "false"),
    ("true", "boolean", GERMAN, None, None, None),
    ("2013-02-28", "date", PLAIN, None, None, "2013-02-28"),
    ("2013-02-30", "date", PLAIN, None, None, None),
    ("2013-2-3", "date", PLAIN, None, None, None),
    ("2013", "date", PLAIN, None, None, None),
    ("2013-02-28T00:00:00", "date", PLAIN, None, None, None),
    ("28/02/2013", "date", PLAIN, "dd/MM/yyyy", None, "2013-02-28"),
    ("30/02/2013", "date", PLAIN, "dd/MM/yyyy", None, None),
    ("2/28/2013", "date", PLAIN, "dd/MM/yyyy", None, None),
    ("2013-01-01T10:00:00Z", "timestamp", PLAIN, None, None, "2013-01-01 10:00:00"),
    ("2013-01-01 10:00:00.25+02:00", "timestamp", PLAIN, None, None, "2013-01-01 08:00:00.25"),
    ("2013-01-01T10:00:00.1234567Z", "timestamp", PLAIN, None, None, None),
    ("2013-01-01T10:00:00", "timestamp", PLAIN, None, None, None),
    ("2013-01-01T10:00", "timestamp", PLAIN, None, NEW_YORK, "2013-01-01 15:00:00"),
    ("2013-07-01T10:00:00", "timestamp", PLAIN, None, NEW_YORK, "2013-07-01 14:00:00"),
    ("2013-07-01T10:00:00Z", "timestamp", PLAIN, None, NEW_YORK, "2013-07-01 10:00:00"),
    ("2013-03-10T02:30:00", "timestamp", PLAIN, None, NEW_YORK, None),
    ("2013-01-01T24:30:00Z", "timestamp", PLAIN, None, None, None),
    ("2013-01-01", "timestamp", PLAIN, None, None, None),
    ("01.02.2013 03:04", "timestamp", PLAIN, "dd.MM.yyyy HH:mm", "Europe/Berlin", "2013-02-01 02:04:00"),
    ("01.02.2013 03:04 +0500", "timestamp", PLAIN, "dd.MM.yyyy HH:mm Z", NEW_YORK, "2013-01-31 22:04:00"),
    ("2013-01-01 10:00:00", "timestamp_ntz", PLAIN, None, None, "2013-01-01 10:00:00"),
    ("2013-01-01T10:00:00Z", "timestamp_ntz", PLAIN, None, None, None),
    ('{"a":1}', "struct<a:int>", PLAIN, None, None, '{"a":1}'),
    ('{"a":1.5}', "struct<a:int>", PLAIN, None, None, None),
    ("[1,2]", "array<int>", PLAIN, None, None, "[1,2]"),
    ("[1,", "array<int>", PLAIN, None, None, None),
    ("quote ' and \\ stay", "string", PLAIN, None, None, "quote ' and \\ stay"),
]  # fmt: skip

# value, its type, the type it is to be, the result
NATIVE = [
    ("CAST(3.0 AS DOUBLE)", "double", "int", "3"),
    ("CAST(3.5 AS DOUBLE)", "double", "int", None),
    ("CAST(1e19 AS DOUBLE)", "double", "bigint", None),
    ("CAST('NaN' AS DOUBLE)", "double", "bigint", None),
    ("3000000000L", "bigint", "int", None),
    ("7", "int", "bigint", "7"),
    ("7", "int", "decimal(3,1)", "7.0"),
    ("1.25BD", "decimal(3,2)", "decimal(2,1)", None),
    ("TIMESTAMP'2013-01-01 00:00:00'", "timestamp", "timestamp_ntz", None),
    ("TIMESTAMP_NTZ'2013-01-01 00:00:00'", "timestamp_ntz", "timestamp", None),
    ("array(1)", "array<int>", "array<bigint>", "[1]"),
]


@pytest.fixture(params=["true", "false"])
def ansi(request: pytest.FixtureRequest, spark: SparkSession) -> Iterator[SparkSession]:
    """The session with the settings of a run, but for ANSI mode."""
    configure(spark, 0)
    spark.conf.set("spark.sql.ansi.enabled", request.param)
    yield spark
    spark.conf.set("spark.sql.ansi.enabled", "false")


def as_text(value: str, kind: str) -> str:
    return f"to_json({value})" if kind.startswith(("struct", "array")) else f"CAST({value} AS STRING)"


def test_11_every_text_is_cast_strictly(ansi: SparkSession) -> None:
    texts = ", ".join(f"{literal(case[0])} AS t{number}" for number, case in enumerate(CASES))
    casts = [
        as_text(strict(f"t{n}", kind, style, form, zone), kind)
        for n, (_, kind, style, form, zone, _) in enumerate(CASES)
    ]
    # Not one row of constants, which Spark would fold before it runs.
    found = ansi.sql(f"SELECT {texts} FROM range(1)").selectExpr(*casts).collect()[0]
    wrong = {case[:2]: (got, case[5]) for case, got in zip(CASES, found, strict=True) if got != case[5]}
    assert wrong == {}


def test_every_parquet_value_is_cast_strictly(ansi: SparkSession) -> None:
    casts = [as_text(strict_native(value, source, kind, PLAIN), kind) for value, source, kind, _ in NATIVE]
    found = ansi.range(1).selectExpr(*casts).collect()[0]
    wrong = {case[:3]: (got, case[3]) for case, got in zip(NATIVE, found, strict=True) if got != case[3]}
    assert wrong == {}


def test_tokens_that_stand_for_nothing(ansi: SparkSession) -> None:
    texts: list[Any] = ["NA", "", "x", "it's"]
    casts = [without_tokens(literal(text), ["NA", "", "it's"]) for text in texts]
    assert list(ansi.range(1).selectExpr(*casts).collect()[0]) == [None, None, "x", None]


def test_a_pattern_with_a_zone_is_told_from_one_without() -> None:
    assert has_zone("yyyy-MM-dd'T'HH:mm:ssXXX")
    assert not has_zone("yyyy-MM-dd'Z'HH:mm:ss")
