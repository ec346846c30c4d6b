//! The place where jobs are looked after, a stack or this machine, with the same commands.

use crate::options::Cloud;
use kinglet::{
    Driver, History, JobHandle, JobId, JobStatus, JobSummary, Leftovers, LogFilter, LogLine, Machine, Result, Timestamp,
};

pub(crate) enum Desk {
    Stack(Driver),
    Machine(Machine),
}

impl Desk {
    pub(crate) async fn of(cloud: &Cloud) -> Result<Self> {
        match cloud.aws() {
            Some(aws) => Ok(Desk::Stack(aws.connect().await?)),
            None => Ok(Desk::Machine(Machine::open()?)),
        }
    }

    pub(crate) async fn jobs(&self) -> Result<Vec<JobSummary>> {
        match self {
            Desk::Stack(driver) => driver.jobs().await,
            Desk::Machine(machine) => machine.jobs().await,
        }
    }

    pub(crate) async fn find(&self, wanted: &str) -> Result<JobId> {
        match self {
            Desk::Stack(driver) => driver.find_job(wanted).await,
            Desk::Machine(machine) => machine.find_job(wanted).await,
        }
    }

    pub(crate) async fn status(&self, job: &JobId) -> Result<JobStatus> {
        match self {
            Desk::Stack(driver) => driver.status(job).await,
            Desk::Machine(machine) => machine.status(job).await,
        }
    }

    pub(crate) async fn history(&self, job: &JobId) -> Result<History> {
        match self {
            Desk::Stack(driver) => driver.history(job).await,
            Desk::Machine(machine) => machine.history(job).await,
        }
    }

    pub(crate) async fn attach(&self, job: &JobId) -> Result<JobHandle> {
        match self {
            Desk::Stack(driver) => driver.attach(job).await,
            Desk::Machine(machine) => machine.attach(job).await,
        }
    }

    pub(crate) async fn logs(&self, job: &JobId, filter: &LogFilter) -> Result<Vec<LogLine>> {
        match self {
            Desk::Stack(driver) => driver.logs(job, filter).await,
            Desk::Machine(machine) => machine.logs(job, filter),
        }
    }

    pub(crate) async fn leftovers(&self, before: Timestamp) -> Result<Leftovers> {
        match self {
            Desk::Stack(driver) => driver.leftovers(before).await,
            Desk::Machine(machine) => machine.leftovers(before),
        }
    }

    pub(crate) async fn clean(&self, before: Timestamp) -> Result<Leftovers> {
        match self {
            Desk::Stack(driver) => driver.clean(before).await,
            Desk::Machine(machine) => machine.clean(before),
        }
    }
}
