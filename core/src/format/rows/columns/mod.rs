//! Rows that lie in columns, in objects that are read by ranges: how a format such as Parquet is read.
//!
//! A format of text is given the bytes of its records in order. Here a footer at the object's end says where the columns of
//! each *row group* lie, and only those are read that the job wants:
//!
//! ```text
//! object      "PAR1" │ group 0: a0 b0 c0 │ group 1: a1 b1 c1 │ group 2: a2 b2 c2 │ footer │ length:u32 "PAR1"
//! splits      ├────────────── one ───────────────┼───────────────── another ─────────────────────┤
//!                    0, 1: their first bytes lie in it        2
//!
//! mapper's reader    footer ──▶ the split's row groups ──▶ one chunk for each
//! thread             RowGroup ──open──▶ Blocks ──some rows──▶ Block ──▶ Format::for_each_row
//!                                         └──fetch──▶ RangedObject: ranged GETs of the version that was listed
//! ```
//!
//! A row group is the split's in which its first byte lies, so that every row is one split's wherever an object is cut. Each
//! thread decodes a row group of its own, and asks for bytes as it needs them. What it holds does not depend on the row group's
//! size: a window of each column that is read, and the rows of one block.
//!
//! Of Avro there is a head in place of the footer, and blocks in place of row groups, whose rows do not lie in columns but become some. Where
//! a block starts is found by the marker that each block ends with:
//!
//! ```text
//! object      head, marker │ block 0, marker │ block 1, marker │ block 2, marker │
//! splits      ├────────────── one ───────────────┤├─────────────── another ──────┤
//!                            0, 1: their first bytes lie in it   2
//! ```
//!
//! This module knows what a job wants of an object ([`Selection`]), and what a decoder gives: rows by columns ([`Block`]). The
//! decoder itself lies in `formats/`, behind a feature, and does no I/O but through [`RangedObject`].

mod block;
mod only;

pub use block::{Block, BlockColumn, BlockExtent, Cells};
pub use only::{Only, Wanted, WantedOfAny};

use crate::error::Result;
use crate::range::ByteRange;
use crate::types::Types;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What is read of objects whose rows lie in columns. The default is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The columns.
    pub columns: Columns,
    /// What must hold of a row, all of it, for the row to be given to the job. Row groups in which no row can be so, by their
    /// statistics, are not read.
    pub only: Vec<Only>,
    /// What the types of the columns must be, if somebody relies on them: a file of others is refused.
    pub agreed: Option<Agreed>,
}

impl Columns {
    /// Returns their names, if not all are read.
    pub(in crate::format) fn names(&self) -> Option<&[String]> {
        match self {
            Columns::All => None,
            Columns::Named(names) | Columns::IfThere(names) | Columns::NamedOrInPath(names) => Some(names),
        }
    }
}

/// The types that the columns of some objects have, and all must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// The columns. No object has others; it may lack some.
    pub types: Types,
    /// The object, or one of those, that said so.
    pub said_by: String,
    /// Columns that may be of any type, as their values are made what is wanted.
    pub cast: Vec<String>,
}

/// Which columns are read, in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Columns {
    /// All of them, in the order of the object.
    #[default]
    All,
    /// Those of these names. An object that lacks one of them is refused.
    Named(Vec<String>),
    /// Those of these names that the object has.
    IfThere(Vec<String>),
    /// Those of these names. An object that lacks one of them is refused, unless its path says the value.
    NamedOrInPath(Vec<String>),
}

/// An object, as a decoder finds it that reads it by ranges.
pub trait RangedObject: Send + Sync {
    /// Returns its name in errors: `s3://bucket/key`.
    fn name(&self) -> &str;

    /// Starts to read a range of it, and returns at once. All ranges are of one version of the object.
    fn fetch(&self, range: ByteRange) -> Box<dyn Fetched>;
}

/// A range that is being read.
pub trait Fetched: Send {
    /// Waits for all of its bytes. It blocks the thread, which must be one that computes.
    ///
    /// # Errors
    /// Returns the error that kept the range from being read.
    fn wait(self: Box<Self>) -> Result<Bytes>;
}

/// A row group that is to be read.
pub trait RowGroup: Send + Sync {
    /// Starts to read its first bytes, so that they are there when it is opened.
    fn ahead(&self);

    /// Opens it, once.
    ///
    /// # Errors
    /// Returns the error that kept it from being read.
    fn open(&self) -> Result<Box<dyn Blocks>>;

    /// Returns what errors call the row at a place, as [`BlockExtent::first_row`] counts places.
    fn place(&self, row: u64) -> String {
        format!("row {row}")
    }
}

/// The rows of a row group, some at a time.
pub trait Blocks {
    /// Returns the next rows; `None` after the last.
    ///
    /// # Errors
    /// Returns the error that kept them from being read or decoded.
    fn next_block(&mut self) -> Result<Option<Block>>;
}

impl Selection {
    /// Returns the selection of no column: rows are only counted.
    pub fn no_columns() -> Self {
        Selection { columns: Columns::Named(Vec::new()), ..Selection::default() }
    }

    /// Reads these columns alone, in this order.
    #[must_use]
    pub fn with_columns<I>(mut self, columns: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.columns = Columns::Named(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Gives the job those rows alone of which this holds, and what was said before.
    #[must_use]
    pub fn with_only(mut self, only: Only) -> Self {
        self.only.push(only);
        self
    }
}
