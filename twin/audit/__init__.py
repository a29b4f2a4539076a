"""CloudTrail and S3's logs of access: the twin records the calls it serves, and delivers when somebody looks.

On AWS the records of a trail come within minutes and the lines of access within hours. Here both lie in their
bucket as soon as that bucket is listed, so that nothing has to be waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from twin import hooks
from twin.audit import access, records
from twin.audit.call import Call
from twin.audit.trails import Trails
from twin.cloudformation.network import add
from twin.context import Context

_trails: list[Trails] = []


def install(app: ModuleType, context: Context) -> None:
    """Record around the place where every call is checked and served."""
    from ministack.core import iam_evaluator, router
    from ministack.services import s3
    from ministack.services.cloudformation import provisioners

    hooks.require(iam_evaluator, "resolve_credential")
    hooks.require(router, "detect_service", "extract_access_key_id", "extract_region")
    hooks.require(s3, "_bucket_logging_config")
    trails, logs = Trails(context), access.AccessLogs(context)
    _trails[:] = [trails]
    add(provisioners, "AWS::CloudTrail::Trail", trails.make, trails.delete)
    hooks.replace(app, "_dispatch_service_request", lambda served: _recorded(served, trails, logs))


def refused(caller_arn: str, access_key: str, event: str, parameters: dict[str, Any], message: str) -> None:
    """Record a refusal of Lake Formation's, which the twin decides without a call of its own."""
    for trails in _trails:
        trails.tell(records.refusal(caller_arn, access_key, event, parameters, message))


def _recorded(served: Callable[..., Any], trails: Trails, logs: access.AccessLogs) -> Callable[..., Any]:
    async def serve(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any], request_id: str
    ) -> Any:
        call = Call.of(method, path, headers, body, query, request_id, datetime.now(UTC))
        if call is not None and call.lists_bucket:
            for delivery in (*trails.due(call.bucket), *logs.due(call.bucket)):
                await asyncio.shield(delivery)
        answer = await served(method, path, headers, body, query, request_id)
        if call is not None:
            trails.record(call, answer)
            logs.record(call, answer)
        return answer

    return serve
