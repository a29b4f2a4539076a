"""A DynamoDB table as a ``Store``.

Source of the error codes: the DynamoDB API reference, TransactWriteItems and UpdateItem.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer  # noqa: TID251 - this is the adapter
from botocore.exceptions import BotoCoreError, ClientError

from lakehouse.errors import ConditionFailed, LedgerUnavailable
from lakehouse.store import (
    AnyOf,
    AtMost,
    Check,
    Condition,
    Delete,
    Item,
    Key,
    Missing,
    Put,
    Update,
    Write,
)

from .calls import error_code

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CONFLICTS = frozenset({"TransactionConflictException", "TransactionInProgressException"})
"""Somebody else was writing the same item at that moment: nothing was written, try again."""
RETRIED_REASONS = frozenset(
    {"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
)
ATTEMPTS = 8
FIRST_PAUSE_SECONDS = 0.02
MAX_KEYS_PER_READ = 100


class DynamoStore:
    """The ``Store`` over one DynamoDB table with the keys ``pk`` and ``sk``."""

    def __init__(
        self, client: DynamoDBClient, table: str, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._table = table
        self._pause = pause

    def get(self, key: Key) -> Item | None:
        """Return one item, or None."""
        answer = self._call(
            "GetItem",
            lambda: self._client.get_item(TableName=self._table, Key=_key(key), ConsistentRead=True),
        )
        return _plain(answer["Item"]) if "Item" in answer else None

    def get_many(self, keys: Iterable[Key]) -> dict[Key, Item]:
        """Return the items that exist among ``keys``."""
        wanted = list(dict.fromkeys(keys))
        found: dict[Key, Item] = {}
        for start in range(0, len(wanted), MAX_KEYS_PER_READ):
            for item in self._read(wanted[start : start + MAX_KEYS_PER_READ]):
                found[item["pk"], item["sk"]] = item
        return found

    def _read(self, keys: Sequence[Key]) -> Iterator[Item]:
        waiting: Any = {self._table: {"Keys": [_key(key) for key in keys], "ConsistentRead": True}}
        for attempt in range(ATTEMPTS):
            read = partial(self._client.batch_get_item, RequestItems=waiting)
            answer = self._call("BatchGetItem", read)
            yield from (_plain(item) for item in answer["Responses"].get(self._table, ()))
            waiting = answer.get("UnprocessedKeys")
            if not waiting:
                return
            self._back_off(attempt)
        raise LedgerUnavailable(f"BatchGetItem left keys unread {ATTEMPTS} times")

    def query(
        self, pk: str, *, begins: str = "", before: str = "", newest_first: bool = False
    ) -> Iterator[Item]:
        """Yield the items of a partition by ``sk``."""
        condition, values = "pk = :pk", {":pk": {"S": pk}}
        if begins:
            condition, values[":sk"] = condition + " AND begins_with(sk, :sk)", {"S": begins}
        elif before:
            condition, values[":sk"] = condition + " AND sk < :sk", {"S": before}
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": values,
            "ConsistentRead": True,
            "ScanIndexForward": not newest_first,
        }
        while True:
            answer = self._call("Query", lambda: self._client.query(**request))
            yield from (_plain(item) for item in answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def write(self, write: Put | Update | Delete) -> Item:
        """Make one write and return the item after it."""
        request = _request(write, self._table)
        if isinstance(write, Put):
            self._call("PutItem", lambda: self._client.put_item(**request))
            return dict(write.item)
        if isinstance(write, Delete):
            self._call("DeleteItem", lambda: self._client.delete_item(**request))
            return {}
        request["ReturnValues"] = "ALL_NEW"
        return _plain(self._call("UpdateItem", lambda: self._client.update_item(**request))["Attributes"])

    def transact(self, writes: Sequence[Write]) -> None:
        """Make up to 100 writes or none."""
        items: Any = [{_verb(write): _request(write, self._table)} for write in writes]
        self._call("TransactWriteItems", lambda: self._client.transact_write_items(TransactItems=items))

    def _call(self, operation: str, call: Callable[[], Any]) -> Any:
        for attempt in range(ATTEMPTS):
            try:
                return call()
            except ClientError as error:
                if not _may_retry(error):
                    raise LedgerUnavailable(f"{operation} failed: {error_code(error)}") from error
            except BotoCoreError as error:
                raise LedgerUnavailable(f"{operation} failed: {type(error).__name__}") from error
            self._back_off(attempt)
        raise LedgerUnavailable(f"{operation} met a conflict {ATTEMPTS} times")

    def _back_off(self, attempt: int) -> None:
        self._pause(FIRST_PAUSE_SECONDS * 2**attempt * (0.5 + random.random()))  # noqa: S311 - jitter


def _may_retry(error: ClientError) -> bool:
    """Whether somebody else kept us from writing. Raises ``ConditionFailed`` for our own conditions."""
    code = error_code(error)
    if code == "ConditionalCheckFailedException":
        raise ConditionFailed((0,)) from error
    if code != "TransactionCanceledException":
        return code in CONFLICTS
    reasons: Any = error.response.get("CancellationReasons", [])
    codes = [reason.get("Code", "None") for reason in reasons]
    failed = tuple(at for at, reason in enumerate(codes) if reason == "ConditionalCheckFailed")
    if failed:
        raise ConditionFailed(failed) from error
    return bool(codes) and set(codes) <= RETRIED_REASONS


def _plain(item: Mapping[str, Any]) -> Item:
    read = TypeDeserializer().deserialize
    return {name: _number(read(value)) for name, value in item.items()}


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, Decimal) else value


def _key(key: Key) -> dict[str, Any]:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def _verb(write: Write) -> str:
    return "ConditionCheck" if isinstance(write, Check) else type(write).__name__


def _request(write: Write, table: str) -> dict[str, Any]:
    """The parameters of one write, the same for a single call and inside a transaction."""
    names = _Names()
    request: dict[str, Any] = {"TableName": table}
    if isinstance(write, Put):
        request["Item"] = {name: TypeSerializer().serialize(value) for name, value in write.item.items()}
    else:
        request["Key"] = _key(write.key)
    if isinstance(write, Update):
        request["UpdateExpression"] = _update(write, names)
    if write.when:
        request["ConditionExpression"] = _all(write.when, names)
    if names.names:
        request["ExpressionAttributeNames"] = names.names
    if names.values:
        request["ExpressionAttributeValues"] = names.values
    return request


class _Names:
    """Collects the placeholders of one request, since many of our attributes are reserved words."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    def name(self, attribute: str) -> str:
        placeholder = f"#{attribute}"
        self.names[placeholder] = attribute
        return placeholder

    def value(self, value: Any) -> str:
        placeholder = f":v{len(self.values)}"
        self.values[placeholder] = TypeSerializer().serialize(value)
        return placeholder


def _update(write: Update, names: _Names) -> str:
    sets = [f"{names.name(name)} = {names.value(value)}" for name, value in write.values.items()]
    for name, value in write.defaults.items():
        place = names.name(name)
        sets.append(f"{place} = if_not_exists({place}, {names.value(value)})")
    sets += [f"{names.name(name)} = {names.name(source)}" for name, source in write.copy.items()]
    adds = [f"{names.name(name)} {names.value(amount)}" for name, amount in write.add.items()]
    clauses = [
        ("SET", sets),
        ("ADD", adds),
        ("REMOVE", [names.name(name) for name in write.remove]),
    ]
    return " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses if parts)


def _all(conditions: Sequence[Condition], names: _Names) -> str:
    return " AND ".join(_condition(condition, names) for condition in conditions)


def _condition(condition: Condition, names: _Names) -> str:
    if isinstance(condition, AnyOf):
        return "(" + " OR ".join(f"({_all(group, names)})" for group in condition.groups) + ")"
    place = names.name(condition.attribute)
    if isinstance(condition, Missing):
        return f"attribute_not_exists({place})"
    sign = "<=" if isinstance(condition, AtMost) else "="
    return f"{place} {sign} {names.value(condition.value)}"
