"""Complete: write down what a run did, wake who follows, release the lease last. Safe to repeat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from . import lineage, writers
from .claim import find_plan
from .errors import ConditionFailed, LedgerInconsistent, ObjectMissing
from .lake import Lake
from .ledger import Ledger, head_key, pending_pointer, version_key
from .payloads import CompleteRequest, CompleteResult, RunRequest
from .store import Is, Item, Put, Update, Write
from .words import (
    CLAIMED,
    DELETED,
    MANIFEST_FILE,
    PENDING,
    PROMOTED,
    REFRESH_WRITER,
    REJECTED,
    REPORT_FILE,
    SUCCEEDED,
    SUPERSEDED,
    FileOutcome,
    GoldReport,
    MaintenanceReport,
    Manifest,
    SilverReport,
    run_prefix,
)

NO_FAILURES = {"failures": 0, "deaths": 0}
COUNTED = ("rows", "silver_rows", "quarantined_rows", "superseded_rows")
OUTCOME_ATTEMPTS = 5


def complete(lake: Lake, request: CompleteRequest) -> CompleteResult:
    """End a run from its report, if it still holds its lease; if it does not, only say how it ended.

    Raises ``StaleRun`` for a run that lost its lease without having been completed.
    """
    lease = writers.read(lake, request.writer)
    if lease.run_id != request.run_id:
        return _ended_before(lake, request, lease)
    result = settle(lake, request, lease)
    return with_next(lake, result, lease)


def with_next(lake: Lake, result: CompleteResult, lease: writers.Lease) -> CompleteResult:
    """Release the lease of a settled run, or hand it over. Maintenance proves nothing of files or models."""
    counters = {} if lease.maintaining else NO_FAILURES
    following = writers.finish(lake, result.writer, result.run_id, counters)
    return result.model_copy(update={"next": following})


def _ended_before(lake: Lake, request: CompleteRequest, lease: writers.Lease) -> CompleteResult:
    run = lake.ledger.run(request.writer, request.run_id)
    if not run or run["state"] != SUCCEEDED:
        writers.require(lake, request.writer, request.run_id)
    writers.start_unconfirmed(lake, lease)
    return _result(request, run or {}).model_copy(update={"next": lease.run_id})


def settle(lake: Lake, request: RunRequest, lease: writers.Lease) -> CompleteResult:
    """Everything of `complete` but the lease: outcomes, counts, lineage, the wake-up of refresh."""
    if lease.maintaining:
        counts = _settle_maintenance(lake, request)
    elif request.writer == REFRESH_WRITER:
        counts = _settle_refresh(lake, request)
    else:
        counts = _settle_promote(lake, request, lease)
        if counts["changed"]:
            lake.ledger.add_writer(REFRESH_WRITER, lake.stamp())
            writers.wake(lake, REFRESH_WRITER, 1)
    lake.ledger.end_run(request.writer, request.run_id, SUCCEEDED, counts, lake.stamp())
    return _result(request, counts)


def _result(request: RunRequest, counts: Item) -> CompleteResult:
    known = {name: value for name, value in counts.items() if name in CompleteResult.model_fields}
    base = {"run_id": request.run_id, "writer": request.writer, "dataset": request.dataset}
    return CompleteResult(**{**known, **base})


def read_report(lake: Lake, request: RunRequest) -> Any | None:
    """The run's report, or None."""
    return lake.operations.read(run_prefix(request.writer, request.run_id) + REPORT_FILE)


def read_manifest(lake: Lake, request: RunRequest) -> Any | None:
    """The run's manifest, or None."""
    return lake.operations.read(run_prefix(request.writer, request.run_id) + MANIFEST_FILE)


# --- promote ----------------------------------------------------------------------------------


def _settle_promote(lake: Lake, request: RunRequest, lease: writers.Lease) -> Item:
    manifest: Manifest | None = read_manifest(lake, request)
    if manifest is None:
        raise ObjectMissing(f"run {request.run_id} has no manifest")
    if not manifest["files"]:
        return {"changed": False, "promoted": 0}
    report: SilverReport | None = read_report(lake, request)
    if report is None:
        raise ObjectMissing(f"run {request.run_id} has no report")
    outcomes = _outcomes(manifest, report)
    _write_outcomes(lake, request, outcomes, lease.claimed_arrivals)
    plan_at, plan = find_plan(lake, manifest["assets_prefix"], request.dataset)
    if not plan_at:
        raise ObjectMissing(f"run {request.run_id} has a report and no plan")
    lineage.record_silver(lake, request, manifest, plan, report)
    return _silver_counts(report, outcomes)


def _outcomes(manifest: Manifest, report: SilverReport) -> list[FileOutcome]:
    """The report's outcomes in the manifest's order.

    Raises ``LedgerInconsistent`` unless they match one to one.
    """
    known = {(file["key"], file["version_id"]): file for file in report["files"]}
    wanted = [(file["key"], file["version_id"]) for file in manifest["files"]]
    if set(known) != set(wanted) or len(report["files"]) != len(wanted):
        raise LedgerInconsistent(f"the report of {report['run_id']} does not answer for the manifest's files")
    return [known[file] for file in wanted]


