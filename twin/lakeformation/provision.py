"""Lake Formation's resource types in CloudFormation, made through its actions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, Final

from twin import hooks
from twin.admin import ADMIN_USER
from twin.context import Context
from twin.errors import RefusedError
from twin.glue.api import ApiError, JsonObject
from twin.lakeformation.service import current
from twin.lakeformation.state import ACTIONS

Made = tuple[str, JsonObject]
PREFIX: Final = "AWS::LakeFormation::"


def install(context: Context) -> None:
    """Add the types to those that a stack may hold."""
    from ministack.services.cloudformation import provisioners

    hooks.require(provisioners, "_RESOURCE_HANDLERS")
    for name, (create, delete) in TYPES.items():
        provisioners._RESOURCE_HANDLERS[PREFIX + name] = {
            "create": _create(context, create),
            "update": _replace(context, create, delete),
            "delete": lambda _id, properties, delete=delete: _gone(delete, properties),
        }


def _create(context: Context, create: Callable[[JsonObject, str], str]) -> Callable[..., Made]:
    deployer = f"arn:aws:iam::{context.account}:user/{ADMIN_USER}"

    def make(_logical_id: str, properties: JsonObject, _stack: str) -> Made:
        return create(_plain(properties), deployer), {}

    return make


def _replace(
    context: Context, create: Callable[[JsonObject, str], str], delete: Callable[[JsonObject], None]
) -> Callable[..., Made]:
    """A change takes the old one away and makes the new one: all but settings are create-only types."""
    make = _create(context, create)

    def update(physical_id: str, before: JsonObject, wanted: JsonObject, *_: Any) -> Made:
        if _plain(before) == _plain(wanted):
            return physical_id, {}
        _gone(delete, before)
        return make("", wanted, "")

    return update


def _gone(delete: Callable[[JsonObject], None], properties: JsonObject) -> None:
    """What is no longer there need not be deleted."""
    try:
        delete(_plain(properties))
    except ApiError as error:
        if error.code not in {"EntityNotFoundException", "InvalidInputException"}:
            raise


def _plain(properties: JsonObject) -> JsonObject:
    copied: JsonObject = json.loads(json.dumps(properties))
    return copied


def _call(action: str, request: JsonObject) -> JsonObject:
    answer: JsonObject = ACTIONS[action](current(), request)
    if failures := answer.get("Failures"):
        raise RefusedError(f"{action}: {failures[0]['Error']['ErrorMessage']} {failures[0]['LFTag']}")
    return answer


def _identity(properties: JsonObject) -> str:
    return hashlib.sha256(json.dumps(properties, sort_keys=True).encode()).hexdigest()[:32]


def _settings(properties: JsonObject, _deployer: str) -> str:
    if properties.get("MutationType") != "APPEND":
        raise RefusedError("Settings without MutationType APPEND replace the account's administrators.")
    known = _call("GetDataLakeSettings", {})["DataLakeSettings"]
    added = [each for each in properties["Admins"] if each not in known["DataLakeAdmins"]]
    appended = {**known, "DataLakeAdmins": [*known["DataLakeAdmins"], *added]}
    _call("PutDataLakeSettings", {"DataLakeSettings": appended})
    return _identity(properties)


def _settings_stay(_properties: JsonObject) -> None:
    """Administrators that were appended stay: another stack may have appended the same."""


def _tag(properties: JsonObject, deployer: str) -> str:
    _require_administrator(deployer)
    _call("CreateLFTag", properties)
    return str(properties["TagKey"])


def _association(properties: JsonObject, deployer: str) -> str:
    _require_administrator(deployer)
    _call("AddLFTagsToResource", properties)
    return _identity(properties)


def _location(properties: JsonObject, deployer: str) -> str:
    _require_administrator(deployer)
    _call("RegisterResource", {key: properties[key] for key in ("ResourceArn", "RoleArn")})
    return str(properties["ResourceArn"])


def _permissions(properties: JsonObject, deployer: str) -> str:
    _require_administrator(deployer)
    _call("GrantPermissions", properties)
    return _identity(properties)


def _require_administrator(deployer: str) -> None:
    """Grants run as who deploys: that one has to be a data lake administrator by then."""
    if deployer not in current().administrators:
        raise RefusedError(f"AccessDeniedException: {deployer} is no data lake administrator.")


TYPES: Final[dict[str, tuple[Callable[[JsonObject, str], str], Callable[[JsonObject], None]]]] = {
    "DataLakeSettings": (_settings, _settings_stay),
    "Tag": (_tag, lambda p: _drop("DeleteLFTag", {"TagKey": p["TagKey"]})),
    "TagAssociation": (_association, lambda p: _drop("RemoveLFTagsFromResource", p)),
    "Resource": (_location, lambda p: _drop("DeregisterResource", {"ResourceArn": p["ResourceArn"]})),
    "PrincipalPermissions": (_permissions, lambda p: _drop("RevokePermissions", p)),
}


def _drop(action: str, request: JsonObject) -> None:
    ACTIONS[action](current(), request)
