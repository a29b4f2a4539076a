"""What AWS refuses, drops or bills although every linter is content: a test for each trap that applies."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import sqlglot
import yaml

from tests.infra.templates import ROOT, Resource, listed, resource, resources, statements, template, text

BUCKETS = resources("AWS::S3::Bucket")
REPLICATED = ["BronzeReplica", "SilverReplica", "GoldReplica", "OperationsReplica"]
LAYERS = ["Bronze", "Silver", "Gold", "Operations", "Results", "Audit"]
LOGS = ["Logs", "LogsReplica"]


def globals_of_functions() -> dict[str, Any]:
    shared: dict[str, Any] = template("template.yaml")["Globals"]["Function"]
    return shared


# --- Queues ------------------------------------------------------------------------------------


def test_a_message_stays_hidden_for_six_times_what_its_function_may_take() -> None:
    queue = resource("IntakeQueue").properties
    function = resource("IntakeFunction").properties
    mapping = function["Events"]["Arrivals"]["Properties"]
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"] + mapping["MaximumBatchingWindowInSeconds"]


def test_a_large_batch_has_a_window_and_reports_what_failed() -> None:
    mapping = resource("IntakeFunction").properties["Events"]["Arrivals"]["Properties"]
    assert mapping["BatchSize"] > 10
    assert mapping["MaximumBatchingWindowInSeconds"] >= 1
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"]["MaximumConcurrency"] >= 2


def test_no_function_reserves_concurrency_which_new_accounts_refuse() -> None:
    for function in resources("AWS::Serverless::Function"):
        assert "ReservedConcurrentExecutions" not in function.properties, function


def test_every_queue_a_rule_sends_to_lets_that_rule_send() -> None:
    allowed = {
        text(target): statement["Condition"]
        for owner, statement in statements()
        if owner.type == "AWS::SQS::QueuePolicy"
        for target in listed(statement["Resource"])
    }
    assert allowed["${IntakeQueue.Arn}"] == {
        "ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["ArrivalRule", "Arn"]}}
    }
    assert allowed["${IntakeDeadLetterQueue.Arn}"] == allowed["${IntakeQueue.Arn}"]
    assert ":rule/*" in text(allowed["${FailedEventsQueue.Arn}"]["ArnLike"]["aws:SourceArn"])


def test_queues_need_no_key_and_are_encrypted() -> None:
    for queue in resources("AWS::SQS::Queue"):
        assert queue.properties["SqsManagedSseEnabled"] is True, queue
        assert "KmsMasterKeyId" not in queue.properties, queue


def test_a_dead_letter_is_kept_as_long_as_a_queue_can() -> None:
    for queue in resources("AWS::SQS::Queue"):
        assert queue.properties["MessageRetentionPeriod"] == 14 * 86400, queue


def test_the_function_that_calls_itself_is_not_taken_for_a_runaway_loop() -> None:
    looping = [f.name for f in resources("AWS::Serverless::Function") if "RecursiveLoop" in f.properties]
    assert looping == ["ReconcileFunction"]
    assert resource("ReconcileFunction").properties["RecursiveLoop"] == "Allow"


def test_bronze_may_make_a_table_anew_in_its_own_database_only() -> None:
    """A contract with another path pattern has other partition keys, and no update changes those."""
    [managed] = [
        s
        for r, s in statements()
        if r.name == "BronzeFunctionRole" and "glue:DeleteTable" in listed(s["Action"])
    ]
    assert {"glue:DeleteTable", "glue:CreateTable"} <= set(managed["Action"])
    places = [text(each).partition("${AWS::AccountId}:")[2] for each in listed(managed["Resource"])]
    database = "${Catalog.Outputs.BronzeDatabaseName}"
    assert sorted(places) == ["catalog", f"database/{database}", f"table/{database}/*"]


# --- Events ------------------------------------------------------------------------------------


def test_the_rule_hears_of_new_objects_in_bronze_only_and_bronze_tells() -> None:
    pattern = resource("ArrivalRule").properties["EventPattern"]
    assert pattern["source"] == ["aws.s3"]
    assert pattern["detail-type"] == ["Object Created"]
    assert pattern["detail"]["bucket"]["name"] == [{"Fn::GetAtt": ["Storage", "Outputs.BronzeBucketName"]}]
    telling = [b.name for b in BUCKETS if "NotificationConfiguration" in b.properties]
    assert telling == ["BronzeBucket"]


def test_recovery_hears_of_every_end_that_is_no_success() -> None:
    pattern = resource("RecoverFunction").properties["Events"]["RunEnded"]["Properties"]["Pattern"]
    assert pattern["detail"]["status"] == ["FAILED", "TIMED_OUT", "ABORTED"]
    assert pattern["detail"]["stateMachineArn"] == [
        {"Ref": "PromoteStateMachine"},
        {"Ref": "RefreshStateMachine"},
        {"Ref": "MaintainStateMachine"},
    ]


def test_a_rate_of_one_minute_is_spelled_without_an_s() -> None:
    schedule = resource("SweepFunction").properties["Events"]["Schedule"]["Properties"]["Schedule"]
    assert schedule == {
        "Fn::If": ["SweepsEveryMinute", "rate(1 minute)", {"Fn::Sub": "rate(${SweepMinutes} minutes)"}]
    }


# --- Buckets -----------------------------------------------------------------------------------


def is_of_logs(bucket: Resource) -> bool:
    return bucket.name.removesuffix("Bucket") in LOGS


@pytest.mark.parametrize("bucket", BUCKETS, ids=str)
def test_a_bucket_is_encrypted_with_the_lakes_key_versioned_and_closed(bucket: Resource) -> None:
    [rule] = bucket.properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    own = {"Fn::GetAtt": ["ReplicaKey", "Arn"]} if "Replica" in bucket.name else {"Ref": "KeyArn"}
    lakes = {
        "BucketKeyEnabled": True,
        "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": own},
    }
    # S3 delivers logs of access only to a bucket that is encrypted by S3's own key.
    s3s = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    assert rule == (s3s if is_of_logs(bucket) else lakes)
    assert bucket.properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket.properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert set(bucket.properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket.properties["PublicAccessBlockConfiguration"]) == 4
    assert "AccessControl" not in bucket.properties


@pytest.mark.parametrize("bucket", [b for b in BUCKETS if not is_of_logs(b)], ids=str)
def test_every_access_to_a_bucket_is_logged_by_the_day_it_happened_in_the_same_region(
    bucket: Resource,
) -> None:
    own = "LogsReplica" if "Replica" in bucket.name else "Logs"
    nested = bucket.name == "AuditBucket"
    assert bucket.properties["LoggingConfiguration"] == {
        "DestinationBucketName": {"Ref": "LogsBucketName" if nested else f"{own}Bucket"},
        "LogFilePrefix": "access/",
        "TargetObjectKeyFormat": {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}},
    }
    if nested:  # by then the bucket of logs is there, with its policy
        return
    # S3 may deliver before the first line is due.
    assert bucket.body["DependsOn"] == f"{own}BucketPolicy"
    assert resource(f"{own}Bucket").template == bucket.template


@pytest.mark.parametrize("logs", LOGS)
def test_a_bucket_of_logs_takes_them_from_this_lakes_buckets_only_and_is_not_logged_itself(logs: str) -> None:
    assert "LoggingConfiguration" not in resource(f"{logs}Bucket").properties
    allowed = policy(logs)["LetS3Deliver"]
    assert allowed["Principal"] == {"Service": "logging.s3.amazonaws.com"}
    assert allowed["Action"] == "s3:PutObject"
    source = text(allowed["Condition"]["ArnLike"]["aws:SourceArn"])
    assert source == "arn:${AWS::Partition}:s3:::${LakeName}-${Environment}-*"
    assert allowed["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


@pytest.mark.parametrize("layer", [*LAYERS, *REPLICATED, *LOGS])
def test_a_bucket_policy_refuses_plain_http_for_the_bucket_and_for_its_objects(layer: str) -> None:
    denial = policy(layer)["DenyPlainHttp"]
    assert denial["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert [text(r) for r in denial["Resource"]] == [f"${{{layer}Bucket.Arn}}", f"${{{layer}Bucket.Arn}}/*"]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_denial_of_encryption_leaves_writers_alone_that_ask_for_none(layer: str) -> None:
    for sid in ("DenyOtherEncryption", "DenyOtherKey"):
        condition = policy(layer)[sid]["Condition"]
        [(header, _)] = condition["StringNotEquals"].items()
        assert condition["Null"] == {header: "false"}, sid
    key = policy(layer)["DenyOtherKey"]["Condition"]["StringNotEquals"]
    # The full ARN: an alias or a bare id is never what S3 compares with.
    assert list(key.values()) == [{"Ref": "KeyArn"}]
    assert text(template("infrastructure/encryption.yaml")["Outputs"]["KeyArn"]["Value"]) == "${LakeKey.Arn}"


def test_the_trails_digests_may_be_encrypted_otherwise_and_nothing_else() -> None:
    """CloudTrail's records are under the lake's key; of its digests AWS's pages say both."""
    written = {"s3:x-amz-server-side-encryption": "aws:kms"}
    for layer in LAYERS:
        condition = policy(layer)["DenyOtherEncryption"]["Condition"]
        assert condition["StringNotEquals"] == written, layer
        by_service = condition.get("StringNotEqualsIfExists")
        digests = {"aws:PrincipalServiceName": "cloudtrail.amazonaws.com"}
        assert by_service == (digests if layer == "Audit" else None), layer


