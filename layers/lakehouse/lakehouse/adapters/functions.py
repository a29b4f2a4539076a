"""Lambda functions, called asynchronously."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .calls import aws_call

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


class LambdaFunctions:
    """Functions by name."""

    def __init__(self, client: LambdaClient) -> None:
        self._client = client

    def invoke_later(self, name: str, event: Mapping[str, object]) -> None:
        """Call a function asynchronously."""
        with aws_call("lambda", "Invoke"):
            self._client.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event).encode())
