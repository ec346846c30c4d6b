//! A worker process, whichever handler it runs: its settings, all from the environment, its threads, and its clients of the
//! services.

use crate::journal::Journal;
use crate::program::{Programs, Task};
use kinglet_aws::clients::Clients;
use kinglet_aws::functions::FunctionNames;
use kinglet_aws::{Conductor, Stack};
use kinglet_core::ids::{JobId, ProgramId};
use kinglet_core::wire::event::Event;
use kinglet_core::wire::spec::JobSpec;
use kinglet_core::{Code, Error, Result, budget, env, limits};
use rayon::ThreadPool;
use serde::Deserialize;
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Ends a process whose job's own code does not come to an end though nobody wants its work any more.
pub type Abandon = Arc<dyn Fn() + Send + Sync>;

/// The exit status of a process that was ended so.
const ABANDONED: i32 = 75;

/// Ends this process.
fn abandon() {
    std::process::exit(ABANDONED);
}

/// What every handler is given: the settings and means of this process.
pub struct Worker {
    /// The conductor of the stack that this process works for.
    pub conductor: Conductor,
    /// The function's memory in MB.
    pub memory_mb: u32,
    /// The number of threads to compute with.
    pub threads: usize,
    /// The directory for temporary files.
    pub tmp: PathBuf,
    /// How much the passes of a reduce task may write there at once, in bytes.
    pub passes_bytes: u64,
    /// The pool of these threads.
    pub pool: Arc<ThreadPool>,
    /// The journal of its tasks.
    pub journal: Journal,
    /// Runs the tasks of shipped programs, unless this is one itself.
    pub(crate) programs: Programs,
    /// The shipped program that this process is, if another worker started it.
    program: Option<ProgramId>,
    started: Instant,
    /// How long that worker had been at work before it started this process, in milliseconds.
    init_before_ms: u64,
    warm: AtomicBool,
    /// Ends the process when its job's own code does not come to an end.
    pub(crate) abandon: Abandon,
    /// The spec of the last map of calls, for its next batches.
    kept_spec: Mutex<Option<(JobId, Arc<JobSpec>)>>,
    /// What else its handler keeps, by type.
    kept: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

/// What a worker is made of: by its environment, or by a simulation.
pub struct Settings {
    /// The conductor of the stack.
    pub conductor: Conductor,
    /// The function's name.
    pub function: String,
    /// The function's memory in MB.
    pub memory_mb: u32,
    /// The directory for temporary files.
    pub tmp: PathBuf,
    /// The threads to compute with.
    pub pool: Arc<ThreadPool>,
    /// Ends the process.
    pub abandon: Abandon,
}

/// One invocation.
pub struct Invocation {
    /// The payload.
    pub payload: serde_json::Value,
    /// Lambda's request id, the same for each delivery of an event.
    pub request_id: String,
    /// When Lambda will kill this invocation.
    pub deadline: Instant,
    /// How long the process had run when its first invocation came, in milliseconds; 0 for later invocations.
    pub init_ms: u64,
}

impl Invocation {
    /// Parses the payload as an event.
    ///
    /// # Errors
    /// Returns `event` when this version knows no such event.
    pub fn event(&self) -> Result<Event> {
        Event::deserialize(&self.payload).map_err(|e| Error::new(Code::Event, format!("reading the event: {e}")))
    }

