"""Shipped assets in the operations bucket."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Self

import boto3  # noqa: TID251 - this is where the custom resource gets its client

from lakehouse.errors import AwsError

from .calls import aws_call
from .operations import ABSENT

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3Assets:
    """Objects of one bucket, as shipping needs them."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    @classmethod
    def connect(cls, bucket: str) -> Self:
        """The bucket as the Lambda function's own role sees it."""
        return cls(boto3.client("s3"), bucket)

    def put(self, key: str, body: bytes) -> None:
        """Write an object."""
        with aws_call("s3", "PutObject"):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body)

    def written_at(self, key: str) -> datetime | None:
        """When an object was written (S3's own time), or None if there is none."""
        try:
            with aws_call("s3", "HeadObject"):
                return self._client.head_object(Bucket=self._bucket, Key=key)["LastModified"]
        except AwsError as error:
            if error.code in ABSENT:
                return None
            raise

    def prefixes(self, root: str) -> list[str]:
        """The folders right below ``root``, each ending with a slash."""
        pages = self._client.get_paginator("list_objects_v2")
        with aws_call("s3", "ListObjectsV2"):
            return [
                folder["Prefix"]
                for page in pages.paginate(Bucket=self._bucket, Prefix=root, Delimiter="/")
                for folder in page.get("CommonPrefixes", [])
            ]

    def delete(self, key: str) -> None:
        """Remove an object; no error if it is not there."""
        with aws_call("s3", "DeleteObject"):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def delete_all(self, prefix: str) -> None:
        """Remove every object under a prefix."""
        pages = self._client.get_paginator("list_objects_v2")
        with aws_call("s3", "ListObjectsV2"):
            keys = [
                item["Key"]
                for page in pages.paginate(Bucket=self._bucket, Prefix=prefix)
                for item in page.get("Contents", [])
            ]
        for key in keys:
            self.delete(key)
