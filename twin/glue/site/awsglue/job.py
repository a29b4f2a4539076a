"""A job's beginning and end, between which Glue would keep bookmarks; our jobs read no bookmarked source."""

from __future__ import annotations

from awsglue.context import GlueContext


class Job:
    """``init`` and ``commit`` in Glue's order; a commit without an init is an error, as there."""

    def __init__(self, glue_context: GlueContext) -> None:
        self._glue_context = glue_context
        self._name: str | None = None

    def init(self, job_name: str, args: dict[str, str] | None = None) -> None:  # noqa: ARG002 - Glue's
        """Begin the job."""
        self._name = job_name

    def commit(self) -> None:
        """End the job."""
        if self._name is None:
            raise RuntimeError("Job.commit was called before Job.init.")
