"""Which of the roles' grants the whole tier used: runs last, and only if the whole tier runs (see `conftest.py`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import pytest

from tests.twin.conftest import ROOT, STATE_DIR
from tests.twin.lake import TwinLake
from tests.twin.roles import roles
from twin.iam.usage import FILE

MOST_REASONS = 15
DOCS = "https://docs.aws.amazon.com"


class Reason(NamedTuple):
    """Why AWS needs grants that nothing in the twin uses."""

    cause: str
    source: str
    grants: tuple[str, ...]
    """``role:statement:action``; a star stands for what differs between roles that have one cause."""


def of(roles: str, sid: str, *actions: str) -> tuple[str, ...]:
    """The grants of one statement of some roles."""
    return tuple(f"{roles}:{sid}:{action}" for action in actions)


WRITE_LOGS = ("logs:CreateLogStream", "logs:PutLogEvents")
INTERFACES = ("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface")
REASONS = [
    Reason(
        "Lambda writes a function's log as its role.",
        f"{DOCS}/lambda/latest/dg/lambda-intro-execution-role.html",
        of("*FunctionRole", "WriteLogs", *WRITE_LOGS),
    ),
    Reason(
        "Glue writes the logs of jobs and crawlers as their roles.",
        f"{DOCS}/glue/latest/dg/create-service-policy.html",
        (
            *of("*JobRole", "WriteLogs", "logs:CreateLogGroup", *WRITE_LOGS),
            *of("*CrawlerRole", "WriteLogs", "logs:CreateLogGroup", *WRITE_LOGS),
        ),
    ),
    Reason(
        "VPC delivers its flow log as the log's role.",
        f"{DOCS}/vpc/latest/userguide/flow-logs-iam-role.html",
        of("FlowLogRole", "WriteLogs", "logs:DescribeLogStreams", *WRITE_LOGS),
    ),
    Reason(
        "Lambda connects a function to a network as its role.",
        f"{DOCS}/lambda/latest/dg/configuration-vpc.html",
        (
            *of("*FunctionRole", "MakeInterfaces", *INTERFACES),
            *of("*FunctionRole", "MakeInterfaces", "ec2:AssignPrivateIpAddresses"),
            *of("*FunctionRole", "MakeInterfaces", "ec2:UnassignPrivateIpAddresses"),
            *of("*FunctionRole", "SeeNetwork", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"),
        ),
    ),
    Reason(
        "Lambda keeps an event that failed as the function's role.",
        f"{DOCS}/lambda/latest/dg/invocation-async-retain-records.html",
        of("*FunctionRole", "KeepFailedEvents", "sqs:SendMessage"),
    ),
    Reason(
        "Lambda polls the queue as the function's role.",
        f"{DOCS}/lambda/latest/dg/services-sqs-configure.html",
        of(
            "IntakeFunctionRole",
            "ReadQueue",
            *("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
        ),
    ),
    Reason(
        "Glue writes a job's metrics as its role.",
        f"{DOCS}/aws-managed-policy/latest/reference/AWSGlueServiceRole.html",
        of("*JobRole", "WriteMetrics", "cloudwatch:PutMetricData"),
    ),
    Reason(
        "Glue connects a job to a network as its role, by the connection that the job names.",
        f"{DOCS}/glue/latest/dg/create-service-policy.html",
        (
            *of("*JobRole", "MakeInterfaces", *INTERFACES),
            *of("*JobRole", "TagInterfaces", "ec2:CreateTags", "ec2:DeleteTags"),
            *of("*JobRole", "SeeNetwork", "ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables"),
            *of("*JobRole", "SeeNetwork", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets"),
            *of("*JobRole", "SeeNetwork", "ec2:DescribeVpcAttribute", "ec2:DescribeVpcEndpoints"),
            *of("*JobRole", "ReadConnections", "glue:GetConnection"),
        ),
    ),
    Reason(
        "Glue's own crawler asks for its bucket's region, and compares and changes partitions one by one.",
        f"{DOCS}/glue/latest/dg/create-service-policy.html",
        (
            *of("*CrawlerRole", "ListBronze", "s3:GetBucketLocation"),
            *of("*CrawlerRole", "ManageBronzeTables", "glue:GetDatabase", "glue:GetTables"),
            *of("*CrawlerRole", "ManageBronzeTables", "glue:GetPartition", "glue:GetPartitions"),
            *of("*CrawlerRole", "ManageBronzeTables", "glue:BatchGetPartition"),
            *of("*CrawlerRole", "ManageBronzeTables", "glue:CreatePartition", "glue:UpdatePartition"),
            # Where a run of the dataset has not added the partitions before, which it always has here.
            *of(
                "ScheduledCrawlerRole", "ManageBronzeTables", "glue:BatchCreatePartition", "glue:UpdateTable"
            ),
        ),
    ),
    Reason(
        "Glue encrypts what a job with a security configuration writes, and its bookmark, as the job's role.",
        f"{DOCS}/glue/latest/dg/set-up-encryption.html",
        of("*JobRole", "EncryptAsJob", "kms:Encrypt"),
    ),
    Reason(
        "Step Functions delivers a machine's log as its role.",
        f"{DOCS}/step-functions/latest/dg/cw-logs.html",
        of(
            "*StateMachineRole",
            "DeliverLogs",
            *("logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:GetLogDelivery"),
            *("logs:ListLogDeliveries", "logs:UpdateLogDelivery", "logs:CreateLogStream"),
            *("logs:DescribeLogGroups", "logs:DescribeResourcePolicies", "logs:PutResourcePolicy"),
        ),
    ),
    Reason(
        "Step Functions asks for it to run a Glue job and wait for its end.",
        f"{DOCS}/step-functions/latest/dg/connect-glue.html",
        of("*StateMachineRole", "RunJob", "glue:GetJobRuns"),
    ),
    Reason(
        "CloudFormation makes the second region's stack as these roles; the twin makes it by itself.",
        f"{DOCS}/AWSCloudFormation/latest/UserGuide/stacksets-prereqs-self-managed.html",
        (
            *of("ReplicaAdministrationRole", "TakeExecutionRole", "sts:AssumeRole"),
            *of("ReplicaExecutionRole", "MakeStack", "cloudformation:*"),
            *of("ReplicaExecutionRole", "ReadTemplates", "cloudformation:*"),
            *of("ReplicaExecutionRole", "ReadTemplateFiles", "s3:GetObject"),
            *of("ReplicaExecutionRole", "MakeBuckets", "s3:*"),
            *of("ReplicaExecutionRole", "MakeKey", "kms:*"),
            *of("ReplicaExecutionRole", "MakeReplicaOfKey", "kms:*"),
            *of("ReplicaExecutionRole", "MakeAlarms", "cloudwatch:*"),
            *of("ReplicaExecutionRole", "MakeTopic", "sns:*"),
        ),
    ),
    Reason(
        "Lake Formation requires it of a location's role.",
        f"{DOCS}/lake-formation/latest/dg/registration-role.html",
        of("LocationRole", "ListLocations", "s3:ListBucket"),
    ),
]
"""At most fifteen, each a thing that only AWS does."""


class Grant(NamedTuple):
    """One action that one statement of a role's policies allows."""

    role: str
    sid: str
    action: str

    def __str__(self) -> str:
        return ":".join(self)


