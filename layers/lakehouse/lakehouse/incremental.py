"""A proof, before deployment, that recomputing only the changed partitions of a model equals recomputing all.

A mapping says: rows of the input with value p in its column reach only output rows with value p in the
output's column. Then the query over the input's rows of p gives exactly the output's rows of p. That holds
when the value travels unchanged from the input to the output, through joins that keep it equal, and when no
step in between mixes rows of different values: aggregates, DISTINCT and windows must group by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, build_scope

from .sql_lineage import branches, column_names

Reference = tuple[str, str]
"""A column as it is written within one SELECT: the source's alias and the column's name."""


@dataclass(frozen=True)
class Unproven(Exception):  # noqa: N818 - a verdict, turned into a sentence where it is caught
    """The mapping cannot be shown to hold, and why."""

    why: str


def carriers(query: exp.Query, layer: str, table: str, column: str) -> set[str]:
    """The output columns that hold, in every row that depends on the table, the value of its column.

    The local date of a time counts as its value, so that partitions must be days or longer.
    Raises ``Unproven`` when some step mixes rows of different values.
    """
    root = build_scope(query)
    if root is None:
        return set()
    proof = _Proof(layer, table, column)
    positions = proof.outputs(root)
    return {query.named_selects[position] for position in positions}


@dataclass(frozen=True)
class _Proof:
    layer: str
    table: str
    column: str

    def outputs(self, scope: Scope) -> set[int]:
        """Positions of the scope's output that carry the value."""
        expression = scope.expression
        if isinstance(expression, exp.SetOperation):
            reading = [branch for branch in branches(scope) if self.reads(branch)]
            return set.intersection(*(self.outputs(branch) for branch in reading))
        if not isinstance(expression, exp.Select):
            raise Unproven("the table is read inside a lateral view or a table function")
        return self._select(scope, expression)

    def reads(self, source: Scope | exp.Table) -> bool:
        """Whether the table is read there, at any depth."""
        if isinstance(source, exp.Table):
            return bool(source.db == self.layer and source.name == self.table)
        expression = source.expression
        if isinstance(expression, exp.SetOperation):
            return any(self.reads(branch) for branch in branches(source))
        if isinstance(expression, exp.Select):
            inner = [*(used for _, used in _used_sources(source, expression)), *source.subquery_scopes]
            return any(self.reads(scope) for scope in inner)
        return any(self.reads(table) for table in expression.find_all(exp.Table))

    def _select(self, scope: Scope, select: exp.Select) -> set[int]:
        if any(self.reads(inner) for inner in scope.subquery_scopes):
            raise Unproven("the table is read in a subquery; write it as a join")
        equal = self._references(scope, select)
        self._check_groups(select, equal)
        return {
            position
            for position, projection in enumerate(select.selects)
            if _reference(projection.unalias()) in equal
        }

    def _references(self, scope: Scope, select: exp.Select) -> set[Reference]:
        """The columns within the SELECT that carry the value, whichever of the sources it came from."""
        results = [
            _spread(self._start(name, source), select)
            for name, source in _used_sources(scope, select)
            if self.reads(source)
        ]
        return set.intersection(*results) if results else set()

    def _start(self, name: str, source: Scope | exp.Table) -> set[Reference]:
        if isinstance(source, exp.Table):
            return {(name, self.column)}
        names = column_names(source)
        return {(name, names[position]) for position in self.outputs(source)}

    def _check_groups(self, select: exp.Select, equal: set[Reference]) -> None:
        group = select.args.get("group")
        if group is not None and any(group.args.get(key) for key in ("rollup", "cube", "grouping_sets")):
            raise Unproven("it makes totals over several partitions (ROLLUP, CUBE, GROUPING SETS)")
        if group is not None or any(_own(select, exp.AggFunc)):
            keys = {_reference(key) for key in (group.expressions if group is not None else [])}
            _require(keys, equal, "an aggregate does not group by the mapped column")
        if select.args.get("distinct"):
            keys = {_reference(projection.unalias()) for projection in select.selects}
            _require(keys, equal, "a DISTINCT does not hold the mapped column")
        for window in _own(select, exp.Window):
            keys = {_reference(key) for key in window.args.get("partition_by") or []}
            _require(keys, equal, "a window is not partitioned by the mapped column")


