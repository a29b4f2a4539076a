"""Job bookmarks in the twin: which files are new, by the rules of Glue's documentation."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[2] / "twin" / "glue" / "site" / "awsglue" / "bookmarks.py"
NIGHT = 1_000_000.0
EARLY, IN_BAND, LATE = NIGHT - 2000, NIGHT - 100, NIGHT + 100


@pytest.fixture(scope="module")
def bookmarks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("twin_bookmarks", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        ({}, {"a": EARLY}, []),
        ({}, {"a": IN_BAND}, ["a"]),
        ({}, {"a": LATE}, ["a"]),
        ({"a": EARLY}, {"a": EARLY, "b": LATE}, ["b"]),
        ({"a": IN_BAND}, {"a": IN_BAND, "b": IN_BAND}, ["b"]),
        ({"a": IN_BAND}, {"a": LATE}, ["a"]),
        ({"a": IN_BAND}, {}, []),
    ],
    ids=[
        "older than the fifteen minutes before: overlooked, as on AWS",
        "appeared late, within the fifteen minutes",
        "after",
        "one more",
        "one more within the fifteen minutes",
        "written again",
        "gone",
    ],
)
def test_what_is_new_after_a_committed_run(
    bookmarks: ModuleType, before: dict[str, float], now: dict[str, float], new: list[str]
) -> None:
    assert bookmarks.new_files(now, bookmarks.seen(before, NIGHT)) == new


def test_without_a_bookmark_everything_is_new(bookmarks: ModuleType) -> None:
    assert bookmarks.new_files({"b": EARLY, "a": LATE}, None) == ["a", "b"]
