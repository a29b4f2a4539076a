"""S3: the event about an object of a versioned bucket names the version; replication asks its role."""

from __future__ import annotations

import contextvars
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

from twin import hooks
from twin.context import Context
from twin.s3 import replication

VERSION_ID: contextvars.ContextVar[str | None] = contextvars.ContextVar("event_version_id", default=None)
"""The version whose event the current thread sends."""


def install(_app: ModuleType, context: Context) -> None:
    """Carry the version id, which ministack knows while it makes an event, into EventBridge's form of it."""
    from ministack.services import eventbridge, s3

    hooks.replace(s3, "_fire_s3_event", _remembering_version)
    hooks.replace(eventbridge, "_dispatch_event", _with_version)
    replication.install(s3, context)


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
