//! Intermediate results in S3. The runs of an attempt lie in one object, one behind the other by partition; the ledger says
//! where each begins, by group of tasks ([`RunIndex`]). The results of a batch, and what a reduce function returned, are an
//! object each.

use super::s3::{Bodies, push};
use super::{Batch, Found, MapRuns, Place, RunStore, RunsAttempt, unreadable, writer_of};
use crate::ledger::{Committed, RunsRecord, placed};
use crate::objects::SMALL_BYTES_MAX;
use crate::upload::Upload;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};
use kinglet_core::Result;
use kinglet_core::engine::run::Run;
use kinglet_core::ids::{AttemptId, JobId, Partition, Stage, TaskIdx};
use kinglet_core::wire::record::{MapRecord, Placement, RunIndex};
use kinglet_core::wire::rest::RunLeft;
use std::path::Path;
use std::sync::Arc;

/// How many GETs of results are under way at once.
const PARALLEL: usize = 16;

/// See [`Placement::Object`].
pub(super) struct Object;

/// Returns the key of an attempt's runs, or of a batch's results, in the work bucket.
pub(super) fn runs_key(job: &JobId, stage: Stage, of: RunsAttempt) -> String {
    let folder = if stage == Stage::Merge { "merged" } else { "runs" };
    format!("jobs/{job}/{folder}/{:06}.{}/{}", of.task.0, of.piece.0, of.attempt)
}

/// Sends a run behind what was sent of its object. A run without pairs is not written.
pub(super) async fn send_run(upload: &mut Upload, run: Run, tmp: &Path) -> Result<()> {
    if run.stored_bytes() == 0 {
        return Ok(());
    }
    push(upload, run.into_reader().map_err(|e| unreadable(tmp, &e))?).await
}

/// Returns the key of what a reduce function returned.
fn reduced_key(job: &JobId, attempt: AttemptId) -> String {
    format!("jobs/{job}/result/{attempt}")
}

impl RunStore<'_> {
    /// Removes the objects of what a stage's attempts have committed to S3. Returns how many bytes these had.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub(super) async fn remove_objects<R: RunsRecord>(self, committed: &Committed<R>) -> Result<u64> {
        let tasks = (0..).map(TaskIdx).zip(committed.iter().map(Vec::as_slice));
        let objects = placed(tasks).into_iter().filter(|one| one.placement == Placement::Object);
        let keys: Vec<String> = objects.map(|one| runs_key(self.job, R::STAGE, one.of)).collect();
        self.conductor.objects.delete(&self.conductor.stack.work_bucket, &keys).await?;
        let lie_there = committed.iter().flatten().filter(|record| record.placement() == Placement::Object);
        Ok(lie_there.map(RunsRecord::run_bytes).sum())
    }
}

impl Place for Object {
    fn placement(&self) -> Placement {
        Placement::Object
    }

    fn write<'a>(&'a self, store: RunStore<'a>, of: RunsAttempt, runs: MapRuns<'a>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut upload = store.upload(&runs_key(store.job, store.stage, of));
            let index = RunIndex::of(runs.runs.iter().map(Run::stored_bytes));
            for run in runs.runs {
                send_run(&mut upload, run, runs.tmp).await?;
            }
            upload.finish().await?;
            store.conductor.ledger.put_index(store.job, store.stage, of, &index).await
        })
    }

    fn find<'a>(&'a self, store: RunStore<'a>, _: Partition, runs: &'a [RunLeft]) -> BoxFuture<'a, Result<Vec<Found>>> {
        Box::pin(async move {
            let runs: Vec<_> = runs
                .iter()
                .filter_map(|run| Some((*run, runs_key(store.job, store.stage, writer_of(run)), run.range?)))
                .collect();
            let ranges = runs.iter().map(|(run, name, range)| (name.clone(), *range, run.place.offset));
            let openers = Arc::new(Bodies::of(store)).openers(ranges.collect()).await?;
            Ok(runs.into_iter().zip(openers).map(|((run, name, _), open)| Found { run, open, name }).collect())
        })
    }

    fn remove<'a>(&'a self, store: RunStore<'a>, committed: &'a Committed<MapRecord>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(store.remove_objects(committed))
    }

    fn write_results<'a>(&'a self, store: RunStore<'a>, of: RunsAttempt, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { store.put(&runs_key(store.job, Stage::Map, of), bytes).await })
    }

    fn read_results<'a>(&'a self, store: RunStore<'a>, batches: &'a [&'a Batch]) -> BoxFuture<'a, Result<Vec<Bytes>>> {
        let wanted: Vec<(String, u64)> = batches
            .iter()
            .map(|batch| (runs_key(store.job, Stage::Map, batch.attempt()), batch.record.run_bytes))
            .collect();
        Box::pin(async move {
            stream::iter(wanted)
                .map(|(key, bytes)| async move { store.get(&key, bytes).await })
                .buffered(PARALLEL)
                .try_collect()
                .await
        })
    }

    fn write_reduced<'a>(
        &'a self,
        store: RunStore<'a>,
        attempt: AttemptId,
        bytes: Vec<u8>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { store.put(&reduced_key(store.job, attempt), bytes).await })
    }

    fn read_reduced<'a>(&'a self, store: RunStore<'a>, attempt: AttemptId) -> BoxFuture<'a, Result<Option<Bytes>>> {
        Box::pin(async move { store.get(&reduced_key(store.job, attempt), SMALL_BYTES_MAX).await.map(Some) })
    }
}
