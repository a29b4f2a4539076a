"""Deploying the real template again, deleting it, and deploying it after that: in a lake of its own."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.twin.conftest import ROOT, STATE_DIR
from twin.deploy import Target, configuration, delete_stack, deploy_stack, stack_outputs
from twin.errors import DeployError
from twin.settings import Settings

LAKE, STACK = "second", "second-dev"
SOURCES = (
    "functions",
    "layers",
    "contracts",
    "models",
    "governance",
    "glue",
    "infrastructure",
    "statemachines",
    "requirements",
)
AIRLINES = "airlines/airlines.csv"
RETENTION_DAYS = 3
SUFFIX = "-a1"
WAITING = ("CrawlPollSeconds=45", f"NameSuffix={SUFFIX}")
"""Between two looks at the crawler there is time enough to deploy."""


@dataclass
class Second:
    """A project folder of which a lake is deployed, and the twin it is deployed to."""

    target: Target
    project: Path

    def deploy(self, *parameters: str) -> dict[str, str]:
        on_failure = configuration(self.target.settings, "dev")["on_failure"]
        given = [f"LakeName={LAKE}", *parameters]
        return deploy_stack(self.target, STACK, "template.yaml", given, on_failure=on_failure)

    @contextmanager
    def broken_contract(self) -> Iterator[None]:
        """While it lasts, a deployment fails half-way: where the assets are compiled, after the storage is made."""
        contract = self.project / "contracts" / "airlines.yaml"
        text = contract.read_text()
        contract.write_text(text + "\nno such field: true\n")
        yield
        contract.write_text(text)

    def names(self) -> list[str]:
        """Everything of this lake that has a name of its own."""
        client = self.target.client
        found = [bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]]
        found += client("dynamodb").list_tables()["TableNames"]
        found += [function["FunctionName"] for function in client("lambda").list_functions()["Functions"]]
        found += [database["Name"] for database in client("glue").get_databases()["DatabaseList"]]
        found += [group["logGroupName"] for group in client("logs").describe_log_groups()["logGroups"]]
        return [name for name in found if LAKE in name]

    def log_retention(self) -> int:
        """Days that the logs of intake are kept."""
        prefix = f"/aws/lambda/{STACK}-intake"
        [group] = self.target.client("logs").describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]
        return int(group["retentionInDays"])

    def put(self, outputs: dict[str, str], key: str, body: bytes) -> None:
        self.target.client("s3").put_object(Bucket=outputs["BronzeBucketName"], Key=key, Body=body)

    def run(self, outputs: dict[str, str], dataset: str) -> dict[str, Any] | None:
        """The newest execution of a dataset's promote."""
        machine = self.target.client("stepfunctions")
        listed = machine.list_executions(stateMachineArn=outputs["PromoteStateMachineArn"])["executions"]
        found = [item for item in listed if item["name"].startswith(f"{dataset}-")]
        return machine.describe_execution(executionArn=found[0]["executionArn"]) if found else None

    def entered(self, outputs: dict[str, str], dataset: str, state: str) -> bool:
        run = self.run(outputs, dataset)
        if run is None:
            return False
        history = self.target.client("stepfunctions").get_execution_history(executionArn=run["executionArn"])
        return any(e.get("stateEnteredEventDetails", {}).get("name") == state for e in history["events"])

    def succeeded(self, outputs: dict[str, str], dataset: str) -> bool:
        run = self.run(outputs, dataset)
        assert run is None or run["status"] in {"RUNNING", "SUCCEEDED"}, run
        return run is not None and run["status"] == "SUCCEEDED"

    def job_run(self, dataset: str) -> dict[str, Any]:
        """The newest silver run of a dataset."""
        runs = self.target.client("glue").get_job_runs(JobName=f"{STACK}-silver")["JobRuns"]
        [newest, *_] = [run for run in runs if run["Arguments"]["--dataset"] == dataset]
        return dict(newest)


def until(condition: Callable[[], bool], what: str, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def second(twin: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Second]:
    project = tmp_path_factory.mktemp("second") / "project"
    for name in SOURCES:
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("template.yaml", "samconfig.toml"):
        shutil.copy(ROOT / name, project / name)
    for name in (".venv", ".tools", ".cache"):
        (project / name).symlink_to(ROOT / name)
    settings = Settings(project, state_folder=ROOT / STATE_DIR)
    made = Second(Target.find(settings), project)
    yield made
    # Nobody waits for it: the next tests do not look at this lake.
    made.target.client("cloudformation").delete_stack(StackName=STACK)


def stack_status(second: Second) -> str:
    stacks = second.target.client("cloudformation").list_stacks()["StackSummaries"]
    [*found] = [stack["StackStatus"] for stack in stacks if stack["StackName"] == STACK]
    return found[0] if found else ""


def stack_events(second: Second) -> Iterator[str]:
    """Resource and status of every event of the latest stack, deleted or not."""
    client = second.target.client("cloudformation")
    stacks = client.list_stacks()["StackSummaries"]
    [stack_id] = [stack["StackId"] for stack in stacks if stack["StackName"] == STACK]
    for page in client.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        for event in page["StackEvents"]:
            yield f"{event['LogicalResourceId']} {event['ResourceStatus']}"


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))


