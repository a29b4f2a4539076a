"""Assets: the custom resource that compiles contracts and models and ships them with the Spark code.

Its artifact holds the sources (see the Makefile beside it). The physical id is constant, so an update never
deletes; the old prefix stays for the runs that use it, and so it does when the stack is deleted.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from lakehouse.adapters.assets_bucket import S3Assets
from lakehouse.adapters.cloudformation import fail, succeed
from lakehouse.adapters.governed_tables import govern_tables
from lakehouse.assets import compile_assets
from lakehouse.errors import LakehouseError
from lakehouse.settings import Settings
from lakehouse.shipping import ship
from lakehouse.words import GOVERNANCE_FILE

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

SOURCES = Path(__file__).parent / "sources"
logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001 - Lambda's signature
    """Answer a request of CloudFormation: compile and ship on Create and Update, nothing on Delete."""
    settings = Settings.from_environment(os.environ)
    resource_id = f"{settings.lake_name}-{settings.environment}-assets"
    try:
        data = {} if event["RequestType"] == "Delete" else ship_sources(settings)
    # CloudFormation waits until it is answered: every failure has to be told. Lambda's retry would not help.
    except Exception as error:
        logger.exception("assets not shipped")
        fail(event, resource_id, str(error) if isinstance(error, LakehouseError) else type(error).__name__)
    else:
        succeed(event, resource_id, data)


def ship_sources(settings: Settings) -> dict[str, str]:
    """Compile and ship the sources of this artifact, and govern the tables that are there by them.

    Returns the resource's attributes.
    """
    assets = compile_assets(SOURCES)
    ship(assets, S3Assets.connect(settings.operations_bucket), datetime.now(UTC))
    tables = govern_tables(settings, json.loads(assets.files[GOVERNANCE_FILE]))
    logger.info("assets shipped", extra={"prefix": assets.prefix, "governed_tables": tables})
    return {"Prefix": assets.prefix, "Hash": assets.hash}
