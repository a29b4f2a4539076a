"""The lease that lets one run at a time write a writer's tables, and the wake-up of that run.

States of a lease: FREE; TAKEN by a run; WAITING until a moment (its environment failed); HELD until `retry`.
Every step below is one conditional write, so a crash between any two leaves a lease that says what is to be
done: a TAKEN lease that is not confirmed is started again, under the same name, by whoever meets it.

Maintenance of a writer's tables is a run under the same lease, which then says ``maintaining``. It is asked
for by a wish on the lease: a free lease is taken for it at once, a run that holds the lease hands it over at
its end. Taking clears the wish, and nobody wishes what is being done, so a lease never says both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from .errors import ConditionFailed, LedgerInconsistent, LedgerUnavailable, StaleRun
from .lake import Lake, iso
from .ledger import lease_key
from .store import AnyOf, AtMost, Check, Condition, Is, Item, Missing, Update, Write
from .words import PROMOTE_WRITER_PREFIX, REFRESH_WRITER

FREE: Literal["FREE"] = "FREE"
TAKEN: Literal["TAKEN"] = "TAKEN"
WAITING: Literal["WAITING"] = "WAITING"
HELD: Literal["HELD"] = "HELD"

RELEASE_ATTEMPTS = 20
STEM_LENGTH = 45


@dataclass(frozen=True)
class Lease:
    """A writer's lease.

    ``arrivals`` counts what was announced to the writer, ``claimed_arrivals`` is its value when the run that
    holds the lease confirmed (one of maintenance sees to no arrivals, and leaves it alone), and
    ``claimed_assets``, of refresh only, the assets prefix that was deployed then. ``recovering``
    bars that run from any further step. ``failures`` counts runs that their environment failed, ``deaths``
    runs that their files (or a model) failed, both in a row. ``maintaining`` says that the run that holds the
    lease is one of maintenance, ``maintenance_wanted`` that the next one is to be.
    """

    writer: str
    state: str = FREE
    run_id: str = ""
    confirmed: bool = False
    recovering: bool = False
    arrivals: int = 0
    claimed_arrivals: int = 0
    claimed_assets: str = ""
    failures: int = 0
    deaths: int = 0
    taken_at: str = ""
    not_before: str = ""
    reason: str = ""
    maintaining: bool = False
    maintenance_wanted: bool = False

    @classmethod
    def of(cls, writer: str, item: Item | None) -> Lease:
        """Read a lease from its item; a writer that has none yet is free."""
        known = {name: value for name, value in (item or {}).items() if name in cls.__dataclass_fields__}
        return cls(**{**known, "writer": writer})

    def may_be_taken(self, now: str) -> bool:
        """Whether a new run may take it."""
        return self.state == FREE or (self.state == WAITING and self.not_before <= now)


def dataset_of(writer: str) -> str:
    """The dataset of a promote writer, '' for refresh."""
    return writer.removeprefix(PROMOTE_WRITER_PREFIX) if writer != REFRESH_WRITER else ""


def make_run_id(writer: str, now: datetime, token: str) -> str:
    """A run's name: of the writer, ordered by time, fit to be an execution's name."""
    stem = (dataset_of(writer) or REFRESH_WRITER)[:STEM_LENGTH]
    return f"{stem}-{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z-{token}"


def execution_input(writer: str, run_id: str) -> dict[str, str]:
    """What an execution is started with: always the same for a run, so that starting twice is harmless."""
    request = {"runId": run_id, "writer": writer}
    return {**request, "dataset": dataset_of(writer)} if writer != REFRESH_WRITER else request


def read(lake: Lake, writer: str) -> Lease:
    """A writer's lease as it stands."""
    return Lease.of(writer, lake.ledger.store.get(lease_key(writer)))


def wake(lake: Lake, writer: str, arrivals: int) -> Lease:
    """Count ``arrivals`` and see that a run will see to them. The files must be in the ledger before."""
    lake.ledger.store.write(
        Update(lease_key(writer), defaults={"state": FREE, "writer": writer}, add={"arrivals": arrivals})
    )
    return ensure_started(lake, writer)


def ensure_started(lake: Lake, writer: str) -> Lease:
    """Take the lease if it is to be had, and start the run that holds it if that is not confirmed."""
    lease = read(lake, writer)
    if lease.may_be_taken(lake.stamp()):
        lease = _take(lake, writer)
    start_unconfirmed(lake, lease)
    return lease


def _take(lake: Lake, writer: str) -> Lease:
    """Take the lease with a new run id; somebody who was faster keeps it."""
    now = lake.stamp()
    free_or_due: tuple[tuple[Condition, ...], ...] = (
        (Is("state", FREE),),
        (Is("state", WAITING), AtMost("not_before", now)),
    )
    change = _taken_by(make_run_id(writer, lake.now(), lake.token()), now)
    when = (AnyOf((*free_or_due, (Missing("state"),))),)
    never_counted = {"arrivals": 0, "writer": writer}
    try:
        item = lake.ledger.store.write(Update(lease_key(writer), **change, defaults=never_counted, when=when))
    except ConditionFailed:
        return read(lake, writer)
    return Lease.of(writer, item)


