//! Rows without types: what a file has, for programs that do not know it beforehand. A row is a list of values by name.
//!
//! | format | a row's names | its values |
//! |---|---|---|
//! | [`RowFormat::Csv`] | the head's, or `1`, `2`, … without one | as [`Datum::of_field`] has them |
//! | [`RowFormat::JsonLines`] | the object's; `value` if it is none | those of JSON; a whole number beyond 64 bits is the float next to it |
//! | [`RowFormat::Lines`] | `line` | text |
//! | [`RowFormat::Fixed`] | `record` | bytes |
//! | [`RowFormat::Whole`] | `name`, `bytes` | text, bytes |
//! | [`RowFormat::Parquet`], [`RowFormat::Avro`] | the columns' | of the columns' types; maps as lists of `key` and `value` |
//!
//! Values that an object's path says, as in `year=2026/a.csv`, are columns behind these, or in place of what a row has under such
//! a name: `core/src/hive.rs` says which they are. Their values are read as those of CSV. Where columns are chosen, they are among
//! them, or left out.

mod block;
mod columns;
mod compare;
mod key;
mod picked;
mod read;
mod schema;
#[cfg(test)]
mod tests;

pub use block::{BlockRow, PackedRow, RowBlock};
pub use columns::{
    Agreed, Block, BlockColumn, BlockExtent, Blocks, Cells, Columns, Fetched, Only, RangedObject, RowGroup, Selection,
    Wanted, WantedOfAny,
};
pub use key::{KeyOrder, Kind, decode_key, encode_key, key_bytes};
pub use picked::Picked;
pub(super) use read::ReadRow;
pub use schema::{Column, ColumnType, Schema};

use super::csv::{for_each_fields, row_bytes};
use super::fixed::for_each_fixed;
use super::lines::not_valid;
use super::{
    CsvDialect, Datum, Extent, Format, Framing, JsonLines, Lines, Named, Row, RowValues, Shape, WholeObjects,
    by_rows_only,
};
use crate::error::{Code, Error, UserError, UserResult};
use crate::hive::PathPart;
use crate::side::Side;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::num::NonZeroU32;

/// The format of rows, chosen when the program runs. It can be a field of a job's parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RowFormat {
    /// Lines of text.
    #[default]
    Lines,
    /// A JSON value a line.
    JsonLines,
    /// CSV of a dialect.
    Csv(CsvDialect),
    /// Parquet, and what is read of it.
    Parquet(Selection),
    /// Avro, and what is read of it.
    Avro(Selection),
    /// Records of so many bytes, end to end.
    Fixed(NonZeroU32),
    /// Each object as one row.
    Whole,
}

impl RowFormat {
    /// Returns the format that the ending of a name says, with or without one of a codec behind it: `.csv`, `.tsv` and `.tab`,
    /// `.jsonl`, `.ndjson`, `.parquet`, `.avro`, and anything else for lines.
    pub fn named(name: &str) -> Self {
        Self::said_by(name).unwrap_or_default()
    }

    /// Returns the format that the ending of a name says, as [`Self::named`] does; `None` where it says none, as that of `part-00000`,
    /// `sales/` or `data.bin`. Those of text, `.txt` and `.log`, say lines.
    pub fn said_by(name: &str) -> Option<Self> {
        match Self::ending(name)?.as_str() {
            "csv" => Some(RowFormat::Csv(CsvDialect::new())),
            "tsv" | "tab" => Some(RowFormat::Csv(CsvDialect::tsv())),
            "jsonl" | "ndjson" => Some(RowFormat::JsonLines),
            "parquet" => Some(RowFormat::Parquet(Selection::default())),
            "avro" => Some(RowFormat::Avro(Selection::default())),
            "txt" | "log" => Some(RowFormat::Lines),
            _ => None,
        }
    }

    /// Returns the format that an object's first bytes say: that of Parquet and Avro, which no text begins as.
    pub fn begun_by(first: &[u8]) -> Option<Self> {
        match first {
            [b'P', b'A', b'R', b'1', ..] => Some(RowFormat::Parquet(Selection::default())),
            [b'O', b'b', b'j', 1, ..] => Some(RowFormat::Avro(Selection::default())),
            _ => None,
        }
    }

