"""``lakehouse demo``: the whole lakehouse on this machine, from an empty twin to Gold.

Every figure it prints is read from the lake through Athena's API; none is written here.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from lakehouse.words import quarantine_table
from lakehouse_cli import athena, output, progress, scheduled, tracing, twin_process, upload
from lakehouse_cli.commands.files import follow, upload_all
from lakehouse_cli.commands.status import TROUBLE, file_table
from lakehouse_cli.connection import Connection, Lake, TwinEndpoint, connect
from lakehouse_cli.errors import CommandError
from lakehouse_cli.sample import write_sample

MARKER = Path(".twin", "started-by-demo")
DEPLOY_LOG = Path(".twin", "deploy.log")
SAMPLE_FOLDER = Path(".twin", "flights-lake")
SHOWN_LOG_LINES = 15


QUESTIONS = (
    (
        "Which airlines flew most, and how late did they leave?",
        """SELECT carrier, carrier_name, sum(flights) AS flights,
       round(cast(sum(dep_delay_minutes) AS double) / sum(departures), 3) AS mean_dep_delay
FROM carrier_punctuality_daily
GROUP BY carrier, carrier_name
ORDER BY flights DESC
LIMIT 5""",
    ),
    (
        "What does bad sight cost?",
        """SELECT visibility, sum(flights) AS flights, sum(cancelled) AS cancelled,
       round(sum(mean_dep_delay * departures) / sum(departures), 1) AS mean_dep_delay
FROM delay_weather
GROUP BY visibility
ORDER BY mean_dep_delay DESC""",
    ),
    (
        "When were flights cancelled?",
        """SELECT month, sum(scheduled) AS scheduled, sum(cancelled) AS cancelled
FROM cancellations
GROUP BY GROUPING SETS ((month), ())
ORDER BY month""",
    ),
)

PEOPLE = (
    (
        "An analyst asks for tail numbers, which the contract calls restricted",
        "analyst",
        """SELECT tailnum, sum(flights) AS flights
FROM aircraft_monthly
GROUP BY tailnum""",
        True,
    ),
    (
        "The analyst of one airline asks how many aircraft each airline flew",
        "carrier-ua",
        """SELECT carrier, count(DISTINCT tailnum) AS aircraft, sum(flights) AS flights
