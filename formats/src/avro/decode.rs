//! Decodes a block, some rows at a time.

use super::corrupt;
use super::cutter::too_large;
use super::file::File;
use super::unpack::{Failed, unpack};
use crate::arrow::columns::Chosen;
use crate::arrow::{BLOCK_BYTES, BLOCK_ROWS_MAX, Uncolumned};
use crate::file_blocks::FileBlock;
use arrow_array::RecordBatch;
use arrow_avro::reader::Decoder;
use arrow_schema::DataType;
use bytes::Bytes;
use kinglet_core::guard::catch_as;
use kinglet_core::{Block, Blocks, Code, Error, Framing, Result, RowGroup, Selection};
use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

/// A file with what a job wants of it.
#[derive(Clone, Debug)]
pub struct Plan(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    chosen: Chosen,
    /// Where the columns that are decoded lie in the decoder's batches, if it decodes others as well.
    among: Option<Vec<usize>>,
    /// Decoders that nobody uses, as each takes a while to make.
    idle: Mutex<Vec<Decoder>>,
    /// How many rows are decoded at once at most: a null takes a byte in the file, and in a column of fixed width as much as a value
    /// when it is decoded.
    rows_at_once: u64,
}

impl File {
    /// Returns what a job wants of the file.
    ///
    /// # Errors
    /// Returns `columns` when the file has no column of a name, or one whose type is not read or compared so.
    pub fn plan(&self, selection: &Selection) -> Result<Plan> {
        let chosen = self.of_file().chosen(selection)?;
        let mut among = None;
        let mut idle = Vec::new();
        if !chosen.decoded.is_empty() {
            let decoder = self.decoder(Some(&chosen.decoded)).or_else(|_| {
                // A type that is defined in a column that is not wanted, and named in one that is.
                among = Some(chosen.decoded.clone());
                self.decoder(None)
            });
            idle.push(decoder.map_err(|e| corrupt(&self.0.shown, e))?);
        }
        let widths = self.0.schema.fields().iter().map(|field| width(field.data_type()));
        let rows_at_once = (BLOCK_BYTES / widths.sum::<u64>().max(1)).clamp(1, BLOCK_ROWS_MAX);
        Ok(Plan(Arc::new(Inner { file: self.clone(), chosen, among, idle: Mutex::new(idle), rows_at_once })))
    }
}

/// Returns how many bytes a null of this type takes when it is decoded, as far as it is of fixed width.
fn width(of: &DataType) -> u64 {
    match of {
        DataType::FixedSizeBinary(bytes) => u64::try_from(*bytes).unwrap_or(0),
        DataType::Struct(fields) => fields.iter().map(|field| width(field.data_type())).sum(),
        _ => 0,
    }
}

impl Plan {
    /// Returns a block, to be decoded. It may unpack to at most `room_bytes`.
    pub fn block(&self, block: FileBlock, room_bytes: u64) -> Arc<dyn RowGroup> {
        Arc::new(Decoding { plan: self.clone(), block, room_bytes })
    }

    fn decoder(&self) -> Result<Decoder> {
        let idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let columns = self.0.among.is_none().then_some(&self.0.chosen.decoded[..]);
        idle.map_or_else(|| self.0.file.decoder(columns), Ok).map_err(|e| corrupt(&self.0.file.0.shown, e))
    }
}

/// A block that is to be decoded.
struct Decoding {
    plan: Plan,
    block: FileBlock,
    room_bytes: u64,
}

impl RowGroup for Decoding {
    /// Its bytes are there.
    fn ahead(&self) {}

