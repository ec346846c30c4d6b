//! CSV and its like, strictly by RFC 4180 as far as that goes. Nothing is repaired by guessing what was meant.
//!
//! | what | rule |
//! |---|---|
//! | end of a row | `\n` or `\r\n` outside of quotes; the last row needs none; another `\r` outside of quotes is an error |
//! | empty line | no row, and an error where an object begins with one; a row of one empty field is written `""` |
//! | quoted field | from a quote at its start to the next one that is not doubled, which must end it; may have delimiters and line feeds |
//! | quote within a field that does not start with one | an error |
//! | quote that is never closed | an error, which names where its row starts |
//! | first row of an object | the names of its columns, its *head*, unless the dialect says that there is none |
//! | order of the columns | may differ from object to object where columns are read by name; one that is missing is an error that names it |
//! | row of too many or too few fields | an error, which says how many there are and how many the first row of the object has; the dialect can let rows be short |
//! | row that is not valid, where a job may leave such out | left out as one row, unless it goes over several lines and its fields are not what they should be: a stray quote makes one row of many, so it fails the job |
//! | byte order mark | skipped at the start of an object |
//! | empty field, serde | `None`, `""` or `()`; no number |
//! | not UTF-8 | an error where text is asked for; bytes are bytes |
//!
//! [`dialect`] has what can be otherwise; [`record`] takes one row apart; [`typed`] makes a type of it by serde. Where a split may begin is a
//! matter of its own: [`super::quotes`].

mod dialect;
mod fields;
mod head;
mod record;
#[cfg(test)]
mod tests;
mod typed;

pub use dialect::CsvDialect;
pub use fields::{CsvFields, CsvRow};

use super::{Extent, Format, Framing, Shape};
use crate::error::{Code, Error, UserError, UserResult};
use head::Head;
pub use head::missing_column;
use record::{FieldFault, Fields, First, Line, next_line};
use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::LazyLock;
use typed::Scratch;

/// CSV whose rows are of the type `T`, a struct whose fields have the names of columns, or a tuple of all columns. For types
/// that borrow from the input see [`Shape`].
///
/// ```
/// use kinglet_core::{Csv, check_format};
/// use serde::Deserialize;
///
/// #[derive(Debug, Deserialize, PartialEq)]
/// struct Sale {
///     shop: String,
///     cents: u64,
///     note: Option<String>,
/// }
///
/// let object = b"cents,shop,note\n250,\"Bread, and more\",\n90,Tea,\"two\nlines\"\n";
/// check_format(Csv::<Sale>::default(), object, &[20, 50], 7, |sale| sale);
/// ```
///
/// A job hands over another dialect in its `input`:
///
/// ```
/// # use kinglet_core::{Csv, CsvDialect, Emitter, Job, Sink, UserResult, Values};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Deserialize)] struct Sale { shop: String, cents: u64 }
/// # #[derive(Serialize, Deserialize)] struct Sales;
/// impl Job for Sales {
///     const NAME: &'static str = "sales";
///     type Input = Csv<Sale>;
/// #   type Key = String; type Value = u64; type Output = (String, u64);
///
///     fn input(&self) -> Csv<Sale> {
///         Csv::new(CsvDialect::tsv().without_quoted_newlines())
///     }
/// #   fn map(&self, sale: Sale, out: &mut Emitter<'_, String, u64>) -> UserResult { out.emit(sale.shop, sale.cents) }
/// #   fn reduce(&self, shop: String, cents: Values<'_, u64>, out: &mut Sink<'_, (String, u64)>) -> UserResult {
/// #       out.push(&(shop, cents.sum()))
/// #   }
/// }
/// ```
pub struct Csv<T> {
    dialect: CsvDialect,
    rows: PhantomData<fn() -> T>,
}

impl<T> Csv<T> {
    /// Makes a format of this dialect.
    pub fn new(dialect: CsvDialect) -> Self {
        Csv { dialect, rows: PhantomData }
    }
}

impl<T> Default for Csv<T> {
    fn default() -> Self {
        Csv::new(CsvDialect::default())
    }
}

