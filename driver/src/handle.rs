//! A job that was submitted: its progress, its end, its report.

use crate::driver::Shared;
use crate::report::report;
use crate::{Error, Phase, Report, Result};
use kinglet_core::ids::JobId;
use kinglet_core::wire::record::{MapRecord, ReduceRecord, Requests};
use kinglet_core::wire::spec::JobSpec;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A job under way.
pub struct JobHandle {
    shared: Arc<Shared>,
    job: JobId,
    spec: JobSpec,
    /// What this driver had sent before it submitted the job.
    before: Requests,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where it stands.
    pub phase: Phase,
    /// Map tasks committed, and all.
    pub maps: (u32, u32),
    /// Reduce tasks committed, and all.
    pub reduces: (u32, u32),
    /// Bytes read by committed map tasks, and all.
    pub bytes: (u64, u64),
}

/// The embedded runtime answers in a fraction of a millisecond and costs nothing; AWS does neither.
const POLL_LOCAL: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(30));
const POLL_AWS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// How often progress is looked up, which reads more than the job's own item.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// How often the ledger is asked what is to be done, in case that a worker died before it could.
const CONDUCT_EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// Jobs on embedded runtimes of this process: they end with it, and must not leave parts behind.
static LOCAL_JOBS: Mutex<Vec<(Weak<Shared>, JobId)>> = Mutex::new(Vec::new());

/// How long the cancelling of jobs may keep an interrupted program from ending.
const CANCEL_MAX: Duration = Duration::from_secs(3);

/// Cancels the jobs of this process that would end with it, and removes what they have published. A job that has ended is
/// left as it is; so is one on AWS, which goes on without its driver.
pub(crate) async fn cancel_local_jobs() {
    let jobs = std::mem::take(&mut *LOCAL_JOBS.lock().unwrap_or_else(PoisonError::into_inner));
    let cancel = async {
        for (shared, job) in jobs {
            let Some(shared) = shared.upgrade() else { continue };
            if let Some(runtime) = &shared.runtime {
                runtime.host().end_workers().await;
            }
            let error = Error::cancelled("interrupted", format!("job {job} was interrupted"));
            if let Err(error) = shared.conductor.fail(&job, Phase::Cancelled, &error).await {
                tracing::warn!(%job, %error, "cancelling");
            }
        }
    };
    let _ = tokio::time::timeout(CANCEL_MAX, cancel).await;
}

impl JobHandle {
    pub(crate) fn new(shared: Arc<Shared>, job: JobId, spec: JobSpec, before: Requests) -> Self {
        if shared.runtime.is_some() {
            let mut jobs = LOCAL_JOBS.lock().unwrap_or_else(PoisonError::into_inner);
            jobs.retain(|(shared, _)| shared.strong_count() > 0);
            jobs.push((Arc::downgrade(&shared), job.clone()));
        }
        JobHandle { shared, job, spec, before }
    }

    /// Its id.
    pub fn id(&self) -> &JobId {
        &self.job
    }

    /// How far it is now.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn progress(&self) -> Result<Progress> {
        let ledger = &self.shared.conductor.ledger;
        let view = ledger.job(&self.job).await?;
        let mut progress = Progress {
            phase: view.phase,
            maps: (0, view.map_tasks),
            reduces: (0, view.partitions),
            bytes: (0, view.input.1),
        };
        match view.phase {
            Phase::Splitting | Phase::Failed | Phase::Cancelled => {}
            Phase::Mapping => {
                let maps = ledger.committed::<MapRecord>(&self.job, view.map_tasks).await?;
                let done = |pieces: &&Vec<MapRecord>| pieces.last().is_some_and(|last| last.remainder.is_none());
                progress.maps.0 = maps.iter().filter(done).count() as u32;
                progress.bytes.0 = maps.iter().flatten().map(|record| record.bytes_read).sum();
            }
            Phase::Reducing => {
                let reduces = ledger.committed::<ReduceRecord>(&self.job, view.partitions).await?;
                progress.maps.0 = view.map_tasks;
                progress.bytes.0 = view.input.1;
                progress.reduces.0 = reduces.iter().filter(|pieces| !pieces.is_empty()).count() as u32;
            }
            Phase::Succeeded => {
                progress.maps.0 = view.map_tasks;
                progress.bytes.0 = view.input.1;
                progress.reduces.0 = view.partitions;
            }
        }
        Ok(progress)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Why it failed or was cancelled; then there is no output.
    pub async fn wait(&self) -> Result<Report> {
        self.wait_with(&mut |_| {}).await
    }

    /// Waits for its end and tells how far it is, a few times a second.
    ///
    /// # Errors
    /// Why it failed or was cancelled; then there is no output.
    pub async fn wait_with(&self, tell: &mut dyn FnMut(Progress)) -> Result<Report> {
        let local = self.shared.runtime.is_some();
        let (mut pause, pause_max) = if local { POLL_LOCAL } else { POLL_AWS };
        let conduct_every = if local { CONDUCT_EVERY.0 } else { CONDUCT_EVERY.1 };
        let (mut told, mut conducted) = (Instant::now(), Instant::now());
        let conductor = &self.shared.conductor;
        loop {
            let view = conductor.ledger.job(&self.job).await?;
            match view.phase {
                Phase::Succeeded => {
                    tell(self.progress().await?);
                    return report(conductor, &self.job, &self.spec, &view, &self.before).await;
                }
                Phase::Failed | Phase::Cancelled => {
                    self.shared.failed.lock().unwrap_or_else(PoisonError::into_inner).push(self.job.clone());
                    return Err(view
                        .error
                        .unwrap_or_else(|| Error::service("failed", "the job failed without a word")));
                }
                Phase::Splitting | Phase::Mapping | Phase::Reducing => {}
            }
            if told.elapsed() > PROGRESS_EVERY {
                tell(self.progress().await?);
                told = Instant::now();
            }
            if conducted.elapsed() > conduct_every {
                // Somebody else may have it in hand: the job's own item is what says how it goes on.
                if let Err(error) = conductor.conduct(&self.job).await {
                    tracing::warn!(job = %self.job, %error, "looking after the job");
                }
                conducted = Instant::now();
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 5 / 4).min(pause_max);
        }
    }

    /// Cancels it: what is running may go on for a while, but nothing of it is published.
    ///
    /// # Errors
    /// What the services report.
    pub async fn cancel(&self) -> Result<()> {
        let error = Error::cancelled("cancelled", format!("job {} was cancelled", self.job));
        self.shared.conductor.fail(&self.job, Phase::Cancelled, &error).await
    }
}
