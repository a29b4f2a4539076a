"""A dataset nobody has written a contract for, and folders that are none (acceptance 5, fault 7)."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse_cli.checking import check_project
from tests.twin.account import Account
from tests.twin.lake import STACK, TwinLake

pytestmark = pytest.mark.usefixtures("gold_held")


def test_an_unknown_dataset_is_crawled_and_lands_whole(lake: TwinLake) -> None:
    item = lake.land(
        "sensors/day=2026-01-01/a.csv", "id,reading,place\n1,2.5,north\n2,3.75,south\n", gold=False
    )
    assert (item["state"], item["silver_rows"]) == ("PROMOTED", 2)
    assert lake.query("SELECT id, reading, place FROM sensors ORDER BY id") == [
        [1, 2.5, "north"],
        [2, 3.75, "south"],
    ]
    table = lake.client("glue").get_table(DatabaseName=lake.cli.name("BronzeDatabaseName"), Name="sensors")
    assert [column["Name"] for column in table["Table"]["StorageDescriptor"]["Columns"]] == [
        "id",
        "reading",
        "place",
    ]


def test_its_table_is_closed_until_somebody_finishes_the_contract(
    lake: TwinLake, twin: dict[str, str]
) -> None:
    lake.land("gauges/a.csv", "id,reading\n1,2.5\n", gold=False)
    administrator = Account.administrator(twin)
    answers = {}
    for role in ("engineer", "steward"):
        person = administrator.assume(f"arn:aws:iam::{twin['account']}:role/{STACK}-{role}")
        database = lake.cli.name("SilverDatabaseName")
        answers[role] = person.ask("SELECT id, reading FROM gauges", f"{STACK}-{role}", database)
    assert "Required Select on gauges" in str(answers["engineer"].refusal)
    assert (answers["steward"].refusal, answers["steward"].rows) == (None, [["1", "2.5"]])


def test_its_draft_contract_passes_check(lake: TwinLake, tmp_path: Path) -> None:
    lake.land("sensors/day=2026-01-02/b.csv", "id,reading,place\n3,4.5,east\n", gold=False)
    draft = lake.operations_text("drafts/sensors/contract.yaml")
    for folder in ("contracts", "models"):
        (tmp_path / folder).mkdir()
    (tmp_path / "contracts" / "sensors.yaml").write_text(draft)
    found = check_project(tmp_path)
    assert (found.datasets, found.problems) == (["sensors"], [])


def test_what_belongs_to_no_dataset_is_ignored_with_the_reason(lake: TwinLake) -> None:
    files = lake.put_all(
        [
            ("Not A Dataset/x.csv", "a\n1\n"),
            ("lonely.csv", "a\n1\n"),
            ("airlines/_SUCCESS", ""),
            ("airlines/.hidden.csv", "a\n1\n"),
            ("flights__quarantine/x.csv", "a\n1\n"),
        ]
    )
    items = lake.settle_ledger(files)
    assert {key: (item["state"], item["reason"]) for key, item in items.items()} == {
        "Not A Dataset/x.csv": ("IGNORED", "the first folder's name is not a dataset's"),
        "lonely.csv": ("IGNORED", "the object lies in no folder, so it belongs to no dataset"),
        "airlines/_SUCCESS": ("IGNORED", "hidden: a part of the path starts with '.' or '_'"),
        "airlines/.hidden.csv": ("IGNORED", "hidden: a part of the path starts with '.' or '_'"),
        "flights__quarantine/x.csv": ("IGNORED", "the first folder's name is not a dataset's"),
    }
