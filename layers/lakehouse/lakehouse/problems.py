"""Collecting everything that is wrong with a definition before saying so."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from .errors import DefinitionError


@dataclass(frozen=True)
class Problem:
    """One thing wrong: the file, the place in it (``schema[0].properties[3].name``), what, and what to do."""

    file: str
    path: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.file}: {self.path}" if self.path else self.file
        return f"{place}: {self.what}." + (f" {self.remedy}." if self.remedy else "")


@dataclass
class Problems:
    """The problems of one file, in the order they were found."""

    file: str
    found: list[Problem] = field(default_factory=list)

    def add(self, path: str, what: str, remedy: str = "") -> None:
        """Note a problem and go on."""
        problem = Problem(self.file, path, what, remedy)
        if problem not in self.found:
            self.found.append(problem)

    def end(self) -> None:
        """Raise ``DefinitionError`` if anything was found."""
        if self.found:
            raise DefinitionError(tuple(str(problem) for problem in self.found))


def one_of(word: str, known: Iterable[str]) -> str:
    """A remedy that names the nearest known word, or all of them."""
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices, n=1)
    return f"Did you mean '{near[0]}'" if near else f"Use one of: {', '.join(choices)}"
