//! Looking after jobs that were submitted before, by this program or by another: lists, status, attaching again.

use crate::Result;
use crate::driver::Driver;
use crate::handle::JobHandle;
use crate::history::History;
use crate::logs::{LOG_LINES_MAX, LogFilter, LogLine, in_order};
use crate::place::Place;
use crate::records::files;
use crate::status::{ID_CHARS, JobStatus, JobSummary, Leftovers, pick};
use kinglet_aws::clean::Leftover;
use kinglet_core::ids::{JobId, Timestamp};
use std::collections::BTreeMap;

impl Driver {
    /// Lists the jobs that the ledger keeps, oldest first.
    ///
    /// # Errors
    /// [A service error](crate#errors).
    pub async fn jobs(&self) -> Result<Vec<JobSummary>> {
        let summary = |entry: kinglet_aws::ledger::JobEntry| JobSummary {
            job: entry.job,
            name: entry.name,
            phase: entry.phase,
            submitted_at: entry.submitted_at,
            ended_at: entry.ended_at,
        };
        let mut jobs: Vec<_> = self.shared.conductor.ledger.jobs().await?.into_iter().map(summary).collect();
        jobs.sort_by_key(|job| job.submitted_at);
        Ok(jobs)
    }

    /// Finds a job by its id, by the start of one of the id's halves, or by the word `last`.
    ///
    /// # Errors
    /// `job-missing` when no job is meant, `job-ambiguous` when several are; [a service error](crate#errors).
    pub async fn find_job(&self, wanted: &str) -> Result<JobId> {
        if wanted.len() == ID_CHARS {
            return wanted.parse();
        }
        pick(&self.jobs().await?, wanted, &format!("in table {}", self.shared.conductor.stack.table))
    }

    /// Attaches to a job that any program submitted before: to wait for it or to cancel it.
    ///
    /// # Errors
    /// `job-missing`; `frame-version` when another version of Kinglet submitted it; [a service error](crate#errors).
    pub async fn attach(&self, job: &JobId) -> Result<JobHandle> {
        // For a missing job, the error of the ledger is better than that of the missing spec.
        self.shared.conductor.ledger.job(job).await?;
        let spec = self.shared.conductor.spec(job).await?;
        let before = self.shared.conductor.clients.meter.totals();
        Ok(JobHandle::new(self.shared.clone(), job.clone(), spec, before))
    }

    /// Returns what [`Driver::clean`] would remove. Nothing is removed.
    ///
    /// # Errors
    /// [A service error](crate#errors).
    pub async fn leftovers(&self, before: Timestamp) -> Result<Leftovers> {
        let mut found = Leftovers::default();
        self.over_before(before).await?.into_iter().for_each(|(job, left)| found.add(job, &left));
        Ok(found)
    }

    /// Removes what jobs that were over before a time have left: in the work bucket, in the ledger, and uploads in their
    /// outputs that came too late. Results stay. A job that runs is left alone, whatever the time, and so is one that is
    /// just being submitted. What [`Driver::share`] has written stays for as long as the stack keeps it.
    ///
    /// # Errors
    /// As [`Driver::leftovers`]. What was removed before the error stays removed.
    pub async fn clean(&self, before: Timestamp) -> Result<Leftovers> {
        let mut cleaned = Leftovers::default();
        for (job, left) in self.over_before(before).await? {
            cleaned.items += self.shared.conductor.forget(&job, &left).await?;
            cleaned.add(job, &left);
        }
        Ok(cleaned)
    }

    /// Finds what is left of jobs that were over before a time.
    async fn over_before(&self, before: Timestamp) -> Result<BTreeMap<JobId, Leftover>> {
        let conductor = &self.shared.conductor;
        let mut found = conductor.leftovers().await?;
        found.retain(|_, left| left.is_over(conductor.now()) && left.last_at() < before);
        Ok(found)
    }

    /// Returns everything that is known about a job.
    ///
    /// # Errors
    /// As [`Driver::attach`].
    pub async fn status(&self, job: &JobId) -> Result<JobStatus> {
        self.attach(job).await?.status().await
    }

    /// Returns everything that is known about a job, and each attempt at its tasks.
    ///
    /// # Errors
    /// As [`Driver::attach`].
    pub async fn history(&self, job: &JobId) -> Result<History> {
        self.attach(job).await?.history().await
    }

    /// Returns the lines that the functions logged about a job, in order: at most [`LOG_LINES_MAX`]. CloudWatch has a line
    /// some seconds after it was written.
    ///
    /// # Errors
    /// `job-missing`; [a service error](crate#errors), also from CloudWatch Logs.
    pub async fn logs(&self, job: &JobId, filter: &LogFilter) -> Result<Vec<LogLine>> {
        let functions = &self.shared.conductor.stack.functions;
        let large = functions.mapper_large.iter();
        let names = [&functions.splitter, &functions.mapper, &functions.reducer].into_iter().chain(large);
        let Place::Aws(cloud) = &self.shared.place else {
            let dirs = self.runtime().map(|runtime| runtime.dir().join("lambda").join("logs"));
            return Ok(dirs.map_or(vec![], |dir| files::lines(&dir, job, filter)));
        };
        let since = match filter.since {
            Some(since) => since,
            None => self.shared.conductor.ledger.job(job).await?.phase_at.splitting.unwrap_or_default(),
        };
        let mut lines = Vec::new();
        for function in names {
            let mut page = None;
            loop {
                let (events, more) = cloud.session.log_page(function, job.as_str(), since, page).await?;
                let read = events.iter().map(|event| LogLine::parse(function, Some(event.at), &event.message));
                lines.extend(read.filter(|line| line.is_of(job) && filter.takes(line)));
                page = more;
                if page.is_none() || lines.len() >= LOG_LINES_MAX {
                    break;
                }
            }
        }
        lines.truncate(LOG_LINES_MAX);
        Ok(in_order(lines))
    }
}

impl Leftovers {
    fn add(&mut self, job: JobId, left: &Leftover) {
        self.objects += (left.keys.len() + left.uploads.len()) as u64;
        self.bytes += left.bytes;
        self.jobs.push(job);
    }
}
