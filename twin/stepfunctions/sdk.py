"""AWS calls a state machine makes, with the names as Step Functions spells them.

Step Functions speaks the Java SDK: members in PascalCase, errors as ``<Service>.<Exception>``. boto3 speaks
the service model's own names. Both ways are translated here by that model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError, ParamValidationError

SERVICES = {
    "sfn": "stepfunctions",
    "eventbridge": "events",
    "cloudwatchlogs": "logs",
}
"""Names in ``aws-sdk:<name>:<action>`` that differ from boto3's."""
SDK_PREFIXES = {
    "athena": "Athena",
    "cloudwatch": "CloudWatch",
    "dynamodb": "DynamoDb",
    "events": "EventBridge",
    "glue": "Glue",
    "lambda": "Lambda",
    "logs": "CloudWatchLogs",
    "s3": "S3",
    "sns": "Sns",
    "sqs": "Sqs",
    "stepfunctions": "Sfn",
}
"""How the Java SDK 2 names a service in its exceptions; Step Functions' error names begin with it."""
OPTIMIZED = {
    # action prefix: (boto3's name, error prefix, the error that stands for any the service does not model)
    "athena": ("athena", "Athena", "AmazonAthenaException"),
    "dynamodb": ("dynamodb", "DynamoDB", "AmazonDynamoDBException"),
    "events": ("events", "EventBridge", "AmazonEventBridgeException"),
    "glue": ("glue", "Glue", "AWSGlueException"),
    "lambda": ("lambda", "Lambda", "AWSLambdaException"),
    "sns": ("sns", "SNS", "AmazonSNSException"),
    "sqs": ("sqs", "SQS", "AmazonSQSException"),
    "states": ("stepfunctions", "StepFunctions", "AWSStepFunctionsException"),
}
"""The optimised integrations, which were made with the Java SDK 1 and keep its names."""


class SdkError(Exception):
    """A call was refused: ``error`` and ``cause`` as a state's Catch sees them."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause


def call(
    client: Any, action: str, arguments: Any, prefix: str, base_error: str, *, exception_suffix: bool
) -> Any:
    """Make one call; ``action`` is camelCase, ``arguments`` and the result are in PascalCase.

    ``base_error`` names an error the service's model does not know. Raises ``SdkError``.
    """
    model = client.meta.service_model
    operation = model.operation_model(action[0].upper() + action[1:])
    parameters = _to_boto(operation.input_shape, arguments) if operation.input_shape else {}
    try:
        answer = getattr(client, xform_name(operation.name))(**parameters)
    except ParamValidationError as error:
        raise SdkError("States.Runtime", f"{operation.name}: {error}") from error
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        # An error's code on the wire may differ from the exception's name (SNS: AuthorizationError).
        names = {shape.error_code: shape.name for shape in model.error_shapes}
        name = names.get(code, base_error)
        if exception_suffix and not name.endswith("Exception"):
            name += "Exception"
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        cause = f"{message} (Service: {prefix}, Status Code: {status}, Error Code: {code})"
        raise SdkError(f"{prefix}.{name}", cause) from error
    answer.pop("ResponseMetadata", None)
    return _from_boto(operation.output_shape, answer) if operation.output_shape else {}


def _to_boto(shape: Any, value: Any) -> Any:
    """PascalCase members to the model's, whole numbers (JSONata makes floats) to integers."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        names = {member.lower(): member for member in shape.members}
        return {
            (member := names.get(key.lower(), key)): _to_boto(shape.members[member], item)
            if member in shape.members
            else item
            for key, item in value.items()
        }
    if kind == "list" and isinstance(value, list):
        return [_to_boto(shape.member, item) for item in value]
    if kind == "map" and isinstance(value, dict):
        return {key: _to_boto(shape.value, item) for key, item in value.items()}
    if kind in ("integer", "long") and isinstance(value, float) and value.is_integer():
        return int(value)
    if (
        kind in ("string", "blob")
        and isinstance(value, (dict, list))
        and shape.name in ("Payload", "SensitiveData", "Blob")
    ):
        return json.dumps(value)
    return value


def _from_boto(shape: Any, value: Any) -> Any:
    """The model's members to PascalCase, blobs to text, times to ISO."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, Mapping):
        return {
            member[0].upper() + member[1:]: _from_boto(shape.members[member], item)
            for member, item in value.items()
            if member in shape.members
        }
    if kind == "list":
        return [_from_boto(shape.member, item) for item in value]
    if kind == "map":
        return {key: _from_boto(shape.value, item) for key, item in value.items()}
    if kind == "timestamp" and isinstance(value, datetime):
        return value.astimezone().isoformat().replace("+00:00", "Z")
    if kind == "blob":
        raw = value.read() if hasattr(value, "read") else value
        return raw.decode() if isinstance(raw, bytes) else raw
    return value
