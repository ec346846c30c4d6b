"""Jobs on the deployed stack, started by the `kinglet` command with the keys of a user who has `DriverPolicy`."""

import random
from collections import Counter

from stack import ELSEWHERE, INPUT, OUTPUT, Aws, Stack
from tools import TARGET, check, run, say

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


def read_output(root: Aws, prefix: str) -> dict[bytes, int]:
    """The parts, which have to be sorted, and the manifest, which has to be there."""
    found: dict[bytes, int] = {}
    listed = [e["Key"] for e in root.s3.list_objects_v2(Bucket=OUTPUT, Prefix=prefix).get("Contents", [])]
    check(f"{prefix}_manifest.json" in listed, f"there is no manifest at {prefix}: {listed}")
    for key in listed:
        if key.endswith("_manifest.json"):
            continue
        lines = root.s3.get_object(Bucket=OUTPUT, Key=key)["Body"].read().splitlines()
        pairs = [line.split(b"\t") for line in lines]
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

    # One split and one part, runs in S3, both larger than one part of an upload; then again, over what is there.
    large = ["--inline-bytes", "0", "--partitions", "1", "--compression", "none", "--split-bytes", "100000000"]
    for overwrite in [[], ["--overwrite"]]:
        driver.count(f"s3://{INPUT}/rare/", f"s3://{OUTPUT}/rare", *large, *overwrite)
        check(read_output(stack.root, "rare/") == rare, "the count of rare/ is wrong")


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
