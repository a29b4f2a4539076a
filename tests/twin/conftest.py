"""The twin tier: one twin for all its tests, on a port and in a folder of its own; one deployment."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.twin.lake import TwinLake

ROOT = Path(__file__).resolve().parents[2]
TWIN_PYTHON = ROOT / ".tools" / "twin" / "bin" / "python"
STATE_DIR = ".twin-test"
START_SECONDS = 60
STOP_SECONDS = 30


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def twin_command(*arguments: str) -> list[str]:
    """A command of the twin, on this tier's own folder."""
    return [str(TWIN_PYTHON), "-m", "twin", "--project", str(ROOT), "--state-dir", STATE_DIR, *arguments]


@pytest.fixture(scope="session")
def twin() -> Iterator[dict[str, str]]:
    """A running twin: the content of its endpoint file."""
    folder = ROOT / STATE_DIR
    folder.mkdir(exist_ok=True)
    endpoint = folder / "endpoint.json"
    endpoint.unlink(missing_ok=True)
    log = folder / "serve.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            twin_command("serve", "--port", str(free_port())), cwd=ROOT, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not endpoint.exists():
            assert server.poll() is None, f"the twin ended: {log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"the twin did not start: {log.read_text()[-2000:]}"
            time.sleep(0.1)
        yield json.loads(endpoint.read_text())
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(STOP_SECONDS)


def deploy(**variables: str) -> str:
    """Deploy the project's template to the tier's twin; returns what the command printed."""
    done = subprocess.run(
        twin_command("deploy"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, f"the deployment failed:\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def lake(twin: dict[str, str]) -> TwinLake:
    """The deployed lake."""
    deploy()
    return TwinLake.find(ROOT / STATE_DIR / "endpoint.json")
