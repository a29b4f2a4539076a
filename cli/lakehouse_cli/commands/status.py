"""``lakehouse status``, ``runs`` and ``wait``: where everything stands."""

from __future__ import annotations

import heapq
from collections import Counter
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from lakehouse.adapters.operations import S3Operations
from lakehouse.freshness import judge, read_limits
from lakehouse.ledger import Ledger, lease_key
from lakehouse.payloads import DatasetFreshness
from lakehouse.store import Item
from lakehouse.words import REFRESH_WRITER, promote_writer
from lakehouse.writers import Lease, dataset_of
from lakehouse_cli import output, progress
from lakehouse_cli.connection import Lake, connect
from lakehouse_cli.errors import NotFoundError
from lakehouse_cli.options import AsJson, OnTwin, Stack, Timeout
from lakehouse_cli.watch import Watch, label, ledger_of, outcome

TROUBLE = ("REJECTED", "FAILED", "IGNORED")


def status(
    dataset: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One dataset, with the state of its files.")
    ] = None,
    as_json: AsJson = False,
    stack: Stack = None,
    twin: OnTwin = False,
) -> None:
    """Show every dataset and Gold: what waits, what runs, how the last run ended."""
    lake = connect(stack, twin=twin)
    ledger = ledger_of(lake)
    if dataset is not None:
        _show_dataset(lake, ledger, dataset, as_json=as_json)
        return
    writers = [writer_status(ledger, writer) for writer in sorted(ledger.writers(), key=_gold_last)]
    writers = _with_freshness(writers, freshness_of(lake, ledger)) if writers else []
    if as_json:
        output.print_json({"stack": lake.stack, "writers": writers})
        return
    if not writers:
        output.note("The lake has seen no file yet. Put one: lakehouse put FILE --dataset NAME")
        return
    promised = any(w["freshness"] for w in writers)
    rows = [
        (
            w["name"],
            w["state"],
            w["pending"],
            w["run_id"] or None,
            *_last_run(w["last_run"]),
            w["reason"] or None,
            *([age_text(w["freshness"])] if promised else []),
        )
        for w in writers
    ]
    columns = ["name", "state", "pending", "running", "last run", "ended", "took", "outcome", "why it waits"]
    columns += ["age"] if promised else []
    output.stdout().print(output.table(f"Lake {lake.stack}", columns, rows, right=["took"]))


def freshness_of(lake: Lake, ledger: Ledger) -> dict[str, DatasetFreshness]:
    """Of every dataset whose contract says how often files come: how old it is."""
    operations = S3Operations(lake.client("s3"), lake.name("OperationsBucketName"))
    limits = read_limits(operations, lake.name("AssetsPrefix"))
    return {each.dataset: each for each in judge(ledger, limits, datetime.now(UTC)).datasets}


def _with_freshness(
    writers: list[dict[str, Any]], found: dict[str, DatasetFreshness]
) -> list[dict[str, Any]]:
    ages = {name: each.model_dump(exclude={"dataset"}) for name, each in found.items()}
    return [{**writer, "freshness": ages.get(writer["dataset"])} for writer in writers]


def age_text(found: dict[str, Any] | None) -> str | None:
    """How old a dataset is, against what its contract promises."""
    if found is None:
        return None
    limit = output.long_duration(found["limit_seconds"])
    if found["age_seconds"] is None:
        return f"nothing yet (of {limit})"
    return f"{output.long_duration(found['age_seconds'])} of {limit}{', STALE' if found['stale'] else ''}"


def _gold_last(writer: str) -> tuple[bool, str]:
    return writer == REFRESH_WRITER, writer


def writer_status(ledger: Ledger, writer: str) -> dict[str, Any]:
    """One line of ``status``, as ``--json`` prints it."""
    lease = Lease.of(writer, ledger.store.get(lease_key(writer)))
    dataset = dataset_of(writer)
    last = next((run for run in ledger.runs(writer) if run["state"] != "RUNNING"), None)
    return {
        "name": label(writer),
        "dataset": dataset or None,
        "state": lease.state,
        "pending": sum(1 for _ in ledger.pending(dataset)) if dataset else None,
        "run_id": lease.run_id,
        "not_before": lease.not_before or None,
        "reason": lease.reason,
        "last_run": run_json(writer, last) if last else None,
    }


def run_json(writer: str, run: Item) -> dict[str, Any]:
    """A run as ``--json`` prints it: the ledger's item without its keys."""
    return {"writer": writer, "run_id": run["sk"].removeprefix("RUN#")} | {
        name: value for name, value in run.items() if name not in ("pk", "sk")
    }


