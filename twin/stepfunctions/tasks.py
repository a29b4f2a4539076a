"""Task states: each integration is an HTTPS call with the credentials of the state machine's role."""

from __future__ import annotations

import contextvars
import functools
import json
import time
from collections.abc import Callable
from datetime import datetime
from types import ModuleType
from typing import Any

from twin import hooks
from twin.context import Context
from twin.errors import RoleUnusableError
from twin.stepfunctions import sdk
from twin.stepfunctions.executions import CLIENTS, CURRENT, ExecutionEndedError, running

JsonObject = dict[str, Any]
DEADLINE: contextvars.ContextVar[float] = contextvars.ContextVar("task_deadline", default=float("inf"))
"""When the current task's TimeoutSeconds end, on the monotonic clock."""
PAYLOAD_LIMIT_BYTES = 262_144
RECHECK_SECONDS = 5.0
"""How long a wait for a job trusts that an event will come before it looks again."""
ENDED_JOB_STATES = frozenset({"SUCCEEDED", "FAILED", "ERROR", "STOPPED", "TIMEOUT", "EXPIRED"})
ENDED_QUERY_STATES = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


def install(sfn: ModuleType, context: Context) -> None:
    """Put the hooks of this module in place."""
    tasks = Tasks(sfn, context)
    hooks.replace(sfn, "_invoke_resource", lambda _: tasks.invoke)
    hooks.replace(sfn, "_invoke_with_callback", lambda _: tasks.refuse_callback)
    hooks.replace(
        sfn,
        "_invoke_resource_with_timeout",
        lambda original: functools.partial(_with_deadline, sfn, original),
    )
    hooks.replace(
        sfn, "_execute_task", lambda original: functools.partial(_with_evaluated_timeout, sfn, original)
    )


