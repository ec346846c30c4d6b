//! How a shipped program ended, as the task's error.

use bytes::Bytes;
use kinglet_core::limits::ERROR_BYTES_MAX;
use kinglet_core::{Code, Error};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

/// How a program ended without an answer.
#[derive(Debug)]
pub(super) enum Ended {
    /// It exited by itself or by a signal, before or after it asked for its first event.
    Exited { status: ExitStatus, starting: bool },
    /// It did not ask for an event for this long, and was killed.
    Silent(Duration),
    /// It reported that it cannot start.
    CannotStart(Bytes),
    /// It had ended before it was given the event.
    Idle,
    /// It was killed because the function's time was nearly up, before or after it asked for its first event.
    Late { starting: bool },
    /// It was killed because it and the worker used nearly all of the function's memory.
    Memory { used_mb: u64 },
    /// It answered with something other than JSON.
    Nonsense(String),
}

const SIGILL: i32 = 4;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// The longest line in an error, in characters.
const LINE_CHARS_MAX: usize = 500;

const MEMORY_HINT: &str = "give the functions more memory, or cut the input into smaller splits (--split-bytes)";
const START_HINT: &str =
    "start it with `kinglet::main`, first thing in `main`: what stands before it runs in every function too";

/// Returns the error. `said` holds the last lines that the program wrote; `memory_mb` is the function's memory.
pub(super) fn error(ended: &Ended, said: &[String], memory_mb: u32) -> Error {
    let wrote = |text: &str| said.iter().any(|line| line.contains(text));
    let error = match ended {
        Ended::Exited { status, starting: true }
            if wrote("error while loading shared libraries") || wrote("' not found") =>
        {
            Error::new(Code::ProgramLoad, format!("the shipped program cannot be loaded ({})", shown(*status)))
                .with_hint("it needs libraries that the functions' system does not have; build it statically (musl)")
        }
        Ended::Exited { status, starting: true } if status.signal().is_none() => {
            let message = format!("the shipped program ended before it asked for work ({})", shown(*status));
            Error::new(Code::ProgramStart, message).with_hint(START_HINT)
        }
        Ended::Silent(waited) => {
            let message = format!("the shipped program did not ask for work within {:.0} s", waited.as_secs_f64());
            // A busy machine may be that slow once, so the task is tried again.
            Error::new(Code::ProgramSilent, message).with_hint(START_HINT)
        }
        Ended::CannotStart(document) => of_document(document).context("starting the shipped program"),
        // Whatever the cause, it is not the task's: a map task is not halved for it.
        Ended::Exited { status, starting: true } => {
            let how = exited(*status, &wrote);
            let error = Error::new(Code::ProgramSilent, format!("starting the shipped program: {how}"));
            error.with_hint(how.hint().unwrap_or(START_HINT))
        }
        Ended::Exited { status, starting: false } => exited(*status, &wrote),
        Ended::Idle => Error::new(Code::Crashed, "the shipped program had ended before it was given the task"),
        Ended::Late { starting: true } => {
            let message = "the function's time was up before the shipped program asked for work";
            Error::new(Code::ProgramSilent, message)
                .with_hint(format!("give the functions a longer timeout; or {START_HINT}"))
        }
        Ended::Late { starting: false } => {
            Error::new(Code::TimedOut, "the shipped program was stopped, as the function's time was up")
                .with_hint("give the functions a longer timeout, or cut the input into smaller splits (--split-bytes)")
        }
        Ended::Memory { used_mb } => {
            let message = format!("the shipped program used up the function's memory: {used_mb} of {memory_mb} MB");
            Error::new(Code::OutOfMemory, message).with_hint(MEMORY_HINT)
        }
        Ended::Nonsense(why) => Error::new(Code::Crashed, format!("the shipped program answered nonsense: {why}")),
    };
    with_lines(error, said)
}

fn exited(status: ExitStatus, wrote: &dyn Fn(&str) -> bool) -> Error {
    let how = shown(status);
    match status.signal() {
        Some(SIGABRT) if wrote("memory allocation of") => {
            Error::new(Code::OutOfMemory, format!("the shipped program got no more memory ({how})"))
                .with_hint(MEMORY_HINT)
        }
        Some(SIGABRT) if wrote("has overflowed its stack") => {
            Error::new(Code::StackOverflow, format!("the shipped program overflowed its stack ({how})"))
                .with_hint("the job's code calls itself too deeply: use a loop, or a thread with a larger stack")
        }
        Some(SIGABRT) if wrote("panicked at") || wrote("ERROR a panic") => {
            Error::new(Code::Panic, format!("the shipped program panicked and aborted ({how})"))
                .with_hint("a program built with `panic = \"unwind\"` says which record it was")
        }
        // Besides the program itself, only the kernel ends it with this signal, for want of memory.
        Some(SIGKILL) => Error::new(
            Code::OutOfMemory,
            format!("the shipped program was killed, for want of memory most likely ({how})"),
        )
        .with_hint(MEMORY_HINT),
        Some(SIGILL) => Error::new(Code::Crashed, format!("the shipped program crashed ({how})"))
            .with_hint("it is built for a newer processor than the functions', most likely: see `-C target-cpu`"),
        Some(_) => Error::new(Code::Crashed, format!("the shipped program crashed ({how})"))
            .with_hint("the function's log says more"),
        None => Error::new(Code::Exited, format!("the shipped program ended itself in the middle of a task ({how})"))
            .with_hint("the job's code returns errors and does not call `std::process::exit`"),
    }
}

