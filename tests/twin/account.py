"""Small things a test makes in the twin's account: buckets, roles, tables, with boto3."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

GLUE_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
WAIT_SECONDS = 120


@dataclass(frozen=True)
class Account:
    """The twin's account, as its administrator or as a user."""

    endpoint: dict[str, str]
    access_key: str
    secret_key: str
    session_token: str | None = None

    @classmethod
    def administrator(cls, endpoint: dict[str, str]) -> Account:
        return cls(endpoint, endpoint["access_key"], endpoint["secret_key"])

    def client(self, service: str) -> Any:
        session: Any = boto3.session.Session()
        return session.client(
            service,
            endpoint_url=self.endpoint["endpoint"],
            region_name=self.endpoint["region"],
            verify=self.endpoint["ca_bundle"],
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            aws_session_token=self.session_token,
            # Without the validation a fraction of a minute can be sent as a job's timeout.
            config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
        )

    def make_bucket(self, name: str) -> str:
        self.client("s3").create_bucket(Bucket=name)
        return name

    def put(self, bucket: str, key: str, body: bytes | str) -> str:
        data = body if isinstance(body, bytes) else body.encode()
        self.client("s3").put_object(Bucket=bucket, Key=key, Body=data)
        return f"s3://{bucket}/{key}"

    def make_glue_role(self, name: str, *statements: tuple[list[str], list[str]]) -> str:
        """A role for Glue; each statement is actions and resources."""
        iam = self.client("iam")
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(GLUE_TRUST))
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy(*statements))
        return str(role["Role"]["Arn"])

    def assume(self, role_arn: str) -> Account:
        """The account as a session of a role sees it."""
        keys = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="test")["Credentials"]
        return Account(self.endpoint, keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])

    def ask(self, sql: str, workgroup: str, database: str) -> Asked:
        """A query, waited for."""
        athena = self.client("athena")
        try:
            query_id = athena.start_query_execution(
                QueryString=sql, WorkGroup=workgroup, QueryExecutionContext={"Database": database}
            )["QueryExecutionId"]
        except ClientError as error:
            return Asked("", error.response["Error"]["Code"], [], [])
        status = wait_for(lambda: _finished(athena, query_id))
        if status["State"] != "SUCCEEDED":
            return Asked(query_id, str(status["StateChangeReason"]), [], [])
        found = athena.get_query_results(QueryExecutionId=query_id)["ResultSet"]
        columns = [column["Name"] for column in found["ResultSetMetadata"]["ColumnInfo"]]
        data = [[cell.get("VarCharValue") for cell in row["Data"]] for row in found["Rows"]]
        return Asked(query_id, None, columns, data[1:] if data[:1] == [columns] else data)

    def finished(self, query_id: str) -> dict[str, Any]:
        """A query's execution once it is over."""
        athena = self.client("athena")
        wait_for(lambda: _finished(athena, query_id))
        return dict(athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"])

    def make_user(self, name: str, *statements: tuple[list[str], list[str]]) -> Account:
        """A user with these permissions; the account as that user sees it."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=policy(*statements))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Account(self.endpoint, key["AccessKeyId"], key["SecretAccessKey"])


@dataclass(frozen=True)
class Asked:
    """What a query came to: why it was refused, or its columns and rows."""

    query_id: str
    refusal: str | None
    columns: list[str]
    rows: list[list[str | None]]


def _finished(athena: Any, query_id: str) -> Any:
    status = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"]
    return status if status["State"] not in {"QUEUED", "RUNNING"} else None


def policy(*statements: tuple[list[str], list[str]]) -> str:
    """A policy document; each statement is actions and resources."""
    allowed = [
        {"Effect": "Allow", "Action": actions, "Resource": resources} for actions, resources in statements
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": allowed})


def wait_for(look: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """What ``look`` sees once it sees something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.1)
    raise AssertionError(f"nothing within {seconds} s")
