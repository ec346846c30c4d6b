//! Output formats: how the records of a result become the bytes of a part, one file for each.
//!
//! | format | a record is | its values |
//! |---|---|---|
//! | text | a line, with tabs between the fields | as [`Row::write_fields`] has them |
//! | CSV | a row by RFC 4180, behind a head with the names of the columns | `csv.rs` |
//! | JSON lines | a line: an object if the columns have names, otherwise an array, or the one value that it is | `json.rs` |
//!
//! A record's columns have names if it is a struct ([`SerdeRow`](super::SerdeRow)), or if the format names them. In CSV those
//! without a name are called `1`, `2`, …, as they are where CSV without a head is read. All records of a part have the same
//! columns: `columns.rs` says what becomes of others.
//!
//! Whether parts are compressed does not concern a format: `formats/src/pack.rs` does that to its bytes.
//!
//! To add a format, add a file here, a variant of [`Written`] and one of [`RowWriter`]; the compiler asks for the rest.

mod columns;
mod csv;
mod json;
#[cfg(test)]
mod tests;

use super::Row;
use crate::codecs::Codec;
use crate::error::{Code, Error, Result};
use columns::Columns;
use csv::CsvWriter;
use json::JsonWriter;
use serde::{Deserialize, Serialize};

/// How the records of a result are written: as text by default, and not compressed.
///
/// ```
/// use kinglet_core::{Codec, OutputFormat};
///
/// let format = OutputFormat::csv().with_columns(["word", "count"]).with_compression(Codec::Zstd);
/// assert_eq!(format.ending(), ".csv.zst");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "hand it to a submission"]
pub struct OutputFormat {
    written: Written,
    codec: Codec,
    /// Empty: as the records have them.
    columns: Vec<String>,
}

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Written {
    Text,
    Csv { delimiter: u8, head: bool },
    JsonLines,
}

impl Default for OutputFormat {
    fn default() -> Self {
        OutputFormat::of(Written::Text)
    }
}

impl OutputFormat {
    fn of(written: Written) -> Self {
        OutputFormat { written, codec: Codec::None, columns: Vec::new() }
    }

    /// Returns the format of lines with tabs between the fields.
    pub fn text() -> Self {
        Self::default()
    }

    /// Returns CSV by RFC 4180, with a head in each part.
    pub fn csv() -> Self {
        OutputFormat::of(Written::Csv { delimiter: b',', head: true })
    }

    /// Returns the same with tabs in place of commas.
    pub fn tsv() -> Self {
        Self::csv().with_delimiter(b'\t')
    }

    /// Returns JSON lines: a value a line.
    pub fn json_lines() -> Self {
        OutputFormat::of(Written::JsonLines)
    }

    /// Sets the byte between two fields of CSV.
    pub fn with_delimiter(self, delimiter: u8) -> Self {
        match self.written {
            Written::Csv { head, .. } => OutputFormat { written: Written::Csv { delimiter, head }, ..self },
            _ => self,
        }
    }

    /// Writes CSV without a head.
    pub fn without_head(self) -> Self {
        match self.written {
            Written::Csv { delimiter, .. } => OutputFormat { written: Written::Csv { delimiter, head: false }, ..self },
            _ => self,
        }
    }

    /// Names the columns, in order. The values of a tuple get these names; of a record whose values have names, they are written in
    /// this order, and one that it lacks is null. A record of other columns fails the job. Without this, the first record of each
    /// part says what the columns are, and all others must have the same.
    pub fn with_columns<I: IntoIterator<Item: Into<String>>>(self, columns: I) -> Self {
        OutputFormat { columns: columns.into_iter().map(Into::into).collect(), ..self }
    }

    /// Compresses each part.
    pub fn with_compression(self, codec: Codec) -> Self {
        OutputFormat { codec, ..self }
    }

    /// Returns by which codec parts are compressed.
    pub fn compression(&self) -> Codec {
        self.codec
    }

    /// Returns its name: `text`, `csv`, `tsv`, `json-lines`.
    pub fn name(&self) -> &'static str {
        match self.written {
            Written::Text => "text",
            Written::Csv { delimiter: b'\t', .. } => "tsv",
            Written::Csv { .. } => "csv",
            Written::JsonLines => "json-lines",
        }
    }

    /// Returns how the names of parts end, as `.csv.gz`; text that is not compressed has no ending.
    pub fn ending(&self) -> String {
        let of_format = match self.name() {
            "text" => "",
            "json-lines" => ".jsonl",
            "tsv" => ".tsv",
            _ => ".csv",
        };
        format!("{of_format}{}", self.codec.ending())
    }

    /// Returns whether a part's name may end so. A name that ends otherwise is no part's.
    pub(crate) fn is_ending(ending: &str) -> bool {
        let plain = Codec::ALL.iter().find_map(|codec| match codec.ending() {
            "" => None,
            of_codec => ending.strip_suffix(of_codec),
        });
        matches!(plain.unwrap_or(ending), "" | ".csv" | ".tsv" | ".jsonl")
    }

    /// Checks that what is written can be read again.
    ///
    /// # Errors
    /// Returns `output-format` when the bytes of CSV could not be told apart, when two columns have one name, or when the columns
    /// of text are named.
    pub fn check(&self) -> Result<()> {
        let refused = |says: String, hint: &str| Err(Error::new(Code::OutputFormat, says).with_hint(hint));
        match self.written {
            Written::Csv { delimiter: delimiter @ (b'"' | b'\n' | b'\r'), .. } => {
                let says = format!("fields of CSV cannot be told apart by {:?}", char::from(delimiter));
                return refused(says, "take another byte as the delimiter");
            }
            Written::Text if !self.columns.is_empty() => {
                return refused("the columns of text have no names".to_owned(), "write CSV or JSON lines");
            }
            _ => {}
        }
        match (0..self.columns.len()).find(|at| self.columns[..*at].contains(&self.columns[*at])) {
            Some(twice) => refused(
                format!("two columns of the output are called {:?}", self.columns[twice]),
                "give one of them another name",
            ),
            None => Ok(()),
        }
    }
}

/// What writes the records of one part.
pub(crate) enum RowWriter {
    Text,
    Csv(CsvWriter),
    JsonLines(JsonWriter),
}

impl RowWriter {
    pub(crate) fn new(format: &OutputFormat) -> Self {
        let columns = Columns::new(&format.columns);
        match format.written {
            Written::Text => RowWriter::Text,
            Written::Csv { delimiter, head } => RowWriter::Csv(CsvWriter::new(columns, delimiter, head)),
            Written::JsonLines => RowWriter::JsonLines(JsonWriter::new(columns)),
        }
    }

    /// Appends a record.
    #[inline]
    pub(crate) fn push<R: Row>(&mut self, record: &R, out: &mut Vec<u8>) -> Result<()> {
        match self {
            RowWriter::Text => record.write_text(out),
            RowWriter::Csv(csv) => csv.push(&record.values()?, out),
            RowWriter::JsonLines(json) => json.push(&record.values()?, out),
        }
    }

    /// Appends what comes behind the last record.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if let RowWriter::Csv(csv) = self {
            csv.finish(out);
        }
    }
}
