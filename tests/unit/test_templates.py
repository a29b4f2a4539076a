"""Templates as one environment has them: parameters, conditions, intrinsic functions, nested templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lakehouse_cli.errors import TemplateError, UsageError
from lakehouse_cli.templates import Place, Template, read_environment, read_template

PLACE = Place("111122223333", "eu-west-1")

ROOT_TEMPLATE = """
Parameters:
  Environment: {Type: String}
  Minutes: {Type: Number, Default: 5}
  Zones: {Type: CommaDelimitedList, Default: 'a, b'}
Mappings:
  Sizes:
    dev: {Memory: 512}
Conditions:
  IsProd: !Equals [!Ref Environment, prod]
  IsSmall: !Not [!Condition IsProd]
  IsEither: !Or [!Condition IsProd, !Equals [!Ref Minutes, 5]]
  IsBoth: !And [!Condition IsProd, !Condition IsSmall]
Globals:
  Function: {MemorySize: 256, Timeout: 3}
Resources:
  Everywhere:
    Type: AWS::Serverless::Function
    Properties:
      Timeout: 60
      Name: !Sub ${Environment}-${AWS::AccountId}-${AWS::Region}-${!literal}
      Joined: !Join ['-', [x, !Ref Minutes, !Select [1, !Ref Zones]]]
      Split: !Split [',', !Sub 'a,${Environment}']
      Own: !Sub ['${A}/${Topic.Arn}', {A: !FindInMap [Sizes, dev, Memory]}]
      Topic: !Ref Topic
      Arn: !GetAtt Topic.Arn
      Version: !Ref Everywhere.Version
      Choice: !If [IsProd, big, !If [IsEither, middle, small]]
      Absent: !If [IsBoth, there, !Ref AWS::NoValue]
      Items: [1, !If [IsProd, 2, !Ref AWS::NoValue], 3]
      Zones: !GetAZs ''
  Topic:
    Type: AWS::SNS::Topic
  Prod:
    Type: AWS::SNS::Topic
    Condition: IsProd
  Nested:
    Type: AWS::Serverless::Application
    Properties:
      Location: nested/storage.yaml
      Parameters: {Name: !Sub '${Environment}-data', TopicArn: !Ref Topic}
  Replicas:
    Type: AWS::CloudFormation::StackSet
    Condition: IsProd
    Properties:
      TemplateURL: nested/storage.yaml
      Parameters:
        - {ParameterKey: Name, ParameterValue: replica}
      StackInstancesGroup:
        - Regions: [eu-central-1, us-west-2]
          DeploymentTargets: {Accounts: [!Ref AWS::AccountId]}
"""

NESTED_TEMPLATE = """
Parameters:
  Name: {Type: String}
  TopicArn: {Type: String, Default: ''}
Conditions:
  HasTopic: !Not [!Equals [!Ref TopicArn, '']]
Resources:
  Bucket:
    Type: AWS::S3::Bucket
    Properties: {BucketName: !Sub '${Name}-${AWS::Region}'}
  Policy:
    Type: AWS::SNS::TopicPolicy
    Condition: HasTopic
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "nested").mkdir()
    (tmp_path / "template.yaml").write_text(ROOT_TEMPLATE)
    (tmp_path / "nested" / "storage.yaml").write_text(NESTED_TEMPLATE)
    (tmp_path / "samconfig.toml").write_text(
        '[default.deploy.parameters]\nstack_name = "lake-dev"\nparameter_overrides = ["Environment=dev"]\n'
        '[prod.deploy.parameters]\nstack_name = "lake-prod"\n'
        'parameter_overrides = ["Environment=prod", "Minutes=1"]\n'
    )
    return tmp_path


def load(project: Path, name: str) -> Template:
    return read_template(project, read_environment(project, name), PLACE)


def properties(project: Path, environment: str, *names: str) -> dict[str, Any]:
    found = load(project, environment).resource("Everywhere")
    assert found is not None
    return {name: found.get(name) for name in names}


def template(tmp_path: Path, text: str) -> Template:
    (tmp_path / "one.yaml").write_text(text)
    return Template.read(tmp_path / "one.yaml", {}, PLACE)


def test_an_environment_is_its_table_of_samconfig(project: Path) -> None:
    dev, prod = (read_environment(project, name) for name in ("dev", "prod"))
    assert (dev.stack, dev.config_env, dev.parameters) == ("lake-dev", "default", {"Environment": "dev"})
    assert (prod.stack, prod.config_env) == ("lake-prod", "prod")
    assert prod.parameters == {"Environment": "prod", "Minutes": "1"}
    with pytest.raises(UsageError, match="no environment 'test'"):
        read_environment(project, "test")


