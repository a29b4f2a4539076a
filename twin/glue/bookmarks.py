"""Job bookmarks: what each job has noted of its sources, as its last committed run left it.

A run's ``awsglue`` asks for the bookmark when the job begins, and leaves the new one in the run's folder
when the job commits (``twin/glue/site/awsglue/bookmarks.py``). It counts from then on, whatever comes after.
API: https://docs.aws.amazon.com/glue/latest/dg/aws-glue-api-jobs-runs.html.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ministack.core.responses import get_account_id, get_region

from twin.glue.api import ApiError, JsonObject

FILE: Final = "bookmark.json"
"""In a run's folder, once its job has committed."""
_entries: dict[tuple[str, str, str], JsonObject] = {}


def get_job_bookmark(request: JsonObject) -> JsonObject:
    """The bookmark of a job that has one."""
    return {"JobBookmarkEntry": _known(request["JobName"])}


def reset_job_bookmark(request: JsonObject) -> JsonObject:
    """Forget what the job has noted: its next run takes everything for new."""
    name = request["JobName"]
    if request.get("RunId"):
        raise ApiError("InvalidInputException", "The twin resets a bookmark to the beginning only.")
    entry = {**_known(name), "JobBookmark": "{}"}
    _entries[_key(name)] = entry
    return {"JobBookmarkEntry": entry}


def keep(job_name: str, run_id: str, directory: Path) -> None:
    """Take over what a run has committed, if it has."""
    committed = directory / FILE
    if not committed.exists():
        return
    before = _entries.get(_key(job_name), {"Version": 0, "Run": 0})
    _entries[_key(job_name)] = {
        "JobName": job_name,
        "RunId": run_id,
        "Version": before["Version"] + 1,
        "Run": before["Run"] + 1,
        "Attempt": 0,
        "JobBookmark": committed.read_text(),
    }


def _known(name: str) -> JsonObject:
    try:
        return _entries[_key(name)]
    except KeyError as error:
        raise ApiError("EntityNotFoundException", f"Continuation for job {name} not found") from error


def _key(name: str) -> tuple[str, str, str]:
    return get_account_id(), get_region(), name
