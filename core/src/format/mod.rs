//! Formats: how bytes become records and records become bytes, one file for each.
//!
//! An input format works on plain slices. It says where bytes may be cut between two records, and what the records between
//! two cuts are. A record belongs to the split in which its first byte lies. A format is a value: what it must know, such as
//! a delimiter, stands in its fields, which a job fills from its parameters.
//!
//! Where rows lie in columns, as in Parquet, or in blocks of their own, as in Avro, there are no such slices: the object is read by ranges, and a format is given rows that
//! were decoded (`core/src/format/rows/columns/`).
//!
//! To add a format, add a file here and its two lines below, `mod` and `pub use`, which hand it on to users; [`crate::check_format`] tests the laws that it must keep.

mod avro;
mod batches;
mod csv;
mod datum;
mod fixed;
mod items;
mod json;
mod lines;
mod located;
mod output;
mod parquet;
pub(crate) mod quotes;
mod row;
mod rows;
mod shape;
mod sides;
mod temporal;
mod typed;
mod whole;
mod words;

pub use crate::types::TimeUnit;
pub use avro::Avro;
pub use batches::{Batch, Batches};
pub use csv::{Csv, CsvDialect, CsvFields, CsvRow, missing_column};
pub use datum::{Datum, Named};
pub use fixed::Fixed;
pub use items::Items;
pub use json::JsonLines;
pub use lines::{ByteLines, HeadedLines, Lines};
pub use located::{Located, LocatedRecord};
pub(crate) use output::RowWriter;
pub use output::{Folders, OpenTyped, TypedWriter, no_typed_writer};
pub use parquet::Parquet;
pub use quotes::{GUESS_BYTES, Quotes};
pub use row::{Row, RowValues, SerdeRow};
pub use rows::{
    Agreed, Block, BlockColumn, BlockExtent, BlockRow, Blocks, Cells, Column, ColumnType, Columns, DataRow, Fetched,
    FirstBytes, KeyOrder, Kind, Only, PackedRow, Picked, RangedObject, RawRows, RowBlock, RowFormat, RowGroup, Rows,
    Schema, Selection, Wanted, WantedOfAny, decode_key, encode_key, first_rows, key_bytes,
};
pub use shape::Shape;
pub use sides::{OfSide, Sides};
pub use temporal::Temporal;
pub use typed::{cast_row, type_of};
pub use whole::{WholeObject, WholeObjects};
pub use words::Words;

use crate::error::{Code, Error, UserError, UserResult};
use crate::side::Side;

/// The bytes of some whole records, and where they lie.
#[derive(Clone, Copy, Debug)]
pub struct Extent<'a> {
    /// The records.
    pub bytes: &'a [u8],
    /// The offset in the object at which the first of them starts, in bytes. It is counted in what the object unpacks to if it
    /// is compressed; and unless the format [needs it](Format::needs_offsets), from where the task began to unpack.
    pub offset: u64,
    /// The object's first record with its separator, if the format asks for it ([`Format::has_head`]); otherwise empty.
    pub head: &'a [u8],
    /// The object's name in errors: `s3://bucket/key`.
    pub object: &'a str,
    /// The side of a join that the object belongs to; otherwise the left one.
    pub side: Side,
}

