"""Whose fault a dead job was, and that no value of a row is said."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from lakehouse_spark.errors import BadPlan
from lakehouse_spark.failure import failure_of

JVM_DENIED = (
    "java.nio.file.AccessDeniedException: s3://b/CANARY: getFileStatus: (Status Code: 403; Forbidden)"
)


@pytest.mark.parametrize(
    ("error", "failure_class", "message"),
    [
        (ClientError({"Error": {"Code": "SlowDown", "Message": "CANARY"}}, "GetObject"), "ENVIRONMENT",
         "read: SlowDown in GetObject"),
        (ClientError({"Error": {"Code": "NoSuchKey", "Message": "CANARY"}}, "GetObject"), "FILES",
         "read: NoSuchKey in GetObject"),
        (EndpointConnectionError(endpoint_url="https://CANARY"), "ENVIRONMENT",
         "read: EndpointConnectionError (EndpointConnectionError)"),
        (RuntimeError(JVM_DENIED), "ENVIRONMENT", "read: RuntimeError (AccessDeniedException, AccessDenied)"),
        (RuntimeError("java.lang.OutOfMemoryError: CANARY"), "FILES", "read: RuntimeError"),
        (RuntimeError("CANARY\n\tat org.Errors.InternalError(Errors.java:1)"), "FILES", "read: RuntimeError"),
        (BadPlan("column x is int in the table"), "FILES", "read: column x is int in the table"),
    ],
)  # fmt: skip
def test_a_failure_names_its_kind_and_no_value(error: Exception, failure_class: str, message: str) -> None:
    failure = failure_of("run-1", "read", error)
    assert (failure["failure_class"], failure["message"]) == (failure_class, message)
    assert "CANARY" not in str(failure)


def test_a_cause_counts_as_well() -> None:
    error = RuntimeError("it failed")
    error.__cause__ = ClientError({"Error": {"Code": "AccessDenied"}}, "PutObject")
    assert failure_of("run-1", "write", error)["failure_class"] == "ENVIRONMENT"
