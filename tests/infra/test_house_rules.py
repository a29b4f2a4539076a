"""What every template of this project keeps to."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import pytest
import yaml

from tests.infra.templates import (
    ROOT,
    TEMPLATES,
    Resource,
    listed,
    resource,
    resources,
    statements,
    template,
    text,
)

STATEFUL = (
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::KMS::Key",
    "AWS::KMS::ReplicaKey",
    "AWS::DynamoDB::GlobalTable",
    "AWS::Glue::Database",
)
REPLACEABLE = (
    "AWS::Athena::WorkGroup",
    "AWS::CloudFormation::CustomResource",
    "AWS::Logs::LogGroup",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
    "AWS::Serverless::Application",
)
KEYS = ("AWS::KMS::Key", "AWS::KMS::ReplicaKey")
FUNCTIONS = resources("AWS::Serverless::Function")
NAMES = {
    "assets",
    "intake",
    "claim",
    "bronze",
    "complete",
    "plan",
    "recover",
    "sweep",
    "reconcile",
    "maintain",
    "freshness",
}


def test_there_are_eleven_functions_named_after_their_folders() -> None:
    folders = {function.properties["CodeUri"] for function in FUNCTIONS}
    assert folders == {f"functions/{name}/" for name in NAMES}
    for function in FUNCTIONS:
        name = function.properties["CodeUri"].split("/")[1]
        assert text(function.properties["FunctionName"]) == f"${{LakeName}}-${{Environment}}-{name}"
        assert function.name == f"{name.capitalize()}Function"


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_a_function_has_a_role_and_a_log_group_of_its_own(function: Resource) -> None:
    noun = function.name.removesuffix("Function")
    assert function.properties["Role"] == {"Fn::GetAtt": [f"{noun}FunctionRole", "Arn"]}
    assert function.properties["LoggingConfig"] == {"LogGroup": {"Ref": f"{noun}LogGroup"}}
    group = resource(f"{noun}LogGroup").properties
    assert text(group["LogGroupName"]) == f"/aws/lambda/{text(function.properties['FunctionName'])}"
    assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_every_log_group_has_retention_and_the_key() -> None:
    groups = resources("AWS::Logs::LogGroup")
    # Functions, state machines, output and error of four jobs, flow log.
    assert len(groups) == 11 + 3 + 2 * 4 + 1
    for group in groups:
        assert group.properties["RetentionInDays"] == {"Ref": "LogRetentionDays"}, group
        assert group.properties["KmsKeyId"], group


def test_every_event_source_has_a_place_for_its_failures() -> None:
    sources = [(f, name, event) for f in FUNCTIONS for name, event in f.properties.get("Events", {}).items()]
    assert len(sources) == 6
    for function, name, event in sources:
        if event["Type"] == "SQS":
            queue = resource(event["Properties"]["Queue"]["Fn::GetAtt"][0])
            assert queue.properties["RedrivePolicy"]["deadLetterTargetArn"], (function, name)
        else:
            assert event["Properties"]["DeadLetterConfig"]["Arn"], (function, name)
            destination = function.properties["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]
            assert destination["Destination"], (function, name)
    for schedule in resources("AWS::Scheduler::Schedule"):
        assert schedule.properties["Target"]["DeadLetterConfig"]["Arn"], schedule
    for rule in resources("AWS::Events::Rule"):
        for target in rule.properties["Targets"]:
            # The queue of failures is the last place there is.
            if target["Arn"] != {"Fn::GetAtt": ["FailedEventsQueue", "Arn"]}:
                assert target["DeadLetterConfig"]["Arn"], rule


@pytest.mark.parametrize("each", resources(*STATEFUL), ids=str)
def test_what_holds_data_outlives_the_stack(each: Resource) -> None:
    assert each.body["DeletionPolicy"] == "RetainExceptOnCreate"
    assert each.body["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("each", resources(*REPLACEABLE), ids=str)
def test_what_may_go_with_the_stack_says_so(each: Resource) -> None:
    assert each.body["DeletionPolicy"] == "Delete"
    assert each.body["UpdateReplacePolicy"] == "Delete"


def test_every_name_of_what_outlives_the_stack_ends_with_the_suffix() -> None:
    names = {
        "AWS::S3::Bucket": "BucketName",
        "AWS::DynamoDB::GlobalTable": "TableName",
        "AWS::KMS::Alias": "AliasName",
    }
    for each in resources(*names):
        assert text(each.properties[names[each.type]]).endswith("${NameSuffix}"), each
    for each in resources("AWS::Glue::Database"):
        assert text(each.properties["DatabaseInput"]["Name"]).endswith("${Suffix}"), each


def test_a_bucket_name_always_fits() -> None:
    longest = "a" * 16 + "-prod-operations-" + "1" * 12 + "-ap-northeast-1" + "-b2"
    assert len(longest) <= 63
    assert template("template.yaml")["Parameters"]["LakeName"]["AllowedPattern"] == "[a-z][a-z0-9]{1,15}"
    assert template("template.yaml")["Parameters"]["NameSuffix"]["AllowedPattern"] == "(-[a-z0-9]{1,2})?"


def test_no_wildcard_action_is_allowed_outside_the_keys_own_policy() -> None:
    seen = 0
    for owner, statement in statements():
        if statement["Effect"] == "Allow" and owner.type not in KEYS:
            for action in listed(statement["Action"]):
                seen += 1
                assert "*" not in action, f"{owner}: {action}"
    assert seen > 100


def test_a_wildcard_resource_has_its_reason_written_above_it() -> None:
    places = list(wildcard_resources())
    # Metrics of four jobs, log delivery of three machines, five statements of the key's policy, three of Lake
    # Formation; of the network its endpoints of metrics and grants, descriptions for functions and jobs, and a denial; of replication a key and a template that are
    # not there yet, and two statements of the replica key's policy.
    assert len(places) == 15 + 5 + 4
    for path, line in places:
        before = (ROOT / path).read_text().splitlines()[line - 1].strip()
        assert before.startswith("#"), f"{path}:{line + 1} has no reason"


def wildcard_resources() -> Iterator[tuple[str, int]]:
    """Template and line (from 0) of every ``Resource`` that is or contains a bare ``*``."""
    for path in TEMPLATES:
        nodes = [yaml.compose((ROOT / path).read_text())]
        while nodes:
            node = nodes.pop()
            if isinstance(node, yaml.SequenceNode):
                nodes.extend(node.value)
            elif isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    nodes.append(value)
                    items = value.value if isinstance(value, yaml.SequenceNode) else [value]
                    if key.value == "Resource" and any(item.value == "*" for item in items):
                        yield path, key.start_mark.line


def test_a_denial_is_the_only_statement_for_everybody() -> None:
    for owner, statement in statements():
        # An endpoint's policy knows no other principal: tests/infra/test_network.py has its rules.
        if statement.get("Principal") == "*" and owner.type != "AWS::EC2::VPCEndpoint":
            assert statement["Effect"] == "Deny", owner


def test_a_service_acts_for_this_account_only() -> None:
    # Lambda and Glue take roles of their own account only; no page says that they tell for whom they act.
    # S3 copies for the owner of the source bucket, who has to be allowed to pass it the role.
    unconditional = {"lambda.amazonaws.com", "glue.amazonaws.com", "s3.amazonaws.com"}
    for owner, statement in statements():
        elsewhere = owner.type in {*KEYS, "AWS::EC2::VPCEndpoint"}
        if statement["Effect"] == "Allow" and "Service" in statement.get("Principal", "") and not elsewhere:
            service = statement["Principal"]["Service"]
            assert ("Condition" in statement) == (service not in unconditional), owner


def test_no_managed_policy_of_aws_is_used() -> None:
    for role in resources("AWS::IAM::Role"):
        for policy in role.properties.get("ManagedPolicyArns", []):
            chosen = policy["Fn::If"][1] if "Fn::If" in policy else policy
            own = "Ref" in chosen or chosen["Fn::GetAtt"][0] == "Network"
            assert own, f"{role}: {policy}"


@pytest.mark.parametrize("path", TEMPLATES)
def test_parameters_are_described_and_constrained(path: str) -> None:
    constraints = {"AllowedPattern", "AllowedValues", "MinValue", "MinLength"}
    # Names made by the parent, of resources that checked them.
    buckets = ("Bronze", "Silver", "Gold", "Operations", "Results", "Logs", "Audit")
    passed_on = {f"{layer}BucketName" for layer in buckets}
    passed_on |= {f"{layer}DatabaseName" for layer in ("Bronze", "Silver", "Gold", "Audit")}
    for name, parameter in template(path)["Parameters"].items():
        assert parameter["Description"].endswith((".", ").")), name
        assert constraints & set(parameter) or name in passed_on, name


@pytest.mark.parametrize("path", TEMPLATES)
def test_every_parameter_and_condition_is_used(path: str) -> None:
    written = (ROOT / path).read_text()
    for name in [*template(path).get("Parameters", {}), *template(path).get("Conditions", {})]:
        used = rf"!Ref {name}\b|\$\{{{name}\}}|\[{name},|Condition: {name}\b|!If\n *- {name}\n"
        assert re.search(used, written), f"{path}: {name}"


@pytest.mark.parametrize("path", TEMPLATES)
def test_logical_ids_are_pascal_case_and_outputs_described(path: str) -> None:
    for name in template(path)["Resources"]:
        assert re.fullmatch(r"([A-Z][a-z0-9]+)+", name), name
    for name, output in template(path)["Outputs"].items():
        assert output["Description"].endswith("."), name


def test_the_outputs_that_the_command_reads() -> None:
    assert set(template("template.yaml")["Outputs"]) == {
        "LakeName",
        "Environment",
        "BronzeBucketName",
        "SilverBucketName",
        "GoldBucketName",
        "OperationsBucketName",
        "ResultsBucketName",
        "LedgerTableName",
        "LineageTableName",
        "PromoteStateMachineArn",
        "RefreshStateMachineArn",
        "MaintainStateMachineArn",
        "BronzeDatabaseName",
        "SilverDatabaseName",
        "GoldDatabaseName",
        "WorkgroupName",
        "OperatingWorkgroupName",
        "AuditWorkgroupName",
        "AuditBucketName",
        "AuditDatabaseName",
        "LogsBucketName",
        "StewardingWorkgroupName",
        "FailureTopicArn",
        "ReconcileFunctionName",
        "MaintainFunctionName",
        "ScheduledIntakeWorkflowName",
        "SweepFunctionName",
        "IntakeQueueUrl",
        "DeadLetterQueueUrl",
        "FailedEventsQueueUrl",
        "AssetsPrefix",
    }


def test_the_functions_are_told_what_the_settings_read() -> None:
    from lakehouse.settings import Settings

    told = set(template("template.yaml")["Globals"]["Function"]["Environment"]["Variables"])
    assert {name.upper() for name in Settings.model_fields} == told - {"POWERTOOLS_SERVICE_NAME", "LOG_LEVEL"}


def test_nothing_names_an_account_an_address_or_a_region() -> None:
    for path in [
        *TEMPLATES,
        "samconfig.toml",
        "statemachines/promote.asl.yaml",
        "statemachines/refresh.asl.yaml",
        "statemachines/maintain.asl.yaml",
    ]:
        # The second region has to be somebody's choice, and this is the place for it.
        written = re.sub(r"ReplicaRegion=[a-z0-9-]+", "", (ROOT / path).read_text())
        assert not re.search(r"\b\d{12}\b(?!\d)", written.replace("107374182400", "")), path
        assert not re.search(
            r"\b(us|eu|ap|sa|ca|me|af)-[a-z]+-\d\b", written.replace("us-east-2 for its region", "")
        ), path
        assert not re.search(r"[\w.]+@[\w.]+\.\w+", written), path


@pytest.mark.parametrize(("table", "environment"), [("default", "dev"), ("prod", "prod")])
def test_every_resource_is_tagged_with_its_lake_and_environment(table: str, environment: str) -> None:
    """A stack's tags go to all its resources that can be tagged, those of nested stacks too."""
    deployed = tomllib.loads((ROOT / "samconfig.toml").read_text())[table]["deploy"]["parameters"]
    assert deployed["tags"] == ["lake=lake", f"environment={environment}"]
