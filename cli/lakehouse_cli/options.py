"""The options most commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Stack = Annotated[
    str | None,
    typer.Option(
        "--stack", help="The lake's stack. Default: LAKEHOUSE_STACK, or lake-dev.", show_default=False
    ),
]
OnTwin = Annotated[
    bool,
    typer.Option("--twin", help="Talk to the twin on this machine instead of AWS.", envvar="LAKEHOUSE_TWIN"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts (shapes: docs/cli.md).")]
Timeout = Annotated[
    float, typer.Option("--timeout", help="Seconds to wait before giving up (exit code 4).", min=1)
]
DeployedEnvironment = Annotated[
    str, typer.Option("--env", help="Environment of samconfig.toml: dev or prod.", metavar="ENV")
]
