//! How bytes become records and records become bytes. One file a format, listed here.
//!
//! An input format answers on plain slices: where a stretch of whole records may be cut, and what the records of such a
//! stretch are. A record belongs to the split in which its first byte lies.

mod batches;
mod fixed;
mod items;
mod lines;
mod row;
mod words;

pub use batches::{Batch, Batches};
pub use fixed::Fixed;
pub use items::Items;
pub use lines::{ByteLines, HeadedLines, Lines};
pub use row::Row;
pub use words::Words;

use crate::error::{UserError, UserResult};

/// A stretch of whole records, and where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'a> {
    /// The records.
    pub bytes: &'a [u8],
    /// Where in the object the first of them starts.
    pub offset: u64,
    /// The object's first record, its separator included, where the format asks for it ([`Format::HEAD`]); else empty.
    pub head: &'a [u8],
}

/// An input format: records that end at a separator, have a fixed length, or carry their length.
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

    /// Records of so many bytes, without separators: input is cut only at multiples of it, and neither `first_cut` nor
    /// `last_cut` is asked.
    const RECORD_BYTES: Option<usize> = None;

    /// Whether the first record of each object says how the others are to be read. Then every stretch comes with it.
    const HEAD: bool = false;

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

    /// The same for a format that must know where its stretch lies.
    ///
    /// # Errors
    /// As [`Format::for_each`].
    #[inline]
    fn for_each_in<'a>(
        stretch: Stretch<'a>,
        each: impl FnMut(Self::Record<'a>) -> UserResult,
    ) -> Result<u64, (usize, UserError)> {
        Self::for_each(stretch.bytes, each)
    }
}
