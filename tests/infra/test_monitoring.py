"""Alarms: that what they watch is there, that they reach somebody, and that they say what to do."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from lakehouse import freshness, reconcile
from lakehouse.adapters.metrics import NAMESPACE
from lakehouse_cli.templates import Place, read_environment, read_template
from lakehouse_cli.templates import Resource as Resolved
from tests.infra.templates import ROOT, Resource, listed, resource, resources, statements, template, text

ALARMS = resources("AWS::CloudWatch::Alarm")
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
PROD = list(read_template(ROOT, read_environment(ROOT, "prod"), Place()).resources())


def anchors() -> set[str]:
    """The links that the runbook's headings make."""
    headings = re.findall(r"^#+ (.+)$", RUNBOOK, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("alarm", ALARMS, ids=str)
def test_an_alarm_tells_the_topic_of_its_region_and_where_to_read_on(alarm: Resource) -> None:
    [topic] = alarm.properties["AlarmActions"]
    here = alarm.template == "infrastructure/monitoring.yaml"
    assert topic == {"Ref": "FailureTopicArn" if here else "ReplicaFailureTopic"}
    said = text(alarm.properties["AlarmDescription"])
    sentence, link = re.fullmatch(r"(.+\.) See \$\{DocsUrl\}/runbook\.md#(.+)", said).groups()  # type: ignore[union-attr]
    assert sentence[0].isupper()
    assert link in anchors()
    assert len(said) < 1024 - 200
    # The policies of topic and key admit alarms by the beginning of their names.
    assert text(alarm.properties["AlarmName"]).startswith("${LakeName}-${Environment}-")
    assert {tag["Key"] for tag in alarm.properties["Tags"]} == {"lake", "environment"}


@pytest.mark.parametrize("alarm", ALARMS, ids=str)
def test_an_alarm_says_what_no_measurement_means(alarm: Resource) -> None:
    """Missing data is the usual case of most metrics here, and would leave an alarm in no state at all."""
    assert alarm.properties["TreatMissingData"] in {"ignore", "notBreaching"}
    assert alarm.properties["Period"] % 60 == 0
    assert alarm.properties["Period"] * alarm.properties["EvaluationPeriods"] <= 86_400


@pytest.mark.parametrize(
    ("key", "topic"), [("LakeKey", "FailureTopic"), ("ReplicaKey", "ReplicaFailureTopic")]
)
def test_topic_and_key_admit_alarms_of_this_lake_only(key: str, topic: str) -> None:
    alarms = (
        "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:${LakeName}-${Environment}-*"
    )
    condition = {
        "ArnLike": {"aws:SourceArn": {"Fn::Sub": alarms}},
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
    }
    admitted = {
        owner.name: statement
        for owner, statement in statements()
        if statement.get("Principal") == {"Service": "cloudwatch.amazonaws.com"}
    }
    assert set(admitted) == {"LakeKey", "ReplicaKey", "FailureTopicPolicy", "ReplicaFailureTopicPolicy"}
    assert admitted[key]["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert admitted[f"{topic}Policy"]["Action"] == "sns:Publish"
    for each in (admitted[key], admitted[f"{topic}Policy"]):
        assert each["Condition"] == condition
    assert resource(f"{topic}Policy").properties["Topics"] == [{"Ref": topic}]


# --- What is watched is there --------------------------------------------------------------------------


def dimensions(alarm: Resolved) -> dict[str, str]:
    return {each["Name"]: each["Value"] for each in alarm.get("Dimensions")}


def in_prod(kind: str) -> list[Resolved]:
    return [each for each in PROD if each.type == kind]


def watched(namespace: str, metric: str) -> list[dict[str, str]]:
    """The dimensions of prod's alarms on a metric."""
    return [
        dimensions(alarm)
        for alarm in in_prod("AWS::CloudWatch::Alarm")
        if (alarm.get("Namespace"), alarm.get("MetricName")) == (namespace, metric)
    ]


def test_every_dead_letter_queue_has_an_alarm_in_every_environment() -> None:
    redriven = {text(q.properties["RedrivePolicy"]["deadLetterTargetArn"]) for q in resources("AWS::SQS::Queue") if "RedrivePolicy" in q.properties}  # fmt: skip
    targets = {text(d["Arn"]) for d in _dead_letter_configs()}
    queues = {arn.strip("${}").removesuffix(".Arn") for arn in redriven | targets}
    names = {text(resource(queue).properties["QueueName"]) for queue in queues}
    for_all = [alarm for alarm in ALARMS if "Condition" not in alarm.body]
    assert {text(alarm.properties["Dimensions"][0]["Value"]) for alarm in for_all} == names
    assert {alarm.properties["MetricName"] for alarm in for_all} == {"ApproximateNumberOfMessagesVisible"}


def _dead_letter_configs() -> list[dict[str, Any]]:
    found = [target["DeadLetterConfig"] for rule in resources("AWS::Events::Rule") for target in rule.properties["Targets"] if "DeadLetterConfig" in target]  # fmt: skip
    for function in resources("AWS::Serverless::Function"):
        events = function.properties.get("Events", {}).values()
        found += [e["Properties"]["DeadLetterConfig"] for e in events if e["Type"] != "SQS"]
    return found


def test_the_alarms_of_queues_machines_and_tables_name_what_prod_has() -> None:
    queues = {queue.get("QueueName") for queue in in_prod("AWS::SQS::Queue")}
    for metric in ("ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"):
        for found in watched("AWS/SQS", metric):
            assert found["QueueName"] in queues
    machines = {f"arn:aws:states:us-east-1:123456789012:stateMachine:{m.get('Name')}" for m in in_prod("AWS::Serverless::StateMachine")}  # fmt: skip
    assert {found["StateMachineArn"] for found in watched("AWS/States", "ExecutionsFailed")} == machines
    for found in watched("AWS/States", "ExecutionsTimedOut"):
        assert found["StateMachineArn"] in machines
    tables = {table.get("TableName") for table in in_prod("AWS::DynamoDB::GlobalTable")}
    lags = watched("AWS/DynamoDB", "ReplicationLatency")
    assert {found["TableName"] for found in lags} == tables
    assert {found["ReceivingRegion"] for found in lags} == {"us-west-2"}


def test_every_copied_bucket_is_watched_for_failures_here_and_for_lag_where_its_copy_is() -> None:
    rules = {
        bucket.get("BucketName"): bucket.get("ReplicationConfiguration")["Rules"][0]
        for bucket in in_prod("AWS::S3::Bucket")
        if bucket.get("ReplicationConfiguration")
    }
    expected = {
        (name, rule["Destination"]["Bucket"].rpartition(":")[2], rule["Id"]) for name, rule in rules.items()
    }
    for metric in ("OperationsFailedReplication", "ReplicationLatency"):
        found = [
            (
                each["SourceBucket"],
                # A bucket's Ref is its name.
                _bucket_names().get(each["DestinationBucket"], each["DestinationBucket"]),
                each["RuleId"],
            )
            for each in watched("AWS/S3", metric)
        ]
        assert (len(found), set(found)) == (4, expected), metric
    lag = [a for a in in_prod("AWS::CloudWatch::Alarm") if a.get("MetricName") == "ReplicationLatency"]
    there = [a for a in lag if a.get("Namespace") == "AWS/S3"]
    assert {alarm.template.place.region for alarm in there} == {"us-west-2"}


def _bucket_names() -> dict[str, str]:
    return {f"${{{bucket.name}}}": bucket.get("BucketName") for bucket in in_prod("AWS::S3::Bucket")}


def test_every_workgroup_is_watched_for_its_cut_off() -> None:
    groups = {text(group.properties["Name"]) for group in resources("AWS::Athena::WorkGroup")}
    cutoffs = [alarm for alarm in ALARMS if alarm.properties["Namespace"] == "AWS/Athena"]
    named = {
        text(d["Value"]) for a in cutoffs for d in a.properties["Dimensions"] if d["Name"] == "WorkGroup"
    }
    own = text(resource("LakeWorkgroup").properties["Name"])
    assert {own if name == "${WorkgroupName}" else name for name in named} == groups
    for alarm in cutoffs:
        assert alarm.properties["Threshold"] == {"Ref": "QueryCutoffBytes"}, alarm
        assert {"Name": "QueryState", "Value": "CANCELED"} in alarm.properties["Dimensions"], alarm
    for group in resources("AWS::Athena::WorkGroup"):
        assert group.properties["WorkGroupConfiguration"]["PublishCloudWatchMetricsEnabled"] is True, group


def test_the_lakes_own_metrics_are_watched_under_the_names_that_the_code_writes() -> None:
    assert NAMESPACE == "Lakehouse"
    for metric in (freshness.STALE_DATASETS, reconcile.UNANNOUNCED_FILES):
        assert watched(NAMESPACE, metric) == [{"service": "lake-prod"}], metric
    [dashboard] = in_prod("AWS::CloudWatch::Dashboard")
    assert f'MetricName=\\"{freshness.DATA_AGE}\\"' in dashboard.get("DashboardBody")


def test_freshness_is_judged_on_a_schedule_where_somebody_is_told() -> None:
    schedule = resource("FreshnessFunction").properties["Events"]["Schedule"]["Properties"]
    assert schedule["State"] == {"Fn::If": ["IsMonitored", "ENABLED", "DISABLED"]}
    minutes = int(schedule["Schedule"].removeprefix("rate(").removesuffix(" minutes)"))
    # A period without a value would leave the alarm as it was, for want of a function that is slower than it.
    assert resource("StaleDataAlarm").properties["Period"] == minutes * 60


def test_the_functions_that_measure_need_no_permission_for_it() -> None:
    for role in ("FreshnessFunctionRole", "ReconcileFunctionRole"):
        actions = {a for r, s in statements() if r.name == role for a in listed(s["Action"])}
        assert not [action for action in actions if action.startswith("cloudwatch:")]


# --- To look at, and money --------------------------------------------------------------------------------


def test_the_dashboard_is_json_and_its_widgets_do_not_overlap() -> None:
    [dashboard] = in_prod("AWS::CloudWatch::Dashboard")
    widgets = json.loads(dashboard.get("DashboardBody"))["widgets"]
    taken: set[tuple[int, int]] = set()
    for widget in widgets:
        area = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not area & taken, widget["properties"].get("title")
        assert max(x for x, _ in area) < 24
        taken |= area
        if widget["type"] == "metric":
            assert widget["properties"]["region"] == "us-east-1"
            assert widget["properties"]["metrics"]


def test_a_budget_is_there_only_with_an_address_and_tells_it_before_and_after() -> None:
    assert in_prod("AWS::Budgets::Budget") == []
    budget = resource("AccountBudget")
    assert budget.body["Condition"] == "HasBudget"
    told = budget.properties["NotificationsWithSubscribers"]
    assert {(n["Notification"]["NotificationType"], n["Notification"]["Threshold"]) for n in told} == {
        ("ACTUAL", 80),
        ("FORECASTED", 100),
    }
    for each in told:
        [subscriber] = each["Subscribers"]
        assert subscriber == {"SubscriptionType": "EMAIL", "Address": {"Ref": "BudgetEmail"}}


def test_the_environments_differ_in_what_is_watched() -> None:
    levels = {
        name: read_environment(ROOT, name).parameters.get("MonitoringLevel") for name in ("dev", "prod")
    }
    assert levels == {"dev": None, "prod": "full"}
    assert template("template.yaml")["Parameters"]["MonitoringLevel"]["Default"] == "basic"
