//! A job that was submitted: its progress, its end, its report.

use crate::connection::Connection;
use crate::output;
use crate::place::Place;
use crate::report::report;
use crate::status::{JobStatus, Progress};
use crate::{Code, Error, Phase, Report, Result};
use kinglet_core::ids::JobId;
use kinglet_core::ledger::JobView;
use kinglet_core::wire::record::{MapRecord, ReduceRecord, Requests};
use kinglet_core::wire::spec::JobSpec;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A job under way.
pub struct JobHandle {
    pub(crate) shared: Arc<Connection>,
    pub(crate) job: JobId,
    pub(crate) spec: JobSpec,
    /// What this driver had sent before it submitted the job.
    pub(crate) before: Requests,
}

/// How often somebody who waits does what.
struct Pace {
    /// The shortest pause between two looks at the job's own item, and the longest. Between them it is [`POLL_SHARE`].
    poll_min: Duration,
    poll_max: Duration,
    /// How often the tasks of a stage are counted.
    progress: Duration,
    /// How often the ledger is asked what is to be done, in case that a worker died before it could.
    conduct: Duration,
    /// How long looks may fail before waiting is given up: time enough to be connected, or signed in, again.
    failing_max: Duration,
}

/// The embedded runtime answers in a fraction of a millisecond and costs nothing.
const LOCAL: Pace = Pace {
    poll_min: Duration::from_millis(3),
    poll_max: Duration::from_millis(30),
    progress: Duration::from_millis(200),
    conduct: Duration::from_secs(1),
    failing_max: Duration::from_secs(10),
};

/// Between two looks at a job passes this part of the time that it has been in its phase: what is noticed late is a small part
/// of what was waited for.
const POLL_SHARE: u32 = 8;

/// How often whoever waits renews the job's claim to its output, in case that nobody else does: those who cannot ask the job's
/// ledger take it for dead after an hour.
const RENEW_EVERY: Duration = Duration::from_secs(600);

/// AWS does neither; and there a schedule looks after every job each minute.
const AWS: Pace = Pace {
    poll_min: Duration::from_millis(200),
    poll_max: Duration::from_secs(2),
    progress: Duration::from_secs(5),
    conduct: Duration::from_secs(15),
    failing_max: Duration::from_secs(300),
};

impl JobHandle {
    pub(crate) fn new(shared: Arc<Connection>, job: JobId, spec: JobSpec, before: Requests) -> Self {
        JobHandle { shared, job, spec, before }
    }

    /// Its id.
    pub fn id(&self) -> &JobId {
        &self.job
    }

    /// The bytes of a part of its output, once it has succeeded.
    ///
    /// # Errors
    /// `part-missing` when the job has not written that part, or not yet; [a service's](crate#errors).
    pub async fn part(&self, partition: u32) -> Result<Vec<u8>> {
        let (objects, output) = (&self.shared.conductor.objects, &self.spec.output);
        let key = output.part_key(partition, &self.job);
        let shown = output.shown_key(&key);
        let Some(there) = objects.head(&output.bucket, &key).await? else {
            return Err(
                Error::new(Code::PartMissing, format!("there is no {shown}")).with_hint("wait for the job's end")
            );
        };
        let mut bytes = Vec::with_capacity(there.size as usize);
        let mut reader = objects.read(&output.bucket, &key, Some(&there.etag), 0, there.size, &shown);
        while let Some(block) = reader.next().await? {
            bytes.extend_from_slice(&block);
        }
        Ok(bytes)
    }

    /// Everything that is known of it.
    ///
    /// # Errors
    /// `job-missing` when the job was cleaned; [a service's](crate#errors).
    pub async fn status(&self) -> Result<JobStatus> {
        let conductor = &self.shared.conductor;
        let view = conductor.ledger.job(&self.job).await?;
        self.shared.saw(&self.job, view.phase);
        let report = match view.phase {
            Phase::Succeeded => Some(report(conductor, &self.job, &self.spec, &view, &self.before).await?),
            _ => None,
        };
        let mut status = JobStatus::submitted(&self.job, &self.spec);
        status.see(&view);
        Ok(JobStatus { progress: self.progress_of(&view).await?, report, ..status })
    }

