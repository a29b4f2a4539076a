"""The doctor: every check against an account in a dictionary, and the questions it asks AWS."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError

from lakehouse_cli.commands import doctor, parameters
from lakehouse_cli.doctor import checks
from lakehouse_cli.doctor.account import PROBES, Account, Caller, Decision, LakeFormationSettings
from lakehouse_cli.doctor.checks import CHECKS, Deployment
from lakehouse_cli.doctor.findings import Finding
from lakehouse_cli.doctor.permissions import CREATING, STACK_ACTIONS, needed
from lakehouse_cli.doctor.tools import check_tools
from lakehouse_cli.errors import NotAnswered
from lakehouse_cli.main import main
from lakehouse_cli.templates import Environment, Place, Template, read_environment, read_template
from tests.unit.cli_fakes import FakeConnection, Pages, refused

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "111122223333"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/Deployer/ada"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/teams/Deployer"


class FakeAccount:
    """An account in which all is well. Attributes change that; what is in ``silent`` is not answered."""

    region = "us-east-1"

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.denied: dict[str, list[str]] = {}
        self.stacks: dict[str, str] = {}
        self.taken: dict[str, str] = {}
        self.limits: dict[str, dict[str, float]] = {
            "glue": {"Max concurrent job runs per account": 50, "Max task DPUs per account": 1000},
            "vpc": {"VPCs per Region": 5, "Interface VPC endpoints per VPC": 50},
        }
        self.functions = 1000
        self.vpcs = 1
        self.regions = {"us-east-1", "us-west-2"}
        self.lake = LakeFormationSettings([], databases_open=True)
        self.catalog = "DISABLED"
        self.asked: list[tuple[str, str, str]] = []

    def _ask(self, what: str) -> None:
        if what in self.silent:
            raise NotAnswered(f"{what} answered AccessDenied")

    def role_arn(self, name: str) -> str:
        self._ask("iam:GetRole")
        return f"arn:aws:iam::{ACCOUNT}:role/teams/{name}"

    def decide(self, principal: str, action: str, resource: str) -> Decision:
        self._ask("iam:SimulatePrincipalPolicy")
        self.asked.append((principal, action, resource))
        return Decision(action not in self.denied, self.denied.get(action, []))

    def stack_status(self, name: str) -> str | None:
        self._ask("cloudformation:DescribeStacks")
        return self.stacks.get(name)

    def bucket(self, name: str) -> str:
        self._ask("s3:HeadBucket")
        return self.taken.get(name, "free")

    table = database = key_alias = log_group = role = bucket

    def concurrent_functions(self) -> int:
        self._ask("lambda:GetAccountSettings")
        return self.functions

    def quotas(self, service: str) -> dict[str, float]:
        self._ask("servicequotas:ListServiceQuotas")
        return self.limits[service]

    def networks(self) -> int:
        return self.vpcs

    def region_enabled(self, region: str) -> bool:
        return region in self.regions

    def lake_formation(self) -> LakeFormationSettings:
        self._ask("lakeformation:GetDataLakeSettings")
        return self.lake

    def catalog_encryption(self) -> str:
        return self.catalog

    def probe(self, service: str) -> None:
        self._ask(service)


@pytest.fixture
def account() -> FakeAccount:
    return FakeAccount()


def project(environment: str = "dev", arn: str = SESSION) -> Deployment:
    """The project's own deployment."""
    read = read_environment(ROOT, environment)
    template = read_template(ROOT, read, Place(ACCOUNT, "us-east-1"))
    return Deployment(read, Caller(ACCOUNT, arn), "us-east-1", list(template.resources()))


def made_of(tmp_path: Path, text: str, arn: str = SESSION) -> Deployment:
    """A deployment of a few resources."""
    (tmp_path / "template.yaml").write_text(f"Resources:\n{text}")
    template = Template.read(tmp_path / "template.yaml", {}, Place(ACCOUNT, "us-east-1"))
    environment = Environment("dev", "lake-dev", {})
    return Deployment(environment, Caller(ACCOUNT, arn), "us-east-1", list(template.resources()))


