"""Claim: what a promote run will read. The first state of its execution, safe to repeat.

The manifest decides: once it is written, a repeated claim reads it and moves the same files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from . import writers
from .errors import ObjectMissing
from .lake import Lake
from .ledger import Pending, superseded, version_key
from .payloads import ClaimResult, RunRequest
from .store import AnyOf, Delete, Is, Item, Update, Write
from .words import (
    CLAIMED,
    MANIFEST_FILE,
    PENDING,
    PLAN_FILE,
    REPORT_FILE,
    Manifest,
    ManifestFile,
    plan_key,
    run_prefix,
)

GIB = 1024**3
BYTES_PER_WORKER = 2 * GIB
MAX_WORKERS = 50
MIN_WORKERS = 2
BASE_TIMEOUT_MINUTES = 20
BYTES_PER_WORKER_MINUTE = GIB // 8
"""A tenth of what a G.1X worker was seen to read, check and write in a minute."""


def claim(lake: Lake, request: RunRequest) -> ClaimResult:
    """Claim the files of a run. Raises ``StaleRun`` if the run has lost its lease."""
    lease = writers.confirm(lake, request.writer, request.run_id)
    prefix = run_prefix(request.writer, request.run_id)
    manifest: Manifest | None = lake.operations.read(prefix + MANIFEST_FILE)
    if manifest is None:
        manifest = _new_manifest(lake, request, lease)
    plan_at, plan = find_plan(lake, manifest["assets_prefix"], request.dataset)
    _record_run(lake, request, manifest, plan)
    _move(lake, request, manifest)
    size_bytes = sum(file["size_bytes"] for file in manifest["files"])
    workers = workers_for(size_bytes)
    return ClaimResult(
        run_id=request.run_id,
        writer=request.writer,
        dataset=request.dataset,
        claimed=len(manifest["files"]),
        size_bytes=size_bytes,
        manifest=prefix + MANIFEST_FILE,
        report=prefix + REPORT_FILE,
        plan=plan_at,
        assets_prefix=manifest["assets_prefix"],
        crawl=not plan_at,
        workers=workers,
        timeout_minutes=timeout_for(size_bytes, workers),
    )


def draft_plan_key(dataset: str) -> str:
    """Where the plan of a dataset without a contract is kept."""
    return f"drafts/{dataset}/{PLAN_FILE}"


def find_plan(lake: Lake, assets_prefix: str, dataset: str) -> tuple[str, Any]:
    """The key and content of a dataset's plan: from its contract, else drafted earlier, else ('', None)."""
    for key in (plan_key(assets_prefix, dataset), draft_plan_key(dataset)):
        plan = lake.operations.read(key)
        if plan is not None:
            return key, plan
    return "", None


