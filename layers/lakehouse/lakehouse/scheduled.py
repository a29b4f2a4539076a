"""Datasets that are taken in by schedule: their arrivals are not looked at when they are announced.

A Glue job finds their new files by its bookmark and names them to `reconcile`. The bookmark only proposes:
a version that the ledger knows is not taken in again, whoever names it, and however often.
"""

from __future__ import annotations

from .lake import Lake
from .plan import read_index


def scheduled_datasets(lake: Lake) -> frozenset[str]:
    """The datasets whose deployed contract says ``intake: scheduled``."""
    return frozenset(read_index(lake, lake.settings.assets_prefix)["scheduled"])
