//! Cuts a range of a file into its blocks.

use super::corrupt;
use super::file::{File, MARKER_BYTES};
use crate::file_blocks::{BlocksOf, FileBlock};
use bytes::Bytes;
use kinglet_core::engine::cut::Wants;
use kinglet_core::{ByteRange, Code, Error, Framing, Result};

/// How many bytes a long has at most.
const LONG_BYTES_MAX: usize = 10;

/// Cuts a range of a file into the blocks whose first byte lies in it.
#[derive(Debug)]
pub struct BlockCutter {
    file: File,
    of: BlocksOf,
    /// Where what is kept begins.
    at: u64,
    kept: Vec<u8>,
    /// How many bytes must be kept before they are looked at.
    enough: usize,
    finding: bool,
    /// Where the blocks of the range begin.
    from: Option<u64>,
    /// Up to where they were cut.
    to: u64,
    done: bool,
}

impl BlockCutter {
    /// Begins to cut a range of a file. Feed it the file's bytes from [`Self::reads_from`] on.
    pub fn new(file: &File, of: BlocksOf) -> Self {
        let head = file.head_bytes();
        let from = of.range.from;
        // A block that starts in the range ends the marker before it there.
        let finding = !of.starts && from > head;
        let at = if finding { from - MARKER_BYTES as u64 } else { from.max(head) };
        let mut cutter = BlockCutter {
            file: file.clone(),
            of,
            at,
            kept: Vec::new(),
            enough: 0,
            finding,
            from: None,
            to: 0,
            done: false,
        };
        if from == 0 {
            // The head is the first range's, whether or not a block starts there.
            (cutter.from, cutter.to) = (Some(0), head);
        }
        if !finding {
            cutter.begin(at);
        }
        cutter
    }

    /// Returns the offset in the file of the next byte to feed.
    pub fn reads_from(&self) -> u64 {
        self.at + self.kept.len() as u64
    }

    /// Returns the bytes of the file that the blocks so far fill, the head included; `None` if none starts in the range.
    pub fn taken(&self) -> Option<ByteRange> {
        self.from.map(|from| ByteRange { from, to: self.to })
    }

    /// Takes the next bytes and gives the blocks that are whole to `out`, in order.
    ///
    /// # Errors
    /// `avro-corrupt` when the file is not what Avro writes, and `avro-block` for a block that is too large.
    pub fn feed(&mut self, bytes: Bytes, out: &mut impl FnMut(FileBlock)) -> Result<Wants> {
        if self.done {
            return Ok(Wants::Nothing);
        }
        let mut here = if self.kept.is_empty() {
            bytes
        } else {
            self.kept.extend_from_slice(&bytes);
            if self.kept.len() < self.enough && self.reads_from() < self.of.size {
                return Ok(Wants::More);
            }
            std::mem::take(&mut self.kept).into()
        };
        self.enough = 0;
        if self.finding {
            self.find(&mut here);
        }
        while !self.done && !self.finding {
            match self.block(&mut here)? {
                Some(block) => out(block),
                None => break,
            }
        }
        if !self.done {
            self.done = self.at + here.len() as u64 >= self.of.size;
            self.kept = here.into();
        }
        Ok(if self.done { Wants::Nothing } else { Wants::More })
    }

    /// Looks for the first marker.
    fn find(&mut self, here: &mut Bytes) {
        match memchr::memmem::find(here, &self.file.0.marker) {
            Some(marker) => {
                let start = marker + MARKER_BYTES;
                let _ = here.split_to(start);
                self.finding = false;
                self.begin(self.at + start as u64);
            }
            None => {
                // It may have begun.
                let looked_at = here.len().saturating_sub(MARKER_BYTES - 1);
                let _ = here.split_to(looked_at);
                self.at += looked_at as u64;
                self.done = self.at + MARKER_BYTES as u64 >= self.of.range.to;
            }
        }
    }

    /// A block starts here, or the file ends.
    fn begin(&mut self, at: u64) {
        self.at = at;
        self.done = at >= self.of.range.to || at >= self.of.size;
        if !self.done {
            self.from.get_or_insert(at);
            self.to = at;
        }
    }

    /// Cuts a block off.
    fn block(&mut self, here: &mut Bytes) -> Result<Option<FileBlock>> {
        let ends = self.at + here.len() as u64 >= self.of.size;
        let more = |cutter: &mut Self, enough: usize| {
            cutter.enough = enough;
            match ends {
                true => Err(cutter.wrong("the file is cut short within it")),
                false => Ok(None),
            }
        };
        let mut head = 0;
        let mut numbers = [0; 2];
        for number in &mut numbers {
            match long(&here[head..]) {
                Some((value, bytes)) => {
                    *number = u64::try_from(value).map_err(|_| self.wrong(format!("it has the length {value}")))?;
                    head += bytes;
                }
                None if here.len() - head < LONG_BYTES_MAX => return more(self, 2 * LONG_BYTES_MAX),
                None => return Err(self.wrong("it begins with no number")),
            }
        }
        let [rows, stored] = numbers;
        let left = self.of.size - self.at - head as u64;
        if stored.saturating_add(MARKER_BYTES as u64) > left {
            return Err(self.wrong(format!("it should have {stored} bytes, which is more than the file has")));
        }
        if stored > self.of.block_bytes_max {
            let message = format!("it has {stored} bytes, and at most {} are held", self.of.block_bytes_max);
            return Err(too_large(&self.file, self.at, message));
        }
        let bytes = head as u64 + stored + MARKER_BYTES as u64;
        if rows > bytes << Framing::ROW_BITS {
            return Err(self.wrong(format!("it should have {rows} rows in {stored} bytes")));
        }
        let whole = bytes as usize;
        if here.len() < whole {
            return more(self, whole);
        }
        let block = here.split_to(whole);
        if block[whole - MARKER_BYTES..] != self.file.0.marker {
            return Err(self.wrong("it does not end with the file's marker"));
        }
        let lies = ByteRange { from: self.at, to: self.at + bytes };
        self.begin(lies.to);
        self.to = lies.to;
        Ok(Some(FileBlock { lies, rows, bytes: block.slice(head..whole - MARKER_BYTES) }))
    }

    fn wrong(&self, what: impl std::fmt::Display) -> Error {
        corrupt(&self.file.0.shown, format!("the block at byte {}: {what}", self.at))
    }
}

/// Makes the error of a block that takes more memory than there is.
pub(super) fn too_large(file: &File, at: u64, what: impl std::fmt::Display) -> Error {
    let message = format!("reading {} as Avro: the block at byte {at}: {what}", file.0.shown);
    Error::new(Code::AvroBlock, message)
        .with_hint("give the functions more memory, or write the file in smaller blocks")
}

/// Reads a long: its value, and how many bytes it has.
fn long(bytes: &[u8]) -> Option<(i64, usize)> {
    let mut value = 0u64;
    for (n, byte) in bytes.iter().take(LONG_BYTES_MAX).enumerate() {
        // Of the tenth byte there is one bit.
        if n == LONG_BYTES_MAX - 1 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some(((value >> 1) as i64 ^ -((value & 1) as i64), n + 1));
        }
    }
    None
}
