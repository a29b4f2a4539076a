"""A promote run: from a manifest of object versions to published rows and a report.

The order of things is what makes it safe to die anywhere: quarantine is published before Silver, the
report is written before either, every object's version is checked again before, and Silver's marker is
the one proof of success. Spark actions of a run, at most six: count (and cache) the parsed rows; resolve
keys and unique rules; append to quarantine; delete from quarantine; append to Silver; delete from Silver.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from typing import Final
from urllib.parse import quote

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Column as PySparkColumn
from pyspark.sql import DataFrame, Row, SparkSession, functions

from lakehouse import words
from lakehouse_spark import order, publish, write
from lakehouse_spark.cast import literals, quoted
from lakehouse_spark.choose import (
    Settled,
    changed_files,
    current_files,
    newest_group,
    readable_files,
    stage_zstd,
)
from lakehouse_spark.errors import CountsDiffer, JobFailed, StillChanging
from lakehouse_spark.failure import failure_of, is_environment, jvm_text
from lakehouse_spark.objects import Head, Objects
from lakehouse_spark.parse import KEY, RAW, UNKNOWN, parsed, reading
from lakehouse_spark.preflight import Source, is_damaged
from lakehouse_spark.read import groups_of, parquet_fields
from lakehouse_spark.rules import KEEP_OUT
from lakehouse_spark.schema import (
    MAX_COLUMNS,
    Column,
    adds_columns,
    keeps_rescued,
    known_columns,
    new_columns,
    normal_name,
)
from lakehouse_spark.session import configure

MARKER_GROUP: Final = "lakehouse.snapshot-group"
"""Snapshot mode: JSON object ``{"group": ..., "order": ...}`` of the group of files the table holds."""
NO_SNAPSHOT: Final = -1
MAX_ATTEMPTS: Final = 5
SMALL_BATCH_BYTES: Final = 64 * 1024 * 1024
EXPANSION: Final = {"gzip": 6, "bzip2": 8}
"""Roughly how many bytes of text a compressed byte stands for."""


@dataclass(frozen=True)
class Job:
    """What a run was asked to do. ``silver_root`` is the folder of the tables (None: the catalog decides)."""

    run_id: str
    dataset: str
    manifest_key: str
    plan_key: str
    report_key: str
    database: str
    silver_root: str | None
    as_of: datetime

    @property
    def silver(self) -> str:
        """Silver's table."""
        return f"{words.CATALOG}.{self.database}.{self.dataset}"

    @property
    def quarantine(self) -> str:
        """Quarantine's table."""
        return f"{words.CATALOG}.{self.database}.{words.quarantine_table(self.dataset)}"

    @property
    def branch(self) -> str:
        """The run's branch, in both tables."""
        return words.run_branch(self.run_id)


@dataclass
class Tally:
    """Counts of one file. ``broken``: rows per rule, by the rule's bit; ``fields``: unknown JSON fields."""

    rows: int = 0
    bad: int = 0
    unique: int = 0
    superseded: int = 0
    broken: Counter[int] = field(default_factory=Counter)
    fields: set[str] = field(default_factory=set)

    @property
    def quarantined(self) -> int:
        """Rows that went to quarantine."""
        return self.bad + self.unique

    @property
    def silver(self) -> int:
        """Rows that went to Silver."""
        return self.rows - self.quarantined - self.superseded


@dataclass(frozen=True)
class Frames:
    """What is to be written. ``rows`` have ``__state`` where keys or unique rules were resolved."""

    silver: DataFrame
    quarantine: list[DataFrame]
    displaced: DataFrame | None
    winners: DataFrame | None


