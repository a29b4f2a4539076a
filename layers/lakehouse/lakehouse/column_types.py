"""The types a Silver column may have, by Spark SQL's names, and the standard's logical types for them."""

from __future__ import annotations

import re
from typing import Any, Final

from .problems import one_of

SCALAR_TYPES: Final = frozenset(
    {"string", "boolean", "int", "bigint", "float", "double", "date", "timestamp", "timestamp_ntz", "binary"}
)
INTEGER_TYPES: Final = frozenset({"int", "bigint"})
REAL_TYPES: Final = frozenset({"float", "double"})
TIME_TYPES: Final = frozenset({"timestamp", "timestamp_ntz"})
NESTED: Final = ("array<", "struct<", "map<")

_DECIMAL: Final = re.compile(r"decimal\(([0-9]+),([0-9]+)\)")
_DECIMAL_MAX_PRECISION: Final = 38
_STRUCT_FIELD: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*):(.+)")
_ALIASES: Final = {
    "integer": "int", "long": "bigint", "smallint": "int", "tinyint": "int", "text": "string",
    "varchar": "string", "char": "string", "bool": "boolean", "real": "float", "timestamptz": "timestamp",
    "timestamp_ltz": "timestamp", "datetime": "timestamp_ntz", "numeric": "decimal(18,2)",
    "decimal": "decimal(18,2)", "number": "double", "float64": "double", "int64": "bigint", "int32": "int",
}  # fmt: skip
_LOGICAL_INTEGER: Final = {"i32": "int", "i64": "bigint", None: "bigint"}
_LOGICAL_PHYSICAL: Final[dict[str, frozenset[str]]] = {
    "string": frozenset({"string", "binary"}),
    "date": frozenset({"date"}),
    "timestamp": TIME_TYPES,
    "number": REAL_TYPES | INTEGER_TYPES | {"decimal"},
    "integer": INTEGER_TYPES | {"decimal"},
    "boolean": frozenset({"boolean"}),
    "object": frozenset({"struct", "map"}),
    "array": frozenset({"array"}),
    "map": frozenset({"map"}),
}


class UnknownType(ValueError):  # noqa: N818 - caught where it is raised for, never seen by a user
    """A type that Silver cannot hold. Arguments: what is wrong, what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy


def family(kind: str) -> str:
    """The type's name without parameters: ``decimal(10,2)`` is ``decimal``, ``array<int>`` is ``array``."""
    return re.split(r"[(<]", kind, maxsplit=1)[0]


def is_nested(kind: str) -> bool:
    """Whether the type is an array, struct or map."""
    return kind.startswith(NESTED)


def spark_type(text: str) -> str:
    """The normal form of a Spark SQL type. Raises ``UnknownType``."""
    kind = text.strip()
    compact = re.sub(r"\s+", "", kind)
    if compact.lower() in SCALAR_TYPES:
        return compact.lower()
    if decimal := _DECIMAL.fullmatch(compact.lower()):
        precision, scale = int(decimal[1]), int(decimal[2])
        if not 1 <= precision <= _DECIMAL_MAX_PRECISION or scale > precision:
            raise UnknownType(f"type '{kind}' is impossible", "Use decimal(p,s) with s <= p <= 38")
        return compact.lower()
    if compact.lower().startswith(NESTED) and compact.endswith(">"):
        return _nested_type(compact)
    near = _ALIASES.get(family(compact.lower()))
    raise UnknownType(
        f"type '{kind}' is unknown",
        f"Did you mean '{near}'" if near else one_of(compact.lower(), SCALAR_TYPES | {"decimal(p,s)"}),
    )


def _nested_type(compact: str) -> str:
    outer, inner = compact[:-1].split("<", 1)
    parts = split_types(inner)
    if outer.lower() == "array" and len(parts) == 1:
        return f"array<{spark_type(parts[0])}>"
    if outer.lower() == "map" and len(parts) == 2:  # noqa: PLR2004 - key and value
        return f"map<{spark_type(parts[0])},{spark_type(parts[1])}>"
    fields = [_STRUCT_FIELD.fullmatch(part) for part in parts]
    if outer.lower() != "struct" or not all(fields):
        raise UnknownType(f"type '{compact}' cannot be read", "Write struct<name:type,...>")
    return "struct<" + ",".join(f"{field[1]}:{spark_type(field[2])}" for field in fields if field) + ">"


def split_types(inner: str) -> list[str]:
    """Split what stands inside of a nested type at the commas that stand outside of brackets."""
    parts, depth = [""], 0
    for character in inner:
        depth += (character in "<(") - (character in ">)")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def property_type(data: dict[str, Any]) -> str:
    """The Spark type of a property as the contract states it: its physicalType, else its logicalType.

    Raises ``UnknownType``.
    """
    logical = data.get("logicalType")
    if "physicalType" in data:
        kind = spark_type(data["physicalType"])
        if logical is not None and family(kind) not in _LOGICAL_PHYSICAL.get(logical, frozenset()):
            raise UnknownType(f"physicalType {kind} is no {logical}", "Change one of the two")
        return kind
    return _from_logical(logical, data)


def _from_logical(logical: str | None, data: dict[str, Any]) -> str:
    options = data.get("logicalTypeOptions") or {}
    if logical in {"string", "boolean", "date"}:
        return logical
    if logical == "integer":
        return _logical_integer(options.get("format"))
    if logical == "number":
        return "float" if options.get("format") == "f32" else "double"
    if logical == "timestamp":
        return _logical_timestamp(options)
    if logical in {"object", "array", "map"}:
        return _logical_nested(logical, data)
    if logical is None:
        raise UnknownType("has no type", "Set physicalType (a Spark SQL type) or logicalType")
    raise UnknownType(f"logicalType '{logical}' has no column type here", one_of(logical, _LOGICAL_PHYSICAL))


def _logical_integer(width: str | None) -> str:
    if width not in _LOGICAL_INTEGER:
        raise UnknownType(f"integer format '{width}' has no column type here", "Use i32 or i64")
    return _LOGICAL_INTEGER[width]


def _logical_timestamp(options: dict[str, Any]) -> str:
    if "timezone" not in options:
        raise UnknownType(
            "does not say whether it is an instant or a time without zone",
            "Set physicalType to timestamp (instant) or timestamp_ntz, or logicalTypeOptions.timezone",
        )
    return "timestamp" if options["timezone"] else "timestamp_ntz"


def _logical_nested(logical: str, data: dict[str, Any]) -> str:
    if logical == "array" and "items" in data:
        return f"array<{property_type(data['items'])}>"
    if logical == "map" and "map" in data:
        return f"map<{property_type(data['map']['key'])},{property_type(data['map']['value'])}>"
    if logical == "object" and data.get("properties"):
        return "struct<" + ",".join(f"{p['name']}:{property_type(p)}" for p in data["properties"]) + ">"
    raise UnknownType(f"the {logical} says nothing of what it holds", "Add its properties, items or map")
