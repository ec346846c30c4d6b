//! Standard output that may refuse: its reader may have gone, as in `kinglet jobs | head -1`, or its device be full.
//!
//! The macros shadow the standard library's in all modules of the command, as these panic where a line cannot be written.
//! A reader that has gone has read enough, so the command goes on in silence and ends as it would have; any other refusal
//! is its error at the end. Of standard error nobody can be told anything, so it refuses in silence.

use kinglet::{Code, Error, Result};
use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

/// The first refusal.
static REFUSED: OnceLock<io::Error> = OnceLock::new();

/// Prints a line to standard output.
macro_rules! println {
    ($($text:tt)*) => { $crate::stdout::line(format_args!($($text)*)) };
}

/// Prints a line to standard error.
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::stdout::error_line(format_args!($($text)*)) };
}

pub(crate) fn line(text: Arguments<'_>) {
    write(|out| writeln!(out, "{text}"));
}

/// Prints a line of any bytes.
pub(crate) fn bytes(line: &[u8]) {
    write(|out| out.write_all(line).and_then(|()| out.write_all(b"\n")));
}

fn write(line: impl FnOnce(&mut io::StdoutLock<'_>) -> io::Result<()>) {
    if REFUSED.get().is_some() {
        return;
    }
    // Flushed line by line, whatever standard output is, so that a refusal is noticed here.
    let mut out = io::stdout().lock();
    if let Err(error) = line(&mut out).and_then(|()| out.flush()) {
        let _ = REFUSED.set(error);
    }
}

pub(crate) fn error_line(text: Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Returns whether nobody reads what is printed.
pub(crate) fn is_closed() -> bool {
    REFUSED.get().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Says at the command's end whether all of its output was written.
///
/// # Errors
/// `stdout` when standard output has refused a line, but not because its reader had gone.
pub(crate) fn end() -> Result<()> {
    match REFUSED.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::new(Code::Stdout, format!("writing to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
