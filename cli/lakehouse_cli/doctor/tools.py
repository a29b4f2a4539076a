"""What a deployment needs on this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lakehouse_cli.doctor.findings import Finding

JAVA = "17"
SECONDS = 60

Run = Callable[[Sequence[str]], str | None]
"""Runs a command; returns what it printed, None if it is not there or failed."""


def run(command: Sequence[str]) -> str | None:
    """Run a command that says its version."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{done.stdout}{done.stderr}"


def sam_cli(root: Path) -> str | None:
    """The SAM CLI of `make setup`, or the one on PATH."""
    own = root / ".tools" / "sam" / "bin" / "sam"
    return str(own) if own.exists() else shutil.which("sam")


def check_tools(sam: str | None, run: Run = run) -> Iterator[Finding]:
    """The interpreter, the SAM CLI, Java."""
    yield Finding(
        "python", "ok", f"Python {sys.version_info.major}.{sys.version_info.minor} runs this command."
    )
    version = _version(run([sam, "--version"])) if sam else None
    if version is None:
        yield Finding("sam", "problem", "There is no SAM CLI that runs.", "Install it: make setup")
    else:
        yield Finding("sam", "ok", f"SAM CLI {version}.")
    java = _version(run(["java", "-version"]))
    if java is not None and java.partition(".")[0] == JAVA:
        yield Finding("java", "ok", f"Java {java}.")
    else:
        yield Finding(
            "java",
            "warning",
            f"Java {java} instead of {JAVA}." if java else "There is no Java.",
            "A deployment needs none; the twin and the Spark tests do.",
        )


def _version(printed: str | None) -> str | None:
    found = re.search(r"\d+(\.\d+)*", printed or "")
    return found[0] if found else None
