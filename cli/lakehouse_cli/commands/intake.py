"""``lakehouse intake``: the files of scheduled datasets, without waiting for the schedule."""

from __future__ import annotations

from lakehouse_cli import output, progress, scheduled
from lakehouse_cli.commands.repair import Wait
from lakehouse_cli.connection import connect
from lakehouse_cli.options import AsJson, OnTwin, Stack, Timeout
from lakehouse_cli.watch import Watch, ledger_of


def intake(
    wait: Wait = False,
    timeout: Timeout = 1800,
    as_json: AsJson = False,
    stack: Stack = None,
    twin: OnTwin = False,
) -> None:
    """Take in the new files of scheduled datasets now, as the schedule does every night."""
    lake = connect(stack, twin=twin)
    names, run_id = scheduled.datasets(lake), scheduled.start(lake)
    if wait:
        with progress.shown("looking for new files") as tell:
            scheduled.follow(lake, run_id, timeout)
            Watch(lake, ledger_of(lake), tell).until_at_rest(timeout)
    if as_json:
        output.print_json({"workflow_run_id": run_id, "datasets": names})
        return
    done = "taken in" if wait else "being looked for"
    output.stdout().print(f"New files of {', '.join(names) or 'no dataset'} are {done}. Run: {run_id}")
