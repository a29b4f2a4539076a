"""The idle bill: every rule against literal quantities, and the project's own sum."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lakehouse_cli.cost.idle import as_document, bill_of, idle_bill
from lakehouse_cli.cost.prices import PriceFile, read_prices
from lakehouse_cli.cost.rules import RULES, Charge, Idle
from lakehouse_cli.cost.schedules import runs_per_month
from lakehouse_cli.errors import TemplateError
from lakehouse_cli.main import main
from lakehouse_cli.templates import NESTED, Place, Resource, Template

ROOT = Path(__file__).resolve().parents[2]


class _Tags(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, whose values do not matter here."""


_Tags.add_multi_constructor("!", lambda loader, suffix, node: None)


@pytest.fixture(scope="module")
def prices() -> PriceFile:
    """The real rules over small numbers: 100 hours, 2 writers, 10 files."""
    real = read_prices()
    work = real.assumptions.functions["SweepFunction"].model_validate(
        {
            "seconds": {"call": 1, "writer": 0.5},
            "reads": {"file": 1},
            "lists": {"call": 2},
            "log_bytes": {"call": 1e9},
            "metrics": {"writer": 1},
        }
    )
    assumed = real.assumptions.model_copy(
        update={
            "datasets": 1,
            "files": 10,
            "functions": {"Tidy": work},
            "table_bytes": {"Ledger": work.reads.model_validate({"file": 1e8})},
        }
    )
    return real.model_copy(update={"hours_per_month": 100, "assumptions": assumed})


def resources(tmp_path: Path, text: str) -> list[Resource]:
    (tmp_path / "template.yaml").write_text(f"Resources:\n{text}")
    return list(Template.read(tmp_path / "template.yaml", {}, Place()).resources())


def charges(tmp_path: Path, prices: PriceFile, text: str) -> dict[str, float]:
    """What a template's resources take, by price."""
    bill = bill_of("dev", resources(tmp_path, text), prices)
    return {line.price: round(line.quantity, 6) for line in bill.lines}


# --- the project ----------------------------------------------------------------------------------


def test_dev_costs_at_most_two_dollars_a_month_while_idle() -> None:
    assert 1 < idle_bill(ROOT, "dev").total_usd_per_month <= 2


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_sum_is_that_of_its_items(environment: str) -> None:
    document = as_document(idle_bill(ROOT, environment))
    items = document["items"]
    assert document["total_usd_per_month"] == pytest.approx(sum(i["usd_per_month"] for i in items), abs=1e-3)
    for item in items:
        assert item["usd_per_month"] == pytest.approx(item["quantity"] * item["usd"] / item["per"], abs=1e-4)
        assert item["resources"]


def test_dev_pays_for_its_key_its_polling_and_its_schedules() -> None:
    lines = {line.price: line for line in idle_bill(ROOT, "dev").lines}
    assert (lines["key"].resources, lines["key"].usd_per_month) == (["Encryption/LakeKey"], 1.0)
    # Five pollers, three requests a minute each.
    assert (lines["queue_request"].resources, lines["queue_request"].quantity) == (
        ["IntakeFunction"],
        657_000,
    )
    assert {"SweepFunction", "ReconcileFunction"} <= set(lines["scheduled_run"].resources)
    assert lines["function_call"].quantity > 730 * 60 / 5


def test_only_prod_pays_for_a_network_and_a_second_region() -> None:
    dev, prod = ({line.price for line in idle_bill(ROOT, name).lines} for name in ("dev", "prod"))
    theirs = {"interface_endpoint", "flow_log_to_group", "replication_metric"}
    assert theirs <= prod - dev


def test_every_resource_type_of_the_templates_has_a_price_entry() -> None:
    """Also of those that no environment has at present: a condition may turn them on."""
    files = [ROOT / "template.yaml", *(ROOT / "infrastructure").glob("*.yaml")]
    used = {
        resource["Type"]
        for file in files
        for resource in yaml.load(file.read_text(), _Tags)["Resources"].values()
    }
    assert used - set(read_prices().types) == set()


def test_a_type_without_an_entry_stops_the_command(tmp_path: Path, prices: PriceFile) -> None:
    with pytest.raises(TemplateError, match="No price entry for AWS::EC2::NatGateway: add a rule"):
        charges(tmp_path, prices, "  Gate: {Type: AWS::EC2::NatGateway}")


def test_every_rule_and_price_is_used_and_every_price_has_its_source() -> None:
    found = read_prices()
    assert {entry.rule for entry in found.types.values() if entry.rule} == set(RULES)
    rules = (ROOT / "cli/lakehouse_cli/cost/rules.py").read_text()
    for name, price in found.prices.items():
        assert f'"{name}"' in rules, name
        assert price.source.startswith("https://"), name
        assert price.dated <= found.collected.strftime("%Y-%m"), name


