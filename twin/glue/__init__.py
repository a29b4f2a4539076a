"""Glue in the twin: jobs run in real Spark, crawlers read real files; the catalog is the emulator's."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twin.context import Context


def install(app: ModuleType, context: Context) -> None:
    """Answer what the emulator only pretends to do, and start the reserve of JVMs with the server."""
    # Not above: the workers can be used, and tested, without the emulator.
    from twin.glue import service

    service.install(app, context)
