"""The private network: what only AWS would refuse, and that a public lake has and pays nothing of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from lakehouse_cli.templates import Place, read_environment, read_template
from tests.infra.templates import ROOT, Resource, listed, resource, resources, statements, template, text

ENDPOINTS = resources("AWS::EC2::VPCEndpoint")
FUNCTIONS = resources("AWS::Serverless::Function")
JOBS = resources("AWS::Glue::Job")
CODE = ("layers/lakehouse/lakehouse", "functions", "glue")
SERVICES = {"stepfunctions": "states"}
"""boto3's word for a service, where its endpoint has another."""
UNCALLED = {"logs", "sqs", "ec2"}
"""Used for functions and jobs by Lambda and Glue, from their own networks."""
OUTSIDE = {
    "AssetsFunctionRole",
    "BronzeCrawlerRole",
    "FlowLogRole",
    "ReplicationRole",
    "ReplicaAdministrationRole",
    "ScheduledCrawlerRole",
    "ScheduledIntakeScheduleRole",
}
OUTSIDE |= {"ReplicaExecutionPolicy"}
# Of the assets function alone, which is outside.
OUTSIDE |= {"RegovernTablesPolicy"}


def service(endpoint: Resource) -> str:
    return text(endpoint.properties["ServiceName"]).rpartition(".")[2]


def test_there_is_an_endpoint_for_each_service_that_code_in_the_network_calls() -> None:
    files = (path for folder in CODE for path in (ROOT / folder).rglob("*.py"))
    called = {
        name for path in files for name in re.findall(r"\.client\(\"([a-z0-9-]+)\"\)", path.read_text())
    }
    # Glue sends its jobs' metrics from within them, and encrypts their bookmarks there.
    by_glue = {"monitoring", "kms"}
    assert {service(e) for e in ENDPOINTS} == {SERVICES.get(name, name) for name in called} | by_glue


def in_network() -> Iterator[dict[str, Any]]:
    """The statements of the roles of functions and jobs in the network."""
    for owner, statement in statements():
        of_role = owner.type in {"AWS::IAM::Role", "AWS::IAM::ManagedPolicy"} and "Principal" not in statement
        inside = of_role and owner.name not in OUTSIDE and "StateMachine" not in owner.name
        inside = (
            inside and owner.template != "infrastructure/governance.yaml"
        )  # people, and Lake Formation itself
        if inside and statement["Effect"] == "Allow":
            yield statement


def test_an_endpoint_admits_what_the_roles_in_the_network_may_and_nothing_else() -> None:
    """A permission that an endpoint lacks is refused on AWS only, and nothing there says by whom."""
    granted = {action for statement in in_network() for action in listed(statement["Action"])}
    admitted = {a for e in ENDPOINTS for s in policy(e).values() for a in listed(s["Action"])}
    assert {action for action in granted if action.partition(":")[0] not in UNCALLED} == admitted


def policy(endpoint: Resource) -> dict[str, dict[str, Any]]:
    return {s["Sid"]: s for s in endpoint.properties["PolicyDocument"]["Statement"]}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
def test_an_endpoint_serves_this_account_only(endpoint: Resource) -> None:
    for sid, statement in policy(endpoint).items():
        assert statement["Principal"] == "*"
        if sid != "AnswerCustomResources":  # signed by CloudFormation, whose account is AWS's
            assert statement["Condition"] == {
                "StringEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}
            }


def test_the_bucket_endpoint_admits_artifacts_and_answers_of_custom_resources() -> None:
    admitted = policy(resource("BucketsEndpoint"))
    assert text(admitted["ReadArtifacts"]["Resource"]).endswith(
        ":::aws-sam-cli-managed-default-samclisourcebucket-*/*"
    )
    assert text(admitted["AnswerCustomResources"]["Resource"]).endswith(
        ":::cloudformation-custom-resource-response-*/*"
    )
    places = {text(place).partition(":::")[2] for place in admitted["UseLakeBuckets"]["Resource"]}
    layers = ("Bronze", "Silver", "Gold", "Operations")
    assert places == {f"${{{layer}BucketName}}{end}" for layer in layers for end in ("", "/*")}


def test_no_way_leads_to_the_internet() -> None:
    kinds = (
        "InternetGateway",
        "NatGateway",
        "Route",
        "EgressOnlyInternetGateway",
        "EIP",
        "VPCPeeringConnection",
    )
    assert resources(*(f"AWS::EC2::{kind}" for kind in kinds)) == []
    for subnet in resources("AWS::EC2::Subnet"):
        assert subnet.properties["MapPublicIpOnLaunch"] is False, subnet


def test_every_subnet_has_the_routes_to_buckets_and_tables() -> None:
    tables = {table.name for table in resources("AWS::EC2::RouteTable")}
    associations = resources("AWS::EC2::SubnetRouteTableAssociation")
    assert {a.properties["SubnetId"]["Ref"] for a in associations} == {"FirstSubnet", "SecondSubnet"}
    assert {a.properties["RouteTableId"]["Ref"] for a in associations} == tables
    gateways = [e for e in ENDPOINTS if e.properties["VpcEndpointType"] == "Gateway"]
    assert sorted(map(service, gateways)) == ["dynamodb", "s3"]
    for endpoint in gateways:
        assert {table["Ref"] for table in endpoint.properties["RouteTableIds"]} == tables


