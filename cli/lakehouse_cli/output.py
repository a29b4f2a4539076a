"""How the command prints: tables for a person, JSON for a script, notes and errors to stderr.

Names and values that came from outside (object keys, cells, error texts) pass through ``visible``, so that
nobody who names a file can move the cursor of who lists it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_WITHOUT_TERMINAL = 2000
SECONDS_A_MINUTE = 60
BYTES_A_UNIT = 1024
STATE_STYLES = {
    "PROMOTED": "green",
    "SUCCEEDED": "green",
    "FREE": "dim",
    "RUNNING": "cyan",
    "TAKEN": "cyan",
    "CLAIMED": "cyan",
    "PENDING": "yellow",
    "WAITING": "yellow",
    "REJECTED": "red",
    "FAILED": "red",
    "HELD": "red",
}


def stdout() -> Console:
    """A console on the current stdout; wide when that is no terminal, so that a pipe gets whole lines."""
    return _console(stderr=False)


def stderr() -> Console:
    """A console on the current stderr."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def visible(text: str) -> str:
    """The text with every control, bidirectional and unassigned character spelled out as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def cell(value: object, *, separators: bool = True) -> Text:
    """One table cell: numbers with separators (if wanted), times in UTC to the second, nothing for None."""
    if value is None:
        return Text("")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, int):
        return Text(f"{value:,}" if separators else str(value))
    if isinstance(value, datetime):
        return Text(value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"))
    text = visible(str(value))
    return Text(text, style=STATE_STYLES.get(text, ""))


def table(
    title: str | None,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    right: Sequence[str] = (),
    *,
    separators: bool = True,
) -> Table:
    """A table of cells; columns whose cells are all numbers, or named in ``right``, are set flush right."""
    listed = [list(row) for row in rows]
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(columns):
        values = [row[index] for row in listed if row[index] is not None]
        numeric = bool(values) and all(
            isinstance(v, (int, float, Decimal)) and not isinstance(v, bool) for v in values
        )
        flush_right = numeric or name in right
        made.add_column(Text(visible(name)), justify="right" if flush_right else "left", overflow="fold")
    for row in listed:
        made.add_row(*(cell(value, separators=separators) for value in row))
    return made


def print_json(value: object) -> None:
    """One JSON document on stdout, indented, non-ASCII escaped, times as ISO 8601."""
    print(json.dumps(value, indent=2, default=_encode))  # noqa: T201 - this is the command's output


def _encode(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value)


def note(sentence: str) -> None:
    """A sentence to the person, on stderr, so that a script's stdout stays clean."""
    stderr().print(Text(sentence, style="dim"), soft_wrap=True)


def error(sentence: str) -> None:
    """What went wrong, on stderr."""
    stderr().print(Text.assemble(("error: ", "bold red"), visible_lines(sentence)), soft_wrap=True)


def visible_lines(text: str) -> str:
    """Like ``visible``, line by line."""
    return "\n".join(visible(line) for line in text.splitlines())


def duration(seconds: float) -> str:
    """Seconds for a person: ``4.2 s``, ``3 min 07 s``."""
    if seconds < SECONDS_A_MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), SECONDS_A_MINUTE)
    return f"{minutes} min {rest:02d} s"


def long_duration(seconds: float) -> str:
    """Seconds for a person who thinks in hours and days: ``40 min``, ``26 h``, ``12 d``."""
    for name, unit, below in (("min", 60, 3600), ("h", 3600, 3 * 86400)):
        if seconds < below:
            return f"{seconds // unit:.0f} {name}"
    return f"{seconds // 86400:.0f} d"


def size(size_bytes: int) -> str:
    """Bytes for a person: ``940 B``, ``3.1 MiB``."""
    amount = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < BYTES_A_UNIT:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= BYTES_A_UNIT
    return f"{amount:.1f} TiB"
