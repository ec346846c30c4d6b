//! One row of CSV: where it ends, and its fields, strictly as the dialect has them.

use super::CsvDialect;
use crate::format::quotes::Within;
use memchr::{memchr, memchr_iter, memchr2, memchr3};
use std::borrow::Cow;

/// What is wrong with a row, apart from how many fields it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A field that does not begin with a quote has one.
    QuoteInText,
    /// Something comes between the end of a quoted field and the next delimiter.
    TextBehindQuote,
    /// A quoted field does not end.
    Unclosed,
    /// A carriage return stands outside of quotes and before no line feed.
    CarriageReturn,
    /// Nothing comes behind an escape.
    Escape,
}

impl Fault {
    /// Says what is wrong with a field.
    pub(super) fn says(self, dialect: &CsvDialect) -> String {
        let quote = char::from(dialect.quote.unwrap_or(b'"'));
        match self {
            Fault::QuoteInText => format!("has a {quote} in text that is not quoted"),
            Fault::TextBehindQuote => format!("goes on behind its closing {quote}"),
            Fault::Unclosed if dialect.quoted_newlines => format!("opens with a {quote} that is never closed"),
            Fault::Unclosed => format!("opens with a {quote} that its line does not close"),
            Fault::CarriageReturn => "has a carriage return that ends no line".to_owned(),
            Fault::Escape => "ends with an escape that nothing follows".to_owned(),
        }
    }
}

/// A row's bytes, without its line's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) bytes: &'a [u8],
    /// Whether it has nothing but text and delimiters: no quote, no escape and no carriage return.
    pub(super) is_plain: bool,
}

/// The first row of some bytes.
pub(super) struct First<'a> {
    pub(super) line: Line<'a>,
    /// Where the next one starts.
    pub(super) next: usize,
}

/// Takes the first row off the bytes, which may be one without a line feed.
#[inline]
pub(super) fn next_line<'a>(dialect: &CsvDialect, bytes: &'a [u8]) -> First<'a> {
    let newline = memchr(b'\n', bytes);
    let mut end = newline.unwrap_or(bytes.len());
    let quote = dialect.quote.unwrap_or(b'\r');
    let special = match dialect.escape {
        Some(escape) => memchr3(quote, escape, b'\r', &bytes[..end]),
        None => memchr2(quote, b'\r', &bytes[..end]),
    };
    let mut next = (end + 1).min(bytes.len());
    let is_plain = special.is_none_or(|at| at + 1 == end && bytes[at] == b'\r');
    if let Some(quotes) = dialect.quotes_over_lines().filter(|_| !is_plain) {
        let ended = quotes.first_end(Within::default(), bytes);
        next = ended.unwrap_or(bytes.len());
        end = ended.map_or(bytes.len(), |next| next - 1);
    }
    if bytes[..end].ends_with(b"\r") {
        end -= 1;
    }
    First { line: Line { bytes: &bytes[..end], is_plain }, next }
}

/// The fields of a row, without their quotes.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    dialect: CsvDialect,
    left: Option<&'a [u8]>,
    is_plain: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn of(dialect: CsvDialect, line: Line<'a>) -> Self {
        Fields { dialect, left: Some(line.bytes), is_plain: line.is_plain }
    }

    /// Ends the field at `end`, and goes on behind it.
    fn end(&mut self, bytes: &'a [u8], end: usize) {
        self.left = bytes.get(end + 1..);
    }

    fn quoted(&mut self, bytes: &'a [u8], quote: u8) -> Result<Cow<'a, [u8]>, Fault> {
        let mut owned: Option<Vec<u8>> = None;
        let mut from = 1;
        let mut at = 1;
        loop {
            let special = match self.dialect.escape {
                Some(escape) => memchr2(quote, escape, &bytes[at..]),
                None => memchr(quote, &bytes[at..]),
            };
            at += special.ok_or(Fault::Unclosed)?;
            let behind = bytes.get(at + 1);
            if self.dialect.escape == Some(bytes[at]) && bytes[at] != quote {
                behind.ok_or(Fault::Unclosed)?;
                owned.get_or_insert_default().extend_from_slice(&bytes[from..at]);
                (from, at) = (at + 1, at + 2);
            } else if behind == Some(&quote) {
                owned.get_or_insert_default().extend_from_slice(&bytes[from..=at]);
                (from, at) = (at + 2, at + 2);
            } else if behind.is_some_and(|byte| *byte != self.dialect.delimiter) {
                return Err(Fault::TextBehindQuote);
            } else {
                self.end(bytes, at + 1);
                return Ok(match owned {
                    None => Cow::Borrowed(&bytes[from..at]),
                    Some(mut owned) => {
                        owned.extend_from_slice(&bytes[from..at]);
                        Cow::Owned(owned)
                    }
                });
            }
        }
    }

    fn text(&mut self, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, Fault> {
        if let Some(escape) = self.dialect.escape {
            return self.text_with(bytes, escape);
        }
        let end = memchr(self.dialect.delimiter, bytes).unwrap_or(bytes.len());
        let field = &bytes[..end];
        if !self.is_plain {
            let quote = self.dialect.quote.unwrap_or(b'\r');
            match memchr2(quote, b'\r', field).map(|at| field[at]) {
                Some(b'\r') => return Err(Fault::CarriageReturn),
                Some(_) => return Err(Fault::QuoteInText),
                None => {}
            }
        }
        self.end(bytes, end);
        Ok(Cow::Borrowed(field))
    }

    fn text_with(&mut self, bytes: &'a [u8], escape: u8) -> Result<Cow<'a, [u8]>, Fault> {
        let mut owned: Option<Vec<u8>> = None;
        let (mut from, mut at) = (0, 0);
        while let Some(byte) = bytes.get(at).filter(|byte| **byte != self.dialect.delimiter) {
            match *byte {
                byte if byte == escape => {
                    bytes.get(at + 1).ok_or(Fault::Escape)?;
                    owned.get_or_insert_default().extend_from_slice(&bytes[from..at]);
                    (from, at) = (at + 1, at + 2);
                }
                b'\r' => return Err(Fault::CarriageReturn),
                byte if Some(byte) == self.dialect.quote => return Err(Fault::QuoteInText),
                _ => at += 1,
            }
        }
        self.end(bytes, at);
        Ok(match owned {
            None => Cow::Borrowed(&bytes[..at]),
            Some(mut owned) => {
                owned.extend_from_slice(&bytes[from..at]);
                Cow::Owned(owned)
            }
        })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Cow<'a, [u8]>, Fault>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.left.take()?;
        Some(match (bytes.first(), self.dialect.quote) {
            (Some(first), Some(quote)) if *first == quote => self.quoted(bytes, quote),
            _ => self.text(bytes),
        })
    }
}

/// What is wrong with which field.
pub(super) struct FieldFault {
    pub(super) field: usize,
    pub(super) fault: Fault,
}

/// Returns how many fields a row has, or what is wrong with the first that is not valid.
#[inline]
pub(super) fn count(dialect: CsvDialect, line: Line<'_>) -> Result<usize, FieldFault> {
    if line.is_plain {
        return Ok(memchr_iter(dialect.delimiter, line.bytes).count() + 1);
    }
    let mut count = 0;
    for field in Fields::of(dialect, line) {
        field.map_err(|fault| FieldFault { field: count, fault })?;
        count += 1;
    }
    Ok(count)
}
