"""The twin tier: one twin for all its tests, on a port and in a folder of its own; one deployment."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lakehouse.words import quarantine_table
from lakehouse_cli.sample import DATASETS, write_sample
from tests.twin.lake import ENVIRONMENT, TwinLake
from tests.twin.sample import sample_files

ROOT = Path(__file__).resolve().parents[2]
TWIN_PYTHON = ROOT / ".tools" / "twin" / "bin" / "python"
STATE_DIR = f".twin-test/{os.getpid()}"
"""Of this run of the tests alone, so that two may run side by side. Kept if the twin does not end well."""
JVM_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -Xmn300m"
"""Most of a short life's processor time goes into the second compiler, which a tier of small jobs never earns back.

With one tier Java keeps 48 MB for compiled code, less than Spark's, and throws away what it needs again. A larger
young generation is collected less often.
"""
START_SECONDS = 60
STOP_SECONDS = 30


ON_THE_LAKE = "on_the_lake"
COLLECTED = pytest.StashKey[set[Path]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "whole_tier: looks back on what all tests of this tier did")
    config.addinivalue_line("markers", f"{ON_THE_LAKE}: uses the lake that is deployed once for the tier")
    config.pluginmanager.register(Marking(), "marks-the-tests-on-the-lake")


class Marking:
    """Before anything is deselected: which files there are, and which tests share the deployed lake."""

    @staticmethod
    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
        config.stash[COLLECTED] = {item.path for item in items}
        for item in items:
            if "deployed" in getattr(item, "fixturenames", ()):
                item.add_marker(ON_THE_LAKE)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What looks back on the tier runs last, and not at all when only a part of the tier runs."""
    looking_back = [item for item in items if item.get_closest_marker("whole_tier")]
    kept = [item for item in items if item not in looking_back]
    here = set(Path(__file__).parent.glob("test_*.py"))
    selected = config.option.keyword or config.option.markexpr not in {"", ON_THE_LAKE}
    whole = here <= config.stash[COLLECTED] and not selected
    items[:] = [*kept, *(looking_back if whole else [])]
    if not whole:
        config.hook.pytest_deselected(items=looking_back)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def twin_command(*arguments: str) -> list[str]:
    """A command of the twin, on this tier's own folder."""
    return [str(TWIN_PYTHON), "-m", "twin", "--project", str(ROOT), "--state-dir", STATE_DIR, *arguments]


@pytest.fixture(scope="session")
def twin() -> Iterator[dict[str, str]]:
    """A running twin: the content of its endpoint file."""
    folder = ROOT / STATE_DIR
    folder.mkdir(parents=True)
    endpoint = folder / "endpoint.json"
    log = folder / "serve.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            twin_command("serve", "--port", str(free_port())),
            cwd=ROOT,
            env={**os.environ, "TWIN_JVM_OPTIONS": JVM_OPTIONS},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not endpoint.exists():
            assert server.poll() is None, f"the twin ended: {log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"the twin did not start: {log.read_text()[-2000:]}"
            time.sleep(0.1)
        yield json.loads(endpoint.read_text())
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(STOP_SECONDS)
    shutil.rmtree(folder)


def deploy(**variables: str) -> str:
    """Deploy the project's template to the tier's twin; returns what the command printed."""
    done = subprocess.run(
        twin_command("deploy", "--environment", ENVIRONMENT),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, f"the deployment failed:\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@dataclass(frozen=True)
class Figures:
    """What the lake held right after the sample lake had landed, and before any other test changed it."""

    silver: dict[str, int]
    quarantined: dict[str, int]
    missing_departures: int
    ua_flights: int
    ua_mean_dep_delay: float
    gold_tables: list[str]
    gold_rows: dict[str, int]
    files: list[dict[str, Any]]
    runs: dict[str, list[dict[str, Any]]]


UA = (
    "SELECT sum(flights), sum(dep_delay_minutes) / sum(CAST(departures AS double)) "
    "FROM carrier_punctuality_daily WHERE carrier = 'UA'"
)


@pytest.fixture(scope="session")
def figures(deployed: TwinLake, tmp_path_factory: pytest.TempPathFactory) -> Figures:
    """The sample lake, put and settled, and what it then held."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    files = deployed.put_all(sample_files(folder))
    deployed.start_scheduled_intake()
    items = deployed.settle(files)
    gold = sorted(row[0] for row in deployed.query("SHOW TABLES", "gold"))
    ua_flights, ua_mean = deployed.query(UA, "gold")[0]
    return Figures(
        silver={name: deployed.count(name) for name in DATASETS},
        quarantined={name: deployed.count(quarantine_table(name)) for name in DATASETS},
        missing_departures=deployed.query("SELECT count(*) FROM flights WHERE dep_time IS NULL")[0][0],
        ua_flights=int(ua_flights),
        ua_mean_dep_delay=float(ua_mean),
        gold_tables=gold,
        gold_rows={name: deployed.count(name, "gold") for name in gold},
        files=list(items.values()),
        runs={name: deployed.runs(f"promote:{name}") for name in DATASETS},
    )


@pytest.fixture(scope="session")
def lake(deployed: TwinLake, figures: Figures) -> TwinLake:
    """The deployed lake with the sample lake in it."""
    return deployed


@pytest.fixture(scope="module")
def gold_held(lake: TwinLake) -> Iterator[None]:
    """A module's tests look at Silver alone: Gold is made once, after them."""
    with lake.gold_held():
        yield


@pytest.fixture(scope="session")
def deployed(twin: dict[str, str]) -> TwinLake:
    """The deployed lake, empty."""
    deploy()
    return TwinLake.find(ROOT / STATE_DIR / "endpoint.json")
