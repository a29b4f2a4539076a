"""Stack sets with roles of their own: one stack for each account and region, here the twin's account.

Beside them the one type that only a second region needs, the replica of a key. The API of stack sets is not
served.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from types import ModuleType
from typing import Any

from twin import hooks
from twin.cloudformation.nested import SNAPSHOT, NestedStacks, first_failure
from twin.context import Context
from twin.errors import RefusedError

JsonObject = dict[str, Any]
Made = tuple[str, JsonObject]
SET = "_stack_set"
"""In a stack's record: the stack set it belongs to."""


def install(app: ModuleType, provisioners: ModuleType, context: Context) -> None:
    """Add the handlers; they run on worker threads, in the region of the stack that is made."""
    from ministack.core import responses
    from ministack.services import kms

    hooks.require(responses, "request_scope")
    hooks.require(kms, "_replicate_key", "_resolve_key")
    hooks.require(provisioners, "_kms_key_update", "_kms_key_delete", "_kms_key_attrs")
    sets = StackSets(app, provisioners, context)
    handlers = provisioners._RESOURCE_HANDLERS
    handlers["AWS::CloudFormation::StackSet"] = {
        "create": sets.create,
        "update": sets.update,
        "delete": sets.delete,
    }
    handlers["AWS::KMS::ReplicaKey"] = {
        "create": functools.partial(_create_replica_key, context, provisioners),
        "update": provisioners._kms_key_update,
        "delete": provisioners._kms_key_delete,
    }


class StackSets(NestedStacks):
    """Creates, updates and deletes the stacks of a stack set."""

    def __init__(self, app: ModuleType, provisioners: ModuleType, context: Context) -> None:
        super().__init__(app, provisioners)
        self.context = context

    def create(self, _logical_id: str, properties: JsonObject, _parent: str) -> Made:
        """Deploy a stack in every region; all are gone again when one fails."""
        self._check_roles(properties)
        set_id = f"{properties['StackSetName']}:{self.provisioners.new_uuid()}"
        try:
            for region in _regions(properties):
                self._create_instance(set_id, properties, region)
        except RefusedError:
            self.delete(set_id, properties)
            raise
        return set_id, {"StackSetId": set_id}

    def update(
        self,
        physical_id: str,
        before: JsonObject,
        properties: JsonObject,
        _parent: str,
        _logical_id: str | None = None,
    ) -> Made:
        """Bring every region's stack to the new template, parameters and list of regions."""
        self._check_roles(properties)
        regions = list(_regions(properties))
        self._delete_instances(physical_id, set(_regions(before)) - set(regions))
        for region in regions:
            with self._in(region):
                stack = self._instance(physical_id)
                if stack:
                    previous = {key: copy.deepcopy(stack.get(key)) for key in SNAPSHOT}
                    self._deploy(stack, _as_nested(properties), previous)
                    self._require(stack, "UPDATE_COMPLETE", "updated")
            if stack is None:
                self._create_instance(physical_id, properties, region)
        return physical_id, {"StackSetId": physical_id}

    def delete(self, physical_id: str, properties: JsonObject) -> None:
        """Delete every region's stack; what these retain stays."""
        self._delete_instances(physical_id, _regions(properties))

    def _create_instance(self, set_id: str, properties: JsonObject, region: str) -> None:
        with self._in(region):
            new_id = self.provisioners.new_uuid
            name = f"StackSet-{properties['StackSetName']}-{new_id()}"
            stack_id = f"arn:aws:cloudformation:{region}:{self.context.account}:stack/{name}/{new_id()}"
            stack = self._record(name, stack_id)
            stack.update({SET: set_id, "_region": region})
            self._deploy(stack, _as_nested(properties), None)
            self._require(stack, "CREATE_COMPLETE", "created")

    def _delete_instances(self, set_id: str, regions: Iterable[str]) -> None:
        for region in regions:
            with self._in(region):
                if stack := self._instance(set_id):
                    super().delete(stack["StackId"], {})

    def _instance(self, set_id: str) -> JsonObject | None:
        """The stack of a set in the current region."""
        living = (s for s in self._stacks().values() if s["StackStatus"] != "DELETE_COMPLETE")
        return next((stack for stack in living if stack.get(SET) == set_id), None)

    def _require(self, stack: JsonObject, status: str, done: str) -> None:
        if stack["StackStatus"] != status:
            reason = first_failure(stack["StackId"])
            raise RefusedError(
                f"The stack set's stack in {stack['_region']} was not successfully {done}: {reason}"
            )

    def _capabilities(self, _stack: JsonObject, _template: JsonObject) -> list[str]:
        return []

    def _in(self, region: str) -> Any:
        from ministack.core.responses import request_scope

        return request_scope(self.context.account, region)

    def _check_roles(self, properties: JsonObject) -> None:
        """What CloudFormation finds out when it takes the one role and from it the other."""
        from ministack.services import iam

        administration = properties["AdministrationRoleARN"]
        self.context.require_role(administration, "cloudformation.amazonaws.com")
        self.context.require_role(properties["ExecutionRoleName"], None)
        trust = iam._roles[properties["ExecutionRoleName"]]["AssumeRolePolicyDocument"]
        if administration not in (trust if isinstance(trust, str) else json.dumps(trust)):
            raise RefusedError(f"{properties['ExecutionRoleName']} does not trust {administration}.")


def _regions(properties: JsonObject) -> Iterator[str]:
    for group in properties["StackInstancesGroup"]:
        yield from group["Regions"]


def _as_nested(properties: JsonObject) -> JsonObject:
    """A stack set's properties as those of one nested stack."""
    given = {p["ParameterKey"]: p["ParameterValue"] for p in properties.get("Parameters", [])}
    return {
        "TemplateURL": properties["TemplateURL"],
        "Parameters": given,
        "Tags": properties.get("Tags") or [],
    }


def _create_replica_key(
    context: Context, provisioners: ModuleType, _logical_id: str, wanted: JsonObject, _stack: str
) -> Made:
    from ministack.core.responses import get_region, request_scope
    from ministack.services import kms

    here, primary = get_region(), wanted["PrimaryKeyArn"]
    asked = {
        "KeyId": primary,
        "ReplicaRegion": here,
        "Policy": json.dumps(wanted["KeyPolicy"]),
        "Description": wanted.get("Description", ""),
        "Tags": [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in wanted.get("Tags", [])],
    }
    with request_scope(context.account, primary.split(":")[3]):
        status, _, body = kms._replicate_key(asked)
    if status >= HTTPStatus.BAD_REQUEST:
        raise RefusedError(f"The key {primary} was not replicated: {json.loads(body).get('message')}")
    record = kms._resolve_key(primary.rpartition("/")[2])
    return record["KeyId"], provisioners._kms_key_attrs(record)
