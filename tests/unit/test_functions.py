"""The functions themselves, from their event to AWS (moto) and back, as the state machine calls them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest

from lakehouse import writers
from lakehouse.adapters.connect import connect, lake_of_function
from lakehouse.errors import SettingsError, StaleRun, SweepIncomplete, files_fault_names
from lakehouse.lake import Lake
from lakehouse.payloads import SweepResult
from lakehouse.settings import Settings
from lakehouse.sweep import checked

from .conftest import make_table
from .fakes import MODEL, plan_of, settings
from .world import event, version

ROOT = Path(__file__).parents[2]
ACCOUNT = "arn:aws:states:us-east-1:123456789012:stateMachine:"


@dataclass
class Context:
    """What Lambda hands to a handler."""

    function_name: str = "lake-dev-function"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:lake-dev-function"
    aws_request_id: str = "52fdfc07-2182-154f-163f-5f0f9a621d72"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 900_000


def function(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"function_{name}", ROOT / "functions" / name / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(name: str, payload: Any) -> Any:
    """Call a function; its answer must be JSON."""
    return json.loads(json.dumps(function(name).handler(payload, Context())))


def environment() -> dict[str, str]:
    known = settings(
        promote_state_machine_arn=ACCOUNT + "lake-dev-promote",
        refresh_state_machine_arn=ACCOUNT + "lake-dev-refresh",
        maintain_state_machine_arn=ACCOUNT + "lake-dev-maintain",
        failure_topic_arn="arn:aws:sns:us-east-1:123456789012:lake-dev-failures",
    )
    return {name.upper(): str(value) for name, value in known.model_dump().items()}


@pytest.fixture
def deployed(aws: boto3.Session, ledger_table: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """The account as the template would leave it, with one plan and one model."""
    assert ledger_table == settings().ledger_table
    make_table(aws, settings().lineage_table)
    for name, value in {**environment(), "POWERTOOLS_SERVICE_NAME": "lake-dev"}.items():
        monkeypatch.setenv(name, value)
    s3 = aws.client("s3")
    for bucket in ("bronze", "silver", "gold", "operations"):
        s3.create_bucket(Bucket=f"lake-dev-{bucket}")
    s3.put_bucket_versioning(Bucket="lake-dev-bronze", VersioningConfiguration={"Status": "Enabled"})
    put(aws, "assets/abc/plans/flights.json", plan_of("flights"))
    put(aws, "assets/abc/models/by_day.json", MODEL)
    index = {"hash": "abc", "datasets": ["flights"], "models": ["by_day"], "scheduled": []}
    put(aws, "assets/abc/index.json", index)
    machine = json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 9, "End": True}}})
    for name in ("promote", "refresh", "maintain"):
        aws.client("stepfunctions").create_state_machine(
            name=f"lake-dev-{name}", definition=machine, roleArn="arn:aws:iam::123456789012:role/r"
        )
    aws.client("sns").create_topic(Name="lake-dev-failures")
    for database in ("silver", "gold"):
        aws.client("glue").create_database(DatabaseInput={"Name": f"lake_dev_{database}"})
    monkeypatch.setattr("lakehouse.adapters.connect.boto3.Session", lambda: aws)
    lake_of_function.cache_clear()
    yield connect(Settings.from_environment(environment()), aws)
    lake_of_function.cache_clear()


def put(aws: boto3.Session, key: str, value: object) -> None:
    aws.client("s3").put_object(Bucket="lake-dev-operations", Key=key, Body=json.dumps(value).encode())


def queue_event(*bodies: Any) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": f"m{at}",
                "receiptHandle": "r",
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1714546860000",
                    "SenderId": "AIDAJXNJGGKNS7OSV23OI",
                    "ApproximateFirstReceiveTimestamp": "1714546860001",
                },
                "messageAttributes": {},
                "md5OfBody": "e",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:lake-dev-intake",
                "awsRegion": "us-east-1",
            }
            for at, body in enumerate(bodies)
        ]
    }


def execution_input(aws: boto3.Session, machine: str) -> dict[str, str]:
    """The input of the one execution of a state machine."""
    client = aws.client("stepfunctions")
    (execution,) = client.list_executions(stateMachineArn=ACCOUNT + machine)["executions"]
    request: dict[str, str] = json.loads(
        client.describe_execution(executionArn=execution["executionArn"])["input"]
    )
    assert execution["name"] == request["runId"]
    return request


def table(name: str, rows_added: int) -> dict[str, Any]:
    return {"table": name, "snapshot_id": 7, "rows_added": rows_added, "rows_deleted": 0, "columns": []}


def report(run_id: str, version_id: str) -> dict[str, Any]:
    outcome = {
        "key": "flights/a.csv",
        "version_id": version_id,
        "source_version_id": "20240501T070100Z.612e637376.0123456789abcdef",
        "outcome": "PROMOTED",
        "reason": None,
        "rows": 12,
        "silver_rows": 9,
        "quarantined_rows": 2,
        "superseded_rows": 1,
    }
    return {
        "run_id": run_id,
        "dataset": "flights",
        "plan_hash": "h",
        "silver": table("flights", 9),
        "quarantine": table("flights__quarantine", 2),
        "files": [outcome],
        "rules": [],
        "spark_actions": 3,
        "seconds": {},
    }


def test_a_file_through_all_functions(deployed: Lake, aws: boto3.Session):
    body = event(version("flights/a.csv"))
    assert call("intake", queue_event(body)) == {"batchItemFailures": []}
    request = execution_input(aws, "lake-dev-promote")
    assert request == {"runId": request["runId"], "writer": "promote:flights", "dataset": "flights"}

    run_id = request["runId"]
    claimed = call("claim", request)
    assert claimed == {
        **request,
        "claimed": 1,
        "sizeBytes": 10,
        "manifest": f"runs/promote/flights/{run_id}/manifest.json",
        "report": f"runs/promote/flights/{run_id}/report.json",
        "plan": "assets/abc/plans/flights.json",
        "assetsPrefix": "assets/abc/",
        "crawl": False,
        "workers": 2,
        "timeoutMinutes": 21,
    }
    assert deployed.operations.read(claimed["manifest"]) == {
        "run_id": run_id,
        "dataset": "flights",
        "assets_prefix": "assets/abc/",
        "files": [{"key": "flights/a.csv", "version_id": "v1", "size_bytes": 10, "replaces": []}],
    }

    put(aws, claimed["report"], report(run_id, "v1"))
    done = call("complete", {**request, "report": claimed["report"]})
    assert (done["promoted"], done["rows"], done["silverRows"], done["quarantinedRows"]) == (1, 12, 9, 2)
    assert (done["supersededRows"], done["changed"], done["next"]) == (1, True, "")
    assert call("complete", {**request, "report": claimed["report"]}) == done
    item = deployed.ledger.version("flights/a.csv", "v1")
    assert item is not None
    assert (item["state"], item["rows"], item["silver_rows"], item["run_id"]) == ("PROMOTED", 12, 9, run_id)
    source = deployed.ledger.source("flights", "20240501T070100Z.612e637376.0123456789abcdef")
    assert source is not None
    assert (source["key"], source["version_id"], source["run_id"]) == ("flights/a.csv", "v1", run_id)

    refresh = execution_input(aws, "lake-dev-refresh")
    assert refresh == {"runId": refresh["runId"], "writer": "refresh"}
    planned = call("plan", refresh)
    assert planned == {
        **refresh,
        "dataset": "",
        "models": 1,
        "manifest": f"runs/refresh/{refresh['runId']}/manifest.json",
        "report": f"runs/refresh/{refresh['runId']}/report.json",
        "assetsPrefix": "assets/abc/",
        "workers": 4,
        "timeoutMinutes": 120,
    }
    gold = {"run_id": refresh["runId"], "models": [], "skipped": ["by_day"], "failed": {}, "seconds": {}}
    put(aws, planned["report"], gold)
    ended = call("complete", {**refresh, "report": planned["report"]})
    assert (ended["skipped"], ended["next"]) == (1, "")
    assert [writers.read(deployed, name).state for name in deployed.ledger.writers()] == ["FREE", "FREE"]


def test_a_dataset_without_plan_is_crawled_and_one_with_a_draft_is_not(deployed: Lake, aws: boto3.Session):
    call("intake", queue_event(event(version("birds/a.csv"))))
    request = execution_input(aws, "lake-dev-promote")
    claimed = call("claim", request)
    assert (claimed["plan"], claimed["crawl"]) == ("", True)
    put(aws, "drafts/birds/plan.json", {"mode": "append"})
    claimed = call("claim", request)
    assert (claimed["plan"], claimed["crawl"]) == ("drafts/birds/plan.json", False)
    assert deployed.ledger.version("birds/a.csv", "v1") is not None


def test_a_batch_reports_the_messages_that_failed(deployed: Lake):
    answer = call("intake", queue_event("no json", event(version("flights/a.csv")), {"x": 1}))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}, {"itemIdentifier": "m2"}]}
    assert deployed.ledger.datasets() == ["flights"]


def test_a_missing_ledger_fails_every_message(deployed: Lake, aws: boto3.Session):
    """Fault 6 of docs/testing.md: nothing is answered as if it had been done."""
    aws.client("dynamodb").delete_table(TableName="lake-dev-ledger")
    answer = call("intake", queue_event(event(version("flights/a.csv")), event(version("weather/w.csv"))))
    assert [item["itemIdentifier"] for item in answer["batchItemFailures"]] == ["m0", "m1"]


def test_an_execution_that_ended_badly_is_recovered(deployed: Lake, aws: boto3.Session, monkeypatch: Any):
    call("intake", queue_event(event(version("flights/a.csv"))))
    request = execution_input(aws, "lake-dev-promote")
    call("claim", request)
    monkeypatch.setattr("lakehouse.adapters.glue_jobs.GlueJobs.runs", lambda *_: [])
    detail = {
        "executionArn": f"{ACCOUNT.replace('stateMachine', 'execution')}lake-dev-promote:{request['runId']}",
        "stateMachineArn": f"{ACCOUNT}lake-dev-promote",
        "name": request["runId"],
        "status": "FAILED",
        "input": json.dumps(request),
    }
    ended = {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": detail,
    }
    recovered = call("recover", ended)
    assert (recovered["outcome"], recovered["failureClass"], recovered["files"]) == (
        "waiting",
        "ENVIRONMENT",
        1,
    )
    assert call("recover", ended)["outcome"] == "stale"
    assert [file.key for file in deployed.ledger.pending("flights")] == ["flights/a.csv"]
    with pytest.raises(StaleRun):
        call("claim", request)


def test_the_sweep_and_the_reconciliation_answer_with_counts(deployed: Lake, aws: boto3.Session):
    aws.client("s3").put_object(Bucket="lake-dev-bronze", Key="flights/a.csv", Body=b"x")
    found = call("reconcile", {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}})
    assert (found["registered"], found["done"]) == (1, True)
    assert call("sweep", {}) == {"started": [], "recovered": [], "failed": {}}
    assert writers.read(deployed, "promote:flights").state == "TAKEN"


def test_maintenance_through_its_functions(deployed: Lake, aws: boto3.Session):
    call("intake", queue_event(event(version("flights/a.csv"))))
    request = execution_input(aws, "lake-dev-promote")
    call("claim", request)
    put(aws, f"runs/promote/flights/{request['runId']}/report.json", report(request["runId"], "v1"))
    call("complete", request)
    nothing: dict[str, Any] = {"started": {}, "wanted": [], "unknown": [], "failed": {}}
    scheduled = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
    assert call("maintain", scheduled) == {**nothing, "notDue": ["promote:flights", "refresh"]}

    asked = call("maintain", {"writers": ["promote:flights"], "always": True})
    request = execution_input(aws, "lake-dev-maintain")
    assert asked == {**nothing, "started": {"promote:flights": request["runId"]}, "notDue": []}
    planned = call("plan", request)
    prefix = f"runs/promote/flights/{request['runId']}/"
    assert planned == {
        **request,
        "tables": 2,
        "manifest": prefix + "manifest.json",
        "report": prefix + "report.json",
        "assetsPrefix": "assets/abc/",
        "workers": 4,
        "timeoutMinutes": 480,
    }
    counts = {"files_before": 9, "files_after": 1, "bytes_before": 90, "bytes_after": 60, "seconds": 2.5}
    counts |= {"branches_dropped": 1, "snapshots_expired": 3, "orphans_removed": 0, "columns_counted": 0}
    done = {
        "run_id": request["runId"],
        "tables": [{"table": "flights", **counts}],
        "failed": {},
        "seconds": 2.5,
    }
    put(aws, planned["report"], done)
    ended = call("complete", {**request, "report": planned["report"]})
    assert (ended["tables"], ended["filesBefore"], ended["filesAfter"], ended["next"]) == (1, 9, 1, "")
    assert writers.read(deployed, "promote:flights").state == "FREE"


def test_freshness_judges_from_the_deployed_index(
    deployed: Lake, aws: boto3.Session, capsys: pytest.CaptureFixture[str]
) -> None:
    put(aws, "assets/abc/index.json", {"datasets": ["flights"], "freshness_seconds": {"flights": 3600}})
    ended = {"promoted": 2, "kind": "promote"}
    deployed.ledger.end_run("promote:flights", "flights-1", "SUCCEEDED", ended, "2024-05-01T07:00:00.000Z")
    found = call("freshness", {"asOf": "2024-05-01T08:30:00Z"})
    landed = {"landedAt": "2024-05-01T07:00:00.000Z", "ageSeconds": 5400, "stale": True}
    assert found == {"stale": 1, "datasets": [{"dataset": "flights", "limitSeconds": 3600, **landed}]}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("StaleDatasets") for line in lines if "_aws" in line] == [None, [1.0]]


def test_a_sweep_that_could_not_see_to_a_writer_fails():
    with pytest.raises(SweepIncomplete, match="promote:flights \\(LedgerUnavailable\\)"):
        checked(SweepResult(failed={"promote:flights": "LedgerUnavailable"}))


def test_settings_name_every_variable_that_is_wrong_and_no_value():
    wrong = {**environment(), "LAKE_NAME": "Not A Name", "MAX_BATCH_FILES": "many"}
    del wrong["LEDGER_TABLE"]
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment(wrong)
    assert str(raised.value) == (
        "missing or wrong in the environment: LAKE_NAME, LEDGER_TABLE, MAX_BATCH_FILES"
    )


def test_errors_that_blame_files_are_known_by_name():
    assert files_fault_names() == {"FilesFault", "SchemaNotFound"}
