"""CloudFormation: what a template says is applied, refused, or known to be only recorded."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from http import HTTPStatus
from types import ModuleType
from typing import Any

import yaml

from twin import hooks
from twin.cloudformation import budgets, lacking, nested, network, properties, stacksets
from twin.cloudformation.applied import APPLIED
from twin.context import Context
from twin.errors import RefusedError

JsonObject = dict[str, Any]
TABLE = "AWS::DynamoDB::GlobalTable"


def install(app: ModuleType, context: Context) -> None:
    """Put the hooks of this package in place."""
    from ministack.services import dynamodb, glue, s3, sns, stepfunctions
    from ministack.services.cloudformation import handlers, provisioners, stacks

    hooks.require(glue, "_jobs")
    hooks.require(sns, "_topics")
    hooks.require(stepfunctions, "_state_machines")
    hooks.require(dynamodb, "_tables", "_delete_table")
    hooks.require(s3, "_delete_bucket")
    # Every handler may call back into this server over HTTPS, so none may hold the event loop.
    hooks.replace(stacks, "_runs_on_worker_thread", lambda _: lambda _resource_type: True)
    hooks.replace(stacks, "_provision_resource", lambda original: functools.partial(_create_known, original))
    hooks.replace(stacks, "_update_resource", lambda original: functools.partial(_update_known, original))
    hooks.replace(
        provisioners, "_sfn_definition", lambda original: functools.partial(_json_definition, original)
    )
    hooks.replace_entry(
        handlers,
        "_ACTION_HANDLERS",
        "GetTemplate",
        lambda original: functools.partial(_aws_template_urls, context, original),
    )
    nested.install(app, provisioners)
    network.install(provisioners, context)
    budgets.install(provisioners, context)
    lacking.install(provisioners, context)
    stacksets.install(app, provisioners, context)
    _change(provisioners, "AWS::S3::Bucket", delete=_delete_bucket)
    hooks.require(provisioners, "_RESOURCE_HANDLERS")
    create = provisioners._RESOURCE_HANDLERS[TABLE]["create"]
    _change(provisioners, TABLE, create=functools.partial(_create_table, create), delete=_delete_table)
    for resource_type, apply in APPLIED.items():
        _apply_after(provisioners, resource_type, functools.partial(apply, context))


def _change(provisioners: ModuleType, resource_type: str, **handlers: Callable[..., Any]) -> None:
    hooks.replace_entry(provisioners, "_RESOURCE_HANDLERS", resource_type, lambda old: {**old, **handlers})


def _apply_after(
    provisioners: ModuleType, resource_type: str, apply: Callable[[str, JsonObject], None]
) -> None:
    """Call ``apply(physical id, properties)`` whenever a resource of the type was made or changed."""
    old = provisioners._RESOURCE_HANDLERS[resource_type]

    def create(logical_id: str, wanted: JsonObject, stack: str) -> Any:
        made = old["create"](logical_id, wanted, stack)
        try:
            apply(made[0], wanted)
        except Exception:
            old["delete"](made[0], wanted)  # it belongs to no stack yet, so nobody else would
            raise
        return made

    def update(physical_id: str, before: JsonObject, wanted: JsonObject, *rest: Any) -> Any:
        made = old["update"](physical_id, before, wanted, *rest)
        apply(made[0], wanted)
        return made

    _change(provisioners, resource_type, create=create, update=update)


def _create_known(
    original: Callable[..., Any], resource_type: str, logical_id: str, wanted: JsonObject, stack: str
) -> Any:
    properties.check(resource_type, wanted)
    return original(resource_type, logical_id, wanted, stack)


def _update_known(
    original: Callable[..., Any],
    resource_type: str,
    physical_id: str,
    before: JsonObject,
    wanted: JsonObject,
    *rest: Any,
) -> Any:
    properties.check(resource_type, wanted)
    return original(resource_type, physical_id, before, wanted, *rest)


def _json_definition(original: Callable[[JsonObject], str], wanted: JsonObject) -> str:
    """A state machine's definition file may be YAML; CloudFormation hands it on as JSON."""
    text = original(wanted)
    return text if text.lstrip().startswith("{") else json.dumps(yaml.safe_load(text), default=str)


def _aws_template_urls(context: Context, original: Callable[[JsonObject], Any], request: JsonObject) -> Any:
    """`sam delete` knows a nested template only by an address of AWS's, whatever the endpoint is."""
    status, headers, body = original(request)
    text = body.decode() if isinstance(body, bytes) else body
    text = re.sub(
        rf"{re.escape(context.endpoint)}/([a-z0-9.-]+/[^\s\"'&<]+\.template)",
        rf"https://s3.{context.region}.amazonaws.com/\1",
        text,
    )
    return status, headers, text.encode() if isinstance(body, bytes) else text


def _delete_bucket(name: str, _properties: JsonObject) -> None:
    from ministack.services import s3

    status, _, body = s3._delete_bucket(name)
    if status >= HTTPStatus.BAD_REQUEST and b"NoSuchBucket" not in body:
        raise RefusedError(f"The bucket {name} was not deleted: {_message(body)}")


def _create_table(original: Callable[..., Any], logical_id: str, wanted: JsonObject, stack: str) -> Any:
    from ministack.services import dynamodb

    if wanted.get("TableName") in dynamodb._tables:
        raise RefusedError(f"The table {wanted['TableName']} already exists.")
    return original(logical_id, wanted, stack)


def _delete_table(name: str, _properties: JsonObject) -> None:
    from ministack.services import dynamodb

    if name in dynamodb._tables:
        status, _, body = dynamodb._delete_table({"TableName": name})
        if status >= HTTPStatus.BAD_REQUEST:
            raise RefusedError(f"The table {name} was not deleted: {_message(body)}")


def _message(body: bytes | str) -> str:
    text = body.decode() if isinstance(body, bytes) else body
    found = re.search(r"<Message>(.*?)</Message>|\"[mM]essage\": ?\"(.*?)\"", text)
    return next(group for group in found.groups() if group) if found else text
