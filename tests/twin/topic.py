"""What is published on the topic of failures while a test listens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.twin.lake import TwinLake

QUEUE = "failures-heard"


@contextmanager
def failure_messages(lake: TwinLake) -> Iterator[Callable[[], list[str]]]:
    """While it lasts, a function that answers with all messages so far."""
    with messages_on(lake.client, lake.cli.name("FailureTopicArn")) as listen:
        yield listen


@contextmanager
def messages_on(client: Callable[[str], Any], topic: str) -> Iterator[Callable[[], list[str]]]:
    """The same on any topic; ``client`` makes clients of the topic's region."""
    sqs, sns = client("sqs"), client("sns")
    queue = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
    heard: list[str] = []

    def listen() -> list[str]:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            heard.append(json.loads(message["Body"])["Message"])
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return heard

    yield listen
    sns.unsubscribe(SubscriptionArn=subscription)
    sqs.delete_queue(QueueUrl=queue)
