"""Run the test tiers, and close with a table of their times. `make test` calls this.

The twin tier spends a part of its time waiting, so it runs beside the others, which run one after the other;
those of its tests that do not share its lake are a tier of their own, on a twin of their own.
What a tier says is printed when it has ended, and lies in build/tests-TIER.log from the start; until then a
line every half a minute says how far each is. A tier that ran no test, skipped one or failed makes the whole
run fail. Usage: run.py [TIER...]
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
TIERS = {
    "unit": "the core, the command, contracts and models",
    "infra": "templates, policies and state machines",
    "spark": "the jobs' transforms on local Spark and Iceberg",
    "services": "what the twin itself does, and a second lake's life from creation to deletion",
    "twin": "the deployed template, end to end",
}
TESTS = {
    **{tier: [f"tests/{tier}"] for tier in ("unit", "infra", "spark")},
    "services": ["tests/twin", "-m", "not on_the_lake"],
    "twin": ["tests/twin", "-m", "on_the_lake"],
}
LANES = (("twin",), ("unit", "infra", "spark", "services"))
"""What runs side by side; within a lane one after the other."""
PROGRESS_SECONDS = 30
PERCENT = re.compile(r"\[ *(\d+%)\]")
# Many short tests that share nothing: two processes need about two thirds of the time of one. (The twin's share a twin.)
SPREAD = ["-n", "auto", "--maxprocesses=4", "--dist=worksteal"]
SPREADS = {"unit", "infra", "spark"}
SPREADS_BESIDE = {"spark"}
"""Beside the twin's tests, which take more than one of two cores and longest of all, the others leave them that."""
# Nothing a person has configured for AWS may reach a test, and the twin brings its own certificate.
DROPPED_PREFIXES = ("AWS_", "LAKEHOUSE_STACK", "LAKEHOUSE_TWIN")
DROPPED = {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}


@dataclass(frozen=True)
class Result:
    """What one tier did. ``seconds`` is wall time with pytest's own start."""

    tier: str
    exit_code: int
    passed: int
    failed: int
    skipped: int
    seconds: float

    @property
    def good(self) -> bool:
        return self.exit_code == 0 and self.passed > 0 and self.failed == 0 and self.skipped == 0


def environment() -> dict[str, str]:
    """This process's environment without anything that points at an AWS account."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in DROPPED and not name.startswith(DROPPED_PREFIXES)
    }
    return kept | {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null"}


def log_of(tier: str) -> Path:
    """Where a tier's output goes."""
    return BUILD / f"tests-{tier}.log"


def run_tier(tier: str, *, beside: bool) -> Result:
    """Run one tier in a pytest of its own and count its outcomes from the JUnit file."""
    junit = BUILD / f"tests-{tier}.xml"
    junit.unlink(missing_ok=True)
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", *TESTS[tier], "-q", f"--junitxml={junit}", "--durations=5"]
    command += SPREAD if tier in (SPREADS_BESIDE if beside else SPREADS) else []
    with log_of(tier).open("wb") as log:
        exit_code = subprocess.run(
            command, cwd=ROOT, env=environment(), stdout=log, stderr=subprocess.STDOUT, check=False
        ).returncode
    seconds = time.monotonic() - started
    total, failed, skipped = counts(junit)
    return Result(tier, exit_code, total - failed - skipped, failed, skipped, seconds)


def run_lane(tiers: list[str], results: list[Result], running: set[str], *, beside: bool) -> None:
    """Run tiers one after the other; ``results`` and ``running`` are kept for whoever looks on."""
    for tier in tiers:
        running.add(tier)
        results.append(run_tier(tier, beside=beside))
        running.discard(tier)


def run_side_by_side(lanes: list[list[str]]) -> list[Result]:
    """Run the lanes, and print what each tier said once it has ended."""
    results: list[Result] = []
    running: set[str] = set()
    with ThreadPoolExecutor(len(lanes)) as pool:
        beside = len(lanes) > 1
        pending = {pool.submit(run_lane, lane, results, running, beside=beside) for lane in lanes}
        shown = 0
        since = time.monotonic()
        while pending or shown < len(results):
            done, pending = wait(pending, timeout=1, return_when=FIRST_COMPLETED)
            for lane in done:
                lane.result()
            for result in results[shown:]:
                print_tier(result)
                shown += 1
            if time.monotonic() - since > PROGRESS_SECONDS:
                since = time.monotonic()
                print_progress(sorted(running))
    return results


def print_tier(result: Result) -> None:
    """All that a tier said."""
    print(f"\n=== {result.tier}: {TIERS[result.tier]}", flush=True)
    print(log_of(result.tier).read_text(errors="replace"), flush=True)


def print_progress(tiers: list[str]) -> None:
    """How far the running tiers are, as pytest says it."""
    far = {tier: PERCENT.findall(log_of(tier).read_text(errors="replace")) for tier in tiers}
    print("... " + ", ".join(f"{tier} {(far[tier] or ['0%'])[-1]}" for tier in tiers), flush=True)


def counts(junit: Path) -> tuple[int, int, int]:
    """Tests, failures with errors, and skips in a JUnit file; zeros when pytest did not write one."""
    if not junit.exists():
        return 0, 0, 0
    suites = list(ET.parse(junit).getroot().iter("testsuite"))

    def total(*names: str) -> int:
        return sum(int(suite.get(name, "0")) for suite in suites for name in names)

    return total("tests"), total("failures", "errors"), total("skipped")


def print_table(results: list[Result], seconds: float) -> None:
    """The closing table, and one plain line with the sums. ``seconds``: wall time of everything."""
    print(f"\n{'tier':<8}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>10}  result")
    for r in results:
        verdict = "ok" if r.good else "FAILED" if r.passed or r.failed else "FAILED: no test ran"
        print(f"{r.tier:<8}{r.passed:>8}{r.failed:>8}{r.skipped:>9}{r.seconds:>10.1f}  {verdict}")
    print(f"{'in all':<8}{'':>25}{seconds:>10.1f}\n")
    # A tier that broke without a failing test (a collection error, a crash) counts as one failure.
    failed = sum(max(r.failed, 0 if r.good or r.failed or r.skipped else 1) for r in results)
    skipped = sum(r.skipped for r in results)
    tail = f", {skipped} skipped" if skipped else ""
    print(f"{sum(r.passed for r in results)} passed, {failed} failed{tail}", flush=True)


def main(arguments: list[str]) -> int:
    """Run the named tiers (all when none is named)."""
    unknown = [name for name in arguments if name not in TIERS]
    if unknown:
        print(f"There is no tier {', '.join(unknown)}. Tiers: {', '.join(TIERS)}.", file=sys.stderr)
        return 2
    BUILD.mkdir(exist_ok=True)
    named = [[tier for tier in lane if not arguments or tier in arguments] for lane in LANES]
    for tier in (tier for lane in named for tier in lane):
        log_of(tier).write_bytes(b"")
    began = time.monotonic()
    results = run_side_by_side([lane for lane in named if lane])
    print_table(sorted(results, key=lambda result: [*TIERS].index(result.tier)), time.monotonic() - began)
    return 0 if all(r.good for r in results) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
