"""A job's beginning and end, between which its bookmark is kept if ``--job-bookmark-option`` enables it."""

from __future__ import annotations

import time

from awsglue.bookmarks import Bookmark
from awsglue.context import GlueContext


class Job:
    """``init`` and ``commit`` in Glue's order; a commit without an init is an error, as there."""

    def __init__(self, glue_context: GlueContext) -> None:
        self._glue_context = glue_context
        self._name: str | None = None

    def init(self, job_name: str, args: dict[str, str] | None = None) -> None:
        """Begin the job."""
        self._name = job_name
        if (args or {}).get("job_bookmark_option") == "job-bookmark-enable":
            self._glue_context.bookmark = Bookmark(job_name, time.time())

    def commit(self) -> None:
        """End the job."""
        if self._name is None:
            raise RuntimeError("Job.commit was called before Job.init.")
        if self._glue_context.bookmark is not None:
            self._glue_context.bookmark.commit()
