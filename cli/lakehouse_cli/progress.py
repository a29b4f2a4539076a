"""Showing a watch: a line for each step on stderr, and on a terminal a spinner with the time below them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from lakehouse_cli import output
from lakehouse_cli.watch import Step

WHO_WIDTH = 12


def step_line(step: Step) -> Text:
    """``   12.3 s  flights     files: 12 CLAIMED``."""
    return Text.assemble(
        (f"{step.seconds:8.1f} s  ", "dim"),
        (output.visible(step.who).ljust(WHO_WIDTH), "bold"),
        (" " + output.visible(step.what), "red" if step.bad else ""),
    )


@contextmanager
def shown(what: str, console: Console | None = None) -> Iterator[Callable[[Step], None]]:
    """Give a function that prints steps; while it is in use a terminal shows that something is going on."""
    target = console or output.stderr()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=target, transient=True, disable=not target.is_terminal) as progress:
        progress.add_task(what, total=None)

        def tell(step: Step) -> None:
            progress.console.print(step_line(step), soft_wrap=True)

        yield tell
