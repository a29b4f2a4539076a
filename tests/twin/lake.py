"""A deployed lake as a test uses it: put files, wait until all has come to rest, look at everything."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3

from lakehouse.adapters import connect as core
from lakehouse.lake import Lake as CoreLake
from lakehouse.settings import Settings
from lakehouse.store import Item
from lakehouse.words import quarantine_table
from lakehouse_cli import athena
from lakehouse_cli.connection import Connection, Lake, TwinEndpoint
from lakehouse_cli.watch import File, Step, Watch

SETTLE_SECONDS = 240
STACK = "lake-dev"


@dataclass
class TwinLake:
    """The lake under test. ``steps`` keeps what happened while it was watched, for a failure's report."""

    cli: Lake
    endpoint: TwinEndpoint
    steps: list[Step] = field(default_factory=list)

    @classmethod
    def find(cls, endpoint_file: Path) -> TwinLake:
        """The lake that is deployed to the twin of an endpoint file."""
        record = json.loads(endpoint_file.read_text())
        endpoint = TwinEndpoint(**{name: record[name] for name in TwinEndpoint.__dataclass_fields__})
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
        session = boto3.Session(
            aws_access_key_id=self.endpoint.access_key,
            aws_secret_access_key=self.endpoint.secret_key,
            region_name=self.endpoint.region,
        )
        return core.connect(
            Settings.from_environment(function["Environment"]["Variables"]), _Pointed(session, self.endpoint)
        )

    # --- putting ----------------------------------------------------------------------------------

    def put(self, key: str, body: bytes | str) -> File:
        """Write one object into Bronze; returns dataset, key, version id."""
        data = body.encode() if isinstance(body, str) else body
        answer = self.client("s3").put_object(Bucket=self.cli.name("BronzeBucketName"), Key=key, Body=data)
        return key.partition("/")[0], key, answer["VersionId"]

    def settle(self, files: Iterable[File], seconds: float = SETTLE_SECONDS) -> dict[str, Item]:
        """Wait until these files are through and Gold has seen them; returns their ledger items by key."""
        watch = Watch(self.cli, self.core.ledger, self.steps.append)
        items = watch.until_files_are_through(list(files), seconds)
        return {item["key"]: item for item in items}

    def land(self, key: str, body: bytes | str) -> Item:
        """Put one file and wait for it; returns its ledger item."""
        file = self.put(key, body)
        return self.settle([file])[key]

    def rest(self, seconds: float = SETTLE_SECONDS) -> None:
        """Wait until no writer has anything to do."""
        Watch(self.cli, self.core.ledger, self.steps.append).until_at_rest(seconds)

    # --- looking ----------------------------------------------------------------------------------

    def query(self, sql: str, layer: str = "silver") -> list[list[Any]]:
        """The rows of a query through Athena's API."""
        return athena.run(self.cli, sql, layer=layer, max_rows=100_000).rows

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

    def runs(self, writer: str) -> list[Item]:
        """A writer's runs, oldest first."""
        return [*self.core.ledger.runs(writer)][::-1]


class _Pointed(boto3.Session):
    """A session whose clients all talk to the twin."""

    def __init__(self, session: boto3.Session, endpoint: TwinEndpoint) -> None:
        super().__init__(botocore_session=session._session)
        self._endpoint = endpoint

    def client(self, *arguments: Any, **options: Any) -> Any:
        pointed = {"endpoint_url": self._endpoint.endpoint, "verify": self._endpoint.ca_bundle}
        return super().client(*arguments, **{**options, **pointed})
