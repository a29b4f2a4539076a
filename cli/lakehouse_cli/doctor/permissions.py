"""Which actions a deployment needs, by resource type, and whether the caller has them.

One action stands for each type: the one that makes it. A policy that allows to make a thing and forbids to
tag or delete it shows only at the deployment.
"""

from __future__ import annotations

from collections.abc import Iterable

from lakehouse_cli.templates import Resource

STACK_ACTIONS = {
    "cloudformation:CreateChangeSet": "arn:{partition}:cloudformation:{region}:{account}:stack/{stack}/*",
    "cloudformation:ExecuteChangeSet": "arn:{partition}:cloudformation:{region}:{account}:stack/{stack}/*",
    "iam:PassRole": "arn:{partition}:iam::{account}:role/{stack}-*",
}
"""What every deployment needs beside its resources."""

_NAMED = "arn:{partition}:{service}:{region}:{account}:"
CREATING: dict[str, tuple[str, str, str]] = {
    # type: action, resource ("*" where the action knows none, or no name is known), the property that names it
    "AWS::Athena::NamedQuery": ("athena:CreateNamedQuery", "*", ""),
    "AWS::Athena::WorkGroup": ("athena:CreateWorkGroup", _NAMED + "workgroup/{name}", "Name"),
    "AWS::Budgets::Budget": ("budgets:ModifyBudget", "*", ""),
    "AWS::CloudFormation::CustomResource": ("lambda:InvokeFunction", _NAMED + "function:{stem}-*", ""),
    "AWS::CloudFormation::Stack": ("cloudformation:CreateStack", _NAMED + "stack/{stack}-*/*", ""),
    "AWS::CloudFormation::StackSet": ("cloudformation:CreateStackSet", "*", ""),
    "AWS::CloudTrail::Trail": ("cloudtrail:CreateTrail", "*", ""),
    "AWS::CloudWatch::Alarm": ("cloudwatch:PutMetricAlarm", _NAMED + "alarm:{stem}-*", ""),
    "AWS::CloudWatch::CompositeAlarm": ("cloudwatch:PutCompositeAlarm", _NAMED + "alarm:{stem}-*", ""),
    "AWS::CloudWatch::Dashboard": ("cloudwatch:PutDashboard", "*", ""),
    "AWS::DynamoDB::GlobalTable": ("dynamodb:CreateTable", _NAMED + "table/{name}", "TableName"),
    "AWS::EC2::FlowLog": ("ec2:CreateFlowLogs", "*", ""),
    "AWS::EC2::RouteTable": ("ec2:CreateRouteTable", "*", ""),
    "AWS::EC2::SecurityGroup": ("ec2:CreateSecurityGroup", "*", ""),
    "AWS::EC2::SecurityGroupEgress": ("ec2:AuthorizeSecurityGroupEgress", "*", ""),
    "AWS::EC2::SecurityGroupIngress": ("ec2:AuthorizeSecurityGroupIngress", "*", ""),
    "AWS::EC2::Subnet": ("ec2:CreateSubnet", "*", ""),
    "AWS::EC2::SubnetRouteTableAssociation": ("ec2:AssociateRouteTable", "*", ""),
    "AWS::EC2::VPC": ("ec2:CreateVpc", "*", ""),
    "AWS::EC2::VPCEndpoint": ("ec2:CreateVpcEndpoint", "*", ""),
    "AWS::Events::Rule": ("events:PutRule", _NAMED + "rule/{name}", "Name"),
    "AWS::Glue::Connection": ("glue:CreateConnection", _NAMED + "catalog", ""),
    "AWS::Glue::Crawler": ("glue:CreateCrawler", _NAMED + "crawler/{name}", "Name"),
    "AWS::Glue::DataCatalogEncryptionSettings": ("glue:PutDataCatalogEncryptionSettings", "*", ""),
    "AWS::Glue::Database": ("glue:CreateDatabase", _NAMED + "catalog", ""),
    "AWS::Glue::Job": ("glue:CreateJob", _NAMED + "job/{name}", "Name"),
    "AWS::Glue::SecurityConfiguration": ("glue:CreateSecurityConfiguration", "*", ""),
    "AWS::Glue::Table": ("glue:CreateTable", _NAMED + "catalog", ""),
    "AWS::Glue::Trigger": ("glue:CreateTrigger", _NAMED + "trigger/{name}", "Name"),
    "AWS::Glue::Workflow": ("glue:CreateWorkflow", _NAMED + "workflow/{name}", "Name"),
    "AWS::IAM::ManagedPolicy": ("iam:CreatePolicy", "arn:{partition}:iam::{account}:policy/{stack}-*", ""),
    "AWS::IAM::Policy": ("iam:PutRolePolicy", "arn:{partition}:iam::{account}:role/{stack}-*", ""),
    "AWS::IAM::Role": ("iam:CreateRole", "arn:{partition}:iam::{account}:role/{stack}-*", ""),
    "AWS::KMS::Alias": ("kms:CreateAlias", _NAMED + "{name}", "AliasName"),
    "AWS::KMS::Key": ("kms:CreateKey", "*", ""),
    "AWS::KMS::ReplicaKey": ("kms:ReplicateKey", "*", ""),
    "AWS::LakeFormation::DataCellsFilter": ("lakeformation:CreateDataCellsFilter", "*", ""),
    "AWS::LakeFormation::DataLakeSettings": ("lakeformation:PutDataLakeSettings", "*", ""),
    "AWS::LakeFormation::PrincipalPermissions": ("lakeformation:GrantPermissions", "*", ""),
    "AWS::LakeFormation::Resource": ("lakeformation:RegisterResource", "*", ""),
    "AWS::LakeFormation::Tag": ("lakeformation:CreateLFTag", "*", ""),
    "AWS::LakeFormation::TagAssociation": ("lakeformation:AddLFTagsToResource", "*", ""),
    "AWS::Lambda::EventSourceMapping": ("lambda:CreateEventSourceMapping", "*", ""),
    "AWS::Lambda::Permission": ("lambda:AddPermission", _NAMED + "function:{stem}-*", ""),
    "AWS::Logs::LogGroup": ("logs:CreateLogGroup", _NAMED + "log-group:{name}", "LogGroupName"),
    "AWS::Logs::MetricFilter": ("logs:PutMetricFilter", "*", ""),
    "AWS::Logs::ResourcePolicy": ("logs:PutResourcePolicy", "*", ""),
    "AWS::S3::Bucket": ("s3:CreateBucket", "arn:{partition}:s3:::{name}", "BucketName"),
    "AWS::S3::BucketPolicy": ("s3:PutBucketPolicy", "arn:{partition}:s3:::{stem}-*", ""),
    "AWS::SNS::Subscription": ("sns:Subscribe", _NAMED + "{stem}-*", ""),
    "AWS::SNS::Topic": ("sns:CreateTopic", _NAMED + "{name}", "TopicName"),
    "AWS::SNS::TopicPolicy": ("sns:SetTopicAttributes", _NAMED + "{stem}-*", ""),
    "AWS::SQS::Queue": ("sqs:CreateQueue", _NAMED + "{name}", "QueueName"),
    "AWS::SQS::QueuePolicy": ("sqs:SetQueueAttributes", _NAMED + "{stem}-*", ""),
    "AWS::Scheduler::Schedule": ("scheduler:CreateSchedule", _NAMED + "schedule/default/{name}", "Name"),
    "AWS::Scheduler::ScheduleGroup": ("scheduler:CreateScheduleGroup", _NAMED + "schedule-group/*", ""),
    "AWS::Serverless::Application": ("cloudformation:CreateStack", _NAMED + "stack/{stack}-*/*", ""),
    "AWS::Serverless::Function": ("lambda:CreateFunction", _NAMED + "function:{name}", "FunctionName"),
    "AWS::Serverless::LayerVersion": ("lambda:PublishLayerVersion", _NAMED + "layer:{name}", "LayerName"),
    "AWS::Serverless::StateMachine": ("states:CreateStateMachine", _NAMED + "stateMachine:{name}", "Name"),
}


def needed(resources: Iterable[Resource], stack: str, stem: str) -> dict[str, str]:
    """The actions a deployment needs, each with one resource it needs it on.

    Of each type the first resource stands for the others. ``stem`` is what the lake's names start with.
    """
    found: dict[str, str] = {}
    for resource in resources:
        place = resource.template.place
        known = {
            "partition": place.partition,
            "region": place.region,
            "account": place.account,
            "stack": stack,
            "stem": stem,
        }
        for action, pattern in STACK_ACTIONS.items():
            found.setdefault(action, _example(pattern.format(**known)))
        action, pattern, property_name = CREATING[resource.type]
        name = str(resource.get(property_name, "*")) if property_name else ""
        arn = pattern.format(**known, service=action.partition(":")[0], name=name)
        found.setdefault(action, _example(arn))
    return found


def _example(arn: str) -> str:
    """An ARN that a pattern stands for: a question names one resource, only policies have patterns."""
    return arn if arn == "*" else arn.replace("*", "example")
