"""Freshness: how long ago each dataset's files last landed, against what its contract promises.

A landing is a run that promoted files, at the moment it ended: a feed that stopped and a promote that fails
look the same to who waits for rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from .errors import ObjectMissing
from .lake import Lake, Operations
from .ledger import Ledger
from .payloads import DatasetFreshness, FreshnessRequest, FreshnessResult
from .words import INDEX_FILE, SUCCEEDED, AssetsIndex, promote_writer

DATA_AGE = "DataAge"
STALE_DATASETS = "StaleDatasets"


def run(lake: Lake, request: FreshnessRequest) -> FreshnessResult:
    """Judge every dataset that promises something, and record ages and their verdict as metrics."""
    limits = read_limits(lake.operations, lake.settings.assets_prefix)
    result = judge(lake.ledger, limits, request.as_of or lake.now())
    for each in result.datasets:
        if each.age_seconds is not None:
            lake.metrics.put(DATA_AGE, each.age_seconds, "Seconds", Dataset=each.dataset)
    lake.metrics.put(STALE_DATASETS, result.stale, "Count")
    return result


def read_limits(operations: Operations, assets_prefix: str) -> dict[str, int]:
    """The longest time between two landings, in seconds, of the datasets whose contract promises one."""
    index: AssetsIndex | None = operations.read(assets_prefix + INDEX_FILE)
    if index is None:
        raise ObjectMissing(f"there is no {INDEX_FILE} under the assets prefix {assets_prefix}")
    return index.get("freshness_seconds", {})


def judge(ledger: Ledger, limits: Mapping[str, int], as_of: datetime) -> FreshnessResult:
    """The age of every dataset in ``limits`` (seconds by dataset) at ``as_of``."""
    datasets = [_judged(ledger, name, limits[name], as_of) for name in sorted(limits)]
    return FreshnessResult(datasets=datasets, stale=sum(each.stale for each in datasets))


def _judged(ledger: Ledger, dataset: str, limit_seconds: int, as_of: datetime) -> DatasetFreshness:
    """Nothing is overdue before the first landing: contracts are often deployed before their feed begins."""
    landed_at = newest_landing(ledger, dataset)
    if not landed_at:
        return DatasetFreshness(dataset=dataset, limit_seconds=limit_seconds)
    age = max(0, round((as_of - datetime.fromisoformat(landed_at)).total_seconds()))
    return DatasetFreshness(
        dataset=dataset,
        limit_seconds=limit_seconds,
        landed_at=landed_at,
        age_seconds=age,
        stale=age > limit_seconds,
    )


def newest_landing(ledger: Ledger, dataset: str) -> str:
    """When the newest run that promoted files of a dataset ended (ISO 8601, UTC), or ''."""
    for item in ledger.runs(promote_writer(dataset)):
        if item["state"] == SUCCEEDED and item.get("promoted"):
            return str(item["ended_at"])
    return ""
