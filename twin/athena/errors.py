"""A query's failure, in Athena's words."""

from __future__ import annotations

from typing import Final

from twin.errors import TwinError

USER_ERROR: Final = 2
"""Athena's ErrorCategory for what the person who asks can mend."""


class QueryError(TwinError):
    """A query that fails, with the error name Athena (Trino) has for it."""

    def __init__(self, name: str, message: str) -> None:
        self.name = name
        super().__init__(f"{name}: {message}")


def not_supported(what: str) -> QueryError:
    """Something that Athena may know but the twin does not know how to answer rightly."""
    return QueryError("NOT_SUPPORTED", f"The twin's Athena refuses {what}, rather than to answer wrongly.")
