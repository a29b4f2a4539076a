"""Athena's SQL as DuckDB's: construct is known to mean the same, mended, or refused.

``sqlglot`` parses and writes; here stands what may pass. ``macros.sql`` holds the mended meanings. What
Athena's functions mean: https://trino.io/docs/current/functions.html (engine version 3).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError, UnsupportedError
from sqlglot.optimizer.scope import Scope, traverse_scope
from sqlglot.tokenizer_core import TokenType

from twin.athena.errors import QueryError, not_supported

Rewrite = Callable[[Any], exp.Expr]
Relation = Callable[[exp.Table], str]
"""The name of a DuckDB view that answers a reference to a catalog table."""
Columns = Callable[[exp.Table], Iterable[str]]

FUNCTIONS: Final = frozenset(
    """
    abs approx_distinct arbitrary array_agg avg bool_and bool_or cardinality cast ceil ceiling coalesce
    concat contains corr count count_if cube current_date current_timestamp date date_add date_diff
    date_format date_parse date_trunc day day_of_month day_of_week day_of_year dense_rank dow doy element_at
    exists exp extract first_value floor from_iso8601_date from_iso8601_timestamp from_unixtime
    greatest hour if json_extract_scalar lag last_value lead least length listagg ln log10 lower
    lpad ltrim max max_by min min_by minute mod month ntile now nth_value nullif percent_rank pi position
    pow power quarter rank regexp_extract regexp_like regexp_replace replace reverse rollup round row_number
    rpad rtrim second sets sign split_part sqrt starts_with stddev stddev_pop stddev_samp strpos substr
    substring sum to_unixtime trim try_cast unnest upper var_pop var_samp variance week week_of_year year
    """.split()  # noqa: SIM905 - a list of words reads better as text
)
"""Functions (and names that look like one) that are tested to mean the same here as in Athena."""

NODES: Final = frozenset(
    getattr(exp, name)
    for name in """
    Abs Add Alias And AnyValue ApproxDistinct ArgMax ArgMin Array ArrayAgg ArrayContains ArraySize Avg
    Between Boolean Bracket Case Cast Ceil Coalesce Column Concat Corr Count CountIf CTE Cube CurrentDate
    CurrentTimestamp DPipe DataType DataTypeParam Date DateAdd DateDiff DateTrunc Day DayOfMonth
    DayOfWeekIso DayOfYear DenseRank Distinct Div EQ Escape Except Exists Exp Extract Fetch Filter
    FirstValue Floor From FromISO8601Date FromISO8601Timestamp GT GTE Greatest Group GroupConcat
    GroupingSets Having Hour Identifier If IgnoreNulls In Intersect Interval Is JSONExtractScalar JSONPath
    JSONPathKey JSONPathRoot JSONPathSubscript Join LT LTE Lag LastValue Lead Least Length Like Limit
    LimitOptions Literal Ln Log LogicalAnd LogicalOr Lower Max Min Minute Mod Month Mul NEQ Neg Not NthValue
    Ntile Null Nullif Offset Or Order Ordered Pad Paren PercentRank Pi Pow Quarter Rank RegexpExtract
    RegexpLike RegexpReplace Replace Reverse Rollup Round RowNumber Second Select Sign SplitPart Sqrt Star
    StartsWith Stddev StddevPop StddevSamp StrPosition StrToTime Sub Subquery Substring Sum Table TableAlias
    TimeToStr TimeToUnix TimestampTrunc Trim TryCast Tuple Union UnixToTime Unnest Upper Values Var Variance
    VariancePop Version Week WeekOfYear Where Window WindowSpec With WithinGroup Year
    """.split()  # noqa: SIM905 - a list of words reads better as text
)
CLAUSES: Final = frozenset(
    """
    all and any array as between by case decimal distinct else except exists filter from group having in
    intersect is join like limit not of offset on or over select then timestamp union using values varchar
    when where with
    """.split()  # noqa: SIM905 - a list of words reads better as text
)
"""Words that may stand before a parenthesis without being a function."""
TIME_FORMATS: Final = (exp.TimeToStr, exp.StrToTime)
REFUSED_ARGUMENTS: Final[tuple[tuple[type[exp.Expr], set[str], str], ...]] = (
    (exp.Star, {"except_", "except", "replace", "rename"}, "* EXCEPT"),
    (exp.Distinct, {"on"}, "DISTINCT ON"),
    (exp.Group, {"all"}, "GROUP BY ALL"),
    (exp.Unnest, {"offset"}, "UNNEST WITH ORDINALITY"),
    (exp.Count, {"expressions"}, "count of several values"),
    (exp.StrPosition, {"position", "occurrence"}, "strpos with an instance"),
    (exp.UnixToTime, {"scale", "zone", "hours", "minutes"}, "from_unixtime with a zone"),
    (exp.ArgMax, {"count"}, "max_by with a count"),
    (exp.ArgMin, {"count"}, "min_by with a count"),
)
EXTRACTED: Final = {
    "YEAR": "year", "QUARTER": "quarter", "MONTH": "month", "WEEK": "week", "DAY": "day", "HOUR": "hour",
    "MINUTE": "minute", "SECOND": "second", "DAYOFYEAR": "doy", "DOY": "doy", "DAYOFWEEK": "isodow",
    "DAYOFWEEKISO": "isodow", "DOW": "isodow", "DAY_OF_WEEK": "isodow", "DAY_OF_YEAR": "doy",
}  # fmt: skip
CAST_MACROS: Final = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INT", "BIGINT"), "athena_integer"),
    **dict.fromkeys(("DOUBLE", "FLOAT"), "athena_double"),
    **dict.fromkeys(("VARCHAR", "TEXT"), "athena_varchar"),
    **{name: f"athena_{name.lower()}" for name in ("DECIMAL", "BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMPTZ")},
}
"""How a value becomes one of a type (by ``sqlglot``'s name of it)."""
TERMINAL_CODE: Final = re.compile(r"\x1b\[[0-9;]*m")
TIME_FORMAT: Final = re.compile(r"(?:[^%]|%[YmdHMSyjbaT])*")
"""Format letters (DuckDB's) that mean the same on both sides."""


def parse(sql: str) -> exp.Expr:
    """One statement. Raises ``QueryError`` (SYNTAX_ERROR) for anything else."""
    try:
        statements = [statement for statement in sqlglot.parse(sql, read="athena") if statement is not None]
    except SqlglotError as error:
        raise QueryError("SYNTAX_ERROR", TERMINAL_CODE.sub("", str(error)).splitlines()[0]) from error
    if len(statements) != 1:
        raise QueryError("SYNTAX_ERROR", "Only one sql statement is allowed.")
    return statements[0]


def with_parameters(tree: exp.Expr, values: list[str]) -> exp.Expr:
    """Put a prepared query's values, each an SQL literal, where its question marks are."""
    placeholders = list(tree.find_all(exp.Placeholder, bfs=False))
    if len(placeholders) != len(values):
        raise QueryError(
            "INVALID_PARAMETER_USAGE",
            f"Incorrect number of parameters: expected {len(placeholders)} but found {len(values)}",
        )
    for placeholder, value in zip(placeholders, values, strict=True):
        literal = parse(f"SELECT {value}").expressions[0]
        if not isinstance(literal, exp.Literal | exp.Cast | exp.Neg | exp.Null | exp.Boolean):
            raise not_supported("a parameter that is no literal")
        placeholder.replace(literal)
    return tree


def translate(sql: str, tree: exp.Expr, relation: Relation, columns: Columns) -> str:
    """The query in DuckDB's SQL. ``sql`` is the text that ``tree`` was parsed from; ``tree`` is used up.

    ``relation`` makes a view for a table of the catalog, ``columns`` gives its column names.
    Raises ``QueryError``.
    """
    if not isinstance(tree, exp.Query):
        raise not_supported("this kind of statement: it only reads")
    _check_functions(sql, tree)
    for node in tree.walk():
        _check_node(node)
    scopes = traverse_scope(tree)
    for scope in scopes:
        _check_aliases(scope, columns)
    _name_columns(tree)
    tables = {id(table): table for scope in scopes for table in _catalog_tables(scope)}
    for table in tables.values():
        alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name))
        table.replace(exp.Table(this=exp.to_identifier(relation(table)), alias=alias))
    for node in reversed(list(tree.walk(bfs=True))):
        if (rewrite := REWRITES.get(type(node))) and (mended := rewrite(node)) is not node:
            node.replace(mended)
    try:
        return tree.sql(dialect="duckdb", identify=True, comments=False, unsupported_level=ErrorLevel.RAISE)
    except UnsupportedError as error:
        raise not_supported(f"this query ({str(error).splitlines()[0]})") from error


