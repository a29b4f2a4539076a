"""How old a dataset is: from its newest landing, against what its contract promises."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from lakehouse import freshness, reconcile
from lakehouse.adapters.metrics import EmfMetrics
from lakehouse.errors import ObjectMissing
from lakehouse.payloads import DatasetFreshness, FreshnessRequest, ReconcileRequest

from .fakes import FakeLake, fake_lake
from .world import World, version

HOUR = 3600
INDEX = "assets/abc/index.json"


def lake_with(**limits: int) -> FakeLake:
    lake = fake_lake()
    index = json.loads(lake.operations.objects[INDEX])
    lake.operations.objects[INDEX] = json.dumps({**index, "freshness_seconds": limits})
    return lake


def run(lake: FakeLake, dataset: str, run_id: str, ended_at: str, **item: object) -> None:
    """A promote run, as the ledger keeps it."""
    values = {"kind": "promote", "state": "SUCCEEDED", "ended_at": ended_at, **item}
    key = (f"WRITER#promote:{dataset}", f"RUN#{run_id}")
    lake.store.items[key] = {"pk": key[0], "sk": key[1], **values}


def judged(lake: FakeLake, as_of: str) -> list[DatasetFreshness]:
    request = FreshnessRequest(as_of=datetime.fromisoformat(as_of))
    return freshness.run(lake, request).datasets


def test_a_dataset_is_as_old_as_its_newest_run_that_promoted_files() -> None:
    lake = lake_with(flights=2 * HOUR)
    run(lake, "flights", "flights-1", "2024-05-01T06:00:00.000Z", promoted=1)
    run(lake, "flights", "flights-2", "2024-05-01T07:00:00.000Z", promoted=3)
    run(lake, "flights", "flights-3", "2024-05-01T08:00:00.000Z", promoted=0, rejected=1)
    run(lake, "flights", "flights-4", "2024-05-01T08:10:00.000Z", state="FAILED")
    run(lake, "flights", "flights-5", "2024-05-01T08:20:00.000Z", kind="maintain", tables=2)
    run(lake, "flights", "flights-6", "", state="RUNNING")
    [found] = judged(lake, "2024-05-01T08:30:00+00:00")
    assert found == DatasetFreshness(
        dataset="flights", limit_seconds=7200, landed_at="2024-05-01T07:00:00.000Z", age_seconds=5400
    )


@pytest.mark.parametrize(
    ("as_of", "stale"), [("2024-05-01T09:00:00Z", False), ("2024-05-01T09:00:01Z", True)]
)
def test_it_is_stale_after_its_time_and_not_at_it(as_of: str, stale: bool) -> None:
    lake = lake_with(flights=2 * HOUR)
    run(lake, "flights", "flights-1", "2024-05-01T07:00:00.000Z", promoted=1)
    assert [each.stale for each in judged(lake, as_of)] == [stale]


def test_nothing_is_overdue_before_its_first_landing() -> None:
    lake = lake_with(flights=HOUR)
    assert judged(lake, "2030-01-01T00:00:00Z") == [DatasetFreshness(dataset="flights", limit_seconds=3600)]
    assert lake.metrics.said == [("StaleDatasets", 0, "Count", {})]


def test_ages_and_the_number_of_stale_datasets_become_metrics() -> None:
    lake = lake_with(weather=HOUR, flights=9 * HOUR)
    for name in ("flights", "weather"):
        run(lake, name, f"{name}-1", "2024-05-01T07:00:00.000Z", promoted=1)
    judged(lake, "2024-05-01T09:00:00Z")
    assert lake.metrics.said == [
        ("DataAge", 7200, "Seconds", {"Dataset": "flights"}),
        ("DataAge", 7200, "Seconds", {"Dataset": "weather"}),
        ("StaleDatasets", 1, "Count", {}),
    ]


def test_without_a_moment_it_is_now() -> None:
    lake = lake_with(flights=HOUR)
    run(lake, "flights", "flights-1", "2024-05-01T06:59:00.000Z", promoted=1)
    [found] = freshness.run(lake, FreshnessRequest()).datasets
    assert found.age_seconds == 60


def test_an_index_of_before_promises_nothing_and_a_missing_one_is_an_error() -> None:
    lake = fake_lake()
    assert freshness.read_limits(lake.operations, "assets/abc/") == {}
    with pytest.raises(ObjectMissing, match=r"index\.json under the assets prefix assets/gone/"):
        freshness.read_limits(lake.operations, "assets/gone/")


# --- What reconciliation counts ---------------------------------------------------------------------


def reconciled(world: World, **request: object) -> list[tuple[str, float, str, dict[str, str]]]:
    reconcile.run(world.lake, ReconcileRequest.model_validate(request), lambda: True, "lake-dev-reconcile")
    return world.lake.metrics.said


def lay(world: World, key: str, event_time: str) -> None:
    world.lake.bronze.put(version(key)._replace(event_time=event_time))


def test_files_whose_event_had_its_time_are_counted() -> None:
    """The fakes' clock stands at seven: what was put a minute ago may still be on its way."""
    world = World()
    lay(world, "flights/a.csv", "2024-05-01T06:44:00Z")
    lay(world, "flights/b.csv", "2024-05-01T06:59:00Z")
    lay(world, "flights/_SUCCESS", "2024-05-01T05:00:00Z")
    assert reconciled(world) == [("UnannouncedFiles", 1, "Count", {})]
    assert world.pending() == ["flights/a.csv", "flights/b.csv"]


def test_nothing_found_is_no_metric_and_a_backfill_neither() -> None:
    world = World()
    assert reconciled(world) == []
    lay(world, "flights/a.csv", "2024-05-01T05:00:00Z")
    assert reconciled(world, follow=False) == []


def test_what_several_calls_found_is_one_number_in_the_end() -> None:
    world = World()
    world.lake.bronze.page_size = 1
    for name in ("a", "b"):
        lay(world, f"flights/{name}.csv", "2024-05-01T05:00:00Z")
    reconcile.run(world.lake, ReconcileRequest(), lambda: False, "lake-dev-reconcile")
    assert world.lake.metrics.said == []
    [(_, rest)] = world.lake.functions.called
    assert reconciled(world, **rest) == [("UnannouncedFiles", 2, "Count", {})]


# --- The format -------------------------------------------------------------------------------------


def test_a_metric_is_a_line_that_cloudwatch_reads(capsys: pytest.CaptureFixture[str]) -> None:
    EmfMetrics("lake-dev").put("DataAge", 5400, "Seconds", Dataset="flights")
    line = json.loads(capsys.readouterr().out)
    assert abs(line["_aws"].pop("Timestamp") / 1000 - datetime.now(UTC).timestamp()) < 60
    assert line == {
        "_aws": {
            "CloudWatchMetrics": [
                {
                    "Namespace": "Lakehouse",
                    "Dimensions": [["Dataset", "service"]],
                    "Metrics": [{"Name": "DataAge", "Unit": "Seconds"}],
                }
            ]
        },
        "Dataset": "flights",
        "service": "lake-dev",
        "DataAge": [5400.0],
    }
