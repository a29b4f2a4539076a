"""The answer that CloudFormation waits for: one PUT to the address that came with the request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.request import Request, urlopen

REASON_CHARACTERS = 2_000
"""CloudFormation takes 4,096 bytes for the whole answer."""


def succeed(request: Mapping[str, Any], resource_id: str, data: Mapping[str, str]) -> None:
    """Report success with the attributes that the template reads by ``GetAtt``."""
    _send(request, {"Status": "SUCCESS", "PhysicalResourceId": resource_id, "Data": dict(data)})


def fail(request: Mapping[str, Any], resource_id: str, reason: str) -> None:
    """Report a failure; ``reason`` is shown with the stack's events."""
    body = {"Status": "FAILED", "PhysicalResourceId": resource_id, "Reason": reason[:REASON_CHARACTERS]}
    _send(request, body)


def _send(request: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    same = {name: request[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    # The address is signed for an empty content type.
    answer = Request(  # noqa: S310 - the address is CloudFormation's own
        request["ResponseURL"],
        data=json.dumps({**same, **body}).encode(),
        headers={"Content-Type": ""},
        method="PUT",
    )
    with urlopen(answer, timeout=30):  # noqa: S310
        return
