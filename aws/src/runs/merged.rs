//! Runs that are merged between mapping and reducing, by groups of map tasks and bands of partitions ([`kinglet_core::grid`]). They
//! lie in S3, whatever their size.
//!
//! ```text
//! map attempt    one object: a bundle for each band; the ledger has where each ends
//!     │ located by band, fetched by one GET each
//! merge attempt  one object: a run for each partition of the band; the ledger has where each ends
//!     │ located by partition
//! reducer
//! ```

use super::object::{runs_key, send_run};
use super::s3::Bodies;
use super::{MapRuns, Open, Placed, RunStore};
use crate::beside::Inbox;
use crate::ledger::{GroupRuns, RunsAttempt, RunsRecord, TaskPieces, placed};
use crate::upload::Upload;
use futures_util::{StreamExt, TryStreamExt, stream};
use kinglet_core::budget::INDEXES_AT_ONCE;
use kinglet_core::engine::run::Run;
use kinglet_core::grid::{Cell, Grid, ledger_groups};
use kinglet_core::ids::{Partition, Stage};
use kinglet_core::wire::bundle::BundleHead;
use kinglet_core::wire::index::RunAt;
use kinglet_core::wire::record::{MapRecord, MergeRecord, Placement, RunIndex};
use kinglet_core::wire::reread::Rereads;
use kinglet_core::wire::rest::RunLeft;
use kinglet_core::wire::run::RunPlace;
use kinglet_core::{ByteRange, Code, Error, Result};
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

/// What a map attempt has for a band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleAt {
    /// The attempt.
    pub of: RunsAttempt,
    /// Where the bundle lies in its object.
    pub range: ByteRange,
}

/// What opens a bundle for the merge: its name in errors, and its bytes.
pub type OpenBundle = (String, Box<dyn FnOnce() -> Box<dyn Read + Send> + Send>);

