"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "problem", "unchecked"]
"""unchecked: the question was refused or not understood, which says nothing about the answer."""


@dataclass(frozen=True)
class Finding:
    """One check's result: what was found, and what to do about it ('' where nothing is)."""

    check: str
    status: Status
    found: str
    do: str = ""
