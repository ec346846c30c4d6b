//! Rows under keys that sort as the rows are to be sorted: what the jobs that sort have in common.
//!
//! A row is one run of bytes, whose order is the rows' order:
//!
//! ```text
//! 0  values           of the columns of `by`, as `encode_key` has them: none is the beginning of another
//! .  origin           where the row lies, so that no two rows are equal, and rows with equal values stay in the order of the input
//! .  row              a `PackedRow`; nothing where the values are the row, as of lines that are sorted by the line
//! .  length           of the row: seven bits a byte, the lowest ones in the last; the eighth is set if another stands before it
//!
//! an origin:
//! 0  side:u8          how the object's name compares with what all names begin with: 0 less  1 it is that  2 it begins with it  3 more
//! 1  name             of 2, what comes behind that; of 0 and 3 all of it; 0 written as 0 1, and 0 0
//! .  offset           of the row in the object: how many bytes, and these, the highest first
//! ```
//!
//! Names of columns do not travel with the rows if the job knows them, and those of objects only from where they differ. A row of a CSV
//! file whose ten fields have 70 bytes takes 116: 10 for a value of 7 in the key, 14 for its origin in one of many files (4 in the only
//! one), and 22 for what tells its fields apart. If the job knew nothing it would take 232; a test counts both.

use super::by::By;
use super::convert::{TypedRows, of_path};
use kinglet_core::{
    Batch, Batches, Code, Columns, Datum, Error, Kind, Located, Named, Only, PackedRow, Result, Row, RowFormat,
    RowValues, Rows, UserResult, WantedOfAny, decode_key, encode_key, missing_column,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// The most lists of names that a job knows.
const NAMES_MAX: usize = 64;

/// Rows of a format, what they are sorted by, and what is written of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ordered {
    format: RowFormat,
    by: Vec<By>,
    only: Vec<Only>,
    columns: Vec<String>,
    typed: Option<TypedRows>,
    /// Whether text of fields is what it looks like when it is compared.
    guessed: bool,
    /// Whether it is that also when it is written.
    guessed_out: bool,
    /// What the names of objects begin with.
    common: String,
    /// Names that rows have.
    names: Vec<Vec<String>>,
    #[serde(skip)]
    shared: OnceLock<Arc<[Vec<String>]>>,
}

/// A row of a sorted result.
#[derive(Clone, Debug)]
pub enum OrderedRow {
    /// A row that travelled as such.
    Packed(PackedRow),
    /// A line that was its key.
    Line([Named<'static>; 1]),
}

/// A row that is read, under its key.
pub(super) struct Keyed<'k, 'a> {
    /// The values and the origin; the row may be put behind them.
    pub(super) key: &'k mut Vec<u8>,
    /// Where the origin begins.
    pub(super) values: usize,
    fields: Vec<Named<'a>>,
    of_path: &'k [Named<'a>],
    object: &'k str,
}

impl Ordered {
    /// Sorts rows by these columns. Fields of CSV are compared as what they look like, as [`Datum::of_field`] has it, unless the dialect
    /// says that they are text; they are written as they were.
    ///
    /// # Errors
    /// Returns `sort-by` when there is no column, unless the rows are lines, which are then sorted by the line.
    pub fn new(format: RowFormat, mut by: Vec<By>) -> Result<Self> {
        if by.is_empty() {
            if format != RowFormat::Lines {
                let message = format!("the rows are {}, and no column says how they are sorted", format.name());
                return Err(Error::new(Code::SortBy, message).with_hint("name columns: --by 'price desc, town'"));
            }
            by.push(By::new("line"));
        }
        let (format, guessed) = match format {
            RowFormat::Csv(dialect) => {
                let text = dialect.with_text_or_nothing();
                (RowFormat::Csv(text), text != dialect)
            }
            other => (other, false),
        };
        Ok(Ordered { format, by, guessed, ..Ordered::default() })
    }

    /// Leaves out rows of which this does not hold, and those of which what was said before does not.
    #[must_use]
    pub fn with_only(mut self, only: Only) -> Self {
        self.only.push(only);
        self
    }

