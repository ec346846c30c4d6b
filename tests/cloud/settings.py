"""What the template says of its resources is so on the stack; then the same with every option of the template."""

import json

import yaml

import jobs
import programs
import roles
import stored
from jobs import Driver
from server import ACCOUNT, Ministack
from stack import ELSEWHERE, INPUT, OUTPUT, Aws, Stack, deploy
from tools import Failed, check


def same(what: str, got: object, want: object) -> None:
    check(got == want, f"{what}: {got}, not {want}")


def check_settings(stack: Stack) -> None:
    root, outputs = stack.root, stack.outputs
    for function, memory, log in [
        ("Splitter", 512, "splitter"),
        ("Mapper", 1769, "mapper"),
        ("MapperLarge", 3008, "mapper-large"),
        ("Reducer", 1769, "reducer"),
    ]:
        name = outputs[f"{function}Name"]
        same("name", name, f"kinglet-{log}")
        is_so = root.functions.get_function_configuration(FunctionName=name)
        same(f"{name}: memory", is_so["MemorySize"], memory)
        same(f"{name}: architecture", is_so["Architectures"], ["x86_64"])
        same(f"{name}: runtime", is_so["Runtime"], "provided.al2023")
        same(f"{name}: timeout", is_so["Timeout"], int(outputs["TimeoutSeconds"]))
        same(f"{name}: tracing", is_so["TracingConfig"]["Mode"], "PassThrough")
        same(f"{name}: /tmp", is_so["EphemeralStorage"]["Size"], 512 if function == "Splitter" else 2048)
        same(f"{name}: log format", is_so["LoggingConfig"]["LogFormat"], "JSON")
        same(f"{name}: log group", is_so["LoggingConfig"]["LogGroup"], f"/aws/lambda/{name}")
        if function != "Splitter":
            events = root.functions.get_function_event_invoke_config(FunctionName=name, Qualifier="$LATEST")
            same(f"{name}: retries", events["MaximumRetryAttempts"], 0)
            same(
                f"{name}: on failure",
                events["DestinationConfig"]["OnFailure"]["Destination"],
                stack.arn("SplitterName"),
            )
        groups = root.logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")["logGroups"]
        retention = [group["retentionInDays"] for group in groups if group["logGroupName"] == f"/aws/lambda/{name}"]
        same(f"{name}: log retention", retention, [14])
    lost = root.functions.get_function_event_invoke_config(FunctionName="kinglet-splitter", Qualifier="$LATEST")
    queue = root.sqs.get_queue_attributes(QueueUrl=outputs["LostEventsUrl"], AttributeNames=["QueueArn"])["Attributes"]
    same("what the splitter loses", lost["DestinationConfig"]["OnFailure"]["Destination"], queue["QueueArn"])
    same("alarms", root.cloudwatch.describe_alarms()["MetricAlarms"], [])
    same("dashboards", root.cloudwatch.list_dashboards()["DashboardEntries"], [])
    rules = root.events.list_rules(NamePrefix="kinglet-")["Rules"]
    same("schedule", [(rule["ScheduleExpression"], rule["State"]) for rule in rules], [("rate(1 minute)", "ENABLED")])

    table = root.dynamodb.describe_table(TableName=outputs["Table"])["Table"]
    same("billing", table["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST")

    work = outputs["WorkBucketName"]
    closed = root.s3.get_public_access_block(Bucket=work)["PublicAccessBlockConfiguration"]
    check(len(closed) == 4 and all(closed.values()), f"the work bucket is open: {closed}")
    policy = json.loads(root.s3.get_bucket_policy(Bucket=work)["Policy"])
    same("bucket policy", [statement["Sid"] for statement in policy["Statement"]], ["TlsOnly"])
    check("WarmThroughput" not in declared(stack, "Ledger"), "the table was warmed without being asked")
    check_declared(stack, None, "false", {"SSEAlgorithm": "AES256"}, False)


# ---- What ministack's CloudFormation takes and does not hand on to the services
#
# Of this, only what CloudFormation was asked for is shown here, with the functions of the template resolved. That AWS
# knows these properties and what they may be, `cfn-lint` shows.


def declared(stack: Stack, resource: str) -> dict:
    """The properties of a resource as CloudFormation gives them to the service."""
    processed = stack.root.cloudformation.get_template(StackName="kinglet", TemplateStage="Processed")["TemplateBody"]
    template = processed if isinstance(processed, dict) else yaml.safe_load(processed)
    described = stack.root.cloudformation.describe_stacks(StackName="kinglet")["Stacks"][0]
    parameters = {one["ParameterKey"]: one["ParameterValue"] for one in described["Parameters"]}

    def holds(condition: dict) -> bool:
        match condition:
            case {"Fn::Not": [inner]}:
                return not holds(inner)
            case {"Fn::Equals": [one, other]}:
                return str(resolve(one)) == str(resolve(other))
            case {"Fn::Or": conditions}:
                return any(map(holds, conditions))
            case {"Condition": name}:
                return holds(template["Conditions"][name])
        raise Failed(f"a condition that this check cannot resolve: {condition}")

    def resolve(value: object) -> object:
        match value:
            case {"Ref": "AWS::NoValue"}:
                return None
            case {"Ref": name}:
                return parameters.get(name, name)
            case {"Fn::If": [condition, then, otherwise]}:
                return resolve(then if holds(template["Conditions"][condition]) else otherwise)
            case dict():
                resolved = {name: resolve(inner) for name, inner in value.items()}
                return {name: inner for name, inner in resolved.items() if inner is not None}
            case list():
                return [resolve(inner) for inner in value]
        return value

    return resolve(template["Resources"][resource]["Properties"])


def check_declared(stack: Stack, reserved: str | None, recovery: str, encryption: dict, bucket_key: bool) -> None:
    few = ["2", "3"] if reserved else [None, None]
    for function, want in [("Splitter", few[0]), ("Mapper", reserved), ("MapperLarge", few[1]), ("Reducer", reserved)]:
        properties = declared(stack, function)
        same(f"{function}: recursion", properties["RecursiveLoop"], "Allow")
        same(f"{function}: reserved concurrency", properties.get("ReservedConcurrentExecutions"), want)
    table = declared(stack, "Ledger")
    same("time to live", table["TimeToLiveSpecification"], {"AttributeName": "ttl", "Enabled": True})
    same("point-in-time recovery", table["PointInTimeRecoverySpecification"], {"PointInTimeRecoveryEnabled": recovery})
    bucket = declared(stack, "WorkBucket")
    rules = bucket["LifecycleConfiguration"]["Rules"]
    same(
        "lifecycle",
        [rule["Id"] for rule in rules if rule["Status"] == "Enabled"],
        ["expire-intermediates", "expire-programs", "abort-stale-uploads"],
    )
    rule = {"ServerSideEncryptionByDefault": encryption, "BucketKeyEnabled": bucket_key}
    same("encryption", bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"], [rule])
    same("ownership", bucket["OwnershipControls"], {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})


# The folders that jobs may read and write then.
IN, OUT = "in/", "out/"
BOUNDARY, TOPIC, BUS = "kinglet-boundary", "kinglet-alarms", "kinglet-ends"


def every_option(root: Aws, key: str, data_key: str) -> dict[str, str]:
    """A value for each parameter that is not its default, and what they refer to. Not `Architecture`, as functions for arm64 do not
    run here."""
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    boundary = root.iam.create_policy(PolicyName=BOUNDARY, PolicyDocument=json.dumps(allow))["Policy"]["Arn"]
    network = root.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        root.ec2.create_subnet(VpcId=network, CidrBlock=f"10.0.{n}.0/24")["Subnet"]["SubnetId"] for n in range(2)
    ]
    group = root.ec2.create_security_group(VpcId=network, GroupName="kinglet", Description="kinglet")["GroupId"]
    return {
        "InputPrefix": IN,
        "OutputPrefix": OUT,
        "MoreInputBucketArns": f"arn:aws:s3:::{ELSEWHERE},arn:aws:s3:::{OUTPUT}",
        "SplitterMemory": "1024",
        "MapperMemory": "2048",
        "MapperLargeMemory": "10240",
        "ReducerMemory": "3008",
        "TmpSize": "10240",
        "Timeout": "600",
        "ReservedConcurrency": "7",
        "LargeConcurrency": "3",
        "SplitterConcurrency": "2",
        "PointInTimeRecovery": "true",
        "WarmReadUnits": "20000",
        "WarmWriteUnits": "8000",
        "KmsKeyArn": key,
        "DataKmsKeyArns": f"{key},{data_key}",
        "LogKmsKeyArn": key,
        "PermissionsBoundaryArn": boundary,
        "SubnetIds": ",".join(subnets),
        "SecurityGroupIds": group,
        "Alarms": "on",
        "AlarmTopicArn": root.sns.create_topic(Name=TOPIC)["TopicArn"],
        "Dashboard": "on",
        "EventBus": BUS,
        "StoredJobs": "on",
        "Tracing": "Active",
        "LogFilter": "debug",
        "ShippedPrograms": "forbid",
        "LogRetentionDays": "30",
        "Metrics": "0",
    }


def listen(root: Aws) -> str:
    """A bus, and a queue that gets what it is told."""
    root.events.create_event_bus(Name=BUS)
    queue = root.sqs.create_queue(QueueName=BUS)["QueueUrl"]
    arn = root.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    root.events.put_rule(Name=BUS, EventBusName=BUS, EventPattern=json.dumps({"source": ["kinglet"]}))
    root.events.put_targets(Rule=BUS, EventBusName=BUS, Targets=[{"Id": "queue", "Arn": arn}])
    return queue


def check_told(root: Aws, queue: str, output: str) -> None:
    """The bus was told that the job with this output has succeeded, and the queue and the bus go."""
    told = []
    for _ in range(60):
        got = root.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=2).get("Messages", [])
        for message in got:
            told.append(json.loads(message["Body"])["detail"])
            root.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        if any(one["output"] == output for one in told):
            break
    ends = [(one["stack"], one["state"]) for one in told if one["output"] == output]
    check(ends[:1] == [("kinglet", "succeeded")], f"the bus was told {told}")
    root.events.remove_targets(Rule=BUS, EventBusName=BUS, Ids=["queue"])
    root.events.delete_rule(Name=BUS, EventBusName=BUS)
    root.events.delete_event_bus(Name=BUS)
    root.sqs.delete_queue(QueueUrl=queue)


