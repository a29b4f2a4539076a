"""Strict casts as Spark SQL text: what does not fit becomes null, and the caller sees a violation in that.

Every function takes and returns SQL. The text to cast is null only where the value is missing, so
``text IS NOT NULL AND cast IS NULL`` is a violation. The answers do not depend on ``spark.sql.ansi.enabled``;
they do on session zone UTC and ``timeParserPolicy=CORRECTED`` (see ``session.SETTINGS``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

INTEGERS: Final = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}
REALS: Final = frozenset({"float", "double"})
NESTED: Final = ("array<", "struct<", "map<")

_ISO_DATE: Final = r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}\s*$"
_ISO_TIME: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6}0*)?)?"
_ISO_ZONELESS: Final = rf"^\s*{_ISO_TIME}\s*$"
_ISO_ZONED: Final = rf"^\s*{_ISO_TIME}\s*(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)\s*$"
_REAL: Final = r"^\s*[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,4})?\s*$"
_WHOLE: Final = r"^\s*[+-]?[0-9]+[.]0*\s*$"
_EXPONENT: Final = r"^\s*[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)[eE][+-]?[0-9]{1,3}\s*$"
_ZONE_LETTERS: Final = frozenset("XxZzVO")
_MAX_PRECISION: Final = 38


@dataclass(frozen=True)
class Style:
    """How a file writes its values: the characters of numbers, the words of booleans."""

    decimal: str = "."
    group: str = ""
    true_tokens: tuple[str, ...] = ("true",)
    false_tokens: tuple[str, ...] = ("false",)


def quoted(name: str) -> str:
    """A column's name in SQL."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def literals(texts: Iterable[str]) -> str:
    """Texts in SQL, parted by commas."""
    return ", ".join(literal(text) for text in texts)


def without_tokens(text: str, tokens: Iterable[str]) -> str:
    """``text``, null where it is one of the tokens that stand for a missing value."""
    listed = literals(tokens)
    return f"CASE WHEN {text} NOT IN ({listed}) THEN {text} END" if listed else text


def strict(  # noqa: PLR0911 - one return per kind of type
    text: str, target: str, style: Style, date_format: str | None = None, timezone: str | None = None
) -> str:
    """``text`` (a string) as ``target`` (Spark SQL's name of a type), null where it does not fit without
    loss.
    """
    if target == "string":
        return text
    if target == "boolean":
        return _boolean(text, style)
    if target in INTEGERS:
        return _integer(_plain_number(text, style), target)
    if target in REALS:
        return _real(_plain_number(text, style), target)
    if target.startswith("decimal("):
        return _decimal(_plain_number(text, style), target)
    if target == "date":
        return _date(text, date_format)
    if target in {"timestamp", "timestamp_ntz"}:
        return _timestamp(text, target, date_format, timezone)
    if target.startswith(NESTED):
        return _nested(text, target)
    return f"try_cast({text} AS {target})"


def strict_native(  # noqa: PLR0911 - one return per kind of type
    value: str,
    source: str,
    target: str,
    style: Style,
    date_format: str | None = None,
    timezone: str | None = None,
) -> str:
    """``value`` of the type ``source`` (a Parquet column's) as ``target``, null where it does not fit
    without loss.
    """
    if source == target:
        return value
    if source in INTEGERS and target in INTEGERS:
        return f"try_cast({value} AS {target})"
    if source in REALS and target in INTEGERS:
        return f"CASE WHEN {value} = floor({value}) THEN try_cast({value} AS {target}) END"
    if source == "float" and target == "double":
        return f"CAST({value} AS DOUBLE)"
    if source == "date" and target == "timestamp_ntz":
        return f"CAST({value} AS TIMESTAMP_NTZ)"
    if source == "timestamp" and target == "timestamp_ntz":
        return f"CAST(NULL AS {target})"
    return strict(as_text(value, source), target, style, date_format, timezone)


def as_text(value: str, source: str) -> str:
    """A typed value as text; nested ones as JSON."""
    if source == "string":
        return value
    if source.startswith(NESTED):
        return f"to_json({value})"
    if source == "binary":
        return f"base64({value})"
    if source == "timestamp":
        return f"date_format({value}, \"yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'\")"
    return f"CAST({value} AS STRING)"


def _boolean(text: str, style: Style) -> str:
    true, false = (literals(t.lower() for t in tokens) for tokens in (style.true_tokens, style.false_tokens))
    word = f"lower(trim({text}))"
    return (
        f"CASE WHEN {word} IN ({true or 'NULL'}) THEN true WHEN {word} IN ({false or 'NULL'}) THEN false END"
    )


