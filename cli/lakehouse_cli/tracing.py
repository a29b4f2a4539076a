"""Lineage for a person: the core's trace, with Silver asked through Athena, and the tree that shows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.text import Text
from rich.tree import Tree

from lakehouse.source_sql import source_sql
from lakehouse.store import Store
from lakehouse.trace import ColumnNode, Partition, SilverRead, SourceQuery, Trace, trace
from lakehouse.words import SOURCE_VERSION_ID
from lakehouse_cli import athena, output
from lakehouse_cli.connection import Lake
from lakehouse_cli.core import core_lake
from lakehouse_cli.errors import CommandError, NotFoundError

MAX_SOURCES = 1_000_000
SHOWN_FILES = 12
LAYERS = ("gold", "silver")


def find(lake: Lake, name: str, column: str | None, partition: Partition) -> Trace:
    """Trace a table (``gold.x``, ``silver.x``, or ``x``), a column or partition of it to object versions."""
    core = core_lake(lake)

    def ask(query: SourceQuery) -> Iterable[str]:
        return _source_ids(lake, query)

    def kept(dataset: str) -> set[int]:
        sql = f'SELECT snapshot_id FROM "{dataset}$snapshots"'  # noqa: S608 - a dataset of the lineage table
        found = athena.run(lake, sql, layer="silver", max_rows=MAX_SOURCES)
        return {int(str(row[0])) for row in found.rows}

    return trace(core.lineage, core.ledger, ask, full_name(core.lineage, name), column, partition, kept)


def full_name(store: Store, name: str) -> str:
    """The table's name with its layer; a bare name is looked for in Gold, then in Silver."""
    if name.startswith(tuple(f"{layer}." for layer in LAYERS)):
        return name
    for layer in LAYERS:
        if store.get((f"TABLE#{layer}.{name}", "COLUMNS")) is not None:
            return f"{layer}.{name}"
    raise NotFoundError(f"No run has written a table {name}. `lakehouse status` lists the datasets.")


def _source_ids(lake: Lake, query: SourceQuery) -> list[str]:
    """The distinct source version ids of a part of a Silver table, through Athena."""
    database = lake.name("SilverDatabaseName")
    table = lake.client("glue").get_table(DatabaseName=database, Name=query.dataset)["Table"]
    columns = [*table["StorageDescriptor"].get("Columns", []), *table.get("PartitionKeys", [])]
    types = {column["Name"]: column["Type"] for column in columns}
    sql = source_sql(query, database, types)
    found = athena.run(lake, sql, layer="silver", max_rows=MAX_SOURCES)
    if found.truncated:
        raise CommandError(
            f"More than {MAX_SOURCES:,} files are behind it. Name a partition with --partition."
        )
    return [str(row[found.columns.index(SOURCE_VERSION_ID)]) for row in found.rows]


def as_tree(found: Trace, *, every_file: bool) -> Tree:
    """The trace as a tree: columns down to Bronze, then runs, then the object versions behind the rows."""
    where = "/".join(f"{name}={value}" for name, value in found.partition.items())
    head = f"{found.table}{'.' + found.column if found.column else ''}{f' ({where})' if where else ''}"
    tree = Tree(Text(output.visible(head), style="bold"))
    columns = tree.add("made of")
    if found.column:
        for node in found.columns:
            _add_columns(columns, node.sources)
    else:
        for table, names in _tables(found.columns).items():
            columns.add(f"{table}: {', '.join(sorted(names))}")
    if found.decided_by and found.column:
        deciding = tree.add("rows decided by")
        for node in found.decided_by:
            deciding.add(_label(node))
    runs = tree.add("written by")
    for run in found.runs:
        parts = f", partitions {len(run.partitions)}" if run.partitions and "*" not in run.partitions else ""
        runs.add(output.visible(f"{run.table}: run {run.run_id}, snapshot {run.snapshot_id}{parts}"))
    for read in found.silver:
        _add_files(tree, read, every_file=every_file)
    if found.unknown:
        tree.add(f"{len(found.unknown)} source versions that the ledger does not know")
    return tree


def _label(node: ColumnNode) -> str:
    return output.visible(f"{node.name}  [{node.transformation.lower().replace('_', ' ')}]")


def _add_columns(tree: Tree, nodes: Iterable[ColumnNode]) -> None:
    for node in nodes:
        _add_columns(tree.add(_label(node)), node.sources)


def _tables(nodes: Iterable[ColumnNode]) -> dict[str, set[str]]:
    """The columns that the nodes come from directly, by table."""
    found: dict[str, set[str]] = {}
    for source in (source for node in nodes for source in node.sources):
        table, _, column = source.name.rpartition(".")
        found.setdefault(table, set()).add(column)
    return found


def _add_files(tree: Tree, read: SilverRead, *, every_file: bool) -> None:
    query = read.query
    where = "/".join(f"{name}={value}" for name, value in query.where.items())
    snapshot = f" at snapshot {query.snapshot_id}" if query.snapshot_id is not None else " as it is now"
    part = f" ({where})" if where else ""
    count = f"{len(read.objects)} object version{'' if len(read.objects) == 1 else 's'}"
    branch = tree.add(output.visible(f"silver.{query.dataset}{part}{snapshot}: rows of {count}"))
    by_key = sorted(read.objects, key=lambda each: each.key)
    shown = by_key if every_file else by_key[:SHOWN_FILES]
    for each in shown:
        branch.add(output.visible(f"{each.key}  version {each.version_id}  (run {each.run_id})"))
    if len(shown) < len(read.objects):
        branch.add(f"... and {len(read.objects) - len(shown)} more (--all)")


def as_json(found: Trace) -> dict[str, Any]:
    """The shape of ``lineage --json``."""
    return {
        "table": found.table,
        "column": found.column,
        "partition": found.partition,
        "columns": [_node_json(node) for node in found.columns],
        "decided_by": [_node_json(node) for node in found.decided_by],
        "runs": [{**vars(run), "partitions": list(run.partitions)} for run in found.runs],
        "silver": [
            {
                "dataset": read.query.dataset,
                "snapshot_id": read.query.snapshot_id,
                "where": read.query.where,
                "objects": [vars(each) for each in read.objects],
            }
            for read in found.silver
        ],
        "unknown": list(found.unknown),
    }


def _node_json(node: ColumnNode) -> dict[str, Any]:
    sources = [_node_json(source) for source in node.sources]
    return {"name": node.name, "transformation": node.transformation or None, "sources": sources}
