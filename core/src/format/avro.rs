//! Avro: rows in blocks, read through serde.
//!
//! | what | rule |
//! |---|---|
//! | split | the blocks whose first byte lies in it; one thread decodes a block |
//! | how a split begins | at the first of the file's markers in it, and the manifest's check demands that a block ends there |
//! | column that the type has and a file has not | as serde's derive has it: an error that names it, or the default |
//! | value that its field's type cannot hold | fails the job with `record-invalid`, which names object, block, row and column |
//! | compression | null, deflate, snappy, zstandard, bzip2 and xz, by block; the file itself is not compressed |
//! | schema | the one that the file was written by, which must be of a record |
//! | union of nothing and a type | an optional column of that type; other unions are not read |
//! | enum; fixed, uuid; decimal | text; bytes; exact |
//! | date, time and timestamp types | as stored; `local-` ones have no time zone |
//! | duration; schema that contains itself | not read |
//!
//! The decoder is behind the feature `avro` of the crate `kinglet`.

use super::{BlockExtent, Extent, Format, Framing, Only, Parquet, Selection, Shape, by_rows_only};
use crate::error::UserResult;

/// Avro whose rows are of the type `T`; see [`Shape`] for types that borrow text from the file. It is used as [`Parquet`] is, with
/// the same rules for types.
///
/// ```
/// use kinglet_core::{Avro, Format, Framing, Only};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Sale {
///     shop: String,
///     cents: u64,
/// }
///
/// let sales = Avro::<Sale>::default().with_only("day >= 2026-11-01".parse::<Only>().unwrap());
/// assert_eq!(sales.framing(), Framing::Blocks);
/// ```
pub struct Avro<T>(Parquet<T>);

impl<T: Shape> Default for Avro<T> {
    fn default() -> Self {
        Avro(Parquet::default())
    }
}

impl<T> Avro<T> {
    /// Reads these columns alone, for a type that is a tuple, or that does not say by a struct's fields what it has.
    #[must_use]
    pub fn with_columns<I>(self, columns: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Avro(self.0.with_columns(columns))
    }

    /// Gives `map` those rows alone of which this holds, and what was said before. All blocks are read: they have no statistics.
    #[must_use]
    pub fn with_only(self, only: Only) -> Self {
        Avro(self.0.with_only(only))
    }
}

impl<T: Shape> Format for Avro<T> {
    type Record<'a> = T::Of<'a>;
    const NAME: &'static str = "avro";

    fn describe() -> String {
        format!("avro of {}", std::any::type_name::<T>())
    }

    fn framing(&self) -> Framing {
        Framing::Blocks
    }

    fn selection(&self) -> Selection {
        self.0.selection()
    }

    fn for_each<'a>(&'a self, _: Extent<'a>, _: impl FnMut(usize, T::Of<'a>) -> UserResult) -> UserResult<u64> {
        Err(by_rows_only(Self::NAME))
    }

    #[inline]
    fn for_each_row<'a>(
        &'a self,
        rows: BlockExtent<'a>,
        each: impl FnMut(usize, T::Of<'a>) -> UserResult,
    ) -> UserResult<u64> {
        self.0.for_each_row(rows, each)
    }
}
