"""CloudWatch: metrics that functions write into their logs, and alarms that topics have to admit.

Embedded metric format:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
An alarm publishes as a service:
https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html#compatibility-with-aws-services
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

from twin import hooks
from twin.context import Context

log = logging.getLogger("twin")
JsonObject = dict[str, Any]
PRINCIPAL = "cloudwatch.amazonaws.com"
KEY_ACTIONS = ("kms:Decrypt", "kms:GenerateDataKey")
ACTION_LISTS = ("AlarmActions", "OKActions", "InsufficientDataActions")


class Measured(NamedTuple):
    """One value of a metric."""

    namespace: str
    name: str
    value: float
    unit: str
    dimensions: dict[str, str]


def install(_app: ModuleType, context: Context) -> None:
    """Look at what functions log, and stand before what alarms tell."""
    from ministack.services import cloudwatch, kms, lambda_svc, sns

    hooks.require(cloudwatch, "record_metric", "_evaluate_all_alarms")
    hooks.require(kms, "key_policy_for_arn")
    hooks.require(sns, "_topics")
    hooks.replace(
        lambda_svc, "_emit_lambda_logs", lambda original: functools.partial(_log_and_measure, original)
    )
    hooks.replace(
        cloudwatch, "_dispatch_alarm_actions", lambda original: functools.partial(_tell, context, original)
    )


# --- Metrics in logs ------------------------------------------------------------------------------------


def _log_and_measure(
    original: Callable[..., None], function: JsonObject, request_id: str, text: str, *rest: Any, **more: Any
) -> None:
    from ministack.services import cloudwatch

    original(function, request_id, text, *rest, **more)
    found = [each for line in (text or "").splitlines() for each in measured(line)]
    for each in found:
        cloudwatch.record_metric(each.namespace, each.name, each.value, each.unit, each.dimensions)
    if found:
        cloudwatch._evaluate_all_alarms()


def measured(line: str) -> Iterator[Measured]:
    """The values that a line of a log holds in the embedded metric format; none in any other line."""
    if '"_aws"' not in line:
        return
    try:
        body = json.loads(line)
    except ValueError:
        return
    for directive in body.get("_aws", {}).get("CloudWatchMetrics", []):
        for names in directive["Dimensions"]:
            dimensions = {name: str(body[name]) for name in names}
            for metric in directive["Metrics"]:
                values = body[metric["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    unit = metric.get("Unit", "None")
                    yield Measured(directive["Namespace"], metric["Name"], float(value), unit, dimensions)


# --- Alarms ---------------------------------------------------------------------------------------------


def _tell(context: Context, original: Callable[..., None], alarm: JsonObject, *rest: Any) -> None:
    """A topic that does not admit the alarm, or whose key does not, hears nothing, as on AWS."""
    kept = {
        name: [arn for arn in alarm.get(name) or [] if _admitted(context, arn, alarm)]
        for name in ACTION_LISTS
    }
    original({**alarm, **kept}, *rest)


def _admitted(context: Context, topic_arn: str, alarm: JsonObject) -> bool:
    from ministack.services import kms, sns

    attributes = (sns._topics.get(topic_arn) or {}).get("attributes") or {}
    policies = [("sns:Publish", topic_arn, attributes.get("Policy"))]
    key = attributes.get("KmsMasterKeyId")
    if key and not key.startswith("alias/aws/"):
        policy = (kms.key_policy_for_arn(key) or ("",))[0]
        policies += [(action, key, policy) for action in KEY_ACTIONS]
    for action, arn, policy in policies:
        if not _allows(context, action, arn, policy, alarm["AlarmArn"]):
            log.warning("The alarm %s may not %s on %s", alarm["AlarmName"], action, arn)
            return False
    return True


def _allows(context: Context, action: str, arn: str, policy: Any, alarm_arn: str) -> bool:
    from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy

    request = EvalContext(
        principal_arn=PRINCIPAL,
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=arn,
        region=alarm_arn.split(":")[3],
        secure_transport=True,
        service_context={
            "aws:sourcearn": alarm_arn,
            "aws:sourceaccount": context.account,
            "aws:sourceowner": context.account,  # what a topic's policy by default asks for
        },
    )
    return bool(evaluate_resource_policy(policy, request, service=PRINCIPAL).decision == "Allow")
