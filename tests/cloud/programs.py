"""Users' programs on the deployed stack: they ship themselves; changed, they take effect on the next run, with no deploy.

One is `examples/word-count` with its driver on AWS instead of here, as the guide says, in a project of its own. The other is
`examples/pi` as it stands, whose functions are called.
"""

import re
import shutil
import time
from collections import Counter
from pathlib import Path

import jobs
import roles
import tools
from jobs import Driver
from stack import INPUT, OUTPUT
from tools import ROOT, TARGET, check, run, say

PROJECT = TARGET / "cloud" / "words"
BUILT = PROJECT / "target/lambda/word-count-example/bootstrap"
PI = PROJECT / "target/lambda/pi-example/bootstrap"

TEXT = "Some words, Some More words\nand some MORE\n" * 500


def make_project() -> None:
    """The example, with one word changed, and where it reads and writes."""
    example = ROOT / "examples/word-count"
    (PROJECT / "src").mkdir(parents=True, exist_ok=True)
    shutil.copy(example / "Cargo.lock", PROJECT)
    manifest = (example / "Cargo.toml").read_text()
    (PROJECT / "Cargo.toml").write_text(changed(manifest, '"../../driver"', f'"{ROOT}/driver"'))
    source = (example / "src/main.rs").read_text()
    # With a second argument, that file is shipped and not this program.
    driver = """match std::env::args().nth(2) {
            Some(file) => kinglet::Aws::new("kinglet").with_program(kinglet::Program::File(file.into())).connect().await?,
            None => Driver::aws("kinglet").await?,
        }"""
    source = changed(source, "Driver::local().await?", driver)
    target = "std::env::args().nth(1).unwrap_or_default()"
    source = changed(source, '["README.md"], "counts"', f'["s3://{INPUT}/shipped/"], {target}')
    (PROJECT / "src/main.rs").write_text(source)


def changed(text: str, old: str, new: str) -> str:
    check(old in text, f"{old} is not in the example")
    return text.replace(old, new)


def build(project: Path = PROJECT) -> None:
    """For the functions' glibc, as docs/guide/ship.md says: cargo-lambda links with Zig, as cargo-zigbuild does."""
    # Full debug information takes long to write, and is not shipped anyway.
    settings = {"CARGO_TARGET_DIR": str(PROJECT / "target"), "CARGO_PROFILE_DEV_DEBUG": "line-tables-only"}
    env = tools.sam_env(settings)
    run("cargo", "lambda", "build", "--target", "x86_64-unknown-linux-gnu.2.34", env=env, cwd=project)


def programs(driver: Driver) -> dict[str, int]:
    """The shipped programs in the work bucket, and their sizes."""
    work = driver.stack.outputs["WorkBucketName"]
    listed = driver.stack.root.s3.list_objects_v2(Bucket=work, Prefix="programs/").get("Contents", [])
    return {entry["Key"]: entry["Size"] for entry in listed}


def count(driver: Driver, prefix: str, fails: bool = False) -> tuple[str, float]:
    began = time.monotonic()
    said = run(BUILT, f"s3://{OUTPUT}/{prefix}", env=driver.env, fails=fails, cwd=driver.stack.server.path)
    return said, time.monotonic() - began


def check_programs(driver: Driver) -> None:
    root = driver.stack.root
    root.s3.put_object(Bucket=INPUT, Key="shipped/text", Body=TEXT.encode())
    before = {f: code_of(driver, f) for f in ["MapperName", "ReducerName"]}
    make_project()
    build()
    check(not programs(driver), "there are shipped programs before any was shipped")

    times = {}
    for n, prefix in enumerate(["shipped/first", "shipped/second"]):
        _, times[prefix] = count(driver, prefix)
        check(jobs.read_output(root, f"{prefix}/") == counted(TEXT), f"the count of {prefix} is wrong")
        check(len(programs(driver)) == 1, f"{programs(driver)} after {n + 1} runs of one program")
    uploaded = programs(driver)

    main = PROJECT / "src/main.rs"
    main.write_text(changed(main.read_text(), "out.emit(word, 1)", "out.emit(word.to_uppercase().as_str(), 1)"))
    build()
    _, times["shipped/changed"] = count(driver, "shipped/changed")
    check(jobs.read_output(root, "shipped/changed/") == counted(TEXT.upper()), "the changed function took no effect")
    check(len(programs(driver)) == 2, f"{programs(driver)} after a change")
    check_refused(driver)
    check_functions(driver)
    after = {f: code_of(driver, f) for f in ["MapperName", "ReducerName"]}
    check(after == before, f"the functions were changed: {before}, {after}")
    file = BUILT.stat().st_size
    say(f"     program of {file >> 20} MB, uploaded {sum(uploaded.values()) >> 20} MB")
    for prefix, seconds in times.items():
        say(f"     {prefix}: {seconds:.2f} s")


def check_refused(driver: Driver) -> None:
    """Programs that the functions could not load, as a compiler makes them, are not uploaded."""
    source = PROJECT / "other.c"
    # A symbol that glibc has since 2.36.
    source.write_text("#include <stdlib.h>\nint main(void) { return arc4random() == 1; }\n")
    before = programs(driver)
    for target, says in [
        ("x86_64-linux-gnu.2.38", ["it needs glibc 2.36, the functions have 2.34", "x86_64-unknown-linux-gnu.2.34"]),
        ("aarch64-linux-gnu.2.38", ["it is built for arm64, the functions are x86_64", "cargo zigbuild"]),
    ]:
        built = PROJECT / f"other-{target}"
        run(tools.venv("sam") / "python", "-m", "ziglang", "cc", "-target", target, source, "-o", built)
        said = run(BUILT, f"s3://{OUTPUT}/shipped/refused", built, env=driver.env, fails=True, cwd=driver.stack.server.path)
        check(all(part in said for part in [str(built), *says]), said)
    check(programs(driver) == before, "a program was uploaded that the functions cannot load")


def check_functions(driver: Driver) -> None:
    """`driver.map_reduce` of a program that the functions have never seen."""
    build(ROOT / "examples/pi")
    for n in ["first", "second"]:
        began = time.monotonic()
        # Few, as each environment fetches the program from a server that is one process of Python.
        said = run(PI, "4000000", "7", env=driver.env | {"STACK": "kinglet"}, cwd=driver.stack.server.path)
        found = re.search(r"π is (3\.\d+)", said)
        check(found is not None and abs(float(found[1]) - 3.14159) < 0.003, said)
        say(f"     17 calls of functions, {n} run: {time.monotonic() - began:.2f} s")


def check_forbidden(driver: Driver, folder: str) -> None:
    """On a stack that was deployed with ShippedPrograms=forbid, and writes in this folder."""
    before = programs(driver)
    said, _ = count(driver, f"{folder}shipped/forbidden", fails=True)
    check("the stack runs no shipped programs" in said and "ShippedPrograms=allow" in said, said)
    check(programs(driver) == before, "a program was uploaded to a stack that forbids it")
    stack, kept = driver.stack, next(iter(before))
    for role in ["Mapper", "Reducer"]:
        caller = roles.as_role(stack.root, stack.server, stack.role(role))
        said = roles.attempt(lambda aws: aws.s3.get_object(Bucket=stack.outputs["WorkBucketName"], Key=kept), caller)
        check(said == "refused", f"{role} reads shipped programs where they are forbidden: {said}")


def counted(text: str) -> Counter[bytes]:
    return Counter(text.encode().split())


def code_of(driver: Driver, function: str) -> str:
    is_so = driver.stack.root.functions.get_function_configuration(FunctionName=driver.stack.outputs[function])
    return is_so["CodeSha256"]
