"""Starts the emulator in this process with the twin's hooks in place, and stops it again."""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib.util
import logging
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import Any

from twin import admin, certificate, faults, hooks
from twin.context import Context
from twin.errors import StartError, UpgradeError
from twin.settings import ACCOUNT, LOOPBACK, REGION, Settings

log = logging.getLogger("twin")

OWN_SERVICES = (
    "twin.iam",
    "twin.s3",
    "twin.kms",
    "twin.cloudformation",
    "twin.stepfunctions",
    "twin.functions",
    "twin.eventbridge",
    "twin.cloudwatch",
)
OTHER_SERVICES = ("twin.glue", "twin.lakeformation", "twin.audit", "twin.athena")
"""Installed where they exist; one that exists and fails to import stops the start."""
_FOREIGN_TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")
READY_SECONDS = 30
CLOSING_SECONDS = 5


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises ``StartError`` or ``UpgradeError`` when that cannot begin."""
    _refuse_taken_port(settings)
    settings = replace(settings, plain_port=_free_port())
    tls_key = settings.state_dir / "tls" / "server.key"
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    settings.endpoint_file.unlink(missing_ok=True)
    certificate.ensure(settings.ca_bundle, tls_key, settings.host, dt.datetime.now(dt.UTC))
    _set_environment(settings, str(tls_key))
    _raise_open_files_limit()

    from ministack import app

    if not app.AUTH:
        raise UpgradeError(
            "ministack did not take AUTH=true from the environment: the twin must not run open."
        )
    logging.getLogger().setLevel(settings.log_level)
    logging.getLogger("samtranslator").setLevel(logging.ERROR)  # warns about metrics it has nowhere to send
    _name_known_services()
    context = Context(
        app, settings.endpoint, settings.ca_bundle, REGION, ACCOUNT, settings.state_dir, settings.project_root
    )
    for service in _services():
        service.install(app, context)
    faults.install(app, context)  # last, so that they stand in front of every service
    asyncio.run(_run(app, settings, context))


def _name_known_services() -> None:
    """Tell the emulator which services AWS has. It would read all of botocore's models for it, for seconds in
    which it answers nobody.
    """
    import botocore.session
    from ministack.core import router

    names = frozenset(botocore.session.get_session().get_available_services())
    hooks.replace(router, "_KNOWN_AWS_SERVICE_NAMES", lambda _: names)


def _services() -> list[ModuleType]:
    specs = {name: importlib.util.find_spec(name) for name in OTHER_SERVICES}
    # A folder without __init__.py is found too, but has no origin.
    return [import_module(name) for name in [*OWN_SERVICES, *(n for n, s in specs.items() if s and s.origin)]]


async def _run(app: ModuleType, settings: Settings, context: Context) -> None:
    from hypercorn.asyncio import serve as hypercorn_serve
    from hypercorn.config import Config

    config = Config()
    config.bind = settings.binds
    config.insecure_bind = [settings.plain_bind]
    config.certfile = os.environ["MINISTACK_SSL_CERT"]
    config.keyfile = os.environ["MINISTACK_SSL_KEY"]
    config.keep_alive_timeout = 75
    config.loglevel = settings.log_level
    config.graceful_timeout = 1
    stop, closing = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.set_exception_handler(_log_unless_connection_broke)
    failure: list[BaseException] = []

    def become_ready() -> None:
        try:
            _become_ready(settings, context)
        except BaseException as error:  # noqa: BLE001 - told below, from the main thread
            failure.append(error)
            loop.call_soon_threadsafe(stop.set)

    serving = asyncio.create_task(hypercorn_serve(app.app, config, shutdown_trigger=closing.wait))
    threading.Thread(target=become_ready, name="twin-ready", daemon=True).start()
    await asyncio.wait([asyncio.create_task(stop.wait()), serving], return_when=asyncio.FIRST_COMPLETED)
    await asyncio.to_thread(_shut_down, settings, context)
    closing.set()
    await asyncio.wait([serving], timeout=CLOSING_SECONDS)
    if not failure and serving.done() and (error := serving.exception()):
        failure.append(error)
    for error in failure:
        log.error("The twin ended because of an error.", exc_info=error)
    shutil.rmtree(settings.state_dir / "tmp", ignore_errors=True)
    # The emulator's threads may sit in waits of minutes, and the interpreter would wait for them.
    sys.stdout.flush()
    os._exit(1 if failure else 0)


def _log_unless_connection_broke(loop: asyncio.AbstractEventLoop, error: dict[str, Any]) -> None:
    """A client that ended without a goodbye (a stopped JVM, a killed function) is no error of ours."""
    if isinstance(error.get("exception"), OSError):  # includes ssl.SSLError and TimeoutError
        log.debug("a connection broke: %s", error["exception"])
        return
    loop.default_exception_handler(error)


def _become_ready(settings: Settings, context: Context) -> None:
    """Wait for the port, make the administrator, tell the services, then write the client files."""
    deadline = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=READY_SECONDS)
    while not _answers(settings):
        if dt.datetime.now(dt.UTC) > deadline:
            raise StartError(f"The twin did not answer on port {settings.port} within {READY_SECONDS} s.")
        threading.Event().wait(0.05)
    context.admin_credentials.update(admin.create_administrator(context))
    for action in context.ready_actions:
        threading.Thread(target=action, name=f"twin-{action.__module__}", daemon=True).start()
    admin.write_client_files(settings, context)
    sys.stdout.write(f"twin: ready on {settings.endpoint} (profile files in {settings.aws_dir})\n")
    sys.stdout.flush()


def _shut_down(settings: Settings, context: Context) -> None:
    settings.endpoint_file.unlink(missing_ok=True)
    for action in reversed(context.shutdown_actions):
        _attempt(action)


def _attempt(action: Callable[[], None]) -> None:
    """One service that cannot stop must not keep the others from stopping; its error is logged whole."""
    try:
        action()
    except Exception:
        log.exception("stopping %s failed", action.__module__)


def _answers(settings: Settings) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", settings.port)) == 0


def _refuse_taken_port(settings: Settings) -> None:
    if _answers(settings):
        raise StartError(
            f"Port {settings.port} is in use, perhaps by another twin: stop that one, or choose a --port."
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _set_environment(settings: Settings, key_file: str) -> None:
    """What ministack reads at import. Children inherit it, so nothing of the caller's AWS setup stays."""
    for name in [n for n in os.environ if n.startswith("AWS_") or n in _FOREIGN_TRUST]:
        del os.environ[name]
    scratch = settings.state_dir / "tmp"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    tempfile.tempdir = str(scratch)
    state = settings.state_dir / "state"
    trust = {
        name: str(settings.ca_bundle) for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    }
    os.environ.update(
        {
            "AUTH": "true",
            "BIND_HOST": settings.host,
            "GATEWAY_PORT": str(settings.port),
            "IOT_MTLS_ENABLED": "0",
            "LOG_LEVEL": settings.log_level,
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "MINISTACK_SSL_CERT": str(settings.ca_bundle),
            "MINISTACK_SSL_KEY": key_file,
            "MOTO_ACCOUNT_ID": ACCOUNT,
            "PERSIST_STATE": "1" if settings.persist else "0",
            "S3_DATA_DIR": str(state / "s3"),
            "S3_PERSIST": "1" if settings.persist else "0",
            "SFTP_ENABLED": "0",
            "STATE_DIR": str(state),
            "TMPDIR": str(scratch),
            "USE_SSL": "1",
            **trust,
        }
    )


def _raise_open_files_limit() -> None:
    """A burst of connections needs more than the usual 1024 open files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