    /// How far it is now.
    ///
    /// # Errors
    /// `job-missing` when the job was cleaned; [a service's](crate#errors).
    pub async fn progress(&self) -> Result<Progress> {
        let view = self.shared.conductor.ledger.job(&self.job).await?;
        self.shared.saw(&self.job, view.phase);
        self.progress_of(&view).await
    }

    /// How far a job is that looks so, with the tasks of the stage counted.
    pub(crate) async fn progress_of(&self, view: &JobView) -> Result<Progress> {
        let ledger = &self.shared.conductor.ledger;
        let mut progress = Progress::of(view);
        match view.phase {
            Phase::Mapping => {
                let maps = ledger.committed::<MapRecord>(&self.job, view.map_tasks).await?;
                let done = |pieces: &&Vec<MapRecord>| pieces.last().is_some_and(|last| last.remainder.is_none());
                progress.maps.done = maps.iter().filter(done).count() as u64;
                progress.bytes.done = maps.iter().flatten().map(|record| record.bytes_read).sum();
            }
            Phase::Reducing => {
                let reduces = ledger.committed::<ReduceRecord>(&self.job, view.partitions).await?;
                progress.reduces.done = reduces.iter().filter(|pieces| !pieces.is_empty()).count() as u64;
            }
            _ => {}
        }
        Ok(progress)
    }

    /// Waits for its end. Whoever waits also looks after the job now and then; that nobody does costs it no more than time.
    ///
    /// On AWS a poll is one read of one item, two seconds apart in the end: waiting for an hour costs $0.0003.
    ///
    /// # Errors
    /// Why the job failed (`map-failed`, `out-of-memory`, `job-too-long`, `output-exists`, …) or was cancelled (`cancelled`,
    /// `interrupted`); then its output holds what it held before. [A service's](crate#errors), when no look at it has succeeded
    /// for 5 minutes, on the embedded runtime 10 s: on AWS the job goes on, and [`crate::Driver::attach`] finds it again.
    pub async fn wait(&self) -> Result<Report> {
        self.wait_until_end(None).await
    }

    /// Waits for its end and tells how far it is: at each new phase, and in between a few times a second on the embedded
    /// runtime, every few seconds on AWS, where counting committed tasks costs a read of 32 of them together.
    ///
    /// # Errors
    /// As [`JobHandle::wait`].
    pub async fn wait_with(&self, tell: &mut (dyn FnMut(Progress) + Send)) -> Result<Report> {
        self.wait_until_end(Some(tell)).await
    }

    async fn wait_until_end(&self, tell: Option<&mut (dyn FnMut(Progress) + Send)>) -> Result<Report> {
        let Place::Neighbour(neighbour) = &self.shared.place else { return self.follow(tell).await };
        tokio::select! {
            biased;
            done = self.follow(tell) => match done {
                // Its servers were gone before they had answered.
                Err(_) if !neighbour.is_running() => neighbour.outcome(&self.job),
                done => done,
            },
            // Its program has seen the end, and took its servers with it: what it wrote down is what there is.
            () = neighbour.gone() => neighbour.outcome(&self.job),
        }
    }