def _plain_number(text: str, style: Style) -> str:
    """A number in the file's own characters as one with a decimal point; null when it is not written that
    way.
    """
    if style.decimal == "." and not style.group:
        return text
    point, group = re.escape(style.decimal), re.escape(style.group)
    grouped = rf"[0-9]{{1,3}}({group}[0-9]{{3}})+|" if style.group else ""
    shape = rf"^\s*[+-]?({grouped}[0-9]*)({point}[0-9]*)?([eE][+-]?[0-9]+)?\s*$"
    plain = f"replace({text}, {literal(style.group)}, '')" if style.group else text
    return f"CASE WHEN {text} RLIKE {literal(shape)} THEN replace({plain}, {literal(style.decimal)}, '.') END"


def _integer(number: str, target: str) -> str:
    whole = f"try_cast(substring_index({number}, '.', 1) AS {target})"
    zeros = f"CASE WHEN {number} RLIKE {literal(_WHOLE)} THEN {whole} END"
    return f"coalesce(try_cast({number} AS {target}), {zeros})"


def _real(number: str, target: str) -> str:
    value = f"try_cast(trim({number}) AS {target})"
    finite = f"abs({value}) < CAST('Infinity' AS {target})"
    return f"CASE WHEN {number} RLIKE {literal(_REAL)} THEN CASE WHEN {finite} THEN {value} END END"


def _decimal(number: str, target: str) -> str:
    precision, scale = (int(part) for part in target[len("decimal(") : -1].split(","))
    digits = rf"([0-9]+([.][0-9]{{0,{scale}}}0*)?|[.][0-9]{{1,{scale}}}0*)" if scale else r"[0-9]+([.]0*)?"
    value = f"try_cast(trim({number}) AS {target})"
    # As many decimals as there is room for: equal there means that nothing was rounded away.
    wide = f"try_cast(trim({number}) AS decimal({_MAX_PRECISION},{_MAX_PRECISION - precision + scale}))"
    plain = literal(rf"^\s*[+-]?{digits}\s*$")
    return (
        f"CASE WHEN {number} RLIKE {plain} THEN {value} "
        f"WHEN {number} RLIKE {literal(_EXPONENT)} THEN CASE WHEN {value} = {wide} THEN {value} END END"
    )


def _date(text: str, date_format: str | None) -> str:
    if date_format is None:
        return f"CASE WHEN {text} RLIKE {literal(_ISO_DATE)} THEN try_cast({text} AS DATE) END"
    return f"CAST(try_to_timestamp({text}, {literal(date_format)}) AS DATE)"


def _timestamp(text: str, target: str, date_format: str | None, timezone: str | None) -> str:
    if date_format is not None:
        return _formatted_timestamp(text, target, date_format, timezone)
    zoneless, zoned = literal(_ISO_ZONELESS), literal(_ISO_ZONED)
    if target == "timestamp_ntz":
        return f"CASE WHEN {text} RLIKE {zoneless} THEN try_cast(trim({text}) AS TIMESTAMP_NTZ) END"
    # Without its Z a time is read as UTC, the session's zone, and Spark need not look for a zone in it.
    instant = f"try_cast(trim(TRAILING 'Z' FROM trim({text})) AS TIMESTAMP)"
    if timezone is None:
        return f"CASE WHEN {text} RLIKE {zoned} THEN {instant} END"
    local = _instant_of_local(instant, timezone)
    return f"CASE WHEN {text} RLIKE {zoned} THEN {instant} WHEN {text} RLIKE {zoneless} THEN {local} END"


def _formatted_timestamp(text: str, target: str, date_format: str, timezone: str | None) -> str:
    value = f"try_to_timestamp({text}, {literal(date_format)})"
    if target == "timestamp_ntz":
        return f"CAST({value} AS TIMESTAMP_NTZ)"
    return value if timezone is None or has_zone(date_format) else _instant_of_local(value, timezone)


def _instant_of_local(value: str, timezone: str) -> str:
    """The instant of a wall-clock time (held as if it were UTC); null for a time that the clock skipped."""
    zone = literal(timezone)
    instant = f"to_utc_timestamp({value}, {zone})"
    return f"CASE WHEN from_utc_timestamp({instant}, {zone}) = {value} THEN {instant} END"


def has_zone(date_format: str) -> bool:
    """Whether a Spark date pattern reads a zone or an offset."""
    return any(letter in _ZONE_LETTERS for letter in re.sub(r"'[^']*'", "", date_format))


def _nested(text: str, target: str) -> str:
    """JSON text as an array, struct or map. A part that does not fit makes the whole null."""
    schema = literal(f"v {target}, _corrupt_record STRING")
    value = f"from_json(concat('{{\"v\":', {text}, '}}'), {schema})"
    return f"CASE WHEN {value}._corrupt_record IS NULL THEN {value}.v END"
