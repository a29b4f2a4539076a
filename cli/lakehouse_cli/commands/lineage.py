"""``lakehouse lineage NAME``: where a table, a column, a partition comes from."""

from __future__ import annotations

from typing import Annotated

import typer

from lakehouse_cli import output
from lakehouse_cli.connection import connect
from lakehouse_cli.errors import UsageError
from lakehouse_cli.options import AsJson, OnTwin, Stack


def lineage(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A table: gold.x, silver.x, or just x.")],
    column: Annotated[str | None, typer.Option(help="One column.")] = None,
    partition: Annotated[str | None, typer.Option(help="A part of it, like year=2013/month=1.")] = None,
    every_file: Annotated[bool, typer.Option("--all", help="List every object version.")] = False,
    as_json: AsJson = False,
    stack: Stack = None,
    twin: OnTwin = False,
) -> None:
    """Name the columns, runs, snapshots and object versions behind the rows as they are now."""
    from lakehouse.trace import parse_partition
    from lakehouse_cli import tracing

    try:
        wanted = parse_partition(partition) if partition else {}
    except ValueError as wrong:
        raise UsageError(f"--partition {partition}: {wrong}.") from wrong
    found = tracing.find(connect(stack, twin=twin), name, column, wanted)
    if as_json:
        output.print_json(tracing.as_json(found))
    else:
        output.stdout().print(tracing.as_tree(found, every_file=every_file), soft_wrap=True)
