"""Glue's job runs: StartJobRun, GetJobRun, GetJobRuns, BatchStopJobRun, in real Spark under the job's role.

States and fields: https://docs.aws.amazon.com/glue/latest/dg/aws-glue-api-jobs-runs.html. Differences from
AWS: a run stays STARTING until this computer has a free place for it; MaxRetries and queueing are refused;
Timeout may be a fraction of a minute (a boto3 client needs ``parameter_validation=False`` to send one).
"""

from __future__ import annotations

import contextvars
import logging
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from twin.context import Context, Credentials
from twin.errors import RoleUnusableError, TwinError
from twin.glue import bookmarks, runs
from twin.glue.api import ApiError, JsonObject
from twin.glue.machine import SparkMachine
from twin.glue.runs import JobRun
from twin.glue.workers import WorkerPool, WorkerProcess

SESSION_NAME: Final = "GlueJobRunnerSession"
DEFAULT_TIMEOUT_MINUTES: Final = 2880
POLL_SECONDS: Final = 0.1
LOG_LINES: Final = 5000
COPIED_FIELDS: Final = (
    "GlueVersion",
    "WorkerType",
    "NumberOfWorkers",
    "MaxCapacity",
    "SecurityConfiguration",
)
EVENT_SEVERITY: Final = {"SUCCEEDED": "INFO", "STOPPED": "INFO", "TIMEOUT": "WARN"}
Ended = Callable[[str], None]
log = logging.getLogger("twin.glue")


class LaunchError(TwinError):
    """A run that cannot begin: its script or libraries are out of reach, or a setting is wrong."""


