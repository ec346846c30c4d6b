//! The context that a call is given along with its input: its identity, its deadline, S3, shared data, its log, its progress.

use bytes::Bytes;
use kinglet_aws::objects::Replace;
use kinglet_aws::{Clock, Objects};
use kinglet_core::ids::{AttemptId, JobId};
use kinglet_core::{Code, Error, Result};
use kinglet_worker::{Try, Worker};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::runtime::{Handle, Runtime};
use tokio::time::Instant;

/// The most that one call may log, in bytes (64 KiB); lines beyond that are dropped.
const LOG_BYTES_MAX: usize = 64 << 10;

/// The place where a batch of calls runs.
pub struct CallPlace {
    /// The map that the calls belong to.
    pub job: JobId,
    /// The function's name.
    pub function: String,
    /// The execution of the batch.
    pub attempt: AttemptId,
    /// When Lambda will kill the function.
    pub deadline: Instant,
    /// The function's memory in MB.
    pub memory_mb: u32,
    /// How many threads the function runs.
    pub threads: usize,
    /// The directory in which it may write.
    pub tmp: PathBuf,
    /// The client for S3.
    pub objects: Objects,
    /// The bucket for intermediate data.
    pub work_bucket: String,
    /// The services' time.
    pub clock: Clock,
    /// The Tokio runtime of the worker itself.
    pub worker: Handle,
    /// What its calls report and are told while they run.
    pub ends: CallEnds,
}

impl CallPlace {
    /// Makes the place of a try of a task that calls this function.
    ///
    /// # Panics
    /// Panics outside of a Tokio runtime.
    pub fn of(task: &Try<'_>, function: &str, ends: CallEnds) -> Self {
        let Worker { conductor, memory_mb, threads, tmp, .. } = &**task.worker;
        CallPlace {
            job: task.job.clone(),
            function: function.to_owned(),
            attempt: task.attempt,
            deadline: task.call.deadline,
            memory_mb: *memory_mb,
            threads: *threads,
            tmp: tmp.clone(),
            objects: conductor.objects.clone(),
            work_bucket: conductor.stack.work_bucket.clone(),
            clock: conductor.clients.clock.clone(),
            worker: Handle::current(),
            ends,
        }
    }

    /// Returns the Tokio runtime that runs the futures of calls, which starts when it is first needed. It is not the worker's
    /// own, which must send signs of life: the tasks that a future starts may block their threads for long.
    fn runtime(&self) -> Handle {
        static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
        let start = || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(self.threads)
                .thread_name("calls")
                .enable_all()
                .build();
            runtime.inspect_err(|error| tracing::warn!(%error, "starting threads for the futures of calls")).ok()
        };
        RUNTIME.get_or_init(start).as_ref().map_or(&self.worker, Runtime::handle).clone()
    }
}

/// What passes between the calls of a batch and the worker while they run.
#[derive(Clone, Default)]
pub struct CallEnds(Arc<Ends>);

#[derive(Default)]
struct Ends {
    all_cancelled: AtomicBool,
    cancelled: Mutex<BTreeSet<u32>>,
    progress: Mutex<BTreeMap<u32, f32>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CallEnds {
    /// Tells all calls that nobody waits for their results any more.
    pub fn cancel_all(&self) {
        self.0.all_cancelled.store(true, Ordering::Relaxed);
    }

    /// Tells some calls that nobody waits for their results any more.
    pub fn cancel(&self, calls: &[u32]) {
        lock(&self.0.cancelled).extend(calls);
    }

    /// Returns whether nobody waits for a call's result any more.
    pub fn is_cancelled(&self, call: u32) -> bool {
        self.0.all_cancelled.load(Ordering::Relaxed) || lock(&self.0.cancelled).contains(&call)
    }

    /// Returns the progress of each call that has reported any, from 0 to 1.
    pub fn progress(&self) -> BTreeMap<u32, f32> {
        lock(&self.0.progress).clone()
    }
}

/// The context of a call, for a function that takes one: the call's identity, its deadline, S3, shared data, its log and its
/// progress.
///
/// A plain function takes `&Context`; an `async fn` takes `Context`, which is cheap to clone. Methods that wait come in two
/// forms, an `async` one and a `blocking_` one for plain functions.
#[derive(Clone)]
pub struct Context {
    place: Arc<CallPlace>,
    call: u32,
    log: Arc<Mutex<Vec<String>>>,
}

impl Context {
    /// Makes the context of one call.
    pub fn new(place: Arc<CallPlace>, call: u32) -> Self {
        Context { place, call, log: Arc::default() }
    }

    /// Returns the number of this call in its map, from 0: the position of its input.
    pub fn call(&self) -> u32 {
        self.call
    }

    /// Returns the map's id in the ledger.
    pub fn job(&self) -> &JobId {
        &self.place.job
    }

    /// Returns the function's name.
    pub fn function(&self) -> &str {
        &self.place.function
    }

    /// Returns which execution of its batch this is; its `number` counts the tries from 0. A call may run more than once, such
    /// as after a crash, and even twice at the same time; only one result counts.
    pub fn attempt(&self) -> AttemptId {
        self.place.attempt
    }

