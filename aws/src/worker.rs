//! What a worker process is, whichever handler it runs: its settings from the environment, its log, and the loop that takes
//! events from the Lambda Runtime API.

use crate::clients::Clients;
use crate::conduct::{Conductor, Stack};
use crate::functions::FunctionNames;
use crate::journal::Journal;
use crate::ledger::Says;
pub use crate::log::{start_function_log, start_log};
use crate::program::{Delivery, Programs, Task};
pub use crate::random::nonce;
use kinglet_core::ids::ProgramId;
use kinglet_core::wire::{self, event::Event};
use kinglet_core::{Error, Result, env, limits};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Deserialize;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// What every handler is given.
pub struct Worker {
    /// The stack it works for.
    pub conductor: Conductor,
    /// Its memory in MB.
    pub memory_mb: u32,
    /// How many threads to compute with.
    pub threads: usize,
    /// Where it may write.
    pub tmp: PathBuf,
    /// The threads.
    pub pool: rayon::ThreadPool,
    /// What it says of its tasks.
    pub journal: Journal,
    /// Runs the tasks of shipped programs, unless this is one itself.
    programs: Programs,
    /// What this is, when another worker was shipped it and started it.
    program: Option<ProgramId>,
    started: Instant,
    /// How long that worker had been at work before, in milliseconds.
    init_before_ms: u64,
    warm: AtomicBool,
}

/// One invocation.
pub struct Invocation {
    /// The payload.
    pub payload: serde_json::Value,
    /// Lambda's id of it, the same for each delivery of an event.
    pub request_id: String,
    /// When Lambda will kill this invocation, by this machine's clock.
    pub deadline: SystemTime,
    /// How long the process had run when its first invocation came, in milliseconds; 0 for the later ones.
    pub init_ms: u64,
}

impl Invocation {
    /// The payload as an event.
    ///
    /// # Errors
    /// [`Error::StaleDeployment`] when it is none that this version knows.
    pub fn event(&self) -> Result<Event> {
        Event::deserialize(&self.payload).map_err(|e| Error::stale("event", format!("reading the event: {e}")))
    }
}