# --- What is refused -------------------------------------------------------------------------------


def _check_functions(sql: str, tree: exp.Expr) -> None:
    """Refuse every name before a parenthesis that is not a known function; ``sqlglot`` knows too many."""
    tokens = sqlglot.tokenize(sql, read="athena")
    aliases = {alias.name.lower() for alias in tree.find_all(exp.TableAlias)}
    for token, following in pairwise(tokens):
        name = token.text.lower()
        if following.token_type != TokenType.L_PAREN or name in FUNCTIONS | aliases | CLAUSES:
            continue
        if name.isidentifier():
            place = f"line {token.line}:{token.col - len(name) + 1}"
            raise QueryError(
                "FUNCTION_NOT_FOUND", f"{place}: The twin's Athena does not know function '{name}'"
            )


def _check_node(node: exp.Expr) -> None:
    if type(node) not in NODES:
        raise not_supported(f"{type(node).__name__} in a query")
    given = {name for name, value in node.args.items() if value}
    for kind, names, what in REFUSED_ARGUMENTS:
        if isinstance(node, kind) and given & names:
            raise not_supported(what)
    refused = (
        (isinstance(node, exp.Join) and node.args.get("kind") in ("SEMI", "ANTI"), "this kind of join"),
        (isinstance(node, exp.Bracket) and not node.args.get("safe"), "a subscript: use element_at"),
        (isinstance(node, exp.Extract) and node.name.upper() not in EXTRACTED, f"extract({node.name})"),
        (isinstance(node, exp.Distinct) and len(node.expressions) > 1, "DISTINCT of several values"),
        (
            isinstance(node, TIME_FORMATS) and not _is_known_format(node),
            "this format: only %Y %m %d %H %i %s ...",
        ),
    )
    for holds, what in refused:
        if holds:
            raise not_supported(what)