def examine(account: FakeAccount, deployment: Deployment) -> list[Finding]:
    return list(checks.examine(account, deployment))  # type: ignore[arg-type] # a duck


def one(account: FakeAccount, deployment: Deployment, name: str) -> list[tuple[str, str]]:
    """Status and sentence of one check's findings, as the runner would give them."""
    found = examine(account, deployment)
    keys = {name, *({"job quota", "worker quota"} if name == "job quotas" else ())}
    return [(finding.status, finding.found) for finding in found if finding.check in keys]


def test_an_account_in_which_all_is_well(account: FakeAccount) -> None:
    for environment in ("dev", "prod"):
        found = examine(account, project(environment))
        assert [(f.check, f.status, f.found) for f in found if f.status != "ok"] == []
        assert len(found) >= len(CHECKS)


def test_whatever_is_not_answered_is_unchecked_and_stops_nothing_else(account: FakeAccount) -> None:
    account.silent = {
        "iam:GetRole",
        "cloudformation:DescribeStacks",
        "lambda:GetAccountSettings",
        "servicequotas:ListServiceQuotas",
        "lakeformation:GetDataLakeSettings",
        "events",
    }
    found = {finding.check: finding for finding in examine(account, project())}
    unchecked = {name for name, finding in found.items() if finding.status == "unchecked"}
    assert unchecked == {
        "identity",
        "permissions",
        "services",
        "stack",
        "artifacts",
        "names",
        "function quota",
        "job quotas",
        "lake formation",
    }
    assert found["stack"].found == (
        "Could not be checked: cloudformation:DescribeStacks answered AccessDenied."
    )
    assert found["region"].status == found["catalog encryption"].status == "ok"
    assert {finding.status for finding in found.values()} == {"ok", "unchecked"}


# --- identity and permissions ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arn", "status", "principal"),
    [
        (SESSION, "ok", ROLE),
        (f"arn:aws:iam::{ACCOUNT}:user/ada", "ok", f"arn:aws:iam::{ACCOUNT}:user/ada"),
        (f"arn:aws:iam::{ACCOUNT}:root", "warning", f"arn:aws:iam::{ACCOUNT}:root"),
        (
            f"arn:aws:sts::{ACCOUNT}:federated-user/ada",
            "warning",
            f"arn:aws:sts::{ACCOUNT}:federated-user/ada",
        ),
    ],
)
def test_the_caller_is_named_as_a_principal_not_as_a_session(
    account: FakeAccount, arn: str, status: str, principal: str
) -> None:
    assert one(account, project(arn=arn), "identity") == [
        (status, f"{principal} deploys to account {ACCOUNT}.")
    ]


def test_permissions_are_asked_of_the_role_and_on_what_is_to_be_made(account: FakeAccount) -> None:
    examine(account, project())
    assert {principal for principal, _, _ in account.asked} == {ROLE}
    asked = {action: resource for _, action, resource in account.asked}
    assert asked["cloudformation:CreateChangeSet"] == (
        f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/lake-dev/example"
    )
    assert asked["s3:CreateBucket"] == f"arn:aws:s3:::lake-dev-bronze-{ACCOUNT}-us-east-1"
    assert asked["lambda:CreateFunction"] == f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:lake-dev-assets"
    assert asked["iam:CreateRole"] == f"arn:aws:iam::{ACCOUNT}:role/lake-dev-example"
    assert asked["kms:CreateKey"] == "*"
    assert not [resource for resource in asked.values() if "*" in resource[1:] or "{" in resource]


def test_a_denied_action_is_a_problem_and_a_conditional_one_a_warning(account: FakeAccount) -> None:
    account.denied = {"kms:CreateKey": [], "iam:CreateRole": ["aws:RequestTag/team"], "glue:CreateJob": []}
    assert one(account, project(), "permissions") == [
        ("problem", "Not allowed: glue:CreateJob, kms:CreateKey."),
        ("warning", "Allowed under conditions: iam:CreateRole."),
    ]


