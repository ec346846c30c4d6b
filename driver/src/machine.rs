//! The jobs of this machine: those that programs run, or have run, on their embedded runtimes.
//!
//! While such a program runs, its S3, its DynamoDB and its Lambda host listen on loopback, and its record holds their
//! addresses and keys. So other programs of the same user can look after its jobs as they look after jobs on AWS.

use crate::driver::Driver;
use crate::handle::JobHandle;
use crate::history::History;
use crate::logs::{LogFilter, LogLine};
use crate::place::Place;
use crate::program::{Architecture, Program, Shipping};
use crate::records::{Neighbour, Record, RuntimeAddress, files, state_dir};
use crate::status::{JobStatus, JobSummary, Leftovers, pick};
use crate::{Code, Error, Phase, Result};
use kinglet_aws::Stack;
use kinglet_aws::{Clients, Conductor, Endpoints, FunctionNames};
use kinglet_core::env;
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_local::REGION;
use std::path::{Path, PathBuf};

/// This user's jobs on embedded runtimes of this machine.
///
/// ```no_run
/// # async fn list() -> kinglet::Result<()> {
/// for job in kinglet::Machine::open()?.jobs().await? {
///     println!("{} {}", job.job, job.phase.as_str());
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Machine {
    dir: PathBuf,
}

/// The start of the names of embedded runtimes' directories.
const RUNTIME: &str = "kinglet-";

impl Machine {
    /// Opens this user's records, in `$KINGLET_STATE_DIR`, else `$XDG_STATE_HOME/kinglet`, else `~/.local/state/kinglet`.
    ///
    /// # Errors
    /// `state-dir` when there is no such directory to use: `KINGLET_STATE_DIR` is empty, or the user has no home.
    pub fn open() -> Result<Self> {
        let dir = state_dir().ok_or_else(|| {
            Error::new(Code::StateDir, "there is no directory for the records of this machine's jobs")
                .with_hint(format!("set HOME, or {} to a directory", env::STATE_DIR))
        })?;
        Ok(Machine::at(dir))
    }

    /// Opens the records in this state directory.
    pub fn at(state_dir: impl Into<PathBuf>) -> Self {
        Machine { dir: state_dir.into() }
    }

