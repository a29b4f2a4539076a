"""One Python process with one JVM that runs one Glue job. Started by ``twin.glue.workers``, never imported.

It starts the JVM, warms it up step by step, and waits; a job that arrives meanwhile cuts the warm-up short.
So a run without a ready reserve takes the same way. Only the standard library and PySpark are used, since
the interpreter sees nothing but what Glue has.

Standard input carries JSON lines (a warm-up at most, then the job), and its end means that the twin is gone.
Progress goes out as JSON lines on the file descriptor named by the first argument.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import sys
import threading
import traceback
from typing import Any, NoReturn

from py4j.protocol import Py4JJavaError
from pyspark import SparkContext
from pyspark.errors.exceptions.captured import AnalysisException, CapturedException, ParseException
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

CREDENTIAL_PROPERTIES = {
    "aws.accessKeyId": "AWS_ACCESS_KEY_ID",
    "aws.secretAccessKey": "AWS_SECRET_ACCESS_KEY",
    "aws.secretKey": "AWS_SECRET_ACCESS_KEY",  # the name S3A's older SDK reads
    "aws.sessionToken": "AWS_SESSION_TOKEN",
}
ERROR_CHARACTERS = 1024


class Worker:
    """The process's JVM, and the line to the twin."""

    def __init__(self, report_fd: int) -> None:
        self._report = os.fdopen(report_fd, "w", buffering=1)
        self._gateway: Any = launch_gateway()  # type: ignore[no-untyped-call]
        SparkContext._gateway = self._gateway
        SparkContext._jvm = self._gateway.jvm
        self._system = self._gateway.jvm.java.lang.System

    def tell(self, event: str, **details: object) -> None:
        """Report one event to the twin."""
        self._report.write(json.dumps({"event": event, **details}) + "\n")

    def configure(self, credentials: dict[str, str], conf: dict[str, str]) -> None:
        """Be somebody, with the given ``spark.*`` settings, in the JVM and in Python."""
        for name in list(self._system.getProperties().stringPropertyNames()):
            if name.startswith("spark."):
                self._system.clearProperty(name)
        for name, value in conf.items():
            self._system.setProperty(name, value)
        for name, variable in CREDENTIAL_PROPERTIES.items():
            if credentials.get(variable):
                self._system.setProperty(name, credentials[variable])
            else:
                self._system.clearProperty(name)
        os.environ.update(credentials)

    def warm_up(self, order: dict[str, Any]) -> None:
        """Take the job's own way through Spark, Iceberg and S3 once, until done or until a job waits."""
        self.configure(order["credentials"], order["conf"])
        spark: SparkSession | None = None
        steps = runpy.run_path(order["script"])["steps"]
        for step in steps():
            if job_waits():
                break
            spark = SparkSession.builder.getOrCreate() if spark is None else spark
            step(spark)
        if spark is not None:
            spark.stop()
            self._gateway.jvm.org.apache.hadoop.fs.FileSystem.closeAll()

    def run(self, job: dict[str, Any]) -> str | None:
        """Run the job's script as ``__main__``; its error as one line, or None."""
        for descriptor in (1, 2):
            os.ftruncate(descriptor, 0)  # what the warm-up wrote is not the job's
        self.configure(job["credentials"], job["conf"])
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

    def close_jvm(self) -> None:
        """End the JVM in the normal way (it writes its class archive at its exit)."""
        self._gateway.proc.stdin.close()
        self._gateway.proc.wait()


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


def job_waits() -> bool:
    """Whether the job is there already (or the twin is gone)."""
    return bool(select.select([0], [], [], 0)[0])


def die_with_the_twin() -> None:
    """Once the job is read, standard input ends only when the twin does: end the whole process group then."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def read_line() -> dict[str, Any] | None:
    """The next JSON line of standard input, read without buffering (``select`` must see what is left)."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return None
        line += byte
    order: dict[str, Any] = json.loads(line)
    return order


def main() -> NoReturn:
    """Warm up if told so, run one job, report, and wait for the end."""
    worker = Worker(int(sys.argv[1]))
    worker.tell("started")
    order = read_line()
    if order is not None and order["kind"] == "warm-up":
        worker.warm_up(order)
        worker.tell("ready")
        if order["archive"]:
            worker.close_jvm()
            os._exit(0)
        order = read_line()
    if order is None:
        os._exit(0)
    die_with_the_twin()
    worker.tell("running")
    error = worker.run(order)
    sys.stdout.flush()
    sys.stderr.flush()
    worker.tell("done", error=error)
    signal.pause()  # the twin ends this process group
    os._exit(1)


if __name__ == "__main__":
    main()
