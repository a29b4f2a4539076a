"""Runs of Glue jobs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from lakehouse.lake import JobRun

from .calls import aws_call

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient


class GlueJobs:
    """Job runs, found by the run id among their arguments."""

    def __init__(self, client: GlueClient) -> None:
        self._client = client

    def runs(self, job_name: str, run_id: str, since: datetime) -> list[JobRun]:
        """The job runs started for one of our runs. Glue lists the newest first, so ``since`` ends it."""
        found: list[JobRun] = []
        with aws_call("glue", "GetJobRuns"):
            for page in self._client.get_paginator("get_job_runs").paginate(JobName=job_name):
                for run in page["JobRuns"]:
                    if run["StartedOn"] < since:
                        return found
                    if run.get("Arguments", {}).get("--run_id") == run_id:
                        found.append(JobRun(run["Id"], run["JobRunState"], run.get("ErrorMessage", "")))
        return found

    def stop(self, job_name: str, job_run_ids: list[str]) -> None:
        """Tell job runs to stop. They end some time later."""
        with aws_call("glue", "BatchStopJobRun"):
            self._client.batch_stop_job_run(JobName=job_name, JobRunIds=job_run_ids)
