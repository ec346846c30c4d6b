//! One execution environment: a process, its `/tmp`, its log, and a Runtime API of its own.
//!
//! An environment belongs to one owner at a time, as a [`Lease`]: the pool while it is idle, or the invocation that it runs.
//! It reports to its owner by [`Event`]s in a channel, so that nothing has to be looked up and nobody waits under a lock.
//! Each environment has a port of its own, and not a path on a common one: every runtime understands a port.

use super::{
    limits::{KILL_WAIT_MAX, MEMORY_SAMPLE_STALE},
    lock::lock,
    logs::Log,
    messages::Event,
    pool::Numbered,
    process, runtime_api,
};
use rustix::process::Signal;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};

pub(super) struct Environment {
    pub(super) number: u64,
    pub(super) function: usize,
    pub(super) pid: u32,
    pub(super) log: Log,
    pub(super) runtime: Arc<runtime_api::State>,
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
    /// An environment whose process runs.
    pub(super) fn new(number: u64, function: usize, pid: u32, log: Log, runtime: Arc<runtime_api::State>) -> Self {
        Self { number, function, pid, log, runtime, memory_peak_kb: AtomicU64::new(0), life: Mutex::default() }
    }

    /// Notes that the process was reaped: nothing is sent to its number from now on.
    pub(super) fn mark_gone(&self) {
        lock(&self.life).gone = true;
    }

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
