"""Who may do what on a deployed stack: the table below, tried line by line by each role, both ways.

The caller assumes the very role that the stack gave to a function, through STS, and sends real requests; the server
decides by the deployed policies. What is not permitted must be refused as access denied, and what is permitted must
work. So a role that lacks a permission fails this check, and so does one that has a permission too many, as far as the
table goes.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import ClientError
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

from server import ACCOUNT, REGION, Ministack
from stack import ELSEWHERE, INPUT, OUTPUT, Aws, Stack
from tools import Failed, say

JOB = "jobs/roles"
PROGRAM = "programs/roles"
PK = {"pk": {"S": "job#roles"}, "sk": {"S": "job"}}
ITEM = PK | {"ttl": {"N": "1"}}

REFUSED = {"AccessDenied", "AccessDeniedException", "403"}


@dataclass
class Caller:
    """A role at work, and where it works."""

    aws: Aws
    table: str
    work: str
    names: dict[str, str]

    def put(self, bucket: str, key: str) -> None:
        self.aws.s3.put_object(Bucket=bucket, Key=key, Body=b"x")

    def get(self, bucket: str, key: str) -> None:
        self.aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def remove(self, bucket: str, key: str) -> None:
        """As Kinglet removes, by DeleteObjects, which is a success that lists failures."""
        done = self.aws.s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}], "Quiet": True})
        for error in done.get("Errors", []):
            raise ClientError({"Error": error}, "DeleteObjects")

    def upload(self, bucket: str, key: str) -> None:
        """In parts, and gives one up: what `aws/src/upload.rs` does."""
        s3 = self.aws.s3
        where = {"Bucket": bucket, "Key": key}
        started = s3.create_multipart_upload(**where)["UploadId"]
        part = s3.upload_part(**where, UploadId=started, PartNumber=1, Body=b"x")["ETag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
        s3.complete_multipart_upload(**where, UploadId=started, MultipartUpload=parts)
        started = s3.create_multipart_upload(**where)["UploadId"]
        s3.abort_multipart_upload(**where, UploadId=started)

    def invoke(self, function: str) -> None:
        # The sweep is an event that the splitter takes and the others refuse; none of them does anything for a dry run.
        self.aws.functions.invoke(FunctionName=self.names[function], InvocationType="DryRun", Payload=b'{"sweep":{}}')


def batch_write(caller: Caller) -> None:
    caller.aws.dynamodb.batch_write_item(RequestItems={caller.table: [{"PutRequest": {"Item": ITEM}}]})


def batch_get(caller: Caller) -> None:
    caller.aws.dynamodb.batch_get_item(RequestItems={caller.table: {"Keys": [PK]}})


def update(caller: Caller) -> None:
    values = {":one": {"N": "1"}}
    caller.aws.dynamodb.update_item(
        TableName=caller.table, Key=PK, UpdateExpression="SET at0 = :one", ExpressionAttributeValues=values
    )


def query(caller: Caller, table: str = "") -> None:
    caller.aws.dynamodb.query(
        TableName=table or caller.table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "jobs"}},
    )


def in_table(operation: str, **how: object) -> Callable[[Caller], None]:
    return lambda caller: getattr(caller.aws.dynamodb, operation)(TableName=caller.table, **how)


# Who may: s splitter, m mapper, r reducer, d the driver's user.
Line = tuple[str, str, Callable[[Caller], object]]
TABLE: list[Line] = [
    # The ledger
    ("read an item of the ledger", "smrd", in_table("get_item", Key=PK)),
    ("read many items of the ledger", "smrd", batch_get),
    ("query the ledger", "smrd", query),
    ("change an item of the ledger", "smrd", update),
    ("put an item into the ledger", "sd", in_table("put_item", Item=ITEM)),
    ("write runs into the ledger", "md", batch_write),
    ("delete an item of the ledger", "d", in_table("delete_item", Key=PK)),
    ("scan the ledger", "", in_table("scan")),
    ("describe the ledger", "d", in_table("describe_table")),
    ("delete the ledger", "", in_table("delete_table")),
    ("query another table", "", lambda c: query(c, ELSEWHERE)),
    # The work bucket
    ("read a spec", "smrd", lambda c: c.get(c.work, f"{JOB}/spec")),
    ("read a plan", "smrd", lambda c: c.get(c.work, f"{JOB}/plan")),
    ("read items", "smrd", lambda c: c.get(c.work, f"{JOB}/items")),
    ("read runs", "rd", lambda c: c.get(c.work, f"{JOB}/runs/000000.0/0-1")),
    ("read what calls share", "mrd", lambda c: c.get(c.work, f"{JOB}/shared")),
    ("write what calls share", "d", lambda c: c.put(c.work, f"{JOB}/shared")),
    ("write an object of a call", "mrd", lambda c: c.put(c.work, f"{JOB}/objects/a")),
    ("read an object of a call", "mrd", lambda c: c.get(c.work, f"{JOB}/objects/a")),
    ("write the result of a reduce function", "rd", lambda c: c.upload(c.work, f"{JOB}/result/0-1")),
    ("read a shipped program", "mrd", lambda c: c.get(c.work, PROGRAM)),
    ("ship a program", "d", lambda c: c.put(c.work, PROGRAM)),
    ("remove a shipped program", "", lambda c: c.remove(c.work, PROGRAM)),
    ("write a spec", "d", lambda c: c.put(c.work, f"{JOB}/spec")),
    ("write items", "d", lambda c: c.put(c.work, f"{JOB}/items")),
    ("write a plan", "sd", lambda c: c.put(c.work, f"{JOB}/plan")),
    ("write runs", "md", lambda c: c.put(c.work, f"{JOB}/runs/000000.0/0-1")),
    ("write runs in parts", "md", lambda c: c.upload(c.work, f"{JOB}/runs/000000.0/0-2")),
    ("write under another prefix of the work bucket", "", lambda c: c.put(c.work, "other/spec")),
    ("remove runs", "d", lambda c: c.remove(c.work, f"{JOB}/runs/000000.0/0-1")),
    ("learn that an object of the work bucket is gone", "smrd", lambda c: gone(c, c.work, f"{JOB}/none/spec")),
    ("change the policy of the work bucket", "", lambda c: c.aws.s3.delete_bucket_policy(Bucket=c.work)),
    ("delete the work bucket", "", lambda c: c.aws.s3.delete_bucket(Bucket=c.work)),
    # The input
    ("list the input", "smd", lambda c: c.aws.s3.list_objects_v2(Bucket=INPUT, Prefix="roles/")),
    ("look at an object of the input", "sm", lambda c: c.aws.s3.head_object(Bucket=INPUT, Key="roles/a")),
    ("read an object of the input", "sm", lambda c: c.get(INPUT, "roles/a")),
    ("write into the input", "", lambda c: c.put(INPUT, "roles/a")),
    ("remove an object of the input", "", lambda c: c.remove(INPUT, "roles/a")),
    # The output
    ("write a manifest", "smrd", lambda c: c.put(OUTPUT, "roles/_manifest.json")),
    ("read a manifest", "smrd", lambda c: c.get(OUTPUT, "roles/_manifest.json")),
    ("write a part", "r", lambda c: c.put(OUTPUT, "roles/part-00000")),
    ("write a part in parts", "r", lambda c: c.upload(OUTPUT, "roles/part-00000")),
    ("read a part", "rd", lambda c: c.get(OUTPUT, "roles/part-00000")),
    ("remove a part", "smrd", lambda c: c.remove(OUTPUT, "roles/part-00001")),
    ("remove a manifest", "d", lambda c: c.remove(OUTPUT, "roles/_manifest.json")),
    ("write something else into the output", "", lambda c: c.put(OUTPUT, "roles/other")),
    ("read something else in the output", "", lambda c: c.get(OUTPUT, "roles/else")),
    ("list the output", "d", lambda c: c.aws.s3.list_objects_v2(Bucket=OUTPUT, Prefix="roles/")),
    # Another bucket
    ("list another bucket", "", lambda c: c.aws.s3.list_objects_v2(Bucket=ELSEWHERE)),
    ("read in another bucket", "", lambda c: c.get(ELSEWHERE, "roles/a")),
    ("write a part into another bucket", "", lambda c: c.put(ELSEWHERE, "roles/part-00000")),
    ("list the account's buckets", "", lambda c: c.aws.s3.list_buckets()),
    # Functions
    ("invoke the splitter", "smrd", lambda c: c.invoke("SplitterName")),
    ("invoke the mapper", "smd", lambda c: c.invoke("MapperName")),
    ("invoke the larger mapper", "smd", lambda c: c.invoke("MapperLargeName")),
    ("invoke the reducer", "smrd", lambda c: c.invoke("ReducerName")),
    ("invoke another function", "", lambda c: c.invoke("Elsewhere")),
    ("change the mapper", "", lambda c: change(c, "MapperName")),
    (
        "look at the mapper",
        "d",
        lambda c: c.aws.functions.get_function_configuration(FunctionName=c.names["MapperName"]),
    ),
    ("fetch the mapper's code", "", lambda c: c.aws.functions.get_function(FunctionName=c.names["MapperName"])),
    ("delete the mapper", "", lambda c: c.aws.functions.delete_function(FunctionName=c.names["MapperName"])),
    # Everything else
    ("read the splitter's log", "d", lambda c: read_log(c, f"/aws/lambda/{c.names['SplitterName']}")),
    ("read another log", "", lambda c: read_log(c, "/aws/lambda/elsewhere")),
    # Not here: `lambda:GetAccountSettings`, which ministack permits to everybody.
    ("assume another role", "", lambda c: assume(c.aws, c.names["AnotherRole"])),
    ("make a user", "", lambda c: c.aws.iam.create_user(UserName="roles")),
    ("describe the stack", "d", lambda c: c.aws.cloudformation.describe_stacks(StackName="kinglet")),
]


def gone(caller: Caller, bucket: str, key: str) -> None:
    """Without the permission to list, S3 answers that access is denied, whether an object is there or not."""
    try:
        caller.get(bucket, key)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise


def read_log(caller: Caller, group: str) -> None:
    caller.aws.logs.filter_log_events(logGroupName=group, limit=1)


def change(caller: Caller, function: str) -> None:
    caller.aws.functions.update_function_configuration(FunctionName=caller.names[function], MemorySize=128)


def assume(aws: Aws, role: str) -> dict[str, str]:
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    got = aws.sts.assume_role(RoleArn=arn, RoleSessionName="check")["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": got["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": got["SecretAccessKey"],
        "AWS_SESSION_TOKEN": got["SessionToken"],
    }


def as_role(root: Aws, server: Ministack, role: str) -> Aws:
    """The role itself, which is Lambda's alone: so it is opened to a user first, and closed again at once."""
    user = "role-checker"
    root.iam.create_user(UserName=user)
    allow = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    policy = {"Version": "2012-10-17", "Statement": [allow | {"Resource": "*"}]}
    root.iam.put_user_policy(UserName=user, PolicyName="assume", PolicyDocument=json.dumps(policy))
    key = root.iam.create_access_key(UserName=user)["AccessKey"]
    checker = Aws(server, {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]})
    before = root.iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    opened = allow | {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{user}"}}
    try:
        if attempt(lambda _: assume(checker, role), None) != "refused":
            raise Failed(f"role {role} may be assumed by a user")
        document = before | {"Statement": [*before["Statement"], opened]}
        root.iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(document))
        return Aws(server, assume(checker, role))
    finally:
        root.iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(before))
        root.iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
        root.iam.delete_user_policy(UserName=user, PolicyName="assume")
        root.iam.delete_user(UserName=user)


