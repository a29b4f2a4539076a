"""The port to a table of items: what the ledger asks of DynamoDB, as plain data.

An item is a flat dict with the keys ``pk`` and ``sk``; values are text, whole numbers, booleans or lists of
text. Conditions are data, so that an adapter compiles them and a fake evaluates them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Item = dict[str, Any]
Key = tuple[str, str]


@dataclass(frozen=True)
class Is:
    """The attribute equals the value."""

    attribute: str
    value: str | int | bool


@dataclass(frozen=True)
class Missing:
    """The item has no such attribute (``pk``: there is no such item)."""

    attribute: str


@dataclass(frozen=True)
class AtMost:
    """The attribute exists and is at most the value."""

    attribute: str
    value: str | int


@dataclass(frozen=True)
class AnyOf:
    """At least one of several groups of conditions holds whole."""

    groups: tuple[tuple[Condition, ...], ...]


Condition = Is | Missing | AtMost | AnyOf


@dataclass(frozen=True)
class Put:
    """Write a whole item, replacing what is there."""

    item: Mapping[str, Any]
    when: tuple[Condition, ...] = ()

    @property
    def key(self) -> Key:
        """The item's key."""
        return self.item["pk"], self.item["sk"]


@dataclass(frozen=True)
class Update:
    """Change some attributes of an item, which is made if it does not exist.

    ``values`` are set, ``defaults`` set where the attribute is missing, ``add`` is added to numbers,
    ``copy`` sets an attribute to what another one held before the update, ``remove`` drops attributes.
    """

    key: Key
    values: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)
    copy: Mapping[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    when: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Delete:
    """Remove an item; no error if it is not there."""

    key: Key
    when: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Check:
    """Write nothing, but let the transaction fail unless the conditions hold."""

    key: Key
    when: tuple[Condition, ...]


Write = Put | Update | Delete | Check

MAX_TRANSACTION_WRITES = 100
"""DynamoDB's limit of TransactWriteItems."""


class Store(Protocol):
    """A table of items. Reads are strongly consistent; every write is one atomic step."""

    def get(self, key: Key) -> Item | None:
        """Return one item, or None."""
        ...

    def get_many(self, keys: Iterable[Key]) -> dict[Key, Item]:
        """Return the items that exist among ``keys``."""
        ...

    def query(
        self, pk: str, *, begins: str = "", before: str = "", newest_first: bool = False
    ) -> Iterator[Item]:
        """Yield the items of a partition by ``sk``: those that begin with a text, or stand before one."""
        ...

    def write(self, write: Put | Update | Delete) -> Item:
        """Make one write and return the item after it. Raises ``ConditionFailed``, ``LedgerUnavailable``."""
        ...

    def transact(self, writes: Sequence[Write]) -> None:
        """Make up to 100 writes or none. Raises ``ConditionFailed``, ``LedgerUnavailable``."""
        ...
