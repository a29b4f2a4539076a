"""Compiling contracts and models for a person: all mistakes at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lakehouse.contracts import compile_contracts
from lakehouse.errors import DefinitionError
from lakehouse_cli.errors import UsageError


@dataclass(frozen=True)
class Checked:
    """What was compiled, and what is wrong (sentences with file and place)."""

    datasets: list[str]
    models: list[str]
    problems: list[str]


def check_project(root: Path) -> Checked:
    """Compile ``contracts/`` and ``models/`` below ``root``."""
    if not (root / "contracts").is_dir():
        raise UsageError(f"There is no folder {root / 'contracts'}. Name the right one with --project.")
    try:
        plans = compile_contracts(root / "contracts")
    except DefinitionError as wrong:
        return Checked([], [], list(wrong.problems))
    return Checked(sorted(plans), [], [])
