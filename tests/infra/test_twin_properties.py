"""Every property that the twin is said to act on is seen by a test of the twin tier: this is which."""

from __future__ import annotations

import ast

import pytest
import yaml

from tests.infra.templates import ROOT

EVENT_WAY = "test_twin_core.py::test_objects_go_through_events_queue_function_and_machine_to_the_topic"
NESTED = "test_twin_core.py::test_what_the_emulator_would_drop_is_applied"
ADMITS = "test_properties.py::test_a_rule_reaches_a_function_that_admits_it"
KEPT = "test_properties.py::test_what_a_function_failed_on_to_the_last_is_kept"
STREAM = "test_properties.py::test_a_change_of_the_ledger_is_streamed"
COPIED = "test_two_regions.py::test_an_object_is_copied_to_the_second_region_and_encrypted_there"
SECOND = "test_two_regions.py::test_the_second_region_has_a_stack_of_its_own"
REDRIVE = "test_properties.py::test_a_message_nobody_deletes_goes_to_the_dead_letters"
ENCRYPTION = "test_properties.py::test_the_lakes_buckets_refuse_another_encryption"
TOPIC_KEY = "test_properties.py::test_who_publishes_to_the_failure_topic_needs_its_key"
LAYERS = "test_twin_core.py::test_a_function_finds_its_code_its_layer_and_the_runtime_only"
LOG_ONLY = "test_properties.py::test_a_crawler_that_only_logs_changes_no_table"
CRAWLED = "test_without_contract.py::test_an_unknown_dataset_is_crawled_and_lands_whole"
ALARM = "test_monitoring.py::test_an_alarm_reaches_the_topic_whose_policy_and_key_admit_it"
TOLD = "test_monitoring.py::test_an_alarm_of_the_lake_is_told_with_its_page"
JOB = "test_glue_jobs.py::test_runs_the_script_as_the_jobs_role_and_tells_it"
JOB_LIMITS = "test_glue_jobs.py::test_limits_stops_and_times_out"
IN_FLIGHT = "test_deployment.py::test_a_run_in_flight_ends_on_the_assets_it_began_with"

NIGHT = (
    "test_scheduled_intake.py::test_the_schedule_that_is_enabled_starts_a_run_and_the_job_follows_the_crawl"
)
ONE_NIGHT = "test_scheduled_intake.py::test_only_one_run_at_a_time_and_only_active_triggers"
SAVED = "test_audit.py::test_a_saved_query_answers_in_its_workgroup_as_its_role"
RECORDED = "test_audit.py::test_the_auditor_sees_who_read_a_table"
LOGGED = "test_audit.py::test_the_auditor_sees_what_requests_cost"
TRAIL_FILES = "test_audit.py::test_records_lie_encrypted_where_the_trail_says_and_hold_selected_calls_only"

LAKE_FORMATION = "test_lakeformation.py::"
ADMINISTRATOR = LAKE_FORMATION + "test_grants_of_a_stack_need_a_data_lake_administrator"
APPENDED = LAKE_FORMATION + "test_settings_that_would_replace_the_administrators_are_refused"
BORN_CLOSED = LAKE_FORMATION + "test_a_table_is_born_closed_and_opened_column_by_column"
VENDED = LAKE_FORMATION + "test_files_of_a_registered_location_are_read_by_its_role_for_who_may_ask"
UNKNOWN_VALUE = LAKE_FORMATION + "test_a_tag_of_an_unknown_value_is_a_failure"

