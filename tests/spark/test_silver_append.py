"""Appending CSV files by contract: rows, bad rows, counts, replaced and changed files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pyspark.sql import SparkSession

from lakehouse import words
from lakehouse_spark import publish, silver, silver_write
from lakehouse_spark.errors import JobFailed
from tests.spark.lake import Lake, column, outcomes, plan, rule

COLUMNS = [column("id", "int", required=True), column("amount", "decimal(6,2)"), column("day", "date")]
PAIR = [column("id", "int", required=True), column("name")]

MakeLake = Callable[[Any], Lake]


def test_good_rows_land_and_bad_rows_go_whole_to_quarantine(make: MakeLake) -> None:
    lake = make(plan("sales", COLUMNS, [rule("id_min", "min", ["id"], 1)]))
    lake.put("a.csv", "id,amount,day\n1,2.50,2013-02-28\n50.7,x,2013-02-30\n,1.005,2013-01-01\n-4,NA,\n")
    report = lake.run()
    assert lake.rows("id", "CAST(amount AS string)", "CAST(day AS string)") == [(1, "2.50", "2013-02-28")]
    assert lake.bad_rows() == [
        (2, ["id_type", "amount_type", "day_type"], '{"id":"50.7","amount":"x","day":"2013-02-30"}'),
        (3, ["amount_type", "id_required"], '{"id":null,"amount":"1.005","day":"2013-01-01"}'),
        (4, ["id_min"], '{"id":"-4","amount":"NA","day":null}'),
    ]
    assert outcomes(report) == [("PROMOTED", None, 4, 1, 3, 0)]
    assert {r["rule"]: r["violations"] for r in report["rules"] if r["violations"]} == {
        "id_type": 1, "amount_type": 2, "day_type": 1, "id_required": 1, "id_min": 1,
    }  # fmt: skip
    assert (report["silver"]["rows_added"], report["quarantine"]["rows_added"]) == (1, 3)


def test_10_two_files_of_one_day_both_stay(make: MakeLake) -> None:
    lake = make(plan("days", PAIR))
    lake.put("2013-01-01/a.csv", "id,name\n1,a\n2,b\n")
    lake.run()
    lake.put("2013-01-01/b.csv", "id,name\n1,a\n3,c\n")
    lake.run()
    assert lake.rows("id") == [(1,), (2,), (1,), (3,)]


def test_11_a_fraction_is_no_int(make: MakeLake) -> None:
    lake = make(plan("ints", PAIR))
    lake.put("a.csv", "id,name\n50.7,a\n50.0,b\n2147483648,c\n")
    lake.run()
    assert lake.rows("id", "name") == [(50, "b")]
    assert [(row, broken) for row, broken, _ in lake.bad_rows()] == [(1, ["id_type"]), (3, ["id_type"])]


def test_12_keys_with_odd_characters_are_read(make: MakeLake) -> None:
    lake = make(plan("keys", PAIR))
    names = ["a+b.csv", "c d.csv", "e%20f%.csv", "é/ü[1]*.csv", "{x}?.csv"]
    for number, name in enumerate(names):
        lake.put(name, f"id,name\n{number},n\n,bad\n")
    report = lake.run()
    assert lake.rows("id") == [(0,), (1,), (2,), (3,), (4,)]
    keys = {row[0] for row in lake.spark.table(lake.quarantine).select(words.SOURCE_KEY).collect()}
    assert keys == {f"keys/{name}" for name in names}
    assert outcomes(report) == [("PROMOTED", None, 2, 1, 1, 0)] * 5


def test_12_one_file_with_an_odd_key(make: MakeLake) -> None:
    lake = make(plan("key", PAIR))
    lake.put("é %+[x]*.csv", "id,name\n1,a\n")
    lake.run()
    assert lake.rows("id") == [(1,)]


def test_14_a_large_plain_file_is_read_in_parallel(make: MakeLake, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("maxPartitionBytes", "openCostInBytes"):
        monkeypatch.setitem(silver_settings(), f"spark.sql.files.{key}", "1000")
    lake = make(plan("large", PAIR))
    lake.put("a.csv", "id,name\n" + "".join(f"{n},row {n:05}\n" for n in range(1000)))
    lake.run()
    rows = lake.rows("id", words.SOURCE_ROW)
    assert [row[0] for row in rows] == list(range(1000))
    assert len({row[1] for row in rows}) == 1000
    assert lake.spark.conf.get("spark.sql.files.maxPartitionBytes") == "1000"


def silver_settings() -> dict[str, str]:
    from lakehouse_spark import session

    return session.SETTINGS


def test_rows_of_a_replaced_version_are_replaced_in_silver_and_quarantine(make: MakeLake) -> None:
    lake = make(plan("replaced", PAIR))
    lake.put("a.csv", "id,name\n1,a\nx,old\n")
    lake.put("b.csv", "id,name\n7,b\n")
    lake.run()
    lake.put("a.csv", "id,name\n1,A\n2,B\ny,new\n")
    report = lake.run()
    assert lake.rows("id", "name") == [(7, "b"), (1, "A"), (2, "B")]
    assert lake.bad_rows() == [(3, ["id_type"], '{"id":"y","name":"new"}')]
    assert (report["silver"]["rows_added"], report["silver"]["rows_deleted"]) == (2, 1)
    assert (report["quarantine"]["rows_added"], report["quarantine"]["rows_deleted"]) == (1, 1)
    assert report["spark_actions"] <= 6


def test_only_current_versions_are_read(make: MakeLake) -> None:
    lake = make(plan("current", PAIR))
    lake.put("a.csv", "id,name\n1,old\n")
    lake.put("a.csv", "id,name\n2,new\n")
    lake.put("gone.csv", "id,name\n3,x\n")
    lake.bronze.delete("current/gone.csv")
    report = lake.run()
    assert [(o, r) for o, r, *_ in outcomes(report)] == [
        ("SUPERSEDED", "the key has a newer version"), ("PROMOTED", None), ("DELETED", "the key was deleted"),
    ]  # fmt: skip
    assert lake.rows("id") == [(2,)]


def test_a_file_that_changes_while_it_is_written_leaves_no_row(
    make: MakeLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = make(plan("changing", PAIR))
    lake.put("a.csv", "id,name\n1,a\nx,bad\n")
    lake.put("b.csv", "id,name\n2,b\n")
    append = silver_write.append

    def then_change(*arguments: Any) -> None:
        append(*arguments)
        lake.bronze.put("changing/a.csv", b"id,name\n9,z\n", "later", "20130102T000000Z")

    monkeypatch.setattr(silver_write, "append", then_change)
    report = lake.run()
    assert [o for o, *_ in outcomes(report)] == ["SUPERSEDED", "PROMOTED"]
    assert lake.rows("id") == [(2,)]
    assert lake.bad_rows() == []


def test_a_run_that_was_published_is_not_done_again(make: MakeLake) -> None:
    lake = make(plan("again", PAIR))
    lake.put("a.csv", "id,name\n1,a\n")
    job = lake.job(lake.pending)
    first = lake.run(job)
    assert lake.run(job) == first
    assert lake.rows("id") == [(1,)]


@pytest.mark.parametrize("dies_after", ["quarantine", "silver branch"])
def test_a_run_that_died_before_silver_was_published_doubles_nothing(
    make: MakeLake, monkeypatch: pytest.MonkeyPatch, dies_after: str
) -> None:
    lake = make(plan("died", PAIR))
    lake.put("a.csv", "id,name\n1,a\nx,bad\n")
    files = list(lake.pending)
    whole = publish.publish

    def dying(spark: SparkSession, table: str, branch: str) -> int:
        if dies_after == "silver branch" or table == lake.silver:
            raise KeyError("the machine is gone")
        return whole(spark, table, branch)

    monkeypatch.setattr(publish, "publish", dying)
    with pytest.raises(JobFailed):
        lake.run()
    monkeypatch.setattr(publish, "publish", whole)
    lake.pending = files
    report = lake.run()
    assert lake.rows("id") == [(1,)]
    assert lake.bad_rows() == [(2, ["id_type"], '{"id":"x","name":"bad"}')]
    assert outcomes(report) == [("PROMOTED", None, 2, 1, 1, 0)]


def test_a_dead_run_tells_why_it_died_though_its_copies_cannot_be_emptied_either(
    make: MakeLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise ClientError({"Error": {"Code": "SlowDown", "Message": ""}}, "PutObject")

    lake = make(plan("emptied", PAIR))
    lake.put("a.csv", "id,name\n1,a\n")
    job = lake.job(lake.pending)
    monkeypatch.setattr(silver, "empty_staged", refused)
    monkeypatch.setattr(silver, "read", lambda run: 1 // 0)
    with pytest.raises(JobFailed, match="ZeroDivisionError"):
        lake.run(job)
    failure = lake.operations.get_json(job.report_key.replace("report.json", "failure.json"))
    assert failure["failure_class"] == "FILES"


def test_a_dead_run_leaves_a_failure_without_values(make: MakeLake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = make(plan("dead", PAIR))
    lake.put("a.csv", "id,name\n1,CANARY\n")
    job = lake.job(lake.pending)

    def dying(*_: Any) -> int:
        raise ValueError("cannot write row CANARY")

    monkeypatch.setattr(publish, "publish", dying)
    with pytest.raises(JobFailed, match="FILES") as failed:
        silver.promote(lake.spark, job, lake.bronze, lake.operations)
    failure = lake.operations.get_json(job.report_key.replace("report.json", "failure.json"))
    assert failure == {
        "run_id": job.run_id, "failure_class": "FILES", "error": "ValueError", "message": "publish: ValueError",
    }  # fmt: skip
    assert "CANARY" not in str(failed.value)
    assert failed.value.__suppress_context__


def test_path_values_become_columns_and_win_over_the_file(make: MakeLake) -> None:
    columns = [column("year", "int", source="path"), *PAIR]
    lake = make(
        plan(
            "paths",
            columns,
            path_pattern="year={year:int}/*",
            partition_by=[{"column": "year", "transform": "identity"}],
        )
    )
    lake.put("year=2013/a.csv", "id,name,year\n1,a,1999\n")
    lake.put("year=2014/a.csv", "name,id\nb,2\n")
    lake.put("lost/a.csv", "id,name\n3,c\n")
    report = lake.run()
    assert lake.rows("year", "id", "name") == [(2013, 1, "a"), (2014, 2, "b")]
    assert outcomes(report)[2][:2] == ("REJECTED", "the path does not fit the contract's path pattern")


def test_without_a_contract_a_path_unlike_the_first_ones_lands_without_values(make: MakeLake) -> None:
    columns = [column("id", "bigint"), column("day", "bigint", source="path")]
    lake = make(plan("drafted", columns, path_pattern="day={day:int}/**", contracted=False))
    lake.put("day=3/a.csv", "id\n1\n")
    lake.run()
    lake.put("day=4/b.csv", "id\n2\n")
    lake.put("day=unknown/c.csv", "id\n3\n")
    lake.put("d.csv", "id\n4\n")
    report = lake.run()
    assert [o for o, *_ in outcomes(report)] == ["PROMOTED", "PROMOTED", "PROMOTED"]
    assert lake.rows("id", "day") == [(1, 3), (2, 4), (3, None), (4, None)]


def test_a_rerun_of_the_same_rows_has_the_same_hash(make: MakeLake) -> None:
    lake = make(plan("hashes", COLUMNS))
    lake.put("a.csv", "id,amount,day\n1,2.50,2013-02-28\n1,,2013-02-28\n")
    lake.put("b.csv", "day,amount,id\n2013-02-28,2.5,1\n")
    lake.run()
    first, second, third = (row[0] for row in lake.rows(words.ROW_HASH))
    assert first == third != second
