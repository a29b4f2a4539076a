"""What Lake Formation keeps: administrators, tags, filters, grants, registered locations."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, Final

from twin.glue.api import ApiError, JsonObject
from twin.lakeformation.decision import (
    OPEN_TO_IAM,
    CellsFilter,
    DatabaseResource,
    FilterResource,
    Grant,
    Resource,
    TableResource,
    TagPolicy,
)

OPEN: Final[JsonObject] = {
    "Principal": {"DataLakePrincipalIdentifier": OPEN_TO_IAM},
    "Permissions": ["ALL"],
}
"""What an account is born with, for new databases and tables."""
Key = tuple[str, ...]
"""Of what carries tags: database, table, column, as far as it goes down."""


class LakeFormation:
    """The state of one account, changed and read by the actions below."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.lock = threading.RLock()
        self.settings: JsonObject = {
            "DataLakeAdmins": [],
            "CreateDatabaseDefaultPermissions": [OPEN],
            "CreateTableDefaultPermissions": [OPEN],
        }
        self.tags: dict[str, list[str]] = {}
        self.assigned: dict[Key, dict[str, str]] = {}
        self.filters: dict[Key, JsonObject] = {}
        self.grants: dict[str, JsonObject] = {}
        self.locations: dict[str, str] = {}
        """ARN of a registered location to the ARN of the role that reads it."""

    @property
    def administrators(self) -> set[str]:
        """Who administers the data lake."""
        return {each["DataLakePrincipalIdentifier"] for each in self.settings["DataLakeAdmins"]}

    def location_role(self, url: str) -> str | None:
        """The role that reads what lies at an ``s3://`` address, if that is registered."""
        path = url.partition("://")[2].rstrip("/") + "/"
        for arn, role in self.locations.items():
            if path.startswith(arn.partition(":::")[2].rstrip("/") + "/"):
                return role
        return None

    def forget(self, database: str, table: str) -> None:
        """Drop what was said of a table that is no longer there."""
        with self.lock:
            for kept in (self.assigned, self.filters):
                for key in [key for key in kept if key[:2] == (database, table)]:
                    del kept[key]

    def listed_grants(self) -> list[Grant]:
        """The grants that say something about tables."""
        with self.lock:
            found = [(grant, _resource_of(grant["Resource"])) for grant in self.grants.values()]
        return [
            Grant(_principal(grant), resource, frozenset(grant["Permissions"]))
            for grant, resource in found
            if resource is not None
        ]

    def listed_filters(self) -> list[CellsFilter]:
        """The data cells filters."""
        with self.lock:
            return [_cells_filter(data) for data in self.filters.values()]


def _principal(grant: JsonObject) -> str:
    return str(grant["Principal"]["DataLakePrincipalIdentifier"])


def _resource_of(resource: JsonObject) -> Resource | None:
    [(kind, data)] = resource.items()
    match kind:
        case "Database":
            return DatabaseResource(data["Name"])
        case "Table":
            return TableResource(data["DatabaseName"], data.get("Name"))
        case "TableWithColumns":
            columns, excluded = _columns(data)
            return TableResource(data["DatabaseName"], data["Name"], columns, excluded)
        case "LFTagPolicy":
            expression = {each["TagKey"]: frozenset(each["TagValues"]) for each in data["Expression"]}
            return TagPolicy(data["ResourceType"], expression)
        case "DataCellsFilter":
            return FilterResource(data["DatabaseName"], data["TableName"], data["Name"])
        case _:
            return None


def _cells_filter(data: JsonObject) -> CellsFilter:
    columns, excluded = _columns(data)
    rows = data["RowFilter"].get("FilterExpression") if "RowFilter" in data else None
    return CellsFilter(data["DatabaseName"], data["TableName"], data["Name"], rows, columns, excluded)


def _columns(data: JsonObject) -> tuple[frozenset[str] | None, frozenset[str]]:
    names = data.get("ColumnNames")
    excluded = (data.get("ColumnWildcard") or {}).get("ExcludedColumnNames", [])
    return (frozenset(names) if names else None), frozenset(excluded)


# --- Settings and locations ----------------------------------------------------------------------


def _get_settings(lake: LakeFormation, _request: JsonObject) -> JsonObject:
    return {"DataLakeSettings": lake.settings}


def _put_settings(lake: LakeFormation, request: JsonObject) -> JsonObject:
    lake.settings = {"DataLakeAdmins": [], **request["DataLakeSettings"]}
    return {}


def _register(lake: LakeFormation, request: JsonObject) -> JsonObject:
    if request["ResourceArn"] in lake.locations:
        raise ApiError("AlreadyExistsException", "Resource is already registered")
    lake.locations[request["ResourceArn"]] = request["RoleArn"]
    return {}


def _deregister(lake: LakeFormation, request: JsonObject) -> JsonObject:
    if lake.locations.pop(request["ResourceArn"], None) is None:
        raise ApiError("EntityNotFoundException", "Entity not found")
    return {}


