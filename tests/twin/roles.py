"""The roles of the deployed stack."""

from __future__ import annotations

from collections.abc import Iterator

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
