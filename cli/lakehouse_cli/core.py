"""The lake as the core sees it, made from the stack's outputs, for what the core's own logic is to do."""

from __future__ import annotations

from typing import Any, cast

from lakehouse.lake import Lake as CoreLake
from lakehouse.settings import Settings
from lakehouse_cli.connection import Lake


def settings_of(lake: Lake) -> Settings:
    """The functions' settings. Names that are no outputs follow from the lake's, as in the template."""
    stem = f"{lake.name('LakeName')}-{lake.name('Environment')}"
    return Settings(
        lake_name=lake.name("LakeName"),
        environment=lake.name("Environment"),
        bronze_bucket=lake.name("BronzeBucketName"),
        silver_bucket=lake.name("SilverBucketName"),
        gold_bucket=lake.name("GoldBucketName"),
        operations_bucket=lake.name("OperationsBucketName"),
        ledger_table=lake.name("LedgerTableName"),
        lineage_table=lake.name("LineageTableName"),
        promote_state_machine_arn=lake.name("PromoteStateMachineArn"),
        refresh_state_machine_arn=lake.name("RefreshStateMachineArn"),
        maintain_state_machine_arn=lake.name("MaintainStateMachineArn"),
        failure_topic_arn=lake.name("FailureTopicArn"),
        bronze_database=lake.name("BronzeDatabaseName"),
        silver_database=lake.name("SilverDatabaseName"),
        gold_database=lake.name("GoldDatabaseName"),
        silver_job_name=f"{stem}-silver",
        gold_job_name=f"{stem}-gold",
        maintain_job_name=f"{stem}-maintain",
        crawler_name=f"{stem}-bronze",
        assets_prefix=lake.name("AssetsPrefix"),
    )


def core_lake(lake: Lake) -> CoreLake:
    """The core's lake over the same connection."""
    from lakehouse.adapters.connect import connect

    # Our connection makes clients as a boto3 session does, which is all that is asked of it.
    return connect(settings_of(lake), cast("Any", lake.connection))
