//! Unpacks a split of a compressed object and cuts what comes out into chunks of whole records.
//!
//! A split has the blocks that start in its bytes, `from..to` of the object as it is stored. Its records are those behind whose
//! first block's first byte a record starts, up to and with the one that starts with the next split's:
//!
//! ```text
//!               from                                to
//! object   ─────┼──┬───────────────┬────────────────┼──┬──────────────┬──
//! blocks       … ┤ │ block         │ block             │ block        │ …
//!                  └───────this split's ───────────────┘  └ the next's
//!                  taken.from                          taken.to
//! unpacked   record a │ record b │ record c │ record d   │ record e
//!            ─────────┤                                  ├─────────────
//!            skipped                                     first cut behind the next split's first byte
//! ```
//!
//! So every record is one split's, whatever crosses what. In plain text a record is the split's in which its first byte lies,
//! and the byte before the split says whether one starts with it. Here that byte lies in a block of its own, which would be
//! unpacked for nothing else; therefore a record is the split's in which the byte *before* its first byte lies.
//!
//! The split names where its first block started and where the first block behind it starts. The manifest's check demands
//! that these meet from split to split and reach the object's end, so that a block which two splits saw, or none, fails the job.
//!
//! A piece that hands the rest back names the block in which its next record starts, or the last before it, and how many
//! unpacked bytes lie between; see [`UnpackFrom`].

use crate::codecs::input::{Input, Source};
use crate::codecs::{Blocks, open};
use bytes::Buf;
use kinglet_core::engine::cut::{Chunk, Cuts, Cutter, Wants};
use kinglet_core::limits::EXPANDED_BYTES_FREE;
use kinglet_core::wire::plan::ObjectRange;
use kinglet_core::wire::record::{Position, UnpackFrom};
use kinglet_core::{ByteRange, Code, Codec, Error, Result};
use std::collections::VecDeque;

/// What unpacking may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The longest window or dictionary, in bytes.
    pub window_bytes: u64,
    /// The longest record that does not fit into a chunk, in bytes.
    pub record_bytes: u64,
    /// How many times as long as it is an object may become.
    pub expansion: u32,
}

/// What is unpacked: a range of an object, or the rest of it.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The range.
    pub range: &'a ObjectRange,
    /// Its position in the split's list of ranges.
    pub range_idx: u32,
    /// Where the last piece stopped, if it stopped in this range.
    pub start: Option<Position>,
    /// The codec.
    pub codec: Codec,
    /// What errors call the object.
    pub shown: String,
}

impl Part<'_> {
    /// Returns the offset in the object from which its bytes are read.
    pub fn reads_from(&self) -> u64 {
        self.unpack().map_or(self.range.from, |unpack| unpack.from)
    }

    fn unpack(&self) -> Option<UnpackFrom> {
        self.start.and_then(|start| start.unpack)
    }

    /// Returns up to where the object's bytes are accounted for by the pieces before.
    pub fn accounted(&self) -> u64 {
        self.start.map_or(self.range.from, |start| start.offset)
    }
}

/// A block, and how many bytes were unpacked before it.
#[derive(Clone, Copy, Debug)]
struct Start {
    from: u64,
    base: u64,
}

/// Unpacks a part of an object.
pub struct Unpacker {
    blocks: Box<dyn Blocks>,
    cutter: Cutter,
    bounds: Bounds,
    shown: String,
    codec: Codec,
    range_idx: u32,
    to: u64,
    size: u64,
    accounted: u64,
    read_from: u64,
    /// Whether the first block must be looked for.
    finds: bool,
    in_block: bool,
    /// The blocks in which the next record may start, in order.
    starts: VecDeque<Start>,
    /// How many bytes were unpacked, and with which it began.
    unpacked: u64,
    base: u64,
    /// How many of the next ones an earlier piece has mapped.
    skip: u64,
    taken_from: Option<u64>,
    taken_to: Option<u64>,
}

/// What there is to do after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// More steps.
    More,
    /// Nothing: all records of the part were handed on.
    Done,
}

impl Unpacker {
    /// Begins to unpack a part. `source` has the bytes of its object from [`Part::reads_from`] on.
    ///
    /// # Errors
    /// Returns `codec-missing` when this program is built without the codec.
    pub fn new(part: &Part<'_>, cuts: Cuts, bounds: Bounds, source: Box<dyn Source>) -> Result<Self> {
        let (range, unpack) = (part.range, part.unpack());
        let UnpackFrom { from, base, skip, .. } =
            unpack.unwrap_or(UnpackFrom { codec: part.codec, from: range.from, base: 0, skip: 0 });
        let finds = unpack.is_none() && range.from > 0;
        let is_cut = range.from > 0 || range.to < range.size;
        let input = Input::new(source, part.codec, part.shown.clone(), from);
        Ok(Unpacker {
            blocks: open(part.codec, input, is_cut, bounds.window_bytes)?,
            cutter: Cutter::unbounded(cuts, part.range_idx, base + skip, !finds),
            bounds,
            shown: part.shown.clone(),
            codec: part.codec,
            range_idx: part.range_idx,
            to: range.to,
            size: range.size,
            accounted: part.accounted(),
            read_from: from,
            finds,
            in_block: false,
            starts: VecDeque::new(),
            unpacked: base,
            base,
            skip,
            taken_from: None,
            taken_to: None,
        })
    }

