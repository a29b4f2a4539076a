"""Letting files and writers try again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from . import writers
from .errors import ConditionFailed
from .lake import Lake
from .ledger import pending_pointer, version_key
from .store import Is, Item, Update
from .words import PENDING
from .writers import HELD, WAITING, dataset_of


@dataclass(frozen=True)
class Retried:
    """What was done: files that wait again, files with a newer version, the writer's state."""

    writer: str
    files: int
    outdated: int
    was: str
    now: str
    run_id: str


def retry(lake: Lake, writer: str, states: Iterable[str]) -> Retried:
    """Let a dataset's files in ``states`` wait again with no attempts counted, and free its writer.

    A file whose key has a newer version stays as it is: that one counts. Safe to repeat.
    """
    before = writers.read(lake, writer)
    files = outdated = 0
    dataset = dataset_of(writer)
    if dataset:
        found = list(lake.ledger.files(dataset, tuple(states)))
        heads = lake.ledger.heads(item["key"] for item in found)
        current = [item for item in found if heads[item["key"]]["version_id"] == item["version_id"]]
        outdated = len(found) - len(current)
        files = sum(_wait_again(lake, dataset, item) for item in current)
    if files:
        writers.wake(lake, writer, files)
    after = writers.retry(lake, writer) if before.state in (HELD, WAITING) else writers.read(lake, writer)
    return Retried(writer, files, outdated, before.state, after.state, after.run_id)


def _wait_again(lake: Lake, dataset: str, item: Item) -> bool:
    """Put one file back to PENDING; False if its state changed meanwhile."""
    changes = {
        "state": PENDING,
        "attempts": 0,
        "split_group": "",
        "reason": f"retried after {item['state']}",
        "updated_at": lake.stamp(),
    }
    version = Update(
        version_key(item["key"], item["version_id"]), changes, when=(Is("state", item["state"]),)
    )
    pointer = pending_pointer(
        dataset, item["key"], item["version_id"], item["size_bytes"], item["event_time"], attempts=0
    )
    try:
        lake.ledger.store.transact([version, pointer])
    except ConditionFailed:
        return False
    return True
