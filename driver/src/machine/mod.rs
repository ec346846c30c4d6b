//! The jobs of this machine: those that programs ran, or run right now, on their embedded runtimes.
//!
//! While such a program runs, its S3, its DynamoDB and its Lambda host listen on loopback, and its record says where and by
//! which keys. So other programs of the same user look after its jobs in the way that they look after jobs on AWS.

pub(crate) mod files;
mod keeper;
mod record;

pub(crate) use keeper::Keeper;
pub(crate) use record::{Record, Servers};

use crate::driver::Place;
use crate::jobs::pick;
use crate::logs::{LogFilter, LogLine};
use crate::program::{Architecture, Shipping};
use crate::{Cleaned, Driver, Error, JobHandle, JobStatus, JobSummary, Phase, Program, Really, Report, Result};
use kinglet_aws::conduct::Stack;
use kinglet_aws::{Clients, Conductor, Endpoints, FunctionNames};
use kinglet_core::env;
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_local::{REGION, Runtime};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The jobs of embedded runtimes on this machine, of this user.
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

/// A job that another program of this machine runs.
pub(crate) struct Neighbour {
    /// Of its record.
    dir: PathBuf,
}

/// What the names of embedded runtimes' directories start with.
const RUNTIME: &str = "kinglet-";

/// How often a neighbour's record is looked at while its job is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where programs keep the records of their jobs: what `KINGLET_STATE_DIR` says, else a directory below the user's. `None`
/// where that is the empty string, or the user has no home.
pub(crate) fn state_dir() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    match named(env::STATE_DIR) {
        Some(dir) => Some(dir),
        // By the XDG Base Directory Specification, a path that is not absolute is ignored.
        None => named("XDG_STATE_HOME")
            .filter(|dir| dir.is_absolute())
            .or_else(|| named("HOME").filter(|home| home.is_absolute()).map(|home| home.join(".local/state")))
            .map(|dir| dir.join("kinglet")),
    }
    .filter(|dir| !dir.as_os_str().is_empty())
}

impl Machine {
    /// The jobs of this user: those recorded in `$KINGLET_STATE_DIR`, else `$XDG_STATE_HOME/kinglet`, else
    /// `~/.local/state/kinglet`.
    ///
    /// # Errors
    /// [`Error::Input`] with `state-dir` when none of these is set.
    pub fn open() -> Result<Self> {
        let dir = state_dir().ok_or_else(|| {
            Error::input("state-dir", "there is no directory for the records of this machine's jobs")
                .with_hint(format!("set HOME, or {} to a directory", env::STATE_DIR))
        })?;
        Ok(Machine::at(dir))
    }

    /// The jobs recorded in this state directory.
    pub fn at(state_dir: impl Into<PathBuf>) -> Self {
        Machine { dir: state_dir.into() }
    }

    /// The state directory.
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
                return Err(Error::input("state-dir", format!("reading {}: {e}", dir.display()))
                    .with_hint("check its permissions"));
            }
        };
        let mut jobs: Vec<JobId> =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        jobs.sort_unstable();
        Ok(jobs)
    }

    /// The recorded jobs, oldest first. A record that cannot be read is left out, and logged.
    ///
    /// # Errors
    /// When the state directory cannot be read.
    pub async fn jobs(&self) -> Result<Vec<JobSummary>> {
        let mut jobs = Vec::new();
        for job in self.recorded()? {
            match self.status(&job).await {
                Ok(status) => jobs.push(JobSummary {
                    job,
                    name: status.name,
                    phase: status.phase,
                    submitted_at: status.phase_at[0].unwrap_or_default(),
                    ended_at: status.phase_at[3],
                }),
                Err(error) => tracing::warn!(%job, %error, "a record that cannot be read"),
            }
        }
        Ok(jobs)
    }

    /// The job that somebody means by its id, by the start of one of the id's halves, or by the word `last`.
    ///
    /// # Errors
    /// [`Error::Input`] with `job-missing` or `job-ambiguous`.
    pub async fn find_job(&self, wanted: &str) -> Result<JobId> {
        let summary = |job: JobId| JobSummary {
            job,
            name: String::new(),
            phase: Phase::Splitting,
            submitted_at: Timestamp(0),
            ended_at: None,
        };
        let jobs: Vec<_> = self.recorded()?.into_iter().map(summary).collect();
        pick(&jobs, wanted, "on this machine").map_err(|e| match e.code() {
            "job-missing" => e.with_hint("`kinglet jobs` lists them; for those on AWS, add --stack NAME"),
            _ => e,
        })
    }

    fn record(&self, job: &JobId) -> Result<Record> {
        Record::read(&self.job_dir(job))?.ok_or_else(|| {
            Error::input("job-missing", format!("there is no job {job} on this machine"))
                .with_hint("`kinglet jobs` lists them; for those on AWS, add --stack NAME")
        })
    }

    /// Everything that is known of a job. One whose program is gone without a word has failed with `driver-lost`.
    ///
    /// # Errors
    /// [`Error::Input`] with `job-missing`; a record that cannot be read.
    pub async fn status(&self, job: &JobId) -> Result<JobStatus> {
        if let Some(handle) = self.reach(job).await? {
            let neighbour = Neighbour { dir: self.job_dir(job) };
            tokio::select! {
                status = handle.status() => return status,
                // It has ended meanwhile, and its servers with it.
                () = neighbour.ended() => {}
            }
        }
        Neighbour { dir: self.job_dir(job) }.last_status(job)
    }

    /// Connects to the program that runs a job; `None` where the job has ended.
    async fn reach(&self, job: &JobId) -> Result<Option<JobHandle>> {
        let dir = self.job_dir(job);
        let Record { servers: Some(servers), .. } = self.record(job)? else { return Ok(None) };
        if !Record::is_running(&dir) {
            return Ok(None);
        }
        let driver = servers.driver(Neighbour { dir: dir.clone() })?;
        let neighbour = Neighbour { dir };
        tokio::select! {
            attached = driver.attach(job) => attached.map(Some),
            () = neighbour.ended() => Ok(None),
        }
    }

    /// Goes on with a job that another program of this machine runs: to wait for it, to cancel it.
    ///
    /// # Errors
    /// [`Error::Input`] with `job-missing`, and with `job-ended` when it no longer runs: [`Machine::status`] says how it ended.
    pub async fn attach(&self, job: &JobId) -> Result<JobHandle> {
        self.reach(job).await?.ok_or_else(|| {
            Error::input("job-ended", format!("job {job} does not run any more"))
                .with_hint(format!("`kinglet status {job}` says how it ended"))
        })
    }

    /// What the functions wrote of a job, in order.
    ///
    /// # Errors
    /// [`Error::Input`] with `job-missing`; a record that cannot be read.
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

    /// Removes the data of the embedded runtime that ran a job, where its program was killed before it could; not while another
    /// of its jobs runs.
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

    /// Forgets jobs that ended before a time. Jobs that run are left alone.
    ///
    /// # Errors
    /// A record that cannot be removed.
    pub fn clean(&self, before: Timestamp, really: Really) -> Result<Cleaned> {
        let mut cleaned = Cleaned::default();
        for job in self.recorded()? {
            let dir = self.job_dir(&job);
            let ended = match Record::read(&dir) {
                Ok(Some(record)) => record.status.phase_at.iter().flatten().max().copied(),
                // What cannot be read is of no use.
                _ => None,
            };
            if Record::is_running(&dir) || ended.is_some_and(|ended| ended >= before) {
                continue;
            }
            for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
                cleaned.objects += 1;
                cleaned.bytes += entry.metadata().map_or(0, |data| data.len());
            }
            if really == Really::Remove {
                // Of a program that was killed, the record still says where its servers and its output were.
                let output = Record::read(&dir).ok().flatten().and_then(|record| record.servers?.output);
                if let Some(output) = output {
                    crate::hold::clear_after(&output, &job);
                }
                self.remove_data(&dir);
                std::fs::remove_dir_all(&dir).map_err(|e| {
                    Error::input("state-dir", format!("removing {}: {e}", dir.display()))
                        .with_hint("check its permissions")
                })?;
            }
            cleaned.jobs.push(job);
        }
        Ok(cleaned)
    }
}

