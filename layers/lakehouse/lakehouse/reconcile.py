"""Reconcile: compare the landing bucket's listing with the ledger, since notifications are no guarantee.

One call does what fits into its time and says where to go on. Files are registered as intake registers them;
the daily run and `lakehouse backfill` are the same function.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Literal

from . import writers
from .intake import PARALLEL_RECORDS, place
from .lake import Lake, iso
from .ledger import ObjectVersion
from .payloads import ReconcileRequest, ReconcileResult
from .store import Item
from .words import DATASET_PATTERN, DELETED, SUPERSEDED, UNFINISHED_STATES, promote_writer

REOPENED_STATES = frozenset({SUPERSEDED, DELETED})
"""Closed because of a newer version or a deletion, which is not so if S3 lists the version as current."""

COUNTS = ("listed", "registered", "reopened", "unfinished", "ignored", "unannounced")
UNANNOUNCED_FILES = "UnannouncedFiles"
EVENT_PATIENCE = timedelta(minutes=15)
"""An event that has not been taken in by then is taken for lost; a younger file's may still be on its way."""

Found = Literal["registered", "reopened", "unfinished", "ignored", "known"]


def run(lake: Lake, request: ReconcileRequest, in_time: Callable[[], bool], function: str) -> ReconcileResult:
    """Compare for as long as there is time, then let ``function`` go on if the request asks for that.

    Whoever does not ask for that is a person filling the lake, whose files no event could have announced:
    only the others are counted as a metric. Nothing found records nothing, and so costs nothing.
    """
    result = reconcile(lake, request, in_time)
    if request.follow and not result.done:
        lake.functions.invoke_later(function, result.dump())
    if request.follow and result.done and result.unannounced:
        lake.metrics.put(UNANNOUNCED_FILES, result.unannounced, "Count")
    return result


def reconcile(lake: Lake, request: ReconcileRequest, in_time: Callable[[], bool]) -> ReconcileResult:
    """Compare from where ``request`` says, page by page, until all is done or ``in_time`` denies.

    The cursor is the dataset, a slash, and the cursor of its listing. At least one page is done.
    """
    counts = Counter({name: getattr(request, name) for name in COUNTS})
    begun = False
    for dataset, cursor in _datasets(lake, request):
        more = True
        while more:
            if begun and not in_time():
                return _result(request, counts, f"{dataset}/{cursor}")
            begun = True
            cursor = _page(lake, dataset, cursor, counts)  # noqa: PLW2901 - it walks on
            more = bool(cursor)
    return _result(request, counts, "")


def _result(request: ReconcileRequest, counts: Counter[str], cursor: str) -> ReconcileResult:
    values = {**request.model_dump(), **counts, "cursor": cursor, "done": not cursor}
    return ReconcileResult.model_validate(values)


def _datasets(lake: Lake, request: ReconcileRequest) -> Iterator[tuple[str, str]]:
    """The datasets still to be compared, each with the cursor of its listing to start from."""
    start, _, cursor = request.cursor.partition("/")
    wanted = [request.dataset] if request.dataset else sorted(lake.bronze.folders())
    for dataset in wanted:
        if DATASET_PATTERN.fullmatch(dataset) and dataset >= start:
            yield dataset, cursor if dataset == start else ""


def _page(lake: Lake, dataset: str, cursor: str, counts: Counter[str]) -> str:
    """Compare one page of a listing and return the next one's cursor."""
    page = lake.bronze.page(f"{dataset}/", cursor)
    known = lake.ledger.versions((version.key, version.version_id) for version in page.versions)
    if page.versions:
        lake.ledger.add_writer(promote_writer(dataset), lake.stamp())
    with ThreadPoolExecutor(max_workers=PARALLEL_RECORDS) as pool:
        each: list[Found] = [
            *pool.map(
                lambda version: _see_to(lake, dataset, version, known.get((version.key, version.version_id))),
                page.versions,
            )
        ]
    found: Counter[str] = Counter(each)
    found["unannounced"] = _unannounced(lake, page.versions, each)
    arrived = found["registered"] + found["reopened"]
    if arrived:
        writers.wake(lake, promote_writer(dataset), arrived)
    counts["listed"] += len(page.versions)
    counts.update({name: found[name] for name in COUNTS if name != "listed"})
    return page.cursor


def _unannounced(lake: Lake, versions: list[ObjectVersion], found: list[Found]) -> int:
    """How many files were unknown although their event has had its time."""
    late = iso(lake.now() - EVENT_PATIENCE)
    return sum(
        each == "registered" and version.event_time < late
        for version, each in zip(versions, found, strict=True)
    )


def _see_to(lake: Lake, dataset: str, version: ObjectVersion, item: Item | None) -> Found:
    """Bring one listed version into the ledger if it is not there, or not as it should be."""
    if item is None:
        return _register(lake, dataset, version)
    if item["state"] in UNFINISHED_STATES:
        return "unfinished"
    if item["state"] in REOPENED_STATES and lake.bronze.current_version(version.key) == version.version_id:
        return "reopened" if lake.ledger.reopen(version, dataset, item["state"], lake.stamp()) else "known"
    return "known"


def _register(lake: Lake, dataset: str, version: ObjectVersion) -> Found:
    reason = place(version.key).reason
    if reason:
        lake.ledger.ignore(version, dataset, reason, lake.stamp())
        return "ignored"
    lake.ledger.register(version, dataset, lake.stamp(), lake.bronze.current_version)
    return "registered"
