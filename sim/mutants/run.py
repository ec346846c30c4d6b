#!/usr/bin/env python3
"""Takes conditions of the protocol away, one at a time, and looks for a seed that notices.

    sim/mutants/run.py [--seeds A..B] [--only NAME,NAME] [--unexplained] [--built] [--check]

All mutants are compiled into one copy of the sources, each behind `KINGLET_MUTANT`. Prints a line for each mutant; the exit
code is 1 if one lives that should not. `--check` only says whether each mutant's text stands in its file, exactly once.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
COPY = TARGET / "mutants"


def mutants():
    return tomllib.loads((HERE / "mutants.toml").read_text())["mutant"]


def room(mutant, text):
    """Returns what lies before the place of a mutant's text, the place, and what lies after it: all of the file, or one function."""
    if "within" not in mutant:
        return "", text, ""
    before, function, after = text.partition(mutant["within"])
    indent = re.search(r"[ ]*$", before)[0]
    body, end, rest = after.partition(f"\n{indent}}}\n")
    return before, function + body, end + rest


def check():
    """Returns what is wrong with the mutants."""
    faults = []
    for mutant in mutants():
        _, place, _ = room(mutant, (ROOT / mutant["file"]).read_text())
        count = place.count(mutant["old"])
        if count != 1:
            faults.append(f"{mutant['name']}: {mutant['old']!r} stands {count} times in {mutant['file']}")
    return faults


def build():
    """Builds the simulator with all mutants in it. Returns the program."""
    shutil.rmtree(COPY, ignore_errors=True)
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode()
    for name in filter(None, tracked.split("\0")):
        to = COPY / name
        to.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, to)
    for mutant in mutants():
        path = COPY / mutant["file"]
        chosen = f'std::env::var("KINGLET_MUTANT").as_deref() == Ok("{mutant["name"]}")'
        new = f"(if {chosen} {{ {mutant['new']} }} else {{ {mutant['old']} }})"
        before, place, after = room(mutant, path.read_text())
        path.write_text(before + place.replace(mutant["old"], new) + after)
    command = ["cargo", "build", "--quiet", "--locked", "--manifest-path", str(COPY / "sim/Cargo.toml")]
    # What does not differ is shared with the simulator's own build.
    built = subprocess.run(command, env=os.environ | {"CARGO_TARGET_DIR": str(TARGET)}, capture_output=True, text=True)
    if built.returncode != 0:
        sys.exit(built.stderr)
    return shutil.copy2(TARGET / "debug/kinglet-sim", COPY / "kinglet-sim")


def hunt(program, mutant, seeds, jobs="", faults=30, focus=""):
    """Runs seeds until one notices. Returns the run, and what was wrong in it; or `None`."""
    environment = os.environ | {"KINGLET_MUTANT": mutant}
    command = [str(program), "--faults", str(faults), "--first"]
    command += ["--jobs", jobs] if jobs else []
    command += ["--focus", focus] if focus else []
    ran = subprocess.run([*command, "--seeds", seeds], env=environment, capture_output=True, text=True)
    found = re.search(r"^(seed \d+ of [\w-]+):\n  (.*)$", ran.stderr, re.M)
    if found:
        seed = found[1].split()[1]
        # What fails without the mutant, too, says nothing of it.
        alone = subprocess.run([*command, "--seeds", seed], env=os.environ, capture_output=True, text=True)
        return (found[1], found[2]) if alone.returncode == 0 else ("a false alarm in " + found[1], alone.stderr[:300])
    if ran.returncode != 0:
        return "every run", ran.stderr.strip().splitlines()[-1][:200]
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1..200")
    parser.add_argument("--only", default="")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--unexplained", action="store_true", help="leave out those that are said to survive")
    parser.add_argument("--built", action="store_true", help="use the program of an earlier run, whatever has changed since")
    options = parser.parse_args()
    faults = check()
    if faults or options.check:
        print("\n".join(faults) or f"{len(mutants())} mutants have their places")
        return 1 if faults else 0
    only = set(filter(None, options.only.split(",")))
    program, lives = COPY / "kinglet-sim" if options.built else build(), 0
    if hunt(program, "", "1..5"):
        sys.exit("runs fail without any mutant")
    for mutant in mutants():
        if only and mutant["name"] not in only or options.unexplained and "survives" in mutant:
            continue
        found = hunt(program, mutant["name"], options.seeds, mutant["jobs"], mutant.get("faults", 30), mutant.get("focus", ""))
        if found:
            print(f"{mutant['name']}: killed by {found[0]}: {found[1]}", flush=True)
        else:
            expected = "survives" in mutant
            lives += not expected
            print(f"{mutant['name']}: LIVES{', as it is said to' if expected else ''}", flush=True)
    return 1 if lives else 0


if __name__ == "__main__":
    sys.exit(main())
