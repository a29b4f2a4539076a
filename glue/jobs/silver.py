"""Glue job: promote the files of one manifest into Silver. See ``lakehouse_spark.silver``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import boto3
from awsglue.utils import getResolvedOptions

from lakehouse_spark.governed import Governing
from lakehouse_spark.objects import S3Objects
from lakehouse_spark.session import job_session
from lakehouse_spark.silver import promote
from lakehouse_spark.silver_run import Job

ARGUMENTS = [
    "run_id", "dataset", "writer", "manifest", "plan", "report",
    "bronze_bucket", "silver_bucket", "operations_bucket", "silver_database", "governed_roles",
]  # fmt: skip


def main() -> None:
    """Read the arguments, start the session, promote."""
    options = getResolvedOptions(sys.argv, ARGUMENTS)
    job = Job(
        run_id=options["run_id"],
        dataset=options["dataset"],
        manifest_key=options["manifest"],
        plan_key=options["plan"],
        report_key=options["report"],
        database=options["silver_database"],
        silver_root=f"s3://{options['silver_bucket']}",
        as_of=datetime.now(UTC),
    )
    client = boto3.client("s3")
    bronze = S3Objects(client, options["bronze_bucket"])
    operations = S3Objects(client, options["operations_bucket"])
    governing = Governing(boto3.client("lakeformation"), options["governed_roles"])
    promote(job_session(), job, bronze, operations, governing)


if __name__ == "__main__":
    main()
