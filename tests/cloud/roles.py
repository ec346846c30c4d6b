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
# A part's name has the id of its job in it.
ID = "19aa0000000-0123456789ab"
PART, OTHER_PART = (f"roles/part-0000{n}-{ID}" for n in range(2))
# What further pieces of a reduce task wrote.
FURTHER, OTHER_FURTHER = (f"roles/part-00000.0000{n}-{ID}.csv.gz" for n in (1, 2))
# In folders, the second one of a task there.
FOLDERED, OTHER_FOLDERED = (f"roles/year=2026/month=a%2Fb/part-00000-{ID}{again}.parquet" for again in ("", "_00001"))
MANIFEST, OWNER = "roles/_manifest.json", "roles/_owner.json"
MARKER = "roles/_SUCCESS"
# How the names of parts end: `OutputFormat::ending`.
ENDINGS = [".csv", ".csv.gz", ".tsv.zst", ".jsonl", ".jsonl.bz2", ".parquet", ".gz", ".bz2", ".lz4", ".sz", ".zst"]
# What a job has left out of its input.
LEFT_OUT = f"roles/_rejected-{ID}.jsonl"
# What became of a function's calls for objects.
REPORTED, REPORT = (f"roles/job-{ID}/{name}" for name in ("results/failed.csv", "manifest.json"))
PROGRAM = "programs/roles"
STORED = "stored/jobs/roles/0"
PK = {"pk": {"S": "job#roles"}, "sk": {"S": "job"}}
ITEM = PK | {"ttl": {"N": "1"}}

REFUSED = {"AccessDenied", "AccessDeniedException", "403"}


def begin(s3: object, bucket: str, key: str) -> tuple[dict[str, str], str]:
    """An upload that is left open: where it is, and the ETag of its only part."""
    where = {"Bucket": bucket, "Key": key}
    where |= {"UploadId": s3.create_multipart_upload(**where)["UploadId"]}
    return where, s3.upload_part(**where, PartNumber=1, Body=b"x")["ETag"]


def finish(s3: object, where: dict[str, str], part: str) -> None:
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})


@dataclass
class Caller:
    """A role at work, and where it works; and root, who does what another has done before."""

    aws: Aws
    root: Aws
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

    def remove_version(self, bucket: str, key: str) -> None:
        """On a condition: what `Objects::delete_version` does with a claim."""
        etag = self.root.s3.put_object(Bucket=bucket, Key=key, Body=b"x")["ETag"]
        self.aws.s3.delete_object(Bucket=bucket, Key=key, IfMatch=etag)

    def replace(self, bucket: str, key: str) -> None:
        """On conditions: where nothing is, and in place of what is there."""
        self.root.s3.delete_object(Bucket=bucket, Key=key)
        etag = self.aws.s3.put_object(Bucket=bucket, Key=key, Body=b"x", IfNoneMatch="*")["ETag"]
        self.aws.s3.put_object(Bucket=bucket, Key=key, Body=b"y", IfMatch=etag)

    def upload(self, bucket: str, key: str) -> None:
        """In parts, and gives one up: what `aws/src/upload.rs` does."""
        finish(self.aws.s3, *begin(self.aws.s3, bucket, key))
        where, _ = begin(self.aws.s3, bucket, key)
        self.aws.s3.abort_multipart_upload(**where)

    def finish_anothers(self, bucket: str, key: str) -> None:
        """Completes an upload that another has left open: so are parts and manifests published."""
        where, part = begin(self.root.s3, bucket, key)
        try:
            finish(self.aws.s3, where, part)
        except ClientError:
            self.root.s3.abort_multipart_upload(**where)
            raise

    def abort_anothers(self, bucket: str, key: str) -> None:
        where, _ = begin(self.root.s3, bucket, key)
        try:
            self.aws.s3.abort_multipart_upload(**where)
        except ClientError:
            self.root.s3.abort_multipart_upload(**where)
            raise

    def look_at_anothers(self, bucket: str, key: str) -> None:
        where, _ = begin(self.root.s3, bucket, key)
        try:
            self.aws.s3.list_parts(**where)
        finally:
            self.root.s3.abort_multipart_upload(**where)

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


def uploads(caller: Caller, bucket: str) -> None:
    caller.aws.s3.list_multipart_uploads(Bucket=bucket, Prefix="roles/")


# What lies in an output and is not Kinglet's, however much it looks so: names that readers of `part-*` take, names of earlier
# versions, and names that end as Kinglet's do. What has a job's id behind a partition is a part, whatever ending follows: a right
# for each ending would make the driver's policy longer than IAM takes. Kinglet itself leaves endings alone that it does not write.
USERS = [
    "other",
    "part-00000",
    "part-notes.txt",
    "part-2024-01",
    f"part-0000-{ID}",
    "_rejected-notes.jsonl",
    f"_rejected-{ID}.csv",
    f"part-00000.1-{ID}",
    "part-00000.00001-notes",
    "counterpart-x.csv",
    f"counterpart-00000-{ID}",
    f"year=2026/counterpart-00000-{ID}.csv",
    "year=2026/part-1.csv",
    "my_manifest.json",
    "product_owner.json",
    "job-notes/manifest.json",
    f"my-job-{ID}/manifest.json",
]