def test_the_assumed_datasets_are_the_samples() -> None:
    assert read_prices().assumptions.datasets == len(list((ROOT / "contracts").glob("*.yaml")))


def test_metrics_that_code_emits_are_counted() -> None:
    """No template shows them: whoever emits one says so in the price file."""
    folders = (ROOT / name for name in ("functions", "layers/lakehouse/lakehouse", "glue"))
    code = "".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    assert not re.search(r"put_metric_data|\"_aws\"", code)
    # Reconciliation writes one where it found something, which is no idle.
    assert sorted(re.findall(r"metrics\.put\((\w+),", code)) == [
        "DATA_AGE",
        "STALE_DATASETS",
        "UNANNOUNCED_FILES",
    ]
    functions = read_prices().assumptions.functions
    assert [name for name, work in functions.items() if work.metrics.writer] == ["FreshnessFunction"]


def test_only_prod_pays_for_metrics_alarms_on_everything_and_a_dashboard() -> None:
    dev, prod = ({line.price: line for line in idle_bill(ROOT, name).lines} for name in ("dev", "prod"))
    assert (dev["alarm"].quantity, dev["alarm"].usd_per_month) == (2, 0.2)
    assert "custom_metric" not in dev
    assert "dashboard" not in dev
    # Five datasets and their number; arrivals, runs, queries (the lake's workgroup and five people's) and copies, here and
    # in the second region.
    assert (prod["custom_metric"].quantity, prod["dashboard"].quantity) == (6, 1)
    assert prod["alarm"].quantity == 2 + 3 + 5 + (1 + 5) + 6 + 4


# --- rules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  A: {Type: AWS::KMS::Key}\n  B: {Type: AWS::KMS::ReplicaKey}", {"key": 2}),
        ("  A: {Type: AWS::CloudWatch::Alarm, Properties: {Period: 300}}", {"alarm": 1}),
        ("  A: {Type: AWS::CloudWatch::Alarm, Properties: {Period: 10}}", {"alarm_high_resolution": 1}),
        (
            (
                "  A: {Type: AWS::CloudWatch::Alarm, Properties: {Metrics: [{Id: a, MetricStat: {Period: 60}}, "
                "{Id: b, MetricStat: {Period: 60}}, {Id: sum, Expression: a + b}]}}"
            ),
            {"alarm": 2},
        ),
        ("  A: {Type: AWS::CloudWatch::CompositeAlarm}", {"alarm_composite": 1}),
        ("  A: {Type: AWS::CloudWatch::Dashboard}", {"dashboard": 1}),
        (
            "  A: {Type: AWS::Logs::MetricFilter, Properties: {MetricTransformations: [{}, {}]}}",
            {"custom_metric": 2},
        ),
        (
            "  A: {Type: AWS::EC2::VPCEndpoint, Properties: {VpcEndpointType: Interface, SubnetIds: [a, b]}}",
            {"interface_endpoint": 200},
        ),
        ("  A: {Type: AWS::EC2::VPCEndpoint, Properties: {VpcEndpointType: Gateway}}", {}),
        ("  A: {Type: AWS::EC2::FlowLog}", {"flow_log_to_group": 0.05}),
        (
            "  A: {Type: AWS::EC2::FlowLog, Properties: {LogDestinationType: s3}}",
            {"flow_log_to_bucket": 0.05},
        ),
        ("  A: {Type: AWS::S3::Bucket}", {}),
        (
            (
                "  A: {Type: AWS::S3::Bucket, Properties: {ReplicationConfiguration: {Rules: "
                "[{Destination: {Metrics: {Status: Enabled}}}, {Destination: {}}]}}}"
            ),
            {"replication_metric": 4},
        ),
        (
            (
                "  Ledger: {Type: AWS::DynamoDB::GlobalTable, Properties: {BillingMode: PAY_PER_REQUEST, Replicas: "
                "[{PointInTimeRecoverySpecification: {PointInTimeRecoveryEnabled: true}}, {Region: us-west-2}]}}"
            ),
            {"table_storage": 2, "table_backup": 1},
        ),
        ("  A: {Type: AWS::SQS::Queue}\n  B: {Type: AWS::IAM::Role}", {}),
    ],
)
def test_what_is_paid_for_being_there(
    tmp_path: Path, prices: PriceFile, text: str, expected: dict[str, float]
) -> None:
    assert charges(tmp_path, prices, text) == expected


