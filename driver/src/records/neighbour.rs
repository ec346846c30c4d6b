//! A job that another program of this machine runs, seen through its record.

use super::record::Record;
use crate::status::JobStatus;
use crate::{Code, Error, Phase, Report, Result};
use kinglet_core::ids::JobId;
use std::path::PathBuf;
use std::time::Duration;

/// A job that another program of this machine runs.
pub(crate) struct Neighbour {
    /// The directory of its record.
    pub(crate) dir: PathBuf,
}

/// How often a job's record is looked at while the job is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Neighbour {
    /// Returns whether the program lives and has not seen the end of the job.
    pub(crate) fn is_running(&self) -> bool {
        Record::is_running(&self.dir)
    }

    /// Waits a little longer than [`Neighbour::ended`]: requests sent to the servers before are answered by then, or never.
    pub(crate) async fn gone(&self) {
        self.ended().await;
        tokio::time::sleep(2 * LOOK_EVERY).await;
    }

    /// Waits until the job has ended or its program is gone.
    pub(crate) async fn ended(&self) {
        while Record::is_running(&self.dir) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Returns the last status of a job that no longer runs.
    pub(crate) fn last_status(&self, job: &JobId) -> Result<JobStatus> {
        let record = Record::read(&self.dir)?
            .ok_or_else(|| Error::new(Code::JobMissing, format!("there is no job {job} on this machine")))?;
        let mut status = record.status;
        if !status.phase.is_final() {
            let message = format!("job {job}: the program that ran it (process {}) is gone", record.pid);
            status.phase = Phase::Failed;
            status.progress.phase = Phase::Failed;
            status.error = Some(Error::new(Code::DriverLost, message).with_hint("run it again"));
        }
        Ok(status)
    }

    /// Returns the report or the error of a job that no longer runs.
    pub(crate) fn outcome(&self, job: &JobId) -> Result<Report> {
        let status = self.last_status(job)?;
        let error = status.error.unwrap_or_else(|| Error::new(Code::Failed, "the job failed without a word"));
        status.report.ok_or(error)
    }
}
