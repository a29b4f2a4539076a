"""How each resource type that costs something while idle is priced.

A rule takes a resource and yields charges: a price of the price file and how many of its units a month takes.
Something of a resource that would cost and that a rule does not know is an error, never nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lakehouse_cli.cost.prices import PriceFile
from lakehouse_cli.cost.schedules import runs_per_month
from lakehouse_cli.errors import TemplateError
from lakehouse_cli.templates import Resource

FUNCTIONS = {"AWS::Serverless::Function", "AWS::Lambda::Function"}
DEFAULT_MEMORY_MIB = 128
MIB_A_GIB = 1024
BYTES_A_GIGABYTE = 1_000_000_000
DAYS_A_MONTH = 365 / 12
ENDLESS_DAYS = 365
"""Logs without a retention are counted as kept for their first year."""
SECONDS_AN_HOUR = 3600
MINUTES_AN_HOUR = 60
STANDARD_RESOLUTION_SECONDS = 60
REPLICATION_METRICS = 4
"""Bytes pending, operations pending, operations failed, latency: for each rule."""
DPUS = {"G.025X": 0.25, "G.1X": 1, "G.2X": 2, "G.4X": 4, "G.8X": 8}
WORKFLOW_TARGET = "glue:startWorkflowRun"


@dataclass(frozen=True)
class Charge:
    """A quantity of one price that one resource takes in a month."""

    price: str
    quantity: float
    resource: str


@dataclass(frozen=True)
class Idle:
    """What rules need to know beside their resource."""

    prices: PriceFile
    resources: list[Resource] = field(default_factory=list)

    @property
    def hours(self) -> float:
        """Hours of a month."""
        return self.prices.hours_per_month

    def runs(self, expression: str) -> float:
        """Runs of a schedule in a month."""
        return runs_per_month(expression, self.hours)


Charges = Iterator[Charge]
Rule = Callable[[Resource, Idle], Charges]


def unknown(resource: Resource, what: str) -> TemplateError:
    """That something of a resource may cost and has no rule."""
    return TemplateError(f"{resource.path} ({resource.type}) has {what}, which cost/rules.py cannot price.")


def _refuse(resource: Resource, *properties: str) -> None:
    for name in properties:
        if resource.get(name):
            raise unknown(resource, name)


# --- what is paid for being there -----------------------------------------------------------------


def key(resource: Resource, _: Idle) -> Charges:
    """A customer-managed key, primary or replica."""
    yield Charge("key", 1, resource.path)


def alarm(resource: Resource, _: Idle) -> Charges:
    """A metric alarm is paid for each metric it looks at."""
    metrics = [m for m in resource.get("Metrics", []) if "MetricStat" in m]
    periods = [m["MetricStat"]["Period"] for m in metrics] or [resource.get("Period", 60)]
    fast = any(int(period) < STANDARD_RESOLUTION_SECONDS for period in periods)
    yield Charge("alarm_high_resolution" if fast else "alarm", len(periods), resource.path)


def composite_alarm(resource: Resource, _: Idle) -> Charges:
    """An alarm over alarms."""
    yield Charge("alarm_composite", 1, resource.path)


def dashboard(resource: Resource, _: Idle) -> Charges:
    """A dashboard."""
    yield Charge("dashboard", 1, resource.path)


def metric_filter(resource: Resource, _: Idle) -> Charges:
    """Every metric a filter writes is a custom metric."""
    yield Charge("custom_metric", len(resource.get("MetricTransformations", [])), resource.path)


def endpoint(resource: Resource, idle: Idle) -> Charges:
    """An interface endpoint is paid by the hour and zone, a gateway endpoint not at all."""
    kind = resource.get("VpcEndpointType", "Gateway")
    if kind == "Gateway":
        return
    subnets = resource.get("SubnetIds", [])
    if kind != "Interface" or not isinstance(subnets, list) or not subnets:
        raise unknown(resource, f"the type {kind} in the subnets {subnets}")
    yield Charge("interface_endpoint", len(subnets) * idle.hours, resource.path)


def bucket(resource: Resource, _: Idle) -> Charges:
    """A bucket costs nothing but its content; the metrics of its replication are custom metrics."""
    _refuse(resource, "MetricsConfigurations", "InventoryConfigurations", "AnalyticsConfigurations")
    rules = resource.get("ReplicationConfiguration", {}).get("Rules", [])
    measured = [r for r in rules if r["Destination"].get("Metrics", {}).get("Status") == "Enabled"]
    if measured:
        yield Charge("replication_metric", REPLICATION_METRICS * len(measured), resource.path)


def table(resource: Resource, idle: Idle) -> Charges:
    """A table is paid for what it stores and for its continuous backup, in each of its regions."""
    if resource.get("BillingMode") != "PAY_PER_REQUEST":
        raise unknown(resource, "a capacity that is paid by the hour")
    assumed = idle.prices.assumptions
    if resource.name not in assumed.table_bytes:
        raise unknown(resource, "a content that assumptions.table_bytes of prices.yaml says nothing about")
    gigabytes = assumed.total(assumed.table_bytes[resource.name]) / BYTES_A_GIGABYTE
    for replica in resource.get("Replicas", []):
        yield Charge("table_storage", gigabytes, resource.path)
        if replica.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled"):
            yield Charge("table_backup", gigabytes, resource.path)


def flow_log(resource: Resource, idle: Idle) -> Charges:
    """Flow logs are paid by what they write."""
    to_bucket = resource.get("LogDestinationType", "cloud-watch-logs") == "s3"
    price = "flow_log_to_bucket" if to_bucket else "flow_log_to_group"
    yield Charge(price, idle.prices.assumptions.flow_log_gigabytes, resource.path)


def trail(resource: Resource, idle: Idle) -> Charges:
    """Data events are paid from the first; the first copy of management events is free. Files are written."""
    selectors = resource.get("AdvancedEventSelectors", []) + resource.get("EventSelectors", [])
    if any("Data" in str(selector) for selector in selectors):
        calls = sum(
            charge.quantity
            for each in idle.resources
            if each.type in FUNCTIONS
            for charge in function(each, idle)
            if charge.price in {"bucket_list", "bucket_get"}
        )
        yield Charge("trail_data_event", calls, resource.path)
    files = idle.prices.assumptions.trail_files_per_hour * idle.hours
    yield Charge("bucket_put", files, resource.path)
    if resource.get("KMSKeyId"):
        yield Charge("key_request", files, resource.path)


# --- what runs although nothing arrives -----------------------------------------------------------


def function(resource: Resource, idle: Idle) -> Charges:
    """A function is paid for its calls: while idle those of its schedules, and the polling of its queue."""
    _refuse(resource, "ProvisionedConcurrencyConfig")
    for event in resource.get("Events", {}).values():
        yield from _event(resource, event["Type"], event.get("Properties", {}), idle)


def _event(resource: Resource, kind: str, given: dict[str, Any], idle: Idle) -> Charges:
    if kind == "SQS":
        yield from _polls(resource, given, idle)
    elif kind in {"Schedule", "ScheduleV2"}:
        runs = idle.runs(given.get("Schedule") or given["ScheduleExpression"])
        if given.get("Enabled", True) and given.get("State", "ENABLED") == "ENABLED":
            yield Charge("scheduled_run", runs, resource.path)
            yield from _calls(resource, runs, idle)
            yield from _metrics(resource, idle)
    elif kind not in {"EventBridgeRule", "CloudWatchEvent", "S3", "SNS"}:
        raise unknown(resource, f"an event of type {kind}")


def queue_mapping(resource: Resource, idle: Idle) -> Charges:
    """A mapping by itself, without SAM."""
    if ":sqs:" not in str(resource.get("EventSourceArn")):
        source = resource.target(str(resource.get("EventSourceArn")))
        if source is None or source.type != "AWS::SQS::Queue":
            raise unknown(resource, "a source that is no queue")
    yield from _polls(resource, {"ProvisionedPollerConfig": resource.get("ProvisionedPollerConfig")}, idle)


def _polls(resource: Resource, given: dict[str, Any], idle: Idle) -> Charges:
    """Lambda polls an empty queue all the time, and every poll is a request."""
    if given.get("ProvisionedPollerConfig"):
        raise unknown(resource, "pollers that are paid by the hour")
    assumed = idle.prices.assumptions
    per_poller = idle.hours * SECONDS_AN_HOUR / assumed.poll_seconds
    yield Charge("queue_request", assumed.queue_pollers * per_poller, resource.path)


def _calls(resource: Resource, runs: float, idle: Idle) -> Charges:
    """What a number of calls of a function takes: its own time, and what it calls."""
    assumed = idle.prices.assumptions
    work = assumed.functions.get(resource.name)
    if work is None:
        raise unknown(resource, "a schedule, but no entry in assumptions.functions of prices.yaml")
    gigabytes = int(resource.get("MemorySize", DEFAULT_MEMORY_MIB)) / MIB_A_GIB
    arm = resource.get("Architectures", ["x86_64"]) == ["arm64"]
    seconds = runs * assumed.total(work.seconds)
    logs = runs * assumed.total(work.log_bytes) / BYTES_A_GIGABYTE
    for price, quantity in {
        "function_call": runs,
        "function_seconds_arm" if arm else "function_seconds_x86": seconds * gigabytes,
        "table_read": runs * assumed.total(work.reads),
        "table_write": runs * assumed.total(work.writes),
        "bucket_list": runs * assumed.total(work.lists),
        "bucket_get": runs * assumed.total(work.gets),
        "key_request": runs * assumed.total(work.key_requests),
        "log_ingestion": logs,
        "log_storage": logs * _kept_days(resource) / DAYS_A_MONTH,
    }.items():
        if quantity:
            yield Charge(price, quantity, resource.path)


def _metrics(resource: Resource, idle: Idle) -> Charges:
    """The metrics that a scheduled function writes: no template shows them."""
    assumed = idle.prices.assumptions
    written = assumed.total(assumed.functions[resource.name].metrics)
    if written:
        yield Charge("custom_metric", written, resource.path)


def _kept_days(resource: Resource) -> int:
    group = resource.target(str(resource.get("LoggingConfig", {}).get("LogGroup", "")))
    return int(group.get("RetentionInDays", ENDLESS_DAYS)) if group else ENDLESS_DAYS


def rule(resource: Resource, idle: Idle) -> Charges:
    """A rule of EventBridge runs by itself only if it has a schedule."""
    expression = resource.get("ScheduleExpression")
    if expression and resource.get("State", "ENABLED") == "ENABLED":
        runs = idle.runs(expression)
        yield Charge("scheduled_run", runs, resource.path)
        for target in resource.get("Targets", []):
            yield from _start(resource, target["Arn"], target.get("Input", ""), runs, idle)


def schedule(resource: Resource, idle: Idle) -> Charges:
    """A schedule of EventBridge Scheduler, and what it starts."""
    if resource.get("State", "ENABLED") != "ENABLED":
        return
    runs = idle.runs(resource.get("ScheduleExpression"))
    yield Charge("scheduled_run", runs, resource.path)
    target = resource.get("Target")
    yield from _start(resource, target["Arn"], target.get("Input", ""), runs, idle)


def _start(resource: Resource, arn: str, given: str, runs: float, idle: Idle) -> Charges:
    if arn.endswith(WORKFLOW_TARGET):
        yield from _workflow(resource, str(json.loads(given)["Name"]), runs, idle)
        return
    target = resource.target(arn)
    if target is None or target.type not in FUNCTIONS:
        raise unknown(resource, f"the target {arn}")
    yield from _calls(target, runs, idle)
    yield from _metrics(target, idle)


# --- Glue on a schedule ---------------------------------------------------------------------------


def trigger(resource: Resource, idle: Idle) -> Charges:
    """A trigger runs by itself only with a schedule; others count with what starts their workflow."""
    if resource.get("Type") == "SCHEDULED":
        yield from _actions(resource, idle.runs(resource.get("Schedule")), idle)


def crawler(resource: Resource, idle: Idle) -> Charges:
    """A crawler runs by itself only with a schedule."""
    expression = resource.get("Schedule", {}).get("ScheduleExpression")
    if expression:
        yield from _crawl(resource, idle.runs(expression), idle)


def _workflow(resource: Resource, workflow: str, runs: float, idle: Idle) -> Charges:
    """Everything that a workflow's triggers start, each once a run."""
    triggers = [
        each
        for each in resource.template.resources()
        if each.type == "AWS::Glue::Trigger" and workflow in _workflow_of(each)
    ]
    if not triggers:
        raise unknown(resource, f"the workflow {workflow}, which has no trigger in the same template")
    for each in triggers:
        yield from _actions(each, runs, idle)