def test_the_subnets_lie_in_two_zones() -> None:
    zones = [
        subnet.properties["AvailabilityZone"]["Fn::Select"][0] for subnet in resources("AWS::EC2::Subnet")
    ]
    assert sorted(map(int, zones)) == [0, 1]


def test_an_interface_endpoint_answers_in_both_zones_under_the_services_own_name() -> None:
    for endpoint in ENDPOINTS:
        if endpoint.properties["VpcEndpointType"] == "Interface":
            assert [s["Ref"] for s in endpoint.properties["SubnetIds"]] == ["FirstSubnet", "SecondSubnet"]
            assert endpoint.properties["PrivateDnsEnabled"] is True
            assert endpoint.properties["SecurityGroupIds"] == [{"Ref": "EndpointSecurityGroup"}]
    vpc = resource("LakeVpc").properties
    assert (vpc["EnableDnsSupport"], vpc["EnableDnsHostnames"]) == (True, True)


def test_a_jobs_workers_admit_each_other_on_all_ports_by_rules_of_their_own() -> None:
    for kind, other in (("Ingress", "SourceSecurityGroupId"), ("Egress", "DestinationSecurityGroupId")):
        rule = resource(f"JobSecurityGroup{kind}").properties
        assert rule["GroupId"] == rule[other] == {"Ref": "JobSecurityGroup"}
        assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 0, 65535)


def test_nothing_is_admitted_from_anywhere() -> None:
    for group in resources("AWS::EC2::SecurityGroup"):
        for rule in group.properties.get("SecurityGroupIngress", []):
            assert "CidrIp" not in rule, group
            assert (rule["FromPort"], rule["ToPort"]) == (443, 443), group


def test_every_function_is_in_the_network_but_the_custom_resource() -> None:
    everywhere = template("template.yaml")["Globals"]["Function"]["VpcConfig"]["Fn::If"]
    assert everywhere[0] == "HasPrivateNetwork"
    assert set(everywhere[1]) == {"SubnetIds", "SecurityGroupIds"}
    assert everywhere[2] == {"Ref": "AWS::NoValue"}
    own = {f.name: f.properties["VpcConfig"] for f in FUNCTIONS if "VpcConfig" in f.properties}
    assert own == {"AssetsFunction": {"Ref": "AWS::NoValue"}}


def test_who_is_in_the_network_may_join_it_and_nobody_else_may() -> None:
    for kind, inside in (("Function", FUNCTIONS), ("Job", JOBS)):
        join = {"Fn::GetAtt": ["Network", f"Outputs.{kind}PolicyArn"]}
        attached = {"Fn::If": ["HasPrivateNetwork", join, {"Ref": "AWS::NoValue"}]}
        roles = {
            r.name
            for r in resources("AWS::IAM::Role")
            if attached in r.properties.get("ManagedPolicyArns", [])
        }
        assert roles == {f"{each.name}Role" for each in inside} - OUTSIDE


@pytest.mark.parametrize("job", JOBS, ids=str)
def test_a_job_takes_the_network_of_either_zone_and_not_glues_proxy(job: Resource) -> None:
    condition, private, public = job.properties["Connections"]["Fn::If"]
    assert (condition, public) == ("HasPrivateNetwork", {"Ref": "AWS::NoValue"})
    names = [text(name) for name in private["Connections"]]
    assert names == ["${Network.Outputs.FirstConnectionName}", "${Network.Outputs.SecondConnectionName}"]
    proxy = job.properties["DefaultArguments"]["--disable-proxy-v2"]
    assert proxy == {"Fn::If": ["HasPrivateNetwork", "true", {"Ref": "AWS::NoValue"}]}


def test_a_connection_lies_in_the_zone_of_its_subnet() -> None:
    for number in ("First", "Second"):
        given = resource(f"{number}Connection").properties["ConnectionInput"]
        assert given["ConnectionType"] == "NETWORK"
        assert given["PhysicalConnectionRequirements"] == {
            "AvailabilityZone": {"Fn::GetAtt": [f"{number}Subnet", "AvailabilityZone"]},
            "SubnetId": {"Ref": f"{number}Subnet"},
            "SecurityGroupIdList": [{"Ref": "JobSecurityGroup"}],
        }


def test_the_widest_block_a_lake_may_have_fits_and_so_does_the_narrowest() -> None:
    for path in ("template.yaml", "infrastructure/network.yaml"):
        pattern = template(path)["Parameters"]["VpcCidr"]["AllowedPattern"]
        for block, fits in (
            ("10.0.0.0/16", True),
            ("10.64.0.0/20", True),
            ("10.0.0.0/24", False),
            ("8.8.0.0/16", False),
        ):
            assert bool(re.fullmatch(pattern, block)) is fits, (path, block)


@pytest.mark.parametrize(("environment", "there"), [("dev", False), ("prod", True)])
def test_a_public_lake_has_nothing_of_it(environment: str, there: bool) -> None:
    found = list(read_template(ROOT, read_environment(ROOT, environment), Place()).resources())
    assert any(each.type.startswith("AWS::EC2::") for each in found) is there
    inside = {r.name for r in found if r.type == "AWS::Serverless::Function" and r.get("VpcConfig")}
    assert inside == ({f.name for f in FUNCTIONS} - {"AssetsFunction"} if there else set())
