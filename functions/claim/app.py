"""Claim: the first state of a promote run chooses the files it will read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import parse

from lakehouse import claim
from lakehouse.adapters.connect import lake_of_function
from lakehouse.payloads import RunRequest

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Confirm the run's lease and claim its files."""
    request = parse(event=event, model=RunRequest)
    result = claim.claim(lake_of_function(), request)
    logger.info("files claimed", extra=result.dump())
    return result.dump()
