//! Looking after jobs that were submitted before, by this program or by another: lists, status, attaching again.

use crate::handle::JobHandle;
use crate::report::report;
use crate::{Driver, Error, Phase, Progress, Report, Result};
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_core::ledger::JobView;
use kinglet_core::wire::spec::JobSpec;
use serde::{Deserialize, Serialize};

/// A job as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobSummary {
    /// Its id.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub phase: Phase,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
}

/// Everything that is known of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Its id.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub phase: Phase,
    /// What it reads, as it was named.
    pub inputs: Vec<String>,
    /// Where it writes, as it was named.
    pub output: String,
    /// Since when it split, mapped and reduced, and when it ended, as far as it came.
    pub phase_at: [Option<Timestamp>; 4],
    /// How far it is.
    pub progress: Progress,
    /// Why it failed or was cancelled.
    pub error: Option<Error>,
    /// What it did, once it has succeeded.
    pub report: Option<Report>,
}

impl JobStatus {
    /// A job that was submitted just now.
    pub(crate) fn submitted(job: &JobId, spec: &JobSpec) -> Self {
        JobStatus {
            job: job.clone(),
            name: spec.job.clone(),
            phase: Phase::Splitting,
            inputs: spec.inputs.iter().map(|input| input.shown.clone()).collect(),
            output: spec.output.shown.clone(),
            phase_at: [Some(spec.submitted_at), None, None, None],
            progress: Progress { phase: Phase::Splitting, maps: (0, 0), reduces: (0, 0), bytes: (0, 0) },
            error: None,
            report: None,
        }
    }

    /// Takes in what the job's own item says.
    pub(crate) fn see(&mut self, view: &JobView) {
        self.phase = view.phase;
        self.phase_at = view.phase_at;
        self.progress = Progress::of(view);
        self.error.clone_from(&view.error);
    }

    /// Notes an end that the ledger does not know of.
    pub(crate) fn end_without_success(&mut self, phase: Phase, error: Error) {
        self.phase = phase;
        self.progress.phase = phase;
        self.error = Some(error);
        self.phase_at[3] = self.phase_at[3].or_else(|| Some(Timestamp::now()));
    }
}

/// What was cleaned, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleaned {
    /// The jobs.
    pub jobs: Vec<JobId>,
    /// How many objects, unfinished uploads or files they had left.
    pub objects: u64,
    /// The bytes of these; what an unfinished upload holds is not counted.
    pub bytes: u64,
    /// How many items of the ledger they had left; 0 when nothing was removed.
    pub items: u64,
}

/// Whether to remove something, or only to say what would be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Really {
    /// Remove it.
    Remove,
    /// Only look.
    Look,
}

/// How many characters a job's id has.
const ID_CHARS: usize = 24;

/// The job that somebody means: by its whole id, by the start of the id or of its random half, or as the `last` submitted.
/// `jobs` are those there are, oldest first.
pub(crate) fn pick(jobs: &[JobSummary], wanted: &str, place: &str) -> Result<JobId> {
    let list = "`kinglet jobs` lists them; they are kept for 7 days";
    if wanted == "last" {
        let last = jobs.last().map(|last| last.job.clone());
        return last.ok_or_else(|| Error::input("job-missing", format!("there are no jobs {place}")).with_hint(list));
    }
    let means = |job: &&JobSummary| {
        let id = job.job.as_str();
        id.starts_with(wanted) || id.split_once('-').is_some_and(|(_, random)| random.starts_with(wanted))
    };
    let found: Vec<_> = jobs.iter().filter(|_| !wanted.is_empty()).filter(means).map(|found| &found.job).collect();
    match found[..] {
        [only] => Ok(only.clone()),
        [] => Err(Error::input("job-missing", format!("there is no job {wanted:?} {place}")).with_hint(list)),
        [first, .., last] => {
            let message = format!("{} jobs {place} start with {wanted:?}, from {first} to {last}", found.len());
            Err(Error::input("job-ambiguous", message).with_hint("give more of the id; its second half will do, too"))
        }
    }
}

