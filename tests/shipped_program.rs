//! A program that ships itself, and whose job does whatever it is told to. `shipped.rs` runs it with the steps to take, one
//! after the other on one embedded runtime with the generic functions; it prints what came of each as a line of JSON.
//!
//! A step is a mode, as `exit`; with `@PATH` behind it that executable is shipped instead.

use kinglet::{
    CallOptions, Code, Emitter, Error, Job, Lines, Local, LocalFunctions, Program, Registry, Sink, Submit, UserError,
    UserResult, Values,
};
use kinglet_local::lambda::InvocationReport;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// What the job writes. `shipped.rs` makes another program of this one by changing these bytes.
static MARK: &str = "the mark of version one";

#[derive(Serialize, Deserialize)]
struct Misbehave {
    mode: String,
}

impl Misbehave {
    fn act(&self) -> UserResult {
        match &self.mode[..] {
            "panic" => panic!("no more of this"),
            "abort" => {
                eprintln!("last words");
                std::process::abort();
            }
            "exit" => {
                println!("so long");
                std::process::exit(7);
            }
            "overflow" => drop(deeper(1)),
            // Rust's own handler takes the first, as it might be of the stack.
            "segfault" => drop(
                std::process::Command::new("sh")
                    .args(["-c", "kill -SEGV $PPID; sleep 0.2; kill -SEGV $PPID"])
                    .status()?,
            ),
            // More than any machine has, so that it is refused.
            "allocate" => drop(std::hint::black_box(vec![1u8; 1 << 46])),
            "memory" => hold(4_000),
            "memory-280" => hold(280),
            // What it starts uses the memory: `tail` keeps a line that does not end.
            "memory-tail" => {
                let command = "head -c 280M /dev/zero | tail | wc -c";
                std::process::Command::new("sh").args(["-c", command]).status()?;
            }
            "flood" => {
                flood(5_000);
                std::process::exit(9);
            }
            "flood-fine" => flood(3_000),
            // It goes on for as long as the process does.
            "chatter" => drop(std::thread::spawn(|| {
                let lines = "y\n".repeat(32 << 10);
                while std::io::stdout().lock().write_all(lines.as_bytes()).is_ok() {}
            })),
            "hang" => std::thread::sleep(Duration::from_secs(600)),
            "driver" => {
                drop(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(driver(&[]))?)
            }
            "fail" => return Err(UserError::new("the job's own error")),
            mode => {
                // It has this process's output, and belongs to nobody once this one is gone.
                if let Some(seconds) = mode.strip_prefix("leave-") {
                    std::process::Command::new("setsid").args(["sleep", seconds]).spawn()?;
                    std::process::exit(5);
                }
            }
        }
        Ok(())
    }
}

/// Ends its process at some inputs.
fn deadly(n: u64) -> u64 {
    match n {
        13 => std::process::exit(3),
        71 => deeper(n),
        _ => n,
    }
}

/// Calls the function a hundred times, and returns the codes of the calls that failed.
async fn calls(driver: &kinglet::Driver) -> kinglet::Result<String> {
    let calls = driver.map_with(deadly, 0..100, CallOptions::new().with_calls_per_batch(50)).await?;
    let outcomes = calls.outcomes().await;
    assert!((0..100).all(|n| outcomes[n].as_ref().map_or(true, |said| *said == n as u64)), "{outcomes:?}");
    let failed = outcomes.iter().enumerate().filter_map(|(n, outcome)| Some((n, outcome.as_ref().err()?)));
    Ok(failed.map(|(n, error)| format!("{n} {}\n", error.code())).collect())
}

/// Calls itself until the stack is full.
#[expect(unconditional_recursion, reason = "this is what it is for")]
fn deeper(n: u64) -> u64 {
    std::hint::black_box(deeper(n + 1)) + n
}

/// Takes memory, 4 MB at a time, as fast as a program does that works on it.
fn hold(mb: usize) {
    let mut held = Vec::new();
    while held.len() < mb / 4 {
        held.push(vec![1u8; 4 << 20]);
        std::thread::sleep(Duration::from_millis(4));
    }
    std::hint::black_box(held);
}

fn flood(kb: usize) {
    let line = [b"-".repeat(126).as_slice(), b"!\n"].concat();
    for n in 0..kb * 8 {
        let line: &[u8] = if n + 1 == kb * 8 { b"the end of the flood\n" } else { &line };
        assert!(std::io::stderr().lock().write_all(line).is_ok());
    }
}

impl Job for Misbehave {
    const NAME: &'static str = "misbehave";
    type Input = Lines;
    type Key = String;
    type Value = u64;
    type Output = (String, u64);

    fn map(&self, line: &str, out: &mut Emitter<'_, String, u64>) -> UserResult {
        if !self.mode.starts_with("reduce-") {
            self.act()?;
        }
        out.emit(format!("{MARK}: {line}"), 1)
    }
    fn reduce(&self, line: String, counts: Values<'_, u64>, out: &mut Sink<'_, (String, u64)>) -> UserResult {
        if let Some(mode) = self.mode.strip_prefix("reduce-") {
            Misbehave { mode: mode.to_owned() }.act()?;
        }
        out.push(&(line, counts.sum()))
    }
}

