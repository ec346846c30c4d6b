//! One execution environment: a process, its `/tmp`, its log, and a Runtime API of its own.
//!
//! An environment belongs to one owner at a time, as a [`Lease`]: the pool while it is idle, or the invocation that it runs.
//! It reports to its owner by [`Event`]s in a channel, so that nothing has to be looked up and nobody waits under a lock.
//! Each environment has a port of its own, and not a path on a common one: every runtime understands a port.

use super::{
    cpu::CpuGroup,
    limits::{KILL_WAIT_MAX, MEMORY_SAMPLE_STALE},
    logs::Log,
    pool::Numbered,
    process, runtime_api,
    shared::{FunctionState, Shared, lock},
};
use bytes::Bytes;
use http::HeaderValue;
use rustix::process::Signal;
use std::{
    io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::mpsc,
    time::Instant,
};

/// What an environment tells its owner. A process can cause only a few events for each invocation: one `Ready`, one answer,
/// one end. That bounds the channel, though its type does not.
#[derive(Debug)]
pub(super) enum Event {
    /// The process asks for an event: its init phase or its last invocation is over.
    Ready,
    Response(Bytes),
    /// The response had too many bytes.
    ResponseTooLarge,
    Error {
        document: Bytes,
        error_type: Option<String>,
    },
    InitError {
        document: Bytes,
        error_type: Option<String>,
    },
    /// The process is gone. Sent once, as the last event.
    Exited(ExitStatus),
}

/// An invocation on its way into the process.
pub(super) struct Delivery {
    pub(super) request_id: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) deadline_ms: u64,
    pub(super) arn: HeaderValue,
    pub(super) trace_id: HeaderValue,
    pub(super) client_context: Option<HeaderValue>,
}

pub(super) struct Environment {
    pub(super) number: u64,
    pub(super) function: usize,
    pub(super) pid: u32,
    pub(super) log: Log,
    pub(super) runtime: runtime_api::State,
    memory_peak_kb: AtomicU64,
    life: Mutex<Life>,
}

#[derive(Default)]
struct Life {
    /// Whether the process was reaped; its number may belong to another process by now.
    gone: bool,
    killed_for_memory: bool,
    sampled_at: Option<Instant>,
}

/// The right to use an environment. Dropping it without giving it back kills the environment.
pub(super) struct Lease {
    pub(super) environment: Arc<Environment>,
    pub(super) events: mpsc::UnboundedReceiver<Event>,
    /// How long the init phase took, until that was reported.
    pub(super) init: Option<Duration>,
}

impl Numbered for Lease {
    fn number(&self) -> u64 {
        self.environment.number
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.environment.kill();
    }
}

impl Lease {
    /// Waits, for a limited time, until a killed process is gone.
    pub(super) async fn gone(&mut self) {
        let gone = async { while self.events.recv().await.is_some_and(|event| !matches!(event, Event::Exited(_))) {} };
        if tokio::time::timeout(KILL_WAIT_MAX, gone).await.is_err() {
            tracing::warn!(pid = self.environment.pid, "a killed worker has not gone");
        }
    }
}

impl Environment {
    /// Kills the process and all that it started.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Sends a signal. Returns whether there was a process to receive it.
    pub(super) fn signal(&self, signal: Signal) -> bool {
        let life = lock(&self.life);
        if !life.gone {
            process::signal_group(self.pid, signal);
        }
        !life.gone
    }

    /// Samples the memory in use, and kills the process if it is more than a limit.
    pub(super) fn sample_memory(&self, kill_above_mb: Option<u32>) {
        let Some(now) = process::memory(self.pid) else {
            return;
        };
        lock(&self.life).sampled_at = Some(Instant::now());
        self.memory_peak_kb.fetch_max(now.all_kb, Relaxed);
        if kill_above_mb.is_some_and(|limit_mb| now.bound_kb > u64::from(limit_mb) * 1024) {
            lock(&self.life).killed_for_memory = true;
            self.kill();
        }
    }

    /// Returns the peak memory so far, in MB.
    pub(super) fn memory_peak_mb(&self) -> u32 {
        u32::try_from(self.memory_peak_kb.load(Relaxed).div_ceil(1024)).unwrap_or(u32::MAX)
    }

    /// Samples the memory at the end of a run, unless a sample is recent: a sample takes as long as a small run.
    pub(super) fn sample_memory_if_stale(&self) {
        if lock(&self.life).sampled_at.is_none_or(|at| at.elapsed() > MEMORY_SAMPLE_STALE) {
            self.sample_memory(None);
        }
    }

    pub(super) fn was_killed_for_memory(&self) -> bool {
        lock(&self.life).killed_for_memory
    }
}

/// Counts a process that is being started, so that a stop waits for it.
struct Starting<'a>(&'a Shared);

impl<'a> Starting<'a> {
    fn new(shared: &'a Shared) -> io::Result<Self> {
        shared.starting.fetch_add(1, SeqCst);
        let starting = Self(shared);
        match shared.is_stopping() {
            true => Err(io::Error::other("the host is stopping")),
            false => Ok(starting),
        }
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.0.starting.fetch_sub(1, SeqCst);
        self.0.gone.notify_waiters();
    }
}

