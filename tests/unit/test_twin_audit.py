"""The twin's trail: which calls a selector takes, how an access is named, who a record names, where partitions are.

Expectations are from the pages that the modules under ``twin/audit`` and ``twin/athena/projection.py`` name.
"""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from twin.athena import projection
from twin.athena.errors import QueryError
from twin.audit.call import Call, error_of
from twin.audit.records import identity
from twin.audit.trails import Trail

SELECTORS = [
    {
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Management"]},
            {"Field": "eventSource", "NotEquals": ["kms.amazonaws.com"]},
        ]
    },
    {
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
            {"Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::gold/"]},
        ]
    },
]


def trail() -> Trail:
    return Trail("lake", "audit", "arn:key", SELECTORS, logging=True)


def access(arn: str, field: str = "ARN") -> dict[str, Any]:
    return {"eventCategory": "Data", "resources": [{"type": "AWS::S3::Object", field: arn}]}


@pytest.mark.parametrize(
    ("record", "taken"),
    [
        ({"eventCategory": "Management", "eventSource": "athena.amazonaws.com"}, True),
        ({"eventCategory": "Management", "eventSource": "kms.amazonaws.com"}, False),
        (access("arn:aws:s3:::gold/open/a"), True),
        (access("arn:aws:s3:::gold/", "ARNPrefix"), True),
        (access("arn:aws:s3:::golden/open/a"), False),
        (access("arn:aws:s3:::audit/AWSLogs/a"), False),
    ],
)
def test_a_trail_takes_what_all_conditions_of_one_selector_hold_for(
    record: dict[str, Any], *, taken: bool
) -> None:
    assert trail().selects(record) is taken


def test_a_condition_that_is_not_known_takes_nothing() -> None:
    ends = Trail(
        "lake",
        "audit",
        "arn:key",
        [{"FieldSelectors": [{"Field": "eventName", "EndsWith": ["t"]}]}],
        logging=True,
    )
    assert not ends.selects({"eventName": "GetObject"})


def test_a_file_holds_all_records_since_the_last_one() -> None:
    written = trail()
    assert written.take() is None
    for number in (1, 2):
        written.add({"eventID": number})
    assert json.loads(gzip.decompress(written.take() or b"")) == {"Records": [{"eventID": 1}, {"eventID": 2}]}
    assert written.take() is None
    written.add({"eventID": 3})
    assert json.loads(gzip.decompress(written.take() or b"")) == {"Records": [{"eventID": 3}]}


@pytest.mark.parametrize(
    ("method", "key", "query", "headers", "name"),
    [
        ("GET", "a", {}, {}, "GetObject"),
        ("GET", "a", {"versionId": ["1"]}, {}, "GetObject"),
        ("HEAD", "a", {}, {}, "HeadObject"),
        ("PUT", "a", {}, {}, "PutObject"),
        ("PUT", "a", {}, {"x-amz-copy-source": "b/c"}, "CopyObject"),
        ("PUT", "a", {"partNumber": ["1"], "uploadId": ["u"]}, {}, "UploadPart"),
        ("POST", "a", {"uploads": [""]}, {}, "CreateMultipartUpload"),
        ("POST", "a", {"uploadId": ["u"]}, {}, "CompleteMultipartUpload"),
        ("DELETE", "a", {"uploadId": ["u"]}, {}, "AbortMultipartUpload"),
        ("DELETE", "a", {}, {}, "DeleteObject"),
        ("GET", "a", {"tagging": [""]}, {}, ""),
        ("GET", "", {"list-type": ["2"], "prefix": ["x"]}, {}, "ListObjects"),
        ("GET", "", {"versions": [""]}, {}, "ListObjectVersions"),
        ("GET", "", {"policy": [""]}, {}, ""),
        ("POST", "", {"delete": [""]}, {}, "DeleteObjects"),
        ("PUT", "", {}, {}, ""),
    ],
)
def test_an_access_is_named_as_s3_names_it(
    method: str, key: str, query: dict[str, Any], headers: dict[str, str], name: str
) -> None:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    call = Call("s3", method, f"/gold/{key}", headers, b"", query, "r", at, "us-east-1", "AKIA", "gold", key)
    assert call.object_event == name


def test_an_error_is_read_from_either_kind_of_answer() -> None:
    xml = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>No</Message></Error>"
    assert error_of((403, {}, xml)) == ("AccessDenied", "No")
    said = b'{"__type": "com.amazonaws.glue#AccessDeniedException", "message": "No"}'
    assert error_of((400, {}, said)) == ("AccessDeniedException", "No")
    assert error_of((403, {}, b"")) == ("AccessDenied", "")
    assert error_of((200, {}, b"<Code>x</Code>")) is None


def test_a_session_is_named_with_the_role_that_it_is_of() -> None:
    who = identity("arn:aws:sts::000000000000:assumed-role/lake-dev-analyst/me", "ASIA1")
    assert (who["type"], who["principalId"], who["accessKeyId"]) == (
        "AssumedRole",
        "lake-dev-analyst:me",
        "ASIA1",
    )
    assert who["sessionContext"]["sessionIssuer"]["arn"] == "arn:aws:iam::000000000000:role/lake-dev-analyst"
    user = identity("arn:aws:iam::000000000000:user/ann", "AKIA1")
    assert (user["type"], user["userName"], "sessionContext" in user) == ("IAMUser", "ann", False)


class Files:
    """What a reader finds below a folder."""

    def list_files(self, url: str) -> dict[str, int]:
        assert url == "s3://logs/access/0/us-east-1/"
        return dict.fromkeys(
            (
                f"{url}gold/2026/05/01/a",
                f"{url}gold/2026/05/01/b",
                f"{url}silver/2026/05/02/a",
                f"{url}gold/2025/12/31/too-early",
                f"{url}other/2026/05/01/no-value-of-the-list",
                f"{url}gold/2026/05/01/deeper/a",
            ),
            1,
        )


def projected(**changes: str) -> dict[str, Any]:
    parameters = {
        "projection.enabled": "true",
        "projection.bucket.type": "enum",
        "projection.bucket.values": "gold,silver",
        "projection.day.type": "date",
        "projection.day.format": "yyyy/MM/dd",
        "projection.day.range": "2026/01/01,NOW",
        "storage.location.template": "s3://logs/access/0/us-east-1/${bucket}/${day}",
    }
    return {"Parameters": {**parameters, **changes}, "PartitionKeys": [{"Name": "bucket"}, {"Name": "day"}]}


def test_partitions_are_those_of_the_template_that_have_files() -> None:
    assert projection.is_projected(projected())
    found = projection.partitions(projected(), Files())  # type: ignore[arg-type] # a duck
    assert [(each["Values"], each["StorageDescriptor"]["Location"]) for each in found] == [
        (["gold", "2026/05/01"], "s3://logs/access/0/us-east-1/gold/2026/05/01"),
        (["silver", "2026/05/02"], "s3://logs/access/0/us-east-1/silver/2026/05/02"),
    ]


def test_a_kind_of_projection_that_is_not_known_is_refused() -> None:
    with pytest.raises(QueryError, match="the partition projection of bucket"):
        projection.partitions(projected(**{"projection.bucket.type": "injected"}), Files())  # type: ignore[arg-type]
