"""S3's logs of access, a line for each request to a bucket that has logging on.

Source: S3 user guide, "Amazon S3 server access log format".
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Awaitable, Iterator
from datetime import UTC
from typing import Any, Final
from urllib.parse import quote
from xml.etree import ElementTree as ET

from twin.audit.call import Call, error_of
from twin.context import Context

OPERATIONS: Final = {
    "PutObject": "REST.PUT.OBJECT",
    "CopyObject": "REST.COPY.OBJECT",
    "UploadPart": "REST.PUT.PART",
    "UploadPartCopy": "REST.COPY.PART",
    "CreateMultipartUpload": "REST.POST.UPLOADS",
    "CompleteMultipartUpload": "REST.POST.UPLOAD",
    "AbortMultipartUpload": "REST.DELETE.UPLOAD",
    "DeleteObjects": "REST.POST.MULTI_OBJECT_DELETE",
    "ListObjects": "REST.GET.BUCKET",
    "ListObjectVersions": "REST.GET.BUCKETVERSIONS",
    "GetObject": "REST.GET.OBJECT",
    "HeadObject": "REST.HEAD.OBJECT",
    "DeleteObject": "REST.DELETE.OBJECT",
}


class AccessLogs:
    """What was not delivered yet, by the bucket it is meant for and the folder there."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lines: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        self._targets: dict[str, tuple[str, str]] = {}

    def record(self, call: Call, answer: Any) -> None:
        """Write a line for an access to objects of a bucket with logging."""
        from ministack.services import s3

        if not call.object_event or not (configured := s3._bucket_logging_config.get(call.bucket)):
            return
        bucket, prefix = self._target(configured)
        folder = f"{prefix}{self._context.account}/{self._context.region}/{call.bucket}/{call.at:%Y/%m/%d}/"
        self._lines[bucket][f"{folder}{call.at:%Y-%m-%d}-00-00-00-"].append(self._line(call, answer))

    def due(self, bucket: str) -> Iterator[Awaitable[None]]:
        """What is to be delivered to a bucket now."""
        for stem, lines in self._lines.pop(bucket, {}).items():
            key = stem + secrets.token_hex(8).upper()
            encrypted = {"x-amz-server-side-encryption": "AES256"}
            yield self._context.store_async(bucket, key, "".join(lines).encode(), encrypted)

    def _target(self, configured: str) -> tuple[str, str]:
        """Bucket and prefix of a logging configuration."""
        if configured not in self._targets:
            parts = ET.fromstring(configured).iter()  # noqa: S314 - what our own S3 stored
            found = {part.tag.rpartition("}")[2]: part.text or "" for part in parts}
            self._targets[configured] = (found.get("TargetBucket", ""), found.get("TargetPrefix", ""))
        return self._targets[configured]

    def _line(self, call: Call, answer: Any) -> str:
        status, headers, body = answer[:3]
        error = error_of(answer)
        fields = {
            "owner": self._context.account,
            "bucket": call.bucket,
            "time": call.at.astimezone(UTC).strftime("[%d/%b/%Y:%H:%M:%S +0000]"),
            "remote_ip": "127.0.0.1",
            "requester": call.arn or "-",
            "request_id": call.request_id,
            "operation": OPERATIONS.get(call.object_event, f"REST.{call.method}.OBJECT"),
            "key": quote(call.key, safe="/") or "-",
            "request_uri": f'"{call.method} {quote(call.path, safe="/%")} HTTP/1.1"',
            "status": status,
            "error": error[0] if error else "-",
            "bytes_sent": len(body) if isinstance(body, bytes) else headers.get("Content-Length", "-"),
            **dict.fromkeys(("object_size", "total_time", "turn_around_time"), "-"),
            "referrer": '"-"',
            "user_agent": f'"{call.headers.get("user-agent", "-")}"',
            "version_id": "-",
            "host_id": secrets.token_hex(8),
            "signature": "SigV4",
            "cipher": "TLS_AES_128_GCM_SHA256",
            "authentication": "AuthHeader",
            "host": "127.0.0.1",
            "tls": "TLSv1.3",
            **dict.fromkeys(("access_point", "acl_required"), "-"),
        }
        return " ".join(str(field) for field in fields.values()) + "\n"
