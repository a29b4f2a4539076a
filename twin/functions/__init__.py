"""Lambda: functions run on the project's interpreter, and fail as they do on AWS."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from twin import hooks
from twin.context import Context
from twin.errors import StartError
from twin.functions.batching import install as install_batching
from twin.functions.environment import Environments
from twin.functions.worker import FAILURE

JsonObject = dict[str, Any]
_EXITED = "Worker process died"


def install(_app: ModuleType, context: Context) -> None:
    """Replace how ministack starts Python functions and reports their errors."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc
    from ministack.services.cloudformation import custom_resource

    python = context.project_root / ".venv" / "bin" / "python"
    if not python.exists():
        raise StartError(f"{python} is missing: run `make setup`, since functions run on that interpreter.")
    environments = Environments(context, python)
    hooks.require(lambda_runtime, "_workers", "kill_workers", "execution_credentials", "Worker")
    hooks.require(lambda_svc, "_resolve_layer_zip")
    hooks.require(custom_resource, "deliver_response")

    def spawn(worker: Any) -> None:
        environments.spawn(worker)

    hooks.replace(lambda_runtime.Worker, "_spawn", lambda _original: spawn)
    hooks.replace(lambda_svc, "_execute_function_warm", _with_error_types)
    hooks.replace(lambda_svc, "_execute_function_with_config_scope", _answering_custom_resources)
    install_batching()
    context.on_shutdown(
        lambda: lambda_runtime.kill_workers([w for pool in lambda_runtime._workers.values() for w in pool])
    )


def _with_error_types(execute: Callable[..., JsonObject]) -> Callable[..., JsonObject]:
    """An error answer names the exception's class, as Lambda's does, and says when the process ended."""

    def wrapped(function: JsonObject, event: Any, request_id: str) -> JsonObject:
        answer = execute(function, event, request_id)
        body = answer.get("body")
        if isinstance(body, dict) and FAILURE in body:
            return {"body": {**body[FAILURE], "requestId": request_id}, "error": True, "log": answer["log"]}
        if answer.get("error") and isinstance(body, dict) and body.get("errorMessage") == _EXITED:
            message = f"RequestId: {request_id} Error: Runtime exited without providing a reason"
            return {**answer, "body": {"errorType": "Runtime.ExitError", "errorMessage": message}}
        return answer

    return wrapped


def _answering_custom_resources(execute: Callable[..., JsonObject]) -> Callable[..., JsonObject]:
    """A custom resource's function that raises fails the resource at once.

    AWS would wait for the answer until ``ServiceTimeout``, an hour by default; nothing is learnt in it.
    """
    from ministack.services.cloudformation import custom_resource

    def wrapped(function: JsonObject, event: Any) -> JsonObject:
        answer = execute(function, event)
        url = event.get("ResponseURL") if isinstance(event, dict) else None
        if url and answer.get("error"):
            body = answer["body"]
            reason = f"The function ended with {body.get('errorType')}: {body.get('errorMessage')}"
            custom_resource.deliver_response(url.rpartition("/")[2], {"Status": "FAILED", "Reason": reason})
        return answer

    return wrapped
