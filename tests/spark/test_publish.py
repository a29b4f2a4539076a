"""A branch, a marker, one publishing commit: what readers of main see at each point."""

from __future__ import annotations

import pytest
from pyspark.errors import IllegalArgumentException
from pyspark.sql import SparkSession

from lakehouse import words
from lakehouse_spark import publish

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


def test_main_shows_nothing_until_published(spark: SparkSession, table: str) -> None:
    publish.create_branch(spark, table, BRANCH)
    spark.sql(f"INSERT INTO {publish.branch_table(table, BRANCH)} VALUES ('UA')")
    marker = publish.commit_marker(spark, table, BRANCH, {words.MARKER_RUN: RUN, "x": "1"})
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


def test_publishing_is_refused_when_main_moved(spark: SparkSession, table: str) -> None:
    spark.sql(f"INSERT INTO {table} VALUES ('AA')")
    publish.create_branch(spark, table, BRANCH)
    spark.sql(f"INSERT INTO {publish.branch_table(table, BRANCH)} VALUES ('UA')")
    spark.sql(f"INSERT INTO {table} VALUES ('B6')")
    with pytest.raises(IllegalArgumentException, match="ancestor"):
        publish.publish(spark, table, BRANCH)
    assert rows(spark, table) == ["AA", "B6"]
