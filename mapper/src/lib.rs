//! The mapper: reads one split from S3 as a stream, runs the job's `map` and combiner on all threads, and writes one sorted
//! run a partition, to DynamoDB where that is cheaper, else to one S3 object. Then it commits.
//!
//! What it writes has the attempt in its key, so two attempts of a task never write the same place; only the one that commits
//! is ever read.

mod calls;
mod read;

use kinglet_aws::ledger::{Commit, Run as Execution, Says};
use kinglet_aws::nonce;
use kinglet_aws::runs::{MapAttempt, MapRuns};
use kinglet_calls::{CallEnds, Functions};
use kinglet_core::engine::map::{MapOptions, Mapped};
use kinglet_core::ids::{AttemptId, Piece, TryKey};
use kinglet_core::ledger::Phase;
use kinglet_core::wire::event::{Event, MapEvent};
use kinglet_core::wire::log::Did;
use kinglet_core::wire::record::{MapRecord, Usage};
use kinglet_core::wire::spec::{JobSpec, Then};
use kinglet_core::{Error, Registry, Result};
use kinglet_worker::tries::{self, Running, is_over};
use kinglet_worker::{Invocation, Worker};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The part of a function's memory that pairs may take; the rest is for blocks being read, runs being written, and the code.
const ARENA_PERCENT: usize = 50;

/// The part of a function's time that is kept for sorting, writing and committing what was mapped.
const RESERVE_PERCENT: u32 = 30;

/// Handles one invocation for a program that has jobs and no functions.
///
/// # Errors
/// As [`handle_with`].
pub async fn handle(worker: Arc<Worker>, jobs: Arc<Registry>, call: Invocation) -> Result<Value> {
    handle_with(worker, jobs, Arc::default(), call).await
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
        Event::Map(event) => event,
        other => {
            return Err(Error::stale("event", format!("the mapper was invoked with {other:?}")));
        }
    };
    let nonce = nonce();
    match attempt(&worker, &jobs, &functions, &event, &call, nonce).await {
        Ok(said) => Ok(said),
        Err(error) => {
            let key = TryKey::map(event.task, event.piece, event.number);
            worker.conductor.try_failed(&event.job, key, Says::Run(nonce), &error).await?;
            Ok(json!({ "failed": error.code() }))
        }
    }
}