impl Servers {
    /// How other programs reach a runtime of this one.
    pub(crate) fn of(runtime: &Runtime, stack: &Stack, output: Option<PathBuf>) -> Self {
        let (id, secret) = runtime.keys();
        let FunctionNames { splitter, mapper, mapper_large, reducer } = stack.functions.clone();
        Servers {
            urls: runtime.urls().map(str::to_owned),
            keys: (id.to_owned(), secret.to_owned()),
            table: stack.table.clone(),
            work_bucket: stack.work_bucket.clone(),
            functions: [splitter, mapper, mapper_large.unwrap_or_default(), reducer],
            timeout_ms: stack.timeout_ms,
            logs: runtime.dir().join("lambda").join("logs"),
            output,
        }
    }

    fn driver(self, neighbour: Neighbour) -> Result<Driver> {
        let [s3, dynamodb, lambda] = self.urls;
        let endpoints = Endpoints { s3, dynamodb, lambda, region: REGION.to_owned(), keys: self.keys };
        let [splitter, mapper, mapper_large, reducer] = self.functions;
        let functions = FunctionNames { splitter, mapper, mapper_large: Some(mapper_large), reducer };
        let stack = Stack { table: self.table, work_bucket: self.work_bucket, functions, timeout_ms: self.timeout_ms };
        let jobs = crate::entry::registry()?;
        let conductor = Conductor::new(Clients::at(&endpoints), stack);
        // It starts no jobs.
        let shipping = Shipping::new(Program::Linked, Architecture::here(), false);
        Ok(Driver::new(conductor, jobs, Place::Neighbour(neighbour), shipping))
    }
}

impl Neighbour {
    /// Whether the program lives and has not seen the end of the job.
    pub(crate) fn is_running(&self) -> bool {
        Record::is_running(&self.dir)
    }

    /// Comes back some time after [`Neighbour::ended`]: what the servers were asked before is answered by then, or never.
    pub(crate) async fn gone(&self) {
        self.ended().await;
        tokio::time::sleep(2 * LOOK_EVERY).await;
    }

    /// Comes back when the job has ended or its program is gone.
    pub(crate) async fn ended(&self) {
        while Record::is_running(&self.dir) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// How a job that no longer runs was last seen.
    fn last_status(&self, job: &JobId) -> Result<JobStatus> {
        let record = Record::read(&self.dir)?
            .ok_or_else(|| Error::input("job-missing", format!("there is no job {job} on this machine")))?;
        let mut status = record.status;
        if !status.phase.is_final() {
            let message = format!("job {job}: the program that ran it (process {}) is gone", record.pid);
            status.phase = Phase::Failed;
            status.progress.phase = Phase::Failed;
            status.error = Some(Error::service("driver-lost", message).with_hint("run it again"));
        }
        Ok(status)
    }

    /// What became of a job that no longer runs.
    pub(crate) fn outcome(&self, job: &JobId) -> Result<Report> {
        let status = self.last_status(job)?;
        let error = status.error.unwrap_or_else(|| Error::service("failed", "the job failed without a word"));
        status.report.ok_or(error)
    }
}
