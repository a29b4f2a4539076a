"""Partition projection: a table's partitions follow from its properties, not from the catalog.

Source: Athena user guide, "Use partition projection with Amazon Athena". Athena makes up every partition that
the properties allow and looks into those that a query may want; here files' names tell which there are.
"""

from __future__ import annotations

import re
from typing import Any, Final

from twin.athena.caller import Caller
from twin.athena.errors import not_supported

TEMPLATE: Final = "storage.location.template"
DATE_FORMAT: Final = "yyyy/MM/dd"
DAY: Final = r"\d{4}/\d{2}/\d{2}"
PLACEHOLDER: Final = re.compile(r"\$\{(\w+)\}")


def is_projected(table: dict[str, Any]) -> bool:
    """Whether a table has its partitions by projection."""
    return str(table.get("Parameters", {}).get("projection.enabled", "")).lower() == "true"


def partitions(table: dict[str, Any], reader: Caller) -> list[dict[str, Any]]:
    """The partitions that have files, in the shape of Glue's GetPartitions."""
    parameters = table["Parameters"]
    names = [key["Name"] for key in table["PartitionKeys"]]
    template = parameters[TEMPLATE].rstrip("/")
    pattern = re.compile(_pattern(template, {name: _values(name, parameters) for name in names}))
    folders = {url.rpartition("/")[0] for url in reader.list_files(PLACEHOLDER.split(template)[0])}
    matches = [found for folder in sorted(folders) if (found := pattern.fullmatch(folder))]
    return [
        {"Values": [found[name] for name in names], "StorageDescriptor": {"Location": found[0]}}
        for found in matches
        if all(_in_range(found[name], name, parameters) for name in names)
    ]


def _pattern(template: str, values: dict[str, str]) -> str:
    parts = PLACEHOLDER.split(template)
    # Text and names by turns.
    made = (f"(?P<{p}>{values[p]})" if at % 2 else re.escape(p) for at, p in enumerate(parts))
    return "".join(made)


def _values(name: str, parameters: dict[str, str]) -> str:
    """What a key's values look like. Raises ``QueryError`` for a kind that the twin does not know."""
    kind = parameters[f"projection.{name}.type"]
    if kind == "enum":
        return "|".join(map(re.escape, parameters[f"projection.{name}.values"].split(",")))
    if kind == "date" and parameters[f"projection.{name}.format"] == DATE_FORMAT:
        return DAY
    raise not_supported(f"the partition projection of {name}")


def _in_range(value: str, name: str, parameters: dict[str, str]) -> bool:
    """Whether a day is not before the first one; the last one is now."""
    first, _, last = parameters.get(f"projection.{name}.range", ",").partition(",")
    if last not in {"", "NOW"}:
        raise not_supported(f"the range of the partition projection of {name}")
    return value >= first
