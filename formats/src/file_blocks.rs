//! What blocks are, whoever decodes them.

use bytes::Bytes;
use kinglet_core::ByteRange;

/// A block of a file, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileBlock {
    /// Where it lies in the file, its marker included.
    pub lies: ByteRange,
    /// How many rows it has.
    pub rows: u64,
    /// The rows, perhaps compressed.
    pub bytes: Bytes,
}

/// A range of a file, of which the blocks are read whose first byte lies in it.
#[derive(Clone, Copy, Debug)]
pub struct BlocksOf {
    /// The range.
    pub range: ByteRange,
    /// The file's size.
    pub size: u64,
    /// Whether a block, or the file, starts where the range does; otherwise its first one is looked for.
    pub starts: bool,
    /// How many bytes of a block may be held.
    pub block_bytes_max: u64,
}

/// The head of a file, and what was read behind it.
#[derive(Debug)]
pub struct Headed<F> {
    /// The file.
    pub file: F,
    /// The bytes behind the head.
    pub rest: Bytes,
}
