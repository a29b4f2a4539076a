"""Recover: called by EventBridge when an execution ended FAILED, TIMED_OUT or ABORTED."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import parse

from lakehouse import recover
from lakehouse.adapters.connect import lake_of_function
from lakehouse.payloads import ExecutionEvent

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Put right what the run of the execution left."""
    ended = parse(event=event, model=ExecutionEvent)
    result = recover.recover(lake_of_function(), ended.run_request(), ended.execution())
    logger.info("run recovered", extra=result.dump())
    return result.dump()
