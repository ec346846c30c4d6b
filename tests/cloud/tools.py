"""Where things are, the pinned tools in their venvs, and running commands. Needs nothing but Python's own library."""

import fcntl
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()

# The newest glibc that a function may need: that of Amazon Linux 2023, which `provided.al2023` is.
GLIBC = (2, 34)


class Failed(Exception):
    """Something is not as it should be."""


def say(text: str) -> None:
    print(text, flush=True)


class Step:
    """Prints what is being done and how long it took."""

    def __init__(self, what: str):
        self.what = what

    def __enter__(self) -> None:
        self.since = time.monotonic()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        say(f"{'ok  ' if kind is None else 'FAIL'} {self.what} ({time.monotonic() - self.since:.1f} s)")


def run(*command: str | Path, env: dict[str, str] | None = None, fails: bool = False, cwd: Path = ROOT) -> str:
    """What a command prints, both streams; it has to succeed, or to fail where it should."""
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said = done.stdout.decode(errors="replace")
    if (done.returncode != 0) != fails:
        raise Failed(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{said}")
    return said


def venv(name: str) -> Path:
    """The `bin` of a venv with the packages of `NAME.txt`, made where it is not there.

    Its directory is named by a hash of what is in it, so it is installed once for each version of the requirements. The
    file `complete` is written last, and what lacks it is made anew.
    """
    requirements = HERE / f"{name}.txt"
    content = requirements.read_bytes() + (HERE / "../python/requirements.txt").read_bytes()
    digest = hashlib.sha256(content + f"{sys.base_prefix} {sys.version}".encode()).hexdigest()[:8]
    made = TARGET / "cloud" / f"{name}-{digest}"
    made.parent.mkdir(parents=True, exist_ok=True)
    with open(made.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made / "complete").exists():
            run(sys.executable, "-m", "venv", "--clear", made)
            pip = [made / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            run(*pip, "--requirement", requirements)
            (made / "complete").touch()
    return made / "bin"


def sam_env(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment in which `sam` finds cargo-lambda and Zig, and tells nobody."""
    path = f"{venv('sam')}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "SAM_CLI_TELEMETRY": "0", "NO_COLOR": "1"} | (extra or {})


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Failed(otherwise)
