"""The resource a Glue call is checked on (Service Authorization Reference, AWS Glue)."""

from __future__ import annotations

import pytest

from twin.iam.glue_resources import glue_resource


@pytest.mark.parametrize(
    ("action", "request_body", "resource"),
    [
        ("GetDatabase", {"Name": "silver"}, "database/silver"),
        ("CreateDatabase", {"DatabaseInput": {"Name": "silver"}}, "database/silver"),
        ("GetDatabases", {}, "catalog"),
        ("GetTable", {"DatabaseName": "silver", "Name": "flights"}, "table/silver/flights"),
        (
            "UpdateTable",
            {"DatabaseName": "silver", "TableInput": {"Name": "flights"}},
            "table/silver/flights",
        ),
        ("GetTables", {"DatabaseName": "silver"}, "database/silver"),
        ("BatchCreatePartition", {"DatabaseName": "bronze", "TableName": "flights"}, "table/bronze/flights"),
        ("StartJobRun", {"JobName": "silver"}, "job/silver"),
        ("GetJobRuns", {"JobName": "silver"}, "job/silver"),
        ("GetJob", {"JobName": "silver"}, "job/silver"),
        ("StartCrawler", {"Name": "bronze"}, "crawler/bronze"),
        ("GetCrawler", {"Name": "bronze"}, "crawler/bronze"),
        ("StartWorkflowRun", {"Name": "nightly"}, "workflow/nightly"),
    ],
)
def test_glue_resource(action: str, request_body: dict[str, object], resource: str) -> None:
    assert glue_resource(action, request_body) == resource
