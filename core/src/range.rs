//! A range of an object's bytes.

use serde::{Deserialize, Serialize};

/// The bytes `from..to` of an object or a file, half open. It is serialised as a pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct ByteRange {
    /// The offset of the first byte.
    pub from: u64,
    /// The offset after the last byte.
    pub to: u64,
}

impl ByteRange {
    /// Returns how many bytes the range has.
    pub fn bytes(self) -> u64 {
        self.to.saturating_sub(self.from)
    }
}

impl From<(u64, u64)> for ByteRange {
    fn from((from, to): (u64, u64)) -> Self {
        ByteRange { from, to }
    }
}

impl From<ByteRange> for (u64, u64) {
    fn from(range: ByteRange) -> Self {
        (range.from, range.to)
    }
}
