"""What a file is, found from its first bytes and, when it is compressed, from all of them.

A file that cannot be read must not kill the run: it is refused here with a reason and the others go on.
A reason never quotes the file, not even its header: of a file without one the header would be a row.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from lakehouse import words

if TYPE_CHECKING:
    from zlib import _Decompress

    from lakehouse_spark.objects import Head, Objects

    Decoder = _Decompress | bz2.BZ2Decompressor

Shape = Literal["csv", "lines", "array", "object", "parquet"]
Fields = tuple[tuple[str, str], ...]

HEAD_BYTES: Final = 64 * 1024
LONG_HEAD_BYTES: Final = 1024 * 1024
CHUNK_BYTES: Final = 4 * 1024 * 1024
WHOLE_CHECK_BYTES: Final = {"gzip": 256 * 1024 * 1024, "bzip2": 16 * 1024 * 1024}
"""Compressed files up to this size are read through before Spark sees them; larger ones when Spark failed."""

COMPRESSIONS: Final = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd"}
UNREADABLE_ENDINGS: Final = (
    ".zip",
    ".7z",
    ".lz4",
    ".snappy",
    ".deflate",
    ".xz",
    ".lzo",
    ".xlsx",
    ".orc",
    ".avro",
)
MAGIC: Final = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "a zip archive",
    b"PAR1": "Parquet", b"ORC": "ORC", b"Obj\x01": "Avro", b"%PDF": "PDF", b"\xfd7zXZ": "xz",
}  # fmt: skip
WIDE_BOMS: Final = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
PARQUET_TAIL_BYTES: Final = 8
MAX_CSV_COLUMNS: Final = 20_000


class Refused(Exception):  # noqa: N818 - an outcome of one file, caught within this module
    """The file is no such file as the plan describes; the sentence says why."""


@dataclass(frozen=True)
class Source:
    """One file that Spark is to read. ``fields`` are name and type in the file's own order (none for
    JSON).
    """

    key: str
    version_id: str
    size_bytes: int
    source_version_id: str
    uri: str
    values: Mapping[str, str | None]
    shape: Shape = "csv"
    fields: Fields = ()
    compression: str | None = None


def compression_of(key: str) -> str | None:
    """gzip, bzip2 or zstd by the key's ending; None for a plain file."""
    return next((name for ending, name in COMPRESSIONS.items() if key.endswith(ending)), None)


def inspect(
    objects: Objects,
    source: Source,
    plan: words.DatasetPlan,
    parquet_fields: Callable[[str], Fields],
    *,
    staged: tuple[Objects, str, Head] | None = None,
) -> Source | str:
    """What ``source`` is, or the reason why it is refused.

    ``staged`` is the decompressed copy of a zstd file (its bucket, key and head); ``parquet_fields``
    reads the schema of the Parquet file at a URI.
    """
    try:
        _refuse_empty(source)
        values = path_values(source.key, plan)
        found = replace(source, values=values, compression=compression_of(source.key))
        if staged is not None:
            where, key, head = staged
            found = replace(found, uri=where.uri(key), compression=None, size_bytes=head.size_bytes)
            return _inspect_content(where, key, head.version_id, found, plan, parquet_fields)
        return _inspect_content(objects, source.key, source.version_id, found, plan, parquet_fields)
    except Refused as refused:
        return str(refused)


def _refuse_empty(source: Source) -> None:
    if source.size_bytes == 0:
        raise Refused("the file is empty")


def path_values(key: str, plan: words.DatasetPlan) -> dict[str, str | None]:
    """The values in the key's path. Raises ``Refused`` when it does not fit the contract's pattern.

    The pattern of a drafted plan is what the first files happened to have: a path that does not fit it has
    no values, and its file lands all the same.
    """
    if plan["path_pattern"] is None:
        return {}
    pattern = words.path_regex(plan["path_pattern"])
    match = pattern.fullmatch(key.partition("/")[2])
    if match is not None:
        return dict(match.groupdict())
    if plan["contracted"]:
        raise Refused("the path does not fit the contract's path pattern")
    return dict.fromkeys(pattern.groupindex)


