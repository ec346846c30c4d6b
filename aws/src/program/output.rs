//! What a child writes: passed on to the function's own log up to a bound for each invocation, its end kept for errors.

use rustix::io::Errno;
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{self, PipeReader, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::unix::pipe::Receiver;

/// How much of an invocation's output goes to the log: CloudWatch is paid by the byte.
pub(super) const PASSED_BYTES_MAX: usize = 1 << 20;

/// How much of the end is kept.
const TAIL_BYTES: usize = 8 << 10;

/// How many lines an error says.
const TAIL_LINES: usize = 20;

/// The longest line that is looked at once the bound is reached.
const LINE_BYTES_MAX: usize = 16 << 10;

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// The output of one child.
pub(super) struct Output {
    pipe: Receiver,
    state: Mutex<State>,
}

struct State {
    buffer: Vec<u8>,
    /// How much more may pass.
    left: usize,
    cut: Cut,
    tail: VecDeque<u8>,
    ended: bool,
}

/// What happens to output beyond the bound.
enum Cut {
    /// It is not reached.
    No,
    /// Lines that make metrics pass still: they are counted on, and there is one for each task. This is the line so far.
    Yes(Vec<u8>),
}

impl Output {
    /// Takes what comes out of this pipe, until its other end is closed.
    pub(super) fn start(pipe: PipeReader) -> io::Result<Arc<Self>> {
        let pipe = Receiver::from_owned_fd(OwnedFd::from(pipe))?;
        let buffer = vec![0; READ_BYTES];
        let state = State { buffer, left: PASSED_BYTES_MAX, cut: Cut::No, tail: VecDeque::new(), ended: false };
        let output = Arc::new(Output { pipe, state: state.into() });
        let copied = Arc::downgrade(&output);
        tokio::spawn(async move {
            while let Some(output) = copied.upgrade() {
                if output.pipe.readable().await.is_err() || output.pump() {
                    return;
                }
            }
        });
        Ok(output)
    }

    /// An invocation begins: what is kept from now on is its own.
    pub(super) fn begin(&self) {
        let mut state = self.state();
        (state.left, state.cut) = (PASSED_BYTES_MAX, Cut::No);
        state.tail.clear();
    }

    /// Takes all that has been written until now. Returns whether there will be no more.
    pub(super) fn pump(&self) -> bool {
        let mut state = self.state();
        while !state.ended {
            let mut buffer = std::mem::take(&mut state.buffer);
            // Tokio knows only later that there is something; and it has to find out by itself that there is nothing more.
            let read = match rustix::io::read(&self.pipe, &mut buffer[..]) {
                Err(Errno::AGAIN) => self.pipe.try_read(&mut buffer),
                read => read.map_err(io::Error::from),
            };
            match read {
                // Nobody can be told when the log cannot be written.
                Ok(n) if n > 0 => drop(state.take(&buffer[..n], &mut io::stderr().lock())),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    state.buffer = buffer;
                    return false;
                }
                Ok(_) | Err(_) => state.ended = true,
            }
            state.buffer = buffer;
        }
        true
    }

    /// The last lines.
    pub(super) fn tail(&self) -> Vec<String> {
        let tail: Vec<u8> = self.state().tail.iter().copied().collect();
        last_lines(&String::from_utf8_lossy(&tail), tail.len() == TAIL_BYTES)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
        let kept = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        let surplus = (self.tail.len() + kept.len()).saturating_sub(TAIL_BYTES);
        self.tail.drain(..surplus);
        self.tail.extend(kept);

        let mut beyond = bytes;
        if let Cut::No = self.cut {
            let passed = if bytes.len() <= self.left {
                bytes.len()
            } else {
                // A line is passed whole or not at all, unless it alone is too long.
                bytes[..self.left].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
            };
            out.write_all(&bytes[..passed])?;
            beyond = &bytes[passed..];
            self.left -= passed;
            if !beyond.is_empty() {
                let bound = PASSED_BYTES_MAX >> 10;
                writeln!(
                    out,
                    "\nkinglet: the program wrote more than {bound} KB in this invocation; the rest is left out"
                )?;
                self.cut = Cut::Yes(Vec::new());
            }
        }
        if let Cut::Yes(line) = &mut self.cut {
            for piece in beyond.split_inclusive(|byte| *byte == b'\n') {
                let room = LINE_BYTES_MAX.saturating_sub(line.len());
                line.extend_from_slice(&piece[..piece.len().min(room)]);
                if piece.ends_with(b"\n") {
                    if line.ends_with(b"\n")
                        && line.starts_with(b"{")
                        && memchr::memmem::find(line, b"\"_aws\":").is_some()
                    {
                        out.write_all(line)?;
                    }
                    line.clear();
                }
            }
        }
        Ok(())
    }
}

