"""Iceberg tables of the Glue Data Catalog: look for a marker in main's history, drop a branch.

PyIceberg does the format; its S3 access is replaced by a few lines of boto3 so that the layer needs neither
s3fs nor PyArrow. Only metadata files are read and written here, never data. PyIceberg is imported when it is
first needed, because only recovery needs it.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from lakehouse.errors import AwsError
from lakehouse.lake import Commit
from lakehouse.words import MARKER_RUN

from .calls import aws_call

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_s3 import S3Client

COMMIT_ATTEMPTS = 5
MAIN = "main"


class GlueTables:
    """The Iceberg tables behind two clients."""

    def __init__(self, glue: GlueClient, s3: S3Client) -> None:
        self._glue = glue
        self._s3 = s3

    def names(self, database: str) -> list[str]:
        """The Iceberg tables of a database."""
        with aws_call("glue", "GetTables"):
            return [name for _, name in self._catalog.list_tables(database)]

    def drop_branch(self, database: str, table: str, branch: str) -> bool:
        """Remove a branch; say whether it was there. A writer that comes late cannot commit to it."""
        from pyiceberg.exceptions import CommitFailedException

        for _ in range(COMMIT_ATTEMPTS):
            loaded = self._load(database, table)
            if loaded is None or branch not in loaded.metadata.refs:
                return False
            try:
                with aws_call("glue", "UpdateTable"), loaded.manage_snapshots() as snapshots:
                    snapshots.remove_branch(branch)
            except CommitFailedException:
                continue  # somebody committed meanwhile: look again
            return True
        raise AwsError("glue", "UpdateTable", "CommitFailedException")

    def has_marker(self, database: str, table: str, run_id: str) -> bool:
        """Whether main's history holds the marker commit of a run."""
        return any(commit.summary.get(MARKER_RUN) == run_id for commit in self.history(database, table))

    def history(self, database: str, table: str) -> list[Commit]:
        """Main's snapshots, newest first; [] if there is no such table."""
        loaded = self._load(database, table)
        if loaded is None or MAIN not in loaded.metadata.refs:
            return []
        by_id = {snapshot.snapshot_id: snapshot for snapshot in loaded.metadata.snapshots}
        found, current = [], by_id.get(loaded.metadata.refs[MAIN].snapshot_id)
        while current is not None:
            summary = current.summary.additional_properties if current.summary else {}
            found.append(Commit(summary, current.timestamp_ms))
            current = by_id.get(current.parent_snapshot_id)
        return found

    def _load(self, database: str, table: str) -> Any | None:
        from pyiceberg.exceptions import NoSuchTableError

        try:
            with aws_call("glue", "GetTable"):
                return self._catalog.load_table((database, table))
        except NoSuchTableError:
            return None

    @cached_property
    def _catalog(self) -> Any:
        from .iceberg_io import Catalog

        return Catalog(self._glue, self._s3)