    /// Writes these columns alone, in this order.
    #[must_use]
    pub fn with_columns(self, columns: Vec<String>) -> Self {
        Ordered { columns, ..self }
    }

    /// Writes fields of CSV as what they look like, for a result that tells numbers from text, as JSON does.
    #[must_use]
    pub fn with_values(self) -> Self {
        Ordered { guessed_out: self.guessed, ..self }
    }

    /// Makes values what the columns of a result are that stores their types. `format` is as [`kinglet_core::Rows`] must read them for
    /// that.
    #[must_use]
    pub fn with_typed(self, format: RowFormat, typed: TypedRows) -> Self {
        let names = vec![typed.types.names().map(str::to_owned).collect()];
        Ordered { format, typed: Some(typed), names, ..self }
    }

    /// Says what the names of the input's objects begin with. Where they begin otherwise, rows take more bytes on their way, and the
    /// result is the same. Keys of jobs that were told different things do not compare.
    #[must_use]
    pub fn with_common(self, common: impl Into<String>) -> Self {
        Ordered { common: common.into(), ..self }
    }

    /// Says which names rows have. Where they have others, they take more bytes on their way, and the result is the same.
    #[must_use]
    pub fn with_names(self, names: impl IntoIterator<Item = Vec<String>>) -> Self {
        if self.typed.is_some() {
            return self;
        }
        let mut known: Vec<Vec<String>> = Vec::new();
        for names in names {
            let names = if self.columns.is_empty() { names } else { self.columns.clone() };
            if known.len() < NAMES_MAX && !known.contains(&names) {
                known.push(names);
            }
        }
        Ordered { names: known, ..self }
    }

    /// Returns the same rows for a sample of the keys: of Parquet, no columns are read but those of the keys and of conditions.
    #[must_use]
    pub fn keys_alone(&self) -> Self {
        let mut keys = self.clone();
        if let Some(selection) = keys.format.in_columns_mut() {
            selection.columns = Columns::Named(self.by_columns());
            selection.agreed = None;
            keys.typed = None;
            keys.columns = Vec::new();
        }
        keys
    }

    fn by_columns(&self) -> Vec<String> {
        self.by.iter().map(|by| by.column.clone()).collect()
    }

    /// Returns how the rows are read.
    pub(super) fn input(&self) -> Batches<Located<Rows>> {
        let mut format = self.format.clone();
        if let Some(selection) = format.in_columns_mut() {
            selection.only.extend_from_slice(&self.only);
            if let Columns::Named(names) | Columns::IfThere(names) | Columns::NamedOrInPath(names) =
                &mut selection.columns
            {
                let more: Vec<String> = self.by_columns().into_iter().filter(|name| !names.contains(name)).collect();
                names.extend_from_slice(&more);
                // They are compared, and not written.
                if let Some(agreed) = &mut selection.agreed {
                    agreed.cast.extend(more);
                }
            }
        }
        Batches(Located(Rows(format)))
    }

    /// Calls `each` for every row of a batch for which all conditions hold.
    pub(super) fn for_each<'a>(
        &self,
        batch: &Batch<'a, Located<Rows>>,
        mut each: impl FnMut(Keyed<'_, 'a>) -> UserResult,
    ) -> UserResult {
        let object = batch.extent().object;
        let of_path = if self.typed.is_some() { of_path(object) } else { Vec::new() };
        let mut name = Vec::new();
        self.name_of_origin(object, &mut name);
        // Where rows lie in columns, what is read is chosen by the decoder.
        let only = if self.format.in_columns().is_some() { &[][..] } else { &self.only };
        let mut wanted: Vec<_> = only.iter().map(|only| (WantedOfAny::new(only), &only.column[..], 0)).collect();
        let mut places = vec![0; self.by.len()];
        let mut key = Vec::new();
        batch.for_each(|row| {
            let fields = row.record.fields;
            for (wanted, column, place) in &mut wanted {
                if !wanted.holds(&self.found(self.value(&fields, column, place, object)?)) {
                    return Ok(());
                }
            }
            key.clear();
            for (by, place) in self.by.iter().zip(&mut places) {
                let value = self.value(&fields, &by.column, place, object)?;
                encode_key(&by.compared(self.found(value)), by.order, &mut key);
            }
            let values = key.len();
            key.extend_from_slice(&name);
            put_offset(row.offset, &mut key);
            each(Keyed { key: &mut key, values, fields, of_path: &of_path, object })
        })
    }

