"""Everything the twin itself can say went wrong."""

from __future__ import annotations

from typing import Any


class TwinError(Exception):
    """The twin cannot do what was asked; the message says why in one sentence."""


class UpgradeError(TwinError):
    """The emulator below lacks a name the twin hooks into."""


class StartError(TwinError):
    """The twin could not start listening."""


class DeployError(TwinError):
    """A build, deployment or deletion did not succeed."""


class UnknownPropertyError(TwinError):
    """A template uses a resource type or property the twin has no word on."""


class RefusedError(TwinError):
    """AWS would refuse this, so the twin does too."""


class RoleUnusableError(TwinError):
    """A role is missing, or does not trust who wants to assume it."""


class CallRefusedError(TwinError):
    """A service answered a call inside the process with an error."""

    def __init__(self, service: str, action: str, status: int, answer: dict[str, Any]) -> None:
        self.code = str(answer.get("__type", "")).rsplit("#", 1)[-1]
        self.status = status
        self.reason = str(answer.get("message") or answer.get("Message") or "")
        super().__init__(f"{service}:{action} answered {status} {self.code}: {self.reason}")
