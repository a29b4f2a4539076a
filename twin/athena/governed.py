"""Lake Formation's part of a query: what of a table the caller may see, and with whose keys it is read.

Sources: Athena user guide, "How Athena accesses data registered with Lake Formation" (keys are handed out
for registered locations; elsewhere the caller's own permissions on S3 count) and "Considerations and
limitations".
"""

from __future__ import annotations

from typing import Any

import sqlglot
from botocore.exceptions import ClientError
from sqlglot import exp

from twin import audit
from twin.athena.caller import Caller
from twin.athena.errors import QueryError
from twin.athena.sql import quoted
from twin.lakeformation import enforcement
from twin.lakeformation.decision import Access, Rule
from twin.lakeformation.service import current


def access_of(caller: Caller, table: dict[str, Any]) -> Access | None:
    """What the caller may see of a table; None where only IAM decides."""
    return enforcement.access(current(), caller.arn, table)


def without_hidden(table: dict[str, Any], access: Access | None) -> dict[str, Any]:
    """A table's description without the columns that the caller may not see, if it may see any."""
    if access is None or not access.columns:
        return table
    storage = dict(table["StorageDescriptor"])
    storage["Columns"] = [each for each in storage.get("Columns", []) if each["Name"] in access.columns]
    keys = [each for each in table.get("PartitionKeys", []) if each["Name"] in access.columns]
    return {**table, "StorageDescriptor": storage, "PartitionKeys": keys}


def reader_of(caller: Caller, table: dict[str, Any]) -> Caller:
    """Who reads the table's files. Raises ``QueryError`` for a caller that IAM refuses the keys."""
    if current().location_role(table["StorageDescriptor"]["Location"]) is None:
        return caller
    context = caller.context
    arn = f"arn:aws:glue:{context.region}:{context.account}:table/{table['DatabaseName']}/{table['Name']}"
    try:
        keys = caller.lakeformation.get_temporary_glue_table_credentials(TableArn=arn, Permissions=["SELECT"])
    except ClientError as error:
        message = error.response["Error"]["Message"]
        raise QueryError(
            "PERMISSION_DENIED", f"Insufficient permissions to execute the query. {message}"
        ) from error
    credentials = {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
    }
    return Caller(context, credentials, caller.arn)


def refused(caller: Caller, permission: str, table: dict[str, Any]) -> QueryError:
    """The refusal in Athena's words. The trail has it: who may not see a table is refused its description."""
    database, name = table["DatabaseName"], table["Name"]
    message = f"Insufficient Lake Formation permission(s): Required {permission} on {name}"
    context = caller.context
    event, parameters = "GetTable", {"databaseName": database, "name": name}
    if permission != "Describe":
        arn = f"arn:aws:glue:{context.region}:{context.account}:table/{database}/{name}"
        event, parameters = "GetDataAccess", {"tableArn": arn}
    audit.refused(caller.arn, caller.credentials["AWS_ACCESS_KEY_ID"], event, parameters, message)
    return QueryError("PERMISSION_DENIED", f"Insufficient permissions to execute the query. {message}")


def restricted(relation: str, access: Access) -> str:
    """The rows and columns of ``relation`` that the access shows."""
    if access.whole_rows:
        shown = ", ".join(map(quoted, access.columns))
        return f"SELECT {shown} FROM ({relation})"  # noqa: S608 - names are quoted
    shown = ", ".join(_value(column, access) for column in access.columns)
    condition = " OR ".join(f"({_condition(rule)})" for rule in access.rules)
    return f"SELECT {shown} FROM ({relation}) WHERE {condition}"  # noqa: S608 - names are quoted, rows parsed


def _value(column: str, access: Access) -> str:
    having = [rule for rule in access.rules if column in rule.columns]
    if len(having) == len(access.rules):
        return quoted(column)
    condition = " OR ".join(f"({_condition(rule)})" for rule in having)
    return f"CASE WHEN {condition} THEN {quoted(column)} END AS {quoted(column)}"


def _condition(rule: Rule) -> str:
    if rule.rows is None:
        return "true"
    tree: exp.Expr = sqlglot.parse_one(rule.rows, read="presto")
    return str(tree.sql(dialect="duckdb"))
