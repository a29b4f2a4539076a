"""Objects on S3: which version is current, parts of one version, JSON in and out."""

from __future__ import annotations

import re

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from lakehouse_spark.objects import S3Objects, in_threads


@mock_aws
def test_versions_of_a_key() -> None:
    client = boto3.client("s3", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    client.create_bucket(Bucket="bronze")
    client.put_bucket_versioning(Bucket="bronze", VersioningConfiguration={"Status": "Enabled"})
    objects = S3Objects(client, "bronze")
    key = "flights/a b+é%.csv"
    old = client.put_object(Bucket="bronze", Key=key, Body=b"old bytes")["VersionId"]
    new = client.put_object(Bucket="bronze", Key=key, Body=b"0123456789")["VersionId"]
    head = objects.head(key)
    assert head is not None
    assert (head.version_id, head.size_bytes) == (new, 10)
    assert re.fullmatch(r"\d{8}T\d{6}Z", head.last_modified)
    assert objects.read(key, old, 0, 3) == b"old"
    assert objects.read(key, new, 8, 100) == b"89"
    assert objects.read(key, new, -4, 4) == b"6789"
    assert b"".join(objects.stream(key, old)) == b"old bytes"
    assert objects.uri(key) == "s3://bronze/flights/a b+é%.csv"
    client.delete_object(Bucket="bronze", Key=key)
    assert objects.head(key) is None


@mock_aws
def test_json_and_a_missing_bucket() -> None:
    client = boto3.client("s3", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    client.create_bucket(Bucket="operations")
    objects = S3Objects(client, "operations")
    objects.put_json("runs/report.json", {"rows": 1})
    assert objects.get_json("runs/report.json") == {"rows": 1}
    with pytest.raises(ClientError):
        S3Objects(client, "none").get_json("x")


def test_threads_keep_the_order_and_raise_the_error() -> None:
    assert in_threads(lambda n: n * 2, range(40)) == [n * 2 for n in range(40)]
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda n: 1 // n, [1, 0])
