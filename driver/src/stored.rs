//! Stored jobs: what a stack keeps of a job, to start it when nobody's program runs.

use crate::driver::Driver;
use crate::handle::JobHandle;
use crate::place::Place;
use crate::submission::{Described, Places, check, set_reads};
use crate::submit::Submit;
use crate::{Code, Error, Job, JobId, Result, Timestamp};
use kinglet_aws::ledger::{Changes, StoredJob};
use kinglet_aws::stored::{Start, Started};
use kinglet_core::prices::Prices;
use kinglet_core::wire::spec::JobSpec;
use kinglet_core::wire::stored::StoredName;
use serde::Serialize;
use std::time::Duration;

/// Under which name a stack keeps a job, and how it starts it: for [`Driver::store`].
///
/// ```no_run
/// # use kinglet::{Driver, Job, Store, Submit};
/// # use std::time::Duration;
/// # async fn store<J: Job>(driver: Driver, job: &J) -> kinglet::Result<()> {
/// // Each start counts the day before.
/// let submit = Submit::new(["s3://logs/%Y/%m/%d/"], "s3://results/counts/%Y-%m-%d");
/// driver.store(job, submit, Store::new("daily-count").with_time_back(Duration::from_secs(86_400))).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "hand it to a driver"]
pub struct Store {
    name: String,
    back: Duration,
    quiet: Duration,
    wait: Duration,
}

impl Store {
    /// Keeps a job under this name: 1 to 64 letters, digits, `-` and `_`.
    pub fn new(name: impl Into<String>) -> Self {
        Store {
            name: name.into(),
            back: Duration::ZERO,
            quiet: Duration::from_secs(60),
            wait: Duration::from_secs(15 * 60),
        }
    }

    /// Lets the names of input and output say the time that lies this long before a start, in place of that of the start.
    pub fn with_time_back(self, back: Duration) -> Self {
        Store { back, ..self }
    }

    /// Starts the job after changes when there were none for this long; a minute, where nothing else is said. The stack looks
    /// once a minute.
    pub fn with_quiet(self, quiet: Duration) -> Self {
        Store { quiet, ..self }
    }

    /// Starts the job this long after the first change at the latest, however many follow; 15 minutes, where nothing else is said.
    pub fn with_wait(self, wait: Duration) -> Self {
        Store { wait, ..self }
    }
}

/// A job that a stack keeps.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StoredSummary {
    /// Its name among those that the stack keeps.
    pub name: String,
    /// The job's name.
    pub job: String,
    /// Where its results go.
    pub output: String,
    /// When it was stored.
    pub stored_at: Timestamp,
    /// When the first change came that no start has seen yet, if there is one.
    pub changed_at: Option<Timestamp>,
    /// The job that changes have started last.
    pub last: Option<JobId>,
}

impl From<StoredJob> for StoredSummary {
    fn from(stored: StoredJob) -> Self {
        StoredSummary {
            name: stored.name.to_string(),
            job: stored.job,
            output: stored.output,
            stored_at: stored.stored_at,
            changed_at: stored.changed.map(|(first, _)| first),
            last: stored.last,
        }
    }
}

impl Driver {
    /// Keeps a job in the stack, in place of what it keeps under that name, and runs nothing. It is started by
    /// [`Driver::start_stored`], by a schedule, by new objects, or by a task of Step Functions: the guide "Jobs that start
    /// themselves" says how. In the names of its input and its output, `%Y`, `%m`, `%d`, `%H` and `%M` stand for the time of a
    /// start (UTC), and `%%` for a percent sign. Returns whether it has replaced another.
    ///
    /// What the job reads is listed by each start; an input list and an inventory are read now. A ceiling holds while it runs,
    /// and is not planned for beforehand. A program that is shipped is kept with it.
    ///
    /// # Errors
    /// `stored-job` when it cannot be started again and again: its name, its output or what its names say of the time is wrong,
    /// or it reads files of this machine; otherwise as [`Driver::submit`], but for input and output, which a start looks for.
    pub async fn store<J: Job>(&self, job: &J, mut submit: Submit, store: Store) -> Result<bool> {
        let Store { name, back, quiet, wait } = store;
        let name: StoredName = name.parse()?;
        let (shared, conductor) = (&self.shared, &self.shared.conductor);
        let Described { name: job_name, signature, params, workload } = Described::of(job, &shared.jobs)?;
        set_reads(job, &mut submit)?;
        shared.check_ready()?;
        let places = Places::resolve(shared, &submit).await?;
        check(&submit)?;
        let elsewhere = |_| shared.place.site(Some(Prices::of_us_east_1("x86_64")));
        let site = shared.place.site(submit.prices.clone());
        let site = if submit.has_ceiling() { site? } else { site.or_else(elsewhere)? };
        let options = places.with_right(submit.options(self.concurrency(&submit).await, workload, site), &submit);
        if places.is_local() {
            let message = format!("{} is on this machine, where a job that starts itself cannot write", submit.output);
            return Err(Error::new(Code::StoredJob, message).with_hint("name s3://BUCKET/PREFIX"));
        }
        let Places { inputs, output, .. } = places;
        let mut spec = JobSpec {
            job: job_name.to_owned(),
            signature,
            params,
            inputs,
            output,
            options,
            program: None,
            submitted_at: conductor.now(),
            calls: None,
        };
        kinglet_core::wire::stored::check(&spec)?;
        spec.program = shared.shipping.ship(submit.program.as_ref(), conductor).await?;
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let changes = Changes { quiet_ms: ms(quiet), wait_ms: ms(wait) };
        conductor.store(&name, &spec, ms(back), changes).await
    }

    /// Lists the jobs that the stack keeps, by name.
    ///
    /// # Errors
    /// [A service error](crate#errors).
    pub async fn stored(&self) -> Result<Vec<StoredSummary>> {
        Ok(self.shared.conductor.ledger.stored_jobs().await?.into_iter().map(StoredSummary::from).collect())
    }

    /// Starts a job that the stack keeps, now.
    ///
    /// # Errors
    /// `stored-missing`; `frame-version` when another version of Kinglet stored it; [a service error](crate#errors). What is wrong
    /// with its input or its output is said by [`JobHandle::wait`].
    pub async fn start_stored(&self, name: &str) -> Result<JobHandle> {
        let (shared, conductor) = (&self.shared, &self.shared.conductor);
        let before = conductor.clients.meter.totals();
        let name: StoredName = name.parse()?;
        // Each call is a start of its own.
        let once = kinglet_aws::token();
        let start = Start { name: &name, once: &once, at: None, token: None };
        let Started { job, spec } = conductor.start_stored(&start).await?;
        let spec = match spec {
            Some(spec) => spec,
            None => conductor.spec(&job).await?,
        };
        if let Place::Embedded { .. } = &shared.place {
            shared.begin(job.clone(), None);
        }
        Ok(JobHandle::new(shared.clone(), job, spec, before))
    }

    /// Lets the stack forget a job that it keeps. Those that it has started go on.
    ///
    /// # Errors
    /// `stored-missing`; [a service error](crate#errors).
    pub async fn remove_stored(&self, name: &str) -> Result<()> {
        self.shared.conductor.remove_stored(&name.parse()?).await
    }
}