def _workflow_of(trigger: Resource) -> set[str]:
    """What a trigger calls its workflow: as the template says, and by the name of the resource it says."""
    said = str(trigger.get("WorkflowName", ""))
    named = trigger.target(said)
    return {said, str(named.get("Name", said))} if named else {said}


def _actions(resource: Resource, runs: float, idle: Idle) -> Charges:
    for action in resource.get("Actions", []):
        name = action.get("JobName") or action.get("CrawlerName", "")
        target = resource.target(name) or _named(resource, name)
        if target is None:
            raise unknown(resource, f"the action {name}, which is not in the same template")
        yield from _crawl(target, runs, idle) if "CrawlerName" in action else _job(target, runs, idle)


def _named(resource: Resource, name: str) -> Resource | None:
    glue = [each for each in resource.template.resources() if each.type.startswith("AWS::Glue::")]
    return next((each for each in glue if each.get("Name") == name), None)


def _crawl(resource: Resource, runs: float, idle: Idle) -> Charges:
    assumed = idle.prices.assumptions
    hours = assumed.crawler_dpus * assumed.crawler_minutes / MINUTES_AN_HOUR
    yield Charge("crawler_hour", runs * hours, resource.path)


def _job(resource: Resource, runs: float, idle: Idle) -> Charges:
    dpus = DPUS.get(resource.get("WorkerType", ""))
    if dpus is None:
        raise unknown(resource, f"the worker type {resource.get('WorkerType')}")
    hours = dpus * int(resource.get("NumberOfWorkers")) * idle.prices.assumptions.job_minutes / 60
    yield Charge("job_hour", runs * hours, resource.path)


RULES: dict[str, Rule] = {
    "alarm": alarm,
    "bucket": bucket,
    "composite_alarm": composite_alarm,
    "crawler": crawler,
    "dashboard": dashboard,
    "endpoint": endpoint,
    "flow_log": flow_log,
    "function": function,
    "key": key,
    "metric_filter": metric_filter,
    "queue_mapping": queue_mapping,
    "rule": rule,
    "schedule": schedule,
    "table": table,
    "trail": trail,
    "trigger": trigger,
}