def attempt(call: Callable, caller: object) -> str:
    """`may`, `refused`, or the code of another failure."""
    try:
        call(caller)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return "refused" if code in REFUSED else code
    return "may"


def prepare(stack: Stack) -> None:
    """What the calls want to find."""
    root, outputs = stack.root, stack.outputs
    for bucket, key in [
        (INPUT, "roles/a"),
        (ELSEWHERE, "roles/a"),
        (OUTPUT, "roles/else"),
        (OUTPUT, "roles/part-00000"),
    ]:
        root.s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    for name in ["spec", "plan", "items", "shared", "objects/a", "runs/000000.0/0-1"]:
        root.s3.put_object(Bucket=outputs["WorkBucketName"], Key=f"{JOB}/{name}", Body=b"x")
    root.s3.put_object(Bucket=outputs["WorkBucketName"], Key=PROGRAM, Body=b"x")
    root.s3.put_object(Bucket=OUTPUT, Key="roles/_manifest.json", Body=b"{}")


def tidy(stack: Stack) -> None:
    root, outputs = stack.root, stack.outputs
    root.dynamodb.delete_item(TableName=outputs["Table"], Key=PK)
    for bucket in [INPUT, ELSEWHERE, OUTPUT, outputs["WorkBucketName"]]:
        for prefix in ["roles/", f"{JOB}/", PROGRAM]:
            for entry in root.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
                root.s3.delete_object(Bucket=bucket, Key=entry["Key"])


