//! What a child writes: passed on to the function's own log up to a limit for each invocation, its end kept for errors.

use rustix::io::Errno;
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{self, PipeReader, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinHandle;

/// How many bytes of an invocation's output go to the log: CloudWatch is paid by the byte.
pub(super) const PASSED_BYTES_MAX: usize = 1 << 20;

/// How many bytes of the end are kept.
const TAIL_BYTES: usize = 8 << 10;

/// How many lines an error quotes.
const TAIL_LINES: usize = 20;

/// The longest line, in bytes, that is passed on in one piece.
const LINE_BYTES_MAX: usize = 16 << 10;

/// How many bytes are read at once.
const READ_BYTES: usize = 64 << 10;

/// How many reads are done before other tasks have a turn: a program may write faster than it is read.
const READS_MAX: usize = 32;

/// The output of one child.
pub(super) struct Output {
    copied: Arc<Copied>,
    copier: JoinHandle<()>,
}

struct Copied {
    pipe: Receiver,
    state: Mutex<State>,
}

struct State {
    buffer: Vec<u8>,
    /// How many more bytes may pass.
    left: usize,
    /// Whether the limit is reached. Lines that say how a task ended still pass: the metrics depend on them.
    is_cut: bool,
    /// The line so far.
    line: Vec<u8>,
    /// Whether the bytes passed last did not end a line.
    within_line: bool,
    tail: VecDeque<u8>,
    ended: bool,
}

impl Output {
    /// Copies what comes out of this pipe, until its other end is closed.
    pub(super) fn start(pipe: PipeReader) -> io::Result<Self> {
        let pipe = Receiver::from_owned_fd(OwnedFd::from(pipe))?;
        let copied = Arc::new(Copied { pipe, state: State::new(PASSED_BYTES_MAX).into() });
        let by_copier = copied.clone();
        let copier = tokio::spawn(async move {
            while by_copier.pipe.readable().await.is_ok() && !by_copier.pump() {
                tokio::task::yield_now().await;
            }
        });
        Ok(Output { copied, copier })
    }

    /// Begins an invocation: what is kept from now on belongs to it.
    pub(super) fn begin(&self) {
        let mut state = self.copied.state();
        (state.left, state.is_cut) = (PASSED_BYTES_MAX, false);
        state.tail.clear();
    }

    /// Ends an invocation and its last line, so that this process's next line does not follow on it.
    pub(super) fn end(&self) {
        self.pump();
        pass(&self.copied.state().end_line());
    }

    /// Copies what has been written until now, up to the limit of a turn. Returns whether the pipe has ended.
    pub(super) fn pump(&self) -> bool {
        self.copied.pump()
    }

    /// Returns the last lines.
    pub(super) fn tail(&self) -> Vec<String> {
        let tail: Vec<u8> = self.copied.state().tail.iter().copied().collect();
        last_lines(&String::from_utf8_lossy(&tail), tail.len() == TAIL_BYTES)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.copier.abort();
    }
}

impl Copied {
    fn pump(&self) -> bool {
        let mut state = self.state();
        for _ in 0..READS_MAX {
            if state.ended {
                break;
            }
            let mut buffer = std::mem::take(&mut state.buffer);
            // Tokio learns only later that there is something to read, and must find out by itself that there is no more.
            let read = match rustix::io::read(&self.pipe, &mut buffer[..]) {
                Err(Errno::AGAIN) => self.pipe.try_read(&mut buffer),
                read => read.map_err(io::Error::from),
            };
            let waits = read.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock);
            match read {
                Ok(n) if n > 0 => pass(&state.take(&buffer[..n])),
                Err(e) if waits || e.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    state.ended = true;
                    pass(&state.end_line());
                }
            }
            state.buffer = buffer;
            if waits {
                break;
            }
        }
        state.ended
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pass(lines: &[u8]) {
    // If the log cannot be written, there is nobody to tell.
    let _ = io::stderr().lock().write_all(lines);
}

impl State {
    fn new(left: usize) -> Self {
        let (buffer, line, tail) = (vec![0; READ_BYTES], vec![], VecDeque::new());
        State { buffer, left, is_cut: false, line, within_line: false, tail, ended: false }
    }

    /// Takes what the program wrote. Returns what passes on to the log.
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let kept = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        let surplus = (self.tail.len() + kept.len()).saturating_sub(TAIL_BYTES);
        self.tail.drain(..surplus);
        self.tail.extend(kept);

        let mut passed = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            // Whole lines, so that this process's own lines do not fall into them.
            if piece.ends_with(b"\n") || self.line.len() > LINE_BYTES_MAX {
                self.pass_line(&mut passed);
            }
        }
        passed
    }

    /// Ends a line that was begun.
    fn end_line(&mut self) -> Vec<u8> {
        let mut passed = Vec::new();
        if self.within_line || !self.line.is_empty() {
            self.line.push(b'\n');
            self.pass_line(&mut passed);
        }
        passed
    }

    fn pass_line(&mut self, out: &mut Vec<u8>) {
        let line = &self.line[..];
        if !self.is_cut && line.len() > self.left {
            self.is_cut = true;
            if std::mem::take(&mut self.within_line) {
                out.push(b'\n');
            }
            let bound = PASSED_BYTES_MAX >> 10;
            let said = "the program wrote more than";
            out.extend(format!("kinglet: {said} {bound} KB in this invocation; the rest is left out\n").as_bytes());
        }
        if !self.is_cut {
            self.left -= line.len();
            self.within_line = !line.ends_with(b"\n");
            out.extend_from_slice(line);
        } else if is_of_end(line) {
            out.extend_from_slice(line);
        }
        self.line.clear();
    }
}

