"""A call as records need it: who, what, on which object, and how it ended."""

from __future__ import annotations

import json
import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

RECORDED: Final = {"s3", "athena", "glue", "lakeformation"}
"""The services whose calls a trail of the twin holds."""
SUBRESOURCES: Final = {
    "acl",
    "tagging",
    "retention",
    "legal-hold",
    "attributes",
    "torrent",
    "restore",
    "select",
}
LISTING: Final = {
    *("list-type", "prefix", "delimiter", "max-keys", "marker", "start-after", "encoding-type"),
    *("continuation-token", "fetch-owner", "versions", "key-marker", "version-id-marker"),
}
OF_OBJECTS: Final = {"GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
OF_UPLOADS: Final = {"GET": "ListParts", "DELETE": "AbortMultipartUpload"}
COPYING: Final = {"UploadPart": "UploadPartCopy", "PutObject": "CopyObject"}
FAILED: Final = 400
BARE_ERRORS: Final = {403: "AccessDenied", 404: "NoSuchKey"}
"""What an answer without a body means."""


@dataclass(frozen=True)
class Call:
    """One call of a recorded service."""

    service: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    query: dict[str, Any]
    request_id: str
    at: datetime
    region: str
    access_key: str
    bucket: str
    key: str

    @classmethod
    def of(
        cls,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query: dict[str, Any],
        request_id: str,
        at: datetime,
    ) -> Call | None:
        """The call, None if no record is made of its service."""
        from ministack.core import router

        service = router.detect_service(method, path, headers, query)
        if service not in RECORDED:
            return None
        bucket, _, key = unquote(path).lstrip("/").partition("/") if service == "s3" else ("", "", "")
        region, access_key = router.extract_region(headers), router.extract_access_key_id(headers, query)
        return cls(
            service, method, path, headers, body, query, request_id, at, region, access_key or "", bucket, key
        )

    @property
    def lists_bucket(self) -> bool:
        """Whether it asks which objects a bucket has."""
        return bool(self.method == "GET" and self.bucket and not self.key)

    @property
    def arn(self) -> str:
        """Who calls; empty for credentials that nobody has."""
        from ministack.core import iam_evaluator

        return str(getattr(iam_evaluator.resolve_credential(self.access_key), "principal_arn", ""))

    @property
    def object_event(self) -> str:
        """S3's name of an access to objects; empty for what concerns only a bucket's settings.

        Source: S3 user guide, "Amazon S3 CloudTrail events", data events.
        """
        names = self.query.keys()
        if not self.bucket or SUBRESOURCES & names:
            return ""
        return self._event_of_object(names) if self.key else self._event_of_bucket(names)

    def _event_of_bucket(self, names: AbstractSet[str]) -> str:
        if self.method == "POST":
            return "DeleteObjects" if "delete" in names else ""
        if self.method != "GET" or not names <= LISTING:
            return ""
        return "ListObjectVersions" if "versions" in names else "ListObjects"

    def _event_of_object(self, names: AbstractSet[str]) -> str:
        if self.method == "PUT":
            done = "UploadPart" if "partNumber" in names else "PutObject"
            return COPYING[done] if "x-amz-copy-source" in self.headers else done
        if self.method == "POST":
            return "CreateMultipartUpload" if "uploads" in names else "CompleteMultipartUpload"
        return (OF_UPLOADS if "uploadId" in names else OF_OBJECTS).get(self.method, "")

    @property
    def action(self) -> str:
        """The API's name of a call that is no access to an object."""
        target = self.headers.get("x-amz-target", "")
        return target.rpartition(".")[2] or self.path.strip("/")


def error_of(answer: Any) -> tuple[str, str] | None:
    """Code and message of a refused or failed call."""
    status, _, body = answer[:3]
    if status < FAILED:
        return None
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    if text.startswith("{"):
        said = json.loads(text)
        code = str(said.get("__type") or said.get("Code") or status).rpartition("#")[2]
        return code, str(said.get("message") or said.get("Message") or "")
    code_found = re.search(r"<Code>(.*?)</Code>", text)
    message = re.search(r"<Message>(.*?)</Message>", text)
    code = code_found[1] if code_found else BARE_ERRORS.get(status, str(status))
    return code, message[1] if message else ""
