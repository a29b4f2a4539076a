"""Which of the roles' grants the whole tier used: runs last, and only if the whole tier runs (see `conftest.py`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import pytest

from tests.twin.conftest import ROOT, STATE_DIR
from tests.twin.lake import TwinLake
from tests.twin.roles import roles
from twin.iam.usage import FILE

MOST_REASONS = 15
UNUSED: dict[str, str] = {}
"""Grants that nothing in the twin uses (`role:statement:action`, with wildcards), and why AWS needs them all the same."""


class Grant(NamedTuple):
    """One action that one statement of a role's policies allows."""

    role: str
    sid: str
    action: str

    def __str__(self) -> str:
        return ":".join(self)


def statements(iam: Any, role: str) -> Iterator[dict[str, Any]]:
    """Every statement that allows something to a role."""
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = attached["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        documents.append(
            iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        )
    for document in documents:
        yield from (each for each in document["Statement"] if each["Effect"] == "Allow")


def granted(lake: TwinLake) -> set[Grant]:
    iam, found = lake.client("iam"), set()
    for logical_id, name in roles(lake):
        for statement in statements(iam, name):
            actions = statement["Action"]
            for action in [actions] if isinstance(actions, str) else actions:
                found.add(Grant(logical_id, statement["Sid"], action))
    return found


def used(lake: TwinLake) -> set[Grant]:
    logical_ids = {name: logical_id for logical_id, name in roles(lake)}
    lines = (ROOT / STATE_DIR / FILE).read_text().splitlines()
    uses = [json.loads(line) for line in lines]
    return {
        Grant(logical_ids[use["role"]], use["sid"], use["action"])
        for use in uses
        if use["role"] in logical_ids
    }


@pytest.mark.whole_tier
def test_every_grant_was_used_or_has_its_reason(deployed: TwinLake) -> None:
    unused = {str(grant) for grant in granted(deployed) - used(deployed)}
    reasonless = {grant for grant in unused if not any(fnmatchcase(grant, known) for known in UNUSED)}
    assert sorted(reasonless) == []


@pytest.mark.whole_tier
def test_every_reason_is_still_one(deployed: TwinLake) -> None:
    unused = {str(grant) for grant in granted(deployed) - used(deployed)}
    assert [known for known in UNUSED if not any(fnmatchcase(grant, known) for grant in unused)] == []
    assert len(UNUSED) <= MOST_REASONS
