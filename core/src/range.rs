//! Bytes of an object, named by where they begin and end.

use serde::{Deserialize, Serialize};

/// The bytes `from..to` of an object or a file: half open. It is written as a pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct ByteRange {
    /// The first byte.
    pub from: u64,
    /// Behind the last byte.
    pub to: u64,
}

impl ByteRange {
    /// How many bytes there are.
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
