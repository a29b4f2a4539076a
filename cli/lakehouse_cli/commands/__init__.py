"""The sub-commands, one module for each group."""

from __future__ import annotations

import typer

from lakehouse_cli.commands import (
    contracts,
    cost,
    demo,
    doctor,
    files,
    intake,
    lineage,
    maintain,
    parameters,
    quarantine,
    query,
    repair,
    sample,
    status,
    twin,
)


def register(app: typer.Typer) -> None:
    """Add every sub-command to the app, in the order in which ``--help`` lists them."""
    app.command()(demo.demo)
    app.add_typer(twin.app, name="twin")
    app.command()(sample.sample)
    app.command()(files.put)
    app.command()(intake.intake)
    app.command()(status.wait)
    app.command()(status.status)
    app.command()(status.runs)
    app.command()(query.query)
    app.command()(query.saved)
    app.command()(lineage.lineage)
    app.command()(quarantine.quarantine)
    app.command()(repair.retry)
    app.command()(repair.backfill)
    app.command()(maintain.maintain)
    app.command()(contracts.check)
    app.command()(contracts.init)
    app.command()(cost.cost)
    app.command()(doctor.doctor)
    app.command()(parameters.parameters)
