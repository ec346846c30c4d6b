//! The mapper: reads one split from S3 as a stream, runs the job's `map` and combiner on all threads, and writes one sorted
//! run for each partition: to DynamoDB where that is cheaper, else to one S3 object; and to S3 where the runs are merged before they
//! are reduced. Then it commits.
//!
//! The attempt is part of every key that it writes, so two attempts of a task never write to the same place. Only the output
//! of the attempt that commits is ever read.

mod calls;
mod read;

use kinglet_aws::Conductor;
use kinglet_aws::runs::{MapRuns, Placed, RunsAttempt};
use kinglet_calls::{CallEnds, Functions};
use kinglet_core::budget::{MAP_TIME_KEPT_PERCENT, MAPPED_PAIRS_PERCENT, memory_bytes};
use kinglet_core::engine::map::{MapOptions, Mapped};
use kinglet_core::ids::JobId;
use kinglet_core::ledger::JobView;
use kinglet_core::wire::event::{Event, MapEvent};
use kinglet_core::wire::log::Did;
use kinglet_core::wire::plan::Split;
use kinglet_core::wire::record::{MapRecord, Placement, Position};
use kinglet_core::wire::spec::{CallsSpec, JobSpec, Splitting, Then};
use kinglet_core::{Code, Error, ErrorKind, Registry, Result};
use kinglet_worker::task::{self, Try, Work};
use kinglet_worker::{Assignment, Invocation, Look, Outcome, Seen, Worker};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Handles one invocation for a program that has jobs and no functions.
///
/// # Errors
/// Returns the errors of [`handle_with`].
pub async fn handle(worker: Arc<Worker>, jobs: Arc<Registry>, call: Invocation) -> Result<Outcome> {
    handle_with(worker, jobs, Arc::default(), call).await
}

/// Handles one invocation.
///
/// # Errors
/// Returns the errors of [`task::run`].
pub async fn handle_with(
    worker: Arc<Worker>,
    jobs: Arc<Registry>,
    functions: Arc<Functions>,
    call: Invocation,
) -> Result<Outcome> {
    let event = call.event()?;
    match (Assignment::of(&event), event) {
        (Some(assigned), Event::Map(event)) => {
            let work = Mapping { jobs, functions, event, ends: CallEnds::default() };
            task::run(&worker, &call, &assigned, &work).await
        }
        (_, other) => Err(Error::new(Code::Event, format!("the mapper was invoked with {other:?}"))),
    }
}

/// One map task.
struct Mapping {
    jobs: Arc<Registry>,
    functions: Arc<Functions>,
    event: MapEvent,
    /// Passes cancellations to its calls, if it makes any.
    ends: CallEnds,
}

impl Work for Mapping {
    type Input = Split;
    type Record = MapRecord;

    /// The spec of a map of calls is kept for the next batches on a warm worker.
    async fn spec(&self, worker: &Worker, job: &JobId) -> Result<Arc<JobSpec>> {
        if let Some(spec) = worker.kept_spec(job) {
            return Ok(spec);
        }
        let spec = Arc::new(worker.conductor.spec(job).await?);
        if spec.calls.is_some() {
            worker.keep_spec(job, &spec);
        }
        Ok(spec)
    }

    async fn input(&self, conductor: &Conductor, view: &JobView) -> Result<Split> {
        // A job that is mapping has a plan.
        let plan = view.plan.as_deref().unwrap_or_default();
        let split = conductor.split(&self.event.job, plan, self.event.plan).await?;
        Ok(match view.reread(self.event.task) {
            Some(reread) => reread.split(split),
            None => split,
        })
    }

    fn look(&self, spec: &JobSpec) -> Look {
        let (ends, is_batch) = (self.ends.clone(), batch_of(spec).is_some());
        Box::new(move |seen| match seen {
            Seen::Over => ends.cancel_all(),
            Seen::GoesOn(view) if is_batch => ends.cancel(&view.cancelled),
            Seen::GoesOn(_) => {}
        })
    }

    async fn run(&self, task: &Try<'_>, split: Split) -> Result<Option<MapRecord>> {
        match batch_of(&task.spec) {
            Some(calls) => self.make_calls(task, calls, &split).await.map(Some),
            None => self.map(task, &split).await,
        }
    }

    async fn hand_on(&self, task: &Try<'_>, record: &MapRecord) -> Result<()> {
        let Some(start) = record.remainder else { return Ok(()) };
        let event = self.event.clone();
        if batch_of(&task.spec).is_some() {
            return task.conductor().start_rest(event, start).await;
        }
        let piece = event.piece.next()?;
        let rest = MapEvent { piece, number: 0, start: Some(start), bytes_max: None, ..event };
        task.conductor().functions.start(&Event::Map(rest)).await?;
        task.look_at_ceiling().await;
        Ok(())
    }
}

/// Returns the calls of a map task whose output is their results and not a job's pairs.
fn batch_of(spec: &JobSpec) -> Option<&CallsSpec> {
    spec.calls.as_ref().filter(|calls| calls.then != Then::Job)
}

impl Mapping {
    fn named(&self, task: &Try<'_>) -> RunsAttempt {
        RunsAttempt { task: task.key.task, piece: task.key.piece, attempt: task.attempt }
    }

