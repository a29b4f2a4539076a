"""Maintain: called daily by a schedule, and by `lakehouse maintain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import parse

from lakehouse import maintain
from lakehouse.adapters.connect import lake_of_function
from lakehouse.payloads import MaintainRequest

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Ask for the maintenance of tables that need it. The schedule's event names no writer: it means all."""
    request = parse(event=event, model=MaintainRequest)
    result = maintain.maintain(lake_of_function(), request)
    logger.info("maintenance asked for", extra=result.dump())
    return maintain.checked(result).dump()
