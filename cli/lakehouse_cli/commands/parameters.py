"""``lakehouse parameters``: the parameters that ``make deploy`` gives an environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lakehouse_cli.connection import Connection, project_root
from lakehouse_cli.errors import CommandError, NotAnswered, UsageError
from lakehouse_cli.options import DeployedEnvironment


def parameters(
    env: DeployedEnvironment = "dev",
    project: Annotated[
        Path | None, typer.Option(help="Folder with template.yaml. Default: this checkout.")
    ] = None,
) -> None:
    """Print the parameters of a deployment: samconfig.toml's, and who deploys as administrator."""
    from lakehouse_cli.doctor.account import Account
    from lakehouse_cli.doctor.checks import principal_arn
    from lakehouse_cli.templates import ADMINISTRATOR, read_environment

    environment = read_environment(project or project_root(), env)
    if ADMINISTRATOR not in environment.parameters:
        account = Account(Connection())
        try:
            administrator = principal_arn(account, account.caller())
        except NotAnswered as silent:
            raise CommandError(
                f"Which role deploys could not be asked ({silent}). "
                f"Name it in samconfig.toml: {ADMINISTRATOR}=ARN."
            ) from silent
        if administrator.endswith(":root"):
            raise UsageError("The root user cannot administer a data lake: deploy as a role.")
        environment = environment.governed_by(administrator)
    for name, value in environment.parameters.items():
        if any(letter.isspace() for letter in value):
            raise UsageError(
                f"{name} of {env} holds a space, which a command line would cut: {value!r}. "
                "Take it out of samconfig.toml."
            )
        typer.echo(f"{name}={value}")
