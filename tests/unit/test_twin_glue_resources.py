"""The resource a call of Glue or Athena is checked on (Service Authorization Reference)."""

from __future__ import annotations

import pytest

from twin.iam.athena_resources import workgroup_of
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


@pytest.mark.parametrize(
    ("request_body", "workgroup"),
    [
        ({"QueryExecutionId": "q1"}, "analysts"),
        ({"QueryExecutionIds": ["q1", "q2"]}, "analysts"),
        ({"QueryExecutionId": "gone"}, None),
        ({"QueryExecutionIds": []}, None),
        ({}, None),
    ],
)
def test_a_call_on_a_query_is_checked_on_its_workgroup(
    request_body: dict[str, object], workgroup: str | None
) -> None:
    assert workgroup_of(request_body, {"q1": "analysts"}.get) == workgroup