/// How one record is told from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Records end at separators, which [`Format::first_cut`] and [`Format::last_cut`] find anywhere in an object.
    Separated,
    /// Records have a fixed length and lie end to end. The input is cut at multiples of that length, and neither `first_cut`
    /// nor `last_cut` is called.
    Fixed {
        /// The length of one record, in bytes.
        bytes: usize,
    },
    /// Records end at line feeds outside of quotes. How a split begins is guessed and proved: see `core/src/format/quotes.rs`.
    /// `first_cut` finds the end of the first record.
    Quoted(Quotes),
    /// Each record carries its length, so the next record can only be found from the start of one. Every split therefore
    /// starts and ends at a record, and a chunk is one record. `first_cut` says where the first record ends.
    Prefixed,
    /// Records lie in columns, in the row groups of a Parquet file. A row group is the split's in which its first byte lies, and
    /// is a chunk. What is wanted of the object is [`Format::selection`]; [`Format::for_each_row`] is called in place of
    /// [`Format::for_each`], and neither `first_cut` nor `last_cut` is.
    RowGroups,
    /// Each object is one record, and is not cut into splits.
    Whole,
    /// Rows lie in blocks, each of which ends with a marker that its object's head says, as in an Avro file. A block is the split's in
    /// which its first byte lies, and is a chunk. Otherwise as [`Framing::RowGroups`]. Nobody counts the rows before a split, so a
    /// row's place is [`Framing::place_in_block`].
    Blocks,
}

impl Framing {
    /// Returns whether rows lie in columns: what is wanted of an object is [`Format::selection`], and
    /// [`Format::for_each_row`] is given rows that were decoded.
    pub fn is_in_columns(self) -> bool {
        matches!(self, Framing::RowGroups | Framing::Blocks)
    }

    /// Returns the place of a row of a block: 2^18 times the offset of the block's first byte, and the row's number in the block, from
    /// 0. So places are in the order of the rows, and no two rows of an object have the same, as a block has no more than 2^18 rows for
    /// each of its bytes.
    pub fn place_in_block(block: u64, row: u64) -> u64 {
        (block << Self::ROW_BITS) + row
    }

    /// How many bits of a place in a block are left for the number of the row (18).
    pub const ROW_BITS: u32 = 18;
}

/// An input format: records that end at a separator, have a fixed length, or carry their length.
///
/// The format's fields hold what a job's parameters say about its input; [`Job::input`](crate::Job::input) fills them.
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
    /// The record that `map` is given.
    type Record<'a>;

    /// The format's name in specs and reports.
    const NAME: &'static str;

    /// Returns the format's name and the types that it depends on: what driver and functions must agree on. The values of its
    /// fields are left out, as they travel with the job's parameters.
    fn describe() -> String {
        Self::NAME.to_owned()
    }

    /// Whether the input has two sides, each with a format of its own, as [`Sides`] has.
    const TWO_SIDES: bool = false;

    /// Returns what finds where objects of a side may be cut: the format itself, unless it has [two sides](Self::TWO_SIDES).
    fn of_side(&self, side: Side) -> &dyn Separators {
        let _ = side;
        self
    }

    /// Returns how one record is told from the next.
    fn framing(&self) -> Framing {
        Framing::Separated
    }

    /// Returns whether the first record of each object says how the others are to be read. If so, every extent carries it.
    fn has_head(&self) -> bool {
        false
    }

    /// Returns whether a record depends on its offset in the whole object, as records of a fixed length do. In the middle of a
    /// compressed object that offset is not known, so such an object is then read by one task; and so is one of quoted records,
    /// since where a split of it begins cannot be proved, and a whole one.
    fn needs_offsets(&self) -> bool {
        matches!(self.framing(), Framing::Fixed { .. } | Framing::Quoted(_) | Framing::Whole)
    }

    /// Returns the first offset at which `bytes` may be cut: just after the first separator, a line feed by default.
    fn first_cut(&self, bytes: &[u8]) -> Option<usize> {
        memchr::memchr(b'\n', bytes).map(|at| at + 1)
    }

    /// Returns the last offset at which `bytes` may be cut: just after the last separator, a line feed by default.
    fn last_cut(&self, bytes: &[u8]) -> Option<usize> {
        memchr::memrchr(b'\n', bytes).map(|at| at + 1)
    }

    /// Calls `each` for every record of an extent, with the offset in the extent at which the record starts. The extent starts
    /// where a record may start, and ends at a cut or at the object's end. Returns how many records there were.
    ///
    /// # Errors
    /// Passes on the error of `each` as it is. For a record that is not valid in this format, returns an error that says with
    /// [`UserError::at`](crate::UserError::at) where the record starts; or with
    /// [`UserError::of_record`](crate::UserError::of_record), if the record can be left out. `each` is then not called for it, and
    /// what comes behind it is read as an extent of its own.
    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        each: impl FnMut(usize, Self::Record<'a>) -> UserResult,
    ) -> UserResult<u64>;

    /// Looks for the first record that is not valid, before any is given out. It is called only for jobs that may leave records
    /// out, and only a format need look that gives out many records at once, or records that the job takes apart itself: of others,
    /// [`Format::for_each`] finds it.
    ///
    /// # Errors
    /// Returns the error of that record, as [`Format::for_each`] does.
    fn check(&self, extent: Extent<'_>) -> UserResult {
        let _ = extent;
        Ok(())
    }

    /// Returns which columns and rows are read, where rows lie in columns ([`Framing::is_in_columns`]).
    fn selection(&self) -> Selection {
        Selection::default()
    }

    /// Calls `each` for every row of a block, with its number there, where rows lie in columns ([`Framing::is_in_columns`]). Returns
    /// how many rows there were.
    ///
    /// # Errors
    /// As [`Format::for_each`], with the row's number for its offset. A row that can be left out is from its number to the next
    /// one.
    fn for_each_row<'a>(
        &'a self,
        rows: BlockExtent<'a>,
        each: impl FnMut(usize, Self::Record<'a>) -> UserResult,
    ) -> UserResult<u64> {
        let _ = (rows, each);
        Err(Error::new(Code::Engine, format!("the format {} reads bytes, and was given rows", Self::NAME)).into())
    }

    /// Looks for the first row that is not valid, as [`Format::check`] does, where rows lie in columns.
    ///
    /// # Errors
    /// Returns the error of that row, as [`Format::for_each_row`] does.
    fn check_rows(&self, rows: BlockExtent<'_>) -> UserResult {
        let _ = rows;
        Ok(())
    }

    /// Returns what errors call the record that starts at the offset `at` of an extent.
    fn place(&self, extent: Extent<'_>, at: usize) -> String {
        format!("{} at byte {}", extent.object, extent.offset + at as u64)
    }
}

