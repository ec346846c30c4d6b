"""A stack whose splitter cannot run, as after a build for another architecture: the doctor says so, and a job says why it fails.

Nobody else could: what fails is handed to the splitter itself.
"""

import contextlib
import io
import time
import zipfile
from collections.abc import Iterator

import jobs
import settings
from jobs import Driver, open_uploads
from stack import INPUT, OUTPUT, Stack
from tools import check, say

# What a package may hold instead of the splitter, and what the user is told of it, as AWS says it:
# https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html. But of a bootstrap that ends it says Runtime.ExitError, with
# "Runtime exited with error: exit status 3"; ministack, "Runtime.Unknown: bootstrap exited during init with code 3".
PACKAGES: dict[str, tuple[dict[str, bytes], str]] = {
    "no bootstrap": ({"readme": b"nothing to run"}, "Runtime.InvalidEntrypoint"),
    "a bootstrap for another machine": ({"bootstrap": b"\x7fELF\x02\x01\x01" + bytes(57)}, "Runtime.InvalidEntrypoint"),
    "a bootstrap that ends at once": ({"bootstrap": b"#!/bin/sh\nexit 3\n"}, "exited"),
}

# How long a job may take to say it: its driver looks at the splitter every 15 s, and there are four tries.
MINUTES_S = 180


def package(files: dict[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, content)
    return whole.getvalue()


@contextlib.contextmanager
def instead_of_splitter(stack: Stack, files: dict[str, bytes]) -> Iterator[None]:
    """Deploys that, and afterwards what the stack had."""
    functions, name = stack.root.functions, stack.outputs["SplitterName"]
    code = settings.declared(stack, "Splitter")["Code"]
    before = functions.get_function_configuration(FunctionName=name)["CodeSha256"]
    functions.update_function_code(FunctionName=name, ZipFile=package(files))
    try:
        functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        yield
    finally:
        functions.update_function_code(FunctionName=name, S3Bucket=code["S3Bucket"], S3Key=code["S3Key"])
        functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    after = functions.get_function_configuration(FunctionName=name)["CodeSha256"]
    check(after == before, "the splitter is not what it was")


def check_broken_splitter(stack: Stack, driver: Driver) -> None:
    name = stack.outputs["SplitterName"]
    for what, (files, says) in PACKAGES.items():
        with instead_of_splitter(stack, files):
            found = jobs.problems(driver, fails=True)
            check(len(found) == 1 and name in found[0] and says in found[0], f"{what}: the doctor's problems are {found}")
            say(f"     {what}: the doctor: {found[0]}")
            if "bootstrap" not in files:
                check_job(driver, what, [name, says])
    found = jobs.problems(driver)
    check(not found, f"the splitter is back, and the doctor finds {found}")


def check_job(driver: Driver, what: str, says: list[str]) -> None:
    began = time.monotonic()
    said = driver.count(f"s3://{INPUT}/common/", f"s3://{OUTPUT}/broken", fails=True)
    took = time.monotonic() - began
    say("     " + said.strip().replace("\n", "\n     "))
    say(f"     {what}: the job failed after {took:.0f} s")
    check(all(part in said for part in [*says, "hint: build the functions"]), f"{what}: {said}")
    check(took < MINUTES_S, f"{what}: the job failed after {took:.0f} s only")
    root = driver.stack.root
    left = root.s3.list_objects_v2(Bucket=OUTPUT, Prefix="broken/").get("Contents", [])
    check(not left and not open_uploads(root), f"{what}: left are {left}, {open_uploads(root)}")
