"""What the template says of its resources is so on the stack; then the same with every option of the template."""

import json

import yaml

import jobs
import programs
import roles
from jobs import Driver
from server import Ministack
from stack import ELSEWHERE, OUTPUT, Stack, deploy
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
    rules = root.events.list_rules(NamePrefix="kinglet-")["Rules"]
    same("schedule", [(rule["ScheduleExpression"], rule["State"]) for rule in rules], [("rate(1 minute)", "ENABLED")])

    table = root.dynamodb.describe_table(TableName=outputs["Table"])["Table"]
    same("billing", table["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST")

    work = outputs["WorkBucketName"]
    closed = root.s3.get_public_access_block(Bucket=work)["PublicAccessBlockConfiguration"]
    check(len(closed) == 4 and all(closed.values()), f"the work bucket is open: {closed}")
    policy = json.loads(root.s3.get_bucket_policy(Bucket=work)["Policy"])
    same("bucket policy", [statement["Sid"] for statement in policy["Statement"]], ["TlsOnly"])
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
    for function, want in [("Splitter", None), ("Mapper", reserved), ("MapperLarge", None), ("Reducer", reserved)]:
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


def check_options(server: Ministack, driver: Driver) -> None:
    """The stack is changed in place, as an upgrade changes it; its jobs are kept, and a new one runs."""
    root = driver.stack.root
    key, data_key = (root.kms.create_key(Description="kinglet")["KeyMetadata"]["Arn"] for _ in range(2))
    roles.check_options(driver.stack, key, data_key, asked=False)
    stack = deploy(
        server,
        MoreInputBucketArns=f"arn:aws:s3:::{ELSEWHERE},arn:aws:s3:::{OUTPUT}",
        MapperMemory="2048",
        MapperLargeMemory="10240",
        ReducerMemory="3008",
        TmpSize="10240",
        Timeout="600",
        ReservedConcurrency="7",
        PointInTimeRecovery="true",
        KmsKeyArn=key,
        DataKmsKeyArns=f"{key},{data_key}",
        Tracing="Active",
        ShippedPrograms="forbid",
        LogRetentionDays="30",
    )
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

    programs.check_forbidden(driver)

    text = b"a bucket of MoreInputBucketArns holds a text"
    root.s3.put_object(Bucket=ELSEWHERE, Key="more/text", Body=text)
    driver.count(f"s3://{ELSEWHERE}/more/", f"s3://{OUTPUT}/options")
    same("the count of more/", jobs.read_output(root, "options/"), jobs.counts([text]))
