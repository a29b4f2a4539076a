"""Glue's actions that the twin answers itself, and what it keeps of a job that the emulator forgets."""

from __future__ import annotations

import logging
import os
from http import HTTPStatus
from types import ModuleType
from typing import Any, Final

from ministack.services import glue as emulated

from twin import hooks
from twin.context import Context
from twin.glue import bookmarks
from twin.glue.api import handle_with
from twin.glue.crawlers import CrawlerRunner
from twin.glue.jobs import JobRunner
from twin.glue.machine import prepare
from twin.glue.workers import WorkerPool
from twin.glue.workflows import WorkflowRunner, provision
from twin.iam import passing

RESERVE_VARIABLE: Final = "TWIN_JVM_RESERVE"
"""How many warm JVMs to keep (default 2; 0: every job starts its own)."""
RUNTIME_JOB_FIELDS: Final = (
    "ExecutionProperty",
    "ExecutionClass",
    "NotificationProperty",
    "JobMode",
    "LogUri",
)
"""Fields of a job that the emulator forgets."""


def install(app: ModuleType, context: Context) -> None:
    """Answer the run actions, keep what the emulator drops of a job, and start the reserve when ready."""
    machine = prepare(context)
    pool = WorkerPool(
        machine,
        context.state_dir / "glue" / "workers",
        reserve_size=int(os.environ.get(RESERVE_VARIABLE, "2")),
        parallel=max(2, os.cpu_count() or 2),
    )
    runner = JobRunner(context, machine, pool)
    crawlers = CrawlerRunner(context)
    workflows = WorkflowRunner(runner, crawlers)
    actions = {
        "StartJobRun": runner.start_job_run,
        "GetJobRun": runner.get_job_run,
        "GetJobRuns": runner.get_job_runs,
        "BatchStopJobRun": runner.batch_stop_job_run,
        "StartCrawler": crawlers.start_crawler,
        "UpdateCrawler": crawlers.update_crawler,
        "DeleteCrawler": crawlers.delete_crawler,
        "StopCrawler": crawlers.stop_crawler,
        "StartWorkflowRun": workflows.start_workflow_run,
        "GetWorkflowRun": workflows.get_workflow_run,
        "GetWorkflowRuns": workflows.get_workflow_runs,
        "StartTrigger": workflows.start_trigger,
        "GetJobBookmark": bookmarks.get_job_bookmark,
        "ResetJobBookmark": bookmarks.reset_job_bookmark,
    }
    app.SERVICE_HANDLERS["glue"] = handle_with(actions, otherwise=app.SERVICE_HANDLERS["glue"])
    passing.install(app, context)
    hooks.require(emulated, "_jobs")
    hooks.replace(emulated, "_create_job", lambda original: _keeping_fields(original, _created_fields))
    hooks.replace(emulated, "_update_job", lambda original: _keeping_fields(original, _updated_fields))
    provision()
    context.on_ready(pool.start)
    context.on_shutdown(pool.close)
    logging.getLogger("twin.glue").setLevel(logging.INFO)


def _keeping_fields(original: Any, fields_of: Any) -> Any:
    """The emulator's create or update, after which the job also has the fields it drops."""

    def keep(request: dict[str, Any]) -> Any:
        answer = original(request)
        if answer[0] == HTTPStatus.OK:
            name, given = fields_of(request)
            emulated._jobs[name].update({key: given[key] for key in RUNTIME_JOB_FIELDS if key in given})
            emulated._jobs[name].setdefault("ExecutionProperty", {"MaxConcurrentRuns": 1})
        return answer

    return keep


def _created_fields(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return request["Name"], request


def _updated_fields(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return request["JobName"], request.get("JobUpdate", {})
