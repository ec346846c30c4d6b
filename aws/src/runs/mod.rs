//! The intermediate results of a job, wherever they lie: the shuffle's runs, the results of batches of calls, and what a
//! reduce function returned.
//!
//! ```text
//! mapper ──write──▶ place(lengths) ──▶ Inline   items in DynamoDB ──┐
//!                                  ╲─▶ Object   one object in S3 ───┴──open──▶ reducer, driver
//!                       locate, or locate_by_index: which, and where ───┘
//! ```
//!
//! A reducer first learns which attempts have runs for it, and where: from the records and indexes of all of them
//! ([`RunStore::locate`]), or, where many would read much, from an index that was written once (`index.rs`). Then it opens them,
//! wherever they lie.
//!
//! Where the runs are merged before they are reduced, `merged.rs` has what lies between.
//!
//! When a job has succeeded, its runs in S3 are removed (`Conductor::leave_no_runs`), as keeping them costs, unless the spec says
//! that they stay. What lies in DynamoDB expires there, which is free, where deleting costs as much as writing.
//!
//! [`kinglet_core::placement`] decides where the results of an attempt lie, all of them in one place, and the record of its
//! commit names that place ([`Placement`]). Nothing here is found by searching: the reader knows the committed attempt, whose
//! id is in every key.
//!
//! # Adding a place
//!
//! A place is a module next to `inline` and `object` with its `Place` (a place in S3 finds what it needs in `s3`), a line in
//! `PLACES`, and a variant of [`Placement`], which is on the wire: a record's layout changes only with its version, and the
//! report counts each. `core/src/placement.rs` says when results lie there.
//! [`crate::Ledger::forget`], and the code that clears a job's prefix in the work bucket, remove what is there.

mod files;
mod index;
mod inline;
mod merged;
mod object;
mod rest;
mod s3;

use crate::conductor::Conductor;
pub use crate::ledger::RunsAttempt;
use crate::ledger::{Committed, GroupRuns, groups_of, placed_in};
use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use kinglet_core::budget::INDEXES_AT_ONCE;
use kinglet_core::engine::passes::Opening;
use kinglet_core::engine::reduce::Runs;
use kinglet_core::engine::run::Run;
use kinglet_core::ids::{AttemptId, JobId, Partition, Piece, Stage, TaskIdx};
use kinglet_core::ledger::JobView;
use kinglet_core::placement::place;
use kinglet_core::wire::index::RunAt;
use kinglet_core::wire::record::{MapRecord, MergeRecord, Placement, ReduceRecord};
use kinglet_core::wire::rest::RunLeft;
use kinglet_core::wire::run::{AnyRun, RunPlace, RunReader};
use kinglet_core::{Code, Error, Result};
pub use merged::{BundleAt, MergedUpload, OpenBundle};
pub use rest::ReduceAttempt;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// All places. Those that can tell that something is not there come before the one that assumes it is.
static PLACES: &[&dyn Place] = &[&inline::Inline, &object::Object];

/// A place where intermediate results lie.
trait Place: Sync {
    /// Returns the place's name in records.
    fn placement(&self) -> Placement;

    /// Writes an attempt's runs. A run without pairs is not written.
    fn write<'a>(&'a self, store: RunStore<'a>, of: RunsAttempt, runs: MapRuns<'a>) -> BoxFuture<'a, Result<()>>;

    /// Finds those of a partition's runs that lie here. Sends no request where there are none.
    fn find<'a>(
        &'a self,
        store: RunStore<'a>,
        partition: Partition,
        runs: &'a [RunLeft],
    ) -> BoxFuture<'a, Result<Vec<Found>>>;

    /// Writes the results of a batch.
    fn write_results<'a>(&'a self, store: RunStore<'a>, of: RunsAttempt, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>>;

    /// Reads the results of the batches that lie here, in the same order. Sends no request where there are none.
    fn read_results<'a>(&'a self, store: RunStore<'a>, batches: &'a [&'a Batch]) -> BoxFuture<'a, Result<Vec<Bytes>>>;

    /// Writes what a reduce function returned.
    fn write_reduced<'a>(
        &'a self,
        store: RunStore<'a>,
        attempt: AttemptId,
        bytes: Vec<u8>,
    ) -> BoxFuture<'a, Result<()>>;

    /// Removes the committed runs, or results of batches, that lie here and that keeping would cost. Returns how many bytes they
    /// had. Sends no request where there are none.
    fn remove<'a>(&'a self, store: RunStore<'a>, committed: &'a Committed<MapRecord>) -> BoxFuture<'a, Result<u64>>;

    /// Reads what a reduce function returned; `None` if it does not lie here.
    fn read_reduced<'a>(&'a self, store: RunStore<'a>, attempt: AttemptId) -> BoxFuture<'a, Result<Option<Bytes>>>;
}

