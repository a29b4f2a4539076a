"""Reconcile: called daily by a schedule, and by `lakehouse backfill`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import parse

from lakehouse import reconcile
from lakehouse.adapters.connect import lake_of_function
from lakehouse.payloads import ReconcileRequest

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
NEEDED_MILLISECONDS = 60_000
"""A page of a thousand files is registered well within this time."""


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Compare the landing bucket with the ledger for as long as there is time."""
    request = parse(event=event, model=ReconcileRequest)

    def in_time() -> bool:
        return context.get_remaining_time_in_millis() > NEEDED_MILLISECONDS

    result = reconcile.run(lake_of_function(), request, in_time, context.function_name)
    logger.info("listing compared", extra=result.dump())
    return result.dump()
