//! A batch of calls. The split's items are the inputs of a function; the attempt's output is what the function returns for
//! each, or why it failed.
//!
//! A call that fails or panics is a result like any other. As many calls run at once as there are threads, or as were asked
//! for; each thread takes the next input when its call has ended. A batch ends early, and hands the rest back as the next
//! piece, when it has made as many calls as it was allowed, when its results fill their share of the memory, or when its time
//! is nearly up: no call begins that would end too late if it took as long as the longest so far.

use crate::read::{Begins, Decoders, Read, Stop, both};
use crate::{Mapping, record};
use kinglet_calls::{CallPlace, Context, Opened};
use kinglet_core::budget::{RESULTS_PERCENT, memory_bytes};
use kinglet_core::engine::cut::Cuts;
use kinglet_core::engine::map::{Chunks, PairsOf};
use kinglet_core::guard::catch_as;
use kinglet_core::limits::CALL_RESULT_BYTES_MAX;
use kinglet_core::wire::calls::{self, CallHead};
use kinglet_core::wire::items;
use kinglet_core::wire::log::Did;
use kinglet_core::wire::plan::Split;
use kinglet_core::wire::record::MapRecord;
use kinglet_core::wire::spec::CallsSpec;
use kinglet_core::{Code, Error, Items, Result};
use kinglet_worker::Try;
use rayon::ThreadPool;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ScopedJoinHandle;
use std::time::Duration;
use tokio::time::Instant;

/// The part of a batch's time that is reserved for writing results and committing: a tenth, but at most this.
const RESERVE_MAX: Duration = Duration::from_secs(10);

/// How often a batch writes its calls' progress, if there is any.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The results of a batch so far.
struct Results {
    bytes: Mutex<Vec<u8>>,
    /// The longest call so far, in milliseconds.
    longest_ms: AtomicU64,
    /// Set when no more calls are to begin.
    enough: Arc<AtomicBool>,
    bytes_max: usize,
    stop_at: Instant,
}

