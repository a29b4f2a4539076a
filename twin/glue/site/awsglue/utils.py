"""Job arguments, as in Glue's developer guide under "Accessing parameters using getResolvedOptions"."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

RESERVED = ("JOB_NAME", "JOB_RUN_ID", "TempDir", "job-bookmark-option")


class GlueArgumentError(Exception):
    """An argument that the script asks for was not given."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # Glue's parser raises, it does not exit
        raise GlueArgumentError(message)


def getResolvedOptions(args: Sequence[str], options: Sequence[str]) -> dict[str, str]:  # noqa: N802  # Glue's name
    """The named arguments of a job as strings; raises ``GlueArgumentError`` when one is missing."""
    parser = _Parser(add_help=False)
    for option in options:
        parser.add_argument(f"--{option}", required=True)
    for option in RESERVED:
        if option not in options:
            parser.add_argument(f"--{option}")
    known, _ = parser.parse_known_args(args[1:])
    return {name: value for name, value in vars(known).items() if value is not None}