def _taken_by(run_id: str, now: str, *, maintaining: bool = False) -> dict[str, Any]:
    """The change by which a run gets a lease. Maintenance clears the wish for it, a normal run leaves it."""
    values = {"state": TAKEN, "run_id": run_id, "confirmed": False, "taken_at": now, "reason": ""}
    gone = ("recovering", "not_before")
    if maintaining:
        return {"values": {**values, "maintaining": True}, "remove": (*gone, "maintenance_wanted")}
    return {"values": values, "remove": (*gone, "maintaining")}


def ask_for_maintenance(lake: Lake, writer: str) -> Lease:
    """Wish that the writer's tables be maintained, and begin if nobody holds the lease. Safe to repeat.

    A writer that is HELD or WAITING is left alone until it works again; the wish stays.
    """
    wish = Update(
        lease_key(writer),
        {"maintenance_wanted": True},
        defaults={"state": FREE, "writer": writer, "arrivals": 0},
        when=(Missing("maintaining"),),
    )
    with contextlib.suppress(ConditionFailed):  # it is being maintained: nothing is left to wish
        lake.ledger.store.write(wish)
    return start_wanted_maintenance(lake, read(lake, writer))


def start_wanted_maintenance(lake: Lake, lease: Lease) -> Lease:
    """Take a free lease on which a wish lies, and start a maintenance run that has not confirmed."""
    if lease.state == FREE and lease.maintenance_wanted:
        lease = _take_for_maintenance(lake, lease.writer)
    if lease.maintaining:
        start_unconfirmed(lake, lease)
    return lease


def _take_for_maintenance(lake: Lake, writer: str) -> Lease:
    """Take the lease for a new maintenance run; somebody who was faster keeps it."""
    change = _taken_by(make_run_id(writer, lake.now(), lake.token()), lake.stamp(), maintaining=True)
    when = (Is("state", FREE), Is("maintenance_wanted", value=True))
    try:
        item = lake.ledger.store.write(Update(lease_key(writer), **change, when=when))
    except ConditionFailed:
        return read(lake, writer)
    return Lease.of(writer, item)


def start_unconfirmed(lake: Lake, lease: Lease) -> bool:
    """Start the execution of a lease whose run has not confirmed; say whether there was one."""
    if lease.state != TAKEN or lease.confirmed or lease.recovering:
        return False
    start(lake, lease.writer, lease.run_id, maintaining=lease.maintaining)
    return True


def start(lake: Lake, writer: str, run_id: str, *, maintaining: bool) -> None:
    """Start a run's execution. One that was started before is left alone."""
    arn = lake.settings.state_machine_arn(writer, maintaining=maintaining)
    lake.executions.start(arn, run_id, execution_input(writer, run_id))


def holds(run_id: str) -> tuple[Condition, ...]:
    """The conditions under which a run may still act: the lease is its own, and nobody recovers it."""
    return Is("run_id", run_id), Is("state", TAKEN), Missing("recovering")


def write_fenced(lake: Lake, writer: str, run_id: str, groups: Iterable[Sequence[Write]]) -> None:
    """Make groups of writes, none of them once the run has lost its lease.

    Raises ``StaleRun`` then, and ``LedgerInconsistent`` if a file is not in the state the run left it in.
    """
    try:
        lake.ledger.write_all(groups, Check(lease_key(writer), when=holds(run_id)))
    except ConditionFailed as failed:
        if 0 in failed.failed:
            raise StaleRun(f"run {run_id} no longer holds the lease of {writer}") from failed
        raise LedgerInconsistent(
            f"a file of run {run_id} is in a state that the run did not give it"
        ) from failed


def confirm(lake: Lake, writer: str, run_id: str) -> Lease:
    """The first step of a run. Fixes ``claimed_arrivals`` and ``claimed_assets`` once. Raises ``StaleRun``.

    Maintenance sees to no arrivals, so what arrived before it is still there for the run that follows it.
    """
    maintaining = read(lake, writer).maintaining
    remakes = writer == REFRESH_WRITER and not maintaining
    claimed = {"claimed_assets": lake.settings.assets_prefix} if remakes else {}
    change = Update(
        lease_key(writer),
        {"confirmed": True, **claimed},
        copy={} if maintaining else {"claimed_arrivals": "arrivals"},
        when=(*holds(run_id), Is("confirmed", value=False)),
    )
    try:
        return Lease.of(writer, lake.ledger.store.write(change))
    except ConditionFailed:
        return require(lake, writer, run_id)


def require(lake: Lake, writer: str, run_id: str) -> Lease:
    """The lease, if the run may still act under it. Raises ``StaleRun`` otherwise."""
    lease = read(lake, writer)
    if lease.run_id != run_id or lease.state != TAKEN or lease.recovering:
        raise StaleRun(f"run {run_id} no longer holds the lease of {writer}")
    return lease