/// Starts a process. The lease's first event tells how its init phase ended.
pub(super) async fn start(shared: &Arc<Shared>, function: usize) -> io::Result<Lease> {
    let _starting = Starting::new(shared)?;
    // Numbers are unique in this process, as the names of control groups must be.
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    let number = NUMBERS.fetch_add(1, Relaxed);
    let state = &shared.functions[function];
    let stream = format!("{}-{number}", state.name);
    let home = shared.options.dir.join("envs").join(&stream);
    let tmp = home.join("tmp");
    std::fs::create_dir_all(&tmp)?;

    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let runtime_api = listener.local_addr()?.to_string();
    let (output, input) = io::pipe()?;
    let log = Log::create(&shared.options.dir.join("logs").join(format!("{stream}.log")), output.into())?;
    let group = create_group(shared, number, state.spec.memory_mb);

    let mut command = command(shared, state, &stream, &runtime_api, &tmp);
    command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input);
    let child = command.spawn()?;
    // A child has a process id until it is waited for.
    let pid = child.id().ok_or_else(|| io::Error::other("the process has no id"))?;
    // The command has our last copy of the pipe's write end.
    drop(command);
    shared.reaper.add(pid);
    if let Some(group) = &group
        && let Err(why) = group.add(pid)
    {
        shared.warn(format!("no cpu share: {why}"));
    }

    let (sender, events) = mpsc::unbounded_channel();
    let environment = Arc::new(Environment {
        number,
        function,
        pid,
        log,
        runtime: runtime_api::State::new(sender.clone()),
        memory_peak_kb: AtomicU64::new(0),
        life: Mutex::default(),
    });
    shared.environment_started(&environment);
    let belongings = Belongings { group, home, sender };
    tokio::spawn(live(shared.clone(), environment.clone(), child, listener, belongings));
    Ok(Lease { environment, events, init: None })
}

/// What is removed when the process has ended.
struct Belongings {
    group: Option<CpuGroup>,
    home: PathBuf,
    sender: mpsc::UnboundedSender<Event>,
}

/// Lives with an environment, from the start of its process until nothing is left of it.
async fn live(
    shared: Arc<Shared>,
    environment: Arc<Environment>,
    mut child: Child,
    listener: TcpListener,
    belongings: Belongings,
) {
    let api = tokio::spawn(runtime_api::serve(listener, environment.clone()));
    let copied = environment.clone();
    let copy = tokio::spawn(async move { copied.log.copy().await });

    let status = child.wait().await.unwrap_or_else(|error| {
        tracing::warn!(%error, pid = environment.pid, "waiting for a worker");
        ExitStatus::from_raw(1 << 8)
    });
    // What the worker leaves behind is still in its group, under its number.
    process::signal_group(environment.pid, Signal::KILL);
    lock(&environment.life).gone = true;
    shared.reaper.remove(environment.pid);
    api.abort();
    copy.abort();
    environment.log.end("");

    // Removing the directory and the group may take a while, and nobody waits for it.
    let Belongings { group, home, sender } = belongings;
    let cleaned = tokio::task::spawn_blocking(move || {
        if let Err(error) = std::fs::remove_dir_all(&home) {
            tracing::debug!(%error, home = %home.display(), "removing an environment's directory");
        }
        if let Some(group) = group {
            group.remove();
        }
    });
    shared.process_ended(&environment);
    // The owner may be gone already.
    let _ = sender.send(Event::Exited(status));
    let _ = cleaned.await;
    shared.environment_cleaned(&environment);
}

fn create_group(shared: &Shared, number: u64, memory_mb: u32) -> Option<CpuGroup> {
    let groups = shared.cpu.as_ref()?;
    groups.create(number, memory_mb).inspect_err(|why| shared.warn(format!("no cpu share: {why}"))).ok()
}

/// Returns the command with Lambda's environment, and only `PATH` of this process's: a person's own `AWS_*` variables must
/// not leak in (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>).
fn command(shared: &Shared, state: &FunctionState, stream: &str, runtime_api: &str, tmp: &Path) -> Command {
    let task_root = state.program.parent().unwrap_or(Path::new("/"));
    let mut command = Command::new(&state.program);
    command.args(&state.spec.args).env_clear().current_dir(task_root).process_group(0);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.env("LANG", "en_US.UTF-8").env("TZ", ":UTC");
    command.envs(state.spec.env.iter().map(|(name, value)| (name, value)));
    command
        .env("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", state.spec.memory_mb.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", &*state.name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", state.name))
        .env("AWS_LAMBDA_LOG_STREAM_NAME", stream)
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
        .env("AWS_DEFAULT_REGION", &shared.options.region)
        .env("AWS_REGION", &shared.options.region)
        .env("LAMBDA_TASK_ROOT", task_root)
        .env("TMPDIR", tmp)
        .env("_HANDLER", "bootstrap");
    command
}
