"""A state machine of Step Functions with one task that waits: `begin N` starts it N times and prints the tokens of its tasks, `end` waits
for all of them and prints how each execution ended."""

import json
import os
import sys
import time

import boto3
from botocore.config import Config

URL = os.environ["STATES_URL"]
WAIT_S = 60


def client() -> object:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    return boto3.client("stepfunctions", endpoint_url=URL, config=Config(retries={"max_attempts": 2}), **keys)


def begin(count: int) -> None:
    states = client()
    activity = states.create_activity(name="kinglet")["activityArn"]
    definition = {"StartAt": "Job", "States": {"Job": {"Type": "Task", "Resource": activity, "End": True}}}
    role = "arn:aws:iam::000000000000:role/states"
    machine = states.create_state_machine(name="jobs", definition=json.dumps(definition), roleArn=role)
    for n in range(count):
        states.start_execution(stateMachineArn=machine["stateMachineArn"], name=f"n{n}", input=json.dumps({"n": n}))
    tokens = {}
    while len(tokens) < count:
        task = states.get_activity_task(activityArn=activity, workerName="test")
        if task.get("taskToken"):
            tokens[json.loads(task["input"])["n"]] = task["taskToken"]
    print(json.dumps([tokens[n] for n in range(count)]))


def end() -> None:
    states = client()
    machine = states.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    until = time.monotonic() + WAIT_S
    for execution in sorted(states.list_executions(stateMachineArn=machine)["executions"], key=lambda e: e["name"]):
        arn = execution["executionArn"]
        while True:
            said = states.describe_execution(executionArn=arn)
            if said["status"] != "RUNNING" or time.monotonic() > until:
                break
            time.sleep(0.05)
        events = states.get_execution_history(executionArn=arn)["events"]
        failed = [event["executionFailedEventDetails"] for event in events if "executionFailedEventDetails" in event]
        print(json.dumps({"status": said["status"], "output": said.get("output"), "failed": failed}))


if __name__ == "__main__":
    begin(int(sys.argv[2])) if sys.argv[1] == "begin" else end()
