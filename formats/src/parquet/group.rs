//! Decodes a row group, some rows at a time.

use super::corrupt;
use super::plan::Plan;
use super::windows::Windows;
use crate::arrow::{BLOCK_BYTES, BLOCK_ROWS_MAX, Uncolumned};
use arrow_array::RecordBatch;
use kinglet_core::guard::catch_as;
use kinglet_core::{Block, Blocks, Error, RangedObject, Result, RowGroup};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::fmt::Display;
use std::sync::Arc;

/// A row group that is to be decoded.
struct Decoding {
    plan: Plan,
    group: usize,
    windows: Windows,
}

impl Plan {
    /// Returns a row group, to be read from its object. About `room_bytes` of the object are held at once.
    pub fn row_group(&self, group: usize, object: Arc<dyn RangedObject>, room_bytes: u64) -> Arc<dyn RowGroup> {
        Arc::new(Decoding::new(self.clone(), group, object, room_bytes))
    }
}

impl Decoding {
    fn new(plan: Plan, group: usize, object: Arc<dyn RangedObject>, room_bytes: u64) -> Self {
        let decoded = &plan.0.file.0.decoded;
        let leaves = (0..decoded.parquet_schema().num_columns()).filter(|leaf| plan.0.mask.leaf_included(*leaf));
        let windows = Windows::new(object, decoded.metadata().row_group(group), leaves, room_bytes);
        Decoding { plan, group, windows }
    }

    /// Returns how many rows are decoded at once.
    fn block_rows(&self) -> usize {
        let group = self.plan.0.file.0.decoded.metadata().row_group(self.group);
        let read = group.columns().iter().enumerate().filter(|(leaf, _)| self.plan.0.mask.leaf_included(*leaf));
        let bytes: u64 = read.map(|(_, column)| u64::try_from(column.uncompressed_size()).unwrap_or(0)).sum();
        let rows = self.plan.0.file.0.groups[self.group].rows;
        let each = (bytes / rows.max(1)).max(1);
        (BLOCK_BYTES / each).clamp(1, BLOCK_ROWS_MAX) as usize
    }
}

impl RowGroup for Decoding {
    fn ahead(&self) {
        self.windows.ahead();
    }

    fn open(&self) -> Result<Box<dyn Blocks>> {
        let file = &self.plan.0.file.0;
        let left = file.groups[self.group].rows;
        if self.plan.0.chosen.decoded.is_empty() {
            return Ok(Box::new(Uncolumned { left }));
        }
        self.windows.ahead();
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.windows.clone(), file.decoded.clone());
        let builder = builder.with_row_groups(vec![self.group]).with_projection(self.plan.0.mask.clone());
        let builder = builder.with_batch_size(self.block_rows());
        let mut rows =
            Rows { plan: self.plan.clone(), group: self.group, windows: self.windows.clone(), left, reader: None };
        rows.reader = Some(rows.decode(|| builder.build())?);
        Ok(Box::new(rows))
    }
}

/// The rows of a row group, as they are decoded.
struct Rows {
    plan: Plan,
    group: usize,
    windows: Windows,
    /// How many rows are still to come.
    left: u64,
    reader: Option<ParquetRecordBatchReader>,
}

impl Rows {
    /// Runs the decoder. Its errors are of the file, unless the file could not be read.
    fn decode<T, E: Display>(&self, decoder: impl FnOnce() -> std::result::Result<T, E>) -> Result<T> {
        let says = match catch_as("the decoder of Parquet", decoder) {
            Ok(Ok(decoded)) => return Ok(decoded),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        Err(self.windows.failed().unwrap_or_else(|| self.corrupt(says)))
    }

    fn corrupt(&self, what: impl Display) -> Error {
        corrupt(&self.plan.0.file.0.shown, format!("row group {}: {what}", self.group))
    }
}

impl Blocks for Rows {
    fn next_block(&mut self) -> Result<Option<Block>> {
        let Some(mut reader) = self.reader.take() else { return Ok(None) };
        let batch = self.decode(|| reader.next().transpose())?;
        let rows = batch.as_ref().map_or(0, RecordBatch::num_rows) as u64;
        match batch {
            Some(batch) if (1..=self.left).contains(&rows) => {
                self.left -= rows;
                self.reader = Some(reader);
                {
                    let plan = &self.plan.0;
                    Ok(Some(plan.chosen.block(plan.file.0.decoded.schema(), &batch)))
                }
            }
            None if self.left == 0 => Ok(None),
            Some(_) => Err(self.corrupt(format!("{rows} rows are decoded, and {} are left by the footer", self.left))),
            None => Err(self.corrupt(format!("it has {} rows fewer than the footer says", self.left))),
        }
    }
}