def _last_run(run: dict[str, Any] | None) -> tuple[object, ...]:
    if run is None:
        return (None, None, None, None)
    return run["state"], moment(run.get("ended_at")), took(run), outcome(run)


def moment(text: str | None) -> datetime | None:
    """A time of the ledger."""
    return datetime.fromisoformat(text) if text else None


def took(run: Item) -> str | None:
    """How long a run took."""
    begun, ended = moment(run.get("started_at")), moment(run.get("ended_at"))
    return output.duration((ended - begun).total_seconds()) if begun and ended else None


def _show_dataset(lake: Lake, ledger: Ledger, dataset: str, *, as_json: bool) -> None:
    files = list(ledger.files(dataset))
    if not files:
        raise NotFoundError(f"The ledger knows no file of {dataset}. `lakehouse status` lists the datasets.")
    [found] = _with_freshness([writer_status(ledger, promote_writer(dataset))], freshness_of(lake, ledger))
    states = Counter(str(item["state"]) for item in files)
    trouble = [item for item in files if item["state"] in TROUBLE]
    if as_json:
        listed = {"files": dict(states), "trouble": [file_json(item) for item in trouble]}
        output.print_json({"stack": lake.stack, **found, **listed})
        return
    output.stdout().print(output.table(f"Files of {dataset}", ["state", "files"], sorted(states.items())))
    if age := age_text(found["freshness"]):
        output.stdout().print(f"Age: {age}")
    if trouble:
        output.stdout().print(file_table("Not in Silver", trouble))


def file_json(item: Item) -> dict[str, Any]:
    """An object version as ``--json`` prints it."""
    names = (
        "dataset",
        "key",
        "version_id",
        "state",
        "reason",
        "run_id",
        "attempts",
        "size_bytes",
        "event_time",
    )
    counts = ("rows", "silver_rows", "quarantined_rows", "superseded_rows")
    return {name: item.get(name) for name in (*names, *counts)}


def file_table(title: str, items: list[Item]) -> Any:
    """Object versions with their outcome."""
    columns = ["key", "state", "rows", "silver", "quarantined", "superseded", "reason"]
    rows = [
        (
            item["key"],
            item["state"],
            *(item.get(name) for name in ("rows", "silver_rows", "quarantined_rows", "superseded_rows")),
            item.get("reason") or None,
        )
        for item in items
    ]
    return output.table(title, columns, rows)


def runs(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A dataset, or gold.")] = None,
    limit: Annotated[int, typer.Option(help="Show at most so many, the newest first.", min=1)] = 20,
    as_json: AsJson = False,
    stack: Stack = None,
    twin: OnTwin = False,
) -> None:
    """List the newest runs: what they did, how long they took, why they failed."""
    lake = connect(stack, twin=twin)
    ledger = ledger_of(lake)
    found = newest_runs(ledger, writers_named(ledger, name), limit)
    if as_json:
        output.print_json({"stack": lake.stack, "runs": found})
        return
    rows = [
        (
            run["run_id"],
            label(run["writer"]),
            run.get("kind"),
            run["state"],
            moment(run.get("started_at")),
            took(run),
            outcome(run),
        )
        for run in found
    ]
    columns = ["run", "name", "kind", "state", "started", "took", "outcome"]
    output.stdout().print(output.table(None, columns, rows, right=["took"]))


def writers_named(ledger: Ledger, name: str | None) -> list[str]:
    """The writer of a dataset, of Gold, or all. Raises ``NotFoundError`` for an unknown name."""
    known = ledger.writers()
    if name is None:
        return known
    wanted = REFRESH_WRITER if name in ("gold", REFRESH_WRITER) else promote_writer(name)
    if wanted not in known:
        raise NotFoundError(f"The lake has never seen {name}. `lakehouse status` lists what it knows.")
    return [wanted]


def newest_runs(ledger: Ledger, writers: list[str], limit: int) -> list[dict[str, Any]]:
    """The newest runs of some writers together, newest first."""
    each = [(run_json(writer, run) for run in ledger.runs(writer)) for writer in writers]
    merged = heapq.merge(*each, key=lambda run: str(run.get("started_at", "")), reverse=True)
    return list(islice(merged, limit))


def wait(
    timeout: Timeout = 1800,
    stack: Stack = None,
    twin: OnTwin = False,
) -> None:
    """Wait until no file waits and nothing runs. Exit code 4 when that takes too long.

    A file that was put a moment ago may not be known yet: `put --wait` waits for what it put.
    """
    lake = connect(stack, twin=twin)
    with progress.shown("waiting until all is done") as tell:
        Watch(lake, ledger_of(lake), tell).until_at_rest(timeout)
    output.note(f"Nothing waits and nothing runs ({datetime.now(UTC):%H:%M:%S} UTC).")