impl RunStore<'_> {
    /// Writes a map attempt's runs as bundles, one for each band of the grid.
    ///
    /// # Errors
    /// Returns a service error of S3 or DynamoDB; or `tmp` when a spilled run cannot be read from `/tmp`.
    pub async fn write_bundles(self, of: RunsAttempt, runs: MapRuns<'_>, grid: &Grid) -> Result<Placed> {
        let bytes: u64 = runs.runs.iter().map(Run::stored_bytes).sum();
        if bytes == 0 {
            return Ok(Placed { placement: Placement::Nowhere, bytes });
        }
        let mut upload = self.upload(&runs_key(self.job, self.stage, of));
        let mut left = runs.runs.into_iter();
        let (mut ends, mut end) = (Vec::with_capacity(grid.bands() as usize), 0);
        for band in 0..grid.bands() {
            let of_band: Vec<Run> = left.by_ref().take(grid.partitions(band).len()).collect();
            let bytes: u64 = of_band.iter().map(Run::stored_bytes).sum();
            if bytes > 0 {
                let head = BundleHead::of(of_band.iter().map(Run::stored_bytes)).write()?;
                end += head.len() as u64 + bytes;
                upload.push(head.into()).await?;
                for run in of_band {
                    send_run(&mut upload, run, runs.tmp).await?;
                }
            }
            ends.push(end);
        }
        upload.finish().await?;
        self.conductor.ledger.put_index(self.job, self.stage, of, &RunIndex { ends }).await?;
        Ok(Placed { placement: Placement::Object, bytes })
    }

    /// Returns where the bundles lie that a merge task merges, in the order of the map attempts; of splits that are read again, those
    /// of the tasks that count.
    ///
    /// # Errors
    /// Returns `index-missing` when a committed attempt has no index; or a service error of DynamoDB.
    pub async fn locate_bundles(self, grid: &Grid, cell: Cell, rereads: &Rereads) -> Result<Vec<BundleAt>> {
        let maps = self.conductor.runs(self.job).attempts_of::<MapRecord>(grid.maps(cell.group)).await?;
        let counted = maps.into_iter().filter(|maps| !rereads.replaces(maps.of.task));
        let bundles = counted.map(|GroupRuns { of, index }| {
            let range = index.and_then(|index| index.range(cell.band));
            let missing = || {
                let message = format!("job {}: map output {of} has no bundle of band {}", self.job, cell.band);
                Error::new(Code::IndexMissing, message)
            };
            Ok(BundleAt { of, range: range.ok_or_else(missing)? })
        });
        let bundles: Vec<_> = bundles.collect::<Result<_>>()?;
        Ok(bundles.into_iter().filter(|bundle| bundle.range.bytes() > 0).collect())
    }

    /// Returns what opens these bundles. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Returns a service error of S3.
    pub async fn open_bundles(self, bundles: &[BundleAt]) -> Result<Vec<OpenBundle>> {
        let keys: Vec<String> = bundles.iter().map(|bundle| runs_key(self.job, Stage::Map, bundle.of)).collect();
        let ranges = keys.iter().zip(bundles).map(|(key, bundle)| (key.clone(), bundle.range, 0));
        let openers = Arc::new(Bodies::of(self)).openers(ranges.collect()).await?;
        let open = |(key, opener): (String, Open)| {
            let start: Box<dyn FnOnce() -> Box<dyn Read + Send> + Send> = Box::new(move || opener(0));
            (key, start)
        };
        Ok(keys.into_iter().zip(openers).map(open).collect())
    }

    /// Begins the object of a merge attempt's runs.
    pub fn begin_merged(self, of: RunsAttempt) -> MergedUpload {
        MergedUpload { upload: self.upload(&runs_key(self.job, Stage::Merge, of)), of }
    }

    /// Says where the runs of a merge attempt lie in its object, whose upload is finished.
    async fn put_merged(self, of: RunsAttempt, lengths: &[u64]) -> Result<Placed> {
        let index = RunIndex::of(lengths.iter().copied());
        let bytes = index.ends.last().copied().unwrap_or(0);
        self.conductor.ledger.put_index(self.job, Stage::Merge, of, &index).await?;
        Ok(Placed { placement: Placement::Object, bytes })
    }

    /// Returns which merge attempts have a run of a partition, and where.
    ///
    /// # Errors
    /// Returns `index-missing` when a committed attempt has no index; or a service error of DynamoDB.
    pub async fn locate_merged(self, grid: &Grid, partition: Partition) -> Result<Vec<RunLeft>> {
        let band = grid.band_of(partition);
        let within = partition.0.saturating_sub(grid.partitions(band).start);
        let merges = self.attempts_of::<MergeRecord>(grid.merges(band)).await?;
        let mut runs = Vec::with_capacity(merges.len());
        for GroupRuns { of, index } in merges {
            let missing = || {
                let message = format!("job {}: merge output {of} has no run of partition {}", self.job, partition.0);
                Error::new(Code::IndexMissing, message)
            };
            let range = index.and_then(|index| index.range(within)).ok_or_else(missing)?;
            let RunsAttempt { task, piece, attempt } = of;
            if range.bytes() > 0 {
                runs.push(RunLeft::of(&RunAt { task, piece, attempt, range: Some(range) }, RunPlace::default()));
            }
        }
        Ok(runs)
    }

    /// Reads the committed attempts of some tasks that may have runs, in order.
    async fn attempts_of<R: RunsRecord>(self, tasks: Range<u32>) -> Result<Vec<GroupRuns>> {
        let ledger = &self.conductor.ledger;
        let groups: Vec<u32> = ledger_groups(&tasks).collect();
        let committed = ledger.committed_in::<R>(self.job, &groups, tasks.end).await?;
        let by_group: Vec<_> = committed
            .chunk_by(|a, b| a.group() == b.group())
            .filter_map(|group| {
                let wanted = group.iter().filter(|of| tasks.contains(&of.task.0));
                Some((group.first()?.group(), placed(wanted.map(|TaskPieces { task, pieces }| (*task, &pieces[..])))))
            })
            .collect();
        let found = stream::iter(by_group).map(|(group, placed)| ledger.group_runs(self.job, R::STAGE, group, placed));
        let found: Vec<Vec<GroupRuns>> = found.buffered(INDEXES_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// The object of a merge attempt's runs, while it is written.
pub struct MergedUpload {
    upload: Upload,
    of: RunsAttempt,
}

impl MergedUpload {
    /// Sends runs as they come, to their end.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn send(&mut self, mut blocks: Inbox<Vec<u8>>) -> Result<()> {
        while let Some(block) = blocks.recv().await {
            self.upload.push(block.into()).await?;
        }
        Ok(())
    }

    /// Makes the object visible to reducers, which the attempt's commit must follow. `lengths` has that of each partition's run.
    ///
    /// # Errors
    /// Returns a service error of S3 or DynamoDB.
    pub async fn finish(self, store: RunStore<'_>, lengths: &[u64]) -> Result<Placed> {
        let MergedUpload { upload, of } = self;
        upload.finish().await?;
        store.put_merged(of, lengths).await
    }

    /// Gives the object up.
    pub async fn abort(mut self) {
        self.upload.abort().await;
    }
}
