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
//! of its own, as if the input had been cut there. A record is left out as a whole, so `map` has never seen it. The pairs go where all
//! pairs go: only those of the attempt that commits are ever read, so no record is left out twice.

use super::quarantine::{Reject, RejectAt, too_many};
use crate::error::{Code, Error, InvalidAt, Result, UserError, UserResult};
use crate::format::{Extent, Format};
use crate::key::Key;
use crate::max_rejected::MaxRejected;
use crate::pairs::{Finished, Shard, ShardOptions};
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
        let at = RejectAt { object: extent.object.to_owned(), unpacked_from, offset };
        let reject = Reject::of(&extent.bytes[record], error);
        self.of.count(&at, &reject.reason)?;
        let mut key = Vec::new();
        at.encode(&mut key)?;
        self.shard.add(&key, reject)
    }

    /// Ends the thread's share.
    pub(super) fn finish(self) -> Finished<Reject> {
        self.shard.finish()
    }
}