def is_damaged(objects: Objects, source: Source) -> bool:
    """Whether a compressed file that was too large to be read through before Spark did is cut off or
    broken.
    """
    if (
        source.compression not in WHOLE_CHECK_BYTES
        or source.size_bytes <= WHOLE_CHECK_BYTES[source.compression]
    ):
        return False
    try:
        decompressed_head(objects.stream(source.key, source.version_id), source.compression)
    except Refused:
        return True
    return False


def _inspect_content(
    objects: Objects,
    key: str,
    version_id: str,
    source: Source,
    plan: words.DatasetPlan,
    parquet_fields: Callable[[str], Fields],
) -> Source:
    if source.key.lower().endswith(UNREADABLE_ENDINGS):
        raise Refused(
            "files with this ending cannot be read: gzip, bzip2 or zstd compress what is to be read"
        )
    if plan["format"]["type"] == "parquet":
        return _inspect_parquet(objects, key, version_id, source, parquet_fields)
    head = _head(objects, key, version_id, source)
    text = _text(head, plan["format"]["encoding"], whole=len(head) < HEAD_BYTES)
    if not text.strip():
        raise Refused("the file is empty")
    if plan["format"]["type"] == "csv":
        return _inspect_csv(text, source, plan, complete=len(head) < LONG_HEAD_BYTES)
    return replace(source, shape=_json_shape(text))


def _head(objects: Objects, key: str, version_id: str, source: Source) -> bytes:
    if source.compression in WHOLE_CHECK_BYTES:
        if source.size_bytes <= WHOLE_CHECK_BYTES[source.compression]:
            return decompressed_head(objects.stream(key, version_id), source.compression)
        return _partly_decompressed(objects.read(key, version_id, 0, HEAD_BYTES), source.compression)
    raw = objects.read(key, version_id, 0, HEAD_BYTES)
    if source.compression is None:
        _refuse_binary(raw)
    if b"\n" not in raw and len(raw) == HEAD_BYTES:
        raw = objects.read(key, version_id, 0, LONG_HEAD_BYTES)
    return raw


def _refuse_binary(head: bytes) -> None:
    for magic, name in MAGIC.items():
        if head.startswith(magic):
            raise Refused(f"the content is {name}, which neither the file's ending nor the contract says")


def decompressed_head(pieces: Iterable[bytes], compression: str) -> bytes:
    """The first ``HEAD_BYTES`` of what is compressed, after all of it was decompressed in bounded memory.

    Raises ``Refused`` when it is cut off or damaged. Streams that follow each other in one file are read
    as one.
    """
    head, decoder = b"", _decoder(compression)
    for piece in pieces:
        left = piece
        while left:
            decoder = _decoder(compression) if decoder.eof else decoder
            for plain in _plain(decoder, left, compression):
                head += plain[: max(HEAD_BYTES - len(head), 0)]
            left = decoder.unused_data
    if not decoder.eof:
        raise Refused(f"the {compression} stream is cut off")
    return head


def _decoder(compression: str) -> Decoder:
    return zlib.decompressobj(31) if compression == "gzip" else bz2.BZ2Decompressor()


def _plain(decoder: Decoder, data: bytes, compression: str) -> Iterator[bytes]:
    """What ``data`` holds, at most ``CHUNK_BYTES`` at a time, so that a bomb does not fill the memory."""
    try:
        if isinstance(decoder, bz2.BZ2Decompressor):
            yield decoder.decompress(data, CHUNK_BYTES)
            while not decoder.eof and not decoder.needs_input:
                yield decoder.decompress(b"", CHUNK_BYTES)
            return
        while data and not decoder.eof:
            yield decoder.decompress(data, CHUNK_BYTES)
            data = decoder.unconsumed_tail
    except (zlib.error, OSError) as error:
        raise Refused(f"the content is not {compression}, or damaged") from error


def _partly_decompressed(data: bytes, compression: str) -> bytes:
    return next(_plain(_decoder(compression), data, compression))[:HEAD_BYTES]


