"""``python -m twin serve | deploy | container | delete``, run with the interpreter of ``.tools/twin``."""

from __future__ import annotations

import argparse
import ipaddress
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from twin.errors import TwinError
from twin.settings import CONTAINERS_NAME, DEFAULT_PORT, LOOPBACK, Settings


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code is 0, or 1 with a sentence on standard error."""
    arguments = _parser().parse_args(argv)
    settings = Settings(Path(arguments.project).resolve(), state_folder=Path(arguments.state_dir))
    try:
        if arguments.command == "serve":
            from twin.server import serve

            names = ("host", "port", "persist", "log_level")
            serve(replace(settings, **{name: getattr(arguments, name) for name in names}))
        elif arguments.command == "deploy":
            from twin.deploy import deploy

            deploy(settings, arguments.environment, arguments.template, arguments.parameter)
        elif arguments.command == "container":
            from twin.container import write

            sys.stdout.write(shlex.join(write(settings, arguments.environment, arguments.host)) + "\n")
        else:
            from twin.deploy import delete

            delete(settings, arguments.environment)
    except TwinError as error:
        sys.stderr.write(f"twin: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m twin", description="AWS for this project, on this machine."
    )
    parser.add_argument("--project", default=".", help="the project's folder (default: the current one)")
    parser.add_argument(
        "--state-dir", default=".twin", help="where the twin keeps its files (default: .twin)"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve AWS over HTTPS until SIGTERM or Ctrl-C")
    serve.add_argument(
        "--host", type=_address, default=LOOPBACK, help="address to bind besides the loopback (default: none)"
    )
    serve.add_argument("--port", type=int, default=DEFAULT_PORT)
    serve.add_argument(
        "--persist", action="store_true", help="keep buckets, tables and stacks over a restart"
    )
    serve.add_argument("--log-level", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    for name, text in (
        ("deploy", "build and deploy the template to the running twin"),
        ("container", "write what `sam local invoke` needs to reach the twin from a container"),
        ("delete", "delete the stack"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument(
            "--environment", default="dev", help="environment of samconfig.toml (default: dev)"
        )
        if name == "deploy":
            command.add_argument("--template", default="template.yaml")
            command.add_argument("--parameter", action="append", default=[], metavar="KEY=VALUE")
        if name == "container":
            command.add_argument("--host", default=CONTAINERS_NAME, help="how a container names this machine")
    return parser


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


if __name__ == "__main__":
    sys.exit(main())
