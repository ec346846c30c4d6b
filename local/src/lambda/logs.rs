//! The log of one environment: everything its process writes, and the `START`, `END` and `REPORT` lines around it.
//!
//! Standard output and standard error share one pipe, so their order is kept. A task copies the pipe to the file. When an
//! invocation ends, the pipe is emptied at once, past the event loop, so that what the function wrote before it answered
//! stands before `END` and is in the tail that the caller gets. The writes are small appends to the page cache, so they are
//! made on the spot and not handed to other threads.

use super::{
    limits::{LOG_FILE_BYTES_MAX, LOG_TAIL_BYTES_MAX},
    lock::lock,
};
use std::{
    fs::File,
    io::{self, ErrorKind, Write as _},
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Mutex},
};
use tokio::net::unix::pipe;

pub(super) struct Log {
    pub(super) path: Arc<Path>,
    pipe: pipe::Receiver,
    sink: Mutex<Sink>,
}

struct Sink {
    file: File,
    bytes: u64,
    /// The end of what was logged since the last `START`.
    tail: Vec<u8>,
    chunk: Box<[u8]>,
}

impl Log {
    pub(super) fn create(path: &Path, pipe: OwnedFd) -> io::Result<Self> {
        let file = File::create(path)?;
        let sink = Sink { file, bytes: 0, tail: Vec::new(), chunk: vec![0; 16 * 1024].into_boxed_slice() };
        Ok(Self { path: path.into(), pipe: pipe::Receiver::from_owned_fd(pipe)?, sink: Mutex::new(sink) })
    }

    /// Copies the pipe until every writer has closed it.
    pub(super) async fn copy(&self) -> io::Result<()> {
        loop {
            self.pipe.readable().await?;
            if lock(&self.sink).copy_from(|chunk| self.pipe.try_read(chunk))? {
                return Ok(());
            }
        }
    }

    /// Starts a new tail with this line.
    pub(super) fn start(&self, line: &str) {
        let mut sink = lock(&self.sink);
        sink.tail.clear();
        sink.append(line.as_bytes());
    }

    /// Copies what the process has written until now, then appends lines of ours.
    pub(super) fn end(&self, lines: &str) {
        let mut sink = lock(&self.sink);
        let read = sink.copy_from(|chunk| rustix::io::read(&self.pipe, chunk).map_err(io::Error::from));
        if let Err(error) = read {
            tracing::debug!(%error, "reading a worker's output");
        }
        sink.append(lines.as_bytes());
    }

    /// Returns the last 4 KB since `start`.
    pub(super) fn tail(&self) -> Vec<u8> {
        let tail = &lock(&self.sink).tail;
        tail[tail.len().saturating_sub(LOG_TAIL_BYTES_MAX)..].to_vec()
    }
}

impl Sink {
    /// Reads until there is nothing more for now (`false`) or for ever (`true`).
    fn copy_from(&mut self, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<bool> {
        let mut chunk = std::mem::take(&mut self.chunk);
        let end = loop {
            match read(&mut chunk) {
                Ok(0) => break Ok(true),
                Ok(len) => self.append(&chunk[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.chunk = chunk;
        end
    }

    fn append(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        if self.tail.len() > 4 * LOG_TAIL_BYTES_MAX {
            self.tail.drain(..self.tail.len() - LOG_TAIL_BYTES_MAX);
        }
        if self.bytes > LOG_FILE_BYTES_MAX {
            return;
        }
        self.bytes += bytes.len() as u64;
        let note: &[u8] =
            if self.bytes > LOG_FILE_BYTES_MAX { b"\n[the log is full; the rest is dropped]\n" } else { b"" };
        // A full disk costs the log, not the invocation.
        if let Err(error) = self.file.write_all(bytes).and_then(|()| self.file.write_all(note)) {
            tracing::warn!(%error, "writing a worker's log");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_written_before_the_end_stands_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        let log = Log::create(&dir.path().join("a.log"), reader.into()).unwrap();
        log.start("START\n");
        writer.write_all(&[b'x'; 10_000]).unwrap();
        writer.write_all(b"last words\n").unwrap();
        log.end("END\n");
        let text = std::fs::read_to_string(&log.path).unwrap();
        assert!(text.starts_with("START\nxxx") && text.ends_with("last words\nEND\n"), "{} bytes", text.len());
        let tail = log.tail();
        assert_eq!(tail.len(), LOG_TAIL_BYTES_MAX);
        assert!(tail.ends_with(b"last words\nEND\n"));
        log.start("START\n");
        assert_eq!(log.tail(), b"START\n");
        drop(writer);
        log.copy().await.unwrap();
    }
}