def _text(head: bytes, encoding: str, *, whole: bool) -> str:
    """The head as text, without byte order mark. A character cut off at the head's end is left out."""
    for mark, name in WIDE_BOMS.items():
        if head.startswith(mark) and not encoding.lower().startswith(("utf-16", "utf16")):
            raise Refused(f"the file is {name}, the contract says {encoding}")
    try:
        text = codecs.getincrementaldecoder(encoding)("strict").decode(head, final=whole)
    except UnicodeDecodeError as error:
        raise Refused(f"the file is not {encoding}") from error
    if "\x00" in text:
        raise Refused("the file holds binary data")
    return text.removeprefix("\ufeff")


def _inspect_csv(text: str, source: Source, plan: words.DatasetPlan, *, complete: bool) -> Source:
    line = next((line for line in text.splitlines(keepends=True) if line.strip()), "")
    if not complete and not line.endswith(("\n", "\r")):
        raise Refused("the first line is longer than 1 MiB")
    if not plan["format"]["header"]:
        names = [column["source_name"] for column in plan["columns"] if column["source"] == "file"]
        return replace(source, fields=tuple((name, "string") for name in names))
    names = _header(text if plan["format"]["multiline"] else line, plan["format"])
    _check_header(names, plan)
    return replace(source, fields=tuple((name, "string") for name in names))


def _header(text: str, form: words.FileFormat) -> list[str]:
    if len(form["delimiter"]) > 1:
        names = text.splitlines()[0].split(form["delimiter"])
    else:
        rows = csv.reader(
            text.lstrip("\r\n").splitlines(keepends=True),
            delimiter=form["delimiter"],
            quotechar=form["quote"] or None,
            quoting=csv.QUOTE_MINIMAL if form["quote"] else csv.QUOTE_NONE,
        )
        try:
            names = next(iter(rows), [])
        except csv.Error as error:
            raise Refused("the header cannot be read") from error
    return [name.strip() or f"column_{place}" for place, name in enumerate(names, 1)]


def _check_header(names: list[str], plan: words.DatasetPlan) -> None:
    if len(names) > MAX_CSV_COLUMNS:
        raise Refused(f"the header has more than {MAX_CSV_COLUMNS} columns")
    places: dict[str, int] = {}
    for place, name in enumerate(names, 1):
        if name in places:
            raise Refused(f"the header names a column twice (columns {places[name]} and {place})")
        places[name] = place
    known = {column["source_name"].casefold() for column in plan["columns"]}
    if plan["contracted"] and not known & {name.casefold() for name in names}:
        raise Refused("the header has none of the contract's columns")
    if plan["evolution"] == "strict":
        _check_strict(names, plan)


def _check_strict(names: list[str], plan: words.DatasetPlan) -> None:
    found = {name.casefold() for name in names}
    known = {column["source_name"].casefold() for column in plan["columns"]}
    extra = [str(place) for place, name in enumerate(names, 1) if name.casefold() not in known]
    if extra:
        raise Refused(f"the file has columns the contract does not have (columns {', '.join(extra)})")
    wanted = [c["source_name"] for c in plan["columns"] if c["source"] == "file"]
    missing = [name for name in wanted if name.casefold() not in found]
    if missing:
        raise Refused(f"the file lacks columns of the contract ({', '.join(missing)})")


def _json_shape(text: str) -> Shape:
    start = text.lstrip()
    if start.startswith("["):
        return "array"
    if not start.startswith("{"):
        raise Refused("the content is not JSON")
    lines = [line for line in start.splitlines() if line.strip()]
    if any(_is_object(line) for line in lines) or len(lines) == 1:
        return "lines"
    return "object"


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _inspect_parquet(
    objects: Objects, key: str, version_id: str, source: Source, parquet_fields: Callable[[str], Fields]
) -> Source:
    tail = objects.read(key, version_id, -PARQUET_TAIL_BYTES, PARQUET_TAIL_BYTES)
    if objects.read(key, version_id, 0, 4) != b"PAR1" or tail[4:] != b"PAR1":
        raise Refused("the content is not Parquet, or cut off")
    if int.from_bytes(tail[:4], "little") > source.size_bytes - PARQUET_TAIL_BYTES:
        raise Refused("the Parquet footer is damaged")
    fields = parquet_fields(source.uri)
    if len({name.casefold() for name, _ in fields}) < len(fields):
        raise Refused("two columns differ in nothing but case")
    return replace(source, shape="parquet", fields=fields)