/// Returns whether a line makes metrics, or says how a task ended without any.
fn is_of_end(line: &[u8]) -> bool {
    let has = |text: &str| memchr::memmem::find(line, text.as_bytes()).is_some();
    line.starts_with(b"{") && line.ends_with(b"\n") && (has("\"_aws\":") || has("\"message\":\"task ended\""))
}

/// Returns the last lines of a text in readable form; without the first, if its start was cut off.
fn last_lines(text: &str, is_cut: bool) -> Vec<String> {
    let lines: Vec<_> = text.lines().skip(usize::from(is_cut && text.contains('\n'))).filter_map(readable).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec()
}

/// Returns the readable text of a line of Kinglet's log, which is JSON, without what the surrounding error says already.
/// Other lines stay as they are.
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

    #[test]
    fn a_flood_is_cut_at_a_line_and_what_says_how_a_task_ended_passes() {
        let (mut state, mut out) = (State::new(25), Vec::new());
        let ended = r#"{"level":"INFO","message":"task ended","outcome":"done"}"#;
        let pieces = [
            "one line\n",
            "another",
            " line\nand a third line\n",
            "{\"_aws\":",
            "{}}\n{\"no\":1}\n",
            ended,
            "\nlast\n",
        ];
        for piece in pieces {
            out.extend(state.take(piece.as_bytes()));
        }
        let said = "kinglet: the program wrote more than 1024 KB in this invocation; the rest is left out\n";
        let want = format!("one line\nanother line\n{said}{{\"_aws\":{{}}}}\n{ended}\n");
        assert_eq!(String::from_utf8(out).unwrap(), want);
        let tail: Vec<u8> = state.tail.into_iter().collect();
        assert!(tail.ends_with(b"\"}\nlast\n"));
    }

    #[test]
    fn lines_pass_whole_and_are_ended() {
        let mut state = State::new(1 << 20);
        assert_eq!(state.take(b"one\nand a ha"), b"one\n");
        assert_eq!(state.take(b"lf\nno end"), b"and a half\n");
        assert_eq!((state.end_line(), state.end_line()), (b"no end\n".to_vec(), vec![]));
        // A line that is too long passes in pieces.
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        assert_eq!((state.take(&long), state.end_line()), (long, b"\n".to_vec()));
    }

    #[test]
    fn the_end_is_kept() {
        let mut state = State::new(0);
        for n in 0..10_000 {
            state.take(format!("line {n}\n").as_bytes());
        }
        state.take(&[b'x'; 3 * TAIL_BYTES]);
        assert_eq!(state.tail.len(), TAIL_BYTES);
        state.take(b"\nthe end");
        let tail: Vec<u8> = state.tail.into_iter().collect();
        assert_eq!(last_lines(&String::from_utf8_lossy(&tail), true), ["the end"]);
    }

    #[tokio::test]
    async fn who_writes_faster_than_is_read_does_not_hold_the_others_up() {
        let (pipe, mut input) = io::pipe().unwrap();
        let output = Output::start(pipe).unwrap();
        // What it writes is of no use to whoever reads the test's own output.
        (output.copied.state().left, output.copied.state().is_cut) = (0, true);
        let writes = std::thread::spawn(move || while input.write_all(&[b'\n'; 64 << 10]).is_ok() {});
        // The runtime has one thread, on which both take turns.
        for _ in 0..20 {
            tokio::task::yield_now().await;
            assert!(!output.pump());
        }
        drop(output);
        // The copier ends with it, and closes its end of the pipe.
        while !writes.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn lines_of_the_log_are_made_readable() {
        let said = r#"{"timestamp":"t","level":"ERROR","message":"a panic","error":"boom","place":"src/main.rs:1:2"}"#;
        let text = format!("{said}\n{{\"level\":\"INFO\",\"message\":\"task started\"}}\n\n{{\"own\": 1}}\nplain \n");
        assert_eq!(last_lines(&text, false), ["ERROR a panic: boom: src/main.rs:1:2", "{\"own\": 1}", "plain"]);
    }
}
