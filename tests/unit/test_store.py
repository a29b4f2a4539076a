"""One behaviour of a store, seen in both: DynamoDB (moto) and the fake that all other tests use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from lakehouse.adapters.dynamo import DynamoStore
from lakehouse.errors import ConditionFailed, LedgerUnavailable
from lakehouse.store import AnyOf, AtMost, Check, Delete, Is, Missing, Put, Store, Update

from .fakes import MemoryStore

KEY = ("a", "1")


@pytest.fixture(params=["dynamodb", "memory"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        return MemoryStore()
    table = request.getfixturevalue("ledger_table")
    return DynamoStore(request.getfixturevalue("aws").client("dynamodb"), table)


def test_what_is_put_is_got_with_its_types(store: Store):
    item = {"pk": "a", "sk": "1", "text": "é", "number": 7, "flag": True, "empty": "", "list": ["x", "y"]}
    store.write(Put(item))
    assert store.get(KEY) == item
    assert store.get(("a", "2")) is None


def test_an_update_sets_adds_copies_defaults_and_removes(store: Store):
    store.write(Put({"pk": "a", "sk": "1", "n": 1, "old": "x", "state": "B"}))
    after = store.write(
        Update(
            KEY,
            {"text": "t"},
            defaults={"state": "A", "new": "d"},
            add={"n": 2},
            copy={"was": "n"},
            remove=("old",),
        )
    )
    assert after == {"pk": "a", "sk": "1", "n": 3, "was": 1, "text": "t", "state": "B", "new": "d"}
    assert store.get(KEY) == after


def test_an_update_makes_the_item(store: Store):
    assert store.write(Update(KEY, add={"n": 2})) == {"pk": "a", "sk": "1", "n": 2}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Is("state", "FREE"), True),
        (Is("state", "TAKEN"), False),
        (Is("confirmed", value=False), True),
        (Is("absent", "x"), False),
        (Missing("absent"), True),
        (Missing("state"), False),
        (AtMost("at", "2024-05-02"), True),
        (AtMost("at", "2024-04-30"), False),
        (AtMost("absent", "z"), False),
        (AnyOf(((Is("state", "X"),), (Is("state", "FREE"), Missing("absent")))), True),
        (AnyOf(((Is("state", "X"),), (Is("state", "FREE"), Missing("at")))), False),
    ],
)
def test_conditions(store: Store, condition: Any, holds: bool):
    store.write(Put({"pk": "a", "sk": "1", "state": "FREE", "confirmed": False, "at": "2024-05-01"}))
    writes: list[Callable[[], object]] = [
        lambda: store.write(Update(KEY, {"seen": 1}, when=(condition,))),
        lambda: store.transact([Check(KEY, (condition,)), Put({"pk": "b", "sk": "1"})]),
        lambda: store.write(Delete(KEY, when=(condition,))),
    ]
    for write in writes:
        if holds:
            write()
        else:
            with pytest.raises(ConditionFailed):
                write()
    assert (store.get(KEY) is None) == holds
    assert (store.get(("b", "1")) is not None) == holds


def test_a_put_on_the_condition_that_there_is_none(store: Store):
    store.write(Put({"pk": "a", "sk": "1"}, when=(Missing("pk"),)))
    with pytest.raises(ConditionFailed):
        store.write(Put({"pk": "a", "sk": "1", "n": 2}, when=(Missing("pk"),)))
    assert store.get(KEY) == {"pk": "a", "sk": "1"}


def test_a_refused_transaction_writes_nothing_and_names_the_positions(store: Store):
    store.write(Put({"pk": "a", "sk": "1", "state": "B"}))
    with pytest.raises(ConditionFailed) as refused:
        store.transact(
            [
                Put({"pk": "b", "sk": "1"}),
                Update(KEY, {"state": "C"}, when=(Is("state", "A"),)),
                Put({"pk": "a", "sk": "2"}, when=(Missing("pk"),)),
                Delete(("c", "1"), when=(Is("x", "y"),)),
            ]
        )
    assert refused.value.failed == (1, 3)
    assert store.get(("b", "1")) is None
    assert store.get(("a", "2")) is None


def test_queries_are_ordered_and_bounded(store: Store):
    for sk in ("2024#b", "2024#a", "~01#c", "LEASE"):
        store.write(Put({"pk": "p", "sk": sk}))
    store.write(Put({"pk": "q", "sk": "2024#z"}))

    def keys(**bounds: Any) -> list[str]:
        return [item["sk"] for item in store.query("p", **bounds)]

    assert keys() == ["2024#a", "2024#b", "LEASE", "~01#c"]
    assert keys(begins="2024") == ["2024#a", "2024#b"]
    assert keys(before="~") == ["2024#a", "2024#b", "LEASE"]
    assert keys(begins="2024", newest_first=True) == ["2024#b", "2024#a"]


def test_many_are_read_at_once(store: Store):
    for number in range(120):
        store.write(Put({"pk": "p", "sk": f"{number:03d}"}))
    wanted = [("p", f"{number:03d}") for number in range(0, 300, 1)]
    assert len(store.get_many([*wanted, *wanted])) == 120


def test_a_query_reads_all_pages(aws: boto3.Session, ledger_table: str):
    store = DynamoStore(aws.client("dynamodb"), ledger_table)
    for number in range(30):
        store.write(Put({"pk": "p", "sk": f"{number:02d}", "ballast": "x" * 60_000}))
    assert len(list(store.query("p"))) == 30


# --- what DynamoDB does that moto does not ------------------------------------------------------


class Stumbling:
    """A client whose calls fail a number of times before they reach the table."""

    def __init__(self, client: Any, *errors: Exception) -> None:
        self._client = client
        self._errors = list(errors)

    def __getattr__(self, name: str) -> Any:
        def call(**request: Any) -> Any:
            if self._errors:
                raise self._errors.pop(0)
            return getattr(self._client, name)(**request)

        return call


def client_error(code: str, *reasons: str) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "value of a row"}}
    if reasons:
        answer["CancellationReasons"] = [{"Code": reason} for reason in reasons]
    return ClientError(answer, "TransactWriteItems")


CONFLICT = client_error("TransactionCanceledException", "None", "TransactionConflict")


def stumbling(aws: boto3.Session, table: str, *errors: Exception) -> tuple[DynamoStore, list[float]]:
    pauses: list[float] = []
    client: Any = Stumbling(aws.client("dynamodb"), *errors)
    return DynamoStore(client, table, pauses.append), pauses


def test_a_transaction_conflict_is_tried_again(aws: boto3.Session, ledger_table: str):
    store, pauses = stumbling(aws, ledger_table, CONFLICT, CONFLICT)
    store.transact([Put({"pk": "a", "sk": "1"})])
    assert store.get(KEY) == {"pk": "a", "sk": "1"}
    assert len(pauses) == 2
    assert 0 < pauses[0] < 1


def test_a_single_write_that_meets_a_transaction_is_tried_again(aws: boto3.Session, ledger_table: str):
    store, _ = stumbling(aws, ledger_table, client_error("TransactionConflictException"))
    store.write(Update(KEY, add={"n": 1}))
    assert store.get(KEY) == {"pk": "a", "sk": "1", "n": 1}


def test_a_conflict_without_end_is_an_error(aws: boto3.Session, ledger_table: str):
    store, pauses = stumbling(aws, ledger_table, *[CONFLICT] * 20)
    with pytest.raises(LedgerUnavailable, match="conflict"):
        store.transact([Put({"pk": "a", "sk": "1"})])
    assert len(pauses) == 8


def test_a_failed_condition_beside_a_conflict_is_a_failed_condition(aws: boto3.Session, ledger_table: str):
    both = client_error("TransactionCanceledException", "TransactionConflict", "ConditionalCheckFailed")
    store, _ = stumbling(aws, ledger_table, both)
    with pytest.raises(ConditionFailed) as refused:
        store.transact([Put({"pk": "a", "sk": "1"}), Put({"pk": "a", "sk": "2"})])
    assert refused.value.failed == (1,)


@pytest.mark.parametrize(
    "error",
    [
        client_error("ProvisionedThroughputExceededException"),
        client_error("ResourceNotFoundException"),
        client_error("AccessDeniedException"),
        EndpointConnectionError(endpoint_url="x"),
    ],
)
def test_a_ledger_that_does_not_answer_raises_and_quotes_nothing(
    aws: boto3.Session, ledger_table: str, error: Exception
):
    """Fault 6 of docs/testing.md."""
    store, _ = stumbling(aws, ledger_table, error)
    with pytest.raises(LedgerUnavailable) as raised:
        store.write(Put({"pk": "a", "sk": "1"}))
    assert "value of a row" not in str(raised.value)
