"""Properties that ministack's CloudFormation drops, applied through the service's own API.

Every function takes the context, the resource's name and its properties, after each creation and each change.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twin.context import Context

JsonObject = dict[str, Any]


def bucket(context: Context, name: str, properties: JsonObject) -> None:
    """Encryption, lifecycle, access logging, tags and object ownership."""
    s3 = context.admin_client("s3")
    if encryption := properties.get("BucketEncryption"):
        rules = [
            {
                "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
                "BucketKeyEnabled": _true(rule.get("BucketKeyEnabled", False)),
            }
            for rule in encryption["ServerSideEncryptionConfiguration"]
        ]
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
    if lifecycle := properties.get("LifecycleConfiguration"):
        rules = [_lifecycle_rule(rule) for rule in lifecycle["Rules"]]
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
    if (logging := properties.get("LoggingConfiguration")) and logging.get("DestinationBucketName"):
        target = {
            "TargetBucket": logging["DestinationBucketName"],
            "TargetPrefix": logging.get("LogFilePrefix", ""),
            **{key: logging[key] for key in ("TargetObjectKeyFormat",) if key in logging},
        }
        s3.put_bucket_logging(Bucket=name, BucketLoggingStatus={"LoggingEnabled": target})
    if replication := properties.get("ReplicationConfiguration"):
        s3.put_bucket_replication(Bucket=name, ReplicationConfiguration=_replication(replication))
    if tags := properties.get("Tags"):
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
    if ownership := properties.get("OwnershipControls"):
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=ownership)


def _replication(configuration: JsonObject) -> JsonObject:
    """A bucket's replication in the words of the S3 API: other names for two fields, numbers as numbers."""
    rules = []
    for rule in configuration["Rules"]:
        kept = {key: value for key, value in rule.items() if key not in ("Id", "Priority", "Destination")}
        target = dict(rule["Destination"])
        for option, threshold in (("ReplicationTime", "Time"), ("Metrics", "EventThreshold")):
            if option in target:
                minutes = int(target[option][threshold]["Minutes"])
                target[option] = {**target[option], threshold: {"Minutes": minutes}}
        rules.append({**kept, "ID": rule["Id"], "Priority": int(rule["Priority"]), "Destination": target})
    return {"Role": configuration["Role"], "Rules": rules}


def _lifecycle_rule(rule: JsonObject) -> JsonObject:
    """A rule of a template in the words of the S3 API."""
    answer: JsonObject = {
        "ID": rule.get("Id", ""),
        "Status": rule["Status"],
        "Filter": {"Prefix": rule.get("Prefix", "")},
    }
    transitions = rule.get("Transitions") or ([rule["Transition"]] if "Transition" in rule else [])
    if transitions:
        answer["Transitions"] = [
            {"StorageClass": t["StorageClass"], "Days": int(t["TransitionInDays"])} for t in transitions
        ]
    if "ExpirationInDays" in rule:
        answer["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    if "ExpiredObjectDeleteMarker" in rule:
        answer["Expiration"] = {"ExpiredObjectDeleteMarker": _true(rule["ExpiredObjectDeleteMarker"])}
    noncurrent = rule.get("NoncurrentVersionExpiration")
    noncurrent_days = (
        noncurrent["NoncurrentDays"] if noncurrent else rule.get("NoncurrentVersionExpirationInDays")
    )
    if noncurrent_days:
        answer["NoncurrentVersionExpiration"] = {"NoncurrentDays": int(noncurrent_days)}
    if upload := rule.get("AbortIncompleteMultipartUpload"):
        answer["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": int(upload["DaysAfterInitiation"])}
    return answer


def table(context: Context, name: str, properties: JsonObject) -> None:
    """Point-in-time recovery, encryption, expiry and deletion protection of a DynamoDB table."""
    dynamodb = context.admin_client("dynamodb")
    if recovery := properties.get("PointInTimeRecoverySpecification"):
        enabled = {"PointInTimeRecoveryEnabled": _true(recovery["PointInTimeRecoveryEnabled"])}
        dynamodb.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=enabled)
    if expiry := properties.get("TimeToLiveSpecification"):
        wanted = {"AttributeName": expiry["AttributeName"], "Enabled": _true(expiry["Enabled"])}
        current = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]["TimeToLiveStatus"]
        if (current == "ENABLED") != wanted["Enabled"]:
            dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=wanted)
    changes: JsonObject = {}
    if encryption := properties.get("SSESpecification"):
        changes["SSESpecification"] = {
            "Enabled": _true(encryption.get("SSEEnabled", True)),
            "SSEType": encryption.get("SSEType", "KMS"),
            **({"KMSMasterKeyId": encryption["KMSMasterKeyId"]} if "KMSMasterKeyId" in encryption else {}),
        }
    if "DeletionProtectionEnabled" in properties:
        changes["DeletionProtectionEnabled"] = _true(properties["DeletionProtectionEnabled"])
    if changes:
        dynamodb.update_table(TableName=name, **changes)


