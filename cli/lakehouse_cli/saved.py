"""Saved queries: those of the workgroups that the stack names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from lakehouse_cli.connection import Lake
from lakehouse_cli.errors import NotFoundError

WORKGROUPS = ("WorkgroupName", "OperatingWorkgroupName", "StewardingWorkgroupName", "AuditWorkgroupName")
"""The stack's outputs. Where Lake Formation does not decide, they all name one workgroup."""
REFUSED = {"AccessDeniedException", "InvalidRequestException"}
"""Somebody else's workgroup, or one that is not there."""


@dataclass(frozen=True)
class SavedQuery:
    """A statement with the place it is meant to be asked in."""

    name: str
    sql: str
    database: str
    workgroup: str
    description: str = ""


def find(lake: Lake, name: str) -> SavedQuery:
    """The saved query of a name. Raises ``NotFoundError``, which says the names there are."""
    known = {query.name: query for query in every(lake)}
    if name not in known:
        names = ", ".join(sorted(known)) or "none that you may see"
        raise NotFoundError(f"There is no saved query {name}. There are: {names}.")
    return known[name]


def every(lake: Lake) -> list[SavedQuery]:
    """The saved queries in the workgroups that the caller may look into."""
    client = lake.client("athena")
    workgroups = dict.fromkeys(lake.outputs[output] for output in WORKGROUPS if output in lake.outputs)
    return [query for workgroup in workgroups for query in _of(client, workgroup)]


def _of(client: Any, workgroup: str) -> list[SavedQuery]:
    try:
        ids = client.list_named_queries(WorkGroup=workgroup)["NamedQueryIds"]
        found = client.batch_get_named_query(NamedQueryIds=ids)["NamedQueries"] if ids else []
    except ClientError as refused:
        if refused.response["Error"]["Code"] not in REFUSED:
            raise
        return []
    return [
        SavedQuery(
            each["Name"], each["QueryString"], each["Database"], workgroup, each.get("Description", "")
        )
        for each in found
    ]
