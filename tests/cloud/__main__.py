"""The stack of `template.yaml`, proven against servers that are not ours, with no AWS account. `.ci/run` runs this.

    python3 tests/cloud [--no-build]

| file | what it shows |
|---|---|
| `check.py` | all of it, in order; also that cfn-lint and checkov find nothing in the template (`checkov.yaml` answers the rest) |
| `tools.py` | the pinned tools, in venvs that are kept between runs |
| `server.py` | ministack, an AWS of its own: it enforces roles and serves TLS |
| `stack.py` | `sam build`, `sam deploy` and `sam delete`, as a user calls them |
| `sam.py` | what is not built is not deployed, and the guide's commands build for the architecture that they name |
| `functions.py` | what was built needs no newer glibc than Lambda's, and runs in AWS's Runtime Interface Emulator |
| `roles.py` | what each role may do and may not, as a table |
| `settings.py` | what the template says of its resources is so, without and with its options |
| `jobs.py` | jobs on the stack: the right answers, and the right errors |
| `races.py` | of two jobs that want one output, one has it and the other is refused, and one whole result is there |
| `broken.py` | a splitter that cannot run: the doctor says so, and so does a job, soon |
| `stored.py` | jobs that the stack keeps start by a schedule, by new objects, by a task of Step Functions and by hand |
| `programs.py` | programs that ship themselves, a changed one too; those that would not run are refused |
| `guide.py` | the commands of `docs/guide/deploy.md` that need no AWS account end with a finished job |

It needs Python 3.11 with venv, a Rust toolchain and a C compiler; everything else it installs under the target directory.
"""

import os
import sys

from tools import HERE, Failed, Step, venv

try:
    with Step("tools"):
        venv("sam")
        python = venv("server") / "python"
except Failed as error:
    sys.exit(f"error: {error}")
# The rest needs boto3, which is not on this Python.
os.execv(python, [python, HERE / "check.py", *sys.argv[1:]])