def check_every_option(stack: Stack, key: str, data_key: str) -> None:
    """The resources that these options make, and what they set of others."""
    root, given = stack.root, every_parameter(stack)
    network = declared(stack, "Mapper")["VpcConfig"]
    same("subnets", sorted(network["SubnetIds"]["Fn::Split"][1].split(",")), sorted(given["SubnetIds"].split(",")))
    same("security groups", network["SecurityGroupIds"]["Fn::Split"][1], given["SecurityGroupIds"])
    for function in ["Splitter", "Mapper", "Reducer"]:
        # ministack's CloudFormation hands on the boundaries of users alone.
        boundary = declared(stack, f"{function}Role")["PermissionsBoundary"]
        same(f"{function}: boundary", boundary, given["PermissionsBoundaryArn"])
        role = root.iam.get_role(RoleName=stack.role(function))["Role"]
        same(f"{function}: role", stack.outputs[f"{function}RoleArn"], role["Arn"])
        name = stack.outputs[f"{function}Name"]
        groups = root.logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")["logGroups"]
        keys = [group.get("kmsKeyId") for group in groups if group["logGroupName"] == f"/aws/lambda/{name}"]
        same(f"{name}: the log's key", keys, [key])
        is_so = root.functions.get_function_configuration(FunctionName=name)
        variables = is_so["Environment"]["Variables"]
        same(f"{name}: variables", (variables["KINGLET_LOG"], variables["KINGLET_METRICS"]), ("debug", "0"))
    warm = {"ReadUnitsPerSecond": given["WarmReadUnits"], "WriteUnitsPerSecond": given["WarmWriteUnits"]}
    same("warm throughput", declared(stack, "Ledger")["WarmThroughput"], warm)
    same("the splitter's memory", declared(stack, "Splitter")["MemorySize"], "1024")
    alarms = {alarm["AlarmName"]: alarm for alarm in root.cloudwatch.describe_alarms()["MetricAlarms"]}
    same("alarms", len(alarms), 7)
    for name, alarm in alarms.items():
        same(f"{name}: tells", alarm["AlarmActions"], [given["AlarmTopicArn"]])
    filters = [
        one["filterPattern"]
        for name in ["splitter", "mapper", "mapper-large", "reducer"]
        for one in root.logs.describe_metric_filters(logGroupName=f"/aws/lambda/kinglet-{name}")["metricFilters"]
    ]
    check(len(filters) == 4 and len(set(filters)) == 1, f"the filters are {filters}")
    boards = [board["DashboardName"] for board in root.cloudwatch.list_dashboards()["DashboardEntries"]]
    same("dashboards", boards, ["kinglet-us-east-1"])
    widgets = json.loads(root.cloudwatch.get_dashboard(DashboardName=boards[0])["DashboardBody"])["widgets"]
    shown = json.dumps(widgets)
    check(len(widgets) == 6 and "kinglet-mapper-large" in shown and "${" not in shown, f"the dashboard is {shown}")


