"""Which resource types and properties the twin has a word on: ``twin/properties.yaml``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from twin.errors import UnknownPropertyError

FILE = Path(__file__).parents[1] / "properties.yaml"


@cache
def known() -> dict[str, dict[str, list[str]]]:
    """Resource type -> class (``behaves`` or ``recorded``) -> property names."""
    loaded: dict[str, dict[str, list[str]]] = yaml.safe_load(FILE.read_text())
    return loaded


def check(resource_type: str, properties: dict[str, Any]) -> None:
    """Raise ``UnknownPropertyError`` for what is in neither class: the twin drops nothing in silence."""
    if resource_type.startswith("Custom::") or resource_type == "AWS::CloudFormation::CustomResource":
        return
    if resource_type not in known():
        raise UnknownPropertyError(f"The twin does not know {resource_type}: see twin/properties.yaml.")
    classes = known()[resource_type]
    names = {name for members in classes.values() for name in members}
    unknown = sorted(set(properties) - names)
    if unknown:
        listed = ", ".join(unknown)
        raise UnknownPropertyError(
            f"The twin does not know {listed} of {resource_type}: see twin/properties.yaml."
        )