impl<T: Shape> Format for Csv<T> {
    type Record<'a> = T::Of<'a>;
    const NAME: &'static str = "csv";

    fn describe() -> String {
        format!("csv of {}", std::any::type_name::<T>())
    }

    fn framing(&self) -> Framing {
        self.dialect.framing()
    }

    fn has_head(&self) -> bool {
        true
    }

    fn first_cut(&self, bytes: &[u8]) -> Option<usize> {
        self.dialect.first_cut(bytes)
    }

    fn last_cut(&self, bytes: &[u8]) -> Option<usize> {
        self.dialect.last_cut(bytes)
    }

    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        mut each: impl FnMut(usize, T::Of<'a>) -> UserResult,
    ) -> UserResult<u64> {
        let mut scratch = Scratch::new(self.dialect, Head::of(&self.dialect, extent)?, extent.object);
        for_each_row(&self.dialect, extent, |found| {
            let row = scratch.read::<T::Of<'a>>(found.line).map_err(|e| found.not_valid(e))?;
            each(found.start, row)
        })
    }
}

impl CsvDialect {
    pub(super) fn framing(&self) -> Framing {
        self.quotes_over_lines().map_or(Framing::Separated, Framing::Quoted)
    }

    pub(super) fn first_cut(&self, bytes: &[u8]) -> Option<usize> {
        match self.quotes_over_lines() {
            Some(quotes) => quotes.first_end(Default::default(), bytes),
            None => memchr::memchr(b'\n', bytes).map(|at| at + 1),
        }
    }

    pub(super) fn last_cut(&self, bytes: &[u8]) -> Option<usize> {
        match self.quotes_over_lines() {
            Some(quotes) => quotes.last_end(Default::default(), bytes).end,
            None => memchr::memrchr(b'\n', bytes).map(|at| at + 1),
        }
    }
}

/// The byte order mark that some programs write before UTF-8.
const BYTE_ORDER_MARK: &[u8] = super::json::BYTE_ORDER_MARK;

/// A row, and where it lies in its extent.
#[derive(Clone, Copy)]
struct Found<'a> {
    start: usize,
    line: Line<'a>,
    end: usize,
    /// Where the next one starts.
    next: usize,
}

impl Found<'_> {
    /// Makes the error of this row. It can be left out if it is known to be one row. A stray quote makes one of all rows up to the
    /// next quote, and what comes of that has other fields than it should: a row of several lines can only be left out if all of
    /// its fields are as they should be, and not of the type that is expected.
    fn not_valid(self, Invalid { error, is_shape }: Invalid) -> UserError {
        if !error.is(Code::RecordInvalid) {
            return UserError::from(error).at(self.start);
        }
        if is_shape && memchr::memchr(b'\n', self.line.bytes).is_some() {
            let hint = format!(
                "{}; a row of several lines that has other fields than it should is never left out: if no field has line \
                 feeds, say so (--no-quoted-newlines)",
                error.hint().unwrap_or_default()
            );
            return UserError::from(error.with_hint(hint)).at(self.start);
        }
        UserError::from(error).of_record(self.start..self.end, self.next)
    }
}

/// Why a row is not valid.
struct Invalid {
    error: Error,
    /// Whether it has other fields than it should, or none that can be told.
    is_shape: bool,
}

/// Makes the error of a row whose fields are not what they should be.
fn misshapen(error: Error) -> Invalid {
    Invalid { error, is_shape: true }
}

/// Calls `each` for every row of an extent, apart from a head and from empty lines.
#[inline]
fn for_each_row<'a>(
    dialect: &CsvDialect,
    extent: Extent<'a>,
    mut each: impl FnMut(Found<'a>) -> UserResult,
) -> UserResult<u64> {
    let bytes = extent.bytes;
    let (mut start, mut at, mut count) = (0, 0, 0);
    if extent.offset == 0 {
        if bytes.starts_with(BYTE_ORDER_MARK) {
            at = BYTE_ORDER_MARK.len();
        }
        if dialect.head {
            at = head::end(dialect, bytes);
            start = at;
        }
    }
    while at < bytes.len() {
        let First { line, next } = next_line(dialect, &bytes[at..]);
        if !line.bytes.is_empty() {
            each(Found { start, line, end: at + line.bytes.len(), next: at + next })?;
            count += 1;
        }
        at += next;
        start = at;
    }
    Ok(count)
}

