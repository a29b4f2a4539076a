"""``lakehouse query SQL`` and ``lakehouse saved``: Athena."""

from __future__ import annotations

import csv
import sys
from typing import Annotated, Literal

import typer

from lakehouse_cli import athena, output, reuse
from lakehouse_cli import saved as queries
from lakehouse_cli.athena import Asking, Result
from lakehouse_cli.connection import connect
from lakehouse_cli.errors import UsageError
from lakehouse_cli.options import AsJson, OnTwin, Stack, Timeout

MaxRows = Annotated[int, typer.Option(help="Show at most so many rows.", min=1)]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")]


def query(  # noqa: PLR0913, PLR0917 - a command's options are its arguments
    sql: Annotated[str, typer.Argument(help="One statement in Athena's SQL; - reads it from stdin.")],
    layer: Annotated[
        Literal["gold", "silver", "bronze"],
        typer.Option(help="The database that names without one belong to."),
    ] = "gold",
    max_rows: MaxRows = 1000,
    as_csv: AsCsv = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Ask anew also where nothing was published since the last answer.")
    ] = False,
    timeout: Timeout = 300,
    as_json: AsJson = False,
    stack: Stack = None,
    twin: OnTwin = False,
) -> None:
    """Run SQL through Athena and print the rows."""
    _refuse_both(as_csv=as_csv, as_json=as_json)
    lake = connect(stack, twin=twin)
    text = sys.stdin.read() if sql == "-" else sql
    minutes = 0 if fresh else reuse.minutes_for(lake, text, layer)
    how = Asking(layer=layer, reuse_minutes=minutes, max_rows=max_rows, timeout_seconds=timeout)
    _show(athena.ask(lake, text, how), as_csv=as_csv, as_json=as_json)


def saved(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The one to run; none lists them.")
    ] = None,
    max_rows: MaxRows = 1000,
    as_csv: AsCsv = False,
    timeout: Timeout = 300,
    as_json: AsJson = False,
    stack: Stack = None,
    twin: OnTwin = False,
) -> None:
    """Run a saved query in the workgroup it belongs to, or list those that you may see."""
    _refuse_both(as_csv=as_csv, as_json=as_json)
    lake = connect(stack, twin=twin)
    if name is None:
        found = queries.every(lake)
        if as_json:
            output.print_json({"queries": [vars(each) for each in found]})
            return
        rows = [(each.name, each.workgroup, each.description) for each in found]
        output.stdout().print(output.table(None, ["name", "workgroup", "what it tells"], rows))
        return
    chosen = queries.find(lake, name)
    how = Asking(
        workgroup=chosen.workgroup,
        database=chosen.database,
        reuse_minutes=reuse.minutes_for(lake, chosen.sql, "gold"),
        max_rows=max_rows,
        timeout_seconds=timeout,
    )
    _show(athena.ask(lake, chosen.sql, how), as_csv=as_csv, as_json=as_json)


def _refuse_both(*, as_csv: bool, as_json: bool) -> None:
    if as_csv and as_json:
        raise UsageError("Choose one of --csv and --json.")


def _show(found: Result, *, as_csv: bool, as_json: bool) -> None:
    if as_json:
        output.print_json(found.as_json())
    elif as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(found.columns)
        writer.writerows(found.rows)
    else:
        output.stdout().print(output.table(None, found.columns, found.rows, separators=False))
        output.note(found.summary())
