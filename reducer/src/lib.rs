//! The reducer: merges the committed runs of one partition as a stream, runs the job's `reduce`, and publishes one part.
//!
//! A part is published by a conditional PUT, so it appears whole and once. An attempt that finds one there compares it with
//! its own and agrees with it; if they differ, the output is another job's, or the job's `reduce` gives different results
//! for the same input, and the job fails.

mod calls;
mod fetch;

use kinglet_aws::Conductor;
use kinglet_aws::ledger::{Commit, Committed};
use kinglet_aws::objects::{Put, Replace};
use kinglet_aws::upload::Upload;
use kinglet_aws::worker::{Invocation, Worker};
use kinglet_calls::Functions;
use kinglet_core::engine::reduce::{ReduceCounts, ReduceOptions};
use kinglet_core::ids::{AttemptId, Partition, Piece, Stage, Timestamp};
use kinglet_core::ledger::Phase;
use kinglet_core::wire::event::{Event, ReduceEvent};
use kinglet_core::wire::log::Did;
use kinglet_core::wire::record::{MapRecord, ReduceRecord, Requests, Usage};
use kinglet_core::wire::spec::{JobSpec, Then};
use kinglet_core::{Error, Registry, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;

/// How much output is handed on at once.
const OUTPUT_BYTES: usize = 1 << 20;

/// Handles one invocation for a program that has jobs and no functions.
///
/// # Errors
/// As [`handle_with`].
pub async fn handle(worker: Arc<Worker>, jobs: Arc<Registry>, call: Invocation) -> Result<Value> {
    handle_with(worker, jobs, Arc::default(), call).await
}

/// What was done before an attempt knew that it calls a function.
pub(crate) struct Begun {
    committed: Committed<MapRecord>,
    started_at: Timestamp,
    before: Requests,
}

/// Handles one invocation.
///
/// # Errors
/// Only when the failure of the attempt could not be recorded: then Lambda hands the event to the on-failure destination.
pub async fn handle_with(
    worker: Arc<Worker>,
    jobs: Arc<Registry>,
    functions: Arc<Functions>,
    call: Invocation,
) -> Result<Value> {
    let event = match call.event()? {
        Event::Reduce(event) => event,
        other => {
            return Err(Error::stale("event", format!("the reducer was invoked with {other:?}")));
        }
    };
    match attempt(&worker, &jobs, &functions, &event, &call).await {
        Ok(said) => Ok(said),
        Err(error) => {
            let (task, number) = (event.task, event.number);
            worker.conductor.try_failed(&event.job, Stage::Reduce, task, Piece(0), number, &error).await?;
            Ok(json!({ "failed": error.code() }))
        }
    }
}

async fn attempt(
    worker: &Arc<Worker>,
    jobs: &Registry,
    functions: &Functions,
    event: &ReduceEvent,
    call: &Invocation,
) -> Result<Value> {
    let conductor = &worker.conductor;
    let before = conductor.clients.meter.totals();
    let started_at = Timestamp::now();
    let (job, task, partition) = (&event.job, event.task, Partition(event.task.0));
    let view = conductor.ledger.job(job).await?;
    if view.phase != Phase::Reducing {
        return Ok(json!({ "skipped": view.phase.as_str() }));
    }
    let (started, spec, committed) = tokio::join!(
        conductor.ledger.start(
            job,
            Stage::Reduce,
            task,
            Piece(0),
            event.number,
            (worker.memory_mb, false),
            None,
            started_at
        ),
        conductor.spec(job),
        conductor.ledger.committed::<MapRecord>(job, view.map_tasks),
    );
    started?;
    let (spec, committed) = (spec?, committed?);
    worker.journal.job_name(&spec.job);
    if let Some(Then::Reduce(reducer)) = spec.calls.as_ref().map(|calls| &calls.then) {
        let begun = Begun { committed, started_at, before };
        return calls::attempt(worker, functions, reducer, event, call, begun).await;
    }
    let erased = jobs.open(&spec.job, &spec.signature, &spec.params)?;
    let (inline, objects) = tokio::join!(
        conductor.ledger.inline_runs(job, partition, &committed),
        conductor.ledger.object_runs(job, &committed),
    );
    let mut runs = fetch::PartitionRuns::new(conductor, job, partition, inline?, &objects?);
    let run_count = kinglet_core::engine::reduce::Runs::count(&runs) as u64;

    let options = ReduceOptions {
        fan_in_max: fetch::fan_in_max(worker.memory_mb),
        output_bytes: OUTPUT_BYTES,
        tmp: worker.tmp.clone(),
    };
    let (sender, receiver) = mpsc::channel(8);
    let with_pool = worker.clone();
    let engine = tokio::task::spawn_blocking(move || -> Result<(ReduceCounts, u32)> {
        let mut crc = crc32fast::Hasher::new();
        // In the pool, so that a kernel that the job calls has the threads of the function, and no others.
        let counts = with_pool.pool.install(|| {
            erased.reduce(&options, &mut runs, &mut |bytes| {
                crc.update(&bytes);
                sender.blocking_send(bytes).map_err(|_| Error::service("upload", "the upload stopped"))
            })
        })?;
        Ok((counts, crc.finalize()))
    });
    let key = spec.output.part_key(partition.0);
    let mut upload = Upload::new(&conductor.objects, &spec.output.bucket, &key, Replace::No);
    let uploaded = push_all(&mut upload, receiver).await;
    let reduced = engine.await.map_err(|e| Error::service("engine", format!("the engine stopped: {e}")));
    // Where both failed, the upload failed first: the engine only found its output cut off.
    let (counts, crc32) = match (uploaded, reduced.and_then(|reduced| reduced)) {
        (Ok(()), Ok(reduced)) => reduced,
        (Err(error), _) | (Ok(()), Err(error)) => {
            upload.abort().await;
            return Err(named(error, &spec));
        }
    };
    worker.journal.did(Did { records: counts.records_out, bytes: counts.bytes_out, spills: 0 });
    let etag = match upload.finish().await.map_err(|e| named(e, &spec))? {
        Put::Written(etag) => etag,
        Put::Exists => agree(conductor, &spec, &key, &counts, crc32).await?,
    };

    let record = ReduceRecord {
        attempt: AttemptId { number: event.number, nonce: kinglet_aws::worker::nonce() },
        runs: run_count,
        pairs_in: counts.pairs_in,
        keys: counts.keys,
        records_out: counts.records_out,
        bytes_out: counts.bytes_out,
        crc32,
        etag,
        usage: Usage {
            started_at,
            ran_ms: Timestamp::now().since_ms(started_at),
            init_ms: call.init_ms,
            memory_mb: worker.memory_mb,
            requests: conductor.clients.meter.since(&before),
        },
    };
    let commit = conductor.ledger.commit(job, task, Piece(0), &record, view.partitions).await?;
    let mut said = json!({ "committed": record.attempt.to_string() });
    if commit == (Commit::Won { stage_complete: true }) {
        conductor.conduct(job).await?;
        return Ok(said);
    }
    if let Commit::Lost(winner) = commit {
        said = json!({ "lost": winner.to_string() });
    }
    // The job may have been given up meanwhile: whoever did that removed the parts that were committed before.
    let phase = conductor.ledger.job(job).await?.phase;
    if matches!(phase, Phase::Failed | Phase::Cancelled) {
        conductor.objects.delete(&spec.output.bucket, &[key]).await?;
    }
    Ok(said)
}

/// An error of writing the output, with the name that the user gave it.
fn named(error: Error, spec: &JobSpec) -> Error {
    let of_output = error.fault().message.contains(&format!("s3://{}/", spec.output.bucket));
    if of_output { error.context(format!("output {}", spec.output.shown)) } else { error }
}

async fn push_all(upload: &mut Upload, mut blocks: mpsc::Receiver<Vec<u8>>) -> Result<()> {
    while let Some(block) = blocks.recv().await {
        upload.push(block.into()).await?;
    }
    Ok(())
}

/// Compares what is there with what this attempt has made.
async fn agree(conductor: &Conductor, spec: &JobSpec, key: &str, counts: &ReduceCounts, crc32: u32) -> Result<String> {
    let bucket = &spec.output.bucket;
    let shown = spec.output.shown_key(key);
    let there = conductor.objects.head(bucket, key).await?;
    let differs = || {
        Error::input("output-taken", format!("{shown} is there already and differs"))
            .with_hint("choose another output; a job's `reduce` must give the same result each time")
    };
    let there = there.filter(|there| there.size == counts.bytes_out).ok_or_else(differs)?;
    let mut crc = crc32fast::Hasher::new();
    let mut reader = conductor.objects.read(bucket, key, Some(&there.etag), 0, there.size, &shown);
    while let Some(bytes) = reader.next().await? {
        crc.update(&bytes);
    }
    if crc.finalize() == crc32 { Ok(there.etag) } else { Err(differs()) }
}
