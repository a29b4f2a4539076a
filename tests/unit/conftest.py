"""No unit test leaves the process: moto answers for AWS, and the environment names no account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws


class OneClientEach(boto3.Session):
    """A session that makes one client of each service: making one takes longer than most tests."""

    def client(self, service: str, *_: Any, **__: Any) -> Any:  # type: ignore[override]
        made = self.__dict__.setdefault("made", {})
        if service not in made:
            made[service] = super().client(service)  # type: ignore[call-overload]
        return made[service]


@pytest.fixture(scope="session")
def boto_session() -> boto3.Session:
    """One session for all tests."""
    return OneClientEach(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1"
    )


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, boto_session: boto3.Session) -> Iterator[boto3.Session]:
    """An empty AWS account in memory."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield boto_session


@pytest.fixture
def ledger_table(aws: boto3.Session) -> str:
    """The name of a table with the ledger's keys."""
    return make_table(aws, "lake-dev-ledger")


def make_table(aws: boto3.Session, name: str) -> str:
    """Make a DynamoDB table with the keys of the ledger's and the lineage table."""
    aws.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return name
