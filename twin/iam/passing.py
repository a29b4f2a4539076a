"""Who gives Glue a role to work as needs ``iam:PassRole`` for it.

Source: Service Authorization Reference, "Actions, resources, and condition keys for AWS Glue": the dependent
actions of these four. An update that names no role passes on the one that is there.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from types import ModuleType
from typing import Any

from twin import hooks
from twin.context import Context

Handler = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[Any]]
PASSING = {"CreateCrawler", "UpdateCrawler", "CreateJob", "UpdateJob"}


def install(app: ModuleType, context: Context) -> None:
    """Put the question before Glue's handler."""
    from ministack.core import iam_evaluator, responses
    from ministack.services import glue

    hooks.require(iam_evaluator, "enforce")
    hooks.require(responses, "error_response_json")
    hooks.require(glue, "_crawlers", "_jobs")
    served = app.SERVICE_HANDLERS["glue"]

    async def handler(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Any:
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if action in PASSING:
            role = _role_of(context, json.loads(body or b"{}"))
            if role and not _may_pass(context, headers, query, role):
                message = f"The caller is not authorized to perform: iam:PassRole on resource: {role}"
                return responses.error_response_json("AccessDeniedException", message, HTTPStatus.BAD_REQUEST)
        return await served(method, path, headers, body, query)

    app.SERVICE_HANDLERS["glue"] = handler


def _role_of(context: Context, request: dict[str, Any]) -> str | None:
    """The ARN of the role that a request names, or of the one that the crawler or job has."""
    from ministack.services import glue

    known = glue._crawlers.get(request.get("Name", "")) or glue._jobs.get(request.get("JobName", "")) or {}
    role = request.get("Role") or request.get("JobUpdate", {}).get("Role") or known.get("Role")
    if not role or role.startswith("arn:"):
        return role
    return f"arn:aws:iam::{context.account}:role/{role}"


def _may_pass(context: Context, headers: dict[str, str], query: dict[str, Any], role: str) -> bool:
    from ministack.core.iam_evaluator import enforce
    from ministack.core.router import extract_access_key_id

    conditions = {"iam:PassedToService": "glue.amazonaws.com"}
    access_key = extract_access_key_id(headers, query)
    return enforce(access_key, "iam:PassRole", "iam", context.region, role, conditions) is None
