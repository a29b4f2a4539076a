"""The adapters against moto: S3, Step Functions, Iceberg tables in Glue, SNS."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from pyiceberg.schema import Schema
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update import AddSnapshotUpdate, SetSnapshotRefUpdate

from lakehouse.adapters.bronze_bucket import S3Bronze
from lakehouse.adapters.executions import StepFunctions, execution_arn
from lakehouse.adapters.glue_jobs import GlueJobs
from lakehouse.adapters.iceberg import GlueTables
from lakehouse.adapters.iceberg_io import Catalog
from lakehouse.adapters.operations import S3Operations
from lakehouse.adapters.topic import SnsTopic
from lakehouse.errors import AwsError
from lakehouse.words import MARKER_RUN

SILVER = "lake_dev_silver"


# --- the operations bucket ----------------------------------------------------------------------


def test_an_object_is_created_once(aws: boto3.Session):
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="operations")
    operations = S3Operations(s3, "operations")
    assert operations.read("runs/a/manifest.json") is None
    assert operations.create("runs/a/manifest.json", {"name": "é"})
    assert not operations.create("runs/a/manifest.json", {"name": "other"})
    assert operations.read("runs/a/manifest.json") == {"name": "é"}


def test_a_bucket_that_is_not_there_is_an_error_with_awss_code(aws: boto3.Session):
    with pytest.raises(AwsError, match="s3 GetObject failed: NoSuchBucket"):
        S3Operations(aws.client("s3"), "nowhere").read("key")


# --- the landing bucket -------------------------------------------------------------------------


@pytest.fixture
def landing(aws: boto3.Session) -> Any:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="bronze")
    s3.put_bucket_versioning(Bucket="bronze", VersioningConfiguration={"Status": "Enabled"})
    return s3


def test_a_listing_gives_current_versions_only(landing: Any):
    old = landing.put_object(Bucket="bronze", Key="flights/a.csv", Body=b"1")["VersionId"]
    new = landing.put_object(Bucket="bronze", Key="flights/a.csv", Body=b"22")["VersionId"]
    gone = landing.put_object(Bucket="bronze", Key="flights/b.csv", Body=b"1")["VersionId"]
    landing.delete_object(Bucket="bronze", Key="flights/b.csv")
    landing.put_object(Bucket="bronze", Key="weather/a+ ü%.csv", Body=b"1")
    landing.put_object(Bucket="bronze", Key="top.csv", Body=b"1")
    bronze = S3Bronze(landing, "bronze")
    page = bronze.page("flights/", "")
    assert page.cursor == ""
    ((key, version_id, size_bytes, _, sequencer, event_time),) = page.versions
    assert (key, version_id, size_bytes, sequencer) == ("flights/a.csv", new, 2, "")
    assert datetime.fromisoformat(event_time).tzinfo == UTC
    assert len(event_time) == len("2024-05-01T07:00:00Z")
    assert old != new
    assert list(bronze.folders()) == ["flights", "weather"]
    assert bronze.current_version("flights/a.csv") == new
    assert bronze.current_version("flights/b.csv") is None
    assert bronze.latest("flights/a.csv") == page.versions[0]
    assert bronze.latest("flights/b.csv") is None
    assert bronze.latest("flights/never.csv") is None
    assert gone
    assert [one.key for one in bronze.page("weather/", "").versions] == ["weather/a+ ü%.csv"]


def test_a_long_listing_comes_in_pages(landing: Any):
    for number in range(5):
        landing.put_object(Bucket="bronze", Key=f"flights/{number}.csv", Body=b"1")

    class TwoAtATime:
        def list_object_versions(self, **request: Any) -> Any:
            return landing.list_object_versions(**request, MaxKeys=2)

    bronze: Any = S3Bronze(TwoAtATime(), "bronze")  # type: ignore[arg-type]
    keys: list[str] = []
    cursor, pages = "", 0
    while pages == 0 or cursor:
        page = bronze.page("flights/", cursor)
        keys, cursor, pages = keys + [one.key for one in page.versions], page.cursor, pages + 1
    assert keys == [f"flights/{number}.csv" for number in range(5)]
    assert pages == 3


# --- executions ---------------------------------------------------------------------------------


def test_starting_twice_is_harmless_and_what_never_started_is_none(aws: boto3.Session):
    client = aws.client("stepfunctions")
    arn = client.create_state_machine(
        name="lake-dev-promote",
        definition=json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}),
        roleArn="arn:aws:iam::123456789012:role/r",
    )["stateMachineArn"]
    executions = StepFunctions(client)
    assert executions.describe(arn, "run-1") is None
    executions.start(arn, "run-1", {"runId": "run-1"})
    executions.start(arn, "run-1", {"runId": "run-1"})
    found = executions.describe(arn, "run-1")
    assert found is not None
    assert found.status in {"RUNNING", "SUCCEEDED"}
    assert (
        execution_arn(arn, "run-1")
        == "arn:aws:states:us-east-1:123456789012:execution:lake-dev-promote:run-1"
    )
    with pytest.raises(AwsError, match="StateMachineDoesNotExist"):
        executions.start(arn + "x", "run-1", {})


# --- jobs ---------------------------------------------------------------------------------------


class GluePages:
    """Glue's job runs, newest first, as its paginator brings them."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        self.pages = list(pages)
        self.read = 0

    def get_paginator(self, name: str) -> GluePages:
        assert name == "get_job_runs"
        return self

    def paginate(self, **request: Any) -> Any:
        assert request == {"JobName": "lake-dev-silver"}
        for page in self.pages:
            self.read += 1
            yield {"JobRuns": page}


