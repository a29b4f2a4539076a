"""The ways through a state machine: those it has, and those that executions took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tests.twin.lake import TwinLake

THE_END = "(the end)"


class Step(NamedTuple):
    """From one state to the next; ``cause`` is ``error`` for a Catch, ``next`` for every other way."""

    state: str
    cause: str
    target: str

    def __str__(self) -> str:
        return f"{self.state} {'on an error ' if self.cause == 'error' else ''}-> {self.target}"


def defined(definition: dict[str, Any]) -> set[Step]:
    """Every way from one state to the next that a definition has. Two Choices or Catches may share one."""
    steps: set[Step] = set()
    for state, body in definition["States"].items():
        targets = {body[key] for key in ("Next", "Default") if key in body}
        targets |= {choice["Next"] for choice in body.get("Choices", [])}
        if body.get("End") or body["Type"] in {"Succeed", "Fail"}:
            targets.add(THE_END)
        steps |= {Step(state, "next", target) for target in targets}
        steps |= {Step(state, "error", catcher["Next"]) for catcher in body.get("Catch", [])}
    return steps


def taken(events: Iterable[dict[str, Any]]) -> Iterator[Step]:
    """The ways that the history of one execution tells of."""
    state, failed = "", False
    for event in events:
        kind = event["type"]
        if kind.endswith("StateEntered"):
            following = event["stateEnteredEventDetails"]["name"]
            if state:
                yield Step(state, "error" if failed else "next", following)
            state, failed = following, False
        elif kind in {"TaskScheduled", "TaskFailed"}:
            failed = kind == "TaskFailed"
        elif kind == "ExecutionSucceeded" or (kind == "ExecutionFailed" and not failed):
            yield Step(state, "next", THE_END)


def history(lake: TwinLake, execution_arn: str) -> list[Step]:
    """The ways one execution took, in their order."""
    pages = lake.client("stepfunctions").get_paginator("get_execution_history")
    found = pages.paginate(executionArn=execution_arn)
    return list(taken(event for page in found for event in page["events"]))


def machines(lake: TwinLake) -> dict[str, str]:
    """The ARNs of the lake's state machines by their names, as the stack's outputs have them."""
    suffix = "StateMachineArn"
    return {
        output.removesuffix(suffix).lower(): arn
        for output, arn in lake.cli.outputs.items()
        if output.endswith(suffix)
    }


def executions(lake: TwinLake, machine_arn: str) -> Iterator[dict[str, Any]]:
    """Every execution of a state machine."""
    pages = lake.client("stepfunctions").get_paginator("list_executions")
    for page in pages.paginate(stateMachineArn=machine_arn):
        yield from page["executions"]
