"""The customProperties a contract may carry: what the Open Data Contract Standard has no word for."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from .problems import Problems, one_of

VENDOR: Final = "lakehouse"
Action = Literal["warn", "quarantine", "rejectFile", "rejectBatch"]
Character = Annotated[str, Field(min_length=1, max_length=1)]
ELSEWHERE: Final = {"freshness": "Use slaProperties at the contract's top, with property: frequency"}

Options = TypeVar("Options", bound="_Options")


class _Options(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, populate_by_name=False
    )


class DatasetOptions(_Options):
    """customProperties of the schema object."""

    format: Literal["csv", "jsonl", "json", "parquet"]
    delimiter: Character = ","
    quote: str = Field(default='"', max_length=1)
    escape: str = Field(default='"', max_length=1)
    header: bool = True
    column_order: Literal["any", "fixed"] = "any"
    encoding: Literal["UTF-8", "ISO-8859-1", "US-ASCII", "windows-1252", "UTF-16", "UTF-16LE", "UTF-16BE"] = (
        "UTF-8"
    )
    multiline: bool = False
    null_tokens: list[str] = [""]
    decimal: Literal[".", ","] = "."
    group: Literal["", ",", ".", " ", "'", "_"] = ""
    true_tokens: list[str] = Field(default=["true"], min_length=1)
    false_tokens: list[str] = Field(default=["false"], min_length=1)
    path_pattern: str | None = None
    mode: Literal["append", "upsert", "snapshot", "cdc", "scd2"] = "append"
    sequence_column: str | None = None
    snapshot_group: str | None = None
    snapshot_files: int | None = Field(default=None, ge=1)
    schema_evolution: Literal["evolve", "rescue", "strict"] = "evolve"
    timezone: str | None = None
    malformed_action: Action = "quarantine"
    intake: Literal["events", "scheduled"] = "events"
    maximum_delay_days: int | None = Field(default=None, ge=1, le=365)
    target_file_mebibytes: int | None = Field(default=None, ge=8, le=2048)


class PropertyOptions(_Options):
    """customProperties of a property."""

    source: Literal["file", "path"] = "file"
    action: Action = "quarantine"
    partition_transform: Literal["identity", "year", "month", "day", "hour"] = "identity"


class RuleOptions(_Options):
    """customProperties of a quality rule."""

    action: Action = "quarantine"


def read_options(
    kind: type[Options], entries: list[dict[str, Any]], path: str, problems: Problems
) -> Options | None:
    """Turn a list of {property, value} into one object of ``kind``, or None after noting what is wrong.

    Entries of another vendor are not ours and pass.
    """
    values: dict[str, Any] = {}
    for entry in entries:
        if entry.get("vendor", VENDOR) != VENDOR:
            continue
        if entry["property"] in values:
            problems.add(_place(path, entry["property"]), "stands twice", "Keep one of them")
        values[entry["property"]] = entry["value"]
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        known = [to_camel(name) for name in kind.model_fields]
        for item in error.errors(include_url=False):
            _note(item, known, path, problems)
        return None


def _place(path: str, name: str) -> str:
    return f"{path}.customProperties[{name}]" if path else f"customProperties[{name}]"


def _note(item: Any, known: list[str], path: str, problems: Problems) -> None:
    name = str(item["loc"][0])
    if item["type"] == "missing":
        problems.add(_place(path, name), "is missing", f"Add '- {{property: {name}, value: ...}}'")
    elif item["type"] == "extra_forbidden" and name in ELSEWHERE:
        problems.add(_place(path, name), "is not read here", ELSEWHERE[name])
    elif item["type"] == "extra_forbidden":
        problems.add(_place(path, name), "is unknown", one_of(name, known))
    else:
        what = item["msg"][:1].lower() + item["msg"][1:]
        problems.add(
            _place(path, name),
            what,
            "YAML reads NO, ON and 1 as no text: quote them" if "string" in what else "",
        )
