"""Which partitions of an Iceberg table changed between two snapshots, from the snapshots' own metadata.

No data is read and no Spark job runs: only manifests are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

SPARK_NAMES: Final = {"timestamptz": "timestamp", "timestamp": "timestamp_ntz", "long": "bigint"}
"""Types that Iceberg names differently."""

REPLACE: Final = "replace"
"""The operation of a snapshot that moved rows to other files without changing any (compaction)."""


class FieldValue(NamedTuple):
    """One field of a changed file's partition.

    ``type`` is the source column's type as Spark names it; ``value`` is the transform's result as Iceberg
    keeps it (ordinals since 1970 for year, month, day, hour; days for a date, microseconds for a timestamp).
    """

    column: str
    type: str
    transform: str
    value: Any


Partition = tuple[FieldValue, ...]


def snapshots_between(table: Any, since: int, until: int) -> list[Any] | None:
    """The snapshots after ``since`` up to ``until``, or None when that stretch of history is gone.

    ``table`` is Iceberg's own ``Table``; history is gone when snapshots on the way expired, or when ``since``
    is no ancestor of ``until`` (a rollback).
    """
    found: list[Any] = []
    current: int | None = until
    while current != since:
        snapshot = None if current is None else table.snapshot(current)
        if snapshot is None:
            return None
        found.append(snapshot)
        current = snapshot.parentId()
    return found


def changed_partitions(table: Any, since: int, until: int) -> frozenset[Partition] | None:
    """The partitions that gained or lost files between two snapshots; None when history is gone."""
    snapshots = snapshots_between(table, since, until)
    if snapshots is None:
        return None
    specs = _Specs(table)
    return frozenset(
        specs.partition(file)
        for snapshot in snapshots
        if snapshot.operation() != REPLACE
        for file in _changed_files(snapshot, table.io())
    )


def _changed_files(snapshot: Any, io: Any) -> Iterator[Any]:
    yield from _each(snapshot.addedDataFiles(io))
    yield from _each(snapshot.removedDataFiles(io))
    yield from _each(snapshot.addedDeleteFiles(io))
    yield from _each(snapshot.removedDeleteFiles(io))


def _each(iterable: Any) -> Iterator[Any]:
    iterator = iterable.iterator()
    while iterator.hasNext():
        yield iterator.next()


class _Specs:
    """The partition specs of a table, each field as (column, type, transform), read once."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self._fields: dict[int, list[tuple[str, str, str]]] = {}

    def partition(self, file: Any) -> Partition:
        fields = self._of(file.specId())
        values = file.partition()
        return tuple(FieldValue(*field, _plain(values.get(i))) for i, field in enumerate(fields))

    def _of(self, spec_id: int) -> list[tuple[str, str, str]]:
        if spec_id not in self._fields:
            spec = self._table.specs().get(spec_id)
            self._fields[spec_id] = [_describe(spec.schema(), field) for field in _each(spec.fields())]
        return self._fields[spec_id]


def _describe(schema: Any, field: Any) -> tuple[str, str, str]:
    source = schema.findField(field.sourceId())
    if source is None:
        return (field.name(), "unknown", "void")
    type_name = str(source.type().toString())
    return (source.name(), SPARK_NAMES.get(type_name, type_name), field.transform().toString())


def _plain(value: Any) -> Any:
    """A partition value as Python has it; what py4j does not convert (a CharSequence, say) becomes text."""
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
