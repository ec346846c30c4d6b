//! The reduce of a map of calls: calls one function with the results of all calls, as a list in the order of their inputs.
//!
//! The list is assembled from the encoded results: a list's encoding is its length followed by its elements.

use crate::Reducing;
use kinglet_aws::ledger::Committed;
use kinglet_aws::runs::Batch;
use kinglet_calls::{CallPlace, Context};
use kinglet_core::guard::catch_as;
use kinglet_core::ids::{Piece, TaskIdx};
use kinglet_core::wire::calls::{self, CallHead};
use kinglet_core::wire::log::Did;
use kinglet_core::wire::record::{MapRecord, ReduceRecord};
use kinglet_core::wire::spec::FunctionSpec;
use kinglet_core::{Result, codec};
use kinglet_worker::Try;
use std::sync::Arc;
use tokio::time::Instant;

impl Reducing {
    /// Calls the function and writes what it returns.
    pub(crate) async fn call(
        &self,
        task: &Try<'_>,
        reducer: &FunctionSpec,
        committed: Committed<MapRecord>,
    ) -> Result<ReduceRecord> {
        let Try { worker, job, .. } = task;
        let conductor = task.conductor();
        let function = self.functions.open(&reducer.name, &reducer.signature)?;
        let of_task = |(task, pieces): (TaskIdx, Vec<MapRecord>)| {
            (0..).zip(pieces).map(move |(n, record)| Batch { task, piece: Piece(n), record })
        };
        let wanted: Vec<Batch> = (0..).map(TaskIdx).zip(committed).flat_map(of_task).collect();
        let batches = conductor.runs(job).results(&wanted).await?;
        let mut results = Vec::new();
        for batch in &batches {
            results.extend(calls::read(batch, &format!("the results of job {job}"))?);
        }
        results.sort_by_key(|result| result.number);
        let count = results.len() as u64;
        let failed = results.iter().find_map(|result| Some((result.number, result.head.failed.clone()?)));
        let mut list = codec::encode(&count)?;
        results.iter().for_each(|result| list.extend_from_slice(result.value));
        drop(results);
        drop(batches);

        let place = CallPlace::of(task, &reducer.name, self.ends.clone());
        let context = Context::new(Arc::new(place), 0);
        let (started_at, began) = (conductor.now(), Instant::now());
        let pairs_in = list.len() as u64;
        let value = match failed {
            // The reducer cannot make up for a missing result.
            Some((number, error)) => Err(error.context(format!("call {number}"))),
            None => {
                let (worker, context) = ((*worker).clone(), context.clone());
                let run =
                    move || worker.pool.install(|| catch_as("the reducer", || function(&context, &list)).flatten());
                let ((), ran) = conductor.beside.after(async {}, run).await;
                ran?.map_err(|e| e.context(format!("reducing with {}", reducer.name)))
            }
        };
        let ran_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (value, failed) = match value {
            Ok(value) => (value, None),
            Err(error) => (vec![], Some(error)),
        };
        let mut result = Vec::new();
        calls::write(0, &CallHead { failed, started_at, ran_us, log: context.take_log() }, &value, &mut result)?;
        let (bytes_out, crc32) = (result.len() as u64, crc32fast::hash(&result));
        worker.journal.did(Did { records: 1, bytes: bytes_out, spills: 0 });
        conductor.runs(job).write_reduced(task.attempt, result).await?;
        Ok(ReduceRecord {
            attempt: task.attempt,
            runs: wanted.len() as u64,
            pairs_in,
            keys: count,
            records_out: 1,
            bytes_out,
            crc32,
            upload: None,
            files: 0,
            hands_on: false,
            usage: task.usage(),
        })
    }
}
