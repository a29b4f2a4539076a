"""From files on this machine to objects in Bronze."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse.words import DATASET_PATTERN
from lakehouse_cli.errors import UsageError

PARALLEL_UPLOADS = 8


@dataclass(frozen=True)
class Source:
    """A file and the key it is to get in Bronze."""

    path: Path
    dataset: str
    key: str


@dataclass(frozen=True)
class Stored:
    """An object version that a put made."""

    dataset: str
    key: str
    version_id: str
    size_bytes: int


def sources(paths: Sequence[Path], dataset: str | None, folder: str | None) -> list[Source]:
    """What is to be put where.

    A file becomes ``<dataset>/<folder>/<name>``; without ``folder`` its own ``key=value`` folders are kept. A
    folder's files keep their paths below it. Without ``dataset`` each path is a folder of datasets.
    Raises ``UsageError``.
    """
    found = [source for path in paths for source in _of_path(path, dataset, folder)]
    if not found:
        raise UsageError("There is no file to put (hidden files are left out).")
    seen: dict[str, Path] = {}
    for source in found:
        if source.key in seen:
            raise UsageError(f"{seen[source.key]} and {source.path} would both become {source.key}.")
        seen[source.key] = source.path
    return found


def _of_path(path: Path, dataset: str | None, folder: str | None) -> Iterator[Source]:
    if not path.exists():
        raise UsageError(f"There is no file or folder {path}.")
    if dataset is None:
        if not path.is_dir():
            raise UsageError(f"Say which dataset {path} belongs to: --dataset NAME.")
        for below in sorted(entry for entry in path.iterdir() if entry.is_dir() and not _hidden(entry)):
            yield from _of_path(below, below.name, folder)
        return
    if not DATASET_PATTERN.fullmatch(dataset):
        raise UsageError(
            f"{dataset} cannot be a dataset: use small letters, digits and single underscores, "
            "a letter first, at most 63 characters."
        )
    parts = [part for part in (folder or "").split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise UsageError("--path is a folder below the dataset's, without . and .. in it.")
    for file in _files(path):
        kept = file.relative_to(path).parts if path.is_dir() else (*_kept_folders(file, folder), file.name)
        yield Source(file, dataset, "/".join([dataset, *parts, *kept]))


def _files(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        return [path]
    return sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _kept_folders(file: Path, folder: str | None) -> tuple[str, ...]:
    """A file's own ``key=value`` folders, unless ``--path`` says where it goes."""
    return hive_folders(file) if folder is None else ()


def hive_folders(file: Path) -> tuple[str, ...]:
    """The ``key=value`` folders right above a file, outermost first."""
    kept: list[str] = []
    for part in reversed(file.absolute().parent.parts):
        if "=" not in part.strip("="):
            break
        kept.insert(0, part)
    return tuple(kept)


def put(
    client: Any, bucket: str, wanted: Sequence[Source], on_done: Callable[[Stored], None]
) -> list[Stored]:
    """Upload all, several at a time, calling ``on_done`` after each. The first refusal ends it."""

    def one(source: Source) -> Stored:
        with source.path.open("rb") as body:
            answer = client.put_object(Bucket=bucket, Key=source.key, Body=body)
        stored = Stored(source.dataset, source.key, answer["VersionId"], source.path.stat().st_size)
        on_done(stored)
        return stored

    with ThreadPoolExecutor(PARALLEL_UPLOADS) as pool:
        return list(pool.map(one, wanted))
