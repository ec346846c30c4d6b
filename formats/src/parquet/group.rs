//! Decodes a row group, some rows at a time.

use super::corrupt;
use super::pages::{Fetching, Pages, Paging, Wanted, all};
use super::plan::Plan;
use super::windows::Windows;
use crate::arrow::{BLOCK_BYTES, BLOCK_ROWS_MAX, Uncolumned};
use arrow_array::RecordBatch;
use kinglet_core::guard::catch_as;
use kinglet_core::{Block, Blocks, Error, RangedObject, Result, RowGroup};
use parquet::arrow::arrow_reader::{
    ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection, RowSelectionPolicy,
};
use std::collections::VecDeque;
use std::fmt::Display;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// A row group that is to be decoded.
struct Decoding {
    plan: Plan,
    group: usize,
    object: Arc<dyn RangedObject>,
    room_bytes: u64,
    reads: Mutex<Reads>,
}

/// What is read of a row group first.
enum Reads {
    /// Its columns.
    Columns(Windows),
    /// The indexes of its pages, which say what else.
    Indexes(Wanted),
    /// These indexes, which are on their way.
    Fetching(Fetching),
    /// It is open.
    Nothing,
}

impl Plan {
    /// Returns a row group, to be read from its object. About `room_bytes` of the object are held at once.
    pub fn row_group(&self, group: usize, object: Arc<dyn RangedObject>, room_bytes: u64) -> Arc<dyn RowGroup> {
        self.paged_row_group(group, object, room_bytes, Paging::default())
    }

    /// The same; `paging` says when pages are looked at.
    pub(super) fn paged_row_group(
        &self,
        group: usize,
        object: Arc<dyn RangedObject>,
        room_bytes: u64,
        paging: Paging,
    ) -> Arc<dyn RowGroup> {
        Arc::new(Decoding::new(self.clone(), group, object, room_bytes, paging))
    }
}

impl Decoding {
    fn new(plan: Plan, group: usize, object: Arc<dyn RangedObject>, room_bytes: u64, paging: Paging) -> Self {
        let decoding = Decoding { plan, group, object, room_bytes, reads: Mutex::new(Reads::Nothing) };
        let reads = match Wanted::of(&decoding.plan, group, paging) {
            Some(wanted) => Reads::Indexes(wanted),
            None => Reads::Columns(decoding.columns()),
        };
        Decoding { reads: Mutex::new(reads), ..decoding }
    }

    /// Returns the windows of all that the job wants of its columns.
    fn columns(&self) -> Windows {
        let group = self.plan.0.file.0.decoded.metadata().row_group(self.group);
        Windows::new(self.object.clone(), group, self.plan.leaves().into_iter(), self.room_bytes)
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
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        *reads = match std::mem::replace(&mut *reads, Reads::Nothing) {
            Reads::Indexes(wanted) => Reads::Fetching(wanted.fetch(&*self.object)),
            other => other,
        };
        if let Reads::Columns(windows) = &*reads {
            windows.ahead();
        }
    }

    fn open(&self) -> Result<Box<dyn Blocks>> {
        let file = &self.plan.0.file.0;
        let rows = file.groups[self.group].rows;
        if self.plan.0.chosen.decoded.is_empty() {
            return Ok(Box::new(Uncolumned { left: rows }));
        }
        self.ahead();
        let reads = std::mem::replace(&mut *self.reads.lock().unwrap_or_else(PoisonError::into_inner), Reads::Nothing);
        let (windows, pages) = match reads {
            Reads::Columns(windows) => (windows, None),
            Reads::Fetching(fetching) => match fetching.pages(&self.plan, self.group)? {
                Some(pages) => (Windows::of(self.object.clone(), pages.ranges.clone(), self.room_bytes), Some(pages)),
                None => (self.columns(), None),
            },
            Reads::Indexes(_) | Reads::Nothing => (self.columns(), None),
        };
        windows.ahead();
        let (decoded, group, selected) = match pages {
            Some(Pages { rows, decoded, .. }) => (decoded, 0, rows),
            None => (file.decoded.clone(), self.group, all(usize::try_from(rows).unwrap_or(usize::MAX))),
        };
        let has_rows = !selected.is_empty();
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(windows.clone(), decoded);
        let builder = builder.with_row_groups(vec![group]).with_projection(self.plan.0.mask.clone());
        let builder = builder.with_batch_size(self.block_rows());
        let total = usize::try_from(rows).unwrap_or(usize::MAX);
        let builder = match selected[..] {
            [ref whole] if *whole == (0..total) => builder,
            _ => builder
                .with_row_selection_policy(RowSelectionPolicy::Selectors)
                .with_row_selection(RowSelection::from_consecutive_ranges(selected.iter().cloned(), total)),
        };
        let mut rows = Rows {
            plan: self.plan.clone(),
            group: self.group,
            windows,
            at: 0,
            total,
            selected: selected.into(),
            ready: VecDeque::new(),
            reader: None,
        };
        if has_rows {
            rows.reader = Some(rows.decode(|| builder.build())?);
        }
        Ok(Box::new(rows))
    }
}

/// The rows of a row group, as they are decoded.
struct Rows {
    plan: Plan,
    group: usize,
    windows: Windows,
    /// How many of its rows were given out, or are ready to be, and how many there are.
    at: usize,
    total: usize,
    /// Those of the rest that are decoded, in order.
    selected: VecDeque<Range<usize>>,
    /// What was decoded and not given out yet.
    ready: VecDeque<Block>,
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

impl Rows {
    /// Passes rows over up to one of them.
    fn pass_over(&mut self, to: usize) {
        if self.at < to {
            let plan = &self.plan.0;
            self.ready.push_back(plan.chosen.passed_over(plan.file.0.decoded.schema(), to - self.at));
            self.at = to;
        }
    }

    /// Takes what was decoded apart where rows lie between that were passed over.
    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut taken = 0;
        while taken < batch.num_rows() {
            let Some(Range { start, end }) = self.selected.pop_front() else {
                return Err(self.corrupt(format!("more rows are decoded than the {} of the footer", self.total)));
            };
            self.pass_over(start);
            let rows = (batch.num_rows() - taken).min(end - start);
            if start + rows < end {
                self.selected.push_front(start + rows..end);
            }
            let plan = &self.plan.0;
            let block = plan.chosen.block(plan.file.0.decoded.schema(), &batch.slice(taken, rows));
            self.ready.push_back(block);
            self.at += rows;
            taken += rows;
        }
        Ok(())
    }
}

impl Blocks for Rows {
    fn next_block(&mut self) -> Result<Option<Block>> {
        while self.ready.is_empty()
            && let Some(mut reader) = self.reader.take()
        {
            if let Some(batch) = self.decode(|| reader.next().transpose())? {
                self.take(&batch)?;
                self.reader = Some(reader);
            }
        }
        if self.ready.is_empty() {
            let missing: usize = self.selected.iter().map(|rows| rows.len()).sum();
            if self.at < self.total && missing > 0 {
                return Err(self.corrupt(format!("it has {missing} rows fewer than the footer says")));
            }
            self.pass_over(self.total);
        }
        Ok(self.ready.pop_front())
    }
}
