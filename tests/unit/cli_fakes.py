"""A lake for the command's tests: canned answers of AWS, and a ledger in a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from lakehouse.ledger import Ledger, digest
from lakehouse.store import Item, Key
from lakehouse_cli.connection import Lake

OUTPUTS = {
    "LakeName": "lake",
    "Environment": "dev",
    "BronzeBucketName": "lake-dev-bronze-000000000000-us-east-1",
    "OperationsBucketName": "lake-dev-operations-000000000000-us-east-1",
    "LedgerTableName": "lake-dev-ledger",
    "LineageTableName": "lake-dev-lineage",
    "PromoteStateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:lake-dev-promote",
    "RefreshStateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:lake-dev-refresh",
    "MaintainStateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:lake-dev-maintain",
    "BronzeDatabaseName": "lake_dev_bronze",
    "SilverDatabaseName": "lake_dev_silver",
    "GoldDatabaseName": "lake_dev_gold",
    "WorkgroupName": "lake-dev",
    "AssetsPrefix": "assets/0123456789abcdef/",
    "ReconcileFunctionName": "lake-dev-reconcile",
    "MaintainFunctionName": "lake-dev-maintain",
    "ScheduledIntakeWorkflowName": "lake-dev-scheduled-intake",
}


class FakeConnection:
    """Hands out the fake clients it was given."""

    twin = None

    def __init__(self, **clients: Any) -> None:
        self.clients = clients

    def client(self, service: str) -> Any:
        return self.clients[service]


def fake_lake(**clients: Any) -> Lake:
    return Lake("lake-dev", OUTPUTS, FakeConnection(**clients))  # type: ignore[arg-type] # a duck


def refused(operation: str, code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class Pages:
    """A paginator over canned pages."""

    def __init__(self, pages: Callable[..., Iterable[dict[str, Any]]]) -> None:
        self._pages = pages

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        return iter(list(self._pages(**request)))


class FakeStore:
    """Items in a dictionary; only what reading needs."""

    def __init__(self) -> None:
        self.items: dict[Key, Item] = {}

    def add(self, pk: str, sk: str, **attributes: Any) -> None:
        self.items[pk, sk] = {"pk": pk, "sk": sk, **attributes}

    def get(self, key: Key) -> Item | None:
        return self.items.get(key)

    def get_many(self, keys: Iterable[Key]) -> dict[Key, Item]:
        return {key: self.items[key] for key in keys if key in self.items}

    def query(
        self, pk: str, *, begins: str = "", before: str = "", newest_first: bool = False
    ) -> Iterator[Item]:
        found = [
            item
            for (owner, sk), item in self.items.items()
            if owner == pk and sk.startswith(begins) and (not before or sk < before)
        ]
        return iter(sorted(found, key=lambda item: str(item["sk"]), reverse=newest_first))


class FakeLedger(Ledger):
    """A ledger with short ways to fill it."""

    def __init__(self) -> None:
        self.fake = FakeStore()
        super().__init__(self.fake)  # type: ignore[arg-type] # reads only

    def writer(self, writer: str, **lease: Any) -> None:
        self.fake.add("WRITERS", writer, writer=writer)
        self.fake.add(f"WRITER#{writer}", "LEASE", writer=writer, **lease)

    def has_run(self, writer: str, run_id: str, **attributes: Any) -> None:
        self.fake.add(f"WRITER#{writer}", f"RUN#{run_id}", **attributes)

    def file(self, dataset: str, key: str, version_id: str, state: str, **attributes: Any) -> None:
        name = digest(key, version_id)
        self.fake.add(f"DATASET#{dataset}", f"FILE#{name}", key=key, version_id=version_id)
        self.fake.add(
            f"OBJECT#{key}",
            f"VERSION#{version_id}",
            dataset=dataset,
            key=key,
            version_id=version_id,
            state=state,
            **attributes,
        )
        if state == "PENDING":
            self.fake.add(
                f"PENDING#{dataset}",
                f"2013-01-01T00:00:00.000Z#{name}",
                key=key,
                version_id=version_id,
                size_bytes=1,
                event_time="2013-01-01T00:00:00.000Z",
            )
        else:
            self.fake.items.pop((f"PENDING#{dataset}", f"2013-01-01T00:00:00.000Z#{name}"), None)
