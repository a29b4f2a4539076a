"""Prod over two regions and in a private network, deployed by the real command from the real `samconfig.toml`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.twin.account import wait_for
from tests.twin.conftest import ROOT, STATE_DIR, deploy
from tests.twin.lake import STACK, TwinLake
from tests.twin.topic import messages_on
from twin.deploy import Target
from twin.settings import Settings

SECOND_REGION = "us-west-2"
IGNORED = "airlines/_SUCCESS"
"""A key that the ledger only notes, so that no run starts."""


@dataclass(frozen=True)
class Prod:
    """The deployed prod lake."""

    target: Target
    outputs: Mapping[str, str]

    def client(self, service: str, region: str = "us-east-1") -> Any:
        endpoint = self.target.endpoint
        session: Any = boto3.session.Session()
        return session.client(
            service,
            endpoint_url=endpoint["endpoint"],
            region_name=region,
            verify=endpoint["ca_bundle"],
            aws_access_key_id=endpoint["access_key"],
            aws_secret_access_key=endpoint["secret_key"],
        )

    def there(self, service: str) -> Any:
        return self.client(service, SECOND_REGION)

    def copy_of(self, layer: str) -> str:
        """The name of a bucket's replica."""
        here = self.outputs[f"{layer}BucketName"]
        word = {"Operations": "ops"}.get(layer, layer.lower())
        return here.replace(f"-{layer.lower()}-", f"-{word}-dr-").replace("us-east-1", SECOND_REGION)


@pytest.fixture(scope="module")
def prod(deployed: TwinLake) -> Prod:
    target = Target.find(Settings(ROOT, state_folder=ROOT / STATE_DIR))
    return Prod(target, deployed.cli.outputs)


def test_the_second_region_has_a_stack_of_its_own(prod: Prod) -> None:
    stacks = prod.there("cloudformation").list_stacks()["StackSummaries"]
    [stack] = [s for s in stacks if s["StackName"].startswith("StackSet-lake-prod-replica-")]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    for layer in ("Bronze", "Silver", "Gold", "Operations"):
        location = prod.there("s3").get_bucket_location(Bucket=prod.copy_of(layer))
        assert location["LocationConstraint"] == SECOND_REGION


def test_copies_that_lag_are_told_from_where_they_are(prod: Prod) -> None:
    """S3 measures there, alarms look at their own region only, and so the topic and its key are there too."""
    alarms = prod.there("cloudwatch").describe_alarms(AlarmNamePrefix="lake-prod-")["MetricAlarms"]
    assert sorted(alarm["AlarmName"] for alarm in alarms) == [
        "lake-prod-bronze-lag",
        "lake-prod-gold-lag",
        "lake-prod-operations-lag",
        "lake-prod-silver-lag",
    ]
    [topic] = {action for alarm in alarms for action in alarm["AlarmActions"]}
    assert topic.split(":")[3] == SECOND_REGION
    with messages_on(prod.there, topic) as heard:
        prod.there("cloudwatch").set_alarm_state(
            AlarmName="lake-prod-bronze-lag", StateValue="ALARM", StateReason="a test"
        )
        [message] = wait_for(heard)
    assert json.loads(message)["AlarmDescription"].endswith("See docs/runbook.md#copies-lag")


def test_an_object_is_copied_to_the_second_region_and_encrypted_there(prod: Prod) -> None:
    here, there = prod.client("s3"), prod.there("s3")
    bucket = prod.outputs["BronzeBucketName"]
    here.put_object(Bucket=bucket, Key=IGNORED, Body=b"done")
    assert here.head_object(Bucket=bucket, Key=IGNORED)["ReplicationStatus"] == "COMPLETED"

    copied = there.get_object(Bucket=prod.copy_of("Bronze"), Key=IGNORED)
    assert copied["Body"].read() == b"done"
    assert copied["ReplicationStatus"] == "REPLICA"
    assert copied["ServerSideEncryption"] == "aws:kms"
    own = prod.there("kms").describe_key(KeyId="alias/lake-prod-dr")["KeyMetadata"]
    assert copied["SSEKMSKeyId"] == own["Arn"]
    assert own["Arn"].split(":")[3] == SECOND_REGION
    assert own["MultiRegionConfiguration"]["MultiRegionKeyType"] == "REPLICA"

    here.delete_object(Bucket=bucket, Key=IGNORED)
    with pytest.raises(ClientError, match="NoSuchKey"):
        there.get_object(Bucket=prod.copy_of("Bronze"), Key=IGNORED)


@contextmanager
def copying_without(prod: Prod, action: str) -> Iterator[None]:
    """While it lasts, the role that copies is not allowed one action."""
    iam, bucket = prod.client("iam"), prod.outputs["SilverBucketName"]
    rules = prod.client("s3").get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]
    role = rules["Role"].rpartition("/")[2]
    policy = iam.get_role_policy(RoleName=role, PolicyName="replicate")["PolicyDocument"]
    denied = {"Sid": "Denied", "Effect": "Deny", "Action": action, "Resource": "*"}
    less = {**policy, "Statement": [*policy["Statement"], denied]}
    put: Callable[..., Any] = iam.put_role_policy
    put(RoleName=role, PolicyName="replicate", PolicyDocument=json.dumps(less))
    try:
        yield
    finally:
        put(RoleName=role, PolicyName="replicate", PolicyDocument=json.dumps(policy))


