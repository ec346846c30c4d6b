//! What can be known of a job: plain structs, which `--json` prints as they are.

use crate::{Error, Phase, Report, Result};
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

/// What jobs have left behind: what cleaning would remove, or has removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Leftovers {
    /// The jobs.
    pub jobs: Vec<JobId>,
    /// How many objects, unfinished uploads or files they had left.
    pub objects: u64,
    /// The bytes of these; what an unfinished upload holds is not counted.
    pub bytes: u64,
    /// How many items of the ledger they had left; 0 when nothing was removed.
    pub items: u64,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

impl Progress {
    /// As far as the job's own item says: the tasks of the stage it is in are not counted.
    pub(crate) fn of(view: &JobView) -> Self {
        let mapped = matches!(view.phase, Phase::Reducing | Phase::Publishing | Phase::Succeeded);
        let done = |is: bool, all: u32| if is { all } else { 0 };
        Progress {
            phase: view.phase,
            maps: (done(mapped, view.map_tasks), view.map_tasks),
            reduces: (
                done(matches!(view.phase, Phase::Publishing | Phase::Succeeded), view.partitions),
                view.partitions,
            ),
            bytes: (if mapped { view.input.1 } else { 0 }, view.input.1),
        }
    }
}

/// How many characters a job's id has.
pub(crate) const ID_CHARS: usize = 24;

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
