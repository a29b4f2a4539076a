"""One JVM that runs Glue jobs one after another. Started by ``twin.glue.workers``, never imported.

It starts the JVM, warms it up step by step, and waits; a job that arrives meanwhile cuts the warm-up short.
So a run without a ready reserve takes the same way. Each job gets a Python process (forked by ``driver.py``)
and a Spark session of its own; compiled code is all that one job leaves to the next. Only the standard
library and PySpark are used, since the interpreter sees nothing but what Glue has.

Standard input carries JSON lines (a warm-up at most, then jobs), and its end means that the twin is gone.
Progress goes out as JSON lines on the file descriptor named by the first argument.
"""

from __future__ import annotations

import json
import os
import queue
import runpy
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from pyspark import SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

CREDENTIAL_PROPERTIES = {
    "aws.accessKeyId": "AWS_ACCESS_KEY_ID",
    "aws.secretAccessKey": "AWS_SECRET_ACCESS_KEY",
    "aws.secretKey": "AWS_SECRET_ACCESS_KEY",  # the name S3A's older SDK reads
    "aws.sessionToken": "AWS_SESSION_TOKEN",
}
DRIVER = Path(__file__).with_name("driver.py")


class Worker:
    """The JVM, and the line to the twin."""

    def __init__(self, report_fd: int) -> None:
        self._report_fd = report_fd
        self._report = os.fdopen(report_fd, "w", buffering=1)
        self._gateway: Any = launch_gateway()  # type: ignore[no-untyped-call]
        SparkContext._gateway = self._gateway
        SparkContext._jvm = self._gateway.jvm
        self._system = self._gateway.jvm.java.lang.System
        self._driver, self._ended = self._start_driver()
        self._ask_for_process()

    def tell(self, event: str, **details: object) -> None:
        """Report one event to the twin."""
        self._report.write(json.dumps({"event": event, **details}) + "\n")

    def configure(self, credentials: dict[str, str], conf: dict[str, str]) -> None:
        """Be somebody, with the given ``spark.*`` settings, in the JVM."""
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

    def warm_up(self, order: dict[str, Any], orders: queue.Queue[dict[str, Any]]) -> None:
        """Take the job's own way through Spark, Iceberg and S3 once, until done or until a job waits."""
        self.configure(order["credentials"], order["conf"])
        os.environ.update(order["credentials"])
        spark: SparkSession | None = None
        steps = runpy.run_path(order["script"])["steps"]
        for step in steps():
            if not orders.empty():
                break
            spark = SparkSession.builder.getOrCreate() if spark is None else spark
            step(spark)
        if spark is not None:
            spark.stop()
        self._clean()
        for name in order["credentials"]:
            del os.environ[name]

    def run(self, job: dict[str, Any]) -> None:
        """Have the process that waits run a job. If it dies instead of reporting, so does this worker."""
        self.configure(job["credentials"], job["conf"])
        known = set(self._objects().keySet())
        self._order(json.dumps(job).encode())
        code = int(self._ended.readline() or self._driver.wait())
        if code != 0:
            os._exit(code if code > 0 else 128 - code)
        self._objects().keySet().retainAll(known)
        self._clean()
        self._ask_for_process()

    def close_jvm(self) -> None:
        """End the JVM in the normal way (it writes its class archive at its exit)."""
        self._driver.kill()
        self._gateway.proc.stdin.close()
        self._gateway.proc.wait()

    def _ask_for_process(self) -> None:
        """Let the driver fork the process of the next job, which connects to the JVM and waits."""
        self._order(b"")

    def _order(self, line: bytes) -> None:
        orders = cast("IO[bytes]", self._driver.stdin)
        with suppress(BrokenPipeError):  # it has died before; its exit code says how
            orders.write(line + b"\n")
            orders.flush()

    def _start_driver(self) -> tuple[subprocess.Popen[bytes], IO[str]]:
        """The process that forks the jobs' own, and the pipe on which it says how each ended."""
        parameters = self._gateway.java_parameters
        environment = {
            **os.environ,
            "PYSPARK_GATEWAY_PORT": str(parameters.port),
            "PYSPARK_GATEWAY_SECRET": parameters.auth_token,
        }
        read_fd, write_fd = os.pipe()
        command = [sys.executable, "-S", "-P", "-u", str(DRIVER), str(self._report_fd), str(write_fd)]
        descriptors = (self._report_fd, write_fd)
        driver = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, pass_fds=descriptors)
        os.close(write_fd)
        return driver, os.fdopen(read_fd)

    def _objects(self) -> Any:
        """What the JVM keeps for its Python processes, by name; an ended one cannot give its own back."""
        return self._gateway.java_gateway_server.getGateway().getBindings()

    def _clean(self) -> None:
        """Close what holds on to a job's credentials: Hadoop's cached file systems."""
        self._gateway.jvm.org.apache.hadoop.fs.FileSystem.closeAll()


def read_orders(orders: queue.Queue[dict[str, Any]]) -> None:
    """Follow standard input on a thread; its end is the end of the whole process group."""
    for line in sys.stdin:
        orders.put(json.loads(line))
    os.killpg(0, signal.SIGKILL)


def main() -> NoReturn:
    """Warm up if told so, then run jobs until the twin kills this process group."""
    orders: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=read_orders, args=(orders,), daemon=True).start()
    worker = Worker(int(sys.argv[1]))
    worker.tell("started")
    while True:
        order = orders.get()
        if order["kind"] == "job":
            worker.run(order)
        else:
            worker.warm_up(order, orders)
            if order["archive"]:
                worker.close_jvm()
                os._exit(0)
        worker.tell("ready")


if __name__ == "__main__":
    main()
