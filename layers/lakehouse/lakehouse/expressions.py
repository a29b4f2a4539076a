"""SQL that people write into contracts and models: what of Spark SQL they may use, checked without Spark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.tokenizer_core import Token, TokenType

from .problems import one_of
from .spark_functions import AGGREGATES, NON_DETERMINISTIC, RAISING, SPARK_FUNCTIONS

DIALECT = "spark"

_GRAMMAR_FUNCTIONS = frozenset({"try_cast"})
_KEYWORD_VALUES = frozenset({"current_date", "current_timestamp", "current_user", "localtimestamp"})
_ROW_LEVEL_BANS: dict[type[exp.Expr], str] = {
    exp.Query: "holds a subquery",
    exp.AggFunc: "holds an aggregate",
    exp.Window: "holds a window function",
    exp.UDTF: "makes several rows of one",
    exp.Explode: "makes several rows of one",
    exp.Star: "holds a *",
    exp.Placeholder: "holds a parameter",
    exp.Parameter: "holds a parameter",
    exp.Alias: "names its result",
}


def tokens_of(sql: str) -> list[Token]:
    """The tokens of Spark SQL. Raises sqlglot's error when the text cannot even be split into tokens."""
    return list(sqlglot.Dialect.get_or_raise(DIALECT).tokenize(sql))


def called_functions(tokens: list[Token]) -> Iterator[str]:
    """The names, in lower case, that are called like functions (or are values like ``current_date``)."""
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        name = token.text.lower()
        called = following is not None and following.token_type == TokenType.L_PAREN
        if (called and _can_be_called(token)) or (name in _KEYWORD_VALUES and not _quoted(token)):
            yield name


def _quoted(token: Token) -> bool:
    return token.token_type in {TokenType.IDENTIFIER, TokenType.STRING}


def _can_be_called(token: Token) -> bool:
    return token.token_type == TokenType.VAR or token.text.lower() in SPARK_FUNCTIONS


def function_faults(
    tokens: list[Token], other_names: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str]]:
    """Yield (what is wrong, remedy) for functions that are unknown, answer differently each time, or raise.

    ``other_names`` are names before a parenthesis that are no functions, such as a CTE's.
    """
    for name in dict.fromkeys(called_functions(tokens)):
        if name in NON_DETERMINISTIC:
            yield f"{name}() gives another answer the next time", "Take the value from a column"
        elif name in RAISING:
            yield f"{name}() ends the job", "Write the condition as a rule of the contract"
        elif name not in SPARK_FUNCTIONS | _GRAMMAR_FUNCTIONS | other_names:
            yield f"Spark has no function '{name}'", one_of(name, SPARK_FUNCTIONS) if name else ""


def row_expression_faults(sql: str, columns: Mapping[str, str]) -> list[tuple[str, str]]:
    """What keeps ``sql`` from being one boolean expression over the columns (name to Spark type) of one row.

    Returns pairs (what is wrong, remedy); an empty list means that the expression may be used as it stands.
    """
    try:
        tokens = tokens_of(sql)
        trees = sqlglot.parse(sql, read=DIALECT)
    except SqlglotError as error:
        return [(f"cannot be read as Spark SQL ({first_line(error)})", "Write one boolean expression")]
    if len(trees) != 1 or not isinstance(trees[0], exp.Expression):
        return [("is not one expression", "Write one boolean expression without a semicolon")]
    tree = trees[0]
    if any(token.comments for token in tokens):
        return [("holds a comment", "Write it into the rule's description")]
    faults = [*_shape_faults(tree), *_column_faults(tree, columns), *_row_function_faults(tokens)]
    return faults or _type_faults(sql, columns)


def _shape_faults(tree: exp.Expression) -> Iterator[tuple[str, str]]:
    if isinstance(tree, exp.DDL | exp.DML | exp.Command) or not isinstance(tree, exp.Condition | exp.Query):
        yield "is not an expression", "Write one boolean expression over the dataset's columns"
        return
    for kind, what in _ROW_LEVEL_BANS.items():
        if tree.find(kind):
            yield what, "A rule looks at one row: use the row's columns only"


def _row_function_faults(tokens: list[Token]) -> Iterator[tuple[str, str]]:
    yield from function_faults(tokens)
    for name in dict.fromkeys(called_functions(tokens)):
        if name in AGGREGATES:
            yield f"{name}() is an aggregate", "A rule looks at one row: use the row's columns only"


def _column_faults(tree: exp.Expression, columns: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    known = {name.lower() for name in columns}
    bound = {name.name.lower() for function in tree.find_all(exp.Lambda) for name in function.expressions}
    for column in tree.find_all(exp.Column):
        first = column.parts[0].name
        if first.lower() not in known | bound:
            yield f"names the column '{first}', which the contract does not have", one_of(first, columns)


def _type_faults(sql: str, columns: Mapping[str, str]) -> list[tuple[str, str]]:
    """Refuse an expression whose type is known and not boolean; what sqlglot cannot type passes."""
    schema: dict[str, object] = {"t": dict(columns)}
    try:
        query = sqlglot.parse_one(f"SELECT ({sql}) AS ok FROM t", read=DIALECT)  # noqa: S608 - parsed, never run
        qualified = qualify(query, schema=schema, dialect=DIALECT)
        annotated = annotate_types(qualified, schema=schema, dialect=DIALECT)
        kind = annotated.selects[0].type if isinstance(annotated, exp.Query) else None
    except SqlglotError as error:
        return [(f"cannot be resolved ({first_line(error)})", "Check the columns and parentheses")]
    if kind is None or kind.this in {exp.DataType.Type.BOOLEAN, exp.DataType.Type.UNKNOWN}:
        return []
    return [(f"is of type {kind.sql(DIALECT).lower()}, not boolean", "Compare it with something")]


def first_line(error: SqlglotError) -> str:
    """Sqlglot's message without its terminal colours and the excerpt below."""
    return str(error).splitlines()[0].rstrip(".")
