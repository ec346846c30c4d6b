//! Starts environments, and sees each through to the last trace of its process.

use super::{
    cpu::CpuGroup,
    environment::{Environment, Lease},
    logs::Log,
    messages::Event,
    process, runtime_api,
    shared::{FunctionState, Shared},
};
use rustix::process::Signal;
use std::{
    io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::mpsc,
};
use uuid::Uuid;

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
    let secret = Uuid::new_v4().simple().to_string();
    let runtime_api = format!("http://{}/{secret}", listener.local_addr()?);
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
    let runtime = Arc::new(runtime_api::State::new(&secret, sender.clone()));
    let environment = Arc::new(Environment::new(number, function, pid, log, runtime));
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
    let api = tokio::spawn(runtime_api::serve(listener, environment.runtime.clone()));
    let copied = environment.clone();
    let copy = tokio::spawn(async move { copied.log.copy().await });

    let status = child.wait().await.unwrap_or_else(|error| {
        tracing::warn!(%error, pid = environment.pid, "waiting for a worker");
        ExitStatus::from_raw(1 << 8)
    });
    // What the worker leaves behind is still in its group, under its number.
    process::signal_group(environment.pid, Signal::KILL);
    environment.mark_gone();
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
