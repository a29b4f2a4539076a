from __future__ import annotations

import bz2
import gzip
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from lakehouse.contracts import compile_contract
from lakehouse_cli.errors import CommandError, UsageError
from lakehouse_cli.main import main
from lakehouse_cli.sniff import draft


def drafted(dataset: str, file: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The draft as YAML holds it, and its columns' types; it compiles, or the test fails."""
    text, _ = draft(dataset, file)
    plan = compile_contract(text, f"contracts/{dataset}.yaml")
    return yaml.safe_load(text), {column["name"]: column["type"] for column in plan["columns"]}


def options(contract: dict[str, Any]) -> dict[str, Any]:
    return {entry["property"]: entry["value"] for entry in contract["schema"][0]["customProperties"]}


def test_a_csv_with_null_words_dates_and_folders(tmp_path: Path) -> None:
    file = tmp_path / "year=2013" / "city=Ulm" / "a.csv"
    file.parent.mkdir(parents=True)
    file.write_text(
        "Id;Sold At;Amount;when;year\n1;31.12.2013;NA;2013-01-01T10:00:00Z;9\n2;01.02.2013;2.5;NA;9\n"
    )
    contract, types = drafted("sales", file)
    assert types == {
        "id": "bigint",
        "sold_at": "date",
        "amount": "double",
        "when": "timestamp",
        "year": "bigint",
        "city": "string",
    }
    assert options(contract) == {
        "format": "csv",
        "delimiter": ";",
        "pathPattern": "year={year:int}/city={city}/*",
        "nullTokens": ["", "NA"],
    }
    sold_at = contract["schema"][0]["properties"][1]
    assert sold_at["physicalName"] == "Sold At"
    assert sold_at["logicalTypeOptions"] == {"format": "dd.MM.yyyy"}


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("a.json", '{"a": 1, "at": "2013-01-01T10:00:00Z"}\n{"a": 2}\n', "jsonl"),
        ("a.json", '  [{"a": 1, "at": "2013-01-01T10:00:00Z"}, {"a": 2}]', "json"),
        ("a.jsonl", '{"a": 1, "at": "2013-01-01T10:00:00+01:00"}\n', "jsonl"),
    ],
)
def test_json_lines_and_arrays_are_told_apart_by_content(
    tmp_path: Path, name: str, text: str, form: str
) -> None:
    (tmp_path / name).write_text(text)
    contract, types = drafted("events", tmp_path / name)
    assert options(contract) == {"format": form}
    assert types == {"a": "bigint", "at": "timestamp"}


def test_nested_json_and_zoneless_times(tmp_path: Path) -> None:
    text = (
        '{"b": {"c": [1.5], "at": "2013-01-01T10:00:00Z"}, "on": "2013-01-01", "t": "2013-01-01 10:00:00"}\n'
    )
    (tmp_path / "a.jsonl").write_text(text)
    _, types = drafted("events", tmp_path / "a.jsonl")
    assert types == {"b": "struct<c:array<double>,at:string>", "on": "date", "t": "timestamp_ntz"}


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    duckdb.sql(
        "SELECT 1::INTEGER AS n, 2.50::DECIMAL(9,2) AS price, now() AS at, ['x'] AS tags, uuid() AS id"
    ).write_parquet(str(file))
    _, types = drafted("items", file)
    assert types == {
        "n": "int",
        "price": "decimal(9,2)",
        "at": "timestamp",
        "tags": "array<string>",
        "id": "string",
    }


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_packed_samples_are_read(tmp_path: Path, ending: str, pack: Any) -> None:
    file = tmp_path / f"a.csv{ending}"
    file.write_bytes(pack(b"a,b\n1,x\n2,y\n"))
    _, types = drafted("packed", file)
    assert types == {"a": "bigint", "b": "string"}


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_text("x")
    with pytest.raises(UsageError, match=r"What format a\.xlsx is cannot be told from its ending"):
        draft("x", tmp_path / "a.xlsx")
    (tmp_path / "a.parquet").write_text("no parquet")
    with pytest.raises(CommandError, match=r"a\.parquet cannot be read as parquet"):
        draft("x", tmp_path / "a.parquet")


def test_init_replaces_a_contract_only_when_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample, target = tmp_path / "a.csv", tmp_path / "planes.yaml"
    sample.write_text("a\n1\n")
    target.write_text("mine\n")
    command = ["init", "planes", str(sample), "--output", str(target)]
    assert main(command) == 2
    assert target.read_text() == "mine\n"
    assert "Replace it with --force" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0
    assert capsys.readouterr().out == f"{target}: 1 columns, csv.\n"
    assert yaml.safe_load(target.read_text())["schema"][0]["name"] == "planes"


def test_check_lists_every_problem_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "contracts" / "planes.yaml").write_text("apiVersion: v3.2.0\nkind: DataContract\n")
    assert main(["check", "--project", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "contracts/planes.yaml" in shown.out
    assert "problems" in shown.err
    assert main(["check", "--project", str(tmp_path / "nope")]) == 2


def test_the_sample_lakes_contracts_and_models_are_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    assert "are good" in capsys.readouterr().err
