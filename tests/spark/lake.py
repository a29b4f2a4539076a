"""A lake in a folder: buckets with versions, plans, manifests and runs, for the tests of the Silver job."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from lakehouse import words
from lakehouse_spark.errors import JobFailed
from lakehouse_spark.objects import Head
from lakehouse_spark.silver import promote
from lakehouse_spark.silver_run import Job

DATABASE = "lake_dev_silver"
AS_OF = datetime(2013, 12, 31, 23, 59, 59, tzinfo=UTC)
CSV = {
    "type": "csv", "delimiter": ",", "quote": '"', "escape": '"', "header": True, "encoding": "UTF-8",
    "multiline": False, "null_tokens": ["", "NA"], "decimal": ".", "group": "", "true_tokens": ["true"],
    "false_tokens": ["false"],
}  # fmt: skip


class FolderObjects:
    """A versioned bucket: the current bytes in a folder, where Spark reads them, older ones in memory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.versions: dict[tuple[str, str], bytes] = {}
        self.current: dict[str, Head] = {}

    def put(self, key: str, body: bytes, version_id: str, at: str) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        (path.parent / f".{path.name}.crc").unlink(missing_ok=True)
        self.versions[key, version_id] = body
        self.current[key] = Head(version_id, at, len(body))

    def delete(self, key: str) -> None:
        (self.root / key).unlink()
        del self.current[key]

    def head(self, key: str) -> Head | None:
        path = self.root / key
        if key not in self.current and path.exists():  # written by Spark itself
            return Head("null", "20130101T000000Z", path.stat().st_size)
        return self.current.get(key)

    def read(self, key: str, version_id: str, start: int, length: int) -> bytes:
        body = self.versions.get((key, version_id)) or (self.root / key).read_bytes()
        return body[start:][:length] if start < 0 else body[start : start + length]

    def stream(self, key: str, version_id: str) -> Iterator[bytes]:
        body = self.versions[key, version_id]
        yield from (body[at : at + 1000] for at in range(0, len(body), 1000))

    def uri(self, key: str) -> str:
        return f"file://{self.root}/{key}"

    def get_json(self, key: str) -> Any:
        return json.loads((self.root / key).read_text())

    def put_json(self, key: str, value: object) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))


def column(name: str, kind: str = "string", **more: Any) -> dict[str, Any]:
    plain = {
        "name": name, "type": kind, "source": "file", "source_name": name, "required": False,
        "date_format": None, "timezone": None, "classification": None, "description": None,
    }  # fmt: skip
    return plain | more


def rule(
    name: str, kind: str, columns: list[str], value: object = None, action: str = "quarantine"
) -> dict[str, Any]:
    return {"name": name, "kind": kind, "columns": columns, "value": value, "action": action}


def plan(
    dataset: str, columns: list[dict[str, Any]], rules: list[dict[str, Any]] | None = None, **more: Any
) -> Any:
    """A compiled contract as the compiler makes it: with a rule for malformed rows, types and required columns."""
    implied = [rule("malformed", "malformed", [])]
    implied += [rule(f"{c['name']}_type", "type", [c["name"]]) for c in columns if c["type"] != "string"]
    implied += [rule(f"{c['name']}_required", "required", [c["name"]]) for c in columns if c["required"]]
    form = CSV | more.pop("format", {})
    whole = {
        "plan_version": 1, "dataset": dataset, "contracted": True, "hash": "h", "contract_version": "1.0.0",
        "format": form, "path_pattern": None, "columns": columns, "primary_key": [], "mode": "append",
        "sequence_column": None, "snapshot_group": None, "snapshot_files": None, "evolution": "evolve",
        "rules": implied + (rules or []), "partition_by": [], "bronze_table": True,
    }  # fmt: skip
    return whole | more