/// The last lines of a text, as a person reads them; where its start was cut off, without the first.
fn last_lines(text: &str, is_cut: bool) -> Vec<String> {
    let lines: Vec<_> = text.lines().skip(usize::from(is_cut && text.contains('\n'))).filter_map(readable).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec()
}

/// A line of Kinglet's log is JSON: what it says, without what the error around it says already. Others are as they are.
fn readable(line: &str) -> Option<String> {
    let line = line.trim_end();
    let parsed = line.starts_with('{').then(|| serde_json::from_str::<Value>(line).ok()).flatten();
    let Some(Value::Object(members)) = parsed else {
        return (!line.is_empty()).then(|| line.to_owned());
    };
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let (Some(level), Some(message)) = (text("level"), text("message")) else {
        return Some(line.to_owned());
    };
    if message == "task started" || message == "task ended" {
        return None;
    }
    let more = ["error", "place"].map(|name| text(name).map_or(String::new(), |text| format!(": {text}")));
    Some(format!("{level} {message}{}", more.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(left: usize) -> State {
        State { buffer: vec![], left, cut: Cut::No, tail: VecDeque::new(), ended: false }
    }

    #[test]
    fn a_flood_is_cut_at_a_line_and_metrics_pass() {
        let (mut state, mut out) = (state(25), Vec::new());
        for piece in ["one line\n", "another", " line\nand a third line\n", "{\"_aws\":", "{}}\n{\"no\":1}\n", "last\n"]
        {
            state.take(piece.as_bytes(), &mut out).unwrap();
        }
        let out = String::from_utf8(out).unwrap();
        let said = "kinglet: the program wrote more than 1024 KB in this invocation; the rest is left out\n";
        assert_eq!(out, format!("one line\nanother line\n\n{said}{{\"_aws\":{{}}}}\n"));
        let tail: Vec<u8> = state.tail.into_iter().collect();
        assert!(tail.ends_with(b"{\"no\":1}\nlast\n"));
    }

    #[test]
    fn the_end_is_kept() {
        let mut state = state(0);
        for n in 0..10_000 {
            state.take(format!("line {n}\n").as_bytes(), &mut io::sink()).unwrap();
        }
        state.take(&[b'x'; 3 * TAIL_BYTES], &mut io::sink()).unwrap();
        assert_eq!(state.tail.len(), TAIL_BYTES);
        state.take(b"\nthe end", &mut io::sink()).unwrap();
        let tail: Vec<u8> = state.tail.into_iter().collect();
        assert_eq!(last_lines(&String::from_utf8_lossy(&tail), true), ["the end"]);
    }

    #[test]
    fn lines_of_the_log_are_made_readable() {
        let said = r#"{"timestamp":"t","level":"ERROR","message":"a panic","error":"boom","place":"src/main.rs:1:2"}"#;
        let text = format!("{said}\n{{\"level\":\"INFO\",\"message\":\"task started\"}}\n\n{{\"own\": 1}}\nplain \n");
        assert_eq!(last_lines(&text, false), ["ERROR a panic: boom: src/main.rs:1:2", "{\"own\": 1}", "plain"]);
    }
}
