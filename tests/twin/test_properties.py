"""Properties that behave (`twin/properties.yaml`) and that no other test looks at: each through CloudFormation.

`tests/infra/test_twin_properties.py` holds which test sees which property.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.twin.account import GLUE_TRUST, Account, policy, wait_for
from tests.twin.conftest import ROOT
from tests.twin.lake import ENVIRONMENT, STACK, TwinLake

TEMPLATE = ROOT / "tests" / "twin" / "fixtures" / "properties.yaml"
RETENTION_SECONDS = 60
RETRIES_SECONDS = 60
"""More than the twin takes for the two retries of an asynchronous invocation."""


@pytest.fixture(scope="session")
def account(twin: dict[str, str]) -> Account:
    return Account.administrator(twin)


@pytest.fixture(scope="session")
def stack(account: Account) -> Account:
    """The account, with the stack of `fixtures/properties.yaml` in it."""
    create_stack(account, "props", TEMPLATE.read_text())
    return account


def create_stack(account: Account, name: str, body: str) -> None:
    cloudformation = account.client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=body, Capabilities=["CAPABILITY_IAM"])

    def status() -> str | None:
        found = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        return None if found.endswith("IN_PROGRESS") else str(found)

    assert wait_for(status) == "CREATE_COMPLETE"


# --- Queues ---------------------------------------------------------------------------------------------


def bodies(account: Account, queue: str) -> list[str]:
    sqs = account.client("sqs")
    received = sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"])
    return [message["Body"] for message in received.get("Messages", [])]


def send(account: Account, queue: str, *texts: str) -> None:
    sqs = account.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    for text in texts:
        sqs.send_message(QueueUrl=url, MessageBody=text)


def test_a_message_nobody_deletes_goes_to_the_dead_letters(stack: Account) -> None:
    send(stack, "props-brittle", "fragile")
    assert bodies(stack, "props-brittle") == ["fragile"]
    # Invisible for a second; then it has been received as often as it may.
    assert bodies(stack, "props-dead") == []
    time.sleep(1.1)
    assert bodies(stack, "props-brittle") == []
    assert bodies(stack, "props-dead") == ["fragile"]


@dataclass(frozen=True)
class Sent:
    """A message, and when it was sent, on the monotonic clock."""

    account: Account
    at: float


@pytest.fixture(scope="session")
def short_lived(stack: Account) -> Sent:
    """A message in a queue that keeps it for as short a time as SQS allows."""
    send(stack, "props-short", "soon gone")
    return Sent(stack, time.monotonic())


def waiting(account: Account, queue: str) -> int:
    sqs = account.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    names = ["ApproximateNumberOfMessages"]
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return int(answer["ApproximateNumberOfMessages"])


def test_a_message_is_kept(short_lived: Sent) -> None:
    assert waiting(short_lived.account, "props-short") == 1


@pytest.mark.whole_tier
def test_a_message_is_kept_for_its_time_only(short_lived: Sent) -> None:
    """Last of the tier, so that the minute has passed meanwhile."""
    time.sleep(max(0.0, short_lived.at + RETENTION_SECONDS + 1 - time.monotonic()))
    assert waiting(short_lived.account, "props-short") == 0


# --- Functions --------------------------------------------------------------------------------------------


def invoke(account: Account, payload: dict[str, Any]) -> dict[str, Any]:
    answer = account.client("lambda").invoke(FunctionName="props", Payload=json.dumps(payload).encode())
    told: dict[str, Any] = json.loads(answer["Payload"].read()) or {}
    return told


def said(account: Account, who: str) -> list[dict[str, Any]]:
    """What the function has said in its own log group about the calls of somebody."""
    events = account.client("logs").filter_log_events(logGroupName="/props/said")["events"]
    lines = [json.loads(e["message"]) for e in events if e["message"].startswith('{"who"')]
    return [line for line in lines if line["who"] == who]


def test_a_function_logs_where_it_is_told_to(stack: Account) -> None:
    assert invoke(stack, {"source": "logging", "seconds": 0}) == {}
    [line] = wait_for(lambda: said(stack, "logging"))
    assert line["ended"] >= line["began"]


def test_a_function_that_takes_too_long_is_ended(stack: Account) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
    told = invoke(stack, {"source": "slow", "seconds": 5})
    assert "Task timed out after 1.00 seconds" in told["errorMessage"]
    assert said(stack, "slow") == []


def test_a_rule_reaches_a_function_that_admits_it(stack: Account) -> None:
    entries = [
        {"Source": f"props.{name}", "DetailType": "x", "Detail": "{}"}
        for name in ("shut-out", "switched-off", "admitted")
    ]
    stack.client("events").put_events(Entries=entries)
    wait_for(lambda: said(stack, "props.admitted"))
    assert said(stack, "props.shut-out") == []
    assert said(stack, "props.switched-off") == []


def test_a_mapping_calls_no_more_at_once_than_it_may(stack: Account) -> None:
    send(stack, "props-crowd", *"abcdef")
    calls = wait_for(lambda: found if len(found := said(stack, "queue")) == 6 else None)
    most = max(sum(c["began"] <= call["began"] < c["ended"] for c in calls) for call in calls)
    assert most == 2


def test_what_a_function_failed_on_to_the_last_is_kept(deployed: TwinLake) -> None:
    """The lake's own recovery, asked for something it cannot read, retried, then kept for people to see."""
    deployed.client("lambda").invoke(
        FunctionName=f"{STACK}-recover", InvocationType="Event", Payload=b'{"no": "event"}'
    )
    sqs, url = deployed.client("sqs"), deployed.cli.name("FailedEventsQueueUrl")
    [message] = wait_for(lambda: sqs.receive_message(QueueUrl=url).get("Messages"), RETRIES_SECONDS)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    record = json.loads(message["Body"])
    assert record["requestPayload"] == {"no": "event"}
    context = record["requestContext"]
    assert (context["condition"], context["approximateInvokeCount"]) == ("RetriesExhausted", 3)


