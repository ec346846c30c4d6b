"""Jobs on the deployed stack, started by the `kinglet` command with the keys of a user who has `DriverPolicy`."""

import json
import random
import re
import subprocess
import zlib
from collections import Counter

from stack import ELSEWHERE, INPUT, OUTPUT, Aws, Stack
from tools import TARGET, check, run, say

# The partition, and the id of the job.
PART = r"part-\d{5}-[0-9a-f]{11}-[0-9a-f]{12}"

KINGLET = TARGET / "debug" / "kinglet"


def corpus() -> dict[str, bytes]:
    """Texts: common words on lines, in several objects; and, in one, words that hardly come twice, so that what its
    mapper writes and its reducer publishes is larger than one part of an upload."""
    dice = random.Random(1)
    common = [f"{dice.randrange(1 << 40):x}" for _ in range(5_000)] + ["wörter", "日本", "a", "I"]
    texts = {}
    for name in ["a.txt", "b.txt", "deeper/c.txt"]:
        lines = (" ".join(dice.choices(common, k=12)) for _ in range(9_000))
        texts[f"common/{name}"] = "\n".join(lines).encode()
    rare = (f"{dice.randrange(1 << 80):020x}" for _ in range(900_000))
    texts["rare/words.txt"] = "\n".join(rare).encode()
    return texts


def counts(texts: list[bytes]) -> Counter[bytes]:
    """An independent count: words are parted by ASCII white space."""
    counted: Counter[bytes] = Counter()
    for text in texts:
        counted.update(text.split())
    return counted


class Driver:
    """The `kinglet` command as somebody's."""

    def __init__(self, stack: Stack, who: Aws):
        self.stack, self.aws = stack, who
        self.env = who.env | {"PATH": "/usr/bin:/bin", "HOME": str(stack.server.path)}

    def run(self, *arguments: str, fails: bool = False) -> str:
        return run(KINGLET, "--stack", "kinglet", *arguments, env=self.env, fails=fails, cwd=self.stack.server.path)

    def count(self, source: str, target: str, *options: str, fails: bool = False) -> str:
        return self.run("run", "word-count", source, "--output", target, *options, fails=fails)


def problems(driver: Driver, fails: bool = False) -> list[str]:
    """What the doctor calls a problem. It fails where there is one, and says so after the JSON."""
    said = driver.run("doctor", "--json", fails=fails)
    found, _ = json.JSONDecoder().raw_decode(said[said.index("[") :])
    return [finding["message"] for finding in found if finding["level"] == "problem"]


def read_manifest(root: Aws, prefix: str) -> dict:
    return json.loads(root.s3.get_object(Bucket=OUTPUT, Key=f"{prefix}_manifest.json")["Body"].read())


def open_uploads(root: Aws) -> list[str]:
    """What is left unfinished in the output bucket."""
    return [upload["Key"] for upload in root.s3.list_multipart_uploads(Bucket=OUTPUT).get("Uploads", [])]


def read_output(root: Aws, prefix: str, users: tuple[str, ...] = ()) -> dict[bytes, int]:
    """The parts, which have to be sorted, and the manifest, which has to list them, and nothing else but for the user's."""
    found: dict[bytes, int] = {}
    listed = {e["Key"]: e for e in root.s3.list_objects_v2(Bucket=OUTPUT, Prefix=prefix).get("Contents", [])}
    check(f"{prefix}_manifest.json" in listed, f"there is no manifest at {prefix}: {sorted(listed)}")
    manifest = read_manifest(root, prefix)
    parts = [f"{prefix}{part['name']}" for part in manifest["parts"]]
    beside = [f"{prefix}{name}" for name in ["_manifest.json", *users]]
    check(sorted(listed) == sorted(parts + beside), f"{sorted(listed)} is not what the manifest lists: {parts}")
    for number, (key, part) in enumerate(zip(parts, manifest["parts"], strict=True)):
        name = f"part-{number:05}-{manifest['job']}"
        check(re.fullmatch(PART, name) is not None and part["name"] == name, f"{key} is not called {name}")
        text = root.s3.get_object(Bucket=OUTPUT, Key=key)["Body"].read()
        is_so = len(text), zlib.crc32(text), listed[key]["ETag"]
        check(is_so == (part["bytes"], part["crc32"], part["etag"]), f"{key} is {is_so}, and not {part}")
        pairs = [line.split(b"\t") for line in text.splitlines()]
        check(len(pairs) == part["records"], f"{key} has {len(pairs)} records, and not {part}")
        check([word for word, _ in pairs] == sorted(word for word, _ in pairs), f"{key} is not sorted")
        for word, count in pairs:
            check(word not in found, f"{word!r} is in two parts")
            found[word] = int(count)
    return found


