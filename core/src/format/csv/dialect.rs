//! How CSV is written.

use super::BYTE_ORDER_MARK;
use crate::format::datum::{Datum, of_bytes};
use crate::format::quotes::Quotes;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How CSV is written: by default as RFC 4180 has it, with a head. It can be a field of a job's parameters.
///
/// ```
/// use kinglet_core::{Csv, CsvDialect};
///
/// let dialect = CsvDialect::new().with_delimiter(b';').with_quote(b'\'');
/// let format = Csv::<(u32, String)>::new(dialect.without_head());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "hand it to a format"]
pub struct CsvDialect {
    pub(crate) delimiter: u8,
    pub(crate) quote: Option<u8>,
    pub(crate) escape: Option<u8>,
    pub(crate) head: bool,
    pub(crate) quoted_newlines: bool,
    pub(crate) short_rows: bool,
    pub(crate) fields: FieldsAre,
}

/// What the fields of a row without types are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FieldsAre {
    /// As [`Datum::of_field`] has them.
    Guessed,
    /// Text.
    Text,
    /// Text, or nothing if they are empty.
    TextOrNothing,
}

impl Default for CsvDialect {
    fn default() -> Self {
        CsvDialect {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            head: true,
            quoted_newlines: true,
            short_rows: false,
            fields: FieldsAre::Guessed,
        }
    }
}

impl CsvDialect {
    /// Returns the dialect of RFC 4180: commas, double quotes, and a head in the first line of each object.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the same with tabs in place of commas.
    pub fn tsv() -> Self {
        Self::new().with_delimiter(b'\t')
    }

    /// Sets the byte between two fields.
    pub fn with_delimiter(self, delimiter: u8) -> Self {
        CsvDialect { delimiter, ..self }
    }

    /// Sets the byte that opens and closes a quoted field; within one, it stands for itself if it is doubled.
    pub fn with_quote(self, quote: u8) -> Self {
        CsvDialect { quote: Some(quote), ..self }
    }

    /// Says that nothing is quoted: a quote is a byte like any other.
    pub fn without_quotes(self) -> Self {
        CsvDialect { quote: None, ..self }
    }

    /// Sets a byte that makes an ordinary one of the byte behind it, as `\` does in some dialects. Each object is then one split,
    /// unless line feeds always end a row.
    pub fn with_escape(self, escape: u8) -> Self {
        CsvDialect { escape: Some(escape), ..self }
    }

    /// Says that the first row of an object is a row like the others. Fields then have no names.
    pub fn without_head(self) -> Self {
        CsvDialect { head: false, ..self }
    }

    /// Says that a line feed always ends a row: no field has one. Splits are then cut at any line, and nothing is guessed.
    pub fn without_quoted_newlines(self) -> Self {
        CsvDialect { quoted_newlines: false, ..self }
    }

    /// Lets a row have fewer fields than the first one of its object: those at its end that are missing are empty. Otherwise it
    /// is refused, as one with too many always is.
    pub fn with_short_rows(self) -> Self {
        CsvDialect { short_rows: true, ..self }
    }

    /// Takes every field for text as it is written, in rows without types: `1.50` is no number then, and an empty field is empty
    /// text. A type says itself what its fields are.
    pub fn with_plain_text(self) -> Self {
        CsvDialect { fields: FieldsAre::Text, ..self }
    }

    /// Takes fields for text as they are written, unless [`Self::with_plain_text`] was said, and empty ones for nothing: for who
    /// knows their types.
    pub fn with_text_or_nothing(self) -> Self {
        match self.fields {
            FieldsAre::Guessed => CsvDialect { fields: FieldsAre::TextOrNothing, ..self },
            _ => self,
        }
    }

    /// Returns the header of an object that begins with this row, as it is written, without a byte order mark and its line's end; `None`
    /// if the dialect has none.
    pub fn header<'a>(&self, first_row: &'a [u8]) -> Option<&'a [u8]> {
        let row = first_row.strip_prefix(BYTE_ORDER_MARK).unwrap_or(first_row);
        let row = row.strip_suffix(b"\n").unwrap_or(row);
        self.head.then(|| row.strip_suffix(b"\r").unwrap_or(row))
    }

    /// Returns what a field is in a row without types.
    pub(crate) fn datum<'a>(&self, field: Cow<'a, [u8]>) -> Datum<'a> {
        match self.fields {
            FieldsAre::Guessed => Datum::of_field(field),
            FieldsAre::TextOrNothing if field.is_empty() => Datum::Null,
            FieldsAre::Text | FieldsAre::TextOrNothing => of_bytes(field),
        }
    }

    /// Returns how fields are quoted, if they are or have escapes.
    pub(crate) fn quotes_over_lines(&self) -> Option<Quotes> {
        let Self { delimiter, quote, .. } = *self;
        let escape = self.escape.filter(|escape| Some(*escape) != quote);
        // Without quotes but with escapes, no byte of a quote's is met before that of an escape.
        let quote = quote.or(escape)?;
        Some(Quotes { quote, delimiter, escape }).filter(|_| self.quoted_newlines)
    }

    /// Says which bytes cannot be told from each other, if there are any.
    pub(crate) fn clash(&self) -> Option<String> {
        let special = [Some(self.delimiter), self.quote, self.escape.filter(|escape| Some(*escape) != self.quote)];
        let special: Vec<u8> = special.into_iter().flatten().collect();
        let is_taken = |at: usize| special[..at].contains(&special[at]) || matches!(special[at], b'\n' | b'\r');
        let clash = (0..special.len()).find(|at| is_taken(*at))?;
        Some(format!("{:?} has two meanings", char::from(special[clash])))
    }
}