    /// Unpacks some more, and gives the chunks that become whole to `out`, in order.
    ///
    /// # Errors
    /// Passes on the errors of the source. Returns `compressed-corrupt` when the object is not what its codec writes,
    /// `compressed-mixed` when it cannot be read in splits, and `expansion`, `unpack-window` and `unpacked-record` when it takes
    /// more than it may.
    pub fn step(&mut self, out: &mut impl FnMut(Chunk)) -> Result<Step> {
        let Some(mut bytes) = (if self.in_block { self.blocks.read()? } else { None }) else {
            return self.next_block(out);
        };
        let skipped = self.skip.min(bytes.len() as u64);
        self.skip -= skipped;
        self.unpacked += bytes.len() as u64;
        self.check_expansion()?;
        bytes.advance(skipped as usize);
        let mut end = None;
        let wants = self.cutter.feed(bytes, &mut |chunk: Chunk| {
            end = Some(chunk.offset + chunk.bytes.len() as u64);
            out(chunk);
        });
        // A block is of no use once the next record starts behind it.
        while end.is_some_and(|end| self.starts.get(1).is_some_and(|next| next.base <= end)) {
            self.starts.pop_front();
        }
        if self.cutter.kept() as u64 > self.bounds.record_bytes {
            let message = format!(
                "unpacking {} ({}): a record has more than {} bytes",
                self.shown, self.codec, self.bounds.record_bytes
            );
            return Err(Error::new(Code::UnpackedRecord, message)
                .with_hint("give the functions more memory; or is the input in another format?"));
        }
        Ok(if wants == Wants::Nothing { Step::Done } else { Step::More })
    }

    fn next_block(&mut self, out: &mut impl FnMut(Chunk)) -> Result<Step> {
        let finds = std::mem::take(&mut self.finds);
        let next = if finds { self.blocks.find(self.to)? } else { self.blocks.next()? };
        self.in_block = true;
        match next {
            // No block starts in this split.
            None if finds => return Ok(Step::Done),
            None => {
                self.taken_from.get_or_insert(self.accounted);
                self.taken_to.get_or_insert(self.size);
                self.cutter.end(out);
                return Ok(Step::Done);
            }
            Some(from) if from >= self.to && self.taken_to.is_none() => {
                self.taken_from.get_or_insert(self.accounted.min(from));
                self.taken_to = Some(from);
                self.cutter.end_split();
            }
            Some(from) => {
                let first = if finds { from } else { self.accounted };
                self.taken_from.get_or_insert(first);
                self.starts.push_back(Start { from, base: self.unpacked });
            }
        }
        Ok(Step::More)
    }

    /// Ends what would never end. Whatever an object expands to, it is handed on in pieces; this bounds their sum.
    fn check_expansion(&self) -> Result<()> {
        let (unpacked, read) = (self.unpacked - self.base, self.blocks.at().saturating_sub(self.read_from));
        let most = read.saturating_mul(self.bounds.expansion.into()).max(EXPANDED_BYTES_FREE);
        if unpacked <= most {
            return Ok(());
        }
        let message = format!(
            "unpacking {} ({}) at byte {}: {read} bytes became {unpacked}, which is more than {} times as many",
            self.shown,
            self.codec,
            self.blocks.at(),
            self.bounds.expansion
        );
        Err(Error::new(Code::Expansion, message)
            .with_hint("if that is meant, allow more with --expansion-max (`Submit::with_expansion_max`)"))
    }

    /// Returns whether bytes are still being unpacked that an earlier piece has mapped.
    pub fn is_skipping(&self) -> bool {
        self.skip > 0
    }

    /// Returns where the next piece goes on if this one stops behind the last chunk of a step, which ends at `end`; `None` if this piece must go on,
    /// as no block of the split is left.
    pub fn position(&self, end: u64) -> Option<Position> {
        if self.taken_to.is_some() {
            return None;
        }
        let start = self.starts.iter().rev().find(|start| start.base <= end)?;
        let unpack = UnpackFrom { codec: self.codec, from: start.from, base: start.base, skip: end - start.base };
        Some(Position { range_idx: self.range_idx, offset: self.progress(), unpack: Some(unpack) })
    }

    /// Returns up to where the object's bytes are accounted for, this piece's included.
    pub fn progress(&self) -> u64 {
        self.blocks.at().clamp(self.accounted, self.to.max(self.accounted))
    }

    /// Returns the bytes of the object that this piece has accounted for, up to the position at which it stops or, without one,
    /// to its end; `None` if no block starts in the split.
    pub fn taken(&self, stopped: Option<Position>) -> Option<ByteRange> {
        let to = stopped.map(|position| position.offset).or(self.taken_to);
        Some(ByteRange { from: self.taken_from?, to: to? })
    }
}
