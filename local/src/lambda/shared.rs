//! What the parts of a host share: its functions, its environments, and its records.

use super::{
    FailureRecord, Fault, Function, HostError, HostOptions, InvocationReport,
    cpu::CpuGroups,
    environment::{Environment, Lease},
    faults::Faults,
    invocation::Invocation,
    limits::{FAILURES_MAX, MEMORY_SAMPLE_EVERY, REPORTS_MAX, WARNINGS_MAX},
    lock::lock,
    options::CpuShare,
    pool::Pool,
    process,
    reaper::Reaper,
};
use http::HeaderValue;
use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::SystemTime,
};
use tokio::sync::{Notify, broadcast};

/// The most reports that a slow subscriber may fall behind by.
const SUBSCRIBER_LAG_MAX: usize = 4096;

/// A function, with what follows from its description.
#[derive(Debug)]
pub(super) struct FunctionState {
    pub(super) name: Arc<str>,
    pub(super) arn: String,
    pub(super) arn_header: HeaderValue,
    /// The program's absolute path.
    pub(super) program: PathBuf,
    /// The program's size and time, for `CodeSize` and `LastModified`.
    pub(super) code_bytes: u64,
    pub(super) modified: SystemTime,
    pub(super) spec: Function,
}

impl FunctionState {
    fn new(options: &HostOptions, spec: Function) -> Result<Self, HostError> {
        let program = spec.check()?;
        let refuse = |why: &str| HostError::Function { name: spec.name.clone(), why: why.into() };
        let arn = format!("arn:aws:lambda:{}:{}:function:{}", options.region, options.account, spec.name);
        let arn_header = HeaderValue::from_str(&arn).map_err(|_| refuse("its ARN has odd characters"))?;
        let metadata = fs::metadata(&program).map_err(|source| HostError::Program {
            name: spec.name.clone(),
            program: program.clone(),
            source,
        })?;
        Ok(Self {
            name: spec.name.as_str().into(),
            arn,
            arn_header,
            program,
            code_bytes: metadata.len(),
            modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            spec,
        })
    }
}

/// What all tasks of a host share. No lock is held while something is awaited.
pub(super) struct Shared {
    pub(super) options: HostOptions,
    pub(super) functions: Vec<FunctionState>,
    /// The functions' indexes by name, by partial ARN and by ARN.
    pub(super) names: HashMap<String, usize>,
    pub(super) pool: Mutex<Pool<Lease, Invocation>>,
    pub(super) cpu: Option<CpuGroups>,
    pub(super) reaper: Reaper,
    /// How many events wait for their next attempt.
    pub(super) retries_waiting: AtomicUsize,
    /// How many processes are being started and are not in the map yet.
    pub(super) starting: AtomicUsize,
    pub(super) environments: Mutex<HashMap<u64, Arc<Environment>>>,
    /// Notified when an environment has left the map.
    pub(super) gone: Notify,
    pub(super) stopping: AtomicBool,
    pub(super) faults: Mutex<Arc<Faults>>,
    pub(super) records: Mutex<Records>,
    pub(super) subscribers: broadcast::Sender<InvocationReport>,
    pub(super) warnings: Mutex<Vec<String>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("options", &self.options)
            .field("functions", &self.functions)
            .finish_non_exhaustive()
    }
}

pub(super) struct Records {
    pub(super) reports: VecDeque<InvocationReport>,
    pub(super) failures: VecDeque<FailureRecord>,
    failures_file: File,
}

