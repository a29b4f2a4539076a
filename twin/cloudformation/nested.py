"""Nested stacks: deployed, rolled back and deleted by the same code as a stack of one's own.

ministack has a second, simpler way for them, which applies no SAM transform, leaves behind what a
failed creation made, and heeds no deletion policy. So the handlers of ``AWS::CloudFormation::Stack`` are
replaced.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Coroutine
from types import ModuleType
from typing import Any

from twin import hooks
from twin.errors import RefusedError

JsonObject = dict[str, Any]
SNAPSHOT = (
    "_resources",
    "_template",
    "_template_body",
    "_resolved_params",
    "_conditions",
    "Parameters",
    "Tags",
    "Outputs",
)
"""What ministack needs of a stack to undo an update."""


def install(app: ModuleType, provisioners: ModuleType) -> None:
    """Replace the handlers; they run on worker threads and hand the child's work to the event loop."""
    from ministack.services.cloudformation import engine, stacks

    hooks.require(app, "_MAIN_LOOP")
    hooks.require(stacks, "_deploy_stack_async", "_delete_stack_async", "_add_event")
    hooks.require(
        engine, "_apply_transforms", "_parse_template", "_resolve_parameters", "_evaluate_conditions"
    )
    hooks.require(provisioners, "_nested_stack_lookup_name", "_check_nested_stack_capabilities")
    nested = NestedStacks(app, provisioners)
    handlers = {"create": nested.create, "update": nested.update, "delete": nested.delete}
    hooks.replace_entry(
        provisioners, "_RESOURCE_HANDLERS", "AWS::CloudFormation::Stack", lambda old: {**old, **handlers}
    )


