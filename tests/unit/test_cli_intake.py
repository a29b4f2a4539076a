"""The intake command against a fake lake: a run of the workflow, and what its end means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lakehouse_cli import scheduled
from lakehouse_cli.commands import intake
from lakehouse_cli.errors import CommandError, TimedOutError
from lakehouse_cli.main import main
from tests.unit.cli_fakes import FakeLedger, fake_lake, refused
from tests.unit.test_cli_upload import FakeS3

DONE = {"TotalActions": 2, "SucceededActions": 2, "FailedActions": 0}
FAILED = {"TotalActions": 2, "SucceededActions": 1, "FailedActions": 1}


class FakeGlue:
    """A workflow whose run ends after some looks."""

    def __init__(self, counts: dict[str, int], looks: int = 2, *, busy: bool = False) -> None:
        self.counts, self.looks, self.busy = counts, looks, busy

    def start_workflow_run(self, *, Name: str) -> dict[str, str]:  # noqa: N803 - boto3's names
        assert Name == "lake-dev-scheduled-intake"
        if self.busy:
            raise refused("StartWorkflowRun", "ConcurrentRunsExceededException")
        return {"RunId": "wr_1"}

    def get_workflow_run(self, *, Name: str, RunId: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        assert (Name, RunId) == ("lake-dev-scheduled-intake", "wr_1")
        self.looks -= 1
        return {"Run": {"Status": "RUNNING" if self.looks else "COMPLETED", "Statistics": self.counts}}


def command(monkeypatch: pytest.MonkeyPatch, glue: FakeGlue, *arguments: str) -> int:
    monkeypatch.setattr(intake, "connect", lambda stack, *, twin: fake_lake(glue=glue, s3=FakeS3()))
    monkeypatch.setattr(intake, "ledger_of", lambda lake: FakeLedger())
    monkeypatch.setattr(scheduled, "POLL_SECONDS", 0)
    return main(["intake", *arguments])


def test_a_run_is_started_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, FakeGlue(DONE)) == 0
    assert capsys.readouterr().out == "New files of weather are being looked for. Run: wr_1\n"
    assert command(monkeypatch, FakeGlue(DONE), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"workflow_run_id": "wr_1", "datasets": ["weather"]}


def test_a_run_is_waited_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    glue = FakeGlue(DONE)
    assert command(monkeypatch, glue, "--wait") == 0
    assert glue.looks == 0
    assert capsys.readouterr().out == "New files of weather are taken in. Run: wr_1\n"


def test_a_run_at_work_is_not_started_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, FakeGlue(DONE, busy=True)) == 1
    assert "lake-dev-scheduled-intake runs already" in capsys.readouterr().err


def test_an_action_that_failed_and_a_run_without_an_end_are_told() -> None:
    with pytest.raises(CommandError, match="1 of 2 actions of lake-dev-scheduled-intake did not succeed"):
        scheduled.follow(fake_lake(glue=FakeGlue(FAILED)), "wr_1", 60, sleep=lambda _: None)
    clock = iter([0.0, 1.0, 61.0])
    lake = fake_lake(glue=FakeGlue(DONE, looks=9))
    with pytest.raises(TimedOutError, match="not done after 60 s"):
        scheduled.follow(lake, "wr_1", 60, clock=lambda: next(clock), sleep=lambda _: None)