impl Shared {
    pub(super) fn new(options: HostOptions, functions: Vec<Function>) -> Result<Self, HostError> {
        let functions: Vec<_> =
            functions.into_iter().map(|spec| FunctionState::new(&options, spec)).collect::<Result<_, _>>()?;
        let mut names = HashMap::new();
        for (function, state) in functions.iter().enumerate() {
            let partial = format!("{}:function:{}", options.account, state.name);
            for name in [state.name.to_string(), partial, state.arn.clone()] {
                if names.insert(name, function).is_some() {
                    return Err(HostError::Twice { name: state.name.to_string() });
                }
            }
        }
        let failures_file =
            prepare(&options.dir).map_err(|source| HostError::Directory { dir: options.dir.clone(), source })?;

        let mut warnings = Vec::new();
        let reaper = Reaper::start().unwrap_or_else(|error| {
            warnings.push(format!("busy workers may outlive a host that is killed: starting /bin/sh: {error}"));
            Reaper::none()
        });
        let cpu = match options.cpu {
            CpuShare::Whole => None,
            CpuShare::ByMemory => {
                CpuGroups::find().inspect_err(|why| warnings.push(format!("no cpu share: {why}"))).ok()
            }
        };
        if options.enforce_memory && process::memory(std::process::id()).is_none() {
            warnings.push("no memory limit: this system has no /proc/<pid>/status".into());
        }
        let reserved: Vec<_> = functions.iter().map(|state| state.spec.concurrency_max).collect();
        Ok(Self {
            pool: Mutex::new(Pool::new(options.concurrency_max, reserved)),
            options,
            functions,
            names,
            cpu,
            reaper,
            retries_waiting: AtomicUsize::new(0),
            starting: AtomicUsize::new(0),
            environments: Mutex::default(),
            gone: Notify::new(),
            stopping: AtomicBool::new(false),
            faults: Mutex::default(),
            records: Mutex::new(Records { reports: VecDeque::new(), failures: VecDeque::new(), failures_file }),
            subscribers: broadcast::Sender::new(SUBSCRIBER_LAG_MAX),
            warnings: Mutex::new(warnings),
        })
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    pub(super) fn fault_at_call(&self, function: usize) -> Option<Fault> {
        let faults = lock(&self.faults).clone();
        faults.at_call(&self.functions[function].name)
    }

    pub(super) fn fault_at_run(&self, function: usize) -> Option<Fault> {
        let faults = lock(&self.faults).clone();
        faults.at_run(&self.functions[function].name)
    }

    /// Records a warning, once.
    pub(super) fn warn(&self, warning: String) {
        tracing::warn!("{warning}");
        let mut warnings = lock(&self.warnings);
        if warnings.len() < WARNINGS_MAX && !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    pub(super) fn report(&self, report: InvocationReport) {
        // There may be no subscriber.
        let _ = self.subscribers.send(report.clone());
        push_bounded(&mut lock(&self.records).reports, report, REPORTS_MAX);
    }

    pub(super) fn record_failure(&self, record: FailureRecord) {
        let mut line = serde_json::to_vec(&record).unwrap_or_default();
        line.push(b'\n');
        let mut records = lock(&self.records);
        let written = records.failures_file.write_all(&line);
        push_bounded(&mut records.failures, record, FAILURES_MAX);
        drop(records);
        if let Err(error) = written {
            self.warn(format!("writing failures.jsonl: {error}"));
        }
    }

    /// Returns whether no process is left or being started.
    pub(super) fn is_empty(&self) -> bool {
        // The order matters: a process that is no longer being started is in the map.
        self.starting.load(SeqCst) == 0 && lock(&self.environments).is_empty()
    }

    /// Takes charge of a process.
    pub(super) fn environment_started(&self, environment: &Arc<Environment>) {
        lock(&self.environments).insert(environment.number, environment.clone());
        let surplus = lock(&self.pool).process_started();
        drop(surplus);
        // A stop that came before the insertion has not seen this environment.
        if self.is_stopping() {
            environment.kill();
        }
    }

    pub(super) fn process_ended(&self, environment: &Environment) {
        lock(&self.pool).process_ended(environment.function, environment.number);
    }

    pub(super) fn environment_cleaned(&self, environment: &Environment) {
        lock(&self.environments).remove(&environment.number);
        self.gone.notify_waiters();
    }
}

fn push_bounded<T>(queue: &mut VecDeque<T>, item: T, len_max: usize) {
    if queue.len() == len_max {
        queue.pop_front();
    }
    queue.push_back(item);
}

/// Makes the host's directory, and removes what a killed host may have left in it.
fn prepare(dir: &Path) -> std::io::Result<File> {
    let envs = dir.join("envs");
    if envs.exists() {
        fs::remove_dir_all(&envs)?;
    }
    fs::create_dir_all(envs)?;
    fs::create_dir_all(dir.join("logs"))?;
    OpenOptions::new().append(true).create(true).open(dir.join("failures.jsonl"))
}

/// Samples the memory of the busy workers.
pub(super) async fn sample_memory(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(MEMORY_SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let busy: Vec<_> = {
            let environments = lock(&shared.environments);
            environments.values().filter(|environment| environment.runtime.is_busy()).cloned().collect()
        };
        for environment in busy {
            let memory_mb = shared.functions[environment.function].spec.memory_mb;
            environment.sample_memory(shared.options.enforce_memory.then_some(memory_mb));
        }
    }
}
