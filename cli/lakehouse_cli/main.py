"""The ``lakehouse`` command: its sub-commands, and how an error becomes a sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer
from botocore.exceptions import BotoCoreError, ClientError

from lakehouse.errors import LakehouseError, LineageUnknown
from lakehouse_cli import commands, output
from lakehouse_cli.connection import access_error, project_root, unreachable
from lakehouse_cli.errors import CommandError, NotFoundError

INTERRUPTED = 130

app = typer.Typer(
    name="lakehouse",
    help="Files in, tables out. Speaks to AWS by the usual environment and profiles, or to the twin.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 not found or not deployed, 4 timed out, 5 no access. "
    "--debug anywhere shows the traceback of an error.",
)
commands.register(app)


def run() -> None:
    """Entry point of the console script."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments or bool(os.environ.get("LAKEHOUSE_DEBUG"))
    sys.exit(main([argument for argument in arguments if argument != "--debug"], debug=debug))


def main(arguments: Sequence[str], *, debug: bool = False) -> int:
    """Run one command line and return its exit code. With ``debug`` errors are raised instead of told."""
    try:
        return app(list(arguments), standalone_mode=False) or 0
    except typer.Exit as leave:
        return leave.exit_code
    except (typer.Abort, KeyboardInterrupt):
        output.error("Interrupted. What was already sent goes on; `lakehouse status` shows it.")
        return INTERRUPTED
    except Exception as problem:
        if debug:
            raise
        return tell(problem)


def tell(problem: Exception) -> int:
    """Print what is wrong as a sentence and return the exit code that stands for it."""
    if isinstance(problem, ClientError):
        problem = access_error(problem)
    elif isinstance(problem, BotoCoreError):
        problem = unreachable(problem, project_root())
    if isinstance(problem, LineageUnknown):
        problem = NotFoundError(f"Lineage does not know that: {problem}.")
    if isinstance(problem, LakehouseError):
        output.error(str(problem))
        return problem.exit_code if isinstance(problem, CommandError) else CommandError.exit_code
    if hasattr(problem, "show") and hasattr(problem, "exit_code"):  # typer's own usage errors
        problem.show()
        return int(problem.exit_code)
    output.error(
        f"{type(problem).__name__}: {problem}. This is a defect of the command: --debug shows where."
    )
    return 1