@dataclass
class Lake:
    """One dataset's lake. ``put`` gives each object a later S3 time than the one before, unless told."""

    spark: SparkSession
    root: Path
    plan: Any
    clock: int = 0
    runs: int = 0
    pending: list[tuple[str, str]] = field(default_factory=list)
    replaces: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bronze = FolderObjects(self.root / "bronze")
        self.operations = FolderObjects(self.root / "operations")
        self.spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {words.CATALOG}.{DATABASE}")
        for name in (self.dataset, words.quarantine_table(self.dataset)):
            self.spark.sql(f"DROP TABLE IF EXISTS {words.CATALOG}.{DATABASE}.{name} PURGE")

    @property
    def dataset(self) -> str:
        return str(self.plan["dataset"])

    @property
    def silver(self) -> str:
        return f"{words.CATALOG}.{DATABASE}.{self.dataset}"

    @property
    def quarantine(self) -> str:
        return f"{words.CATALOG}.{DATABASE}.{words.quarantine_table(self.dataset)}"

    def put(self, path: str, body: str | bytes, *, at: int | None = None, version: str | None = None) -> str:
        """Put an object below the dataset's folder and let the next run have it; returns its version id."""
        self.clock += 1
        second = self.clock if at is None else at
        version_id = version or f"v{self.clock}"
        raw = body.encode() if isinstance(body, str) else body
        key = f"{self.dataset}/{path}"
        self.bronze.put(
            key, raw, version_id, f"20130101T{second // 3600:02}{second // 60 % 60:02}{second % 60:02}Z"
        )
        self.pending.append((key, version_id))
        return version_id

    def job(self, files: list[tuple[str, str]]) -> Job:
        """A run's manifest and plan on the operations bucket, and its arguments."""
        self.runs += 1
        run_id = f"{self.dataset}-20130101T{self.runs:09}Z-{self.runs:08x}"
        prefix = words.run_prefix(words.promote_writer(self.dataset), run_id)
        manifest = {
            "run_id": run_id,
            "dataset": self.dataset,
            "assets_prefix": "assets/0/",
            "files": [
                {"key": k, "version_id": v, "size_bytes": 0, "replaces": self.replaces.get(k, [])}
                for k, v in files
            ],
        }
        self.operations.put_json(f"{prefix}{words.MANIFEST_FILE}", manifest)
        self.operations.put_json(f"{prefix}{words.PLAN_FILE}", self.plan)
        return Job(
            run_id, self.dataset, f"{prefix}{words.MANIFEST_FILE}", f"{prefix}{words.PLAN_FILE}",
            f"{prefix}{words.REPORT_FILE}", DATABASE, None, AS_OF,
        )  # fmt: skip

    def run(self, job: Job | None = None) -> words.SilverReport:
        """Promote what is pending, as claim, job and complete would together."""
        job = job or self.job(self.pending)
        self.pending = []
        try:
            report = promote(self.spark, job, self.bronze, self.operations)
        except JobFailed as failed:  # the real cause, for whoever reads a failed test
            traceback.print_exception(failed.__context__)
            raise
        for file in report["files"]:
            source_id = file["source_version_id"]
            if file["outcome"] == words.PROMOTED and source_id:
                self.replaces[file["key"]] = [source_id]
            if file["outcome"] == words.PENDING:
                self.pending.append((file["key"], file["version_id"]))
        return report

    def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        """Silver's rows, in object order."""
        frame = self.spark.table(self.silver).orderBy(words.SOURCE_VERSION_ID, words.SOURCE_ROW)
        return [tuple(row) for row in frame.selectExpr(*columns).collect()]

    def bad_rows(self) -> list[tuple[Any, ...]]:
        """Quarantine's rows: row number, broken rules, raw record."""
        frame = self.spark.table(self.quarantine).orderBy(words.SOURCE_VERSION_ID, words.SOURCE_ROW)
        names = (words.SOURCE_ROW, words.BROKEN_RULES, words.RAW_RECORD)
        return [tuple(row) for row in frame.select(*names).collect()]


def outcomes(report: words.SilverReport) -> list[tuple[str, str | None, int, int, int, int]]:
    """A report's files, short: outcome, reason, and the four counts."""
    return [
        (f["outcome"], f["reason"], f["rows"], f["silver_rows"], f["quarantined_rows"], f["superseded_rows"])
        for f in report["files"]
    ]