/// Returns the error for a document by which a program reports a failure; one of ours, where it carries a code of ours.
pub(super) fn of_document(document: &Bytes) -> Error {
    let parsed: Value = serde_json::from_slice(document).unwrap_or_default();
    let field = |name: &str| parsed.get(name).and_then(Value::as_str).unwrap_or_default();
    let (kind, message) = (field("errorType"), field("errorMessage"));
    match kind.strip_prefix("Kinglet.") {
        Some(code) => Error::relayed(code, message),
        None => Error::new(Code::Crashed, format!("the shipped program failed: {kind}: {message}")),
    }
}

fn shown(status: ExitStatus) -> String {
    let name = match status.signal() {
        None => return format!("exit code {}", status.code().unwrap_or_default()),
        Some(SIGILL) => "SIGILL",
        Some(SIGABRT) => "SIGABRT",
        Some(7) => "SIGBUS",
        Some(8) => "SIGFPE",
        Some(SIGKILL) => "SIGKILL",
        Some(11) => "SIGSEGV",
        Some(15) => "SIGTERM",
        Some(other) => return format!("signal {other}"),
    };
    name.to_owned()
}

/// Returns the last of some lines: as many as an error in the ledger has room for, whatever text precedes them. A long line
/// is cut.
fn last(lines: &[String]) -> Vec<String> {
    let mut left = ERROR_BYTES_MAX / 2;
    let cut = |line: &String| match line.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.clone(),
    };
    let fits = |line: &String| left.checked_sub(line.len()).inspect(|rest| left = *rest).is_some();
    let mut kept: Vec<_> = lines.iter().rev().map(cut).take_while(fits).collect();
    kept.reverse();
    kept
}

/// Appends the last lines that the program wrote to an error.
fn with_lines(error: Error, said: &[String]) -> Error {
    if said.is_empty() {
        return error;
    }
    error.followed_by(format_args!("; it wrote last:\n  {}", last(said).join("\n  ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(raw: i32, starting: bool, said: &[&str]) -> Error {
        let said: Vec<_> = said.iter().map(|line| (*line).to_owned()).collect();
        error(&Ended::Exited { status: ExitStatus::from_raw(raw), starting }, &said, 128)
    }

    #[test]
    fn each_end_has_its_code_and_shows_the_last_lines() {
        let (exit_3, aborted, segfault, killed) = (3 << 8, 6, 11, 9);
        for (raw, starting, line, code, retried) in [
            (exit_3, false, "bye", "exited", false),
            (exit_3, true, "bye", "program-start", false),
            (aborted, false, "bye", "crashed", true),
            (aborted, false, "thread 'engine-0' has overflowed its stack", "stack-overflow", false),
            (aborted, false, "memory allocation of 99 bytes failed", "out-of-memory", false),
            (aborted, false, "thread 'main' panicked at src/main.rs:1:2:", "panic", false),
            (segfault, false, "bye", "crashed", true),
            (killed, false, "bye", "out-of-memory", false),
            (killed, true, "bye", "program-silent", true),
            (segfault, true, "bye", "program-silent", true),
            (127 << 8, true, "./p: error while loading shared libraries: libz.so.1", "program-load", false),
        ] {
            let error = of(raw, starting, &["first", line]);
            assert_eq!((error.code(), error.is_retryable()), (code, retried), "{raw} {line}");
            assert!(error.to_string().ends_with(&format!("; it wrote last:\n  first\n  {line}")), "{error}");
            assert!(error.hint().is_some());
        }
        assert!(of(exit_3, false, &[]).to_string().ends_with("(exit code 3)"));
        assert!(of(exit_3, true, &[]).hint().unwrap().contains("kinglet::main"));
        for (starting, code) in [(true, "program-silent"), (false, "crashed")] {
            let illegal = of(SIGILL, starting, &[]);
            assert!((illegal.code(), illegal.is_retryable()) == (code, true), "{illegal}");
            assert!(illegal.hint().unwrap().contains("target-cpu"), "{illegal}");
        }
        // A slow machine is not the program's fault.
        let silent = error(&Ended::Silent(Duration::from_secs(10)), &[], 128);
        assert_eq!((silent.code(), silent.is_retryable()), ("program-silent", true));
    }

    #[test]
    fn the_last_line_is_in_the_ledger_whatever_was_said_before() {
        let long = "ü".repeat(4_000);
        let lines: Vec<&str> = [&long[..]; 19].into_iter().chain(["the last words"]).collect();
        let error = of(3 << 8, false, &lines).context("x".repeat(2_000)).shortened();
        assert!(error.to_string().ends_with("ü…\n  the last words"), "{error}");
        assert!(of(3 << 8, false, &[&long]).to_string().ends_with("üü…"));
    }

    #[test]
    fn a_document_keeps_its_code() {
        let ours = of_document(&br#"{"errorType":"Kinglet.throttled","errorMessage":"writing x"}"#[..].into());
        assert_eq!((ours.code(), ours.to_string()), ("throttled", "writing x".to_owned()));
        assert_eq!(of_document(&b"no JSON"[..].into()).code(), "crashed");
    }
}
