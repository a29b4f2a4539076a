"""Bad rows go whole to quarantine, bad files are rejected, nothing leaks (acceptance 6, faults 11, 13)."""

from __future__ import annotations

import bz2
import gzip

import pytest
import zstandard

from tests.twin.lake import TwinLake
from tests.twin.sample import FLIGHT_COLUMNS, csv, flight, flights_file, flights_key

pytestmark = pytest.mark.usefixtures("gold_held")

CANARY = "CANARY7f3a9b"


def test_a_bad_row_is_whole_in_quarantine_with_every_rule_it_broke(lake: TwinLake) -> None:
    key = flights_key(2016, 1, "bad-rows")
    rows = [
        flight(2016, 1, 1, 1),
        flight(2016, 1, 1, 2, distance="50.7"),
        flight(2016, 1, 1, 3, carrier=CANARY, distance=0, origin="XYZ"),
        flight(2016, 1, 1, 4, time_hour="2016-02-30T09:00:00Z") | {"day": ""},
    ]
    item = lake.land(key, csv(rows), gold=False)
    assert (item["rows"], item["silver_rows"], item["quarantined_rows"]) == (4, 1, 3)
    found = lake.query(
        "SELECT _raw_record, cardinality(_broken_rules) FROM flights__quarantine "
        f"WHERE _source_key = '{key}' ORDER BY _source_row"
    )
    assert [count for _, count in found] == [1, 3, 2]
    assert CANARY in found[1][0]


def test_a_canary_in_bad_rows_is_found_in_quarantine_and_nowhere_else(lake: TwinLake) -> None:
    lake.land(
        flights_key(2016, 2, "canary"),
        csv([flight(2016, 2, 1, 1, carrier=CANARY) | {"day": CANARY}]),
        gold=False,
    )
    found = lake.query(f"SELECT count(*) FROM flights__quarantine WHERE _raw_record LIKE '%{CANARY}%'")
    assert found[0][0] >= 1
    assert [place for place, text in lake.everything_said() if CANARY in text] == []


def test_bad_files_are_rejected_with_the_reason_and_the_rest_goes_on(lake: TwinLake) -> None:
    good = flights_file(2016, 3, [1, 2])
    whole = gzip.compress(("\n".join([",".join(FLIGHT_COLUMNS)] + ["1" * 500] * 500)).encode())
    with lake.silence():
        files = lake.put_all(
            [
                (flights_key(2016, 3, "good"), good),
                (flights_key(2016, 3, "empty"), ""),
                (flights_key(2016, 3, "truncated") + ".gz", whole[: len(whole) // 2]),
                (flights_key(2016, 3, "garbage"), bytes(range(256)) * 40),
                ("flights/no-month/x.csv", good),
                (
                    flights_key(2016, 3, "good-too") + ".gz",
                    gzip.compress(flights_file(2016, 3, [3]).encode()),
                ),
                (
                    flights_key(2016, 3, "good-third") + ".zst",
                    zstandard.compress(flights_file(2016, 3, [4]).encode()),
                ),
                (
                    flights_key(2016, 3, "good-fourth") + ".bz2",
                    bz2.compress(flights_file(2016, 3, [5]).encode()),
                ),
            ]
        )
        lake.deliver([lake.event(file) for file in files])
        items = lake.settle(files, gold=False)
    states = {key.rpartition("/")[2]: item["state"] for key, item in items.items()}
    assert states == {
        "good.csv": "PROMOTED",
        "empty.csv": "REJECTED",
        "truncated.csv.gz": "REJECTED",
        "garbage.csv": "REJECTED",
        "x.csv": "REJECTED",
        "good-too.csv.gz": "PROMOTED",
        "good-third.csv.zst": "PROMOTED",
        "good-fourth.csv.bz2": "PROMOTED",
    }
    assert all(item["reason"] for item in items.values() if item["state"] == "REJECTED")
    assert lake.query("SELECT count(*) FROM flights WHERE year = 2016 AND month = 3") == [[5]]
