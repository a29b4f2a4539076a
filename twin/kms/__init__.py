"""KMS: who reads or writes what a customer-managed key encrypts needs that key too.

ministack stores which key a bucket or topic names and encrypts nothing. The permission, by IAM and by the
key's policy, is what a template gets wrong, so the permission is what is checked. The actions are from
https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html and
https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html. DynamoDB opens a table key for each caller,
and keeps it for minutes, which the twin does not:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, unquote

from twin import hooks
from twin.context import Context

Handler = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[Any]]
READ, WRITE = ("kms:Decrypt",), ("kms:GenerateDataKey",)
WRITE_PART = (*WRITE, *READ)
"""A part of a multipart upload: S3 opens the upload's data key for it."""
KEY_HEADER = "x-amz-server-side-encryption-aws-kms-key-id"
SUBRESOURCES = {"acl", "tagging", "retention", "legal-hold", "attributes", "torrent", "restore", "select"}
FORBIDDEN = 403
REFUSALS = {"s3": "AccessDenied", "sns": "KMSAccessDenied", "dynamodb": "AccessDeniedException"}
"""What each service calls it when the key is refused."""
ITEM_ACTIONS = {
    *("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan"),
    *("BatchGetItem", "BatchWriteItem", "TransactGetItems", "TransactWriteItems"),
}


def install(app: ModuleType, context: Context) -> None:
    """Put a check before the handlers of S3, SNS and DynamoDB."""
    from ministack.core import iam_evaluator, responses
    from ministack.services import dynamodb, s3, sns

    hooks.require(iam_evaluator, "enforce")
    hooks.require(s3, "_bucket_default_sse_headers", "_error")
    hooks.require(sns, "_topics", "_error")
    app.SERVICE_HANDLERS["s3"] = _guarded(context, app.SERVICE_HANDLERS["s3"], _s3_use, s3._error)
    app.SERVICE_HANDLERS["sns"] = _guarded(context, app.SERVICE_HANDLERS["sns"], _sns_use, sns._error)
    hooks.require(responses, "error_response_json")
    hooks.require(dynamodb, "_tables")
    app.SERVICE_HANDLERS["dynamodb"] = _guarded(
        context, app.SERVICE_HANDLERS["dynamodb"], _dynamodb_use, responses.error_response_json
    )


def _guarded(
    context: Context, handler: Handler, use: Callable[..., Any], error: Callable[..., Any]
) -> Handler:
    async def wrapped(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Any:
        found = use(method, path, headers, body, query)
        if found:
            key_arn, actions, via, encryption_context = found
            for action in actions:
                if _denied(context, headers, query, action, key_arn, via, encryption_context):
                    message = f"The caller is not authorized to perform: {action} on resource: {key_arn}"
                    return error(REFUSALS[via], message, FORBIDDEN)
        return await handler(method, path, headers, body, query)

    return wrapped


def _denied(
    context: Context,
    headers: dict[str, str],
    query: dict[str, Any],
    action: str,
    key_arn: str,
    via: str,
    encryption_context: dict[str, str],
) -> bool:
    from ministack.core.iam_evaluator import enforce
    from ministack.core.router import extract_access_key_id

    conditions = {
        "kms:ViaService": f"{via}.{context.region}.amazonaws.com",
        "kms:CallerAccount": context.account,
        **{f"kms:EncryptionContext:{name}": value for name, value in encryption_context.items()},
    }
    access_key = extract_access_key_id(headers, query)
    return enforce(access_key, action, "kms", context.region, key_arn, conditions) is not None


def _s3_use(method: str, path: str, headers: dict[str, str], _body: bytes, query: dict[str, Any]) -> Any:
    """Which key an S3 request needs and for what, or ``None``."""
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    actions = _object_actions(method, query) if key else None
    key_arn = actions and (headers.get(KEY_HEADER) or _default_key(bucket))
    if not key_arn:
        return None
    return key_arn, actions, "s3", {"aws:s3:arn": f"arn:aws:s3:::{bucket}"}


def _object_actions(method: str, query: dict[str, Any]) -> tuple[str, ...] | None:
    if SUBRESOURCES & query.keys():
        return None
    if method == "PUT":
        return WRITE_PART if "partNumber" in query else WRITE
    if method == "POST":
        return WRITE if "uploads" in query else READ
    return READ if method == "GET" and "uploadId" not in query else None


def _default_key(bucket: str) -> str | None:
    """The customer-managed key of a bucket's default encryption; AWS's own key needs no permission."""
    from ministack.services import s3

    key: str | None = s3._bucket_default_sse_headers(bucket).get(KEY_HEADER)
    return key


def _sns_use(_method: str, _path: str, _headers: dict[str, str], body: bytes, _query: dict[str, Any]) -> Any:
    """Which key a publication needs, or ``None``."""
    from ministack.services import sns

    form = parse_qs(body.decode(errors="replace"))
    if form.get("Action") != ["Publish"]:
        return None
    arn = (form.get("TopicArn") or [""])[0]
    key = ((sns._topics.get(arn) or {}).get("attributes") or {}).get("KmsMasterKeyId")
    if not key or key.startswith("alias/aws/"):
        return None
    return key, WRITE_PART, "sns", {"aws:sns:topicArn": arn}


def _dynamodb_use(
    _method: str, _path: str, headers: dict[str, str], body: bytes, _query: dict[str, Any]
) -> Any:
    """Which key a call on items needs, or ``None``. Of several tables the first that has one."""
    from ministack.services import dynamodb

    if headers.get("x-amz-target", "").rpartition(".")[2] not in ITEM_ACTIONS:
        return None
    for name in _tables_of(json.loads(body or b"{}")):
        table = dynamodb._tables.get(name.rpartition("/")[2]) or {}
        key = (table.get("SSEDescription") or {}).get("KMSMasterKeyArn")
        if key:
            return key, READ, "dynamodb", {"aws:dynamodb:tableName": name.rpartition("/")[2]}
    return None


def _tables_of(request: dict[str, Any]) -> list[str]:
    """Every table that a call on items names."""
    parts = [part for item in request.get("TransactItems", []) for part in item.values()]
    named = [each["TableName"] for each in (request, *parts) if "TableName" in each]
    return sorted({*named, *request.get("RequestItems", {})})
