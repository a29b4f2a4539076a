"""The Bronze database of the Glue Data Catalog, and the drafts laid down for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import boto3  # noqa: TID251 - this is an adapter

from lakehouse.bronze import Landing
from lakehouse.errors import AwsError
from lakehouse.settings import Settings

from .calls import aws_call
from .operations import S3Operations

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_s3 import S3Client

PARTITIONS_PER_CALL = 100
"""Glue's limit of BatchCreatePartition."""


def connect_landing(settings: Settings, session: boto3.Session | None = None) -> Landing:
    """What registering needs, in the account and region of ``session`` (or the usual one)."""
    session = session or boto3.Session()
    s3 = session.client("s3")
    return Landing(
        operations=S3Operations(s3, settings.operations_bucket),
        texts=S3Texts(s3, settings.operations_bucket),
        catalog=GlueBronze(session.client("glue"), settings.bronze_database),
        bucket=settings.bronze_bucket,
    )


class GlueBronze:
    """The tables of one database."""

    def __init__(self, client: GlueClient, database: str) -> None:
        self._client = client
        self._database = database

    def table(self, name: str) -> dict[str, Any] | None:
        """Glue's ``Table``, or None if there is none."""
        try:
            with aws_call("glue", "GetTable"):
                return dict(self._client.get_table(DatabaseName=self._database, Name=name)["Table"])
        except AwsError as error:
            if error.code == "EntityNotFoundException":
                return None
            raise

    def create(self, table: dict[str, Any]) -> None:
        """Create a table; one that has just been made is as good: the next run brings it up to date."""
        try:
            with aws_call("glue", "CreateTable"):
                self._client.create_table(DatabaseName=self._database, TableInput=table)  # type: ignore[arg-type]
        except AwsError as error:
            if error.code != "AlreadyExistsException":
                raise

    def update(self, table: dict[str, Any]) -> None:
        """Replace a table's definition."""
        with aws_call("glue", "UpdateTable"):
            self._client.update_table(DatabaseName=self._database, TableInput=table)  # type: ignore[arg-type]

    def delete(self, name: str) -> None:
        """Remove a table from the catalog; its files stay."""
        with aws_call("glue", "DeleteTable"):
            self._client.delete_table(DatabaseName=self._database, Name=name)

    def add_partitions(self, name: str, partitions: Sequence[dict[str, Any]]) -> None:
        """Add partitions; those that are there already stay as they are."""
        for start in range(0, len(partitions), PARTITIONS_PER_CALL):
            chunk: Any = partitions[start : start + PARTITIONS_PER_CALL]
            with aws_call("glue", "BatchCreatePartition"):
                answer = self._client.batch_create_partition(
                    DatabaseName=self._database, TableName=name, PartitionInputList=chunk
                )
            for failed in answer.get("Errors", []):
                code = failed.get("ErrorDetail", {}).get("ErrorCode", "Unknown")
                if code != "AlreadyExistsException":
                    raise AwsError("glue", "BatchCreatePartition", code)


class S3Texts:
    """Texts for people, in one bucket."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put_text(self, key: str, text: str) -> None:
        """Write a text, replacing what was there."""
        with aws_call("s3", "PutObject"):
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=text.encode(), ContentType="text/yaml; charset=utf-8"
            )
