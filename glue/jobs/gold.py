"""The Glue job that refreshes the Gold tables: arguments, session, read, one call, write."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import boto3
from pyspark.sql import SparkSession

from lakehouse import words
from lakehouse_spark import gold

ARGUMENTS = (
    "run_id",
    "writer",
    "manifest",
    "report",
    "gold_bucket",
    "operations_bucket",
    "silver_database",
    "gold_database",
)


def parse(argv: list[str]) -> argparse.Namespace:
    """The job's own arguments; Glue adds more of its own."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ARGUMENTS:
        parser.add_argument(f"--{name}", required=True)
    return parser.parse_known_args(argv)[0]


class Operations:
    """JSON objects in the operations bucket."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._client = boto3.client("s3")

    def read(self, key: str) -> Any:
        """The parsed object."""
        return json.loads(self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read())

    def find(self, key: str) -> Any:
        """The parsed object, or None when there is none."""
        found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=1).get("Contents", [])
        return self.read(key) if [each["Key"] for each in found] == [key] else None

    def write(self, key: str, value: Any) -> None:
        """Replace the object."""
        body = json.dumps(value, indent=1).encode()
        self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType="application/json")


def main(argv: list[str]) -> None:
    """Refresh the models of the run's manifest."""
    args = parse(argv)
    operations = Operations(args.operations_bucket)
    plans = gold.load_plans(operations.read(args.manifest), operations.read)
    spark = SparkSession.builder.appName(args.run_id).getOrCreate()
    lake = gold.Lake(args.silver_database, args.gold_database, f"s3://{args.gold_bucket}")
    refresh = gold.Refresh(
        spark,
        args.run_id,
        lake,
        args.report,
        save=lambda report: operations.write(args.report, report),
        previous=operations.find(args.report),
    )
    refresh.run(plans)


if __name__ == "__main__":
    main(sys.argv[1:])
