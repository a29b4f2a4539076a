"""Who asks a query. Athena reads the catalog and S3, and writes the results, as that caller."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from twin.athena.errors import QueryError
from twin.athena.sql import text
from twin.context import Context, Credentials


@dataclass
class Caller:
    """The caller's credentials, and clients that use them over HTTPS, so that IAM decides."""

    context: Context
    credentials: Credentials
    arn: str = ""
    """Whose they are; a session has its own."""

    @cached_property
    def lakeformation(self) -> Any:
        """A boto3 client of Lake Formation."""
        return self.context.client("lakeformation", self.credentials)

    @cached_property
    def glue(self) -> Any:
        """A boto3 client of Glue."""
        return self.context.client("glue", self.credentials)

    @cached_property
    def s3(self) -> Any:
        """A boto3 client of S3."""
        return self.context.client("s3", self.credentials)

    def read(self, url: str) -> bytes:
        """One S3 object. Raises ``QueryError`` (PERMISSION_DENIED) where the caller may not."""
        bucket, key = split_url(url)
        try:
            body: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            raise refused_by_s3(error, url) from error
        return body

    def may_read(self, url: str) -> bool:
        """Whether an S3 object is there and the caller may read it."""
        bucket, key = split_url(url)
        try:
            self.s3.head_object(Bucket=bucket, Key=key)
        except ClientError:
            return False
        return True

    def list_files(self, url: str) -> dict[str, int]:
        """The files below an S3 folder and their sizes in bytes, without hidden ones."""
        bucket, prefix = split_url(url.rstrip("/") + "/")
        found: dict[str, int] = {}
        try:
            for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for entry in page.get("Contents", []):
                    names = entry["Key"].removeprefix(prefix).split("/")
                    if entry["Size"] and not any(name.startswith(("_", ".")) for name in names):
                        found[f"s3://{bucket}/{entry['Key']}"] = entry["Size"]
        except ClientError as error:
            raise refused_by_s3(error, url) from error
        return found


def secret_of(caller: Caller, name: str = "", scope: str = "") -> str:
    """The SQL by which DuckDB reads S3 as the caller, everywhere or where ``scope`` says."""
    context, keys = caller.context, caller.credentials
    token = keys.get("AWS_SESSION_TOKEN")
    return (
        f"CREATE SECRET {name} (TYPE s3, KEY_ID {text(keys['AWS_ACCESS_KEY_ID'])}, "
        f"SECRET {text(keys['AWS_SECRET_ACCESS_KEY'])}, REGION {text(context.region)}, URL_STYLE 'path', "
        f"ENDPOINT {text(context.endpoint.partition('://')[2])}, USE_SSL true"
        + (f", SESSION_TOKEN {text(token)}" if token else "")
        + f"{scope})"
    )


def split_url(url: str) -> tuple[str, str]:
    """Bucket and key of an ``s3://`` URL."""
    bucket, _, key = url.partition("://")[2].partition("/")
    return bucket, key


def refused_by_s3(error: ClientError, url: str) -> QueryError:
    """S3's refusal in Athena's words."""
    code = error.response["Error"]["Code"]
    if code in ("AccessDenied", "403"):
        return QueryError("PERMISSION_DENIED", f"Access denied when reading {url}")
    return QueryError("HIVE_FILESYSTEM_ERROR", f"Cannot read {url}: {code}")
