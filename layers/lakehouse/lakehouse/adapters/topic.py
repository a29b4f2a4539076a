"""The SNS topic of failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .calls import aws_call

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

MAX_SUBJECT = 100


class SnsTopic:
    """Messages to people."""

    def __init__(self, client: SNSClient, arn: str) -> None:
        self._client = client
        self._arn = arn

    def publish(self, subject: str, message: str) -> None:
        """Send one message. SNS takes subjects below 100 characters."""
        with aws_call("sns", "Publish"):
            self._client.publish(TopicArn=self._arn, Subject=subject[: MAX_SUBJECT - 1], Message=message)