def bar(lake: Lake, writer: str, run_id: str) -> Lease | None:
    """The first step of recovery: the run can do nothing any more. None if the lease is not its own."""
    change = Update(lease_key(writer), {"recovering": True}, when=(Is("run_id", run_id), Is("state", TAKEN)))
    try:
        return Lease.of(writer, lake.ledger.store.write(change))
    except ConditionFailed:
        return None


def has_work(lake: Lake, lease: Lease) -> bool:
    """Whether something waits that a run of this writer would act on."""
    if lease.writer == REFRESH_WRITER:
        return lease.arrivals > lease.claimed_arrivals
    pending = lake.ledger.pending(dataset_of(lease.writer))
    return any(file.claimable(lease.arrivals) for file in pending)


def is_outdated(lake: Lake, lease: Lease) -> bool:
    """Whether a deployment changed what Gold is made by, or where it belongs, since refresh last began."""
    return lease.writer == REFRESH_WRITER and lease.claimed_assets != lake.settings.assets_prefix


def finish(lake: Lake, writer: str, run_id: str, counters: dict[str, int], *, again: bool = False) -> str:
    """The last step of a run: release the lease, or hand it to a next run and start that.

    ``counters`` are set on the lease (``failures``, ``deaths``); ``again`` asks for a next run of the
    writer's own kind in any case. Otherwise maintenance that somebody wishes for comes next, also where work
    waits: its own end sees to that. Returns the next run's id, '' if there is none. Safe to repeat.
    """
    for _ in range(RELEASE_ATTEMPTS):
        lease = read(lake, writer)
        if lease.run_id != run_id:
            return lease.run_id  # somebody else ended this run, and sees to the next
        following = _hand_over_or_release(lake, lease, counters, again=again)
        if following is not None:
            return following
    raise LedgerUnavailable(f"the lease of {writer} moved {RELEASE_ATTEMPTS} times while it was released")


def _hand_over_or_release(lake: Lake, lease: Lease, counters: dict[str, int], *, again: bool) -> str | None:
    """One attempt of `finish`; None if files or a wish arrived meanwhile, so that it must look again."""
    maintaining = lease.maintenance_wanted and not again
    following = ""
    if maintaining or again or has_work(lake, lease):
        following = make_run_id(lease.writer, lake.now(), lake.token())
        write = _hand_over(lake, lease, counters, following, maintaining=maintaining)
    else:
        write = _release(lease, counters)
    try:
        lake.ledger.store.write(write)
    except ConditionFailed:
        return None
    if following:
        start(lake, lease.writer, following, maintaining=maintaining)
    return following


def _hand_over(
    lake: Lake, lease: Lease, counters: dict[str, int], following: str, *, maintaining: bool
) -> Update:
    change = _taken_by(following, lake.stamp(), maintaining=maintaining)
    values = {**change["values"], **counters}
    return Update(
        lease_key(lease.writer), values, remove=change["remove"], when=(Is("run_id", lease.run_id),)
    )


def _release(lease: Lease, counters: dict[str, int]) -> Update:
    return Update(
        lease_key(lease.writer),
        {"state": FREE, "run_id": "", "confirmed": False, "reason": "", **counters},
        remove=("recovering", "not_before", "maintaining"),
        when=(Is("run_id", lease.run_id), Is("arrivals", lease.arrivals), Missing("maintenance_wanted")),
    )


def wait(lake: Lake, lease: Lease, until: datetime, reason: str, failures: int) -> None:
    """Let the writer rest until a moment, after its environment failed."""
    values = {"state": WAITING, "not_before": iso(until), "reason": reason, "failures": failures}
    _put_aside(lake, lease, values)


def hold(lake: Lake, lease: Lease, reason: str) -> None:
    """Let the writer rest until somebody calls `retry`."""
    _put_aside(lake, lease, {"state": HELD, "reason": reason})


def _put_aside(lake: Lake, lease: Lease, values: dict[str, Any]) -> None:
    write = Update(
        lease_key(lease.writer),
        {"run_id": "", "confirmed": False, "claimed_arrivals": 0, **values},
        remove=("recovering",),
        when=(Is("run_id", lease.run_id),),
    )
    try:
        lake.ledger.store.write(write)
    except ConditionFailed:
        return  # recovered by somebody else meanwhile


def retry(lake: Lake, writer: str) -> Lease:
    """Free a writer that is HELD or WAITING, forget its failures, and start it if it has work."""
    free = Update(
        lease_key(writer),
        {"state": FREE, "failures": 0, "deaths": 0, "reason": ""},
        remove=("not_before",),
        when=(AnyOf(((Is("state", HELD),), (Is("state", WAITING),))),),
    )
    try:
        lake.ledger.store.write(free)
    except ConditionFailed:
        return read(lake, writer)
    return start_if_work(lake, read(lake, writer))


def start_if_work(lake: Lake, lease: Lease) -> Lease:
    """Start a run of a writer that is to be had and has something to do."""
    if lease.may_be_taken(lake.stamp()) and has_work(lake, lease):
        return ensure_started(lake, lease.writer)
    return lease
