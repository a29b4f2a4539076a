"""The roles of the deployed stack, and acting as one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.twin.account import Account
from tests.twin.lake import STACK, TwinLake


def roles(lake: TwinLake) -> Iterator[tuple[str, str]]:
    """Logical id and name of every role of the stack and its nested ones."""
    cloudformation, stacks = lake.client("cloudformation"), [STACK]
    while stacks:
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stacks.pop())
        for resource in (resource for page in pages for resource in page["StackResourceSummaries"]):
            if resource["ResourceType"] == "AWS::CloudFormation::Stack":
                stacks.append(resource["PhysicalResourceId"])
            elif resource["ResourceType"] == "AWS::IAM::Role":
                yield resource["LogicalResourceId"], resource["PhysicalResourceId"]


@contextmanager
def acting_as(administrator: Account, role: str) -> Iterator[Account]:
    """A session of a service's role, which trusts the administrator for the moment."""
    iam = administrator.client("iam")
    described = iam.get_role(RoleName=role)["Role"]
    trust = described["AssumeRolePolicyDocument"]
    people = {
        "Effect": "Allow",
        "Principal": {"AWS": described["Arn"].split(":")[4]},
        "Action": "sts:AssumeRole",
    }
    opened = {"Version": "2012-10-17", "Statement": [*trust["Statement"], people]}
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(opened))
    try:
        yield administrator.assume(described["Arn"])
    finally:
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))
