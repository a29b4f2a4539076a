"""Which of the manifest's files a run reads: current ones, readable ones, and in snapshot mode the newest
whole group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pyspark.sql import SparkSession

from lakehouse import words
from lakehouse_spark.errors import BadPlan
from lakehouse_spark.objects import Head, Objects, in_threads
from lakehouse_spark.preflight import Fields, Source, compression_of, inspect

Outcome = Literal["PROMOTED", "REJECTED", "SUPERSEDED", "DELETED", "PENDING"]


@dataclass(frozen=True)
class Settled:
    """A file that takes no part, and why."""

    key: str
    version_id: str
    source_version_id: str | None
    outcome: Outcome
    reason: str


def current_files(bronze: Objects, files: Sequence[words.ManifestFile]) -> tuple[list[Source], list[Settled]]:
    """The files whose version is the key's current one, in object order, and what became of the others."""
    heads = in_threads(lambda file: bronze.head(file["key"]), files)
    sources, settled = [], []
    for file, head in zip(files, heads, strict=True):
        key, version_id = file["key"], file["version_id"]
        if (gone := _gone(head, version_id)) is not None:
            settled.append(Settled(key, version_id, None, *gone))
        elif head is not None:
            source_id = words.source_version_id(head.last_modified, key, version_id)
            sources.append(Source(key, version_id, head.size_bytes, source_id, bronze.uri(key), {}))
    return sorted(sources, key=lambda source: source.source_version_id), settled


def changed_files(bronze: Objects, sources: Sequence[Source]) -> list[Settled]:
    """The files whose version is no longer the key's current one."""
    heads = in_threads(lambda source: bronze.head(source.key), sources)
    return [
        Settled(source.key, source.version_id, source.source_version_id, *gone)
        for source, head in zip(sources, heads, strict=True)
        if (gone := _gone(head, source.version_id)) is not None
    ]


def _gone(head: Head | None, version_id: str) -> tuple[Outcome, str] | None:
    if head is None:
        return "DELETED", "the key was deleted"
    if head.version_id != version_id:
        return "SUPERSEDED", "the key has a newer version"
    return None


def readable_files(
    bronze: Objects,
    staged: Mapping[str, tuple[Objects, str, Head]],
    sources: Sequence[Source],
    plan: words.DatasetPlan,
    parquet_fields: Callable[[str], Fields],
) -> tuple[list[Source], list[Settled]]:
    """What the files are; refused ones with the reason. ``staged``: decompressed copies by
    ``_source_version_id``.
    """

    def look(source: Source) -> Source | str:
        copy = staged.get(source.source_version_id)
        return inspect(bronze, source, plan, parquet_fields, staged=copy)

    good: list[Source] = []
    settled: list[Settled] = []
    for source, found in zip(sources, in_threads(look, sources), strict=True):
        if isinstance(found, str):
            settled.append(
                Settled(source.key, source.version_id, source.source_version_id, "REJECTED", found)
            )
        else:
            good.append(found)
    return good, settled


def stage_zstd(
    spark: SparkSession, operations: Objects, sources: Sequence[Source], prefix: str
) -> tuple[dict[str, tuple[Objects, str, Head]], list[Settled]]:
    """Decompressed copies of zstd files under ``prefix``, made in bounded memory by the JVM on the
    driver.

    Hadoop's own zstd codec needs a native library that neither Glue promises nor a laptop has; Spark
    ships zstd-jni.
    """
    staged: dict[str, tuple[Objects, str, Head]] = {}
    settled = []
    for number, source in enumerate(source for source in sources if compression_of(source.key) == "zstd"):
        key = f"{prefix}{number}"
        if source.size_bytes and not _decompress(spark, source.uri, operations.uri(key)):
            reason = "the content is not zstd, or cut off"
            settled.append(
                Settled(source.key, source.version_id, source.source_version_id, "REJECTED", reason)
            )
        elif source.size_bytes and (head := operations.head(key)) is not None:
            staged[source.source_version_id] = (operations, key, head)
    return staged, settled


def _decompress(spark: SparkSession, source: str, target: str) -> bool:
    """Whether ``source`` could be decompressed whole to ``target``."""
    jvm: Any = spark._jvm
    conf = spark._jsc.hadoopConfiguration()
    from_path, to_path = (jvm.org.apache.hadoop.fs.Path(uri) for uri in (source, target))
    packed = from_path.getFileSystem(conf).open(from_path)
    plain = to_path.getFileSystem(conf).create(to_path, True)
    try:
        stream = jvm.com.github.luben.zstd.ZstdInputStream(packed)
        jvm.org.apache.hadoop.io.IOUtils.copyBytes(stream, plain, 1024 * 1024)
    except Exception as error:  # py4j has one class for all: the JVM's own class name tells them apart
        if (
            "ZstdIOException" in str(error)
            or "Truncated source" in str(error)
            or "EOFException" in str(error)
        ):
            return False
        raise
    finally:
        plain.close()
        packed.close()
    return True


@dataclass(frozen=True)
class Chosen:
    """Snapshot mode's choice. ``replaces_table``: the group takes the place of what the table holds."""

    sources: list[Source]
    settled: list[Settled]
    group: dict[str, str] | None
    replaces_table: bool


def newest_group(
    sources: Sequence[Source], plan: words.DatasetPlan, holds: Mapping[str, str] | None
) -> Chosen:
    """The newest complete group of files.

    ``holds``: the group the table holds now, as ``{"group": value of the path or key, "order": its newest
    file}``. Files of an incomplete group wait; complete groups older than the table or than the chosen
    one are superseded. Files of the very group that the table holds are added to it.
    """
    groups: dict[str, list[Source]] = {}
    for source in sources:
        groups.setdefault(_group_of(source, plan), []).append(source)
    settled: list[Settled] = []
    current = holds["group"] if holds else None
    complete = {}
    for name, members in groups.items():
        if name == current or len(members) >= (plan["snapshot_files"] or 1):
            complete[name] = max(member.source_version_id for member in members)
        else:
            settled += _all(members, "PENDING", "its group of files is not complete yet")
    best = max(complete, key=lambda name: complete[name], default=None)
    if best is not None and holds and complete[best] < holds["order"] and best != current:
        best = None
    for name in complete:
        if name != best:
            settled += _all(groups[name], "SUPERSEDED", "a newer complete group of files is the table")
    if best is None:
        return Chosen([], settled, None, replaces_table=False)
    same = best == current and plan["snapshot_group"] is not None
    newest = max(complete[best], holds["order"]) if holds and same else complete[best]
    return Chosen(groups[best], settled, {"group": best, "order": newest}, replaces_table=not same)


def _group_of(source: Source, plan: words.DatasetPlan) -> str:
    if plan["snapshot_group"] is None:
        return source.key
    value = source.values.get(plan["snapshot_group"])
    if value is None:
        raise BadPlan(f"snapshot group {plan['snapshot_group']} is no part of the path pattern")
    return value


def _all(sources: Iterable[Source], outcome: Outcome, reason: str) -> list[Settled]:
    return [Settled(s.key, s.version_id, s.source_version_id, outcome, reason) for s in sources]
