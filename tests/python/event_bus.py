"""An event bus whose events of Kinglet go to a queue: `make` makes both, `receive N` waits for N events and prints them."""

import json
import os
import sys
import time

import boto3
from botocore.config import Config

URL = os.environ["EVENT_BUS_URL"]
WAIT_S = 60


def client(service: str) -> object:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    return boto3.client(service, endpoint_url=URL, config=Config(retries={"max_attempts": 2}), **keys)


def make() -> None:
    events, sqs = client("events"), client("sqs")
    events.create_event_bus(Name="jobs")
    queue = sqs.create_queue(QueueName="ended")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["kinglet"], "detail-type": ["Kinglet Job Ended"], "detail": {"version": [1]}}
    events.put_rule(Name="ended", EventBusName="jobs", EventPattern=json.dumps(pattern))
    done = events.put_targets(Rule="ended", EventBusName="jobs", Targets=[{"Id": "queue", "Arn": arn}])
    assert done["FailedEntryCount"] == 0, done


def receive(count: int) -> None:
    sqs = client("sqs")
    queue = sqs.get_queue_url(QueueName="ended")["QueueUrl"]
    found = []
    until = time.monotonic() + WAIT_S
    while len(found) < count and time.monotonic() < until:
        got = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in got.get("Messages", []):
            found.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    # Who is told too often is told by now.
    late = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
    found += [json.loads(message["Body"]) for message in late]
    for event in found:
        print(json.dumps(event))


if __name__ == "__main__":
    make() if sys.argv[1] == "make" else receive(int(sys.argv[2]))
