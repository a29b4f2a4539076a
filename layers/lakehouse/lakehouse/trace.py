"""From a table, a column or a partition back to the object versions behind it, and forward to what it feeds.

Columns come from the lineage table's edges; rows come from Silver itself: every row there carries its
`_source_version_id`, which the ledger knows by key and version id. How the rows of a Silver partition are
asked for is the caller's: see `SourceQuery`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from .errors import LineageUnknown
from .ledger import Ledger
from .lineage import EVERYTHING
from .plans import WHOLE_ROW
from .store import Item, Store

TIME: Final = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9]{2})?)?)?")

Partition = dict[str, str]
"""Values of partition columns, as text: ``{"year": "2013", "month": "1"}``."""


@dataclass(frozen=True)
class SourceQuery:
    """Which ``_source_version_id`` stand in a Silver table's partition.

    ``snapshot_id`` is None for the table as it is now; an empty ``where`` means the whole table. Rows of the
    partitions in ``without`` do not count: a later run rewrote what was made of them. ``timezone`` is that of
    the days and months among the values.
    """

    dataset: str
    snapshot_id: int | None
    where: Partition
    without: tuple[Partition, ...] = ()
    timezone: str = "UTC"


AskSources = Callable[[SourceQuery], Iterable[str]]
"""Answers a ``SourceQuery`` with the distinct source version ids."""
AskSnapshots = Callable[[str], Collection[int]]
"""Answers with the ids of the snapshots of a dataset's Silver table that have not expired."""


@dataclass(frozen=True)
class ColumnNode:
    """A column and what it comes from; ``transformation`` is how the column above uses it ('' at the top)."""

    name: str
    transformation: str
    sources: tuple[ColumnNode, ...] = ()


@dataclass(frozen=True)
class WritingRun:
    """A run that wrote the rows asked for. ``partitions`` are those it rewrote; ``*`` is the whole table."""

    table: str
    run_id: str
    snapshot_id: int
    at: str
    partitions: tuple[str, ...]
    event: str


@dataclass(frozen=True)
class SourceObject:
    """One object version: its key and version id, the run that promoted it, its name in the rows."""

    key: str
    version_id: str
    run_id: str
    source_version_id: str


@dataclass(frozen=True)
class SilverRead:
    """A Silver table as it was read, and the object versions of the rows that were read."""

    query: SourceQuery
    objects: tuple[SourceObject, ...]


@dataclass(frozen=True)
class Trace:
    """The answer: the columns' tree, the runs from the table back to Silver, what each Silver table gave.

    ``unknown`` holds source version ids of rows that the ledger does not know.
    """

    table: str
    column: str | None
    partition: Partition
    columns: tuple[ColumnNode, ...]
    decided_by: tuple[ColumnNode, ...]
    runs: tuple[WritingRun, ...]
    silver: tuple[SilverRead, ...]
    unknown: tuple[str, ...]


def parse_partition(text: str) -> Partition:
    """``year=2013/month=1`` (or with commas) as values by column. Raises ``ValueError``."""
    partition: Partition = {}
    for part in text.replace(",", "/").strip("/").split("/"):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise ValueError("write a partition as column=value, several with / between them")
        partition[name.strip()] = value.strip()
    return partition


# --- Columns ----------------------------------------------------------------------------------


def table_columns(store: Store, table: str) -> list[str]:
    """The columns of a table (``gold.x``) that lineage knows. Raises ``LineageUnknown``."""
    item = store.get((f"TABLE#{table}", "COLUMNS"))
    if item is None:
        raise LineageUnknown(f"no run has written {table} yet")
    return [column for column in item["columns"] if column != WHOLE_ROW]


def upstream(store: Store, column: str) -> ColumnNode:
    """The tree of columns that a column (``gold.x.c``) comes from."""
    return ColumnNode(column, "", tuple(_follow(store, column, "FROM#", frozenset({column}))))


def downstream(store: Store, column: str) -> ColumnNode:
    """The tree of columns that a column feeds: what a change of it would reach."""
    return ColumnNode(column, "", tuple(_follow(store, column, "TO#", frozenset({column}))))