SEEN = {
    "AWS::Athena::NamedQuery": {
        "Database": SAVED,
        "Name": SAVED,
        "QueryString": SAVED,
        "WorkGroup": SAVED,
    },
    "AWS::Athena::WorkGroup": {
        "Name": "test_athena_api.py::test_a_workgroup_must_exist_and_be_enabled",
        "State": "test_athena_api.py::test_a_workgroup_must_exist_and_be_enabled",
        "WorkGroupConfiguration": "test_athena_api.py::test_results_lie_where_the_workgroup_says",
    },
    "AWS::CloudFormation::Stack": {"TemplateURL": NESTED, "Parameters": NESTED},
    "AWS::CloudFormation::StackSet": {
        "StackSetName": SECOND,
        "AdministrationRoleARN": "test_two_regions.py::test_a_stack_set_needs_roles_that_trust_each_other",
        "ExecutionRoleName": "test_two_regions.py::test_a_stack_set_needs_roles_that_trust_each_other",
        "TemplateURL": SECOND,
        "Parameters": COPIED,
        "StackInstancesGroup": SECOND,
    },
    "AWS::CloudWatch::Alarm": {
        "AlarmName": TOLD,
        "AlarmDescription": TOLD,
        "AlarmActions": ALARM,
        "ComparisonOperator": ALARM,
        "MetricName": ALARM,
        "Namespace": ALARM,
        "Statistic": ALARM,
        "Threshold": ALARM,
    },
    "AWS::CloudTrail::Trail": {
        "TrailName": TRAIL_FILES,
        "S3BucketName": TRAIL_FILES,
        "KMSKeyId": TRAIL_FILES,
        "IsLogging": RECORDED,
        "AdvancedEventSelectors": TRAIL_FILES,
    },
    "AWS::DynamoDB::GlobalTable": {
        "TableName": STREAM,
        "AttributeDefinitions": STREAM,
        "KeySchema": STREAM,
        "StreamSpecification": STREAM,
        "Replicas": "test_twin_core.py::test_a_protected_table_refuses_deletion",
    },
    "AWS::Events::Rule": {
        "Name": "test_order_and_repetition.py::test_peer_02_the_second_version_announced_before_the_first",
        "EventPattern": EVENT_WAY,
        "ScheduleExpression": "test_failures.py::test_the_sweep_acts_by_its_schedule",
        "State": ADMITS,
        "Targets": EVENT_WAY,
    },
    "AWS::Glue::Crawler": {
        "Name": LOG_ONLY,
        "Role": "test_glue_crawlers.py::test_a_crawler_has_only_its_roles_permissions",
        "DatabaseName": CRAWLED,
        "Targets": CRAWLED,
        "SchemaChangePolicy": LOG_ONLY,
    },
    "AWS::Glue::Database": {"DatabaseInput": CRAWLED},
    "AWS::Glue::Job": {
        "Name": JOB,
        "Role": "test_glue_jobs.py::test_a_denied_write_fails_in_spark",
        "Command": JOB,
        "DefaultArguments": JOB,
        "ExecutionProperty": JOB_LIMITS,
        "Timeout": JOB_LIMITS,
        "MaxRetries": "test_properties.py::test_a_job_that_asks_for_retries_does_not_start",
    },
    "AWS::Glue::Table": {"DatabaseName": RECORDED, "TableInput": RECORDED},
    "AWS::Glue::Trigger": {
        "Name": ONE_NIGHT,
        "Type": NIGHT,
        "WorkflowName": NIGHT,
        "Actions": NIGHT,
        "Predicate": NIGHT,
        "StartOnCreation": NIGHT,
    },
    "AWS::Glue::Workflow": {"Name": NIGHT, "MaxConcurrentRuns": ONE_NIGHT},
    "AWS::IAM::ManagedPolicy": {
        "PolicyDocument": "test_order_and_repetition.py::test_peer_01_the_same_event_three_times_lands_once"
    },
    "AWS::IAM::Role": {
        "AssumeRolePolicyDocument": "test_twin_core.py::test_a_function_needs_a_role_that_trusts_lambda",
        "ManagedPolicyArns": "test_order_and_repetition.py::test_peer_01_the_same_event_three_times_lands_once",
        "Policies": "test_twin_core.py::test_a_task_may_do_what_the_machines_role_may",
        "RoleName": "test_access.py::test_access",
    },
    "AWS::KMS::Alias": {"AliasName": TOPIC_KEY, "TargetKeyId": TOPIC_KEY},
    "AWS::KMS::Key": {"KeyPolicy": "test_properties.py::test_a_keys_own_policy_has_to_admit_who_uses_it"},
    "AWS::KMS::ReplicaKey": {"PrimaryKeyArn": COPIED},
    "AWS::LakeFormation::DataLakeSettings": {"Admins": ADMINISTRATOR, "MutationType": APPENDED},
    "AWS::LakeFormation::PrincipalPermissions": {
        "Principal": BORN_CLOSED,
        "Resource": BORN_CLOSED,
        "Permissions": BORN_CLOSED,
    },
    "AWS::LakeFormation::Resource": {"ResourceArn": VENDED, "RoleArn": VENDED},
    "AWS::LakeFormation::Tag": {"TagKey": BORN_CLOSED, "TagValues": UNKNOWN_VALUE},
    "AWS::LakeFormation::TagAssociation": {"Resource": BORN_CLOSED, "LFTags": BORN_CLOSED},
    "AWS::Lambda::Alias": {"FunctionName": EVENT_WAY, "FunctionVersion": EVENT_WAY, "Name": EVENT_WAY},
    "AWS::Lambda::EventInvokeConfig": {
        "DestinationConfig": KEPT,
        "FunctionName": KEPT,
        "MaximumRetryAttempts": KEPT,
        "Qualifier": KEPT,
    },
    "AWS::Lambda::EventSourceMapping": {
        "BatchSize": EVENT_WAY,
        "EventSourceArn": EVENT_WAY,
        "FunctionName": EVENT_WAY,
        "FunctionResponseTypes": EVENT_WAY,
        "MaximumBatchingWindowInSeconds": EVENT_WAY,
        "ScalingConfig": "test_properties.py::test_a_mapping_calls_no_more_at_once_than_it_may",
    },
    "AWS::Lambda::Function": {
        "Code": LAYERS,
        "Environment": LAYERS,
        "FunctionName": KEPT,
        "Handler": LAYERS,
        "Layers": LAYERS,
        "LoggingConfig": "test_properties.py::test_a_function_logs_where_it_is_told_to",
        "Role": "test_twin_core.py::test_a_function_needs_a_role_that_trusts_lambda",
        "Timeout": "test_properties.py::test_a_function_that_takes_too_long_is_ended",
    },
    "AWS::Lambda::LayerVersion": {"Content": LAYERS, "LayerName": LAYERS},
    "AWS::Lambda::Permission": {
        "Action": ADMITS,
        "FunctionName": ADMITS,
        "Principal": ADMITS,
        "SourceArn": ADMITS,
    },
    "AWS::Lambda::Version": {"FunctionName": IN_FLIGHT},
    "AWS::Logs::LogGroup": {"LogGroupName": "test_properties.py::test_a_function_logs_where_it_is_told_to"},
    "AWS::S3::Bucket": {
        "BucketName": NESTED,
        "BucketEncryption": "test_twin_core.py::test_who_writes_to_an_encrypted_bucket_needs_its_key",
        "LoggingConfiguration": LOGGED,
        "NotificationConfiguration": EVENT_WAY,
        "ReplicationConfiguration": COPIED,
        "VersioningConfiguration": "test_order_and_repetition.py::test_both_versions_in_one_batch",
    },
    "AWS::S3::BucketPolicy": {"Bucket": ENCRYPTION, "PolicyDocument": ENCRYPTION},
    "AWS::Scheduler::Schedule": {
        "Name": NIGHT,
        "ScheduleExpression": NIGHT,
        "State": NIGHT,
        "Target": NIGHT,
    },
    "AWS::SNS::Subscription": {
        "Endpoint": EVENT_WAY,
        "Protocol": EVENT_WAY,
        "RawMessageDelivery": EVENT_WAY,
        "TopicArn": EVENT_WAY,
    },
    "AWS::SNS::Topic": {"TopicName": TOPIC_KEY, "KmsMasterKeyId": TOPIC_KEY},
    "AWS::SNS::TopicPolicy": {"PolicyDocument": ALARM, "Topics": ALARM},
    "AWS::SQS::Queue": {
        "QueueName": REDRIVE,
        "MessageRetentionPeriod": "test_properties.py::test_a_message_is_kept_for_its_time_only",
        "RedrivePolicy": REDRIVE,
        "VisibilityTimeout": REDRIVE,
    },
    "AWS::SQS::QueuePolicy": {"PolicyDocument": EVENT_WAY, "Queues": EVENT_WAY},
    "AWS::StepFunctions::StateMachine": {
        "DefinitionS3Location": EVENT_WAY,
        "DefinitionSubstitutions": EVENT_WAY,
        "RoleArn": "test_twin_core.py::test_a_task_may_do_what_the_machines_role_may",
        "StateMachineName": "test_events.py::test_a_state_machine_ends_a_run_that_holds_no_lease",
    },
}


def known() -> dict[str, dict[str, list[str]]]:
    loaded: dict[str, dict[str, list[str]]] = yaml.safe_load((ROOT / "twin" / "properties.yaml").read_text())
    return loaded


def test_every_property_that_behaves_is_seen_and_no_other_is_claimed_to_be() -> None:
    behaving = {(kind, name) for kind, classes in known().items() for name in classes.get("behaves", [])}
    assert {(kind, name) for kind, names in SEEN.items() for name in names} == behaving


def test_no_property_is_in_both_classes() -> None:
    for kind, classes in known().items():
        assert not set(classes.get("behaves", [])) & set(classes.get("recorded", [])), kind


@pytest.mark.parametrize("place", sorted({place for names in SEEN.values() for place in names.values()}))
def test_what_sees_it_is_there(place: str) -> None:
    file, _, name = place.partition("::")
    tree = ast.parse((ROOT / "tests" / "twin" / file).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
