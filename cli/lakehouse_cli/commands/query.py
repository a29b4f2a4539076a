"""``lakehouse query SQL``: Athena."""

from __future__ import annotations

import csv
import sys
from typing import Annotated, Literal

import typer

from lakehouse_cli import athena, output
from lakehouse_cli.connection import connect
from lakehouse_cli.errors import UsageError
from lakehouse_cli.options import AsJson, OnTwin, Stack, Timeout


def query(
    sql: Annotated[str, typer.Argument(help="One statement in Athena's SQL; - reads it from stdin.")],
    layer: Annotated[
        Literal["gold", "silver", "bronze"],
        typer.Option(help="The database that names without one belong to."),
    ] = "gold",
    max_rows: Annotated[int, typer.Option(help="Show at most so many rows.", min=1)] = 1000,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    timeout: Timeout = 300,
    as_json: AsJson = False,
    stack: Stack = None,
    twin: OnTwin = False,
) -> None:
    """Run SQL through Athena and print the rows."""
    if as_csv and as_json:
        raise UsageError("Choose one of --csv and --json.")
    lake = connect(stack, twin=twin)
    text = sys.stdin.read() if sql == "-" else sql
    found = athena.run(lake, text, layer=layer, max_rows=max_rows, timeout_seconds=timeout)
    if as_json:
        output.print_json(found.as_json())
    elif as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(found.columns)
        writer.writerows(found.rows)
    else:
        output.stdout().print(output.table(None, found.columns, found.rows, separators=False))
        output.note(found.summary())