def _follow(store: Store, column: str, way: str, seen: frozenset[str]) -> Iterator[ColumnNode]:
    """The columns one step further, each with its own. A count of rows comes from what decides the rows."""
    items = list(store.query(f"COLUMN#{column}", begins=way))
    table, _, name = column.rpartition(".")
    if not items and way == "FROM#" and name != WHOLE_ROW:
        items = list(store.query(f"COLUMN#{table}.{WHOLE_ROW}", begins=way))
    for item in items:
        name = item["sk"].removeprefix(way)
        if name not in seen:
            sources = tuple(_follow(store, name, way, seen | {name}))
            yield ColumnNode(name, item["transformation"], sources)


def impact(store: Store, table: str, column: str | None = None) -> list[str]:
    """The tables that would feel a change of a table, or of one of its columns; nearest first."""
    waiting = [f"{table}.{name}" for name in ([column] if column else table_columns(store, table))]
    seen, tables = set(waiting), dict[str, None]()
    while waiting:
        for target in _fed(store, waiting.pop(0)):
            tables.setdefault(target.rpartition(".")[0])
            if target not in seen:
                seen.add(target)
                waiting.append(target)
    return list(tables)


def _fed(store: Store, column: str) -> Iterator[str]:
    """The columns a column feeds; one that decides about rows touches every column of its table."""
    for item in store.query(f"COLUMN#{column}", begins="TO#"):
        target = item["sk"].removeprefix("TO#")
        table, _, name = target.rpartition(".")
        if name != WHOLE_ROW:
            yield target
        else:
            yield from (f"{table}.{other}" for other in table_columns(store, table))


# --- Rows -------------------------------------------------------------------------------------


@dataclass
class _Search:
    store: Store
    runs: dict[tuple[str, str], WritingRun] = field(default_factory=dict)
    queries: dict[str, SourceQuery] = field(default_factory=dict)

    def note_run(self, table: str, run: Item) -> None:
        """Remember a run of the answer."""
        self.runs[table, run["run_id"]] = WritingRun(
            table, run["run_id"], run["snapshot_id"], run["at"], tuple(run["partitions"]), run["event"]
        )

    def note_query(self, query: SourceQuery) -> None:
        """Remember a question to Silver, once."""
        self.queries.setdefault(repr(query), query)


def trace(
    store: Store,
    ledger: Ledger,
    ask: AskSources,
    table: str,
    column: str | None = None,
    partition: Partition | None = None,
    kept: AskSnapshots | None = None,
) -> Trace:
    """Name what is behind a table (``gold.x`` or ``silver.x``), one of its columns, or a partition of it.

    Arguments: ``store`` is the lineage table. Where ``kept`` does not name the snapshot that a run read, it
    has expired, and Silver is asked as it is now: what changed since then in that part, a later run made
    again. Raises ``LineageUnknown`` for a table or column that no run has written.
    """
    columns = table_columns(store, table)
    if column is not None and column not in columns:
        raise LineageUnknown(f"{table} has no column '{column}'")
    chosen = [column] if column else columns
    nodes = tuple(upstream(store, f"{table}.{name}") for name in chosen)
    decided = upstream(store, f"{table}.{WHOLE_ROW}").sources
    search = _Search(store)
    wanted = _tables_behind(nodes) or _tables_behind(decided)
    if table.startswith("silver."):
        _silver_now(search, table, partition or {})
    else:
        _gold(search, table, _Part(partition or {}), None, wanted)
    queries = search.queries.values() if kept is None else _answerable(search.queries.values(), kept)
    reads, unknown = _objects(ledger, ask, queries)
    return Trace(
        table=table,
        column=column,
        partition=partition or {},
        columns=nodes,
        decided_by=decided,
        runs=tuple(search.runs.values()),
        silver=tuple(reads),
        unknown=tuple(unknown),
    )


def _tables_behind(nodes: Iterable[ColumnNode]) -> set[str]:
    tables: set[str] = set()
    for node in nodes:
        for source in node.sources:
            tables.add(source.name.rpartition(".")[0])
            tables |= _tables_behind([source])
    return tables


