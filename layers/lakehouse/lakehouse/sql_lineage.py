"""Where the columns of a query come from, read off the parsed and qualified query."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, build_scope

from .plans import WHOLE_ROW
from .words import ColumnSource

Kind = Literal["IDENTITY", "TRANSFORMATION", "AGGREGATION", "FILTER", "JOIN", "GROUP_BY", "SORT"]
_STRENGTH: Final[tuple[Kind, ...]] = get_args(Kind)
_ROW_CLAUSES: Final[dict[str, Kind]] = {
    "where": "FILTER",
    "having": "FILTER",
    "group": "GROUP_BY",
    "qualify": "FILTER",
}


class Unresolved(Exception):  # noqa: N818 - reads as the sentence it is
    """Nothing says where a column comes from."""

    def __init__(self, column: exp.Column) -> None:
        super().__init__(f"nothing says where '{column.name}' comes from")


@dataclass(frozen=True)
class Base:
    """One column of a base table, and how it was used."""

    layer: str
    table: str
    column: str
    kind: Kind

    def then(self, kind: Kind) -> Base:
        """The same column after a further use: the less direct of the two uses stays."""
        return Base(self.layer, self.table, self.column, max(self.kind, kind, key=_STRENGTH.index))

    def as_source(self) -> ColumnSource:
        """The shape in which a model's plan holds it."""
        return ColumnSource(layer=self.layer, table=self.table, column=self.column, transformation=self.kind)


class Lineage:
    """The column lineage of one qualified query."""

    def __init__(self, query: exp.Query) -> None:
        root = build_scope(query)
        if root is None:
            raise ValueError("not a query")
        self.root = root
        self._scopes = {id(scope.expression): scope for scope in root.traverse()}

    def outputs(self) -> list[str]:
        """The names of the query's columns, in order."""
        return column_names(self.root)

    def columns(self) -> dict[str, list[ColumnSource]]:
        """By output column (and ``*`` for all rows): the base columns, each once per use, sorted.

        Raises ``Unresolved``: a column of unknown origin is never taken for one that is made of nothing.
        """
        lineage = {
            name: _listed(self._output(self.root, position)) for position, name in enumerate(self.outputs())
        }
        lineage[WHOLE_ROW] = _listed(self._decides_rows())
        return lineage

    def _output(self, scope: Scope, position: int) -> Iterator[Base]:
        expression = scope.expression
        if isinstance(expression, exp.SetOperation):
            for branch in branches(scope):
                yield from self._output(branch, position)
        elif isinstance(expression, exp.Select):
            yield from self._expression(expression.selects[position])
        else:  # a lateral view or a table function: its columns come from its arguments
            for column in expression.find_all(exp.Column):
                yield from (base.then("TRANSFORMATION") for base in self._column(column))

    def _expression(self, expression: exp.Expr) -> Iterator[Base]:
        bare = expression.unalias()
        for column in bare.find_all(exp.Column):
            kind = "IDENTITY" if column is bare else _use(column, bare)
            yield from (base.then(kind) for base in self._column(column))

    def _column(self, column: exp.Column) -> Iterator[Base]:
        """The base columns that a column stands for, looked up where it is written."""
        source = self._source(column)
        if isinstance(source, exp.Table):
            yield Base(source.db, source.name, column.name, "IDENTITY")
        elif isinstance(source, Scope):
            yield from self._output(source, _position(source, column))
        else:
            raise Unresolved(column)

    def _source(self, column: exp.Column) -> exp.Table | Scope | None:
        node = column.parent
        while node is not None:
            scope = self._scopes.get(id(node))
            if scope is not None and column.table in scope.sources:
                source: exp.Table | Scope = scope.sources[column.table]
                return source
            node = node.parent
        return None

    def _decides_rows(self) -> Iterator[Base]:
        for scope in self.root.traverse():
            select = scope.expression
            if isinstance(select, exp.Select):
                for kind, clause in _row_clauses(select):
                    for column in clause.find_all(exp.Column):
                        yield from (base.then(kind) for base in self._column(column))


def branches(scope: Scope) -> list[Scope]:
    """The scopes of a set operation's two sides."""
    return list(scope.set_operation_scopes)


def column_names(scope: Scope) -> list[str]:
    """The names of what a scope yields; empty for a lateral view."""
    expression = scope.expression
    return list(expression.named_selects) if isinstance(expression, exp.Query) else []


def _position(source: Scope, column: exp.Column) -> int:
    """Which of a scope's columns is meant; those of a lateral view all come from the same arguments."""
    names = column_names(source)
    if names and column.name not in names:
        raise Unresolved(column)
    return names.index(column.name) if names else 0


def _row_clauses(select: exp.Select) -> Iterator[tuple[Kind, exp.Expr]]:
    for join in select.args.get("joins") or []:
        if condition := join.args.get("on"):
            yield "JOIN", condition
    for name, kind in _ROW_CLAUSES.items():
        if clause := select.args.get(name):
            yield kind, clause


def _use(column: exp.Column, within: exp.Expr) -> Kind:
    """How an expression uses a column that it is not itself."""
    node: exp.Expr = column
    kind: Kind = "TRANSFORMATION"
    while node is not within and node.parent is not None:
        parent = node.parent
        if isinstance(parent, exp.Window) and node.arg_key == "partition_by":
            return "GROUP_BY"
        if isinstance(parent, exp.Window) and node.arg_key == "order":
            return "SORT"
        if isinstance(parent, exp.AggFunc):
            kind = "AGGREGATION"
        if isinstance(parent, exp.Where | exp.Join):
            return "FILTER"
        node = parent
    return kind


def _listed(bases: Iterator[Base]) -> list[ColumnSource]:
    unique = dict.fromkeys(bases)
    order = sorted(unique, key=lambda base: (base.layer, base.table, base.column, _STRENGTH.index(base.kind)))
    return [base.as_source() for base in order]
