"""Two jobs that want one output at the same time: one has it, the other is refused by name, and one whole result is there.

Each round starts two `kinglet run word-count` on one output, the second after a pause that is drawn anew: so they meet while the
first claims the output, works, publishes, and has just ended. Rounds go through the same and different inputs, and outputs
with and without `--overwrite`. KINGLET_RACES is how many there are; by hand, 200 take some 8 minutes.
"""

import json
import os
import random
import re
import subprocess
import time
from collections import Counter

from jobs import KINGLET, Driver, counts, open_uploads, read_manifest, read_output
from stack import INPUT, OUTPUT, Stack
from tools import Failed, check, say

ROUNDS = int(os.environ.get("KINGLET_RACES", "4"))

# What the second waits for is drawn up to so long a pause: about as long as a job of these takes here, and a little longer.
PAUSE_S = 2.0

# A job of these takes seconds.
PATIENCE_S = 120

# What is given up may still be given up for a moment after the job has ended: an attempt that came second.
AFTERWARDS_S = 20

TAKEN = re.compile(r"error: the output \S+ is taken by job (\S+) \(word-count\), which is at work")
EXISTS = re.compile(r"error: the output \S+ is taken: \S+ is there")


def texts() -> dict[str, bytes]:
    dice = random.Random(2)
    words = [f"{dice.randrange(1 << 40):x}" for _ in range(500)]
    return {f"race/{name}/{n}": " ".join(dice.choices(words, k=2_000)).encode() for name in "ab" for n in range(2)}


def start(driver: Driver, source: str, target: str, overwrite: bool) -> subprocess.Popen:
    command = [KINGLET, "--stack", "kinglet", "run", "word-count", f"s3://{INPUT}/race/{source}/", "--json"]
    command += ["--output", f"s3://{OUTPUT}/{target}", "--partitions", "2", "--split-bytes", "10000"]
    command += ["--overwrite"] if overwrite else []
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=driver.env, cwd=driver.stack.server.path, stdout=pipe, stderr=pipe, text=True)


def check_races(stack: Stack, driver: Driver) -> None:
    given = texts()
    for key, text in given.items():
        stack.root.s3.put_object(Bucket=INPUT, Key=key, Body=text)
    wanted = {s: counts([text for key, text in given.items() if key.startswith(f"race/{s}/")]) for s in "ab"}
    seen: Counter[str] = Counter()
    since = time.monotonic()
    for number in range(ROUNDS):
        overwrite, same = number % 2 == 1, number // 2 % 2 == 0
        # A new output each time, or one that holds a result: of the rounds before, but for the first.
        target = "race/over" if overwrite else f"race/{number}"
        sources = "aa" if same else "ab"
        pause = random.Random(number).choice([0.0, random.Random(number).uniform(0, PAUSE_S)])
        try:
            seen[race(stack, driver, target, sources, overwrite, pause, wanted)] += 1
        except Failed as error:
            raise Failed(f"round {number}, {sources}, overwrite {overwrite}, {pause:.2f} s apart: {error}") from error
    took = time.monotonic() - since
    ends = ", ".join(f"{count} {what}" for what, count in sorted(seen.items()))
    say(f"     {ROUNDS} rounds in {took:.0f} s: {ends}")


def race(
    stack: Stack, driver: Driver, target: str, sources: str, overwrite: bool, pause: float, wanted: dict[str, Counter]
) -> str:
    """One round; returns how it ended."""
    runs = []
    for n, source in enumerate(sources):
        time.sleep(pause if n else 0)
        runs.append(start(driver, source, target, overwrite))
    said = []
    try:
        for run in runs:
            said.append(run.communicate(timeout=PATIENCE_S))
    finally:
        for run in runs:
            if run.poll() is None:
                run.kill()
                run.communicate()
    won = {json.loads(out)["job"]: n for n, (out, _) in enumerate(said) if runs[n].returncode == 0}
    lost = [errors for n, (_, errors) in enumerate(said) if runs[n].returncode != 0]
    check(bool(won), f"neither got the output: {lost}")
    check(overwrite or len(won) == 1, f"both wrote to one output: {sorted(won)}")

    manifest = read_manifest(stack.root, f"{target}/")
    check(manifest["job"] in won, f"the result is of {manifest['job']}, and not of {sorted(won)}")
    source = sources[won[manifest["job"]]]
    check(read_output(stack.root, f"{target}/") == wanted[source], f"the count of race/{source}/ is wrong")
    until = time.monotonic() + AFTERWARDS_S
    while open_uploads(stack.root) and time.monotonic() < until:
        time.sleep(0.5)
    check(not open_uploads(stack.root), f"uploads are left open: {open_uploads(stack.root)}")

    if not lost:
        return "one after the other"
    (said_of,) = lost
    if taken := TAKEN.search(said_of):
        check(taken[1] in won, f"refused for job {taken[1]}, but {sorted(won)} had it")
        return "output-taken"
    check(not overwrite and EXISTS.search(said_of) is not None, f"refused without its name: {said_of}")
    return "output-exists"
