//! A submitted job: its progress, its end, its report.

use crate::connection::Connection;
use crate::counting::Counting;
use crate::history::History;
use crate::output;
use crate::place::Place;
use crate::report::{Attempt, attempts, report};
use crate::status::{JobStatus, Progress};
use crate::{Code, Error, Phase, Report, Result};
use futures_util::future::BoxFuture;
use kinglet_aws::on_heap;
use kinglet_core::ids::{JobId, Partition, Piece};
use kinglet_core::ledger::JobView;
use kinglet_core::manifest::PartEntry;
use kinglet_core::wire::record::Requests;
use kinglet_core::wire::spec::{JobSpec, PART, part_partition};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A submitted job.
pub struct JobHandle {
    pub(crate) shared: Arc<Connection>,
    pub(crate) job: JobId,
    pub(crate) spec: JobSpec,
    /// The requests that this driver had sent before it submitted the job.
    pub(crate) before: Requests,
}

/// How often a waiting driver does what.
struct Pace {
    /// The shortest and the longest pause between two reads of the job's own item. Between them the pause is [`POLL_SHARE`].
    poll_min: Duration,
    poll_max: Duration,
    /// How often the tasks of a stage are counted.
    progress: Duration,
    /// How often the ledger is asked what is to be done, in case a worker died before it could ask.
    conduct: Duration,
    /// How long reads may fail before waiting is given up: enough time to be connected, or signed in, again.
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

/// The pause between two reads is the time that the job has been in its phase, divided by this. So a change is noticed late
/// only by a small part of the time that was waited for it.
const POLL_SHARE: u32 = 8;

/// Counting tasks takes at most about so much of a waiting driver's time: the pause is as many times as long as the count took.
const COUNTING_SHARE: u32 = 20;

/// How often a waiting driver renews the job's claim to its output, in case nobody else does: those who cannot ask the job's
/// ledger take the job for dead after an hour.
const RENEW_EVERY: Duration = Duration::from_secs(600);

/// A request to AWS takes longer and costs money; and there a schedule looks after every job each minute.
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

    /// Returns the job's id.
    pub fn id(&self) -> &JobId {
        &self.job
    }

    /// Reads what the job has written for one of its partitions, once it has succeeded: its part, or, where its reducer needed
    /// more time than a function lives, its parts one behind the other; of an output in folders, the partition's files in the
    /// order of the manifest, without what the folders say. They are joined byte by byte: of CSV each brings its head, and several
    /// files of Parquet end to end are none, so read these one by one by the names in `_manifest.json`.
    ///
    /// # Errors
    /// `part-missing` when the job has not written that part, or not yet; [a service error](crate#errors).
    pub async fn part(&self, partition: u32) -> Result<Vec<u8>> {
        let (objects, output) = (&self.shared.conductor.objects, &self.spec.output);
        if !output.format.partition_by().is_empty() {
            return self.files_of(partition).await;
        }
        let key = |piece| output.part_key(Partition(partition), Piece(piece), &self.job);
        let first = key(0);
        // The further parts' names begin as the first's does, up to the job's id.
        let listed = objects.list(&output.bucket, &format!("{}{PART}{partition:05}", output.prefix)).await?;
        let (mut all, mut piece) = (Vec::new(), 0);
        while let Some(there) = listed.iter().find(|there| there.key == key(piece)) {
            let shown = output.shown_key(&there.key);
            all.extend(objects.read(&output.bucket, &there.key, Some(&there.etag), 0, there.size, &shown).all().await?);
            piece += 1;
        }
        if piece == 0 {
            let message = format!("there is no {}", output.shown_key(&first));
            return Err(Error::new(Code::PartMissing, message).with_hint("wait for the job's end"));
        }
        Ok(all)
    }