def _list_resources(lake: LakeFormation, _request: JsonObject) -> JsonObject:
    found = [{"ResourceArn": arn, "RoleArn": role} for arn, role in lake.locations.items()]
    return {"ResourceInfoList": found}


# --- Tags ----------------------------------------------------------------------------------------


def _create_tag(lake: LakeFormation, request: JsonObject) -> JsonObject:
    if request["TagKey"] in lake.tags:
        raise ApiError("AlreadyExistsException", f"Tag key {request['TagKey']} already exists")
    lake.tags[request["TagKey"]] = list(request["TagValues"])
    return {}


def _get_tag(lake: LakeFormation, request: JsonObject) -> JsonObject:
    return {"TagKey": request["TagKey"], "TagValues": _values(lake, request["TagKey"])}


def _update_tag(lake: LakeFormation, request: JsonObject) -> JsonObject:
    values = _values(lake, request["TagKey"])
    kept = [value for value in values if value not in request.get("TagValuesToDelete", [])]
    lake.tags[request["TagKey"]] = list(dict.fromkeys([*kept, *request.get("TagValuesToAdd", [])]))
    return {}


def _delete_tag(lake: LakeFormation, request: JsonObject) -> JsonObject:
    _values(lake, request["TagKey"])
    del lake.tags[request["TagKey"]]
    for tags in lake.assigned.values():
        tags.pop(request["TagKey"], None)
    return {}


def _values(lake: LakeFormation, key: str) -> list[str]:
    if key not in lake.tags:
        raise ApiError("EntityNotFoundException", f"Tag key {key} does not exist")
    return lake.tags[key]


def _carriers(resource: JsonObject) -> list[Key]:
    [(kind, data)] = resource.items()
    if kind == "Database":
        return [(data["Name"],)]
    if kind == "Table":
        return [(data["DatabaseName"], data["Name"])]
    if kind == "TableWithColumns":
        return [(data["DatabaseName"], data["Name"], column) for column in data["ColumnNames"]]
    raise ApiError("InvalidInputException", f"LF-Tags are not put on {kind}")


def _add_tags(lake: LakeFormation, request: JsonObject) -> JsonObject:
    failures = []
    for tag in request["LFTags"]:
        [value] = tag["TagValues"]
        if value not in lake.tags.get(tag["TagKey"], []):
            message = "Tag or tag value does not exist."
            error = {"ErrorCode": "EntityNotFoundException", "ErrorMessage": message}
            failures.append({"LFTag": tag, "Error": error})
            continue
        for carrier in _carriers(request["Resource"]):
            lake.assigned.setdefault(carrier, {})[tag["TagKey"]] = value
    return {"Failures": failures}


def _remove_tags(lake: LakeFormation, request: JsonObject) -> JsonObject:
    for tag in request["LFTags"]:
        for carrier in _carriers(request["Resource"]):
            lake.assigned.get(carrier, {}).pop(tag["TagKey"], None)
    return {"Failures": []}


def _resource_tags(lake: LakeFormation, request: JsonObject) -> JsonObject:
    """Assigned tags and, unless ``ShowAssignedLFTags`` is true, inherited ones."""
    carriers = _carriers(request["Resource"])
    own = bool(request.get("ShowAssignedLFTags"))
    first = carriers[0]
    answer: JsonObject = {}
    if len(first) == 1 or not own:
        answer["LFTagOnDatabase"] = _pairs(lake.assigned.get(first[:1], {}))
    if len(first) > 1 and (len(first) == len(("database", "table")) or not own):
        answer["LFTagsOnTable"] = _pairs(_effective(lake, first[:2], own=own))
    if len(first) > len(("database", "table")):
        answer["LFTagsOnColumns"] = [
            {"Name": carrier[2], "LFTags": _pairs(_effective(lake, carrier, own=own))} for carrier in carriers
        ]
    return answer


def _effective(lake: LakeFormation, carrier: Key, *, own: bool) -> dict[str, str]:
    if own:
        return lake.assigned.get(carrier, {})
    found: dict[str, str] = {}
    for depth in range(1, len(carrier) + 1):
        found |= lake.assigned.get(carrier[:depth], {})
    return found


def _pairs(tags: dict[str, str]) -> list[JsonObject]:
    return [{"TagKey": key, "TagValues": [value]} for key, value in sorted(tags.items())]


# --- Filters -------------------------------------------------------------------------------------


def _filter_key(data: JsonObject) -> Key:
    return data["DatabaseName"], data["TableName"], data["Name"]


def _create_filter(lake: LakeFormation, request: JsonObject) -> JsonObject:
    data = request["TableData"]
    if _filter_key(data) in lake.filters:
        raise ApiError("AlreadyExistsException", f"Data cells filter {data['Name']} already exists")
    _check_filter(data)
    lake.filters[_filter_key(data)] = data
    return {}