SCHEDULED = """
  Tidy:
    Type: AWS::Serverless::Function
    Properties:
      MemorySize: 2048
      Architectures: [arm64]
      LoggingConfig: {LogGroup: !Ref TidyLogGroup}
      Events:
        Nightly: {Type: Schedule, Properties: {Schedule: rate(10 hours)}}
        Off: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 minute), State: DISABLED}}
        Failed: {Type: EventBridgeRule, Properties: {Pattern: {source: [aws.states]}}}
        Arrivals: {Type: SQS, Properties: {Queue: q}}
  TidyLogGroup: {Type: AWS::Logs::LogGroup, Properties: {RetentionInDays: 365}}
"""
CALLS = {
    "function_call": 10,
    # Ten calls of 1 s and 0.5 s for each of two writers, with 2 GiB.
    "function_seconds_arm": 40,
    "table_read": 100,
    "bucket_list": 20,
    "log_ingestion": 10,
    "log_storage": 120,
}
METRICS = {"custom_metric": 2}
"""Those that the function itself writes, one for each of two writers."""


def test_a_scheduled_function_is_paid_for_its_calls_and_what_they_call(
    tmp_path: Path, prices: PriceFile
) -> None:
    polls = 5 * 100 * 3600 / 20
    expected = {"scheduled_run": 10, "queue_request": polls, **CALLS, **METRICS}
    assert charges(tmp_path, prices, SCHEDULED) == expected


def test_a_trail_is_paid_for_the_idle_requests_to_buckets(tmp_path: Path, prices: PriceFile) -> None:
    trail = """
  Trail:
    Type: AWS::CloudTrail::Trail
    Properties:
      AdvancedEventSelectors: [{FieldSelectors: [{Field: eventCategory, Equals: [Data]}]}]
"""
    found = charges(tmp_path, prices, SCHEDULED + trail)
    assert (found["trail_data_event"], found["bucket_put"]) == (20, 1200)
    only_management = charges(tmp_path, prices, "  Trail: {Type: AWS::CloudTrail::Trail}")
    assert only_management == {"bucket_put": 1200}
    with_key = "  Trail: {Type: AWS::CloudTrail::Trail, Properties: {KMSKeyId: a}}"
    assert charges(tmp_path, prices, with_key) == {"bucket_put": 1200, "key_request": 1200}


@pytest.mark.parametrize(
    "rule",
    [
        (
            "  Rule: {Type: AWS::Events::Rule, Properties: {ScheduleExpression: rate(10 hours), "
            "Targets: [{Id: a, Arn: !GetAtt Tidy.Arn}]}}"
        ),
        (
            "  Rule: {Type: AWS::Scheduler::Schedule, Properties: {ScheduleExpression: rate(10 hours), "
            "Target: {Arn: !GetAtt Tidy.Arn}}}"
        ),
    ],
)
def test_a_schedule_beside_the_function_counts_the_same(tmp_path: Path, prices: PriceFile, rule: str) -> None:
    function = re.sub(r"      Events:\n(        .*\n)+", "", SCHEDULED)
    expected = {"scheduled_run": 10, **CALLS, **METRICS}
    assert charges(tmp_path, prices, f"{function}\n{rule}") == expected
    assert charges(tmp_path, prices, function) == {}


