"""Complete: the last state of a run writes down what it did and passes the lease on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import parse

from lakehouse import complete
from lakehouse.adapters.connect import lake_of_function
from lakehouse.payloads import CompleteRequest

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Write the run's outcomes, then release or hand over the lease."""
    request = parse(event=event, model=CompleteRequest)
    result = complete.complete(lake_of_function(), request)
    logger.info("run completed", extra=result.dump())
    return result.dump()
