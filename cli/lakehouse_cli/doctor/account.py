"""The account as the checks ask about it. Every call only reads. All boto3 of the doctor is here.

A question that AWS refuses, or a service that is not there, raises ``NotAnswered``: it is never taken for a
yes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from lakehouse_cli.connection import Connection
from lakehouse_cli.errors import NotAnswered

Taken = Literal["free", "own", "foreign"]
OPEN_TO_IAM = "IAM_ALLOWED_PRINCIPALS"
PROBES: dict[str, tuple[str, dict[str, Any]]] = {
    "athena": ("list_work_groups", {}),
    "cloudformation": ("list_stacks", {}),
    "dynamodb": ("list_tables", {"Limit": 1}),
    "events": ("list_rules", {"Limit": 1}),
    "glue": ("get_databases", {"MaxResults": 1}),
    "kms": ("list_keys", {"Limit": 1}),
    "lambda": ("list_functions", {"MaxItems": 1}),
    "logs": ("describe_log_groups", {"limit": 1}),
    "s3": ("list_buckets", {}),
    "sns": ("list_topics", {}),
    "sqs": ("list_queues", {"MaxResults": 1}),
    "stepfunctions": ("list_state_machines", {"maxResults": 1}),
}
"""A read of each service the lake cannot be without, to see that no policy of the organisation closes it."""


@dataclass(frozen=True)
class Caller:
    """Who calls, as STS says: for a role that is the session's ARN."""

    account: str
    arn: str


@dataclass(frozen=True)
class LakeFormationSettings:
    """The account's own settings in a region."""

    administrators: list[str]
    databases_open: bool
    """New databases belong to whom IAM lets in, until somebody grants otherwise."""


@dataclass(frozen=True)
class Decision:
    """IAM's answer about one action on one resource."""

    allowed: bool
    missing_context: list[str]
    """Keys that a policy's conditions ask for and the question did not hold."""