FROM aircraft_monthly
GROUP BY carrier
ORDER BY carrier""",
        False,
    ),
)
"""Question, role, statement, and whether it has to be refused."""

TRACED = ("gold.carrier_punctuality_monthly", "mean_dep_delay", {"year": "2013", "month": "2"})


@dataclass
class Stopwatch:
    """How long each stage took, in order."""

    console: Console
    clock: Callable[[], float] = time.monotonic
    laps: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def stage(self, title: str) -> Any:
        """Print a heading, run the body, note its seconds."""
        self.console.print(Text(f"\n== {title}", style="bold cyan"))
        began = self.clock()
        yield
        self.laps.append((title, self.clock() - began))

    def total(self) -> float:
        """Seconds of all stages."""
        return sum(seconds for _, seconds in self.laps)


def run(root: Path, data: Path | None, port: int, *, down: bool, timeout_seconds: float) -> None:
    """Run the demo. Raises ``CommandError`` with what to do at the first thing that does not work."""
    console = output.stdout()
    watch = Stopwatch(console)
    with watch.stage("Start the twin: AWS on this machine, without an account and without Docker"):
        endpoint = _start_twin(root, port, console)
    with watch.stage("Deploy template.yaml with the SAM CLI"):
        lake = _deploy(root, console)
    with watch.stage("Put the files of the flights lake into Bronze"):
        stored = _put(lake, data or _sample(root), console)
    with watch.stage("Start the nightly intake, which alone takes in what a contract leaves to it"):
        _take_in_scheduled(lake, console)
    with watch.stage("Follow them to Silver and Gold"):
        _follow(lake, stored, console, timeout_seconds)
    with watch.stage("Count the rows of Silver, through Athena"):
        _show_counts(lake, console)
    with watch.stage("Ask Gold, through Athena"):
        _show_gold(lake, console)
    with watch.stage("Ask as people who may see less"):
        _show_access(lake, endpoint.account, console)
    with watch.stage("Ask where a figure comes from"):
        _show_lineage(lake, console)
    _show_times(watch)
    _close(root, endpoint, console, down=down)


def _start_twin(root: Path, port: int, console: Console) -> TwinEndpoint:
    """A fresh twin. One that an earlier demo left up is replaced, one that somebody else started is not."""
    before = twin_process.running(root)
    marker = root / MARKER
    if before is not None:
        if not marker.exists() or marker.read_text() != str(before.pid):
            raise CommandError(
                "A twin is up that the demo did not start, and the demo needs a fresh one. "
                "If you no longer need it: lakehouse twin down, then run the demo again."
            )
        console.print("The twin of the last demo is stopped first.")
        twin_process.stop(root)
    endpoint = twin_process.start(root, ["--port", str(port)])
    marker.write_text(str(endpoint.pid))
    console.print(f"It answers on {endpoint.endpoint}: TLS on, IAM enforced.")
    return endpoint


def _deploy(root: Path, console: Console) -> Lake:
    """Build and deploy; the SAM CLI's own output goes to a log."""
    log = root / DEPLOY_LOG
    command = [twin_process.interpreter(root), "-m", "twin", "deploy"]
    with log.open("wb") as out, _spinner("sam build, sam deploy"):
        done = subprocess.run(command, cwd=root, stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-SHOWN_LOG_LINES:])
        raise CommandError(f"The deployment failed (code {done.returncode}). The end of {log}:\n{tail}")
    lake = connect(None, twin=True)
    resources = _resource_count(lake.connection, lake.stack)
    console.print(f"Stack {lake.stack} is deployed: {resources} resources. The SAM CLI's words: {DEPLOY_LOG}")
    return lake


def _resource_count(connection: Connection, stack: str) -> int:
    """Resources of a stack and of the stacks nested in it."""
    client = connection.client("cloudformation")
    total = 0
    for page in client.get_paginator("list_stack_resources").paginate(StackName=stack):
        for resource in page["StackResourceSummaries"]:
            total += 1
            if resource["ResourceType"] == "AWS::CloudFormation::Stack":
                total += _resource_count(connection, resource["PhysicalResourceId"])
    return total


@contextmanager
def _spinner(what: str) -> Any:
    with progress.shown(what):
        yield


def _sample(root: Path) -> Path:
    folder = root / SAMPLE_FOLDER
    write_sample(folder)
    return folder


def _put(lake: Lake, folder: Path, console: Console) -> list[upload.Stored]:
    stored = upload_all(lake, upload.sources([folder], None, None))
    datasets: dict[str, list[upload.Stored]] = {}
    for item in stored:
        datasets.setdefault(item.dataset, []).append(item)
    rows = [
        (dataset, len(items), output.size(sum(item.size_bytes for item in items)), items[0].key)
        for dataset, items in sorted(datasets.items())
    ]
    console.print(output.table(None, ["dataset", "files", "size", "first key"], rows, right=["size"]))
    return stored


def _take_in_scheduled(lake: Lake, console: Console) -> None:
    """What the schedule does at night. What it finds is followed with all the rest."""
    names, workflow = ", ".join(scheduled.datasets(lake)), lake.name("ScheduledIntakeWorkflowName")
    console.print(f"Workflow {workflow} looks for new files of {names}: run {scheduled.start(lake)}")


def _follow(lake: Lake, stored: list[upload.Stored], console: Console, timeout_seconds: float) -> None:
    items = follow(lake, stored, timeout_seconds, console)
    trouble = [item for item in items if item["state"] in TROUBLE]
    if trouble:
        console.print(file_table("Files that did not get into Silver", trouble))
        raise CommandError(
            f"{len(trouble)} of {len(items)} files were refused; the reason stands beside each. "
            "The twin is left up: `lakehouse status --twin` and `lakehouse runs --twin` show more."
        )


