//! Writes the records of the jobs that this program runs. If the state directory cannot be written, the record is lost, not
//! the job.

use super::files;
use super::record::{Record, RuntimeAddress};
use crate::logs::LogFilter;
use crate::report::Attempt;
use crate::status::JobStatus;
use kinglet_core::ids::JobId;
use kinglet_core::limits::LOCAL_JOBS_KEPT;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub(crate) struct Keeper {
    /// The directory `jobs/` of the state directory.
    dir: PathBuf,
    running: Mutex<Vec<Running>>,
}

struct Running {
    record: Record,
    /// The job counts as running while this is held.
    lock: File,
}

impl Keeper {
    pub(crate) fn new(state_dir: &Path) -> Self {
        Keeper { dir: state_dir.join("jobs"), running: Mutex::default() }
    }

    /// Makes the record of a job that begins.
    pub(crate) fn begin(&self, status: JobStatus, servers: RuntimeAddress) {
        let dir = self.dir.join(status.job.as_str());
        let record = Record::new(status, servers);
        match record.create(&dir) {
            Ok(lock) => self.running.lock().unwrap_or_else(PoisonError::into_inner).push(Running { record, lock }),
            Err(error) => tracing::debug!(dir = %dir.display(), %error, "recording a job"),
        }
        if let Err(error) = self.forget_oldest() {
            tracing::debug!(dir = %self.dir.display(), %error, "forgetting old jobs");
        }
    }

    /// Records how a job ended, and what is known of its attempts. The first call counts.
    pub(crate) fn end(&self, status: JobStatus, attempts: &[Attempt]) {
        let Some(Running { mut record, lock }) = self.take(&status.job) else { return };
        let dir = self.dir.join(status.job.as_str());
        let logs = record.servers.take().map(|servers| servers.logs);
        let lines = logs.map(|logs| files::lines(&logs, &status.job, &LogFilter::default())).unwrap_or_default();
        record.status = status;
        let written = Record::write_log(&dir, &lines)
            .and_then(|()| Record::write_attempts(&dir, attempts))
            .and_then(|()| record.write(&dir));
        if let Err(error) = written {
            tracing::debug!(dir = %dir.display(), %error, "recording the end of a job");
        }
        drop(lock);
    }

    /// Returns the jobs that have begun and not ended, as they were last seen.
    pub(crate) fn running(&self) -> Vec<JobStatus> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.iter().map(|running| running.record.status.clone()).collect()
    }

    fn take(&self, job: &JobId) -> Option<Running> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let at = running.iter().position(|running| running.record.status.job == *job)?;
        Some(running.swap_remove(at))
    }

    /// Removes the oldest records beyond the number that is kept. Ids sort by time, so the first are the oldest.
    fn forget_oldest(&self) -> io::Result<()> {
        let mut names: Vec<_> = std::fs::read_dir(&self.dir)?.flatten().map(|entry| entry.file_name()).collect();
        if names.len() <= LOCAL_JOBS_KEPT {
            return Ok(());
        }
        names.sort_unstable();
        let beyond = names.len() - LOCAL_JOBS_KEPT;
        let old = names.into_iter().take(beyond).map(|name| self.dir.join(name));
        old.filter(|dir| !Record::is_running(dir)).try_for_each(std::fs::remove_dir_all)
    }
}
