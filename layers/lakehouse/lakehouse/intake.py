"""Intake: from announcements of objects to files that wait, and writers that are awake.

Order within one batch: writers are made known, then each version is registered, then each dataset's arrivals
are counted and its writer is started. A crash anywhere leaves the messages in the queue, and every step may
be repeated.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from . import writers
from .errors import AwsError, EventError, LakehouseError, LedgerError
from .lake import Lake
from .ledger import NO_DATASET, ObjectVersion
from .scheduled import scheduled_datasets
from .words import DATASET_PATTERN, promote_writer

CREATED_DETAIL_TYPE = "Object Created"
PARALLEL_RECORDS = 8
NO_VERSION = "null"
"""S3's version id of objects written while versioning was off."""


class Message(NamedTuple):
    """A queue message: its id and the parsed JSON of its body."""

    message_id: str
    body: Any


class Placed(NamedTuple):
    """Where an object belongs: its dataset, and why it is ignored ('' if it is not)."""

    dataset: str
    reason: str


@dataclass
class IntakeResult:
    """What became of a batch. ``failed`` are message ids to be delivered again, with the error's name."""

    new: int = 0
    unfinished: int = 0
    finished: int = 0
    ignored: int = 0
    scheduled: int = 0
    started: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def counts(self) -> dict[str, object]:
        """What may be logged: counts, runs and the names of errors."""
        counts = {"new": self.new, "unfinished": self.unfinished, "finished": self.finished}
        errors = sorted(set(self.failed.values()))
        left = {"ignored": self.ignored, "scheduled": self.scheduled}
        return {**counts, **left, "runs": self.started, "errors": errors}

    def batch_response(self) -> dict[str, object]:
        """The answer by which Lambda knows which messages to deliver again."""
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in self.failed]}


class _Announced(NamedTuple):
    message_id: str
    version: ObjectVersion
    placed: Placed


def take_in(lake: Lake, messages: Iterable[Message], *, parallel: int = PARALLEL_RECORDS) -> IntakeResult:
    """Bring every record of every message into the ledger, and wake the writers of their datasets.

    What is taken in by schedule is only counted. An error of the ledger fails the messages it concerns, never
    the others.
    """
    result = IntakeResult()
    announced = _without_scheduled(lake, list(_read_all(messages, result)), result)
    _add_writers(lake, announced, result)
    with ThreadPoolExecutor(max_workers=parallel) as pool:
        outcomes = list(pool.map(lambda one: _register(lake, one, result), announced))
    arrivals: defaultdict[str, list[_Announced]] = defaultdict(list)
    for one, outcome in zip(announced, outcomes, strict=True):
        _count(result, outcome)
        if outcome in {"new", "unfinished"}:
            arrivals[one.placed.dataset].append(one)
    for dataset, files in arrivals.items():
        _wake(lake, dataset, files, result)
    return result


def _read_all(messages: Iterable[Message], result: IntakeResult) -> Iterator[_Announced]:
    for message in messages:
        try:
            versions = list(object_versions(message.body))
        except EventError as error:
            result.failed[message.message_id] = type(error).__name__
            continue
        for version in versions:
            yield _Announced(message.message_id, version, place(version.key))


def _without_scheduled(lake: Lake, announced: list[_Announced], result: IntakeResult) -> list[_Announced]:
    scheduled = scheduled_datasets(lake) if announced else frozenset()
    at_once = [one for one in announced if one.placed.dataset not in scheduled]
    result.scheduled = len(announced) - len(at_once)
    return at_once


def _add_writers(lake: Lake, announced: list[_Announced], result: IntakeResult) -> None:
    for dataset in sorted({one.placed.dataset for one in announced if not one.placed.reason}):
        try:
            lake.ledger.add_writer(promote_writer(dataset), lake.stamp())
        except LedgerError as error:
            _fail(result, (one for one in announced if one.placed.dataset == dataset), error)