    /// Returns the ending of a name in small letters, before one of a codec, if it has one.
    pub fn ending(name: &str) -> Option<String> {
        let name = name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let is_codec = |name: &str| crate::Codec::named(name).ok().flatten().is_some();
        let plain = match name.rsplit_once('.') {
            Some((before, _)) if is_codec(&name) => before,
            _ => &name,
        };
        plain.rsplit_once('.').map(|(_, ending)| ending.to_owned())
    }

    /// Returns its name: `lines`, `json-lines`, `csv`, `tsv`, `parquet`, `avro`, `fixed`, `whole`.
    pub fn name(&self) -> &'static str {
        match self {
            RowFormat::Lines => "lines",
            RowFormat::JsonLines => "json-lines",
            RowFormat::Csv(dialect) if dialect.delimiter == b'\t' => "tsv",
            RowFormat::Csv(_) => "csv",
            RowFormat::Parquet(_) => "parquet",
            RowFormat::Avro(_) => "avro",
            RowFormat::Fixed(_) => "fixed",
            RowFormat::Whole => "whole",
        }
    }

    /// Returns what is read of objects whose rows lie in columns or blocks; `None` of formats of text.
    pub fn in_columns(&self) -> Option<&Selection> {
        match self {
            RowFormat::Parquet(selection) | RowFormat::Avro(selection) => Some(selection),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub fn in_columns_mut(&mut self) -> Option<&mut Selection> {
        match self {
            RowFormat::Parquet(selection) | RowFormat::Avro(selection) => Some(selection),
            _ => None,
        }
    }

    fn framing(&self) -> Framing {
        match self {
            RowFormat::Lines | RowFormat::JsonLines => Framing::Separated,
            RowFormat::Csv(dialect) => dialect.framing(),
            RowFormat::Parquet(_) => Framing::RowGroups,
            RowFormat::Avro(_) => Framing::Blocks,
            RowFormat::Fixed(bytes) => Framing::Fixed { bytes: bytes.get() as usize },
            RowFormat::Whole => Framing::Whole,
        }
    }

    fn first_cut(&self, bytes: &[u8]) -> Option<usize> {
        match self {
            RowFormat::Lines | RowFormat::JsonLines => Lines.first_cut(bytes),
            RowFormat::Csv(dialect) => dialect.first_cut(bytes),
            // Fixed records are cut at multiples of their length.
            RowFormat::Parquet(_) | RowFormat::Avro(_) | RowFormat::Fixed(_) | RowFormat::Whole => None,
        }
    }

    fn last_cut(&self, bytes: &[u8]) -> Option<usize> {
        match self {
            RowFormat::Lines | RowFormat::JsonLines => Lines.last_cut(bytes),
            RowFormat::Csv(dialect) => dialect.last_cut(bytes),
            RowFormat::Parquet(_) | RowFormat::Avro(_) | RowFormat::Fixed(_) | RowFormat::Whole => None,
        }
    }

    fn selection(&self) -> Selection {
        self.in_columns().cloned().unwrap_or_default()
    }
}

/// A row: values by name, in the order of the input.
#[derive(Clone, Debug, PartialEq)]
pub struct DataRow<'a> {
    /// The values.
    pub fields: Vec<Named<'a>>,
}

/// A record of an output whose columns are those of the row.
impl Row for DataRow<'static> {
    fn write_fields(&self, out: &mut Vec<u8>) {
        super::row::write_all(self.fields.iter().map(|field| &field.value), out);
    }

    fn values(&self) -> crate::Result<RowValues<'_>> {
        Ok(RowValues::Named((&self.fields[..]).into()))
    }
}

/// As a JSON object.
impl Serialize for DataRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        super::datum::serialize(&self.fields, to)
    }
}

/// The shape of any JSON.
struct AnyJson;

impl Shape for AnyJson {
    type Of<'a> = Datum<'a>;
}

/// Rows of a format that is chosen when the program runs.
///
/// ```
/// use kinglet_core::{CsvDialect, Datum, RowFormat, Rows, check_format};
///
/// let object = b"name,age\nAnn,41\nBob,\n";
/// let rows = Rows(RowFormat::Csv(CsvDialect::new()));
/// check_format(rows, object, &[12], 8, |row| row.fields[1].value == Datum::Null);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rows(
    /// The format.
    pub RowFormat,
);