    /// Returns when Lambda will kill the function, by this machine's clock.
    pub fn deadline(&self) -> SystemTime {
        SystemTime::now() + self.time_left()
    }

    /// Returns how long it is until the deadline.
    pub fn time_left(&self) -> Duration {
        self.place.deadline.duration_since(Instant::now())
    }

    /// Returns the function's memory in MB.
    pub fn memory_mb(&self) -> u32 {
        self.place.memory_mb
    }

    /// Returns how many threads the function runs. By default, that many calls of a batch run at once.
    pub fn threads(&self) -> usize {
        self.place.threads
    }

    /// Returns the directory in which the call may write files: the function's `/tmp`. Later calls may find there what this
    /// one leaves.
    pub fn tmp(&self) -> &Path {
        &self.place.tmp
    }

    /// Returns whether nobody waits for the result any more. The worker looks it up every 1.25 to 1.75 s, and this only reads
    /// what it found, so a long call may ask often.
    pub fn is_cancelled(&self) -> bool {
        self.place.ends.is_cancelled(self.call)
    }

    /// Reports how far the call is, from 0 to 1. The driver sees it within a few seconds, except for a function that reduces
    /// or whose pairs go to a job's `reduce`.
    pub fn progress(&self, done: f32) {
        lock(&self.place.ends.0.progress).insert(self.call, done.clamp(0.0, 1.0));
    }

    /// Adds a line to the call's log, which comes back with its result. A line that would make the log longer than 64 KiB is
    /// left out of it.
    pub fn log(&self, line: impl Into<String>) {
        let line = line.into();
        tracing::info!(job = %self.place.job, call = self.call, "{line}");
        let mut log = lock(&self.log);
        if log.iter().map(String::len).sum::<usize>() + line.len() <= LOG_BYTES_MAX {
            log.push(line);
        }
    }

    /// Takes the lines that were logged.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.log))
    }

    /// Reads a whole object from S3.
    ///
    /// # Errors
    /// Returns [`Error::Input`] when the URI names no object (`uri`), the object or its bucket is missing (`object-missing`,
    /// `bucket-missing`), or the function's role may not read it (`access-denied`). Otherwise returns a service error
    /// (`throttled`, `unreachable`, …) when S3 cannot be reached or refuses.
    pub async fn get(&self, uri: &str) -> Result<Bytes> {
        let (bucket, key) = bucket_and_key(uri)?;
        self.place.objects.get(bucket, key, None).await
    }

    /// Does what [`Context::get`] does, for plain functions.
    ///
    /// # Errors
    /// As [`Context::get`].
    pub fn blocking_get(&self, uri: &str) -> Result<Bytes> {
        self.wait(self.get(uri))
    }

    /// Writes an object to S3, and replaces one that is there. A call may run twice, so it should write the same name and
    /// content each time.
    ///
    /// # Errors
    /// Returns [`Error::Input`] when the URI names no object (`uri`), the bucket is missing (`bucket-missing`), or the
    /// function's role may not write there (`access-denied`). Otherwise returns a service error (`throttled`, `unreachable`,
    /// …) when S3 cannot be reached or refuses.
    pub async fn put(&self, uri: &str, body: impl Into<Bytes>) -> Result<()> {
        let (bucket, key) = bucket_and_key(uri)?;
        self.place.objects.put(bucket, key, body.into(), Replace::Yes).await.map(drop)
    }

    /// Does what [`Context::put`] does, for plain functions.
    ///
    /// # Errors
    /// As [`Context::put`].
    pub fn blocking_put(&self, uri: &str, body: impl Into<Bytes>) -> Result<()> {
        self.wait(self.put(uri, body))
    }

    /// Returns the URI of an object that belongs to the map and is deleted with the map's other data after 7 days. `name` must
    /// be the same each time the call runs, and different for each call.
    pub fn scratch_uri(&self, name: &str) -> String {
        format!("s3://{}/jobs/{}/objects/{name}", self.place.work_bucket, self.place.job)
    }

    /// Waits for a future on this thread.
    pub(crate) fn wait<F: Future>(&self, future: F) -> F::Output {
        self.place.runtime().block_on(future)
    }

    pub(crate) fn objects(&self) -> &Objects {
        &self.place.objects
    }
}

fn bucket_and_key(uri: &str) -> Result<(&str, &str)> {
    uri.strip_prefix("s3://")
        .and_then(|rest| rest.split_once('/'))
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
        .ok_or_else(|| Error::new(Code::Uri, format!("{uri:?} names no object")).with_hint("write s3://BUCKET/KEY"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_a_bucket_and_a_key() {
        assert_eq!(bucket_and_key("s3://b/k/l").unwrap(), ("b", "k/l"));
        for bad in ["b/k", "s3://", "s3://b", "s3://b/", "s3:///k"] {
            assert_eq!(bucket_and_key(bad).unwrap_err().code(), "uri", "{bad}");
        }
    }
}
