"""Step Functions: tasks act as the state machine's role, executions end as they do on AWS."""

from __future__ import annotations

from types import ModuleType

from twin import hooks
from twin.context import Context
from twin.stepfunctions import executions, tasks


def install(_app: ModuleType, context: Context) -> None:
    """Replace how ministack runs tasks, and how executions start, stop, time out and report their end."""
    from ministack.services import stepfunctions

    hooks.require(stepfunctions, "_ExecutionError", "_executions", "_state_machines", "now_iso", "_add_event")
    executions.install(stepfunctions, context)
    tasks.install(stepfunctions, context)
