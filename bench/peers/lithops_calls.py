"""Calls of a function that does next to nothing in Lithops, on its localhost backend, one worker a core.

usage: lithops_calls.py COUNT...

Prints a line of JSON for each count. Where LITHOPS_COUNT names a file, `counting/sitecustomize.py` has every process write
a line there for each request to storage, and the line has their numbers; times are then not to be quoted.
"""

import collections
import json
import os
import sys
import time

import lithops


def increment(n):
    return n + 1


def requests():
    path = os.environ.get("LITHOPS_COUNT")
    if not path:
        return {}
    with open(path) as file:
        return dict(collections.Counter(file.read().split()))


if __name__ == "__main__":
    config = {
        "lithops": {"backend": "localhost", "storage": "localhost", "telemetry": False, "execution_timeout": 3600},
        "localhost": {"runtime": sys.executable, "worker_processes": os.cpu_count()},
    }
    began = time.perf_counter()
    executor = lithops.FunctionExecutor(config=config, log_level="WARNING")
    print(json.dumps({"start_s": round(time.perf_counter() - began, 4)}), flush=True)
    for count in map(int, sys.argv[1:]):
        before = requests()
        began = time.perf_counter()
        futures = executor.map(increment, range(count))
        results = executor.get_result(futures, show_progressbar=False)
        took = time.perf_counter() - began
        assert (results if isinstance(results, list) else [results]) == [n + 1 for n in range(count)]
        after = requests()
        counted = {name: after[name] - before.get(name, 0) for name in sorted(after)}
        print(json.dumps({"calls": count, "wall_s": round(took, 4), **counted}), flush=True)
    executor.clean(clean_cloudobjects=True)
