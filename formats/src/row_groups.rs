//! Files whose rows lie in row groups: what there is to know of them without knowing how they are decoded.
//!
//! This is the interface of `parquet/`, where that is compiled: a program that reads no Parquet is built without it, and says so
//! when it is given such a file.

#[cfg(not(feature = "parquet"))]
pub use crate::absent::{File, Plan, read_footer};
#[cfg(feature = "parquet")]
pub use crate::parquet::{File, Plan, read_footer};

use kinglet_core::{ByteRange, Result};
use serde::Serialize;

/// How many of an object's last bytes are read first (64 KiB). Most footers are shorter.
const TAIL_BYTES: u64 = 64 << 10;

/// The last bytes of an object.
#[derive(Clone, Copy, Debug)]
pub struct Tail<'a> {
    /// The object's name in errors.
    pub shown: &'a str,
    /// How many bytes the object has.
    pub size: u64,
    /// The last of them.
    pub bytes: &'a [u8],
}

/// What is known by the last bytes of an object.
#[derive(Clone, Debug)]
pub enum Footer {
    /// The file.
    Whole(File),
    /// Nothing yet: its last bytes are needed from this offset on.
    From(u64),
}

/// Reads the footer of an object, for whoever fetches its bytes.
#[derive(Clone, Debug)]
pub struct FooterReader {
    shown: String,
    size: u64,
    tail: Vec<u8>,
    from: u64,
}

impl FooterReader {
    /// Begins to read the footer of an object of `size` bytes. Errors call it `shown`.
    pub fn new(shown: impl Into<String>, size: u64) -> Self {
        FooterReader { shown: shown.into(), size, tail: Vec::new(), from: size.saturating_sub(TAIL_BYTES) }
    }

    /// Returns the bytes of the object that are needed next.
    pub fn wants(&self) -> ByteRange {
        ByteRange { from: self.from, to: self.size - self.tail.len() as u64 }
    }

    /// Takes the bytes that were needed. Returns the file, unless more are.
    ///
    /// # Errors
    /// As [`read_footer`].
    pub fn take(&mut self, mut bytes: Vec<u8>) -> Result<Option<File>> {
        bytes.append(&mut self.tail);
        self.tail = bytes;
        match read_footer(Tail { shown: &self.shown, size: self.size, bytes: &self.tail })? {
            Footer::Whole(file) => Ok(Some(file)),
            Footer::From(needed) => {
                self.from = needed;
                Ok(None)
            }
        }
    }
}

/// A row group of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileGroup {
    /// Its number in the file.
    pub number: usize,
    /// The offset of its first byte.
    pub from: u64,
    /// How many rows of the file come before it.
    pub first_row: u64,
    /// How many rows it has.
    pub rows: u64,
}

/// What a footer says, for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FooterLook {
    /// How many rows the file has.
    pub rows: u64,
    /// The program that wrote it, as it says.
    pub written_by: Option<String>,
    /// Its row groups.
    pub row_groups: Vec<RowGroupLook>,
    /// Its columns; those of lists and structs by their paths, as `list.element`.
    pub columns: Vec<ColumnLook>,
}

/// A row group, for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RowGroupLook {
    /// The offset of its first byte.
    pub from: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// How many rows it has.
    pub rows: u64,
}

/// A column in all row groups, for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ColumnLook {
    /// Its path.
    pub name: String,
    /// How its chunks are compressed: `none`, `snappy`, …, or several of them.
    pub compression: String,
    /// How many bytes its chunks have.
    pub bytes: u64,
    /// In how many rows it has nothing, if every row group says so.
    pub nulls: Option<u64>,
    /// A bound from below of its values, if every row group has one.
    pub least: Option<serde_json::Value>,
    /// A bound from above.
    pub most: Option<serde_json::Value>,
}
