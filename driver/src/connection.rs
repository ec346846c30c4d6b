//! What a driver, the handles of its jobs and the futures of its calls share: the clients, the place of the servers, and the
//! jobs that end with this program.

use crate::hold::Hold;
use crate::place::Place;
use crate::program::Shipping;
use crate::report::attempts;
use crate::{Code, Error, Phase, Result};
use kinglet_aws::Conductor;
use kinglet_core::Registry;
use kinglet_core::ids::JobId;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::task::JoinHandle;

/// What a driver, its jobs and its calls share.
pub(crate) struct Connection {
    pub(crate) conductor: Conductor,
    pub(crate) jobs: Arc<Registry>,
    pub(crate) place: Place,
    pub(crate) shipping: Shipping,
    mounts: AtomicU32,
    /// The jobs that this driver's embedded runtime runs and that have not ended, as far as it knows.
    own: Mutex<Vec<Own>>,
    /// The jobs that this driver has started on AWS and that have not ended, as far as it knows.
    going_on: Mutex<Vec<JobId>>,
    /// Background tasks that run until the driver is closed.
    tasks: Mutex<Vec<Task>>,
}

/// A job that ends with its driver.
struct Own {
    job: JobId,
    /// The hold on its output, if the output is a local one.
    hold: Option<Hold>,
}

/// A background task, which follows calls.
struct Task {
    task: JoinHandle<()>,
    when_closed: Box<dyn FnOnce() + Send>,
}

/// The drivers of this process.
static DRIVERS: Mutex<Vec<Weak<Connection>>> = Mutex::new(Vec::new());

/// How long an interrupted program may be kept from ending while its jobs are cancelled.
const CANCEL_MAX: Duration = Duration::from_secs(3);

/// Registers a driver whose jobs are to be brought to their end, or named, when the program is interrupted.
fn register(shared: &Arc<Connection>) {
    let mut drivers = DRIVERS.lock().unwrap_or_else(PoisonError::into_inner);
    drivers.retain(|shared| shared.strong_count() > 0);
    drivers.push(Arc::downgrade(shared));
}

fn drivers() -> Vec<Arc<Connection>> {
    DRIVERS.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
}

/// Names the jobs on AWS that this process has started: they go on without it.
pub(crate) fn name_jobs_that_go_on() {
    for shared in drivers() {
        let Place::Aws(cloud) = &shared.place else { continue };
        let (stack, region) = (&cloud.deployed.name, &cloud.deployed.region);
        for job in shared.going_on().iter() {
            eprintln!("job {job} goes on, on stack {stack} in {region}");
            let command = |what: &str| format!("`kinglet --stack {stack} --region {region} {what} {job}`");
            eprintln!("hint: {} waits for it, {} ends it", command("attach"), command("cancel"));
        }
    }
}

/// Returns whether this process has jobs that would end with it.
pub(crate) fn has_local_jobs() -> bool {
    drivers().iter().any(|shared| shared.is_local() && !shared.own().is_empty())
}

/// Cancels the jobs of this process that would end with it; a job that publishes already is published. A job that has ended
/// stays as it is, and so does one on AWS, which goes on without its driver.
pub(crate) async fn cancel_local_jobs() {
    let local = drivers();
    let cancel = local.iter().filter(|shared| shared.is_local()).map(|shared| async move {
        if let Some(runtime) = shared.place.runtime() {
            runtime.host().end_workers().await;
        }
        shared.end_jobs().await;
        shared.record_ends().await;
    });
    let _ = tokio::time::timeout(CANCEL_MAX, futures_util::future::join_all(cancel)).await;
}

impl Connection {
    pub(crate) fn new(conductor: Conductor, jobs: Arc<Registry>, place: Place, shipping: Shipping) -> Arc<Self> {
        let (mounts, own, tasks) = (AtomicU32::new(0), Mutex::default(), Mutex::default());
        let going_on = Mutex::default();
        let shared = Arc::new(Connection { conductor, jobs, place, shipping, mounts, own, going_on, tasks });
        register(&shared);
        shared
    }

    /// Makes a new name for a bucket that is a file or a directory of this machine.
    pub(crate) fn mount_name(&self, what: &str) -> String {
        format!("local-{what}-{}", self.mounts.fetch_add(1, Ordering::Relaxed))
    }

