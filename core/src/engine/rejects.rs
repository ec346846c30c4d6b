//! Records that are not valid, and that a job may leave out: they are taken out of what a map task reads, and become pairs of a
//! run of their own.
//!
//! ```text
//! extent   valid │ not valid │ valid │ valid │ not valid │ valid
//!             map │      ▼     │      map      │      ▼     │  map
//!                 quarantine                quarantine
//! ```
//!
//! A format says of a record that is not valid where it ends ([`UserError::of_record`]). What comes behind it is read as an extent
//! of its own, as if the input had been cut there. Of rows that lie in columns, the block is given out anew from the next row on. A record is left out as a whole, so `map` has never seen it. The pairs go where all
//! pairs go: only those of the attempt that commits are ever read, so no record is left out twice.

use super::quarantine::{Reject, RejectAt, too_many};
use crate::error::{Code, Error, InvalidAt, Result, UserError, UserResult};
use crate::format::{Block, BlockExtent, Extent, Format};
use crate::key::Key;
use crate::max_rejected::MaxRejected;
use crate::pairs::{Finished, Shard, ShardOptions};
use crate::side::Side;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What all threads of a task leave out.
pub(super) struct Rejecting {
    max: MaxRejected,
    shards: Arc<ShardOptions>,
    count: AtomicU64,
    first: Mutex<Option<First>>,
}

/// The first record of a task that was left out, as far as it is known.
struct First {
    at: RejectAt,
    reason: String,
}

impl Rejecting {
    /// Lets a task leave out so many records. `shards` says how each thread keeps them.
    pub(super) fn new(max: MaxRejected, shards: ShardOptions) -> Self {
        let shards = Arc::new(ShardOptions { partitions: 1, placed_by: None, grouped_by: None, ..shards });
        Rejecting { max, shards, count: AtomicU64::new(0), first: Mutex::default() }
    }

    /// Returns one thread's share.
    pub(super) fn thread(&self) -> Rejects<'_> {
        Rejects { of: self, shard: Shard::new(self.shards.clone(), None, Arc::new([])) }
    }

    /// Counts a record. A task that alone leaves out more than its job may fails.
    fn count(&self, at: &RejectAt, reason: &str) -> Result<()> {
        let MaxRejected::Count(most) = self.max else { return Ok(()) };
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.as_ref().is_none_or(|first| *at < first.at) {
            *first = Some(First { at: at.clone(), reason: reason.to_owned() });
        }
        match &*first {
            Some(First { at, reason }) if count > most => {
                Err(too_many(&format!("more records are not valid than the {most} that may be left out"), at, reason))
            }
            _ => Ok(()),
        }
    }
}

/// What one thread leaves out.
pub(super) struct Rejects<'a> {
    of: &'a Rejecting,
    shard: Shard<Reject>,
}

/// Records, and where they come from.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) extent: Extent<'a>,
    /// The offset in a compressed object from which on it was unpacked; that of the extent is counted from there.
    pub(super) unpacked_from: u64,
}

/// Where the rows of a block lie.
#[derive(Clone, Copy)]
pub(super) struct RowsLie<'a> {
    /// The place of the first of them.
    pub(super) first_row: u64,
    pub(super) object: &'a str,
    pub(super) side: Side,
}

impl RowsLie<'_> {
    pub(super) fn extent<'b>(&'b self, block: &'b Block) -> BlockExtent<'b> {
        BlockExtent { block, first_row: self.first_row, object: self.object, side: self.side }
    }
}

/// Returns the row of a block that is not valid, if the error is of one that can be left out.
pub(super) fn invalid_row(error: &UserError, block: &Block) -> Option<usize> {
    error.invalid().map(|at| at.record.start).filter(|row| *row < block.rows())
}