def job_run(hour: int, run_id: str, state: str = "RUNNING") -> dict[str, Any]:
    at = datetime(2024, 5, 1, hour, tzinfo=UTC)
    return {"Id": f"jr_{hour}", "JobRunState": state, "StartedOn": at, "Arguments": {"--run_id": run_id}}


def test_job_runs_are_found_by_the_run_id_among_their_arguments():
    glue: Any = GluePages(
        [job_run(12, "run-3"), job_run(11, "run-2"), {**job_run(10, "run-2"), "Arguments": {}}],
        [job_run(9, "run-2", "FAILED"), job_run(7, "run-2")],
        [job_run(6, "run-2")],
    )
    runs = GlueJobs(glue).runs("lake-dev-silver", "run-2", datetime(2024, 5, 1, 8, tzinfo=UTC))
    assert [(run.job_run_id, run.state) for run in runs] == [("jr_11", "RUNNING"), ("jr_9", "FAILED")]
    assert glue.read == 2


# --- tables -------------------------------------------------------------------------------------


@pytest.fixture
def tables(aws: boto3.Session) -> tuple[GlueTables, Any]:
    """Our adapter, and PyIceberg's own catalog to make tables with."""
    glue, s3 = aws.client("glue"), aws.client("s3")
    s3.create_bucket(Bucket="silver")
    glue.create_database(DatabaseInput={"Name": SILVER})
    return GlueTables(glue, s3), Catalog(glue, s3)


def append(catalog: Any, branch: str, run_id: str) -> None:
    """An empty commit on a branch, made from its own head or main's, as the marker commit of a run is."""
    table = catalog.load_table((SILVER, "flights"))
    metadata = table.metadata
    head = metadata.refs.get(branch) or metadata.refs.get("main")
    number = metadata.last_sequence_number + 1
    snapshot = Snapshot.model_validate(
        {
            "snapshot-id": 100 + number,
            "parent-snapshot-id": head.snapshot_id if head else None,
            "sequence-number": number,
            "timestamp-ms": metadata.last_updated_ms + 1,
            "manifest-list": f"s3://silver/flights/metadata/{number}.avro",
            "summary": Summary(Operation.APPEND, **({MARKER_RUN: run_id} if run_id else {})),
            "schema-id": 0,
        }
    )
    moved = SetSnapshotRefUpdate.model_validate(
        {
            "action": "set-snapshot-ref",
            "ref-name": branch,
            "type": "branch",
            "snapshot-id": snapshot.snapshot_id,
        }
    )
    catalog.commit_table(table, (), (AddSnapshotUpdate(snapshot=snapshot), moved))


def test_a_marker_counts_only_on_main_and_a_branch_is_dropped(tables: tuple[GlueTables, Any]):
    adapter, catalog = tables
    catalog.create_table((SILVER, "flights"), Schema(), location="s3://silver/flights")
    assert not adapter.has_marker(SILVER, "flights", "run-1")
    append(catalog, "main", "run-1")
    append(catalog, "main", "")
    append(catalog, "run_run_2", "run-2")
    assert adapter.has_marker(SILVER, "flights", "run-1")
    assert not adapter.has_marker(SILVER, "flights", "run-2")
    history = adapter.history(SILVER, "flights")
    assert [dict(commit.summary) for commit in history] == [{}, {"lakehouse.run-id": "run-1"}]
    assert history[0].committed_ms > history[1].committed_ms > 0
    assert adapter.names(SILVER) == ["flights"]
    assert adapter.drop_branch(SILVER, "flights", "run_run_2")
    assert not adapter.drop_branch(SILVER, "flights", "run_run_2")
    left = catalog.load_table((SILVER, "flights")).metadata
    assert set(left.refs) == {"main"}
    assert [snapshot.snapshot_id for snapshot in left.snapshots] == [101, 102, 103]
    assert adapter.has_marker(SILVER, "flights", "run-1")


def test_a_table_that_is_not_there_has_neither_branch_nor_marker(tables: tuple[GlueTables, Any]):
    adapter, _ = tables
    assert not adapter.drop_branch(SILVER, "flights", "run_run_1")
    assert not adapter.has_marker(SILVER, "flights", "run-1")
    assert adapter.history(SILVER, "flights") == []


# --- the topic ----------------------------------------------------------------------------------


def test_a_message_is_sent_with_a_subject_that_fits(aws: boto3.Session):
    client, queue = aws.client("sns"), aws.client("sqs")
    arn = client.create_topic(Name="lake-dev-failures")["TopicArn"]
    url = queue.create_queue(QueueName="q")["QueueUrl"]
    client.subscribe(TopicArn=arn, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:123456789012:q")
    SnsTopic(client, arn).publish("s" * 200, "text")
    body = json.loads(queue.receive_message(QueueUrl=url)["Messages"][0]["Body"])
    assert (body["Subject"], body["Message"]) == ("s" * 99, "text")