# --- The lake's buckets, keys and tables -------------------------------------------------------------------


def test_the_lakes_buckets_refuse_another_encryption(deployed: TwinLake) -> None:
    s3, bucket = deployed.client("s3"), deployed.cli.name("ResultsBucketName")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket=bucket, Key="other", Body=b"x", ServerSideEncryption="AES256")
    s3.put_object(Bucket=bucket, Key="unsaid", Body=b"x")  # gets the bucket's own
    s3.delete_object(Bucket=bucket, Key="unsaid")


def test_the_lakes_buckets_refuse_a_foreign_key(deployed: TwinLake, account: Account) -> None:
    """As the administrator, whom IAM refuses nothing: it is the bucket that refuses."""
    s3, kms = deployed.client("s3"), account.client("kms")
    own = kms.describe_key(KeyId=f"alias/{STACK}")["KeyMetadata"]["Arn"]
    foreign = kms.create_key()["KeyMetadata"]["Arn"]
    by_kms = {"ServerSideEncryption": "aws:kms"}
    asked: list[dict[str, Any]] = [
        {**by_kms, "SSEKMSKeyId": foreign},
        by_kms,  # S3 would take a key of its own
        {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32},
    ]
    for layer in ("Bronze", "Silver", "Gold", "Operations", "Results"):
        bucket = deployed.cli.name(f"{layer}BucketName")
        for options in asked:
            with pytest.raises(ClientError, match="AccessDenied"):
                s3.put_object(Bucket=bucket, Key="_foreign", Body=b"x", **options)
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.create_multipart_upload(Bucket=bucket, Key="_foreign", **asked[0])
    results = deployed.cli.name("ResultsBucketName")
    s3.put_object(Bucket=results, Key="named", Body=b"x", **by_kms, SSEKMSKeyId=own)
    upload = s3.create_multipart_upload(Bucket=results, Key="parts", **by_kms, SSEKMSKeyId=own)["UploadId"]
    s3.upload_part(Bucket=results, Key="parts", UploadId=upload, PartNumber=1, Body=b"x")
    s3.abort_multipart_upload(Bucket=results, Key="parts", UploadId=upload)
    s3.delete_object(Bucket=results, Key="named")


def test_the_lakes_buckets_refuse_plain_http(deployed: TwinLake, account: Account) -> None:
    session: Any = boto3.session.Session()
    plain = session.client(
        "s3",
        endpoint_url=account.endpoint["plain_endpoint"],
        region_name=account.endpoint["region"],
        aws_access_key_id=account.access_key,
        aws_secret_access_key=account.secret_key,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )
    assert plain.list_buckets()["Buckets"]  # it answers, so it is the buckets that refuse
    for layer in ("Bronze", "Silver", "Gold", "Operations", "Results", "Logs"):
        bucket = deployed.cli.name("ResultsBucketName").replace("-results-", f"-{layer.lower()}-")
        for call in (plain.put_object, plain.get_object, plain.list_objects_v2):
            options = {} if call == plain.list_objects_v2 else {"Key": "_plain"}
            with pytest.raises(ClientError, match="AccessDenied"):
                call(Bucket=bucket, **options)


def test_who_publishes_to_the_failure_topic_needs_its_key(deployed: TwinLake, account: Account) -> None:
    # https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    topic = deployed.cli.name("FailureTopicArn")
    key = account.client("kms").describe_key(KeyId=f"alias/{STACK}")["KeyMetadata"]["Arn"]
    publish = (["sns:Publish"], [topic])
    without = account.make_user("props-without-key", publish)
    with pytest.raises(ClientError, match="kms:"):
        without.client("sns").publish(TopicArn=topic, Message="not sent")
    use = (["kms:GenerateDataKey", "kms:Decrypt"], [key])
    account.make_user("props-with-key", publish, use).client("sns").publish(TopicArn=topic, Message="sent")


