//! Intermediate results in S3. The runs of an attempt lie in one object, one behind the other by partition; the ledger says
//! where each begins, by group of tasks ([`RunIndex`]). The results of a batch, and what a reduce function returned, are an
//! object each.

use super::s3::{Bodies, push};
use super::{Batch, Found, MapRuns, Place, RunStore, RunsAttempt, unreadable, writer_of};
use crate::ledger::Committed;
use crate::objects::SMALL_BYTES_MAX;
use crate::upload::Upload;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};
use kinglet_core::Result;
use kinglet_core::engine::run::Run;
use kinglet_core::ids::{AttemptId, JobId, Partition, Piece, Stage, TaskIdx};
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

/// Returns the index of runs of these lengths in bytes, one behind the other.
pub(super) fn index_of(lengths: &[u64]) -> RunIndex {
    let ends = lengths.iter().scan(0u64, |end, length| {
        *end = end.saturating_add(*length);
        Some(*end)
    });
    RunIndex { ends: ends.collect() }
}

/// Sends a run behind what was sent of its object. A run without pairs is not written.
pub(super) async fn send_run(upload: &mut Upload, run: Run, tmp: &Path) -> Result<()> {
    if run.pairs == 0 {
        return Ok(());
    }
    push(upload, run.into_reader().map_err(|e| unreadable(tmp, &e))?).await
}

/// Returns the key of what a reduce function returned.
fn reduced_key(job: &JobId, attempt: AttemptId) -> String {
    format!("jobs/{job}/result/{attempt}")
}

impl Place for Object {
    fn placement(&self) -> Placement {
        Placement::Object
    }

    fn write<'a>(&'a self, store: RunStore<'a>, of: RunsAttempt, runs: MapRuns<'a>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut upload = store.upload(&runs_key(store.job, store.stage, of));
            let lengths: Vec<u64> = runs.runs.iter().map(|run| if run.pairs == 0 { 0 } else { run.bytes }).collect();
            for run in runs.runs {
                send_run(&mut upload, run, runs.tmp).await?;
            }
            upload.finish().await?;
            store.conductor.ledger.put_index(store.job, store.stage, of, &index_of(&lengths)).await
        })
    }

    fn find<'a>(&'a self, store: RunStore<'a>, _: Partition, runs: &'a [RunLeft]) -> BoxFuture<'a, Result<Vec<Found>>> {
        Box::pin(async move {
            let bodies = Arc::new(Bodies::of(store));
            let mut found = Vec::new();
            for run in runs {
                let Some(range) = run.range else { continue };
                let name = runs_key(store.job, store.stage, writer_of(run));
                let open = bodies.opener(name.clone(), range, run.place.offset).await?;
                found.push(Found { run: *run, open, name });
            }
            Ok(found)
        })
    }

    fn remove<'a>(&'a self, store: RunStore<'a>, committed: &'a Committed<MapRecord>) -> BoxFuture<'a, Result<u64>> {
        let (mut keys, mut bytes) = (Vec::new(), 0);
        for (task, pieces) in (0..).map(TaskIdx).zip(committed) {
            for (piece, record) in (0..).map(Piece).zip(pieces) {
                if record.placement == Placement::Object {
                    keys.push(runs_key(store.job, Stage::Map, RunsAttempt { task, piece, attempt: record.attempt }));
                    bytes += record.run_bytes;
                }
            }
        }
        let (objects, bucket) = (&store.conductor.objects, &store.conductor.stack.work_bucket);
        Box::pin(async move { objects.delete(bucket, &keys).await.map(|()| bytes) })
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