impl Driver {
    /// The jobs that the ledger keeps, oldest first.
    ///
    /// # Errors
    /// What DynamoDB reports.
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

    /// The job that somebody means by its id, by the start of one of the id's halves, or by the word `last`.
    ///
    /// # Errors
    /// [`Error::Input`] with `job-missing` or `job-ambiguous`.
    pub async fn find_job(&self, wanted: &str) -> Result<JobId> {
        if wanted.len() == ID_CHARS {
            return wanted.parse();
        }
        pick(&self.jobs().await?, wanted, &format!("in table {}", self.shared.conductor.stack.table))
    }

    /// Goes on with a job that was submitted before, by whichever program: to wait for it, to cancel it.
    ///
    /// # Errors
    /// [`Error::Input`] with `job-missing`; a job of another version.
    pub async fn attach(&self, job: &JobId) -> Result<JobHandle> {
        // That of a missing job is the better error than that of its missing spec.
        self.shared.conductor.ledger.job(job).await?;
        let spec = self.shared.conductor.spec(job).await?;
        let before = self.shared.conductor.clients.meter.totals();
        Ok(JobHandle::new(self.shared.clone(), job.clone(), spec, before))
    }

    /// Removes what jobs left in the work bucket, in the ledger and, of uploads that came too late, in their outputs, and that were
    /// over before a time. Results stay. A job that runs is left alone, whatever the time; so is one that a driver submits just
    /// now, and what [`Driver::share`] has written, for as long as the stack keeps it.
    ///
    /// # Errors
    /// What S3 and DynamoDB report.
    pub async fn clean(&self, before: Timestamp, really: Really) -> Result<Cleaned> {
        let conductor = &self.shared.conductor;
        let mut cleaned = Cleaned::default();
        for (job, left) in conductor.leftovers().await? {
            if !left.is_over(conductor.now()) || left.last_at() >= before {
                continue;
            }
            cleaned.objects += (left.keys.len() + left.uploads.len()) as u64;
            cleaned.bytes += left.bytes;
            if really == Really::Remove {
                cleaned.items += conductor.forget(&job, &left).await?;
            }
            cleaned.jobs.push(job);
        }
        Ok(cleaned)
    }

    /// Everything that is known of a job.
    ///
    /// # Errors
    /// As [`Driver::attach`].
    pub async fn status(&self, job: &JobId) -> Result<JobStatus> {
        self.attach(job).await?.status().await
    }
}

impl JobHandle {
    /// Everything that is known of it.
    ///
    /// # Errors
    /// What DynamoDB reports.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_found_by_the_start_of_either_half() {
        let job = |id: &str| JobSummary {
            job: id.parse().unwrap(),
            name: "j".into(),
            phase: Phase::Mapping,
            submitted_at: Timestamp(1),
            ended_at: None,
        };
        let jobs = [job("19aa5440eb0-f0a9c3d5e7ab"), job("19aa5440eb1-0a9c3d5e7abf"), job("19bb5440eb1-77")];
        let found = |wanted| pick(&jobs, wanted, "here").map(|job| job.to_string());
        assert_eq!(found("last").unwrap(), "19bb5440eb1-77");
        assert_eq!(found("19b").unwrap(), "19bb5440eb1-77");
        assert_eq!(found("f0").unwrap(), "19aa5440eb0-f0a9c3d5e7ab");
        assert_eq!(found("19aa5440eb1-0a9c3d5e7abf").unwrap(), "19aa5440eb1-0a9c3d5e7abf");
        assert_eq!(found("19aa").unwrap_err().code(), "job-ambiguous");
        for nothing in ["", "c3", "19aa5440eb0-f0a9c3d5e7abc"] {
            assert_eq!(found(nothing).unwrap_err().code(), "job-missing", "{nothing}");
        }
        assert_eq!(pick(&[], "last", "here").unwrap_err().code(), "job-missing");
    }
}
