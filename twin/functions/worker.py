"""One Lambda execution environment: imports the handler once, then answers invocations over its pipes.

The twin runs this file with the project's interpreter in isolated mode (``-I -S``), so that a function finds
the standard library, its own code, its layers, what AWS's Python runtime ships (boto3), and nothing else.
One JSON line in is one invocation, one JSON line out its result. Only the standard library may be imported.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import time
import traceback
from typing import Any, TextIO

FAILURE = "twin:function-error"
"""The key under which a result says that the handler raised; the twin turns it into Lambda's error answer."""


class Context:
    """The context object a handler is given, with AWS's attribute names."""

    client_context = None
    identity = None

    def __init__(self, request: dict[str, Any]) -> None:
        self.aws_request_id = request.get("request_id", "")
        self.invoked_function_arn = request.get("invoked_function_arn", "")
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self._deadline = time.monotonic() + request["timeout_ms"] / 1000

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends this invocation."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def run() -> None:
    """Answer invocations until the twin closes the pipe."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever the function prints, in whatever way, is log output
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)  # line by line, before the answer
    logging.basicConfig(stream=sys.stderr, format="[%(levelname)s]\t%(asctime)s\t%(message)s")
    start = json.loads(sys.stdin.readline())
    sys.path[:0] = start["path"]
    sys.path += start["runtime_path"]
    handler, failure = None, None
    try:
        handler = getattr(importlib.import_module(start["module"]), start["handler"])
    except BaseException as error:  # noqa: BLE001 - told to who invokes
        failure = _failure(error, _init_error_type(error))
    _answer(answers, {"status": "ready"})
    for line in sys.stdin:
        invocation = json.loads(line)
        if handler is None:
            _answer(answers, {"status": "ok", "result": {FAILURE: failure}})
            return  # as on AWS, an environment that failed to start is thrown away
        _answer(answers, _invoke(handler, invocation))


def _invoke(handler: Any, invocation: dict[str, Any]) -> dict[str, Any]:
    try:
        result = handler(invocation["event"], Context(invocation["ctx"]))
        return {"status": "ok", "result": json.loads(json.dumps(result))}
    except Exception as error:  # noqa: BLE001 - the answer to who invokes carries it
        return {"status": "ok", "result": {FAILURE: _failure(error, type(error).__name__)}}


def _failure(error: BaseException, error_type: str) -> dict[str, Any]:
    traceback.print_exception(error, file=sys.stderr)
    return {
        "errorMessage": str(error),
        "errorType": error_type,
        "stackTrace": traceback.format_tb(error.__traceback__)[1:],
    }


def _init_error_type(error: BaseException) -> str:
    if isinstance(error, ImportError):
        return "Runtime.ImportModuleError"
    if isinstance(error, AttributeError):
        return "Runtime.HandlerNotFound"
    return type(error).__name__


def _answer(answers: TextIO, message: dict[str, Any]) -> None:
    sys.stderr.flush()
    answers.write(json.dumps(message) + "\n")


if __name__ == "__main__":
    run()
