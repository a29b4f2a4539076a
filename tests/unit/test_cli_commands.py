"""Command lines from end to end, against a fake lake: what is printed, and the exit code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from lakehouse_cli import connection, output, reuse
from lakehouse_cli.commands import files, quarantine, query, repair, status
from lakehouse_cli.main import main
from tests.unit.cli_fakes import OUTPUTS, FakeConnection, FakeLedger, fake_lake, refused
from tests.unit.test_cli_athena import FakeAthena
from tests.unit.test_cli_upload import FakeS3

Run = Callable[..., tuple[int, str, str]]


class Index:
    """The operations bucket, where only the assets' index is read."""

    def __init__(self, limits: dict[str, int]) -> None:
        self.body = json.dumps({"datasets": [], "models": [], "freshness_seconds": limits}).encode()

    def get_object(self, **request: str) -> dict[str, Any]:
        assert request["Key"] == "assets/0123456789abcdef/index.json"
        return {"Body": BytesIO(self.body)}


@pytest.fixture
def clients() -> dict[str, Any]:
    return {}


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    clients: dict[str, Any],
    ledger: FakeLedger,
) -> Run:
    """Runs one command line; returns exit code, stdout, stderr."""
    for module in (files, quarantine, query, repair, reuse, status):
        if hasattr(module, "connect"):
            monkeypatch.setattr(module, "connect", lambda stack, *, twin: fake_lake(**clients))
        if hasattr(module, "ledger_of"):
            monkeypatch.setattr(module, "ledger_of", lambda lake: ledger)
    clients.setdefault("s3", Index({}))

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def squeezed(text: str) -> list[str]:
    """The lines of a table with its spaces squeezed and its rules left out."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in lines if line and set(line) != {"─"}]


# --- status, runs -----------------------------------------------------------------------------


def fill(ledger: FakeLedger) -> None:
    ledger.writer("promote:flights", state="TAKEN", run_id="flights-2", arrivals=14, claimed_arrivals=13)
    ledger.writer("promote:weather", state="HELD", run_id="", reason="its environment failed 3 runs in a row")
    ledger.writer("refresh", state="FREE", run_id="", arrivals=1, claimed_arrivals=1)
    ledger.file("flights", "flights/b.csv", "v2", "PENDING")
    times = {"started_at": "2024-05-01T07:00:00.000Z", "ended_at": "2024-05-01T07:00:42.500Z"}
    counts = {"promoted": 12, "rejected": 1, "rows": 336776, "quarantined_rows": 4}
    ledger.has_run("promote:flights", "flights-1", state="SUCCEEDED", kind="promote", **times, **counts)
    ledger.has_run(
        "promote:flights", "flights-2", state="RUNNING", kind="promote", started_at=times["ended_at"]
    )
    ledger.has_run("refresh", "refresh-1", state="FAILED", kind="refresh", error="Glue.JobFailed", **times)


def test_status_shows_each_writer_in_a_line(run: Run, ledger: FakeLedger) -> None:
    fill(ledger)
    code, out, _ = run("status")
    assert code == 0
    assert squeezed(out) == [
        "Lake lake-dev",
        "name state pending running last run ended took outcome why it waits",
        (
            "flights TAKEN 1 flights-2 SUCCEEDED 2024-05-01 07:00:42 42.5 s "
            "12 promoted, 1 rejected, 336,776 rows, 4 in quarantine"
        ),
        "weather HELD 0 its environment failed 3 runs in a row",
        "gold FREE FAILED 2024-05-01 07:00:42 42.5 s Glue.JobFailed",
    ]


def test_status_as_json_has_the_documented_shape(run: Run, ledger: FakeLedger) -> None:
    fill(ledger)
    code, out, _ = run("status", "--json")
    found = json.loads(out)
    assert (code, found["stack"], [w["name"] for w in found["writers"]]) == (
        0,
        "lake-dev",
        ["flights", "weather", "gold"],
    )
    assert found["writers"][1] == {
        "name": "weather",
        "dataset": "weather",
        "state": "HELD",
        "pending": 0,
        "run_id": "",
        "not_before": None,
        "reason": "its environment failed 3 runs in a row",
        "last_run": None,
        "freshness": None,
    }
    assert found["writers"][0]["last_run"]["run_id"] == "flights-1"


def test_status_shows_the_age_of_what_promises_one(
    run: Run, ledger: FakeLedger, clients: dict[str, Any]
) -> None:
    fill(ledger)
    clients["s3"] = Index({"flights": 2 * 86400, "weather": 3600})
    _, out, _ = run("status")
    assert squeezed(out)[1].endswith("why it waits age")
    assert re.search(r"4 in quarantine \d+ d of 48 h, STALE$", squeezed(out)[2])
    assert squeezed(out)[3].endswith("3 runs in a row nothing yet (of 1 h)")
    _, out, _ = run("status", "--json")
    flights, weather, gold = [writer["freshness"] for writer in json.loads(out)["writers"]]
    assert (flights["landed_at"], flights["stale"]) == ("2024-05-01T07:00:42.500Z", True)
    assert weather == {
        "limit_seconds": 3600,
        "landed_at": "",
        "age_seconds": None,
        "stale": False,
    }
    assert gold is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 min"), (3599, "59 min"), (3600, "1 h"), (259199, "71 h"), (259200, "3 d")]
)
def test_long_times_are_told_in_their_unit(seconds: int, text: str) -> None:
    assert output.long_duration(seconds) == text


def test_an_empty_lake_says_what_to_do(run: Run) -> None:
    code, out, err = run("status")
    assert (code, out) == (0, "")
    assert "Put one: lakehouse put FILE --dataset NAME" in err


def test_status_of_a_dataset_lists_refused_files_with_the_reason(run: Run, ledger: FakeLedger) -> None:
    fill(ledger)
    ledger.file("flights", "flights/a.csv", "v1", "PROMOTED", rows=10, silver_rows=10)
    ledger.file("flights", "flights/\x1b[31mred.csv", "v3", "REJECTED", reason="truncated gzip", rows=0)
    code, out, _ = run("status", "flights")
    assert code == 0
    assert squeezed(out) == [
        "Files of flights",
        "state files",
        "PENDING 1",
        "PROMOTED 1",
        "REJECTED 1",
        "Not in Silver",
        "key state rows silver quarantined superseded reason",
        r"flights/\x1b[31mred.csv REJECTED 0 truncated gzip",
    ]


def test_status_of_an_unknown_dataset_is_not_found(run: Run) -> None:
    code, _, err = run("status", "nope")
    assert (code, err) == (
        3,
        "error: The ledger knows no file of nope. `lakehouse status` lists the datasets.\n",
    )


def test_runs_come_newest_first_over_all_writers(run: Run, ledger: FakeLedger) -> None:
    fill(ledger)
    _, out, _ = run("runs", "--json")
    assert [r["run_id"] for r in json.loads(out)["runs"]] == ["flights-2", "flights-1", "refresh-1"]
    _, out, _ = run("runs", "gold", "--json")
    assert [(r["writer"], r["error"]) for r in json.loads(out)["runs"]] == [("refresh", "Glue.JobFailed")]
    assert run("runs", "nope")[0] == 3


def test_runs_say_which_of_them_were_maintenance(run: Run, ledger: FakeLedger) -> None:
    fill(ledger)
    ledger.has_run("refresh", "refresh-2", state="SUCCEEDED", kind="maintain", tables=6, files_before=84)
    _, out, _ = run("runs", "gold")
    lines = [line.split("│") for line in out.splitlines()]
    words = [" ".join(cell.split()) for line in lines for cell in line]
    assert any(text.startswith("refresh-2 gold maintain SUCCEEDED") for text in words), words


# --- put --------------------------------------------------------------------------------------


def test_put_prints_keys_and_versions(run: Run, clients: dict[str, Any], tmp_path: Path) -> None:
    clients["s3"] = FakeS3()
    (tmp_path / "a.csv").write_text("x\n1\n")
    code, out, _ = run("put", str(tmp_path / "a.csv"), "--dataset", "flights", "--path", "year=2013/month=1")
    assert code == 0
    assert squeezed(out) == ["dataset key size version", "flights flights/year=2013/month=1/a.csv 4 B v31"]
    assert clients["s3"].objects == {
        f"{OUTPUTS['BronzeBucketName']}/flights/year=2013/month=1/a.csv": b"x\n1\n"
    }


def test_put_says_what_waits_for_the_schedule(run: Run, clients: dict[str, Any], tmp_path: Path) -> None:
    clients["s3"] = FakeS3()
    (tmp_path / "a.csv").write_text("x\n1\n")
    assert run("put", str(tmp_path / "a.csv"), "--dataset", "flights")[2] == ""
    code, _, err = run("put", str(tmp_path / "a.csv"), "--dataset", "weather")
    assert (code, err) == (0, "weather: taken in by schedule; `lakehouse intake` does it now.\n")


def test_put_and_wait_fails_when_a_file_is_refused(
    run: Run, clients: dict[str, Any], ledger: FakeLedger, tmp_path: Path
) -> None:
    clients["s3"] = FakeS3()
    (tmp_path / "a.csv").write_text("x\n1\n")
    ledger.file("flights", "flights/a.csv", "v13", "REJECTED", reason="an empty file", rows=0)
    code, out, err = run("put", str(tmp_path / "a.csv"), "--dataset", "flights", "--wait")
    assert code == 1
    assert "flights/a.csv REJECTED 0 an empty file" in squeezed(out)
    assert "error: 1 of 1 files did not get into Silver; the reason stands beside each." in err


# --- query, quarantine ------------------------------------------------------------------------


def test_query_prints_a_table_csv_or_json(run: Run, clients: dict[str, Any]) -> None:
    def answer() -> FakeAthena:
        return FakeAthena([["UA", "58665"], ["B6", None]], [("carrier", "varchar"), ("flights", "bigint")])

    clients["athena"] = answer()
    assert squeezed(run("query", "select 1")[1]) == ["carrier flights", "UA 58665", "B6"]
    clients["athena"] = answer()
    assert run("query", "select 1", "--csv")[1] == "carrier,flights\r\nUA,58665\r\nB6,\r\n"
    clients["athena"] = answer()
    found = json.loads(run("query", "select 1", "--json")[1])
    assert found["columns"] == [{"name": "carrier", "type": "varchar"}, {"name": "flights", "type": "bigint"}]
    assert (found["rows"], found["truncated"]) == ([["UA", 58665], ["B6", None]], False)


def test_csv_and_json_together_are_a_usage_error(run: Run) -> None:
    assert run("query", "select 1", "--csv", "--json") == (2, "", "error: Choose one of --csv and --json.\n")


def test_quarantine_asks_only_for_names_of_datasets(run: Run) -> None:
    code, _, err = run("quarantine", 'x" union select 1 --')
    assert (code, "is no dataset's name" in err) == (2, True)


def test_quarantine_of_a_dataset_without_a_table_is_not_found(run: Run, clients: dict[str, Any]) -> None:
    class Missing(FakeAthena):
        def get_query_execution(self, QueryExecutionId: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
            reason = "TABLE_NOT_FOUND: line 1:15: Table does not exist"
            return {"QueryExecution": {"Status": {"State": "FAILED", "StateChangeReason": reason}}}

    clients["athena"] = Missing([], [])
    assert run("quarantine", "flights") == (
        3,
        "",
        "error: flights has no quarantine table: no run has finished for it yet.\n",
    )


# --- backfill ---------------------------------------------------------------------------------


class FakeLambda:
    def __init__(self, *answers: dict[str, Any], error: bool = False) -> None:
        self.answers, self.error = list(answers), error
        self.requests: list[dict[str, Any]] = []

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 - boto3's names
        assert FunctionName == "lake-dev-reconcile"
        self.requests.append(json.loads(Payload))
        answer: dict[str, Any] = {"Payload": BytesIO(json.dumps(self.answers.pop(0)).encode())}
        return answer | ({"FunctionError": "Unhandled"} if self.error else {})


def test_backfill_goes_on_until_the_function_is_done(run: Run, clients: dict[str, Any]) -> None:
    first = {
        "dataset": "flights",
        "cursor": "flights/x",
        "follow": False,
        "listed": 1000,
        "registered": 3,
        "reopened": 0,
        "unfinished": 1,
        "ignored": 2,
        "done": False,
    }
    clients["lambda"] = FakeLambda(first, first | {"cursor": "", "listed": 1200, "done": True})
    code, out, _ = run("backfill", "flights", "--json")
    assert code == 0
    assert json.loads(out) == {
        "dataset": "flights",
        "listed": 1200,
        "registered": 3,
        "reopened": 0,
        "unfinished": 1,
        "ignored": 2,
    }
    assert clients["lambda"].requests == [{"dataset": "flights", "follow": False}, first]


def test_backfill_tells_the_functions_error(run: Run, clients: dict[str, Any]) -> None:
    clients["lambda"] = FakeLambda(
        {"errorType": "LedgerUnavailable", "errorMessage": "throttled"}, error=True
    )
    code, _, err = run("backfill")
    assert (code, "lake-dev-reconcile failed: LedgerUnavailable: throttled" in err) == (1, True)


# --- errors -----------------------------------------------------------------------------------


class FakeCloudFormation:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def describe_stacks(self, *, StackName: str) -> Any:  # noqa: N803 - boto3's names
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (
            refused("DescribeStacks", "ValidationError"),
            3,
            "error: There is no stack mine. Deploy it: sam build",
        ),
        (
            refused("DescribeStacks", "AccessDenied", "User x is not authorized"),
            5,
            "error: AWS refused DescribeStacks (AccessDenied): User x is not authorized",
        ),
        (NoCredentialsError(), 5, "error: There are no AWS credentials in the environment or the profile."),
        (ZeroDivisionError("oops"), 1, "error: ZeroDivisionError: oops. This is a defect of the command"),
    ],
)
def test_errors_are_sentences_with_an_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    error: Exception,
    code: int,
    sentence: str,
) -> None:
    monkeypatch.setattr(
        connection, "Connection", lambda: FakeConnection(cloudformation=FakeCloudFormation(error))
    )
    monkeypatch.setattr(connection, "project_root", lambda: tmp_path)
    assert main(["status", "--stack", "mine"]) == code
    shown = capsys.readouterr()
    assert (shown.out, shown.err.startswith(sentence)) == ("", True)
    assert "Traceback" not in shown.err


def test_debug_raises_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        connection,
        "Connection",
        lambda: FakeConnection(cloudformation=FakeCloudFormation(ZeroDivisionError())),
    )
    with pytest.raises(ZeroDivisionError):
        main(["status"], debug=True)


def test_an_unknown_command_and_option_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["frobnicate"]) == 2
    assert main(["status", "--frobnicate"]) == 2
    assert "No such command 'frobnicate'" in capsys.readouterr().err
    assert main(["--help"]) == 0


def test_without_a_running_twin_its_commands_say_how_to_start_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(connection, "project_root", lambda: tmp_path)
    assert main(["status", "--twin"]) == 3
    assert capsys.readouterr().err == "error: The twin is not running. Start it: lakehouse twin up\n"
