"""The Glue job that refreshes the Gold tables: arguments, session, read, one call, write."""

from __future__ import annotations

import argparse
import sys

import boto3

from lakehouse_spark import gold
from lakehouse_spark.objects import S3Objects
from lakehouse_spark.session import job_session

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


def main(argv: list[str]) -> None:
    """Refresh the models of the run's manifest."""
    args = parse(argv)
    operations = S3Objects(boto3.client("s3"), args.operations_bucket)
    lake = gold.Lake(args.silver_database, args.gold_database, f"s3://{args.gold_bucket}")
    refresh = gold.Refresh(
        job_session(),
        args.run_id,
        lake,
        args.report,
        save=lambda report: operations.put_json(args.report, report),
        previous=operations.get_json(args.report) if operations.head(args.report) else None,
    )
    refresh.run(gold.load_plans(operations.get_json(args.manifest), operations.get_json))


if __name__ == "__main__":
    main(sys.argv[1:])
