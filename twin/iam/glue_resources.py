"""Which resource a Glue call needs permission for, as a policy names it.

Source: Service Authorization Reference, "Actions, resources, and condition keys for AWS Glue". A call on a
table needs its catalog, database and table; the emulator checks one name, so it is the most specific one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

_KINDS = {"Crawler": "crawler", "JobRun": "job", "Job": "job", "Trigger": "trigger", "Workflow": "workflow"}
_TABLE = re.compile(r"(Table|Partition|ColumnStatistics)")


def glue_resource(action: str, request: dict[str, Any]) -> str:
    """The part of the ARN after the account: ``database/x``, ``table/x/y``, ``job/x``, ``catalog``..."""
    if _TABLE.search(action):
        database = request.get("DatabaseName", "")
        table = request.get("TableName") or request.get("Name") or request.get("TableInput", {}).get("Name")
        return f"table/{database}/{table}" if table else f"database/{database}"
    if "Database" in action:
        name = request.get("Name") or request.get("DatabaseInput", {}).get("Name")
        return f"database/{name}" if name else "catalog"
    for word, kind in _KINDS.items():
        if word in action:
            name = request.get(f"{word.removesuffix('Run')}Name") or request.get("Name")
            return f"{kind}/{name}" if name else "catalog"
    return "catalog"


def with_glue_resources(extract: Callable[..., str]) -> Callable[..., str]:
    """The emulator's own answer, but for Glue."""

    def wrapped(
        service: str, method: str, path: str, headers: dict[str, str], body: bytes, *rest: Any, **more: Any
    ) -> str:
        answer = extract(service, method, path, headers, body, *rest, **more)
        if service != "glue" or not answer.startswith("arn:"):
            return answer
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        account = ":".join(answer.split(":")[:5])
        return f"{account}:{glue_resource(action, json.loads(body or b'{}'))}"

    return wrapped
