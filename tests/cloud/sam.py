"""What SAM's command makes of the template, of `samconfig.toml` and of the guide's options, without building anything."""

import json
import re
import shutil
import tempfile
from pathlib import Path

import tools
from guide import GUIDE
from tools import ROOT, check, run, venv

# Asks SAM's own code, which runs in SAM's own venv, what it would build each function for.
ASK = """
import json, sys
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
stacks, _ = SamLocalStackProvider.get_stacks("template.yaml", parameter_overrides=json.loads(sys.argv[1]))
print(json.dumps({one.name: one.architectures for one in SamFunctionProvider(stacks).get_all()}))
"""


def check_unbuilt() -> None:
    """Where nothing is built, nothing is deployed: not the folders of the sources, either."""
    with tempfile.TemporaryDirectory(prefix="kinglet-unbuilt-") as bare:
        for name in ["template.yaml", "samconfig.toml"]:
            shutil.copy(ROOT / name, bare)
        for crate in ["splitter", "mapper", "reducer"]:
            Path(bare, crate).mkdir()
            Path(bare, crate, "Cargo.toml").touch()
        # Nobody listens there: should SAM go on, it fails otherwise.
        nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        env = tools.sam_env(nowhere | {"AWS_REGION": "us-east-1"})
        command = ["sam", "deploy", "--no-confirm-changeset", "--parameter-overrides", "InputBucket=abc OutputBucket=def"]
        said = run(*command, env=env, fails=True, cwd=Path(bare))
    check("Template file not found" in said, f"sam deploy without sam build: {said}")


def check_architectures() -> None:
    """SAM builds for the architecture that the template's parameter says, and the guide tells it of that."""
    told = re.findall(r"^sam build --parameter-overrides (\w+)=(\w+)$", GUIDE.read_text(), re.MULTILINE)
    check(told == [("Architecture", "arm64")], f"{GUIDE} builds for {told}")
    for overrides in [{}, dict(told)]:
        said = run(venv("sam") / "python", "-c", ASK, json.dumps(overrides), env=tools.sam_env())
        found = json.loads(said.splitlines()[-1])
        want = [overrides.get("Architecture", "x86_64")]
        check(len(found) == 4 and all(one == want for one in found.values()), f"{overrides}: SAM builds for {found}")
