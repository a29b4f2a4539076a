"""Glue job: refresh the Gold models of one manifest. See ``lakehouse_spark.gold``."""

from __future__ import annotations

import sys

import boto3
from awsglue.utils import getResolvedOptions

from lakehouse_spark.gold import Job, Lake, refresh
from lakehouse_spark.governed import Governing
from lakehouse_spark.objects import S3Objects
from lakehouse_spark.session import job_session

ARGUMENTS = [
    "run_id", "writer", "manifest", "report",
    "gold_bucket", "operations_bucket", "silver_database", "gold_database", "governed_roles",
]  # fmt: skip


def main() -> None:
    """Read the arguments, start the session, refresh."""
    options = getResolvedOptions(sys.argv, ARGUMENTS)
    job = Job(
        run_id=options["run_id"],
        manifest_key=options["manifest"],
        report_key=options["report"],
        lake=Lake(options["silver_database"], options["gold_database"], f"s3://{options['gold_bucket']}"),
    )
    operations = S3Objects(boto3.client("s3"), options["operations_bucket"])
    governing = Governing(boto3.client("lakeformation"), options["governed_roles"])
    refresh(job_session(), job, operations, governing)


if __name__ == "__main__":
    main()