impl Format for Rows {
    type Record<'a> = DataRow<'a>;
    const NAME: &'static str = "rows";

    fn framing(&self) -> Framing {
        self.0.framing()
    }

    fn has_head(&self) -> bool {
        matches!(self.0, RowFormat::Csv(_))
    }

    fn selection(&self) -> Selection {
        let mut selection = self.0.selection();
        if let Columns::Named(names) = selection.columns {
            selection.columns = Columns::NamedOrInPath(names);
        }
        selection
    }

    fn first_cut(&self, bytes: &[u8]) -> Option<usize> {
        self.0.first_cut(bytes)
    }

    fn last_cut(&self, bytes: &[u8]) -> Option<usize> {
        self.0.last_cut(bytes)
    }

    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        mut each: impl FnMut(usize, DataRow<'a>) -> UserResult,
    ) -> UserResult<u64> {
        let one = |name: &'static str, value| DataRow { fields: vec![Named { name: name.into(), value }] };
        let of_path = columns(extent.object);
        let mut each = |at: usize, mut row: DataRow<'a>| {
            of_path.iter().for_each(|column| row.set(column));
            each(at, row)
        };
        match &self.0 {
            RowFormat::Lines => LINES.for_each(extent, |at, line| each(at, one("line", Datum::Text(line.into())))),
            RowFormat::JsonLines => JSON.for_each(extent, |at, json| match json {
                Datum::Struct(fields) => each(at, DataRow { fields }),
                other => each(at, one("value", other)),
            }),
            RowFormat::Csv(dialect) => for_each_fields(*dialect, extent, |at, names, fields| {
                let named = names.iter().zip(fields);
                let fields = named.map(|(name, field)| Named { name: name.clone(), value: dialect.datum(field) });
                each(at, DataRow { fields: fields.collect() })
            }),
            RowFormat::Fixed(bytes) => for_each_fixed(bytes.get() as usize, extent, |at, record| {
                each(at, one("record", Datum::Bytes(record.into())))
            }),
            RowFormat::Whole => WholeObjects.for_each(extent, |at, object| {
                let mut row = one("name", Datum::Text(object.name.into()));
                row.fields.push(Named { name: "bytes".into(), value: Datum::Bytes(object.bytes.into()) });
                each(at, row)
            }),
            RowFormat::Parquet(_) | RowFormat::Avro(_) => Err(by_rows_only(Self::NAME)),
        }
    }

    fn for_each_row<'a>(
        &'a self,
        rows: BlockExtent<'a>,
        mut each: impl FnMut(usize, DataRow<'a>) -> UserResult,
    ) -> UserResult<u64> {
        let columns = rows.block.columns();
        let mut of_path = self::columns(rows.object);
        let chosen = self.0.in_columns().and_then(|selection| selection.columns.names());
        if let Some(names) = chosen {
            of_path.retain(|column| names.iter().any(|name| *name == column.name));
        }
        let place = |field: &Named<'_>| chosen.and_then(|names| names.iter().position(|name| *name == field.name));
        rows.block.for_each_row(|at| {
            let named = |column: &'a BlockColumn| Named { name: (&*column.name).into(), value: column.cells.get(at) };
            let mut row = DataRow { fields: columns.iter().map(named).collect() };
            of_path.iter().for_each(|column| row.set(column));
            if chosen.is_some() && !of_path.is_empty() {
                row.fields.sort_by_key(place);
            }
            each(at, row)
        })
    }
}

/// Returns the columns that the path of an object says.
fn columns(object: &str) -> Vec<Named<'_>> {
    let value = |part: &PathPart<'_>| match &part.value {
        Some(value) => Datum::of_field(Cow::Owned(value.clone().into_owned().into_bytes())),
        None => Datum::Null,
    };
    PathPart::all(object).map(|part| Named { value: value(&part), name: part.name }).collect()
}

impl<'a> DataRow<'a> {
    /// Sets a column, in place of what the row has under that name.
    fn set(&mut self, column: &Named<'a>) {
        match self.fields.iter_mut().find(|field| field.name == column.name) {
            Some(field) => field.value = column.value.clone(),
            None => self.fields.push(column.clone()),
        }
    }
}

static LINES: Lines = Lines;
static JSON: std::sync::LazyLock<JsonLines<AnyJson>> = std::sync::LazyLock::new(JsonLines::default);