class Account:
    """Questions to an account in a region."""

    def __init__(self, connection: Connection) -> None:
        self._client = connection.client

    @property
    def region(self) -> str:
        """The region that is deployed to. Raises botocore's ``NoRegionError`` if none is set."""
        return str(self._client("cloudformation").meta.region_name)

    def caller(self) -> Caller:
        """Who calls. Errors are raised as they come: without an identity nothing can be checked."""
        found = self._client("sts").get_caller_identity()
        return Caller(found["Account"], found["Arn"])

    def role_arn(self, name: str) -> str:
        """A role's ARN with its path, which a session's ARN does not show."""
        with _asking("iam:GetRole"):
            return str(self._client("iam").get_role(RoleName=name)["Role"]["Arn"])

    def decide(self, principal: str, action: str, resource: str) -> Decision:
        """Whether a principal's policies allow an action on a resource."""
        with _asking("iam:SimulatePrincipalPolicy"):
            answer = self._client("iam").simulate_principal_policy(
                PolicySourceArn=principal, ActionNames=[action], ResourceArns=[resource]
            )
            (result,) = answer["EvaluationResults"]
            return Decision(result["EvalDecision"] == "allowed", result.get("MissingContextValues", []))

    def stack_status(self, name: str) -> str | None:
        """A stack's status, None if there is none."""
        with _asking("cloudformation:DescribeStacks"):
            try:
                (stack,) = self._client("cloudformation").describe_stacks(StackName=name)["Stacks"]
            except ClientError as refused:
                if _code(refused) == "ValidationError":
                    return None
                raise
            return str(stack["StackStatus"])

    def bucket(self, name: str) -> Taken:
        """Whether a bucket's name is free, the account's own, or somebody else's."""
        with _asking("s3:HeadBucket"):
            try:
                self._client("s3").head_bucket(Bucket=name)
            except ClientError as refused:
                status = refused.response["ResponseMetadata"]["HTTPStatusCode"]
                answers: dict[int, Taken] = {404: "free", 403: "foreign"}
                if status in answers:
                    return answers[status]
                raise
            return "own"

    def table(self, name: str) -> Taken:
        """Whether a DynamoDB table's name is free."""
        ask = partial(self._client("dynamodb").describe_table, TableName=name)
        return _taken("dynamodb:DescribeTable", ask, "ResourceNotFoundException")

    def database(self, name: str) -> Taken:
        """Whether a Glue database's name is free."""
        ask = partial(self._client("glue").get_database, Name=name)
        return _taken("glue:GetDatabase", ask, "EntityNotFoundException")

    def key_alias(self, name: str) -> Taken:
        """Whether a key's alias is free."""
        ask = partial(self._client("kms").describe_key, KeyId=name)
        return _taken("kms:DescribeKey", ask, "NotFoundException")

    def role(self, name: str) -> Taken:
        """Whether a role's name is free, which holds in every region."""
        return _taken("iam:GetRole", partial(self._client("iam").get_role, RoleName=name), "NoSuchEntity")

    def log_group(self, name: str) -> Taken:
        """Whether a log group's name is free."""
        with _asking("logs:DescribeLogGroups"):
            groups = self._client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
            return "own" if name in {group["logGroupName"] for group in groups} else "free"

    def concurrent_functions(self) -> int:
        """How many functions may run at once in the region."""
        with _asking("lambda:GetAccountSettings"):
            limits = self._client("lambda").get_account_settings()["AccountLimit"]
            return int(limits["ConcurrentExecutions"])

    def quotas(self, service: str) -> dict[str, float]:
        """A service's quotas by name: AWS's default, or what applies to the account where that is known."""
        found: dict[str, float] = {}
        for operation in ("list_aws_default_service_quotas", "list_service_quotas"):
            with _asking("servicequotas:ListServiceQuotas"):
                for page in (
                    self._client("service-quotas").get_paginator(operation).paginate(ServiceCode=service)
                ):
                    found |= {quota["QuotaName"]: float(quota["Value"]) for quota in page["Quotas"]}
        return found

    def networks(self) -> int:
        """How many VPCs the region has."""
        with _asking("ec2:DescribeVpcs"):
            return len(self._client("ec2").describe_vpcs()["Vpcs"])

    def region_enabled(self, region: str) -> bool:
        """Whether the account may use a region."""
        with _asking("ec2:DescribeRegions"):
            try:
                found = self._client("ec2").describe_regions(AllRegions=True, RegionNames=[region])["Regions"]
            except ClientError as refused:
                if _code(refused) == "InvalidParameterValue":
                    return False
                raise
            return any(each["OptInStatus"] != "not-opted-in" for each in found)

    def lake_formation(self) -> LakeFormationSettings:
        """Lake Formation's settings of the account."""
        with _asking("lakeformation:GetDataLakeSettings"):
            found = self._client("lakeformation").get_data_lake_settings()["DataLakeSettings"]
        defaults = found.get("CreateDatabaseDefaultPermissions", [])
        return LakeFormationSettings(
            [each["DataLakePrincipalIdentifier"] for each in found.get("DataLakeAdmins", [])],
            any(each["Principal"]["DataLakePrincipalIdentifier"] == OPEN_TO_IAM for each in defaults),
        )

    def catalog_encryption(self) -> str:
        """How the account's catalog is encrypted: DISABLED, or the mode."""
        with _asking("glue:GetDataCatalogEncryptionSettings"):
            found = self._client("glue").get_data_catalog_encryption_settings()[
                "DataCatalogEncryptionSettings"
            ]
            return str(found.get("EncryptionAtRest", {}).get("CatalogEncryptionMode", "DISABLED"))

    def probe(self, service: str) -> None:
        """Read something of a service. Raises ``NotAnswered`` if that is refused."""
        operation, arguments = PROBES[service]
        with _asking(service):
            getattr(self._client(service), operation)(**arguments)


def _taken(action: str, ask: Callable[[], Any], missing: str) -> Taken:
    with _asking(action):
        try:
            ask()
        except ClientError as refused:
            if _code(refused) == missing:
                return "free"
            raise
        return "own"


@contextmanager
def _asking(action: str) -> Iterator[None]:
    try:
        yield
    except ClientError as refused:
        raise NotAnswered(f"{action} answered {_code(refused)}") from refused
    except (BotoCoreError, ResponseParserError, KeyError, ValueError) as odd:
        # KeyError and ValueError: an answer without what AWS's always has, as an emulator may give.
        raise NotAnswered(f"{action} gave no answer ({type(odd).__name__})") from odd


def _code(refused: ClientError) -> str:
    return str(refused.response["Error"].get("Code", "an error"))
