# ruff: noqa: S608 - the statements are put together from constants
"""The way of a job through Spark, Iceberg, Glue and S3, in small steps, so that a worker's JVM knows it.

Run by ``worker.py`` in a JVM in reserve, with tables of its own in an account of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore.exceptions import ClientError
from pyspark.sql import SparkSession

Step = Callable[[SparkSession], object]
DATABASE = "twin_warm_up"
BUCKET = "twin-warm-up"
CSV = "id,name,at,value\n" + "".join(f"{i},n{i % 7},2013-01-{i % 28 + 1:02d},{i}.5\n" for i in range(2000))


def steps() -> Iterator[Step]:
    """What to do, one after another; the caller may stop between two."""
    table = f"glue_catalog.{DATABASE}.t{os.getpid()}"
    path = f"s3://{BUCKET}/files/{os.getpid()}.csv"
    yield lambda _: _put_file(path)
    yield lambda spark: spark.sql(
        f"CREATE TABLE {table} (id BIGINT, name STRING, at DATE, value DOUBLE, n INT) USING iceberg "
        "PARTITIONED BY (months(at)) TBLPROPERTIES ('format-version'='2')"
    )
    yield lambda spark: spark.sql(f"INSERT INTO {table} VALUES (0, 'zero', DATE '2013-01-01', 0.0, 0)")
    yield lambda spark: spark.sql(f"ALTER TABLE {table} CREATE BRANCH b")
    yield lambda spark: _read(spark, path).writeTo(f"{table}.branch_b").append()
    yield lambda spark: _merge(spark, table, path)
    yield lambda spark: spark.sql(
        f"SELECT name, count(*), sum(value) FROM {table} GROUP BY name ORDER BY 2"
    ).collect()
    yield lambda spark: spark.sql(f"SELECT * FROM {table}.snapshots").collect()
    yield lambda spark: _publish(spark, table)
    yield lambda spark: spark.sql(f"DROP TABLE {table} PURGE")


def _put_file(path: str) -> None:
    session = boto3.Session()  # the default one would keep these credentials for the job
    s3, glue = session.client("s3"), session.client("glue")
    for make, arguments in (
        (s3.create_bucket, {"Bucket": BUCKET}),
        (glue.create_database, {"DatabaseInput": {"Name": DATABASE}}),
    ):
        try:
            make(**arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "AlreadyExistsException"):
                raise
    bucket, _, key = path.removeprefix("s3://").partition("/")
    s3.put_object(Bucket=bucket, Key=key, Body=CSV.encode())


def _read(spark: SparkSession, path: str) -> Any:
    rows = (
        spark.read.option("header", "true")
        .schema("id STRING, name STRING, at STRING, value STRING")
        .csv(path)
    )
    return rows.selectExpr(
        "cast(id AS BIGINT) id", "name", "to_date(at) at", "cast(value AS DOUBLE) value",
        "row_number() OVER (PARTITION BY name ORDER BY id) n",
    )  # fmt: skip


def _publish(spark: SparkSession, table: str) -> None:
    """One commit, as the job library publishes: fast-forward main, drop the branch."""
    jvm: Any = spark._jvm  # Iceberg's Java API is reached only through it
    iceberg = jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergTable(spark._jsparkSession, table)
    iceberg.newAppend().set("warm-up", "true").toBranch("b").commit()
    iceberg.manageSnapshots().fastForwardBranch("main", "b").removeBranch("b").commit()


def _merge(spark: SparkSession, table: str, path: str) -> None:
    _read(spark, path).createOrReplaceTempView("incoming")
    spark.sql(
        f"MERGE INTO {table}.branch_b t USING incoming s ON t.id = s.id "
        "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    )