def try_table(stack: Stack, lines: list[Line], callers: dict[str, Caller]) -> None:
    """Tries each line as each caller, and compares with what the table says."""
    wrong = []
    for what, who, call in lines:
        verdicts = {}
        for letter, caller in callers.items():
            verdict = verdicts[letter] = attempt(call, caller)
            want = "may" if letter in who else "refused"
            if verdict != want:
                wrong.append(f"{letter}: {what}: {verdict}, not {want}")
        say(
            "     " + what.ljust(52) + "  ".join(f"{letter} {verdict.ljust(7)}" for letter, verdict in verdicts.items())
        )
    if wrong:
        raise Failed("\n".join(wrong))


def check_roles(stack: Stack, driver: Aws) -> None:
    outputs = stack.outputs
    functions = {"s": "Splitter", "m": "Mapper", "r": "Reducer"}
    roles = {letter: stack.role(function) for letter, function in functions.items()}
    names = outputs | {"Elsewhere": ELSEWHERE, "AnotherRole": roles["s"]}
    clients = {letter: as_role(stack.root, stack.server, role) for letter, role in roles.items()} | {"d": driver}
    callers = {
        letter: Caller(aws, outputs["Table"], outputs["WorkBucketName"], names) for letter, aws in clients.items()
    }
    prepare(stack)
    try_table(stack, TABLE, callers)
    tidy(stack)
    only_over_tls(stack)


