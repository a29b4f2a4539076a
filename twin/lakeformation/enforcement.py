"""What Athena asks Lake Formation for one table: may the caller see it, and with whose keys is it read."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Any, Final

from twin import hooks
from twin.context import Context
from twin.glue.api import ApiError, JsonObject
from twin.lakeformation.decision import Access, Table, decide, may_create_tables
from twin.lakeformation.state import LakeFormation

DEFAULTS: Final = "CreateTableDefaultPermissions"


def principals_of(arn: str) -> set[str]:
    """The names a caller goes by: a session goes by its role, everybody of an account by its group.

    Source: Lake Formation developer guide, "Granting permissions on Data Catalog resources" (IAMPrincipals).
    """
    parts = arn.split(":")
    account, resource = parts[4], parts[5]
    if resource.startswith("assumed-role/"):
        arn = f"arn:aws:iam::{account}:role/{resource.split('/')[1]}"
    return {arn, f"{account}:IAMPrincipals"}


def access(lake: LakeFormation, arn: str, table: JsonObject) -> Access | None:
    """What a caller may see of a table in Glue's description; None where only IAM decides.

    A table of a database without default permissions of its own is open to whoever IAM lets through.
    """
    if not is_governed(table["DatabaseName"]):
        return None
    database, name = table["DatabaseName"], table["Name"]
    columns = [*table["StorageDescriptor"].get("Columns", []), *table.get("PartitionKeys", [])]
    names = tuple(column["Name"] for column in columns)
    with lake.lock:
        described = Table(
            database,
            name,
            names,
            dict(lake.assigned.get((database,), {})),
            dict(lake.assigned.get((database, name), {})),
            {column: dict(lake.assigned.get((database, name, column), {})) for column in names},
        )
    return decide(
        principals_of(arn), described, lake.listed_grants(), lake.listed_filters(), lake.administrators
    )


def is_governed(database: str) -> bool:
    """Whether new tables of a database are not opened to everybody."""
    from ministack.services import glue

    defaults: list[JsonObject] | None = glue._databases.get(database, {}).get(DEFAULTS)
    return defaults == []


def is_told_of_absence(lake: LakeFormation, arn: str, database: str) -> bool:
    """Whether a caller learns that a table is not there; who may not create it is refused, as if it were.

    Source: https://github.com/aws/aws-sdk-pandas/issues/677 (no page of AWS's says so).
    """
    with lake.lock:
        tags = dict(lake.assigned.get((database,), {}))
    return not is_governed(database) or may_create_tables(
        principals_of(arn), database, tags, lake.listed_grants(), lake.administrators
    )


def vend(context: Context, lake: LakeFormation, arn: str, table: JsonObject) -> JsonObject:
    """Keys to read a table's files with: those of its registered location's role.

    Raises ``ApiError`` (AccessDeniedException) for who may see no column, or where nothing is registered.
    """
    location = table["StorageDescriptor"]["Location"]
    role = lake.location_role(location)
    found = access(lake, arn, table)
    if role is None or found is None or not found.columns:
        raise ApiError(
            "AccessDeniedException", f"Insufficient Lake Formation permission(s) on {table['Name']}"
        )
    # How Lake Formation names such a session: its developer guide, "Logging API calls using AWS CloudTrail".
    session = f"AWSLF-00-AT-{context.account}-{secrets.token_hex(5)}"
    keys = context.role_session(role, session, "lakeformation.amazonaws.com")
    return {
        "AccessKeyId": keys["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": keys["AWS_SECRET_ACCESS_KEY"],
        "SessionToken": keys["AWS_SESSION_TOKEN"],
        "VendedS3Path": [location],
    }


def table_by_arn(arn: str) -> JsonObject:
    """Glue's description of ``arn:aws:glue:...:table/database/name``."""
    from ministack.services import glue

    database, name = arn.rpartition(":table/")[2].split("/", 1)
    table: JsonObject | None = glue._tables.get(f"{database}/{name}")
    if table is None:
        raise ApiError("EntityNotFoundException", f"Table {database}.{name} not found")
    return table


def keep_default_permissions() -> None:
    """Let Glue remember what the emulator drops of a database."""
    from ministack.services import glue

    hooks.require(glue, "_databases", "_tables")
    hooks.replace(glue, "_create_database", _keeping)
    hooks.replace(glue, "_update_database", _keeping)


def forget_deleted_tables(lake: LakeFormation) -> None:
    """A table that is made anew under an old name has no tags and no filters."""
    from ministack.services import glue

    def forgetting(original: Any) -> Any:
        def forget(request: JsonObject) -> Any:
            answer = original(request)
            if answer[0] == HTTPStatus.OK:
                lake.forget(request["DatabaseName"], request["Name"])
            return answer

        return forget

    hooks.replace(glue, "_delete_table", forgetting)


def _keeping(original: Any) -> Any:
    from ministack.services import glue

    def keep(request: JsonObject) -> Any:
        answer = original(request)
        given = request.get("DatabaseInput", {})
        if answer[0] == HTTPStatus.OK and DEFAULTS in given:
            glue._databases[given.get("Name") or request["Name"]][DEFAULTS] = given[DEFAULTS]
        return answer

    return keep
