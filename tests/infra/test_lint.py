"""What AWS's own linters say, template by template: a parent's lint does not look into nested ones."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.infra.templates import CFN_LINT, MACHINES, SAM, TEMPLATES, machine, run_tool


@pytest.mark.parametrize("path", TEMPLATES)
def test_sam_finds_nothing(path: str) -> None:
    done = run_tool(SAM, "validate", "--lint", "--template", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is a valid SAM Template" in done.stdout


@pytest.mark.parametrize("name", MACHINES)
def test_rendered_state_machine_has_no_lint(name: str, tmp_path: Path) -> None:
    done = lint_machine(machine(name), tmp_path)
    assert done.returncode == 0, done.stdout


def test_the_lint_sees_a_broken_state_machine(tmp_path: Path) -> None:
    broken = json.loads(json.dumps(machine("refresh")))
    broken["States"]["RunGold"]["Resuorce"] = broken["States"]["RunGold"].pop("Resource")
    assert lint_machine(broken, tmp_path).returncode != 0


def lint_machine(definition: dict[str, Any], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    role = "arn:aws:iam::123456789012:role/lake"
    properties = {"RoleArn": role, "Definition": definition}
    wrapped = {
        "Resources": {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}}
    }
    file = tmp_path / "machine.json"
    file.write_text(json.dumps({"AWSTemplateFormatVersion": "2010-09-09", **wrapped}))
    return run_tool(CFN_LINT, str(file))
