"""Replication: as the rule's role, and under the rule's key.

ministack copies an object as it is, whatever the role may and the rule says of encryption. The permissions:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/setting-repl-config-perm-overview.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-config-for-kms-objects.html (a bucket key
at the destination is opened before it is used, hence ``kms:Decrypt`` there too).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from twin import hooks
from twin.context import Context
from twin.errors import RoleUnusableError

JsonObject = dict[str, Any]
ALGORITHM = "x-amz-server-side-encryption"
KEY = f"{ALGORITHM}-aws-kms-key-id"
Need = tuple[str, str, str]
"""An action, on what, and the region it is done in."""


def install(s3: ModuleType, context: Context) -> None:
    """Put a check and the replica's encryption before the copying."""
    from ministack.core import iam_evaluator

    hooks.require(iam_evaluator, "EvalContext", "evaluate", "_gather_role_policies")
    hooks.require(s3, "_replication_rule_for", "_stored_sse_headers", "_bucket_replication")
    hooks.replace(
        s3, "_maybe_replicate", lambda original: functools.partial(_replicate, s3, context, original)
    )
    hooks.replace(
        s3,
        "_maybe_replicate_delete_marker",
        lambda original: functools.partial(_replicate_delete_marker, s3, context, original),
    )


def _replicate(
    s3: ModuleType,
    context: Context,
    original: Callable[..., None],
    bucket: str,
    key: str,
    stored: JsonObject,
    data: Any,
    tags: dict[str, str] | None = None,
) -> None:
    """Copy an object if a rule says so; its status is FAILED where the role may not."""
    rule, role = s3._replication_rule_for(bucket, key, tags)
    if rule is None:
        return
    encryption = s3._stored_sse_headers(stored)
    if encryption.get(KEY) and "SourceSelectionCriteria" not in rule:
        return  # S3 leaves objects under a customer-managed key alone unless the rule names them
    replica_key = rule["Destination"].get("EncryptionConfiguration", {}).get("ReplicaKmsKeyID")
    needs = _needs(context, bucket, key, rule, encryption.get(KEY), replica_key)
    if not _may(context, role, needs):
        stored["replication_status"] = "FAILED"
        return
    copied = dict(stored)
    if replica_key:
        own = {**stored.get("preserved_headers", {}), ALGORITHM: "aws:kms", KEY: replica_key}
        copied["preserved_headers"] = own
    original(bucket, key, copied, data, tags)
    if tags and not _may(context, role, iter([_of_tags(context, bucket, key)])):
        copied.pop("_replica", None)  # by which the emulator finds the copy that is to have the tags too
    stored.update({name: copied[name] for name in ("replication_status", "_replica") if name in copied})


def _of_tags(context: Context, bucket: str, key: str) -> Need:
    """Without it S3 copies an object and leaves its tags; writing them is a part of ReplicateObject."""
    return "s3:GetObjectVersionTagging", f"arn:aws:s3:::{bucket}/{key}", context.region


def _replicate_delete_marker(
    s3: ModuleType, context: Context, original: Callable[..., None], bucket: str, key: str
) -> None:
    """Copy a delete marker, unless the role may not."""
    rule, role = s3._replication_rule_for(bucket, key, None)
    if rule is None or _may(context, role, _needs_of_delete_marker(context, bucket, key, rule)):
        original(bucket, key)


def _needs_of_delete_marker(context: Context, bucket: str, key: str, rule: JsonObject) -> Iterator[Need]:
    yield "s3:GetReplicationConfiguration", f"arn:aws:s3:::{bucket}", context.region
    yield "s3:ListBucket", f"arn:aws:s3:::{bucket}", context.region
    yield "s3:ReplicateDelete", f"{rule['Destination']['Bucket']}/{key}", context.region


def _needs(
    context: Context, bucket: str, key: str, rule: JsonObject, source_key: str | None, replica_key: str | None
) -> Iterator[Need]:
    yield "s3:GetReplicationConfiguration", f"arn:aws:s3:::{bucket}", context.region
    yield "s3:GetObjectVersionForReplication", f"arn:aws:s3:::{bucket}/{key}", context.region
    yield "s3:GetObjectVersionAcl", f"arn:aws:s3:::{bucket}/{key}", context.region
    yield "s3:ReplicateObject", f"{rule['Destination']['Bucket']}/{key}", context.region
    uses = (("kms:Decrypt", source_key), ("kms:Encrypt", replica_key), ("kms:Decrypt", replica_key))
    for action, arn in uses:
        if arn:
            yield action, arn, arn.split(":")[3]


def _may(context: Context, role: str, needs: Iterator[Need]) -> bool:
    """Whether S3 may take the role, and the role's policies allow everything."""
    from ministack.core.iam_evaluator import EvalContext, _gather_role_policies, evaluate

    try:
        context.require_role(role, "s3.amazonaws.com")
    except RoleUnusableError:
        return False
    name = role.rsplit("/", 1)[-1]
    policies = _gather_role_policies(name, context.account)
    asked = (
        EvalContext(
            principal_arn=f"arn:aws:sts::{context.account}:assumed-role/{name}/s3-replication",
            principal_type="AssumedRole",
            principal_account=context.account,
            action=action,
            resource_arn=resource,
            region=region,
            service_context={"kms:viaservice": f"s3.{region}.amazonaws.com"},
        )
        for action, resource, region in needs
    )
    return all(evaluate(each, policies).decision == "Allow" for each in asked)
