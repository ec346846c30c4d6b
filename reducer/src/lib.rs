//! The reducer: merges the committed runs of one partition as a stream, runs the job's `reduce`, and sends one part.
//!
//! A part is sent as a multipart upload that is left open: nothing of it can be seen. The attempt that commits has its upload
//! in the ledger, and whoever ends the job completes that; the uploads of all others are aborted.

mod calls;
mod fetch;

use kinglet_aws::ledger::{Commit, Committed, Run, Says};
use kinglet_aws::nonce;
use kinglet_aws::upload::Upload;
use kinglet_calls::{CallEnds, Functions};
use kinglet_core::engine::reduce::{ReduceCounts, ReduceOptions, Runs};
use kinglet_core::ids::{AttemptId, Partition, Piece, Timestamp, TryKey};
use kinglet_core::ledger::Phase;
use kinglet_core::wire::event::{Event, ReduceEvent};
use kinglet_core::wire::log::Did;
use kinglet_core::wire::record::{MapRecord, ReduceRecord, Requests, Usage};
use kinglet_core::wire::spec::{JobSpec, Then};
use kinglet_core::{Error, Registry, Result};
use kinglet_worker::tries::{self, Running, is_over};
use kinglet_worker::{Invocation, Worker};
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
    attempt: AttemptId,
    running: Running,
    ends: CallEnds,
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
    let nonce = nonce();
    match attempt(&worker, &jobs, &functions, &event, &call, nonce).await {
        Ok(said) => Ok(said),
        Err(error) => {
            let key = TryKey::reduce(event.task, event.number);
            worker.conductor.try_failed(&event.job, key, Says::Run(nonce), &error).await?;
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
    nonce: u32,
) -> Result<Value> {
    let conductor = &worker.conductor;
    let before = conductor.clients.meter.totals();
    let (job, task, partition) = (&event.job, event.task, Partition(event.task.0));
    let (key, attempt) = (TryKey::reduce(task, event.number), AttemptId { number: event.number, nonce });
    let view = conductor.ledger.job(job).await?;
    let started_at = conductor.now();
    if view.phase != Phase::Reducing {
        return Ok(json!({ "skipped": view.phase.as_str() }));
    }
    let (request_id, memory_mb) = (call.request_id.clone(), worker.memory_mb);
    let run = Run { nonce, request_id, memory_mb, larger: false, calls_max: None };
    let (elsewhere, spec, committed) = tokio::join!(
        tries::begin(conductor, job, key, &run),
        conductor.spec(job),
        conductor.ledger.committed::<MapRecord>(job, view.map_tasks),
    );
    if let Some(why) = elsewhere? {
        return Ok(json!({ "skipped": why }));
    }
    let (spec, committed) = (spec?, committed?);
    worker.journal.job_name(&spec.job);
    let ends = CallEnds::default();
    let running = Running::begin(conductor, job, key, nonce, {
        let ends = ends.clone();
        move |view| {
            if is_over(view, key) {
                ends.cancel_all();
            }
        }
    });
    if let Some(Then::Reduce(reducer)) = spec.calls.as_ref().map(|calls| &calls.then) {
        let begun = Begun { committed, started_at, before, attempt, running, ends };
        return calls::attempt(worker, functions, reducer, event, call, begun).await;
    }
    let erased = jobs.open(&spec.job, &spec.signature, &spec.params)?;
    let mut runs = conductor.runs(job).open(partition, &committed).await?;
    let run_count = runs.count() as u64;

    let options = ReduceOptions {
        fan_in_max: fetch::fan_in_max(worker.memory_mb),
        output_bytes: OUTPUT_BYTES,
        tmp: worker.tmp.clone(),
        stop: running.stop(),
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
    let part = spec.output.part_key(partition.0, job);
    let mut upload = Upload::new(&conductor.objects, &spec.output.bucket, &part);
    let uploaded = push_all(&mut upload, receiver).await;
    let reduced = engine.await.map_err(|e| Error::service("engine", format!("the engine stopped: {e}")));
    // Where both failed, the upload failed first: the engine only found its output cut off.
    let (counts, crc32) = match (uploaded, reduced.and_then(|reduced| reduced)) {
        (Ok(()), Ok(reduced)) => reduced,
        (Err(error), _) | (Ok(()), Err(error)) => {
            upload.abort().await;
            if running.is_stopped() {
                return Ok(json!({ "skipped": "unwanted" }));
            }
            return Err(named(error, &spec));
        }
    };
    worker.journal.did(Did { records: counts.records_out, bytes: counts.bytes_out, spills: 0 });
    let upload = upload.leave_open().await.map_err(|e| named(e, &spec))?;

    let record = ReduceRecord {
        attempt,
        runs: run_count,
        pairs_in: counts.pairs_in,
        keys: counts.keys,
        records_out: counts.records_out,
        bytes_out: counts.bytes_out,
        crc32,
        upload: Some(upload.clone()),
        usage: Usage {
            started_at,
            ran_ms: conductor.now().since_ms(started_at),
            init_ms: call.init_ms,
            memory_mb: worker.memory_mb,
            requests: conductor.clients.meter.since(&before),
        },
    };
    let commit = conductor.ledger.commit(job, task, Piece(0), &record, view.partitions).await;
    // What follows is not this try's work any more, and goes on when the stage is over.
    drop(running);
    let phase = match commit {
        // Who completes the stage looks at the job as it is then, and goes on with it.
        Ok(Commit::Won { stage_complete: true }) => conductor.conduct(job).await?,
        Ok(Commit::Won { stage_complete: false }) => conductor.ledger.job(job).await?.phase,
        Ok(Commit::Lost(winner)) => {
            conductor.objects.abort_upload(&spec.output.bucket, &part, &upload.id).await?;
            return Ok(json!({ "lost": winner.to_string() }));
        }
        // It may have been done all the same, so the upload stays: whoever ends the job sees to it.
        Err(error) => return Err(error),
    };
    // The job may have been given up meanwhile: then whoever did that may not have seen the upload.
    if matches!(phase, Phase::Undoing | Phase::Failed | Phase::Cancelled) {
        conductor.objects.abort_upload(&spec.output.bucket, &part, &upload.id).await?;
    }
    Ok(json!({ "committed": attempt.to_string() }))
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