def check_jobs(stack: Stack, driver: Driver) -> None:
    texts = corpus()
    for key, text in texts.items():
        stack.root.s3.put_object(Bucket=INPUT, Key=key, Body=text)
    common = counts([text for key, text in texts.items() if key.startswith("common/")])
    rare = counts([texts["rare/words.txt"]])

    # Several splits and parts, runs in the ledger.
    small = ["--inline-bytes", "100000000", "--partitions", "3", "--split-bytes", "400000"]
    said = driver.count(f"s3://{INPUT}/common/", f"s3://{OUTPUT}/common", *small)
    say("     " + said.strip().replace("\n", "\n     "))
    check(read_output(stack.root, "common/") == common, "the count of common/ is wrong")

    # One split and one part, runs in S3, both larger than one part of an upload; then again, over what is there. What the user
    # has put beside it stays.
    large = ["--inline-bytes", "0", "--partitions", "1", "--compression", "none", "--split-bytes", "100000000"]
    users = ("counterpart-x.csv", "part-notes.txt")
    for overwrite in [[], ["--overwrite"]]:
        driver.count(f"s3://{INPUT}/rare/", f"s3://{OUTPUT}/rare", *large, *overwrite)
        there = users if overwrite else ()
        check(read_output(stack.root, "rare/", there) == rare, "the count of rare/ is wrong")
        for name in users:
            stack.root.s3.put_object(Bucket=OUTPUT, Key=f"rare/{name}", Body=b"the user's")
    check(not open_uploads(stack.root), f"uploads are left open: {open_uploads(stack.root)}")


def check_failures(stack: Stack, driver: Driver) -> None:
    """What is wrong is named, with a hint, and nothing is left in the output."""
    wrong = [
        (f"s3://{INPUT}/nothing/", f"s3://{OUTPUT}/wrong", "nothing is at"),
        (f"s3://{ELSEWHERE}/", f"s3://{OUTPUT}/wrong", "access denied"),
        (f"s3://{INPUT}/common/", f"s3://{ELSEWHERE}/wrong", "access denied"),
    ]
    for source, target, named in wrong:
        said = driver.count(source, target, fails=True)
        check("error: " in said and named in said, f"{source} to {target}: {said}")
        say("     " + said.strip().replace("\n", "\n     "))
    check_crash(stack, driver)
    left = stack.root.s3.list_objects_v2(Bucket=OUTPUT, Prefix="wrong/").get("Contents", [])
    check(not left, f"jobs that failed left {left}")
    check(not open_uploads(stack.root), f"jobs that failed left uploads open: {open_uploads(stack.root)}")


def check_crash(stack: Stack, driver: Driver) -> None:
    """A mapper that cannot even start says nothing itself: Lambda hands the failed event to the splitter, which tries
    again, and in the end gives the job up."""
    functions, name = stack.root.functions, stack.outputs["MapperName"]
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    without = {key: value for key, value in variables.items() if key != "KINGLET_TABLE"}
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": without})
    try:
        said = driver.count(f"s3://{INPUT}/common/", f"s3://{OUTPUT}/wrong", fails=True)
    finally:
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    say("     " + said.strip().replace("\n", "\n     "))
    check("the function failed" in said, f"a mapper that cannot start: {said}")


def check_looking_after(stack: Stack, driver: Driver) -> None:
    """What `kinglet` says of the jobs that the checks before this one have run, and what it does to another."""
    found = json.loads(driver.run("doctor", "--json"))
    for finding in found:
        say(f"     {finding['level']:<7} {finding['check']:<12} {finding['message']}")
    checks = {finding["check"] for finding in found}
    wanted = "region credentials clock stack version work-bucket table input output logs functions concurrency settings"
    check(set(wanted.split()) <= checks, f"the doctor has not looked at {set(wanted.split()) - checks}")
    # The jobs before left their intermediate data, and the larger mapper has the memory of new accounts: notes.
    bad = [finding for finding in found if finding["level"] in ["warning", "problem"]]
    # ministack's CloudFormation leaves these of the template's settings out, and the doctor is right to miss them.
    left_out = ["lets intermediate data expire", "gives up unfinished uploads", "its TTL is off"]
    others = [finding for finding in bad if not any(what in finding["message"] for what in left_out)]
    check(not others, f"the doctor found {others}")

    jobs = json.loads(driver.run("jobs", "--json"))
    phases = [job["phase"] for job in jobs]
    check(phases[:3] == ["succeeded"] * 3 and "failed" in phases, f"the jobs are {phases}")
    first = jobs[0]["job"]
    status = json.loads(driver.run("status", first, "--json"))
    check(status["report"]["parts"] == 3, f"the status of {first} is {status}")
    check("written" in driver.run("attach", first), f"attaching to {first} prints no report")
    # What the deployed functions wrote, as CloudWatch has it.
    lines = [json.loads(line) for line in driver.run("logs", first, "--json").splitlines()]
    ended = [line for line in lines if line.get("message") == "task ended" and line.get("outcome") == "committed"]
    stages = Counter(line["stage"] for line in ended)
    maps, reduces = status["progress"]["maps"][1], status["progress"]["reduces"][1]
    check((stages["map"], stages["reduce"]) == (maps, reduces), f"{stages} of {maps} and {reduces} are in the log")
    one = driver.run("logs", first, "--stage", "map", "--task", "0")
    check("map 0 INFO task ended" in one and "map 1 " not in one, f"the log of one task is {one}")

    # A job whose driver is gone goes on, and is cancelled by another.
    command = [KINGLET, "--stack", "kinglet", "run", "word-count", f"s3://{INPUT}/rare/"]
    options = ["--output", f"s3://{OUTPUT}/wrong", "--split-bytes", "100000"]
    gone = subprocess.Popen([*command, *options], env=driver.env, stderr=subprocess.PIPE, text=True)
    check(any(line.startswith("mapping: ") for line in gone.stderr), "the job never came to mapping")
    gone.kill()
    gone.wait()
    gone.stderr.close()
    said = driver.run("cancel", "last")
    check("is cancelled" in said, said)
    check("was cancelled" in driver.run("attach", "last", fails=True), "a job that was cancelled has a report")

    # Tasks that were started before may still write: cleaned is what was there.
    jobs = json.loads(driver.run("jobs", "--json"))
    cleaned = json.loads(driver.run("clean", "--older-than", "0s", "--json"))
    check(sorted(cleaned["jobs"]) == sorted(job["job"] for job in jobs), f"{cleaned} is not all of {jobs}")
    check(cleaned["items"] > 0 and cleaned["objects"] > 0, f"{cleaned}")
    check(json.loads(driver.run("jobs", "--json")) == [], "jobs are left in the ledger")
    driver.run("attach", first, fails=True)


