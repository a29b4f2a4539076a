"""What every compiled definition has in common: a version of its shape, a hash, the names of time zones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

PLAN_VERSION: Final = 1

WHOLE_ROW: Final = "*"
"""The key in a column lineage under which stand the columns that decide which rows there are."""


def content_hash(definition: Mapping[str, Any]) -> str:
    """The SHA-256 of a definition without its own ``hash``: equal content, equal hash."""
    content = {key: value for key, value in definition.items() if key != "hash"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def is_timezone(name: str) -> bool:
    """Whether a text is the IANA name of a time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