impl Rejects<'_> {
    /// Calls `each` for every record that is valid, as [`Format::for_each`] does, and keeps the others. Returns how many were
    /// valid.
    ///
    /// # Errors
    /// Passes on the error of `each`, and that of the format where it is not of one record. Returns `too-many-rejected`, and
    /// `tmp` or `tmp-full` where records must be spilled.
    pub(super) fn for_each_valid<'a, F: Format>(
        &mut self,
        input: &'a F,
        Origin { extent: whole, unpacked_from }: Origin<'a>,
        mut each: impl FnMut(usize, F::Record<'a>) -> UserResult,
    ) -> UserResult<u64> {
        let (mut from, mut count) = (0, 0);
        loop {
            let rest = Extent { bytes: &whole.bytes[from..], offset: whole.offset + from as u64, ..whole };
            let mut error = input.check(rest).err();
            let valid = match &error {
                None => rest.bytes.len(),
                Some(error) => error.invalid().map_or(0, |at| at.record.start.min(rest.bytes.len())),
            };
            if error.is_none() || valid > 0 {
                let (mut given, mut is_of_job) = (0, false);
                let read = input.for_each(Extent { bytes: &rest.bytes[..valid], ..rest }, |at, record| {
                    each(at, record).inspect_err(|_| is_of_job = true)?;
                    given += 1;
                    Ok(())
                });
                match read {
                    Ok(read) => count += read,
                    Err(error) if is_of_job => return Err(error.moved(from)),
                    Err(of_format) => {
                        count += given;
                        error = Some(of_format);
                    }
                }
            }
            let Some(error) = error else { return Ok(count) };
            let Some(InvalidAt { record, next }) = error.invalid().filter(|at| at.lies_in(rest.bytes.len())) else {
                return Err(error.moved(from));
            };
            let at = from + record.start;
            let kept = self.keep(Origin { extent: rest, unpacked_from }, record, error.into_error(Code::RecordInvalid));
            kept.map_err(|error| UserError::from(error).at(at))?;
            from += next;
            if from == whole.bytes.len() {
                return Ok(count);
            }
        }
    }

    /// Keeps a record that is not valid.
    fn keep(&mut self, origin: Origin<'_>, record: Range<usize>, error: Error) -> Result<()> {
        let Origin { extent, unpacked_from } = origin;
        let offset = extent.offset + record.start as u64;
        let at = RejectAt { object: extent.object.to_owned(), unpacked_from, offset, is_row: false };
        self.keep_as(at, &extent.bytes[record], error)
    }

    fn keep_as(&mut self, at: RejectAt, record: &[u8], error: Error) -> Result<()> {
        let reject = Reject::of(record, error);
        self.of.count(&at, &reject.reason)?;
        let mut key = Vec::new();
        at.encode(&mut key)?;
        self.shard.add(&key, reject)
    }

    /// Keeps those rows of a block that are not valid, and gives the job the others alone, where the format gives out many at once.
    ///
    /// # Errors
    /// Returns the format's error where it is not of one row. Returns `too-many-rejected`, and `tmp` or `tmp-full` where rows must be
    /// spilled.
    pub(super) fn check_rows<F: Format>(&mut self, input: &F, block: &mut Block, lie: RowsLie<'_>) -> UserResult {
        let (all, mut invalid) = (block.chosen(), Vec::new());
        while let Err(error) = input.check_rows(lie.extent(block)) {
            let Some(row) = invalid_row(&error, block) else { return Err(error) };
            self.keep_row(block, lie, row, error)?;
            invalid.push(row);
            block.begin_at(row + 1);
        }
        if !invalid.is_empty() {
            let is_valid = |row: &u32| invalid.binary_search(&(*row as usize)).is_err();
            let all = all.unwrap_or_else(|| (0..block.rows()).filter_map(|row| u32::try_from(row).ok()).collect());
            block.choose(Some(all.into_iter().filter(is_valid).collect()));
        }
        Ok(())
    }

    /// Keeps a row of a block, as JSON of the columns that are read.
    pub(super) fn keep_row(&mut self, block: &Block, lie: RowsLie<'_>, row: usize, error: UserError) -> UserResult {
        let at = RejectAt {
            object: lie.object.to_owned(),
            unpacked_from: 0,
            offset: lie.first_row + row as u64,
            is_row: true,
        };
        let raw = block.json_of(row).unwrap_or_default();
        let kept = self.keep_as(at, &raw, error.into_error(Code::RecordInvalid));
        kept.map_err(|error| UserError::from(error).at(row))
    }

    /// Ends the thread's share.
    pub(super) fn finish(self) -> Finished<Reject> {
        self.shard.finish()
    }
}
