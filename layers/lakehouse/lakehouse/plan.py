"""Plan: what a refresh run will look at. The first state of its execution, safe to repeat."""

from __future__ import annotations

from . import writers
from .errors import ObjectMissing
from .lake import Lake
from .payloads import PlanResult, RunRequest
from .words import INDEX_FILE, MANIFEST_FILE, REPORT_FILE, AssetsIndex, GoldManifest, run_prefix

WORKERS = 4
TIMEOUT_MINUTES = 120


def plan(lake: Lake, request: RunRequest) -> PlanResult:
    """Confirm the lease and write the run's manifest: every model, in dependency order.

    The job itself finds which models are up to date. Raises ``StaleRun`` if the run has lost its lease.
    """
    writers.confirm(lake, request.writer, request.run_id)
    manifest = _manifest(lake, request)
    prefix = run_prefix(request.writer, request.run_id)
    details = {
        "kind": "refresh",
        "files": 0,
        "models": len(manifest["models"]),
        "assets_prefix": manifest["assets_prefix"],
    }
    lake.ledger.start_run(request.writer, request.run_id, details, lake.stamp())
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


def _manifest(lake: Lake, request: RunRequest) -> GoldManifest:
    key = run_prefix(request.writer, request.run_id) + MANIFEST_FILE
    known: GoldManifest | None = lake.operations.read(key)
    if known is None:
        lake.operations.create(key, _new_manifest(lake, request.run_id))
        known = lake.operations.read(key)
    if known is None:
        raise ObjectMissing(f"the manifest of {request.run_id} was written and is not there")
    return known


def _new_manifest(lake: Lake, run_id: str) -> GoldManifest:
    prefix = lake.settings.assets_prefix
    index: AssetsIndex | None = lake.operations.read(prefix + INDEX_FILE)
    if index is None:
        raise ObjectMissing(f"there is no {INDEX_FILE} under the assets prefix {prefix}")
    return {"run_id": run_id, "assets_prefix": prefix, "models": index["models"]}
