"""The sample lake's own definitions, compiled once for all tests that look at them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lakehouse.assets import CompiledAssets, Definitions, compile_assets, compile_definitions

ROOT = Path(__file__).parents[2]


@cache
def definitions() -> Definitions:
    """Its contracts and models."""
    return compile_definitions(ROOT)


@cache
def assets() -> CompiledAssets:
    """All it runs on."""
    return compile_assets(ROOT)
