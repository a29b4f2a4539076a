"""A deployed lake as a test uses it: put files, wait until all has come to rest, look at everything."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote_plus

import boto3

from lakehouse import writers
from lakehouse.adapters import connect as core
from lakehouse.lake import Lake as CoreLake
from lakehouse.ledger import lease_key
from lakehouse.settings import Settings
from lakehouse.store import Is, Item, Update
from lakehouse.words import REFRESH_WRITER, quarantine_table
from lakehouse_cli import athena, scheduled
from lakehouse_cli.connection import Connection, Lake, TwinEndpoint
from lakehouse_cli.watch import File, Step, Watch

SETTLE_SECONDS = 420
ENVIRONMENT = "prod"
"""The environment of samconfig.toml that the tier deploys. Dev's shape is test_deployment.py's."""
STACK = f"lake-{ENVIRONMENT}"


def endpoint_of(record: dict[str, Any]) -> TwinEndpoint:
    """Where a twin is and who administers it, from the content of its endpoint file."""
    return TwinEndpoint(**{name: record[name] for name in TwinEndpoint.__dataclass_fields__})


@dataclass
class TwinLake:
    """The lake under test. ``steps`` keeps what happened while it was watched, for a failure's report."""

    cli: Lake
    endpoint: TwinEndpoint
    steps: list[Step] = field(default_factory=list)

    @classmethod
    def find(cls, endpoint_file: Path) -> TwinLake:
        """The lake that is deployed to the twin of an endpoint file."""
        endpoint = endpoint_of(json.loads(endpoint_file.read_text()))
        connection = Connection(endpoint)
        stack = connection.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
        outputs = {item["OutputKey"]: item["OutputValue"] for item in stack["Outputs"]}
        return cls(Lake(STACK, outputs, connection), endpoint)

    def client(self, service: str) -> Any:
        """A client of a service, as the twin's administrator."""
        return self.cli.client(service)

    @cached_property
    def core(self) -> CoreLake:
        """The lake as the functions see it, with the settings of the intake function."""
        function = self.client("lambda").get_function_configuration(FunctionName=f"{STACK}-intake")
        settings = Settings.from_environment(function["Environment"]["Variables"])
        # The core asks its session for clients and nothing else, which the command's connection gives too.
        return core.connect(settings, cast("boto3.Session", self.cli.connection))

    # --- putting ----------------------------------------------------------------------------------

    def put(self, key: str, body: bytes | str) -> File:
        """Write one object into Bronze; returns dataset, key, version id."""
        data = body.encode() if isinstance(body, str) else body
        answer = self.client("s3").put_object(Bucket=self.cli.name("BronzeBucketName"), Key=key, Body=data)
        return key.partition("/")[0], key, answer["VersionId"]

    @contextmanager
    def silence(self) -> Iterator[None]:
        """While it lasts, no object that is written is announced."""
        events, rule = self.client("events"), f"{STACK}-arrivals"
        events.disable_rule(Name=rule)
        try:
            yield
        finally:
            events.enable_rule(Name=rule)

    @contextmanager
    def gold_held(self) -> Iterator[None]:
        """While it lasts, Gold is held."""
        self.hold_gold()
        try:
            yield
        finally:
            self.release_gold()

    def hold_gold(self) -> None:
        """Hold Gold, as after three failures: what arrives waits for one refresh after ``release_gold``.

        For tests of Silver alone: on two cores a refresh would take the time of the test that follows.
        """
        if writers.read(self.core, REFRESH_WRITER).state != writers.HELD:
            self.rest()
            held = {"state": writers.HELD, "reason": "a test of Silver"}
            free = (Is("state", writers.FREE),)
            self.core.ledger.store.write(Update(lease_key(REFRESH_WRITER), held, when=free))

    def release_gold(self) -> None:
        """Let Gold go on, if it is held, with what has arrived meanwhile."""
        writers.retry(self.core, REFRESH_WRITER)

    @contextmanager
    def quick_backoff(self) -> Iterator[None]:
        """While it lasts, a writer whose environment failed waits a second instead of minutes."""
        client, names = self.client("lambda"), [f"{STACK}-recover", f"{STACK}-sweep"]
        before = {name: client.get_function_configuration(FunctionName=name)["Environment"] for name in names}
        for name, environment in before.items():
            quick = {"Variables": {**environment["Variables"], "BACKOFF_SECONDS": "1"}}
            client.update_function_configuration(FunctionName=name, Environment=quick)
        try:
            yield
        finally:
            for name, environment in before.items():
                client.update_function_configuration(FunctionName=name, Environment=environment)

    def announce(self, *files: File, sequencers: Iterable[str] = ()) -> None:
        """Send what S3 sends when these versions are created, in this order, each as a message of its own."""
        queue, numbers = self.cli.name("IntakeQueueUrl"), [*sequencers] or [""] * len(files)
        for file, sequencer in zip(files, numbers, strict=True):
            body = json.dumps(self.event(file, sequencer))
            self.client("sqs").send_message(QueueUrl=queue, MessageBody=body)

    def event(self, file: File, sequencer: str = "") -> dict[str, Any]:
        """The event by which S3 announces an object version through EventBridge."""
        _, key, version_id = file
        bucket = self.cli.name("BronzeBucketName")
        head = self.client("s3").head_object(Bucket=bucket, Key=key, VersionId=version_id)
        return {
            "version": "0",
            "id": f"{hash(file) & 0xFFFFFFFF:08x}-0000-4000-8000-000000000000",
            "detail-type": "Object Created",
            "source": "aws.s3",
            "account": self.endpoint.account,
            "time": f"{head['LastModified']:%Y-%m-%dT%H:%M:%SZ}",
            "region": self.endpoint.region,
            "resources": [f"arn:aws:s3:::{bucket}"],
            "detail": {
                "version": "0",
                "bucket": {"name": bucket},
                "object": {
                    "key": key,
                    "size": head["ContentLength"],
                    "etag": head["ETag"].strip('"'),
                    "version-id": version_id,
                    "sequencer": sequencer or f"{head['LastModified']:%Y%m%d%H%M%S}",
                },
                "request-id": "0000000000000000",
                "requester": self.endpoint.account,
                "source-ip-address": "127.0.0.1",
                "reason": "PutObject",
            },
        }

    def take_in(self, dataset: str) -> dict[str, Any]:
        """Take in what the ledger does not know of a dataset, as `lakehouse backfill NAME` does."""
        return dict(self.invoke("reconcile", {"dataset": dataset}))

    def start_scheduled_intake(self) -> str:
        """Start a run of the workflow, as the schedule does every night; its id."""
        return scheduled.start(self.cli)

    def settle(
        self, files: Iterable[File], seconds: float = SETTLE_SECONDS, *, gold: bool = True
    ) -> dict[str, Item]:
        """Wait until these files are through and ``gold`` has seen them; returns their ledger items by key.

        A test that does not look at Gold does not wait for it: several files then share a refresh.
        """
        watch = Watch(self.cli, self.core.ledger, self.steps.append)
        items = watch.until_files_are_through(list(files), seconds, gold=gold)
        return {item["key"]: item for item in items}

    def land(self, key: str, body: bytes | str, *, gold: bool = True) -> Item:
        """Put one file and wait for it; returns its ledger item."""
        file = self.put(key, body)
        return self.settle([file], gold=gold)[key]

    def rest(self, seconds: float = SETTLE_SECONDS) -> None:
        """Wait until no writer has anything to do."""
        Watch(self.cli, self.core.ledger, self.steps.append).until_at_rest(seconds)

    def put_all(self, files: Iterable[tuple[str, bytes | str]]) -> list[File]:
        """Put several files at once."""
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(lambda file: self.put(*file), files))

    def deliver(self, bodies: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Hand messages to intake in one batch, as its queue does; returns its answer."""
        records = [
            {
                "messageId": f"{number:08x}-0000-4000-8000-000000000000",
                "receiptHandle": "none",
                "body": json.dumps(body),
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "0",
                    "SenderId": "AIDATEST",
                    "ApproximateFirstReceiveTimestamp": "0",
                },
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:us-east-1:{self.endpoint.account}:{STACK}-intake",
                "awsRegion": self.endpoint.region,
            }
            for number, body in enumerate(bodies)
        ]
        answer: dict[str, Any] = self.invoke("intake", {"Records": records})
        return answer

    def invoke(self, function: str, payload: dict[str, Any]) -> Any:
        """Call one of the functions; its error fails the test."""
        answer = self.client("lambda").invoke(
            FunctionName=f"{STACK}-{function}", Payload=json.dumps(payload).encode()
        )
        text = answer["Payload"].read().decode()
        assert "FunctionError" not in answer, text
        return json.loads(text)

    def notification_record(self, file: File) -> dict[str, Any]:
        """One record of S3's direct notification, whose key is URL-encoded."""
        event = self.event(file)["detail"]
        item = event["object"]
        return {
            "eventVersion": "2.3",
            "eventSource": "aws:s3",
            "awsRegion": self.endpoint.region,
            "eventTime": self.event(file)["time"],
            "eventName": "ObjectCreated:Put",
            "s3": {
                "bucket": {"name": event["bucket"]["name"]},
                "object": {
                    "key": quote_plus(item["key"], safe="/"),
                    "size": item["size"],
                    "eTag": item["etag"],
                    "versionId": item["version-id"],
                    "sequencer": item["sequencer"],
                },
            },
        }

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Wait until a condition holds; the test fails if it does not in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
            time.sleep(0.05)

    def until_claimed(self, file: File) -> None:
        """Wait until a run has claimed a file."""

        def claimed() -> bool:
            return self.state(file) not in {"", "PENDING"}

        self.until(claimed, f"{file[1]} is claimed", SETTLE_SECONDS)

    def settle_ledger(self, files: Iterable[File], seconds: float = 60) -> dict[str, Item]:
        """Wait until the ledger knows these files, whatever became of them; returns their items by key."""
        pairs = [(key, version_id) for _, key, version_id in files]
        self.until(
            lambda: len(self.core.ledger.versions(pairs)) == len(pairs), "known to the ledger", seconds
        )
        return {item["key"]: item for item in self.core.ledger.versions(pairs).values()}

    def arm(self, **fault: Any) -> None:
        """Arm one fault (see ``twin/faults.py``); those of before are forgotten."""
        self.arm_all(fault=fault)

    def arm_all(self, **faults: dict[str, Any]) -> None:
        """Arm faults by their ids; those of before are forgotten, and what they held goes on. None: disarm."""
        folder = Path(self.endpoint.ca_bundle).parent
        (folder / "faults-fired.json").unlink(missing_ok=True)
        part = folder / "faults.part"
        part.write_text(json.dumps([{**fault, "id": name} for name, fault in faults.items()]))
        part.replace(folder / "faults.json")

    def fault_fired(self, name: str = "fault") -> bool:
        """Whether an armed fault has had its effect."""
        fired = Path(self.endpoint.ca_bundle).parent / "faults-fired.json"
        return fired.exists() and name in json.loads(fired.read_text() or "[]")

    def branches(self, table: str, layer: str = "silver") -> set[str]:
        """The branches of a table, ``main`` among them."""
        return {row[0] for row in self.query(f'SELECT name FROM "{table}$refs"', layer)}

    # --- looking ----------------------------------------------------------------------------------

    def query(self, sql: str, layer: str = "silver") -> list[list[Any]]:
        """The rows of a query through Athena's API."""
        return athena.run(self.cli, sql, layer=layer, max_rows=100_000).rows

    def result_file(self, sql: str, layer: str = "silver") -> list[list[str]]:
        """The rows of a query as texts, from the file that Athena leaves: in one piece, where pages take seconds."""
        query_id = athena.run(self.cli, sql, layer=layer, max_rows=1).query_id
        execution = self.client("athena").get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
        bucket, _, key = execution["ResultConfiguration"]["OutputLocation"][len("s3://") :].partition("/")
        text = self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        return [*csv.reader(text.splitlines())][1:]

    def count(self, table: str, layer: str = "silver") -> int:
        """How many rows a table has."""
        return int(self.query(f"SELECT count(*) FROM {table}", layer)[0][0])

    def quarantined(self, dataset: str, columns: str = "*") -> list[list[Any]]:
        """The rows in a dataset's quarantine, ordered as they came."""
        order = "_source_version_id, _source_row"
        return self.query(f"SELECT {columns} FROM {quarantine_table(dataset)} ORDER BY {order}")

    def states(self, dataset: str) -> dict[str, list[str]]:
        """The states of a dataset's object versions, by key."""
        found: dict[str, list[str]] = {}
        for item in self.core.ledger.files(dataset):
            found.setdefault(item["key"], []).append(item["state"])
        return {key: sorted(states) for key, states in found.items()}

    def bronze_text(self, key: str) -> str:
        """The current content of an object in Bronze."""
        return self._text("BronzeBucketName", key)

    def operations_text(self, key: str) -> str:
        """The content of an object in the operations bucket."""
        return self._text("OperationsBucketName", key)

    def _text(self, bucket: str, key: str) -> str:
        answer = self.client("s3").get_object(Bucket=self.cli.name(bucket), Key=key)
        return str(answer["Body"].read().decode())

    def execution_input(self, run_id: str) -> dict[str, str]:
        """What the execution of a promote run was started with."""
        arn = self.cli.name("PromoteStateMachineArn").replace(":stateMachine:", ":execution:") + f":{run_id}"
        return dict(json.loads(self.client("stepfunctions").describe_execution(executionArn=arn)["input"]))

    def everything_said(self) -> Iterator[tuple[str, str]]:
        """Place and text of all logs, items, execution histories and operations objects."""
        logs = self.client("logs")
        for group in self._all(logs, "describe_log_groups", "logGroups"):
            for event in self._all(logs, "filter_log_events", "events", logGroupName=group["logGroupName"]):
                yield group["logGroupName"], event["message"]
        for table in ("LedgerTableName", "LineageTableName"):
            for item in self._all(self.client("dynamodb"), "scan", "Items", TableName=self.cli.name(table)):
                yield table, json.dumps(item, default=str)
        states = self.client("stepfunctions")
        for machine in ("PromoteStateMachineArn", "RefreshStateMachineArn", "MaintainStateMachineArn"):
            arn = self.cli.name(machine)
            for execution in self._all(states, "list_executions", "executions", stateMachineArn=arn):
                history = states.get_execution_history(executionArn=execution["executionArn"])
                yield execution["name"], json.dumps(history["events"], default=str)
        s3, bucket = self.client("s3"), self.cli.name("OperationsBucketName")
        for entry in self._all(s3, "list_objects_v2", "Contents", Bucket=bucket):
            if not entry["Key"].startswith("assets/"):
                yield entry["Key"], self.operations_text(entry["Key"])

    @staticmethod
    def _all(client: Any, operation: str, field_name: str, **request: Any) -> Iterator[dict[str, Any]]:
        for page in client.get_paginator(operation).paginate(**request):
            yield from page.get(field_name, [])

    def state(self, file: File) -> str:
        """The state of one object version, '' while the ledger does not know it."""
        item = self.core.ledger.version(file[1], file[2])
        return str(item["state"]) if item else ""

    def runs(self, writer: str) -> list[Item]:
        """A writer's runs, oldest first."""
        return [*self.core.ledger.runs(writer)][::-1]
