"""Everything that is checked, in order; `python3 tests/cloud` starts it with the Python that has boto3."""

import argparse
import sys

import broken
import functions
import guide
import jobs
import programs
import races
import roles
import sam
import settings
import tools
from server import Ministack
from stack import ELSEWHERE, INPUT, OUTPUT, Aws, build, delete, deploy, inventory
from tools import HERE, Failed, Step, check, run, say, venv


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests/cloud", description="The stack of template.yaml, on ministack.")
    parser.add_argument("--no-build", action="store_true", help="take the functions that `sam build` built last")
    options = parser.parse_args()

    with Step("sam validate --lint"):
        run("sam", "validate", "--lint", env=tools.sam_env())
    with Step("cfn-lint"):
        run(venv("sam") / "cfn-lint", "template.yaml")
    with Step("checkov"):
        run(venv("checkov") / "checkov", "--config-file", HERE / "checkov.yaml", "--file", "template.yaml")
    with Step("what SAM makes of samconfig.toml and the guide"):
        sam.check_unbuilt()
        sam.check_architectures()
    with Step("sam build"):
        if not options.no_build:
            build()
        functions.check_built()
    with Step("the kinglet command"):
        # As the other tests build it, so that what is built already is not built anew.
        run("cargo", "build", "--workspace", "--bins", "--examples", "--locked")

    with Ministack() as server:
        try:
            check_on(server)
        except Exception as error:
            # Last is what failed: the end of a long output is what is seen.
            say(server.log()[-2_000:])
            say(f"error: {error}")
            raise
    left = server.marked()
    check(not left, f"ministack left processes behind: {left}")

    with Step("docs/guide/deploy.md, without AWS"):
        guide.check_guide()


def check_on(server: Ministack) -> None:
    root = Aws(server)
    for bucket in [INPUT, OUTPUT, ELSEWHERE]:
        root.s3.create_bucket(Bucket=bucket)
    before = inventory(root)

    with Step("sam deploy"):
        stack = deploy(server)
    with Step("sam deploy, once more and unchanged"):
        deploy(server)
    with Step("settings"):
        settings.check_settings(stack)
    with Step("Runtime Interface Emulator"):
        functions.check_emulator(stack)
    driver = jobs.driver(stack)
    with Step("jobs"):
        jobs.check_jobs(stack, driver)
    with Step("jobs that fail"):
        jobs.check_failures(stack, driver)
    with Step("races for one output"):
        races.check_races(stack, driver)
    with Step("a splitter that cannot run"):
        broken.check_broken_splitter(stack, driver)
    with Step("looking after jobs"):
        jobs.check_looking_after(stack, driver)
    with Step("a benchmark"):
        jobs.check_bench(stack, driver)
    with Step("programs that ship themselves"):
        programs.check_programs(driver)
    with Step("roles"):
        roles.check_roles(stack, driver.aws)
    with Step("sam deploy with every option, and a job"):
        settings.check_options(server, driver)
    with Step("sam delete leaves nothing"):
        jobs.forget(driver)
        jobs.empty(stack)
        delete(server)
        after = inventory(root)
        check(after == before, f"before the stack there was {before}, and after it {after}")


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        sys.exit(f"error: {error}")
