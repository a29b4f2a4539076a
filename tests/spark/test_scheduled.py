"""Scheduled intake: what the bookmark proposes is named to the ledger, and one bad feed holds up no other."""

from __future__ import annotations

from typing import Any

import pytest

from lakehouse.words import AssetsIndex
from lakehouse_spark.errors import FunctionFailed, IntakeFailed
from lakehouse_spark.scheduled import hand_over, keys_of

INDEX: AssetsIndex = {
    "hash": "abc",
    "datasets": ["flights", "tides", "weather"],
    "models": [],
    "scheduled": ["tides", "weather"],
}


class Reconcile:
    """The function that is called: it registers every key it has not seen."""

    def __init__(self, refused: str = "") -> None:
        self.refused = refused
        self.known: set[str] = set()
        self.calls: list[tuple[str, int]] = []

    def call(self, name: str, event: dict[str, Any]) -> dict[str, Any]:
        assert name == "lake-dev-reconcile"
        assert event["follow"] is False
        if event["dataset"] == self.refused:
            raise FunctionFailed("lake-dev-reconcile: LedgerUnavailable")
        self.calls.append((event["dataset"], len(event["keys"])))
        new = set(event["keys"]) - self.known
        self.known |= new
        counts = {"listed": len(event["keys"]), "registered": len(new)}
        return {**dict.fromkeys(("reopened", "unfinished", "ignored"), 0), **counts}

    def call_later(self, name: str, event: dict[str, Any]) -> None:
        raise AssertionError


def name_all(new: dict[str, list[str]], reconcile: Reconcile) -> dict[str, dict[str, int]]:
    return hand_over(INDEX, lambda dataset: new[dataset], reconcile, "lake-dev-reconcile")


def test_every_scheduled_dataset_and_no_other_is_asked_for_its_new_files() -> None:
    reconcile = Reconcile()
    found = name_all({"tides": [], "weather": ["weather/a.csv", "weather/b.csv"]}, reconcile)
    assert reconcile.calls == [("weather", 2)]
    assert found["tides"]["registered"] == 0
    assert found["weather"] == {
        "listed": 2, "registered": 2, "reopened": 0, "unfinished": 0, "ignored": 0
    }  # fmt: skip


def test_many_files_are_named_in_several_calls() -> None:
    reconcile = Reconcile()
    found = name_all({"tides": [f"tides/{n}.csv" for n in range(1001)], "weather": []}, reconcile)
    assert reconcile.calls == [("tides", 500), ("tides", 500), ("tides", 1)]
    assert found["tides"]["registered"] == 1001


def test_a_dataset_that_fails_leaves_the_others_alone_and_fails_the_job() -> None:
    """So that the bookmark is not committed, and the same files are named again."""
    reconcile = Reconcile(refused="tides")
    new = {"tides": ["tides/a.csv"], "weather": ["weather/a.csv"]}
    with pytest.raises(IntakeFailed, match="tides: lake-dev-reconcile: LedgerUnavailable"):
        name_all(new, reconcile)
    assert reconcile.known == {"weather/a.csv"}
    reconcile.refused = ""
    assert name_all(new, reconcile)["weather"]["registered"] == 0
    assert reconcile.known == {"tides/a.csv", "weather/a.csv"}


def test_a_name_that_may_be_encoded_is_tried_both_ways() -> None:
    addresses = ["s3://bronze/weather/a%20b.csv", "s3a://bronze/weather/c.csv", "s3://bronze/weather/50%.csv"]
    assert keys_of(addresses, "bronze") == [
        "weather/50%.csv",
        "weather/a b.csv",
        "weather/a%20b.csv",
        "weather/c.csv",
    ]
