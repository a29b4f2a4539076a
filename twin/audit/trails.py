"""Trails: which calls they select, and the files they write."""

from __future__ import annotations

import json
import secrets
import threading
import zlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from twin.audit import records
from twin.audit.call import Call
from twin.context import Context

JsonObject = dict[str, Any]
GZIP: Final = 31
"""zlib's word for a gzip file."""
CONDITIONS: Final[dict[str, Callable[[list[str], list[str]], bool]]] = {
    "Equals": lambda values, wanted: any(value in wanted for value in values),
    "NotEquals": lambda values, wanted: all(value not in wanted for value in values),
    "StartsWith": lambda values, wanted: any(value.startswith(tuple(wanted)) for value in values),
}


@dataclass
class Trail:
    """One trail and what it has not delivered yet."""

    name: str
    bucket: str
    key_arn: str
    selectors: list[JsonObject]
    logging: bool
    _packed: list[bytes] = field(default_factory=list)
    _packer: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def selects(self, record: JsonObject) -> bool:
        """Whether one of the selectors takes the record."""
        return any(_matches(each["FieldSelectors"], record) for each in self.selectors)

    def add(self, record: JsonObject) -> None:
        """Keep a record; compressed, since there are many."""
        with self._lock:
            begun = self._packer is not None
            self._packer = self._packer or zlib.compressobj(wbits=GZIP)
            text = ("," if begun else '{"Records":[') + json.dumps(record, default=str)
            self._packed.append(self._packer.compress(text.encode()))

    def take(self) -> bytes | None:
        """The file of what was kept, if anything was."""
        with self._lock:
            if self._packer is None:
                return None
            packer, parts = self._packer, self._packed
            self._packer, self._packed = None, []
        return b"".join([*parts, packer.compress(b"]}"), packer.flush()])


class Trails:
    """All trails of the account."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._trails: dict[str, Trail] = {}

    def make(self, wanted: JsonObject) -> str:
        """Create a trail: here, and where the API tells of it."""
        name, logging = str(wanted["TrailName"]), str(wanted.get("IsLogging", False)).lower() == "true"
        client = self._context.admin_client("cloudtrail")
        client.create_trail(
            Name=name,
            S3BucketName=wanted["S3BucketName"],
            KmsKeyId=wanted["KMSKeyId"],
            EnableLogFileValidation=str(wanted["EnableLogFileValidation"]).lower() == "true",
            TagsList=wanted.get("Tags", []),
        )
        if logging:
            client.start_logging(Name=name)
        self._trails[name] = Trail(
            name, wanted["S3BucketName"], wanted["KMSKeyId"], wanted["AdvancedEventSelectors"], logging
        )
        return name

    def delete(self, name: str, _wanted: JsonObject) -> None:
        """Delete a trail. What it delivered stays."""
        self._trails.pop(name, None)
        self._context.admin_client("cloudtrail").delete_trail(Name=name)

    def record(self, call: Call, answer: Any) -> None:
        """Tell a served or refused call to the trails of its region."""
        if call.region != self._context.region or not self._trails:
            return
        if call.object_event:
            self.tell(records.of_object(call, answer))
        elif call.service != "s3":
            self.tell(records.of_management(call, answer))

    def tell(self, record: JsonObject) -> None:
        """Give a record to every trail that selects it."""
        for trail in self._trails.values():
            if trail.logging and trail.selects(record):
                trail.add(record)

    def due(self, bucket: str) -> Iterator[Awaitable[None]]:
        """What is to be delivered to a bucket now."""
        for trail in self._trails.values():
            if trail.bucket == bucket and (packed := trail.take()):
                encrypted = {
                    "x-amz-server-side-encryption": "aws:kms",
                    "x-amz-server-side-encryption-aws-kms-key-id": trail.key_arn,
                }
                yield self._context.store_async(bucket, self._file(datetime.now(UTC)), packed, encrypted)

    def _file(self, at: datetime) -> str:
        """Source: CloudTrail user guide, "CloudTrail log file name format"."""
        account, region = self._context.account, self._context.region
        name = f"{account}_CloudTrail_{region}_{at:%Y%m%dT%H%MZ}_{secrets.token_hex(8)}.json.gz"
        return f"AWSLogs/{account}/CloudTrail/{region}/{at:%Y/%m/%d}/{name}"


def _matches(selectors: list[JsonObject], record: JsonObject) -> bool:
    return all(_holds(each, record) for each in selectors)


def _holds(selector: JsonObject, record: JsonObject) -> bool:
    """Source: CloudTrail API reference, AdvancedFieldSelector. An unknown condition takes nothing."""
    name = selector["Field"].rpartition("resources.")[2]
    if selector["Field"].startswith("resources."):
        values = [each.get(name) or each.get(f"{name}Prefix", "") for each in record.get("resources", [])]
    else:
        values = [record.get(name, "")]
    conditions = {key: wanted for key, wanted in selector.items() if key != "Field"}
    return all(name in CONDITIONS and CONDITIONS[name](values, wanted) for name, wanted in conditions.items())
