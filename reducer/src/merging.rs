//! A merge task: it fetches what a group of map tasks has for a band of partitions, merges it, and writes one object with a run for
//! each of these partitions. Then it commits.
//!
//! Map attempts that are more than can be open at once, or more than there is time for, are left to the next piece of the task, which
//! writes an object of its own. How many a piece takes is decided before it begins, as all that it takes is merged side by side.

use crate::is_over;
use kinglet_aws::Conductor;
use kinglet_aws::ledger::RunsAttempt;
use kinglet_aws::runs::{BundleAt, OpenBundle, Placed};
use kinglet_core::budget::{MERGE_BYTES_S, MERGE_EARLY_PERCENT, REDUCE_TIME_KEPT_PERCENT, open_runs_max};
use kinglet_core::engine::merge::{Bundles, MergeOptions, Merged};
use kinglet_core::grid::{Cell, Grid};
use kinglet_core::ledger::JobView;
use kinglet_core::wire::event::{Event, MergeEvent};
use kinglet_core::wire::log::Did;
use kinglet_core::wire::record::{MergeRecord, Placement};
use kinglet_core::wire::spec::JobSpec;
use kinglet_core::{Code, Error, Registry, Result};
use kinglet_worker::Look;
use kinglet_worker::task::{Try, Work};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many blocks of merged runs wait to be sent.
const BLOCKS_WAITING: usize = 8;

/// One merge task.
pub(crate) struct Merging {
    pub(crate) jobs: Arc<Registry>,
    pub(crate) event: MergeEvent,
}

/// What a task is to merge: all bundles of its cell, in the order of the map attempts. They may be gone.
pub(crate) struct Located(Result<Vec<BundleAt>>);

impl Work for Merging {
    type Input = Located;
    type Record = MergeRecord;

    async fn input(&self, conductor: &Conductor, view: &JobView) -> Result<Located> {
        let (grid, cell) = self.cell(view)?;
        Ok(Located(conductor.runs(&self.event.job).locate_bundles(grid, cell, &view.rereads).await))
    }

    fn look(&self, _: &JobSpec) -> Look {
        Box::new(|_| {})
    }

    async fn run(&self, task: &Try<'_>, Located(bundles): Located) -> Result<Option<MergeRecord>> {
        let merged = match bundles {
            Ok(bundles) => self.merge(task, &bundles).await,
            Err(error) => Err(error),
        };
        match merged {
            // When a job has succeeded, its runs go: who stood still meanwhile finds nothing, and nobody wants what it merges.
            Err(error) if error.is(Code::ObjectMissing) && is_over(task).await => Ok(None),
            merged => merged,
        }
    }

    async fn hand_on(&self, task: &Try<'_>, record: &MergeRecord) -> Result<()> {
        let Some(start) = record.merged else { return Ok(()) };
        let piece = self.event.piece.next()?;
        // What was too much for this piece would be for the next one as well.
        let rest = MergeEvent { piece, number: 0, start, ..self.event.clone() };
        task.conductor().functions.start(&Event::Merge(rest)).await?;
        task.look_at_ceiling().await;
        Ok(())
    }
}

impl Merging {
    fn cell<'v>(&self, view: &'v JobView) -> Result<(&'v Grid, Cell)> {
        let missing =
            || Error::new(Code::Event, format!("job {} has no merge task {}", self.event.job, self.event.task.0));
        let grid = view.grid.as_ref().ok_or_else(missing)?;
        Ok((grid, grid.cell(self.event.task).ok_or_else(missing)?))
    }

    async fn merge(&self, task: &Try<'_>, all: &[BundleAt]) -> Result<Option<MergeRecord>> {
        let Try { worker, spec, running, .. } = task;
        let (grid, cell) = self.cell(&task.view)?;
        let start = self.event.start as usize;
        let left = all.get(start..).unwrap_or_default();
        let most = Most {
            open: open_at_once(open_runs_max(worker.memory_mb), left.len(), &self.event),
            bytes: bytes_in_time(
                spec.options.reduce_ms_max,
                task.call.deadline.duration_since(Instant::now()),
                self.event.early,
            ),
        };
        let taken = most.of(left);
        let merged_until = start + taken;
        let merged = (merged_until < all.len()).then_some(merged_until as u32);
        let of = RunsAttempt { task: task.key.task, piece: task.key.piece, attempt: task.attempt };
        let partitions = grid.partitions(cell.band);
        let options = MergeOptions {
            compression: spec.options.compression,
            has_quarantine: partitions.start < spec.quarantines(),
            stop: running.stop(),
        };
        let nothing = (Merged::default(), Placed { placement: Placement::Nowhere, bytes: 0 });
        let done = match &left[..taken] {
            [] => Some(nothing),
            bundles => self.write(task, of, bundles, partitions.len(), options).await?,
        };
        let Some((Merged { runs, bytes_in, pairs_in, pairs_out, .. }, placed)) = done else { return Ok(None) };
        worker.journal.did(Did { records: pairs_out, bytes: placed.bytes, spills: 0 });
        Ok(Some(MergeRecord {
            attempt: task.attempt,
            runs,
            bytes_in,
            pairs_in,
            pairs_out,
            run_bytes: placed.bytes,
            placement: placed.placement,
            merged,
            usage: task.usage(),
        }))
    }

    /// Merges bundles and writes the object. Returns `None` if nobody wants it any more.
    async fn write(
        &self,
        task: &Try<'_>,
        of: RunsAttempt,
        bundles: &[BundleAt],
        partitions: usize,
        options: MergeOptions,
    ) -> Result<Option<(Merged, Placed)>> {
        let Try { worker, spec, running, .. } = task;
        let (conductor, store) = (task.conductor(), task.conductor().runs(task.job));
        let erased = self.jobs.open(&spec.job, &spec.signature, &spec.params)?;
        let open = store.open_bundles(bundles).await?;
        let (sender, receiver) = conductor.beside.channel(BLOCKS_WAITING);
        let pool = (*worker).clone();
        let engine = move || -> Result<Merged> {
            // All bundles are requested before the first is waited for.
            let open = open.into_iter().map(|(name, start): OpenBundle| (name, start())).collect();
            let mut send =
                |block| sender.push(block).map_err(|_| Error::new(Code::Upload, "the upload of merged runs stopped"));
            // Runs in the pool, so that the job's code uses the function's threads and no others.
            pool.pool.install(|| erased.merge(&options, Bundles::open(open, partitions)?, &mut send))
        };
        let mut upload = store.begin_merged(of);
        let (merged, sent) = conductor.beside.before(engine, upload.send(receiver)).await;
        // If both failed, the upload failed first: the engine only found its output closed.
        let failed = match (sent, merged.and_then(|merged| merged)) {
            (Ok(()), Ok(merged)) => {
                let placed = upload.finish(store, &merged.lengths).await?;
                return Ok(Some((merged, placed)));
            }
            (Err(error), _) | (Ok(()), Err(error)) => error,
        };
        upload.abort().await;
        if running.is_stopped() { Ok(None) } else { Err(failed) }
    }
}

