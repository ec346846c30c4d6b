//! Output formats: how the records of a result become the bytes of a part, one file for each.
//!
//! | format | a record is | its values |
//! |---|---|---|
//! | text | a line, with tabs between the fields | as [`Row::write_fields`] has them |
//! | CSV | a row by RFC 4180, behind a head with the names of the columns | `csv.rs` |
//! | JSON lines | a line: an object if the columns have names, otherwise an array, or the one value that it is | `json.rs` |
//! | Parquet | a row of columns that are named and typed beforehand | `typed.rs`, and `formats/src/parquet/write.rs` for the bytes |
//!
//! A record's columns have names if it is a struct ([`SerdeRow`](super::SerdeRow)), or if the format names them. In CSV those
//! without a name are called `1`, `2`, …, as they are where CSV without a head is read. All records of a part have the same
//! columns: `columns.rs` says what becomes of others.
//!
//! The values of some columns may be folders, `folders.rs`, which are taken out of a record before a format sees it.
//!
//! Whether parts are compressed does not concern a format: `formats/src/pack.rs` does that to its bytes.
//!
//! To add a format, add a file here, a variant of [`Written`] in `core/src/output.rs` and one of [`RowWriter`]; the compiler asks for the rest.

mod columns;
mod csv;
mod folders;
mod json;
#[cfg(test)]
mod tests;
mod typed;

pub use folders::Folders;
pub use typed::{OpenTyped, TypedWriter, no_typed_writer};

use super::{Row, RowValues};
use crate::error::{Code, Error, Result};
use crate::output::{OutputFormat, Written};
use columns::Columns;
use csv::CsvWriter;
use json::JsonWriter;
use typed::TypedRows;

/// What writes the records of one part.
pub(crate) enum RowWriter {
    Text,
    Csv(CsvWriter),
    JsonLines(JsonWriter),
    Typed(TypedRows),
}

impl RowWriter {
    /// Makes the writer of a format. `open` opens what writes a format that stores types.
    pub(crate) fn new(format: &OutputFormat, open: &OpenTyped) -> Result<Self> {
        let columns = Columns::new(format.columns());
        Ok(match format.written() {
            Written::Text => RowWriter::Text,
            Written::Csv { delimiter, head } => RowWriter::Csv(CsvWriter::new(columns, *delimiter, *head)),
            Written::JsonLines => RowWriter::JsonLines(JsonWriter::new(columns)),
            Written::Parquet { types, .. } => RowWriter::Typed(TypedRows::new(types.clone(), open.call(format)?)),
        })
    }

    /// Appends a record.
    #[inline]
    pub(crate) fn push<R: Row>(&mut self, record: &R, out: &mut Vec<u8>) -> Result<()> {
        match self {
            RowWriter::Text => record.write_text(out),
            RowWriter::Csv(csv) => csv.push(&record.values()?, out),
            RowWriter::JsonLines(json) => json.push(&record.values()?, out),
            RowWriter::Typed(rows) => rows.push(&record.values()?, out),
        }
    }

    /// Appends the values of a record, in a format that keeps them apart.
    pub(crate) fn push_values(&mut self, values: &RowValues<'_>, out: &mut Vec<u8>) -> Result<()> {
        match self {
            // A format that is text is not partitioned: see `OutputFormat::check`.
            RowWriter::Text => Err(Error::new(Code::OutputFormat, "text has no columns that could be folders")),
            RowWriter::Csv(csv) => csv.push(values, out),
            RowWriter::JsonLines(json) => json.push(values, out),
            RowWriter::Typed(rows) => rows.push(values, out),
        }
    }

    /// Appends what comes behind the last record.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        match self {
            RowWriter::Csv(csv) => csv.finish(out),
            RowWriter::Typed(rows) => return rows.finish(out),
            RowWriter::Text | RowWriter::JsonLines(_) => {}
        }
        Ok(())
    }
}
