//! Rows of a format that stores the types of its columns. A record has these columns, in any order, and none besides; one that it lacks
//! is null. A value that its column's type cannot hold is an error: `core/src/format/typed.rs` says what a type takes.
//!
//! The bytes are another crate's: core knows no such format, and is given what writes one ([`OpenTyped`]).

use super::columns::Columns;
use crate::error::{Code, Error, Result};
use crate::format::typed::cast;
use crate::format::{Datum, RowValues};
use crate::output::OutputFormat;
use crate::types::Types;

/// What makes the bytes of a part, whose format stores the types of its columns.
pub trait TypedWriter: Send {
    /// Takes the next row's value of a column, which is null or as the column's type has it. Each column of a row is given once, in
    /// order.
    ///
    /// # Errors
    /// Returns the error that keeps it from being written; the part is then never finished.
    fn push(&mut self, column: usize, value: Datum<'_>) -> Result<()>;

    /// Ends a row, and appends the bytes that are finished by then; most rows finish none.
    ///
    /// # Errors
    /// As [`TypedWriter::push`].
    fn end_row(&mut self, out: &mut Vec<u8>) -> Result<()>;

    /// Appends all that is left.
    ///
    /// # Errors
    /// As [`TypedWriter::push`].
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()>;
}

/// Opens what writes a part of a format that stores types.
#[derive(Clone, Copy, Debug)]
pub struct OpenTyped {
    /// Opens it. The second is how many bytes of memory it may take.
    pub open: fn(&OutputFormat, u64) -> Result<Box<dyn TypedWriter>>,
    /// How many bytes of memory it may take.
    pub room_bytes: u64,
}

impl OpenTyped {
    pub(super) fn call(&self, format: &OutputFormat) -> Result<Box<dyn TypedWriter>> {
        (self.open)(format, self.room_bytes)
    }
}

/// What stands for the writer in a program that has none.
impl Default for OpenTyped {
    fn default() -> Self {
        OpenTyped { open: no_typed_writer, room_bytes: 0 }
    }
}

/// Refuses to write a format that stores types.
///
/// # Errors
/// Returns `format-missing`.
pub fn no_typed_writer(format: &OutputFormat, _: u64) -> Result<Box<dyn TypedWriter>> {
    let message = format!("the output is {}, and this program is built without it", format.name());
    Err(Error::new(Code::FormatMissing, message)
        .with_hint("build the program with the feature `parquet` of the crate kinglet"))
}

/// What writes the records of one part; see the module.
pub(crate) struct TypedRows {
    types: Types,
    columns: Columns,
    writer: Box<dyn TypedWriter>,
}

impl TypedRows {
    pub(super) fn new(types: Types, writer: Box<dyn TypedWriter>) -> Self {
        let names: Vec<String> = types.names().map(str::to_owned).collect();
        TypedRows { columns: Columns::new(&names), types, writer }
    }

    pub(super) fn push(&mut self, record: &RowValues<'_>, out: &mut Vec<u8>) -> Result<()> {
        let TypedRows { types, columns, writer } = self;
        columns.place(record)?.for_each(|at, value| {
            let Some(column) = types.columns().get(at) else { return Ok(()) };
            let value = cast(value.clone(), &column.of).map_err(|misfit| misfit.of(column, Code::OutputValue))?;
            writer.push(at, value)
        })?;
        writer.end_row(out)
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.writer.finish(out)
    }
}