/// The most that a piece merges.
#[derive(Clone, Copy, Debug)]
struct Most {
    /// How many bundles may be open at once.
    open: usize,
    /// How many bytes there is time for.
    bytes: u64,
}

impl Most {
    /// Returns how many of these bundles, from the first on, a piece merges: one at the least, so that each piece is a step towards the
    /// end.
    fn of(self, bundles: &[BundleAt]) -> usize {
        let mut bytes = 0u64;
        let fit = bundles.iter().take(self.open.max(1)).take_while(|bundle| {
            bytes = bytes.saturating_add(bundle.range.bytes());
            bytes <= self.bytes
        });
        fit.count().max(1).min(bundles.len())
    }
}

/// Returns how many of so many bundles that are left may be open at once: fewer where an attempt has died of memory, and a quarter where one
/// ran out of time, whatever took it.
fn open_at_once(most: usize, left: usize, event: &MergeEvent) -> usize {
    let most = most.checked_shr(event.died.into()).unwrap_or(0).max(1);
    if event.early { most.min(left.div_ceil(4)) } else { most }
}

/// Returns how many bytes are merged and written before a task must commit. One that follows a try which ran out of time takes fewer.
fn bytes_in_time(ms_max: Option<u64>, left: Duration, early: bool) -> u64 {
    let most = ms_max.map_or(left, Duration::from_millis).min(left);
    let percent = if early { MERGE_EARLY_PERCENT } else { 100 - u64::from(REDUCE_TIME_KEPT_PERCENT) };
    u64::try_from(most.as_millis()).unwrap_or(u64::MAX).saturating_mul(MERGE_BYTES_S / 1_000).saturating_mul(percent)
        / 100
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinglet_core::ids::{AttemptId, Piece, TaskIdx};

    fn bundles(bytes: &[u64]) -> Vec<BundleAt> {
        let of = RunsAttempt { task: TaskIdx(0), piece: Piece(0), attempt: AttemptId { number: 0, nonce: 0 } };
        bytes.iter().map(|bytes| BundleAt { of, range: (7, 7 + bytes).into() }).collect()
    }

    #[test]
    fn a_piece_takes_what_can_be_open_and_is_done_in_time_and_one_at_the_least() {
        let most = Most { open: 3, bytes: 100 };
        for (bytes, taken) in [
            (&[][..], 0),
            (&[500], 1),
            (&[500, 1], 1),
            (&[50, 50, 1], 2),
            (&[1, 1, 1, 1], 3),
            (&[100, 1], 1),
            (&[u64::MAX - 7, 1], 1),
        ] {
            assert_eq!(most.of(&bundles(bytes)), taken, "{bytes:?}");
        }
        assert_eq!(Most { open: 0, bytes: 0 }.of(&bundles(&[1, 1])), 1);
    }

    #[test]
    fn a_try_after_one_that_died_or_ran_out_of_time_takes_less() {
        let event =
            |early, died| MergeEvent { early, died, ..MergeEvent::first("j".parse().unwrap(), TaskIdx(0), None) };
        let open = |early, died| open_at_once(800, 320, &event(early, died));
        assert_eq!([open(false, 0), open(false, 1), open(false, 3)], [800, 400, 100]);
        assert_eq!([open(true, 0), open(true, 4)], [80, 50]);
        assert_eq!([open(false, 60), open(false, u16::MAX)], [1, 1]);
        assert_eq!(open_at_once(800, 3, &event(true, 0)), 1);
    }

    #[test]
    fn the_time_that_is_left_says_how_much_is_taken() {
        let left = Duration::from_secs(900);
        let all = bytes_in_time(None, left, false);
        assert!((10 << 30..20 << 30).contains(&all), "{all}");
        assert!(bytes_in_time(None, left, true) < all / 3);
        assert_eq!(bytes_in_time(Some(1_000), left, false), all / 900);
        assert_eq!(bytes_in_time(None, Duration::ZERO, false), 0);
    }
}
