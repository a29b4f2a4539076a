"""A branch, a marker, one publishing commit: what readers of main see at each point."""

from __future__ import annotations

import pytest
from pyspark.errors import IllegalArgumentException
from pyspark.sql import SparkSession

from lakehouse import words
from lakehouse_spark import publish
from lakehouse_spark.errors import BranchLost

TABLE = "glue_catalog.publish_db.flights"
RUN = "flights-20130101T000000000Z-00000001"
BRANCH = words.run_branch(RUN)


@pytest.fixture
def table(spark: SparkSession) -> str:
    spark.sql("CREATE NAMESPACE IF NOT EXISTS glue_catalog.publish_db")
    spark.sql(f"DROP TABLE IF EXISTS {TABLE}")
    spark.sql(f"CREATE TABLE {TABLE} (carrier string) USING iceberg")
    return TABLE


def rows(spark: SparkSession, name: str) -> list[str]:
    return sorted(row.carrier for row in spark.table(name).collect())


def mark(spark: SparkSession, table: str) -> int:
    after = publish.branch_head(spark, table, BRANCH)
    return publish.commit_marker(spark, table, BRANCH, {words.MARKER_RUN: RUN, "x": "1"}, after)


def test_main_shows_nothing_until_published(spark: SparkSession, table: str) -> None:
    publish.create_branch(spark, table, BRANCH)
    spark.sql(f"INSERT INTO {publish.branch_table(table, BRANCH)} VALUES ('UA')")
    marker = mark(spark, table)
    assert rows(spark, table) == []
    assert publish.published_snapshot(spark, table, RUN) is None

    assert publish.publish(spark, table, BRANCH) == marker
    assert rows(spark, table) == ["UA"]
    assert publish.published_snapshot(spark, table, RUN) == marker
    assert publish.published_snapshot(spark, table, "another-run") is None
    assert [row.name for row in spark.table(f"{table}.refs").collect()] == ["main"]


def test_a_left_over_branch_starts_anew_from_main(spark: SparkSession, table: str) -> None:
    spark.sql(f"INSERT INTO {table} VALUES ('AA')")
    publish.create_branch(spark, table, BRANCH)
    spark.sql(f"INSERT INTO {publish.branch_table(table, BRANCH)} VALUES ('dead')")
    publish.create_branch(spark, table, BRANCH)
    assert rows(spark, publish.branch_table(table, BRANCH)) == ["AA"]


def test_a_writer_that_lost_its_branch_can_not_write(spark: SparkSession, table: str) -> None:
    publish.create_branch(spark, table, BRANCH)
    assert publish.drop_branch(spark, table, BRANCH) is True
    assert publish.drop_branch(spark, table, BRANCH) is False
    with pytest.raises(Exception, match="branch"):
        spark.sql(f"INSERT INTO {publish.branch_table(table, BRANCH)} VALUES ('late')")
    assert rows(spark, table) == []


def test_no_marker_is_written_once_the_branch_was_dropped(spark: SparkSession, table: str) -> None:
    spark.sql(f"INSERT INTO {table} VALUES ('AA')")
    publish.create_branch(spark, table, BRANCH)
    spark.sql(f"INSERT INTO {publish.branch_table(table, BRANCH)} VALUES ('late')")
    own = publish.branch_head(spark, table, BRANCH)
    publish.drop_branch(spark, table, BRANCH)
    with pytest.raises(BranchLost, match="has no branch"):
        publish.commit_marker(spark, table, BRANCH, {words.MARKER_RUN: RUN}, own)
    publish.create_branch(spark, table, BRANCH)
    with pytest.raises(BranchLost, match="not at the run's own snapshot"):
        publish.commit_marker(spark, table, BRANCH, {words.MARKER_RUN: RUN}, own)
    assert publish.branch_head(spark, table, BRANCH) == publish.main_snapshot_id(spark, table)


def test_a_marker_on_a_branch_that_was_dropped_meanwhile_is_taken_back(
    spark: SparkSession, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spark.sql(f"INSERT INTO {table} VALUES ('AA')")
    publish.create_branch(spark, table, BRANCH)
    spark.sql(f"INSERT INTO {publish.branch_table(table, BRANCH)} VALUES ('late')")
    look = publish.branch_head
    looks: list[int] = []

    def look_and_lose(spark: SparkSession, table: str, branch: str) -> int:
        head = look(spark, table, branch)
        if not looks:  # recovery drops the branch right after the run saw it for the last time
            publish.drop_branch(spark, table, branch)
        looks.append(head)
        return head

    own = look(spark, table, BRANCH)
    monkeypatch.setattr(publish, "branch_head", look_and_lose)
    with pytest.raises(BranchLost, match="dropped while its marker was written"):
        publish.commit_marker(spark, table, BRANCH, {words.MARKER_RUN: RUN}, own)
    assert [row.name for row in spark.table(f"{table}.refs").collect()] == ["main"]
    assert rows(spark, table) == ["AA"]


def test_publishing_is_refused_when_main_moved(spark: SparkSession, table: str) -> None:
    spark.sql(f"INSERT INTO {table} VALUES ('AA')")
    publish.create_branch(spark, table, BRANCH)
    spark.sql(f"INSERT INTO {publish.branch_table(table, BRANCH)} VALUES ('UA')")
    spark.sql(f"INSERT INTO {table} VALUES ('B6')")
    with pytest.raises(IllegalArgumentException, match="ancestor"):
        publish.publish(spark, table, BRANCH)
    assert rows(spark, table) == ["AA", "B6"]
