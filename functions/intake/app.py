"""Intake: S3's events from the queue become files that wait in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import parse
from aws_lambda_powertools.utilities.parser.models import SqsModel

from lakehouse import intake
from lakehouse.adapters.connect import lake_of_function

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Take a batch of queue messages in; those that failed are delivered again."""
    records = parse(event=event, model=SqsModel).Records
    messages = intake.parse_messages((record.messageId, str(record.body)) for record in records)
    result = intake.take_in(lake_of_function(), messages)
    logger.info("batch taken in", extra=result.counts())
    return result.batch_response()