    /// Reads the files of a partition of an output in folders, one behind the other.
    async fn files_of(&self, partition: u32) -> Result<Vec<u8>> {
        let (conductor, output) = (&self.shared.conductor, &self.spec.output);
        let stored = conductor.read_manifest(output).await?.filter(|stored| stored.manifest.job == self.job.as_str());
        let Some(stored) = stored else {
            let message = format!("job {} has no result in {}", self.job, output.shown);
            return Err(Error::new(Code::PartMissing, message).with_hint("wait for the job's end"));
        };
        let mut all = Vec::new();
        let its = stored.manifest.parts.iter().filter(|part| part_partition(&part.name) == Some(Partition(partition)));
        for PartEntry { name, etag, bytes, .. } in its {
            let key = format!("{}{name}", output.prefix);
            let shown = output.shown_key(&key);
            let mut reader = conductor.objects.read(&output.bucket, &key, etag.as_deref(), 0, *bytes, &shown);
            all.extend(reader.all().await?);
        }
        Ok(all)
    }

    /// Returns everything that is known about the job.
    ///
    /// # Errors
    /// `job-missing` when the job was cleaned; [a service error](crate#errors).
    pub async fn status(&self) -> Result<JobStatus> {
        let conductor = &self.shared.conductor;
        let view = conductor.ledger.job(&self.job).await?;
        self.shared.saw(&self.job, view.phase);
        let report = match view.phase {
            Phase::Succeeded => Some(report(conductor, &self.job, &self.spec, &view, &self.before).await?.0),
            _ => None,
        };
        let mut status = JobStatus::submitted(&self.job, &self.spec);
        status.see(&view);
        Ok(JobStatus { progress: self.progress_of(&view).await?, report, ..status })
    }

    /// Returns everything that is known about the job, and each attempt at its tasks. On AWS that costs a read for each 32 tasks of a
    /// job that has succeeded without a further try, and two of any other.
    ///
    /// # Errors
    /// As [`JobHandle::status`].
    pub async fn history(&self) -> Result<History> {
        let conductor = &self.shared.conductor;
        let view = conductor.ledger.job(&self.job).await?;
        let mut status = JobStatus::submitted(&self.job, &self.spec);
        status.see(&view);
        let progress = self.progress_of(&view).await?;
        let (report, attempts) = match view.phase {
            Phase::Succeeded => {
                let (report, attempts) = report(conductor, &self.job, &self.spec, &view, &self.before).await?;
                (Some(report), attempts)
            }
            _ => (None, attempts(conductor, &self.job, &view).await?),
        };
        Ok(History { status: JobStatus { progress, report, ..status }, attempts })
    }

    /// Returns how far the job has come.
    ///
    /// # Errors
    /// `job-missing` when the job was cleaned; [a service error](crate#errors).
    pub async fn progress(&self) -> Result<Progress> {
        let view = self.shared.conductor.ledger.job(&self.job).await?;
        self.shared.saw(&self.job, view.phase);
        self.progress_of(&view).await
    }

    /// Returns the progress of a job with this item, with the tasks of its stage counted.
    pub(crate) async fn progress_of(&self, view: &JobView) -> Result<Progress> {
        Counting::default().progress(&self.shared.conductor.ledger, &self.job, view).await
    }

    /// Waits for the job's end. While it waits, the driver also looks after the job now and then; without a driver the job
    /// only takes longer.
    ///
    /// On AWS a poll is one read of one item, and polls are two seconds apart in the end: waiting for an hour costs $0.0003.
    ///
    /// # Errors
    /// Why the job failed (`map-failed`, `out-of-memory`, `job-too-long`, `ceiling-passed`, `output-exists`, …) or was cancelled (`cancelled`,
    /// `interrupted`); its output then holds what it held before. [A service error](crate#errors), when no read of the job
    /// has succeeded for 5 minutes, on the embedded runtime for 10 s: on AWS the job goes on, and [`crate::Driver::attach`]
    /// finds it again.
    pub async fn wait(&self) -> Result<Report> {
        self.wait_until_end(None).await
    }

