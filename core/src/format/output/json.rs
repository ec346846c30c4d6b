//! JSON lines: a value a line. What JSON has no value for is an error, and never written as something else:
//!
//! | value | is written as |
//! |---|---|
//! | null, a boolean, text, a list, a struct | the same |
//! | a whole number of any length | its digits; not every reader takes more than 64 bits |
//! | a float | as few digits as are read as the same float, with a point or an exponent |
//! | NaN, an infinity | an error |
//! | bytes that are not UTF-8 | an error |

use super::columns::{Columns, Placed};
use crate::error::{Code, Error, Result};
use crate::format::datum::is_number;
use crate::format::{Datum, RowValues};

/// What writes the records of one part.
pub(crate) struct JsonWriter {
    columns: Columns,
}

impl JsonWriter {
    pub(super) fn new(columns: Columns) -> Self {
        JsonWriter { columns }
    }

    pub(super) fn push(&mut self, record: &RowValues<'_>, out: &mut Vec<u8>) -> Result<()> {
        if self.columns.are_given() {
            let placed = self.columns.place(record)?;
            write_object(self.columns.names().unwrap_or_default(), &placed, out)?;
        } else {
            match record {
                RowValues::One(value) => write_json(value, out)?,
                RowValues::Listed(values) => write_list(values, out)?,
                RowValues::Named(fields) => write_struct(fields, out)?,
            }
        }
        out.push(b'\n');
        Ok(())
    }
}

fn write_object(names: &[String], values: &Placed<'_, '_>, out: &mut Vec<u8>) -> Result<()> {
    out.push(b'{');
    values.for_each(|at, value| {
        if at > 0 {
            out.push(b',');
        }
        write_text(names.get(at).map_or("", |name| name), out);
        out.push(b':');
        write_json(value, out)
    })?;
    out.push(b'}');
    Ok(())
}

fn write_struct(fields: &[crate::format::Named<'_>], out: &mut Vec<u8>) -> Result<()> {
    out.push(b'{');
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_text(&field.name, out);
        out.push(b':');
        write_json(&field.value, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_list(values: &[Datum<'_>], out: &mut Vec<u8>) -> Result<()> {
    out.push(b'[');
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_json(value, out)?;
    }
    out.push(b']');
    Ok(())
}

/// Appends a value as JSON.
///
/// # Errors
/// Returns `output-value` for what JSON has no value for.
pub(crate) fn write_json(value: &Datum<'_>, out: &mut Vec<u8>) -> Result<()> {
    match value {
        Datum::Null => out.extend_from_slice(b"null"),
        Datum::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Datum::Int(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        Datum::Float(number) if number.is_finite() => encode(number, out),
        Datum::Float(number) => {
            return Err(Error::new(Code::OutputValue, format!("{number} is no number of JSON"))
                .with_hint("make None of it, or write CSV"));
        }
        Datum::Decimal(digits) if is_number(digits) => out.extend_from_slice(digits.as_bytes()),
        Datum::Text(text) | Datum::Decimal(text) => write_text(text, out),
        Datum::Temporal(time) => write_text(&time.to_string(), out),
        Datum::Bytes(bytes) => {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(64)]);
            let message = format!("text of JSON is UTF-8, and {shown:?} is not");
            return Err(Error::new(Code::OutputValue, message).with_hint("write CSV, or text of another encoding"));
        }
        Datum::List(values) => write_list(values, out)?,
        Datum::Struct(fields) => write_struct(fields, out)?,
    }
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    encode(text, out);
}

fn encode<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    // Writing text or a finite number to a Vec cannot fail.
    let _ = serde_json::to_writer(out, value);
}