    /// Finds a value where it was in the row before, or else by its name.
    fn value<'r, 'a>(
        &self,
        fields: &'r [Named<'a>],
        column: &str,
        place: &mut usize,
        object: &str,
    ) -> Result<&'r Datum<'a>> {
        if let Some(field) = fields.get(*place).filter(|field| field.name == column) {
            return Ok(&field.value);
        }
        match fields.iter().position(|field| field.name == column) {
            Some(at) => {
                *place = at;
                Ok(&fields[at].value)
            }
            None if self.format == RowFormat::JsonLines => Ok(&Datum::Null),
            None => {
                let names: Vec<Cow<'_, str>> = fields.iter().map(|field| field.name.clone()).collect();
                Err(missing_column(column, &names, object))
            }
        }
    }

    /// Returns a value as what it looks like.
    fn found<'r>(&self, value: &'r Datum<'_>) -> Cow<'r, Datum<'r>> {
        match value {
            Datum::Text(text) if self.guessed => Cow::Owned(Datum::of_field(Cow::Borrowed(text.as_bytes()))),
            other => Cow::Borrowed(other),
        }
    }

    fn name_of_origin(&self, object: &str, out: &mut Vec<u8>) {
        let (side, name) = match object.strip_prefix(&self.common) {
            Some("") => return out.push(1),
            Some(rest) => (2, rest),
            None if object < &self.common[..] => (0, object),
            None => (3, object),
        };
        out.push(side);
        for byte in name.bytes() {
            out.push(byte);
            if byte == 0 {
                out.push(1);
            }
        }
        out.extend_from_slice(&[0, 0]);
    }

    /// Returns whether the values of the key are all of the row.
    fn is_key(&self, fields: &[Named<'_>]) -> bool {
        let is_as_it_is = |by: &By| by.read != super::ReadAs::Number && by.column == "line";
        self.format == RowFormat::Lines && matches!(&self.by[..], [by] if is_as_it_is(by)) && fields.len() == 1
    }

    /// Returns what is written of a row.
    fn written<'a>(&'a self, mut fields: Vec<Named<'a>>, object: &str) -> Result<Vec<Named<'a>>> {
        if !self.columns.is_empty() {
            let take = |(name, place): (&'a String, &mut usize)| {
                let value = self.value(&fields, name, place, object)?.clone();
                Ok(Named { name: name.into(), value })
            };
            let mut places: Vec<usize> = (0..self.columns.len()).collect();
            fields = self.columns.iter().zip(&mut places).map(take).collect::<Result<_>>()?;
        }
        if self.guessed_out {
            for field in &mut fields {
                if let Datum::Text(text) = &mut field.value {
                    let bytes = match std::mem::take(text) {
                        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
                    };
                    field.value = Datum::of_field(bytes);
                }
            }
        }
        Ok(fields)
    }

    /// Takes a row out of bytes that end with it. `values` begins with the values that it was sorted by.
    ///
    /// # Errors
    /// Returns `key-decode` when it is none.
    pub(super) fn row(&self, bytes: Vec<u8>, values: Option<&[u8]>) -> Result<OrderedRow> {
        let invalid = || Error::new(Code::KeyDecode, "decoding a sorted row: the bytes are none");
        let row = row_of(&bytes).ok_or_else(invalid)?;
        if row.is_empty() {
            let order = self.by.first().ok_or_else(invalid)?.order;
            let value = decode_key(&mut values.unwrap_or(&bytes), order, Kind::default())?;
            return Ok(OrderedRow::Line([Named { name: "line".into(), value }]));
        }
        let known = self.shared.get_or_init(|| self.names.clone().into());
        Ok(OrderedRow::Packed(PackedRow::new(bytes, row, known.clone())))
    }

    /// Returns the names of the columns of a row that was sampled.
    ///
    /// # Errors
    /// As [`Self::row`].
    pub(super) fn names_of(&self, bytes: &[u8]) -> Result<Vec<String>> {
        if row_of(bytes).is_some_and(|row| row.is_empty()) {
            return Ok(vec!["line".to_owned()]);
        }
        match self.row(bytes.to_vec(), None)? {
            OrderedRow::Packed(row) => Ok(row.fields()?.into_iter().map(|field| field.name.into_owned()).collect()),
            OrderedRow::Line(line) => Ok(line.into_iter().map(|field| field.name.into_owned()).collect()),
        }
    }
}

