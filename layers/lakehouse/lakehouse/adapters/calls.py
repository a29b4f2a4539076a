"""Turn botocore's errors into ours, keeping the code and dropping the message (it may quote its input)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from lakehouse.errors import AwsError


@contextmanager
def aws_call(service: str, operation: str) -> Iterator[None]:
    """Raise ``AwsError`` with AWS's own code in place of botocore's exceptions."""
    try:
        yield
    except ClientError as error:
        raise AwsError(service, operation, error_code(error)) from error
    except BotoCoreError as error:
        raise AwsError(service, operation, type(error).__name__) from error


def error_code(error: ClientError) -> str:
    """AWS's code of an error, such as ``AccessDenied``."""
    return str(error.response.get("Error", {}).get("Code", "Unknown"))
