"""The second region: what S3, KMS and CloudFormation take without a word and then do not do."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from lakehouse_cli.templates import Place, read_environment, read_template
from tests.infra.templates import ROOT, SAM, listed, resource, resources, run_tool, template, text

COPIED = {"Bronze": "bronze", "Silver": "silver", "Gold": "gold", "Operations": "ops"}


def rule(layer: str) -> dict[str, Any]:
    condition, copied, otherwise = resource(f"{layer}Bucket").properties["ReplicationConfiguration"]["Fn::If"]
    assert (condition, otherwise) == ("HasReplica", {"Ref": "AWS::NoValue"})
    assert copied["Role"] == {"Ref": "ReplicationRoleArn"}
    [only] = copied["Rules"]
    return dict(only)


def test_all_buckets_but_that_of_results_are_copied() -> None:
    with_rules = {b.name for b in resources("AWS::S3::Bucket") if "ReplicationConfiguration" in b.properties}
    assert with_rules == {f"{layer}Bucket" for layer in COPIED}


@pytest.mark.parametrize("layer", COPIED)
def test_a_rule_has_everything_that_a_rule_needs(layer: str) -> None:
    found = rule(layer)
    assert (found["Status"], found["Priority"], found["Filter"]) == ("Enabled", 1, {"Prefix": ""})
    # A filter without this is refused.
    assert found["DeleteMarkerReplication"] == {"Status": "Enabled"}
    # Without this, whatever is under the lake's key is left out, silently.
    assert found["SourceSelectionCriteria"] == {"SseKmsEncryptedObjects": {"Status": "Enabled"}}
    target = found["Destination"]
    assert target["EncryptionConfiguration"] == {"ReplicaKmsKeyID": {"Ref": "ReplicaKeyArn"}}
    # Fifteen minutes is the only time there is, and it needs metrics.
    assert target["ReplicationTime"] == {"Status": "Enabled", "Time": {"Minutes": 15}}
    assert target["Metrics"] == {"Status": "Enabled", "EventThreshold": {"Minutes": 15}}
    assert resource(f"{layer}Bucket").properties["VersioningConfiguration"] == {"Status": "Enabled"}


@pytest.mark.parametrize("layer", COPIED)
def test_a_rule_names_the_bucket_that_the_second_region_has(layer: str) -> None:
    there = text(resource(f"{layer}ReplicaBucket").properties["BucketName"])
    named = text(rule(layer)["Destination"]["Bucket"])
    assert named == f"arn:${{AWS::Partition}}:s3:::{there.replace('AWS::Region', 'ReplicaRegion')}"
    assert f"-{COPIED[layer]}-dr-" in there
    here = text(resource(f"{layer}Bucket").properties["BucketName"])
    assert here != there


def test_a_replicas_name_always_fits() -> None:
    longest = "a" * 16 + "-prod-bronze-dr-" + "1" * 12 + "-ap-northeast-1" + "-b2"
    assert len(longest) <= 63
    assert max(len(word) for word in COPIED.values()) == len("bronze")


def statements_of(name: str) -> dict[str, dict[str, Any]]:
    properties = resource(name).properties
    document = properties.get("PolicyDocument") or properties["Policies"][0]["PolicyDocument"]
    return {s["Sid"]: s for s in document["Statement"]}


def test_the_copying_role_may_read_write_open_and_close() -> None:
    granted = statements_of("ReplicationRole")
    assert granted["SeeSources"]["Action"] == ["s3:GetReplicationConfiguration", "s3:ListBucket"]
    assert "s3:GetObjectVersionForReplication" in granted["ReadSources"]["Action"]
    assert granted["WriteReplicas"]["Action"] == ["s3:ReplicateDelete", "s3:ReplicateObject"]
    sources = {text(r).rpartition(":::")[2] for r in granted["SeeSources"]["Resource"]}
    assert sources == {text(resource(f"{layer}Bucket").properties["BucketName"]) for layer in COPIED}
    assert {text(r).rpartition(":::")[2] for r in granted["ReadSources"]["Resource"]} == {
        f"{s}/*" for s in sources
    }
    assert granted["OpenSources"]["Action"] == "kms:Decrypt"
    assert granted["CloseReplicas"]["Action"] == ["kms:Decrypt", "kms:Encrypt"]
    assert ":${ReplicaRegion}:" in text(granted["CloseReplicas"]["Resource"])


def test_the_replica_comes_before_the_buckets_and_its_roles_before_it() -> None:
    storage = resource("Storage").properties["Parameters"]
    role = {"Fn::GetAtt": ["Replication", "Outputs.RoleArn"]}
    assert storage["ReplicationRoleArn"] == {"Fn::If": ["HasReplica", role, ""]}
    stack_set = resource("ReplicaStackSet")
    assert stack_set.body["DependsOn"] == "ReplicaExecutionPolicy"
    assert stack_set.properties["PermissionModel"] == "SELF_MANAGED"
    assert resource("ReplicaExecutionPolicy").properties["Roles"] == [{"Ref": "ReplicaExecutionRole"}]


def test_the_roles_of_the_stack_set_trust_as_they_must() -> None:
    def trust(name: str) -> dict[str, Any]:
        [only] = resource(name).properties["AssumeRolePolicyDocument"]["Statement"]
        return dict(only)

    assert trust("ReplicaAdministrationRole")["Principal"] == {"Service": "cloudformation.amazonaws.com"}
    execution = trust("ReplicaExecutionRole")
    assert text(execution["Principal"]["AWS"]).endswith(":root")
    administration = {"Fn::GetAtt": ["ReplicaAdministrationRole", "Arn"]}
    assert execution["Condition"] == {"ArnEquals": {"aws:PrincipalArn": administration}}
    taken = statements_of("ReplicaAdministrationRole")["TakeExecutionRole"]
    assert taken["Action"] == "sts:AssumeRole"
    assert "-ReplicaExecutionRole-" in text(taken["Resource"])


REPLICA = "infrastructure/replica.yaml"
HANDLERS = """
import json, sys
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER as schemas
print(json.dumps({t: schemas.get_resource_schema("us-west-2", t).schema["handlers"] for t in sys.argv[1:]}))
"""
"""Prints what CloudFormation calls for types, as their schemas of its registry say, which cfn-lint carries."""

WRITES = {
    "AWS::S3::Bucket": {
        "BucketName": ["s3:CreateBucket"],
        "BucketEncryption": ["s3:PutEncryptionConfiguration"],
        "LifecycleConfiguration": ["s3:PutLifecycleConfiguration"],
        "LoggingConfiguration": ["s3:PutBucketLogging"],
        "OwnershipControls": ["s3:PutBucketOwnershipControls"],
        "PublicAccessBlockConfiguration": ["s3:PutBucketPublicAccessBlock"],
        "Tags": ["s3:PutBucketTagging", "s3:TagResource", "s3:UntagResource"],
        "VersioningConfiguration": ["s3:PutBucketVersioning"],
    },
    "AWS::SNS::Topic": {
        "DisplayName": ["sns:SetTopicAttributes"],
        "KmsMasterKeyId": ["sns:SetTopicAttributes"],
        "Tags": ["sns:TagResource", "sns:UntagResource"],
        "TopicName": ["sns:CreateTopic"],
    },
    "AWS::SNS::Subscription": {
        "Endpoint": ["sns:Subscribe"],
        "Protocol": ["sns:Subscribe"],
        "TopicArn": ["sns:Subscribe"],
    },
}
"""What writes each property of the types whose schema lists calls for properties that we do not use."""


@cache
def handlers() -> dict[str, dict[str, dict[str, list[str]]]]:
    types = sorted({r.type for r in resources() if r.template == REPLICA})
    printed = run_tool(SAM.with_name("python"), "-c", HANDLERS, *types)
    assert printed.returncode == 0, printed.stderr
    return dict(json.loads(printed.stdout))


def granted_to_the_stack_set() -> set[str]:
    statements = statements_of("ReplicaExecutionPolicy").values()
    return {action for statement in statements for action in listed(statement["Action"])}


@pytest.mark.parametrize("type_", sorted({r.type for r in resources() if r.template == REPLICA}))
def test_the_stack_set_may_read_and_delete_what_it_makes(type_: str) -> None:
    """Without one of these the second region's stack fails, and the whole first deployment of prod with it."""
    calls = handlers()[type_]
    needed = {action for kind in ("read", "delete") for action in calls.get(kind, {}).get("permissions", [])}
    assert needed - granted_to_the_stack_set() == set()


