"""Freshness: called by a schedule where it is watched, and by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import parse

from lakehouse import freshness
from lakehouse.adapters.connect import lake_of_function
from lakehouse.payloads import FreshnessRequest

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Compare every dataset's age with its contract. The schedule's event names no moment: it means now."""
    request = parse(event=event, model=FreshnessRequest)
    result = freshness.run(lake_of_function(), request)
    logger.info("ages compared", extra=result.dump())
    return result.dump()
