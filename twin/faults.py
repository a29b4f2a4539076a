"""Faults on demand: who calls a service at a chosen moment dies, or is refused.

A test writes ``faults.json`` in the twin's folder, a list of faults. Each fires once, or as many ``times`` as
it says (-1: always), and is then noted in ``faults-fired.json``. A fault is
``{"id", "service", "call", "role", "when", "effect"}``:

- ``call``: a regular expression over what is called: the action's name (``TransactWriteItems``), or for
  services without one, such as S3, method and path (``PUT /bucket/runs/.*manifest``).
- ``role``: a part of the name of the role that calls. ``skip``: how many matching calls pass before.
- ``when``: ``before`` the call has its effect, or ``after`` it has, with the answer lost.
- ``effect``: ``kill`` ends the caller's process (a Lambda environment or a Glue worker) as a power cut does;
  ``time-out`` ends the Glue run that calls as if its Timeout were over; ``hold`` lets the call wait while a
  fault of this id stands in the file, and then go on; any other text is the code of the error the caller gets
  instead of an answer.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from twin import hooks
from twin.context import Context

Handler = Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]]
_ACCESS_KEY = re.compile(r"Credential=([A-Z0-9]+)/")
FAULTS_FILE = "faults.json"
FIRED_FILE = "faults-fired.json"
KILLED_WAIT_SECONDS = 30
HOLD_LOOK_SECONDS = 0.05
QUERY_SERVICES = frozenset({"cloudformation", "iam", "sns", "sts"})
"""They answer in XML; the others but S3 in JSON."""


@dataclass
class _Armed:
    """A fault that has not fired as often as it should."""

    spec: dict[str, Any]
    skip: int
    times: int

    def meets(self, service: str, call: str, role: str) -> bool:
        spec = self.spec
        named = spec["service"] == service and spec.get("role", "") in role
        return named and re.search(spec["call"], call) is not None


@dataclass
class FaultBook:
    """The armed faults, as the file says; read again whenever the file was replaced."""

    folder: Path
    _stamp: int = 0
    _armed: list[_Armed] = field(default_factory=list)
    _fired: list[str] = field(default_factory=list)
    _ids: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def due(self, service: str, call: str, role: str) -> dict[str, Any] | None:
        """The fault that fires at this call, if one does."""
        with self._lock:
            self._read()
            for armed in self._armed:
                if not armed.meets(service, call, role):
                    continue
                if armed.skip > 0:
                    armed.skip -= 1
                    continue
                armed.times -= 1
                if armed.times == 0:
                    self._armed.remove(armed)
                self._fired.append(armed.spec["id"])
                (self.folder / FIRED_FILE).write_text(json.dumps(self._fired))
                return armed.spec
        return None

    def stands(self, fault_id: str) -> bool:
        """Whether the file still has a fault of this id."""
        with self._lock:
            self._read()
            return fault_id in self._ids

    def _read(self) -> None:
        path = self.folder / FAULTS_FILE
        stamp = path.stat().st_mtime_ns if path.exists() else 0
        if stamp != self._stamp:
            specs = json.loads(path.read_text()) if stamp else []
            self._stamp, self._fired = stamp, []
            self._ids = {str(spec["id"]) for spec in specs}
            self._armed = [_Armed(s, int(s.get("skip", 0)), int(s.get("times", 1))) for s in specs]


def install(app: ModuleType, context: Context) -> None:
    """Put the faults in front of every service. Must be installed last."""
    from ministack.services import sts

    hooks.require(sts, "_sessions")
    book = FaultBook(context.state_dir)
    for name in (FAULTS_FILE, FIRED_FILE):
        (context.state_dir / name).unlink(missing_ok=True)
    for service, handler in list(app.SERVICE_HANDLERS.items()):
        app.SERVICE_HANDLERS[service] = _with_faults(service, handler, book, context)


def _with_faults(service: str, handler: Handler, book: FaultBook, context: Context) -> Handler:
    async def wrapped(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Any:
        found = _ACCESS_KEY.search(headers.get("authorization", ""))
        access_key = found.group(1) if found else ""
        role = _role(access_key)
        fault = book.due(service, _call(method, path, headers), role) if role else None
        while fault is not None and fault["effect"] == "hold" and book.stands(str(fault["id"])):
            await asyncio.sleep(HOLD_LOOK_SECONDS)
        if fault is None or fault["effect"] == "hold":
            return await handler(method, path, headers, body, query)
        if fault["when"] == "after":
            await handler(method, path, headers, body, query)
        return await _take_effect(str(fault["effect"]), service, access_key, context)

    return wrapped


async def _take_effect(effect: str, service: str, access_key: str, context: Context) -> Any:
    """End the caller, or say what it gets instead of an answer."""
    if effect == "kill":
        context.kill_caller(access_key)
    elif effect == "time-out":
        context.time_out_caller(access_key)
    else:
        return _refusal(service, effect)
    await asyncio.sleep(KILLED_WAIT_SECONDS)  # nobody is left to hear an answer
    return _refusal(service, "RequestTimeout")


def _call(method: str, path: str, headers: dict[str, str]) -> str:
    target = headers.get("x-amz-target", "")
    return target.rpartition(".")[2] if target else f"{method} {path}"


def _role(access_key: str) -> str:
    """The name of the role a session belongs to, '' for users."""
    from ministack.services import sts

    arn = sts._sessions.get(access_key, {}).get("Arn", "")
    return str(arn).split("/")[1] if ":assumed-role/" in str(arn) else ""


def _refusal(service: str, code: str) -> tuple[int, dict[str, str], bytes]:
    """An error in the service's own protocol."""
    xml = f"<Error><Code>{code}</Code><Message>A fault that was asked for.</Message></Error>"
    if service == "s3":
        return 403, {"Content-Type": "application/xml"}, xml.encode()
    if service in QUERY_SERVICES:
        return 400, {"Content-Type": "text/xml"}, f"<ErrorResponse>{xml}</ErrorResponse>".encode()
    text = json.dumps({"__type": code, "Code": code, "message": "A fault that was asked for."})
    return 400, {"Content-Type": "application/x-amz-json-1.1"}, text.encode()
