# ruff: noqa: S608 - every name and text is quoted by twin.athena.sql
"""CloudTrail's files as rows: each is one object with all its records in a list.

Source: Athena user guide, "Query AWS CloudTrail logs"; names of fields: CloudTrail's record contents.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from twin.athena.sql import quoted, text, text_list, to_duck_type

LONGEST_BYTES: Final = 1 << 28
NAMES: Final = {
    name.lower(): name
    for name in (
        *("eventVersion", "userIdentity", "eventTime", "eventSource", "eventName", "awsRegion", "errorCode"),
        *(
            "sourceIPAddress",
            "userAgent",
            "errorMessage",
            "requestParameters",
            "responseElements",
            "readOnly",
        ),
        *("additionalEventData", "requestID", "eventID", "eventType", "managementEvent", "eventCategory"),
        *("recipientAccountId", "type", "principalId", "arn", "accountId", "invokedBy", "accessKeyId"),
        *("userName", "sessionContext", "attributes", "mfaAuthenticated", "creationDate", "sessionIssuer"),
        "sourceIdentity",
    )
}
"""The catalog's small letters to the records' own."""


def relation(files: list[str], columns: list[dict[str, str]]) -> str:
    """The records of all files, in the table's columns; what is no text is shown as JSON."""
    size = f"maximum_object_size => {LONGEST_BYTES}"
    source = f"read_json_objects({text_list(files)}, format => 'unstructured', {size})"
    records = f"SELECT unnest(from_json(json->'$.Records', '[\"JSON\"]')) AS record FROM {source}"
    fields = (
        f"{_value('$', column['Name'], exp.DataType.build(column['Type'], dialect='hive'))} "
        f"AS {quoted(column['Name'])}"
        for column in columns
    )
    return f"SELECT {', '.join(fields)} FROM ({records})"


def _value(path: str, name: str, kind: exp.DataType) -> str:
    inner = f"{path}.{NAMES[name]}"
    if kind.is_type("struct"):
        fields = (f"{quoted(f.name)} := {_value(inner, f.name, f.args['kind'])}" for f in kind.expressions)
        return f"struct_pack({', '.join(fields)})"
    return f"CAST(record->>{text(inner)} AS {to_duck_type(kind.sql(dialect='hive').lower())})"
