"""What `sam build` makes of the layer and of the assets function."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.infra.templates import ROOT, run_tool, template

HASH = "import sys; from samcli.lib.utils.hash import dir_checksum; print(dir_checksum(sys.argv[1]))"
SOURCES = ("contracts", "models", "governance", "glue", "functions/assets")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the assets function is built from."""
    for name in SOURCES:
        shutil.copytree(ROOT / name, tmp_path / "project" / name)
    return tmp_path / "project"


def build_assets(project: Path) -> str:
    """Build the assets function as SAM does; returns the hash by which SAM tells artifacts apart."""
    artifacts = project.parent / "artifacts"
    shutil.rmtree(artifacts, ignore_errors=True)
    artifacts.mkdir()
    makefile = project / "functions" / "assets" / "Makefile"
    command = [
        "make",
        "--silent",
        "--makefile",
        str(makefile),
        "build-AssetsFunction",
        f"ARTIFACTS_DIR={artifacts}",
    ]
    # SAM works on a copy of the folder: where make is started says nothing about where the project is.
    subprocess.run(command, cwd=artifacts, check=True)
    done = run_tool(ROOT / ".tools" / "sam" / "bin" / "python", "-c", HASH, str(artifacts))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_artifact_changes_with_every_source_and_with_nothing_else(project: Path) -> None:
    first = build_assets(project)
    leftovers = project / "glue" / "lakehouse_spark" / "__pycache__"
    leftovers.mkdir(exist_ok=True)
    (leftovers / "read.cpython-311.pyc").write_bytes(b"compiled here and now")
    for path in project.rglob("*.yaml"):
        path.touch()
    assert build_assets(project) == first

    seen = {first}
    for changed in (
        "contracts/flights.yaml",
        "models/fleet_use.sql",
        "governance/grants.yaml",
        "glue/jobs/gold.py",
        "functions/assets/app.py",
    ):
        with (project / changed).open("a") as file:
            file.write("\n# changed\n" if not changed.endswith(".sql") else "\n-- changed\n")
        seen.add(build_assets(project))
    assert len(seen) == 6


def test_the_layer_is_built_for_what_the_template_runs_on_by_default() -> None:
    makefile = (ROOT / "layers" / "lakehouse" / "Makefile").read_text()
    [python] = re.findall(r"^LAYER_PYTHON \?= (\S+)$", makefile, re.MULTILINE)
    [platform] = re.findall(r"^LAYER_PLATFORM \?= (\S+)$", makefile, re.MULTILINE)
    parameters = template("template.yaml")["Parameters"]
    assert parameters["LambdaRuntime"]["Default"] == f"python{python}"
    processors = {"aarch64": "arm64", "x86_64": "x86_64"}
    assert parameters["LambdaArchitecture"]["Default"] == processors[platform]


def test_no_build_is_cached_and_both_environments_are_complete() -> None:
    configured = tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert set(configured) == {"version", "default", "prod"}
    for name, environment in (("default", "dev"), ("prod", "prod")):
        assert configured[name]["build"]["parameters"] == {"cached": False}
        deploy = configured[name]["deploy"]["parameters"]
        overrides = dict(item.split("=", 1) for item in deploy["parameter_overrides"])
        assert overrides["Environment"] == environment
        assert set(overrides) <= set(template("template.yaml")["Parameters"])
        assert deploy["stack_name"] == f"{overrides['LakeName']}-{environment}"
        assert {"CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"} == set(deploy["capabilities"])
        # Otherwise a first deployment that failed blocks the next one.
        assert deploy["on_failure"] == "DELETE"
    prod = dict(
        item.split("=", 1) for item in configured["prod"]["deploy"]["parameters"]["parameter_overrides"]
    )
    assert (prod["DeletionProtection"], prod["NetworkMode"]) == ("true", "private")
    assert prod["ReplicaRegion"]
