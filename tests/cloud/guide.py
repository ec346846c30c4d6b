"""`docs/guide/deploy.md`, followed as a new user would: the commands under "Trying it without AWS"."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import tools
from jobs import KINGLET
from server import free_port
from tools import HERE, ROOT, Failed, check, venv

GUIDE = ROOT / "docs/guide/deploy.md"

# What is there already, and another port. The functions are built, by the same command; in another home, where Zig keeps nothing
# yet, that would take as long again. The `kinglet` command is the debug build: a release build would take minutes.
INSTEAD = {
    "python3 -m venv ~/.kinglet-ministack\n": "",
    "4566": "$GATEWAY_PORT",
    "sam build\n": "",
    "cargo build --release --bin kinglet\n": "",
    "target/release/kinglet": str(KINGLET),
}

AFTER = """
~/.kinglet-ministack/bin/python -c "
import boto3
got = boto3.client('s3').get_object(Bucket='words-out', Key='counts/_manifest.json')
print('manifest of', len(got['Body'].read()), 'bytes')"
kill %1
"""


def blocks(section: str) -> str:
    """The commands of a section."""
    text = GUIDE.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    return "".join(re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))


def check_guide() -> None:
    pinned = (HERE / "sam.txt").read_text() + (HERE / "server.txt").read_text()
    pinned += (HERE / "../python/requirements.txt").read_text()
    for version in re.findall(r"[\w-]+==[\w.]+", GUIDE.read_text()):
        check(f"\n{version}\n" in pinned, f"{GUIDE} has {version}, which is not what is tested")

    check(shutil.which("curl") is not None, "curl is needed, which the guide calls")
    commands = blocks("Trying it without AWS")
    for there, instead in INSTEAD.items():
        check(there in commands, f"{GUIDE} no longer says {there!r}")
        commands = commands.replace(there, instead)
    with tempfile.TemporaryDirectory(prefix="kinglet-guide-") as home:
        Path(home, ".kinglet-ministack").symlink_to(venv("server").parent)
        environment = {
            name: value for name, value in tools.sam_env().items() if not name.startswith(("AWS_", "KINGLET_"))
        }
        # Cargo and rustup are found in the user's own home.
        own = Path.home()
        environment |= {
            "CARGO_HOME": os.environ.get("CARGO_HOME", str(own / ".cargo")),
            "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(own / ".rustup")),
            "GATEWAY_PORT": str(free_port()),
            "HOME": home,
            "TMPDIR": home,
        }
        process = subprocess.Popen(
            ["bash", "-euxo", "pipefail", "-c", "set -m\n" + commands + AFTER],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            said = process.communicate(timeout=1_200)[0].decode(errors="replace")
        finally:
            end_session(process.pid)
        if process.returncode != 0 or "manifest of" not in said:
            raise Failed(f"the guide's commands: exit code {process.returncode}\n{said}")


def end_session(leader: int) -> None:
    """Everything that the shell started and that is still there: jobs of a shell have groups of their own."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getsid(int(entry.name)) == leader:
                os.kill(int(entry.name), signal.SIGKILL)
        except ProcessLookupError:
            pass
