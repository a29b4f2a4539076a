"""Calls in the shape of CloudTrail's records.

Sources: CloudTrail user guide, "CloudTrail record contents" and "userIdentity element"; S3 user guide,
"Example CloudTrail log file entries for Amazon S3"; Athena user guide, "Log Amazon Athena API calls with
CloudTrail" (a statement's text is left out); Lake Formation developer guide, "Logging AWS Lake Formation API
calls using AWS CloudTrail".
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from twin.audit.call import Call, error_of
from twin.settings import REGION

JsonObject = dict[str, Any]
VENDED: Final = "GetTemporaryGlueTableCredentials"
OMITTED: Final = {"queryString"}
READING: Final = ("Get", "List", "Head", "Describe", "BatchGet")
EXPIRED: Final = "1970-01-01T00:00:00Z"


def of_object(call: Call, answer: Any) -> JsonObject:
    """An access to an object, or a listing of objects."""
    parameters = {"bucketName": call.bucket, **({"key": call.key} if call.key else {})}
    bucket = f"arn:aws:s3:::{call.bucket}"
    resources = [
        {"type": "AWS::S3::Object", "ARN" if call.key else "ARNPrefix": f"{bucket}/{call.key}"},
        {"type": "AWS::S3::Bucket", "ARN": bucket},
    ]
    return {
        **_common(call, call.object_event, parameters, answer),
        "managementEvent": False,
        "resources": resources,
        "eventCategory": "Data",
    }


def of_management(call: Call, answer: Any) -> JsonObject:
    """Any other call, but that for keys, which is recorded under another name."""
    sent = json.loads(call.body or b"{}")
    more: JsonObject = {}
    if call.action == VENDED:
        name, parameters = "GetDataAccess", {"tableArn": sent["TableArn"]}
        more["additionalEventData"] = {
            "requesterService": "ATHENA",
            "lakeFormationPrincipal": role_of(call.arn),
        }
    else:
        name = call.action
        parameters = {_camel(key): value for key, value in sent.items()}
        parameters |= dict.fromkeys(OMITTED & parameters.keys(), "***OMITTED***")
    return {
        **_common(call, name, parameters, answer),
        "managementEvent": True,
        "eventCategory": "Management",
        **more,
    }


def refusal(arn: str, access_key: str, event: str, parameters: JsonObject, message: str) -> JsonObject:
    """A refusal by Lake Formation: of keys, or of a table's description."""
    source = "lakeformation" if event == "GetDataAccess" else "glue"
    return {
        **_head(source, event, datetime.now(UTC), REGION, arn, access_key),
        "userAgent": "athena.amazonaws.com",
        "errorCode": "AccessDeniedException",
        "errorMessage": message,
        "requestParameters": parameters,
        "managementEvent": True,
        "eventCategory": "Management",
    }


def _common(call: Call, name: str, parameters: JsonObject, answer: Any) -> JsonObject:
    record = {
        **_head(call.service, name, call.at, call.region, call.arn, call.access_key),
        "userAgent": call.headers.get("user-agent", ""),
        "requestParameters": parameters,
        "requestID": call.request_id,
    }
    if error := error_of(answer):
        record["errorCode"], record["errorMessage"] = error
    return record


def _head(service: str, name: str, at: datetime, region: str, arn: str, access_key: str) -> JsonObject:
    account = arn.split(":")[4] if arn else ""
    return {
        "eventVersion": "1.11",
        "userIdentity": identity(arn, access_key),
        "eventTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "eventSource": f"{service}.amazonaws.com",
        "eventName": name,
        "awsRegion": region,
        "sourceIPAddress": "127.0.0.1",
        "responseElements": None,
        "eventID": str(uuid.uuid4()),
        "readOnly": name.startswith(READING),
        "eventType": "AwsApiCall",
        "recipientAccountId": account,
    }


def identity(arn: str, access_key: str) -> JsonObject:
    """Who called, as a record says it."""
    if not arn:
        return {"type": "Unknown", "accessKeyId": access_key}
    account, _, name = arn.split(":")[4], *arn.rpartition("/")[1:]
    known: JsonObject = {"principalId": name, "arn": arn, "accountId": account, "accessKeyId": access_key}
    if ":assumed-role/" not in arn:
        kind = "Root" if arn.endswith(":root") else "IAMUser"
        return {"type": kind, **known, "userName": name}
    role = role_of(arn)
    role_name = role.rpartition("/")[2]
    issuer = {
        "type": "Role",
        "principalId": role_name,
        "arn": role,
        "accountId": account,
        "userName": role_name,
    }
    attributes = {"creationDate": EXPIRED, "mfaAuthenticated": "false"}
    context = {"sessionIssuer": issuer, "attributes": attributes}
    return {"type": "AssumedRole", **known, "principalId": f"{role_name}:{name}", "sessionContext": context}


def role_of(arn: str) -> str:
    """The role of a session, or the caller itself."""
    parts = arn.split(":")
    if len(parts) > 5 and parts[5].startswith("assumed-role/"):  # noqa: PLR2004 - an ARN's sixth part
        return f"arn:aws:iam::{parts[4]}:role/{parts[5].split('/')[1]}"
    return arn


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]
