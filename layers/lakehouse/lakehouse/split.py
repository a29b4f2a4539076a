"""Split a batch that died, so that one bad file cannot hold up the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .words import path_regex

Name = tuple[str, str]
"""An object version as (key, version id)."""


@dataclass(frozen=True)
class Parts:
    """Which part (0 or 1) each file goes to; ``alone`` if the batch could not be split further."""

    part_of: dict[Name, int]
    alone: bool


def parts(names: Sequence[Name], plan: Any) -> Parts:
    """Split files in halves by their order. What must be judged together stays together.

    ``plan`` is the dataset's plan or None; in snapshot mode the files of one group are one unit.
    """
    units = _units(names, plan)
    half = (len(units) + 1) // 2
    part_of = {name: int(at >= half) for at, unit in enumerate(units) for name in unit}
    return Parts(part_of, alone=len(units) == 1)


def next_group(group: str, run_id: str, part: int) -> str:
    """The label of a part: how often it was split, the run that died, the part.

    Text order puts the larger parts first, so that many files get on before one is narrowed down.
    """
    depth = int(group.partition(".")[0]) + 1 if group else 1
    return f"{depth:02d}.{run_id}.{part}"


def _units(names: Sequence[Name], plan: Any) -> list[list[Name]]:
    group_by = plan.get("snapshot_group") if plan and plan["mode"] == "snapshot" else None
    if not group_by:
        return [[name] for name in names]
    pattern = path_regex(plan["path_pattern"])
    units: dict[str, list[Name]] = {}
    for name in names:
        match = pattern.fullmatch(name[0].partition("/")[2])
        units.setdefault("group " + match[group_by] if match else "file " + name[0], []).append(name)
    return list(units.values())
