"""A key that is not there: 404 only for who may list the bucket, for everybody else the refusal of a guess.

Source: S3 API reference, GetObject and HeadObject, "Permissions": without ``s3:ListBucket`` S3 answers 403.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any
from urllib.parse import unquote

from twin import hooks
from twin.context import Context

Handler = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[Any]]
MISSING, FORBIDDEN = 404, 403
VERSION = "versionId"


def install(app: ModuleType, s3: ModuleType, context: Context) -> None:
    """Look at every answer of S3 that says that a key is not there."""
    from ministack.core import iam_evaluator

    hooks.require(iam_evaluator, "enforce")
    hooks.require(s3, "_buckets", "_error")
    served = app.SERVICE_HANDLERS["s3"]

    async def handler(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Any:
        answer = await served(method, path, headers, body, query)
        if answer[0] != MISSING or method not in {"GET", "HEAD"} or VERSION in query:
            return answer
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        if not key or bucket not in s3._buckets or _may_list(context, headers, query, bucket):
            return answer
        status, refused, text = s3._error("AccessDenied", "Access Denied", FORBIDDEN, f"/{bucket}/{key}")
        return status, refused, b"" if method == "HEAD" else text

    app.SERVICE_HANDLERS["s3"] = handler


def _may_list(context: Context, headers: dict[str, str], query: dict[str, Any], bucket: str) -> bool:
    """Whether the caller may list the bucket, whatever the prefix: a look at one key names none."""
    from ministack.core.iam_evaluator import enforce
    from ministack.core.router import extract_access_key_id

    access_key = extract_access_key_id(headers, query)
    resource = f"arn:aws:s3:::{bucket}"
    return enforce(access_key, "s3:ListBucket", "s3", context.region, resource) is None
