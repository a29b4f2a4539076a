"""``lakehouse check``: contracts and models, before they are deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lakehouse_cli import output
from lakehouse_cli.connection import project_root
from lakehouse_cli.options import AsJson


def check(
    project: Annotated[
        Path | None, typer.Option(help="Folder that holds contracts/ and models/. Default: this checkout.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compile every contract and model as a deployment would, and list every mistake. Needs no AWS."""
    from lakehouse_cli.checking import check_project

    found = check_project(project or project_root())
    if as_json:
        output.print_json({"datasets": found.datasets, "models": found.models, "problems": found.problems})
    else:
        for problem in found.problems:
            output.stdout().print(output.visible(problem), soft_wrap=True)
        sentence = f"{len(found.datasets)} contracts and {len(found.models)} models are good."
        output.note(sentence if not found.problems else f"{len(found.problems)} problems.")
    if found.problems:
        raise typer.Exit(1)
