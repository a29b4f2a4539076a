"""The landing bucket: current versions, folders, listings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lakehouse.errors import AwsError
from lakehouse.lake import VersionPage
from lakehouse.ledger import ObjectVersion

from .calls import aws_call
from .operations import ABSENT

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NO_VERSION = "null"


class S3Bronze:
    """One versioned bucket whose first folders are datasets."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def current_version(self, key: str) -> str | None:
        """The id of an object's current version, or None if it is deleted."""
        head = self._head(key)
        return head.get("VersionId", NO_VERSION) if head else None

    def latest(self, key: str) -> ObjectVersion | None:
        """An object's current version as a listing shows it, or None if it is deleted or was never there."""
        head = self._head(key)
        if head is None:
            return None
        found = {"Key": key, "VersionId": head.get("VersionId", NO_VERSION), "Size": head["ContentLength"]}
        return _version({**found, "ETag": head["ETag"], "LastModified": head["LastModified"]})

    def _head(self, key: str) -> Any | None:
        try:
            with aws_call("s3", "HeadObject"):
                return self._client.head_object(Bucket=self._bucket, Key=key)
        except AwsError as error:
            if error.code in ABSENT:
                return None
            raise

    def folders(self) -> Iterator[str]:
        """The names of the first folders, without the slash."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Delimiter="/")
        with aws_call("s3", "ListObjectsV2"):
            for page in pages:
                for folder in page.get("CommonPrefixes", []):
                    yield folder["Prefix"].rstrip("/")

    def page(self, prefix: str, cursor: str) -> VersionPage:
        """One page of the current versions under a prefix; ``cursor`` is what the page before it returned."""
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": prefix}
        if cursor:
            request["KeyMarker"], request["VersionIdMarker"] = json.loads(cursor)
        with aws_call("s3", "ListObjectVersions"):
            answer = self._client.list_object_versions(**request)
        versions = [_version(entry) for entry in answer.get("Versions", []) if entry["IsLatest"]]
        if not answer.get("IsTruncated"):
            return VersionPage(versions, "")
        return VersionPage(
            versions, json.dumps([answer["NextKeyMarker"], answer.get("NextVersionIdMarker", NO_VERSION)])
        )


def _version(entry: Any) -> ObjectVersion:
    return ObjectVersion(
        key=entry["Key"],
        version_id=entry["VersionId"],
        size_bytes=entry["Size"],
        etag=entry["ETag"].strip('"'),
        sequencer="",
        event_time=f"{entry['LastModified']:%Y-%m-%dT%H:%M:%SZ}",
    )
