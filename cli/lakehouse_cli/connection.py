"""Where the command talks to, AWS as the environment says or the twin, and the lake's names there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError, ProfileNotFound

from lakehouse_cli.errors import AccessError, NotFoundError

DEFAULT_STACK = "lake-dev"
READ_SECONDS = 60
LAMBDA_SECONDS = 15 * 60 + 10
"""A function that is waited for answers when it is done, after 15 minutes at most."""
ENDPOINT_FILE = Path(".twin", "endpoint.json")


def project_root() -> Path:
    """The checkout this command was installed from (``make setup`` installs it editable)."""
    return Path(__file__).resolve().parents[2]


def stack_name(stack: str | None) -> str:
    """The stack to work on: the option, LAKEHOUSE_STACK, or ``lake-dev``."""
    return stack or os.environ.get("LAKEHOUSE_STACK") or DEFAULT_STACK


@dataclass(frozen=True)
class TwinEndpoint:
    """The running twin, as it wrote itself down in ``.twin/endpoint.json``."""

    endpoint: str
    ca_bundle: str
    region: str
    account: str
    access_key: str
    secret_key: str
    pid: int

    @classmethod
    def read(cls, root: Path) -> TwinEndpoint | None:
        """The twin's own record, None when there is none."""
        try:
            record = json.loads((root / ENDPOINT_FILE).read_text())
        except FileNotFoundError:
            return None
        return cls(**{name: record[name] for name in cls.__dataclass_fields__})

    def environment(self) -> dict[str, str]:
        """What any AWS SDK or the AWS CLI needs to talk to the twin."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CA_BUNDLE": self.ca_bundle,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }


class Connection:
    """Makes boto3 clients. ``twin`` None means: the usual AWS environment and profiles."""

    def __init__(self, twin: TwinEndpoint | None = None) -> None:
        self.twin = twin
        self._session: Any = None

    def client(self, service: str) -> Any:
        """A client of an AWS service."""
        config = Config(
            retries={"mode": "standard", "max_attempts": 5},
            max_pool_connections=32,
            read_timeout=LAMBDA_SECONDS if service == "lambda" else READ_SECONDS,
        )
        if self.twin is None:
            return self._usual_session().client(service, config=config)
        return self._twin_session().client(
            service,
            endpoint_url=self.twin.endpoint,
            verify=self.twin.ca_bundle,
            config=config.merge(Config(s3={"addressing_style": "path"})),
        )

    def as_role(self, role_arn: str) -> Connection:
        """The same place, as a session of a role sees it. Raises ``ClientError`` if it may not be assumed."""
        sts = self.client("sts")
        keys = sts.assume_role(RoleArn=role_arn, RoleSessionName="lakehouse")["Credentials"]
        other = Connection(self.twin)
        other._session = boto3.Session(
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
            region_name=sts.meta.region_name,
        )
        return other

    def _usual_session(self) -> Any:
        if self._session is None:
            try:
                self._session = boto3.Session()
            except ProfileNotFound as missing:
                raise AccessError(f"{missing}. Look at AWS_PROFILE and ~/.aws/config.") from missing
        return self._session

    def _twin_session(self) -> Any:
        assert self.twin is not None  # noqa: S101 - both callers have looked
        if self._session is None:
            self._session = boto3.Session(
                aws_access_key_id=self.twin.access_key,
                aws_secret_access_key=self.twin.secret_key,
                region_name=self.twin.region,
            )
        return self._session


@dataclass(frozen=True)
class Lake:
    """A deployed lake: its stack's outputs by name, and the way to reach it."""

    stack: str
    outputs: Mapping[str, str]
    connection: Connection

    def name(self, output: str) -> str:
        """One of the root stack's outputs."""
        try:
            return self.outputs[output]
        except KeyError:
            raise NotFoundError(
                f"The stack {self.stack} has no output {output}: it is no lakehouse, or an older one. "
                f"Name the right stack with --stack, or deploy again."
            ) from None

    def client(self, service: str) -> Any:
        """A client of an AWS service."""
        return self.connection.client(service)


def connect(stack: str | None, *, twin: bool) -> Lake:
    """Find the lake's stack and read its outputs. Raises ``NotFoundError``, ``AccessError``."""
    connection = twin_connection() if twin else Connection()
    name = stack_name(stack)
    try:
        found = connection.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as refused:
        raise _cannot_find(name, refused, twin=twin) from refused
    outputs = {item["OutputKey"]: item["OutputValue"] for item in found[0].get("Outputs", [])}
    return Lake(name, outputs, connection)


def twin_connection() -> Connection:
    """A connection to the running twin."""
    endpoint = TwinEndpoint.read(project_root())
    if endpoint is None:
        raise NotFoundError("The twin is not running. Start it: lakehouse twin up")
    return Connection(endpoint)


def _cannot_find(stack: str, refused: ClientError, *, twin: bool) -> Exception:
    code = refused.response["Error"]["Code"]
    if code == "ValidationError":
        how = "lakehouse twin deploy" if twin else "sam build && sam deploy (see README.md)"
        return NotFoundError(
            f"There is no stack {stack}. Deploy it: {how}. Another stack is named by --stack."
        )
    return access_error(refused)


def access_error(refused: ClientError) -> AccessError:
    """A refused call as a sentence. The service's own text names the action and the principal."""
    details = refused.response["Error"]
    return AccessError(
        f"AWS refused {refused.operation_name} ({details['Code']}): {details.get('Message', '')}"
    )


def unreachable(error: Exception, root: Path) -> AccessError | NotFoundError:
    """Why nothing answered, and what to do."""
    hint = " A twin is running here: add --twin to use it." if TwinEndpoint.read(root) else ""
    if isinstance(error, NoCredentialsError):
        return AccessError(f"There are no AWS credentials in the environment or the profile.{hint}")
    if isinstance(error, NoRegionError):
        return AccessError(f"No region is set: export AWS_DEFAULT_REGION, or choose a profile.{hint}")
    return NotFoundError(f"{str(error).rstrip('.')}. Is it running, and is the network there?{hint}")
