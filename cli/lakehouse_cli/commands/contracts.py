"""``lakehouse check`` and ``lakehouse init``: contracts and models, before they are deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lakehouse.words import DATASET_PATTERN
from lakehouse_cli import output
from lakehouse_cli.connection import project_root
from lakehouse_cli.errors import UsageError
from lakehouse_cli.options import AsJson


def check(
    project: Annotated[
        Path | None, typer.Option(help="Folder that holds contracts/ and models/. Default: this checkout.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compile contracts, models and grants as a deployment would, and list every mistake. Needs no AWS."""
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


def init(
    dataset: Annotated[str, typer.Argument(help="The dataset's name.")],
    file: Annotated[Path, typer.Argument(help="A sample file; its key=value folders become path columns.")],
    target: Annotated[
        Path | None,
        typer.Option("--output", help="Where to write. Default: contracts/DATASET.yaml of this checkout."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a contract that is there.")] = False,
) -> None:
    """Draft a contract from a sample file (CSV, JSON or Parquet, also packed). Needs no AWS."""
    from lakehouse.contracts import compile_contract
    from lakehouse_cli.sniff import draft

    if not DATASET_PATTERN.fullmatch(dataset):
        raise UsageError(f"{dataset} cannot be a dataset: use small letters, digits and single underscores.")
    path = target or project_root() / "contracts" / f"{dataset}.yaml"
    if path.exists() and not force:
        raise UsageError(
            f"{path} is there already. Replace it with --force, or write elsewhere with --output."
        )
    text, found = draft(dataset, file)
    compile_contract(text, f"{dataset}.yaml")
    path.write_text(text, encoding="utf-8")
    output.stdout().print(f"{path}: {len(found.sketch.columns)} columns, {found.sketch.format}.")
    if found.null_tokens:
        output.note(
            f"Taken for null: {', '.join(found.null_tokens)}. If one of them is a value, take it out."
        )
    output.note("Finish it (keys, rules, descriptions), then: lakehouse check")
