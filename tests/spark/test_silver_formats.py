"""What files may look like: CSV dialects, JSON in three shapes, Parquet, compression; and what is refused."""

from __future__ import annotations

import bz2
import gzip
import io
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from pyspark.sql import DataFrame

from lakehouse import words
from lakehouse_spark import preflight, silver, silver_read
from lakehouse_spark.errors import JobFailed
from lakehouse_spark.silver_run import Run
from tests.spark.lake import Lake, column, outcomes, plan, rule

PAIR = [column("id", "int", required=True), column("name")]
TEXT = "id,name\n1,a\n2,b\n"

MakeLake = Callable[[Any], Lake]


def parquet(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def test_13_each_shape_of_json_is_found_whatever_the_name(make: MakeLake) -> None:
    lake = make(plan("shapes", PAIR, format={"type": "json"}))
    lake.put("lines.json", '{"id": 1, "name": "a"}\n\n{"name": "b", "id": "2"}\nnot json\n')
    lake.put("array.json", '[{"id": 3, "name": "c"},\n {"id": 4.5, "name": "d"}, {"id": 4, "name": null}]')
    lake.put("object.json", '{\n "id": 5,\n "name": "e"\n}\n')
    lake.put("empty_array.json", "[]")
    report = lake.run()
    assert lake.rows("id", "name") == [(1, "a"), (2, "b"), (3, "c"), (4, None), (5, "e")]
    assert [(broken, raw) for _, broken, raw in lake.bad_rows()] == [
        (["malformed"], "not json"), (["id_type"], '{"id":4.5,"name":"d"}'),
    ]  # fmt: skip
    assert [o[2:] for o in outcomes(report)] == [(3, 2, 1, 0), (3, 2, 1, 0), (1, 1, 0, 0), (0, 0, 0, 0)]


def test_13_a_quoted_newline_when_the_contract_says_so(make: MakeLake) -> None:
    lake = make(plan("newline", PAIR, format={"multiline": True}))
    lake.put("a.csv", 'id,name\n1,"a\nb"\n2,"c"\n')
    lake.run()
    assert lake.rows("id", "name") == [(1, "a\nb"), (2, "c")]


def test_13_byte_order_marks(make: MakeLake) -> None:
    lake = make(plan("marks", PAIR))
    lake.put("a.csv", "\ufeffid,name\n1,a\n")
    lake.run()
    assert lake.rows("id", "name") == [(1, "a")]


def test_13_a_byte_order_mark_without_a_header(make: MakeLake) -> None:
    lake = make(plan("headless", PAIR, format={"header": False}))
    lake.put("a.csv", "\ufeff1,a\n2,b\n3\n")
    lake.run()
    assert lake.rows("id", "name", words.SOURCE_ROW) == [(1, "a", 0), (2, "b", 1)]
    assert lake.bad_rows() == [(2, ["malformed"], "3")]


def test_13_compressed_files(make: MakeLake) -> None:
    lake = make(plan("packed", PAIR))
    lake.put("a.csv.gz", gzip.compress(b"id,name\n1,a\n") + gzip.compress(b"2,b\n"))
    lake.put("b.csv.bz2", bz2.compress(b"id,name\n3,c\n"))
    lake.put("c.csv.zst", zstandard.compress(b"id,name\n4,d\n"))
    lake.put("d.csv", b"name,id\ne,5\n")
    lake.put("cut.csv.gz", gzip.compress(TEXT.encode() * 1000)[:-20])
    lake.put("cut.csv.zst", zstandard.compress(TEXT.encode() * 1000)[:-20])
    lake.put("lie.csv.bz2", b"id,name\n9,z\n")
    lake.put("lie.csv", gzip.compress(b"id,name\n9,z\n"))
    report = lake.run()
    assert lake.rows("id", "name") == [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")]
    assert [o[:2] for o in outcomes(report)[4:]] == [
        ("REJECTED", "the gzip stream is cut off"),
        ("REJECTED", "the content is not zstd, or cut off"),
        ("REJECTED", "the content is not bzip2, or damaged"),
        ("REJECTED", "the content is gzip, which neither the file's ending nor the contract says"),
    ]


@pytest.mark.parametrize("dies", [False, True])
def test_no_decompressed_copy_outlives_its_run(
    make: MakeLake, monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    lake = make(plan("packed", PAIR))
    lake.put("a.csv.zst", zstandard.compress(TEXT.encode()))
    job = lake.job(lake.pending)
    written: list[str] = []

    def read(run: Run) -> DataFrame | None:
        written.append((lake.operations.root / copy).read_text())
        return silver_read.read(run) if not dies else cast("None", 1 // 0)

    copy = f"runs/staged/{job.run_id}/0"
    monkeypatch.setattr(silver, "read", read)
    if dies:
        with pytest.raises(JobFailed, match="ZeroDivisionError"):
            lake.run(job)
    else:
        lake.run(job)
    assert written == [TEXT]
    assert lake.operations.get_json(copy) is None


def test_a_dialect_of_csv(make: MakeLake) -> None:
    columns = [
        column("id", "int"),
        column("price", "decimal(8,2)"),
        column("ok", "boolean"),
        column("size", "double"),
    ]
    form = {"delimiter": ";", "quote": "'", "decimal": ",", "group": ".", "null_tokens": ["-"],
            "true_tokens": ["ja"], "false_tokens": ["nein"], "encoding": "ISO-8859-1"}  # fmt: skip
    lake = make(plan("dialect", [*columns, column("name")], format=form))
    text = "id;price;ok;size;name\n1;1.234,50;JA;0,5;'Müller; Co'\n2;50.7;nein;1.000;-\n3;-;doch;1,5e3;\n"
    lake.put("a.csv", text.encode("iso-8859-1"))
    lake.run()
    assert lake.rows("id", "price", "ok", "size", "name") == [
        (1, Decimal("1234.50"), True, 0.5, "Müller; Co")
    ]
    assert [(row, broken) for row, broken, _ in lake.bad_rows()] == [(2, ["price_type"]), (3, ["ok_type"])]


def test_utf_16(make: MakeLake) -> None:
    lake = make(plan("wide", PAIR, format={"encoding": "UTF-16"}))
    lake.put("a.csv", "id,name\n1,é\n".encode("utf-16"))
    lake.run()
    assert lake.rows("id", "name") == [(1, "é")]


def test_bytes_that_are_no_text_are_malformed_not_replaced(make: MakeLake) -> None:
    lake = make(plan("bytes", PAIR))
    lake.put("a.csv", b"id,name\n" + b"1,aaaaaaaaaa\n" * 6000 + b"2,b\xff\n")
    report = lake.run()
    assert outcomes(report) == [("PROMOTED", None, 6001, 6000, 1, 0)]
    assert [broken for _, broken, _ in lake.bad_rows()] == [["malformed"]]


def test_parquet_of_several_schemas(make: MakeLake) -> None:
    columns = [
        column("id", "int"),
        column("amount", "decimal(6,2)"),
        column("at", "timestamp"),
        column("tags", "array<string>"),
    ]
    lake = make(plan("columnar", columns, [rule("id_min", "min", ["id"], 0)], format={"type": "parquet"}))
    at = pa.array([1357000000000000, None], pa.timestamp("us", "UTC"))
    lake.put("a.parquet", parquet(id=pa.array([1, -2], pa.int64()), at=at, tags=[["x"], None]))
    lake.put("b.parquet", parquet(amount=["1.25", "1.255"], id=pa.array([3.0, 4.5], pa.float64())))
    lake.put("c.parquet", b"PAR1 no parquet at all PAR1")
    report = lake.run()
    assert lake.rows("id", "amount", "CAST(at AS string)", "tags", words.SOURCE_ROW) == [
        (1, None, "2013-01-01 00:26:40", ["x"], 0), (3, Decimal("1.25"), None, None, 0),
    ]  # fmt: skip
    assert lake.bad_rows() == [
        (1, ["id_min"], '{"id":-2,"at":null,"tags":null}'),
        (1, ["id_type", "amount_type"], '{"amount":"1.255","id":4.5}'),
    ]
    assert outcomes(report)[2][:2] == ("REJECTED", "the Parquet footer is damaged")


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("empty.csv", b"", "the file is empty"),
        ("blank.csv", b" \n\n", "the file is empty"),
        ("other.csv", b"x,y\n1,2\n", "the header has none of the contract's columns"),
        ("twice.csv", b"id,id\n1,2\n", "the header names a column twice (columns 1 and 2)"),
        ("latin.csv", "id,name\n1,é\n".encode("latin-1"), "the file is not UTF-8"),
        ("wide.csv", "id,name\n1,a\n".encode("utf-16"), "the file is UTF-16, the contract says UTF-8"),
        ("sheet.xlsx", b"PK\x03\x04", "files with this ending cannot be read: gzip, bzip2 or zstd compress what is to be read"),
        ("columns.csv", parquet(id=[1]), "the content is Parquet, which neither the file's ending nor the contract says"),
        ("binary.csv", b"id,name\x00\n", "the file holds binary data"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_rejected_and_the_rest_goes_on(
    make: MakeLake, name: str, body: bytes, reason: str
) -> None:
    lake = make(plan("refused", PAIR))
    lake.put(name, body)
    lake.put("good.csv", "id,name\n1,a\n")
    report = lake.run()
    assert [o[:2] for o in outcomes(report)] == [("REJECTED", reason), ("PROMOTED", None)]
    assert lake.rows("id") == [(1,)]


def test_a_damaged_page_rejects_its_file_alone(make: MakeLake) -> None:
    lake = make(plan("damaged", PAIR, format={"type": "parquet"}))
    good = parquet(id=list(range(1000)), name=[f"name {n}" for n in range(1000)])
    lake.put("bad.parquet", good[:4] + b"\x7f" * 2000 + good[2004:])
    lake.put("good.parquet", parquet(id=[1], name=["a"]))
    report = lake.run()
    assert [o[:2] for o in outcomes(report)] == [("REJECTED", "the file cannot be read"), ("PROMOTED", None)]
    assert lake.rows("id") == [(1,)]


def test_a_large_compressed_file_is_read_through_when_spark_failed(
    make: MakeLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(preflight.WHOLE_CHECK_BYTES, "gzip", 10)
    lake = make(plan("late", PAIR))
    text = "id,name\n" + "".join(f"{n},{n * 7919 % 10007}\n" for n in range(50_000))
    lake.put("cut.csv.gz", gzip.compress(text.encode())[:-30_000])
    lake.put("good.csv.gz", gzip.compress(b"id,name\n1,a\n"))
    report = lake.run()
    assert [o[:2] for o in outcomes(report)] == [("REJECTED", "the file cannot be read"), ("PROMOTED", None)]
    assert lake.rows("id") == [(1,)]


def test_a_batch_of_nothing_but_bad_files_makes_no_table(make: MakeLake) -> None:
    lake = make(plan("nothing", PAIR))
    lake.put("a.csv", "")
    report = lake.run()
    assert [o[0] for o in outcomes(report)] == ["REJECTED"]
    assert report["silver"]["snapshot_id"] == -1
    assert not lake.spark.catalog.tableExists(lake.silver)


def test_a_json_array_that_is_cut_off_is_rejected(make: MakeLake) -> None:
    lake = make(plan("cut", PAIR, format={"type": "json"}))
    lake.put("a.json", '[{"id": 1}, {"id": ')
    lake.put("b.json", "[1, 2]")
    lake.put("c.json", "hello")
    report = lake.run()
    assert [o[:2] for o in outcomes(report)] == [
        ("REJECTED", "the content is not a JSON array"), ("PROMOTED", None), ("REJECTED", "the content is not JSON"),
    ]  # fmt: skip
    assert [(broken, raw) for _, broken, raw in lake.bad_rows()] == [
        (["malformed"], "1"),
        (["malformed"], "2"),
    ]


def test_json_keeps_the_digits_of_long_decimals(make: MakeLake) -> None:
    lake = make(
        plan("digits", [column("x", "decimal(25,5)"), column("n", "bigint")], format={"type": "jsonl"})
    )
    lake.put(
        "a.json",
        '{"x": 12345678901234567.12345, "n": 9007199254740993}\n{"x": "12345678901234567.1", "n": 1}\n',
    )
    lake.run()
    assert lake.rows("x", "n") == [
        (Decimal("12345678901234567.12345"), 9007199254740993), (Decimal("12345678901234567.10000"), 1),
    ]  # fmt: skip


def test_json_of_nested_values(make: MakeLake) -> None:
    columns = [column("id", "int"), column("points", "array<struct<x:int,y:double>>")]
    lake = make(plan("nested", columns, format={"type": "jsonl"}))
    lines = [
        {"id": 1, "points": [{"x": 1, "y": 2.5}]},
        {"id": 2, "points": [{"x": 1.5, "y": 2}]},
        {"id": 3, "points": {}},
    ]
    lake.put("a.json", "".join(json.dumps(line) + "\n" for line in lines))
    lake.run()
    assert [(row[0], [tuple(p) for p in row[1]]) for row in lake.rows("id", "points")] == [(1, [(1, 2.5)])]
    assert [broken for _, broken, _ in lake.bad_rows()] == [["points_type"], ["points_type"]]
