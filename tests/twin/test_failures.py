"""Runs that fail: a poisoned file, a lost permission, a stopped execution (acceptance 7, 8)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lakehouse import writers
from tests.twin.lake import STACK, TwinLake
from tests.twin.sample import flights_file, flights_key
from tests.twin.topic import failure_messages

WRITER = "promote:flights"
SWEEP_BOUND_SECONDS = 150
"""The sweep's schedule in the twin (a minute), and a run."""
GOOD_FILES = 49 if os.environ.get("LAKEHOUSE_SOAK") else 3


@pytest.fixture
def messages(lake: TwinLake) -> Iterator[Any]:
    """What is published on the failure topic while the test runs."""
    with failure_messages(lake) as listen:
        yield listen


def lease_state(lake: TwinLake) -> str:
    return writers.read(lake.core, WRITER).state


def sweep_until(lake: TwinLake, state: str, seconds: float = 180) -> None:
    """Let the sweep run every few seconds until the lease of flights is in a state."""
    deadline = time.monotonic() + seconds
    while lease_state(lake) != state:
        assert time.monotonic() < deadline, f"the lease is {lease_state(lake)}, not {state}"
        lake.invoke("sweep", {})
        time.sleep(2)


def test_a_file_that_kills_its_job_fails_alone(lake: TwinLake, messages: Any) -> None:
    lake.rest()
    fault = {"service": "s3", "call": "GET .*poison", "role": "SilverJobRole", "when": "before", "times": -1}
    lake.arm(**fault, effect="kill")
    names = ["poison", *(f"good-{i:02d}" for i in range(GOOD_FILES))]
    with lake.silence():
        files = lake.put_all(
            [(flights_key(2017, 1, n), flights_file(2017, 1, [i])) for i, n in enumerate(names, 1)]
        )
        lake.deliver([lake.event(file) for file in files])
    items = lake.settle(files, 900, gold=False)
    states = {key.rpartition("/")[2].removesuffix(".csv"): item["state"] for key, item in items.items()}
    assert states == {name: "FAILED" if name == "poison" else "PROMOTED" for name in names}
    found = lake.query("SELECT count(*), count(DISTINCT flight) FROM flights WHERE year = 2017 AND month = 1")
    assert found == [[GOOD_FILES, GOOD_FILES]]
    assert items[flights_key(2017, 1, "poison")]["attempts"] == 3
    assert any("FAILED" in text for text in messages())
    lake.arm(service="none", call="none", role="none", when="before", effect="kill")


def test_a_lost_permission_splits_nothing_and_holds_the_writer_until_retry(
    lake: TwinLake, messages: Any
) -> None:
    lake.rest()
    iam = lake.client("iam")
    [role] = [r["RoleName"] for r in iam.list_roles()["Roles"] if "SilverJobRole" in r["RoleName"]]
    denied = {"Effect": "Deny", "Action": "glue:UpdateTable", "Resource": "*"}
    iam.put_role_policy(
        RoleName=role,
        PolicyName="lost",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [denied]}),
    )
    try:
        with lake.quick_backoff():
            files = lake.put_all(
                [(flights_key(2017, 2, f"denied-{i}"), flights_file(2017, 2, [i])) for i in (1, 2)]
            )
            sweep_until(lake, "HELD")
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="lost")
    assert {lake.state(file) for file in files} == {"PENDING"}
    assert {item["split_group"] for item in lake.core.ledger.versions(f[1:] for f in files).values()} <= {""}
    assert any("HELD" in text or "Held" in text for text in messages())
    writers.retry(lake.core, WRITER)
    items = lake.settle(files, gold=False)
    assert {item["state"] for item in items.values()} == {"PROMOTED"}
    assert lake.query("SELECT count(*) FROM flights WHERE year = 2017 AND month = 2") == [[2]]


def test_a_stopped_execution_is_recovered_and_told(lake: TwinLake) -> None:
    lake.rest()
    with lake.quick_backoff():
        lake.arm(role="SilverJobRole", service="s3", call="GET", when="before", effect="hold")
        file = lake.put(flights_key(2017, 3, "stopped"), flights_file(2017, 3, [1]))
        lake.until(lake.fault_fired, "its job has begun", 120)
        run_id = writers.read(lake.core, WRITER).run_id
        arn = lake.cli.name("PromoteStateMachineArn").replace(":stateMachine:", ":execution:")
        lake.client("stepfunctions").stop_execution(executionArn=f"{arn}:{run_id}")
        lake.arm_all()
        sweep_until(lake, "FREE")
    assert lake.settle([file], gold=False)[file[1]]["state"] == "PROMOTED"
    assert lake.query("SELECT count(*) FROM flights WHERE year = 2017 AND month = 3") == [[1]]
    run = lake.core.ledger.run(WRITER, run_id)
    assert run is not None
    assert run["state"] == "FAILED"
    jobs = lake.client("glue").get_job_runs(JobName=f"{STACK}-silver")["JobRuns"]
    assert [job["JobRunState"] for job in jobs if job["Arguments"]["--run_id"] == run_id] == ["STOPPED"]


def test_the_sweep_acts_by_its_schedule(lake: TwinLake) -> None:
    lake.rest()
    lake.arm(
        service="dynamodb", call="UpdateItem", skip=1, role="IntakeFunctionRole", when="after", effect="kill"
    )
    began = time.monotonic()
    file = lake.put(flights_key(2017, 4, "swept"), flights_file(2017, 4, [1]))
    lake.until(lake.fault_fired, "the intake is killed after it took the lease")
    lake.until(lambda: lake.state(file) == "PROMOTED", "swept", SWEEP_BOUND_SECONDS)
    assert time.monotonic() - began < SWEEP_BOUND_SECONDS
    assert lake.query("SELECT count(*) FROM flights WHERE year = 2017 AND month = 4") == [[1]]
