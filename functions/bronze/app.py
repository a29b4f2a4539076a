"""Bronze: makes the catalog know a run's files, and drafts a plan for a dataset without a contract."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import parse

from lakehouse import bronze
from lakehouse.adapters.bronze_catalog import connect_landing
from lakehouse.payloads import ClaimResult
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()


@cache
def landing() -> bronze.Landing:
    """What this function works with; its environment is read here, once."""
    return connect_landing(Settings.from_environment(os.environ))


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Register the claimed files and answer with the claim, its plan filled in."""
    request = parse(event=event, model=ClaimResult)
    result = bronze.register(landing(), request)
    logger.info("bronze registered", extra=result.dump())
    return result.dump()
