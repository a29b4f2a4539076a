"""Objects on S3 as the jobs see them: which version is current, its bytes, JSON in and out.

``S3Objects`` is the only place of the Spark code that speaks to boto3; tests use a folder with the same
methods.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

THREADS: Final = 16
CHUNK_BYTES: Final = 1024 * 1024
NOT_FOUND: Final = frozenset({"404", "NoSuchKey", "NoSuchVersion", "NotFound"})

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Head:
    """The current version of a key. ``last_modified`` is S3's time as ``YYYYMMDDTHHMMSSZ``."""

    version_id: str
    last_modified: str
    size_bytes: int


class Objects(Protocol):
    """One bucket."""

    def head(self, key: str) -> Head | None:
        """The current version of ``key``; None when the key is gone."""

    def read(self, key: str, version_id: str, start: int, length: int) -> bytes:
        """At most ``length`` bytes of one version from ``start`` on; a negative start counts from the end."""

    def stream(self, key: str, version_id: str) -> Iterator[bytes]:
        """All bytes of one version, in pieces."""

    def uri(self, key: str) -> str:
        """The address under which Spark reads ``key``."""

    def get_json(self, key: str) -> Any:
        """A JSON object's content."""

    def put_json(self, key: str, value: object) -> None:
        """Write a JSON object."""


class S3Objects:
    """A bucket on S3."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def head(self, key: str) -> Head | None:
        """See ``Objects``. A key whose newest version is a delete marker is gone."""
        try:
            found = self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in NOT_FOUND:
                return None
            raise
        modified = found["LastModified"].strftime("%Y%m%dT%H%M%SZ")
        return Head(found.get("VersionId", "null"), modified, found["ContentLength"])

    def read(self, key: str, version_id: str, start: int, length: int) -> bytes:
        """See ``Objects``."""
        wanted = f"bytes={start}-{start + length - 1}" if start >= 0 else f"bytes={start}"
        answer = self._client.get_object(Bucket=self._bucket, Key=key, VersionId=version_id, Range=wanted)
        return answer["Body"].read()[:length]

    def stream(self, key: str, version_id: str) -> Iterator[bytes]:
        """See ``Objects``."""
        answer = self._client.get_object(Bucket=self._bucket, Key=key, VersionId=version_id)
        yield from answer["Body"].iter_chunks(CHUNK_BYTES)

    def uri(self, key: str) -> str:
        """See ``Objects``."""
        return f"s3://{self._bucket}/{key}"

    def get_json(self, key: str) -> Any:
        """See ``Objects``."""
        return json.loads(self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read())

    def put_json(self, key: str, value: object) -> None:
        """See ``Objects``."""
        body = json.dumps(value, indent=1, sort_keys=True).encode()
        self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType="application/json")


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """``work`` on every item, several at a time, results in order; the first error is raised."""
    todo = list(items)
    if len(todo) < 2:  # noqa: PLR2004 - one item needs no thread
        return [work(item) for item in todo]
    with ThreadPoolExecutor(min(THREADS, len(todo))) as pool:
        return list(pool.map(work, todo))
