//! One child: started, given events, watched, ended.

use super::api::{Api, Delivered, Said};
use super::ended::Ended;
use super::output::Output;
use super::{Delivery, Task, memory};
use bytes::Bytes;
use kinglet_core::ids::ProgramId;
use kinglet_core::{Error, Result, env};
use serde_json::Value;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::process::{Child as Process, Command};

/// How long a program may take until it asks for its first event.
const START_MAX: Duration = Duration::from_secs(10);

/// How often memory is looked at. A program that fills fresh memory as fast as it can gets about 50 MB further.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a child that is killed may take to be gone, and its last output to come.
const GONE_MAX: Duration = Duration::from_millis(500);

/// What this worker and its child may use of the function's memory, in percent, and what they leave at least: beyond it,
/// Lambda ends both.
const MEMORY_PERCENT: u64 = 96;
const MEMORY_LEFT_BYTES_MIN: u64 = 10 << 20;

/// What an invocation may use.
pub(super) struct Limits {
    pub(super) until: Instant,
    pub(super) memory_mb: Option<u32>,
}

/// A program that runs.
pub(super) struct Child {
    program: ProgramId,
    role: &'static str,
    process: Process,
    /// Known until the process was waited for.
    pid: u32,
    api: Api,
    output: Arc<Output>,
    /// Since when it is being started, until it asks for an event.
    starting: Option<Instant>,
}

impl Child {
    /// Starts a program in its worker role, with the function's environment.
    pub(super) fn start(task: &Task, path: &Path, init_ms: u64) -> Result<Self> {
        let failed = |e: io::Error| {
            let error = Error::limit("program-start", format!("starting shipped program {}: {e}", task.program));
            match e.kind() {
                io::ErrorKind::PermissionDenied => {
                    error.with_hint(format!("programs cannot be run in {}: let it be elsewhere", path.display()))
                }
                // What the system says when the loader that the program names is not there.
                io::ErrorKind::NotFound => error.with_hint("build it for the functions' system, or statically (musl)"),
                _ => error,
            }
        };
        let api = Api::start().map_err(failed)?;
        let (output, input) = io::pipe().map_err(failed)?;
        let mut command = Command::new(path);
        command
            .env(env::RUNTIME_API, api.address.to_string())
            .env(env::ROLE, task.role)
            .env(env::PROGRAM, task.program.to_string())
            .env(env::PROGRAM_INIT_MS, init_ms.to_string())
            .stdin(Stdio::null())
            .stdout(input.try_clone().map_err(failed)?)
            .stderr(input)
            .kill_on_drop(true);
        let process = command.spawn().map_err(failed)?;
        // Ours are the last copies of the pipe's end that the program writes to.
        drop(command);
        let pid = process.id().ok_or_else(|| failed(io::Error::other("it has no process id")))?;
        memory::end_first(pid);
        let output = Output::start(output).map_err(failed)?;
        let (program, role, starting) = (task.program, task.role, Some(Instant::now()));
        Ok(Child { program, role, process, pid, api, output, starting })
    }

    pub(super) fn is_of(&self, task: &Task) -> bool {
        (self.program, self.role) == (task.program, task.role)
    }

    /// Whether it runs, as far as it can be seen now.
    pub(super) fn lives(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Hands it an event and waits for its answer: a response, or an error document.
    ///
    /// # Errors
    /// How it ended without one.
    pub(super) async fn answer(
        &mut self,
        delivery: Delivery,
        reserve: Duration,
        limits: &Limits,
    ) -> Result<Result<Value, Bytes>, Ended> {
        if self.starting.is_none() {
            self.output.begin();
        }
        let deadline = (delivery.deadline - reserve).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.api.deliver(Delivered {
            request_id: delivery.request_id,
            deadline_ms: deadline.as_millis() as u64,
            arn: delivery.arn,
            trace_id: delivery.trace_id,
            payload: delivery.payload.to_string().into(),
        });
        let answered = self.wait(limits).await;
        // What it wrote before it answered belongs to this invocation.
        self.output.pump();
        answered
    }

    async fn wait(&mut self, limits: &Limits) -> Result<Result<Value, Bytes>, Ended> {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let start_until = self.starting.map(|since| since + START_MAX);
            let until = start_until.unwrap_or(limits.until).min(limits.until);
            tokio::select! {
                said = self.api.said() => match said {
                    Said::Ready => self.starting = None,
                    // While it starts, it can only say that it cannot.
                    Said::Error(document) if self.starting.is_some() => return Err(Ended::CannotStart(document)),
                    Said::Error(document) => return Ok(Err(document)),
                    Said::Response(body) => {
                        return serde_json::from_slice(&body).map(Ok).map_err(|e| Ended::Nonsense(e.to_string()));
                    }
                },
                status = self.process.wait() => {
                    let status = status.map_err(|e| Ended::Nonsense(e.to_string()))?;
                    return Err(Ended::Exited { status, starting: self.starting.is_some() });
                }
                () = tokio::time::sleep_until(until.into()) => {
                    return Err(match self.starting {
                        Some(since) => Ended::Silent(since.elapsed()),
                        None => Ended::Late,
                    });
                }
                _ = look.tick(), if limits.memory_mb.is_some() => {
                    if let Some(used) = self.uses_too_much(limits.memory_mb) {
                        return Err(Ended::Memory { used_mb: used >> 20 });
                    }
                }
            }
        }
    }

    fn uses_too_much(&self, memory_mb: Option<u32>) -> Option<u64> {
        let all = u64::from(memory_mb?) << 20;
        let most = (all / 100 * MEMORY_PERCENT).min(all - MEMORY_LEFT_BYTES_MIN);
        let used = memory::resident_bytes(self.pid)? + memory::resident_bytes(std::process::id())?;
        (used > most).then_some(used)
    }

    /// Ends it and what it started, and waits until it is gone.
    pub(super) async fn kill(&mut self) {
        if self.process.id().is_some() {
            memory::tree(self.pid).into_iter().for_each(memory::kill);
        }
        if tokio::time::timeout(GONE_MAX, self.process.wait()).await.is_err() {
            tracing::warn!(pid = self.pid, "a shipped program that was killed has not gone");
        }
        // Something that it started may hold the pipe open.
        let until = Instant::now() + GONE_MAX;
        while !self.output.pump() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The last lines that it wrote.
    pub(super) fn said(&self) -> Vec<String> {
        self.output.tail()
    }
}
