"""`make setup` on machines that lack something: one sentence that says what."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "dirname", "sed", "head", "git", "tail")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder that is all of PATH: the tools of any machine, Python 3.11, Java 17 with keytool."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(str(shutil.which(tool)))
    write(folder / "python3", f'exec {sys.executable} "$@"')
    write(folder / "java", "echo 'openjdk version \"17.0.9\" 2023-10-17' >&2")
    write(folder / "keytool", "true")
    return folder


def write(path: Path, line: str) -> None:
    path.write_text(f"#!{shutil.which('bash')}\n{line}\n")
    path.chmod(0o755)


def check(machine: Path) -> tuple[int, str]:
    command = [str(shutil.which("bash")), str(ROOT / "scripts" / "setup.sh"), "check_tools"]
    done = subprocess.run(
        command, env={"PATH": str(machine)}, capture_output=True, text=True, check=False, cwd=ROOT
    )
    return done.returncode, done.stderr


def test_a_machine_with_everything_passes(machine: Path) -> None:
    assert check(machine) == (0, "")


@pytest.mark.parametrize(
    ("tool", "sentence"),
    [
        ("python3", "setup: Python 3.11 was not found. Install it"),
        ("java", "setup: Java was not found. Spark needs Java 17"),
        ("keytool", "setup: keytool was not found. It comes with Java 17"),
        ("git", "setup: git was not found. Install it."),
    ],
)
def test_what_is_missing_is_named(machine: Path, tool: str, sentence: str) -> None:
    (machine / tool).unlink()
    code, said = check(machine)
    assert (code, said.startswith(sentence)) == (1, True), said


def test_another_java_is_named_with_its_version(machine: Path) -> None:
    write(machine / "java", "echo 'openjdk version \"21.0.1\" 2023-10-17' >&2")
    code, said = check(machine)
    assert (code, said) == (
        1,
        "setup: Java 17 is needed, `java -version` says 21. Put Java 17 first on PATH.\n",
    )


def test_another_python_does_not_count(machine: Path) -> None:
    write(machine / "python3", "exit 1")
    assert check(machine)[1].startswith("setup: Python 3.11 was not found.")
