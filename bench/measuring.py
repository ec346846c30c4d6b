"""What the scripts of `bench/` have in common: peers installed, the rest of the machine watched, runs recorded."""

import datetime
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent

OTHERS_SHARE_MAX = 0.1
"""A run during which others used more of the machine is called disturbed."""


def install(requirements, venv):
    """Makes a virtual environment of what a file lists, and again whenever the file changes."""
    installed = venv / "installed.txt"
    if installed.exists() and installed.read_text() == requirements.read_text():
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
    subprocess.run([venv / "bin/python", "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
    shutil.copy(requirements, installed)


def machine_busy_s():
    """The time all cores have spent working since the machine started, stolen time included."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_cpu_s():
    """The time of this process, and of those of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def says(*command):
    """What a command prints."""
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=ROOT).stdout.strip()


def machine():
    """What the figures were measured on."""
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(memory[1]) * 1024 / 1e9, 1),
        "kernel": platform.release(),
    }


def record(name, content):
    """Writes the figures of a run to `bench/results`, with where and of what they are."""
    now = datetime.datetime.now(datetime.timezone.utc)
    path = BENCH / "results" / f"{name}-{now:%Y-%m-%dT%H%M%S}.json"
    path.parent.mkdir(exist_ok=True)
    about = {
        "date": now.isoformat(timespec="seconds"),
        "machine": machine(),
        "commit": says("git", "rev-parse", "HEAD"),
        "uncommitted_changes": bool(says("git", "status", "--porcelain", "--untracked-files=no")),
    }
    path.write_text(json.dumps(about | content, indent=1, ensure_ascii=False) + "\n")
    print(f"raw runs: {path.relative_to(ROOT)}")
