"""Sweep: every few minutes, whatever nobody else will see to. All it does is safe to repeat."""

from __future__ import annotations

from . import recover, writers
from .errors import LakehouseError, SweepIncomplete
from .lake import Execution, Lake
from .payloads import RecoverResult, RunRequest, SweepResult

RUNNING_STATES = frozenset({"RUNNING", "PENDING_REDRIVE"})


def sweep(lake: Lake) -> SweepResult:
    """Look at every writer. An error with one of them is reported, and leaves the others alone."""
    result = SweepResult()
    for writer in lake.ledger.writers():
        try:
            _see_to(lake, writer, result)
        except LakehouseError as error:
            result.failed[writer] = type(error).__name__
    return result


def checked(result: SweepResult) -> SweepResult:
    """The result of a sweep that saw to every writer. Raises ``SweepIncomplete`` if there is another."""
    if result.failed:
        failed = ", ".join(f"{writer} ({error})" for writer, error in sorted(result.failed.items()))
        raise SweepIncomplete(f"the sweep could not see to {failed}")
    return result


def _see_to(lake: Lake, writer: str, result: SweepResult) -> None:
    lease = writers.read(lake, writer)
    if lease.state == writers.TAKEN:
        _see_to_run(lake, lease, result)
    elif lease.may_be_taken(lake.stamp()) and (
        lease.state == writers.WAITING or writers.has_work(lake, lease) or writers.is_outdated(lake, lease)
    ):
        result.started.append(writers.ensure_started(lake, writer).run_id)
    elif lease.state == writers.FREE and lease.maintenance_wanted:
        result.started.append(writers.start_wanted_maintenance(lake, lease).run_id)


def _see_to_run(lake: Lake, lease: writers.Lease, result: SweepResult) -> None:
    """Start the run of a taken lease if it never was, recover it if it has ended."""
    arn = lake.settings.state_machine_arn(lease.writer, maintaining=lease.maintaining)
    execution = lake.executions.describe(arn, lease.run_id)
    if execution is None:
        writers.start(lake, lease.writer, lease.run_id, maintaining=lease.maintaining)
        result.started.append(lease.run_id)
    elif execution.status not in RUNNING_STATES:
        done = _recover(lake, lease, execution)
        if done.outcome != "stale":
            result.recovered.append(lease.run_id)


def _recover(lake: Lake, lease: writers.Lease, execution: Execution) -> RecoverResult:
    dataset = writers.dataset_of(lease.writer)
    request = RunRequest(run_id=lease.run_id, writer=lease.writer, dataset=dataset)
    return recover.recover(lake, request, execution)
