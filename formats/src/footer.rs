//! What a footer says, whoever decodes it.

use serde::Serialize;

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
pub enum Footer<F> {
    /// The file.
    Whole(F),
    /// Nothing yet: its last bytes are needed from this offset on.
    From(u64),
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
