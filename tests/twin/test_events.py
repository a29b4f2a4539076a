"""Every file under events/, sent to the deployed lake with the SAM CLI, as a person would."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.twin.conftest import ROOT, STATE_DIR
from tests.twin.lake import STACK, TwinLake
from twin.deploy import Target
from twin.settings import Settings

EVENTS = ROOT / "events"
# The events' own run is nobody's: what asks for its lease is told so, and nothing is touched.
ANSWERS: dict[str, dict[str, Any]] = {
    "intake": {"batchItemFailures": []},
    "claim": {"errorType": "StaleRun"},
    "bronze": {"errorType": "ObjectMissing"},
    "complete": {"errorType": "StaleRun"},
    "plan": {"errorType": "StaleRun"},
    "recover": {"outcome": "stale"},
    "sweep": {"failed": {}},
    "reconcile": {"dataset": "", "done": True},
    "maintain": {"unknown": [], "failed": {}},
    "freshness": {"stale": 0},
}


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """The events as they are, but for the lake's name: they are written for the dev lake."""
    for file in EVENTS.glob("*.json"):
        (tmp_path / file.name).write_text(file.read_text().replace("lake-dev", STACK))
    return tmp_path


def remote_invoke(resource: str, event: Path) -> subprocess.CompletedProcess[str]:
    target = Target.find(Settings(ROOT, state_folder=Path(STATE_DIR)))
    command = [str(ROOT / ".tools" / "sam" / "bin" / "sam"), "remote", "invoke", resource]
    return subprocess.run(
        [*command, "--stack-name", STACK, "--event-file", str(event)],
        env=target.environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_event_is_sent_by_a_test_of_this_file() -> None:
    sent = {*ANSWERS, "assets", "promote", "refresh", "maintenance", "arrival"}
    assert {path.stem for path in EVENTS.glob("*.json")} == sent


@pytest.mark.parametrize("name", ANSWERS)
def test_a_function_answers_its_event(deployed: TwinLake, events: Path, name: str) -> None:
    done = remote_invoke(f"{name.capitalize()}Function", events / f"{name}.json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert {key: answer[key] for key in ANSWERS[name]} == ANSWERS[name]


@pytest.mark.parametrize(
    ("machine", "event"), [("Promote", "promote"), ("Refresh", "refresh"), ("Maintain", "maintenance")]
)
def test_a_state_machine_ends_a_run_that_holds_no_lease(
    deployed: TwinLake, events: Path, machine: str, event: str
) -> None:
    done = remote_invoke(f"{machine}StateMachine", events / f"{event}.json")
    assert "StaleRun" in done.stdout + done.stderr


def test_files_that_are_announced_and_not_there_end_as_deleted(deployed: TwinLake, events: Path) -> None:
    remote_invoke("IntakeFunction", events / "intake.json")
    arrival = json.loads((events / "arrival.json").read_text())
    key = arrival["detail"]["object"]["key"]
    version = arrival["detail"]["object"]["version-id"]
    # The same event once more, the way S3 sends it: through the queue.
    queue = deployed.cli.name("IntakeQueueUrl")
    deployed.client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(arrival))
    [item] = deployed.settle([("flights", key, version)]).values()
    assert item["state"] == "DELETED"


@pytest.fixture
def answers() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address that takes a custom resource's answer, and what was sent there."""
    received: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/answer", received
    server.shutdown()
    server.server_close()


def test_the_custom_resource_ships_the_same_content_under_the_same_prefix(
    deployed: TwinLake, answers: tuple[str, list[dict[str, Any]]], events: Path
) -> None:
    url, received = answers
    file = events / "assets.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"ResponseURL": url}))
    done = remote_invoke("AssetsFunction", file)
    assert done.returncode == 0, done.stderr
    [answer] = received
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["Prefix"] == deployed.cli.outputs["AssetsPrefix"]