/// Returns what a column without a name is called. Each row has these names, so they are not made anew.
fn number<'a>(n: usize) -> Cow<'a, str> {
    static NUMBERS: LazyLock<Vec<String>> = LazyLock::new(|| (0..=1_000).map(|n: u32| n.to_string()).collect());
    NUMBERS.get(n).map_or_else(|| Cow::Owned(n.to_string()), |name| Cow::Borrowed(name.as_str()))
}

/// Calls `each` for every row of an extent, with where it starts, the names of the columns (`1`, `2`, … where there is no head),
/// and the fields.
pub(super) fn for_each_fields<'a>(
    dialect: CsvDialect,
    extent: Extent<'a>,
    mut each: impl FnMut(usize, &[Cow<'a, str>], &mut dyn Iterator<Item = Cow<'a, [u8]>>) -> UserResult,
) -> UserResult<u64> {
    let head = Head::of(&dialect, extent)?;
    let names: Vec<Cow<'a, str>> = match &head.names {
        Some(names) => names.clone(),
        None => (1..=head.columns.unwrap_or(0)).map(number).collect(),
    };
    if let Some(twice) = (0..names.len()).find(|at| names[..*at].contains(&names[*at])) {
        return Err(UserError::from(head::twice(&names[twice], extent.object)).at(0));
    }
    for_each_row(&dialect, extent, |found| {
        checked(dialect, found.line, &head).map_err(|e| found.not_valid(e))?;
        let fields = Fields::of(dialect, found.line).flatten();
        each(found.start, &names, &mut fields.chain(std::iter::repeat(Cow::Borrowed(&b""[..]))))
    })
}

/// Calls `each` for every row of an extent, with where it starts and the bytes that it is written in.
#[inline]
pub(super) fn row_bytes<'a>(
    dialect: CsvDialect,
    extent: Extent<'a>,
    mut each: impl FnMut(usize, &'a [u8]) -> UserResult,
) -> UserResult<u64> {
    let head = Head::of(&dialect, extent)?;
    for_each_row(&dialect, extent, |found| {
        checked(dialect, found.line, &head).map_err(|e| found.not_valid(e))?;
        each(found.start, found.line.bytes)
    })
}

/// Checks a row, and returns how many fields it has.
#[inline]
fn checked(dialect: CsvDialect, line: Line<'_>, head: &Head<'_>) -> Result<usize, Invalid> {
    let found = fields_of(dialect, line).map_err(misshapen)?;
    check_count(&dialect, found, head).map_err(misshapen).map(|()| found)
}

/// Makes the error of a row that is not valid.
fn invalid(says: impl Into<String>) -> Error {
    Error::new(Code::RecordInvalid, says).with_hint(
        "mend or remove the row, leave some out (--max-rejected), or say how the input is written: delimiter, quotes, escapes, \
         head; if it lies within a quoted field of more than 1 MiB, read each object in one split (--whole-objects)",
    )
}

/// Returns how many fields a row has, if they are valid.
#[inline]
fn fields_of(dialect: CsvDialect, line: Line<'_>) -> Result<usize, Error> {
    record::count(dialect, line)
        .map_err(|FieldFault { field, fault }| invalid(format!("field {} {}", field + 1, fault.says(&dialect))))
}

/// Returns an error if a row has not as many fields as it should.
fn check_count(dialect: &CsvDialect, found: usize, head: &Head<'_>) -> Result<(), Error> {
    match head.columns {
        Some(expected) if found > expected || (found < expected && !dialect.short_rows) => {
            let what = if dialect.head { "the head of its object" } else { "the first row of its object" };
            Err(invalid(format!("the row has {found} fields, and {what} has {expected}")))
        }
        _ => Ok(()),
    }
}