/// Returns the place of this name; `None` for [`Placement::Nowhere`].
fn place_of(placement: Placement) -> Option<&'static dyn Place> {
    PLACES.iter().copied().find(|place| place.placement() == placement)
}

/// A committed batch of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The task.
    pub task: TaskIdx,
    /// The piece of the task.
    pub piece: Piece,
    /// The record of its commit.
    pub record: MapRecord,
}

impl Batch {
    /// Returns the attempt that was committed.
    pub fn attempt(&self) -> RunsAttempt {
        RunsAttempt { task: self.task, piece: self.piece, attempt: self.record.attempt }
    }
}

/// The runs that an attempt has made, one for each partition.
pub struct MapRuns<'a> {
    /// The runs.
    pub runs: Vec<Run>,
    /// The directory of those that do not fit into memory.
    pub tmp: &'a Path,
}

/// Returns the error of a run that cannot be read back.
fn unreadable(tmp: &Path, error: &io::Error) -> Error {
    Error::new(Code::Tmp, format!("reading a run in {}: {error}", tmp.display()))
}

/// Returns the attempt that wrote a run.
fn writer_of(run: &RunLeft) -> RunsAttempt {
    let RunLeft { task, piece, attempt, .. } = *run;
    RunsAttempt { task, piece, attempt }
}

/// Where and how much was written, as a commit records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The place.
    pub placement: Placement,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The intermediate results of one job.
#[derive(Clone, Copy)]
pub struct RunStore<'a> {
    conductor: &'a Conductor,
    job: &'a JobId,
    /// The stage whose runs these are: mapping, or merging.
    stage: Stage,
}

impl Conductor {
    /// Returns the intermediate results of a job, with the runs that its map attempts have written.
    pub fn runs<'a>(&'a self, job: &'a JobId) -> RunStore<'a> {
        RunStore { conductor: self, job, stage: Stage::Map }
    }

    /// Returns the same with the runs that its reducers read: in a job that has merge tasks, those that these have written.
    pub fn runs_to_reduce<'a>(&'a self, job: &'a JobId, view: &JobView) -> RunStore<'a> {
        let stage = if view.grid.is_some() { Stage::Merge } else { Stage::Map };
        RunStore { stage, ..self.runs(job) }
    }

    /// Removes what a job that has just succeeded has shuffled. The job's end neither waits for that nor depends on it: what stays
    /// goes when the job is cleaned, or with the stack's rules. A function does it before it returns, as it may be frozen then. A
    /// driver does it in the background, as its caller waits for the job.
    pub(crate) async fn leave_no_runs(&self, job: &JobId, shuffled: Shuffled) {
        let (conductor, job) = (self.clone(), job.clone());
        let removing = async move {
            match tokio::time::timeout(REMOVE_MAX, conductor.runs(&job).remove(&shuffled)).await {
                Ok(Ok(0)) => {}
                Ok(Ok(bytes)) => tracing::debug!(%job, bytes, "the runs are removed"),
                Ok(Err(error)) => tracing::warn!(%job, %error, "removing the runs of a job that has succeeded"),
                Err(_) => tracing::warn!(%job, "removing the runs of a job that has succeeded takes too long"),
            }
        };
        if self.in_function {
            removing.await;
        } else {
            tokio::spawn(removing);
        }
    }
}

