//! Reading an object whose rows lie in blocks: its head, and then its bytes in order, from which blocks are cut for the engine's
//! threads to decode.
//!
//! ```text
//! GETs, some ahead ──bytes──▶ this task: BlockCutter ──one chunk each──▶ the engine's threads
//! ```

use super::row_groups::Sent;
use super::{Gets, Read};
use bytes::Bytes;
use kinglet_aws::beside::Outbox;
use kinglet_core::budget::{GET_BYTES, UNPACK_PERCENT, memory_bytes};
use kinglet_core::engine::cut::{Chunk, Wants};
use kinglet_core::{ByteRange, Code, Error, Framing, Result, Selection};
use kinglet_formats::blocks::{BlockCutter, BlocksOf, File, FileBlock, HeadReader, Headed};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;

/// How many bytes of an object's head are asked for first (16 KiB), where no block is read with it.
const HEAD_BYTES: u64 = 16 << 10;

/// How many bytes are fetched at once behind the range's end, for the block in which it ends (256 KiB).
const BEHIND_BYTES: u64 = 256 << 10;

impl Read<'_> {
    /// Sends the blocks of a range to the engine.
    pub(crate) async fn blocks(
        &self,
        range_idx: usize,
        selection: &Selection,
        out: &Outbox<Result<Chunk>>,
        read_before: u64,
    ) -> Result<Sent> {
        let range = &self.split.ranges[range_idx];
        let from = self.from(range_idx, range);
        // What a piece before has handed back begins with a block.
        let starts = self.starts_at_record(range_idx, range);
        if !starts {
            // A marker was found, which a row may hold, too.
            self.begins.guessed.store(true, Ordering::Relaxed);
        }
        let mut gets = if from == 0 { self.gets_of(range_idx, 0) } else { Gets::default() };
        let Headed { file, rest } = match from {
            0 => self.head_in(range_idx, &mut gets).await?,
            _ => Headed { file: self.avro_file(range_idx).await?, rest: Bytes::new() },
        };
        let plan = file.plan(selection)?;
        let room_bytes = memory_bytes(self.memory_mb, UNPACK_PERCENT)
            / (self.decoders.threads as u64 + super::FRAMED_WAITING as u64 + 1);
        let of =
            BlocksOf { range: ByteRange { from, to: range.to }, size: range.size, starts, block_bytes_max: room_bytes };
        let mut cutter = BlockCutter::new(&file, of);
        if from > 0 {
            gets = self.gets_of(range_idx, cutter.reads_from());
        }
        let mut sent = Sent { chunks: 0, bytes: 0, stopped: None, taken: None };
        let mut blocks: Vec<FileBlock> = Vec::new();
        let mut bytes = Some(rest);
        let mut wants = cutter.feed(Bytes::new(), &mut |block| blocks.push(block))?;
        while wants == Wants::More {
            let here = match bytes.take().filter(|rest| !rest.is_empty()) {
                Some(rest) => rest,
                None => self.next_bytes(range_idx, &mut gets, cutter.reads_from()).await?.unwrap_or_default(),
            };
            wants = cutter.feed(here, &mut |block| blocks.push(block))?;
            for block in blocks.drain(..) {
                // Whole objects are handed back whole; only a split of a single range is divided.
                let may_stop = sent.chunks > 0 && self.split.ranges.len() == 1;
                if may_stop && (self.must_stop_at(read_before + block.lies.from - from) || !self.has_room(out).await?) {
                    sent.bytes = block.lies.from - from;
                    sent.stopped = Some(block.lies.from);
                    sent.taken = cutter.taken().map(|taken| ByteRange { to: block.lies.from, ..taken });
                    return Ok(sent);
                }
                let offset = Framing::place_in_block(block.lies.from, 0);
                let rows = Some(plan.block(block, room_bytes));
                let chunk =
                    Chunk { bytes: Bytes::new(), range_idx: range_idx as u32, offset, head: Bytes::new(), rows };
                out.send(Ok(chunk)).await.map_err(|_| Error::new(Code::Engine, "the engine stopped"))?;
                sent.chunks += 1;
            }
        }
        sent.bytes = range.to - from;
        sent.taken = cutter.taken();
        Ok(sent)
    }

    /// Plans the GETs of a range from an offset on; what lies behind the range is asked for as it is wanted.
    fn gets_of(&self, range_idx: usize, from: u64) -> Gets {
        let to = self.split.ranges[range_idx].to;
        let starts = std::iter::successors(Some(from), |at| Some(at + GET_BYTES)).take_while(|at| *at < to);
        Gets { plan: starts.map(|at| (range_idx, at, (at + GET_BYTES).min(to))).collect(), ahead: VecDeque::new() }
    }

    /// Returns the next bytes of a range's object, of which those up to `at` were taken.
    async fn next_bytes(&self, range_idx: usize, gets: &mut Gets, at: u64) -> Result<Option<Bytes>> {
        loop {
            self.fetch_ahead(gets);
            if gets.ahead.is_empty() {
                let size = self.split.ranges[range_idx].size;
                if at >= size {
                    return Ok(None);
                }
                gets.ahead.push_back(self.fetch(range_idx, at, (at + BEHIND_BYTES).min(size)));
            }
            if let Some(fetch) = gets.ahead.front_mut() {
                match fetch.next().await {
                    Some(bytes) => return bytes.map(Some),
                    None => gets.ahead.pop_front(),
                };
            }
        }
    }

    /// Reads the head of an object with the bytes behind it, as its first range does.
    async fn head_in(&self, range_idx: usize, gets: &mut Gets) -> Result<Headed<File>> {
        let range = &self.split.ranges[range_idx];
        let mut reader = HeadReader::new(self.shown(range));
        let mut read = 0;
        loop {
            let bytes = self.next_bytes(range_idx, gets, read).await?.unwrap_or_default();
            read += bytes.len() as u64;
            if let Some(head) = reader.feed(&bytes, read >= range.size)? {
                self.decoders.heads.keep(self.bucket(range), range, &head.file);
                return Ok(head);
            }
        }
    }

    /// Returns what the head of a range's object says.
    async fn avro_file(&self, range_idx: usize) -> Result<File> {
        let range = &self.split.ranges[range_idx];
        let bucket = self.bucket(range);
        if let Some(file) = self.decoders.heads.get(bucket, range) {
            return Ok(file);
        }
        let mut reader = HeadReader::new(self.shown(range));
        let (mut from, mut to) = (0, HEAD_BYTES.min(range.size));
        loop {
            let bytes = self.get(range_idx, ByteRange { from, to }).await?;
            if let Some(Headed { file, .. }) = reader.feed(&bytes, to >= range.size)? {
                self.decoders.heads.keep(bucket, range, &file);
                return Ok(file);
            }
            (from, to) = (to, (2 * to).min(range.size));
        }
    }
}
