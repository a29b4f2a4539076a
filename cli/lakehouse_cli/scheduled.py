"""Scheduled intake from outside: which datasets wait for it, and a run of it now."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from lakehouse.words import INDEX_FILE
from lakehouse_cli.connection import Lake
from lakehouse_cli.errors import CommandError, TimedOutError

POLL_SECONDS = 1.0
RUNNING = {"RUNNING", "STOPPING"}


def datasets(lake: Lake) -> list[str]:
    """The datasets that are taken in by schedule only."""
    key = lake.name("AssetsPrefix") + INDEX_FILE
    answer = lake.client("s3").get_object(Bucket=lake.name("OperationsBucketName"), Key=key)
    found: list[str] = json.loads(answer["Body"].read())["scheduled"]
    return found


def start(lake: Lake) -> str:
    """Start the workflow; its run's id. Raises ``CommandError`` if it runs already."""
    name = lake.name("ScheduledIntakeWorkflowName")
    try:
        return str(lake.client("glue").start_workflow_run(Name=name)["RunId"])
    except ClientError as refused:
        if refused.response["Error"]["Code"] != "ConcurrentRunsExceededException":
            raise
        raise CommandError(f"{name} runs already: what it has not seen yet is for the next run.") from refused


def follow(
    lake: Lake,
    run_id: str,
    timeout_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, int]:
    """Wait for a run's end; how many of its actions ended how.

    Raises ``TimedOutError``, and ``CommandError`` if the job did not run to its end.
    """
    name, began = lake.name("ScheduledIntakeWorkflowName"), clock()
    while (run := _run(lake, name, run_id))["Status"] in RUNNING:
        if clock() - began > timeout_seconds:
            raise TimedOutError(f"{name} is not done after {timeout_seconds:.0f} s; it goes on by itself.")
        sleep(POLL_SECONDS)
    counts: dict[str, int] = run["Statistics"]
    failed = counts["TotalActions"] - counts["SucceededActions"]
    if failed:
        raise CommandError(
            f"{failed} of {counts['TotalActions']} actions of {name} did not succeed (run {run_id}). "
            "The crawler and the job keep logs; what was not taken in is named again by the next run."
        )
    return counts


def _run(lake: Lake, name: str, run_id: str) -> dict[str, Any]:
    run: dict[str, Any] = lake.client("glue").get_workflow_run(Name=name, RunId=run_id)["Run"]
    return run
