"""``lakehouse cost``: what an environment costs a month while nothing happens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lakehouse_cli import output
from lakehouse_cli.connection import project_root
from lakehouse_cli.errors import UsageError
from lakehouse_cli.options import AsJson, DeployedEnvironment

WHOLE_FROM = 100
"""Quantities from here on are shown without a fraction."""


def cost(
    env: DeployedEnvironment = "dev",
    idle: Annotated[bool, typer.Option("--idle", help="The cost while no file arrives.")] = False,
    project: Annotated[
        Path | None, typer.Option(help="Folder with template.yaml. Default: this checkout.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sum up what the templates cost a month, by a dated price list. Needs neither AWS nor a network."""
    if not idle:
        raise UsageError("Only the idle cost can be computed: add --idle.")
    from lakehouse_cli.cost.idle import as_document, idle_bill

    bill = idle_bill(project or project_root(), env)
    if as_json:
        output.print_json(as_document(bill))
        return
    rows: list[tuple[object, ...]] = [
        (line.item, _quantity(line.quantity, line.unit), len(line.resources), f"{line.usd_per_month:.4f}")
        for line in bill.lines
    ]
    rows.append(("Total", None, None, f"{bill.total_usd_per_month:.2f}"))
    title = f"{env}: idle cost in {bill.prices.region}, US dollars a month"
    shown = output.table(title, ("item", "a month", "resources", "USD"), rows, right=("a month", "USD"))
    output.stdout().print(shown)
    output.note(
        f"List prices collected {bill.prices.collected}; sources, assumptions, what costs nothing: --json. "
        f"The free allowances of an account that has nothing else would take off "
        f"{bill.covered_usd_per_month:.2f}."
    )
    for sentence in bill.prices.left_out:
        output.note(f"Not in it: {sentence}")


def _quantity(quantity: float, unit: str) -> str:
    whole = quantity >= WHOLE_FROM or quantity == int(quantity)
    number = f"{quantity:,.0f}" if whole else f"{quantity:.3g}"
    return f"{number} {unit}" + ("" if number == "1" or unit == "GB" else "s")