def _check_filter(data: JsonObject) -> None:
    rows = data.get("RowFilter", {})
    if ("FilterExpression" in rows) == ("AllRowsWildcard" in rows):
        raise ApiError("InvalidInputException", "A row filter has an expression or the wildcard of all rows")
    if ("ColumnNames" in data) == ("ColumnWildcard" in data):
        raise ApiError("InvalidInputException", "A filter has column names or a column wildcard")


def _update_filter(lake: LakeFormation, request: JsonObject) -> JsonObject:
    data = request["TableData"]
    _require_filter(lake, _filter_key(data))
    _check_filter(data)
    lake.filters[_filter_key(data)] = data
    return {}


def _delete_filter(lake: LakeFormation, request: JsonObject) -> JsonObject:
    _require_filter(lake, _filter_key(request))
    del lake.filters[_filter_key(request)]
    return {}


def _require_filter(lake: LakeFormation, key: Key) -> None:
    if key not in lake.filters:
        raise ApiError("EntityNotFoundException", f"Data cells filter {key[2]} does not exist")


def _list_filters(lake: LakeFormation, request: JsonObject) -> JsonObject:
    table = request.get("Table")
    wanted = (table["DatabaseName"], table["Name"]) if table else None
    found = [data for key, data in lake.filters.items() if wanted is None or key[:2] == wanted]
    return {"DataCellsFilters": found}


# --- Grants --------------------------------------------------------------------------------------


def _grant_key(request: JsonObject) -> str:
    """Principal and resource; an own catalog's id says nothing and is left out."""
    [(kind, data)] = request["Resource"].items()
    named = {key: value for key, value in data.items() if key not in {"CatalogId", "TableCatalogId"}}
    return json.dumps([request["Principal"], kind, named], sort_keys=True)


def _grant(lake: LakeFormation, request: JsonObject) -> JsonObject:
    if "DataCellsFilter" in request["Resource"]:
        _require_filter(lake, _filter_key(_of_filter(request["Resource"]["DataCellsFilter"])))
    known = lake.grants.setdefault(
        _grant_key(request),
        {"Permissions": [], "PermissionsWithGrantOption": []}
        | {key: request[key] for key in ("Principal", "Resource")},
    )
    for key in ("Permissions", "PermissionsWithGrantOption"):
        known[key] = sorted({*known[key], *request.get(key, [])})
    return {}


def _of_filter(data: JsonObject) -> JsonObject:
    return {key: data[key] for key in ("DatabaseName", "TableName", "Name")}


def _revoke(lake: LakeFormation, request: JsonObject) -> JsonObject:
    known = lake.grants.get(_grant_key(request))
    if known is None or not set(request["Permissions"]) <= set(known["Permissions"]):
        raise ApiError("InvalidInputException", "No permissions revoked. Grantee does not have them.")
    for key in ("Permissions", "PermissionsWithGrantOption"):
        known[key] = [each for each in known[key] if each not in request.get(key, [])]
    if not known["Permissions"]:
        del lake.grants[_grant_key(request)]
    return {}


def _list_grants(lake: LakeFormation, request: JsonObject) -> JsonObject:
    principal, resource = request.get("Principal"), request.get("Resource")
    if principal and not resource:
        raise ApiError("InvalidInputException", "Resource is mandatory if Principal is set in the input.")
    found = [
        grant
        for grant in lake.grants.values()
        if (principal is None or grant["Principal"] == principal)
        and (resource is None or _grant_key({**grant, "Resource": resource}) == _grant_key(grant))
    ]
    return {"PrincipalResourcePermissions": found}


def _locked(action: Callable[[LakeFormation, JsonObject], JsonObject]) -> Callable[..., JsonObject]:
    def run(lake: LakeFormation, request: JsonObject) -> JsonObject:
        with lake.lock:
            answer: JsonObject = json.loads(json.dumps(action(lake, request)))
            return answer

    return run


ACTIONS: Final[dict[str, Callable[[LakeFormation, JsonObject], Any]]] = {
    name: _locked(action)
    for name, action in {
        "GetDataLakeSettings": _get_settings,
        "PutDataLakeSettings": _put_settings,
        "RegisterResource": _register,
        "DeregisterResource": _deregister,
        "ListResources": _list_resources,
        "CreateLFTag": _create_tag,
        "GetLFTag": _get_tag,
        "UpdateLFTag": _update_tag,
        "DeleteLFTag": _delete_tag,
        "AddLFTagsToResource": _add_tags,
        "RemoveLFTagsFromResource": _remove_tags,
        "GetResourceLFTags": _resource_tags,
        "CreateDataCellsFilter": _create_filter,
        "UpdateDataCellsFilter": _update_filter,
        "DeleteDataCellsFilter": _delete_filter,
        "ListDataCellsFilter": _list_filters,
        "GrantPermissions": _grant,
        "RevokePermissions": _revoke,
        "ListPermissions": _list_grants,
    }.items()
}
