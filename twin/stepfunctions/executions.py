"""The life of an execution: idempotent starts, time limits, stops that stop, and the events about them."""

from __future__ import annotations

import contextvars
import functools
import json
import logging
import re
import threading
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from types import ModuleType
from typing import Any

from twin import hooks
from twin.context import Context

log = logging.getLogger("twin")
JsonObject = dict[str, Any]
CURRENT: contextvars.ContextVar[JsonObject] = contextvars.ContextVar("execution")
"""The execution the current thread works for, as ministack keeps it."""
VALID_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
"""Step Functions allows more characters; these are the ones its logs can carry."""
EVENT_PAYLOAD_LIMIT_BYTES = 248 * 1024


CLIENTS: contextvars.ContextVar[dict[str, Any]] = contextvars.ContextVar("execution_clients")
"""The boto3 clients of the current execution's role, by service."""


class ExecutionEndedError(BaseException):
    """The execution was stopped or timed out while this task ran.

    No Exception, since no Retry, no Catch and no ``except Exception`` below may take it for a failure.
    """


def install(sfn: ModuleType, context: Context) -> None:
    """Put the hooks of this module in place."""
    hooks.replace(sfn, "_start_execution", lambda original: functools.partial(_start, sfn, original))
    hooks.replace(sfn, "_stop_execution", lambda original: functools.partial(_stop, context, original))
    hooks.replace(sfn, "_run_execution", lambda original: functools.partial(_run, sfn, context, original))
    hooks.replace(sfn, "_fail_execution", lambda original: functools.partial(_fail, original))
    hooks.replace(
        sfn, "_apply_output_path", lambda original: functools.partial(_succeed_output, sfn, original)
    )
    hooks.replace(sfn, "_emit_execution_status_event", lambda _: functools.partial(_emit_status, context))


def running(execution: JsonObject) -> bool:
    """Whether an execution has not ended."""
    return bool(execution["status"] == "RUNNING")


def _start(sfn: ModuleType, original: Callable[[JsonObject], Any], request: JsonObject) -> Any:
    """The same name with the same input answers with the execution that runs, as StartExecution documents."""
    name = request.get("name")
    if name is not None and not VALID_NAME.fullmatch(name):
        return sfn.error_response_json("InvalidName", f"Invalid Name: '{name}'", 400)
    answer = original(request)
    if answer[0] < HTTPStatus.BAD_REQUEST or json.loads(answer[2]).get("__type") != "ExecutionAlreadyExists":
        return answer
    machine = sfn._resolve_state_machine_arn(request["stateMachineArn"])
    arn = f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
    execution = sfn._executions[arn]
    if running(execution) and execution["input"] == request.get("input", "{}"):
        return sfn.json_response({"executionArn": arn, "startDate": execution["startDate"]})
    return answer


def _stop(context: Context, original: Callable[[JsonObject], Any], request: JsonObject) -> Any:
    answer = original(request)
    context.wake()  # a task that waits for a job must stop that job now
    return answer


def _run(sfn: ModuleType, context: Context, original: Callable[[str], None], arn: str) -> None:
    execution = sfn._executions.get(arn)
    machine = execution and sfn._state_machines.get(execution["stateMachineArn"])
    if not machine:
        original(arn)
        return
    execution["_roleArn"] = machine["roleArn"]
    CURRENT.set(execution)
    CLIENTS.set({})
    seconds = json.loads(machine["definition"]).get("TimeoutSeconds")
    # The limit ends an execution from another thread: its own may sit in a wait or in a call.
    timer = threading.Timer(
        float(seconds or 0), contextvars.copy_context().run, (_time_out, sfn, context, execution)
    )
    timer.daemon = True
    if seconds:
        timer.start()
    try:
        original(arn)
    except ExecutionEndedError:
        log.info("%s ended while a task of it ran", arn)
    finally:
        timer.cancel()


def _time_out(sfn: ModuleType, context: Context, execution: JsonObject) -> None:
    if running(execution):
        execution.update(status="TIMED_OUT", stopDate=sfn.now_iso())
        sfn._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {}})
        _emit_status(context, execution)
        context.wake()


def _fail(original: Callable[..., None], execution: JsonObject, error: str, cause: str) -> None:
    """An execution that was stopped or timed out stays so, whatever its thread meets afterwards."""
    if running(execution):
        original(execution, error, cause)
        execution["output"] = None  # only a success has one


def _succeed_output(
    sfn: ModuleType, original: Callable[..., Any], state: JsonObject, data: Any, ctx: JsonObject | None = None
) -> Any:
    """A Succeed state may reshape its output in JSONata; ministack looks only at JSONPath's OutputPath."""
    if (
        state.get("Type") == "Succeed"
        and "Output" in state
        and sfn._state_query_language(state, ctx) == "JSONata"
    ):
        return sfn._apply_jsonata_output(state, data, ctx, default=data)
    return original(state, data, ctx)


def _emit_status(context: Context, execution: JsonObject) -> None:
    """Put the "Step Functions Execution Status Change" event.

    Its shape: https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
    """
    if execution.get("sync"):
        return
    status = execution["status"]
    redrivable = status in ("FAILED", "TIMED_OUT", "ABORTED")
    output = execution.get("output") if status == "SUCCEEDED" else None
    detail = {
        "executionArn": execution["executionArn"],
        "stateMachineArn": execution["stateMachineArn"],
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "name": execution["name"],
        "status": status,
        "startDate": _epoch_ms(execution["startDate"]),
        "stopDate": _epoch_ms(execution["stopDate"]),
        "input": _within_limit(execution.get("input")),
        "inputDetails": {"included": _within_limit(execution.get("input")) is not None},
        "output": _within_limit(output),
        "outputDetails": {"included": _within_limit(output) is not None} if output is not None else None,
        "redriveCount": 0,
        "redriveDate": None,
        "redriveStatus": "REDRIVABLE" if redrivable else "NOT_REDRIVABLE",
        "redriveStatusReason": None if redrivable else f"Execution is {status} and cannot be redriven",
        "error": execution.get("error"),
        "cause": execution.get("cause"),
    }
    arn = execution["executionArn"]
    context.emit_event("aws.states", "Step Functions Execution Status Change", detail, [arn])


def _epoch_ms(timestamp: str | None) -> int | None:
    return int(datetime.fromisoformat(timestamp).timestamp() * 1000) if timestamp else None


def _within_limit(payload: str | None) -> str | None:
    return payload if payload is not None and len(payload.encode()) <= EVENT_PAYLOAD_LIMIT_BYTES else None