@pytest.mark.parametrize("layer", LAYERS)
def test_a_key_that_no_other_denial_sees_is_denied(layer: str) -> None:
    header = "s3:x-amz-server-side-encryption"
    # KMS without a key's name: S3 takes its own, and not the bucket's.
    assert policy(layer)["DenyUnnamedKey"]["Condition"] == {
        "Null": {f"{header}-aws-kms-key-id": "true"},
        "StringEquals": {header: "aws:kms"},
    }
    # A key that the request brings: the headers above are not there.
    assert policy(layer)["DenyCustomerKey"]["Condition"] == {
        "Null": {f"{header}-customer-algorithm": "false"}
    }


def policy(layer: str) -> dict[str, dict[str, Any]]:
    document = resource(f"{layer}BucketPolicy").properties["PolicyDocument"]
    return {statement["Sid"]: statement for statement in document["Statement"]}


def test_who_reads_a_bucket_may_list_it_without_condition() -> None:
    # Otherwise S3 answers AccessDenied for an object that is not there, and the code waits for NoSuchKey.
    seen = set()
    for owner, statement in statements():
        if owner.type in {"AWS::IAM::Role", "AWS::IAM::ManagedPolicy"}:
            actions = listed(statement["Action"])
            if "s3:ListBucket" in actions:
                # People see the names below the open prefix; no code of theirs waits for anything.
                assert "Condition" not in statement or statement["Sid"] == "ListOpenGold", owner
                seen.add(owner.name)
    readers = {
        owner.name
        for owner, statement in statements()
        if owner.type in {"AWS::IAM::Role", "AWS::IAM::ManagedPolicy"}
        and "s3:GetObject" in listed(statement["Action"])
        and owner.template != "infrastructure/governance.yaml"  # people, whose code waits for nothing
    }
    assert readers - seen == set()


