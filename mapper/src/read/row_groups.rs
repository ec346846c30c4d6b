//! Reading an object whose rows lie in columns: its footer, and then what the threads that decode its row groups ask for.
//!
//! ```text
//! footer ──▶ row groups of the split ──one chunk each──▶ the engine's threads
//!                                                          │ ranges    ▲ bytes
//!                                                          ▼           │
//!                                                        GETs of the version that was listed
//! ```
//!
//! This task waits for nothing but footers. Every range is a GET of its own, and a thread that decodes has one or two under way
//! for each column that it reads. The first ones of the next row group are sent before a thread is free to decode it.

use super::Read;
use bytes::Bytes;
use kinglet_aws::beside::{Beside, Outbox};
use kinglet_core::budget::{UNPACK_PERCENT, memory_bytes};
use kinglet_core::engine::cut::{Chunk, Cuts};
use kinglet_core::wire::plan::ObjectRange;
use kinglet_core::{ByteRange, Code, Error, RangedObject, Result, Selection};
use kinglet_formats::blocks;
use kinglet_formats::row_groups::{File, FooterReader};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// How much memory the footers, and the heads, may take that a warm function keeps, in bytes (32 MiB).
const FOOTERS_BYTES: usize = 32 << 20;

/// The footers, or heads, of the objects that this process has read last: the splits of an object all need them.
pub(crate) struct Files<F>(Mutex<VecDeque<Kept<F>>>);

impl<F> Default for Files<F> {
    fn default() -> Self {
        Files(Mutex::default())
    }
}

struct Kept<F> {
    bucket: String,
    key: String,
    etag: String,
    file: F,
}

/// What is kept of an object.
pub(crate) trait Keep: Clone {
    /// Returns about how many bytes of memory it takes.
    fn memory_bytes(&self) -> usize;
}

impl Keep for File {
    fn memory_bytes(&self) -> usize {
        self.memory_bytes()
    }
}

impl Keep for blocks::File {
    fn memory_bytes(&self) -> usize {
        self.memory_bytes()
    }
}

impl<F: Keep> Files<F> {
    pub(crate) fn get(&self, bucket: &str, range: &ObjectRange) -> Option<F> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |kept: &&Kept<F>| kept.etag == range.etag && kept.key == range.key && kept.bucket == bucket;
        all.iter().find(is_it).map(|kept| kept.file.clone())
    }

    pub(crate) fn keep(&self, bucket: &str, range: &ObjectRange, file: &F) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ObjectRange { key, etag, .. } = range.clone();
        all.push_back(Kept { bucket: bucket.to_owned(), key, etag, file: file.clone() });
        let mut bytes: usize = all.iter().map(|kept| kept.file.memory_bytes()).sum();
        while bytes > FOOTERS_BYTES
            && let Some(oldest) = all.pop_front()
        {
            bytes -= oldest.file.memory_bytes().min(bytes);
        }
    }
}

/// What reading row groups takes of the process.
#[derive(Clone, Default)]
pub(crate) struct Decoders {
    /// How many threads decode.
    pub(crate) threads: usize,
    pub(crate) footers: Arc<Files<File>>,
    pub(crate) heads: Arc<Files<blocks::File>>,
}

/// What became of a range.
pub(crate) struct Sent {
    /// How many row groups were sent, and how many bytes of the object these and those that were passed over account for.
    pub(crate) chunks: u64,
    pub(crate) bytes: u64,
    /// The first byte of the next row group or block, if reading stopped before the range's end.
    pub(crate) stopped: Option<u64>,
    /// The bytes that the range accounts for.
    pub(crate) taken: Option<ByteRange>,
}

impl Read<'_> {
    /// Sends what lies in columns or blocks of a range to the engine.
    pub(crate) async fn decoded(
        &self,
        range_idx: usize,
        cuts: &Cuts,
        selection: &Selection,
        out: &Outbox<Result<Chunk>>,
        read_before: u64,
    ) -> Result<Sent> {
        if self.beside == Beside::InTurn {
            return Err(Error::new(Code::Engine, "rows are decoded by several threads, and a simulation has one"));
        }
        match cuts.in_blocks() {
            true => Box::pin(self.blocks(range_idx, selection, out, read_before)).await,
            false => self.row_groups(range_idx, selection, out, read_before).await,
        }
    }

    /// Sends the row groups of a range to the engine.
    async fn row_groups(
        &self,
        range_idx: usize,
        selection: &Selection,
        out: &Outbox<Result<Chunk>>,
        read_before: u64,
    ) -> Result<Sent> {
        let range = &self.split.ranges[range_idx];
        let within = ByteRange { from: self.from(range_idx, range), to: range.to };
        let file = self.file(range_idx).await?;
        let plan = file.plan(selection)?;
        let ranged = self.objects.ranged(self.bucket(range), &range.key, &range.etag, &self.shown(range));
        let object: Arc<dyn RangedObject> = Arc::new(ranged);
        let room_bytes = memory_bytes(self.memory_mb, UNPACK_PERCENT)
            / (self.decoders.threads as u64 + super::FRAMED_WAITING as u64 + 1);
        let groups = file.row_groups(within);
        let mut sent = Sent { chunks: 0, bytes: 0, stopped: None, taken: None };
        for (n, group) in groups.iter().enumerate() {
            if plan.may_have_rows(group.number) {
                let rows = plan.row_group(group.number, object.clone(), room_bytes);
                rows.ahead();
                // Whole objects are handed back whole; only a split of a single range is divided.
                let may_stop = n > 0 && self.split.ranges.len() == 1;
                if may_stop && (self.must_stop_at(read_before + sent.bytes) || !self.has_room(out).await?) {
                    sent.stopped = Some(group.from);
                    sent.taken = Some(ByteRange { to: within.from + sent.bytes, ..within });
                    return Ok(sent);
                }
                let chunk = Chunk {
                    bytes: Bytes::new(),
                    range_idx: range_idx as u32,
                    offset: group.first_row,
                    head: Bytes::new(),
                    rows: Some(rows),
                };
                out.send(Ok(chunk)).await.map_err(|_| Error::new(Code::Engine, "the engine stopped"))?;
                sent.chunks += 1;
            }
            sent.bytes = groups.get(n + 1).map_or(within.to, |next| next.from) - within.from;
        }
        sent.bytes = within.bytes();
        sent.taken = Some(within);
        Ok(sent)
    }

    /// Returns the footer of a range's object.
    async fn file(&self, range_idx: usize) -> Result<File> {
        let range = &self.split.ranges[range_idx];
        let bucket = self.bucket(range);
        if let Some(file) = self.decoders.footers.get(bucket, range) {
            return Ok(file);
        }
        let reader = FooterReader::new(self.shown(range), range.size);
        let file = reader.read(|wanted| self.get(range_idx, wanted)).await?;
        self.decoders.footers.keep(bucket, range, &file);
        Ok(file)
    }

    pub(crate) async fn get(&self, range_idx: usize, range: ByteRange) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(range.bytes() as usize);
        let mut fetch = self.fetch(range_idx, range.from, range.to);
        while let Some(block) = fetch.next().await {
            bytes.extend_from_slice(&block?);
        }
        Ok(bytes)
    }
}