def _tables(lake: Lake, database: str) -> list[str]:
    pages = lake.client("glue").get_paginator("get_tables").paginate(DatabaseName=database)
    return sorted(table["Name"] for page in pages for table in page["TableList"])


def _ask(lake: Lake, console: Console, sql: str, layer: str) -> athena.Result:
    """Show a statement, run it, show its rows."""
    console.print(Text(f"\n{sql}", style="dim"))
    found = athena.run(lake, sql, layer=layer)
    console.print(output.table(None, found.columns, found.rows))
    return found


def _show_counts(lake: Lake, console: Console) -> None:
    """One statement over all datasets the catalog holds."""
    tables = set(_tables(lake, lake.name("SilverDatabaseName")))
    datasets = sorted(name for name in tables if quarantine_table(name) in tables)
    if not datasets:
        raise CommandError("There is no Silver table. `lakehouse runs --twin` shows what the runs did.")
    # Names of our own catalog, which hold nothing but letters, digits and underscores.
    counts = [
        f"SELECT '{name}' AS dataset, (SELECT count(*) FROM {name}) AS silver_rows,\n"  # noqa: S608
        f"       (SELECT count(*) FROM {quarantine_table(name)}) AS quarantined_rows"
        for name in datasets
    ]
    _ask(lake, console, "\nUNION ALL ".join(counts) + "\nORDER BY dataset", "silver")


def _show_gold(lake: Lake, console: Console) -> None:
    for question, sql in QUESTIONS:
        console.print(Text(f"\n{question}", style="bold"))
        _ask(lake, console, sql, "gold")


def _show_access(lake: Lake, account: str, console: Console) -> None:
    """Ask as a role, in its own workgroup. Raises ``CommandError`` where what is closed is answered."""
    for question, role, sql, is_refused in PEOPLE:
        person = lake.connection.as_role(f"arn:aws:iam::{account}:role/{lake.stack}-{role}")
        theirs = Lake(lake.stack, {**lake.outputs, "WorkgroupName": f"{lake.stack}-{role}"}, person)
        console.print(Text(f"\n{question} ({lake.stack}-{role})", style="bold"))
        try:
            _ask(theirs, console, sql, "gold")
        except CommandError as refused:
            if not is_refused:
                raise
            console.print(Text(f"Refused: {refused}", style="yellow"))
        else:
            if is_refused:
                raise CommandError(f"{lake.stack}-{role} was let through where it has to be refused.")


def _show_lineage(lake: Lake, console: Console) -> None:
    table, column, partition = TRACED
    where = "/".join(f"{name}={value}" for name, value in partition.items())
    console.print(Text(f"lakehouse lineage {table} --column {column} --partition {where}\n", style="dim"))
    console.print(tracing.as_tree(tracing.find(lake, table, column, partition), every_file=False))


def _show_times(watch: Stopwatch) -> None:
    rows = [(title, output.duration(seconds)) for title, seconds in watch.laps]
    rows.append(("in all", output.duration(watch.total())))
    watch.console.print(output.table("Time taken", ["stage", "time"], rows, right=["time"]))


def _close(root: Path, endpoint: TwinEndpoint, console: Console, *, down: bool) -> None:
    if down:
        twin_process.stop(root)
        console.print("The twin is stopped.")
        return
    lines: Sequence[str] = (
        f"The twin is left up on {endpoint.endpoint} (account {endpoint.account}, {endpoint.region}).",
        "  look around      .venv/bin/lakehouse status --twin     (runs, query, lineage, put ... --twin)",
        '  any AWS tool     eval "$(.venv/bin/lakehouse twin env)"   then e.g.   aws s3 ls   or boto3',
        f"  by hand          AWS_ENDPOINT_URL={endpoint.endpoint} AWS_CA_BUNDLE={endpoint.ca_bundle}",
        f"                   AWS_REGION={endpoint.region} AWS_ACCESS_KEY_ID={endpoint.access_key}",
        f"                   AWS_SECRET_ACCESS_KEY={endpoint.secret_key}",
        "  stop it          .venv/bin/lakehouse twin down",
    )
    for line in lines:
        console.print(Text(line), soft_wrap=True)