class JobRunner:
    """Answers the job run actions and executes the runs."""

    def __init__(self, context: Context, machine: SparkMachine, pool: WorkerPool) -> None:
        self._context = context
        self._machine = machine
        self._pool = pool
        self._lock = threading.Lock()

    # --- The API ----------------------------------------------------------------------------------

    def start_job_run(self, request: JsonObject, ended: Ended | None = None) -> JsonObject:
        """Start a run on a thread of its own, unless as many as the job allows are active.

        ``ended`` is called with the run's last state, once everything else is told.
        """
        name = request["JobName"]
        job = self._context.call("glue", "GetJob", {"JobName": name}, "AWSGlue")["Job"]
        _refuse_unsupported(job, request)
        with self._lock:
            active = sum(run.is_active for run in runs.list_runs(name))
            if active >= (job.get("ExecutionProperty") or {}).get("MaxConcurrentRuns", 1):
                raise ApiError("ConcurrentRunsExceededException", f"Concurrent runs exceeded for {name}")
            run = JobRun(_new_record(job, request))
            runs.add(run)
        thread_context = contextvars.copy_context()
        threading.Thread(
            target=thread_context.run, args=(self._execute, job, run, ended), daemon=True
        ).start()
        return {"JobRunId": run.run_id}

    def get_job_run(self, request: JsonObject) -> JsonObject:
        """One run's record."""
        return {"JobRun": _known(request["JobName"], request["RunId"]).record}

    def get_job_runs(self, request: JsonObject) -> JsonObject:
        """Newest first, in pages of ``MaxResults``."""
        start, size = int(request.get("NextToken") or 0), int(request.get("MaxResults") or 200)
        found = runs.list_runs(request["JobName"])
        page: JsonObject = {"JobRuns": [run.record for run in found[start : start + size]]}
        if start + size < len(found):
            page["NextToken"] = str(start + size)
        return page

    def batch_stop_job_run(self, request: JsonObject) -> JsonObject:
        """Ask runs to stop; each ends as STOPPED within a moment."""
        name = request["JobName"]
        stopped: list[JsonObject] = []
        errors: list[JsonObject] = []
        for run_id in request["JobRunIds"]:
            try:
                _stop(_known(name, run_id))
                stopped.append({"JobName": name, "JobRunId": run_id})
            except ApiError as error:
                detail = {"ErrorCode": error.code, "ErrorMessage": str(error)}
                errors.append({"JobName": name, "JobRunId": run_id, "ErrorDetail": detail})
        return {"SuccessfulSubmissions": stopped, "Errors": errors}

    # --- A run ------------------------------------------------------------------------------------

    def _execute(self, job: JsonObject, run: JobRun, ended: Ended | None) -> None:
        """Run to the end, whatever it is, and tell it: record, logs, and the event that others wait for."""
        try:
            state, message = self._run_in_worker(job, run)
        except (LaunchError, RoleUnusableError) as error:
            state, message = "FAILED", f"LAUNCH ERROR | {error}"
        except Exception as error:  # the twin's own failure is the run's ERROR, as on AWS; never lost
            log.exception("The twin failed to run %s.", run.run_id)
            state, message = "ERROR", f"Internal service error: {type(error).__name__}"
        fields = {"ErrorMessage": message} if message else {}
        run.enter(state, ExecutionTime=round(time.time() - run.record["StartedOn"]), **fields)
        self._emit(run)
        if ended is not None:
            ended(state)

    def _run_in_worker(self, job: JsonObject, run: JobRun) -> tuple[str, str | None]:
        arguments = _merged_arguments(job, run)
        credentials = self._context.role_session(job["Role"], SESSION_NAME, "glue.amazonaws.com")
        with self._pool.worker() as worker:
            self._context.add_caller(credentials, worker.kill)
            self._context.deadlines[credentials["AWS_ACCESS_KEY_ID"]] = run.time_over.set
            directory = worker.directory / run.run_id
            (directory / "tmp").mkdir(parents=True)
            order = self._order(job, arguments, credentials, directory)
            if run.stop_requested.is_set():
                return "STOPPED", None
            worker.order(order)
            run.enter("RUNNING")
            outcome = _await_outcome(run, worker)
            self._put_logs(run, arguments.get("--custom-logGroup-prefix", "/aws-glue/jobs"), worker)
            bookmarks.keep(job["Name"], run.run_id, directory)
            shutil.rmtree(directory, ignore_errors=True)  # Spark may be deleting its part at this moment
        return outcome

    def _put_logs(self, run: JobRun, prefix: str, worker: WorkerProcess) -> None:
        run.record["LogGroupName"] = prefix
        for stream, group in (("stdout", "output"), ("stderr", "error")):
            self._context.put_logs(f"{prefix}/{group}", run.run_id, worker.output(stream)[-LOG_LINES:])

    def _order(
        self, job: JsonObject, arguments: dict[str, str], credentials: Credentials, directory: Path
    ) -> dict[str, Any]:
        """What the worker is told: the script and libraries fetched as the job's role, and the settings."""
        location = arguments.get("--scriptLocation", job["Command"]["ScriptLocation"])
        script = self._fetch(location, credentials, directory / "script.py")
        libraries = [
            str(self._fetch(url.strip(), credentials, directory / url.strip().rsplit("/", 1)[-1]))
            for url in arguments.get("--extra-py-files", "").split(",")
            if url.strip()
        ]
        conf = parse_conf(arguments.get("--conf", ""))
        _require_iceberg(conf, arguments)
        conf.setdefault("spark.app.name", job["Name"])
        return {
            "kind": "job",
            "script": str(script),
            "arguments": [text for pair in arguments.items() for text in pair],
            "python_path": libraries,
            "directory": str(directory),
            "credentials": credentials,
            "conf": self._machine.spark_conf(conf, directory),
        }

    def _fetch(self, url: str, credentials: Credentials, target: Path) -> Path:
        """Download one S3 object with the job's own permissions."""
        bucket, _, key = url.removeprefix("s3://").partition("/")
        try:
            stored = self._context.client("s3", credentials).get_object(Bucket=bucket, Key=key)
            target.write_bytes(stored["Body"].read())
        except ClientError as error:
            raise LaunchError(f"Cannot read {url}: {error.response['Error']['Code']}") from error
        return target

    def _emit(self, run: JobRun) -> None:
        """Tell EventBridge, as in ``.../glue/latest/dg/automating-awsglue-with-cloudwatch-events.html``."""
        record = run.record
        state = record["JobRunState"]
        endings = {"SUCCEEDED": "succeeded", "STOPPED": "stopped", "TIMEOUT": "timed out"}
        failed = f"JobName:{record['JobName']} and JobRunId:{run.run_id} failed to execute."
        detail = {
            "jobName": record["JobName"],
            "severity": EVENT_SEVERITY.get(state, "ERROR"),
            "state": state,
            "jobRunId": run.run_id,
            "message": f"Job run {endings[state]}" if state in endings else failed,
        }
        self._context.emit_event("aws.glue", "Glue Job State Change", detail)