def workers_for(size_bytes: int) -> int:
    """How many Glue workers a batch is given: one per two GiB and one for the driver, 2 to 50."""
    return max(MIN_WORKERS, min(MAX_WORKERS, 1 + -(-size_bytes // BYTES_PER_WORKER)))


def timeout_for(size_bytes: int, workers: int) -> int:
    """After how many minutes a job is given up."""
    return BASE_TIMEOUT_MINUTES + -(-size_bytes // (BYTES_PER_WORKER_MINUTE * (workers - 1)))


@dataclass(frozen=True)
class _Limits:
    files: int
    size_bytes: int


def _new_manifest(lake: Lake, request: RunRequest, lease: writers.Lease) -> Manifest:
    assets_prefix = lake.settings.assets_prefix
    _, plan = find_plan(lake, assets_prefix, request.dataset)
    chosen = _choose(lake, request.dataset, lease, _limits(lake, plan))
    heads = lake.ledger.heads(file.key for file in chosen)
    old = [file for file in chosen if heads[file.key]["version_id"] != file.version_id]
    _close_superseded(lake, request, old, heads)
    manifest: Manifest = {
        "run_id": request.run_id,
        "dataset": request.dataset,
        "assets_prefix": assets_prefix,
        "files": [_manifest_file(file, heads[file.key]) for file in chosen if file not in old],
    }
    key = run_prefix(request.writer, request.run_id) + MANIFEST_FILE
    if lake.operations.create(key, manifest):
        return manifest
    written: Manifest | None = lake.operations.read(key)
    if written is None:
        raise ObjectMissing(f"the manifest of {request.run_id} is neither new nor there")
    return written


def _limits(lake: Lake, plan: Any) -> _Limits:
    """A snapshot's group has to be judged whole, so nothing limits a batch of that mode."""
    if plan and plan["mode"] == "snapshot":
        return _Limits(files=10**9, size_bytes=10**18)
    return _Limits(files=lake.settings.max_batch_files, size_bytes=lake.settings.max_batch_bytes)


def _choose(lake: Lake, dataset: str, lease: writers.Lease, limits: _Limits) -> list[Pending]:
    """The files of the next batch: fresh ones, or one part of a batch that died, never both.

    After a failure the fresh ones go first, after a success a part does: neither holds up the other.
    """
    fresh_first = lease.deaths > 0
    for split in (not fresh_first, fresh_first):
        files = (file for file in lake.ledger.pending(dataset, split=split) if file.claimable(lease.arrivals))
        chosen = list(_within(_one_group(files), limits))
        if chosen:
            return chosen
    return []


def _one_group(files: Iterable[Pending]) -> Iterator[Pending]:
    group: str | None = None
    for file in files:
        group = file.split_group if group is None else group
        if file.split_group != group:
            return
        yield file


def _within(files: Iterable[Pending], limits: _Limits) -> Iterator[Pending]:
    """The first files up to the limits; a single file may be larger."""
    count = size_bytes = 0
    for file in files:
        count, size_bytes = count + 1, size_bytes + file.size_bytes
        if count > 1 and (count > limits.files or size_bytes > limits.size_bytes):
            return
        yield file


def _manifest_file(file: Pending, head: Item) -> ManifestFile:
    return {
        "key": file.key,
        "version_id": file.version_id,
        "size_bytes": file.size_bytes,
        "replaces": list(head.get("live_sources", [])),
    }


def _close_superseded(
    lake: Lake, request: RunRequest, old: Sequence[Pending], heads: dict[str, Item]
) -> None:
    now = lake.stamp()
    groups = [superseded(file, heads[file.key]["version_id"], request.run_id, now) for file in old]
    writers.write_fenced(lake, request.writer, request.run_id, groups)


def _record_run(lake: Lake, request: RunRequest, manifest: Manifest, plan: Any) -> None:
    details = {
        "kind": "promote",
        "dataset": request.dataset,
        "files": len(manifest["files"]),
        "size_bytes": sum(file["size_bytes"] for file in manifest["files"]),
        "assets_prefix": manifest["assets_prefix"],
        "mode": plan["mode"] if plan else "append",
    }
    lake.ledger.start_run(request.writer, request.run_id, details, lake.stamp())


def _move(lake: Lake, request: RunRequest, manifest: Manifest) -> None:
    """Move the manifest's files to CLAIMED and take their pending pointers away."""
    now = lake.stamp()
    groups = (_claimed(file, request.run_id, now) for file in _pointers(lake, request.dataset, manifest))
    writers.write_fenced(lake, request.writer, request.run_id, groups)


def _pointers(lake: Lake, dataset: str, manifest: Manifest) -> Iterator[Pending]:
    """The pending pointers of the manifest's files; stops at the last, since they are among the oldest."""
    wanted = {(file["key"], file["version_id"]) for file in manifest["files"]}
    for split in (False, True) if wanted else ():
        for file in lake.ledger.pending(dataset, split=split):
            if (file.key, file.version_id) in wanted:
                wanted.discard((file.key, file.version_id))
                yield file
            if not wanted:
                return


def _claimed(file: Pending, run_id: str, now: str) -> list[Write]:
    ours = (Is("state", CLAIMED), Is("run_id", run_id))
    changes = {"state": CLAIMED, "run_id": run_id, "updated_at": now}
    when = (AnyOf(((Is("state", PENDING),), ours)),)
    return [
        Update(version_key(file.key, file.version_id), changes, when=when),
        Delete((f"PENDING#{file.dataset}", file.sk)),
    ]
