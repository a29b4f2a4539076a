"""Lake Formation in the twin: its grants decide what a query through Athena may see."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twin.context import Context


def install(app: ModuleType, context: Context) -> None:
    """Answer Lake Formation's API, provision its resource types, and let Athena ask it."""
    # Not above: the decision is tested without the emulator.
    from twin.lakeformation import provision, service

    service.install(app, context)
    provision.install(context)
