"""S3: what events and policies name, whom replication and the look for a missing key ask."""

from __future__ import annotations

import contextvars
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

from twin import hooks
from twin.context import Context
from twin.s3 import missing, replication

VERSION_ID: contextvars.ContextVar[str | None] = contextvars.ContextVar("event_version_id", default=None)
"""The version whose event the current thread sends."""
KEY_HEADERS = (
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
)


def install(app: ModuleType, context: Context) -> None:
    """Carry the version id, which ministack knows while it makes an event, into EventBridge's form of it."""
    from ministack.core import iam_actions
    from ministack.services import eventbridge, s3

    hooks.replace(s3, "_fire_s3_event", _remembering_version)
    hooks.replace(eventbridge, "_dispatch_event", _with_version)
    hooks.require(s3, "_multipart_uploads")
    hooks.replace(iam_actions, "s3_service_context", _with_keys)
    replication.install(s3, context)
    missing.install(app, s3, context)


def _with_keys(original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """The condition keys of a write that the emulator leaves out: which key it is to be encrypted with.

    Source: Service Authorization Reference, condition keys for Amazon S3. A part carries no such header: what
    began its upload decides, as in the emulator.
    """

    def wrapped(
        action: str, query: dict[str, Any], path: str = "", headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        from ministack.services import s3

        found = original(action, query, path, headers)
        given = headers or {}
        if "uploadId" in (query or {}):
            [upload_id] = query["uploadId"] if isinstance(query["uploadId"], list) else [query["uploadId"]]
            upload = s3._multipart_uploads.get(upload_id) or {}
            given = upload.get("preserved_headers", {}) if upload.get("requested_sse") else {}
        if action == "s3:PutObject":
            found |= {f"s3:{name}": given[name] for name in KEY_HEADERS if given.get(name)}
        return found

    return wrapped


def _remembering_version(fire: Callable[..., None]) -> Callable[..., None]:
    def wrapped(*args: Any, version_id: str | None = None, **rest: Any) -> None:
        VERSION_ID.set(version_id)
        fire(*args, version_id=version_id, **rest)
        VERSION_ID.set(None)

    return wrapped


def _with_version(dispatch: Callable[..., None]) -> Callable[..., None]:
    def wrapped(event: dict[str, Any], *rest: Any) -> None:
        version_id = VERSION_ID.get()
        if event["Source"] == "aws.s3" and version_id:
            detail = json.loads(event["Detail"])
            detail["object"]["version-id"] = version_id
            event = {**event, "Detail": json.dumps(detail)}
        dispatch(event, *rest)

    return wrapped