def test_nothing_that_is_queried_goes_to_a_class_that_does_not_answer_at_once() -> None:
    for bucket in BUCKETS:
        assert "IntelligentTieringConfigurations" not in bucket.properties, bucket
        for rule in bucket.properties["LifecycleConfiguration"]["Rules"]:
            classes = {move["StorageClass"] for move in rule.get("Transitions", [])}
            assert classes <= {"INTELLIGENT_TIERING"}, bucket


def test_what_is_kept_for_good_moves_where_it_costs_less_once_it_is_hardly_read() -> None:
    moving = {
        bucket.name.removesuffix("Bucket")
        for bucket in BUCKETS
        if any("Transitions" in rule for rule in bucket.properties["LifecycleConfiguration"]["Rules"])
    }
    # Operations holds texts of a few kilobytes, below what any tier takes.
    assert {"Bronze", "Silver", "Gold"} <= moving


STAGED = "runs/staged/"


def test_decompressed_copies_of_raw_files_expire_after_a_day() -> None:
    found = [bucket for bucket in BUCKETS if bucket.name in {"OperationsBucket", "OperationsReplicaBucket"}]
    assert len(found) == 2
    for bucket in found:
        rules = bucket.properties["LifecycleConfiguration"]["Rules"]
        [staged] = [rule for rule in rules if rule.get("Prefix") == STAGED]
        assert staged["Status"] == "Enabled"
        assert staged["ExpirationInDays"] == 1
        assert staged["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}


def test_data_never_expires_and_results_and_logs_do() -> None:
    for bucket in BUCKETS:
        rules = bucket.properties["LifecycleConfiguration"]["Rules"]
        expiring = [rule for rule in rules if "ExpirationInDays" in rule and rule.get("Prefix") != STAGED]
        passing = bucket.name in {"ResultsBucket", "AuditBucket"} or is_of_logs(bucket)
        assert bool(expiring) == passing, bucket
        # Otherwise what expires stays, unseen, for ever.
        assert any("NoncurrentVersionExpiration" in rule for rule in rules), bucket
        assert any("AbortIncompleteMultipartUpload" in rule for rule in rules), bucket


# --- Trail -------------------------------------------------------------------------------------

TRAIL = "arn:${AWS::Partition}:cloudtrail:${AWS::Region}:${AWS::AccountId}:trail/${LakeName}-${Environment}"


def test_the_trail_is_encrypted_and_proves_that_nobody_changed_it() -> None:
    trail = resource("LakeTrail")
    assert trail.properties["KMSKeyId"] == {"Ref": "KeyArn"}
    assert trail.properties["EnableLogFileValidation"] is True
    assert trail.properties["IsLogging"] is True
    # CloudTrail looks whether it may write before the trail is made.
    assert trail.body["DependsOn"] == "AuditBucketPolicy"
    assert TRAIL.endswith(f"trail/{text(trail.properties['TrailName'])}")


def test_the_trail_holds_calls_and_accesses_to_the_lakes_objects_and_none_to_its_own() -> None:
    calls, objects = (
        {field["Field"]: field for field in each["FieldSelectors"]}
        for each in resource("LakeTrail").properties["AdvancedEventSelectors"]
    )
    assert calls["eventCategory"]["Equals"] == ["Management"]
    # The only two sources that CloudTrail lets one leave out.
    assert set(calls["eventSource"]["NotEquals"]) == {"kms.amazonaws.com", "rdsdata.amazonaws.com"}
    assert objects["eventCategory"]["Equals"] == ["Data"]
    assert objects["resources.type"]["Equals"] == ["AWS::S3::Object"]
    selected = {text(arn).rpartition(":::")[2] for arn in objects["resources.ARN"]["StartsWith"]}
    # A record of a record would make the next one, for ever.
    layers = ("Bronze", "Silver", "Gold", "Operations", "Results")
    assert selected == {f"${{{layer}BucketName}}/" for layer in layers}


def test_the_trail_may_write_its_records_and_nothing_else() -> None:
    allowed = policy("Audit")
    for sid in ("LetTrailLook", "LetTrailWrite"):
        assert allowed[sid]["Principal"] == {"Service": "cloudtrail.amazonaws.com"}
        assert text(allowed[sid]["Condition"]["StringEquals"]["aws:SourceArn"]) == TRAIL
    assert allowed["LetTrailLook"]["Action"] == "s3:GetBucketAcl"
    assert text(allowed["LetTrailWrite"]["Resource"]) == "${AuditBucket.Arn}/AWSLogs/${AWS::AccountId}/*"
    owner = allowed["LetTrailWrite"]["Condition"]["StringEquals"]["s3:x-amz-acl"]
    assert owner == "bucket-owner-full-control"


@pytest.mark.parametrize("name", ["TrailTable", "AccessLogTable"])
def test_an_audit_table_finds_its_partitions_by_their_names(name: str) -> None:
    given = resource(name).properties["TableInput"]
    parameters, keys = given["Parameters"], [key["Name"] for key in given["PartitionKeys"]]
    template_ = text(parameters["storage.location.template"])
    assert re.findall(r"\$\{!(\w+)\}", template_) == keys
    assert template_.startswith(text(given["StorageDescriptor"]["Location"]))
    # Athena takes the values of properties as text only.
    assert all(
        isinstance(value, str) or set(value) <= {"Fn::Sub", "Fn::Join"} for value in parameters.values()
    )
    assert parameters["projection.day.range"].endswith(",NOW")


def test_the_pattern_of_a_line_of_access_has_a_group_for_each_column() -> None:
    """The line is the one of S3's user guide, "Amazon S3 server access log format", with other ids."""
    given = resource("AccessLogTable").properties["TableInput"]["StorageDescriptor"]
    line = (
        "79a59d example-bucket [06/Feb/2019:00:00:38 +0000] 192.0.2.3 79a59d 3E57427F3EXAMPLE REST.GET.OBJECT "
        'open/a/b.parquet "GET /example-bucket/open/a/b.parquet?x-id=GetObject HTTP/1.1" 200 - 113 2662992 7 6 "-" '
        '"S3Console/0.4 (a b)" - s9lzHYrFp76 SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader '
        "example-bucket.s3.us-west-1.amazonaws.com TLSV1.2 - Yes"
    )
    found = re.fullmatch(given["SerdeInfo"]["Parameters"]["input.regex"], line)
    assert found is not None
    values = dict(zip([column["Name"] for column in given["Columns"]], found.groups(), strict=True))
    assert values["operation"] == "REST.GET.OBJECT"
    assert (values["key"], values["bytessent"]) == ("open/a/b.parquet", "113")
    assert values["useragent"] == '"S3Console/0.4 (a b)"'
    assert (values["tlsversion"], values["aclrequired"]) == ("TLSV1.2", "Yes")


# --- Key ---------------------------------------------------------------------------------------


def test_the_key_can_be_replicated_rotates_and_lets_iam_decide() -> None:
    key = resource("LakeKey").properties
    assert key["MultiRegion"] is True
    assert key["EnableKeyRotation"] is True
    root, logs, _alarms, *trail = key["KeyPolicy"]["Statement"]
    assert text(root["Principal"]["AWS"]).endswith(":root")
    assert list(logs["Principal"]) == ["Service"]
    assert "kms:EncryptionContext:aws:logs:arn" in logs["Condition"]["ArnLike"]
    granted = {action for statement in trail for action in listed(statement["Action"])}
    # The last one for the bucket's own keys below it.
    assert granted == {"kms:GenerateDataKey*", "kms:DescribeKey", "kms:Decrypt"}
    for statement in trail:
        assert statement["Principal"] == {"Service": "cloudtrail.amazonaws.com"}
        assert text(statement["Condition"]["StringEquals"]["aws:SourceArn"]) == TRAIL
    assert "kms:EncryptionContext:aws:cloudtrail:arn" in trail[0]["Condition"]["StringLike"]


def test_every_role_but_none_other_may_use_the_key() -> None:
    # CloudWatch Logs encrypts what the flow log sends; those of replication come before the policy, and S3's names its
    # keys itself, as assets does, which only writes. A schedule only starts what it is for.
    without = {"FlowLogRole", "ReplicationRole", "ReplicaAdministrationRole", "ReplicaExecutionRole"}
    without |= {"ScheduledIntakeScheduleRole", "AssetsFunctionRole"}
    for role in resources("AWS::IAM::Role"):
        attached = role.properties.get("ManagedPolicyArns", [])
        has = {"Ref": "KeyUsePolicy"} in attached or {"Ref": "KeyReadPolicy"} in attached
        if role.template != "infrastructure/governance.yaml":  # those read, and never encrypt
            assert has == (role.name not in without), role


# --- Tables ------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", resources("AWS::DynamoDB::GlobalTable"), ids=str)
def test_a_table_is_global_protected_encrypted_and_can_be_restored(table: Resource) -> None:
    properties = table.properties
    # What a second replica needs; adding it later is an update.
    assert properties["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert properties["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS"}
    first, second = properties["Replicas"]
    condition, there, otherwise = second["Fn::If"]
    assert (condition, otherwise) == ("HasReplica", {"Ref": "AWS::NoValue"})
    assert (first["Region"], there["Region"]) == ({"Ref": "AWS::Region"}, {"Ref": "ReplicaRegion"})
    for replica, nested in ((first, "Encryption"), (there, "Replication")):
        # Its own region's key.
        assert replica["SSESpecification"]["KMSMasterKeyId"] == {"Fn::GetAtt": [nested, "Outputs.KeyArn"]}
        assert replica["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
        assert 1 <= replica["PointInTimeRecoverySpecification"]["RecoveryPeriodInDays"] <= 35
        assert replica["DeletionProtectionEnabled"] == {"Ref": "DeletionProtection"}
    assert [key["AttributeName"] for key in properties["KeySchema"]] == ["pk", "sk"]


def test_no_table_of_the_kind_that_never_becomes_global() -> None:
    assert resources("AWS::DynamoDB::Table") == []


# --- Glue --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "runs"), [("SilverJob", 50), ("GoldJob", 1), ("MaintainJob", 5), ("ScheduledJob", 1)]
)
def test_a_job_names_its_version_workers_and_limits(name: str, runs: int) -> None:
    job = resource(name).properties
    assert job["GlueVersion"] == {"Ref": "GlueVersion"}
    assert job["WorkerType"] == {"Ref": "GlueWorkerType"}
    assert job["NumberOfWorkers"] == 2
    assert job["MaxRetries"] == 0
    assert job["ExecutionProperty"] == {"MaxConcurrentRuns": runs}
    assert not {"MaxCapacity", "AllocatedCapacity", "JobRunQueuingEnabled"} & set(job)
    assert job["Command"]["Name"] == "glueetl"
    assert "${ShippedAssets.Prefix}" in text(job["Command"]["ScriptLocation"])


def test_what_glue_writes_for_a_job_is_under_the_lakes_key() -> None:
    key = {"Fn::GetAtt": ["Encryption", "Outputs.KeyArn"]}
    assert resource("JobSecurityConfiguration").properties["EncryptionConfiguration"] == {
        "S3Encryptions": [{"S3EncryptionMode": "SSE-KMS", "KmsKeyArn": key}],
        # The groups carry the key. With Glue's own encryption the job writes to groups of other names.
        "CloudWatchEncryption": {"CloudWatchEncryptionMode": "DISABLED"},
        "JobBookmarksEncryption": {"JobBookmarksEncryptionMode": "CSE-KMS", "KmsKeyArn": key},
    }
    for job in resources("AWS::Glue::Job"):
        assert job.properties["SecurityConfiguration"] == {"Ref": "JobSecurityConfiguration"}, job


def test_what_holds_for_the_whole_account_is_asked_for() -> None:
    assert resource("CatalogEncryption").body["Condition"] == "IsEncrypted"
    assert template("template.yaml")["Parameters"]["EncryptCatalog"]["Default"] == "false"


@pytest.mark.parametrize("name", ["SilverJob", "GoldJob", "MaintainJob", "ScheduledJob"])
def test_a_jobs_arguments_are_all_text(name: str) -> None:
    for argument, value in resource(name).properties["DefaultArguments"].items():
        assert argument.startswith("--")
        chosen = value["Fn::If"][1:] if "Fn::If" in value else [value]
        for each in [one for one in chosen if one != {"Ref": "AWS::NoValue"}]:
            assert isinstance(each, str) or set(each) <= {"Fn::Sub", "Fn::GetAtt", "Ref"}, argument


@pytest.mark.parametrize(
    ("name", "bucket"), [("SilverJob", "Silver"), ("GoldJob", "Gold"), ("MaintainJob", "Gold")]
)
def test_a_jobs_settings_are_chained_into_one_conf(name: str, bucket: str) -> None:
    settings = text(resource(name).properties["DefaultArguments"]["--conf"]).strip().split(" --conf ")
    pairs = dict(setting.split("=", 1) for setting in settings)
    assert pairs == {
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.glue_catalog": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.glue_catalog.catalog-impl": "org.apache.iceberg.aws.glue.GlueCatalog",
        "spark.sql.catalog.glue_catalog.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        "spark.sql.catalog.glue_catalog.warehouse": f"s3://${{Storage.Outputs.{bucket}BucketName}}/",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.legacy.timeParserPolicy": "CORRECTED",
        "spark.sql.adaptive.enabled": "true",
        # From Glue 5.1 S3A assumes another region unless it is told.
        "spark.hadoop.fs.s3a.endpoint.region": "${AWS::Region}",
    }


def test_the_job_may_write_only_to_the_log_groups_it_is_told_to_use() -> None:
    for name in ("Silver", "Gold", "Maintain", "Scheduled"):
        prefix = text(resource(f"{name}Job").properties["DefaultArguments"]["--custom-logGroup-prefix"])
        for kind in ("Output", "Error"):
            group = resource(f"{name}Job{kind}LogGroup").properties
            assert text(group["LogGroupName"]) == f"{prefix}/{kind.lower()}"


def test_the_crawler_makes_one_table_of_each_first_folder_and_has_no_schedule() -> None:
    crawler = resource("BronzeCrawler").properties
    configuration = json.loads(crawler["Configuration"])
    assert configuration["Grouping"] == {
        "TableGroupingPolicy": "CombineCompatibleSchemas",
        "TableLevelConfiguration": 2,
    }
    assert crawler["RecrawlPolicy"] == {"RecrawlBehavior": "CRAWL_EVERYTHING"}
    assert crawler["SchemaChangePolicy"]["DeleteBehavior"] == "LOG"
    assert "Schedule" not in crawler


# --- Roles of the state machines ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Promote", "Refresh", "Maintain"])
def test_a_state_machine_may_start_follow_and_stop_its_job_and_deliver_logs(name: str) -> None:
    [policy_] = resource(f"{name}StateMachineRole").properties["Policies"]
    granted = {s["Sid"]: set(listed(s["Action"])) for s in policy_["PolicyDocument"]["Statement"]}
    assert granted["RunJob"] == {
        "glue:StartJobRun",
        "glue:GetJobRun",
        "glue:GetJobRuns",
        "glue:BatchStopJobRun",
    }
    assert len(granted["DeliverLogs"]) == 9
    groups = {"Maintain": "MaintainStateMachineLogGroup"}  # MaintainLogGroup is its function's
    group = resource(groups.get(name, f"{name}LogGroup")).properties["LogGroupName"]
    assert text(group).startswith("/aws/vendedlogs/states/")


# --- Athena --------------------------------------------------------------------------------------


def test_the_workgroup_is_enforced_encrypted_cut_off_and_can_be_deleted() -> None:
    workgroup = resource("LakeWorkgroup").properties
    configuration = workgroup["WorkGroupConfiguration"]
    assert workgroup["RecursiveDeleteOption"] is True
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert configuration["EngineVersion"] == {"SelectedEngineVersion": "Athena engine version 3"}
    assert configuration["ResultConfiguration"]["EncryptionConfiguration"]["EncryptionOption"] == "SSE_KMS"
    cutoff = template("infrastructure/catalog.yaml")["Parameters"]["QueryCutoffBytes"]
    assert configuration["BytesScannedCutoffPerQuery"] == {"Ref": "QueryCutoffBytes"}
    assert cutoff["MinValue"] >= 10_000_000


@pytest.mark.parametrize("name", ["FreshnessQuery", "QuarantineQuery"])
def test_a_saved_query_asks_about_every_dataset_with_a_contract(name: str) -> None:
    sql = resource(name).properties["QueryString"]
    suffix = "__quarantine" if name == "QuarantineQuery" else ""
    datasets = sorted(path.stem for path in (ROOT / "contracts").glob("*.yaml"))
    read = [table.name for table in sqlglot.parse_one(sql, read="athena").find_all(sqlglot.exp.Table)]
    assert sorted(name for name in read if name not in {"", "broken"}) == [f"{d}{suffix}" for d in datasets]


# --- SAM -----------------------------------------------------------------------------------------


def test_nested_applications_have_at_most_sixty_parameters() -> None:
    for application in resources("AWS::Serverless::Application"):
        nested = template(application.properties["Location"])
        passed = application.properties["Parameters"]
        assert len(nested["Parameters"]) <= 60
        required = {name for name, parameter in nested["Parameters"].items() if "Default" not in parameter}
        assert required <= set(passed) <= set(nested["Parameters"]), application


def test_functions_have_no_dependencies_of_their_own_and_share_the_layer() -> None:
    shared = globals_of_functions()
    assert shared["Layers"] == [{"Ref": "LakehouseLayer"}]
    assert shared["Architectures"] == [{"Ref": "LambdaArchitecture"}]
    for function in resources("AWS::Serverless::Function"):
        folder = function.properties["CodeUri"]
        assert not (ROOT / folder / "requirements.txt").exists(), folder


def test_the_custom_resource_runs_again_when_its_code_or_its_compiler_changed() -> None:
    shipped = resource("ShippedAssets").properties
    assert shipped["Sources"] == {"Ref": "AssetsFunction.Version"}
    assert shipped["Compiler"] == {"Ref": "LakehouseLayer"}
    # Otherwise a function that cannot even be loaded would let the deployment wait for an hour.
    assert shipped["ServiceTimeout"] >= resource("AssetsFunction").properties["Timeout"]
    assert resource("AssetsFunction").properties["AutoPublishAlias"] == "live"


def test_the_custom_resource_comes_after_governance_and_runs_again_when_that_is_switched_on() -> None:
    """What it tags tables with has to be a value that the tags of the same deployment know."""
    governed = resource("ShippedAssets").properties["Governed"]
    assert governed == {"Fn::If": ["IsGoverned", {"Ref": "Governance"}, "off"]}
    assert {tag.template for tag in resources("AWS::LakeFormation::Tag")} == {
        "infrastructure/governance.yaml"
    }
    assert resource("Governance").properties["Location"] == "infrastructure/governance.yaml"


def test_the_custom_resources_function_does_not_wait_for_itself() -> None:
    own = resource("AssetsFunction").properties["Environment"]["Variables"]
    assert own == {"ASSETS_PREFIX": "assets/none/"}


# --- Lake Formation ----------------------------------------------------------------------------


def permissions() -> list[Resource]:
    return resources("AWS::LakeFormation::PrincipalPermissions")


def test_settings_are_appended_and_come_before_all_else() -> None:
    settings = resource("LakeSettings").properties
    assert settings["MutationType"] == "APPEND"
    assert settings["Admins"] == [{"DataLakePrincipalIdentifier": {"Ref": "DataLakeAdministratorArn"}}]
    for each in resources("AWS::LakeFormation::Tag", "AWS::LakeFormation::Resource"):
        assert listed(each.body["DependsOn"]) == ["LakeSettings"], each
    for each in resources("AWS::LakeFormation::TagAssociation"):
        assert set(listed(each.body["DependsOn"])) == {"LayerTag", "ClassificationTag"}, each
    for each in permissions():
        assert each.body["DependsOn"], each


def test_where_grants_decide_no_database_opens_its_new_tables_to_everybody() -> None:
    for database in resources("AWS::Glue::Database"):
        given = database.properties["DatabaseInput"]["CreateTableDefaultPermissions"]
        assert given == {"Fn::If": ["IsGoverned", [], {"Ref": "AWS::NoValue"}]}, database


def test_every_database_is_born_restricted() -> None:
    for layer in ("Bronze", "Silver", "Gold"):
        tags = resource(f"{layer}DatabaseTags").properties["LFTags"]
        assert [tag["TagValues"] for tag in tags] == [[layer.lower()], ["restricted"]]


def test_a_location_is_read_by_a_role_of_our_own_that_trusts_lake_formation() -> None:
    for location in resources("AWS::LakeFormation::Resource"):
        assert location.properties["UseServiceLinkedRole"] is False, location
        assert location.properties["RoleArn"] == {"Fn::GetAtt": ["LocationRole", "Arn"]}, location
        # The results of queries must not be registered.
        assert "Results" not in text(location.properties["ResourceArn"])
    [trust] = resource("LocationRole").properties["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "lakeformation.amazonaws.com"}


def test_a_grant_names_what_may_be_granted_on_and_no_pair_of_principal_and_resource_twice() -> None:
    seen: set[str] = set()
    for each in permissions():
        assert "PermissionsWithGrantOption" in each.properties, each
        pair = json.dumps([each.properties["Principal"], each.properties["Resource"]], sort_keys=True)
        assert pair not in seen, each
        seen.add(pair)


def test_grants_are_made_one_after_the_other() -> None:
    """Side by side Lake Formation refuses some, and CloudFormation loses sight of others."""
    names = [each.name for each in permissions()]
    assert len(names) > 40
    for before, each in zip(names, permissions()[1:], strict=False):
        assert before in listed(each.body["DependsOn"]), each


def test_functions_and_jobs_are_granted_whole_tables() -> None:
    """A Glue job fails on a table of which its role may read some columns only."""
    for each in permissions():
        principal = str(each.properties["Principal"])
        if "Job" in principal or "Function" in principal:
            policy = each.properties["Resource"].get("LFTagPolicy", {"Expression": []})
            keys = [text(part["TagKey"]).rpartition(":")[2] for part in policy["Expression"]]
            assert keys in ([], ["layer"]), each


def test_who_queries_may_look_at_the_database_that_athena_looks_at_by_itself() -> None:
    granted = {
        text(arn).rpartition(":")[2]
        for owner, each in statements()
        if owner.name == "ReadCatalogPolicy" and "glue:GetDatabase" in listed(each["Action"])
        for arn in listed(each["Resource"])
    }
    assert {"catalog", "database/default"} <= granted


def test_who_may_meet_a_table_that_is_not_there_is_told_so() -> None:
    """Lake Formation says AccessDenied to whoever may not create it. The assets function lists what is there."""
    on_databases = {
        each.name: each.properties["Permissions"]
        for each in permissions()
        if each.properties["Resource"].get("LFTagPolicy", {}).get("ResourceType") == "DATABASE"
        and "Ref" in each.properties["Principal"]["DataLakePrincipalIdentifier"]
        and not each.name.startswith("Administrator")
    }
    assert on_databases.pop("AssetsDatabaseGrant") == ["DESCRIBE"]
    assert len(on_databases) == 10
    assert {tuple(given) for given in on_databases.values()} == {("CREATE_TABLE", "DESCRIBE")}


def test_who_is_only_to_be_told_makes_no_table() -> None:
    making = {
        owner.name
        for owner, each in statements()
        if owner.type == "AWS::IAM::Role" and "glue:CreateTable" in listed(each.get("Action", []))
    }
    assert making == {
        *("SilverJobRole", "GoldJobRole", "BronzeFunctionRole"),
        *("BronzeCrawlerRole", "ScheduledCrawlerRole"),
    }
    [gold] = [
        each
        for owner, each in statements()
        if owner.name == "GoldJobRole" and "glue:CreateTable" in listed(each["Action"])
    ]
    assert "SilverDatabaseName" not in str(gold["Resource"])


@pytest.mark.parametrize("role", ["SilverJob", "GoldJob", "MaintainJob", "Recover", "Sweep"])
def test_a_writer_of_a_registered_location_is_granted_the_location(role: str) -> None:
    granted = [
        text(each.properties["Resource"]["DataLocation"]["ResourceArn"])
        for each in permissions()
        if each.properties["Principal"] == {"DataLakePrincipalIdentifier": {"Ref": f"{role}RoleArn"}}
        and "DataLocation" in each.properties["Resource"]
    ]
    silver = "arn:${AWS::Partition}:s3:::${SilverBucketName}"
    gold = "arn:${AWS::Partition}:s3:::${GoldBucketName}/closed"
    expected = {"SilverJob": [silver], "GoldJob": [gold]}.get(role, [silver, gold])
    assert granted == expected


def test_the_templates_grants_and_tags_are_those_of_the_grants_file() -> None:
    """People read one file; the template must say the same."""
    grants = yaml.safe_load((ROOT / "governance" / "grants.yaml").read_text())
    assert resource("ClassificationTag").properties["TagValues"] == grants["classifications"]
    assert resource("DomainTag").properties["TagValues"] == grants["domains"]
    assert resource("GoldDatabaseTags").properties["LFTags"][1]["TagValues"] == grants["classifications"][-1:]
    named = {
        each.name: text(each.properties["RoleName"]).removeprefix("${LakeName}-${Environment}-")
        for each in resources("AWS::IAM::Role")
        if "RoleName" in each.properties
    }
    assert {grant["role"] for grant in grants["grants"]} <= set(named.values())
    assert {given["role"] for given in grants["rowFilters"]} <= set(named.values())
    written = [granted(each, named) for each in permissions() if is_of_people(each)]
    wanted = [
        (
            grant["role"],
            tuple(grant["layers"]),
            tuple(grant["classifications"]),
            grant.get("permission", "select"),
        )
        for grant in grants["grants"]
    ]
    assert sorted(written) == sorted(wanted)


def is_of_people(each: Resource) -> bool:
    """Whether it is a grant on tables to a role that people assume."""
    principal = each.properties["Principal"]["DataLakePrincipalIdentifier"]
    policy = each.properties["Resource"].get("LFTagPolicy", {})
    return "Fn::GetAtt" in principal and policy.get("ResourceType") == "TABLE"


def granted(each: Resource, named: dict[str, str]) -> tuple[str, tuple[str, ...], tuple[str, ...], str]:
    role = named[each.properties["Principal"]["DataLakePrincipalIdentifier"]["Fn::GetAtt"][0]]
    layers, classes = (
        tuple(part["TagValues"]) for part in each.properties["Resource"]["LFTagPolicy"]["Expression"]
    )
    permission = {"SELECT, DESCRIBE": "select", "DESCRIBE": "describe"}[
        ", ".join(each.properties["Permissions"])
    ]
    return role, layers, classes, permission