class NestedStacks:
    """Creates, updates and deletes children of a stack."""

    def __init__(self, app: ModuleType, provisioners: ModuleType) -> None:
        self.app = app
        self.provisioners = provisioners

    def create(self, logical_id: str, properties: JsonObject, parent: str) -> tuple[str, JsonObject]:
        """Deploy a new child; what it made is gone again when that fails."""
        name = f"{parent}-{logical_id}-{self.provisioners.new_uuid()[:12].upper()}"
        stack_id = (
            f"arn:aws:cloudformation:{_region()}:{_account()}:stack/{name}/{self.provisioners.new_uuid()}"
        )
        stack = self._new_stack(name, stack_id, parent)
        result = self._deploy(stack, properties, None)
        if stack["StackStatus"] != "CREATE_COMPLETE":
            stack["StackStatus"] = "DELETE_COMPLETE"
            raise RefusedError(
                f"Embedded stack {name} was not successfully created: {first_failure(stack_id)}"
            )
        return stack_id, result

    def update(
        self,
        physical_id: str,
        _old: JsonObject,
        properties: JsonObject,
        _parent: str,
        _logical_id: str | None = None,
    ) -> tuple[str, JsonObject]:
        """Update a child in place; it rolls itself back when that fails."""
        stack = self._stacks()[self.provisioners._nested_stack_lookup_name(physical_id)]
        previous = {key: copy.deepcopy(stack.get(key)) for key in SNAPSHOT}
        result = self._deploy(stack, properties, previous)
        if stack["StackStatus"] != "UPDATE_COMPLETE":
            name, stack_id = stack["StackName"], stack["StackId"]
            raise RefusedError(
                f"Embedded stack {name} was not successfully updated: {first_failure(stack_id)}"
            )
        return physical_id, result

    def delete(self, physical_id: str, _properties: JsonObject) -> None:
        """Delete a child; raises when one of its resources could not be deleted."""
        from ministack.services.cloudformation import stacks

        stack = self._stacks().get(self.provisioners._nested_stack_lookup_name(physical_id))
        if stack is None or stack["StackStatus"] == "DELETE_COMPLETE":
            return
        self._run(stacks._delete_stack_async(stack["StackName"], stack["StackId"]))
        if stack["StackStatus"] != "DELETE_COMPLETE":
            reason = first_failure(stack["StackId"])
            raise RefusedError(f"Embedded stack {stack['StackName']} was not successfully deleted: {reason}")

    def _deploy(self, stack: JsonObject, properties: JsonObject, previous: JsonObject | None) -> JsonObject:
        """Run the child's operation to its end; returns its outputs as attributes of the resource."""
        from ministack.services.cloudformation import engine, stacks

        body = self._template_body(properties["TemplateURL"])
        given = [
            {"Key": key, "Value": _text(value)} for key, value in (properties.get("Parameters") or {}).items()
        ]
        template = engine._apply_transforms(engine._parse_template(body), given, stack["_resolved_params"])
        if isinstance(template, engine._TransformFailed):
            raise RefusedError(
                f"The template of {stack['StackName']} cannot be transformed: {template.error}"
            )
        capabilities = self._capabilities(stack, template)
        parameters = engine._resolve_parameters(template, given)
        prefix = "UPDATE" if previous else "CREATE"
        stack.update(
            StackStatus=f"{prefix}_IN_PROGRESS",
            StackStatusReason="",
            LastUpdatedTime=self.provisioners.now_iso(),
            Description=template.get("Description", ""),
            Tags=[tag for tag in properties.get("Tags") or [] if not tag["Key"].startswith("aws:")],
            Capabilities=capabilities,
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value["Value"], "NoEcho": value["NoEcho"]}
                for key, value in parameters.items()
            ],
            _template_body=body,
            _conditions=engine._evaluate_conditions(template, parameters),
        )
        name, stack_id = stack["StackName"], stack["StackId"]
        stacks._add_event(
            stack_id, name, name, "AWS::CloudFormation::Stack", stack["StackStatus"], "", stack_id
        )
        self._run(
            stacks._deploy_stack_async(
                name, stack_id, template, parameters, disable_rollback=False, tags=stack["Tags"],
                is_update=bool(previous), previous_stack=previous,
            )
        )  # fmt: skip
        return {f"Outputs.{output['OutputKey']}": output["OutputValue"] for output in stack["Outputs"]}

    def _capabilities(self, stack: JsonObject, template: JsonObject) -> list[str]:
        """What the stack may make; raises when its template needs more."""
        parent = stack["_parent_stack_name"]
        self.provisioners._check_nested_stack_capabilities(parent, template)
        inherited: list[str] = self.provisioners._inherited_capabilities(parent)
        return inherited

    def _new_stack(self, name: str, stack_id: str, parent: str) -> JsonObject:
        parent_stack = self._stacks()[parent]
        stack = self._record(name, stack_id)
        stack.update(
            ParentId=parent_stack["StackId"],
            RootId=parent_stack.get("RootId") or parent_stack["StackId"],
            _parent_stack_name=parent,
        )
        return stack

    def _record(self, name: str, stack_id: str) -> JsonObject:
        """A stack that has nothing yet."""
        from ministack.services.cloudformation import _stack_events

        stack: JsonObject = {
            "StackName": name,
            "StackId": stack_id,
            "CreationTime": self.provisioners.now_iso(),
            "Outputs": [],
            "DisableRollback": False,
            "_region": _region(),
            "_resources": {},
            "_template": {},
            "_resolved_params": {},
        }
        self._stacks()[name] = stack
        _stack_events[stack_id] = []
        return stack

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self.app._MAIN_LOOP).result()

    def _template_body(self, url: str) -> str:
        from ministack.services.cloudformation.helpers import _resolve_template

        body, error = _resolve_template({"TemplateURL": [url]})
        if error is not None or not body:
            raise RefusedError(f"The template {url} of a nested stack cannot be read.")
        return str(body)

    def _stacks(self) -> Any:
        from ministack.services.cloudformation import _stacks

        return _stacks


def first_failure(stack_id: str) -> str:
    """Why the latest operation of a stack failed, in the words of the first resource that did."""
    from ministack.services.cloudformation import _stack_events

    events = _stack_events[stack_id]
    starts = [
        i
        for i, e in enumerate(events)
        if e["PhysicalResourceId"] == stack_id and "IN_PROGRESS" in e["ResourceStatus"]
    ]
    for start in (starts[-2] if len(starts) > 1 else 0, 0):
        for event in events[start:]:
            if event["ResourceStatus"].endswith("_FAILED"):
                return f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
    return "no reason was recorded"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _region() -> str:
    from ministack.core.responses import get_region

    return str(get_region())


def _account() -> str:
    from ministack.core.responses import get_account_id

    return str(get_account_id())
