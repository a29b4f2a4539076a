"""The columns a run works with: the plan's, those the table got from earlier files, and those new in
these files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from lakehouse import words
from lakehouse_spark.preflight import Fields

MAX_COLUMNS: Final = 1000


@dataclass(frozen=True)
class Column:
    """A Silver column and where its values come from. ``matches_loosely``: found under any spelling of
    its name.
    """

    name: str
    type: str
    source: str
    source_name: str
    date_format: str | None = None
    timezone: str | None = None
    matches_loosely: bool = False


def plan_columns(plan: words.DatasetPlan) -> list[Column]:
    """The contract's columns."""
    return [
        Column(c["name"], c["type"], c["source"], c["source_name"], c["date_format"], c["timezone"])
        for c in plan["columns"]
    ]


def known_columns(plan: words.DatasetPlan, table: Mapping[str, str]) -> list[Column]:
    """The plan's columns and those ``table`` (name to type) has beside them."""
    columns = plan_columns(plan)
    names = {column.name.casefold() for column in columns} | {words.RESCUED, *words.SYSTEM_COLUMNS}
    extra = [
        Column(n, t, "file", n, matches_loosely=True) for n, t in table.items() if n.casefold() not in names
    ]
    return columns + extra


def new_columns(known: list[Column], groups: Iterable[Fields]) -> list[Column]:
    """Columns of files that ``known`` lacks: one per normal name, the widest claim first come."""
    found: dict[str, Column] = {}
    for fields in groups:
        for name, kind in unknown_fields(known, fields):
            normal = words.column_name(name)
            column = Column(normal, kind, "file", normal, matches_loosely=True)
            known_type = found.setdefault(normal, column).type
            if known_type != kind:
                found[normal] = Column(normal, "string", "file", normal, matches_loosely=True)
    return list(found.values())


def unknown_fields(known: list[Column], fields: Fields) -> list[tuple[str, str]]:
    """The fields that no column reads. A field of a path column's name is known: the path wins."""
    used = {place for column in known for place in places_of(column, fields)}
    path_names = {column.name.casefold() for column in known if column.source == "path"}
    return [
        field
        for place, field in enumerate(fields)
        if place not in used and field[0].casefold() not in path_names
    ]


def places_of(column: Column, fields: Fields) -> list[int]:
    """Where in a file the column's values stand: by exact name, else whatever the case, else (loosely)
    normal name.
    """
    if column.source != "file":
        return []
    wanted = column.source_name
    exact = [place for place, (name, _) in enumerate(fields) if name == wanted]
    folded = [place for place, (name, _) in enumerate(fields) if name.casefold() == wanted.casefold()]
    if exact or folded or not column.matches_loosely:
        return (exact or folded)[:1]
    return [place for place, (name, _) in enumerate(fields) if words.column_name(name) == wanted][:1]


def column_name_sql(name: str) -> str:
    """SQL: what ``words.column_name`` makes of a field's name, itself given as SQL."""
    plain = f"trim(BOTH '_' FROM regexp_replace(lower({name}), '[^a-z0-9_]+', '_'))"
    cut = f"left({plain}, {words.MAX_COLUMN_NAME})"
    return f"regexp_replace(regexp_replace({cut}, '^(?=[^a-z])', 'c_'), '^$', 'c')"


def keeps_rescued(plan: words.DatasetPlan) -> bool:
    """Whether mistyped values land in ``_rescued`` and not in quarantine."""
    return plan["evolution"] == "rescue" or not plan["contracted"]


def adds_columns(plan: words.DatasetPlan) -> bool:
    """Whether unknown fields become columns."""
    return plan["evolution"] == "evolve" or not plan["contracted"]
