"""Who may see what of a table: one pure function over grants, LF-Tags and data cells filters.

Sources, all below https://docs.aws.amazon.com/lake-formation/latest/dg/ : ``lf-tag-considerations.html``
and ``managing-tag-expressions.html`` (keys of an expression are joined by AND, the values of a key by OR,
several grants by OR; one value for each key), ``TBAC-assigning-tags.html`` (a table inherits its database's
tags, a column its table's; an own value overrides the inherited one), ``data-filters-about.html`` (what a
filter shows), ``implicit-permissions.html`` (an administrator describes everything and selects nothing),
``upgrade-glue-lake-formation-background.html`` (``IAMAllowedPrincipals``),
``lf-permissions-reference.html``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

ALL: Final = "ALL"
SELECT: Final = "SELECT"
CREATE_TABLE: Final = "CREATE_TABLE"
OPEN_TO_IAM: Final = "IAM_ALLOWED_PRINCIPALS"
"""The group that stands for whoever IAM lets through: a grant to it takes Lake Formation out of the way."""

Tags = Mapping[str, str]


@dataclass(frozen=True)
class DatabaseResource:
    """A database by its name. A grant on it says nothing about rows."""

    database: str


@dataclass(frozen=True)
class TableResource:
    """A table, or every table of its database (``name`` is None). ``columns`` or all but ``excluded``, if
    given.
    """

    database: str
    name: str | None
    columns: frozenset[str] | None = None
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True)
class TagPolicy:
    """Whatever carries, for every key, one of its values. ``kind``: ``DATABASE`` or ``TABLE`` (with its
    columns).
    """

    kind: str
    expression: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class FilterResource:
    """A data cells filter by its name."""

    database: str
    table: str
    name: str


Resource = DatabaseResource | TableResource | TagPolicy | FilterResource


@dataclass(frozen=True)
class Grant:
    """What a principal may do with a resource."""

    principal: str
    resource: Resource
    permissions: frozenset[str]


@dataclass(frozen=True)
class CellsFilter:
    """Columns (None: all but ``excluded``) and rows (SQL of a WHERE clause; None: all) of one table."""

    database: str
    table: str
    name: str
    rows: str | None
    columns: frozenset[str] | None = None
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Table:
    """A table with the tags that were put on its database, on itself and on each column; none is inherited
    here.
    """

    database: str
    name: str
    columns: tuple[str, ...]
    database_tags: Tags = field(default_factory=dict)
    table_tags: Tags = field(default_factory=dict)
    column_tags: Mapping[str, Tags] = field(default_factory=dict)

    @property
    def own_and_inherited(self) -> Tags:
        """The tags that hold for the table."""
        return {**self.database_tags, **self.table_tags}

    def tags_of(self, column: str) -> Tags:
        """The tags that hold for a column."""
        return {**self.own_and_inherited, **self.column_tags.get(column, {})}


@dataclass(frozen=True)
class Rule:
    """These columns, in the rows that satisfy ``rows`` (None: in all of them)."""

    columns: frozenset[str]
    rows: str | None


@dataclass(frozen=True)
class Access:
    """What somebody may see of a table.

    ``columns`` stand in the table's order. A row is shown where one of the ``rules`` shows it, and a value
    in it is null where no rule that shows the row has the column.
    """

    describes: bool
    columns: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()

    @property
    def whole_rows(self) -> bool:
        """Whether every row is shown with all of ``columns``."""
        return any(rule.rows is None and rule.columns >= set(self.columns) for rule in self.rules)

    def sees_all_of(self, columns: Collection[str]) -> bool:
        """Whether nothing of a table with these columns is hidden."""
        return self.whole_rows and set(self.columns) >= set(columns)


def decide(
    principals: Collection[str],
    table: Table,
    grants: Iterable[Grant],
    filters: Iterable[CellsFilter],
    administrators: Collection[str] = (),
) -> Access:
    """What the caller may see of ``table``.

    ``principals`` are all the names the caller goes by: its role's or user's ARN and the groups it is in.
    """
    known = {(each.database, each.table, each.name): each for each in filters}
    theirs = [
        grant for grant in grants if grant.principal in {*principals, OPEN_TO_IAM} and grant.permissions
    ]
    rules = {
        rule
        for grant in theirs
        if grant.permissions & {ALL, SELECT}
        and (rule := _rule(grant.resource, table, known))
        and rule.columns
    }
    shown = frozenset().union(*(rule.columns for rule in rules))
    ordered = sorted(rules, key=lambda rule: (rule.rows or "", sorted(rule.columns)))
    return Access(
        describes=bool(rules)
        or any(_concerns(grant.resource, table) for grant in theirs)
        or not set(principals).isdisjoint(administrators),
        columns=tuple(column for column in table.columns if column in shown),
        rules=tuple(ordered),
    )


def may_create_tables(
    principals: Collection[str],
    database: str,
    database_tags: Tags,
    grants: Iterable[Grant],
    administrators: Collection[str] = (),
) -> bool:
    """Whether the caller may make a table in a database, and so is told whether one is there."""
    return not set(principals).isdisjoint(administrators) or any(
        _is_on(grant.resource, database, database_tags)
        for grant in grants
        if grant.principal in {*principals, OPEN_TO_IAM} and grant.permissions & {ALL, CREATE_TABLE}
    )


def _is_on(resource: Resource, database: str, tags: Tags) -> bool:
    match resource:
        case DatabaseResource():
            return resource.database == database
        case TagPolicy(kind="DATABASE"):
            return _fits(tags, resource.expression)
        case _:
            return False


def _rule(
    resource: Resource, table: Table, filters: Mapping[tuple[str, str, str], CellsFilter]
) -> Rule | None:
    """What SELECT on a resource shows of a table."""
    match resource:
        case TableResource() if _concerns(resource, table):
            return Rule(_chosen(table, resource.columns, resource.excluded), None)
        case TagPolicy(kind="TABLE"):
            fits = (column for column in table.columns if _fits(table.tags_of(column), resource.expression))
            return Rule(frozenset(fits), None)
        case FilterResource() if _concerns(resource, table):
            found = filters.get((resource.database, resource.table, resource.name))
            return Rule(_chosen(table, found.columns, found.excluded), found.rows) if found else None
        case _:
            return None


def _concerns(resource: Resource, table: Table) -> bool:
    """Whether a grant on the resource, of whatever permission, lets its holder see that the table is
    there.
    """
    match resource:
        case TableResource():
            return resource.database == table.database and resource.name in {None, table.name}
        case FilterResource():
            return (resource.database, resource.table) == (table.database, table.name)
        case TagPolicy(kind="TABLE"):
            carriers = [table.own_and_inherited, *(table.tags_of(column) for column in table.columns)]
            return any(_fits(tags, resource.expression) for tags in carriers)
        case _:
            return False


def _chosen(table: Table, columns: frozenset[str] | None, excluded: frozenset[str]) -> frozenset[str]:
    return frozenset(table.columns if columns is None else columns & set(table.columns)) - excluded


def _fits(tags: Tags, expression: Mapping[str, frozenset[str]]) -> bool:
    return all(tags.get(key) in values for key, values in expression.items())