def check_bench(stack: Stack, driver: Driver) -> None:
    """A benchmark makes its texts in the output bucket, copies them to where the functions read, and removes all of it."""
    iam, root = stack.root.iam, stack.root
    # What docs/guide/deploy.md says that it needs besides.
    allow = {"Effect": "Allow", "Action": ["s3:PutObject", "s3:DeleteObject"], "Resource": f"arn:aws:s3:::{INPUT}/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName=USER, PolicyName="bench", PolicyDocument=policy)
    buckets = [INPUT, OUTPUT]
    keys = lambda: {b: [e["Key"] for e in root.s3.list_objects_v2(Bucket=b).get("Contents", [])] for b in buckets}  # noqa: E731
    before = keys()
    said = driver.run("bench", "--sizes", "100kB", "--tasks", "2", "--repeat", "1", "--concurrency", "2")
    say("     " + said.strip().replace("\n", "\n     "))
    check(keys() == before, f"before the benchmark there was {before}, and after it {keys()}")
    iam.delete_user_policy(UserName=USER, PolicyName="bench")

    # Tuning changes the mapper's memory, and gives it back. ministack's CloudFormation hands the size of /tmp on as text, which AWS
    # does not: neither command may depend on that.
    allow = {"Effect": "Allow", "Action": "lambda:UpdateFunctionConfiguration", "Resource": stack.arn("MapperName")}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName=USER, PolicyName="tune", PolicyDocument=policy)
    output = f"s3://{OUTPUT}/tuned"
    how = ["--memory", "512,1024", "--runs", "1", "--json", "--output", output]
    said = driver.run("tune", "word-count", f"s3://{INPUT}/common/", *how)
    # Before it stand lines of the log, which are JSON as well.
    tuned, _ = json.JSONDecoder().raw_decode(said[said.index("{\n") :])
    check([size["memory_mb"] for size in tuned["sizes"]] == [512, 1024], f"tuned: {tuned}")
    name = stack.outputs["MapperName"]
    is_so = root.functions.get_function_configuration(FunctionName=name)["MemorySize"]
    check(is_so == 1769, f"after tuning the mapper has {is_so} MB")
    iam.delete_user_policy(UserName=USER, PolicyName="tune")
    for entry in root.s3.list_objects_v2(Bucket=OUTPUT, Prefix="tuned/").get("Contents", []):
        root.s3.delete_object(Bucket=OUTPUT, Key=entry["Key"])


# ---- The driver's user


USER = "driver"


def driver(stack: Stack) -> Driver:
    """A user who has the policy that the stack made for drivers, and nothing else."""
    iam = stack.root.iam
    iam.create_user(UserName=USER)
    iam.attach_user_policy(UserName=USER, PolicyArn=stack.outputs["DriverPolicyArn"])
    key = iam.create_access_key(UserName=USER)["AccessKey"]
    keys = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    return Driver(stack, Aws(stack.server, keys))


def forget(driver: Driver) -> None:
    iam = driver.stack.root.iam
    iam.detach_user_policy(UserName=USER, PolicyArn=driver.stack.outputs["DriverPolicyArn"])
    for key in iam.list_access_keys(UserName=USER)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=USER, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=USER)


def empty(stack: Stack) -> None:
    """A bucket that holds something is not deleted."""
    root, work = stack.root, stack.outputs["WorkBucketName"]
    for page in root.s3.get_paginator("list_objects_v2").paginate(Bucket=work):
        for entry in page.get("Contents", []):
            root.s3.delete_object(Bucket=work, Key=entry["Key"])