def only_over_tls(stack: Stack) -> None:
    """A request to the work bucket that came without TLS is refused: here, one that a proxy says it took so. It is the
    mapper that asks, as ministack lets root do anything."""
    caller = as_role(stack.root, stack.server, stack.role("Mapper"))
    work = stack.outputs["WorkBucketName"]
    stack.root.s3.put_object(Bucket=work, Key=f"{JOB}/spec", Body=b"x")
    caller.s3.get_object(Bucket=work, Key=f"{JOB}/spec")
    plain = lambda request, **_: request.headers.update({"X-Forwarded-Proto": "http"})  # noqa: E731
    caller.s3.meta.events.register("before-send.s3", plain)
    try:
        caller.s3.get_object(Bucket=work, Key=f"{JOB}/spec")
    except ClientError as error:
        if error.response["Error"]["Code"] not in REFUSED:
            raise
    else:
        raise Failed("the work bucket takes requests without TLS")
    stack.root.s3.delete_object(Bucket=work, Key=f"{JOB}/spec")


# ---- What the options of the template add

MORE: list[Line] = [
    ("list a bucket of MoreInputBucketArns", "sm", lambda c: c.aws.s3.list_objects_v2(Bucket=ELSEWHERE)),
    ("read in it", "sm", lambda c: c.get(ELSEWHERE, "roles/a")),
    ("write into it", "", lambda c: c.put(ELSEWHERE, "roles/part-00000")),
]

THROUGH_S3 = {"kms:viaservice": f"s3.{REGION}.amazonaws.com"}


class Policies:
    """The deployed policies of a role, and ministack's evaluator of them, which `check_options` asks itself."""

    def __init__(self, stack: Stack, role: str):
        iam = stack.root.iam
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        documents = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
        self.arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
        self.statements = [parse_policy_document(document) for document in documents]

    def permit(self, action: str, resource: str, context: dict[str, str]) -> bool:
        asked = EvalContext(self.arn, "AssumedRole", ACCOUNT, action, resource, REGION, service_context=context)
        return evaluate(asked, self.statements).decision == "Allow"


def check_options(stack: Stack, key: str, data_key: str, asked: bool) -> None:
    """Before and after they are asked for. ministack has no X-Ray and encrypts nothing, so no request of a function
    would need these permissions: what the deployed policies permit is asked of its evaluator."""
    callers = {}
    for letter, function in {"s": "Splitter", "m": "Mapper", "r": "Reducer"}.items():
        role = stack.role(function)
        policies = Policies(stack, role)
        for action, resource, context, want in [
            ("xray:PutTraceSegments", "*", {}, asked),
            ("kms:Decrypt", key, THROUGH_S3, asked),
            ("kms:GenerateDataKey", key, THROUGH_S3, asked),
            ("kms:Decrypt", key, {"kms:viaservice": f"dynamodb.{REGION}.amazonaws.com"}, asked),
            ("kms:Decrypt", data_key, THROUGH_S3, asked),
            ("kms:GenerateDataKey", data_key, THROUGH_S3, asked),
            ("kms:Decrypt", key, {}, False),
            ("kms:Decrypt", data_key, {}, False),
            ("kms:Decrypt", f"{key}-another", THROUGH_S3, False),
            ("kms:ScheduleKeyDeletion", key, THROUGH_S3, False),
        ]:
            got = policies.permit(action, resource, context)
            if got != want:
                raise Failed(f"{role}, options {asked}: {action} of {resource} with {context}: {got}, not {want}")
        aws = as_role(stack.root, stack.server, role)
        callers[letter] = Caller(aws, stack.outputs["Table"], stack.outputs["WorkBucketName"], stack.outputs)
    prepare(stack)
    try_table(stack, [(what, who if asked else "", call) for what, who, call in MORE], callers)
    tidy(stack)