def every_parameter(stack: Stack) -> dict[str, str]:
    described = stack.root.cloudformation.describe_stacks(StackName="kinglet")["Stacks"][0]
    return {one["ParameterKey"]: one["ParameterValue"] for one in described["Parameters"]}


def forget_options(root: Aws) -> None:
    """Removes what the options referred to; the network goes with the server."""
    root.iam.delete_policy(PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/{BOUNDARY}")


def check_options(server: Ministack, driver: Driver) -> None:
    """The stack is changed in place, as an upgrade changes it; its jobs are kept, and a new one runs."""
    root = driver.stack.root
    key, data_key = (root.kms.create_key(Description="kinglet")["KeyMetadata"]["Arn"] for _ in range(2))
    roles.check_options(driver.stack, key, data_key, asked=False)
    queue = listen(root)
    stack = deploy(server, **every_option(root, key, data_key))
    same("the table stays", stack.outputs["Table"], driver.stack.outputs["Table"])
    same("the bucket stays", stack.outputs["WorkBucketName"], driver.stack.outputs["WorkBucketName"])
    for function, memory in [("Mapper", 2048), ("MapperLarge", 10240), ("Reducer", 3008)]:
        is_so = root.functions.get_function_configuration(FunctionName=stack.outputs[f"{function}Name"])
        same(
            f"{function}: memory, /tmp, timeout",
            (is_so["MemorySize"], is_so["EphemeralStorage"]["Size"], is_so["Timeout"]),
            (memory, 10240, 600),
        )
        same(f"{function}: tracing", is_so["TracingConfig"]["Mode"], "Active")
    same("reserved, as the driver reads it", stack.outputs["ReservedConcurrency"], "7")
    table = root.dynamodb.describe_table(TableName=stack.outputs["Table"])["Table"]["SSEDescription"]
    same("the table's key", (table["SSEType"], table["KMSMasterKeyArn"]), ("KMS", key))
    check_declared(stack, "7", "true", {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}, True)
    roles.check_options(stack, key, data_key, asked=True)
    check_every_option(stack, key, data_key)

    programs.check_forbidden(driver, OUT)

    text = b"a bucket of MoreInputBucketArns holds a text"
    root.s3.put_object(Bucket=ELSEWHERE, Key="more/text", Body=text)
    driver.count(f"s3://{ELSEWHERE}/more/", f"s3://{OUTPUT}/{OUT}options")
    same("the count of more/", jobs.read_output(root, f"{OUT}options/"), jobs.counts([text]))
    # Of the two buckets, only the folders may be used.
    root.s3.put_object(Bucket=INPUT, Key=f"{IN}text", Body=text)
    driver.count(f"s3://{INPUT}/{IN}", f"s3://{OUTPUT}/{OUT}folder")
    same("the count of the folder", jobs.read_output(root, f"{OUT}folder/"), jobs.counts([text]))
    for source, target in [("common/", f"{OUT}other"), (IN, "other")]:
        said = driver.count(f"s3://{INPUT}/{source}", f"s3://{OUTPUT}/{target}", fails=True)
        check("access denied" in said, f"{source} to {target}: {said}")
    check_told(root, queue, f"s3://{OUTPUT}/{OUT}folder")
    stored.check_stored(stack, driver, IN, OUT)
    forget_options(root)
