"""Executions of state machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lakehouse.errors import AwsError
from lakehouse.lake import Execution

from .calls import aws_call

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

ALREADY_STARTED = "ExecutionAlreadyExists"
NEVER_STARTED = "ExecutionDoesNotExist"


class StepFunctions:
    """Executions named by our run ids."""

    def __init__(self, client: SFNClient) -> None:
        self._client = client

    def start(self, state_machine_arn: str, name: str, request: Mapping[str, str]) -> None:
        """Start an execution; one of that name that exists already is as good."""
        try:
            with aws_call("states", "StartExecution"):
                self._client.start_execution(
                    stateMachineArn=state_machine_arn, name=name, input=json.dumps(request, sort_keys=True)
                )
        except AwsError as error:
            if error.code != ALREADY_STARTED:
                raise

    def describe(self, state_machine_arn: str, name: str) -> Execution | None:
        """How an execution stands, or None if there never was one."""
        arn = execution_arn(state_machine_arn, name)
        try:
            with aws_call("states", "DescribeExecution"):
                answer = self._client.describe_execution(executionArn=arn)
        except AwsError as error:
            if error.code == NEVER_STARTED:
                return None
            raise
        return Execution(answer["status"], answer.get("error", ""), answer.get("cause", ""))


def execution_arn(state_machine_arn: str, name: str) -> str:
    """The ARN of a Standard execution, from its state machine's ARN and its name."""
    return state_machine_arn.replace(":stateMachine:", ":execution:", 1) + ":" + name