def test_a_scheduled_workflow_is_paid_for_its_jobs_and_crawls(tmp_path: Path, prices: PriceFile) -> None:
    workflow = """
  Nightly:
    Type: AWS::Scheduler::Schedule
    Properties:
      ScheduleExpression: rate(10 hours)
      Target:
        Arn: arn:aws:scheduler:::aws-sdk:glue:startWorkflowRun
        Input: !Sub '{"Name": "${Workflow}"}'
  Workflow: {Type: AWS::Glue::Workflow}
  First:
    Type: AWS::Glue::Trigger
    Properties: {Type: ON_DEMAND, WorkflowName: !Ref Workflow, Actions: [{CrawlerName: !Ref Crawler}]}
  Then:
    Type: AWS::Glue::Trigger
    Properties: {Type: CONDITIONAL, WorkflowName: !Ref Workflow, Actions: [{JobName: feeds}]}
  Crawler: {Type: AWS::Glue::Crawler}
  Job: {Type: AWS::Glue::Job, Properties: {Name: feeds, WorkerType: G.2X, NumberOfWorkers: 3}}
"""
    # Two DPUs for ten minutes; three workers of two DPUs for two minutes. Ten runs.
    assert charges(tmp_path, prices, workflow) == {
        "scheduled_run": 10,
        "crawler_hour": 3.333333,
        "job_hour": 2,
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("  A: {Type: AWS::DynamoDB::GlobalTable}", "a capacity that is paid by the hour"),
        (
            "  A: {Type: AWS::DynamoDB::GlobalTable, Properties: {BillingMode: PAY_PER_REQUEST}}",
            "table_bytes of prices.yaml says nothing about",
        ),
        (
            "  A: {Type: AWS::S3::Bucket, Properties: {MetricsConfigurations: [{Id: a}]}}",
            "MetricsConfigurations",
        ),
        (
            "  A: {Type: AWS::EC2::VPCEndpoint, Properties: {VpcEndpointType: Interface}}",
            "the type Interface in the subnets",
        ),
        (
            "  A: {Type: AWS::Serverless::Function, Properties: {ProvisionedConcurrencyConfig: {Count: 1}}}",
            "ProvisionedConcurrencyConfig",
        ),
        (
            "  A: {Type: AWS::Serverless::Function, Properties: {Events: {E: {Type: Kinesis}}}}",
            "an event of type Kinesis",
        ),
        (
            (
                "  A: {Type: AWS::Serverless::Function, Properties: {Events: {E: {Type: Schedule, "
                "Properties: {Schedule: rate(1 day)}}}}}"
            ),
            "no entry in assumptions.functions",
        ),
        (
            "  A: {Type: AWS::Lambda::EventSourceMapping, Properties: {EventSourceArn: 'arn:aws:kinesis:x'}}",
            "a source that is no queue",
        ),
        (
            (
                "  A: {Type: AWS::Scheduler::Schedule, Properties: {ScheduleExpression: rate(1 day), "
                "Target: {Arn: 'arn:aws:states:machine'}}}"
            ),
            "the target arn:aws:states:machine",
        ),
    ],
)
def test_what_may_cost_and_has_no_rule_is_an_error(
    tmp_path: Path, prices: PriceFile, text: str, sentence: str
) -> None:
    with pytest.raises(TemplateError, match=re.escape(sentence)):
        charges(tmp_path, prices, text)


def test_a_mapping_without_sam_polls_too(tmp_path: Path, prices: PriceFile) -> None:
    text = """
  Mapping: {Type: AWS::Lambda::EventSourceMapping, Properties: {EventSourceArn: !GetAtt Queue.Arn}}
  Queue: {Type: AWS::SQS::Queue}
"""
    (mapping, _) = resources(tmp_path, text)
    found = list(RULES["queue_mapping"](mapping, Idle(prices)))
    assert found == [Charge("queue_request", 90_000, "Mapping")]


# --- schedules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "runs"),
    [
        ("rate(1 minute)", 43_800),
        ("rate(5 minutes)", 8_760),
        ("rate(12 hours)", 730 / 12),
        ("rate(1 day)", 730 / 24),
        ("cron(17 3 * * ? *)", 365 / 12),
        ("cron(0/15 * * * ? *)", 4 * 24 * 365 / 12),
        ("cron(0 8,20 ? * MON-FRI *)", 2 * 261 / 12),
        ("cron(0 6 1 * ? *)", 1),
        ("cron(0 6 1 JAN,JUL ? *)", 2 / 12),
        ("at(2027-01-01T00:00:00)", 0),
    ],
)
def test_schedules_run_as_often_as_they_say(expression: str, runs: float) -> None:
    assert runs_per_month(expression, 730) == pytest.approx(runs)


@pytest.mark.parametrize(
    "expression", ["rate(5 weeks)", "cron(0 6 L * ? *)", "cron(0 6 ? * 2#1 *)", "cron(0 25 * * ? *)", "daily"]
)
def test_a_schedule_that_is_not_understood_is_an_error(expression: str) -> None:
    with pytest.raises(TemplateError, match="is not understood"):
        runs_per_month(expression, 730)


# --- the command ----------------------------------------------------------------------------------


def test_the_command_prints_items_and_sum(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--idle"]) == 0
    shown = capsys.readouterr()
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert "Keys 1 key 1 1.0000" in lines
    assert lines[-2].startswith("Total 1.")
    assert "List prices collected" in shown.err
    assert "Not in it: The files, tables and query results themselves" in shown.err


def test_the_commands_json_holds_the_sum(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--idle", "--env", "prod", "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["environment"] == "prod"
    assert document["total_usd_per_month"] > 1
    (queues,) = [entry for entry in document["free"] if entry["type"] == "AWS::SQS::Queue"]
    assert (queues["resources"], queues["why"][:16]) == (3, "Paid by requests")


def test_the_command_says_what_it_cannot_compute(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost"]) == 2
    assert "add --idle" in capsys.readouterr().err
    assert main(["cost", "--idle", "--env", "test"]) == 2
    assert "no environment 'test'" in capsys.readouterr().err


def test_nested_templates_cost_nothing_themselves() -> None:
    types = read_prices().types
    assert all(types[name].free for name in NESTED)
