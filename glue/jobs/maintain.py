"""Glue job: maintain the tables of one manifest. See ``lakehouse_spark.maintain``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import boto3
from awsglue.utils import getResolvedOptions

from lakehouse.words import CATALOG
from lakehouse_spark.maintain import Job, maintain
from lakehouse_spark.objects import S3Objects
from lakehouse_spark.session import configure, job_session
from lakehouse_spark.statistics import GlueCatalog

ARGUMENTS = [
    "run_id", "writer", "manifest", "report",
    "operations_bucket", "silver_database", "gold_database",
]  # fmt: skip


def main() -> None:
    """Read the arguments, start the session, maintain."""
    options = getResolvedOptions(sys.argv, ARGUMENTS)
    job = Job(
        run_id=options["run_id"],
        manifest_key=options["manifest"],
        report_key=options["report"],
        databases={layer: f"{CATALOG}.{options[f'{layer}_database']}" for layer in ("silver", "gold")},
        as_of=datetime.now(UTC),
        catalog=GlueCatalog(boto3.client("glue")),
    )
    spark = job_session()
    configure(spark, size_bytes=0)
    maintain(spark, job, S3Objects(boto3.client("s3"), options["operations_bucket"]))


if __name__ == "__main__":
    main()
