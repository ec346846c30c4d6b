//! Intermediate results in DynamoDB: items of up to 400 KB. Runs lie by partition, so that one query finds all runs of a
//! partition; the results of calls lie by group. `ledger/runs.rs` has the items' layout.

use super::{Batch, Found, MapRuns, Place, RunStore, RunsAttempt, unreadable, writer_of};
use crate::ledger::{Committed, InlineRun, RunOf};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use kinglet_core::Result;
use kinglet_core::ids::{AttemptId, Partition};
use kinglet_core::limits::TASKS_PER_GROUP;
use kinglet_core::wire::record::{MapRecord, Placement};
use kinglet_core::wire::rest::RunLeft;
use std::collections::HashMap;
use std::io::{Cursor, Read};

/// See [`Placement::Inline`].
pub(super) struct Inline;

/// The results of a batch lie like a run, whose partition is the batch's group: a partition key takes 1,000 KB a second, and all
/// batches together would be too many for one.
fn results_of(attempt: RunsAttempt) -> RunOf {
    RunOf { partition: Partition(attempt.task.0 / TASKS_PER_GROUP), attempt }
}

impl Place for Inline {
    fn placement(&self) -> Placement {
        Placement::Inline
    }

    fn write<'a>(&'a self, store: RunStore<'a>, of: RunsAttempt, runs: MapRuns<'a>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut small = Vec::new();
            for (run, partition) in runs.runs.into_iter().zip(0..) {
                if run.pairs > 0 {
                    let mut bytes = Vec::with_capacity(run.bytes as usize);
                    run.read_to(&mut bytes).map_err(|e| unreadable(runs.tmp, &e))?;
                    small.push((Partition(partition), bytes));
                }
            }
            store.conductor.ledger.put_runs(store.job, of, small).await
        })
    }

    fn find<'a>(
        &'a self,
        store: RunStore<'a>,
        partition: Partition,
        runs: &'a [RunLeft],
    ) -> BoxFuture<'a, Result<Vec<Found>>> {
        Box::pin(async move {
            let here: HashMap<String, RunLeft> =
                runs.iter().filter(|run| run.range.is_none()).map(|run| (writer_of(run).to_string(), *run)).collect();
            let attempts = here.values().map(writer_of);
            let runs = store.conductor.ledger.inline_runs(store.job, partition, attempts).await?;
            let found = runs.into_iter().filter_map(|InlineRun { name, bytes }| {
                let (run, bytes) = (*here.get(&name)?, Bytes::from(bytes));
                let open = move |from: u64| {
                    let from = usize::try_from(from).map_or(bytes.len(), |from| from.min(bytes.len()));
                    Box::new(Cursor::new(bytes.slice(from..))) as Box<dyn Read + Send>
                };
                Some(Found { run, name, open: Box::new(open) })
            });
            Ok(found.collect())
        })
    }

    /// Deleting an item costs as much as writing it, and DynamoDB deletes what has expired for nothing.
    fn remove<'a>(&'a self, _: RunStore<'a>, _: &'a Committed<MapRecord>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async { Ok(0) })
    }

    fn write_results<'a>(&'a self, store: RunStore<'a>, of: RunsAttempt, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let runs = vec![(results_of(of).partition, bytes)];
            store.conductor.ledger.put_runs(store.job, of, runs).await
        })
    }

    fn read_results<'a>(&'a self, store: RunStore<'a>, batches: &'a [&'a Batch]) -> BoxFuture<'a, Result<Vec<Bytes>>> {
        Box::pin(async move {
            let wanted: Vec<_> =
                batches.iter().map(|batch| (results_of(batch.attempt()), batch.record.run_bytes as usize)).collect();
            store.conductor.ledger.runs_by_key(store.job, &wanted).await
        })
    }

    fn write_reduced<'a>(
        &'a self,
        store: RunStore<'a>,
        attempt: AttemptId,
        bytes: Vec<u8>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(store.conductor.ledger.put_result(store.job, attempt, bytes))
    }

    fn read_reduced<'a>(&'a self, store: RunStore<'a>, attempt: AttemptId) -> BoxFuture<'a, Result<Option<Bytes>>> {
        Box::pin(store.conductor.ledger.result(store.job, attempt))
    }
}

/// Writes the one result of a batch whose worker died: an error's text, which fits into an item.
pub(super) async fn write_settled(store: RunStore<'_>, of: RunsAttempt, doing: String, result: Vec<u8>) -> Result<()> {
    let key = results_of(of).key(store.job, 0);
    store.conductor.ledger.put_bytes(doing, key, "run", result).await
}
