//! Programs that are shipped: the driver checks, strips and uploads its own executable, and the generic functions run it. The
//! program is `shipped_program.rs`, whose job does to its process whatever it is told to.

use crate::programs;
use crate::support::{conductor, create_job, driver};
use kinglet_aws::ledger::Planned;
use kinglet_core::ids::{ProgramId, TaskIdx};
use kinglet_core::ledger::{InputSize, Phase};
use kinglet_core::wire::event::{Event, MapEvent};
use serde::Deserialize;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// What came of a step; `shipped_program.rs` writes it.
#[derive(Debug, Deserialize)]
struct Came {
    step: String,
    code: Option<String>,
    message: Option<String>,
    hint: Option<String>,
    output: String,
    retries: u64,
    invocations: usize,
    fallen: usize,
    log_bytes: u64,
}

/// Lets the program take steps, on the generic functions.
fn take(dir: &Path, steps: &[&str]) -> Vec<Came> {
    let functions = format!("--functions={}", programs::directory().display());
    take_on(dir, &[&[&functions[..]], steps].concat())
}

fn take_on(dir: &Path, arguments: &[&str]) -> Vec<Came> {
    came(arguments, &programs::of_example("shipped").current_dir(dir).args(arguments).output().unwrap())
}

/// What the program wrote of its steps.
fn came(arguments: &[&str], output: &Output) -> Vec<Came> {
    let (out, err) = (std::str::from_utf8(&output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Asserts how a step failed: its code, what its message says.
#[track_caller]
fn failed(came: &Came, code: &str, says: &[&str]) {
    assert_eq!(came.code.as_deref(), Some(code), "{came:?}");
    let message = came.message.as_deref().unwrap();
    assert!(says.iter().all(|said| message.contains(said)), "{says:?} is not said in: {message}");
    assert_eq!(came.output, "");
}

const ONE: &str = "the mark of version one: one line\t1\n";
const TWO: &str = "the mark of version two: one line\t1\n";

/// The program with some of its bytes replaced by as many others.
fn changed(dir: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = fs::read(programs::directory().join("examples/shipped")).unwrap();
    change(&mut bytes);
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len());
    let places: Vec<_> = (0..bytes.len() - old.len()).filter(|at| bytes[*at..].starts_with(old)).collect();
    assert!(!places.is_empty(), "{} is not there", String::from_utf8_lossy(old));
    places.into_iter().for_each(|at| bytes[at..at + old.len()].copy_from_slice(new));
}

#[test]
fn whatever_a_program_does_is_its_tasks_error_and_the_worker_lives() {
    let dir = tempfile::tempdir().unwrap();
    let ends: [(&str, &str, &[&str]); 9] = [
        ("panic", "panic", &["mapping in at byte 0", "no more of this"]),
        ("abort", "crashed", &["failed 4 times", "SIGABRT", "last words"]),
        ("exit", "exited", &["map task 0: ", "exit code 7", "it wrote last:\n  so long"]),
        ("overflow", "stack-overflow", &["SIGABRT", "has overflowed its stack"]),
        ("segfault", "crashed", &["SIGSEGV"]),
        ("allocate", "out-of-memory", &["got no more memory", "memory allocation of 70368744177664 bytes failed"]),
        ("flood", "exited", &["exit code 9", "-!\n  the end of the flood"]),
        ("driver", "driver-in-worker", &["a driver was started inside a function"]),
        ("fail", "map-failed", &["the job's own error"]),
    ];
    let steps: Vec<&str> =
        ends.iter().flat_map(|(step, ..)| [*step, "fine"]).chain(["flood-fine", "reduce-exit", "fine"]).collect();
    let came = take(dir.path(), &steps);
    assert_eq!(came.len(), steps.len());
    for (pair, (_, code, says)) in came.chunks(2).zip(ends) {
        failed(&pair[0], code, says);
        assert!(pair[0].message.as_ref().unwrap().lines().count() <= 21, "more than the last lines: {pair:?}");
        assert_eq!((pair[1].code.as_deref(), &pair[1].output[..], pair[1].retries), (None, ONE, 0), "{pair:?}");
    }
    let [.., flooded, reduced, last] = &came[..] else { panic!("{came:?}") };
    assert_eq!((flooded.code.as_deref(), &flooded.output[..]), (None, ONE), "{flooded:?}");
    failed(reduced, "exited", &["exit code 7", "so long"]);
    assert_eq!(last.output, ONE, "{last:?}");
    // As Lambda sees it, no worker fell.
    assert!(last.invocations >= steps.len() && last.fallen == 0, "{last:?}");
    // Of two floods of 8 MB the logs have no more than is let through.
    assert!(last.log_bytes > 2 << 20 && last.log_bytes < 3 << 20, "{last:?}");
}

#[test]
fn a_call_that_ends_its_program_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let came = take(dir.path(), &["calls", "fine"]);
    assert_eq!(fs::read_to_string(dir.path().join("calls")).unwrap(), "13 exited\n71 stack-overflow\n");
    assert_eq!((&came[0].output[..], came[0].fallen), (ONE, 0), "{came:?}");
}

#[test]
fn a_program_that_never_stops_writing_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let came = take(dir.path(), &["chatter", "fine", "exit", "fine"]);
    assert!([0, 1, 3].iter().all(|n| came[*n].output == ONE && came[*n].retries == 0), "{came:?}");
    failed(&came[2], "exited", &["it wrote last:"]);
}

