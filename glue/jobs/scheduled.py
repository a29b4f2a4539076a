"""Glue job: take in the new files of scheduled datasets, then ask for maintenance. See
``lakehouse_spark.scheduled``.
"""

from __future__ import annotations

import json
import sys

import boto3
from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from botocore.config import Config
from pyspark import SparkContext

from lakehouse.words import INDEX_FILE
from lakehouse_spark.objects import S3Objects
from lakehouse_spark.scheduled import LambdaFunctions, Landing, hand_over

ARGUMENTS = [
    "JOB_NAME", "bronze_bucket", "operations_bucket", "assets_prefix",
    "reconcile_function", "maintain_function",
]  # fmt: skip
FUNCTION_SECONDS = 900


def main() -> None:
    """Read the arguments, name the new files to the ledger, and only then commit the bookmark."""
    options = getResolvedOptions(sys.argv, ARGUMENTS)
    glue_context = GlueContext(SparkContext.getOrCreate())
    job = Job(glue_context)
    job.init(options["JOB_NAME"], options)
    operations = S3Objects(boto3.client("s3"), options["operations_bucket"])
    # One attempt: a call that is repeated unseen would be a second one, and every run is repeated anyway.
    waiting = Config(read_timeout=FUNCTION_SECONDS, retries={"total_max_attempts": 1})
    functions = LambdaFunctions(boto3.client("lambda", config=waiting))
    index = operations.get_json(options["assets_prefix"] + INDEX_FILE)
    landing = Landing(glue_context, options["bronze_bucket"])
    counts = hand_over(index, landing.new_keys, functions, options["reconcile_function"])
    sys.stdout.write(json.dumps(counts) + "\n")
    job.commit()
    functions.call_later(options["maintain_function"], {})


if __name__ == "__main__":
    main()