def _is_known_format(node: exp.Expr) -> bool:
    text = node.args["format"]
    return isinstance(text, exp.Literal) and bool(TIME_FORMAT.fullmatch(text.name))


def _check_aliases(scope: Scope, columns: Columns) -> None:
    """Only ORDER BY sees the names that a SELECT gives its columns; DuckDB would see them everywhere."""
    select = scope.expression
    known = _source_columns(scope, columns) if isinstance(select, exp.Select) else None
    if known is None:
        return
    aliases = {item.alias.lower() for item in select.expressions if isinstance(item, exp.Alias)}
    clauses = [*select.expressions, *(select.args.get(key) for key in ("where", "group", "having"))]
    for clause in filter(None, clauses):
        for column in clause.find_all(exp.Column):
            is_ours = not column.table and column.find_ancestor(exp.Query) is select
            if is_ours and column.name.lower() in aliases - known:
                raise column_not_found(column)


def _source_columns(scope: Scope, columns: Columns) -> set[str] | None:
    """The names of all columns a query reads from; None where they are not known."""
    known: set[str] = set()
    for node, source in scope.selected_sources.values():
        if node.alias_column_names:
            known.update(name.lower() for name in node.alias_column_names)
        elif isinstance(source, exp.Table):
            known.update(name.lower() for name in columns(source))
        elif isinstance(source.expression, exp.Query) and not source.expression.is_star:
            known.update(name.lower() for name in source.expression.named_selects)
        else:
            return None
    return known


