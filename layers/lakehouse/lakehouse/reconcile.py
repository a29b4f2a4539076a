"""Reconcile: compare the landing bucket's listing with the ledger, since notifications are no guarantee.

One call does what fits into its time and says where to go on. Files are registered as intake registers them;
the daily run and `lakehouse backfill` are the same function. Datasets that are taken in by schedule are
looked at only when they are named: by the scheduled job, which names the files too, or by a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Literal

from . import writers
from .errors import EventError
from .intake import PARALLEL_RECORDS, place
from .lake import Lake, iso
from .ledger import ObjectVersion
from .payloads import ReconcileRequest, ReconcileResult
from .scheduled import scheduled_datasets
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
    if request.keys:
        return see_to_keys(lake, request)
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


def see_to_keys(lake: Lake, request: ReconcileRequest) -> ReconcileResult:
    """Bring the current versions of named objects into the ledger. A name that no object has is passed over.

    Raises ``EventError`` for a key that is not the dataset's.
    """
    if any(key.partition("/")[0] != request.dataset for key in request.keys):
        raise EventError("a key that is named is not of the dataset that is named")
    counts = Counter({name: getattr(request, name) for name in COUNTS})
    with ThreadPoolExecutor(max_workers=PARALLEL_RECORDS) as pool:
        found = [version for version in pool.map(lake.bronze.latest, request.keys) if version]
    _compare(lake, request.dataset, found, counts)
    return _result(request.model_copy(update={"keys": []}), counts, "")


def _result(request: ReconcileRequest, counts: Counter[str], cursor: str) -> ReconcileResult:
    values = {**request.model_dump(), **counts, "cursor": cursor, "done": not cursor}
    return ReconcileResult.model_validate(values)


def _datasets(lake: Lake, request: ReconcileRequest) -> Iterator[tuple[str, str]]:
    """The datasets still to be compared, each with the cursor of its listing to start from."""
    start, _, cursor = request.cursor.partition("/")
    if request.dataset:
        wanted = [request.dataset]
    else:
        wanted = sorted(set(lake.bronze.folders()) - scheduled_datasets(lake))
    for dataset in wanted:
        if DATASET_PATTERN.fullmatch(dataset) and dataset >= start:
            yield dataset, cursor if dataset == start else ""


def _page(lake: Lake, dataset: str, cursor: str, counts: Counter[str]) -> str:
    """Compare one page of a listing and return the next one's cursor."""
    page = lake.bronze.page(f"{dataset}/", cursor)
    found = _compare(lake, dataset, page.versions, counts)
    counts["unannounced"] += _unannounced(lake, page.versions, found)
    return page.cursor


def _compare(lake: Lake, dataset: str, versions: list[ObjectVersion], counts: Counter[str]) -> list[Found]:
    """Register what the ledger does not know of these versions, and wake the dataset's writer for it."""
    known = lake.ledger.versions((version.key, version.version_id) for version in versions)
    if versions:
        lake.ledger.add_writer(promote_writer(dataset), lake.stamp())
    with ThreadPoolExecutor(max_workers=PARALLEL_RECORDS) as pool:
        each: list[Found] = [
            *pool.map(
                lambda version: _see_to(lake, dataset, version, known.get((version.key, version.version_id))),
                versions,
            )
        ]
    found: Counter[str] = Counter(each)
    arrived = found["registered"] + found["reopened"]
    if arrived:
        writers.wake(lake, promote_writer(dataset), arrived)
    counts["listed"] += len(versions)
    counts.update({name: found[name] for name in COUNTS if name not in {"listed", "unannounced"}})
    return each


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