def test_a_keys_own_policy_has_to_admit_who_uses_it(account: Account) -> None:
    # https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html
    kms = account.client("kms")
    admitting = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
    nobody = {"AWS": "arn:aws:iam::000000000000:role/nobody"}
    shut = kms.create_key(Policy=json.dumps({"Statement": [{**admitting, "Principal": nobody}]}))
    user = account.make_user("props-key-user", (["kms:Encrypt"], ["*"])).client("kms")
    user.encrypt(KeyId=kms.create_key()["KeyMetadata"]["Arn"], Plaintext=b"x")
    with pytest.raises(ClientError, match="AccessDenied"):
        user.encrypt(KeyId=shut["KeyMetadata"]["Arn"], Plaintext=b"x")


def test_a_change_of_the_ledger_is_streamed(deployed: TwinLake) -> None:
    table = deployed.cli.name("LedgerTableName")
    streams = deployed.client("dynamodbstreams")
    [found] = streams.list_streams(TableName=table)["Streams"]
    stream = streams.describe_stream(StreamArn=found["StreamArn"])["StreamDescription"]
    assert stream["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    where = {"StreamArn": found["StreamArn"], "ShardId": stream["Shards"][-1]["ShardId"]}
    iterator = streams.get_shard_iterator(**where, ShardIteratorType="LATEST")["ShardIterator"]
    item = {"pk": {"S": "PROPS"}, "sk": {"S": "PROPS"}}
    deployed.client("dynamodb").put_item(TableName=table, Item=item)
    records = streams.get_records(ShardIterator=iterator)["Records"]
    deployed.client("dynamodb").delete_item(TableName=table, Key=item)
    assert [record["dynamodb"]["NewImage"] for record in records] == [item]


# --- Glue -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crawled(account: Account) -> str:
    """A bucket, a database and a crawler of this name, which only logs what has changed."""
    name = "props-crawled"
    account.make_bucket(name)
    account.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(GLUE_TRUST))
    everything = (["s3:GetObject", "s3:ListBucket", "glue:*"], ["*"])
    account.client("iam").put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy(everything))
    crawler = {
        "Name": name,
        "Role": f"arn:aws:iam::{account.endpoint['account']}:role/{name}",
        "DatabaseName": "props_crawled",
        "Targets": {"S3Targets": [{"Path": f"s3://{name}/things/"}]},
        "SchemaChangePolicy": {"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"},
    }
    database = {"CatalogId": account.endpoint["account"], "DatabaseInput": {"Name": "props_crawled"}}
    resources = {
        "Database": {"Type": "AWS::Glue::Database", "Properties": database},
        "Crawler": {"Type": "AWS::Glue::Crawler", "Properties": crawler, "DependsOn": "Database"},
    }
    create_stack(account, name, json.dumps({"Resources": resources}))
    return name


def crawl(account: Account, name: str) -> list[str]:
    """Crawl; the columns of the table afterwards."""
    glue = account.client("glue")
    glue.start_crawler(Name=name)
    wait_for(lambda: glue.get_crawler(Name=name)["Crawler"]["State"] == "READY")
    table = glue.get_table(DatabaseName="props_crawled", Name="things")["Table"]
    return [column["Name"] for column in table["StorageDescriptor"]["Columns"]]


def test_a_crawler_that_only_logs_changes_no_table(account: Account, crawled: str) -> None:
    account.put(crawled, "things/a.csv", "id,size\n1,2\n")
    assert crawl(account, crawled) == ["id", "size"]
    account.put(crawled, "things/a.csv", "id,size,colour\n1,2,red\n")
    assert crawl(account, crawled) == ["id", "size"]


def test_a_job_that_asks_for_retries_does_not_start(account: Account) -> None:
    glue = account.client("glue")
    command = {"Name": "glueetl", "ScriptLocation": "s3://x/y"}
    role = "arn:aws:iam::000000000000:role/none"
    glue.create_job(Name="props-retries", Role=role, Command=command, MaxRetries=1)
    with pytest.raises(ClientError, match="does not retry runs"):
        glue.start_job_run(JobName="props-retries")


@pytest.mark.parametrize("layer", ["Bronze", "Results"])
def test_the_stacks_tags_reach_the_resources_of_nested_stacks(deployed: TwinLake, layer: str) -> None:
    bucket = deployed.cli.name(f"{layer}BucketName")
    tags = {
        tag["Key"]: tag["Value"] for tag in deployed.client("s3").get_bucket_tagging(Bucket=bucket)["TagSet"]
    }
    assert tags == {"lake": "lake", "environment": ENVIRONMENT, "layer": layer.lower()}
