"""The ledger: what is known of every object version, every file waiting, every run.

| item | pk | sk |
|---|---|---|
| object version | ``OBJECT#<key>`` | ``VERSION#<version id>`` |
| head: the newest version of a key | ``OBJECT#<key>`` | ``HEAD`` |
| pending pointer | ``PENDING#<dataset>`` | ``[~<split group>#]<event time>#<digest>`` |
| file of a dataset | ``DATASET#<dataset>`` | ``FILE#<digest>`` |
| source of Silver rows | ``SOURCES#<dataset>`` | ``<source version id>`` |
| run | ``WRITER#<writer>`` | ``RUN#<run id>`` |
| lease (see `writers`) | ``WRITER#<writer>`` | ``LEASE`` |
| writer seen | ``WRITERS`` | ``<writer>`` |

A digest is the first 32 hex digits of SHA-256 over key, line feed, version id. Nothing here expires.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .errors import ConditionFailed, LedgerUnavailable
from .store import (
    MAX_TRANSACTION_WRITES,
    AnyOf,
    Check,
    Delete,
    Is,
    Item,
    Key,
    Missing,
    Put,
    Store,
    Update,
    Write,
)
from .words import (
    IGNORED,
    MANIFEST_FILE,
    PENDING,
    PROMOTE_WRITER_PREFIX,
    REPORT_FILE,
    RUNNING,
    SUPERSEDED,
    UNFINISHED_STATES,
    run_prefix,
)

NO_DATASET = "-"
"""Stands for the dataset of keys that belong to none."""

Registered = Literal["new", "unfinished", "finished"]
REGISTER_ATTEMPTS = 8
FILES_PER_PAGE = 100


class ObjectVersion(NamedTuple):
    """One version of an object as S3 announced or listed it. ``sequencer`` is empty when it was listed."""

    key: str
    version_id: str
    size_bytes: int
    etag: str
    sequencer: str
    event_time: str


@dataclass(frozen=True)
class Pending:
    """A file that waits to be claimed. It is claimable once ``arrivals`` has passed ``waits_past``."""

    sk: str
    dataset: str
    key: str
    version_id: str
    size_bytes: int
    event_time: str
    attempts: int
    split_group: str
    waits_past: int

    def claimable(self, arrivals: int) -> bool:
        """Whether something new arrived since a run sent the file back to wait."""
        return arrivals > self.waits_past


def digest(key: str, version_id: str) -> str:
    """The name of an object version inside other items' keys."""
    return hashlib.sha256(f"{key}\n{version_id}".encode()).hexdigest()[:32]


def version_key(key: str, version_id: str) -> Key:
    """The ledger key of an object version."""
    return f"OBJECT#{key}", f"VERSION#{version_id}"


def head_key(key: str) -> Key:
    """The ledger key of an object's head."""
    return f"OBJECT#{key}", "HEAD"


def pending_key(dataset: str, event_time: str, key: str, version_id: str, split_group: str) -> Key:
    """The ledger key of a pending pointer. Files of a split batch stand apart, behind all others."""
    prefix = f"~{split_group}#" if split_group else ""
    return f"PENDING#{dataset}", f"{prefix}{event_time}#{digest(key, version_id)}"


def run_key(writer: str, run_id: str) -> Key:
    """The ledger key of a run."""
    return f"WRITER#{writer}", f"RUN#{run_id}"


def lease_key(writer: str) -> Key:
    """The ledger key of a writer's lease."""
    return f"WRITER#{writer}", "LEASE"


def is_newer(candidate: ObjectVersion, head: Item) -> bool | None:
    """Whether a version is newer than a key's head; None if what is known of the two cannot tell.

    S3 orders the events of one key by sequencer: pad the shorter on the right with zeros, compare as text
    (S3 user guide, event message structure). Listed versions have none: then the time decides, in seconds.
    """
    if head["version_id"] == candidate.version_id:
        return False
    known: str = head.get("sequencer", "")
    if known and candidate.sequencer:
        width = max(len(known), len(candidate.sequencer))
        return candidate.sequencer.ljust(width, "0") > known.ljust(width, "0")
    if head["event_time"][:19] == candidate.event_time[:19]:
        return None
    return candidate.event_time > str(head["event_time"])