/// What a job has shuffled, by what stands in its ledger.
pub(crate) struct Shuffled {
    /// What its map tasks have committed.
    pub(crate) maps: Committed<MapRecord>,
    /// What its merge tasks have committed, if it has any.
    pub(crate) merges: Committed<MergeRecord>,
    /// How many processes have begun to write an index of the runs.
    pub(crate) indexes: u16,
    /// What its reduce tasks have committed, in order.
    pub(crate) reduces: Vec<ReduceRecord>,
}

/// The longest that a process removes runs when a job has succeeded: 100,000 of them are 100 requests.
const REMOVE_MAX: Duration = Duration::from_secs(60);

impl RunStore<'_> {
    /// Writes an attempt's runs. If `inline_bytes_max` is given, they lie inline when they hold at most that many bytes
    /// together.
    ///
    /// # Errors
    /// Returns a service error of S3 or DynamoDB; or `tmp` when a spilled run cannot be read from `/tmp`.
    pub async fn write(self, of: RunsAttempt, runs: MapRuns<'_>, inline_bytes_max: Option<u64>) -> Result<Placed> {
        let lengths: Vec<u64> = runs.runs.iter().map(Run::stored_bytes).collect();
        let placement = place(&lengths, inline_bytes_max);
        if let Some(place) = place_of(placement) {
            place.write(self, of, runs).await?;
        }
        Ok(Placed { placement, bytes: lengths.iter().sum() })
    }

    /// Returns which attempts may have runs of a partition, and where, by what each of them has written into the ledger.
    ///
    /// # Errors
    /// Returns `index-missing` when a committed attempt has no index; or a service error of DynamoDB.
    pub async fn locate(self, partition: Partition, committed: &Committed<MapRecord>) -> Result<Vec<RunLeft>> {
        let mut runs = Vec::new();
        let mut groups = self.groups(committed);
        while let Some(group) = groups.try_next().await? {
            for GroupRuns { of, index } in group {
                let RunsAttempt { task, piece, attempt } = of;
                let range = index.as_ref().map(|index| index.range(partition.0).unwrap_or_default());
                if range.is_none_or(|range| range.bytes() > 0) {
                    runs.push(RunLeft::of(&RunAt { task, piece, attempt, range }, RunPlace::default()));
                }
            }
        }
        Ok(runs)
    }

    /// Reads what all committed attempts have written into the ledger, some groups at once, in the order of their tasks.
    fn groups<'b>(&'b self, committed: &'b Committed<MapRecord>) -> impl Stream<Item = Result<Vec<GroupRuns>>> + Unpin {
        let groups = stream::iter(0..groups_of(committed));
        let runs = |group| self.conductor.ledger.group_runs(self.job, Stage::Map, group, placed_in(group, committed));
        groups.map(runs).buffered(INDEXES_AT_ONCE)
    }

    /// Finds these runs of a partition, or what is left of them, in all places at once. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Returns a service error of S3 or DynamoDB.
    pub async fn open(self, partition: Partition, runs: &[RunLeft]) -> Result<PartitionRuns> {
        let found = join_all(PLACES.iter().map(|place| place.find(self, partition, runs))).await;
        let mut runs = Vec::new();
        for found in found {
            runs.extend(found?);
        }
        Ok(PartitionRuns(runs))
    }

    /// Writes the results of a batch's attempt; `inline_bytes_max` is as in [`Self::write`].
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses.
    pub async fn write_results(
        self,
        of: RunsAttempt,
        results: Vec<u8>,
        inline_bytes_max: Option<u64>,
    ) -> Result<Placed> {
        let bytes = results.len() as u64;
        let placement = place(&[bytes], inline_bytes_max);
        if let Some(place) = place_of(placement) {
            place.write_results(self, of, results).await?;
        }
        Ok(Placed { placement, bytes })
    }

    /// Writes one result on behalf of an attempt that could not. It lies inline: it is small, and the caller may lack rights
    /// to other places.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(crate) async fn write_settled(self, of: RunsAttempt, doing: String, result: Vec<u8>) -> Result<Placed> {
        let bytes = result.len() as u64;
        inline::write_settled(self, of, doing, result).await?;
        Ok(Placed { placement: Placement::Inline, bytes })
    }

    /// Reads the results of committed batches, in the same order.
    ///
    /// # Errors
    /// Returns a service error of S3 or DynamoDB; or `results-missing` when committed results are not there.
    pub async fn results(self, batches: &[Batch]) -> Result<Vec<Bytes>> {
        let mut results = vec![Bytes::new(); batches.len()];
        for place in PLACES {
            let lies_here = |batch: &Batch| batch.record.placement == place.placement();
            let (at, here): (Vec<_>, Vec<_>) = batches.iter().enumerate().filter(|(_, batch)| lies_here(batch)).unzip();
            for (at, bytes) in at.into_iter().zip(place.read_results(self, &here).await?) {
                results[at] = bytes;
            }
        }
        let whole = |(batch, bytes): &(&Batch, &Bytes)| bytes.len() as u64 == batch.record.run_bytes;
        if let Some((batch, _)) = batches.iter().zip(&results).find(|both| !whole(both)) {
            let message =
                format!("job {}: the results of batch {}.{} are missing", self.job, batch.task.0, batch.piece.0);
            return Err(Error::new(Code::ResultsMissing, message));
        }
        Ok(results)
    }

    /// Removes what a job that has succeeded does not need any more of its committed runs. Returns how many bytes that was.
    ///
    /// Nothing else of the job is touched, and nothing is searched: what attempts have left that did not commit is cleaned like
    /// all else that the job has left, or expires.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses.
    async fn remove(self, shuffled: &Shuffled) -> Result<u64> {
        let mut removed = 0;
        for place in PLACES {
            removed += place.remove(self, &shuffled.maps).await?;
        }
        removed += self.remove_objects(&shuffled.merges).await?;
        self.remove_indexes(1..=shuffled.indexes).await?;
        self.remove_rests(&shuffled.reduces).await?;
        self.remove_files(&shuffled.reduces).await?;
        Ok(removed)
    }

    /// Writes what a reduce function returned.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses.
    pub async fn write_reduced(self, attempt: AttemptId, result: Vec<u8>) -> Result<()> {
        // A result is never empty: its head precedes the value.
        match place_of(place(&[result.len() as u64], None)) {
            Some(place) => place.write_reduced(self, attempt, result).await,
            None => Ok(()),
        }
    }

    /// Reads what a reduce function returned. Its commit does not say where that lies.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses.
    pub async fn reduced(self, attempt: AttemptId) -> Result<Bytes> {
        for place in PLACES {
            if let Some(bytes) = place.read_reduced(self, attempt).await? {
                return Ok(bytes);
            }
        }
        Err(Error::new(Code::ResultsMissing, format!("job {} has no result", self.job)))
    }
}

/// A run that was found. Opening it fetches it.
struct Found {
    /// The run, and how much of it is left.
    run: RunLeft,
    /// Identifies the run in errors.
    name: String,
    open: Open,
}

/// Opens a run for the merge, from an offset on.
type Open = Box<dyn Fn(u64) -> Box<dyn Read + Send> + Send>;

/// The runs of a partition, wherever they lie, for the merge.
pub struct PartitionRuns(Vec<Found>);

impl PartitionRuns {
    /// Returns the runs, in the order in which they are merged.
    pub fn found(&self) -> Vec<RunLeft> {
        self.0.iter().map(|found| found.run).collect()
    }
}

impl Runs for PartitionRuns {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn open(&mut self, openings: &[Opening]) -> Result<Vec<AnyRun>> {
        // All runs are requested before the first is waited for.
        let requested: Vec<_> =
            openings.iter().map(|Opening { run, place }| (self.0[*run].open)(place.offset)).collect();
        let opened = openings.iter().zip(requested);
        opened.map(|(Opening { run, place }, reader)| RunReader::resume(reader, &*self.0[*run].name, *place)).collect()
    }
}
