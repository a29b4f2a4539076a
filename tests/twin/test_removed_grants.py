"""Ten grants of ten roles, each taken out of its policy in the running twin: what the role does is refused then.

What is done is what the named test does, by the same code, so that the test fails where the grant is missing in
the template. For all the others `test_grants_used.py` holds that something used them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import boto3
import pytest

from lakehouse import reconcile
from lakehouse.adapters import connect as adapters
from lakehouse.errors import ObjectMissing
from lakehouse.lake import Lake as CoreLake
from lakehouse.payloads import ReconcileRequest
from tests.twin import test_people as people
from tests.twin import test_rare_paths as rare
from tests.twin.account import Account
from tests.twin.lake import STACK, TwinLake
from tests.twin.roles import acting_as, roles

ANYHOW = {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}
REFUSED = re.compile(r"AccessDenied|not authorized|not allowed|AuthorizationError")


class Refused(Exception):  # noqa: N818 - reads as the sentence it is
    """A query that was not taken."""


def core(who: Account, lake: TwinLake) -> CoreLake:
    return adapters.connect(lake.core.settings, cast("boto3.Session", who))


def ask(who: Account, lake: TwinLake) -> None:
    of_airline = next(person for person in people.PEOPLE if person.role == "carrier-ua")
    answer = who.ask(of_airline.sql, of_airline.workgroup, lake.cli.name("GoldDatabaseName"))
    if answer.refusal:
        raise Refused(answer.refusal)


def look_for_plan(who: Account, lake: TwinLake) -> None:
    with pytest.raises(ObjectMissing):
        rare.register_without_plan(who, lake)


def change_contract(who: Account, lake: TwinLake) -> None:
    rare.record(core(who, lake), 1, ["kept", "gone"])
    rare.record(core(who, lake), 2, ["kept"])


def go_on(who: Account, lake: TwinLake) -> None:
    reconcile.run(core(who, lake), ReconcileRequest(), lambda: False, f"{STACK}-reconcile")


def meet(who: Account, lake: TwinLake) -> None:
    rare.meet_twice(core(who, lake), f"{rare.RARE}/{who.access_key}.csv")


def point_crawler(who: Account, _lake: TwinLake) -> None:
    """As promote's state of that name does."""
    glue = who.client("glue")
    targets = glue.get_crawler(Name=f"{STACK}-bronze")["Crawler"]["Targets"]
    glue.update_crawler(Name=f"{STACK}-bronze", Targets=targets)


class Removal(NamedTuple):
    """A grant, what needs it, and the test that fails without it."""

    role: str
    sid: str
    action: str
    call: Callable[[Account, TwinLake], Any]
    test: str


TEN = [
    Removal(
        "EngineerRole",
        "ReadOpenGold",
        "s3:GetObject",
        people.open_gold,
        "test_whoever_reads_open_gold_finds_its_files[engineer]",
    ),
    Removal(
        "AnalystRole",
        "LookIntoCatalog",
        "glue:GetTables",
        lambda who, lake: people.tables(who, lake.cli.name("GoldDatabaseName")),
        "test_people_look_around_in_the_catalog[analyst]",
    ),
    Removal(
        "StewardRole",
        "ListFiles",
        "s3:ListBucket",
        people.bronze_file,
        "test_a_steward_looks_at_a_file_as_it_landed",
    ),
    Removal(
        "CarrierUaRole",
        "Query",
        "athena:StartQueryExecution",
        ask,
        "test_people_follow_their_queries_and_fetch_the_answers[carrier-ua]",
    ),
    Removal(
        "BronzeFunctionRole",
        "SeeWhatIsMissing",
        "s3:ListBucket",
        look_for_plan,
        "test_a_run_whose_plan_is_gone_says_so",
    ),
    Removal(
        "CompleteFunctionRole",
        "WriteLineage",
        "dynamodb:DeleteItem",
        change_contract,
        "test_whoever_ends_a_run_takes_away_what_a_changed_contract_no_longer_has[CompleteFunctionRole]",
    ),
    Removal(
        "SweepFunctionRole",
        "TellOfFailures",
        "sns:Publish",
        lambda who, lake: rare.say(core(who, lake)),
        "test_whoever_recovers_a_run_tells_people[SweepFunctionRole]",
    ),
    Removal(
        "IntakeFunctionRole",
        "UseLakeKey",
        "kms:Decrypt",
        meet,
        "test_versions_that_cannot_be_ordered_are_looked_up_in_the_bucket[IntakeFunctionRole]",
    ),
    Removal(
        "ReconcileFunctionRole",
        "GoOnLater",
        "lambda:InvokeFunction",
        go_on,
        "test_a_long_comparison_goes_on_in_a_call_of_its_own",
    ),
    Removal(
        "PromoteStateMachineRole",
        "PassCrawlerRole",
        "iam:PassRole",
        point_crawler,
        "test_an_unknown_dataset_is_crawled_and_lands_whole",
    ),
]


@contextmanager
def without(lake: TwinLake, role: str, sid: str, action: str) -> Iterator[None]:
    """While it lasts, a statement of a role's policies does not allow an action."""
    iam = lake.client("iam")
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        if less := lessened(document, sid, action):
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=less)
            try:
                yield
            finally:
                iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
            return
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = attached["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        if less := lessened(document, sid, action):
            made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=less, SetAsDefault=True)
            try:
                yield
            finally:
                whole = json.dumps(document)
                iam.create_policy_version(PolicyArn=arn, PolicyDocument=whole, SetAsDefault=True)
                for gone in (version, made["PolicyVersion"]["VersionId"]):
                    iam.delete_policy_version(PolicyArn=arn, VersionId=gone)
            return
    raise AssertionError(f"{role} has no statement {sid} that allows {action}")


def lessened(document: dict[str, Any], sid: str, action: str) -> str | None:
    """The policy without that action, or None if it has none such."""
    statements = [{**each, "Action": _listed(each["Action"])} for each in document["Statement"]]
    left = [
        {**each, "Action": [a for a in each["Action"] if (each["Sid"], a) != (sid, action)]}
        for each in statements
    ]
    if left == statements:
        return None
    # A policy has to say something: what everybody may do anyhow.
    kept = [each for each in left if each["Action"]] or [ANYHOW]
    return json.dumps({**document, "Statement": kept})


def _listed(actions: str | list[str]) -> list[str]:
    return [actions] if isinstance(actions, str) else actions


@pytest.mark.parametrize("removal", TEN, ids=lambda removal: f"{removal.role}-{removal.action}")
def test_a_grant_that_is_taken_out_is_missed(lake: TwinLake, twin: dict[str, str], removal: Removal) -> None:
    name = dict(roles(lake))[removal.role]
    with acting_as(Account.administrator(twin), name) as who:
        removal.call(who, lake)
        with without(lake, name, removal.sid, removal.action), pytest.raises(Exception) as error:  # noqa: PT011
            removal.call(who, lake)
        assert REFUSED.search(f"{error.value!r} {error.value}")
        removal.call(who, lake)
