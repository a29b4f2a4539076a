"""Athena in the twin: DuckDB answers Athena's SQL over the catalog's tables, as the caller, or refuses it."""

from __future__ import annotations

from types import ModuleType

from twin.athena.queries import Queries
from twin.context import Context


def install(app: ModuleType, context: Context) -> None:
    """Answer queries with the twin's own engine; the rest of the API is the emulator's."""
    Queries(context).install(app)