def test_every_resource_type_of_the_templates_has_an_action() -> None:
    for environment in ("dev", "prod"):
        deployment = project(environment)
        assert {resource.type for resource in deployment.resources} - set(CREATING) == set()
        assert set(STACK_ACTIONS) <= set(needed(deployment.resources, "lake-dev", "lake-dev"))


def test_the_actions_exist(boto_session: Any) -> None:
    """A misspelt action is simulated as denied, for everybody."""
    clients = {"states": "stepfunctions", "lakeformation": "lakeformation"}
    not_operations = {"iam:PassRole"}
    operations = {"lambda:InvokeFunction": "Invoke", "budgets:ModifyBudget": "UpdateBudget"}
    for action in {*STACK_ACTIONS, *(action for action, _, _ in CREATING.values())} - not_operations:
        service, _, name = action.partition(":")
        model = boto_session.client(clients.get(service, service)).meta.service_model
        assert operations.get(action, name) in model.operation_names, action


# --- region, stack, names -------------------------------------------------------------------------


def test_a_region_that_is_not_enabled_is_a_problem(account: FakeAccount) -> None:
    account.regions = set()
    assert one(account, project(), "region") == [("problem", "us-east-1 is no region this account may use.")]


REPLICA = """
  Replica:
    Type: AWS::CloudFormation::StackSet
    Properties:
      TemplateURL: replica.yaml
      StackInstancesGroup:
        - {Regions: [%s], DeploymentTargets: {Accounts: ['111122223333']}}
  Ledger:
    Type: AWS::DynamoDB::GlobalTable
    Properties: {TableName: ledger, Replicas: [{Region: us-east-1}, {Region: us-west-2}]}
"""


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("us-west-2", [("ok", "us-west-2 is enabled.")]),
        (
            "us-east-1",
            [
                ("problem", "The replica's region us-east-1 is the first one, too."),
                ("ok", "us-west-2 is enabled."),
            ],
        ),
        (
            "us-west-1",
            [("problem", "us-west-1 is no region this account may use."), ("ok", "us-west-2 is enabled.")],
        ),
        (
            "me-south-1",
            [
                ("problem", "The replica's region me-south-1 lies on another continent than us-east-1."),
                ("ok", "us-west-2 is enabled."),
            ],
        ),
        (
            "us-gov-west-1",
            [
                ("problem", "The replica's region us-gov-west-1 lies on another continent than us-east-1."),
                ("ok", "us-west-2 is enabled."),
            ],
        ),
    ],
)
def test_the_second_region_is_another_and_enabled(
    account: FakeAccount, tmp_path: Path, region: str, expected: list[tuple[str, str]]
) -> None:
    (tmp_path / "replica.yaml").write_text("Resources: {Key: {Type: AWS::KMS::ReplicaKey}}")
    assert one(account, made_of(tmp_path, REPLICA % region), "second region") == expected


@pytest.mark.parametrize(
    ("status", "judged"),
    [
        ("CREATE_COMPLETE", "ok"),
        ("UPDATE_ROLLBACK_COMPLETE", "ok"),
        ("REVIEW_IN_PROGRESS", "warning"),
        ("ROLLBACK_COMPLETE", "problem"),
        ("ROLLBACK_FAILED", "problem"),
        ("DELETE_FAILED", "problem"),
        ("UPDATE_ROLLBACK_FAILED", "problem"),
        ("UPDATE_IN_PROGRESS", "problem"),
        ("DELETE_IN_PROGRESS", "problem"),
    ],
)
def test_a_stack_in_a_state_that_blocks_is_a_problem(account: FakeAccount, status: str, judged: str) -> None:
    account.stacks = {"lake-dev": status, checks.ARTIFACTS_STACK: status}
    found = {finding.check: finding for finding in examine(account, project())}
    assert (found["stack"].status, found["artifacts"].status) == (judged, judged)
    assert found["stack"].found == f"The stack lake-dev is {status}."
    assert bool(found["stack"].do) == (judged != "ok")
    assert "{stack}" not in found["stack"].do