class Run:
    """One promote run: its state, and its steps."""

    def __init__(self, spark: SparkSession, job: Job, bronze: Objects, operations: Objects) -> None:
        self.spark, self.job, self.bronze, self.operations = spark, job, bronze, operations
        self.manifest: words.Manifest = operations.get_json(job.manifest_key)
        self.plan: words.DatasetPlan = operations.get_json(job.plan_key)
        self.sources: list[Source] = []
        self.outcomes: dict[tuple[str, str], words.FileOutcome] = {}
        self.tallies: dict[str, Tally] = {}
        self.how = reading(self.plan, [])
        self.table: dict[str, str] = {}
        self.columns: list[Column] = []
        self.group: dict[str, str] | None = None
        self.replaces_table = False
        self.staged: dict[str, tuple[Objects, str, Head]] = {}
        self.step, self.seconds, self.actions = "start", dict[str, float](), 0

    # --- what became of files -------------------------------------------------------------------

    def settle(self, settled: Iterable[Settled]) -> bool:
        """Take files out of the run. Tells whether there were any."""
        out = list(settled)
        for one in out:
            tally = self.tallies.get(one.source_version_id or "", Tally())
            self.outcomes[one.key, one.version_id] = {
                "key": one.key, "version_id": one.version_id, "source_version_id": one.source_version_id,
                "outcome": one.outcome, "reason": one.reason, "rows": tally.rows,
                "silver_rows": 0, "quarantined_rows": 0, "superseded_rows": 0,
            }  # fmt: skip
        self.sources = [s for s in self.sources if (s.key, s.version_id) not in self.outcomes]
        return bool(out)

    def reject(self, sources: Iterable[Source], reason: str) -> bool:
        """Files are REJECTED."""
        return self.settle(
            [Settled(s.key, s.version_id, s.source_version_id, "REJECTED", reason) for s in sources]
        )

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Name the step, for a failure, and add up its seconds, for the report."""
        self.step, start = step, time.monotonic()
        yield
        self.seconds[step] = round(self.seconds.get(step, 0.0) + time.monotonic() - start, 3)

    @property
    def live(self) -> list[str]:
        """``_source_version_id`` of the files that still take part."""
        return [source.source_version_id for source in self.sources]

    @property
    def text_bytes(self) -> int:
        """The input's size as plain text."""
        return sum(s.size_bytes * EXPANSION.get(s.compression or "", 1) for s in self.sources)

    @property
    def partitioned(self) -> bool:
        """Whether Silver is partitioned."""
        return bool(self.plan["partition_by"])

    @property
    def resolves(self) -> bool:
        """Whether rows compete: by primary key or by a rule that holds for the whole table."""
        return bool(self.plan["primary_key"] or self.how.book.of_kind("unique"))

    # --- the run --------------------------------------------------------------------------------

    def promote(self) -> words.SilverReport:
        """Do all of it. A run that was published before is not done again."""
        table = self.table_columns(self.job.silver)
        if table and publish.published_snapshot(self.spark, self.job.silver, self.job.run_id) is not None:
            done: words.SilverReport = self.operations.get_json(self.job.report_key)
            return done
        self.table = table
        self.choose()
        for _ in range(MAX_ATTEMPTS):
            if not self.sources:
                return self.report({}, published=False)
            frame = self.count()
            while frame is not None and self.sources:  # every time round at least one file is left out
                if (report := self.write(frame)) is not None:
                    return report
        raise StillChanging(f"files of {self.job.dataset} changed in each of {MAX_ATTEMPTS} attempts")

    def table_columns(self, table: str) -> dict[str, str]:
        """Name and type of a table's columns; empty when there is no table."""
        if not self.spark.catalog.tableExists(table):
            return {}
        return {field.name: field.dataType.simpleString() for field in self.spark.table(table).schema.fields}

    def choose(self) -> None:
        """Find the files to be read."""
        with self.timed("heads"):
            self.sources, gone = current_files(self.bronze, self.manifest["files"])
            self.settle(gone)
        configure(self.spark, self.text_bytes)
        with self.timed("preflight"):
            prefix = self.job.report_key.rpartition("/")[0] + "/staged/"
            self.staged, damaged = stage_zstd(self.spark, self.operations, self.sources, prefix)
            self.settle(damaged)
            self.sources, refused = readable_files(
                self.bronze, self.staged, self.sources, self.plan, lambda uri: parquet_fields(self.spark, uri)
            )
            self.settle(refused)
            if self.plan["mode"] == "snapshot":
                self.choose_group()

    def empty_staged(self) -> None:
        """Leave nothing but names of the decompressed copies: the bucket's rule for old versions does the
        rest.
        """
        for operations, key, _ in self.staged.values():
            operations.put_json(key, None)

    def choose_group(self) -> None:
        """Snapshot mode: keep the newest complete group."""
        held = publish.main_summary(self.spark, self.job.silver, MARKER_GROUP) if self.table else None
        chosen = newest_group(self.sources, self.plan, json.loads(held) if held else None)
        self.settle(chosen.settled)
        self.group, self.replaces_table = chosen.group, chosen.replaces_table

    # --- reading and counting -------------------------------------------------------------------

    def count(self) -> DataFrame | None:
        """Parse all files once, cached, and count per file. None: files had to be left out, try again."""
        groups = groups_of(self.sources)
        columns = known_columns(self.plan, self.table)
        if adds_columns(self.plan):
            columns += new_columns(columns, [group.fields for group in groups])
        self.how = reading(self.plan, columns)
        with self.timed("read"):
            try:
                frame = parsed(self.spark, groups, self.how).persist()
                self.tally(frame)
            except (PySparkException, Py4JError) as error:
                self.spark.catalog.clearCache()
                self.settle_culprits(error)
                return None
        self.settle(changed_files(self.bronze, self.sources))
        self.judge()
        return frame

    def tally(self, frame: DataFrame) -> None:
        """One grouped count over the parsed rows: rows, bad rows, broken rules per file."""
        bits = self.how.book.bit_columns
        counted = [functions.count(functions.lit(1)).alias("n"), functions.expr(self.bad).alias("bad")]
        if self.how.finds_columns:
            keys = functions.flatten(functions.collect_set(functions.map_keys(UNKNOWN)))
            counted.append(functions.array_distinct(keys).alias("fields"))
        self.actions += 1
        grouped = frame.groupBy(words.SOURCE_VERSION_ID, *bits).agg(*counted)
        self.tallies = {source_id: Tally() for source_id in self.live}
        for row in grouped.collect():
            self.add(row, bits)

    def add(self, row: Row, bits: list[str]) -> None:
        """Add one group of rows that broke the same rules to its file's tally."""
        tally = self.tallies[row[words.SOURCE_VERSION_ID]]
        tally.rows += row["n"]
        tally.bad += row["n"] if row["bad"] else 0
        for bit in self.how.book.broken(row[name] for name in bits):
            tally.broken[bit] += row["n"]
        if self.how.finds_columns:
            tally.fields.update(row["fields"])

    @property
    def bad(self) -> str:
        """SQL: whether a parsed row is kept out of Silver."""
        return self.how.book.mask_sql(KEEP_OUT)

    def settle_culprits(self, error: PySparkException | Py4JError) -> None:
        """Spark could not read something: find which file it was and go on without it, or raise."""
        if is_environment(error):
            raise error
        text = jvm_text(error)
        named = [
            source for source in self.sources if any(address in text for address in _spellings(source.uri))
        ]
        damaged = named or [source for source in self.sources if is_damaged(self.bronze, source)]
        if self.settle(changed_files(self.bronze, self.sources)):
            return
        if not self.reject(damaged, "the file cannot be read"):
            raise error

    def judge(self) -> None:
        """Reject files, or the batch, whose rows broke a rule that says so."""
        for source in list(self.sources):
            tally = self.tallies[source.source_version_id]
            if (reason := self.reason_to_reject(tally)) is not None:
                self.reject([source], reason)
                if tally.unique:
                    return  # later files may have repeated nothing but what this one had
        broken: Counter[int] = sum((self.tallies[s].broken for s in self.live), Counter())
        for bit, rule in enumerate(self.how.book.rules):
            if rule.action == "rejectBatch" and broken[bit]:
                reason = f"rule {rule.name} was broken by {broken[bit]} rows of the batch, which rejects it"
                self.reject(list(self.sources), reason)

    def reason_to_reject(self, tally: Tally) -> str | None:
        """Why a file is rejected as a whole, if it is."""
        for bit, rule in enumerate(self.how.book.rules):
            if rule.action != "rejectFile" or not tally.broken[bit]:
                continue
            if rule.kind == "unreadable":
                return "the content is not a JSON array"
            if rule.kind == "unknown":
                return f"{tally.broken[bit]} rows have fields the contract does not have"
            return f"rule {rule.name} was broken by {tally.broken[bit]} rows"
        if len(tally.fields) + len(self.how.columns) > MAX_COLUMNS:
            return f"the file would give the table more than {MAX_COLUMNS} columns"
        return None

    # --- resolving ------------------------------------------------------------------------------

    def frames(self, frame: DataFrame) -> Frames | None:
        """What is to be written. None: a rule of the table rejected files, try again."""
        mine = self.with_new_fields(self.of_live_files(frame))
        good, bad = mine.where(f"NOT {self.bad}"), mine.where(self.bad)
        if not self.resolves:
            return Frames(good, [bad], None, None)
        keys = order.Keys(
            tuple(self.plan["primary_key"]),
            self.plan["sequence_column"] if self.plan["mode"] == "upsert" else None,
            self.text_bytes <= SMALL_BATCH_BYTES,
        )
        resolved = order.resolve(good, self.staying_rows(), keys, self.how.book)
        rows = resolved.rows.persist()
        self.tally_resolved(rows)
        before = len(self.sources)
        self.judge()
        if len(self.sources) < before:
            rows.unpersist()
            return None
        silver = rows.where(functions.col(order.STATE) == order.SILVER)
        losers = rows.where(functions.col(order.STATE) == order.QUARANTINE)
        quarantined = [bad]
        if self.how.book.of_kind("unique"):
            quarantined.append(losers.withColumn(RAW, self.typed_record(self.columns)))
        return Frames(silver, quarantined, resolved.displaced, silver if self.plan["primary_key"] else None)

    def of_live_files(self, frame: DataFrame) -> DataFrame:
        """The rows of files that still take part."""
        if len(self.live) == len(self.tallies):
            return frame
        return frame.where(functions.col(words.SOURCE_VERSION_ID).isin(self.live))

    def with_new_fields(self, frame: DataFrame) -> DataFrame:
        """JSON: fields that no column reads become columns of text."""
        self.columns = list(self.how.columns)
        if not self.how.finds_columns:
            return frame
        by_name: dict[str, list[str]] = {}
        for name in sorted(set().union(*(self.tallies[source_id].fields for source_id in self.live))):
            by_name.setdefault(normal_name(name), []).append(name)
        for name, keys in by_name.items():
            values = (f"try_element_at({UNKNOWN}, {literals([key])})" for key in keys)
            frame = frame.withColumn(name, functions.expr(f"coalesce({', '.join(values)})"))
            self.columns.append(Column(name, "string", "file", name))
        return frame.drop(UNKNOWN)

    def staying_rows(self) -> DataFrame | None:
        """The table's rows that this run does not replace by their object version."""
        if (
            not self.table
            or self.replaces_table
            or publish.main_snapshot_id(self.spark, self.job.silver) is None
        ):
            return None
        rows = self.spark.table(self.job.silver)
        replaced = self.replaced_versions()
        return rows.where(~functions.col(words.SOURCE_VERSION_ID).isin(replaced)) if replaced else rows

    def replaced_versions(self) -> list[str]:
        """``_source_version_id`` of the versions whose rows leave Silver. An upsert's rows stay as older
        changes.
        """
        if self.plan["mode"] == "upsert" or self.replaces_table:
            return []
        return sorted(old for entry in self.live_entries() for old in entry["replaces"])

    def live_entries(self) -> list[words.ManifestFile]:
        """The manifest's entries of the files that still take part."""
        return [f for f in self.manifest["files"] if (f["key"], f["version_id"]) not in self.outcomes]

    def typed_record(self, columns: Iterable[Column]) -> PySparkColumn:
        """The record of a row that breaks nothing but a unique rule: the same from a file as from the
        table.
        """
        names = sorted(column.name for column in columns)
        return functions.to_json(functions.struct(*(functions.col(quoted(name)) for name in names)))

    def tally_resolved(self, rows: DataFrame) -> None:
        """Count, per file, what keys and unique rules decided."""
        bits = self.how.book.bit_columns
        unique = [bit for bit, _ in self.how.book.of_kind("unique")]
        for tally in self.tallies.values():
            tally.unique = tally.superseded = 0
            for bit in unique:
                tally.broken[bit] = 0
        self.actions += 1
        for row in rows.groupBy(words.SOURCE_VERSION_ID, order.STATE, *bits).count().collect():
            tally = self.tallies[row[words.SOURCE_VERSION_ID]]
            tally.superseded += row["count"] if row[order.STATE] == order.SUPERSEDED else 0
            tally.unique += row["count"] if row[order.STATE] == order.QUARANTINE else 0
            for bit in set(self.how.book.broken(row[name] for name in bits)) & set(unique):
                tally.broken[bit] += row["count"]

    # --- writing --------------------------------------------------------------------------------

    def write(self, frame: DataFrame) -> words.SilverReport | None:
        """Write to the branches, audit, report, publish. None: files had to be left out, try again."""
        with self.timed("resolve"):
            frames = self.frames(frame)
        if frames is None:
            return None
        with self.timed("tables"):
            self.make_tables()
            publish.create_branch(self.spark, self.job.silver, self.job.branch)
        expected = {
            name: sum(getattr(self.tallies[s], name) for s in self.live) for name in ("silver", "quarantined")
        }
        with self.timed("write"):
            with_quarantine = self.write_quarantine(frames, expected["quarantined"])
            self.write_silver(frames, expected["silver"])
        with self.timed("audit"):
            changed = changed_files(self.bronze, self.sources)
            self.settle(changed)
            if changed and (self.resolves or self.replaces_table):
                return None
            self.delete_rows(
                frames, [s.source_version_id for s in changed if s.source_version_id], with_quarantine
            )
            self.audit(expected, with_quarantine, frames)
        return self.publish(with_quarantine)

    def make_tables(self) -> None:
        """Tables with all the columns this run writes."""
        rescued = {words.RESCUED: "string"} if keeps_rescued(self.plan) else {}
        wanted = {column.name: column.type for column in self.columns} | rescued | write.SYSTEM_TYPES
        if self.table:
            write.fit_columns(self.spark, self.job.silver, self.table, wanted)
        else:
            place = self.location(self.job.dataset)
            write.create_table(self.spark, self.job.silver, wanted, self.plan["partition_by"], place)
        self.table |= wanted
        if not self.spark.catalog.tableExists(self.job.quarantine):
            place = self.location(words.quarantine_table(self.job.dataset))
            write.create_table(self.spark, self.job.quarantine, write.QUARANTINE_TYPES, (), place)

    def location(self, name: str) -> str | None:
        """Where a table's files lie."""
        return None if self.job.silver_root is None else f"{self.job.silver_root}/{name}"

    def write_quarantine(self, frames: Frames, expected: int) -> bool:
        """Append the bad rows to quarantine's branch. False: quarantine is not touched at all."""
        table = self.job.quarantine
        if not expected and frames.displaced is None and not publish.holds_rows(self.spark, table):
            return False
        publish.create_branch(self.spark, table, self.job.branch)
        if expected or frames.displaced is not None:
            rules = self.how.book.names_sql()
            parts = [self.quarantine_rows(part, rules) for part in frames.quarantine]
            if frames.displaced is not None:
                parts.append(self.quarantine_rows(self.as_displaced(frames.displaced), rules))
            self.actions += 1
            target = publish.branch_table(table, self.job.branch)
            write.append(reduce(DataFrame.union, parts), target, self.text_bytes, partitioned=False)
        return True

    def quarantine_rows(self, frame: DataFrame, rules: str) -> DataFrame:
        """Rows as quarantine keeps them."""
        return write.quarantine_rows(frame, rules, self.job.run_id, self.job.as_of)

    def as_displaced(self, frame: DataFrame) -> DataFrame:
        """Rows of the table with what quarantine wants to know; the key comes out of
        ``_source_version_id``.
        """
        hidden = functions.split_part(words.SOURCE_VERSION_ID, functions.lit("."), functions.lit(2))
        key = functions.concat(
            functions.lit(f"{self.job.dataset}/"), functions.decode(functions.unhex(hidden), "UTF-8")
        )
        here = [column for column in self.columns if column.name in frame.columns]
        return frame.withColumns({RAW: self.typed_record(here), KEY: key})

    def write_silver(self, frames: Frames, expected: int) -> None:
        """Append the good rows to Silver's branch."""
        if not expected and not self.replaces_table:
            return
        names = [column.name for column in self.columns]
        names += [words.RESCUED] if keeps_rescued(self.plan) else []
        rows = write.silver_rows(frames.silver, self.columns, names, self.job.run_id, self.job.as_of)
        for name, kind in self.table.items():
            if name not in rows.columns:
                rows = rows.withColumn(name, functions.lit(None).cast(kind))
        put = write.overwrite if self.replaces_table else write.append
        self.actions += 1
        target = publish.branch_table(self.job.silver, self.job.branch)
        put(rows, target, self.text_bytes, partitioned=self.partitioned)

    def delete_rows(self, frames: Frames, changed: list[str], with_quarantine: bool) -> None:
        """Take replaced rows, and those of files that changed meanwhile, off the branches."""
        if with_quarantine and publish.holds_rows(self.spark, self.job.quarantine, self.job.branch):
            self.actions += 1
            target = publish.branch_table(self.job.quarantine, self.job.branch)
            write.delete(self.spark, target, self.stale_quarantine(changed))
        conditions = []
        if versions := [*self.replaced_versions(), *changed]:
            conditions.append(f"{words.SOURCE_VERSION_ID} IN ({literals(versions)})")
        if not self.replaces_table and publish.main_snapshot_id(self.spark, self.job.silver) is not None:
            conditions += self.losing_rows(frames)
        if conditions:
            self.actions += 1
            target = publish.branch_table(self.job.silver, self.job.branch)
            write.delete(self.spark, f"{target} AS t", " OR ".join(conditions))

    def losing_rows(self, frames: Frames) -> list[str]:
        """SQL conditions over ``t``: the table's rows that a winner replaces or a unique rule keeps out."""
        found = []
        this_run = f"{words.RUN_ID} = {literals([self.job.run_id])}"
        # Winners and displaced rows are read back from the branches they were just written to: Spark's
        # DELETE takes no subquery over the parsed files, whose row numbers it calls non-deterministic.
        if frames.winners is not None:
            silver = publish.branch_table(self.job.silver, self.job.branch)
            same = " AND ".join(f"w.{quoted(k)} = t.{quoted(k)}" for k in self.plan["primary_key"])
            winners = f"SELECT 1 FROM {silver} w WHERE w.{this_run} AND {same}"  # noqa: S608 - names of our own
            found.append(f"(NOT t.{this_run} AND EXISTS ({winners}))")
        if frames.displaced is not None:
            quarantine = publish.branch_table(self.job.quarantine, self.job.branch)
            names = (words.SOURCE_VERSION_ID, words.SOURCE_ROW)
            same = " AND ".join(f"d.{name} = t.{name}" for name in names)
            displaced = f"SELECT 1 FROM {quarantine} d WHERE d.{this_run} AND {same}"  # noqa: S608 - as above
            found.append(f"EXISTS ({displaced})")
        return found

    def stale_quarantine(self, changed: list[str]) -> str:
        """SQL: quarantine's rows that this run's files replace, or that a run left which never published
        Silver.
        """
        older = f"{words.RUN_ID} != {literals([self.job.run_id])}"
        out = f"{words.SOURCE_VERSION_ID} IN ({literals(changed)})" if changed else "false"
        if self.replaces_table:
            return f"({older}) OR {out}"
        live = self.live_entries()
        tests = [f"{words.SOURCE_KEY} IN ({literals(entry['key'] for entry in live)})"] if live else []
        if replaced := [old for entry in live for old in entry["replaces"]]:
            tests.append(f"{words.SOURCE_VERSION_ID} IN ({literals(replaced)})")
        if left_out := [
            words.source_version_id("", *version).rpartition(".")[2] for version in self.outcomes
        ]:
            tests.append(f"substring_index({words.SOURCE_VERSION_ID}, '.', -1) IN ({literals(left_out)})")
        return f"({older} AND ({' OR '.join(tests) or 'false'})) OR {out}"

    def audit(self, expected: dict[str, int], with_quarantine: bool, frames: Frames) -> None:
        """What the branches say was added must be what was counted."""
        added, _ = publish.branch_changes(self.spark, self.job.silver, self.job.branch)
        if added != expected["silver"]:
            raise CountsDiffer(f"{expected['silver']} rows were counted for Silver, {added} were written")
        if with_quarantine and frames.displaced is None:
            added, _ = publish.branch_changes(self.spark, self.job.quarantine, self.job.branch)
            if added != expected["quarantined"]:
                raise CountsDiffer(
                    f"{expected['quarantined']} rows were counted for quarantine, {added} were written"
                )

    # --- publishing -----------------------------------------------------------------------------

    def publish(self, with_quarantine: bool) -> words.SilverReport:
        """Markers, report, then quarantine and Silver, in this order."""
        job = self.job
        summary = {words.MARKER_RUN: job.run_id, words.MARKER_REPORT: job.report_key}
        if self.group is not None:
            summary[MARKER_GROUP] = json.dumps(self.group, sort_keys=True)
        tables = {job.silver: job.branch}
        if with_quarantine:
            tables = {job.quarantine: job.branch, **tables}
        with self.timed("publish"):
            changes = {table: publish.branch_changes(self.spark, table, job.branch) for table in tables}
            heads = {t: publish.commit_marker(self.spark, t, job.branch, summary) for t in tables}
            report = self.report({t: (heads[t], *changes[t]) for t in tables}, published=True)
            self.operations.put_json(job.report_key, report)
            for table in tables:
                publish.publish(self.spark, table, job.branch)
        return report

    def report(self, tables: dict[str, tuple[int, int, int]], *, published: bool) -> words.SilverReport:
        """``report.json``. ``tables``: snapshot id, rows added, rows deleted of each table that changes."""
        job = self.job
        silver_columns = self.table | {}
        report: words.SilverReport = {
            "run_id": job.run_id,
            "dataset": job.dataset,
            "plan_hash": self.plan["hash"],
            "silver": self.table_outcome(job.silver, tables, silver_columns),
            "quarantine": self.table_outcome(job.quarantine, tables, write.QUARANTINE_TYPES),
            "files": self.file_outcomes(),
            "rules": self.rule_results(),
            "spark_actions": self.actions,
            "seconds": dict(self.seconds),
        }
        if not published:
            self.operations.put_json(job.report_key, report)
        return report

    def table_outcome(
        self, table: str, changes: dict[str, tuple[int, int, int]], columns: Mapping[str, str]
    ) -> words.TableOutcome:
        """A table's part of the report."""
        snapshot_id, added, deleted = changes.get(table) or (self.head_of(table), 0, 0)
        listed: list[words.OutputColumn] = [{"name": name, "type": kind} for name, kind in columns.items()]
        name = table.removeprefix(f"{words.CATALOG}.{self.job.database}.")
        return {
            "table": name,
            "snapshot_id": snapshot_id,
            "rows_added": added,
            "rows_deleted": deleted,
            "columns": listed,
        }

    def head_of(self, table: str) -> int:
        """Main's head, or ``NO_SNAPSHOT``."""
        if not self.table:
            return NO_SNAPSHOT
        found = publish.main_snapshot_id(self.spark, table) if self.spark.catalog.tableExists(table) else None
        return NO_SNAPSHOT if found is None else found

    def file_outcomes(self) -> list[words.FileOutcome]:
        """What became of every file of the manifest, in its order."""
        ids = {(s.key, s.version_id): s.source_version_id for s in self.sources}
        return [
            self.outcomes.get((f["key"], f["version_id"])) or self.promoted(f, ids[f["key"], f["version_id"]])
            for f in self.manifest["files"]
        ]

    def promoted(self, file: words.ManifestFile, source_id: str) -> words.FileOutcome:
        """The outcome of a file whose rows were written."""
        tally = self.tallies[source_id]
        return {
            "key": file["key"], "version_id": file["version_id"], "source_version_id": source_id,
            "outcome": "PROMOTED", "reason": None, "rows": tally.rows, "silver_rows": tally.silver,
            "quarantined_rows": tally.quarantined, "superseded_rows": tally.superseded,
        }  # fmt: skip

    def rule_results(self) -> list[words.RuleResult]:
        """How many rows broke each rule, in the files that were promoted and in those a rule rejected."""
        broken: Counter[int] = sum((tally.broken for tally in self.tallies.values()), Counter())
        return [
            {"rule": r.name, "columns": list(r.columns), "action": r.action, "violations": broken[bit]}
            for bit, r in enumerate(self.how.book.rules)
            if r.reported
        ]


def _spellings(uri: str) -> tuple[str, str]:
    """A file's address as it stands in messages: plain, or with its odd characters encoded."""
    bare = uri.partition(":")[2].lstrip("/")
    return bare, quote(bare)


def promote(spark: SparkSession, job: Job, bronze: Objects, operations: Objects) -> words.SilverReport:
    """Promote the files of a manifest into Silver; returns the report, which also lies at
    ``job.report_key``.

    When it fails, ``failure.json`` lies beside where the report would, and ``JobFailed`` is raised, which
    names no value of a row.
    """
    run = None
    try:
        run = Run(spark, job, bronze, operations)
        report = run.promote()
        run.empty_staged()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is written down, and raised without its values
        failure = failure_of(job.run_id, run.step if run else "start", error)
        operations.put_json(job.report_key.rpartition("/")[0] + "/" + words.FAILURE_FILE, failure)
        raise JobFailed(f"{failure['failure_class']}: {failure['error']}: {failure['message']}") from None
    finally:
        spark.catalog.clearCache()
    return report