def _require(keys: set[Reference | None], equal: set[Reference], why: str) -> None:
    if not keys & equal:
        raise Unproven(why)


def _reference(node: exp.Expr) -> Reference | None:
    """The column that an expression is, or is the date of."""
    while isinstance(node, exp.TsOrDsToDate | exp.Date) or (
        isinstance(node, exp.Cast) and node.is_type("date")
    ):
        node = node.this
    return (node.table, node.name) if isinstance(node, exp.Column) else None


def _used_sources(scope: Scope, select: exp.Select) -> Iterator[tuple[str, Scope | exp.Table]]:
    """The sources in the SELECT's own FROM and joins; ``scope.sources`` also holds every CTE in sight."""
    clauses = [select.args["from_"].this] if select.args.get("from_") else []
    clauses += [join.this for join in select.args.get("joins") or []]
    for clause in clauses:
        name = clause.alias_or_name
        if name not in scope.sources:
            raise Unproven("a part of FROM has no name; give it an alias")
        yield name, scope.sources[name]


def _own(select: exp.Select, kind: type[exp.Expr]) -> Iterator[exp.Expr]:
    """Nodes of a kind in the SELECT itself, not in the queries within it."""
    for node in select.find_all(kind):
        windowed = kind is exp.AggFunc and isinstance(node.find_ancestor(exp.Window, exp.Select), exp.Window)
        if node.parent_select is select and not windowed:
            yield node


def _spread(start: set[Reference], select: exp.Select) -> set[Reference]:
    """Follow the equalities of joins and WHERE. An outer join hands the value to the side it keeps whole."""
    reached = set(start)
    joined = [select.args["from_"].this.alias_or_name]
    edges: list[tuple[Reference, Reference]] = []
    dead: set[str] = set()
    for join in select.args.get("joins") or []:
        right = join.this.alias_or_name
        pairs = list(_equalities(join.args.get("on")))
        edges += [pair for pair in pairs if _side(join) == ""]
        edges += _outer_edges(pairs, right, _side(join))
        dead |= _nullable(joined, right, _side(join))
        joined.append(right)
    where = select.args.get("where")
    edges += [(a, b) for a, b in _equalities(where.this if where else None) if not {a[0], b[0]} & dead]
    while added := {b for a, b in _both(edges, dead) if a in reached and b not in reached}:
        reached |= added
    return {reference for reference in reached if reference[0] not in dead}


def _side(join: exp.Join) -> str:
    side = str(join.side or "")
    kind = str(join.kind or "")
    return "SEMI" if kind in {"SEMI", "ANTI"} else side


def _outer_edges(
    pairs: list[tuple[Reference, Reference]], right: str, side: str
) -> list[tuple[Reference, Reference]]:
    """From the side that may be null to the side that is whole."""
    if side in {"LEFT", "SEMI"}:
        return [(a, b) if a[0] == right else (b, a) for a, b in pairs if (a[0] == right) != (b[0] == right)]
    if side == "RIGHT":
        return [(b, a) if a[0] == right else (a, b) for a, b in pairs if (a[0] == right) != (b[0] == right)]
    return []


def _nullable(joined: list[str], right: str, side: str) -> set[str]:
    """The sources whose columns are null, or gone, in rows that the join keeps without them."""
    if side in {"LEFT", "SEMI"}:
        return {right}
    if side == "RIGHT":
        return set(joined)
    return {*joined, right} if side == "FULL" else set()


def _both(edges: list[tuple[Reference, Reference]], dead: set[str]) -> Iterator[tuple[Reference, Reference]]:
    for a, b in edges:
        yield a, b
        if a[0] not in dead and b[0] not in dead:
            yield b, a


def _equalities(condition: exp.Expr | None) -> Iterator[tuple[Reference, Reference]]:
    if condition is None:
        return
    for part in condition.flatten() if isinstance(condition, exp.And) else [condition]:
        if isinstance(part, exp.EQ):
            left, right = _reference(part.left), _reference(part.right)
            if left and right:
                yield left, right
