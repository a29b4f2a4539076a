"""Athena in the twin: DuckDB answers Athena's SQL over the catalog's tables, as the caller, or refuses it."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twin.context import Context


def install(app: ModuleType, context: Context) -> None:
    """Answer queries with the twin's own engine; the rest of the API is the emulator's."""
    # Not above: the translation of SQL can be used, and tested, without the emulator.
    from twin.athena.queries import Queries

    Queries(context).install(app)