def global_table(context: Context, name: str, properties: JsonObject) -> None:
    """The same for a global table, whose replica in the stack's region carries most of it."""
    [replica] = [r for r in properties["Replicas"] if r["Region"] == context.region]
    taken = ("PointInTimeRecoverySpecification", "DeletionProtectionEnabled")
    as_table = {key: replica[key] for key in taken if key in replica}
    as_table |= {key: properties[key] for key in ("TimeToLiveSpecification",) if key in properties}
    if encryption := properties.get("SSESpecification"):
        as_table["SSESpecification"] = {**encryption, **(replica.get("SSESpecification") or {})}
    table(context, name, as_table)
    _share(context, name, [r["Region"] for r in properties["Replicas"] if r is not replica])
    if tags := replica.get("Tags"):
        arn = f"arn:aws:dynamodb:{context.region}:{context.account}:table/{name}"
        context.admin_client("dynamodb").tag_resource(ResourceArn=arn, Tags=tags)


def _share(context: Context, name: str, regions: list[str]) -> None:
    """Let other regions see the table: the same one, so that what one writes is there in all at once."""
    from ministack.services import dynamodb

    for region in regions:
        dynamodb._tables.set_scoped(context.account, region, name, dynamodb._tables[name])


def function(context: Context, name: str, properties: JsonObject) -> None:
    """The subnets and security groups of a function."""
    if "VpcConfig" in properties:
        context.admin_client("lambda").update_function_configuration(
            FunctionName=name, VpcConfig=properties["VpcConfig"]
        )


def topic(context: Context, arn: str, properties: JsonObject) -> None:
    """The key of an SNS topic, and the limit of the policy a topic has by default."""
    from ministack.services import sns

    attributes = sns._topics[arn]["attributes"]
    policy = json.loads(attributes["Policy"])
    if policy.get("Id") == "__default_policy_ID":
        # Without it everybody may publish, whatever their own policies say. CreateTopic does set it.
        policy["Statement"][0]["Condition"] = {"StringEquals": {"AWS:SourceOwner": context.account}}
        attributes["Policy"] = json.dumps(policy)
    if key := properties.get("KmsMasterKeyId"):
        attributes["KmsMasterKeyId"] = key


def glue_job(_context: Context, name: str, properties: JsonObject) -> None:
    """What ministack's CreateJob and UpdateJob have no field for."""
    from ministack.services import glue

    kept = ("ExecutionProperty", "ExecutionClass", "JobMode", "JobRunQueuingEnabled", "MaintenanceWindow")
    job = glue._jobs[name]
    job.update({key: properties[key] for key in kept if key in properties})
    if "ExecutionProperty" in job:
        job["ExecutionProperty"] = {"MaxConcurrentRuns": int(job["ExecutionProperty"]["MaxConcurrentRuns"])}


def state_machine(_context: Context, arn: str, properties: JsonObject) -> None:
    """Logging and tracing as DescribeStateMachine words them."""
    from ministack.services import stepfunctions

    machine = stepfunctions._state_machines[arn]
    if logging := properties.get("LoggingConfiguration"):
        machine["loggingConfiguration"] = {
            "level": logging.get("Level", "OFF"),
            "includeExecutionData": _true(logging.get("IncludeExecutionData", False)),
            "destinations": [
                {"cloudWatchLogsLogGroup": {"logGroupArn": d["CloudWatchLogsLogGroup"]["LogGroupArn"]}}
                for d in logging.get("Destinations", [])
            ],
        }
    if tracing := properties.get("TracingConfiguration"):
        machine["tracingConfiguration"] = {"enabled": _true(tracing.get("Enabled", False))}


APPLIED: dict[str, Callable[[Context, str, JsonObject], None]] = {
    "AWS::S3::Bucket": bucket,
    "AWS::DynamoDB::GlobalTable": global_table,
    "AWS::Lambda::Function": function,
    "AWS::SNS::Topic": topic,
    "AWS::Glue::Job": glue_job,
    "AWS::StepFunctions::StateMachine": state_machine,
}


def _true(value: Any) -> bool:
    """A template's boolean, which a parameter delivers as text."""
    return str(value).lower() == "true"