impl Results {
    fn add(&self, number: u32, head: &CallHead, value: &[u8]) -> Result<()> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        calls::write(number, head, value, &mut bytes)?;
        let longest_ms = self.longest_ms.fetch_max(head.ran_us / 1000, Ordering::Relaxed).max(head.ran_us / 1000);
        let left = self.stop_at.duration_since(Instant::now());
        // One more call may have been read already and will be made: it must end in time too.
        if bytes.len() > self.bytes_max || left < Duration::from_millis(2 * longest_ms) {
            self.enough.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Mapping {
    /// Makes the calls of a batch and writes their results.
    pub(crate) async fn make_calls(&self, task: &Try<'_>, calls: &CallsSpec, split: &Split) -> Result<MapRecord> {
        let Try { worker, call, spec, .. } = task;
        let function = self.functions.open(&calls.function.name, &calls.function.signature)?;
        self.ends.cancel(&task.view.cancelled);
        let place = Arc::new(CallPlace::of(task, &calls.function.name, self.ends.clone()));

        let left = call.deadline.duration_since(Instant::now());
        let left = spec.options.map_ms_max.map_or(left, Duration::from_millis).min(left);
        let stop_at = Instant::now() + left.saturating_sub((left / 10).min(RESERVE_MAX));
        let results = Arc::new(Results {
            bytes: Mutex::default(),
            longest_ms: AtomicU64::new(0),
            enough: Arc::default(),
            bytes_max: memory_bytes(worker.memory_mb, RESULTS_PERCENT) as usize,
            stop_at,
        });
        let calls_max = self.event.calls_max.map(u64::from);
        let stop = Stop {
            at: stop_at,
            at_last: stop_at,
            bytes_max: None,
            chunks_max: calls_max,
            told: results.enough.clone(),
        };
        let (objects, memory_mb, beside) = (&worker.conductor.objects, worker.memory_mb, worker.conductor.beside);
        let read = Read {
            objects,
            spec,
            split,
            start: self.event.start,
            begins: Begins::default(),
            stop,
            memory_mb,
            beside,
            decoders: Decoders::default(),
        };
        let (feed, reading) = read.start(Cuts::of(Items::<()>::default()));
        let engine = {
            let (worker, place, results) = ((*worker).clone(), place.clone(), results.clone());
            let at_once = calls.at_once.map_or(worker.threads, usize::from);
            move || on_threads(&worker.pool, at_once, &|| make_calls(&function, &place, &feed, &results))
        };
        let work = async {
            let (read, made) = beside.after(reading, engine).await;
            both(read, made?).map(|(read, ())| read)
        };
        let read = tokio::select! {
            biased;
            read = work => read?,
            never = tell_progress(task, &place) => match never {},
        };

        let bytes = std::mem::take(&mut *results.bytes.lock().unwrap_or_else(PoisonError::into_inner));
        let store = worker.conductor.runs(task.job);
        let placed = store.write_results(self.named(task), bytes, spec.options.inline_bytes_max).await?;
        worker.journal.did(Did { records: read.chunks, bytes: read.bytes_read, spills: 0 });
        Ok(record(task, &read, placed))
    }

    /// Returns a function that makes pairs in place of a job's `map`.
    pub(crate) fn pairs_of(&self, task: &Try<'_>, calls: &CallsSpec) -> Result<Box<PairsOf>> {
        let function = self.functions.open(&calls.function.name, &calls.function.signature)?;
        let place = Arc::new(CallPlace::of(task, &calls.function.name, self.ends.clone()));
        Ok(Box::new(move |chunk| {
            let input = items::read(chunk)?;
            let context = Context::new(place.clone(), input.number);
            let value = catch_as("the function", || function(&context, input.payload)).flatten();
            value.map_err(|e| e.context(format!("call {}", input.number)))
        }))
    }
}

/// Runs `work` on `threads` threads at once: on those of the pool, so that calls which use rayon have the rest of them; or,
/// if the pool has too few, on threads of their own.
fn on_threads(pool: &ThreadPool, threads: usize, work: &(dyn Fn() -> Result<()> + Sync)) -> Result<()> {
    if threads <= pool.current_num_threads() {
        let made = pool.broadcast(|on| if on.index() < threads { work() } else { Ok(()) });
        return made.into_iter().collect();
    }
    std::thread::scope(|scope| {
        let named = |n| std::thread::Builder::new().name(format!("call-{n}"));
        let started: Vec<_> = (0..threads).map(|n| named(n).spawn_scoped(scope, work)).collect();
        let (running, refused): (Vec<_>, Vec<_>) = started.into_iter().partition(Result::is_ok);
        if let Some(Err(error)) = refused.into_iter().next() {
            // The threads that run do the work of the others.
            tracing::warn!(%error, threads, running = running.len(), "starting threads for calls");
            if running.is_empty() {
                return Err(Error::new(Code::Threads, format!("starting {threads} threads for calls: {error}"))
                    .with_hint("let fewer calls run at once (`with_calls_at_once`)"));
            }
        }
        let join = |thread: ScopedJoinHandle<'_, Result<()>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        // All are waited for, whichever fails.
        running.into_iter().flatten().map(join).collect::<Vec<_>>().into_iter().collect()
    })
}

/// Makes one thread's share of a batch's calls.
fn make_calls(function: &Opened, place: &Arc<CallPlace>, feed: &dyn Chunks, results: &Results) -> Result<()> {
    while let Some(chunk) = feed.next()? {
        let input = items::read(&chunk.bytes)?;
        let context = Context::new(place.clone(), input.number);
        let (started_at, began) = (place.clock.now(), Instant::now());
        let value = if context.is_cancelled() {
            Err(Error::new(Code::Cancelled, "it was cancelled before it began"))
        } else {
            catch_as("the function", || function(&context, input.payload)).flatten().and_then(fits)
        };
        let ran_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (value, failed) = match value {
            Ok(value) => (value, None),
            Err(error) => (vec![], Some(error)),
        };
        results.add(input.number, &CallHead { failed, started_at, ran_us, log: context.take_log() }, &value)?;
    }
    Ok(())
}

fn fits(value: Vec<u8>) -> Result<Vec<u8>> {
    if value.len() <= CALL_RESULT_BYTES_MAX {
        return Ok(value);
    }
    let message = format!("it returned a value of {} bytes; the most is {CALL_RESULT_BYTES_MAX}", value.len());
    Err(Error::new(Code::ResultTooLarge, message)
        .with_hint("write it to S3 with `context.put`, and return where it lies: `context.scratch_uri(name)`"))
}

/// Writes the calls' progress to the ledger.
async fn tell_progress(task: &Try<'_>, place: &CallPlace) -> std::convert::Infallible {
    let (ledger, job) = (&task.conductor().ledger, task.job);
    let mut told = Vec::new();
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let progress: Vec<(u32, f32)> = place.ends.progress().into_iter().collect();
        if progress != told {
            match ledger.put_progress(job, task.key.task, &progress).await {
                Ok(()) => told = progress,
                Err(error) => tracing::warn!(%job, %error, "recording progress"),
            }
        }
    }
}
