"""``lakehouse sample DIR``: the flights lake's files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lakehouse_cli import output
from lakehouse_cli.options import AsJson
from lakehouse_cli.sample import write_sample


def sample(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if missing.")],
    as_json: AsJson = False,
) -> None:
    """Write the sample lake's files: flights from New York in 2013, weather, planes, airports, airlines."""
    written = write_sample(folder)
    if as_json:
        output.print_json({dataset: [str(path) for path in paths] for dataset, paths in written.items()})
        return
    rows = [
        (dataset, len(paths), output.size(sum(path.stat().st_size for path in paths)), str(paths[0]))
        for dataset, paths in written.items()
    ]
    output.stdout().print(
        output.table(None, ["dataset", "files", "size", "first file"], rows, right=["size"])
    )
    output.note(f"Put them into the lake: lakehouse put {folder} --wait")
