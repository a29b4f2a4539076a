"""Job bookmarks over files on S3: which of them a run has not seen, by their time of modification.

As Glue does (developer guide, "Tracking processed data using job bookmarks", and ``maxBand`` under "S3
connection parameters"): a file is new if it was modified after the last committed run began, or in the
fifteen minutes before and that run had not listed it. One state for each ``transformation_ctx``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

import boto3
from botocore.exceptions import ClientError

FILE = "bookmark.json"
"""In the run's folder; the twin takes it from there."""
BAND_SECONDS = 900

Listed = dict[str, float]
"""Address of each file, and when it was modified (seconds since 1970)."""


class State(TypedDict):
    """Of one source: until when the run looked, and the files modified shortly before, with their times."""

    since: float
    band: Listed


def new_files(listed: Listed, state: State | None) -> list[str]:
    """The files that the state does not know, in the order of their addresses."""
    if not state:
        return sorted(listed)
    since, band = state["since"], state["band"]
    return sorted(
        file for file, modified in listed.items() if modified > since and band.get(file) != modified
    )


def seen(listed: Listed, began: float) -> State:
    """The state after a run that began at a moment and listed these files."""
    since = began - BAND_SECONDS
    return {"since": since, "band": {file: at for file, at in listed.items() if at > since}}


class Bookmark:
    """The bookmark of the job that runs: what was committed before, and what this run has listed."""

    def __init__(self, job_name: str, began: float) -> None:
        self._began = began
        self._states: dict[str, State] = _committed(job_name)
        self._folder = Path.cwd()
        self._listed: dict[str, Listed] = {}

    def new_files(self, context: str, listed: Listed) -> list[str]:
        """The files of a source that are new to its ``transformation_ctx``."""
        self._listed[context] = listed
        return new_files(listed, self._states.get(context))

    def commit(self) -> None:
        """Note that what was listed has been seen to."""
        states = {context: seen(listed, self._began) for context, listed in self._listed.items()}
        part = self._folder / f"{FILE}.part"
        part.write_text(json.dumps(self._states | states))
        part.replace(self._folder / FILE)


def _committed(job_name: str) -> dict[str, State]:
    try:
        entry = boto3.client("glue").get_job_bookmark(JobName=job_name)["JobBookmarkEntry"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "EntityNotFoundException":
            raise
        return {}
    states: dict[str, State] = json.loads(entry["JobBookmark"])
    return states
