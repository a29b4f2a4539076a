"""The maintain command against a fake lake: what is asked of the function, what is printed."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest

from lakehouse_cli.commands import maintain
from lakehouse_cli.main import main
from lakehouse_cli.watch import Watch
from tests.unit.cli_fakes import FakeLedger, Pages, fake_lake

ANSWER = {"started": {"refresh": "refresh-1"}, "wanted": ["promote:flights"], "notDue": ["promote:weather"]}


class FakeLambda:
    def __init__(self) -> None:
        self.requests: list[Any] = []

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 - boto3's names
        assert FunctionName == "lake-dev-maintain"
        self.requests.append(json.loads(Payload))
        return {"Payload": BytesIO(json.dumps(ANSWER).encode())}


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> FakeLambda:
    fake, ledger = FakeLambda(), FakeLedger()
    ledger.writer("promote:flights", state="FREE")
    ledger.writer("refresh", state="FREE")
    monkeypatch.setattr(maintain, "connect", lambda stack, *, twin: fake_lake(**{"lambda": fake}))
    monkeypatch.setattr(maintain, "ledger_of", lambda lake: ledger)
    return fake


def test_without_a_name_everybody_is_asked_whose_tables_need_it(
    function: FakeLambda, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["maintain", "--json"]) == 0
    assert function.requests == [{"writers": [], "always": False}]
    assert json.loads(capsys.readouterr().out) == {
        "writers": [
            {"writer": "promote:flights", "outcome": "wanted", "run_id": ""},
            {"writer": "promote:weather", "outcome": "not_due", "run_id": ""},
            {"writer": "refresh", "outcome": "started", "run_id": "refresh-1"},
        ]
    }


@pytest.mark.parametrize(("name", "writer"), [("flights", "promote:flights"), ("gold", "refresh")])
def test_one_writer_can_be_named_and_always_is_passed_on(
    function: FakeLambda, name: str, writer: str
) -> None:
    assert main(["maintain", name, "--always"]) == 0
    assert function.requests == [{"writers": [writer], "always": True}]


def test_an_unknown_name_is_not_found(function: FakeLambda) -> None:
    assert main(["maintain", "birds"]) == 3
    assert function.requests == []


def test_each_writer_gets_a_sentence(function: FakeLambda, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["maintain"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith("gold maintained now refresh-1") for line in lines), lines
    assert any(line.startswith("weather needs nothing") for line in lines), lines


def test_maintenance_is_followed_in_its_own_state_machine() -> None:
    asked: list[str] = []

    class StepFunctions:
        def get_paginator(self, operation: str) -> Pages:
            return Pages(pages)

    def pages(executionArn: str, **_: Any) -> list[dict[str, Any]]:  # noqa: N803 - boto3's names
        asked.append(executionArn.rpartition(":execution:")[2])
        return [{"events": []}]

    ledger = FakeLedger()
    lease = {"run_id": "flights-9", "confirmed": True, "arrivals": 1, "claimed_arrivals": 1}
    ledger.writer("promote:flights", state="TAKEN", maintaining=True, **lease)
    times = iter([0.0, 0.0, 5.0])
    steps: list[str] = []

    def finish(_: float) -> None:
        ledger.writer("promote:flights", state="FREE", arrivals=1, claimed_arrivals=1)
        counts = {"tables": 2, "files_before": 12, "files_after": 2}
        ledger.has_run("promote:flights", "flights-9", state="SUCCEEDED", kind="maintain", **counts)

    lake = fake_lake(stepfunctions=StepFunctions())
    watch = Watch(lake, ledger, lambda step: steps.append(step.what), lambda: next(times, 5.0), finish)
    watch.until_at_rest(60)
    assert set(asked) == {"lake-dev-maintain:flights-9"}
    assert steps == [
        "maintenance flights-9",
        "SUCCEEDED: 2 tables maintained, 12 files before, 2 files after",
    ]
