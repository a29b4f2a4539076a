"""Plan: what a refresh or maintenance run will look at. The first state of its execution, safe to repeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import writers
from .errors import ObjectMissing
from .lake import Lake
from .payloads import MaintenancePlan, PlanResult, RunRequest
from .words import (
    INDEX_FILE,
    MAINTENANCE,
    MANIFEST_FILE,
    REFRESH_WRITER,
    REPORT_FILE,
    AssetsIndex,
    DatasetPlan,
    GoldManifest,
    MaintenanceManifest,
    MaintenanceTargets,
    plan_key,
    quarantine_table,
    run_prefix,
)

WORKERS = 4
TIMEOUT_MINUTES = 120
MAINTENANCE_TIMEOUT_MINUTES = 480

TARGET_FILE_BYTES = 256 * 1024**2
MAXIMUM_DELAY_DAYS = 30
"""So long a commit that brought files waits for maintenance, where the contract says nothing."""
MIN_INPUT_FILES = 2
"""Two small files of a partition are joined: whether the table was worth a run is decided before."""
ORPHAN_DAYS = 3
"""A file that no snapshot knows may belong to a commit under way, unless it is as old as this."""
STATISTICS_BYTES = 64 * 1024**3
"""Counting values reads a table whole, whenever maintenance finds new rows: up to here in a few minutes."""


def plan(lake: Lake, request: RunRequest) -> PlanResult | MaintenancePlan:
    """Confirm the lease and write the run's manifest. Raises ``StaleRun`` if the run has lost its lease."""
    lease = writers.confirm(lake, request.writer, request.run_id)
    return _maintenance(lake, request) if lease.maintaining else _refresh(lake, request)


def _refresh(lake: Lake, request: RunRequest) -> PlanResult:
    """Every model, in dependency order; the job itself finds which ones are up to date."""
    manifest: GoldManifest = _once(lake, request, lambda: _gold_manifest(lake, request))
    counts = {"files": 0, "models": len(manifest["models"])}
    _record(lake, request, {"kind": "refresh", **counts, "assets_prefix": manifest["assets_prefix"]})
    prefix = run_prefix(request.writer, request.run_id)
    return PlanResult(
        run_id=request.run_id,
        writer=request.writer,
        models=len(manifest["models"]),
        manifest=prefix + MANIFEST_FILE,
        report=prefix + REPORT_FILE,
        assets_prefix=manifest["assets_prefix"],
        workers=WORKERS,
        timeout_minutes=TIMEOUT_MINUTES,
    )


def _maintenance(lake: Lake, request: RunRequest) -> MaintenancePlan:
    """Every table the writer may have; the job itself finds which are there and what they need."""
    manifest: MaintenanceManifest = _once(lake, request, lambda: _maintenance_manifest(lake, request))
    _record(lake, request, {"kind": MAINTENANCE, "files": 0, "assets_prefix": manifest["assets_prefix"]})
    prefix = run_prefix(request.writer, request.run_id)
    return MaintenancePlan(
        run_id=request.run_id,
        writer=request.writer,
        dataset=request.dataset,
        tables=len(manifest["tables"]),
        manifest=prefix + MANIFEST_FILE,
        report=prefix + REPORT_FILE,
        assets_prefix=manifest["assets_prefix"],
        workers=WORKERS,
        timeout_minutes=MAINTENANCE_TIMEOUT_MINUTES,
    )


def tables_of(lake: Lake, writer: str, assets_prefix: str) -> list[str]:
    """The tables a writer may have: of one dataset, or all of Gold. None of them need be there yet."""
    if writer == REFRESH_WRITER:
        return read_index(lake, assets_prefix)["models"]
    dataset = writers.dataset_of(writer)
    return [dataset, quarantine_table(dataset)]


def targets_of(lake: Lake, writer: str, assets_prefix: str) -> MaintenanceTargets:
    """What the maintenance of a writer's tables aims at: the lake's defaults, or what the contract says."""
    defaults = MaintenanceTargets(maximum_delay_days=MAXIMUM_DELAY_DAYS, target_file_bytes=TARGET_FILE_BYTES)
    if writer == REFRESH_WRITER:
        return defaults
    contract: DatasetPlan | None = lake.operations.read(plan_key(assets_prefix, writers.dataset_of(writer)))
    return {**defaults, **contract.get("maintenance", {})} if contract else defaults


def _record(lake: Lake, request: RunRequest, details: dict[str, Any]) -> None:
    lake.ledger.start_run(request.writer, request.run_id, details, lake.stamp())


def _once(lake: Lake, request: RunRequest, make: Callable[[], object]) -> Any:
    """The run's manifest as it was first written."""
    key = run_prefix(request.writer, request.run_id) + MANIFEST_FILE
    known = lake.operations.read(key)
    if known is None:
        lake.operations.create(key, make())
        known = lake.operations.read(key)
    if known is None:
        raise ObjectMissing(f"the manifest of {request.run_id} was written and is not there")
    return known


def read_index(lake: Lake, assets_prefix: str) -> AssetsIndex:
    """What the assets under a prefix hold. Raises ``ObjectMissing``."""
    index: AssetsIndex | None = lake.operations.read(assets_prefix + INDEX_FILE)
    if index is None:
        raise ObjectMissing(f"there is no {INDEX_FILE} under the assets prefix {assets_prefix}")
    return index


def _gold_manifest(lake: Lake, request: RunRequest) -> GoldManifest:
    prefix = lake.settings.assets_prefix
    return {"run_id": request.run_id, "assets_prefix": prefix, "models": read_index(lake, prefix)["models"]}


def _maintenance_manifest(lake: Lake, request: RunRequest) -> MaintenanceManifest:
    prefix = lake.settings.assets_prefix
    return {
        "run_id": request.run_id,
        "assets_prefix": prefix,
        "layer": "gold" if request.writer == REFRESH_WRITER else "silver",
        "tables": tables_of(lake, request.writer, prefix),
        "target_file_bytes": targets_of(lake, request.writer, prefix)["target_file_bytes"],
        "min_input_files": MIN_INPUT_FILES,
        "retention_days": lake.settings.snapshot_retention_days,
        "min_snapshots": lake.settings.min_snapshots,
        "orphan_days": ORPHAN_DAYS,
        "statistics_bytes": STATISTICS_BYTES,
    }
