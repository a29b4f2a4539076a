"""What checkov finds in the templates: nothing, but for what has its reason here."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from tests.infra.templates import ROOT, TEMPLATES, run_tool

CHECKOV = ROOT / ".tools" / "checkov" / "bin" / "checkov"
MOST_REASONS = 15
REASONS = {
    "CKV_AWS_18": "The buckets of logs: a line about an access to them would make the next one.",
    "CKV_AWS_27": "The queues are encrypted by SQS's own key, which checkov does not know: events name objects only.",
    "CKV_AWS_67": "The lake is in one region, and accesses to its objects are recorded there, whoever asks from where.",
    "CKV_AWS_99": "Logs are encrypted by their groups; by Glue's own setting they would go to groups that nothing here makes.",
    "CKV_AWS_111": "Log deliveries have no ARN: the service authorization reference knows only a wildcard for them.",
    "CKV_AWS_115": "Intake is capped where its queue calls it; a share reserved for each function would starve the others.",
    "CKV_AWS_116": "What calls a function asks again, or says that it failed: Step Functions, the queue, EventBridge's own "
    "dead-letter queue; test_house_rules.py holds each event source to one.",
    "CKV_AWS_173": "No variable is a secret (names and numbers); Lambda encrypts them with its own key.",
    "CKV_AWS_195": "The crawler reads files and writes to the catalog: it has nothing that a configuration would encrypt.",
}
"""Findings that stay, and why. A reason that no finding needs any more fails the test."""

Findings = dict[str, list[str]]


def found(*templates: str) -> Findings:
    """Resources by the check they fail. Nothing is asked of anybody on the network."""
    files = [argument for template in templates for argument in ("-f", template)]
    done = run_tool(
        CHECKOV,
        "--framework",
        "cloudformation",
        "--skip-download",
        "--quiet",
        "--compact",
        "-o",
        "json",
        *files,
    )
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0, report
    findings: Findings = defaultdict(list)
    for failed in report["results"]["failed_checks"]:
        findings[failed["check_id"]].append(f"{failed['file_path']}: {failed['resource']}")
    return findings


@pytest.fixture(scope="module")
def findings() -> Findings:
    return found(*TEMPLATES)


def test_nothing_is_found_without_a_reason(findings: Findings) -> None:
    assert {check: places for check, places in findings.items() if check not in REASONS} == {}


def test_every_reason_is_needed(findings: Findings) -> None:
    assert REASONS.keys() - findings.keys() == set()
    assert len(REASONS) <= MOST_REASONS
    assert all(REASONS.values())


def test_a_bucket_that_is_open_is_found(tmp_path: Path) -> None:
    template = tmp_path / "open.yaml"
    template.write_text("Resources:\n  Bucket:\n    Type: AWS::S3::Bucket\n")
    assert {"CKV_AWS_53", "CKV_AWS_21"} <= found(str(template)).keys()