def _catalog_tables(scope: Scope) -> list[exp.Table]:
    return [source for _, source in scope.selected_sources.values() if isinstance(source, exp.Table)]


def column_not_found(column: exp.Column) -> QueryError:
    """The error for a column that no table of the query has."""
    meta = column.this.meta
    place = f"line {meta['line']}:{meta['col'] - len(column.name) + 1}: " if "line" in meta else ""
    return QueryError("COLUMN_NOT_FOUND", f"{place}Column '{column.name.lower()}' cannot be resolved")


# --- What is mended --------------------------------------------------------------------------------


def _name_columns(tree: exp.Expr) -> None:
    """Athena names an unnamed output column by its place: ``_col0``."""
    query = tree
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    if isinstance(query, exp.Select):
        for place, item in enumerate(query.expressions):
            if not isinstance(item, exp.Alias | exp.Column | exp.Star):
                item.replace(exp.alias_(item.copy(), f"_col{place}"))


def _call(name: str, *arguments: exp.Expr | str | int | None) -> exp.Anonymous:
    given = [argument for argument in arguments if argument is not None]
    return exp.Anonymous(this=name, expressions=[exp.convert(argument) for argument in given])


def _type_of(value: exp.Expr) -> exp.Anonymous:
    return _call("typeof", value.copy())


def _compare(node: exp.Binary) -> exp.Expr:
    sides = (node.this, node.expression)
    if any(side.find(exp.Query) for side in sides):
        return node
    check = _call("athena_comparable", *(side.copy() for side in sides))
    return exp.paren(exp.and_(check, node.copy()))


def _between(node: exp.Between) -> exp.Expr:
    bounds = (node.args["low"], node.args["high"])
    checks = [_call("athena_comparable", node.this.copy(), bound.copy()) for bound in bounds]
    return exp.paren(exp.and_(*checks, node.copy()))


def _in(node: exp.In) -> exp.Expr:
    checks = [_call("athena_comparable", node.this.copy(), item.copy()) for item in node.expressions]
    return exp.paren(exp.and_(*checks, node.copy())) if checks else node


def _plus_or_minus(node: exp.Add | exp.Sub) -> exp.Expr:
    """A date or time takes an interval; anything else that is added or subtracted must be a number."""
    left, right = node.this, node.expression
    if isinstance(right, exp.Interval):
        return _shift(left, exp.Neg(this=right) if isinstance(node, exp.Sub) else right)
    if isinstance(left, exp.Interval) and isinstance(node, exp.Add):
        return _shift(right, left)
    return type(node)(this=_number(left), expression=_number(right))


def _number(operand: exp.Expr) -> exp.Expr:
    is_number = isinstance(operand, exp.Binary | exp.Neg | exp.Literal | exp.Paren | exp.Subquery)
    return operand.copy() if is_number else _call("athena_number", operand.copy())


def _shift(value: exp.Expr, interval: exp.Expr) -> exp.Expr:
    return _call("athena_shift", value.copy(), interval.copy(), _type_of(value))


def _date_add(node: exp.DateAdd) -> exp.Expr:
    return _shift(
        node.this, exp.Interval(this=exp.paren(node.expression.copy()), unit=node.args["unit"].copy())
    )


def _date_diff(node: exp.DateDiff) -> exp.Expr:
    """Trino counts whole units that have passed; DuckDB's ``date_diff`` counts the boundaries between."""
    return _call("date_sub", node.args["unit"].name.lower(), node.expression.copy(), node.this.copy())


def _date_trunc(node: exp.TimestampTrunc | exp.DateTrunc) -> exp.Expr:
    return _call("athena_date_trunc", node.args["unit"].name.lower(), node.this.copy(), _type_of(node.this))


def _extract(node: exp.Extract) -> exp.Expr:
    return _call("date_part", EXTRACTED[node.name.upper()], node.expression.copy())


