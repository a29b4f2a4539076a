"""``lakehouse put``: files into Bronze."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from lakehouse.store import Item
from lakehouse_cli import output, progress, scheduled, upload
from lakehouse_cli.commands.status import TROUBLE, file_json, file_table
from lakehouse_cli.connection import Lake, connect
from lakehouse_cli.errors import CommandError
from lakehouse_cli.options import AsJson, OnTwin, Stack, Timeout
from lakehouse_cli.watch import Watch, ledger_of


def put(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files, or folders with files.")],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="The dataset they belong to. Without it, each FILE is a folder of dataset folders."
        ),
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(
            help="Folder below the dataset's, like year=2013/month=1. Default: the files' own k=v folders."
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait until they are in Silver and Gold, and say what became of each."),
    ] = False,
    timeout: Timeout = 1800,
    as_json: AsJson = False,
    stack: Stack = None,
    twin: OnTwin = False,
) -> None:
    """Put files into the lake. With --wait the exit code is 1 if one of them was not taken."""
    wanted = upload.sources(files, dataset, path)
    lake = connect(stack, twin=twin)
    stored = upload_all(lake, wanted)
    _say_what_waits(lake, stored)
    if wait:
        _show_outcome(lake, follow(lake, stored, timeout), as_json=as_json)
    elif as_json:
        output.print_json({"bucket": lake.name("BronzeBucketName"), "files": [vars(item) for item in stored]})
    else:
        rows = [(item.dataset, item.key, output.size(item.size_bytes), item.version_id) for item in stored]
        output.stdout().print(output.table(None, ["dataset", "key", "size", "version"], rows, right=["size"]))


def _say_what_waits(lake: Lake, stored: list[upload.Stored]) -> None:
    """Tell of files that nothing takes in before the schedule does."""
    waiting = sorted({item.dataset for item in stored} & set(scheduled.datasets(lake)))
    if waiting:
        output.stderr().print(
            f"{', '.join(waiting)}: taken in by schedule; `lakehouse intake` does it now.", soft_wrap=True
        )


def follow(
    lake: Lake, stored: list[upload.Stored], timeout_seconds: float, console: Console | None = None
) -> list[Item]:
    """Wait for what was put, showing each step (on stderr unless told where); returns the ledger's items."""
    files = [(item.dataset, item.key, item.version_id) for item in stored]
    with progress.shown("on the way to Gold", console) as tell:
        return Watch(lake, ledger_of(lake), tell).until_files_are_through(files, timeout_seconds)


def _show_outcome(lake: Lake, items: list[Item], *, as_json: bool) -> None:
    if as_json:
        found = [file_json(item) for item in items]
        output.print_json({"bucket": lake.name("BronzeBucketName"), "files": found})
    else:
        output.stdout().print(file_table("Files", items))
    refused = [item for item in items if item["state"] in TROUBLE]
    if refused:
        raise CommandError(
            f"{len(refused)} of {len(items)} files did not get into Silver; the reason stands beside each."
        )


def upload_all(lake: Lake, wanted: list[upload.Source]) -> list[upload.Stored]:
    """Upload with a progress bar on a terminal."""
    columns = (TextColumn("putting files"), BarColumn(), MofNCompleteColumn())
    console = output.stderr()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        bar = shown.add_task("put", total=len(wanted))
        return upload.put(
            lake.client("s3"), lake.name("BronzeBucketName"), wanted, lambda _: shown.advance(bar)
        )
