"""Plan: the first state of a refresh run says which models it will look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import parse

from lakehouse import plan
from lakehouse.adapters.connect import lake_of_function
from lakehouse.payloads import RunRequest

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Confirm the run's lease and write its manifest."""
    request = parse(event=event, model=RunRequest)
    result = plan.plan(lake_of_function(), request)
    logger.info("refresh planned", extra=result.dump())
    return result.dump()