@pytest.mark.parametrize(
    "action",
    [
        "kms:Encrypt",
        "kms:Decrypt",
        "s3:GetReplicationConfiguration",
        "s3:GetObjectVersionForReplication",
        "s3:GetObjectVersionAcl",
        "s3:ReplicateObject",
    ],
)
def test_nothing_is_copied_when_the_role_may_not(prod: Prod, action: str) -> None:
    s3, bucket = prod.client("s3"), prod.outputs["SilverBucketName"]
    with copying_without(prod, action):
        s3.put_object(Bucket=bucket, Key="kept/here", Body=b"x")
        assert s3.head_object(Bucket=bucket, Key="kept/here")["ReplicationStatus"] == "FAILED"
    s3.delete_object(Bucket=bucket, Key="kept/here")


def test_tags_are_copied_by_who_may_read_them(prod: Prod) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/setting-repl-config-perm-overview.html"""
    here, there, bucket = prod.client("s3"), prod.there("s3"), prod.outputs["SilverBucketName"]

    def copied_tags(key: str) -> dict[str, str]:
        here.put_object(Bucket=bucket, Key=key, Body=b"x", Tagging="owner=me")
        found = there.get_object_tagging(Bucket=prod.copy_of("Silver"), Key=key)["TagSet"]
        here.delete_object(Bucket=bucket, Key=key)
        return {tag["Key"]: tag["Value"] for tag in found}

    assert copied_tags("kept/tagged") == {"owner": "me"}
    with copying_without(prod, "s3:GetObjectVersionTagging"):
        assert copied_tags("kept/untagged") == {}


@pytest.mark.parametrize("action", ["s3:ListBucket", "s3:ReplicateDelete"])
def test_a_deletion_is_not_copied_when_the_role_may_not(prod: Prod, action: str) -> None:
    here, there, bucket = prod.client("s3"), prod.there("s3"), prod.outputs["SilverBucketName"]
    here.put_object(Bucket=bucket, Key="kept/there", Body=b"x")
    with copying_without(prod, action):
        here.delete_object(Bucket=bucket, Key="kept/there")
    assert there.get_object(Bucket=prod.copy_of("Silver"), Key="kept/there")["Body"].read() == b"x"


def test_the_ledger_is_in_both_regions(prod: Prod) -> None:
    table = prod.outputs["LedgerTableName"]
    item = {"pk": {"S": "REGIONS"}, "sk": {"S": "REGIONS"}}
    prod.client("dynamodb").put_item(TableName=table, Item=item)
    assert prod.there("dynamodb").get_item(TableName=table, Key=item)["Item"] == item
    prod.client("dynamodb").delete_item(TableName=table, Key=item)


def test_functions_and_jobs_are_in_the_network(prod: Prod) -> None:
    ec2 = prod.client("ec2")
    [network] = ec2.describe_vpcs(Filters=[{"Name": "tag:lake", "Values": ["lake"]}])["Vpcs"]
    inside = prod.client("lambda").get_function_configuration(FunctionName="lake-prod-intake")["VpcConfig"]
    assert inside["VpcId"] == network["VpcId"]
    assert len(inside["SubnetIds"]) == 2
    outside = prod.client("lambda").get_function_configuration(FunctionName="lake-prod-assets")
    assert not outside.get("VpcConfig", {}).get("SubnetIds")
    job = prod.client("glue").get_job(JobName="lake-prod-silver")["Job"]
    assert job["Connections"]["Connections"] == ["lake-prod-first", "lake-prod-second"]
    [flow_log] = ec2.describe_flow_logs()["FlowLogs"]
    assert (flow_log["ResourceId"], flow_log["TrafficType"]) == (network["VpcId"], "ALL")


def test_a_stack_set_needs_roles_that_trust_each_other(prod: Prod) -> None:
    cloudformation = prod.client("cloudformation")
    trust = '{"Statement": [{"Effect": "Allow", "Principal": {"Service": "%s"}, "Action": "sts:AssumeRole"}]}'
    for name, service in (("regions-admin", "cloudformation"), ("regions-execution", "lambda")):
        document = trust % f"{service}.amazonaws.com"
        prod.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document)
    stack_set = {
        "StackSetName": "regions",
        "PermissionModel": "SELF_MANAGED",
        "AdministrationRoleARN": "arn:aws:iam::000000000000:role/regions-admin",
        "ExecutionRoleName": "regions-execution",
        "TemplateURL": "https://unread.example/template",
        "StackInstancesGroup": [
            {"DeploymentTargets": {"Accounts": ["000000000000"]}, "Regions": [SECOND_REGION]}
        ],
    }
    body = json.dumps(
        {"Resources": {"Set": {"Type": "AWS::CloudFormation::StackSet", "Properties": stack_set}}}
    )
    cloudformation.create_stack(StackName="regions", TemplateBody=body)
    with pytest.raises(Exception, match="failed"):
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName="regions", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
    events = cloudformation.describe_stack_events(StackName="regions")["StackEvents"]
    reasons = [e.get("ResourceStatusReason", "") for e in events]
    assert any("regions-execution does not trust" in reason for reason in reasons)


def test_deployed_once_more_nothing_changes(prod: Prod) -> None:
    before = resources(prod)
    deploy()
    assert resources(prod) == before


def resources(prod: Prod) -> dict[tuple[str, str], tuple[str, str]]:
    """Physical id and the time of the last change of every resource, those of nested stacks among them."""
    cloudformation, stacks, found = prod.client("cloudformation"), [STACK], {}
    while stacks:
        stack = stacks.pop()
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
        for each in (each for page in pages for each in page["StackResourceSummaries"]):
            found[stack, each["LogicalResourceId"]] = (
                each["PhysicalResourceId"],
                str(each["LastUpdatedTimestamp"]),
            )
            if each["ResourceType"] == "AWS::CloudFormation::Stack":
                stacks.append(each["PhysicalResourceId"])
    return found
