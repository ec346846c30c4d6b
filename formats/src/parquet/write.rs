//! Writes rows as Parquet, in bounded memory.
//!
//! ```text
//! rows ──▶ a batch of columns ──▶ the row group: pages, encoded and compressed ──▶ bytes of the part
//!          1,024 rows or 1 MiB    until it has the bytes that are asked for,        at the end of each row group,
//!                                 or half of the room that it may take              and the footer at last
//! ```
//!
//! A row group is held until it is whole, as its columns lie one behind another; handing it on takes as much again for a moment.
//! Where there are so many columns that their open pages alone fill the room, row groups are smaller.
//!
//! The file has the types of Parquet alone, and nothing that only Arrow knows. There is no time in it, so every attempt of a task
//! writes the same bytes.

use super::build::{Building, building};
use crate::arrow::types::schema;
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use kinglet_core::{Code, Codec, Datum, Error, OutputFormat, Result, TypedWriter, no_typed_writer};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::sync::Arc;

/// The most rows of a batch.
const BATCH_ROWS: usize = 1_024;

/// About how many bytes of values a batch has at most.
const BATCH_BYTES: usize = 1 << 20;

/// The least memory that a row group is given (4 MiB): with less, each batch would be one.
const ROOM_BYTES_MIN: u64 = 4 << 20;

/// How hard zstd tries: its own default, as for what is compressed as a whole.
const ZSTD_LEVEL: i32 = 3;

/// A part that is being written.
struct Writer {
    schema: SchemaRef,
    columns: Vec<Box<dyn Building>>,
    /// What the batch has.
    rows: usize,
    bytes: usize,
    row_group_bytes: u64,
    /// How much the pages of a row group may take while it grows.
    held_bytes_max: u64,
    writer: ArrowWriter<Vec<u8>>,
}

/// Begins a part. The row group that is being written takes up to `room_bytes` of memory.
///
/// # Errors
/// Returns `format-missing` for a format that is not Parquet.
pub fn typed_writer(format: &OutputFormat, room_bytes: u64) -> Result<Box<dyn TypedWriter>> {
    let Some(typed) = format.typed() else { return no_typed_writer(format, room_bytes) };
    let schema = Arc::new(schema(typed.types.columns()));
    let compression = match typed.codec {
        Codec::None => Compression::UNCOMPRESSED,
        Codec::Snappy => Compression::SNAPPY,
        Codec::Gzip => Compression::GZIP(GzipLevel::default()),
        Codec::Lz4 => Compression::LZ4_RAW,
        _ => Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).map_err(failed)?),
    };
    let properties = WriterProperties::builder()
        .set_created_by(concat!("kinglet version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(compression)
        .set_statistics_enabled(EnabledStatistics::Page);
    let options = ArrowWriterOptions::new()
        .with_properties(properties.build())
        .with_skip_arrow_metadata(true)
        .with_schema_root("schema".to_owned());
    let writer = ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), options).map_err(failed)?;
    Ok(Box::new(Writer {
        schema,
        columns: typed.types.columns().iter().map(|column| building(&column.of)).collect(),
        rows: 0,
        bytes: 0,
        row_group_bytes: typed.row_group_bytes.max(1),
        held_bytes_max: room_bytes.max(ROOM_BYTES_MIN) / 2,
        writer,
    }))
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(Code::Upload, format!("writing the part as Parquet: {error}"))
}

/// Returns about how many bytes a value takes.
fn bytes_of(value: &Datum<'_>) -> usize {
    match value {
        Datum::Text(text) | Datum::Decimal(text) => text.len() + 8,
        Datum::Bytes(bytes) => bytes.len() + 8,
        Datum::List(values) => values.iter().map(bytes_of).sum::<usize>() + 8,
        Datum::Struct(fields) => fields.iter().map(|field| bytes_of(&field.value)).sum(),
        _ => 8,
    }
}

impl Writer {
    /// Adds the batch to the row group.
    fn end_batch(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let columns = self.columns.iter_mut().map(|column| column.finish()).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(failed)?;
        (self.rows, self.bytes) = (0, 0);
        self.writer.write(&batch).map_err(failed)
    }

    fn is_row_group_full(&self) -> bool {
        let held = self.writer.memory_size() as u64;
        self.writer.in_progress_size() as u64 >= self.row_group_bytes || held >= self.held_bytes_max
    }

    fn hand_on(&mut self, out: &mut Vec<u8>) {
        let bytes = std::mem::take(self.writer.inner_mut());
        match out.is_empty() {
            true => *out = bytes,
            false => out.extend(bytes),
        }
    }
}

impl TypedWriter for Writer {
    fn push(&mut self, column: usize, value: Datum<'_>) -> Result<()> {
        self.bytes += bytes_of(&value);
        match self.columns.get_mut(column) {
            Some(column) => column.push(value),
            None => Err(failed(format_args!("there is no column {column}"))),
        }
    }

    fn end_row(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.rows += 1;
        if self.rows < BATCH_ROWS && self.bytes < BATCH_BYTES {
            return Ok(());
        }
        self.end_batch()?;
        if !self.is_row_group_full() {
            return Ok(());
        }
        // So it is not copied again and again as it grows.
        let bytes = self.writer.in_progress_size();
        self.writer.inner_mut().reserve(bytes);
        self.writer.flush().map_err(failed)?;
        self.writer.sync().map_err(failed)?;
        self.hand_on(out);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.end_batch()?;
        let bytes = self.writer.in_progress_size();
        self.writer.inner_mut().reserve(bytes);
        self.writer.finish().map_err(failed)?;
        self.writer.sync().map_err(failed)?;
        self.hand_on(out);
        Ok(())
    }
}