def test_names_that_an_earlier_lake_left_are_a_problem(account: FakeAccount) -> None:
    bronze, silver = (f"lake-dev-{layer}-{ACCOUNT}-us-east-1" for layer in ("bronze", "silver"))
    account.taken = {bronze: "own", silver: "foreign", "lake-dev-ledger": "own", "lake_dev_gold": "own"}
    account.taken |= {"alias/lake-dev": "own", "/aws/lambda/lake-dev-sweep": "own"}
    found = one(account, project(), "names")
    assert [status for status, _ in found] == ["problem"] * 3
    assert set(found[0][1].removeprefix("Taken: ").rstrip(".").split(", ")) == {
        f"bucket {bronze}",
        "table lake-dev-ledger",
        "database lake_dev_gold",
        "alias alias/lake-dev",
    }
    assert found[1][1] == f"Not yours: bucket {silver}."
    assert found[2][1] == "Taken: log group /aws/lambda/lake-dev-sweep."


def test_roles_that_a_lake_of_this_name_has_in_another_region_are_a_problem(account: FakeAccount) -> None:
    account.taken = {"lake-dev-analyst": "own"}
    read = read_environment(ROOT, "dev").governed_by(ROLE)
    template = read_template(ROOT, read, Place(ACCOUNT, "us-east-1"))
    governed = Deployment(read, Caller(ACCOUNT, SESSION), "us-east-1", list(template.resources()))
    [found] = [finding for finding in examine(account, governed) if finding.check == "names"]
    assert (found.status, found.found) == ("problem", "Taken: role lake-dev-analyst.")
    # A suffix would not help: the names of roles do not end with it.
    assert "Choose another LakeName" in found.do


def test_a_stack_that_is_there_has_its_names(account: FakeAccount) -> None:
    account.taken = {"lake-dev-ledger": "own"}
    account.stacks = {"lake-dev": "UPDATE_COMPLETE"}
    assert one(account, project(), "names") == [("ok", "The stack is there, and so are its names.")]


# --- quotas ---------------------------------------------------------------------------------------


def test_few_functions_at_once_are_a_warning(account: FakeAccount) -> None:
    account.functions = 10
    assert one(account, project(), "function quota") == [("warning", "10 functions may run at once.")]


@pytest.mark.parametrize(
    ("runs", "dpus", "expected"),
    [(50, 1000, ["ok", "ok"]), (10, 20, ["warning", "warning"]), (1, 1, ["problem", "problem"])],
)
def test_glue_quotas_are_held_against_what_the_jobs_take(
    account: FakeAccount, runs: float, dpus: float, expected: list[str]
) -> None:
    account.limits["glue"] = {"Max concurrent job runs per account": runs, "Max task DPUs per account": dpus}
    assert [status for status, _ in one(account, project(), "job quotas")] == expected


def test_a_quota_that_is_not_listed_is_unchecked(account: FakeAccount) -> None:
    account.limits["glue"] = {"Max triggers per account": 100}
    assert one(account, project(), "job quotas") == [
        (
            "unchecked",
            "Could not be checked: Service Quotas lists no quota named like 'concurrent job runs per account'.",
        )
    ]


NETWORK = """
  Network: {Type: AWS::EC2::VPC}
  Logs: {Type: AWS::EC2::VPCEndpoint, Properties: {VpcEndpointType: Interface}}
  Buckets: {Type: AWS::EC2::VPCEndpoint, Properties: {VpcEndpointType: Gateway}}
"""


