"""`make deploy`: the doctor, the build, the deployment, in this order and each only after the one before."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with a `lakehouse` and a `sam` that note how they were called."""
    for name in ("lakehouse", "sam"):
        write(tmp_path / name, f'echo "{name} $*" >> {tmp_path}/calls')
    add(tmp_path / "lakehouse", '[ "$1" != parameters ] || printf "LakeName=lake\\nAdministrator=me\\n"')
    return tmp_path


def add(path: Path, line: str) -> None:
    path.write_text(path.read_text() + line + "\n")


def write(path: Path, line: str) -> None:
    path.write_text(f"#!{shutil.which('bash')}\n{line}\n")
    path.chmod(0o755)


def deploy(tools: Path, *arguments: str) -> tuple[int, list[str], str]:
    """Run the target with those tools; returns exit code, calls and what went to stderr."""
    # -o: the environments are not what is tested, and are not made.
    done = subprocess.run(
        [
            "make",
            "-o",
            ".venv/.project",
            "-o",
            ".tools/.sam",
            "deploy",
            f"BIN={tools}",
            f"SAM={tools}/sam",
            *list(arguments),
        ],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    calls = tools / "calls"
    return done.returncode, calls.read_text().splitlines() if calls.exists() else [], done.stderr


@pytest.mark.parametrize(("environment", "table"), [("dev", "default"), ("prod", "prod")])
def test_the_steps_come_in_order_with_the_environments_parameters(
    tools: Path, environment: str, table: str
) -> None:
    assert deploy(tools, f"ENV={environment}")[:2] == (
        0,
        [
            f"lakehouse doctor --env {environment}",
            f"sam build --config-env {table}",
            f"lakehouse parameters --env {environment}",
            f"sam deploy --config-env {table} --parameter-overrides LakeName=lake Administrator=me",
        ],
    )
    configured = tomllib.loads((ROOT / "samconfig.toml").read_text())[table]["deploy"]["parameters"]
    assert configured["stack_name"] == f"lake-{environment}"
    assert f"Environment={environment}" in configured["parameter_overrides"]


def test_a_problem_stops_before_anything_is_built(tools: Path) -> None:
    write(tools / "lakehouse", f'echo "lakehouse $*" >> {tools}/calls; exit 1')
    code, calls, _ = deploy(tools, "ENV=prod")
    assert (code, calls) == (2, ["lakehouse doctor --env prod"])


def test_a_failed_build_deploys_nothing(tools: Path) -> None:
    write(tools / "sam", f'echo "sam $*" >> {tools}/calls; exit 3')
    code, calls, _ = deploy(tools, "ENV=dev")
    assert (code, calls[-1]) == (2, "sam build --config-env default")


def test_without_its_parameters_nothing_is_deployed(tools: Path) -> None:
    add(tools / "lakehouse", '[ "$1" != parameters ] || exit 1')
    code, calls, _ = deploy(tools, "ENV=dev")
    assert (code, calls[-1]) == (2, "lakehouse parameters --env dev")


@pytest.mark.parametrize("arguments", [(), ("ENV=test",)])
def test_an_environment_has_to_be_said(tools: Path, arguments: tuple[str, ...]) -> None:
    code, calls, said = deploy(tools, *arguments)
    assert (code, calls) == (2, [])
    assert "Say which environment: make deploy ENV=dev, or ENV=prod" in said