impl<'k> Keyed<'k, '_> {
    /// Puts the row behind its values and its origin, and returns all of it.
    pub(super) fn pack(self, ordered: &Ordered) -> Result<&'k Vec<u8>> {
        let Keyed { key: out, fields, of_path, object, .. } = self;
        let start = out.len();
        match &ordered.typed {
            Some(typed) => PackedRow::pack(&typed.row(fields, of_path)?, &ordered.names, out),
            None if ordered.is_key(&fields) => {}
            None => PackedRow::pack(&ordered.written(fields, object)?, &ordered.names, out),
        }
        put_length(out.len() - start, out);
        Ok(out)
    }
}

impl Row for OrderedRow {
    fn write_fields(&self, out: &mut Vec<u8>) {
        match self {
            OrderedRow::Packed(row) => row.write_fields(out),
            OrderedRow::Line([Named { value: Datum::Text(line), .. }]) => out.extend_from_slice(line.as_bytes()),
            OrderedRow::Line(_) => {}
        }
    }

    fn write_text(&self, out: &mut Vec<u8>) -> Result<()> {
        match self {
            OrderedRow::Packed(row) => row.write_text(out),
            OrderedRow::Line(_) => {
                self.write_fields(out);
                out.push(b'\n');
                Ok(())
            }
        }
    }

    fn values(&self) -> Result<RowValues<'_>> {
        match self {
            OrderedRow::Packed(row) => row.values(),
            OrderedRow::Line(line) => Ok(RowValues::Named(Cow::Borrowed(line))),
        }
    }
}

fn put_offset(offset: u64, out: &mut Vec<u8>) {
    let bytes = offset.to_be_bytes();
    let zeros = (offset.leading_zeros() / 8) as usize;
    out.push((bytes.len() - zeros) as u8);
    out.extend_from_slice(&bytes[zeros..]);
}

fn put_length(mut length: usize, out: &mut Vec<u8>) {
    let start = out.len();
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out[start..].reverse();
}

/// Returns where the row lies among bytes that end with it and its length.
pub(super) fn row_of(bytes: &[u8]) -> Option<std::ops::Range<usize>> {
    let (mut length, mut at) = (0usize, bytes.len());
    for shift in (0..usize::BITS).step_by(7) {
        at = at.checked_sub(1)?;
        length |= usize::from(bytes[at] & 0x7f).checked_shl(shift)?;
        if bytes[at] < 0x80 {
            return Some(at.checked_sub(length)?..at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_row_is_found_by_its_length(before in any::<Vec<u8>>(), length in 0usize..40_000) {
            let mut bytes = before.clone();
            bytes.resize(before.len() + length, 7);
            put_length(length, &mut bytes);
            prop_assert_eq!(row_of(&bytes), Some(before.len()..before.len() + length));
            // Bytes that nobody wrote have a row or none.
            let _ = row_of(&before);
        }

        #[test]
        fn origins_sort_as_names_and_offsets_do(
            common in "[a/]{0,3}", names in proptest::collection::vec("[a\0/]{0,5}", 2), offsets: [u64; 2], small in 0u32..64,
        ) {
            let ordered = Ordered { common, ..Ordered::default() };
            let offsets = offsets.map(|offset| offset >> small);
            let origin = |name: &str, offset| {
                let mut bytes = Vec::new();
                ordered.name_of_origin(name, &mut bytes);
                put_offset(offset, &mut bytes);
                // Rows stand behind it.
                bytes.push(offset as u8);
                bytes
            };
            let (a, b) = (origin(&names[0], offsets[0]), origin(&names[1], offsets[1]));
            let want = (&names[0], offsets[0]).cmp(&(&names[1], offsets[1]));
            prop_assert_eq!(a.cmp(&b), want);
        }
    }
}
