//! The host as its owner sees it: starting, stopping, and asking.

use super::{
    FailureRecord, FaultCount, FaultPlan, Function, HostError, HostOptions, InvocationReport,
    environment::Environment,
    faults::Faults,
    invoke_api,
    limits::KILL_WAIT_MAX,
    lock::lock,
    shared::{Shared, sample_memory},
};
use rustix::process::Signal;
use std::{
    fs,
    sync::{Arc, atomic::Ordering::SeqCst},
};
use tokio::{
    net::TcpListener,
    sync::{Notify, broadcast},
    task::JoinHandle,
    time::Instant,
};

/// A running Lambda host; see the [module](super). Stops when it is dropped, but [`stop`](Host::stop) also waits.
#[derive(Debug)]
#[must_use = "a host stops when it is dropped"]
pub struct Host {
    endpoint: String,
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Host {
    /// Starts answering on a listener. No function's process is started before the function is invoked.
    ///
    /// # Errors
    ///
    /// Returns [`HostError`] if Lambda would not accept a function, its program does not exist, or the directory cannot be
    /// written. What is merely less than was asked for is in [`warnings`](Host::warnings).
    ///
    /// # Panics
    ///
    /// Panics outside a Tokio runtime.
    pub async fn start(
        listener: TcpListener,
        options: HostOptions,
        functions: Vec<Function>,
    ) -> Result<Host, HostError> {
        let address = listener.local_addr().map_err(HostError::Listener)?;
        let shared = Arc::new(Shared::new(options, functions)?);
        let tasks = vec![
            tokio::spawn(invoke_api::serve(listener, shared.clone())),
            tokio::spawn(sample_memory(shared.clone())),
        ];
        Ok(Host { endpoint: format!("http://{address}"), shared, tasks })
    }

    /// Returns the endpoint URL for the SDK.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Stops answering, kills all workers, and returns when they and their directories are gone. Queued events are lost.
    pub async fn stop(self) {
        self.end_workers().await;
    }

    /// Stops answering and kills all workers, as [`Host::stop`] does, but leaves the reports to be read.
    pub async fn end_workers(&self) {
        self.halt();
        if !all_gone(&self.shared.gone, || self.shared.is_empty()).await {
            tracing::warn!("some workers have not gone");
        }
    }

    /// Returns the reports of the attempts so far, oldest first; the last 100,000.
    #[must_use]
    pub fn reports(&self) -> Vec<InvocationReport> {
        lock(&self.shared.records).reports.iter().cloned().collect()
    }

    /// Subscribes to the reports from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<InvocationReport> {
        self.shared.subscribers.subscribe()
    }

    /// Returns the records of the events that failed for good, oldest first; the last 10,000. All are in `failures.jsonl`.
    #[must_use]
    pub fn failures(&self) -> Vec<FailureRecord> {
        lock(&self.shared.records).failures.iter().cloned().collect()
    }

    /// Returns what the host does without, and why.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        lock(&self.shared.warnings).clone()
    }

    /// Returns how many invocations run, plus how many events are queued or wait for a retry.
    #[must_use]
    pub fn pending(&self) -> usize {
        // The order matters: an event that moves from waiting to queued meanwhile is counted twice rather than not at all.
        let waiting = self.shared.retries_waiting.load(SeqCst);
        waiting + lock(&self.shared.pool).pending()
    }

    /// Returns the process ids of the workers, idle ones included.
    #[must_use]
    pub fn worker_pids(&self) -> Vec<u32> {
        lock(&self.shared.environments).values().map(|environment| environment.pid).collect()
    }

    /// Kills the workers of a function now, idle ones included, as if their sandboxes died. Returns how many there were.
    pub fn kill_workers(&self, function: &str) -> usize {
        self.signal_workers(function, Signal::KILL)
    }

    /// Stops the workers of a function, as if their sandboxes were frozen, or continues them. Returns how many there were.
    pub fn freeze_workers(&self, function: &str, frozen: bool) -> usize {
        self.signal_workers(function, if frozen { Signal::STOP } else { Signal::CONT })
    }

    fn signal_workers(&self, function: &str, signal: Signal) -> usize {
        let is_of = |environment: &&Arc<Environment>| &*self.shared.functions[environment.function].name == function;
        lock(&self.shared.environments).values().filter(is_of).filter(|worker| worker.signal(signal)).count()
    }

    /// Puts a plan of faults in force, in place of the one before.
    pub fn set_faults(&self, plan: FaultPlan) {
        *lock(&self.shared.faults) = Arc::new(Faults::new(plan));
    }

    /// Returns what the rules of the plan in force have done so far, in their order.
    #[must_use]
    pub fn fault_counts(&self) -> Vec<FaultCount> {
        lock(&self.shared.faults).counts()
    }

    fn halt(&self) {
        self.shared.stopping.store(true, SeqCst);
        self.tasks.iter().for_each(JoinHandle::abort);
        lock(&self.shared.environments).values().for_each(|environment| environment.kill());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.halt();
        self.shared.reaper.finish();
        // Removes what is left if nobody waited for the workers' own ends.
        let _ = fs::remove_dir_all(self.shared.options.dir.join("envs"));
    }
}

/// Waits, for a limited time, until nothing is left; `gone` is notified of each removal.
async fn all_gone(gone: &Notify, is_empty: impl Fn() -> bool) -> bool {
    let until = Instant::now() + KILL_WAIT_MAX;
    loop {
        let told = gone.notified();
        tokio::pin!(told);
        // Enabled before the check, so that the last notification cannot slip between the two.
        told.as_mut().enable();
        if is_empty() {
            return true;
        }
        if tokio::time::timeout_at(until, told).await.is_err() {
            return is_empty();
        }
    }
}
