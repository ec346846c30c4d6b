//! CSV as RFC 4180 has it, with `\n` for the end of a row. What is written is read again as the same values:
//!
//! | value | is written as |
//! |---|---|
//! | null | nothing |
//! | text | itself; in quotes if it is empty or has a delimiter, a quote, or a line's end, with quotes doubled |
//! | bytes that are not UTF-8 | themselves, likewise |
//! | a boolean | `true`, `false` |
//! | a number | its digits: a float has a point or an exponent, and as few digits as are read as the same float; `NaN`, `inf` and `-inf` |
//! | a list, a struct | JSON, in quotes |
//!
//! A row of one column is `""` where its value is null, since an empty line is no row.

use super::columns::Columns;
use super::json::write_json;
use crate::error::Result;
use crate::format::{Datum, RowValues};
use memchr::memchr3;

/// What writes the rows of one part.
pub(crate) struct CsvWriter {
    columns: Columns,
    delimiter: u8,
    /// Whether the head is still to be written.
    head: bool,
    scratch: Vec<u8>,
}

impl CsvWriter {
    pub(super) fn new(columns: Columns, delimiter: u8, head: bool) -> Self {
        CsvWriter { columns, delimiter, head, scratch: Vec::new() }
    }

    pub(super) fn push(&mut self, record: &RowValues<'_>, out: &mut Vec<u8>) -> Result<()> {
        let placed = self.columns.place(record)?;
        if self.head {
            self.write_head(out);
        }
        let (delimiter, start) = (self.delimiter, out.len());
        placed.for_each(|at, value| {
            if at > 0 {
                out.push(delimiter);
            }
            write_value(value, delimiter, &mut self.scratch, out)
        })?;
        end_row(start, out);
        Ok(())
    }

    /// Writes the head of a part without rows, if the format names the columns.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.head && self.columns.are_given() {
            self.write_head(out);
        }
    }

    fn write_head(&mut self, out: &mut Vec<u8>) {
        self.head = false;
        let start = out.len();
        for (at, name) in self.columns.names().unwrap_or_default().iter().enumerate() {
            if at > 0 {
                out.push(self.delimiter);
            }
            write_text(name.as_bytes(), self.delimiter, out);
        }
        end_row(start, out);
    }
}

/// Ends the row that starts here.
fn end_row(start: usize, out: &mut Vec<u8>) {
    if out.len() == start {
        out.extend_from_slice(b"\"\"");
    }
    out.push(b'\n');
}

/// Appends a value as a field. `scratch` is for what is put into quotes.
pub(super) fn write_value(value: &Datum<'_>, delimiter: u8, scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<()> {
    scratch.clear();
    match value {
        Datum::Null => return Ok(()),
        Datum::Text(text) => write_text(text.as_bytes(), delimiter, out),
        Datum::Bytes(bytes) => write_text(bytes, delimiter, out),
        Datum::Decimal(digits) => write_field(digits.as_bytes(), delimiter, out),
        Datum::Bool(value) => write_field(if *value { b"true" } else { b"false" }, delimiter, out),
        Datum::Int(number) => write_field(itoa::Buffer::new().format(*number).as_bytes(), delimiter, out),
        Datum::Float(number) if !number.is_finite() => {
            write_field(number.to_string().as_bytes(), delimiter, out);
        }
        Datum::Temporal(time) => write_field(time.to_string().as_bytes(), delimiter, out),
        Datum::Float(_) | Datum::List(_) | Datum::Struct(_) => {
            write_json(value, scratch)?;
            write_field(scratch, delimiter, out);
        }
    }
    Ok(())
}

/// Appends text, in quotes if it is empty: without them it would be null.
fn write_text(text: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    // What begins like a byte order mark would be skipped as one at the start of a part without a head.
    if text.is_empty() || text.starts_with(crate::format::json::BYTE_ORDER_MARK) {
        quote(text, out);
    } else {
        write_field(text, delimiter, out);
    }
}

/// Appends a field, in quotes if it needs them: a number does if the delimiter is one of its digits.
#[inline]
fn write_field(field: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    if memchr3(b'"', b'\n', delimiter, field).is_some() || memchr::memchr(b'\r', field).is_some() {
        quote(field, out);
    } else {
        out.extend_from_slice(field);
    }
}

fn quote(field: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut from = 0;
    for at in memchr::memchr_iter(b'"', field) {
        out.extend_from_slice(&field[from..=at]);
        from = at;
    }
    out.extend_from_slice(&field[from..]);
    out.push(b'"');
}
