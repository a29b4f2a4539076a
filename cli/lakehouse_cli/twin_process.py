"""Starting, finding and stopping the twin's server process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from lakehouse_cli.connection import TwinEndpoint
from lakehouse_cli.errors import CommandError, NotFoundError, TimedOutError

START_SECONDS = 60
STOP_SECONDS = 30
POLL_SECONDS = 0.1
LOG_FILE = Path(".twin", "serve.log")


def interpreter(root: Path) -> str:
    """The Python of the twin's own environment."""
    found = root / ".tools" / "twin" / "bin" / "python"
    if not found.exists():
        raise NotFoundError("The twin is not installed. Run: make setup")
    return str(found)


def running(root: Path) -> TwinEndpoint | None:
    """The twin that runs for this checkout, None when its process is gone or never was."""
    endpoint = TwinEndpoint.read(root)
    return endpoint if endpoint is not None and is_twin(endpoint.pid) else None


def is_twin(pid: int) -> bool:
    """Whether the process exists and is a twin (a pid in a file may long belong to somebody else)."""
    shown = subprocess.run(["ps", "-p", str(pid), "-o", "args="], capture_output=True, text=True, check=False)
    return "-m twin" in shown.stdout


def start(root: Path, arguments: Sequence[str]) -> TwinEndpoint:
    """Start the server in the background and wait until it answers. Raises with its last words if it ends."""
    log = root / LOG_FILE
    log.parent.mkdir(exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            [interpreter(root), "-m", "twin", "serve", *arguments],
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        endpoint = TwinEndpoint.read(root)
        if endpoint is not None and endpoint.pid == process.pid and answers(endpoint):
            return endpoint
        if process.poll() is not None:
            raise CommandError(
                f"The twin ended with code {process.returncode}: {last_line(log)} (log: {log})"
            )
        time.sleep(POLL_SECONDS)
    process.terminate()
    raise TimedOutError(f"The twin did not answer within {START_SECONDS} s and was stopped. Its log: {log}")


def stop(root: Path) -> int | None:
    """Stop the twin and wait until it is gone. Returns its pid, None when none ran."""
    endpoint = running(root)
    if endpoint is None:
        return None
    os.kill(endpoint.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while is_twin(endpoint.pid):
        if time.monotonic() > deadline:
            raise TimedOutError(f"The twin (process {endpoint.pid}) did not stop within {STOP_SECONDS} s.")
        time.sleep(POLL_SECONDS)
    return endpoint.pid


def answers(endpoint: TwinEndpoint) -> bool:
    """Whether something listens on the endpoint's port."""
    address = urlsplit(endpoint.endpoint)
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((str(address.hostname), address.port or 443)) == 0


def last_line(log: Path) -> str:
    """The last line of a log that says something."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it wrote nothing"
