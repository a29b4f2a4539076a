"""A file that is written again replaces its rows; two files of one day both stay (acceptance 4, fault 10)."""

from __future__ import annotations

from lakehouse.adapters.iceberg_io import Catalog
from lakehouse.words import FORMER_LOCATION
from tests.twin.lake import TwinLake
from tests.twin.sample import csv, flight, flights_file, flights_key


def gold_flights(lake: TwinLake, year: int, month: int) -> int:
    """The flights of a month in Gold."""
    sql = f"SELECT sum(flights) FROM carrier_punctuality_daily WHERE year = {year} AND month = {month}"
    return int(lake.query(sql, "gold")[0][0] or 0)


def test_a_changed_file_replaces_its_rows_everywhere(lake: TwinLake) -> None:
    key = flights_key(2015, 1, "changed")
    good = [flight(2015, 1, 1, number) for number in (1, 2, 3)]
    bad = [flight(2015, 1, 1, 4, distance=-7)]
    first = lake.land(key, csv(good + bad))
    assert (first["silver_rows"], first["quarantined_rows"]) == (3, 1)
    assert gold_flights(lake, 2015, 1) == 3
    second = lake.land(key, flights_file(2015, 1, [8, 9]))
    assert second["state"] == "PROMOTED"
    in_silver = lake.query("SELECT flight FROM flights WHERE year = 2015 AND month = 1 ORDER BY flight")
    assert in_silver == [[8], [9]]
    assert [row for row in lake.quarantined("flights", "_source_key") if row == [key]] == []
    assert gold_flights(lake, 2015, 1) == 2


def test_a_table_that_moved_leaves_nothing_where_it_was(lake: TwinLake) -> None:
    """The run that moved it died before it could empty the former place: the next one does."""
    table, bucket = "carrier_punctuality_monthly", lake.cli.name("GoldBucketName")
    lake.rest()
    lake.client("s3").put_object(Bucket=bucket, Key=f"open/former/{table}/data/a.parquet", Body=b"rows")
    catalog = Catalog(lake.client("glue"), lake.client("s3"))
    place = (lake.cli.name("GoldDatabaseName"), table)
    with catalog.load_table(place).transaction() as change:
        change.set_properties({FORMER_LOCATION: f"s3://{bucket}/open/former/{table}"})
    lake.land(flights_key(2015, 3, "after"), flights_file(2015, 3, [1]))
    assert "Contents" not in lake.client("s3").list_objects_v2(Bucket=bucket, Prefix="open/former/")
    assert FORMER_LOCATION not in catalog.load_table(place).properties
    assert gold_flights(lake, 2015, 3) == 1


def test_peer_10_two_files_of_the_same_day_both_stay(lake: TwinLake) -> None:
    with lake.gold_held():
        lake.land(flights_key(2015, 2, "morning"), flights_file(2015, 2, [1, 2]), gold=False)
        lake.land(flights_key(2015, 2, "evening"), flights_file(2015, 2, [3]), gold=False)
    lake.rest()
    assert lake.query("SELECT count(*) FROM flights WHERE year = 2015 AND month = 2") == [[3]]
    assert gold_flights(lake, 2015, 2) == 3


def test_a_newer_snapshot_is_the_table(lake: TwinLake) -> None:
    header = "faa,name,lat,lon,alt,tz,dst,tzone\n"
    before = lake.bronze_text("airports/airports.csv")
    with lake.gold_held():
        only = "AAA,Only one,1.5,2.5,3,-5,A,America/New_York\n"
        lake.land("airports/airports.csv", header + only, gold=False)
        assert lake.query("SELECT faa FROM airports") == [["AAA"]]
        lake.land("airports/airports.csv", before, gold=False)
        assert lake.count("airports") == 1458