/// How the records of objects are told apart.
#[derive(Clone, Debug)]
pub struct Frame {
    /// [`Format::framing`].
    pub framing: Framing,
    /// [`Format::has_head`].
    pub has_head: bool,
    /// [`Format::needs_offsets`].
    pub needs_offsets: bool,
    /// [`Format::selection`].
    pub selection: Selection,
}

/// What of a [`Format`] does not depend on the type of its records: where bytes may be cut. Every format is one of these.
pub trait Separators: Send + Sync {
    /// Returns how the records are told apart.
    fn frame(&self) -> Frame;

    /// Returns [`Format::first_cut`].
    fn first(&self, bytes: &[u8]) -> Option<usize>;

    /// Returns [`Format::last_cut`].
    fn last(&self, bytes: &[u8]) -> Option<usize>;
}

impl<F: Format> Separators for F {
    fn frame(&self) -> Frame {
        let (framing, has_head) = (self.framing(), self.has_head());
        Frame { framing, has_head, needs_offsets: self.needs_offsets(), selection: self.selection() }
    }

    fn first(&self, bytes: &[u8]) -> Option<usize> {
        self.first_cut(bytes)
    }

    fn last(&self, bytes: &[u8]) -> Option<usize> {
        self.last_cut(bytes)
    }
}

/// Makes the error of a format that was given bytes and reads row groups.
pub(crate) fn by_rows_only(name: &str) -> UserError {
    Error::new(Code::Engine, format!("the format {name} reads rows that were decoded, and was given bytes")).into()
}

/// Returns an extent that is the whole of a test's object.
#[cfg(test)]
pub(crate) fn extent(bytes: &[u8]) -> Extent<'_> {
    Extent { bytes, offset: 0, head: &[], object: "it", side: Side::Left }
}