def test_intrinsic_functions_give_what_cloudformation_gives(project: Path) -> None:
    names = (
        "Name",
        "Joined",
        "Split",
        "Own",
        "Topic",
        "Arn",
        "Version",
        "Choice",
        "Absent",
        "Items",
        "Zones",
    )
    assert properties(project, "dev", *names) == {
        "Name": "dev-111122223333-eu-west-1-${literal}",
        "Joined": "x-5-b",
        "Split": ["a", "dev"],
        "Own": "512/${Topic.Arn}",
        "Topic": "${Topic}",
        "Arn": "${Topic.Arn}",
        "Version": "${Everywhere.Version}",
        "Choice": "middle",
        "Absent": None,
        "Items": [1, 3],
        "Zones": ["eu-west-1a", "eu-west-1b", "eu-west-1c"],
    }
    assert properties(project, "prod", "Choice", "Items") == {"Choice": "big", "Items": [1, 2, 3]}


def test_globals_count_where_a_function_says_nothing(project: Path) -> None:
    assert properties(project, "dev", "MemorySize", "Timeout") == {"MemorySize": 256, "Timeout": 60}
    topic = load(project, "dev").resource("Topic")
    assert topic is not None
    assert topic.get("MemorySize") is None


def test_conditions_decide_and_nested_templates_are_followed(project: Path) -> None:
    assert [resource.path for resource in load(project, "dev").resources()] == [
        "Everywhere",
        "Topic",
        "Nested",
        "Nested/Bucket",
        "Nested/Policy",
    ]
    prod = {resource.path: resource for resource in load(project, "prod").resources()}
    assert "Prod" in prod
    assert prod["Nested/Bucket"].get("BucketName") == "prod-data-eu-west-1"


def test_a_stack_set_counts_in_every_region(project: Path) -> None:
    replicas = [r for r in load(project, "prod").resources() if r.path.startswith("Replicas@")]
    assert {r.path: r.get("BucketName") for r in replicas} == {
        "Replicas@eu-central-1/Bucket": "replica-eu-central-1",
        "Replicas@us-west-2/Bucket": "replica-us-west-2",
    }


def test_a_reference_leads_to_its_resource(project: Path) -> None:
    found = load(project, "dev").resource("Everywhere")
    assert found is not None
    for name in ("Topic", "Arn"):
        target = found.target(found.get(name))
        assert target is not None
        assert target.path == "Topic"
    assert found.target("arn:aws:sns:eu-west-1:111122223333:other") is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Resources: {A: {Type: T, Properties: {P: !Base64 x}}}", "uses Fn::Base64"),
        ("Resources: {A: {Type: T, Properties: {P: !Ref B}}}", "refers to B"),
        ("Resources: {A: {Type: T, Properties: {P: !If [Gone, 1, 2]}}}", "no condition Gone"),
        ("Resources: {A: {Type: T, Properties: {P: !FindInMap [M, a, b]}}}", r"no a\.b in its mapping M"),
        ("Parameters: {P: {Type: String}}\nResources: {}", "needs a value for P"),
        (
            "Conditions: {C: !Equals [!Ref A, x]}\nResources: {A: {Type: T, Properties: {P: !If [C, 1, 2]}}}",
            "only a deployment knows",
        ),
        (
            "Conditions: {C: {'Fn::Contains': [a]}}\nResources: {A: {Type: T, Properties: {P: !If [C, 1, 2]}}}",
            "condition with Fn::Contains",
        ),
    ],
)
def test_what_cannot_be_resolved_is_an_error(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(TemplateError, match=sentence):
        [resource.get("P") for resource in template(tmp_path, text).resources()]


def test_a_parameter_that_the_template_lacks_is_an_error(project: Path) -> None:
    with pytest.raises(TemplateError, match=r"template\.yaml has no parameter Other"):
        Template.read(project / "template.yaml", {"Environment": "dev", "Other": "1"}, PLACE)


def test_a_nested_template_must_be_a_file_here(tmp_path: Path) -> None:
    body = "Resources: {A: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: '%s'}}}"
    for address, sentence in {
        "https://x/y.yaml": "no file of this project",
        "gone.yaml": "no template",
    }.items():
        with pytest.raises(TemplateError, match=sentence):
            list(template(tmp_path, body % address).resources())


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_every_property_of_the_project_resolves(environment: str) -> None:
    root = Path(__file__).resolve().parents[2]
    resources = list(load(root, environment).resources())
    for resource in resources:
        for name in resource.body.get("Properties", {}):
            resource.get(name)
    names = {resource.path: resource.get("BucketName") for resource in resources}
    assert names["Storage/BronzeBucket"] == f"lake-{environment}-bronze-111122223333-eu-west-1"
