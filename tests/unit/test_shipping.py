"""Shipping assets: written whole, replaced ones kept for thirty days, CloudFormation always answered."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lakehouse.shipping import ship

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


@dataclass
class FakeBucket:
    """Objects with the time of their writing; ``order`` is the order of all writes."""

    now: datetime = NOW
    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def put(self, key: str, body: bytes) -> None:
        self.objects[key] = (body, self.now)
        self.order.append(key)

    def written_at(self, key: str) -> datetime | None:
        return self.objects[key][1] if key in self.objects else None

    def prefixes(self, root: str) -> list[str]:
        return sorted({root + key.removeprefix(root).split("/")[0] + "/" for key in self.objects})

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def delete_all(self, prefix: str) -> None:
        self.objects = {key: value for key, value in self.objects.items() if not key.startswith(prefix)}

    def ship(self, name: str, days: int) -> None:
        self.now = NOW + timedelta(days=days)
        files = {"index.json": b"{}", "plans/flights.json": name.encode(), "jobs/silver.py": b"pass"}
        ship(SimpleNamespace(prefix=f"assets/{name}/", files=files), self, self.now)


def test_the_index_is_written_last_and_what_is_there_is_not_written_again() -> None:
    bucket = FakeBucket()
    bucket.ship("a", 0)
    assert bucket.order == ["assets/a/jobs/silver.py", "assets/a/plans/flights.json", "assets/a/index.json"]
    bucket.ship("a", 1)
    assert len(bucket.order) == 3


def test_a_shipment_that_broke_off_is_completed() -> None:
    bucket = FakeBucket()
    bucket.put("assets/a/jobs/silver.py", b"half")
    bucket.ship("a", 0)
    assert bucket.objects["assets/a/jobs/silver.py"][0] == b"pass"
    assert "assets/a/index.json" in bucket.objects


def test_a_replaced_prefix_is_kept_for_thirty_days_from_its_replacement() -> None:
    bucket = FakeBucket()
    bucket.ship("a", 0)
    bucket.ship("b", 100)
    bucket.ship("c", 130)
    assert "assets/a/plans/flights.json" in bucket.objects
    bucket.ship("d", 131)
    assert not [key for key in bucket.objects if key.startswith("assets/a/")]
    assert "assets/b/plans/flights.json" in bucket.objects
    assert "assets/c/plans/flights.json" in bucket.objects


def test_a_prefix_that_comes_back_is_no_longer_retired() -> None:
    bucket = FakeBucket()
    bucket.ship("a", 0)
    bucket.ship("b", 1)
    bucket.ship("a", 2)
    assert "assets/a/retired.json" not in bucket.objects
    assert "assets/b/retired.json" in bucket.objects
    bucket.ship("c", 40)
    assert "assets/a/plans/flights.json" in bucket.objects
    assert "assets/b/plans/flights.json" not in bucket.objects


# --- The custom resource's handler --------------------------------------------------------------


@pytest.fixture
def answers() -> Iterator[SimpleNamespace]:
    """What was PUT to the address of the answer, and that address."""
    received: list[dict[str, str]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield SimpleNamespace(received=received, url=f"http://127.0.0.1:{server.server_port}/answer")
    server.shutdown()
    server.server_close()


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    arn = "arn:aws:states:us-east-1:000000000000:stateMachine:lake-dev-"
    environment = {
        "LAKE_NAME": "lake",
        "ENVIRONMENT": "dev",
        "PROMOTE_STATE_MACHINE_ARN": arn + "promote",
        "REFRESH_STATE_MACHINE_ARN": arn + "refresh",
        "MAINTAIN_STATE_MACHINE_ARN": arn + "maintain",
        "FAILURE_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:lake-dev-failures",
        "ASSETS_PREFIX": "assets/none/",
    }
    names = (
        "BRONZE_BUCKET SILVER_BUCKET GOLD_BUCKET OPERATIONS_BUCKET LEDGER_TABLE LINEAGE_TABLE BRONZE_DATABASE"
    )
    names += " SILVER_DATABASE GOLD_DATABASE SILVER_JOB_NAME GOLD_JOB_NAME CRAWLER_NAME MAINTAIN_JOB_NAME"
    for name, value in {**environment, **{name: name.lower() for name in names.split()}}.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("assets_app", ROOT / "functions" / "assets" / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    bucket = FakeBucket()
    monkeypatch.setattr(module.S3Assets, "connect", lambda name: bucket)
    monkeypatch.setattr(module, "SOURCES", ROOT)
    monkeypatch.setattr(module, "bucket", bucket, raising=False)
    return module


CONTEXT = SimpleNamespace(
    function_name="lake-dev-assets", memory_limit_in_mb=1024, invoked_function_arn="arn", aws_request_id="id"
)


def request(answers: SimpleNamespace, kind: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((ROOT / "events" / "assets.json").read_text())
    return event | {"RequestType": kind, "ResponseURL": answers.url}


def test_create_ships_the_sources_and_tells_the_prefix(app: ModuleType, answers: SimpleNamespace) -> None:
    event = request(answers, "Create")
    app.handler(event, CONTEXT)
    [answer] = answers.received
    assert answer["Status"] == "SUCCESS"
    assert answer["PhysicalResourceId"] == "lake-dev-assets"
    assert answer["RequestId"] == event["RequestId"]
    assert answer["Data"]["Prefix"] == f"assets/{answer['Data']['Hash']}/"
    shipped = {key.removeprefix(answer["Data"]["Prefix"]) for key in app.bucket.objects}
    assert {"index.json", "lakehouse_spark.zip", "plans/flights.json", "jobs/gold.py"} <= shipped


def test_delete_touches_nothing(app: ModuleType, answers: SimpleNamespace) -> None:
    app.handler(request(answers, "Delete"), CONTEXT)
    assert [answer["Status"] for answer in answers.received] == ["SUCCESS"]
    assert app.bucket.objects == {}


def test_a_contract_that_does_not_compile_is_told_in_its_own_words(
    app: ModuleType, answers: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("contracts", "models", "glue"):
        (tmp_path / name).mkdir()
    (tmp_path / "contracts" / "flights.yaml").write_text("kind: [")
    monkeypatch.setattr(app, "SOURCES", tmp_path)
    app.handler(request(answers, "Update"), CONTEXT)
    [answer] = answers.received
    assert answer["Status"] == "FAILED"
    assert "flights.yaml" in answer["Reason"]


def test_an_unforeseen_error_is_told_by_its_name_only(
    app: ModuleType, answers: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(sources: Path) -> None:
        raise RuntimeError("a detail nobody has looked at")

    monkeypatch.setattr(app, "compile_assets", fail)
    app.handler(request(answers, "Update"), CONTEXT)
    [answer] = answers.received
    assert (answer["Status"], answer["Reason"]) == ("FAILED", "RuntimeError")