/// Rows of a format that is chosen when the program runs, as the bytes that they are written in, without their line's end. Each is
/// checked to be valid, apart from the text of lines. Rows of Parquet and Avro, which are not written as text, are JSON objects.
#[derive(Clone, Debug, Default)]
pub struct RawRows(
    /// The format.
    pub RowFormat,
);

impl Format for RawRows {
    type Record<'a> = &'a [u8];
    const NAME: &'static str = "raw-rows";

    fn framing(&self) -> Framing {
        self.0.framing()
    }

    fn has_head(&self) -> bool {
        matches!(self.0, RowFormat::Csv(_))
    }

    fn selection(&self) -> Selection {
        self.0.selection()
    }

    fn first_cut(&self, bytes: &[u8]) -> Option<usize> {
        self.0.first_cut(bytes)
    }

    fn last_cut(&self, bytes: &[u8]) -> Option<usize> {
        self.0.last_cut(bytes)
    }

    #[inline]
    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        mut each: impl FnMut(usize, &'a [u8]) -> UserResult,
    ) -> UserResult<u64> {
        let line = |at: usize| -> &'a [u8] {
            let rest = &extent.bytes[at..];
            let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
            line.strip_suffix(b"\r").unwrap_or(line)
        };
        match &self.0 {
            RowFormat::Lines => super::ByteLines.for_each(extent, |at, _| each(at, line(at))),
            RowFormat::JsonLines => {
                static ANY: std::sync::LazyLock<JsonLines<IgnoredAny>> = std::sync::LazyLock::new(JsonLines::default);
                ANY.for_each(extent, |at, _| {
                    let json = line(at);
                    // Text that nobody reads is not looked at.
                    std::str::from_utf8(json).map_err(|e| {
                        let says = format!("the line is not the JSON that is expected: invalid unicode ({e})");
                        let error = Error::new(Code::RecordInvalid, says)
                            .with_hint("mend or remove the line, or leave some out (--max-rejected)");
                        not_valid(error.into(), extent, at)
                    })?;
                    each(at, json)
                })
            }
            RowFormat::Csv(dialect) => row_bytes(*dialect, extent, each),
            RowFormat::Fixed(bytes) => for_each_fixed(bytes.get() as usize, extent, each),
            RowFormat::Whole => WholeObjects.for_each(extent, |at, object| each(at, object.bytes)),
            RowFormat::Parquet(_) | RowFormat::Avro(_) => Err(by_rows_only(Self::NAME)),
        }
    }

    fn for_each_row<'a>(
        &'a self,
        rows: BlockExtent<'a>,
        each: impl FnMut(usize, &'a [u8]) -> UserResult,
    ) -> UserResult<u64> {
        rows.block.for_each_json(each)
    }
}

/// The first bytes of an object.
#[derive(Clone, Copy, Debug)]
pub struct FirstBytes<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Whether they are all that the object has.
    pub is_all: bool,
    /// The object's name in errors.
    pub object: &'a str,
}

/// Reads rows from the first bytes of an object: `limit` of them at most, and none that may go on behind the bytes.
///
/// # Errors
/// Returns `record-invalid` for a row that is not valid, and names its place.
pub fn first_rows<'a>(format: &'a Rows, first: FirstBytes<'a>, limit: usize) -> Result<Vec<DataRow<'a>>, Error> {
    let FirstBytes { bytes, is_all, object } = first;
    let end = match format.framing() {
        _ if is_all => bytes.len(),
        Framing::Fixed { bytes: each } => bytes.len() - bytes.len() % each.max(1),
        _ => format.last_cut(bytes).unwrap_or(0),
    };
    let extent = Extent { bytes: &bytes[..end], offset: 0, head: &[], object, side: Side::Left };
    let mut rows = Vec::new();
    let enough = "enough";
    let read = format.for_each(extent, |_, row| {
        if rows.len() == limit {
            return Err(UserError::new(enough));
        }
        rows.push(row);
        Ok(())
    });
    match read {
        Err(error) if rows.len() < limit => {
            let (at, error) = error.take_place();
            Err(error.into_error(Code::RecordInvalid).context(format!("reading {}", format.place(extent, at))))
        }
        _ => Ok(rows),
    }
}