def _silver_now(search: _Search, table: str, partition: Partition) -> None:
    newest = next(search.store.query(f"TABLE#{table}", begins="RUN#", newest_first=True), None)
    if newest is not None:
        search.note_run(table, newest)
    search.note_query(SourceQuery(table.partition(".")[2], None, partition))


@dataclass(frozen=True)
class _Part:
    """A part of a table: the rows with these values, without those of some partitions."""

    values: Partition
    without: tuple[Partition, ...] = ()

    def of_input(self, details: Mapping[str, Any]) -> _Part:
        """The part of an input that this part was made of: all of it where no mapping narrows it down."""
        mapping = details.get("mapping")
        if not mapping or details.get("lookback"):
            return _Part({})
        whole = [part for part in self.without if part.keys() <= set(mapping.values())]
        return _Part(_mapped(mapping, self.values), tuple(_mapped(mapping, part) for part in whole))


def _mapped(mapping: Mapping[str, str], values: Partition) -> Partition:
    return {source: values[output] for source, output in mapping.items() if output in values}


def _gold(search: _Search, table: str, part: _Part, before: str | None, wanted: set[str]) -> None:
    """Find the runs that wrote the rows, newest first, and go on to what each of them read.

    ``before`` limits to runs that were no later than a run that read the table.
    """
    for run, written in _writing_runs(search.store, table, part, before):
        search.note_run(table, run)
        for name, details in json.loads(run["inputs"]).items():
            layer, _, source = name.partition(".")
            if name not in wanted:
                continue
            read = written.of_input(details)
            if layer == "silver":
                zone = details.get("timezone", "UTC")
                query = SourceQuery(source, details["snapshot_id"], read.values, read.without, zone)
                search.note_query(query)
            else:
                _gold(search, name, read, run["run_id"], wanted)


def _writing_runs(store: Store, table: str, part: _Part, before: str | None) -> Iterator[tuple[Item, _Part]]:
    """The runs whose rows stand in a part of a table, each with what of it that run wrote last.

    A partition named whole has one such run; one named in part, or a whole table, may have several.
    """
    covered = list(part.without)
    for run in store.query(f"TABLE#{table}", begins="RUN#", newest_first=True):
        if before is not None and run["run_id"] > before:
            continue
        if EVERYTHING in run["partitions"]:
            yield run, _Part(part.values, tuple(covered))
            return
        for values in map(parse_partition, run["partitions"]):
            if values not in covered and _agree(values, part.values):
                covered.append(values)
                yield run, _Part(values)
                if values.keys() <= part.values.keys():
                    return


def _agree(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return all(_same(one[name], other[name]) for name in one.keys() & other.keys())


def _same(one: str, other: str) -> bool:
    """Equal, or a time within a longer one: a day of the month that a partition is."""
    short, long = sorted((one, other), key=len)
    within = long.startswith(short) and TIME.fullmatch(short) and TIME.fullmatch(long)
    return one == other or bool(within)


def _answerable(queries: Iterable[SourceQuery], kept: AskSnapshots) -> Iterator[SourceQuery]:
    """The questions, each at a snapshot that is there; none is asked twice."""
    known: dict[str, Collection[int]] = {}
    asked: set[str] = set()
    for query in queries:
        if query.snapshot_id is not None and query.dataset not in known:
            known[query.dataset] = kept(query.dataset)
        there = query.snapshot_id is None or query.snapshot_id in known[query.dataset]
        now = query if there else replace(query, snapshot_id=None)
        if repr(now) not in asked:
            asked.add(repr(now))
            yield now


def _objects(
    ledger: Ledger, ask: AskSources, queries: Iterable[SourceQuery]
) -> tuple[list[SilverRead], list[str]]:
    reads: list[SilverRead] = []
    unknown: list[str] = []
    for query in queries:
        ids = sorted(set(ask(query)))
        items = ledger.sources(query.dataset, ids)
        unknown += [source_id for source_id in ids if source_id not in items]
        reads.append(SilverRead(query, tuple(_object(items[each]) for each in ids if each in items)))
    return reads, unknown


def _object(item: Item) -> SourceObject:
    return SourceObject(item["key"], item["version_id"], item["run_id"], item["sk"])