    async fn follow(&self, mut tell: Option<&mut (dyn FnMut(Progress) + Send)>) -> Result<Report> {
        let pace = if matches!(self.shared.place, Place::Aws(_)) { &AWS } else { &LOCAL };
        let (mut seen, mut told, mut conducted) = ((Phase::Splitting, Instant::now()), Instant::now(), Instant::now());
        let conductor = &self.shared.conductor;
        let mut failing: Option<Instant> = None;
        let (mut renewed, mut next) = (Instant::now(), pace.conduct);
        loop {
            let view = match conductor.ledger.job(&self.job).await {
                Ok(view) => view,
                Err(error) => {
                    // The job goes on; that one look fails says nothing of it.
                    let since = *failing.get_or_insert_with(Instant::now);
                    if !passes(&error) || since.elapsed() > pace.failing_max {
                        return Err(error);
                    }
                    tracing::warn!(job = %self.job, %error, "looking at the job");
                    tokio::time::sleep(pace.poll_max).await;
                    continue;
                }
            };
            failing = None;
            self.shared.saw(&self.job, view.phase);
            let moved = seen.0 != view.phase;
            if moved {
                seen = (view.phase, Instant::now());
            }
            if let Some(tell) = tell.as_mut() {
                if moved {
                    tell(Progress::of(&view));
                    told = Instant::now();
                } else if told.elapsed() > pace.progress {
                    match self.progress_of(&view).await {
                        Ok(progress) => tell(progress),
                        Err(error) => tracing::warn!(job = %self.job, %error, "counting what is done"),
                    }
                    told = Instant::now();
                }
            }
            match view.phase {
                Phase::Succeeded => {
                    let report = report(conductor, &self.job, &self.spec, &view, &self.before).await?;
                    self.record_end(&view, Some(&report));
                    return Ok(report);
                }
                Phase::Failed | Phase::Cancelled => {
                    self.record_end(&view, None);
                    let error = view.error.unwrap_or_else(|| Error::new(Code::Failed, "the job failed without a word"));
                    // There no role is in the way, but the file system.
                    let local = self.shared.place.runtime().is_some();
                    return Err(if local && error.is(Code::AccessDenied) {
                        output::check_permissions(error)
                    } else {
                        error
                    });
                }
                _ => {}
            }
            if conducted.elapsed() > next {
                next = pace.conduct;
                // Somebody else may have it in hand: the job's own item is what says how it goes on.
                if let Err(error) = conductor.conduct(&self.job).await {
                    tracing::warn!(job = %self.job, %error, "looking after the job");
                }
                if renewed.elapsed() > RENEW_EVERY {
                    renewed = Instant::now();
                    if let Err(error) = conductor.renew_output(&self.job).await {
                        tracing::warn!(job = %self.job, %error, "renewing the claim to the output");
                    }
                }
                if view.phase == Phase::Splitting {
                    match conductor.look_at_splitter(&self.job).await {
                        Ok(soon) => next = soon.unwrap_or(next).min(next),
                        Err(error) => tracing::warn!(job = %self.job, %error, "looking at the splitter"),
                    }
                }
                conducted = Instant::now();
            }
            tokio::time::sleep((seen.1.elapsed() / POLL_SHARE).clamp(pace.poll_min, pace.poll_max)).await;
        }
    }

    /// Writes down how it ended, where this program runs it.
    fn record_end(&self, view: &JobView, report: Option<&Report>) {
        let Some(keeper) = self.shared.place.keeper() else { return };
        let mut status = JobStatus::submitted(&self.job, &self.spec);
        status.see(view);
        keeper.end(JobStatus { report: report.cloned(), ..status });
    }

    /// Cancels it: what is running is told within seconds, and nothing of it is published. One whose result is just being made
    /// visible ends as it would have.
    ///
    /// # Errors
    /// `job-missing` when the job was cleaned; [a service's](crate#errors); it may be called again.
    pub async fn cancel(&self) -> Result<()> {
        let error = Error::new(Code::Cancelled, format!("job {} was cancelled", self.job));
        let conductor = &self.shared.conductor;
        conductor.fail(&self.job, Phase::Cancelled, &error).await?;
        if let Ok(view) = conductor.ledger.job(&self.job).await {
            self.shared.saw(&self.job, view.phase);
        }
        Ok(())
    }
}

/// Whether an error of looking at a job may pass by itself.
pub(crate) fn passes(error: &Error) -> bool {
    error.is_retryable() || error.known_code().is_some_and(Code::is_of_credentials)
}
