"""``lakehouse put``: files into Bronze."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from lakehouse_cli import output, upload
from lakehouse_cli.connection import Lake, connect
from lakehouse_cli.options import AsJson, OnTwin, Stack


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
    as_json: AsJson = False,
    stack: Stack = None,
    twin: OnTwin = False,
) -> None:
    """Put files into the lake."""
    wanted = upload.sources(files, dataset, path)
    lake = connect(stack, twin=twin)
    stored = upload_all(lake, wanted)
    if as_json:
        output.print_json({"bucket": lake.name("BronzeBucketName"), "files": [vars(item) for item in stored]})
        return
    rows = [(item.dataset, item.key, output.size(item.size_bytes), item.version_id) for item in stored]
    output.stdout().print(output.table(None, ["dataset", "key", "size", "version"], rows, right=["size"]))


def upload_all(lake: Lake, wanted: list[upload.Source]) -> list[upload.Stored]:
    """Upload with a progress bar on a terminal."""
    columns = (TextColumn("putting files"), BarColumn(), MofNCompleteColumn())
    console = output.stderr()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("put", total=len(wanted))
        return upload.put(
            lake.client("s3"), lake.name("BronzeBucketName"), wanted, lambda _: progress.advance(bar)
        )
