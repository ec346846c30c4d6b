//! What can be known about a job: plain structs, which `--json` prints as they are.

use crate::{Code, Error, Phase, Report, Result};
use kinglet_core::ids::{JobId, Stage, Timestamp};
use kinglet_core::ledger::{JobView, PhaseTimes};
use kinglet_core::wire::spec::JobSpec;
use serde::{Deserialize, Serialize};

/// A job as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobSummary {
    /// Its id.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: Phase,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
}

/// Everything that is known about a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobStatus {
    /// Its id.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: Phase,
    /// Its inputs, as they were named.
    pub inputs: Vec<String>,
    /// Its output, as it was named.
    pub output: String,
    /// When it reached each step.
    #[serde(rename = "phase_at")]
    pub times: JobTimes,
    /// How far it has come.
    pub progress: Progress,
    /// Why it failed or was cancelled.
    pub error: Option<Error>,
    /// What it did, once it has succeeded.
    pub report: Option<Report>,
}

/// When a job reached each step; `None` for a step that it has not reached. In JSON, a list of the five.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[Option<Timestamp>; 5]", into = "[Option<Timestamp>; 5]")]
#[non_exhaustive]
pub struct JobTimes {
    /// When it was submitted.
    pub submitted_at: Option<Timestamp>,
    /// When its plan was made, from which time on it maps.
    pub planned_at: Option<Timestamp>,
    /// When its last map task was committed, from which time on it merges runs, or reduces.
    pub mapped_at: Option<Timestamp>,
    /// When its last merge task was committed, if it has any, from which time on it reduces.
    pub merged_at: Option<Timestamp>,
    /// When it ended, in whichever way.
    pub ended_at: Option<Timestamp>,
}

impl From<[Option<Timestamp>; 5]> for JobTimes {
    fn from([submitted_at, planned_at, mapped_at, merged_at, ended_at]: [Option<Timestamp>; 5]) -> Self {
        JobTimes { submitted_at, planned_at, mapped_at, merged_at, ended_at }
    }
}

impl JobTimes {
    fn of(at: PhaseTimes) -> Self {
        let mapped_at = at.merging.or(at.reducing);
        let merged_at = at.merging.and(at.reducing);
        JobTimes { submitted_at: at.splitting, planned_at: at.mapping, mapped_at, merged_at, ended_at: at.ended }
    }
}

impl From<JobTimes> for [Option<Timestamp>; 5] {
    fn from(times: JobTimes) -> Self {
        [times.submitted_at, times.planned_at, times.mapped_at, times.merged_at, times.ended_at]
    }
}

impl JobStatus {
    /// Makes the status of a job that was submitted just now.
    pub(crate) fn submitted(job: &JobId, spec: &JobSpec) -> Self {
        JobStatus {
            job: job.clone(),
            name: spec.job.clone(),
            phase: Phase::Splitting,
            inputs: spec.inputs.iter().map(|input| input.shown.clone()).collect(),
            output: spec.output.shown.clone(),
            times: JobTimes { submitted_at: Some(spec.submitted_at), ..JobTimes::default() },
            progress: Progress::of_none(Phase::Splitting),
            error: None,
            report: None,
        }
    }

    /// Updates the status from the job's own item in the ledger.
    pub(crate) fn see(&mut self, view: &JobView) {
        self.phase = view.phase;
        self.times = JobTimes::of(view.phase_at);
        self.progress = Progress::of(view);
        self.error.clone_from(&view.error);
    }

    /// Records an end that the ledger does not know.
    pub(crate) fn end_without_success(&mut self, phase: Phase, error: Error) {
        self.phase = phase;
        self.progress.phase = phase;
        self.error = Some(error);
        self.times.ended_at = self.times.ended_at.or_else(|| Some(Timestamp::now()));
    }
}

/// What jobs have left behind, which cleaning would remove or has removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Leftovers {
    /// The jobs.
    pub jobs: Vec<JobId>,
    /// How many objects, unfinished uploads or files the jobs left.
    pub objects: u64,
    /// Their bytes, without those of unfinished uploads.
    pub bytes: u64,
    /// How many items the jobs left in the ledger; 0 when nothing was removed.
    pub items: u64,
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// Its phase.
    pub phase: Phase,
    /// Map tasks: those that are committed, and all.
    pub maps: Tally,
    /// Merge tasks: those that are committed, and all; none where runs are not merged before they are reduced.
    #[serde(default)]
    pub merges: Tally,
    /// Reduce tasks: those that are committed, and all.
    pub reduces: Tally,
    /// Bytes of input: those that committed map tasks have read, and all.
    pub bytes: Tally,
}

/// How much of something is done. In JSON, a list of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct Tally {
    /// What is done.
    pub done: u64,
    /// All there is; 0 while that is unknown.
    pub all: u64,
}

impl Tally {
    /// Returns all of it as done, or none.
    fn of(all: impl Into<u64>, is_done: bool) -> Self {
        let all = all.into();
        Tally { done: if is_done { all } else { 0 }, all }
    }
}

impl From<(u64, u64)> for Tally {
    fn from((done, all): (u64, u64)) -> Self {
        Tally { done, all }
    }
}

impl From<Tally> for (u64, u64) {
    fn from(Tally { done, all }: Tally) -> Self {
        (done, all)
    }
}

impl Progress {
    /// Returns the progress of a job that has no plan yet.
    pub(crate) fn of_none(phase: Phase) -> Self {
        let none = Tally::default();
        Progress { phase, maps: none, merges: none, reduces: none, bytes: none }
    }

    /// Returns as much as the job's own item says: the tasks of its present stage are not counted.
    pub(crate) fn of(view: &JobView) -> Self {
        let mapped = matches!(view.phase, Phase::Merging | Phase::Reducing | Phase::Publishing | Phase::Succeeded);
        let merged = mapped && view.phase != Phase::Merging;
        let reduced = matches!(view.phase, Phase::Publishing | Phase::Succeeded);
        Progress {
            phase: view.phase,
            maps: Tally::of(view.map_tasks, mapped),
            merges: Tally::of(view.tasks_of(Stage::Merge), merged),
            reduces: Tally::of(view.partitions, reduced),
            bytes: Tally::of(view.input.bytes, mapped),
        }
    }
}

/// The number of characters of a job's id.
pub(crate) const ID_CHARS: usize = 24;

/// Finds the job that `wanted` means: a whole id, the start of an id or of its random half, or `last` for the one submitted
/// last. `jobs` are sorted, oldest first.
pub(crate) fn pick(jobs: &[JobSummary], wanted: &str, place: &str) -> Result<JobId> {
    let list = "`kinglet jobs` lists them; they are kept for 7 days";
    if wanted == "last" {
        let last = jobs.last().map(|last| last.job.clone());
        return last.ok_or_else(|| Error::new(Code::JobMissing, format!("there are no jobs {place}")).with_hint(list));
    }
    let means = |job: &&JobSummary| {
        let id = job.job.as_str();
        id.starts_with(wanted) || id.split_once('-').is_some_and(|(_, random)| random.starts_with(wanted))
    };
    let found: Vec<_> = jobs.iter().filter(|_| !wanted.is_empty()).filter(means).map(|found| &found.job).collect();
    match found[..] {
        [only] => Ok(only.clone()),
        [] => Err(Error::new(Code::JobMissing, format!("there is no job {wanted:?} {place}")).with_hint(list)),
        [first, .., last] => {
            let message = format!("{} jobs {place} start with {wanted:?}, from {first} to {last}", found.len());
            Err(Error::new(Code::JobAmbiguous, message).with_hint("give more of the id; its second half will do, too"))
        }
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
