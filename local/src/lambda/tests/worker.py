"""A worker for the tests: speaks the Lambda Runtime API and does what the event says."""

import http.client
import json
import os
import subprocess
import sys
import time

address, secret = os.environ["AWS_LAMBDA_RUNTIME_API"].removeprefix("http://").split("/", 1)
connection = http.client.HTTPConnection(address)
tmp = os.environ["TMPDIR"]


def call(method, path, document=None):
    body = None if document is None else json.dumps(document)
    connection.request(method, f"/{secret}/2018-06-01/runtime/{path}", body)
    reply = connection.getresponse()
    return reply.headers, reply.read()


def append(path):
    """Adds a line to a file; returns how many it has then."""
    with open(path, "a+") as file:
        file.write("x\n")
        file.flush()
        file.seek(0)
        return len(file.readlines())


def handle(event, headers):
    # Marks outside TMPDIR let a test count what was done over all environments.
    marks = append(event["mark"]) if "mark" in event else 0
    if "print" in event:
        print(event["print"], flush=True)
    if "until" in event:
        while not os.path.exists(event["until"]):
            time.sleep(0.01)
    if "alloc_mb" in event:
        block = bytearray(b"x") * (event["alloc_mb"] << 20)
        time.sleep(600)
    if "exit" in event:
        os._exit(event["exit"])
    if event.get("sleep"):
        time.sleep(event["sleep"])
    if marks < event.get("good_from", 0):
        raise ValueError("not yet")
    if "answer_bytes" in event:
        return "x" * (event["answer_bytes"] - 2)
    child = subprocess.Popen(["sleep", "600"]).pid if event.get("spawn") else None
    return {
        "pid": os.getpid(),
        "child": child,
        "runs": append(os.path.join(tmp, "runs")),
        "names": sorted(os.environ),
        "api": os.environ["AWS_LAMBDA_RUNTIME_API"],
        "headers": {name.lower(): value for name, value in headers.items()},
        "event": event,
    }


init = os.environ.get("INIT")
if init == "exit":
    sys.exit(7)
elif init == "error":
    call("POST", "init/error", {"errorType": "Init.Broken", "errorMessage": "no config"})
    sys.exit(1)
elif init == "hang":
    time.sleep(600)

while True:
    headers, body = call("GET", "invocation/next")
    request = "invocation/" + headers["Lambda-Runtime-Aws-Request-Id"]
    try:
        answer = handle(json.loads(body), headers)
        call("POST", request + "/response", answer)
    except ValueError as error:
        call("POST", request + "/error", {"errorType": "ValueError", "errorMessage": str(error)})
