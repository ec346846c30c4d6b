//! Shipped programs: a driver uploads its own executable, and the functions fetch it and run it as a child process.
//!
//! The child is the user's program in its worker role, exactly as the embedded runtime starts it. It takes its events from
//! `api`, a Runtime API that this worker serves on loopback, so it does not know that it is a child; the two speak no other
//! protocol. The child stays for the next invocation, and is ended when another program is asked for.
//!
//! Whatever the child does to itself, this worker lives on: it watches the child's end, memory, time and output (`child`),
//! reports what happened as the task's error (`ended`), and starts another child for the next task.
//!
//! ```text
//! Lambda ──next──▶ worker ──event──▶ api ──next──▶ child      event, request id, deadline, trace id
//!        ◀─response─      ◀──────── api ◀─response──          the child has committed or recorded its failure by itself
//! ```

mod api;
mod cache;
mod child;
mod ended;
mod memory;
mod output;

use crate::assignment::Assignment;
use child::Child;
use ended::Ended;
use kinglet_aws::Conductor;
use kinglet_core::ids::{JobId, ProgramId, TryKey};
use kinglet_core::wire::event::Event;
use kinglet_core::{Code, Error, Result};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A task of a shipped program.
pub(crate) struct Task {
    pub(crate) program: ProgramId,
    pub(crate) role: &'static str,
    /// The task's job.
    pub(crate) job: JobId,
    /// The try's key: which try of which task.
    pub(crate) key: TryKey,
}

impl Task {
    /// Returns the task of an event, if a shipped program is to run it.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        let (program, role) = match event {
            Event::Map(event) => (event.program?, "mapper"),
            Event::Merge(event) => (event.program?, "reducer"),
            Event::Reduce(event) => (event.program?, "reducer"),
            Event::Split(_)
            | Event::Start(_)
            | Event::Changed(_)
            | Event::Sweep(_)
            | Event::Tell(_)
            | Event::Ping(_) => {
                return None;
            }
        };
        let Assignment { job, key, .. } = Assignment::of(event)?;
        Some(Task { program, role, job, key })
    }
}

/// An invocation as it is handed on to the program.
pub(crate) struct Delivery {
    pub(crate) payload: Value,
    pub(crate) request_id: String,
    pub(crate) trace_id: Option<String>,
    pub(crate) arn: String,
    pub(crate) deadline: Instant,
    /// How long the function took to start before the invocation came, in milliseconds.
    pub(crate) init_ms: u64,
}

/// Runs shipped programs, one at a time.
pub(crate) struct Programs {
    /// Whether the stack allows shipped programs.
    allowed: bool,
    /// The directory for executables.
    dir: PathBuf,
    /// The function's memory in MB.
    memory_mb: u32,
    /// The most memory that this worker and its child may use together, in MB; `None` where functions may use more than their
    /// memory.
    memory_max_mb: Option<u32>,
    child: Mutex<Option<Child>>,
}

impl Programs {
    /// Returns a runner that keeps programs below `tmp`.
    pub(crate) fn new(allowed: bool, tmp: &std::path::Path, memory_mb: u32, memory_max_mb: Option<u32>) -> Self {
        Programs { allowed, dir: tmp.join("kinglet-programs"), memory_mb, memory_max_mb, child: Mutex::default() }
    }

    /// Ends a program that waits for its next task: its memory is needed for something else.
    pub(crate) async fn end(&self) {
        if let Some(mut child) = self.child.lock().await.take() {
            child.kill().await;
        }
    }

    /// Runs a task in its program, and returns the program's answer.
    ///
    /// # Errors
    /// Returns how the program ended, with the last lines that it wrote; or why it could not be fetched or started.
    pub(crate) async fn run(&self, conductor: &Conductor, task: &Task, delivery: Delivery) -> Result<Value> {
        let began = Instant::now();
        if !self.allowed {
            return Err(Error::new(Code::ShippingForbidden, "these functions run no shipped programs")
                .with_hint("deploy the stack with ShippedPrograms=allow, or with functions that hold the jobs"));
        }
        let mut kept = self.child.lock().await;
        loop {
            // The system may know already that a kept child is gone, before the tasks that wait for its next request do: they
            // run first.
            tokio::task::yield_now().await;
            let fits = kept.as_mut().is_some_and(|child| child.is_of(task) && child.lives());
            let mut child = match kept.take() {
                Some(child) if fits => child,
                other => {
                    if let Some(mut other) = other {
                        other.kill().await;
                    }
                    let fetch = || cache::get(&self.dir, conductor, task.program);
                    let init_ms = || delivery.init_ms + began.elapsed().as_millis() as u64;
                    let path = fetch().await?;
                    match Child::start(task, &path, init_ms()) {
                        // A worker of another program, with which this one shares its `/tmp`, has removed the file meanwhile.
                        Err(_) if !path.exists() => match Child::start(task, &fetch().await?, init_ms()) {
                            Err(error) if !path.exists() => {
                                return Err(Error::new(Code::ProgramRemoved, error.to_string()));
                            }
                            started => started?,
                        },
                        started => started?,
                    }
                }
            };
            let left = delivery.deadline.duration_since(Instant::now());
            let limits = child::Limits { until: Instant::now() + left - reserve(left), memory_mb: self.memory_max_mb };
            match child.answer(&delivery, reserve(left), &limits).await {
                Ok(answer) => {
                    *kept = Some(child);
                    return answer.map_err(|document| ended::of_document(&document));
                }
                // That a child died while it was idle is not this task's fault. A new child gets the task, and cannot end
                // this way.
                Err(Ended::Idle) => child.kill().await,
                Err(ended) => {
                    child.kill().await;
                    let error = ended::error(&ended, &child.said(), self.memory_mb);
                    tracing::warn!(program = %task.program, code = error.code(), %error, "a shipped program ended");
                    return Err(error);
                }
            }
        }
    }
}

/// Returns the part of an invocation's time that is reserved for this worker to report what does not end.
pub(crate) fn reserve(left: Duration) -> Duration {
    (left / 10).clamp(Duration::from_secs(1), Duration::from_secs(5)).min(left / 3)
}