def test_a_network_of_its_own_needs_room(account: FakeAccount, tmp_path: Path) -> None:
    deployment = made_of(tmp_path, NETWORK)
    account.vpcs = 4
    assert [status for status, _ in one(account, deployment, "network quotas")] == ["ok", "ok"]
    account.vpcs = 5
    assert one(account, deployment, "network quotas")[0] == (
        "problem",
        "5 VPCs; the lake takes 6 at its busiest.",
    )
    account.stacks = {"lake-dev": "UPDATE_COMPLETE"}
    assert one(account, deployment, "network quotas")[0][0] == "ok"
    account.limits["vpc"]["Interface VPC endpoints per VPC"] = 0
    assert one(account, deployment, "network quotas")[1][0] == "problem"


# --- singletons -----------------------------------------------------------------------------------


def test_lake_formation_that_closes_databases_is_a_warning(account: FakeAccount) -> None:
    account.lake = LakeFormationSettings([ROLE], databases_open=False)
    ((status, sentence),) = one(account, project(), "lake formation")
    assert (status, sentence[:45]) == ("warning", "Lake Formation closes new databases here, and")


def test_a_deployment_may_make_who_deploys_an_administrator(account: FakeAccount, tmp_path: Path) -> None:
    settings = (
        "  Settings:\n    Type: AWS::LakeFormation::DataLakeSettings\n    Properties:\n"
        "      Admins: [{DataLakePrincipalIdentifier: %s}]\n"
    )
    deployment = made_of(tmp_path, settings % ROLE)
    assert one(account, deployment, "lake formation") == [
        ("ok", f"The deployment lets {ROLE} administer Lake Formation.")
    ]
    deployment = made_of(tmp_path, settings % "arn:aws:iam::1:role/other")
    assert one(account, deployment, "lake formation") == [
        (
            "problem",
            f"{ROLE} grants in the deployment, which lets arn:aws:iam::1:role/other administer Lake Formation.",
        )
    ]


def test_who_grants_in_the_deployment_must_administer_lake_formation(
    account: FakeAccount, tmp_path: Path
) -> None:
    deployment = made_of(tmp_path, "  Tag: {Type: AWS::LakeFormation::Tag}")
    ((status, sentence),) = one(account, deployment, "lake formation")
    assert (status, sentence) == (
        "problem",
        f"{ROLE} grants in the deployment and is no administrator of Lake Formation (nobody).",
    )
    account.lake = LakeFormationSettings([ROLE], databases_open=False)
    assert one(account, deployment, "lake formation") == [("ok", f"{ROLE} administers Lake Formation.")]


def test_catalog_encryption_is_one_for_the_account(account: FakeAccount, tmp_path: Path) -> None:
    account.catalog = "SSE-KMS"
    assert one(account, project(), "catalog encryption") == [
        ("warning", "The account's catalog is encrypted (SSE-KMS).")
    ]
    deployment = made_of(tmp_path, "  Settings: {Type: AWS::Glue::DataCatalogEncryptionSettings}")
    assert one(account, deployment, "catalog encryption") == [
        ("warning", "The deployment replaces the catalog's encryption, now SSE-KMS.")
    ]


# --- this machine ---------------------------------------------------------------------------------


def versions(**printed: str) -> Callable[[Sequence[str]], str | None]:
    return lambda command: printed.get(Path(command[0]).name)


def test_tools_are_told_with_their_versions() -> None:
    found = list(
        check_tools("/x/sam", versions(sam="SAM CLI, version 1.170.0", java='openjdk version "17.0.9" 2023'))
    )
    assert [(f.check, f.status) for f in found] == [("python", "ok"), ("sam", "ok"), ("java", "ok")]
    assert [f.found for f in found[1:]] == ["SAM CLI 1.170.0.", "Java 17.0.9."]


