"""The session a job asks Glue for, and the one bookmarked source that our jobs read: files as lines."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import boto3
from pyspark import SparkContext
from pyspark.sql import SparkSession

from awsglue.bookmarks import Bookmark, Listed
from awsglue.dynamicframe import DynamicFrame

HIDDEN = ("_", ".")


class GlueContext:
    """Carries the Spark session, as Glue's own does."""

    def __init__(self, spark_context: SparkContext) -> None:
        self.spark_session = SparkSession(spark_context)
        self.create_dynamic_frame = Reader(self)
        self.bookmark: Bookmark | None = None


class Reader:
    """``GlueContext.create_dynamic_frame``."""

    def __init__(self, context: GlueContext) -> None:
        self._context = context

    def from_options(
        self,
        connection_type: str,
        connection_options: dict[str, Any],
        format: str,  # noqa: A002 - Glue's name
        format_options: dict[str, object],
        transformation_ctx: str = "",
    ) -> DynamicFrame:
        """Read the files below a path; with a bookmark, those that are new to this ``transformation_ctx``.

        Every line is one field, which is what our jobs ask for: anything else is refused.
        """
        _require(connection_type == "s3" and format == "csv", "reads csv on S3 only")
        _require(format_options.get("quoteChar") == -1, "reads lines only: quoteChar -1")
        _require(not format_options.get("withHeader"), "reads lines only: withHeader False")
        (path,) = connection_options["paths"]
        listed = _list(str(path))
        bookmark = self._context.bookmark
        files = bookmark.new_files(transformation_ctx, listed) if bookmark else sorted(listed)
        return DynamicFrame(self._context.spark_session, files)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise NotImplementedError(f"The twin's create_dynamic_frame.from_options {what}.")


def _list(path: str) -> Listed:
    """The files below a path that are not hidden, with their times of modification."""
    place = urlsplit(path)
    pages = boto3.client("s3").get_paginator("list_objects_v2")
    found: Listed = {}
    for page in pages.paginate(Bucket=place.netloc, Prefix=place.path.lstrip("/")):
        for entry in page.get("Contents", []):
            name = entry["Key"].rpartition("/")[2]
            if name and not name.startswith(HIDDEN):
                found[f"s3://{place.netloc}/{entry['Key']}"] = entry["LastModified"].timestamp()
    return found