# What is done to an object of an output; nobody may do it to those.
ACTS: dict[str, Callable[[Caller, str, str], None]] = {
    "write": Caller.put,
    "write in parts": Caller.upload,
    "complete another's": Caller.finish_anothers,
    "abort another's": Caller.abort_anothers,
    "read": Caller.get,
    "remove": Caller.remove,
}

# Who may: s splitter, m mapper, r reducer, d the driver's user.
Line = tuple[str, str, Callable[[Caller], object]]
TABLE: list[Line] = [
    # The ledger
    ("read an item of the ledger", "smrd", in_table("get_item", Key=PK)),
    ("read many items of the ledger", "smrd", batch_get),
    ("query the ledger", "smrd", query),
    ("change an item of the ledger", "smrd", update),
    ("put an item into the ledger", "d", in_table("put_item", Item=ITEM)),
    ("write runs, and where runs lie, into the ledger", "mrd", batch_write),
    ("delete an item of the ledger", "d", in_table("delete_item", Key=PK)),
    ("scan the ledger", "", in_table("scan")),
    ("describe the ledger", "d", in_table("describe_table")),
    ("delete the ledger", "", in_table("delete_table")),
    ("query another table", "", lambda c: query(c, ELSEWHERE)),
    # The work bucket
    ("read a spec", "smrd", lambda c: c.get(c.work, f"{JOB}/spec")),
    ("read a plan", "smrd", lambda c: c.get(c.work, f"{JOB}/plan/0")),
    ("read items", "smrd", lambda c: c.get(c.work, f"{JOB}/items")),
    ("read what a piece has left", "rd", lambda c: c.get(c.work, f"{JOB}/rest/000000.0/0-1")),
    ("write what a piece leaves", "rd", lambda c: c.put(c.work, f"{JOB}/rest/000000.0/0-1")),
    ("remove what a piece has left", "smrd", lambda c: c.remove(c.work, f"{JOB}/rest/000000.0/0-1")),
    ("list the files that a piece leaves", "rd", lambda c: c.put(c.work, f"{JOB}/files/000000.0/0-1")),
    ("read the list of files", "smrd", lambda c: c.get(c.work, f"{JOB}/files/000000.0/0-1")),
    ("remove the list of files", "smrd", lambda c: c.remove(c.work, f"{JOB}/files/000000.0/0-1")),
    ("write merged runs", "rd", lambda c: c.upload(c.work, f"{JOB}/merged/000000.0/0-1")),
    ("read merged runs", "rd", lambda c: c.get(c.work, f"{JOB}/merged/000000.0/0-1")),
    ("remove merged runs", "smrd", lambda c: c.remove(c.work, f"{JOB}/merged/000000.0/0-1")),
    ("read runs", "mrd", lambda c: c.get(c.work, f"{JOB}/runs/000000.0/0-1")),
    ("read what calls share", "mrd", lambda c: c.get(c.work, f"{JOB}/shared")),
    ("write what calls share", "d", lambda c: c.put(c.work, f"{JOB}/shared")),
    ("write an object of a call", "mrd", lambda c: c.put(c.work, f"{JOB}/objects/a")),
    ("read an object of a call", "mrd", lambda c: c.get(c.work, f"{JOB}/objects/a")),
    ("write the result of a reduce function", "rd", lambda c: c.upload(c.work, f"{JOB}/result/0-1")),
    ("read a shipped program", "mrd", lambda c: c.get(c.work, PROGRAM)),
    ("ship a program", "d", lambda c: c.put(c.work, PROGRAM)),
    ("remove a shipped program", "", lambda c: c.remove(c.work, PROGRAM)),
    ("read a stored job", "d", lambda c: c.get(c.work, STORED)),
    ("store a job", "d", lambda c: c.put(c.work, STORED)),
    ("remove a stored job", "d", lambda c: c.remove(c.work, STORED)),
    ("write a spec", "d", lambda c: c.put(c.work, f"{JOB}/spec")),
    ("write items", "d", lambda c: c.put(c.work, f"{JOB}/items")),
    ("write a plan", "sd", lambda c: c.put(c.work, f"{JOB}/plan/0")),
    ("remove a plan", "d", lambda c: c.remove(c.work, f"{JOB}/plan/0")),
    ("write runs", "md", lambda c: c.put(c.work, f"{JOB}/runs/000000.0/0-1")),
    ("write runs in parts", "md", lambda c: c.upload(c.work, f"{JOB}/runs/000000.0/0-2")),
    ("write under another prefix of the work bucket", "", lambda c: c.put(c.work, "other/spec")),
    ("remove runs", "smrd", lambda c: c.remove(c.work, f"{JOB}/runs/000000.0/0-1")),
    ("learn that an object of the work bucket is gone", "smrd", lambda c: gone(c, c.work, f"{JOB}/none/spec")),
    ("list the uploads of the work bucket", "d", lambda c: uploads(c, c.work)),
    ("change the policy of the work bucket", "", lambda c: c.aws.s3.delete_bucket_policy(Bucket=c.work)),
    ("delete the work bucket", "", lambda c: c.aws.s3.delete_bucket(Bucket=c.work)),
    # The input
    ("list the input", "smd", lambda c: c.aws.s3.list_objects_v2(Bucket=INPUT, Prefix="roles/")),
    ("look at an object of the input", "sm", lambda c: c.aws.s3.head_object(Bucket=INPUT, Key="roles/a")),
    ("read an object of the input", "sm", lambda c: c.get(INPUT, "roles/a")),
    ("write into the input", "", lambda c: c.put(INPUT, "roles/a")),
    ("remove an object of the input", "", lambda c: c.remove(INPUT, "roles/a")),
    ("write a part into the input", "", lambda c: c.put(INPUT, PART)),
    ("list the uploads of the input", "", lambda c: uploads(c, INPUT)),
    # The output: any function may be the one that ends a job. aws/src/output.rs
    ("claim an output, and renew the claim", "smrd", lambda c: c.replace(OUTPUT, OWNER)),
    ("read a claim", "smrd", lambda c: c.get(OUTPUT, OWNER)),
    ("give an output free", "smrd", lambda c: c.remove_version(OUTPUT, OWNER)),
    ("write a manifest", "smrd", lambda c: c.put(OUTPUT, MANIFEST)),
    ("write a manifest in parts", "smrd", lambda c: c.upload(OUTPUT, MANIFEST)),
    ("complete another's manifest", "smrd", lambda c: c.finish_anothers(OUTPUT, MANIFEST)),
    ("abort another's manifest", "smrd", lambda c: c.abort_anothers(OUTPUT, MANIFEST)),
    ("list the parts of a manifest's upload", "smrd", lambda c: c.look_at_anothers(OUTPUT, MANIFEST)),
    ("read a manifest", "smrd", lambda c: c.get(OUTPUT, MANIFEST)),
    ("write a part", "smrd", lambda c: c.put(OUTPUT, PART)),
    ("write a part in parts", "smrd", lambda c: c.upload(OUTPUT, PART)),
    ("complete another's part", "smrd", lambda c: c.finish_anothers(OUTPUT, PART)),
    ("abort another's part", "smrd", lambda c: c.abort_anothers(OUTPUT, PART)),
    ("list the parts of a part's upload", "smrd", lambda c: c.look_at_anothers(OUTPUT, PART)),
    ("read a part", "smrd", lambda c: c.get(OUTPUT, PART)),
    ("remove a part", "smrd", lambda c: c.remove(OUTPUT, OTHER_PART)),
    ("remove a part as it is known", "smrd", lambda c: c.remove_version(OUTPUT, OTHER_PART)),
    ("do so where the output is the bucket", "smrd", lambda c: c.remove(OUTPUT, OTHER_PART.split("/")[1])),
    *(
        (f"{doing} a part that ends in {ending}", "smrd", lambda c, act=act, ending=ending: act(c, OUTPUT, PART + ending))
        for ending in ENDINGS
        for doing, act in ACTS.items()
    ),
    ("write the marker of a success", "smrd", lambda c: c.put(OUTPUT, MARKER)),
    ("remove the marker of a success", "d", lambda c: c.remove(OUTPUT, MARKER)),
    ("write what was left out in parts", "smrd", lambda c: c.upload(OUTPUT, LEFT_OUT)),
    ("complete what another has left out", "smrd", lambda c: c.finish_anothers(OUTPUT, LEFT_OUT)),
    ("abort what another has left out", "smrd", lambda c: c.abort_anothers(OUTPUT, LEFT_OUT)),
    ("read what was left out", "smrd", lambda c: c.get(OUTPUT, LEFT_OUT)),
    ("remove what was left out", "smrd", lambda c: c.remove(OUTPUT, LEFT_OUT)),
    ("write a further part in parts", "smrd", lambda c: c.upload(OUTPUT, FURTHER)),
    ("complete another's further part", "smrd", lambda c: c.finish_anothers(OUTPUT, FURTHER)),
    ("abort another's further part", "smrd", lambda c: c.abort_anothers(OUTPUT, FURTHER)),
    ("read a further part", "smrd", lambda c: c.get(OUTPUT, FURTHER)),
    ("remove a further part", "smrd", lambda c: c.remove(OUTPUT, OTHER_FURTHER)),
    *(
        (f"{doing} a part in folders", "smrd", lambda c, act=act: act(c, OUTPUT, FOLDERED)) for doing, act in ACTS.items()
    ),
    ("remove a further part in folders", "smrd", lambda c: c.remove(OUTPUT, OTHER_FOLDERED)),
    ("list the output", "smrd", lambda c: c.aws.s3.list_objects_v2(Bucket=OUTPUT, Prefix="roles/")),
    ("list the uploads of the output", "smrd", lambda c: uploads(c, OUTPUT)),
    ("list the versions of the output", "", lambda c: c.aws.s3.list_object_versions(Bucket=OUTPUT, Prefix="roles/")),
    # `bench` removes what it has made.
    ("remove a manifest", "d", lambda c: c.remove(OUTPUT, MANIFEST)),
    # A driver's reports
    ("write a report", "d", lambda c: c.put(OUTPUT, REPORTED)),
    ("write a report in parts", "d", lambda c: c.upload(OUTPUT, REPORTED)),
    ("write a report's manifest", "d", lambda c: c.put(OUTPUT, REPORT)),
    ("read a report's manifest", "d", lambda c: c.get(OUTPUT, REPORT)),
    ("remove a report", "d", lambda c: c.remove(OUTPUT, REPORTED)),
    # What is the user's there
    *(
        (f"{doing} {key}", "", lambda c, act=act, key=key: act(c, OUTPUT, f"roles/{key}"))
        for key in USERS
        for doing, act in ACTS.items()
    ),
    # Another bucket
    ("list another bucket", "", lambda c: c.aws.s3.list_objects_v2(Bucket=ELSEWHERE)),
    ("read in another bucket", "", lambda c: c.get(ELSEWHERE, "roles/a")),
    ("write a part into another bucket", "", lambda c: c.put(ELSEWHERE, PART)),
    ("remove a part from another bucket", "", lambda c: c.remove(ELSEWHERE, PART)),
    ("complete another's part in another bucket", "", lambda c: c.finish_anothers(ELSEWHERE, PART)),
    ("list the uploads of another bucket", "", lambda c: uploads(c, ELSEWHERE)),
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
    there = [PART, OTHER_PART, FURTHER, OTHER_FURTHER, FOLDERED, OTHER_FOLDERED, LEFT_OUT, OWNER, REPORTED, REPORT, *(f"roles/{key}" for key in USERS)]
    for bucket, key in [(INPUT, "roles/a"), (ELSEWHERE, "roles/a"), (ELSEWHERE, PART), *((OUTPUT, key) for key in there)]:
        root.s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    for name in ["spec", "plan/0", "items", "shared", "objects/a", "runs/000000.0/0-1", "rest/000000.0/0-1", "files/000000.0/0-1"]:
        root.s3.put_object(Bucket=outputs["WorkBucketName"], Key=f"{JOB}/{name}", Body=b"x")
    for key in [PROGRAM, STORED]:
        root.s3.put_object(Bucket=outputs["WorkBucketName"], Key=key, Body=b"x")
    root.s3.put_object(Bucket=OUTPUT, Key=MANIFEST, Body=b"{}")


def tidy(stack: Stack) -> None:
    root, outputs = stack.root, stack.outputs
    root.dynamodb.delete_item(TableName=outputs["Table"], Key=PK)
    for bucket in [INPUT, ELSEWHERE, OUTPUT, outputs["WorkBucketName"]]:
        for prefix in ["roles/", f"{JOB}/", PROGRAM, STORED]:
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
            "     " + what.ljust(68) + "  ".join(f"{letter} {verdict.ljust(7)}" for letter, verdict in verdicts.items())
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
        letter: Caller(aws, stack.root, outputs["Table"], outputs["WorkBucketName"], names) for letter, aws in clients.items()
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
    ("write into it", "", lambda c: c.put(ELSEWHERE, PART)),
    ("read a stored job", "s", lambda c: c.get(c.work, STORED)),
    ("store a job", "", lambda c: c.put(c.work, STORED)),
    ("write a spec", "s", lambda c: c.put(c.work, f"{JOB}/spec")),
    ("remove a spec", "s", lambda c: c.remove(c.work, f"{JOB}/spec")),
    ("put an item into the ledger", "s", in_table("put_item", Item=ITEM)),
    # Programs are forbidden among these options.
    ("ship a program", "", lambda c: c.put(c.work, PROGRAM)),
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
        where = stack.outputs["Table"], stack.outputs["WorkBucketName"]
        callers[letter] = Caller(aws, stack.root, *where, stack.outputs)
    prepare(stack)
    try_table(stack, [(what, who if asked else "", call) for what, who, call in MORE], callers)
    tidy(stack)