def _register(lake: Lake, one: _Announced, result: IntakeResult) -> str:
    if one.message_id in result.failed:
        return "failed"
    try:
        if one.placed.reason:
            lake.ledger.ignore(one.version, one.placed.dataset, one.placed.reason, lake.stamp())
            return "ignored"
        return lake.ledger.register(
            one.version, one.placed.dataset, lake.stamp(), lake.bronze.current_version
        )
    except (LedgerError, AwsError) as error:
        _fail(result, [one], error)
        return "failed"


def _count(result: IntakeResult, outcome: str) -> None:
    if outcome != "failed":
        setattr(result, outcome, getattr(result, outcome) + 1)


def _wake(lake: Lake, dataset: str, files: list[_Announced], result: IntakeResult) -> None:
    try:
        lease = writers.wake(lake, promote_writer(dataset), len(files))
    except (LedgerError, AwsError) as error:
        _fail(result, files, error)
    else:
        result.started[dataset] = lease.run_id


def _fail(result: IntakeResult, announced: Iterable[_Announced], error: LakehouseError) -> None:
    for one in announced:
        result.failed[one.message_id] = type(error).__name__


def place(key: str) -> Placed:
    """Say which dataset an object belongs to, or why it is ignored."""
    folder, slash, rest = key.partition("/")
    if not slash:
        return Placed(NO_DATASET, "the object lies in no folder, so it belongs to no dataset")
    if not DATASET_PATTERN.fullmatch(folder):
        return Placed(NO_DATASET, "the first folder's name is not a dataset's")
    if key.endswith("/"):
        return Placed(folder, "a folder marker")
    if any(part.startswith((".", "_")) for part in rest.split("/")):
        return Placed(folder, "hidden: a part of the path starts with '.' or '_'")
    return Placed(folder, "")


def object_versions(body: Any) -> Iterator[ObjectVersion]:
    """The object versions an event announces: S3's event in EventBridge, or S3's direct notification.

    Raises ``EventError`` for anything else. Only the direct notification's keys are URL-encoded.
    """
    if not isinstance(body, Mapping):
        raise EventError("the message is not a JSON object")
    try:
        if "detail" in body:
            yield from _from_eventbridge(body)
        elif "Records" in body:
            yield from map(_from_notification, body["Records"])
        elif body.get("Event") != "s3:TestEvent":
            raise EventError("the message is no event of S3")
    except (KeyError, TypeError, ValueError) as error:
        raise EventError(f"the event of S3 lacks a field ({type(error).__name__})") from error


def _from_eventbridge(event: Mapping[str, Any]) -> Iterator[ObjectVersion]:
    if event["detail-type"] != CREATED_DETAIL_TYPE:
        raise EventError("the event announces no created object")
    item = event["detail"]["object"]
    yield ObjectVersion(
        key=item["key"],
        version_id=item.get("version-id") or NO_VERSION,
        size_bytes=int(item.get("size", 0)),
        etag=item.get("etag", ""),
        sequencer=item.get("sequencer", ""),
        event_time=to_seconds(event["time"]),
    )


def _from_notification(record: Mapping[str, Any]) -> ObjectVersion:
    item = record["s3"]["object"]
    return ObjectVersion(
        key=unquote_plus(item["key"]),
        version_id=item.get("versionId") or NO_VERSION,
        size_bytes=int(item.get("size", 0)),
        etag=item.get("eTag", ""),
        sequencer=item.get("sequencer", ""),
        event_time=to_seconds(record["eventTime"]),
    )


def to_seconds(time: str) -> str:
    """An ISO time in UTC, cut to whole seconds, since S3 knows no finer one. Raises ValueError."""
    seconds = time[: len("2024-05-01T07:00:00")]
    datetime.fromisoformat(seconds)
    return seconds + "Z"


def parse_messages(records: Iterable[tuple[str, str]]) -> Iterator[Message]:
    """Parse queue messages given as (id, body); one that is no JSON becomes None, and fails by itself."""
    for message_id, body in records:
        try:
            yield Message(message_id, json.loads(body))
        except json.JSONDecodeError:
            yield Message(message_id, None)