async fn attempt(
    worker: &Arc<Worker>,
    jobs: &Registry,
    functions: &Functions,
    event: &MapEvent,
    call: &Invocation,
    nonce: u32,
) -> Result<Value> {
    let conductor = &worker.conductor;
    let before = conductor.clients.meter.totals();
    let (job, task, piece) = (&event.job, event.task, event.piece);
    let (key, attempt) = (TryKey::map(task, piece, event.number), AttemptId { number: event.number, nonce });
    let view = conductor.ledger.job(job).await?;
    let started_at = conductor.now();
    let (Phase::Mapping, Some(plan)) = (view.phase, &view.plan) else {
        return Ok(json!({ "skipped": view.phase.as_str() }));
    };
    let run = Execution {
        nonce,
        request_id: call.request_id.clone(),
        memory_mb: worker.memory_mb,
        larger: event.larger,
        calls_max: event.calls_max,
    };
    let (elsewhere, spec, split) = tokio::join!(
        tries::begin(conductor, job, key, &run),
        calls::spec(conductor, job),
        conductor.split(job, plan, event.plan),
    );
    if let Some(why) = elsewhere? {
        return Ok(json!({ "skipped": why }));
    }
    let (spec, split) = (spec?, split?);
    worker.journal.job_name(&spec.job);
    let begun = calls::Begun { view: &view, split: &split, started_at, before: &before, attempt };
    match &spec.calls {
        Some(calls) if calls.then != Then::Job => {
            return calls::attempt(worker, functions, &spec, calls, event, call, begun).await;
        }
        _ => {}
    }
    let erased = jobs.open(&spec.job, &spec.signature, &spec.params)?;
    let ends = CallEnds::default();
    let pairs_of = |calls| calls::pairs_of(worker, functions, calls, event, call, (attempt, ends.clone()));
    let mapped_by = spec.calls.as_ref().map(pairs_of).transpose()?;
    let running = Running::begin(conductor, job, key, nonce, move |view| {
        if is_over(view, key) {
            ends.cancel_all();
        }
    });

    let at = stop_at(&spec, call.deadline);
    let stop = read::Stop { at, bytes_max: event.bytes_max, chunks_max: None, told: running.stop() };
    let read = read::Read { objects: &conductor.objects, spec: &spec, split: &split, start: event.start, stop };
    let (feed, reading) = read.start(erased.cuts());
    let options = Arc::new(MapOptions {
        partitions: view.partitions,
        threads: worker.threads,
        memory_bytes: ((worker.memory_mb as usize) << 20) / 100 * ARENA_PERCENT,
        tmp: worker.tmp.clone(),
        compression: spec.options.compression,
        stop: running.stop(),
    });
    let engine = {
        let (worker, options) = (worker.clone(), options.clone());
        tokio::task::spawn_blocking(move || match mapped_by {
            Some(pairs_of) => erased.map_by(&worker.pool, &options, &feed, &*pairs_of),
            None => erased.map(&worker.pool, &options, &feed),
        })
    };
    let (read, mapped) = tokio::join!(reading, engine);
    if running.is_stopped() {
        // What was read may be less than all, and nobody wants it.
        return Ok(json!({ "skipped": "unwanted" }));
    }
    let mapped = mapped.map_err(|e| Error::service("engine", format!("the engine stopped: {e}")))?;
    // Where both failed, one was only cut off by the other: the engine's error counts where the reader says that it stopped.
    let (read, Mapped { runs, counts }) = match (read, mapped) {
        (Ok(read), mapped) => (read, mapped?),
        (Err(cut_off), Err(error)) if cut_off.code() == "engine" => return Err(error),
        (Err(error), _) => return Err(error),
    };

    worker.journal.did(Did { records: counts.records, bytes: read.bytes_read, spills: counts.spills });

    let runs = MapRuns { runs, tmp: &worker.tmp };
    let of = MapAttempt { task, piece, attempt };
    let placed = conductor.runs(job).write(of, runs, spec.options.inline_bytes_max).await?;

    let record = MapRecord {
        attempt,
        bytes_assigned: read.bytes_assigned,
        taken: read.taken,
        bytes_read: read.bytes_read,
        crc32: read.crc32,
        records: counts.records,
        rejected: 0,
        pairs_emitted: counts.pairs_emitted,
        pairs_out: counts.pairs_out,
        run_bytes: placed.bytes,
        placement: placed.placement,
        spills: counts.spills,
        remainder: read.remainder,
        usage: Usage {
            started_at,
            ran_ms: conductor.now().since_ms(started_at),
            init_ms: call.init_ms,
            memory_mb: worker.memory_mb,
            requests: conductor.clients.meter.since(&before),
        },
    };
    let commit = conductor.ledger.commit(job, task, piece, &record, view.map_tasks).await?;
    // What follows is not this try's work any more, and goes on when the stage is over.
    drop(running);
    match commit {
        Commit::Lost(winner) => Ok(json!({ "lost": winner.to_string() })),
        Commit::Won { stage_complete } => {
            if let Some(start) = read.remainder {
                let next = Piece(piece.0 + 1);
                let rest = MapEvent { piece: next, number: 0, start: Some(start), bytes_max: None, ..event.clone() };
                conductor.functions.start(&Event::Map(rest)).await?;
            }
            if stage_complete {
                conductor.conduct(job).await?;
            }
            Ok(json!({ "committed": attempt.to_string() }))
        }
    }
}

/// When to stop reading, so that there is time to write and commit.
fn stop_at(spec: &JobSpec, deadline: SystemTime) -> SystemTime {
    let now = SystemTime::now();
    let left = deadline.duration_since(now).unwrap_or_default();
    let most = spec.options.map_ms_max.map_or(left, Duration::from_millis).min(left);
    now + most * (100 - RESERVE_PERCENT) / 100
}
