"""The `lakehouse` command against the deployed lake, as a script calls it: by the environment alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lakehouse_cli.demo import QUESTIONS
from tests.twin.lake import STACK, TwinLake
from tests.twin.sample import csv, flight

YEAR, MONTH = 2018, 7
"""A month that no other test puts flights into."""

Command = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="module")
def command(lake: TwinLake) -> Command:
    """Runs the command; returns exit code, stdout (read as JSON if there is any and it was asked for), stderr."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAKEHOUSE_"))}

    def run(*arguments: str) -> tuple[int, Any, str]:
        done = subprocess.run(
            [sys.executable, "-m", "lakehouse_cli", *arguments],
            env=kept | lake.endpoint.environment() | {"LAKEHOUSE_STACK": STACK},
            capture_output=True,
            text=True,
            check=False,
        )
        found = json.loads(done.stdout) if "--json" in arguments and done.stdout else done.stdout
        return done.returncode, found, done.stderr

    return run


@pytest.fixture(scope="module")
def landed(command: Command, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A file with two good rows and a bad one, put and waited for: its entry as `put` printed it."""
    folder = tmp_path_factory.mktemp("put") / f"year={YEAR}" / f"month={MONTH}"
    folder.mkdir(parents=True)
    rows = [flight(YEAR, MONTH, 1, 1), flight(YEAR, MONTH, 1, 2), flight(YEAR, MONTH, 2, 3, distance="50.7")]
    (folder / "three.csv").write_text(csv(rows))
    code, found, said = command("put", str(folder / "three.csv"), "--dataset", "flights", "--wait", "--json")
    assert code == 0, said
    (file,) = found["files"]
    return dict(file)


def test_put_and_wait_tells_what_became_of_a_file(landed: dict[str, Any]) -> None:
    names = ("dataset", "key", "state", "rows", "silver_rows", "quarantined_rows", "superseded_rows")
    assert {name: landed[name] for name in names} == {
        "dataset": "flights",
        "key": f"flights/year={YEAR}/month={MONTH}/three.csv",
        "state": "PROMOTED",
        "rows": 3,
        "silver_rows": 2,
        "quarantined_rows": 1,
        "superseded_rows": 0,
    }


def test_gold_has_it_right_after_the_wait(command: Command, landed: dict[str, Any]) -> None:
    sql = f"SELECT carrier, flights FROM carrier_punctuality_daily WHERE year = {YEAR} AND month = {MONTH}"
    code, found, _ = command("query", sql, "--json")
    assert (code, found["rows"], found["truncated"]) == (0, [["UA", 2]], False)
    assert [column["name"] for column in found["columns"]] == ["carrier", "flights"]


def test_lineage_names_the_exact_object_version_behind_a_gold_partition(
    command: Command, landed: dict[str, Any]
) -> None:
    where = f"year={YEAR}/month={MONTH}"
    code, found, _ = command(
        "lineage", "carrier_punctuality_monthly", "--column", "flights", "--partition", where, "--json"
    )
    assert code == 0
    assert (found["table"], found["column"], found["unknown"]) == (
        "gold.carrier_punctuality_monthly",
        "flights",
        [],
    )
    (read,) = [each for each in found["silver"] if each["dataset"] == "flights"]
    (source,) = read["objects"]
    assert {name: source[name] for name in ("key", "version_id", "run_id")} == {
        "key": f"flights/year={YEAR}/month={MONTH}/three.csv",
        "version_id": landed["version_id"],
        "run_id": landed["run_id"],
    }
    (column,) = found["columns"]
    assert column["sources"][0]["name"] == "gold.carrier_punctuality_daily.flights"
    tables = {run["table"] for run in found["runs"]}
    assert tables == {"gold.carrier_punctuality_monthly", "gold.carrier_punctuality_daily"}


def test_lineage_for_a_person_is_a_tree(command: Command, landed: dict[str, Any]) -> None:
    code, shown, _ = command(
        "lineage", "silver.flights", "--column", "dep_delay", "--partition", f"year={YEAR}/month={MONTH}"
    )
    assert code == 0
    assert "│   └── bronze.flights.dep_delay" in shown
    assert f"{landed['key']}  version {landed['version_id']}" in shown


def test_quarantine_shows_the_row_and_its_rule(command: Command, landed: dict[str, Any]) -> None:
    code, found, _ = command("quarantine", "flights", "--rows", "1000", "--json")
    assert code == 0
    (row,) = [each for each in found["rows"] if each["key"] == landed["key"]]
    assert (row["row"], row["broken_rules"]) == (3, ["distance_type"])
    assert '"distance":"50.7"' in row["raw_record"]
    assert {each["rule"]: each["rows"] for each in found["rules"]}["distance_type"] >= 1


def test_status_and_runs_know_the_run(command: Command, landed: dict[str, Any]) -> None:
    code, found, _ = command("status", "--json")
    assert code == 0
    assert {"flights", "weather", "planes", "airports", "airlines", "gold"} <= {
        w["name"] for w in found["writers"]
    }
    ages = {w["name"]: w["freshness"] for w in found["writers"]}
    assert (ages["flights"]["limit_seconds"], ages["flights"]["stale"]) == (35 * 86400, False)
    assert ages["planes"] is None
    _, found, _ = command("runs", "flights", "--json", "--limit", "200")
    (run,) = [each for each in found["runs"] if each["run_id"] == landed["run_id"]]
    assert (run["state"], run["kind"], run["rows"], run["quarantined_rows"]) == ("SUCCEEDED", "promote", 3, 1)


def test_a_refused_file_makes_put_fail_and_can_be_retried(command: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.csv.gz").write_bytes(b"\x1f\x8b\x08\x00 no gzip")
    path = f"year={YEAR}/month={MONTH + 1}"
    code, shown, said = command(
        "put", str(tmp_path / "bad.csv.gz"), "--dataset", "flights", "--path", path, "--wait"
    )
    assert code == 1
    assert "REJECTED" in shown
    assert "1 of 1 files did not get into Silver" in said
    _, found, _ = command("status", "flights", "--json")
    assert f"flights/{path}/bad.csv.gz" in {file["key"] for file in found["trouble"]}
    code, found, _ = command("retry", "flights", "--rejected", "--wait", "--json")
    assert (code, found["was"]) == (0, "FREE")
    assert found["files"] >= 1
    _, found, _ = command("status", "flights", "--json")
    assert f"flights/{path}/bad.csv.gz" in {file["key"] for file in found["trouble"]}


def test_backfill_takes_in_what_was_never_announced(command: Command, lake: TwinLake) -> None:
    with lake.silence():
        file = lake.put(
            f"flights/year={YEAR}/month={MONTH + 2}/silent.csv", csv([flight(YEAR, MONTH + 2, 1, 9)])
        )
        code, found, said = command("backfill", "flights", "--wait", "--json")
    assert code == 0, said
    assert (found["dataset"], found["registered"]) == ("flights", 1)
    assert lake.state(file) == "PROMOTED"


def test_nothing_to_retry_is_said(command: Command) -> None:
    assert command("retry", "gold")[:2] == (0, "There is nothing of gold to retry.\n")


def test_exit_codes_tell_what_kind_of_failure_it_was(command: Command) -> None:
    code, _, said = command("query", "SELECT * FROM no_such_table")
    assert (code, said.startswith("error: The query failed: TABLE_NOT_FOUND")) == (1, True)
    code, _, said = command("lineage", "no_such_table")
    assert (code, "No run has written a table no_such_table" in said) == (3, True)
    code, _, said = command("status", "--stack", "no-such-stack")
    assert (code, "There is no stack no-such-stack" in said) == (3, True)
    code, _, said = command("lineage", "flights", "--column", "no_such_column")
    assert (code, "silver.flights has no column 'no_such_column'" in said) == (3, True)


@pytest.mark.parametrize("question", [sql for _, sql in QUESTIONS], ids=[title for title, _ in QUESTIONS])
def test_the_demos_questions_have_answers(command: Command, question: str) -> None:
    code, found, said = command("query", question, "--json")
    assert code == 0, said
    assert len(found["rows"]) >= 4
