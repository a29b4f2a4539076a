"""The promises of a contract's ``slaProperties`` that the lake watches: how often files come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from .problems import Problems, one_of

FREQUENCY: Final = "frequency"
"""The standard's name for how often data is updated (its list of Data QoS); all others are only kept."""

_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR
_UNIT_SECONDS: Final = {"h": _HOUR, "hour": _HOUR, "hours": _HOUR, "d": _DAY, "day": _DAY, "days": _DAY}


def freshness_seconds(entries: Iterable[Mapping[str, Any]], dataset: str, problems: Problems) -> int | None:
    """The longest time between two landings of a dataset, in seconds; None if the contract promises none.

    Arguments: ``entries`` are the contract's ``slaProperties``. Notes what cannot be read.
    """
    found = [
        (f"slaProperties[{index}]", entry)
        for index, entry in enumerate(entries)
        if entry["property"] == FREQUENCY
    ]
    if not found:
        return None
    place, entry = found[0]
    for other, _ in found[1:]:
        problems.add(other, f"is a second {FREQUENCY}", "Keep one of them")
    if entry.get("element", dataset) != dataset:
        problems.add(f"{place}.element", "is not looked at: files are, when they land", "Remove it")
    return _seconds(entry, place, problems)


def _seconds(entry: Mapping[str, Any], place: str, problems: Problems) -> int | None:
    value, unit = entry["value"], str(entry.get("unit", ""))
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        problems.add(
            f"{place}.value", f"{value!r} is no number above 0", "Say every how many units files come"
        )
        return None
    if unit not in _UNIT_SECONDS:
        problems.add(f"{place}.unit", f"'{unit}' is no unit of a {FREQUENCY}", one_of(unit, _UNIT_SECONDS))
        return None
    return round(value * _UNIT_SECONDS[unit])
