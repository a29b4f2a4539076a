"""How old an earlier answer of Athena may be and still be what a query would find now.

Athena reuses by age and does not look whether a table changed
(https://docs.aws.amazon.com/athena/latest/ug/reusing-query-results.html). The ledger knows when a run last
ended: an answer younger than that is as good as a new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from lakehouse.errors import LedgerUnavailable
from lakehouse.ledger import Ledger, lease_key
from lakehouse.writers import TAKEN, Lease
from lakehouse_cli.connection import Lake
from lakehouse_cli.watch import ledger_of

LONGEST_MINUTES = 7 * 24 * 60
"""The oldest answer that Athena reuses."""
MARGIN_MINUTES = 1
"""For clocks that differ."""
CHANGES_BY_ITSELF = re.compile(r"\b(now|rand|random|uuid|current_\w+|localtime\w*)\b", re.IGNORECASE)


def minutes_for(lake: Lake, sql: str, layer: str) -> int:
    """The age in minutes up to which an answer to ``sql`` may be reused now; 0 for none.

    Files show in Bronze, and calls in the trail, without a run. Where the ledger does not answer (one may not
    read it), nothing is known, so nothing is reused.
    """
    if layer == "bronze" or lake.name("BronzeDatabaseName") in sql or "_audit" in sql:
        return 0
    if CHANGES_BY_ITSELF.search(sql):
        return 0
    try:
        return quiet_minutes(ledger_of(lake), datetime.now(UTC))
    except LedgerUnavailable:
        return 0


def quiet_minutes(ledger: Ledger, now: datetime) -> int:
    """Whole minutes for which no run has published anything: 0 while one is under way or none has ended."""
    ends: list[str] = []
    for writer in ledger.writers():
        if Lease.of(writer, ledger.store.get(lease_key(writer))).state == TAKEN:
            return 0
        ends += [str(run["ended_at"]) for run in _last_ended(ledger, writer)]
    if not ends:
        return 0
    quiet = now - datetime.fromisoformat(max(ends))
    minutes = quiet // timedelta(minutes=1) - MARGIN_MINUTES
    return max(0, min(minutes, LONGEST_MINUTES))


def _last_ended(ledger: Ledger, writer: str) -> Iterable[dict[str, object]]:
    last = next((run for run in ledger.runs(writer) if "ended_at" in run), None)
    return [] if last is None else [dict(last)]