async fn driver(arguments: &[String]) -> kinglet::Result<kinglet::Driver> {
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let mut local = Local::new().with_concurrency(if has("--one") { 1 } else { 4 }).with_shipped_program();
    if let Some(functions) = arguments.iter().find_map(|argument| argument.strip_prefix("--functions=")) {
        local = local.with_functions(LocalFunctions::Directory(functions.into()));
    }
    if has("--memory") {
        local = local.with_memory_mb(256).with_mapper_large_memory_mb(512).with_memory_enforced();
    }
    if has("--short") {
        local = local.with_timeout(Duration::from_secs(3));
    }
    if has("--forbidden") {
        local = local.with_shipping_forbidden();
    }
    local.start().await
}

/// What came of a step.
#[derive(Serialize)]
struct Came {
    step: String,
    code: Option<String>,
    message: Option<String>,
    hint: Option<String>,
    output: String,
    retries: u64,
    /// Of the function `kinglet-mapper`: how many of its invocations there were until now, and how many failed as Lambda
    /// sees it, which takes a worker that died.
    invocations: usize,
    fallen: usize,
    /// The size of its logs.
    log_bytes: u64,
}

async fn program() -> kinglet::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let driver = driver(&arguments).await?;
    std::fs::write("in", "one line\n").map_err(|e| Error::new(Code::ProgramFailed, e.to_string()))?;
    for (n, step) in arguments.iter().filter(|argument| !argument.starts_with("--")).enumerate() {
        let (mode, path) = step.split_once('@').map_or((&step[..], None), |(mode, path)| (mode, Some(path)));
        match mode {
            "corrupt" => corrupt(&driver),
            "rebuilt" => rebuilt().map_err(|e| Error::new(Code::ProgramFailed, e.to_string()))?,
            _ => {}
        }
        if ["corrupt", "rebuilt"].contains(&mode) {
            continue;
        }
        if mode == "calls" {
            std::fs::write("calls", calls(&driver).await?)
                .map_err(|e| Error::new(Code::ProgramFailed, e.to_string()))?;
            continue;
        }
        let output = format!("out-{n}");
        let tries = if mode == "hang" || path.is_some() { 1 } else { 4 };
        let mut submit = Submit::new(["in"], &output).with_partitions(1).with_tries(tries);
        if let Some(path) = path {
            let program = if path == "linked" { Program::Linked } else { Program::File(PathBuf::from(path)) };
            submit = submit.with_program(program);
        }
        let done = async { driver.submit(&Misbehave { mode: mode.to_owned() }, submit).await?.wait().await }.await;
        let reports = driver.runtime().map_or(vec![], |runtime| runtime.host().reports());
        let of_mapper: Vec<&InvocationReport> = reports.iter().filter(|r| *r.function == *"kinglet-mapper").collect();
        let count = |is: fn(&InvocationReport) -> bool| of_mapper.iter().filter(|report| is(report)).count();
        let logs: BTreeSet<_> = of_mapper.iter().filter_map(|report| report.log.as_ref()).collect();
        let error = done.as_ref().err();
        let came = Came {
            step: step.clone(),
            code: error.map(|e| e.code().to_owned()),
            message: error.map(ToString::to_string),
            hint: error.and_then(|e| e.hint().map(str::to_owned)),
            output: only_part(&output),
            retries: done.as_ref().map_or(0, |report| report.retries),
            invocations: of_mapper.len(),
            fallen: count(|report| report.error.is_some()),
            log_bytes: logs.iter().filter_map(|log| Some(log.metadata().ok()?.len())).sum(),
        };
        println!("{}", serde_json::to_string(&came).unwrap_or_default());
    }
    driver.close().await;
    Ok(())
}

/// What `cargo build` does to a program that runs: another file is at its path.
fn rebuilt() -> std::io::Result<()> {
    let own = std::env::current_exe()?;
    std::fs::remove_file(&own)?;
    std::fs::write(own, "another program")
}

/// Damages each shipped program in the embedded S3, whose blobs are files.
fn corrupt(driver: &kinglet::Driver) {
    let mut left: Vec<PathBuf> = driver.runtime().map(|runtime| runtime.dir().to_owned()).into_iter().collect();
    let mut found = 0;
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if std::fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"KPGM")) {
                let mut bytes = std::fs::read(&path).unwrap_or_default();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                assert!(std::fs::write(&path, bytes).is_ok());
                found += 1;
            }
        }
    }
    assert!(found > 0, "no program is stored");
}

fn main() -> std::process::ExitCode {
    kinglet::main(Registry::new().job::<Misbehave>().function(deadly), program)
}

/// The one part of an output, if there is one.
fn only_part(output: &str) -> String {
    let names = std::fs::read_dir(output).into_iter().flatten().flatten().map(|entry| entry.path());
    let part = names.into_iter().find(|path| path.to_string_lossy().contains("/part-00000-"));
    part.map(|part| std::fs::read_to_string(part).unwrap_or_default()).unwrap_or_default()
}
