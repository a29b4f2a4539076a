"""The sample lake's files, and small files of the same shape that a test makes up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

FLIGHT_COLUMNS = (
    "day",
    "dep_time",
    "sched_dep_time",
    "dep_delay",
    "arr_time",
    "sched_arr_time",
    "arr_delay",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "air_time",
    "distance",
    "hour",
    "minute",
    "time_hour",
)


def flight(year: int, month: int, day: int, number: int, **changes: object) -> dict[str, object]:
    """One flight that keeps the contract, as it stands in a file of its month."""
    known = {
        "day": day,
        "dep_time": 905,
        "sched_dep_time": 900,
        "dep_delay": 5,
        "arr_time": 1110,
        "sched_arr_time": 1100,
        "arr_delay": 10,
        "carrier": "UA",
        "flight": number,
        "tailnum": "N12345",
        "origin": "EWR",
        "dest": "ORD",
        "air_time": 110,
        "distance": 719,
        "hour": 9,
        "minute": 0,
        "time_hour": f"{year:04d}-{month:02d}-{day:02d}T14:00:00Z",
    }
    return {**known, **changes}


def csv(rows: Sequence[dict[str, object]], columns: Sequence[str] = FLIGHT_COLUMNS) -> str:
    """A CSV file with a header line."""
    lines = [",".join(columns), *(",".join(str(row[name]) for name in columns) for row in rows)]
    return "\n".join(lines) + "\n"


def flights_file(year: int, month: int, numbers: Sequence[int], day: int = 1, **changes: object) -> str:
    """A file of flights of one day, one for each number."""
    return csv([flight(year, month, day, number, **changes) for number in numbers])


WEATHER = {
    "temp": 39.0, "dewp": 26.1, "humid": 59.4, "wind_dir": 270, "wind_speed": 10.4, "wind_gust": "",
    "precip": 0, "pressure": 1012.0, "visib": 10,
}  # fmt: skip


def weather_file(year: int, day: int) -> str:
    """Two hours of weather of one day in January, at one airport."""
    when = {"origin": "EWR", "year": year, "month": 1, "day": day}
    rows: list[dict[str, object]] = [
        {**when, "hour": hour, **WEATHER, "time_hour": f"{year}-01-{day:02d}T{hour + 5:02d}:00:00Z"}
        for hour in (8, 9)
    ]
    return csv(rows, tuple(rows[0]))


def flights_key(year: int, month: int, name: str) -> str:
    """Where a file of flights lies in Bronze."""
    return f"flights/year={year}/month={month}/{name}.csv"


def sample_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Key and content of every file of the sample lake below a folder."""
    for path in sorted(folder.rglob("*.csv")):
        yield path.relative_to(folder).as_posix(), path.read_bytes()
