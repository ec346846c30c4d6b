//! What the decoders of Parquet and Avro share: both make Arrow's arrays of a file's columns. Here these become values, types and
//! blocks of rows, and here it is decided which columns of a file a job wants.

pub(crate) mod cells;
pub(crate) mod columns;
// Avro is not written.
#[cfg_attr(not(feature = "parquet"), allow(dead_code))]
pub(crate) mod types;

use kinglet_core::{Block, Blocks, Result};

/// About how many bytes a block has, as they are in the file once unpacked (2 MiB).
pub(crate) const BLOCK_BYTES: u64 = 2 << 20;

/// The most rows of a block.
pub(crate) const BLOCK_ROWS_MAX: u64 = 8 << 10;

/// Rows of which no column is read.
pub(crate) struct Uncolumned {
    /// How many are still to come.
    pub(crate) left: u64,
}

impl Blocks for Uncolumned {
    fn next_block(&mut self) -> Result<Option<Block>> {
        let rows = self.left.min(BLOCK_ROWS_MAX * 16);
        self.left -= rows;
        Ok((rows > 0).then(|| Block::new(Vec::new(), rows as usize, None)))
    }
}