def test_a_missing_sam_cli_is_a_problem_and_another_java_a_warning() -> None:
    found = list(check_tools(None, versions(java='openjdk version "21.0.1"')))
    assert [(f.check, f.status, f.found) for f in found[1:]] == [
        ("sam", "problem", "There is no SAM CLI that runs."),
        ("java", "warning", "Java 21.0.1 instead of 17."),
    ]
    broken = list(check_tools("/x/sam", versions()))
    assert [(f.check, f.status) for f in broken[1:]] == [("sam", "problem"), ("java", "warning")]


# --- the questions to AWS -------------------------------------------------------------------------


class Client:
    """A client whose operations are the given functions."""

    def __init__(self, **operations: Callable[..., Any]) -> None:
        self.__dict__.update(operations)


def of(**clients: Any) -> Account:
    named = {name.replace("_", "-"): client for name, client in clients.items()}
    return Account(FakeConnection(**named))  # type: ignore[arg-type] # a duck


def refuse(code: str, status: int = 400) -> Callable[..., Any]:
    def operation(**_: Any) -> Any:
        error = refused("Operation", code)
        error.response["ResponseMetadata"] = {"HTTPStatusCode": status}  # type: ignore[typeddict-item] # enough
        raise error

    return operation


def test_a_stack_that_is_not_there_has_no_status() -> None:
    stacks = {"Stacks": [{"StackStatus": "CREATE_COMPLETE"}]}
    assert (
        of(cloudformation=Client(describe_stacks=lambda **_: stacks)).stack_status("a") == "CREATE_COMPLETE"
    )
    assert of(cloudformation=Client(describe_stacks=refuse("ValidationError"))).stack_status("a") is None
    with pytest.raises(NotAnswered, match="cloudformation:DescribeStacks answered AccessDenied"):
        of(cloudformation=Client(describe_stacks=refuse("AccessDenied"))).stack_status("a")


def test_a_bucket_is_free_own_or_somebody_elses() -> None:
    states: dict[str, Callable[..., Any]] = {
        "own": lambda **_: {},
        "free": refuse("404", 404),
        "foreign": refuse("403", 403),
    }
    for state, operation in states.items():
        assert of(s3=Client(head_bucket=operation)).bucket("b") == state
    with pytest.raises(NotAnswered):
        of(s3=Client(head_bucket=refuse("400", 400))).bucket("b")


def test_other_names_are_free_where_their_service_does_not_find_them() -> None:
    missing = of(
        dynamodb=Client(describe_table=refuse("ResourceNotFoundException")),
        glue=Client(get_database=refuse("EntityNotFoundException")),
        iam=Client(get_role=refuse("NoSuchEntity")),
        kms=Client(describe_key=refuse("NotFoundException")),
        logs=Client(describe_log_groups=lambda **_: {"logGroups": [{"logGroupName": "/a/longer"}]}),
    )
    there = of(
        dynamodb=Client(describe_table=lambda **_: {}),
        glue=Client(get_database=lambda **_: {}),
        iam=Client(get_role=lambda **_: {}),
        kms=Client(describe_key=lambda **_: {}),
        logs=Client(describe_log_groups=lambda **_: {"logGroups": [{"logGroupName": "/a"}]}),
    )
    for ask in ("table", "database", "key_alias", "role", "log_group"):
        assert getattr(missing, ask)("/a") == "free", ask
        assert getattr(there, ask)("/a") == "own", ask
    with pytest.raises(NotAnswered, match="glue:GetDatabase answered AccessDeniedException"):
        of(glue=Client(get_database=refuse("AccessDeniedException"))).database("a")


def test_decisions_and_their_missing_context() -> None:
    def simulate(PolicySourceArn: str, ActionNames: list[str], ResourceArns: list[str]) -> Any:  # noqa: N803
        assert (PolicySourceArn, ResourceArns) == (ROLE, ["*"])
        results = {
            "a:Allowed": {"EvalDecision": "allowed"},
            "a:Denied": {"EvalDecision": "implicitDeny", "MissingContextValues": []},
            "a:Unsure": {"EvalDecision": "implicitDeny", "MissingContextValues": ["aws:RequestTag/x"]},
        }
        return {"EvaluationResults": [results[ActionNames[0]]]}

    account = of(iam=Client(simulate_principal_policy=simulate))
    assert account.decide(ROLE, "a:Allowed", "*") == Decision(True, [])
    assert account.decide(ROLE, "a:Denied", "*") == Decision(False, [])
    assert account.decide(ROLE, "a:Unsure", "*") == Decision(False, ["aws:RequestTag/x"])