    fn open(&self) -> Result<Box<dyn Blocks>> {
        let FileBlock { lies, rows, bytes } = &self.block;
        if self.plan.0.chosen.decoded.is_empty() {
            return Ok(Box::new(Uncolumned { left: *rows }));
        }
        let file = &self.plan.0.file;
        let unpacked = unpack(file.0.codec, bytes, self.room_bytes).map_err(|failed| match failed {
            Failed::Corrupt(what) => self.corrupt(format!("unpacking it ({}): {what}", file.codec())),
            Failed::TooLarge => {
                too_large(file, lies.from, format!("it unpacks to more than {} bytes", self.room_bytes))
            }
            Failed::Missing(feature) => {
                let message =
                    format!("{} is compressed by {}, and this program is built without it", file.0.shown, file.codec());
                Error::new(Code::CodecMissing, message)
                    .with_hint(format!("build the program with the feature `{feature}` of the crate kinglet"))
            }
        })?;
        let decoder = self.plan.decoder()?;
        Ok(Box::new(Rows {
            plan: self.plan.clone(),
            from: lies.from,
            bytes: unpacked,
            at: 0,
            row: 0,
            rows: *rows,
            decoder: Some(decoder),
        }))
    }

    fn place(&self, row: u64) -> String {
        let from = self.block.lies.from;
        format!("row {} of the block at byte {from}", row - Framing::place_in_block(from, 0))
    }
}

impl Decoding {
    fn corrupt(&self, what: String) -> Error {
        corrupt(&self.plan.0.file.0.shown, format!("the block at byte {}: {what}", self.block.lies.from))
    }
}

/// The rows of a block, as they are decoded.
struct Rows {
    plan: Plan,
    from: u64,
    bytes: Bytes,
    at: usize,
    row: u64,
    rows: u64,
    /// There is none after an error.
    decoder: Option<Decoder>,
}

impl Rows {
    fn corrupt(&self, what: impl std::fmt::Display) -> Error {
        corrupt(&self.plan.0.file.0.shown, format!("the block at byte {}: {what}", self.from))
    }

    /// Decodes some rows.
    fn batch(&mut self, decoder: &mut Decoder) -> Result<RecordBatch> {
        let (first, start, most) = (self.row, self.at, self.plan.0.rows_at_once);
        let are_read = Cell::new(false);
        let decoded = catch_as("the decoder of Avro", || {
            let enough = |row: u64, at: usize| row - first == most || (at - start) as u64 >= BLOCK_BYTES;
            while self.row < self.rows && !enough(self.row, self.at) {
                let taken = decoder.decode(&self.bytes[self.at..])?;
                self.at = (self.at + taken).min(self.bytes.len());
                self.row += 1;
            }
            are_read.set(true);
            decoder.flush()
        });
        // What is wrong with text and enums is found when all rows are read.
        let failed = match are_read.get() {
            true => format!("rows {first} to {}", self.row.saturating_sub(1)),
            false => format!("row {}", self.row),
        };
        match decoded {
            Ok(Ok(Some(batch))) if batch.num_rows() as u64 == self.row - first => match &self.plan.0.among {
                None => Ok(batch),
                Some(columns) => batch.project(columns).map_err(|e| self.corrupt(e)),
            },
            Ok(Ok(_)) => Err(self.corrupt("it is decoded to another number of rows")),
            Ok(Err(error)) => Err(self.corrupt(format!("{failed}: {error}"))),
            Err(panic) => Err(self.corrupt(format!("{failed}: {panic}"))),
        }
    }
}

impl Blocks for Rows {
    fn next_block(&mut self) -> Result<Option<Block>> {
        let Some(mut decoder) = self.decoder.take() else { return Ok(None) };
        if self.row == self.rows {
            let behind = self.bytes.len() - self.at;
            if behind > 0 {
                return Err(self.corrupt(format!("{behind} bytes are behind the last of its {} rows", self.rows)));
            }
            self.plan.0.idle.lock().unwrap_or_else(PoisonError::into_inner).push(decoder);
            return Ok(None);
        }
        let batch = self.batch(&mut decoder)?;
        self.decoder = Some(decoder);
        Ok(Some(self.plan.0.chosen.block(&self.plan.0.file.0.schema, &batch)))
    }
}
