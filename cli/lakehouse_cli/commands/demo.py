"""``lakehouse demo``: everything at once, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lakehouse_cli.connection import project_root
from lakehouse_cli.options import Timeout


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of dataset folders to put instead of the sample (`lakehouse sample` writes one)."
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Port of the twin.")] = 4566,
    down: Annotated[bool, typer.Option("--down", help="Stop the twin at the end.")] = False,
    timeout: Timeout = 900,
) -> None:
    """Start the twin, deploy, put the flights lake, follow it to Gold, query it, show its lineage."""
    from lakehouse_cli import demo as play

    play.run(project_root(), data, port, down=down, timeout_seconds=timeout)
