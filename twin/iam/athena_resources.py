"""Which workgroup an Athena call on a query needs permission for.

Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon Athena": calls on
a query execution or a named query are checked on its workgroup, which the call itself does not name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def workgroup_of(request: dict[str, Any], workgroup_by_query: Callable[[str], str | None]) -> str | None:
    """The workgroup of the query that a call names, run or saved, if it names one that is known."""
    one = request.get("QueryExecutionId") or request.get("NamedQueryId")
    several = request.get("QueryExecutionIds") or request.get("NamedQueryIds") or []
    named = one or next(iter(several), None)
    return workgroup_by_query(named) if named else None


def with_athena_resources(extract: Callable[..., str]) -> Callable[..., str]:
    """The emulator's own answer, but for Athena's calls on a query."""
    from ministack.services import athena

    def known(query_id: str) -> str | None:
        query = athena._executions.get(query_id) or athena._named_queries.get(query_id) or {}
        found: str | None = query.get("WorkGroup")
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