#[test]
fn what_a_program_leaves_behind_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    // Found by its arguments, which nothing else on this machine has.
    let seconds = format!("98765.{}", std::process::id());
    let came = take(dir.path(), &[&format!("leave-{seconds}"), "fine"]);
    failed(&came[0], "exited", &["exit code 5"]);
    assert_eq!(came[1].output, ONE, "{came:?}");
    let line = format!("sleep\0{seconds}\0");
    let processes = fs::read_dir("/proc").unwrap().map(|process| process.unwrap().path());
    let left: Vec<_> =
        processes.filter(|path| fs::read(path.join("cmdline")).is_ok_and(|is| is == line.as_bytes())).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_program_that_takes_too_much_memory_is_ended_before_the_function_is() {
    let dir = tempfile::tempdir().unwrap();
    let came = take(dir.path(), &["--memory", "memory-280", "memory", "fine", "memory-tail"]);
    // It needs more than the mapper's 256 MB, and has room on the larger one.
    assert_eq!((&came[0].output[..], came[0].retries), (ONE, 1), "{:?}", came[0]);
    failed(
        &came[1],
        "out-of-memory",
        &["failed 4 times, the last time with 512 MB of memory", "used up the function's memory"],
    );
    assert!(came[1].hint.as_ref().unwrap().contains("MapperLargeMemory"));
    assert_eq!((&came[2].output[..], came[2].fallen), (ONE, 0), "{:?}", came[2]);
    // What it starts counts as well.
    assert_eq!((&came[3].output[..], came[3].retries, came[3].fallen), (ONE, 1, 0), "{:?}", came[3]);
}

#[test]
fn a_program_that_hangs_or_is_no_worker_is_ended_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let came = take(dir.path(), &["--short", "hang", "fine@/usr/bin/true", "fine@/usr/bin/yes", "fine"]);
    failed(&came[0], "timed-out", &["was stopped, as the function's time was up"]);
    failed(&came[1], "program-start", &["ended before it asked for work (exit code 0)"]);
    // It had less than the 10 s that a start may take.
    failed(&came[2], "program-silent", &["before the shipped program asked for work", "it wrote last:\n  y\n  y"]);
    assert!(came[1..3].iter().all(|came| came.hint.as_ref().unwrap().contains("kinglet::main")), "{came:?}");
    assert_eq!((&came[3].output[..], came[3].fallen), (ONE, 0), "{:?}", came[3]);
}

#[test]
fn a_program_that_was_changed_takes_effect_on_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let two =
        changed(dir.path(), "two", |bytes| replace(bytes, b"the mark of version one", b"the mark of version two"));
    let other = format!("fine@{}", two.display());
    let came = take(dir.path(), &["fine", &other, "fine", &other, &other]);
    let outputs: Vec<_> = came.iter().map(|came| &came.output[..]).collect();
    assert_eq!(outputs, [ONE, TWO, ONE, TWO, TWO], "{came:?}");
    assert_eq!(came[4].fallen, 0);
}

#[test]
fn a_program_whose_file_was_built_anew_while_it_runs_ships_what_runs() {
    let dir = tempfile::tempdir().unwrap();
    let own = changed(dir.path(), "own", |_| ());
    let functions = format!("--functions={}", programs::directory().display());
    let output =
        Command::new(&own).current_dir(dir.path()).args([&functions, "rebuilt", "fine", "fine"]).output().unwrap();
    let came = came(&["rebuilt"], &output);
    assert_eq!(fs::read(&own).unwrap(), b"another program", "the step was not taken");
    assert_eq!((&came[0].output[..], &came[1].output[..], came[1].fallen), (ONE, ONE, 0), "{came:?}");
}

#[test]
fn a_program_is_its_own_function_too() {
    let dir = tempfile::tempdir().unwrap();
    // The functions are this program as well, which does not stop them from running it as a shipped one.
    let came = take_on(dir.path(), &["fine", "exit", "fine"]);
    assert_eq!((&came[0].output[..], &came[2].output[..], came[2].fallen), (ONE, ONE, 0), "{came:?}");
    failed(&came[1], "exited", &["so long"]);
}

