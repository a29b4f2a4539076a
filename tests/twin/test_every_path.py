"""What the whole tier has executed: runs last, and only if the whole tier runs (see `conftest.py`)."""

from __future__ import annotations

import json

import pytest

from tests.twin import paths
from tests.twin.conftest import ROOT
from tests.twin.lake import TwinLake

LEFT_OUT: set[tuple[str, str]] = set()
"""Machine and step that no test takes; each needs its reason beside it."""


@pytest.mark.whole_tier
def test_every_way_through_every_state_machine_was_taken(deployed: TwinLake) -> None:
    machines = paths.machines(deployed)
    assert set(machines) == {
        path.name.removesuffix(".asl.yaml") for path in (ROOT / "statemachines").glob("*.asl.yaml")
    }
    states, missing = deployed.client("stepfunctions"), set()
    for name, arn in machines.items():
        definition = json.loads(states.describe_state_machine(stateMachineArn=arn)["definition"])
        taken = {
            step
            for execution in paths.executions(deployed, arn)
            for step in paths.history(deployed, execution["executionArn"])
        }
        missing |= {(name, str(step)) for step in paths.defined(definition) - taken}
    assert missing == LEFT_OUT