def _silver_counts(report: SilverReport, outcomes: list[FileOutcome]) -> Item:
    def files(state: str) -> int:
        return sum(outcome["outcome"] == state for outcome in outcomes)

    silver = report["silver"]
    promoted = [outcome for outcome in outcomes if outcome["outcome"] == PROMOTED]
    rows = {name: sum(_counts(outcome)[name] for outcome in promoted) for name in COUNTED}
    return {
        "promoted": len(promoted),
        "rejected": files(REJECTED),
        "superseded": files(SUPERSEDED),
        "deleted": files(DELETED),
        "waiting": files(PENDING),
        **rows,
        "changed": silver["rows_added"] + silver["rows_deleted"] > 0,
        "silver_snapshot_id": silver["snapshot_id"],
        "quarantine_snapshot_id": report["quarantine"]["snapshot_id"],
    }


def _counts(outcome: FileOutcome) -> dict[str, int]:
    return {
        "rows": outcome["rows"],
        "silver_rows": outcome["silver_rows"],
        "quarantined_rows": outcome["quarantined_rows"],
        "superseded_rows": outcome["superseded_rows"],
    }


def _write_outcomes(lake: Lake, request: RunRequest, outcomes: list[FileOutcome], arrivals: int) -> None:
    """Move the run's files out of CLAIMED. Whoever else completes the same run writes the same."""
    for _ in range(OUTCOME_ATTEMPTS):
        groups = list(_open_outcomes(lake, request, outcomes, arrivals))
        try:
            lake.ledger.write_all(groups)
        except ConditionFailed:
            continue
        return
    raise LedgerInconsistent(f"the files of {request.run_id} kept changing while it was completed")


def _open_outcomes(
    lake: Lake, request: RunRequest, outcomes: list[FileOutcome], arrivals: int
) -> Iterator[list[Write]]:
    items = lake.ledger.versions((outcome["key"], outcome["version_id"]) for outcome in outcomes)
    live = _live_sources(lake.ledger, outcomes)
    for outcome in outcomes:
        item = items.get((outcome["key"], outcome["version_id"]))
        if item is None:
            raise LedgerInconsistent(f"run {request.run_id} reports a file that the ledger does not know")
        if item["state"] == CLAIMED and item["run_id"] == request.run_id:
            yield _outcome_writes(request, outcome, item, live, arrivals, lake.stamp())


def _live_sources(ledger: Ledger, outcomes: Iterable[FileOutcome]) -> dict[str, list[str]]:
    """By key of a rejected file: which versions' rows lie in the tables so far."""
    keys = [outcome["key"] for outcome in outcomes if outcome["outcome"] == REJECTED]
    return {key: list(head.get("live_sources", [])) for key, head in ledger.heads(keys).items()}


def _outcome_writes(
    request: RunRequest,
    outcome: FileOutcome,
    item: Item,
    live: dict[str, list[str]],
    arrivals: int,
    now: str,
) -> list[Write]:
    """The version's new state; where rows were written, the source index and the head's ``live_sources``."""
    state, source = outcome["outcome"], outcome["source_version_id"] or ""
    changes: dict[str, Any] = {"state": state, "reason": outcome["reason"] or "", "updated_at": now}
    changes |= {"source_version_id": source, **_counts(outcome)}
    mine = (Is("state", CLAIMED), Is("run_id", request.run_id))
    writes: list[Write] = [Update(version_key(outcome["key"], outcome["version_id"]), changes, when=mine)]
    if state == PENDING:
        changes["split_group"] = ""
        return [*writes, _wait_again(request.dataset, item, arrivals)]
    if not source or state not in {PROMOTED, REJECTED}:
        return writes
    before = [] if state == PROMOTED else live.get(outcome["key"], [])
    if state == PROMOTED or outcome["quarantined_rows"]:
        writes.append(
            Update(
                head_key(outcome["key"]),
                {"live_sources": [*(one for one in before if one != source), source]},
            )
        )
    writes.append(
        Put(
            {
                "pk": f"SOURCES#{request.dataset}",
                "sk": source,
                "key": outcome["key"],
                "version_id": outcome["version_id"],
                "run_id": request.run_id,
            }
        )
    )
    return writes


def _wait_again(dataset: str, item: Item, arrivals: int) -> Put:
    """A file the run could not use yet (an incomplete snapshot) waits for something new to arrive."""
    return pending_pointer(
        dataset,
        item["key"],
        item["version_id"],
        item["size_bytes"],
        item["event_time"],
        attempts=item.get("attempts", 0),
        waits_past=arrivals,
    )


# --- refresh ----------------------------------------------------------------------------------


def _settle_refresh(lake: Lake, request: RunRequest) -> Item:
    report: GoldReport | None = read_report(lake, request)
    if report is None:
        return {"models": 0, "skipped": 0, "changed": False}
    lineage.record_gold(lake, request, report)
    return {
        "models": len(report["models"]),
        "skipped": len(report["skipped"]),
        "changed": bool(report["models"]),
    }


# --- maintenance ------------------------------------------------------------------------------


def _settle_maintenance(lake: Lake, request: RunRequest) -> Item:
    """What was done to the tables. Their rows are the same, so there is no lineage to record."""
    report: MaintenanceReport | None = read_report(lake, request)
    if report is None:
        return {"tables": 0}
    return {
        "tables": len(report["tables"]),
        "files_before": sum(table["files_before"] for table in report["tables"]),
        "files_after": sum(table["files_after"] for table in report["tables"]),
    }
