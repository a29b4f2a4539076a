"""``lakehouse quarantine NAME``: the rows that broke a rule."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from lakehouse.words import (
    BROKEN_RULES,
    DATASET_PATTERN,
    INGESTED_AT,
    RAW_RECORD,
    SOURCE_KEY,
    SOURCE_ROW,
    quarantine_table,
)
from lakehouse_cli import athena, output
from lakehouse_cli.connection import Lake, connect
from lakehouse_cli.errors import CommandError, NotFoundError, UsageError
from lakehouse_cli.options import AsJson, OnTwin, Stack, Timeout

MISSING_TABLE = re.compile("TABLE_NOT_FOUND|does not exist", re.IGNORECASE)

# The table's name has passed DATASET_PATTERN: nothing but small letters, digits and underscores gets in.
RULES_SQL = (
    f"SELECT rule, count(*) AS row_count FROM {{table}} CROSS JOIN UNNEST({BROKEN_RULES}) AS t (rule) "  # noqa: S608
    "GROUP BY rule ORDER BY row_count DESC, rule"
)
ROWS_SQL = (
    f"SELECT {SOURCE_KEY}, {SOURCE_ROW}, {BROKEN_RULES}, {RAW_RECORD} "  # noqa: S608
    f"FROM {{table}} ORDER BY {INGESTED_AT} DESC, {SOURCE_KEY}, {SOURCE_ROW} LIMIT {{limit}}"
)


def quarantine(
    dataset: Annotated[str, typer.Argument(metavar="NAME", help="The dataset.")],
    rows: Annotated[int, typer.Option(help="Show at most so many rows, the latest first.", min=0)] = 10,
    timeout: Timeout = 300,
    as_json: AsJson = False,
    stack: Stack = None,
    twin: OnTwin = False,
) -> None:
    """Show how many rows broke which rule, and the rows themselves with the file and row they came from."""
    if not DATASET_PATTERN.fullmatch(dataset):
        raise UsageError(f"{dataset} is no dataset's name.")
    lake = connect(stack, twin=twin)
    table = f'"{quarantine_table(dataset)}"'
    by_rule = _ask(lake, dataset, RULES_SQL.format(table=table), timeout)
    latest = _ask(lake, dataset, ROWS_SQL.format(table=table, limit=max(rows, 1)), timeout)
    shown = latest.rows[:rows]
    if as_json:
        output.print_json(
            {
                "dataset": dataset,
                "rules": [{"rule": rule, "rows": count} for rule, count in by_rule.rows],
                "rows": [
                    {"key": key, "row": row, "broken_rules": _listed(rules), "raw_record": raw}
                    for key, row, rules, raw in shown
                ],
            }
        )
        return
    if not by_rule.rows:
        output.note(f"No row of {dataset} is in quarantine.")
        return
    output.stdout().print(output.table(f"Quarantine of {dataset}", ["rule", "rows"], by_rule.rows))
    told = [(key, row, ", ".join(_listed(rules)), raw) for key, row, rules, raw in shown]
    output.stdout().print(output.table("Rows", ["key", "row", "broken rules", "raw record"], told))


def _listed(rules: object) -> list[str]:
    """Athena writes an array as ``[a, b]``; rule names hold neither commas nor brackets."""
    return [rule for rule in str(rules).strip("[]").split(", ") if rule]


def _ask(lake: Lake, dataset: str, sql: str, timeout_seconds: float) -> athena.Result:
    try:
        return athena.run(lake, sql, layer="silver", timeout_seconds=timeout_seconds)
    except CommandError as problem:
        if MISSING_TABLE.search(str(problem)):
            raise NotFoundError(
                f"{dataset} has no quarantine table: no run has finished for it yet."
            ) from problem
        raise
