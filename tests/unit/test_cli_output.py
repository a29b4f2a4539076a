from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lakehouse_cli import output


def test_control_and_bidirectional_characters_are_spelled_out() -> None:
    hostile = "a\x1b[2Jb\u202egpj.exe\x9b31m\n\x07"
    assert output.visible(hostile) == r"a\x1b[2Jb\u202egpj.exe\x9b31m\n\x07"


def test_ordinary_names_stay_as_they_are() -> None:
    assert output.visible("Zürich + 100 % (neu).csv") == "Zürich + 100 % (neu).csv"


def test_rich_markup_in_a_cell_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    output.stdout().print(output.table(None, ["key"], [["[red]x[/red] [link=http://a]b[/link]"]]))
    assert "[red]x[/red] [link=http://a]b[/link]" in capsys.readouterr().out


def test_a_table_without_a_terminal_keeps_long_lines_whole(capsys: pytest.CaptureFixture[str]) -> None:
    output.stdout().print(output.table(None, ["key", "rows"], [["k" * 150, 1234567]]))
    assert f"{'k' * 150}   1,234,567" in capsys.readouterr().out


def test_json_is_ascii_and_tells_times_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"key": "\x9bä", "at": datetime(2013, 1, 1, 5, tzinfo=UTC)})
    assert (
        capsys.readouterr().out == '{\n  "key": "\\u009b\\u00e4",\n  "at": "2013-01-01T05:00:00+00:00"\n}\n'
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min 00 s"), (187.4, "3 min 07 s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert output.duration(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 * 1024**4, "3.0 TiB")]
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert output.size(size_bytes) == text
