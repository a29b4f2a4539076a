"""Which grant let which role do what: each one's first use is a line of ``grants-used.jsonl``.

A grant is an action in a statement of a role's policies. The statement that is noted is the one that
allowed the call: what no line names could be taken from the role without anybody being refused here.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from twin import hooks

FILE: Final = "grants-used.jsonl"
SESSION: Final = ":assumed-role/"


@dataclass(frozen=True)
class Use:
    """One way in which a role used a grant."""

    role: str
    sid: str
    action: str
    pattern: str
    """The statement's resource that covers what the call was about."""


class Record:
    """The uses so far, each written to the file once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: set[Use] = set()
        self._lock = threading.Lock()

    def note(self, use: Use) -> None:
        """Write a use down, unless it is there already."""
        with self._lock:
            if use in self._seen:
                return
            self._seen.add(use)
            with self._file.open("a") as out:
                out.write(json.dumps(asdict(use)) + "\n")


def install(state_dir: Path) -> None:
    """Note what allows a role's calls from now on."""
    from ministack.core import iam_evaluator

    hooks.require(iam_evaluator, "_first_match", "_resource_matches")
    record = Record(state_dir / FILE)
    (state_dir / FILE).unlink(missing_ok=True)

    def noting(original: Callable[..., Any]) -> Callable[..., Any]:
        def evaluate(context: Any, policies: list[list[Any]], *limits: Any) -> Any:
            result = original(context, policies, *limits)
            if result.decision == "Allow" and SESSION in context.principal_arn:
                statements = [each for policy in policies for each in policy]
                allowed = iam_evaluator._first_match(context, statements, "Allow")
                patterns = [
                    pattern
                    for pattern in allowed.resources
                    if iam_evaluator._resource_matches(context.resource_arn, [pattern], [])
                ]
                role = context.principal_arn.partition(SESSION)[2].partition("/")[0]
                record.note(Use(role, allowed.sid, context.action, patterns[0] if patterns else "*"))
            return result

        return evaluate

    hooks.replace(iam_evaluator, "evaluate", noting)
