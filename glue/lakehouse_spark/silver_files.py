"""What becomes of every file of a manifest: the account of a promote run. No Spark in it.

A file is live until it is settled (REJECTED, SUPERSEDED, DELETED, or PENDING again); what is live at the end
is PROMOTED. For each of those: rows = silver + quarantined + superseded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from lakehouse import words
from lakehouse_spark.choose import Settled
from lakehouse_spark.parse import Reading
from lakehouse_spark.preflight import Source
from lakehouse_spark.rules import Rule, RuleBook
from lakehouse_spark.schema import MAX_COLUMNS

EXPANSION: Final = {"gzip": 6, "bzip2": 8}
"""Roughly how many bytes of text a compressed byte stands for."""


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


class Expected(NamedTuple):
    """How many rows the live files give to each table."""

    silver: int
    quarantined: int


class Files:
    """The files of a manifest. ``sources`` are the live ones, ``tallies`` by ``_source_version_id``."""

    def __init__(self, manifest: words.Manifest) -> None:
        self.listed: Sequence[words.ManifestFile] = manifest["files"]
        self.sources: list[Source] = []
        self.tallies: dict[str, Tally] = {}
        self.settled: dict[tuple[str, str], words.FileOutcome] = {}

    @property
    def live(self) -> list[str]:
        """``_source_version_id`` of the live files."""
        return [source.source_version_id for source in self.sources]

    @property
    def live_entries(self) -> list[words.ManifestFile]:
        """The manifest's entries of the files that are not settled."""
        return [file for file in self.listed if (file["key"], file["version_id"]) not in self.settled]

    @property
    def text_bytes(self) -> int:
        """The live files' size as plain text."""
        return sum(s.size_bytes * EXPANSION.get(s.compression or "", 1) for s in self.sources)

    def settle(self, settled: Iterable[Settled]) -> bool:
        """Take files out of the run. Tells whether there were any."""
        out = list(settled)
        for one in out:
            tally = self.tallies.get(one.source_version_id or "", Tally())
            self.settled[one.key, one.version_id] = {
                "key": one.key, "version_id": one.version_id, "source_version_id": one.source_version_id,
                "outcome": one.outcome, "reason": one.reason, "rows": tally.rows,
                "silver_rows": 0, "quarantined_rows": 0, "superseded_rows": 0,
            }  # fmt: skip
        self.sources = [s for s in self.sources if (s.key, s.version_id) not in self.settled]
        return bool(out)

    def reject(self, sources: Iterable[Source], reason: str) -> bool:
        """Files are REJECTED. Tells whether there were any."""
        return self.settle(
            [Settled(s.key, s.version_id, s.source_version_id, "REJECTED", reason) for s in sources]
        )

    def judge(self, how: Reading) -> bool:
        """Reject files, or the batch, whose rows broke a rule that says so. Tells whether any were."""
        before = len(self.sources)
        for source in list(self.sources):
            tally = self.tallies[source.source_version_id]
            if (reason := _reason_to_reject(tally, how)) is not None:
                self.reject([source], reason)
                if tally.unique:
                    return True  # later files may have repeated nothing but what this one had
        self._reject_batch(how.book)
        return len(self.sources) < before

    def _reject_batch(self, book: RuleBook) -> None:
        broken = _sum_broken(self.tallies[source_id] for source_id in self.live)
        for bit, rule in enumerate(book.rules):
            if rule.action == "rejectBatch" and broken[bit]:
                reason = f"rule {rule.name} was broken by {broken[bit]} rows of the batch, which rejects it"
                self.reject(list(self.sources), reason)

    def expected(self) -> Expected:
        """The rows that are to be written."""
        tallies = [self.tallies[source_id] for source_id in self.live]
        return Expected(sum(t.silver for t in tallies), sum(t.quarantined for t in tallies))

    def outcomes(self) -> list[words.FileOutcome]:
        """What became of every file of the manifest, in its order."""
        ids = {(s.key, s.version_id): s.source_version_id for s in self.sources}
        return [
            self.settled.get((f["key"], f["version_id"])) or self._promoted(f, ids[f["key"], f["version_id"]])
            for f in self.listed
        ]

    def _promoted(self, file: words.ManifestFile, source_id: str) -> words.FileOutcome:
        """The outcome of a file whose rows were written."""
        tally = self.tallies[source_id]
        return {
            "key": file["key"], "version_id": file["version_id"], "source_version_id": source_id,
            "outcome": "PROMOTED", "reason": None, "rows": tally.rows, "silver_rows": tally.silver,
            "quarantined_rows": tally.quarantined, "superseded_rows": tally.superseded,
        }  # fmt: skip

    def rule_results(self, rules: Sequence[Rule]) -> list[words.RuleResult]:
        """How many rows broke each rule, in the files that were promoted and in those a rule rejected."""
        broken = _sum_broken(self.tallies.values())
        return [
            {"rule": r.name, "columns": list(r.columns), "action": r.action, "violations": broken[bit]}
            for bit, r in enumerate(rules)
            if r.reported
        ]


def _sum_broken(tallies: Iterable[Tally]) -> Counter[int]:
    return sum((tally.broken for tally in tallies), Counter())


def _reason_to_reject(tally: Tally, how: Reading) -> str | None:
    """Why a file is rejected as a whole, if it is."""
    for bit, rule in enumerate(how.book.rules):
        if rule.action != "rejectFile" or not tally.broken[bit]:
            continue
        if rule.kind == "unreadable":
            return "the content is not a JSON array"
        if rule.kind == "unknown":
            return f"{tally.broken[bit]} rows have fields the contract does not have"
        return f"rule {rule.name} was broken by {tally.broken[bit]} rows"
    if len(tally.fields) + len(how.columns) > MAX_COLUMNS:
        return f"the file would give the table more than {MAX_COLUMNS} columns"
    return None