def parse_conf(value: str) -> dict[str, str]:
    """Glue's one ``--conf`` argument, in whose value further ones are chained: ``a=b --conf c=d``."""
    conf: dict[str, str] = {}
    for setting in re.split(r"\s+--conf\s+", value.strip()):
        name, equals, text = setting.strip().partition("=")
        if setting and not equals:
            raise LaunchError(f"The --conf setting {name} has no value.")
        if setting:
            conf[name] = text.strip("'\"")
    return conf


def _require_iceberg(conf: dict[str, str], arguments: dict[str, str]) -> None:
    """Glue has Iceberg only for a job that names the format, while here it is always on the class path."""
    formats = arguments.get("--datalake-formats", "").split(",")
    if any("org.apache.iceberg" in value for value in conf.values()) and "iceberg" not in formats:
        raise LaunchError("Iceberg's classes need the argument --datalake-formats: iceberg.")


def _refuse_unsupported(job: JsonObject, request: JsonObject) -> None:
    if job["Command"].get("Name") != "glueetl":
        raise ApiError("InvalidInputException", "The twin runs glueetl jobs only.")
    if job.get("MaxRetries"):
        raise ApiError("InvalidInputException", "The twin does not retry runs: set MaxRetries to 0.")
    if request.get("JobRunId") or request.get("JobRunQueuingEnabled"):
        raise ApiError("InvalidInputException", "The twin neither resumes nor queues job runs.")
    if request.get("Timeout") is not None and request["Timeout"] <= 0:
        raise ApiError("InvalidInputException", "Timeout must be greater than 0.")


def _new_record(job: JsonObject, request: JsonObject) -> JsonObject:
    now = time.time()
    copied = {field: request.get(field) or job.get(field) for field in COPIED_FIELDS}
    return {
        "Id": runs.new_run_id(),
        "Attempt": 0,
        "JobName": job["Name"],
        "JobMode": "SCRIPT",
        "JobRunState": "STARTING",
        "StartedOn": now,
        "LastModifiedOn": now,
        "Arguments": request.get("Arguments") or {},
        "PredecessorRuns": [],
        "ExecutionTime": 0,
        "Timeout": request.get("Timeout") or job.get("Timeout") or DEFAULT_TIMEOUT_MINUTES,
        "LogGroupName": "/aws-glue/jobs",
        **{field: value for field, value in copied.items() if value},
    }


def _merged_arguments(job: JsonObject, run: JobRun) -> dict[str, str]:
    """The script's arguments: the job's defaults, the run's, and those of the job that no run may change."""
    return {
        **job.get("DefaultArguments", {}),
        **run.record["Arguments"],
        **job.get("NonOverridableArguments", {}),
        "--JOB_NAME": job["Name"],
        "--JOB_RUN_ID": run.run_id,
    }


def _await_outcome(run: JobRun, worker: WorkerProcess) -> tuple[str, str | None]:
    """Wait for the result, the timeout or a stop; the ending state and its error message."""
    deadline = time.monotonic() + run.record["Timeout"] * 60
    while not worker.done.wait(POLL_SECONDS):
        if run.stop_requested.is_set():
            worker.kill()
            return "STOPPED", None
        if time.monotonic() > deadline or run.time_over.is_set():
            worker.kill()
            return "TIMEOUT", None
    if not worker.reported:
        return "FAILED", f"Command failed with exit code {abs(worker.process.wait())}"
    return ("FAILED", worker.error) if worker.error else ("SUCCEEDED", None)


def _stop(run: JobRun) -> None:
    if run.record["JobRunState"] not in ("STARTING", "RUNNING"):
        state = run.record["JobRunState"]
        raise ApiError("InvalidInputException", f"Job run {run.run_id} cannot be stopped in state {state}")
    run.stop_requested.set()
    run.enter("STOPPING")


def _known(job_name: str, run_id: str) -> JobRun:
    try:
        return runs.get(job_name, run_id)
    except runs.RunUnknownError as error:
        raise ApiError("EntityNotFoundException", str(error)) from error
