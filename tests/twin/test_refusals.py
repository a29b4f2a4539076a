"""What is refused to whoever asks: another role's work, and the deletion of what is protected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.twin.account import Account
from tests.twin.lake import TwinLake
from tests.twin.roles import acting_as, roles

Attempt = Callable[[Account, TwinLake], Any]


def put(layer: str) -> Attempt:
    """An attempt to write an object into a layer's bucket."""
    return lambda who, lake: who.client("s3").put_object(
        Bucket=lake.cli.name(f"{layer}BucketName"), Key="flights/intruder.csv", Body=b"x"
    )


def read_ledger(who: Account, lake: TwinLake) -> Any:
    return who.client("dynamodb").scan(TableName=lake.cli.name("LedgerTableName"), Limit=1)


def start(machine: str) -> Attempt:
    """An attempt to start a state machine."""
    return lambda who, lake: who.client("stepfunctions").start_execution(
        stateMachineArn=lake.cli.name(f"{machine}StateMachineArn"), input="{}"
    )


def erase(who: Account, lake: TwinLake) -> Any:
    table = lake.cli.name("LedgerTableName")
    return who.client("dynamodb").delete_item(TableName=table, Key={"pk": {"S": "x"}, "sk": {"S": "x"}})


OTHERS_WORK: list[tuple[str, str, Attempt]] = [
    ("SilverJobRole", "writes Gold", put("Gold")),
    ("SilverJobRole", "writes Bronze, which is only read", put("Bronze")),
    ("GoldJobRole", "writes Silver", put("Silver")),
    ("GoldJobRole", "looks into the ledger", read_ledger),
    ("BronzeCrawlerRole", "writes what it reads", put("Bronze")),
    ("IntakeFunctionRole", "starts a refresh of Gold", start("Refresh")),
    ("IntakeFunctionRole", "deletes from the ledger", erase),
]


@pytest.mark.parametrize(
    ("role", "attempt"),
    [(role, attempt) for role, _, attempt in OTHERS_WORK],
    ids=[f"{role} {what}".replace(" ", "_") for role, what, _ in OTHERS_WORK],
)
def test_a_role_does_not_do_what_is_anothers_work(
    deployed: TwinLake, twin: dict[str, str], role: str, attempt: Attempt
) -> None:
    administrator = Account.administrator(twin)
    names = dict(roles(deployed))
    with (
        acting_as(administrator, names[role]) as who,
        pytest.raises(ClientError, match=r"AccessDenied|not authorized"),
    ):
        attempt(who, deployed)


@pytest.mark.parametrize("table", ["Ledger", "Lineage"])
def test_a_protected_table_is_not_deleted(deployed: TwinLake, table: str) -> None:
    name = deployed.cli.name(f"{table}TableName")
    client = deployed.client("dynamodb")
    assert client.describe_table(TableName=name)["Table"]["DeletionProtectionEnabled"]
    with pytest.raises(ClientError, match=r"deletion protection|protected against deletion"):
        client.delete_table(TableName=name)
    assert client.describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE"