    /// Returns the moment by which work that does not end is to be reported, as there is time for that before the deadline.
    pub fn report_by(&self) -> Instant {
        self.deadline - crate::program::reserve(self.deadline.duration_since(Instant::now()))
    }
}

impl Worker {
    /// Creates a worker from this process's environment.
    ///
    /// # Errors
    /// Returns `environment`, with the name of the missing variable; or another error when the process cannot be set up.
    pub async fn from_env() -> Result<Self> {
        let started = Instant::now();
        let needed = |name: &str| {
            std::env::var(name).map_err(|_| {
                Error::new(Code::Environment, format!("the environment variable {name} is not set"))
                    .with_hint("deploy with the template of this version")
            })
        };
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let stack = Stack {
            table: needed(env::TABLE)?,
            work_bucket: needed(env::WORK_BUCKET)?,
            functions: FunctionNames {
                splitter: needed(env::SPLITTER)?,
                mapper: needed(env::MAPPER)?,
                mapper_large: std::env::var(env::MAPPER_LARGE).ok(),
                reducer: needed(env::REDUCER)?,
            },
            timeout_ms: number(env::TIMEOUT_S).map_or(limits::FUNCTION_TIMEOUT_MS_MAX, |s| s * 1000),
        };
        let memory_mb = number(env::FUNCTION_MEMORY).unwrap_or(budget::MEMORY_MB.into()) as u32;
        let threads = number(env::THREADS).map_or_else(|| vcpus(memory_mb), |n| (n as usize).clamp(1, 64));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|n| format!("engine-{n}")).build();
        let pool = Arc::new(pool.map_err(|e| Error::new(Code::Threads, format!("starting {threads} threads: {e}")))?);
        let tmp = std::env::var_os(env::TMPDIR).map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let bus = std::env::var(env::EVENT_BUS).ok().filter(|name| !name.is_empty());
        let conductor = Conductor::new(Clients::from_env().await, stack).telling(bus);
        let function = std::env::var(env::FUNCTION_NAME).unwrap_or_else(|_| "kinglet".to_owned());
        let metrics = std::env::var(env::METRICS).map_or(true, |text| text != "0");
        let journal = Journal::new(function.clone(), memory_mb, metrics);
        let memory_max_mb = std::env::var_os(env::MEMORY_UNENFORCED).is_none().then_some(memory_mb);
        let allowed = std::env::var(env::SHIPPED).is_ok_and(|word| word == "allow");
        let programs = Programs::new(allowed, &tmp, memory_mb, memory_max_mb);
        let program = std::env::var(env::PROGRAM).ok().map(|id| id.parse()).transpose()?;
        if program.is_some() {
            // If the parent ends, nobody would hear of the result any more.
            let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        }
        let init_before_ms = number(env::PROGRAM_INIT_MS).unwrap_or(0);
        let settings = Settings { conductor, function, memory_mb, tmp, pool, abandon: Arc::new(abandon) };
        let tmp_mb = number(env::TMP_MB).map_or(limits::TMP_MB_MIN, |mb| mb as u32);
        let passes_bytes = budget::passes_bytes(tmp_mb);
        Ok(Worker { journal, programs, program, started, init_before_ms, passes_bytes, ..Worker::new(settings) })
    }

    /// Creates a worker from these settings. It runs no shipped programs, and logs nothing of its tasks.
    pub fn new(settings: Settings) -> Self {
        let Settings { conductor, function, memory_mb, tmp, pool, abandon } = settings;
        Worker {
            conductor: conductor.in_function(),
            memory_mb,
            threads: pool.current_num_threads(),
            journal: Journal::new(function, memory_mb, false).silent(),
            programs: Programs::new(false, &tmp, memory_mb, None),
            tmp,
            passes_bytes: budget::PASSES_BYTES_MAX,
            pool,
            program: None,
            started: Instant::now(),
            init_before_ms: 0,
            warm: AtomicBool::new(false),
            abandon,
            kept_spec: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// Returns the spec of this job, if it was the last that was kept.
    pub fn kept_spec(&self, job: &JobId) -> Option<Arc<JobSpec>> {
        let kept = self.kept_spec.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|(id, _)| id == job).map(|(_, spec)| spec.clone())
    }

    /// Keeps a job's spec for later invocations of this process.
    pub fn keep_spec(&self, job: &JobId, spec: &Arc<JobSpec>) {
        *self.kept_spec.lock().unwrap_or_else(PoisonError::into_inner) = Some((job.clone(), spec.clone()));
    }

    /// Returns what the handler keeps of a type for all invocations of this process; at first, its default.
    pub fn kept<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = all.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default())).clone();
        kept.downcast().unwrap_or_default()
    }

    /// Returns how long the process had run when this invocation came, in milliseconds, if it is the first; else 0.
    pub(crate) fn init_ms(&self) -> u64 {
        if self.warm.swap(true, Ordering::Relaxed) {
            return 0;
        }
        // 0 means that the process was warm.
        (self.init_before_ms + self.started.elapsed().as_millis() as u64).max(1)
    }

    /// Returns when an invocation that came just now will be killed. The header's deadline `said` is by another clock than this
    /// machine's: the time that it leaves is taken as the function's timeout if there is none left, and as at most that
    /// otherwise.
    pub(crate) fn deadline(&self, said: SystemTime) -> Instant {
        let timeout = Duration::from_millis(self.conductor.stack.timeout_ms);
        let left = said.duration_since(SystemTime::now()).unwrap_or_default();
        Instant::now()
            + match (left.is_zero(), timeout.is_zero()) {
                (_, true) => left,
                (true, false) => timeout,
                (false, false) => left.min(timeout),
            }
    }

    /// Returns the task in a payload, if a shipped program is to run it.
    pub(crate) fn shipped(&self, payload: &serde_json::Value) -> Option<(Event, Task)> {
        let event = Event::deserialize(payload).ok().filter(|_| self.program.is_none())?;
        let task = Task::of(&event)?;
        Some((event, task))
    }
}

/// Returns the number of threads: Lambda gives a vCPU for each 1,769 MB, and a part of one is still a thread.
fn vcpus(memory_mb: u32) -> usize {
    (memory_mb as usize).div_ceil(limits::MEMORY_MB_PER_VCPU as usize)
}
