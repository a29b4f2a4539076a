# ruff: noqa: S608 - every name and text is quoted by twin.athena.sql
"""Iceberg tables and their metadata tables (``t$snapshots`` ...), read by DuckDB from a metadata file.

Columns of the metadata tables: https://docs.aws.amazon.com/athena/latest/ug/querying-iceberg-table-metadata.html.
"""

from __future__ import annotations

import json
from typing import Any, Final

import duckdb

from twin.athena.errors import QueryError
from twin.athena.sql import quoted, row_set, text

DELETED: Final = 2
"""The status of a manifest's entry whose file is no longer part of the table."""


class IcebergTable:
    """One table at one metadata file (its address and its content)."""

    def __init__(
        self, location: str, metadata: dict[str, Any], connection: duckdb.DuckDBPyConnection
    ) -> None:
        self._location = location
        self._metadata = metadata
        self._connection = connection
        self._snapshots: dict[int, dict[str, Any]] = {
            snapshot["snapshot-id"]: snapshot for snapshot in metadata.get("snapshots", [])
        }

    def snapshot(self, snapshot_id: int | None = None, as_of_ms: int | None = None) -> dict[str, Any] | None:
        """The snapshot of that id, or of that moment, or the current one; None for a table without any."""
        if snapshot_id is not None:
            if snapshot_id not in self._snapshots:
                raise QueryError("INVALID_ARGUMENTS", f"Iceberg snapshot ID does not exists: {snapshot_id}")
            return self._snapshots[snapshot_id]
        if as_of_ms is not None:
            known = [entry for entry in self._metadata["snapshot-log"] if entry["timestamp-ms"] <= as_of_ms]
            if not known:
                raise QueryError("INVALID_ARGUMENTS", "No version history table at or before that timestamp")
            return self._snapshots[known[-1]["snapshot-id"]]
        return self._snapshots.get(self._metadata.get("current-snapshot-id") or -1)

    def size_bytes(self, snapshot: dict[str, Any] | None) -> int:
        """All data files of a snapshot."""
        return int(snapshot["summary"].get("total-files-size", 0)) if snapshot else 0

    def relation(self, snapshot: dict[str, Any]) -> str:
        """The rows of a snapshot."""
        is_current = snapshot["snapshot-id"] == self._metadata.get("current-snapshot-id")
        at = "" if is_current else f", snapshot_from_id => {snapshot['snapshot-id']}"
        return f"SELECT * FROM iceberg_scan({text(self._location)}{at})"

    def metadata_relation(self, name: str) -> str | None:
        """The rows of a metadata table; None for a name that is none."""
        makers = {
            "snapshots": self._snapshots_relation,
            "history": self._history_relation,
            "refs": self._refs_relation,
            "manifests": self._manifests_relation,
            "files": self._files_relation,
            "partitions": self._partitions_relation,
        }
        return makers[name]() if name in makers else None

    def _snapshots_relation(self) -> str:
        columns = {
            "committed_at": "BIGINT", "snapshot_id": "BIGINT", "parent_id": "BIGINT", "operation": "VARCHAR",
            "manifest_list": "VARCHAR", "summary": "VARCHAR",
        }  # fmt: skip
        rows = [
            (
                entry["timestamp-ms"], entry["snapshot-id"], entry.get("parent-snapshot-id"),
                entry["summary"]["operation"], entry["manifest-list"], _pairs(entry["summary"]),
            )
            for entry in self._snapshots.values()
        ]  # fmt: skip
        moments = "make_timestamptz(committed_at * 1000) AS committed_at"
        pairs = (
            "from_json(summary, '[[\"VARCHAR\"]]').list_transform(lambda pair: {'k': pair[1], 'v': pair[2]})"
        )
        replaced = f"{moments}, map_from_entries({pairs}) AS summary"
        return f"SELECT * REPLACE ({replaced}) FROM ({row_set(columns, rows)})"

    def _history_relation(self) -> str:
        columns = {
            "made_current_at": "BIGINT", "snapshot_id": "BIGINT", "parent_id": "BIGINT",
            "is_current_ancestor": "BOOLEAN",
        }  # fmt: skip
        ancestors = self._ancestors()
        rows = [
            (
                entry["timestamp-ms"], entry["snapshot-id"],
                self._snapshots.get(entry["snapshot-id"], {}).get("parent-snapshot-id"),
                entry["snapshot-id"] in ancestors,
            )
            for entry in self._metadata.get("snapshot-log", [])
        ]  # fmt: skip
        moments = "make_timestamptz(made_current_at * 1000) AS made_current_at"
        return f"SELECT * REPLACE ({moments}) FROM ({row_set(columns, rows)})"

    def _ancestors(self) -> set[int]:
        found: set[int] = set()
        current = self._metadata.get("current-snapshot-id")
        while current in self._snapshots:
            found.add(current)
            current = self._snapshots[current].get("parent-snapshot-id")
        return found

    def _refs_relation(self) -> str:
        columns = {
            "name": "VARCHAR", "type": "VARCHAR", "snapshot_id": "BIGINT",
            "max_reference_age_in_ms": "BIGINT", "min_snapshots_to_keep": "INTEGER",
            "max_snapshot_age_in_ms": "BIGINT",
        }  # fmt: skip
        keys = ("snapshot-id", "max-ref-age-ms", "min-snapshots-to-keep", "max-snapshot-age-ms")
        rows = [
            (name, ref["type"].upper(), *(ref.get(key) for key in keys))
            for name, ref in self._metadata.get("refs", {}).items()
        ]
        return row_set(columns, rows)

    def _manifests_relation(self) -> str:
        snapshot = self.snapshot()
        names = {
            "manifest_path": "path", "manifest_length": "length", "partition_spec_id": "partition_spec_id",
            "added_snapshot_id": "added_snapshot_id", "added_files_count": "added_data_files_count",
            "existing_files_count": "existing_data_files_count",
            "deleted_files_count": "deleted_data_files_count",
        }  # fmt: skip
        if snapshot is None:
            return row_set(dict.fromkeys(names.values(), "BIGINT"), [])
        chosen = ", ".join(f"{quoted(name)} AS {quoted(shown)}" for name, shown in names.items())
        return f"SELECT {chosen} FROM read_avro({text(snapshot['manifest-list'])})"

    def _files(self, fields: str) -> str | None:
        """``fields`` of every live file of the current snapshot; None for a table without files."""
        snapshot = self.snapshot()
        if snapshot is None:
            return None
        listed = f"SELECT manifest_path FROM read_avro({text(snapshot['manifest-list'])})"
        parts = [
            f"SELECT {fields} FROM read_avro({text(str(row[0]))}) WHERE status <> {DELETED}"
            for row in self._connection.execute(listed).fetchall()
        ]
        return " UNION ALL ".join(parts) or None

    def _files_relation(self) -> str:
        columns = {
            "content": "INTEGER", "file_path": "VARCHAR", "file_format": "VARCHAR", "record_count": "BIGINT",
            "file_size_in_bytes": "BIGINT",
        }  # fmt: skip
        fields = (f"CAST(data_file.{name} AS {kind}) AS {name}" for name, kind in columns.items())
        return self._files(", ".join(fields)) or row_set(columns, [])

    def _partitions_relation(self) -> str:
        columns = {"record_count": "BIGINT", "file_count": "BIGINT", "total_size": "BIGINT"}
        files = self._files("data_file")
        if files is None:
            return row_set(columns, [])
        sums = (
            "CAST(sum(data_file.record_count) AS BIGINT) AS record_count, count(*) AS file_count, "
            "CAST(sum(data_file.file_size_in_bytes) AS BIGINT) AS total_size"
        )
        specs = {spec["spec-id"]: spec["fields"] for spec in self._metadata["partition-specs"]}
        rows = f"FROM ({files}) WHERE data_file.content = 0"
        if not specs[self._metadata["default-spec-id"]]:
            return f"SELECT {sums} {rows}"
        return f"SELECT data_file.partition AS partition, {sums} {rows} GROUP BY ALL"


def _pairs(summary: dict[str, str]) -> str:
    """A snapshot's summary as JSON pairs, without the operation, which has a column of its own."""
    return json.dumps([[key, value] for key, value in summary.items() if key != "operation"])