def test_a_first_deployment_that_fails_half_way_is_taken_away_and_the_next_succeeds(
    second: Second, capsys: pytest.CaptureFixture[str]
) -> None:
    with second.broken_contract(), pytest.raises(DeployError):
        second.deploy()
    assert "ShippedAssets: contracts/airlines.yaml" in capsys.readouterr().out
    assert "Storage CREATE_COMPLETE" in stack_events(second)
    assert stack_status(second) == "DELETE_COMPLETE"
    # What the nested stacks had made for data stays, empty. AWS says nothing of a nested stack that was complete when
    # its parent's creation was rolled back, and the twin takes that for a deletion: the worse of the two.
    account = "000000000000-us-east-1"
    layers = ("bronze", "silver", "gold")
    buckets = {f"{STACK}-{name}-{account}" for name in (*layers, "operations", "results", "logs", "audit")}
    assert set(second.names()) == buckets | {f"{LAKE}_dev_{name}" for name in (*layers, "audit")}

    made = second.deploy(*WAITING)
    assert made["BronzeBucketName"] == f"{STACK}-bronze-{account}{SUFFIX}"


def test_a_run_in_flight_ends_on_the_assets_it_began_with(second: Second) -> None:
    first = stack_outputs(second.target, STACK)
    second.put(first, "shops/shops.csv", b"id,name\n1,North\n2,South\n")
    until(lambda: second.entered(first, "shops", "WaitForCrawl"), "the run is in flight")

    edit(second.project / "contracts" / "airlines.yaml", "required: true", "required: false")
    edit(second.project / "models" / "fleet_use.sql", "AVG(f.year - p.year)", "AVG(f.year - p.year + 0)")
    changed = second.deploy(*WAITING)
    assert changed["AssetsPrefix"] != first["AssetsPrefix"]

    until(lambda: second.succeeded(changed, "shops"), "the run in flight has ended")
    operations = changed["OperationsBucketName"]
    index = f"{changed['AssetsPrefix']}index.json"
    shipped = second.target.client("s3").head_object(Bucket=operations, Key=index)["LastModified"]
    job = second.job_run("shops")
    assert job["StartedOn"] > shipped, (
        "the job had begun before the new assets were there: this shows nothing"
    )
    arguments = job["Arguments"]
    assert arguments["--scriptLocation"] == f"s3://{operations}/{first['AssetsPrefix']}jobs/silver.py"
    assert arguments["--extra-py-files"] == f"s3://{operations}/{first['AssetsPrefix']}lakehouse_spark.zip"


def test_an_update_that_fails_half_way_goes_back_to_the_lake_that_works(
    second: Second, capsys: pytest.CaptureFixture[str]
) -> None:
    before, retention = stack_outputs(second.target, STACK), second.log_retention()
    with second.broken_contract(), pytest.raises(DeployError):
        second.deploy(*WAITING, f"LogRetentionDays={RETENTION_DAYS}")
    assert "ShippedAssets: contracts/airlines.yaml" in capsys.readouterr().out
    assert stack_status(second) == "UPDATE_ROLLBACK_COMPLETE"
    assert stack_outputs(second.target, STACK) == before
    assert second.log_retention() == retention != RETENTION_DAYS

    # It works, and on the assets of the last deployment that succeeded.
    second.put(before, AIRLINES, b"carrier,name\nUA,United Air Lines Inc.\n")
    until(lambda: second.succeeded(before, "airlines"), "the next run has ended")
    arguments = second.job_run("airlines")["Arguments"]
    script = f"s3://{before['OperationsBucketName']}/{before['AssetsPrefix']}jobs/silver.py"
    assert arguments["--plan"] == f"{before['AssetsPrefix']}plans/airlines.json"
    assert arguments["--scriptLocation"] == script


def test_data_outlives_the_stack_and_a_suffix_makes_room_for_the_next(
    second: Second, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = stack_outputs(second.target, STACK)
    delete_stack(second.target, STACK)
    assert stack_status(second) == "DELETE_COMPLETE"

    kept = second.target.client("s3").list_objects_v2(Bucket=outputs["BronzeBucketName"])["Contents"]
    assert AIRLINES in {item["Key"] for item in kept}
    table = second.target.client("glue").get_table(
        DatabaseName=outputs["SilverDatabaseName"], Name="airlines"
    )
    assert table["Table"]["Parameters"]["metadata_location"].startswith("s3://")
    assert second.target.client("dynamodb").describe_table(TableName=outputs["LedgerTableName"])
    functions = second.target.client("lambda").list_functions()["Functions"]
    assert not [f for f in functions if f["FunctionName"].startswith(f"{STACK}-")]

    # What is kept stands in the way of a second one of the same name; the attempt harms neither.
    with pytest.raises(DeployError):
        second.deploy(f"NameSuffix={SUFFIX}")
    assert "already exists" in capsys.readouterr().out
    assert second.target.client("s3").head_object(Bucket=outputs["BronzeBucketName"], Key=AIRLINES)

    renewed = second.deploy("NameSuffix=-b2")
    assert renewed["LedgerTableName"] == f"{STACK}-ledger-b2"
    assert renewed["SilverDatabaseName"] == f"{LAKE}_dev_silver_b2"
    second.put(renewed, AIRLINES, b"carrier,name\nUA,United Air Lines Inc.\n")
    until(lambda: second.succeeded(renewed, "airlines"), "the first run of the next lake has ended")
    output = json.loads((second.run(renewed, "airlines") or {})["output"])
    assert (output["promoted"], output["silverRows"]) == (1, 1)
