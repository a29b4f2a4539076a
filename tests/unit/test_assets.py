"""The bundle a lake runs on: complete, the same bytes each time, another hash for any change."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from lakehouse.assets import compile_assets, compile_definitions
from lakehouse.errors import DefinitionError

from . import sample_lake
from .sample_lake import ROOT

MODEL = """/*
description: d
keys: [carrier]
*/
SELECT a.carrier FROM silver.airlines AS a
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A small lake: one contract, one model, the real jobs."""
    shutil.copytree(ROOT / "glue", tmp_path / "glue", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    (tmp_path / "contracts").mkdir()
    shutil.copy(ROOT / "contracts/airlines.yaml", tmp_path / "contracts")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/carriers.sql").write_text(MODEL)
    return tmp_path


def test_the_bundle_holds_everything_a_run_needs() -> None:
    assets = sample_lake.assets()
    datasets = ["airlines", "airports", "flights", "planes", "weather"]
    index = json.loads(assets.files["index.json"])
    assert assets.prefix == f"assets/{assets.hash}/"
    assert index == {
        "hash": assets.hash,
        "datasets": datasets,
        "models": index["models"],
        "freshness_seconds": {"flights": 35 * 86400, "weather": 30 * 3600},
        "scheduled": ["weather"],
    }
    assert index["models"].index("carrier_punctuality_daily") < index["models"].index(
        "carrier_punctuality_monthly"
    )
    expected = {f"plans/{name}.json" for name in datasets} | {
        f"models/{name}.json" for name in index["models"]
    }
    jobs = {f"jobs/{path.name}" for path in (ROOT / "glue/jobs").glob("*.py")}
    assert set(assets.files) == expected | jobs | {"lakehouse_spark.zip", "governance.json", "index.json"}
    assert json.loads(assets.files["plans/flights.json"])["dataset"] == "flights"


def test_the_library_holds_what_a_job_imports_and_nothing_else() -> None:
    with zipfile.ZipFile(io.BytesIO(sample_lake.assets().files["lakehouse_spark.zip"])) as library:
        names = library.namelist()
    assert names == sorted(names)
    assert [name for name in names if name.startswith("lakehouse/")] == [
        "lakehouse/__init__.py",
        "lakehouse/governing.py",
        "lakehouse/words.py",
    ]
    assert all(name.startswith(("lakehouse/", "lakehouse_spark/")) and name.endswith(".py") for name in names)


def test_equal_sources_give_equal_bytes(sources: Path) -> None:
    before = compile_assets(sources)
    for path in sources.rglob("*"):
        os.utime(path, (1, 1))
    (sources / "glue/lakehouse_spark/__pycache__").mkdir()
    (sources / "glue/lakehouse_spark/__pycache__/x.pyc").write_bytes(b"x")
    assert compile_assets(sources) == before


@pytest.mark.parametrize(
    "changed",
    [
        "contracts/airlines.yaml",
        "models/carriers.sql",
        "glue/jobs/gold.py",
        "glue/lakehouse_spark/publish.py",
    ],
)
def test_any_change_gives_another_hash(sources: Path, changed: str) -> None:
    before = compile_assets(sources)
    text = (sources / changed).read_text()
    replaced = text.replace("version: 1.0.0", "version: 1.0.1").replace("SELECT a", "SELECT DISTINCT a")
    (sources / changed).write_text(replaced if replaced != text else text + "\nX = 1\n")
    assert compile_assets(sources).hash != before.hash


def test_the_problems_of_contracts_and_models_come_together(sources: Path) -> None:
    (sources / "contracts/bad.yaml").write_text("id: x\n")
    (sources / "models/bad.sql").write_text("SELECT 1")
    with pytest.raises(DefinitionError) as wrong:
        compile_definitions(sources)
    assert {problem.partition(":")[0] for problem in wrong.value.problems} == {
        "contracts/bad.yaml",
        "models/bad.sql",
    }


def test_a_lake_without_models_or_contracts_is_a_lake(tmp_path: Path) -> None:
    definitions = compile_definitions(tmp_path)
    assert (definitions.plans, definitions.models) == ({}, {})
