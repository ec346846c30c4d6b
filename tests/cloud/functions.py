"""What was built: each function's binary, as Lambda will find it."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from server import Ministack, free_port
from stack import BUILT, Stack
from tools import GLIBC, Failed, check, say, venv

# By the logical ids of the template; the larger mapper is the mapper.
FUNCTIONS = ["Splitter", "Mapper", "Reducer"]


def bootstrap(function: str) -> Path:
    return BUILT / function / "bootstrap"


def check_built() -> None:
    """Each is an ELF for this architecture, and needs no newer glibc than Lambda has."""
    for function in FUNCTIONS:
        binary = bootstrap(function).read_bytes()
        check(binary[:5] == b"\x7fELF\x02", f"{bootstrap(function)} is no 64-bit ELF")
        # The names of the versions stand in the table of dynamic strings, each ended by a zero.
        needed = {(int(a), int(b)) for a, b in re.findall(rb"GLIBC_(\d+)\.(\d+)(?:\.\d+)?\0", binary)}
        check(bool(needed), f"{bootstrap(function)} names no version of glibc")
        check(max(needed) <= GLIBC, f"{bootstrap(function)} needs glibc {max(needed)}, but Lambda has {GLIBC}")
        say(f"     {function}: {len(binary):,} bytes, glibc {'.'.join(map(str, max(needed)))} or later")
    same = bootstrap("Mapper").read_bytes() == bootstrap("MapperLarge").read_bytes()
    check(same, "the larger mapper is not the mapper")


# ---- The Runtime Interface Emulator: Lambda's own Runtime API, one invocation at a time

INVOKE = "2015-03-31/functions/function/invocations"

# What each is sent, and what it has to answer. The table and the bucket are those of the stack.
WRONG_EVENT = {"errorType": "Kinglet.event"}
INVOCATIONS: list[tuple[str, object, dict[str, object]]] = [
    ("Splitter", {"sweep": {}}, {"jobs": 0}),
    ("Splitter", {"unheard": {}}, WRONG_EVENT),
    ("Mapper", {"sweep": {}}, WRONG_EVENT),
    ("Reducer", {"sweep": {}}, WRONG_EVENT),
]


def check_emulator(stack: Stack) -> None:
    """AWS's Runtime Interface Emulator, which comes with SAM's command, runs each bootstrap."""
    found = list(venv("sam").parent.glob("lib/python*/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64"))
    check(len(found) == 1, f"SAM's command has no Runtime Interface Emulator in {venv('sam').parent}")
    for function, event, want in INVOCATIONS:
        got = emulate(found[0], stack, function, event)
        shown = {name: got.get(name) for name in want}
        check(shown == want, f"{function} answers {got} to {event}, not {want}")
        say(f"     {function}: {json.dumps(event)} gives {json.dumps(got)}")


def emulate(emulator: Path, stack: Stack, function: str, event: object) -> dict[str, object]:
    server: Ministack = stack.server
    configured = stack.root.functions.get_function_configuration(FunctionName=stack.outputs[f"{function}Name"])
    ports = free_port(), free_port()
    environment = server.environment() | configured["Environment"]["Variables"]
    environment |= {
        "AWS_LAMBDA_FUNCTION_NAME": configured["FunctionName"],
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configured["MemorySize"]),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "60",
        "TMPDIR": str(server.path),
    }
    command = [emulator, "--runtime-api-address", f"127.0.0.1:{ports[0]}"]
    command += ["--runtime-interface-emulator-address", f"127.0.0.1:{ports[1]}", bootstrap(function)]
    with open(server.path / "emulator.log", "wb+") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            return ask(f"http://127.0.0.1:{ports[1]}/{INVOKE}", event)
        except OSError as error:
            log.seek(0)
            raise Failed(f"the emulator with {function}: {error}: {log.read().decode(errors='replace')}") from error
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ask(url: str, event: object) -> dict[str, object]:
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, json.dumps(event).encode(), timeout=60) as answer:
                return json.load(answer)
        except (ConnectionError, urllib.error.URLError) as error:
            refused = isinstance(error, ConnectionError) or isinstance(getattr(error, "reason", None), ConnectionError)
            if not refused or time.monotonic() > until:
                raise
            time.sleep(0.05)
