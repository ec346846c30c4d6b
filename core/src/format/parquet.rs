//! Parquet: rows in columns, read through serde.
//!
//! | what | rule |
//! |---|---|
//! | split | the row groups whose first byte lies in it; one thread decodes a row group |
//! | bytes read | the footer, and the chunks of the columns that the type has, unless [`Parquet::with_columns`] says otherwise |
//! | column that the type has and a file has not | as serde's derive has it: an error that names it, or the default |
//! | value that its field's type cannot hold | fails the job with `record-invalid`, which names object, row and column; or the row is left out |
//! | place of a record | the number of its row in the file, from 0 |
//! | compression | Snappy, zstd, gzip, LZ4, Brotli, within the file; the file itself is not compressed |
//! | dates, times, timestamps | as stored; INT96 as microseconds without a time zone |
//! | unsigned 64 bits, decimals | exact |
//! | encrypted file, INTERVAL | refused |
//!
//! The decoder is behind the feature `parquet` of the crate `kinglet`.

use super::rows::{Columns, ReadRow, Selection};
use super::{BlockExtent, Extent, Format, Framing, Only, Shape, by_rows_only};
use crate::error::{Code, Error, UserError, UserResult};
use serde::Deserialize;
use serde::de::value::Error as Stopped;
use serde::de::{Deserializer, Error as _, Visitor};
use std::marker::PhantomData;

/// Parquet whose rows are of the type `T`; see [`Shape`] for types that borrow text from the file.
///
/// ```
/// use kinglet_core::{Combiner, Emitter, Is, Job, Only, Parquet, Sink, UserResult, Values};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// struct Sale {
///     shop: String,
///     cents: u64,
/// }
///
/// /// Adds up what each shop has sold since a day.
/// #[derive(Serialize, Deserialize)]
/// struct Sales {
///     since: String,
/// }
///
/// impl Job for Sales {
///     const NAME: &'static str = "sales";
///     type Input = Parquet<Sale>;
///     type Key = String;
///     type Value = u64;
///     type Output = (String, u64);
///
///     // Read are the columns `shop`, `cents` and `day`, of row groups that may have such days.
///     fn input(&self) -> Parquet<Sale> {
///         Parquet::default().with_only(Only::new("day", Is::AtLeast, &self.since))
///     }
///     fn map(&self, sale: Sale, out: &mut Emitter<'_, String, u64>) -> UserResult {
///         out.emit(sale.shop, sale.cents)
///     }
///     fn combiner(&self) -> Option<Combiner<u64>> {
///         Some(Combiner::sum())
///     }
///     fn reduce(&self, shop: String, cents: Values<'_, u64>, out: &mut Sink<'_, (String, u64)>) -> UserResult {
///         out.push(&(shop, cents.sum()))
///     }
/// }
/// ```
pub struct Parquet<T> {
    selection: Selection,
    of: PhantomData<fn() -> T>,
}

impl<T: Shape> Default for Parquet<T> {
    fn default() -> Self {
        let columns = match fields_of::<T::Of<'static>>() {
            Some(fields) => Columns::IfThere(fields.iter().map(|field| (*field).to_owned()).collect()),
            None => Columns::All,
        };
        Parquet { selection: Selection { columns, ..Selection::default() }, of: PhantomData }
    }
}

impl<T> Parquet<T> {
    /// Reads these columns alone, for a type that is a tuple, or that does not say by a struct's fields what it has.
    #[must_use]
    pub fn with_columns<I>(self, columns: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Parquet { selection: self.selection.with_columns(columns), ..self }
    }

    /// Gives `map` those rows alone of which this holds, and what was said before. A row group is not read if its statistics
    /// show that it has none.
    #[must_use]
    pub fn with_only(self, only: Only) -> Self {
        Parquet { selection: self.selection.with_only(only), ..self }
    }
}

impl<T: Shape> Format for Parquet<T> {
    type Record<'a> = T::Of<'a>;
    const NAME: &'static str = "parquet";

    fn describe() -> String {
        format!("parquet of {}", std::any::type_name::<T>())
    }

    fn framing(&self) -> Framing {
        Framing::RowGroups
    }

    fn selection(&self) -> Selection {
        self.selection.clone()
    }

    fn for_each<'a>(&'a self, _: Extent<'a>, _: impl FnMut(usize, T::Of<'a>) -> UserResult) -> UserResult<u64> {
        Err(by_rows_only(Self::NAME))
    }

    #[inline]
    fn for_each_row<'a>(
        &'a self,
        rows: BlockExtent<'a>,
        mut each: impl FnMut(usize, T::Of<'a>) -> UserResult,
    ) -> UserResult<u64> {
        let block = rows.block;
        block.for_each_row(|row| {
            each(
                row,
                T::Of::deserialize(ReadRow { block, row }).map_err(|e| invalid(&e).of_record(row..row + 1, row + 1))?,
            )
        })
    }
}

/// Makes the error of a row that is not of the type that it should be.
fn invalid(error: &Stopped) -> UserError {
    Error::new(Code::RecordInvalid, format!("the row is not what is expected: {error}"))
        .with_hint(
            "let the job's type take it, leave some out (--max-rejected), or read only files that have these columns: \
             `kinglet look` shows them",
        )
        .into()
}

/// Returns the names of the fields of a struct, as its `Deserialize` says them.
fn fields_of<'a, T: Deserialize<'a>>() -> Option<&'static [&'static str]> {
    let mut fields = None;
    // It fails, as there is nothing to read.
    let _ = T::deserialize(Ask { fields: &mut fields });
    fields
}

/// Asks a type which fields it has.
struct Ask<'a> {
    fields: &'a mut Option<&'static [&'static str]>,
}

impl<'de> Deserializer<'de> for Ask<'_> {
    type Error = Stopped;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stopped> {
        Err(Stopped::custom("asked"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Stopped> {
        *self.fields = Some(fields);
        Err(Stopped::custom("asked"))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Stopped> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}