def statements(iam: Any, role: str) -> Iterator[dict[str, Any]]:
    """Every statement that allows something to a role."""
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = attached["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        documents.append(
            iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        )
    for document in documents:
        yield from (each for each in document["Statement"] if each["Effect"] == "Allow")


def granted(lake: TwinLake) -> set[Grant]:
    iam, found = lake.client("iam"), set()
    for logical_id, name in roles(lake):
        for statement in statements(iam, name):
            actions = statement["Action"]
            for action in [actions] if isinstance(actions, str) else actions:
                found.add(Grant(logical_id, statement["Sid"], action))
    return found


def used(lake: TwinLake) -> set[Grant]:
    logical_ids = {name: logical_id for logical_id, name in roles(lake)}
    lines = (ROOT / STATE_DIR / FILE).read_text().splitlines()
    uses = [json.loads(line) for line in lines]
    return {
        Grant(logical_ids[use["role"]], use["sid"], use["action"])
        for use in uses
        if use["role"] in logical_ids
    }


def unused(lake: TwinLake) -> set[str]:
    return {str(grant) for grant in granted(lake) - used(lake)}


@pytest.mark.whole_tier
def test_every_grant_was_used_or_has_its_reason(deployed: TwinLake) -> None:
    known = [pattern for reason in REASONS for pattern in reason.grants]
    reasonless = {g for g in unused(deployed) if not any(fnmatchcase(g, pattern) for pattern in known)}
    assert sorted(reasonless) == []


@pytest.mark.whole_tier
def test_every_reason_is_still_one(deployed: TwinLake) -> None:
    """Nothing that a reason names was used, and no role is without it: else the reason is too broad or gone."""
    left = unused(deployed)
    grants = {str(grant) for grant in granted(deployed)}
    for reason in REASONS:
        for pattern in reason.grants:
            matched = {grant for grant in grants if fnmatchcase(grant, pattern)}
            assert matched, f"{pattern}: there is no such grant"
            assert sorted(matched - left) == [], f"{pattern}: used"
    assert len(REASONS) <= MOST_REASONS
