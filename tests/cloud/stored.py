"""Jobs that start themselves, as `docs/guide/stored.md` has it: by a schedule, by new objects, by a task of Step Functions, by hand. All
events come from ministack's services, by the rights that the template gives."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import jobs
from jobs import Driver
from stack import INPUT, OUTPUT, Stack
from tools import check

WAIT_S = 180
# The role of the state machines.
ROLE = "kinglet-states"


def wait_for(what: str, found: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not found():
        check(time.monotonic() < until, f"there is no {what}")
        time.sleep(0.5)


def there(stack: Stack, prefix: str) -> bool:
    listed = stack.root.s3.list_objects_v2(Bucket=OUTPUT, Prefix=f"{prefix}_manifest.json")
    return listed["KeyCount"] > 0


def check_stored(stack: Stack, driver: Driver, source: str, target: str) -> None:
    """`source` and `target` are the folders that jobs may use."""
    root, splitter = stack.root, stack.outputs["SplitterArn"]
    first, second = b"a b a", b"c"
    root.s3.put_object(Bucket=INPUT, Key=f"{source}2026-11-22/a", Body=first)
    uri, results = f"s3://{INPUT}/{source}", f"s3://{OUTPUT}/{target}"
    driver.count(f"{uri}%Y-%m-%d/", f"{results}daily/%Y-%m-%d", "--store", "daily", "--time-back", "1d")
    said = json.loads(driver.run("stored", "--json"))
    check([one["name"] for one in said] == ["daily"], f"stored is {said}")

    # A schedule whose event comes twice.
    event = {"start": {"stored": "daily", "at": "2026-11-23T02:00:00Z", "once": "2026-11-23T02:00:00Z"}}
    for n in range(2):
        soon = (datetime.now(UTC) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")
        to = {"Arn": splitter, "RoleArn": stack.outputs["ScheduleRoleArn"], "Input": json.dumps(event)}
        root.scheduler.create_schedule(
            Name=f"daily-{n}",
            ScheduleExpression=f"at({soon})",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target=to,
        )
    wait_for("result of the schedule", lambda: there(stack, f"{target}daily/2026-11-22/"))
    counted = jobs.read_output(root, f"{target}daily/2026-11-22/")
    check(counted == jobs.counts([first]), f"the schedule's job counted {counted}")

    # New objects, of which the job's own are none. The rule's name is what the template permits.
    driver.count(f"{uri}new/", f"{results}new", "--overwrite", "--store", "new", "--quiet", "2s")
    root.s3.put_bucket_notification_configuration(
        Bucket=INPUT, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    rule = "kinglet-new-objects"
    detail = {"bucket": {"name": [INPUT]}, "object": {"key": [{"prefix": f"{source}new/"}]}}
    pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": detail}
    root.events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    paths = {"bucket": "$.detail.bucket.name", "key": "$.detail.object.key"}
    template = '{"changed": {"stored": "new", "bucket": <bucket>, "key": <key>}}'
    transformer = {"InputPathsMap": paths, "InputTemplate": template}
    root.events.put_targets(
        Rule=rule, Targets=[{"Id": "splitter", "Arn": splitter, "InputTransformer": transformer}]
    )
    for name, text in [("a", first), ('b "quoted" é', second)]:
        root.s3.put_object(Bucket=INPUT, Key=f"{source}new/{name}", Body=text)
    wait_for("result of new objects", lambda: there(stack, f"{target}new/"))
    counted = jobs.read_output(root, f"{target}new/")
    check(counted == jobs.counts([first, second]), f"the job of new objects counted {counted}")
    root.events.remove_targets(Rule=rule, Ids=["splitter"])
    root.events.delete_rule(Name=rule)
    root.s3.put_bucket_notification_configuration(Bucket=INPUT, NotificationConfiguration={})

    # Tasks of Step Functions: of a job that succeeds, and of one that does not.
    driver.count(f"{uri}nothing/", f"{results}nothing", "--overwrite", "--store", "fails")
    driver.count(f"{uri}new/", f"{results}task", "--overwrite", "--store", "succeeds")
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = {"Version": "2012-10-17", "Statement": [trust]}
    role = root.iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(policy))["Role"]["Arn"]
    invoke = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": splitter}
    policy = {"Version": "2012-10-17", "Statement": [invoke]}
    root.iam.put_role_policy(RoleName=ROLE, PolicyName="start", PolicyDocument=json.dumps(policy))
    for stored, status in [("succeeds", "SUCCEEDED"), ("fails", "FAILED")]:
        payload = {"start": {"stored": stored, "token.$": "$$.Task.Token", "at.$": "$$.Execution.StartTime"}}
        task = {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "Parameters": {"FunctionName": splitter, "Payload": payload},
            "TimeoutSeconds": WAIT_S,
            "End": True,
        }
        definition = json.dumps({"StartAt": "Job", "States": {"Job": task}})
        machine = root.states.create_state_machine(name=f"kinglet-{stored}", definition=definition, roleArn=role)
        arn = root.states.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"]
        wait_for(f"end of {stored}", lambda: root.states.describe_execution(executionArn=arn)["status"] != "RUNNING")
        ended = root.states.describe_execution(executionArn=arn)
        check(ended["status"] == status, f"the task of {stored} is {ended}")
        if status == "SUCCEEDED":
            output = json.loads(ended["output"])
            is_so = output["state"], output["output"], output["sums"]["records"]
            check(is_so == ("succeeded", f"{results}task", 4), f"the task's result is {output}")
        else:
            events = root.states.get_execution_history(executionArn=arn)["events"]
            said = json.dumps([ended, events], default=str)
            check("input-missing" in said, f"the task failed with {said}")
        root.states.delete_state_machine(stateMachineArn=machine["stateMachineArn"])

    root.iam.delete_role_policy(RoleName=ROLE, PolicyName="start")
    root.iam.delete_role(RoleName=ROLE)

    # By hand.
    said = driver.run("stored", "start", "new", "--json")
    # The report is the last of what it says.
    report = json.loads(said[said.rindex('{\n  "job"') :])
    check(report["records_out"] == 3, f"started by hand, it said {said}")
    said = driver.run("stored", "start", "none", fails=True)
    check("there is no stored job none" in said, said)
    # The splitter starts what it is told to, and refuses what is no event.
    wrong = root.functions.invoke(FunctionName=splitter, Payload=json.dumps({"start": {"stored": "../x"}}))
    check("FunctionError" in wrong, "a wrong name was taken")

    # The schedule's event came twice, and was one job.
    listed = json.loads(driver.run("jobs", "--json"))
    outputs = [json.loads(driver.run("status", job["job"], "--json"))["output"] for job in listed]
    count = outputs.count(f"{results}daily/2026-11-22")
    check(count == 1, f"{count} jobs were started for one time: {outputs}")
    for name in ["daily", "new", "fails", "succeeds"]:
        driver.run("stored", "remove", name)
    left = root.s3.list_objects_v2(Bucket=stack.outputs["WorkBucketName"], Prefix="stored/")["KeyCount"]
    check(left == 0, f"{left} objects of stored jobs are left")