class Ledger:
    """Reads and writes the ledger's items; leases are in `writers`."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # --- intake -------------------------------------------------------------------------------

    def add_writer(self, writer: str, now: str) -> None:
        """Make a writer known to sweep and status."""
        self.store.write(Put({"pk": "WRITERS", "sk": writer, "writer": writer, "seen_at": now}))

    def register(
        self, version: ObjectVersion, dataset: str, now: str, current: Callable[[str], str | None]
    ) -> Registered:
        """Write version, head, pending pointer and file in one transaction, unless the version is known.

        ``current`` gives a key's current version id from S3; it is asked only when head and version
        cannot be ordered by what was announced of them.
        """
        head: Item | None = None
        for _ in range(REGISTER_ATTEMPTS):
            writes = [self._new_version(version, dataset, PENDING, now), *_waiting(version, dataset)]
            if head is None or self._is_newest(version, head, current):
                writes.append(_move_head(version, head))
            try:
                self.store.transact(writes)
            except ConditionFailed as failed:
                if 0 in failed.failed:
                    return self._known(version)
                head = self.store.get(head_key(version.key))
            else:
                return "new"
        raise LedgerUnavailable(f"the head of an object moved {REGISTER_ATTEMPTS} times")

    def ignore(self, version: ObjectVersion, dataset: str, reason: str, now: str) -> Registered:
        """Record a version that no run will ever read, with the reason."""
        item = self._new_version(version, dataset, IGNORED, now, reason)
        try:
            self.store.transact([item, _file(version, dataset)])
        except ConditionFailed:
            return "finished"
        return "new"

    def reopen(self, version: ObjectVersion, dataset: str, was: str, now: str) -> bool:
        """Let a version wait again that S3 lists as current although the ledger had closed it as ``was``."""
        key = version_key(version.key, version.version_id)
        changes = {"state": PENDING, "updated_at": now, "reason": f"current again after {was}"}
        head = Update(
            head_key(version.key),
            {
                "version_id": version.version_id,
                "sequencer": version.sequencer,
                "event_time": version.event_time,
            },
        )
        try:
            self.store.transact(
                [Update(key, changes, when=(Is("state", was),)), _pending(version, dataset), head]
            )
        except ConditionFailed:
            return False
        return True

    @staticmethod
    def _new_version(version: ObjectVersion, dataset: str, state: str, now: str, reason: str = "") -> Put:
        pk, sk = version_key(version.key, version.version_id)
        known = {"pk": pk, "sk": sk, "dataset": dataset, "state": state, "reason": reason, "attempts": 0}
        return Put({**known, **version._asdict(), "updated_at": now}, when=(Missing("pk"),))

    @staticmethod
    def _is_newest(version: ObjectVersion, head: Item, current: Callable[[str], str | None]) -> bool:
        newer = is_newer(version, head)
        return current(version.key) == version.version_id if newer is None else newer

    def _known(self, version: ObjectVersion) -> Registered:
        item = self.store.get(version_key(version.key, version.version_id))
        return "unfinished" if item and item["state"] in UNFINISHED_STATES else "finished"

    # --- reading ------------------------------------------------------------------------------

    def writers(self) -> list[str]:
        """All writers ever seen."""
        return [str(item["sk"]) for item in self.store.query("WRITERS")]

    def datasets(self) -> list[str]:
        """All datasets that ever had a file."""
        start = len(PROMOTE_WRITER_PREFIX)
        return [name[start:] for name in self.writers() if name.startswith(PROMOTE_WRITER_PREFIX)]

    def version(self, key: str, version_id: str) -> Item | None:
        """One object version's item."""
        return self.store.get(version_key(key, version_id))

    def versions(self, files: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Item]:
        """The items of object versions given as (key, version id)."""
        found = self.store.get_many(version_key(key, version_id) for key, version_id in files)
        return {(item["key"], item["version_id"]): item for item in found.values()}

    def heads(self, keys: Iterable[str]) -> dict[str, Item]:
        """The heads of objects, by key."""
        found = self.store.get_many(head_key(key) for key in keys)
        return {pk.partition("#")[2]: item for (pk, _), item in found.items()}

    def files(self, dataset: str, states: Sequence[str] = ()) -> Iterator[Item]:
        """The object versions of a dataset, all or those in some states; ``NO_DATASET`` for those of none."""
        page: list[tuple[str, str]] = []
        for item in self.store.query(f"DATASET#{dataset}", begins="FILE#"):
            page.append((item["key"], item["version_id"]))
            if len(page) == FILES_PER_PAGE:
                yield from self._in_states(page, states)
                page = []
        yield from self._in_states(page, states)

    def _in_states(self, page: list[tuple[str, str]], states: Sequence[str]) -> Iterator[Item]:
        found = self.versions(page)
        for file in page:
            if file in found and (not states or found[file]["state"] in states):
                yield found[file]

    def source(self, dataset: str, source_version_id: str) -> Item | None:
        """Which object version (``key``, ``version_id``, ``run_id``) the rows with an id came from."""
        return self.store.get((f"SOURCES#{dataset}", source_version_id))

    def sources(self, dataset: str, source_version_ids: Iterable[str]) -> dict[str, Item]:
        """Those of the source version ids that are known, with their ``key``, ``version_id``, ``run_id``."""
        keys = [(f"SOURCES#{dataset}", source_id) for source_id in source_version_ids]
        return {sk: item for (_, sk), item in self.store.get_many(keys).items()}

    def run(self, writer: str, run_id: str) -> Item | None:
        """One run's item."""
        return self.store.get(run_key(writer, run_id))

    def runs(self, writer: str) -> Iterator[Item]:
        """A writer's runs, newest first."""
        return self.store.query(f"WRITER#{writer}", begins="RUN#", newest_first=True)

    def pending(self, dataset: str, *, split: bool | None = None) -> Iterator[Pending]:
        """The files of a dataset that wait, oldest first: all, only or none of split batches."""
        begins, before = ("~" if split else ""), ("~" if split is False else "")
        for item in self.store.query(f"PENDING#{dataset}", begins=begins, before=before):
            yield Pending(
                sk=item["sk"],
                dataset=dataset,
                key=item["key"],
                version_id=item["version_id"],
                size_bytes=item["size_bytes"],
                event_time=item["event_time"],
                attempts=item.get("attempts", 0),
                split_group=item.get("split_group", ""),
                waits_past=item.get("waits_past", -1),
            )

    # --- runs ---------------------------------------------------------------------------------

    def start_run(self, writer: str, run_id: str, details: Item, now: str) -> None:
        """Write a run's item, unless it is there already."""
        pk, sk = run_key(writer, run_id)
        prefix = run_prefix(writer, run_id)
        item = {"pk": pk, "sk": sk, "run_id": run_id, "writer": writer, "state": RUNNING, "started_at": now}
        places = {"manifest": prefix + MANIFEST_FILE, "report": prefix + REPORT_FILE}
        with contextlib.suppress(ConditionFailed):  # a repeated first step: the item is there
            self.store.write(Put({**item, **places, **details}, when=(Missing("pk"),)))

    def end_run(self, writer: str, run_id: str, state: str, details: Item, now: str) -> None:
        """Write how a run ended. One that succeeded stays so."""
        values = {"state": state, "ended_at": now, "run_id": run_id, "writer": writer, **details}
        not_yet = AnyOf(((Missing("state"),), (Is("state", RUNNING),), (Is("state", state),)))
        with contextlib.suppress(ConditionFailed):  # it ended before, in another state
            self.store.write(Update(run_key(writer, run_id), values, when=(not_yet,)))

    # --- moving files -------------------------------------------------------------------------

    def write_all(self, groups: Iterable[Sequence[Write]], fence: Check | None = None) -> None:
        """Make groups of writes, each whole, as many to a transaction as fit, each under ``fence``.

        Raises ``ConditionFailed`` if a transaction is refused; those before it stay.
        """
        first: list[Write] = [fence] if fence else []
        batch = list(first)
        for group in groups:
            if len(batch) + len(group) > MAX_TRANSACTION_WRITES:
                self.store.transact(batch)
                batch = list(first)
            batch.extend(group)
        if len(batch) > len(first):
            self.store.transact(batch)


