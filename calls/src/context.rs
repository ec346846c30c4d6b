//! What a call is given beside its input: who it is, how long it has, S3, what is shared, and ways to say how far it is.

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

/// The most that one call may log, in bytes; what is beyond is left out.
const LOG_BYTES_MAX: usize = 64 << 10;

/// Where a batch of calls runs.
pub struct CallPlace {
    /// The map that the calls belong to.
    pub job: JobId,
    /// The function's name.
    pub function: String,
    /// Which execution of the batch.
    pub attempt: AttemptId,
    /// When Lambda will kill it.
    pub deadline: SystemTime,
    /// The function's memory in MB.
    pub memory_mb: u32,
    /// How many threads that brings.
    pub threads: usize,
    /// Where it may write.
    pub tmp: PathBuf,
    /// S3.
    pub objects: Objects,
    /// The bucket for intermediate data.
    pub work_bucket: String,
    /// The services' time.
    pub clock: Clock,
    /// What drives the worker itself.
    pub worker: Handle,
    /// What its calls say and are told while they run.
    pub ends: CallEnds,
}

impl CallPlace {
    /// A try of a task that calls this function. Must be called where a Tokio runtime runs.
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

    /// What drives the futures of calls, once there are any: not what the worker's own signs of life need, as the tasks that a
    /// future starts may keep their threads for long.
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

/// What passes between the calls of a batch and whoever runs it, while they run.
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
    /// Tells all calls that nobody waits for them any more.
    pub fn cancel_all(&self) {
        self.0.all_cancelled.store(true, Ordering::Relaxed);
    }

    /// Tells some calls that nobody waits for them any more.
    pub fn cancel(&self, calls: &[u32]) {
        lock(&self.0.cancelled).extend(calls);
    }

    /// Whether nobody waits for a call any more.
    pub fn is_cancelled(&self, call: u32) -> bool {
        self.0.all_cancelled.load(Ordering::Relaxed) || lock(&self.0.cancelled).contains(&call)
    }

    /// How far each call is that has said so.
    pub fn progress(&self) -> BTreeMap<u32, f32> {
        lock(&self.0.progress).clone()
    }
}

/// What a function is given that asks for it: the call's identity, its deadline, S3, shared data, its log and its progress.
///
/// A plain function takes `&Context`, an `async fn` takes `Context`, which is cheap to clone. Whatever waits comes in two
/// forms, an `async` one and a `blocking_` one for plain functions.
#[derive(Clone)]
pub struct Context {
    place: Arc<CallPlace>,
    call: u32,
    log: Arc<Mutex<Vec<String>>>,
}

impl Context {
    /// A context of one call.
    pub fn new(place: Arc<CallPlace>, call: u32) -> Self {
        Context { place, call, log: Arc::default() }
    }

    /// Which call of its map this is, from 0: the position of its input.
    pub fn call(&self) -> u32 {
        self.call
    }

    /// The map's id in the ledger.
    pub fn job(&self) -> &JobId {
        &self.place.job
    }

    /// The function's name.
    pub fn function(&self) -> &str {
        &self.place.function
    }

    /// Which try of its batch this is, from 0. A call may run more than once, as after a crash, even at the same time; one
    /// result counts.
    pub fn attempt(&self) -> AttemptId {
        self.place.attempt
    }

    /// When the function will be killed.
    pub fn deadline(&self) -> SystemTime {
        self.place.deadline
    }

    /// How long that is from now.
    pub fn time_left(&self) -> Duration {
        self.place.deadline.duration_since(SystemTime::now()).unwrap_or_default()
    }

    /// The function's memory in MB.
    pub fn memory_mb(&self) -> u32 {
        self.place.memory_mb
    }

    /// How many threads that brings. As many calls of a batch run at once.
    pub fn threads(&self) -> usize {
        self.place.threads
    }

    /// Where it may write files: the function's `/tmp`, which later calls may find as it was left.
    pub fn tmp(&self) -> &Path {
        &self.place.tmp
    }

    /// Whether nobody waits for the result any more. It is looked up every 1.25 to 1.75 s, so a call of some length may ask often.
    /// The progress of a function that reduces, or whose pairs go to a job's `reduce`, is not seen.
    pub fn is_cancelled(&self) -> bool {
        self.place.ends.is_cancelled(self.call)
    }

    /// Says how far the call is, from 0 to 1. The driver sees it within a few seconds.
    pub fn progress(&self, done: f32) {
        lock(&self.place.ends.0.progress).insert(self.call, done.clamp(0.0, 1.0));
    }

    /// Adds a line to the call's log, which comes back with its result, up to 64 KB.
    pub fn log(&self, line: impl Into<String>) {
        let line = line.into();
        tracing::info!(job = %self.place.job, call = self.call, "{line}");
        let mut log = lock(&self.log);
        if log.iter().map(String::len).sum::<usize>() + line.len() <= LOG_BYTES_MAX {
            log.push(line);
        }
    }

    /// What was logged.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.log))
    }

    /// Reads a whole object of S3.
    ///
    /// # Errors
    /// [`Error::Input`] when the URI is none, when there is no such object or the function's role may not read it.
    pub async fn get(&self, uri: &str) -> Result<Bytes> {
        let (bucket, key) = bucket_and_key(uri)?;
        self.place.objects.get(bucket, key, None).await
    }

    /// [`Context::get`] for plain functions.
    ///
    /// # Errors
    /// As [`Context::get`].
    pub fn blocking_get(&self, uri: &str) -> Result<Bytes> {
        self.wait(self.get(uri))
    }

    /// Writes an object to S3, in place of what is there. A call may run twice: what it writes should have the same name and
    /// content each time.
    ///
    /// # Errors
    /// [`Error::Input`] when the URI is none, or the function's role may not write there.
    pub async fn put(&self, uri: &str, body: impl Into<Bytes>) -> Result<()> {
        let (bucket, key) = bucket_and_key(uri)?;
        self.place.objects.put(bucket, key, body.into(), Replace::Yes).await.map(drop)
    }

    /// [`Context::put`] for plain functions.
    ///
    /// # Errors
    /// As [`Context::put`].
    pub fn blocking_put(&self, uri: &str, body: impl Into<Bytes>) -> Result<()> {
        self.wait(self.put(uri, body))
    }

    /// The URI of an object that is the map's own: it goes with the map's other data after 7 days. `name` must be the same
    /// each time the call runs, and another for each call.
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