    /// Returns the state directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn job_dir(&self, job: &JobId) -> PathBuf {
        self.dir.join("jobs").join(job.as_str())
    }

    pub(crate) fn recorded(&self) -> Result<Vec<JobId>> {
        let dir = self.dir.join("jobs");
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
            Err(e) => {
                return Err(Error::new(Code::StateDir, format!("reading {}: {e}", dir.display()))
                    .with_hint("check its permissions"));
            }
        };
        let mut jobs: Vec<JobId> =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        jobs.sort_unstable();
        Ok(jobs)
    }

    /// Lists the recorded jobs, oldest first. A record that cannot be read is left out, and logged.
    ///
    /// # Errors
    /// `state-dir` when the state directory cannot be read.
    pub async fn jobs(&self) -> Result<Vec<JobSummary>> {
        let mut jobs = Vec::new();
        for job in self.recorded()? {
            match self.status(&job).await {
                Ok(status) => jobs.push(JobSummary {
                    job,
                    name: status.name,
                    phase: status.phase,
                    submitted_at: status.times.submitted_at.unwrap_or_default(),
                    ended_at: status.times.ended_at,
                }),
                Err(error) => tracing::warn!(%job, %error, "a record that cannot be read"),
            }
        }
        Ok(jobs)
    }

    /// Finds a job by its id, by the start of one of the id's halves, or by the word `last`.
    ///
    /// # Errors
    /// `job-missing` when no job is meant, `job-ambiguous` when several are; `state-dir` when the state directory cannot be
    /// read.
    pub async fn find_job(&self, wanted: &str) -> Result<JobId> {
        let summary = |job: JobId| JobSummary {
            job,
            name: String::new(),
            phase: Phase::Splitting,
            submitted_at: Timestamp(0),
            ended_at: None,
        };
        let jobs: Vec<_> = self.recorded()?.into_iter().map(summary).collect();
        pick(&jobs, wanted, "on this machine").map_err(|e| match e.is(Code::JobMissing) {
            true => e.with_hint("`kinglet jobs` lists them; for those on AWS, add --stack NAME"),
            false => e,
        })
    }

    fn record(&self, job: &JobId) -> Result<Record> {
        Record::read(&self.job_dir(job))?.ok_or_else(|| {
            Error::new(Code::JobMissing, format!("there is no job {job} on this machine"))
                .with_hint("`kinglet jobs` lists them; for those on AWS, add --stack NAME")
        })
    }

    /// Returns everything that is known about a job. A job whose program is gone without recording its end has failed with
    /// `driver-lost`.
    ///
    /// # Errors
    /// `job-missing`; `record-unreadable` when the job's record cannot be read, for example one of another version.
    pub async fn status(&self, job: &JobId) -> Result<JobStatus> {
        if let Some(handle) = self.reach(job).await? {
            let neighbour = Neighbour { dir: self.job_dir(job) };
            tokio::select! {
                status = handle.status() => return status,
                // The job has ended meanwhile, and its servers with it.
                () = neighbour.ended() => {}
            }
        }
        Neighbour { dir: self.job_dir(job) }.last_status(job)
    }

    /// Returns everything that is known about a job, and each attempt at its tasks. Where the job's program was killed, no attempts are
    /// known.
    ///
    /// # Errors
    /// As [`Machine::status`].
    pub async fn history(&self, job: &JobId) -> Result<History> {
        let neighbour = Neighbour { dir: self.job_dir(job) };
        if let Some(handle) = self.reach(job).await? {
            tokio::select! {
                history = handle.history() => return history,
                // The job has ended meanwhile, and its servers with it.
                () = neighbour.ended() => {}
            }
        }
        Ok(History { status: neighbour.last_status(job)?, attempts: Record::read_attempts(&neighbour.dir) })
    }

    /// Connects to the program that runs a job; `None` where the job has ended.
    async fn reach(&self, job: &JobId) -> Result<Option<JobHandle>> {
        let dir = self.job_dir(job);
        let Record { servers: Some(servers), .. } = self.record(job)? else { return Ok(None) };
        if !Record::is_running(&dir) {
            return Ok(None);
        }
        let driver = connect(servers, Neighbour { dir: dir.clone() })?;
        let neighbour = Neighbour { dir };
        tokio::select! {
            attached = driver.attach(job) => attached.map(Some),
            () = neighbour.ended() => Ok(None),
        }
    }

    /// Attaches to a job that another program of this machine runs: to wait for it or to cancel it.
    ///
    /// # Errors
    /// `job-missing`; `job-ended` when it no longer runs: [`Machine::status`] says how it ended.
    pub async fn attach(&self, job: &JobId) -> Result<JobHandle> {
        self.reach(job).await?.ok_or_else(|| {
            Error::new(Code::JobEnded, format!("job {job} does not run any more"))
                .with_hint(format!("`kinglet status {job}` says how it ended"))
        })
    }

    /// Returns the lines that the functions logged about a job, in order.
    ///
    /// # Errors
    /// `job-missing`; `record-unreadable` when the job's record cannot be read, for example one of another version.
    pub fn logs(&self, job: &JobId, filter: &LogFilter) -> Result<Vec<LogLine>> {
        let (dir, record) = (self.job_dir(job), self.record(job)?);
        if let Some(servers) = record.servers {
            let lines = files::lines(&servers.logs, job, filter);
            if Record::is_running(&dir) || !lines.is_empty() {
                return Ok(lines);
            }
        }
        Ok(Record::read_log(&dir).into_iter().filter(|line| filter.takes(line)).collect())
    }

    /// Removes the data of the embedded runtime that ran a job, if its program was killed before it could. Data that another
    /// running job uses stays.
    fn remove_data(&self, dir: &Path) {
        let Ok(Some(Record { servers: Some(servers), .. })) = Record::read(dir) else { return };
        let in_use = self.recorded().unwrap_or_default().iter().map(|job| self.job_dir(job)).any(|other| {
            let logs =
                Record::read(&other).ok().flatten().and_then(|record| record.servers).map(|servers| servers.logs);
            logs.as_ref() == Some(&servers.logs) && Record::is_running(&other)
        });
        let runtime = servers.logs.ancestors().nth(2).filter(|_| !in_use);
        let is_one = |path: &&Path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(RUNTIME)) && servers.logs.ends_with("lambda/logs")
        };
        if let Some(path) = runtime.filter(is_one)
            && let Err(error) = std::fs::remove_dir_all(path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "removing what a killed program left");
        }
    }

    /// Returns what [`Machine::clean`] would remove. Nothing is removed.
    ///
    /// # Errors
    /// `state-dir` when the state directory cannot be read.
    pub fn leftovers(&self, before: Timestamp) -> Result<Leftovers> {
        let mut found = Leftovers::default();
        self.ended_before(before)?.into_iter().for_each(|job| self.add(&mut found, job));
        Ok(found)
    }

    /// Forgets the jobs that ended before a time, and removes what is left of them. Jobs that run are left alone.
    ///
    /// # Errors
    /// `state-dir` when the state directory cannot be read, or a record in it cannot be removed.
    pub fn clean(&self, before: Timestamp) -> Result<Leftovers> {
        let mut cleaned = Leftovers::default();
        for job in self.ended_before(before)? {
            let dir = self.job_dir(&job);
            // If the program was killed, the record still says where its servers and its output were.
            let output = Record::read(&dir).ok().flatten().and_then(|record| record.servers?.output);
            if let Some(output) = output {
                crate::hold::clear_after(&output, &job);
            }
            self.add(&mut cleaned, job);
            self.remove_data(&dir);
            std::fs::remove_dir_all(&dir).map_err(|e| {
                Error::new(Code::StateDir, format!("removing {}: {e}", dir.display()))
                    .with_hint("check its permissions")
            })?;
        }
        Ok(cleaned)
    }

    /// Returns the jobs that do not run and ended before a time. A record that cannot be read is of no use, and counts as an
    /// old one.
    fn ended_before(&self, before: Timestamp) -> Result<Vec<JobId>> {
        let mut jobs = self.recorded()?;
        jobs.retain(|job| {
            let dir = self.job_dir(job);
            let ended = match Record::read(&dir) {
                Ok(Some(record)) => <[_; 5]>::from(record.status.times).into_iter().flatten().max(),
                _ => None,
            };
            !Record::is_running(&dir) && ended.is_none_or(|ended| ended < before)
        });
        Ok(jobs)
    }

    fn add(&self, found: &mut Leftovers, job: JobId) {
        for entry in std::fs::read_dir(self.job_dir(&job)).into_iter().flatten().flatten() {
            found.objects += 1;
            found.bytes += entry.metadata().map_or(0, |data| data.len());
        }
        found.jobs.push(job);
    }
}

/// Makes a driver that uses the servers of another program.
fn connect(at: RuntimeAddress, neighbour: Neighbour) -> Result<Driver> {
    let [s3, dynamodb, lambda] = at.urls;
    let endpoints = Endpoints { s3, dynamodb, lambda, region: REGION.to_owned(), keys: at.keys };
    let [splitter, mapper, mapper_large, reducer] = at.functions;
    let functions = FunctionNames { splitter, mapper, mapper_large: Some(mapper_large), reducer };
    let stack = Stack { table: at.table, work_bucket: at.work_bucket, functions, timeout_ms: at.timeout_ms };
    let jobs = crate::entry::registry()?;
    let conductor = Conductor::new(Clients::at(&endpoints), stack);
    // This driver starts no jobs.
    let shipping = Shipping::new(Program::Linked, Architecture::here(), false);
    Ok(Driver::new(conductor, jobs, Place::Neighbour(neighbour), shipping))
}
