"""How the twin changes the emulator below it: by name, and only names that exist.

The emulator (ministack) has no extension points, so the twin replaces some of its private functions in place.
Each replacement is asked for here; a name that an upgrade removed stops the start with a sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from types import ModuleType
from typing import Any

from twin.errors import UpgradeError


def require(module: ModuleType, *names: str) -> None:
    """Raise ``UpgradeError`` unless the module still has every one of the names."""
    missing = [name for name in names if not hasattr(module, name)]
    if missing:
        raise UpgradeError(
            f"ministack {version('ministack')} has no {', '.join(missing)} in {module.__name__}, which the "
            "twin builds on: install the version in requirements/twin.txt, or adapt the twin to this one."
        )


def replace(module: ModuleType, name: str, make: Callable[[Any], Any]) -> None:
    """Put ``make(original)`` where the original was."""
    require(module, name)
    setattr(module, name, make(getattr(module, name)))


def replace_entry(module: ModuleType, table: str, key: str, make: Callable[[Any], Any]) -> None:
    """The same for one entry of a module's dispatch table."""
    require(module, table)
    entries = getattr(module, table)
    if key not in entries:
        raise UpgradeError(f"ministack {version('ministack')} has no {key!r} in {module.__name__}.{table}.")
    entries[key] = make(entries[key])
