"""The twin itself, by a tiny application: what it deploys, refuses and deletes, how tasks and functions act.

Where AWS's documentation says what should happen, the test names the page.
"""

from __future__ import annotations

import io
import json
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.twin.account import Account
from tests.twin.conftest import ROOT, STATE_DIR
from twin.deploy import Target, deploy_stack, failures, stack_outputs
from twin.errors import DeployError
from twin.settings import Settings

STACK = "tiny"
TEMPLATE = "tests/twin/fixtures/tiny/template.yaml"
WAIT_SECONDS = 60


def wait_for(look: Callable[[], Any]) -> Any:
    """What ``look`` sees once it sees something."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if (seen := look()) is not None:
            return seen
        time.sleep(0.1)
    raise AssertionError(f"nothing within {WAIT_SECONDS} s")


class Tiny:
    """The deployed tiny application."""

    def __init__(self, target: Target, outputs: dict[str, str]) -> None:
        self.target = target
        self.outputs = outputs
        self.states = target.client("stepfunctions")

    def start(self, given: dict[str, Any], name: str | None = None) -> str:
        """Start an execution; returns its ARN."""
        named = {"name": name} if name else {}
        machine = self.outputs["MachineArn"]
        answer = self.states.start_execution(stateMachineArn=machine, input=json.dumps(given), **named)
        return str(answer["executionArn"])

    def ended(self, arn: str) -> dict[str, Any]:
        """An execution once it has ended."""

        def look() -> dict[str, Any] | None:
            try:
                execution: dict[str, Any] = self.states.describe_execution(executionArn=arn)
            except self.states.exceptions.ExecutionDoesNotExist:
                return None
            return execution if execution["status"] != "RUNNING" else None

        return dict(wait_for(look))

    def messages(self, url: str) -> list[str]:
        """The bodies a queue holds, taken from it."""
        received = self.target.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return [message["Body"] for message in received.get("Messages", [])]


@pytest.fixture(scope="module")
def target(twin: dict[str, str]) -> Target:
    assert twin["account"] == "000000000000"
    return Target.find(Settings(ROOT, state_folder=ROOT / STATE_DIR))


@pytest.fixture(scope="module")
def tiny(target: Target) -> Iterator[Tiny]:
    yield Tiny(target, deploy_stack(target, STACK, TEMPLATE))
    if "tiny-in-000000000000" in buckets(target):
        empty_bucket(target, "tiny-in-000000000000")
    operate(target, "delete_stack")
    target.client("dynamodb").delete_table(TableName="tiny-table")


def operate(target: Target, operation: str, **parameters: str) -> tuple[str, list[str]]:
    """Let CloudFormation update or delete the application; returns the final status and what failed, and why.

    Not through the SAM CLI, which takes half a minute for each.
    """
    cloudformation = target.client("cloudformation")
    given: dict[str, Any] = {}
    if operation == "update_stack":
        [stack] = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
        kept = {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]} | parameters
        given["Parameters"] = [{"ParameterKey": key, "ParameterValue": value} for key, value in kept.items()]
        given |= {"UsePreviousTemplate": True, "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]}
    [before] = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    getattr(cloudformation, operation)(StackName=STACK, **given)

    def status() -> str | None:
        [stack] = cloudformation.describe_stacks(StackName=before["StackId"])["Stacks"]
        return None if stack["StackStatus"].endswith("_IN_PROGRESS") else str(stack["StackStatus"])

    return wait_for(status), failures(target, before["StackId"])


def buckets(target: Target) -> set[str]:
    return {bucket["Name"] for bucket in target.client("s3").list_buckets()["Buckets"]}


def empty_bucket(target: Target, bucket: str) -> None:
    s3 = target.client("s3")
    for version in s3.list_object_versions(Bucket=bucket).get("Versions", []):
        s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])


@pytest.fixture(scope="module")
def status_events(target: Target) -> str:
    """A queue that receives every status change of an execution; returns its address."""
    sqs, events = target.client("sqs"), target.client("events")
    url = sqs.create_queue(QueueName="status-events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.states"], "detail": {"status": ["FAILED", "TIMED_OUT", "ABORTED"]}}
    events.put_rule(Name="status", EventPattern=json.dumps(pattern))
    statement = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}}
    policy = {"Statement": [{**statement, "Action": "sqs:SendMessage", "Resource": arn}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    events.put_targets(Rule="status", Targets=[{"Id": "queue", "Arn": arn}])
    return str(url)


def status_event(tiny: Tiny, url: str, execution: str) -> dict[str, Any]:
    """The event about the end of an execution."""
    seen: list[dict[str, Any]] = []

    def look() -> dict[str, Any] | None:
        seen.extend(json.loads(body) for body in tiny.messages(url))
        return next((event for event in seen if event["resources"] == [execution]), None)

    return dict(wait_for(look))


# --- The way of an event -----------------------------------------------------------------------


def test_objects_go_through_events_queue_function_and_machine_to_the_topic(tiny: Tiny) -> None:
    s3 = tiny.target.client("s3")
    keys = [f"object-{number}" for number in range(14)]
    for key in [*keys, "poison"]:
        s3.put_object(Bucket=tiny.outputs["BucketName"], Key=key, Body=b"x")
    machine = tiny.outputs["MachineArn"].replace(":stateMachine:", ":execution:")
    executions = [tiny.ended(f"{machine}:{key}") for key in keys]
    assert [json.loads(e["output"]) for e in executions] == [{"said": f"hello {key}"} for key in keys]
    # A batching window of one second collects more than the ten messages of one receive.
    assert max(json.loads(e["input"])["batch"] for e in executions) > 10
    told: list[str] = []

    def all_told() -> list[str] | None:
        told.extend(tiny.messages(tiny.outputs["ResultsUrl"]))
        return told if len(told) >= 14 else None

    wait_for(all_told)
    assert sorted(told) == sorted(f"hello {key}" for key in keys)
    # The one reported as failed waits until its visibility timeout ends; its neighbours are gone.
    attributes = tiny.target.client("sqs").get_queue_attributes(
        QueueUrl=tiny.outputs["QueueUrl"], AttributeNames=["All"]
    )["Attributes"]
    waiting = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    assert sum(int(attributes[name]) for name in waiting) == 1


def test_a_target_that_does_not_admit_the_rule_gets_nothing(target: Target) -> None:
    sqs, events = target.client("sqs"), target.client("events")
    events.put_rule(Name="shut-out", EventPattern=json.dumps({"source": ["tiny.test"]}))
    arns = []
    for name in ("shut", "open"):
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        arns.append(
            sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        )
    statement = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Resource": arns[1]}
    policy = {"Statement": [{**statement, "Action": "sqs:SendMessage"}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    events.put_targets(Rule="shut-out", Targets=[{"Id": a.split(":")[-1], "Arn": a} for a in arns])
    events.put_events(Entries=[{"Source": "tiny.test", "DetailType": "x", "Detail": "{}"}])
    wait_for(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
    assert "Messages" not in sqs.receive_message(QueueUrl=url.replace("open", "shut"))


# --- Functions ------------------------------------------------------------------------------------


def test_a_function_finds_its_code_its_layer_and_the_runtime_only(tiny: Tiny) -> None:
    answer = tiny.target.client("lambda").invoke(
        FunctionName=tiny.outputs["WorkFunctionName"], Payload=b'{"key": "path"}'
    )
    told = json.loads(answer["Payload"].read())
    assert not [entry for entry in told["path"] if "site-packages" in entry]
    assert told["env"]["AWS_ENDPOINT_URL"] == tiny.target.endpoint["endpoint"]
    assert told["env"]["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert not {"VIRTUAL_ENV", "PYTHONPATH", "MINISTACK_ACCOUNT_ID", "AWS_PROFILE"} & told["env"].keys()


def test_an_error_names_the_exceptions_class(tiny: Tiny) -> None:
    answer = tiny.target.client("lambda").invoke(
        FunctionName=tiny.outputs["WorkFunctionName"], Payload=b'{"key": "ugly"}'
    )
    assert answer["FunctionError"] == "Unhandled"
    told = json.loads(answer["Payload"].read())
    assert (told["errorType"], told["errorMessage"]) == ("NotLikedError", "an ugly key")


def test_an_asynchronous_failure_goes_to_the_functions_destination(tiny: Tiny) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    function, client = tiny.outputs["WorkFunctionName"], tiny.target.client("lambda")
    url = tiny.target.client("sqs").create_queue(QueueName="destination")["QueueUrl"]
    destination = {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:destination"}}
    client.put_function_event_invoke_config(
        FunctionName=function, MaximumRetryAttempts=1, DestinationConfig=destination
    )
    client.invoke(FunctionName=function, InvocationType="Event", Payload=b'{"key": "ugly"}')
    [body] = wait_for(lambda: tiny.messages(url) or None)
    record = json.loads(body)
    assert record["requestPayload"] == {"key": "ugly"}
    assert record["responsePayload"]["errorType"] == "NotLikedError"


def test_a_function_needs_a_role_that_trusts_lambda(tiny: Tiny) -> None:
    iam, client = tiny.target.client("iam"), tiny.target.client("lambda")
    trust = {"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName="glues", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))[
        "Role"
    ]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("app.py", "def handler(event, context): return 1")
    client.create_function(
        FunctionName="untrusted",
        Runtime="python3.11",
        Handler="app.handler",
        Role=role["Arn"],
        Code={"ZipFile": archive.getvalue()},
    )
    told = json.loads(client.invoke(FunctionName="untrusted")["Payload"].read())
    assert "does not allow lambda.amazonaws.com to assume it" in told["errorMessage"]


def test_sam_remote_invoke_reaches_a_function(tiny: Tiny) -> None:
    done = subprocess.run(
        [
            *(str(ROOT / ".tools/sam/bin/sam"), "remote", "invoke", "WorkFunction"),
            *("--stack-name", STACK, "--event", '{"key": "anna"}'),
        ],
        env=tiny.target.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"] == "hello anna"


# --- Executions -------------------------------------------------------------------------------------


def test_a_catch_sees_the_functions_error(tiny: Tiny) -> None:
    execution = tiny.ended(tiny.start({"key": "very ugly"}))
    assert json.loads(execution["output"]) == {"said": "NotLikedError"}


def test_an_sdk_integration_takes_pascal_case_and_names_errors_as_the_java_sdk_does(tiny: Tiny) -> None:
    # https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
    tiny.ended(tiny.start({"key": "twice"}))
    execution = tiny.ended(tiny.start({"key": "twice"}))
    assert json.loads(execution["output"]) == {"said": "already there"}


def test_the_same_name_and_input_is_one_execution_while_it_runs(tiny: Tiny) -> None:
    # https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    given = {"key": "once", "pause": 2}
    first, again = tiny.start(given, "once"), tiny.start(given, "once")
    assert first == again
    with pytest.raises(tiny.states.exceptions.ExecutionAlreadyExists):
        tiny.start({"key": "other"}, "once")
    tiny.ended(first)
    with pytest.raises(tiny.states.exceptions.ExecutionAlreadyExists):
        tiny.start(given, "once")


def test_a_stopped_execution_is_aborted_and_told(tiny: Tiny, status_events: str) -> None:
    # https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
    arn = tiny.start({"key": "stopped", "pause": 15})
    tiny.states.stop_execution(executionArn=arn, error="Enough", cause="by a test")
    assert tiny.ended(arn)["status"] == "ABORTED"
    event = status_event(tiny, status_events, arn)
    assert event["detail-type"] == "Step Functions Execution Status Change"
    detail = event["detail"]
    assert (detail["status"], detail["error"], detail["cause"]) == ("ABORTED", "Enough", "by a test")
    assert json.loads(detail["input"]) == {"key": "stopped", "pause": 15}
    assert detail["stopDate"] > detail["startDate"] > 1_500_000_000_000


def test_an_execution_that_lasts_too_long_is_timed_out_and_told(tiny: Tiny, status_events: str) -> None:
    arn = tiny.start({"key": "slow", "pause": 50})
    execution = tiny.ended(arn)
    assert execution["status"] == "TIMED_OUT"
    assert 8 <= (execution["stopDate"] - execution["startDate"]).total_seconds() < 12
    assert status_event(tiny, status_events, arn)["detail"]["status"] == "TIMED_OUT"


def test_a_task_may_do_what_the_machines_role_may(tiny: Tiny, status_events: str) -> None:
    iam = tiny.target.client("iam")
    role = tiny.states.describe_state_machine(stateMachineArn=tiny.outputs["MachineArn"])["roleArn"].split(
        "/"
    )[-1]
    [name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    narrowed = {**document, "Statement": [s for s in document["Statement"] if s["Action"] != "sns:Publish"]}
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(narrowed))
    try:
        arn = tiny.start({"key": "denied"})
        execution = tiny.ended(arn)
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
    assert (execution["status"], execution["error"]) == ("FAILED", "SNS.AuthorizationErrorException")
    assert status_event(tiny, status_events, arn)["detail"]["error"] == "SNS.AuthorizationErrorException"


# --- Keys -------------------------------------------------------------------------------------------


def test_who_writes_to_an_encrypted_bucket_needs_its_key(target: Target) -> None:
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
    iam, s3 = target.client("iam"), target.client("s3")
    key = target.client("kms").create_key()["KeyMetadata"]["Arn"]
    s3.create_bucket(Bucket="tiny-secret")
    default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    s3.put_bucket_encryption(Bucket="tiny-secret", ServerSideEncryptionConfiguration={"Rules": [default]})
    iam.create_user(UserName="writer")
    keys = iam.create_access_key(UserName="writer")["AccessKey"]
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], region_name="us-east-1")
    writer = session.client(
        "s3", endpoint_url=target.endpoint["endpoint"], verify=target.endpoint["ca_bundle"]
    )
    statement = {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": "arn:aws:s3:::tiny-secret/*"}
    iam.put_user_policy(
        UserName="writer", PolicyName="w", PolicyDocument=json.dumps({"Statement": [statement]})
    )
    with pytest.raises(ClientError, match="kms:GenerateDataKey"):
        writer.put_object(Bucket="tiny-secret", Key="a", Body=b"x")
    use = {"Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": key}
    iam.put_user_policy(
        UserName="writer", PolicyName="w", PolicyDocument=json.dumps({"Statement": [statement, use]})
    )
    writer.put_object(Bucket="tiny-secret", Key="a", Body=b"x")


def test_who_uses_items_of_an_encrypted_table_needs_its_key(target: Target) -> None:
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
    account = Account.administrator(dict(target.endpoint))
    key = target.client("kms").create_key()["KeyMetadata"]["Arn"]
    name = {"AttributeName": "pk"}
    target.client("dynamodb").create_table(
        TableName="tiny-secret",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{**name, "AttributeType": "S"}],
        KeySchema=[{**name, "KeyType": "HASH"}],
        SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key},
    )
    arn = f"arn:aws:dynamodb:us-east-1:{target.endpoint['account']}:table/tiny-secret"
    use = (["dynamodb:GetItem"], [arn])
    item = {"TableName": "tiny-secret", "Key": {"pk": {"S": "a"}}}
    with pytest.raises(ClientError, match="kms:Decrypt"):
        account.make_user("reader-without-key", use).client("dynamodb").get_item(**item)
    opening = (["kms:Decrypt"], [key])
    assert "Item" not in account.make_user("reader-with-key", use, opening).client("dynamodb").get_item(
        **item
    )


def test_a_missing_key_is_told_to_who_may_list(target: Target) -> None:
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html, "Permissions"
    account = Account.administrator(dict(target.endpoint))
    account.make_bucket("tiny-missing")
    read = (["s3:GetObject"], ["arn:aws:s3:::tiny-missing/*"])
    blind = account.make_user("reader-who-may-not-list", read).client("s3")
    with pytest.raises(ClientError, match="AccessDenied"):
        blind.get_object(Bucket="tiny-missing", Key="a")
    with pytest.raises(ClientError, match="403"):
        blind.head_object(Bucket="tiny-missing", Key="a")
    listing = (["s3:ListBucket"], ["arn:aws:s3:::tiny-missing"])
    seeing = account.make_user("reader-who-may-list", read, listing).client("s3")
    with pytest.raises(ClientError, match="NoSuchKey"):
        seeing.get_object(Bucket="tiny-missing", Key="a")
    with pytest.raises(ClientError, match="404"):
        seeing.head_object(Bucket="tiny-missing", Key="a")


# --- Deployments: these change the application, in this order -------------------------------------------


def test_what_the_emulator_would_drop_is_applied(tiny: Tiny) -> None:
    s3, bucket = tiny.target.client("s3"), tiny.outputs["BucketName"]
    [encryption] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert encryption["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    [rule] = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "lake", "Value": "tiny"}]
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    dynamodb = tiny.target.client("dynamodb")
    backups = dynamodb.describe_continuous_backups(TableName="tiny-table")["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    expiry = dynamodb.describe_time_to_live(TableName="tiny-table")["TimeToLiveDescription"]
    assert (expiry["TimeToLiveStatus"], expiry["AttributeName"]) == ("ENABLED", "expires")


def test_a_property_the_twin_has_no_word_on_fails_the_deployment(target: Target) -> None:
    cloudformation = target.client("cloudformation")
    template = {"Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"Colour": "blue"}}}}
    cloudformation.create_stack(StackName="unknown", TemplateBody=json.dumps(template))

    def failed() -> str | None:
        events = cloudformation.describe_stack_events(StackName="unknown")["StackEvents"]
        reasons = [e["ResourceStatusReason"] for e in events if e["ResourceStatus"] == "CREATE_FAILED"]
        return reasons[0] if reasons else None

    assert "does not know Colour of AWS::SQS::Queue" in wait_for(failed)


def test_a_protected_table_refuses_deletion(target: Target) -> None:
    cloudformation, dynamodb = target.client("cloudformation"), target.client("dynamodb")
    replica = {"Region": "us-east-1", "DeletionProtectionEnabled": "true"}
    properties = {
        "TableName": "protected",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "StreamSpecification": {"StreamViewType": "NEW_IMAGE"},
        "Replicas": [replica],
    }
    table = {"Type": "AWS::DynamoDB::GlobalTable", "Properties": properties}
    body = json.dumps({"Resources": {"T": table}})
    cloudformation.create_stack(StackName="protected", TemplateBody=body)
    wait_for(lambda: dynamodb.list_tables()["TableNames"].count("protected") or None)
    cloudformation.get_waiter("stack_create_complete").wait(StackName="protected", WaiterConfig={"Delay": 1})
    cloudformation.delete_stack(StackName="protected")

    def refused() -> str | None:
        [stack] = cloudformation.describe_stacks(StackName="protected")["Stacks"]
        return stack["StackStatus"] if stack["StackStatus"] == "DELETE_FAILED" else None

    wait_for(refused)
    assert "protected" in dynamodb.list_tables()["TableNames"]


def test_a_failed_update_is_rolled_back_nested_stack_and_custom_resource_included(tiny: Tiny) -> None:
    status, reasons = operate(tiny.target, "update_stack", Broken="true", Greeting="bye")
    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert "Seed: The function ended with RuntimeError: broken on purpose" in reasons
    execution = tiny.ended(tiny.start({"key": "after"}))
    assert json.loads(execution["output"]) == {"said": "hello after"}


def test_an_update_changes_what_changed(tiny: Tiny) -> None:
    status, _ = operate(tiny.target, "update_stack", Greeting="bye")
    assert status == "UPDATE_COMPLETE"
    assert stack_outputs(tiny.target, STACK) == {**tiny.outputs, "SeedName": "seed-bye"}


def test_deletion_is_refused_by_a_bucket_that_is_not_empty(tiny: Tiny) -> None:
    tiny.target.client("s3").put_object(Bucket=tiny.outputs["BucketName"], Key="last", Body=b"x")
    status, reasons = operate(tiny.target, "delete_stack")
    assert status == "DELETE_FAILED"
    assert any("The bucket you tried to delete is not empty" in reason for reason in reasons)


def test_deletion_keeps_what_is_to_be_kept_and_that_blocks_a_second_creation(
    tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    empty_bucket(tiny.target, tiny.outputs["BucketName"])
    assert operate(tiny.target, "delete_stack") == ("DELETE_COMPLETE", [])
    assert "tiny-table" in tiny.target.client("dynamodb").list_tables()["TableNames"]
    assert tiny.outputs["BucketName"] not in buckets(tiny.target)
    with pytest.raises(DeployError):
        deploy_stack(tiny.target, STACK, TEMPLATE)
    assert "Table: The table tiny-table already exists." in capsys.readouterr().out
    # The failed creation left nothing behind, its nested stack included.
    assert tiny.outputs["BucketName"] not in buckets(tiny.target)
