//! Objects whose rows lie in columns or in blocks, as this program reads them by ranges: what their footer or head says, and their rows
//! from the first on.

use crate::{Framing, Result, Selection, Types};
use bytes::Bytes;
use kinglet_core::engine::cut::Wants;
use kinglet_core::{ByteRange, Columns as Which, RangedObject, RowGroup};
use kinglet_formats::blocks::{self, BlockCutter, BlocksOf, FileBlock, HeadReader, Headed};
use kinglet_formats::row_groups::{self, FileGroup, FooterReader};
use std::collections::VecDeque;
use std::sync::Arc;

/// How many bytes of blocks are read first (64 KiB), and at most at once (8 MiB).
const FIRST_BYTES: u64 = 64 << 10;
const RANGE_BYTES_MAX: u64 = 8 << 20;

/// The most bytes that a block may have, or unpack to (128 MiB).
pub(crate) const BLOCK_BYTES_MAX: u64 = 128 << 20;

/// Such an object.
#[derive(Clone)]
pub(crate) struct Columns {
    pub(crate) object: Arc<dyn RangedObject>,
    pub(crate) size: u64,
    pub(crate) in_blocks: bool,
}

/// What its footer or head says.
pub(crate) enum File {
    Parquet(row_groups::File),
    Avro(blocks::File),
}

/// Rows that are decoded together.
pub(crate) struct Group {
    /// The place of the first of them.
    pub(crate) first_row: u64,
    pub(crate) rows: Arc<dyn RowGroup>,
}

/// The rows of an object that may be wanted, from the first on. Each group is read as it is asked for.
pub(crate) enum Groups {
    Parquet { of: Columns, plan: row_groups::Plan, left: std::vec::IntoIter<FileGroup>, room_bytes: u64 },
    Avro { plan: blocks::Plan, read: ReadBlocks },
}

impl File {
    pub(crate) fn types(&self, columns: &Which) -> Result<Types> {
        match self {
            File::Parquet(file) => file.types(columns),
            File::Avro(file) => file.types(columns),
        }
    }
}

impl Columns {
    /// An object that is read by this framing, which says that rows lie so.
    pub(crate) fn framed(framing: Framing, object: Arc<dyn RangedObject>, size: u64) -> Self {
        Columns { object, size, in_blocks: framing == Framing::Blocks }
    }

    pub(crate) fn file(&self) -> Result<File> {
        match self.in_blocks {
            true => self.head().map(|head| File::Avro(head.file)),
            false => self.footer().map(File::Parquet),
        }
    }

    pub(crate) fn footer(&self) -> Result<row_groups::File> {
        let mut footer = FooterReader::new(self.object.name(), self.size);
        loop {
            let bytes = self.object.fetch(footer.wants()).wait()?;
            if let Some(file) = footer.take(bytes.into())? {
                return Ok(file);
            }
        }
    }

    pub(crate) fn head(&self) -> Result<Headed<blocks::File>> {
        let mut reader = HeadReader::new(self.object.name());
        let (mut from, mut to) = (0, FIRST_BYTES.min(self.size));
        loop {
            let bytes = self.object.fetch(ByteRange { from, to }).wait()?;
            if let Some(head) = reader.feed(&bytes, to == self.size)? {
                return Ok(head);
            }
            (from, to) = (to, (2 * to).min(self.size));
        }
    }

    /// Returns the rows that may be wanted. About `room_bytes` are held of each group.
    pub(crate) fn groups(&self, selection: &Selection, room_bytes: u64) -> Result<Groups> {
        if !self.in_blocks {
            let file = self.footer()?;
            let plan = file.plan(selection)?;
            let left = file.row_groups(ByteRange { from: 0, to: self.size }).into_iter();
            return Ok(Groups::Parquet { of: self.clone(), plan, left, room_bytes });
        }
        let Headed { file, rest } = self.head()?;
        let plan = file.plan(selection)?;
        let range = ByteRange { from: 0, to: self.size };
        let mut read = ReadBlocks::new(self.clone(), &file, range, true);
        read.feed(rest)?;
        Ok(Groups::Avro { plan, read })
    }
}

impl Iterator for Groups {
    type Item = Result<Group>;

    fn next(&mut self) -> Option<Result<Group>> {
        match self {
            Groups::Parquet { of, plan, left, room_bytes } => {
                let FileGroup { number, first_row, .. } = left.find(|group| plan.may_have_rows(group.number))?;
                Some(Ok(Group { first_row, rows: plan.row_group(number, of.object.clone(), *room_bytes) }))
            }
            Groups::Avro { plan, read } => {
                let block = read.next_block().transpose()?;
                Some(block.map(|block| Group {
                    first_row: Framing::place_in_block(block.lies.from, 0),
                    rows: plan.block(block, BLOCK_BYTES_MAX),
                }))
            }
        }
    }
}

/// Reads the blocks of a range of an object, one after another.
pub(crate) struct ReadBlocks {
    of: Columns,
    cutter: BlockCutter,
    ready: VecDeque<FileBlock>,
    wants: Wants,
    next_bytes: u64,
}

impl ReadBlocks {
    /// Begins to read the blocks that start in a range. Unless one `starts` with it, the first is looked for.
    pub(crate) fn new(of: Columns, file: &blocks::File, range: ByteRange, starts: bool) -> Self {
        let cut = BlocksOf { range, size: of.size, starts, block_bytes_max: BLOCK_BYTES_MAX };
        let cutter = BlockCutter::new(file, cut);
        ReadBlocks { of, cutter, ready: VecDeque::new(), wants: Wants::More, next_bytes: FIRST_BYTES }
    }

    fn feed(&mut self, bytes: Bytes) -> Result<()> {
        let ready = &mut self.ready;
        self.wants = self.cutter.feed(bytes, &mut |block| ready.push_back(block))?;
        Ok(())
    }

    /// Returns the next block; `None` behind the last.
    pub(crate) fn next_block(&mut self) -> Result<Option<FileBlock>> {
        while self.ready.is_empty() && self.wants == Wants::More {
            let from = self.cutter.reads_from();
            let to = self.of.size.min(from + self.next_bytes);
            self.next_bytes = (2 * self.next_bytes).min(RANGE_BYTES_MAX);
            let bytes = if from < to { self.of.object.fetch(ByteRange { from, to }).wait()? } else { Bytes::new() };
            self.feed(bytes)?;
        }
        Ok(self.ready.pop_front())
    }
}