def _waiting(version: ObjectVersion, dataset: str) -> list[Write]:
    return [_pending(version, dataset), _file(version, dataset)]


def _pending(version: ObjectVersion, dataset: str) -> Put:
    return pending_pointer(
        dataset, version.key, version.version_id, version.size_bytes, version.event_time, attempts=0
    )


def pending_pointer(
    dataset: str,
    key: str,
    version_id: str,
    size_bytes: int,
    event_time: str,
    *,
    attempts: int,
    split_group: str = "",
    waits_past: int = -1,
) -> Put:
    """The write that lets a file wait (again)."""
    pk, sk = pending_key(dataset, event_time, key, version_id, split_group)
    return Put(
        {
            "pk": pk,
            "sk": sk,
            "key": key,
            "version_id": version_id,
            "size_bytes": size_bytes,
            "event_time": event_time,
            "attempts": attempts,
            "split_group": split_group,
            "waits_past": waits_past,
        }
    )


def _file(version: ObjectVersion, dataset: str) -> Put:
    name = digest(version.key, version.version_id)
    item = {"pk": f"DATASET#{dataset}", "sk": f"FILE#{name}"}
    return Put({**item, "key": version.key, "version_id": version.version_id})


def _move_head(version: ObjectVersion, head: Item | None) -> Update:
    """Make a version its key's head, on the condition that the head is still the one that was read."""
    values = {
        "version_id": version.version_id,
        "sequencer": version.sequencer,
        "event_time": version.event_time,
    }
    when = (Is("version_id", head["version_id"]),) if head else (Missing("version_id"),)
    return Update(head_key(version.key), values, when=when)


def superseded(pending: Pending, by_version_id: str, run_id: str, now: str) -> list[Write]:
    """The writes that close a waiting file because a newer version of its key is known."""
    changes = {
        "state": SUPERSEDED,
        "reason": f"a newer version was written: {by_version_id}",
        "run_id": run_id,
        "updated_at": now,
    }
    return [
        Update(version_key(pending.key, pending.version_id), changes, when=(Is("state", PENDING),)),
        Delete((f"PENDING#{pending.dataset}", pending.sk)),
    ]
