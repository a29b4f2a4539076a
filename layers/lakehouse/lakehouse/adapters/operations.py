"""The operations bucket: JSON objects by key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lakehouse.errors import AwsError

from .calls import aws_call

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
EXISTS = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})


class S3Operations:
    """JSON objects of one bucket."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def read(self, key: str) -> Any | None:
        """Return the parsed object, or None if there is none.

        S3 answers NoSuchKey only to who may list the bucket, and AccessDenied to anybody else.
        """
        try:
            with aws_call("s3", "GetObject"):
                body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except AwsError as error:
            if error.code in ABSENT:
                return None
            raise
        return json.loads(body)

    def create(self, key: str, value: object) -> bool:
        """Write an object unless it exists; say whether it was written."""
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        try:
            with aws_call("s3", "PutObject"):
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, ContentType="application/json", IfNoneMatch="*"
                )
        except AwsError as error:
            if error.code in EXISTS:
                return False
            raise
        return True
