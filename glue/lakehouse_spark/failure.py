"""Why a job died, said without a value of a row: whose fault it was, and the kind of error.

Exceptions of Spark quote values and plans. So nothing of a foreign message is passed on but words from a
fixed list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from lakehouse import words
from lakehouse.governing import NotGoverned
from lakehouse_spark.errors import JobError, JobFailed
from lakehouse_spark.objects import Objects

ENVIRONMENT_WORDS: Final = (
    "AccessDenied", "AccessDeniedException", "AllAccessDisabled", "AuthorizationHeaderMalformed",
    "UnauthorizedOperation", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken",
    "InvalidToken", "UnrecognizedClientException", "KMSAccessDenied", "KMS.DisabledException",
    "NoSuchBucket", "Throttling", "ThrottlingException", "ProvisionedThroughputExceededException",
    "ThrottledException", "TooManyRequestsException", "SlowDown", "RequestLimitExceeded",
    "ProvisionedThroughputExceeded", "ServiceUnavailable", "InternalError", "InternalServiceException",
    "RequestTimeout", "ConcurrentRunsExceededException", "ResourceNumberLimitExceededException",
    "UnknownHostException", "ConnectException", "SocketTimeoutException", "NoHttpResponseException",
    "SSLHandshakeException", "SdkClientException", "EndpointConnectionError", "ConnectTimeoutError",
)  # fmt: skip
"""Said by AWS, by the network or by the machine: no file is at fault, and splitting a batch would not
help.
"""

_FORBIDDEN: Final = re.compile(r"(?:Status Code: |\b)403\b.{0,40}Forbidden|Forbidden.{0,40}403")


def failure_of(run_id: str, step: str, error: BaseException) -> words.Failure:
    """The ``failure.json`` of ``error``, which happened in ``step``."""
    not_governed = any(isinstance(each, NotGoverned) for each in _chain(error))
    return {
        "run_id": run_id,
        "failure_class": "ENVIRONMENT" if not_governed or found_words(error) else "FILES",
        "error": type(error).__name__,
        "message": f"{step}: {safe_text(error)}",
    }


def told(operations: Objects, report_key: str, run_id: str, step: str, error: BaseException) -> JobFailed:
    """Lay ``failure.json`` beside where the report would lie; returns what the job ends with."""
    failure = failure_of(run_id, step, error)
    operations.put_json(report_key.rpartition("/")[0] + "/" + words.FAILURE_FILE, failure)
    return JobFailed(f"{failure['failure_class']}: {failure['error']}: {failure['message']}")


def is_environment(error: BaseException) -> bool:
    """Whether no file is to blame."""
    return failure_of("", "", error)["failure_class"] == "ENVIRONMENT"


def found_words(error: BaseException) -> list[str]:
    """The words of the fixed list that the error or its causes say."""
    text = "\n".join(_texts(error))
    found = [word for word in ENVIRONMENT_WORDS if re.search(rf"\b{re.escape(word)}\b", text)]
    return [*found, "AccessDenied"] if _FORBIDDEN.search(text) and "AccessDenied" not in found else found


def safe_text(error: BaseException) -> str:
    """What may be passed on of an error's message."""
    if isinstance(error, JobError | NotGoverned):
        return str(error)
    if isinstance(error, ClientError):
        return f"{error.response['Error']['Code']} in {error.operation_name}"
    found = found_words(error)
    return f"{type(error).__name__} ({', '.join(found)})" if found else type(error).__name__


def jvm_text(error: BaseException) -> str:
    """All an error says, with the JVM's trace where it has one."""
    return f"{error}\n{getattr(error, 'stackTrace', '')}"


def without_frames(text: str) -> str:
    """A trace without the names of methods: one may be called like an error."""
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("at "))


def _texts(error: BaseException) -> Iterator[str]:
    """What the error and its causes say; a JVM error's text holds those of its own causes."""
    for seen in _chain(error):
        if isinstance(seen, ClientError):
            yield str(seen.response["Error"]["Code"])
        elif isinstance(seen, BotoCoreError):
            yield type(seen).__name__
        else:
            yield f"{type(seen).__name__} {without_frames(jvm_text(seen))}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