def test_a_quota_that_applies_goes_before_the_default() -> None:
    pages: dict[str, list[dict[str, Any]]] = {
        "list_aws_default_service_quotas": [
            {"Quotas": [{"QuotaName": "a", "Value": 1}, {"QuotaName": "b", "Value": 2}]}
        ],
        "list_service_quotas": [{"Quotas": []}, {"Quotas": [{"QuotaName": "a", "Value": 5}]}],
    }
    client = Client(get_paginator=lambda operation: Pages(lambda **_: pages[operation]))
    assert of(service_quotas=client).quotas("glue") == {"a": 5.0, "b": 2.0}


def test_regions_and_lake_formation_are_read_as_aws_says_them() -> None:
    regions = {"Regions": [{"RegionName": "me-south-1", "OptInStatus": "not-opted-in"}]}
    assert not of(ec2=Client(describe_regions=lambda **_: regions)).region_enabled("me-south-1")
    assert not of(ec2=Client(describe_regions=refuse("InvalidParameterValue"))).region_enabled("mars-1")
    regions["Regions"][0]["OptInStatus"] = "opted-in"
    assert of(ec2=Client(describe_regions=lambda **_: regions)).region_enabled("me-south-1")
    everybody = {
        "Principal": {"DataLakePrincipalIdentifier": "IAM_ALLOWED_PRINCIPALS"},
        "Permissions": ["ALL"],
    }
    settings: dict[str, Any] = {"DataLakeAdmins": [{"DataLakePrincipalIdentifier": ROLE}]}
    account = of(lakeformation=Client(get_data_lake_settings=lambda: {"DataLakeSettings": settings}))
    assert account.lake_formation() == LakeFormationSettings([ROLE], databases_open=False)
    settings["CreateDatabaseDefaultPermissions"] = [everybody]
    assert account.lake_formation() == LakeFormationSettings([ROLE], databases_open=True)


def test_a_service_that_is_not_there_gives_no_answer() -> None:
    def unreachable(**_: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="https://nowhere")

    with pytest.raises(NotAnswered, match=r"sqs gave no answer \(EndpointConnectionError\)"):
        of(sqs=Client(list_queues=unreachable)).probe("sqs")
    with pytest.raises(NotAnswered, match=r"lambda:GetAccountSettings gave no answer \(KeyError\)"):
        of(**{"lambda": Client(get_account_settings=dict)}).concurrent_functions()


