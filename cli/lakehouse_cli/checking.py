"""Compiling contracts and models for a person: all mistakes at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lakehouse.assets import compile_definitions
from lakehouse.errors import DefinitionError
from lakehouse_cli.errors import UsageError


@dataclass(frozen=True)
class Checked:
    """What was compiled, and what is wrong (sentences with file and place)."""

    datasets: list[str]
    models: list[str]
    problems: list[str]


def check_project(root: Path) -> Checked:
    """Compile ``contracts/`` and ``models/``, which must be there, and ``governance/`` below ``root``."""
    for folder in ("contracts", "models"):
        if not (root / folder).is_dir():
            raise UsageError(f"There is no folder {root / folder}. Name the right one with --project.")
    try:
        found = compile_definitions(root)
    except DefinitionError as wrong:
        return Checked([], [], list(wrong.problems))
    return Checked(sorted(found.plans), list(found.models), [])