    /// Has `task` aborted when the driver is closed, and then calls `when_closed`.
    pub(crate) fn end_at_close(&self, task: JoinHandle<()>, when_closed: impl FnOnce() + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|running| !running.task.is_finished());
        tasks.push(Task { task, when_closed: Box::new(when_closed) });
    }

    /// Ends the background tasks, as the driver is being closed.
    pub(crate) async fn end_tasks(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for Task { task, when_closed } in tasks {
            task.abort();
            let _ = task.await;
            when_closed();
        }
    }

    /// Notes a job that ends with this driver, and holds its output until then.
    pub(crate) fn begin(&self, job: JobId, hold: Option<Hold>) {
        self.own().push(Own { job, hold });
    }

    /// Notes a job on AWS, which goes on if this program is interrupted.
    pub(crate) fn goes_on(&self, job: &JobId) {
        if matches!(self.place, Place::Aws(_)) {
            self.going_on().push(job.clone());
        }
    }

    /// Forgets a job on AWS, which has ended or will be ended.
    pub(crate) fn ends(&self, job: &JobId) {
        self.going_on().retain(|going_on| going_on != job);
    }

    /// Returns whether the servers are in this process.
    pub(crate) fn is_local(&self) -> bool {
        self.place.runtime().is_some()
    }

    /// Returns how many functions can run at once.
    pub(crate) async fn concurrency(&self) -> u32 {
        self.place.concurrency().await
    }

    /// Refuses work that the stack cannot take now.
    pub(crate) fn check_ready(&self) -> Result<()> {
        match &self.place {
            Place::Aws(cloud) => cloud.deployed.check_settled(),
            Place::Embedded { .. } | Place::Neighbour(_) | Place::Simulated { .. } => Ok(()),
        }
    }

    /// Brings the jobs of the embedded runtime to their end, all at once: nobody else can, once the runtime is gone.
    pub(crate) async fn end_jobs(&self) {
        let ends = self.own_jobs().into_iter().map(|job| async move {
            let error = Error::new(Code::Interrupted, format!("job {job} was interrupted"));
            match self.conductor.bring_to_end(&job, &error).await {
                Err(error) if !error.is(Code::JobMissing) => tracing::warn!(%job, %error, "ending a job"),
                _ => {}
            }
            self.let_go(&job);
        });
        futures_util::future::join_all(ends).await;
    }

    /// Releases the outputs of jobs that ended while nobody waited for them.
    pub(crate) async fn let_go_of_ended(&self) {
        for job in self.own_jobs() {
            if let Ok(view) = self.conductor.ledger.job(&job).await {
                self.saw(&job, view.phase);
            }
        }
    }

    /// Takes note of a job's phase, and releases the job's output if it has ended.
    pub(crate) fn saw(&self, job: &JobId, phase: Phase) {
        if phase.is_final() {
            self.let_go(job);
        }
    }

    /// Releases the output of a job that has ended, and removes directories that were made for it and are empty.
    pub(crate) fn let_go(&self, job: &JobId) {
        self.ends(job);
        let mut own = self.own();
        own.iter().filter(|own| own.job == *job).filter_map(|own| own.hold.as_ref()).for_each(Hold::remove_made);
        own.retain(|own| own.job != *job);
    }

    fn own_jobs(&self) -> Vec<JobId> {
        self.own().iter().map(|own| own.job.clone()).collect()
    }

    fn own(&self) -> MutexGuard<'_, Vec<Own>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn going_on(&self) -> MutexGuard<'_, Vec<JobId>> {
        self.going_on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the last status of jobs that nobody waited for: the runtime is about to end, and the ledger with it.
    pub(crate) async fn record_ends(&self) {
        let Some(keeper) = self.place.keeper() else { return };
        for mut status in keeper.running() {
            let mut known = Vec::new();
            if let Ok(view) = self.conductor.ledger.job(&status.job).await {
                status.see(&view);
                known = attempts(&self.conductor, &status.job, &view).await.unwrap_or_default();
            }
            if !status.phase.is_final() {
                let message = format!("job {}: the program that ran it ended before it", status.job);
                status.end_without_success(Phase::Cancelled, Error::new(Code::Interrupted, message));
            }
            keeper.end(status, &known);
        }
    }
}
