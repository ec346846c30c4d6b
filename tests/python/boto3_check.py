"""AWS's own Python client against the embedded S3, DynamoDB and Lambda.

Endpoints, keys and region come from the environment, by the names that every AWS tool knows. Each check prints a line
when it has passed; the first that fails ends the script.
"""

import io
import json
import os
import random
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

# One try for each call: a retry could hide what is wrong.
ONE_TRY = Config(retries={"mode": "standard", "total_max_attempts": 1}, max_pool_connections=32)

s3 = boto3.client("s3", config=ONE_TRY)
dynamodb = boto3.client("dynamodb", config=ONE_TRY)
functions = boto3.client("lambda", config=ONE_TRY)

BUCKET = "boto3-check"
TABLE = "boto3-check"
SPLITTER = "kinglet-splitter"

CHECKS: list[Callable[[], None]] = []


def check(function: Callable[[], None]) -> Callable[[], None]:
    CHECKS.append(function)
    return function


def refused(call: Callable[[], object]) -> tuple[str, int]:
    """The code and the HTTP status with which a call is refused."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError("it was not refused")


def status(response: dict) -> int:
    return response["ResponseMetadata"]["HTTPStatusCode"]


def body(key: str, **how: str) -> bytes:
    return s3.get_object(Bucket=BUCKET, Key=key, **how)["Body"].read()


# ---- S3


@check
def s3_creates_and_lists_buckets() -> None:
    s3.create_bucket(Bucket=BUCKET)
    s3.head_bucket(Bucket=BUCKET)
    assert BUCKET in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert refused(lambda: s3.head_bucket(Bucket="not-there"))[1] == 404
    assert refused(lambda: s3.put_object(Bucket="not-there", Key="k", Body=b"")) == ("NoSuchBucket", 404)


@check
def s3_puts_gets_and_heads() -> None:
    data = bytes(range(256)) * 40
    put = s3.put_object(Bucket=BUCKET, Key="data", Body=data, ContentType="text/x", Metadata={"made-by": "boto3"})
    # The same for the same bytes, in quotes. That it is an MD5 digest AWS does not promise:
    # <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html>
    assert put["ETag"][0] == put["ETag"][-1] == '"'
    assert s3.put_object(Bucket=BUCKET, Key="same", Body=data)["ETag"] == put["ETag"]
    assert s3.put_object(Bucket=BUCKET, Key="same", Body=data[1:])["ETag"] != put["ETag"]
    got = s3.get_object(Bucket=BUCKET, Key="data")
    assert got["Body"].read() == data
    head = s3.head_object(Bucket=BUCKET, Key="data")
    for answer in (got, head):
        assert (answer["ContentLength"], answer["ETag"], answer["ContentType"]) == (len(data), put["ETag"], "text/x")
        assert answer["Metadata"] == {"made-by": "boto3"}
    assert refused(lambda: body("not-there")) == ("NoSuchKey", 404)
    assert refused(lambda: s3.head_object(Bucket=BUCKET, Key="not-there"))[1] == 404
    s3.put_object(Bucket=BUCKET, Key="empty", Body=b"")
    assert body("empty") == b""


@check
def s3_reads_ranges() -> None:
    data = body("data")
    assert body("data", Range="bytes=0-0") == data[:1]
    assert body("data", Range="bytes=100-199") == data[100:200]
    assert body("data", Range="bytes=10000-") == data[10000:]
    assert body("data", Range="bytes=-7") == data[-7:]
    assert body("data", Range="bytes=10000-999999") == data[10000:]
    got = s3.get_object(Bucket=BUCKET, Key="data", Range="bytes=5-9")
    assert (status(got), got["ContentRange"]) == (206, f"bytes 5-9/{len(data)}")
    assert refused(lambda: body("data", Range=f"bytes={len(data)}-")) == ("InvalidRange", 416)


@check
def s3_reads_the_version_that_is_asked_for() -> None:
    etag = s3.head_object(Bucket=BUCKET, Key="data")["ETag"]
    assert body("data", IfMatch=etag) == body("data")
    assert refused(lambda: body("data", IfMatch='"another"')) == ("PreconditionFailed", 412)
    assert refused(lambda: body("data", IfNoneMatch=etag))[1] == 304


@check
def s3_takes_any_key() -> None:
    keys = ["a/b", "a", "a/", "with space+plus", "ümlaut/日本", "percent%2F&amp;", "dots/../.", "new\nline", "k" * 1024]
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=f"k/{key}"[:1024], Body=key.encode())
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix="k/", EncodingType="url")["Contents"]
    # boto3 decodes what it asked to be encoded only where it asked itself.
    listed = sorted(urllib.parse.unquote(entry["Key"].replace("+", " ")) for entry in listed)
    assert listed == sorted(f"k/{key}"[:1024] for key in keys), listed
    for key in keys:
        assert body(f"k/{key}"[:1024]) == key.encode()


@check
def s3_lists_2500_keys_in_pages() -> None:
    keys = [f"many/{n % 5}/{n:05}" for n in range(2500)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode()), keys))
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="many/"))
    assert [len(page["Contents"]) for page in pages] == [1000, 1000, 500]
    listed = [entry for page in pages for entry in page["Contents"]]
    assert [entry["Key"] for entry in listed] == sorted(keys)
    assert all(entry["Size"] == len(entry["Key"]) for entry in listed)
    assert listed[7]["ETag"] == s3.head_object(Bucket=BUCKET, Key=listed[7]["Key"])["ETag"]
    old_pages = s3.get_paginator("list_objects").paginate(Bucket=BUCKET, Prefix="many/", PaginationConfig={"PageSize": 700})
    assert [entry["Key"] for page in old_pages for entry in page["Contents"]] == sorted(keys)


@check
def s3_lists_by_prefix_and_delimiter() -> None:
    top = s3.list_objects_v2(Bucket=BUCKET, Prefix="many/", Delimiter="/")
    assert [entry["Prefix"] for entry in top["CommonPrefixes"]] == [f"many/{n}/" for n in range(5)]
    assert "Contents" not in top and top["KeyCount"] == 5
    paged = s3.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, Prefix="many/", Delimiter="/", PaginationConfig={"PageSize": 2}
    )
    assert [e["Prefix"] for page in paged for e in page["CommonPrefixes"]] == [f"many/{n}/" for n in range(5)]
    after = s3.list_objects_v2(Bucket=BUCKET, Prefix="many/3/", StartAfter="many/3/02488")
    assert [entry["Key"] for entry in after["Contents"]] == ["many/3/02493", "many/3/02498"]
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="nothing/")["KeyCount"] == 0


@check
def s3_copies() -> None:
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "data"})
    assert body("copy") == body("data")
    assert s3.head_object(Bucket=BUCKET, Key="copy")["Metadata"] == {"made-by": "boto3"}
    assert refused(
        lambda: s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "not-there"})
    ) == ("NoSuchKey", 404)


@check
def s3_deletes_one_and_many() -> None:
    assert status(s3.delete_object(Bucket=BUCKET, Key="copy")) == 204
    assert status(s3.delete_object(Bucket=BUCKET, Key="copy")) == 204, "what is gone counts as deleted"
    assert refused(lambda: body("copy")) == ("NoSuchKey", 404)
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET, Prefix="many/")["Contents"]]
    assert len(keys) == 1000
    answer = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys]})
    assert sorted(entry["Key"] for entry in answer["Deleted"]) == keys and "Errors" not in answer
    left = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="many/")
    assert sum(page["KeyCount"] for page in left) == 1500


@check
def s3_lets_one_of_16_racing_writers_win() -> None:
    def write(n: int) -> str:
        try:
            s3.put_object(Bucket=BUCKET, Key="raced", Body=b"%d" % n, IfNoneMatch="*")
            return str(n)
        except ClientError as error:
            return error.response["Error"]["Code"]

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(write, range(16)))
    winners = [outcome for outcome in outcomes if outcome.isdecimal()]
    assert len(winners) == 1 and body("raced") == winners[0].encode(), outcomes
    # AWS answers with the second while the first writer is still at it.
    assert set(outcomes) - set(winners) <= {"PreconditionFailed", "ConditionalRequestConflict"}, outcomes


@check
def s3_replaces_only_the_version_that_is_named() -> None:
    etag = s3.put_object(Bucket=BUCKET, Key="replaced", Body=b"one")["ETag"]

    def put(body: bytes, key: str = "replaced") -> dict:
        return s3.put_object(Bucket=BUCKET, Key=key, Body=body, IfMatch=etag)

    put(b"two")
    assert refused(lambda: put(b"three")) == ("PreconditionFailed", 412)
    assert body("replaced") == b"two"
    assert refused(lambda: put(b"three", key="not-there")) == ("NoSuchKey", 404)


@check
def s3_takes_20_mb_in_parts() -> None:
    data = random.Random(1).randbytes(20_000_000)
    s3.upload_fileobj(io.BytesIO(data), BUCKET, "large")
    got = io.BytesIO()
    s3.download_fileobj(BUCKET, "large", got)
    assert got.getvalue() == data
    head = s3.head_object(Bucket=BUCKET, Key="large")
    # boto3 sends parts of 8 MiB: an object in three parts has "-3" in its ETag.
    assert head["ContentLength"] == len(data) and head["ETag"].endswith('-3"'), head["ETag"]
    assert body("large", Range="bytes=8388600-8388615") == data[8388600:8388616]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


@check
def s3_gives_up_an_upload() -> None:
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="given-up")["UploadId"]
    named = {"Bucket": BUCKET, "Key": "given-up", "UploadId": upload}
    s3.upload_part(**named, PartNumber=1, Body=b"x" * 100)
    assert [part["Size"] for part in s3.list_parts(**named)["Parts"]] == [100]
    s3.abort_multipart_upload(**named)
    assert refused(lambda: s3.upload_part(**named, PartNumber=2, Body=b"y")) == ("NoSuchUpload", 404)
    assert refused(lambda: body("given-up")) == ("NoSuchKey", 404)


@check
def s3_serves_presigned_urls() -> None:
    # Without being told, boto3 signs URLs by version 2, which AWS takes only for buckets made before June 2020:
    # <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html>
    signer = boto3.client("s3", config=ONE_TRY.merge(Config(signature_version="s3v4")))
    named = {"Bucket": BUCKET, "Key": "presigned with space"}
    put = signer.generate_presigned_url("put_object", Params=named)
    with urllib.request.urlopen(urllib.request.Request(put, data=b"through a URL", method="PUT")) as answer:
        assert answer.status == 200
    get = signer.generate_presigned_url("get_object", Params=named)
    with urllib.request.urlopen(get) as answer:
        assert answer.read() == b"through a URL"
    for url in (get[:-1] + ("0" if get[-1] != "0" else "1"), get.split("?")[0]):
        try:
            urllib.request.urlopen(url)
        except urllib.error.HTTPError as error:
            assert error.code == 403, error
        else:
            raise AssertionError(f"{url} was served")


@check
def s3_refuses_wrong_keys() -> None:
    known = os.environ["AWS_ACCESS_KEY_ID"]
    # A refused write leaves its body unread, and so its connection closed: the next request may find it closing and must be
    # sent again, as clients do by themselves. What is refused is not sent again.
    again = Config(retries={"mode": "standard", "total_max_attempts": 3})
    wrong = boto3.client("s3", config=again, aws_access_key_id=known, aws_secret_access_key="wrong")
    unknown = boto3.client("s3", config=again, aws_access_key_id="unknown", aws_secret_access_key="wrong")
    for client, code in ((wrong, "SignatureDoesNotMatch"), (unknown, "InvalidAccessKeyId")):
        assert refused(lambda: client.get_object(Bucket=BUCKET, Key="data")) == (code, 403)
        assert refused(lambda: client.put_object(Bucket=BUCKET, Key="data", Body=b"overwritten")) == (code, 403)
        assert refused(lambda: client.list_objects_v2(Bucket=BUCKET)) == (code, 403)
    assert len(body("data")) == 256 * 40


@check
def s3_deletes_a_bucket_when_it_is_empty() -> None:
    assert refused(lambda: s3.delete_bucket(Bucket=BUCKET)) == ("BucketNotEmpty", 409)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        keys = [{"Key": entry["Key"]} for entry in page["Contents"]]
        assert "Errors" not in s3.delete_objects(Bucket=BUCKET, Delete={"Objects": keys, "Quiet": True})
    s3.delete_bucket(Bucket=BUCKET)
    assert refused(lambda: s3.list_objects_v2(Bucket=BUCKET)) == ("NoSuchBucket", 404)


# ---- DynamoDB


def item(pk: str, sk: int, **more: dict) -> dict:
    return {"pk": {"S": pk}, "sk": {"N": str(sk)}, **more}


@check
def dynamodb_creates_and_lists_tables() -> None:
    dynamodb.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.get_waiter("table_exists").wait(TableName=TABLE)
    assert TABLE in dynamodb.list_tables()["TableNames"]
    assert dynamodb.describe_table(TableName=TABLE)["Table"]["TableStatus"] == "ACTIVE"
    assert refused(lambda: dynamodb.get_item(TableName="not-there", Key=item("a", 1))) == (
        "ResourceNotFoundException",
        400,
    )


@check
def dynamodb_puts_and_gets_every_type() -> None:
    whole = item(
        "types",
        1,
        text={"S": "日本"},
        number={"N": "12345678901234567890.5"},
        binary={"B": bytes(range(256))},
        yes={"BOOL": True},
        nothing={"NULL": True},
        items={"L": [{"N": "1"}, {"M": {"deep": {"S": "x"}}}]},
        numbers={"NS": ["1", "2"]},
        binaries={"BS": [b"a", b"b"]},
    )
    dynamodb.put_item(TableName=TABLE, Item=whole)
    got = dynamodb.get_item(TableName=TABLE, Key=item("types", 1), ConsistentRead=True)["Item"]
    for unordered in ("NS", "BS"):
        for attribute in got.values():
            if unordered in attribute:
                attribute[unordered].sort()
    assert got == whole
    assert "Item" not in dynamodb.get_item(TableName=TABLE, Key=item("types", 2))


@check
def dynamodb_updates_on_a_condition() -> None:
    def add(owner: str, condition: str) -> dict:
        return dynamodb.update_item(
            TableName=TABLE,
            Key=item("updated", 1),
            UpdateExpression="SET #owner = :owner ADD hits :one",
            ConditionExpression=condition,
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":owner": {"S": owner}, ":one": {"N": "1"}},
            ReturnValues="ALL_NEW",
        )

    assert add("a", "attribute_not_exists(#owner)")["Attributes"]["hits"] == {"N": "1"}
    code = refused(lambda: add("b", "attribute_not_exists(#owner)"))
    assert code == ("ConditionalCheckFailedException", 400)
    assert add("a", "#owner = :owner")["Attributes"] == item("updated", 1, owner={"S": "a"}, hits={"N": "2"})


@check
def dynamodb_lets_one_of_16_racing_writers_win() -> None:
    def write(n: int) -> bool:
        try:
            dynamodb.put_item(
                TableName=TABLE, Item=item("raced", 1, by={"N": str(n)}), ConditionExpression="attribute_not_exists(pk)"
            )
            return True
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return False

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(write, range(16)))
    assert won.count(True) == 1
    assert dynamodb.get_item(TableName=TABLE, Key=item("raced", 1))["Item"]["by"] == {"N": str(won.index(True))}


@check
def dynamodb_writes_and_reads_batches() -> None:
    for start in range(0, 200, 25):
        puts = [{"PutRequest": {"Item": item("batch", n, data={"B": b"x" * 10_000})}} for n in range(start, start + 25)]
        assert not dynamodb.batch_write_item(RequestItems={TABLE: puts})["UnprocessedItems"]
    keys = [item("batch", n) for n in range(0, 100)]
    got = dynamodb.batch_get_item(RequestItems={TABLE: {"Keys": keys}})
    assert len(got["Responses"][TABLE]) == 100 and not got["UnprocessedKeys"]
    one_too_many = [{"DeleteRequest": {"Key": item("batch", n)}} for n in range(26)]
    assert refused(lambda: dynamodb.batch_write_item(RequestItems={TABLE: one_too_many})) == ("ValidationException", 400)


@check
def dynamodb_queries_in_pages_of_1_mb() -> None:
    query = {
        "TableName": TABLE,
        "KeyConditionExpression": "pk = :pk AND sk >= :least",
        "ExpressionAttributeValues": {":pk": {"S": "batch"}, ":least": {"N": "10"}},
    }
    pages = list(dynamodb.get_paginator("query").paginate(**query))
    assert [int(entry["sk"]["N"]) for page in pages for entry in page["Items"]] == list(range(10, 200))
    # 190 items of 10 KB.
    assert len(pages) == 2 and "LastEvaluatedKey" in pages[0], [page["Count"] for page in pages]
    first = dynamodb.query(**query, Limit=3, ScanIndexForward=False)
    assert [entry["sk"]["N"] for entry in first["Items"]] == ["199", "198", "197"]
    counted = list(dynamodb.get_paginator("query").paginate(**query, Select="COUNT"))
    assert sum(page["Count"] for page in counted) == 190


@check
def dynamodb_refuses_an_item_over_400_kb() -> None:
    small = item("large", 1, data={"B": b"x" * (400 * 1024 - 100)})
    dynamodb.put_item(TableName=TABLE, Item=small)
    large = item("large", 1, data={"B": b"x" * 400 * 1024})
    assert refused(lambda: dynamodb.put_item(TableName=TABLE, Item=large)) == ("ValidationException", 400)


@check
def dynamodb_writes_all_of_a_transaction_or_none() -> None:
    def put(sk: int, condition: str) -> dict:
        return {"Put": {"TableName": TABLE, "Item": item("together", sk), "ConditionExpression": condition}}

    free = "attribute_not_exists(pk)"
    dynamodb.transact_write_items(TransactItems=[put(1, free), put(2, free)])
    code = refused(lambda: dynamodb.transact_write_items(TransactItems=[put(3, free), put(2, free)]))
    assert code == ("TransactionCanceledException", 400)
    keys = [{"Get": {"TableName": TABLE, "Key": item("together", sk)}} for sk in (1, 2, 3)]
    got = dynamodb.transact_get_items(TransactItems=keys)["Responses"]
    assert ["Item" in answer for answer in got] == [True, True, False]


@check
def dynamodb_deletes_items_and_tables() -> None:
    gone = dynamodb.delete_item(TableName=TABLE, Key=item("together", 1), ReturnValues="ALL_OLD")
    assert gone["Attributes"] == item("together", 1)
    assert "Item" not in dynamodb.get_item(TableName=TABLE, Key=item("together", 1), ConsistentRead=True)
    code = refused(
        lambda: dynamodb.delete_item(
            TableName=TABLE, Key=item("together", 1), ConditionExpression="attribute_exists(pk)"
        )
    )
    assert code == ("ConditionalCheckFailedException", 400)
    dynamodb.delete_table(TableName=TABLE)
    dynamodb.get_waiter("table_not_exists").wait(TableName=TABLE)


# ---- Lambda


def invoke(payload: bytes, kind: str = "RequestResponse", name: str = SPLITTER) -> dict:
    return functions.invoke(FunctionName=name, InvocationType=kind, Payload=payload)


SWEEP = json.dumps({"sweep": {}}).encode()


@check
def lambda_lists_functions() -> None:
    pages = functions.get_paginator("list_functions").paginate()
    listed = {entry["FunctionName"]: entry for page in pages for entry in page["Functions"]}
    assert sorted(listed) == ["kinglet-mapper", "kinglet-mapper-large", "kinglet-reducer", "kinglet-splitter"]
    assert all(entry["Runtime"] == "provided.al2023" for entry in listed.values())
    got = functions.get_function(FunctionName=SPLITTER)
    assert got["Configuration"] == listed[SPLITTER] == {
        name: value
        for name, value in functions.get_function_configuration(FunctionName=SPLITTER).items()
        if name != "ResponseMetadata"
    }
    arn = listed[SPLITTER]["FunctionArn"]
    assert functions.get_function(FunctionName=arn)["Configuration"]["FunctionName"] == SPLITTER


@check
def lambda_invokes_and_waits() -> None:
    answer = functions.invoke(FunctionName=SPLITTER, Payload=SWEEP, LogType="Tail")
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer
    assert json.loads(answer["Payload"].read()) == {"jobs": 0}
    assert answer["LogResult"]


@check
def lambda_reports_a_function_s_error() -> None:
    answer = invoke(b'{"nonsense": 1}')
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    document = json.loads(answer["Payload"].read())
    assert document["errorType"] == "Kinglet.event" and "nonsense" in document["errorMessage"], document


@check
def lambda_takes_events() -> None:
    answer = invoke(SWEEP, kind="Event")
    assert answer["StatusCode"] == 202 and answer["Payload"].read() == b""
    # Whether it ran is for the test to see that started this script.
    print("event", answer["ResponseMetadata"]["RequestId"])


@check
def lambda_makes_dry_runs() -> None:
    answer = invoke(SWEEP, kind="DryRun")
    assert answer["StatusCode"] == 204 and answer["Payload"].read() == b""


@check
def lambda_refuses_as_aws_does() -> None:
    assert refused(lambda: invoke(SWEEP, name="not-there")) == ("ResourceNotFoundException", 404)
    assert refused(lambda: functions.get_function(FunctionName="not-there")) == ("ResourceNotFoundException", 404)
    assert refused(lambda: invoke(b"no json")) == ("InvalidRequestContentException", 400)
    unknown = boto3.client("lambda", config=ONE_TRY, aws_access_key_id="unknown", aws_secret_access_key="wrong")
    code = refused(lambda: unknown.invoke(FunctionName=SPLITTER, Payload=SWEEP))
    assert code == ("UnrecognizedClientException", 403)


@check
def lambda_refuses_payloads_that_are_too_large() -> None:
    def padded(size: int) -> bytes:
        return json.dumps({"sweep": {}, "pad": "x" * size}).encode()

    # <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
    assert refused(lambda: invoke(padded(6 << 20 | 1 << 10))) == ("RequestTooLargeException", 413)
    assert refused(lambda: invoke(padded(1 << 20), kind="Event")) == ("RequestTooLargeException", 413)
    assert invoke(padded(5 << 20), kind="DryRun")["StatusCode"] == 204


for each in CHECKS:
    try:
        each()
    except BaseException:
        print("FAILED", each.__name__, flush=True)
        raise
    print("ok", each.__name__, flush=True)