#[test]
fn a_program_that_does_not_fit_is_refused_before_anything_is_uploaded() {
    let dir = tempfile::tempdir().unwrap();
    let other_machine = if cfg!(target_arch = "x86_64") { 183u16 } else { 62 };
    let machine = changed(dir.path(), "machine", |bytes| bytes[18..20].copy_from_slice(&other_machine.to_le_bytes()));
    let glibc = changed(dir.path(), "glibc", |bytes| replace(bytes, b"\0GLIBC_2.34\0", b"\0GLIBC_2.77\0"));
    let library = changed(dir.path(), "library", |bytes| replace(bytes, b"\0libgcc_s.so.1\0", b"\0libodd_s.so.1\0"));
    let cut = changed(dir.path(), "cut", |bytes| bytes.truncate(bytes.len() / 10));
    let relocations = changed(dir.path(), "relocations", |bytes| replace(bytes, b"\0GLIBC_2.34\0", b"\0GLIBC_ABI_\0"));
    let text = dir.path().join("text");
    fs::write(&text, "#!/bin/sh\n").unwrap();
    let cases = [
        (&machine, "program-architecture", "it is built for", "cargo zigbuild"),
        (&glibc, "program-glibc", "it needs glibc 2.77, the functions have 2.34", "unknown-linux-gnu.2.34"),
        (&relocations, "program-glibc", "it needs a glibc with GLIBC_ABI_", "unknown-linux-gnu.2.34"),
        (&library, "program-library", "libodd_s.so.1", "statically"),
        (&cut, "program-damaged", "it is cut off", "cargo zigbuild"),
        (&text, "program-kind", "no executable for Linux", "unknown-linux-musl"),
        (&dir.path().join("nowhere"), "program-missing", "nowhere is not there", "Program::File"),
    ];
    let steps: Vec<_> = cases.iter().map(|(path, ..)| format!("fine@{}", path.display())).collect();
    let came = take(dir.path(), &steps.iter().map(|step| &step[..]).collect::<Vec<_>>());
    for (came, (path, code, says, hint)) in came.iter().zip(cases) {
        failed(came, code, &[path.to_str().unwrap(), says]);
        assert!(came.hint.as_ref().unwrap().contains(hint), "{came:?}");
        assert_eq!(came.invocations, 0);
    }

    // Without shipping, the generic functions do not know the job.
    let came = take(dir.path(), &["--forbidden", "fine", "fine@linked"]);
    failed(&came[0], "shipping-forbidden", &["the stack runs no shipped programs"]);
    assert!(came[0].hint.as_ref().unwrap().contains("ShippedPrograms=allow") && came[0].invocations == 0, "{came:?}");
    failed(&came[1], "job-not-registered", &["\"misbehave\""]);
}

#[test]
fn a_program_that_was_damaged_in_s3_is_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let two =
        changed(dir.path(), "two", |bytes| replace(bytes, b"the mark of version one", b"the mark of version two"));
    let other = format!("fine@{}", two.display());
    // There is one worker, which keeps one program: after another it has to fetch the first again.
    let came = take(dir.path(), &["--one", &other, "corrupt", "fine", &other, "fine"]);
    assert_eq!((&came[0].output[..], &came[1].output[..]), (TWO, ONE), "{came:?}");
    assert_eq!(came[2].step, other);
    failed(&came[2], "program-corrupt", &["fetching the shipped program s3://kinglet-work/programs/"]);
    assert!(came[2].hint.as_ref().unwrap().contains("start the driver again"), "{came:?}");
    assert_eq!((&came[3].output[..], came[3].fallen), (ONE, 0), "{came:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_that_are_told_to_refuse_do_so_whatever_the_driver_thinks() {
    let driver = driver(|local| local.with_shipping_forbidden()).await;
    let conductor = conductor(&driver);
    // A job of one map task, as far as a driver and a splitter would have taken it.
    let program = Some(ProgramId::of(b"a program"));
    let job = create_job(&conductor, "misbehave", program).await;
    let input = InputSize { objects: 1, bytes: 1, skipped: 0 };
    let planned = Planned { id: "plan", map_tasks: 1, partitions: 1, merging: None, input, calls: None, usage: None };
    assert!(conductor.ledger.plan(&job, &planned).await.unwrap());
    let event = MapEvent::first(job.clone(), TaskIdx(0), (0, 1).into(), program);
    conductor.functions.start(&Event::Map(event)).await.unwrap();

    let error = loop {
        let view = conductor.ledger.job(&job).await.unwrap();
        if view.phase == Phase::Failed {
            break view.error.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((error.code(), error.to_string().contains("run no shipped programs")), ("shipping-forbidden", true));
    assert!(error.hint().unwrap().contains("ShippedPrograms=allow"));
    driver.close().await;
}
