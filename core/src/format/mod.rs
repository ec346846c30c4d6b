//! How bytes become records and records become bytes. One file a format, listed here.
//!
//! An input format answers on plain slices: where the bytes of whole records may be cut, and what the records between two
//! cuts are. A record belongs to the split in which its first byte lies. A format is a value: what it must know, such as a
//! delimiter, it has in its fields, and a job gives it from its parameters.
//!
//! A further format is one more file here and a line below; [`crate::check_format`] has the laws that it must keep.

mod batches;
mod fixed;
mod items;
mod lines;
mod located;
mod row;
mod words;

pub use batches::{Batch, Batches};
pub use fixed::Fixed;
pub use items::Items;
pub use lines::{ByteLines, HeadedLines, Lines};
pub use located::{Located, LocatedRecord};
pub use row::Row;
pub use words::Words;

use crate::error::UserResult;

/// Whole records, and where they lie.
#[derive(Clone, Copy, Debug)]
pub struct Extent<'a> {
    /// The records.
    pub bytes: &'a [u8],
    /// Where in the object the first of them starts.
    pub offset: u64,
    /// The object's first record, its separator included, where the format asks for it ([`Format::has_head`]); else empty.
    pub head: &'a [u8],
    /// The object's name, as errors say it: `s3://bucket/key`.
    pub object: &'a str,
}

/// How one record is told from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Records end at separators, which [`Format::first_cut`] and [`Format::last_cut`] find from anywhere in an object.
    Separated,
    /// Records of so many bytes, end to end: input is cut only at multiples of it, and neither `first_cut` nor `last_cut` is
    /// asked.
    Fixed {
        /// Of one record.
        bytes: usize,
    },
    /// Each record carries its length, so that records are found only from the start of one on: then every split starts at a
    /// record and ends at one, and a chunk is one record. `first_cut` says where the first record ends.
    Prefixed,
}

/// An input format: records that end at a separator, have a fixed length, or carry their length.
///
/// What a job's parameters say of its input stands in the format's fields; [`Job::input`](crate::Job::input) fills them.
///
/// ```
/// use kinglet_core::{Extent, Format, Framing, UserResult, check_format};
///
/// /// Records that end at a byte of the job's choice.
/// struct EndedBy(u8);
///
/// impl Default for EndedBy {
///     fn default() -> Self {
///         EndedBy(b';')
///     }
/// }
///
/// impl Format for EndedBy {
///     type Record<'a> = &'a [u8];
///     const NAME: &'static str = "ended-by";
///
///     fn first_cut(&self, bytes: &[u8]) -> Option<usize> {
///         bytes.iter().position(|byte| *byte == self.0).map(|at| at + 1)
///     }
///     fn last_cut(&self, bytes: &[u8]) -> Option<usize> {
///         bytes.iter().rposition(|byte| *byte == self.0).map(|at| at + 1)
///     }
///     fn for_each<'a>(
///         &'a self,
///         extent: Extent<'a>,
///         mut each: impl FnMut(usize, &'a [u8]) -> UserResult,
///     ) -> UserResult<u64> {
///         let (mut at, mut count) = (0, 0);
///         for record in extent.bytes.split_inclusive(|byte| *byte == self.0) {
///             each(at, record.strip_suffix(&[self.0]).unwrap_or(record))?;
///             at += record.len();
///             count += 1;
///         }
///         Ok(count)
///     }
/// }
///
/// let format = EndedBy(b'|');
/// assert_eq!(format.framing(), Framing::Separated);
/// check_format(format, b"one|two||three", &[2, 7], 3, |record| record.to_vec());
/// ```
pub trait Format: Default + Send + Sync + 'static {
    /// What `map` is given.
    type Record<'a>;

    /// The name in specs and reports.
    const NAME: &'static str;

    /// The name, with the types that it depends on: what driver and functions must agree on. What stands in its fields is not
    /// in it, as that comes with the job's parameters.
    fn describe() -> String {
        Self::NAME.to_owned()
    }

    /// How one record is told from the next.
    fn framing(&self) -> Framing {
        Framing::Separated
    }

    /// Whether the first record of each object says how the others are to be read. Then every extent comes with it.
    fn has_head(&self) -> bool {
        false
    }

    /// The first place in `bytes` where it may be cut: just behind the first separator, which is a line feed by default.
    fn first_cut(&self, bytes: &[u8]) -> Option<usize> {
        memchr::memchr(b'\n', bytes).map(|at| at + 1)
    }

    /// The last place in `bytes` where it may be cut: just behind the last separator.
    fn last_cut(&self, bytes: &[u8]) -> Option<usize> {
        memchr::memrchr(b'\n', bytes).map(|at| at + 1)
    }

    /// Calls `each` for every record of an extent, which starts where a record may start and ends at a cut or at the object's
    /// end, with where in the extent the record starts. Returns how many records there were.
    ///
    /// # Errors
    /// The error of `each`, passed on as it is; or of a record that is not valid in this format, with
    /// [`UserError::at`](crate::UserError::at) where that starts.
    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        each: impl FnMut(usize, Self::Record<'a>) -> UserResult,
    ) -> UserResult<u64>;

    /// What an error calls the record that starts at `at` in an extent.
    fn place(&self, extent: Extent<'_>, at: usize) -> String {
        format!("{} at byte {}", extent.object, extent.offset + at as u64)
    }
}

/// The whole of a test's object.
#[cfg(test)]
pub(crate) fn extent(bytes: &[u8]) -> Extent<'_> {
    Extent { bytes, offset: 0, head: &[], object: "it" }
}