    /// Waits for the job's end and calls `tell` with its progress: at each new phase, and in between a few times a second on
    /// the embedded runtime. On AWS it is every few seconds, as counting committed tasks costs a read for every 32 of them.
    ///
    /// # Errors
    /// As [`JobHandle::wait`].
    pub async fn wait_with(&self, tell: &mut (dyn FnMut(Progress) + Send)) -> Result<Report> {
        self.wait_until_end(Some(tell)).await
    }

    fn wait_until_end<'a>(
        &'a self,
        tell: Option<&'a mut (dyn FnMut(Progress) + Send)>,
    ) -> BoxFuture<'a, Result<Report>> {
        Box::pin(self.watch(tell))
    }

    async fn watch(&self, tell: Option<&mut (dyn FnMut(Progress) + Send)>) -> Result<Report> {
        let Place::Neighbour(neighbour) = &self.shared.place else { return on_heap(|| self.follow(tell)).await };
        tokio::select! {
            biased;
            done = on_heap(|| self.follow(tell)) => match done {
                // The servers were gone before they had answered.
                Err(_) if !neighbour.is_running() => neighbour.outcome(&self.job),
                done => done,
            },
            // The job's program has seen the end and taken its servers with it: its record is all there is.
            () = neighbour.gone() => neighbour.outcome(&self.job),
        }
    }

    async fn follow(&self, mut tell: Option<&mut (dyn FnMut(Progress) + Send)>) -> Result<Report> {
        let pace = if matches!(self.shared.place, Place::Aws(_) | Place::Simulated { .. }) { &AWS } else { &LOCAL };
        let (mut seen, mut told, mut conducted) = ((Phase::Splitting, Instant::now()), Instant::now(), Instant::now());
        let conductor = &self.shared.conductor;
        let mut failing: Option<Instant> = None;
        let (mut renewed, mut next) = (Instant::now(), pace.conduct);
        let (mut counting, mut counted_in) = (Counting::default(), Duration::ZERO);
        loop {
            let view = match conductor.ledger.job(&self.job).await {
                Ok(view) => view,
                Err(error) => {
                    // The job goes on: a failed read says nothing about it.
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
                } else if told.elapsed() > pace.progress.max(COUNTING_SHARE * counted_in) {
                    let began = Instant::now();
                    match counting.progress(&conductor.ledger, &self.job, &view).await {
                        Ok(progress) => tell(progress),
                        Err(error) => tracing::warn!(job = %self.job, %error, "counting what is done"),
                    }
                    told = Instant::now();
                    counted_in = began.elapsed();
                }
            }
            match view.phase {
                Phase::Succeeded => {
                    let (report, attempts) = report(conductor, &self.job, &self.spec, &view, &self.before).await?;
                    self.record_end(&view, Some(&report), &attempts);
                    return Ok(report);
                }
                Phase::Failed | Phase::Cancelled => {
                    if self.shared.place.keeper().is_some() {
                        // What is not known of a failed job must not hide how it failed.
                        let attempts = attempts(conductor, &self.job, &view).await.unwrap_or_default();
                        self.record_end(&view, None, &attempts);
                    }
                    let error = view.error.unwrap_or_else(|| Error::new(Code::Failed, "the job failed without a word"));
                    // On this machine it is the file system that refuses, not a role.
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
                // Another process may have it in hand: the job's own item says how the job goes on.
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

    /// Records how the job ended, if this program runs it.
    fn record_end(&self, view: &JobView, report: Option<&Report>, attempts: &[Attempt]) {
        let Some(keeper) = self.shared.place.keeper() else { return };
        let mut status = JobStatus::submitted(&self.job, &self.spec);
        status.see(view);
        keeper.end(JobStatus { report: report.cloned(), ..status }, attempts);
    }

    /// Cancels the job: its workers are told within seconds, and nothing of it is published. A job that is already
    /// publishing goes on to succeed.
    ///
    /// # Errors
    /// `job-missing` when the job was cleaned; [a service error](crate#errors), after which it may be called again.
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

/// Returns whether an error of reading a job may pass by itself.
pub(crate) fn passes(error: &Error) -> bool {
    error.is_retryable() || error.known_code().is_some_and(Code::is_of_credentials)
}
