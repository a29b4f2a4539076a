"""The doctor against the twin's account: what it answers is judged, and what it lacks is not taken for an ok."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from lakehouse_cli.connection import TwinEndpoint
from tests.twin.account import Account
from tests.twin.lake import ENVIRONMENT, STACK, TwinLake, endpoint_of

LACKING = {"job quotas", "catalog encryption", "network quotas"}
"""Checks whose service or call the twin does not have."""
OF_THIS_MACHINE = {"python", "sam", "java"}

Judged = dict[str, tuple[str, str]]


OTHER = "dev"
"""An environment that is not deployed."""


def doctor(endpoint: TwinEndpoint, environment: str = ENVIRONMENT, **keys: str) -> tuple[int, dict[str, Any]]:
    """Run the command as a script would; returns its exit code and its JSON."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAKEHOUSE_"))}
    done = subprocess.run(
        [sys.executable, "-m", "lakehouse_cli", "doctor", "--json", "--env", environment],
        env=kept | endpoint.environment() | keys,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def judged(document: dict[str, Any]) -> Judged:
    """Status and sentence of each check."""
    return {check["check"]: (check["status"], check["found"]) for check in document["checks"]}


def keys_of(account: Account) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": account.access_key, "AWS_SECRET_ACCESS_KEY": account.secret_key}


@pytest.fixture
def endpoint(twin: dict[str, str]) -> TwinEndpoint:
    """The twin alone: most of what the doctor asks needs no lake."""
    return endpoint_of(twin)


@pytest.fixture
def administrator(twin: dict[str, str]) -> Account:
    return Account.administrator(twin)


def test_a_deployed_lake_passes_and_what_the_twin_lacks_is_unchecked(deployed: TwinLake) -> None:
    code, document = doctor(deployed.endpoint)
    found = judged(document)
    assert (code, document["counts"]["problem"]) == (0, 0), found
    assert document["principal_arn"] == "arn:aws:iam::000000000000:user/twin-admin"
    assert {name for name, (status, _) in found.items() if status == "unchecked"} == LACKING
    for name in LACKING:
        assert found[name][1].startswith("Could not be checked: "), name
    assert found["stack"][1].startswith(f"The stack {STACK} is ")
    assert found["names"] == ("ok", "The stack is there, and so are its names.")
    assert found["permissions"][0] == found["services"][0] == "ok"


@pytest.fixture
def left_behind(administrator: Account) -> Iterator[str]:
    """A bucket that an earlier lake left."""
    name = administrator.make_bucket(f"lake-{OTHER}-bronze-000000000000-us-east-1")
    yield name
    administrator.client("s3").delete_bucket(Bucket=name)


def test_a_name_that_is_taken_stops_a_first_deployment(endpoint: TwinEndpoint, left_behind: str) -> None:
    code, document = doctor(endpoint, OTHER)
    found = judged(document)
    assert code == 1
    assert found["stack"] == ("ok", f"There is no stack lake-{OTHER} yet.")
    assert found["names"] == ("problem", f"Taken: bucket {left_behind}.")


def test_who_may_not_make_everything_is_told_what_is_missing(
    endpoint: TwinEndpoint, administrator: Account
) -> None:
    user = administrator.make_user("doctor-half", (["iam:SimulatePrincipalPolicy", "s3:*", "glue:*"], ["*"]))
    code, document = doctor(endpoint, **keys_of(user))
    status, sentence = judged(document)["permissions"]
    assert (code, status) == (1, "problem")
    assert "iam:CreateRole" in sentence
    assert "lambda:CreateFunction" in sentence
    assert "s3:CreateBucket" not in sentence
    assert "glue:CreateJob" not in sentence


def test_who_may_not_look_gets_no_ok(endpoint: TwinEndpoint, administrator: Account) -> None:
    user = administrator.make_user("doctor-blind", (["sns:Publish"], ["arn:aws:sns:*:*:nothing"]))
    code, document = doctor(endpoint, **keys_of(user))
    found = judged(document)
    # The identity needs no permission, and the twin does not ask IAM about lambda:GetAccountSettings.
    known = OF_THIS_MACHINE | {"identity", "function quota"}
    assert {name for name, (status, _) in found.items() if status != "unchecked"} == known
    assert code == 0
    assert found["stack"][1] == "Could not be checked: cloudformation:DescribeStacks answered AccessDenied."


def test_a_session_is_known_by_its_role(endpoint: TwinEndpoint, administrator: Account) -> None:
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "000000000000"}, "Action": "sts:AssumeRole"}],
    }
    iam = administrator.client("iam")
    role = iam.create_role(Path="/teams/", RoleName="deployer", AssumeRolePolicyDocument=json.dumps(trust))
    iam.attach_role_policy(RoleName="deployer", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    arn = role["Role"]["Arn"]
    session = administrator.client("sts").assume_role(RoleArn=arn, RoleSessionName="ada")["Credentials"]
    keys = {
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }
    # Its permissions are left out: the twin's simulation does not find a role that has a path.
    _, document = doctor(endpoint, **keys)
    assert (document["principal_arn"], arn) == ("arn:aws:iam::000000000000:role/teams/deployer",) * 2
    assert judged(document)["identity"] == ("ok", f"{arn} deploys to account 000000000000.")