def test_every_probe_is_an_operation_with_its_parameters(boto_session: Any) -> None:
    for service, (operation, arguments) in PROBES.items():
        client = boto_session.client(service)
        model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation])
        members = model.input_shape.members if model.input_shape else {}
        assert set(arguments) <= set(members), service


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], account: FakeAccount
) -> Callable[..., tuple[int, str, str]]:
    """Runs ``doctor``, or what is named, on the fake account; returns exit code, stdout, stderr."""
    monkeypatch.setattr("lakehouse_cli.doctor.account.Account", lambda connection: account)
    for module in (doctor, parameters):
        monkeypatch.setattr(module, "Connection", lambda: None)
    tools = [Finding("sam", "ok", "SAM CLI 1.170.0.")]
    monkeypatch.setattr("lakehouse_cli.doctor.tools.check_tools", lambda sam: iter(tools))
    account.caller = lambda: Caller(ACCOUNT, SESSION)  # type: ignore[attr-defined] # asked by the command alone

    def call(*arguments: str, name: str = "doctor") -> tuple[int, str, str]:
        code = main([name, *arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


Command = Callable[..., tuple[int, str, str]]


def test_the_command_passes_where_all_is_well(command: Command) -> None:
    code, out, err = command()
    assert code == 0
    assert out.startswith("ok         sam: SAM CLI 1.170.0.\n")
    assert err.startswith("0 problems, 0 warnings, 0 not checked, ")


def test_warnings_and_silence_do_not_stop_a_deployment_and_problems_do(
    command: Command, account: FakeAccount
) -> None:
    account.functions = 10
    account.silent = {"lakeformation:GetDataLakeSettings"}
    code, out, _ = command()
    assert code == 0
    assert (
        "warning    function quota: 10 functions may run at once.\n           > New accounts start low."
        in out
    )
    assert "unchecked  lake formation: Could not be checked: lakeformation:GetDataLakeSettings" in out
    account.stacks = {"lake-prod": "ROLLBACK_COMPLETE"}
    code, out, err = command("--env", "prod")
    assert code == 1
    assert "problem    stack: The stack lake-prod is ROLLBACK_COMPLETE.\n" in out
    assert "1 problems, 1 warnings, 1 not checked" in err
    assert command()[0] == 0


def test_the_commands_json(command: Command, account: FakeAccount) -> None:
    account.denied = {"kms:CreateKey": []}
    code, out, _ = command("--json")
    document = json.loads(out)
    assert code == 1
    assert {k: v for k, v in document.items() if k not in {"checks", "counts"}} == {
        "environment": "dev",
        "stack": "lake-dev",
        "region": "us-east-1",
        "account": ACCOUNT,
        "principal_arn": ROLE,
    }
    assert document["counts"]["problem"] == 1
    assert {
        "check": "permissions",
        "status": "problem",
        "found": "Not allowed: kms:CreateKey.",
        "do": "Deploy as somebody who may, or have it allowed.",
    } in document["checks"]


def test_without_credentials_nothing_is_checked(command: Command, account: FakeAccount) -> None:
    def nobody() -> Caller:
        raise NoCredentialsError

    account.caller = nobody  # type: ignore[attr-defined] # asked by the command alone
    code, out, err = command()
    assert (code, out) == (5, "")
    assert "There are no AWS credentials" in err


# --- the parameters of a deployment ----------------------------------------------------------------


def test_who_deploys_administers_the_data_lake(command: Command) -> None:
    code, out, _ = command("--env", "prod", name="parameters")
    assert code == 0
    assert "Environment=prod\n" in out
    assert out.endswith(f"\nDataLakeAdministratorArn={ROLE}\n")
    _, out, _ = command()
    assert f"ok         lake formation: The deployment lets {ROLE} administer Lake Formation.\n" in out


@pytest.mark.parametrize("named", ["", "arn:aws:iam::123456789012:role/other"])
def test_a_named_administrator_stands_and_so_does_none(command: Command, tmp_path: Path, named: str) -> None:
    configure(tmp_path, f"DataLakeAdministratorArn={named}")
    assert command("--project", str(tmp_path), name="parameters")[:2] == (
        0,
        f"DataLakeAdministratorArn={named}\n",
    )


def test_a_parameter_with_a_space_is_refused(command: Command, tmp_path: Path) -> None:
    configure(tmp_path, "FailureEmail=a b")
    code, _, err = command("--project", str(tmp_path), name="parameters")
    assert code == 2
    assert "FailureEmail of dev holds a space" in err


def test_an_unknown_deployer_is_not_left_out_in_silence(command: Command, account: FakeAccount) -> None:
    account.silent = {"iam:GetRole"}
    code, out, err = command(name="parameters")
    assert (code, out) == (1, "")
    assert "Which role deploys could not be asked" in err


def configure(root: Path, parameter: str) -> None:
    (root / "samconfig.toml").write_text(
        f'[default.deploy.parameters]\nstack_name = "lake-dev"\nparameter_overrides = ["{parameter}"]\n'
    )
