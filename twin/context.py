"""What every part of the twin is given: where it listens, whose it is, and how to act as somebody.

A service package (``twin.glue``, ``twin.athena``, ...) exposes ``install(app, context)``. It is called before
the server listens, so ``install`` only registers; work that needs a running server goes to ``on_ready``.

Two ways to reach a service: ``call`` goes to its handler inside this process, unauthenticated, for
bookkeeping; the clients go over HTTPS with real credentials, so that IAM decides. Neither may be used on
the event loop's own thread (an async handler wraps them in ``asyncio.to_thread``, or awaits ``call_async``).
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
from botocore.config import Config

from twin.errors import CallRefusedError, RoleUnusableError

SESSION_SECONDS = 12 * 3600
KEPT_CLIENTS = 64
"""A client costs processor time to make and a handshake to use, and each job and query would make several."""
Credentials = dict[str, str]
JsonObject = dict[str, Any]


@dataclass
class Context:
    """The running twin, as its service packages see it."""

    app: ModuleType
    endpoint: str
    """For example ``https://127.0.0.1:4566``."""
    ca_bundle: Path
    """PEM file with the certificate the endpoint is to be trusted by."""
    region: str
    """The first one; a request may come for another."""
    account: str
    state_dir: Path
    """``.twin``: whatever is written here goes away with the twin."""
    project_root: Path
    admin_credentials: Credentials = field(default_factory=dict)
    _base_handlers: dict[str, Any] = field(default_factory=dict)
    callers: dict[str, list[Callable[[], None]]] = field(default_factory=dict)
    """By access key: how to end the processes that call with it (execution environments, Glue workers)."""
    deadlines: dict[str, Callable[[], None]] = field(default_factory=dict)
    """By access key: how to let the time of the Glue run that calls with it be over."""
    ready_actions: list[Callable[[], None]] = field(default_factory=list)
    shutdown_actions: list[Callable[[], None]] = field(default_factory=list)
    events_seen: int = 0
    _events: threading.Condition = field(default_factory=threading.Condition)
    # Not typed as boto3's: its stubs know a client only by a literal name.
    _session: Any = field(default_factory=boto3.session.Session)
    _session_lock: threading.Lock = field(default_factory=threading.Lock)
    _clients: dict[tuple[str | None, ...], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._base_handlers.update(self.app.SERVICE_HANDLERS)

    # --- Acting as somebody ---------------------------------------------------------------------

    def role_session(self, role_arn: str, session_name: str, service: str | None = None) -> Credentials:
        """Credentials of a role, by the names of their environment variables (``AWS_ACCESS_KEY_ID`` ...).

        ``service``: the principal that assumes the role (``glue.amazonaws.com``); when given, the role's
        trust policy must name it. Raises ``RoleUnusableError`` for a missing or distrusting role.
        """
        self.require_role(role_arn, service)
        from ministack.services import sts

        key_id, secret, token = (
            "ASIA" + secrets.token_hex(8).upper(),
            secrets.token_hex(20),
            secrets.token_hex(64),
        )
        name = role_arn.rsplit("/", 1)[-1]
        sts.register_session(
            key_id,
            {
                "Arn": f"arn:aws:sts::{self.account}:assumed-role/{name}/{session_name[:64]}",
                "UserId": f"{name}:{session_name[:64]}",
                "SecretAccessKey": secret,
                "SessionToken": token,
                "Expiration": time.time() + SESSION_SECONDS,
            },
        )
        return {"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}

    def role_client(
        self, service: str, role_arn: str, session_name: str, principal: str | None = None
    ) -> Any:
        """A boto3 client of ``service`` that acts as the role, over HTTPS."""
        return self.client(service, self.role_session(role_arn, session_name, principal))

    def admin_client(self, service: str) -> Any:
        """A boto3 client of ``service`` that acts as the twin's administrator, over HTTPS."""
        return self.client(service, self.admin_credentials)

    def client(self, service: str, credentials: Credentials) -> Any:
        """A boto3 client of ``service`` with these credentials, over HTTPS, in the request's region."""
        from ministack.core.responses import get_region

        keys = (credentials[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
        key = (service, get_region(), *keys, credentials.get("AWS_SESSION_TOKEN"))
        with self._session_lock:  # a boto3 session may not make two clients at once
            client = self._clients.pop(key, None) or self._make_client(*key)
            self._clients[key] = client  # the one used last stands last
            if len(self._clients) > KEPT_CLIENTS:
                del self._clients[next(iter(self._clients))]
        return client

    def _make_client(
        self, service: str, region: str, key_id: str, secret: str, token: str | None = None
    ) -> Any:
        config = Config(
            read_timeout=900,
            # One attempt: who calls for a state machine or a job must see the first answer, as on AWS's side.
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
        )
        return self._session.client(
            service,
            endpoint_url=self.endpoint,
            region_name=region,
            verify=str(self.ca_bundle),
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=config,
        )

    def require_role(self, role_arn: str, service: str | None) -> None:
        """Raise ``RoleUnusableError`` unless the role exists and trusts the service, if one is named."""
        from ministack.services import iam

        role = iam._roles.get(role_arn.rsplit("/", 1)[-1])
        if role is None:
            raise RoleUnusableError(f"The role {role_arn} does not exist.")
        if service and not _trusts(role["AssumeRolePolicyDocument"], service):
            raise RoleUnusableError(f"The trust policy of {role_arn} does not allow {service} to assume it.")

    def add_caller(self, credentials: Credentials, end: Callable[[], None]) -> None:
        """Remember how to end a process that was given these credentials; ending twice must be harmless."""
        self.callers.setdefault(credentials["AWS_ACCESS_KEY_ID"], []).append(end)

    def kill_caller(self, access_key: str) -> None:
        """End every process that calls with an access key."""
        for end in self.callers.pop(access_key, []):
            end()

    def time_out_caller(self, access_key: str) -> None:
        """Let the time of the Glue run that calls with an access key be over."""
        self.deadlines.pop(access_key)()

    # --- Inside the process -----------------------------------------------------------------------

    async def call_async(self, service: str, action: str, body: JsonObject, target: str) -> JsonObject:
        """``call`` for code that runs on the event loop."""
        headers = {"x-amz-target": f"{target}.{action}", "content-type": "application/x-amz-json-1.1"}
        handler = self._base_handlers[service]
        status, _, answer = await handler("POST", "/", headers, json.dumps(body, default=str).encode(), {})
        decoded: JsonObject = json.loads(answer) if answer else {}
        if status >= HTTPStatus.BAD_REQUEST:
            raise CallRefusedError(service, action, status, decoded)
        return decoded

    async def store_async(self, bucket: str, key: str, body: bytes, headers: dict[str, str]) -> None:
        """Write an S3 object as a service of AWS does, below every hook and without authentication."""
        from ministack.services import s3

        path = f"/{bucket}/{key}"
        status, _, answer = await s3.handle_request("PUT", path, headers, body, {}, internal=True)
        if status >= HTTPStatus.BAD_REQUEST:
            raise CallRefusedError("s3", "PutObject", status, {"Message": str(answer)})

    def call(self, service: str, action: str, body: JsonObject, target: str) -> JsonObject:
        """Ask a service's own handler, below every hook and without authentication.

        ``target`` is the prefix of ``X-Amz-Target`` (``AWSGlue``, ``Logs_20140328``): JSON protocols only.
        Raises ``CallRefusedError`` when the service answers with an error.
        """

        async def handler(*_: Any) -> JsonObject:
            return await self.call_async(service, action, body, target)

        answer: JsonObject = self.app.call_service_handler_sync(handler, None, None, None, None, None)
        return answer

    def emit_event(
        self, source: str, detail_type: str, detail: JsonObject, resources: Iterable[str] = ()
    ) -> None:
        """Put one event on the default bus, as an AWS service does (``source`` like ``aws.glue``)."""
        from ministack.services import eventbridge

        entry = {"Source": source, "DetailType": detail_type, "Detail": json.dumps(detail, default=str)}
        # Not through PutEvents: that refuses a source of AWS's own, from anybody.
        eventbridge._put_events({"Entries": [{**entry, "Resources": list(resources)}]}, allow_aws_source=True)
        self.wake()

    def wake(self) -> None:
        """Let everybody who waits for an event look again."""
        with self._events:
            self.events_seen += 1
            self._events.notify_all()

    def wait_for_event(self, seen: int, seconds: float) -> None:
        """Wait until an event came after ``events_seen`` was ``seen``, or the time is over."""
        with self._events:
            self._events.wait_for(lambda: self.events_seen > seen, timeout=seconds)

    def put_logs(self, group: str, stream: str, lines: Iterable[str]) -> None:
        """Append lines to a log stream, making group and stream where they are missing."""
        now_ms = int(time.time() * 1000)
        events = [{"timestamp": now_ms, "message": line} for line in lines if line]
        for action, body in (
            ("CreateLogGroup", {"logGroupName": group}),
            ("CreateLogStream", {"logGroupName": group, "logStreamName": stream}),
        ):
            try:
                self.call("logs", action, body, "Logs_20140328")
            except CallRefusedError as refused:
                if refused.code != "ResourceAlreadyExistsException":
                    raise
        if events:
            batch = {"logGroupName": group, "logStreamName": stream, "logEvents": events}
            self.call("logs", "PutLogEvents", batch, "Logs_20140328")

    # --- Life -------------------------------------------------------------------------------------

    def on_ready(self, action: Callable[[], None]) -> None:
        """Run ``action`` on a thread of its own once the server answers and the administrator exists."""
        self.ready_actions.append(action)

    def on_shutdown(self, action: Callable[[], None]) -> None:
        """Run ``action`` when the twin stops; it must end what it started within five seconds."""
        self.shutdown_actions.append(action)


def _trusts(document: str | JsonObject, service: str) -> bool:
    """Whether a trust policy lets a service principal assume the role."""
    policy = json.loads(document) if isinstance(document, str) else document
    for statement in _as_list(policy.get("Statement", [])):
        principal = statement.get("Principal", {})
        services = _as_list(principal.get("Service", [])) if isinstance(principal, dict) else []
        if statement.get("Effect") == "Allow" and service in services:
            return True
    return False


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
