"""Fill the core's ports with AWS."""

from __future__ import annotations

import os
import secrets
import time
from datetime import UTC, datetime
from functools import cache

import boto3  # noqa: TID251 - this is where the adapters get their clients

from lakehouse.lake import Lake
from lakehouse.ledger import Ledger
from lakehouse.settings import Settings

from .bronze_bucket import S3Bronze
from .dynamo import DynamoStore
from .executions import StepFunctions
from .functions import LambdaFunctions
from .glue_jobs import GlueJobs
from .iceberg import GlueTables
from .metrics import EmfMetrics
from .operations import S3Operations
from .topic import SnsTopic


def connect(settings: Settings, session: boto3.Session | None = None) -> Lake:
    """The lake that ``settings`` name, in the account and region of ``session`` (or the usual one)."""
    session = session or boto3.Session()
    s3, dynamodb, glue = session.client("s3"), session.client("dynamodb"), session.client("glue")
    return Lake(
        settings=settings,
        ledger=Ledger(DynamoStore(dynamodb, settings.ledger_table)),
        lineage=DynamoStore(dynamodb, settings.lineage_table),
        operations=S3Operations(s3, settings.operations_bucket),
        bronze=S3Bronze(s3, settings.bronze_bucket),
        executions=StepFunctions(session.client("stepfunctions")),
        jobs=GlueJobs(glue),
        tables=GlueTables(glue, s3),
        topic=SnsTopic(session.client("sns"), settings.failure_topic_arn),
        functions=LambdaFunctions(session.client("lambda")),
        metrics=EmfMetrics(f"{settings.lake_name}-{settings.environment}"),
        now=lambda: datetime.now(UTC),
        token=lambda: secrets.token_hex(4),
        pause=time.sleep,
    )


@cache
def lake_of_function() -> Lake:
    """The lake of the Lambda function this runs in: its environment is read here, once."""
    return connect(Settings.from_environment(os.environ))
