"""How long a one-megabyte file takes from put to queryable Gold in a warm twin, and where the time goes.

    make bench            # starts a twin with the flights lake unless one is up
    make bench ARGS="--rounds 5 --no-spark"

Times of the stages are those of the executions' own histories. Gold counts as queryable when the Gold job
has ended and a query through Athena's API, begun after that, has answered with the new figure. At the end the
same rows are read and written by bare Spark, in a session of its own, for a ratio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse.words import REFRESH_WRITER
from lakehouse_cli import athena, scheduled, twin_process, upload
from lakehouse_cli.commands.files import upload_all
from lakehouse_cli.connection import Lake, connect, project_root
from lakehouse_cli.sample import write_sample
from lakehouse_cli.watch import File, Step, Watch, ledger_of

ROOT = project_root()
FILE_BYTES = 1_000_000
MONTH = 3
SAMPLE = ROOT / ".twin" / "flights-lake"
BARE_SPARK = Path(__file__).with_name("bare_spark.py")
COUNT_SQL = f"SELECT sum(flights) FROM carrier_punctuality_daily WHERE month = {MONTH}"  # noqa: S608 - ours


@dataclass(frozen=True)
class Round:
    """Seconds of each stage in order, what the jobs said of themselves, and the whole."""

    stages: dict[str, float]
    silver_job: dict[str, float]
    gold_job: dict[str, float]
    spark_actions: int
    total: float


def main() -> int:
    """Run the rounds, print the table, compare with bare Spark."""
    options = _options()
    lake = _warm_lake()
    source = _one_megabyte()
    rows = sum(1 for _ in source.open()) - 1
    rounds = []
    for number in range(options.rounds):
        print(
            f"round {number + 1}: resting {options.rest} s, so that the twin has started JVMs in reserve",
            flush=True,
        )
        time.sleep(options.rest)
        rounds.append(_round(lake, source, number, rows))
        print(f"round {number + 1}: {rounds[-1].total:.1f} s", flush=True)
    _print(rounds, source.stat().st_size, rows)
    if options.spark:
        _compare(rounds, source)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the way of a one-megabyte file from put to Gold.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rest", type=float, default=60, help="seconds before each round (default 60)")
    parser.add_argument("--no-spark", dest="spark", action="store_false", help="leave out bare Spark")
    return parser.parse_args()


def _warm_lake() -> Lake:
    """The lake of the running twin, or of a new one; with the flights lake in it either way."""
    if twin_process.running(ROOT) is None:
        print("starting a twin, deploying, putting the flights lake ...", flush=True)
        twin_process.start(ROOT, [])
        deploy = [twin_process.interpreter(ROOT), "-m", "twin", "deploy"]
        subprocess.run(deploy, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    lake = connect(None, twin=True)
    ledger = ledger_of(lake)
    if "flights" not in ledger.datasets():
        write_sample(SAMPLE)
        stored = upload_all(lake, upload.sources([SAMPLE], None, None))
        scheduled.start(lake)
        files = [(item.dataset, item.key, item.version_id) for item in stored]
        Watch(lake, ledger, _unheard).until_files_are_through(files, 900)
    return lake


def _one_megabyte() -> Path:
    """The first megabyte of a month of flights, whole lines."""
    source = SAMPLE / "flights" / "year=2013" / f"month={MONTH}" / "flights.csv"
    if not source.exists():
        write_sample(SAMPLE)
    text = source.read_text()
    target = ROOT / ".twin" / "bench.csv"
    target.write_text(text[: text.rindex("\n", 0, FILE_BYTES) + 1])
    return target


def _round(lake: Lake, source: Path, number: int, rows: int) -> Round:
    before = _flights(lake)
    key = f"flights/year=2013/month={MONTH}/bench-{time.time_ns()}-{number}.csv"
    began = time.time()
    with source.open("rb") as body:
        bucket = lake.name("BronzeBucketName")
        version = lake.client("s3").put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]
    put = time.time()
    item = _through(lake, ("flights", key, version))
    asked = time.time()
    after = _flights(lake)
    answered = time.time() - asked
    if after != before + rows:
        raise SystemExit(f"Gold counts {after} flights, not {before + rows}: nothing was measured.")
    promote = _history(lake, "PromoteStateMachineArn", item["run_id"])
    refresh_id = _refresh_of(lake, promote["end"])
    refresh = _history(lake, "RefreshStateMachineArn", refresh_id)
    moments = {
        "put": put,
        "announce: event, queue, intake": promote["start"],
        "promote: claim, register": promote["RunSilver"],
        "promote: Silver job": promote["CompleteRun"],
        "promote: complete; refresh starts": refresh["start"],
        "refresh: plan": refresh["RunGold"],
        "refresh: Gold job": refresh["CompleteRun"],
    }
    stages, last = {}, began
    for name, moment in moments.items():
        stages[name], last = moment - last, moment
    stages["query through Athena"] = answered
    report = _report(lake, f"promote/flights/{item['run_id']}")
    gold_job = _report(lake, f"refresh/{refresh_id}")["seconds"]
    return Round(stages, report["seconds"], gold_job, report["spark_actions"], last - began + answered)


def _through(lake: Lake, file: File) -> dict[str, Any]:
    (item,) = Watch(lake, ledger_of(lake), _unheard).until_files_are_through([file], 300)
    if item["state"] != "PROMOTED":
        raise SystemExit(f"The file is {item['state']}: {item.get('reason')}")
    return item


def _unheard(step: Step) -> None:
    """Nobody watches."""


def _flights(lake: Lake) -> int:
    return int(str(athena.run(lake, COUNT_SQL).rows[0][0]))


def _history(lake: Lake, machine: str, run_id: str) -> dict[str, float]:
    """Moments (epoch seconds) at which an execution began, entered its tasks, and ended."""
    client = lake.client("stepfunctions")
    arn = lake.name(machine).replace(":stateMachine:", ":execution:") + f":{run_id}"
    described = client.describe_execution(executionArn=arn)
    moments = {"start": described["startDate"].timestamp(), "end": described["stopDate"].timestamp()}
    for event in client.get_execution_history(executionArn=arn, maxResults=1000)["events"]:
        if event["type"] == "TaskStateEntered":
            moments[event["stateEnteredEventDetails"]["name"]] = event["timestamp"].timestamp()
    return moments


def _refresh_of(lake: Lake, promoted: float) -> str:
    """The refresh that saw the file: the last one that made models."""
    for run in ledger_of(lake).runs(REFRESH_WRITER):
        if run.get("models"):
            return str(run["sk"]).removeprefix("RUN#")
    raise SystemExit(f"No refresh made a model after {promoted}.")


def _report(lake: Lake, run: str) -> dict[str, Any]:
    key = f"runs/{run}/report.json"
    body = lake.client("s3").get_object(Bucket=lake.name("OperationsBucketName"), Key=key)["Body"]
    report: dict[str, Any] = json.loads(body.read())
    return report


def _print(rounds: list[Round], size_bytes: int, rows: int) -> None:
    print(f"\n{size_bytes:,} bytes, {rows:,} rows; seconds, median of {len(rounds)} and the best\n")
    names = list(rounds[0].stages)
    for name in names:
        seconds = [each.stages[name] for each in rounds]
        print(f"  {name:<36}{statistics.median(seconds):7.2f}{min(seconds):7.2f}")
    totals = [each.total for each in rounds]
    print(f"  {'put to queryable Gold':<36}{statistics.median(totals):7.2f}{min(totals):7.2f}")
    best = min(rounds, key=lambda each: sum(each.silver_job.values()))
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in best.silver_job.items())
    print(f"\nWithin the best Silver job: {parts}; {best.spark_actions} Spark actions")
    best = min(rounds, key=lambda each: each.gold_job["total"])
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in best.gold_job.items())
    print(f"Within the best Gold job, models side by side: {parts}")


def _compare(rounds: list[Round], source: Path) -> None:
    """Bare Spark in a fresh process: its session is warmed up by the same work on other rows."""
    done = subprocess.run(
        [sys.executable, str(BARE_SPARK), str(source)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"Bare Spark failed:\n{done.stderr[-2000:]}")
    bare: list[float] = json.loads(done.stdout.splitlines()[-1])
    ours = min(sum(each.silver_job.values()) for each in rounds)
    first, later = bare[0], min(bare[1:])
    print(f"\nBare Spark, same read and Iceberg write: {first:.2f} s first in a session, {later:.2f} s later")
    print(f"The Silver job, its first work in a warm JVM: {ours:.2f} s, {ours / first:.1f} and", end=" ")
    print(f"{ours / later:.1f} times that")


if __name__ == "__main__":
    raise SystemExit(main())
