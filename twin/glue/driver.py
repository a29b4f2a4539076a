"""The Python processes of Glue jobs, on a worker's JVM. Started by ``worker.py``, never imported.

Each job has a process of its own, forked from this one, so that it finds PySpark and boto3 imported and
nothing else; it connects to the JVM ahead of its job and waits. Only the standard library and PySpark are
used, since the interpreter sees nothing but what Glue has.

Standard input carries, for each job, an empty line that asks for its process, and then the job as one JSON
line. Progress goes out as JSON lines on the file descriptor named by the first argument; the processes' exit
codes, one a line, on the one named by the second.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import traceback
from typing import IO, Any, NoReturn

import boto3  # noqa: F401 - every job of ours needs it, and its import takes half a second
from py4j.protocol import Py4JJavaError
from pyspark import SparkContext
from pyspark.errors.exceptions.captured import AnalysisException, CapturedException, ParseException
from pyspark.java_gateway import launch_gateway
from pyspark.sql import functions  # noqa: F401 - likewise

ERROR_CHARACTERS = 1024
GATEWAY_VARIABLES = ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET")


def run(job: dict[str, Any]) -> str | None:
    """Run the job's script as ``__main__``; its error as one line, or None."""
    for descriptor in (1, 2):
        os.ftruncate(descriptor, 0)  # what the warm-up or an earlier job wrote is not this job's
    os.environ.update(job["credentials"])
    sys.path[:0] = job["python_path"]
    sys.argv = [job["script"], *job["arguments"]]
    os.chdir(job["directory"])
    try:
        runpy.run_path(job["script"], run_name="__main__")
    except SystemExit as stop:
        return None if stop.code in (None, 0) else f"SystemExit: {stop.code}"
    except BaseException as error:  # noqa: BLE001 - the script's result, which the twin is told
        traceback.print_exc()
        return describe(error)
    return None


def describe(error: BaseException) -> str:
    """Type and first line of an error, for the run's ErrorMessage.

    What Spark says about a row while it runs may quote it, so only its error class or the Java class is told.
    """
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    if isinstance(error, Py4JJavaError):
        root = error.java_exception
        while (cause := root.getCause()) is not None:
            root = cause
        text += f" ({root.getClass().getName()})"
    elif isinstance(error, CapturedException) and not isinstance(error, AnalysisException | ParseException):
        text = f"[{error.getErrorClass() or 'UNCLASSIFIED'}]"
    return f"{type(error).__name__}: {text}"[:ERROR_CHARACTERS]


def serve(orders: IO[bytes], report: IO[str]) -> NoReturn:
    """Connect, wait for the job, run it, report, and leave the JVM without a Spark session."""
    # Connects to the worker's JVM, which the variables name.
    gateway: Any = launch_gateway()  # type: ignore[no-untyped-call]
    SparkContext._gateway, SparkContext._jvm = gateway, gateway.jvm
    for name in GATEWAY_VARIABLES:
        del os.environ[name]
    line = orders.readline()
    if not line:
        os._exit(0)
    error = run(json.loads(line))
    sys.stdout.flush()
    sys.stderr.flush()
    report.write(json.dumps({"event": "done", "error": error}) + "\n")
    if SparkContext._active_spark_context is not None:
        SparkContext._active_spark_context.stop()
    os._exit(0)


def main() -> None:
    """Fork a process for each job that is asked for, and tell how it ended."""
    # Without a buffer, in which the job of the process that is being forked could be caught.
    orders = os.fdopen(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
    report, ended = (os.fdopen(int(descriptor), "w", buffering=1) for descriptor in sys.argv[1:3])
    while orders.readline():
        child = os.fork()
        if child == 0:
            try:
                serve(orders, report)
            finally:
                traceback.print_exc()
                os._exit(1)
        _, status = os.waitpid(child, 0)
        ended.write(f"{os.waitstatus_to_exitcode(status)}\n")


if __name__ == "__main__":
    main()
