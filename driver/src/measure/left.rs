//! What a measurement leaves on a stack: noted as it is made, and removed at the end, after an error, and when the program is
//! interrupted.
//!
//! Nothing is noted on disk: what a program leaves that was killed, `kinglet clean` finds, and the stack's own rules remove.

use super::remove_parts;
use crate::connection::Connection;
use crate::driver::Driver;
use crate::{Code, Error, Result, output};
use kinglet_aws::Conductor;
use kinglet_core::ids::JobId;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Everything that a measurement has made on a stack and that is to be removed.
pub struct Left {
    conductor: Conductor,
    shared: Weak<Connection>,
    things: Mutex<Things>,
}

#[derive(Default)]
struct Things {
    jobs: Vec<JobId>,
    outputs: Vec<String>,
    copies: Vec<String>,
}

/// What is to be removed if the program is interrupted.
static ALL: Mutex<Vec<Weak<Left>>> = Mutex::new(Vec::new());

/// How long the workers of a cancelled job are given to notice: they look every 1.75 s at the latest.
const NOTICE: Duration = Duration::from_secs(3);

/// How long an interrupted program may be kept from ending.
const REMOVE_MAX: Duration = Duration::from_secs(60);

/// Removes what measurements that were interrupted have left.
pub(super) async fn remove_interrupted() {
    let all = std::mem::take(&mut *ALL.lock().unwrap_or_else(PoisonError::into_inner));
    for left in all.iter().filter_map(Weak::upgrade).filter(|left| !left.things().is_empty()) {
        eprintln!("removing what was measured with");
        let failed = match tokio::time::timeout(REMOVE_MAX, left.remove()).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => format!(": {error}"),
            Err(_) => " took too long".to_owned(),
        };
        eprintln!("error: removing what was measured with{failed}\nhint: `kinglet clean` removes what is left of jobs");
    }
}

impl Left {
    /// Begins to note what is made on the driver's stack. What is made on the embedded runtime goes with it, but for what lies
    /// in directories.
    pub fn on(driver: &Driver) -> Arc<Self> {
        let (conductor, shared) = (driver.shared.conductor.clone(), Arc::downgrade(&driver.shared));
        let left = Arc::new(Left { conductor, shared, things: Mutex::default() });
        if !driver.shared.is_local() {
            let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|left| left.strong_count() > 0);
            all.push(Arc::downgrade(&left));
        }
        left
    }

    /// Notes a job: that it is cancelled, if it still runs, and what it keeps in the work bucket and the ledger.
    pub fn job(&self, job: &JobId) {
        self.things().jobs.push(job.clone());
        if let Some(shared) = self.shared.upgrade() {
            // If the program is interrupted, the job does not go on.
            shared.ends(job);
        }
    }

    /// Notes an output in S3.
    pub fn output(&self, uri: &str) {
        push(&mut self.things().outputs, uri);
    }

    /// Notes the place of parts that [`Measure::copy_parts`](super::Measure::copy_parts) copies.
    pub fn copies(&self, uri: &str) {
        push(&mut self.things().copies, uri);
    }

    /// Removes everything that was noted. What cannot be removed does not keep the rest from being removed.
    ///
    /// # Errors
    /// The first [service error](crate#errors).
    pub async fn remove(&self) -> Result<()> {
        let Things { jobs, outputs, copies } = std::mem::take(&mut *self.things());
        let mut left = Ok(());
        let mut running = false;
        for job in &jobs {
            match self.end(job).await {
                Ok(was_running) => running |= was_running,
                Err(error) => left = left.and(Err(error)),
            }
        }
        if running {
            tokio::time::sleep(NOTICE).await;
        }
        for uri in &outputs {
            let removed = async { self.conductor.remove_result(&output::in_s3(uri)?).await };
            left = left.and(removed.await);
        }
        for uri in &copies {
            left = left.and(remove_parts(&self.conductor.objects, uri).await);
        }
        for job in &jobs {
            left = left.and(self.conductor.forget_all(job).await);
        }
        left
    }

    /// Cancels a job unless it has ended. Returns whether it still ran.
    async fn end(&self, job: &JobId) -> Result<bool> {
        let ran = match self.conductor.ledger.job(job).await {
            Err(error) if error.is(Code::JobMissing) => return Ok(false),
            view => !view?.phase.is_final(),
        };
        if ran {
            let error = Error::new(Code::Interrupted, format!("job {job} was interrupted"));
            self.conductor.bring_to_end(job, &error).await?;
        }
        Ok(ran)
    }

    fn things(&self) -> MutexGuard<'_, Things> {
        self.things.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Things {
    fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.outputs.is_empty() && self.copies.is_empty()
    }
}

/// Appends a name unless it is there.
fn push(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|there| there == name) {
        names.push(name.to_owned());
    }
}
