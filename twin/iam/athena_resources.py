"""Which workgroup an Athena call on a query needs permission for.

Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon Athena": calls on
a query execution are checked on its workgroup, which the call itself does not name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def workgroup_of(request: dict[str, Any], workgroup_by_query: Callable[[str], str | None]) -> str | None:
    """The workgroup of the query that a call names, if it names a query that is known."""
    named = request.get("QueryExecutionId") or next(iter(request.get("QueryExecutionIds", [])), None)
    return workgroup_by_query(named) if named else None


def with_athena_resources(extract: Callable[..., str]) -> Callable[..., str]:
    """The emulator's own answer, but for Athena's calls on a query."""
    from ministack.services import athena

    def known(query_id: str) -> str | None:
        found: str | None = athena._executions.get(query_id, {}).get("WorkGroup")
        return found

    def wrapped(
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query: dict[str, Any],
        region: str,
        account: str,
    ) -> str:
        answer = extract(service, method, path, headers, body, query, region, account)
        if service != "athena" or answer != "*":
            return answer
        workgroup = workgroup_of(json.loads(body or b"{}"), known)
        return f"arn:aws:athena:{region}:{account}:workgroup/{workgroup}" if workgroup else answer

    return wrapped
