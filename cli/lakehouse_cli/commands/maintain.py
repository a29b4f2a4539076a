"""``lakehouse maintain``: small files joined, old snapshots dropped, without waiting for the schedule."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lakehouse.payloads import MaintainRequest, MaintainResult
from lakehouse_cli import output, progress
from lakehouse_cli.commands.repair import Wait, invoke
from lakehouse_cli.commands.status import writers_named
from lakehouse_cli.connection import connect
from lakehouse_cli.options import AsJson, OnTwin, Stack, Timeout
from lakehouse_cli.watch import Watch, label, ledger_of

SENTENCES = {
    "started": "maintained now",
    "wanted": "maintained next: after the run that holds the lease, or once the writer works again",
    "not_due": "needs nothing (--always maintains it all the same)",
}


def maintain(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A dataset, or gold.")] = None,
    always: Annotated[bool, typer.Option("--always", help="Whether the tables need it or not.")] = False,
    wait: Wait = False,
    timeout: Timeout = 1800,
    as_json: AsJson = False,
    stack: Stack = None,
    twin: OnTwin = False,
) -> None:
    """Maintain the tables that many commits have brought files to, as the schedule does every day."""
    lake = connect(stack, twin=twin)
    ledger = ledger_of(lake)
    request = MaintainRequest(writers=writers_named(ledger, name) if name else [], always=always)
    with progress.shown("looking at the tables") as tell:
        answer = invoke(lake, lake.name("MaintainFunctionName"), request.dump())
        if wait:
            Watch(lake, ledger, tell).until_at_rest(timeout)
    found = outcomes(MaintainResult.model_validate(answer))
    if as_json:
        output.print_json({"writers": found})
        return
    rows = [(label(one["writer"]), SENTENCES[one["outcome"]], one["run_id"] or None) for one in found]
    output.stdout().print(output.table(None, ["name", "tables", "run"], rows))


def outcomes(result: MaintainResult) -> list[dict[str, Any]]:
    """What became of each writer, in their order, as ``--json`` prints it."""
    found = {writer: ("started", run_id) for writer, run_id in result.started.items()}
    found |= dict.fromkeys(result.wanted, ("wanted", ""))
    found |= dict.fromkeys(result.not_due, ("not_due", ""))
    return [
        {"writer": writer, "outcome": outcome, "run_id": run_id}
        for writer, (outcome, run_id) in sorted(found.items())
    ]
