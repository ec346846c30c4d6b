//! A response body that streams a [`Reader`].
//!
//! Input lies mostly in the page cache: it was written a moment ago, or one mapper after another reads it. So a chunk is
//! first read without waiting (`RWF_NOWAIT`), on the connection's own task and with no hop to another thread. Once a read
//! would have to wait for the disk, the body changes to a blocking thread, one chunk ahead of the client.
//!
//! Buffers are reused: fresh ones of this size come from the kernel as unmapped pages, and faulting those in costs about as
//! much as the copy.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::{io, mem};

use bytes::Bytes;
use futures_util::Stream;
use s3s::dto::StreamingBlob;
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{Body, StdError};
use tokio::task::JoinHandle;

use super::content::{Reader, Wait};

/// The size of a chunk, which stays within a core's second-level cache between being read and being sent.
const CHUNK_BYTES: usize = 256 << 10;
/// The most buffers kept for reuse: 16 MiB together.
const SPARE_BUFFERS_MAX: usize = 64;

/// Returns a body of the bytes of `reader` from `start` to `end` (exclusive).
pub(super) fn body(reader: Reader, start: u64, end: u64) -> StreamingBlob {
    if start >= end {
        return StreamingBlob::from(Body::empty());
    }
    match reader.in_memory(start, end) {
        Some(bytes) => StreamingBlob::from(Body::from(bytes)),
        None => StreamingBlob::new(ReaderBody { state: State::Ready(reader), pos: start, sent: start, end }),
    }
}

struct ReaderBody {
    state: State,
    /// The position of the next byte to read.
    pos: u64,
    /// The position of the next byte that the client gets.
    sent: u64,
    end: u64,
}

enum State {
    Ready(Reader),
    Waiting(JoinHandle<(Reader, io::Result<Bytes>)>),
    Ended,
}

impl ReaderBody {
    fn chunk_bytes(&self) -> usize {
        usize::try_from(self.end - self.pos).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES)
    }

    /// Reads the next chunk, of which `filled` bytes are there already, on a thread that may wait.
    fn read_waiting(&mut self, mut reader: Reader, mut buf: Buffer, filled: usize) {
        let (pos, len) = (self.pos, self.chunk_bytes());
        self.state = State::Waiting(tokio::task::spawn_blocking(move || {
            let done = reader.fill(pos + filled as u64, &mut buf.bytes[filled..len], Wait::Allowed);
            (reader, done.map(|_| buf.freeze(len)))
        }));
    }

    fn hand_out(&mut self, chunk: Bytes) -> Poll<Option<Result<Bytes, StdError>>> {
        self.sent += chunk.len() as u64;
        Poll::Ready(Some(Ok(chunk)))
    }

    /// Breaks the body off, so that the client sees fewer bytes than were announced and notices.
    fn fail(&mut self, err: io::Error) -> Poll<Option<Result<Bytes, StdError>>> {
        tracing::warn!(%err, "a response body broke off");
        self.state = State::Ended;
        Poll::Ready(Some(Err(err.into())))
    }
}

impl Stream for ReaderBody {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match mem::replace(&mut this.state, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Ready(_) if this.pos >= this.end => return Poll::Ready(None),
                State::Ready(mut reader) => {
                    let (mut buf, len) = (Buffer::take(), this.chunk_bytes());
                    match reader.fill(this.pos, &mut buf.bytes[..len], Wait::Never) {
                        Ok(filled) if filled == len => {
                            this.pos += len as u64;
                            this.state = State::Ready(reader);
                            return this.hand_out(buf.freeze(len));
                        }
                        Ok(filled) => this.read_waiting(reader, buf, filled),
                        Err(err) => return this.fail(err),
                    }
                }
                State::Waiting(mut read) => {
                    let Poll::Ready(done) = Pin::new(&mut read).poll(cx) else {
                        this.state = State::Waiting(read);
                        return Poll::Pending;
                    };
                    match done {
                        Ok((reader, Ok(chunk))) => {
                            this.pos += chunk.len() as u64;
                            if this.pos < this.end {
                                this.read_waiting(reader, Buffer::take(), 0);
                            }
                            return this.hand_out(chunk);
                        }
                        Ok((_, Err(err))) => return this.fail(err),
                        Err(err) => return this.fail(io::Error::other(err)),
                    }
                }
            }
        }
    }
}

impl ByteStream for ReaderBody {
    fn remaining_length(&self) -> RemainingLength {
        usize::try_from(self.end - self.sent).map_or_else(|_| RemainingLength::unknown(), RemainingLength::new_exact)
    }
}

static SPARE: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// A chunk-sized buffer that returns to the spare ones when its last byte was sent.
struct Buffer {
    bytes: Box<[u8]>,
    len: usize,
}

impl Buffer {
    fn take() -> Self {
        let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self { bytes: spare.unwrap_or_else(|| vec![0; CHUNK_BYTES].into_boxed_slice()), len: 0 }
    }

    fn freeze(mut self, len: usize) -> Bytes {
        self.len = len;
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BUFFERS_MAX && !self.bytes.is_empty() {
            spare.push(mem::take(&mut self.bytes));
        }
    }
}