@pytest.mark.parametrize("type_", sorted({r.type for r in resources() if r.template == REPLICA}))
def test_the_stack_set_may_write_every_property_that_the_replica_uses(type_: str) -> None:
    calls = handlers()[type_]
    listed_there = {
        action for kind in ("create", "update") for action in calls.get(kind, {}).get("permissions", [])
    }
    needed = listed_there
    if type_ in WRITES:
        used = {name for r in resources(type_) if r.template == REPLICA for name in r.properties}
        # A property that is new here has to say first what writes it.
        assert used - set(WRITES[type_]) == set()
        needed = {action for name in used for action in WRITES[type_][name]}
        assert needed - listed_there == set()
    assert needed - granted_to_the_stack_set() == set()


def test_the_stack_set_gives_its_template_every_parameter() -> None:
    given = {p["ParameterKey"] for p in resource("ReplicaStackSet").properties["Parameters"]}
    assert given == set(template("infrastructure/replica.yaml")["Parameters"])
    # Transforms, and the types of SAM, are nothing for a stack set.
    assert "Transform" not in template("infrastructure/replica.yaml")
    assert not [r for r in resources() if r.template.endswith("replica.yaml") and "Serverless" in r.type]


def test_what_is_kept_there_is_kept_as_long_as_here() -> None:
    for layer in COPIED:
        kept = []
        for name in (f"{layer}Bucket", f"{layer}ReplicaBucket"):
            rules = resource(name).properties["LifecycleConfiguration"]["Rules"]
            kept.append(
                [r["NoncurrentVersionExpiration"] for r in rules if "NoncurrentVersionExpiration" in r]
            )
        assert kept[0] == kept[1], layer


@pytest.mark.parametrize(("environment", "there"), [("dev", False), ("prod", True)])
def test_only_prod_has_a_second_region(environment: str, there: bool) -> None:
    found = list(read_template(ROOT, read_environment(ROOT, environment), Place()).resources())
    assert any(r.type == "AWS::KMS::ReplicaKey" for r in found) is there
    tables = [r for r in found if r.type == "AWS::DynamoDB::GlobalTable"]
    assert {len(table.get("Replicas")) for table in tables} == {2 if there else 1}
    assert ("us-west-2" in json.dumps([t.get("Replicas") for t in tables])) is there
