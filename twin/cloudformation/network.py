"""Types of a network that ministack's EC2 has and its CloudFormation lacks. All are only recorded."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from twin.context import Context

JsonObject = dict[str, Any]
DIRECTIONS = {
    # type: the word of its operations, the property that names the other group
    "AWS::EC2::SecurityGroupIngress": ("ingress", "SourceSecurityGroupId"),
    "AWS::EC2::SecurityGroupEgress": ("egress", "DestinationSecurityGroupId"),
}


def install(provisioners: ModuleType, context: Context) -> None:
    """Add the handlers. What is changed is made anew."""
    for resource_type in DIRECTIONS:
        add(
            provisioners,
            resource_type,
            functools.partial(_create_rule, context, resource_type),
            functools.partial(_delete_rule, context, resource_type),
        )
    add(
        provisioners,
        "AWS::EC2::FlowLog",
        functools.partial(_create_flow_log, context),
        functools.partial(_delete_flow_log, context),
    )


def add(
    provisioners: ModuleType,
    resource_type: str,
    create: Callable[[JsonObject], str],
    delete: Callable[[str, JsonObject], None],
) -> None:
    """Let a stack hold a type, made and deleted by two calls; what is changed is made anew."""

    def made(_logical_id: str, wanted: JsonObject, _stack: str) -> tuple[str, JsonObject]:
        physical_id = create(wanted)
        return physical_id, {"Id": physical_id}

    def changed(
        physical_id: str, before: JsonObject, wanted: JsonObject, _stack: str
    ) -> tuple[str, JsonObject]:
        if before == wanted:
            return physical_id, {"Id": physical_id}
        delete(physical_id, before)
        return made("", wanted, "")

    provisioners._RESOURCE_HANDLERS[resource_type] = {"create": made, "update": changed, "delete": delete}


def _permission(resource_type: str, rule: JsonObject) -> JsonObject:
    """A rule in the words of EC2's API."""
    other = DIRECTIONS[resource_type][1]
    return {
        "IpProtocol": str(rule["IpProtocol"]),
        "FromPort": int(rule["FromPort"]),
        "ToPort": int(rule["ToPort"]),
        "UserIdGroupPairs": [{"GroupId": rule[other], "Description": rule.get("Description", "")}],
    }


def _create_rule(context: Context, resource_type: str, rule: JsonObject) -> str:
    authorize = getattr(
        context.admin_client("ec2"), f"authorize_security_group_{DIRECTIONS[resource_type][0]}"
    )
    answer = authorize(GroupId=rule["GroupId"], IpPermissions=[_permission(resource_type, rule)])
    return str(answer["SecurityGroupRules"][0]["SecurityGroupRuleId"])


def _delete_rule(context: Context, resource_type: str, _physical_id: str, rule: JsonObject) -> None:
    revoke = getattr(context.admin_client("ec2"), f"revoke_security_group_{DIRECTIONS[resource_type][0]}")
    revoke(GroupId=rule["GroupId"], IpPermissions=[_permission(resource_type, rule)])


def _create_flow_log(context: Context, wanted: JsonObject) -> str:
    ec2 = context.admin_client("ec2")
    answer = ec2.create_flow_logs(
        ResourceIds=[wanted["ResourceId"]],
        ResourceType=wanted["ResourceType"],
        TrafficType=wanted["TrafficType"],
        LogDestinationType=wanted["LogDestinationType"],
        LogGroupName=wanted["LogGroupName"],
        DeliverLogsPermissionArn=wanted["DeliverLogsPermissionArn"],
        MaxAggregationInterval=int(wanted["MaxAggregationInterval"]),
    )
    ec2.create_tags(Resources=answer["FlowLogIds"], Tags=wanted["Tags"])
    return str(answer["FlowLogIds"][0])


def _delete_flow_log(context: Context, physical_id: str, _wanted: JsonObject) -> None:
    context.admin_client("ec2").delete_flow_logs(FlowLogIds=[physical_id])
