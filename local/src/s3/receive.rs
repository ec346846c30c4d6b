//! Receiving the body of an upload.
//!
//! Small bodies stay in memory. Others go to a file in batches, each written and summed on a blocking thread while the next
//! is received, so that an upload takes a few megabytes of memory whatever its size.

use std::fs::File;
use std::io::{self, Write as _};
use std::mem;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use s3s::dto::{Checksum, StreamingBlob};
use s3s::{S3Result, s3_error};
use tokio::task::JoinHandle;

use super::checksums::{Claims, Digest};
use super::content::{Payload, Piece};
use super::errors::{blocking, io_error};
use super::spool::{Spool, SpoolFile};

/// The size of a batch. One batch is written while another is received.
const BATCH_BYTES: usize = 1 << 20;
/// S3's limit for one PUT and for one part.
/// The most parts of an upload. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
const UPLOAD_BYTES_MAX: u64 = 5 << 30;

/// Where an upload is kept while it is received.
pub(super) trait Place: Send + 'static {
    /// Returns the most bytes that [`Self::hold`] takes.
    fn hold_bytes_max(&self) -> usize;
    /// Returns the bytes as a piece if they stay in memory.
    fn hold(&self, bytes: &Bytes) -> Option<Piece>;
    /// Creates a file to write to.
    fn create(&self) -> io::Result<(SpoolFile, File)>;
    /// Returns the path for errors: the object's own file, if it will have one.
    fn path(&self) -> &Path;
}

/// An upload into the store's own directory.
impl Place for Arc<Spool> {
    fn hold_bytes_max(&self) -> usize {
        self.memory_bytes_max()
    }

    fn hold(&self, bytes: &Bytes) -> Option<Piece> {
        Spool::hold(self, bytes).map(|held| Piece::Memory(Arc::new(held)))
    }

    fn create(&self) -> io::Result<(SpoolFile, File)> {
        Spool::create(self)
    }

    fn path(&self) -> &Path {
        self.dir()
    }
}

/// What the client announced about a body.
pub(super) struct Announced {
    pub(super) bytes: Option<u64>,
    pub(super) claims: Claims,
}

/// Receives `body` and verifies the claims about it. On an error the rest of the body is read and thrown away: a client that
/// is still sending would otherwise see its connection break instead of the error.
pub(super) async fn receive<P: Place>(
    place: P,
    body: Option<StreamingBlob>,
    announced: Announced,
) -> S3Result<(Payload, Checksum)> {
    let Some(mut body) = body else {
        return take(place, &mut StreamingBlob::from(s3s::Body::empty()), announced).await;
    };
    let taken = take(place, &mut body, announced).await;
    if taken.is_err() {
        discard(body).await;
    }
    taken
}

/// Reads `body` to its end and throws it away.
pub(super) async fn discard(mut body: StreamingBlob) {
    while let Some(Ok(_)) = body.next().await {}
}

async fn take<P: Place>(place: P, body: &mut StreamingBlob, announced: Announced) -> S3Result<(Payload, Checksum)> {
    let Announced { bytes: announced, claims } = announced;
    if announced.is_some_and(|bytes| bytes > UPLOAD_BYTES_MAX) {
        return Err(too_large());
    }
    let hold_bytes_max = place.hold_bytes_max();
    let mut turn = Turn::Idle(Box::new(Writer { place, digest: claims.digest(), file: None }));
    let (mut received, mut batch, mut batch_bytes) = (0, Vec::new(), 0);
    while let Some(frame) = body.next().await {
        let frame =
            frame.map_err(|err| s3_error!(IncompleteBody, "receiving the body after {received} bytes: {err}"))?;
        received += frame.len() as u64;
        if received > UPLOAD_BYTES_MAX {
            return Err(too_large());
        }
        batch_bytes += frame.len();
        batch.push(frame);
        if batch_bytes >= BATCH_BYTES.max(hold_bytes_max) {
            turn = turn.writer().await?.start(mem::take(&mut batch));
            batch_bytes = 0;
        }
    }
    if let Some(announced) = announced.filter(|&bytes| bytes != received) {
        return Err(s3_error!(IncompleteBody, "received {received} of {announced} bytes"));
    }
    let mut writer = turn.writer().await?;
    if writer.file.is_none() && batch_bytes <= hold_bytes_max {
        // Copied, because a frame is a slice of a connection's far larger read buffer.
        let bytes = Bytes::from(batch.concat());
        if let Some(piece) = writer.place.hold(&bytes) {
            writer.digest.update(&bytes);
            let digested = writer.digest.finish(&claims)?;
            return Ok((Payload { pieces: vec![piece], etag: digested.etag }, digested.checksum));
        }
    }
    blocking(move || {
        writer.append(&batch)?;
        let digested = writer.digest.finish(&claims)?;
        let pieces = writer.file.map(|(spooled, _)| Piece::File(Arc::new(spooled))).into_iter().collect();
        Ok((Payload { pieces, etag: digested.etag }, digested.checksum))
    })
    .await
}

fn too_large() -> s3s::S3Error {
    s3_error!(EntityTooLarge, "one upload may have up to {UPLOAD_BYTES_MAX} bytes")
}

struct Writer<P> {
    place: P,
    digest: Digest,
    file: Option<(SpoolFile, File)>,
}

impl<P: Place> Writer<P> {
    fn start(mut self: Box<Self>, batch: Vec<Bytes>) -> Turn<P> {
        Turn::Writing(tokio::task::spawn_blocking(move || {
            self.append(&batch)?;
            Ok(self)
        }))
    }

    fn append(&mut self, batch: &[Bytes]) -> S3Result<()> {
        self.write(batch).map_err(|err| io_error("writing", self.place.path(), &err))
    }

    fn write(&mut self, batch: &[Bytes]) -> io::Result<()> {
        let (spooled, file) = match &mut self.file {
            Some(file) => file,
            none => none.insert(self.place.create()?),
        };
        for bytes in batch {
            self.digest.update(bytes);
            file.write_all(bytes)?;
            spooled.grow(bytes.len() as u64);
        }
        Ok(())
    }
}

/// Who has the writer: this task, or the thread that writes a batch.
enum Turn<P> {
    Idle(Box<Writer<P>>),
    Writing(JoinHandle<S3Result<Box<Writer<P>>>>),
}

impl<P: Place> Turn<P> {
    async fn writer(self) -> S3Result<Box<Writer<P>>> {
        match self {
            Turn::Idle(writer) => Ok(writer),
            Turn::Writing(task) => {
                task.await.map_err(|err| s3_error!(InternalError, "a task that writes an upload failed: {err}"))?
            }
        }
    }
}