    /// Maps a split and writes its runs.
    async fn map(&self, task: &Try<'_>, split: &Split) -> Result<Option<MapRecord>> {
        let Try { worker, spec, running, .. } = task;
        let erased = self.jobs.open(&spec.job, &spec.signature, &spec.params)?;
        let mapped_by = spec.calls.as_ref().map(|calls| self.pairs_of(task, calls)).transpose()?;
        let stop = read::Stop {
            at: stop_at(spec.options.map_ms_max, task.call.deadline),
            at_last: stop_at(None, task.call.deadline),
            bytes_max: self.event.bytes_max,
            chunks_max: None,
            told: running.stop(),
        };
        let reread = task.view.reread(task.key.task);
        let begins = read::Begins { at_record: reread.is_some(), guessed: Arc::default() };
        // A further piece goes on where the one before it ended, which may have begun by a guess.
        let follows_guess = self.event.start.is_some() && reread.is_none() && may_begin_by_guess(split, spec);
        begins.guessed.store(follows_guess, Ordering::Relaxed);
        let start = self.event.start.or(reread.map(|reread| Position::at(0, reread.start)));
        let guessed = begins.guessed.clone();
        let (objects, memory_mb, beside) = (&worker.conductor.objects, worker.memory_mb, worker.conductor.beside);
        let decoders = read::Decoders { threads: worker.threads, footers: worker.kept(), heads: worker.kept() };
        let read = read::Read { objects, spec, split, start, begins, stop, memory_mb, beside, decoders };
        let side = read.side();
        let (feed, reading) = read.start(erased.cuts(side)?);
        let options = Arc::new(MapOptions {
            partitions: task.view.partitions.saturating_sub(spec.quarantines()),
            threads: worker.threads,
            memory_bytes: memory_bytes(worker.memory_mb, MAPPED_PAIRS_PERCENT) as usize,
            tmp: worker.tmp.clone(),
            compression: spec.options.compression,
            stop: running.stop(),
            max_rejected: spec.options.max_rejected,
        });
        let engine = {
            let worker = (*worker).clone();
            move || match mapped_by {
                Some(pairs_of) => erased.map_by(&worker.pool, &options, &feed, &*pairs_of),
                None => erased.map(&worker.pool, &options, &feed),
            }
        };
        let (read, mapped) = beside.after(reading, engine).await;
        if running.is_stopped() {
            // Less than the whole may have been read, and nobody wants it.
            return Ok(None);
        }
        let made = match read::both(read, mapped?) {
            Err(error) if guessed.load(Ordering::Relaxed) && is_of_records(&error) => {
                let (code, hint) = (error.code(), error.hint());
                tracing::warn!(code, %error, hint, "a split that began by a guess met this; it is read again from a proved place");
                return Ok(Some(unread(task, split.bytes_from(start.unwrap_or(Position::at(0, 0))))));
            }
            made => made?,
        };
        let (mut read, Mapped { runs, counts }) = made;
        if let (Some(reread), None, [range]) = (reread, self.event.start, &split.ranges[..]) {
            // What lies before its first record was read with the splits before, but belongs to this task.
            read.bytes_assigned += reread.start.clamp(range.from, range.to) - range.from;
        }
        worker.journal.did(Did { records: counts.records, bytes: read.bytes_read, spills: counts.spills });
        let runs = MapRuns { runs, tmp: &worker.tmp };
        let store = worker.conductor.runs(task.job);
        let placed = match &task.view.grid {
            Some(grid) => store.write_bundles(self.named(task), runs, grid).await?,
            None => store.write(self.named(task), runs, spec.options.inline_bytes_max).await?,
        };
        Ok(Some(MapRecord {
            records: counts.records,
            rejected: counts.rejected,
            pairs_emitted: counts.pairs_emitted,
            pairs_out: counts.pairs_out,
            spills: counts.spills,
            ..record(task, &read, placed)
        }))
    }
}

/// Returns the record of a commit: what was read, and where the output lies.
fn record(task: &Try<'_>, read: &read::Done, placed: Placed) -> MapRecord {
    MapRecord {
        attempt: task.attempt,
        bytes_assigned: read.bytes_assigned,
        taken: read.taken,
        bytes_read: read.bytes_read,
        crc32: read.crc32,
        records: read.chunks,
        rejected: 0,
        pairs_emitted: 0,
        pairs_out: 0,
        run_bytes: placed.bytes,
        placement: placed.placement,
        spills: 0,
        remainder: read.remainder,
        usage: task.usage(),
    }
}

/// Returns when to stop reading, so that there is time to write and commit.
fn stop_at(map_ms_max: Option<u64>, deadline: Instant) -> Instant {
    let now = Instant::now();
    let left = deadline.duration_since(now);
    let most = map_ms_max.map_or(left, Duration::from_millis).min(left);
    now + most * (100 - MAP_TIME_KEPT_PERCENT) / 100
}

/// Returns the record of a split of whose rows none counts, as it was begun by a guess and could not be read so: it has taken nothing.
/// If rows start in it, it will be read again.
fn unread(task: &Try<'_>, bytes: u64) -> MapRecord {
    let read = read::Done { bytes_assigned: bytes, ..read::Done::default() };
    record(task, &read, Placed { placement: Placement::Nowhere, bytes: 0 })
}

/// Returns whether an error may be due to records that are none, as a wrong guess makes them.
fn is_of_records(error: &Error) -> bool {
    let is_of_object =
        matches!(error.known_code(), Some(Code::ObjectChanged | Code::ObjectMissing | Code::InputUnreadable));
    let is_of_records = matches!(error.kind(), ErrorKind::Input | ErrorKind::UserCode | ErrorKind::Limit);
    is_of_records && !is_of_object && !error.is_retryable()
}

/// Returns whether a split's first record is found by a guess, unless something is read that proves it.
fn may_begin_by_guess(split: &Split, spec: &JobSpec) -> bool {
    match &split.ranges[..] {
        [range] => range.from > 0 && spec.splitting_of(range.input_idx) == Splitting::Guessed,
        _ => false,
    }
}
