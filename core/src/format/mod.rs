//! How bytes become records and records become bytes. One file a format, listed here.
//!
//! An input format answers on plain slices: where a stretch of whole records may be cut, and what the records of such a
//! stretch are. A record belongs to the split in which its first byte lies.

mod items;
mod lines;
mod row;
mod words;

pub use items::Items;
pub use lines::{ByteLines, Lines};
pub use row::Row;
pub use words::Words;

use crate::error::{UserError, UserResult};

/// An input format whose records end at a separator byte, or carry their length.
pub trait Format: 'static {
    /// What `map` is given.
    type Record<'a>;

    /// The name in specs and reports.
    const NAME: &'static str;

    /// Whether each record carries its length, so that records are found only from the start of one on: then every split starts
    /// at a record and ends at one, and a chunk is one record.
    const FRAMED: bool = false;

    /// The name, with the types that it depends on: what driver and functions must agree on.
    fn describe() -> String {
        Self::NAME.to_owned()
    }

    /// The first place in `bytes` where it may be cut: just behind the first separator.
    fn first_cut(bytes: &[u8]) -> Option<usize> {
        memchr::memchr(b'\n', bytes).map(|at| at + 1)
    }

    /// The last place in `bytes` where it may be cut: just behind the last separator.
    fn last_cut(bytes: &[u8]) -> Option<usize> {
        memchr::memrchr(b'\n', bytes).map(|at| at + 1)
    }

    /// Calls `each` for every record of `chunk`, which starts where a record may start and ends at a cut or at the object's
    /// end. Returns how many records there were.
    ///
    /// # Errors
    /// The error of `each`, or of a record that is not valid in this format, with the offset of the record in `chunk`.
    fn for_each<'a>(
        chunk: &'a [u8],
        each: impl FnMut(Self::Record<'a>) -> UserResult,
    ) -> Result<u64, (usize, UserError)>;

    /// What an error calls the record at `at` in a chunk that lies at `offset` in the object of this name.
    fn place(_chunk: &[u8], offset: u64, at: usize, name: &str) -> String {
        format!("{name} at byte {}", offset + at as u64)
    }
}
