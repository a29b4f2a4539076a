"""Maintain: who needs maintenance, by the tables' metadata alone, and the wish for it on the writer's lease.

No cluster is started to find out. A maintenance run leaves a marker on main when it is done, so what counts
is what was committed since.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final

from . import writers
from .errors import LakehouseError, MaintenanceIncomplete
from .lake import Commit, Lake
from .payloads import MaintainRequest, MaintainResult
from .plan import tables_of, targets_of
from .words import MARKER_MAINTENANCE, REFRESH_WRITER

BROUGHT_FILES: Final = ("added-data-files", "added-delete-files")
"""What Iceberg says in the summary of a snapshot that added files; absent otherwise."""


def maintain(lake: Lake, request: MaintainRequest) -> MaintainResult:
    """Ask for the maintenance of every named writer's tables that need it. Safe to repeat.

    An error with one writer is reported, and leaves the others alone.
    """
    known = lake.ledger.writers()
    result = MaintainResult(unknown=sorted(set(request.writers) - set(known)))
    for writer in known:
        if request.writers and writer not in request.writers:
            continue
        try:
            _see_to(lake, writer, result, always=request.always)
        except LakehouseError as error:
            result.failed[writer] = type(error).__name__
    return result


def checked(result: MaintainResult) -> MaintainResult:
    """The result, if every writer was seen to. Raises ``MaintenanceIncomplete`` otherwise."""
    if result.failed:
        failed = ", ".join(f"{writer} ({error})" for writer, error in sorted(result.failed.items()))
        raise MaintenanceIncomplete(f"maintenance could not be asked for of {failed}")
    return result


def _see_to(lake: Lake, writer: str, result: MaintainResult, *, always: bool) -> None:
    if not always and not _any_due(lake, writer):
        result.not_due.append(writer)
        return
    lease = writers.ask_for_maintenance(lake, writer)
    if lease.maintaining:
        result.started[writer] = lease.run_id
    else:
        result.wanted.append(writer)


def _any_due(lake: Lake, writer: str) -> bool:
    """Whether one of the writer's tables is due; the others are then looked at by the same run."""
    settings = lake.settings
    database = settings.gold_database if writer == REFRESH_WRITER else settings.silver_database
    days = targets_of(lake, writer, settings.assets_prefix)["maximum_delay_days"]
    latest = lake.now() - timedelta(days=days)
    return any(
        is_due(lake.tables.history(database, table), settings.maintenance_commits, latest)
        for table in tables_of(lake, writer, settings.assets_prefix)
    )


def is_due(history: Sequence[Commit], commits: int, latest: datetime) -> bool:
    """Whether so many commits brought files since the last maintenance, or one did by ``latest``.

    ``history`` holds main's snapshots, newest first.
    """
    waiting = [commit.committed_ms for commit in takewhile(_is_new, history) if _brought_files(commit)]
    return len(waiting) >= commits or any(ms <= latest.timestamp() * 1000 for ms in waiting)


def _is_new(commit: Commit) -> bool:
    return MARKER_MAINTENANCE not in commit.summary


def _brought_files(commit: Commit) -> bool:
    return any(int(commit.summary.get(name, "0")) for name in BROUGHT_FILES)
