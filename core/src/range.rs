//! A range of an object's bytes.

use serde::{Deserialize, Serialize};

/// The bytes `from..to` of an object or a file, half open. It is serialised as a pair. One that ends before it starts is not
/// read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "(u64, u64)")]
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

/// A range as it is read, which may be none.
#[derive(Deserialize)]
struct Stored(u64, u64);

impl TryFrom<Stored> for ByteRange {
    type Error = &'static str;

    fn try_from(Stored(from, to): Stored) -> Result<Self, &'static str> {
        if from <= to { Ok(ByteRange { from, to }) } else { Err("a range that ends before it starts") }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_ends_before_it_starts_is_not_read() {
        let read = |text: &str| serde_json::from_str::<ByteRange>(text);
        assert_eq!(read("[3,9]").unwrap(), ByteRange { from: 3, to: 9 });
        assert_eq!(serde_json::to_string(&ByteRange { from: 3, to: 9 }).unwrap(), "[3,9]");
        assert_eq!(read("[3,3]").unwrap().bytes(), 0);
        assert!(read("[9,3]").unwrap_err().to_string().contains("ends before it starts"));
        assert!(crate::codec::decode::<ByteRange>(&[9, 3]).is_err());
        assert_eq!(crate::codec::decode::<ByteRange>(&[3, 9]).unwrap(), ByteRange { from: 3, to: 9 });
    }
}
