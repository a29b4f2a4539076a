"""``lakehouse retry`` and ``lakehouse backfill``: getting things going again."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from lakehouse.words import FAILED, REFRESH_WRITER, REJECTED
from lakehouse_cli import output, progress
from lakehouse_cli.commands.status import writers_named
from lakehouse_cli.connection import Lake, connect
from lakehouse_cli.errors import CommandError
from lakehouse_cli.options import AsJson, OnTwin, Stack, Timeout
from lakehouse_cli.watch import Watch, label, ledger_of

Wait = Annotated[bool, typer.Option("--wait", help="Wait until no file waits and nothing runs.")]


def retry(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A dataset, or gold.")],
    rejected: Annotated[
        bool,
        typer.Option("--rejected", help="REJECTED files too, for instance after the contract was changed."),
    ] = False,
    wait: Wait = False,
    timeout: Timeout = 1800,
    as_json: AsJson = False,
    stack: Stack = None,
    twin: OnTwin = False,
) -> None:
    """Let a dataset's FAILED files try again and free its writer if it is HELD or WAITING."""
    from lakehouse.retrying import retry as retry_writer
    from lakehouse_cli.core import core_lake

    lake = connect(stack, twin=twin)
    (writer,) = writers_named(ledger_of(lake), name)
    done = retry_writer(core_lake(lake), writer, (FAILED, REJECTED) if rejected else (FAILED,))
    if wait:
        _wait(lake, timeout)
    if as_json:
        output.print_json(vars(done))
        return
    who = label(done.writer)
    if done.files:
        output.stdout().print(f"{done.files} files of {who} wait again.")
    if done.outdated:
        output.stdout().print(f"{done.outdated} files of {who} stay as they are: a newer version counts.")
    if done.was != done.now or done.run_id:
        run = f" Run: {done.run_id}" if done.run_id else ""
        output.stdout().print(f"{who} was {done.was} and is {done.now}.{run}")
    elif not done.files:
        hint = "" if rejected or writer == REFRESH_WRITER else " (--rejected takes refused files along)"
        output.stdout().print(f"There is nothing of {who} to retry{hint}.")


def backfill(
    dataset: Annotated[str, typer.Argument(metavar="[NAME]", help="One dataset; without it all.")] = "",
    wait: Wait = False,
    timeout: Timeout = 1800,
    as_json: AsJson = False,
    stack: Stack = None,
    twin: OnTwin = False,
) -> None:
    """Compare Bronze with the ledger and take in what it does not know, e.g. files from before the lake."""
    lake = connect(stack, twin=twin)
    request: dict[str, Any] = {"dataset": dataset, "follow": False}
    with progress.shown("comparing the bucket with the ledger") as tell:
        while not request.get("done"):
            request = invoke(lake, lake.name("ReconcileFunctionName"), request)
        if wait:
            Watch(lake, ledger_of(lake), tell).until_at_rest(timeout)
    counts = {name: request[name] for name in ("listed", "registered", "reopened", "unfinished", "ignored")}
    if as_json:
        output.print_json({"dataset": dataset or None, **counts})
    else:
        output.stdout().print(output.table(None, list(counts), [list(counts.values())]))


def _wait(lake: Lake, timeout_seconds: float) -> None:
    with progress.shown("waiting until all is done") as tell:
        Watch(lake, ledger_of(lake), tell).until_at_rest(timeout_seconds)


def invoke(lake: Lake, function: str, request: dict[str, Any]) -> dict[str, Any]:
    """Call a function and wait for its answer. Raises ``CommandError`` with the function's error."""
    answer = lake.client("lambda").invoke(FunctionName=function, Payload=json.dumps(request).encode())
    payload: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise CommandError(
            f"{function} failed: {payload.get('errorType', '')}: {payload.get('errorMessage', '')}. "
            f"Its log group is /aws/lambda/{function}."
        )
    return payload
