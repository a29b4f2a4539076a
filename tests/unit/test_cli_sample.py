from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse_cli.sample import write_sample


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    return write_sample(tmp_path_factory.mktemp("lake"))


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_flights_come_as_twelve_monthly_files_without_year_and_month(sample: dict[str, list[Path]]) -> None:
    assert sorted(sample) == ["airlines", "airports", "flights", "planes", "weather"]
    folders = [path.relative_to(path.parents[3]).as_posix() for path in sample["flights"]]
    assert folders == [f"flights/year=2013/month={month}/flights.csv" for month in range(1, 13)]
    january = lines(sample["flights"][0])
    assert january[0] == (
        "day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,"
        "origin,dest,air_time,distance,hour,minute,time_hour"
    )
    assert january[1] == "1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z"


def test_every_row_of_the_distribution_is_there(sample: dict[str, list[Path]]) -> None:
    rows = {dataset: sum(len(lines(path)) - 1 for path in paths) for dataset, paths in sample.items()}
    assert rows == {"flights": 336776, "weather": 26115, "planes": 3322, "airports": 1458, "airlines": 16}
