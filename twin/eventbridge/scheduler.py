"""EventBridge Scheduler: when a schedule is due, its target's API is called with the schedule's own role.

Universal targets only (``arn:aws:scheduler:::aws-sdk:<service>:<action>``), which is what the templates use:
https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html. A call that is refused
is not repeated here; what it was to be goes to the target's dead-letter queue, by the same role.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Final

from botocore.exceptions import ClientError

from twin import hooks
from twin.context import Context
from twin.errors import RoleUnusableError, TwinError
from twin.stepfunctions import sdk

PREFIX: Final = "arn:aws:scheduler:::aws-sdk:"
PRINCIPAL: Final = "scheduler.amazonaws.com"
TICK_SECONDS: Final = 1
log = logging.getLogger("twin")


class UnsupportedTargetError(TwinError):
    """A target that the twin does not call."""


def install() -> None:
    """Look for schedules that are due every second rather than every ten."""
    from ministack.services import scheduler

    hooks.replace(scheduler, "_SCHEDULE_TICK_INTERVAL", lambda _: TICK_SECONDS)


def deliver(context: Context, target: dict[str, Any]) -> None:
    """Call what a due schedule's target names."""
    try:
        _call(context, target)
    except (ClientError, RoleUnusableError, UnsupportedTargetError, sdk.SdkError) as error:
        log.warning("The schedule's target %s was not reached: %s", target["Arn"], error)
        _keep(context, target)


def _call(context: Context, target: dict[str, Any]) -> None:
    if not target["Arn"].startswith(PREFIX):
        raise UnsupportedTargetError("The twin calls universal targets only (aws-sdk:service:action).")
    service, action = target["Arn"].removeprefix(PREFIX).split(":")
    name = sdk.SERVICES.get(service, service)
    client = context.role_client(name, target["RoleArn"], "schedule", PRINCIPAL)
    arguments = json.loads(target.get("Input") or "{}")
    sdk.call(client, action, arguments, service, "Exception", exception_suffix=True)


def _keep(context: Context, target: dict[str, Any]) -> None:
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    if not queue:
        return
    url = context.admin_client("sqs").get_queue_url(QueueName=queue.rpartition(":")[2])["QueueUrl"]
    try:
        client = context.role_client("sqs", target["RoleArn"], "schedule", PRINCIPAL)
        client.send_message(QueueUrl=url, MessageBody=target.get("Input") or "{}")
    except (ClientError, RoleUnusableError) as error:
        log.warning("The dead-letter queue %s was not reached: %s", queue, error)
