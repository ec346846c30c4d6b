//! Intermediate results in S3. The runs of an attempt lie in one object, one behind the other by partition; the ledger says
//! where each begins, by group of tasks ([`RunIndex`]). The results of a batch, and what a reduce function returned, are an
//! object each.

use super::s3::{Bodies, push};
use super::{Batch, Found, MapAttempt, MapRuns, Place, RunStore, unreadable, writer_of};
use crate::ledger::Committed;
use crate::objects::SMALL_BYTES_MAX;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};
use kinglet_core::Result;
use kinglet_core::ids::{AttemptId, JobId, Partition, Piece, TaskIdx};
use kinglet_core::wire::record::{MapRecord, Placement, RunIndex};
use kinglet_core::wire::rest::RunLeft;
use std::sync::Arc;

/// How many GETs of results are under way at once.
const PARALLEL: usize = 16;

/// See [`Placement::Object`].
pub(super) struct Object;

/// Returns the key of a map attempt's runs, or of a batch's results, in the work bucket.
fn runs_key(job: &JobId, of: MapAttempt) -> String {
    format!("jobs/{job}/runs/{:06}.{}/{}", of.task.0, of.piece.0, of.attempt)
}

/// Returns the key of what a reduce function returned.
fn reduced_key(job: &JobId, attempt: AttemptId) -> String {
    format!("jobs/{job}/result/{attempt}")
}

impl Place for Object {
    fn placement(&self) -> Placement {
        Placement::Object
    }

    fn write<'a>(&'a self, store: RunStore<'a>, of: MapAttempt, runs: MapRuns<'a>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut upload = store.upload(&runs_key(store.job, of));
            let mut index = RunIndex { ends: Vec::with_capacity(runs.runs.len()) };
            let mut end = 0;
            for run in runs.runs {
                if run.pairs > 0 {
                    end += run.bytes;
                    push(&mut upload, run.into_reader().map_err(|e| unreadable(runs.tmp, &e))?).await?;
                }
                index.ends.push(end);
            }
            upload.finish().await?;
            store.conductor.ledger.put_index(store.job, of, &index).await
        })
    }

    fn find<'a>(&'a self, store: RunStore<'a>, _: Partition, runs: &'a [RunLeft]) -> BoxFuture<'a, Result<Vec<Found>>> {
        Box::pin(async move {
            let bodies = Arc::new(Bodies::of(store));
            let mut found = Vec::new();
            for run in runs {
                let Some(range) = run.range else { continue };
                let name = runs_key(store.job, writer_of(run));
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
                    keys.push(runs_key(store.job, MapAttempt { task, piece, attempt: record.attempt }));
                    bytes += record.run_bytes;
                }
            }
        }
        let (objects, bucket) = (&store.conductor.objects, &store.conductor.stack.work_bucket);
        Box::pin(async move { objects.delete(bucket, &keys).await.map(|()| bytes) })
    }

    fn write_results<'a>(&'a self, store: RunStore<'a>, of: MapAttempt, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { store.put(&runs_key(store.job, of), bytes).await })
    }

    fn read_results<'a>(&'a self, store: RunStore<'a>, batches: &'a [&'a Batch]) -> BoxFuture<'a, Result<Vec<Bytes>>> {
        let wanted: Vec<(String, u64)> =
            batches.iter().map(|batch| (runs_key(store.job, batch.attempt()), batch.record.run_bytes)).collect();
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