impl Worker {
    /// A worker of this process's environment.
    ///
    /// # Errors
    /// [`Error::StaleDeployment`] naming the variable that is missing.
    pub async fn from_env() -> Result<Self> {
        let started = Instant::now();
        let needed = |name: &str| {
            std::env::var(name).map_err(|_| {
                Error::stale("environment", format!("the environment variable {name} is not set"))
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
        let memory_mb = number(env::FUNCTION_MEMORY).unwrap_or(limits::MEMORY_MB_PER_VCPU.into()) as u32;
        let threads = number(env::THREADS).map_or_else(|| vcpus(memory_mb), |n| (n as usize).clamp(1, 64));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|n| format!("engine-{n}")).build();
        let pool = pool.map_err(|e| Error::limit("threads", format!("starting {threads} threads: {e}")))?;
        let tmp = std::env::var_os(env::TMPDIR).map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let mut conductor = Conductor::new(Clients::from_env().await, stack);
        conductor.in_function = true;
        let function = std::env::var(env::FUNCTION_NAME).unwrap_or_else(|_| "kinglet".to_owned());
        let metrics = std::env::var(env::METRICS).map_or(true, |text| text != "0");
        let journal = Journal::new(function, memory_mb, metrics);
        let memory_max_mb = std::env::var_os(env::MEMORY_UNENFORCED).is_none().then_some(memory_mb);
        let allowed = std::env::var(env::SHIPPED).is_ok_and(|word| word == "allow");
        let programs = Programs::new(allowed, &tmp, memory_max_mb);
        let program = std::env::var(env::PROGRAM).ok().map(|id| id.parse()).transpose()?;
        if program.is_some() {
            // Whoever would hear what comes of it is gone then.
            let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        }
        let (init_before_ms, warm) = (number(env::PROGRAM_INIT_MS).unwrap_or(0), AtomicBool::new(false));
        Ok(Worker {
            conductor,
            memory_mb,
            threads,
            tmp,
            pool,
            journal,
            programs,
            program,
            started,
            init_before_ms,
            warm,
        })
    }
}

impl Worker {
    /// When an invocation that came just now will be killed. The header that says so is of another clock than this machine's:
    /// what it leaves is at most the function's timeout, and something.
    fn deadline(&self, said: SystemTime) -> SystemTime {
        let (now, timeout) = (SystemTime::now(), Duration::from_millis(self.conductor.stack.timeout_ms));
        let left = said.duration_since(now).unwrap_or_default();
        now + match (left.is_zero(), timeout.is_zero()) {
            (_, true) => left,
            (true, false) => timeout,
            (false, false) => left.min(timeout),
        }
    }

    /// The task in a payload that a shipped program is to run.
    fn shipped(&self, payload: &serde_json::Value) -> Option<(Event, Task)> {
        let event = Event::deserialize(payload).ok().filter(|_| self.program.is_none())?;
        let task = Task::of(&event)?;
        Some((event, task))
    }
}

/// Lambda gives a vCPU for each 1,769 MB; a part of one is still a thread.
fn vcpus(memory_mb: u32) -> usize {
    (memory_mb as usize).div_ceil(limits::MEMORY_MB_PER_VCPU as usize)
}

type Answer = Pin<Box<dyn Future<Output = Result<serde_json::Value, Failed>> + Send>>;

/// Takes events and hands them to `handler` until the host ends the process.
///
/// # Errors
/// When the Runtime API cannot be reached.
pub async fn serve<H, F>(worker: Worker, handler: H) -> Result<(), lambda_runtime::Error>
where
    H: Fn(Arc<Worker>, Invocation) -> F,
    F: Future<Output = Result<serde_json::Value>> + Send + 'static,
{
    let worker = Arc::new(worker);
    lambda_runtime::run(service_fn(|event: LambdaEvent<serde_json::Value>| {
        let cold = !worker.warm.swap(true, Ordering::Relaxed);
        // 0 says that it was warm.
        let started_ms = worker.init_before_ms + worker.started.elapsed().as_millis() as u64;
        let init_ms = if cold { started_ms.max(1) } else { 0 };
        let trace = event.context.xray_trace_id.as_deref();
        worker.conductor.functions.set_trace(trace);
        // Boxed: the types of what a handler awaits nest deeper than the compiler goes.
        let call: Pin<Box<dyn Future<Output = Result<serde_json::Value>> + Send>> = match worker.shipped(&event.payload)
        {
            Some((about, task)) => {
                // The program has a journal of its own.
                worker.journal.set_subject(&event.context.request_id, trace, &about);
                Box::pin(run_shipped(worker.clone(), about, task, event, init_ms))
            }
            None => {
                worker.journal.begin(&event.context.request_id, trace, &event.payload, cold);
                if matches!(Event::deserialize(&event.payload), Ok(Event::Ping(_))) {
                    let pong = serde_json::json!({ "pong": wire::VERSION });
                    return Box::pin(async move { Ok(pong) }) as Answer;
                }
                let deadline = worker.deadline(event.context.deadline());
                let request_id = event.context.request_id;
                let call =
                    handler(worker.clone(), Invocation { payload: event.payload, request_id, deadline, init_ms });
                let worker = worker.clone();
                Box::pin(async move {
                    worker.programs.end().await;
                    call.await
                })
            }
        };
        let worker = worker.clone();
        Box::pin(async move {
            let answer = call.await;
            worker.journal.end(&answer);
            answer.map_err(Failed)
        }) as Answer
    }))
    .await
}

/// Runs a task in its shipped program. What that could not record itself is recorded here.
async fn run_shipped(
    worker: Arc<Worker>,
    about: Event,
    task: Task,
    event: LambdaEvent<serde_json::Value>,
    init_ms: u64,
) -> Result<serde_json::Value> {
    let deadline = worker.deadline(event.context.deadline());
    let request_id = event.context.request_id;
    let delivery = Delivery {
        deadline,
        payload: event.payload,
        request_id: request_id.clone(),
        trace_id: event.context.xray_trace_id,
        arn: event.context.invoked_function_arn,
        init_ms,
    };
    match worker.programs.run(&worker, &task, delivery).await {
        Ok(answer) => Ok(answer),
        Err(error) => {
            let Task { job, key, .. } = &task;
            let error = error.context(key);
            // There may be little time: first what counts. The name, for the metrics, is worth a read that may fail.
            let recorded = worker.conductor.try_failed(job, *key, Says::Lambda(&request_id), &error).await;
            let spec = tokio::time::timeout(Duration::from_millis(300), worker.conductor.spec(job)).await;
            let name = spec.ok().and_then(Result::ok).map(|spec| spec.job.clone());
            worker.journal.program_died(&about, name.as_deref(), &error);
            recorded?;
            Ok(serde_json::json!({ "failed": error.code() }))
        }
    }
}

/// Our error as Lambda reports it: its code as the type, not the name of a Rust type.
#[derive(Debug)]
struct Failed(Error);

impl From<Failed> for Diagnostic {
    fn from(Failed(error): Failed) -> Self {
        Diagnostic { error_type: format!("Kinglet.{}", error.code()), error_message: error.to_string() }
    }
}

/// What Lambda says of a failure, as one of ours. Types and messages as Lambda writes them; see
/// <https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html>.
///
/// `out-of-memory`: more of it may help. `aborted`: the program ended itself, by `abort()`, as its stack was too small, or as
/// the system refused it memory, which nobody but its log can tell apart. `timed-out`. `crashed`: all else.
pub fn death(response: &serde_json::Value) -> Error {
    let field = |name: &str| response.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let (kind, message) = (field("errorType"), field("errorMessage"));
    let says = |text: &str| kind.contains(text) || message.contains(text);
    if says("OutOfMemory") || says("signal: killed") {
        Error::limit("out-of-memory", format!("the function ran out of memory: {message}"))
            .with_hint("give the functions more memory, or cut the input into smaller splits (--split-bytes)")
    } else if says("signal: aborted") {
        Error::service("aborted", format!("the function ended itself: {message}")).with_hint(
            "the function's log says why: `abort()` was called, the stack overflowed, or the system refused it memory",
        )
    } else if says("Timedout") || says("timed out") {
        Error::service("timed-out", format!("the function ran out of time: {message}"))
            .with_hint("give the functions a longer timeout or cut the input into smaller splits (--split-bytes)")
    } else {
        let what = if message.is_empty() { "without a word" } else { message };
        Error::service("crashed", format!("the function failed: {kind}: {what}"))
            .with_hint("the function's log says more")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambdas_words_become_codes() {
        let code = |kind: &str, message: &str| {
            death(&serde_json::json!({"errorType": kind, "errorMessage": message})).code().to_owned()
        };
        assert_eq!(code("Runtime.ExitError", "Error: Runtime exited with error: signal: killed"), "out-of-memory");
        assert_eq!(code("Runtime.OutOfMemory", ""), "out-of-memory");
        assert_eq!(code("Runtime.ExitError", "Error: Runtime exited with error: signal: aborted"), "aborted");
        assert_eq!(code("Sandbox.Timedout", "Task timed out after 3.00 seconds"), "timed-out");
        assert_eq!(code("Runtime.ExitError", "Error: Runtime exited with error: exit status 1"), "crashed");
        assert_eq!(death(&serde_json::Value::Null).code(), "crashed");
    }
}
