"""``lakehouse twin up | deploy | status | env | container | down``: AWS on this machine."""

from __future__ import annotations

import shlex
import subprocess
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError
from rich.text import Text

from lakehouse_cli import output, twin_process
from lakehouse_cli.connection import Connection, TwinEndpoint, project_root, stack_name
from lakehouse_cli.errors import CommandError, NotFoundError
from lakehouse_cli.options import AsJson, Stack

app = typer.Typer(help="The twin: AWS on this machine, for the real template.", no_args_is_help=True)
Environment = Annotated[str, typer.Option(help="The environment of samconfig.toml.")]


@app.command()
def up(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 4566,
    host: Annotated[
        str, typer.Option(help="Address to bind besides the loopback, so that a container reaches the twin.")
    ] = "127.0.0.1",
    persist: Annotated[bool, typer.Option(help="Keep buckets, tables and stacks over a restart.")] = False,
) -> None:
    """Start the twin in the background, unless it runs."""
    root = project_root()
    endpoint = twin_process.running(root)
    if endpoint is None:
        options = ["--port", str(port), "--host", host, *(["--persist"] if persist else [])]
        endpoint = twin_process.start(root, options)
        output.stdout().print(f"The twin answers on {endpoint.endpoint}. Next: lakehouse twin deploy")
    else:
        output.stdout().print(f"The twin is already up on {endpoint.endpoint}.")


@app.command()
def deploy(environment: Environment = "dev") -> None:
    """Build the template with the SAM CLI and deploy it to the running twin."""
    _run_twin("deploy", "--environment", environment)


@app.command()
def delete(environment: Environment = "dev") -> None:
    """Delete the stack from the running twin."""
    _run_twin("delete", "--environment", environment)


@app.command()
def status(as_json: AsJson = False, stack: Stack = None) -> None:
    """Say whether the twin runs and what is deployed. Exit code 3 when it does not run."""
    endpoint = twin_process.running(project_root())
    state = _stack_state(endpoint, stack_name(stack)) if endpoint else None
    if as_json:
        output.print_json(_as_json(endpoint, stack_name(stack), state))
    elif endpoint is not None:
        rows = [
            ("endpoint", endpoint.endpoint),
            ("process", str(endpoint.pid)),
            ("account, region", f"{endpoint.account}, {endpoint.region}"),
            (f"stack {stack_name(stack)}", state or "not deployed (lakehouse twin deploy)"),
        ]
        output.stdout().print(output.table(None, ["twin", "running"], rows))
    if endpoint is None:
        if not as_json:
            raise NotFoundError("The twin is not running. Start it: lakehouse twin up")
        raise typer.Exit(NotFoundError.exit_code)


@app.command()
def env() -> None:
    r"""Print shell lines that point the AWS CLI and SDKs at the twin: eval "$(lakehouse twin env)"."""
    for line in environment_lines(_require()):
        output.stdout().print(Text(line), soft_wrap=True)


@app.command()
def container(
    environment: Environment = "dev",
    host: Annotated[str, typer.Option(help="How a container names this machine.")] = "host.docker.internal",
) -> None:
    """Write what `sam local invoke` needs to reach the twin from a container, and print such a call."""
    _run_twin("container", "--environment", environment, "--host", host)


@app.command()
def down() -> None:
    """Stop the twin. Without --persist at its start, what it held is gone."""
    pid = twin_process.stop(project_root())
    output.stdout().print("The twin was not running." if pid is None else "The twin is stopped.")


def environment_lines(endpoint: TwinEndpoint) -> list[str]:
    """Lines for a POSIX shell. A profile or session token of the caller would win, so they are unset."""
    exports = [f"export {name}={shlex.quote(value)}" for name, value in endpoint.environment().items()]
    return [*exports, "unset AWS_PROFILE AWS_SESSION_TOKEN"]


def _require() -> TwinEndpoint:
    endpoint = twin_process.running(project_root())
    if endpoint is None:
        raise NotFoundError("The twin is not running. Start it: lakehouse twin up")
    return endpoint


def _run_twin(*arguments: str) -> None:
    """Run one of the twin's own commands, its output going to ours."""
    _require()
    root = project_root()
    done = subprocess.run([twin_process.interpreter(root), "-m", "twin", *arguments], cwd=root, check=False)
    if done.returncode != 0:
        raise CommandError(
            f"`twin {arguments[0]}` failed (code {done.returncode}). Its own message stands above."
        )


def _stack_state(endpoint: TwinEndpoint, stack: str) -> str | None:
    try:
        found = Connection(endpoint).client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as refused:
        if refused.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    return str(found[0]["StackStatus"])


def _as_json(endpoint: TwinEndpoint | None, stack: str, state: str | None) -> dict[str, Any]:
    if endpoint is None:
        return {"running": False}
    return {
        "running": True,
        "endpoint": endpoint.endpoint,
        "ca_bundle": endpoint.ca_bundle,
        "region": endpoint.region,
        "account": endpoint.account,
        "pid": endpoint.pid,
        "stack": stack,
        "stack_status": state,
    }