def _cast(node: exp.Cast | exp.TryCast) -> exp.Expr:
    target = node.to
    name = target.this.name
    value = node.this
    if name not in CAST_MACROS:
        raise not_supported(f"a cast to {target.sql(dialect='athena').lower()}")
    converted = _call(CAST_MACROS[name], value.copy())
    if name in ("VARCHAR", "TEXT"):
        length = target.expressions[0].this.copy() if target.expressions else None
        return _call("left", converted, length) if length else converted
    duck = exp.DataType.build(name) if name.startswith("TIMESTAMP") else target.copy()
    if isinstance(node, exp.TryCast):
        return exp.TryCast(this=converted, to=duck)
    checked = _call("athena_cast", value.copy(), converted, name.lower())
    return exp.Cast(this=checked, to=duck)


def _date(node: exp.Date) -> exp.Expr:
    return _cast(exp.Cast(this=node.this.copy(), to=exp.DataType.build("DATE")))


def _average(node: exp.Avg) -> exp.Expr:
    argument = node.this
    if isinstance(argument, exp.Distinct):
        only = argument.expressions[0]
        return exp.Avg(this=exp.Distinct(expressions=[_call("athena_averaged", only.copy())]))
    return exp.Avg(this=_call("athena_averaged", argument.copy()))


def _trim(node: exp.Trim) -> exp.Expr:
    """Trino trims all white space by default, DuckDB only spaces."""
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(node.args.get("position") or "", "trim")
    return _call(name, node.this.copy(), (node.expression or exp.convert(" \t\n\v\f\r")).copy())


def _regexp_replace(node: exp.RegexpReplace) -> exp.Expr:
    replacement = node.args.get("replacement") or exp.convert("")
    if not isinstance(replacement, exp.Literal) or "\\" in replacement.name:
        raise not_supported("regexp_replace without a plain replacement text")
    text = re.sub(r"\$(\d)", r"\\\1", replacement.name)
    return _call("regexp_replace", node.this.copy(), node.expression.copy(), text, "g")


def _regexp_extract(node: exp.RegexpExtract) -> exp.Expr:
    group = node.args.get("group")
    return _call("athena_regexp_extract", node.this.copy(), node.expression.copy(), group and group.copy())


def _json_scalar(node: exp.JSONExtractScalar) -> exp.Expr:
    path = node.expression
    text = path.sql(dialect="athena").strip("'") if isinstance(path, exp.JSONPath) else path.name
    return _call("athena_json_scalar", node.this.copy(), text)


def _renamed(macro: str, *names: str) -> Rewrite:
    """A call of ``macro`` with the node's arguments of these names."""

    def rewrite(node: exp.Expr) -> exp.Expr:
        return _call(macro, *(value.copy() for name in names if (value := node.args.get(name)) is not None))

    return rewrite


REWRITES: Final[dict[type[exp.Expr], Rewrite]] = {
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE), _compare),
    exp.Add: _plus_or_minus,
    exp.ApproxDistinct: lambda node: exp.Count(this=exp.Distinct(expressions=[node.this.copy()])),
    exp.ArgMax: _renamed("arg_max_null", "this", "expression"),
    exp.ArgMin: _renamed("arg_min_null", "this", "expression"),
    exp.Avg: _average,
    exp.Between: _between,
    exp.Cast: _cast,
    exp.Date: _date,
    exp.DateAdd: _date_add,
    exp.DateDiff: _date_diff,
    exp.Div: _renamed("athena_divide", "this", "expression"),
    exp.Extract: _extract,
    exp.In: _in,
    exp.JSONExtractScalar: _json_scalar,
    exp.Log: _renamed("log10", "expression"),
    exp.Mod: _renamed("athena_modulo", "this", "expression"),
    exp.RegexpExtract: _regexp_extract,
    exp.RegexpReplace: _regexp_replace,
    exp.SplitPart: _renamed("athena_split_part", "this", "delimiter", "part_index"),
    exp.Sub: _plus_or_minus,
    exp.Substring: _renamed("athena_substring", "this", "start", "length"),
    exp.DateTrunc: _date_trunc,
    exp.TimestampTrunc: _date_trunc,
    exp.Trim: _trim,
    exp.TryCast: _cast,
}
