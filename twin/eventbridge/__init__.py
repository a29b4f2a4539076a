"""EventBridge: targets are reached only where their own policy lets events.amazonaws.com in."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any

from twin import hooks
from twin.context import Context
from twin.eventbridge import scheduler

log = logging.getLogger("twin")
JsonObject = dict[str, Any]
PRINCIPAL = "events.amazonaws.com"
ACTIONS = {"sqs": "sqs:SendMessage", "sns": "sns:Publish", "lambda": "lambda:InvokeFunction"}


def install(_app: ModuleType, context: Context) -> None:
    """Check each target's policy, and invoke functions with Lambda's retries."""
    from ministack.services import eventbridge, lambda_svc, sns, sqs

    hooks.require(sqs, "_queue_by_arn")
    hooks.require(sns, "_topics")
    hooks.require(lambda_svc, "function_policy_for_arn", "invoke_async_with_retry")
    hooks.require(eventbridge, "_dispatch_to_sqs", "parse_arn")
    hooks.replace(
        eventbridge, "_invoke_target", lambda original: functools.partial(_deliver, context, original)
    )
    hooks.replace(eventbridge, "_dispatch_to_lambda", lambda _: _invoke_function)
    scheduler.install()


def _deliver(
    context: Context,
    original: Callable[..., None],
    target: JsonObject,
    event: JsonObject,
    rule: JsonObject,
    view: Any = None,
) -> None:
    """A target that does not admit the rule gets nothing, as on AWS; its dead-letter queue gets the event."""
    if "RoleArn" in target and rule["Arn"].split(":")[2] == "scheduler":
        scheduler.deliver(context, target)
        return
    if _admitted(context, target["Arn"], rule["Arn"]):
        original(target, event, rule, view)
        return
    log.warning("EventBridge may not reach %s: its policy does not admit rule %s", target["Arn"], rule["Arn"])
    dead_letters = (target.get("DeadLetterConfig") or {}).get("Arn")
    if dead_letters and _admitted(context, dead_letters, rule["Arn"]):
        original({"Id": "dead-letters", "Arn": dead_letters}, event, rule, view)


def _admitted(context: Context, target_arn: str, rule_arn: str) -> bool:
    from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy

    service = target_arn.split(":")[2]
    if service not in ACTIONS:
        return True  # reached with the rule's role, not by a policy of the target's
    request = EvalContext(
        principal_arn=PRINCIPAL,
        principal_type="Service",
        principal_account="",
        action=ACTIONS[service],
        resource_arn=target_arn,
        region=context.region,
        secure_transport=True,
        service_context={"aws:sourcearn": rule_arn, "aws:sourceaccount": context.account},
    )
    policy = _target_policy(service, target_arn)
    return bool(evaluate_resource_policy(policy, request, service=PRINCIPAL).decision == "Allow")


def _target_policy(service: str, arn: str) -> Any:
    from ministack.services import lambda_svc, sns, sqs

    if service == "sqs":
        return ((sqs._queue_by_arn(arn) or {}).get("attributes") or {}).get("Policy")
    if service == "sns":
        return ((sns._topics.get(arn) or {}).get("attributes") or {}).get("Policy")
    found = lambda_svc.function_policy_for_arn(arn)
    return found[0] if found else None


def _invoke_function(arn: str, payload: str) -> None:
    """An asynchronous invocation: twice retried, then to the function's failure destination."""
    from ministack.services import lambda_svc

    function, config, _name = lambda_svc._get_func_record_for_ref(arn)
    if function and config:
        lambda_svc.invoke_async_with_retry(
            lambda_svc._execution_record_for_config(function, config), json.loads(payload)
        )
