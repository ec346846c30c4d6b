//! What a function logs of its tasks: a line at the start, and a line with metrics at the end. [`kinglet_core::wire::log`]
//! has their layout.

use crate::log;
use crate::outcome::Outcome;
use kinglet_core::ids::Timestamp;
use kinglet_core::wire::event::Event;
use kinglet_core::wire::log::{Did, Ended, Subject, ended, line, started};
use kinglet_core::wire::trace;
use kinglet_core::{Error, Result};
use serde_json::Value;
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// A function's journal, which follows one invocation at a time.
#[derive(Debug)]
pub struct Journal {
    function: String,
    memory_mb: u32,
    metrics: bool,
    silent: bool,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    subject: Subject,
    since: Instant,
    cold: bool,
    job_name: Option<String>,
    did: Option<Did>,
}

/// Stands for the job's name until the spec is read.
const UNKNOWN: &str = "unknown";

impl Journal {
    /// Returns the journal of a function. `metrics` says whether its lines make metrics.
    pub(crate) fn new(function: String, memory_mb: u32, metrics: bool) -> Self {
        Journal { function, memory_mb, metrics, silent: false, running: Mutex::new(None) }
    }

    /// Returns the same journal, which writes nothing: many workers share the process of a simulation.
    pub(crate) fn silent(self) -> Self {
        Journal { silent: true, ..self }
    }

    /// Makes this task the subject of all lines from now on; the task's own lines are written by its shipped program.
    pub(crate) fn set_subject(&self, request_id: &str, trace_header: Option<&str>, event: &Event) {
        log::set_subject(Some(&subject(request_id, trace_header, Some(event))));
    }

    /// Begins an invocation. An invocation without a task, such as a sweep, has no lines of its own.
    pub(crate) fn begin(&self, request_id: &str, trace_header: Option<&str>, payload: &Value, cold: bool) {
        // The record of a failed invocation is about that invocation's task.
        let is_record = payload.get("requestPayload").is_some();
        let event = serde::Deserialize::deserialize(payload.get("requestPayload").unwrap_or(payload));
        let event: Option<Event> = event.ok();
        let subject = subject(request_id, trace_header, event.as_ref());
        log::set_subject(Some(&subject));
        if subject.job.is_none() || is_record {
            return;
        }
        self.write("task started", &started(&subject, &self.function, self.memory_mb, cold));
        *self.running() = Some(Running { subject, since: Instant::now(), cold, job_name: None, did: None });
    }

    /// Sets the name of the task's job, once it is known.
    pub fn job_name(&self, name: &str) {
        if let Some(running) = self.running().as_mut() {
            running.job_name = Some(name.to_owned());
        }
    }

    /// Sets what the task has done.
    pub fn did(&self, did: Did) {
        if let Some(running) = self.running().as_mut() {
            running.did = Some(did);
        }
    }

    /// Ends the invocation.
    pub(crate) fn end(&self, answer: &Result<Outcome>) {
        if let Err(error) = answer {
            tracing::error!(code = error.code(), %error, hint = error.hint(), "the invocation failed");
        }
        if let Some(running) = self.running().take() {
            let (outcome, code) = match answer {
                Err(error) => ("failed", Some(error.code())),
                Ok(Outcome::Failed { code }) => ("failed", Some(code.as_str())),
                Ok(outcome) => (outcome.word(), None),
            };
            let ended_as = Ended {
                outcome,
                code,
                function: &self.function,
                job_name: running.job_name.as_deref().unwrap_or(UNKNOWN),
                did: running.did,
                duration_ms: Some(running.since.elapsed().as_secs_f64() * 1e3),
                memory_mb: Some(self.memory_mb),
                memory_peak_mb: memory_peak_mb(),
                cold: Some(running.cold),
            };
            self.write("task ended", &ended(&running.subject, &ended_as, Timestamp::now().0, self.metrics));
        }
        log::set_subject(None);
    }

    /// Writes the end of an invocation of another function that died before it could.
    pub fn died(&self, event: &Event, function: &str, job_name: Option<&str>, error: &Error) {
        let ended_as = Ended {
            outcome: "died",
            code: Some(error.code()),
            function,
            job_name: job_name.unwrap_or(UNKNOWN),
            did: None,
            duration_ms: None,
            memory_mb: None,
            memory_peak_mb: None,
            cold: None,
        };
        self.write("task ended", &ended(&Subject::of(event), &ended_as, Timestamp::now().0, self.metrics));
    }

    /// Writes the end of a task on behalf of a shipped program that could not.
    pub(crate) fn program_died(&self, event: &Event, job_name: Option<&str>, error: &Error) {
        self.died(event, &self.function, job_name, error);
    }

    fn write(&self, message: &str, members: &serde_json::Map<String, Value>) {
        if !self.silent {
            log::write(line(&log::timestamp(), "INFO", message, members));
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn subject(request_id: &str, trace_header: Option<&str>, event: Option<&Event>) -> Subject {
    Subject {
        request_id: Some(request_id.to_owned()),
        trace_id: trace_header.and_then(trace::root).map(str::to_owned),
        ..event.map(Subject::of).unwrap_or_default()
    }
}

/// Returns the peak of this process's resident memory, as the kernel records it, rounded up to MB.
fn memory_peak_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kb = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    kb.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kb| kb.div_ceil(1_024))
}