class Tasks:
    """The integrations the twin serves; every other one is refused with States.Runtime."""

    def __init__(self, sfn: ModuleType, context: Context) -> None:
        self.sfn = sfn
        self.context = context

    def invoke(self, resource: str, arguments: Any) -> Any:
        """Run one task and return its result; stands in for ministack's ``_invoke_resource``."""
        try:
            result = self._dispatch(resource, arguments)
        except (sdk.SdkError, RoleUnusableError) as refused:
            error = getattr(refused, "error", "States.Runtime")
            raise self.sfn._ExecutionError(error, getattr(refused, "cause", str(refused))) from refused
        if not running(CURRENT.get()):
            raise ExecutionEndedError(resource)
        if len(json.dumps(result)) > PAYLOAD_LIMIT_BYTES:
            cause = f"The result of {resource} exceeds {PAYLOAD_LIMIT_BYTES} bytes."
            raise self.sfn._ExecutionError("States.DataLimitExceeded", cause)
        return result

    def refuse_callback(self, resource: str, *_: Any) -> Any:
        """``.waitForTaskToken``: nothing here uses it, so nothing here pretends to."""
        raise self.sfn._ExecutionError("States.Runtime", f"The twin does not serve {resource}.")

    def _dispatch(self, resource: str, arguments: Any) -> Any:
        if resource.startswith("arn:aws:lambda:"):
            return self._invoke_lambda({"FunctionName": resource, "Payload": arguments})["Payload"]
        integration = resource.removeprefix("arn:aws:states:::")
        if integration.startswith("aws-sdk:"):
            _, service, action = integration.split(":")
            return self._aws_sdk(service, action, arguments)
        served: dict[str, Callable[[JsonObject], Any]] = {
            "lambda:invoke": self._invoke_lambda,
            "glue:startJobRun.sync": self._run_glue_job,
            "athena:startQueryExecution.sync": self._run_query,
        }
        if integration in served:
            return served[integration](arguments)
        service, _, action = integration.partition(":")
        if service not in sdk.OPTIMIZED or "." in action:
            raise sdk.SdkError("States.Runtime", f"The twin does not serve {resource}.")
        return self._optimized(service, action, arguments)

    def _client(self, service: str) -> Any:
        """A client of the execution's role; one per service, since a task may be one of hundreds."""
        execution, clients = CURRENT.get(), CLIENTS.get()
        if service not in clients:
            clients[service] = self.context.role_client(
                service, execution["_roleArn"], execution["name"], "states.amazonaws.com"
            )
        return clients[service]

    def _optimized(self, service: str, action: str, arguments: Any) -> Any:
        name, prefix, base_error = sdk.OPTIMIZED[service]
        return sdk.call(self._client(name), action, arguments, prefix, base_error, exception_suffix=False)

    def _aws_sdk(self, service: str, action: str, arguments: Any) -> Any:
        name = sdk.SERVICES.get(service.lower(), service.lower())
        if name not in sdk.SDK_PREFIXES:
            raise sdk.SdkError("States.Runtime", f"The twin does not serve aws-sdk:{service}.")
        prefix = sdk.SDK_PREFIXES[name]
        return sdk.call(
            self._client(name), action, arguments, prefix, f"{prefix}Exception", exception_suffix=True
        )

    def _invoke_lambda(self, arguments: JsonObject) -> JsonObject:
        payload = json.dumps(arguments.get("Payload", {}))
        answer = self._optimized("lambda", "invoke", {**arguments, "Payload": payload})
        result = json.loads(answer.get("Payload") or "null")
        if answer.get("FunctionError"):
            raise sdk.SdkError(result.get("errorType", "Lambda.Unknown"), json.dumps(result))
        return {**answer, "Payload": result}

    def _run_glue_job(self, arguments: JsonObject) -> JsonObject:
        run = {
            "JobName": arguments["JobName"],
            "RunId": self._optimized("glue", "startJobRun", arguments)["JobRunId"],
        }

        def look() -> tuple[str, JsonObject]:
            job_run = self._optimized("glue", "getJobRun", run)["JobRun"]
            return job_run["JobRunState"], _with_epoch_times(job_run)

        def stop() -> None:
            self._optimized(
                "glue", "batchStopJobRun", {"JobName": run["JobName"], "JobRunIds": [run["RunId"]]}
            )

        return self._wait(look, stop, ENDED_JOB_STATES)

    def _run_query(self, arguments: JsonObject) -> JsonObject:
        query = self._optimized("athena", "startQueryExecution", arguments)

        def look() -> tuple[str, JsonObject]:
            execution = self._optimized("athena", "getQueryExecution", query)
            return execution["QueryExecution"]["Status"]["State"], execution

        return self._wait(
            look, lambda: self._optimized("athena", "stopQueryExecution", query), ENDED_QUERY_STATES
        )

    def _wait(
        self, look: Callable[[], tuple[str, JsonObject]], stop: Callable[[], Any], ended: frozenset[str]
    ) -> JsonObject:
        """Wait until what was started ends; stop it when the execution or the task's time ends before."""
        while True:
            seen = self.context.events_seen
            state, result = look()
            if state in ended:
                break
            if not running(CURRENT.get()) or time.monotonic() >= DEADLINE.get():
                stop()
                raise ExecutionEndedError(state)
            self.context.wait_for_event(
                seen, min(RECHECK_SECONDS, max(0.0, DEADLINE.get() - time.monotonic()))
            )
        if state != "SUCCEEDED":
            raise sdk.SdkError("States.TaskFailed", json.dumps(result))
        return result


def _with_epoch_times(job_run: JsonObject) -> JsonObject:
    """A job run as ``glue:startJobRun.sync`` returns it: its times are milliseconds."""
    times = {
        key: int(datetime.fromisoformat(value).timestamp() * 1000)
        for key, value in job_run.items()
        if key in ("StartedOn", "CompletedOn", "LastModifiedOn") and isinstance(value, str)
    }
    return {**job_run, **times}


def _with_deadline(
    sfn: ModuleType, original: Callable[..., Any], resource: str, arguments: Any, seconds: float
) -> Any:
    """Tell the task when its time ends, so that it stops what it started."""
    token = DEADLINE.set(time.monotonic() + float(seconds))
    try:
        return original(resource, arguments, float(seconds))
    except ExecutionEndedError:
        if not running(CURRENT.get()):
            raise
        raise sfn._ExecutionError("States.Timeout", f"Task timed out after {seconds} seconds") from None
    finally:
        DEADLINE.reset(token)


def _with_evaluated_timeout(
    sfn: ModuleType,
    original: Callable[..., Any],
    state: JsonObject,
    data: Any,
    execution: JsonObject,
    ctx: JsonObject,
) -> Any:
    """TimeoutSeconds may be a JSONata expression, which ministack would take as it stands."""
    if isinstance(state.get("TimeoutSeconds"), str):
        seconds = sfn._jsonata_state_field(state, "TimeoutSeconds", "number", data, ctx)
        state = {**state, "TimeoutSeconds": seconds}
    return original(state, data, execution, ctx)
