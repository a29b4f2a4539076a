"""Sweep: called by a schedule every few minutes to see to what nobody else will."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from lakehouse import sweep
from lakehouse.adapters.connect import lake_of_function

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Look at every writer. The schedule's event says nothing that matters."""
    result = sweep.sweep(lake_of_function())
    logger.info("writers seen to", extra=result.dump())
    return sweep.checked(result).dump()
