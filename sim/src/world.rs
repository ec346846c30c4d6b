//! What a workload works with: drivers in the region, inputs, and what it expects of outputs.

use crate::chance::Chance;
use crate::machine::{Machine, Nature};
use crate::region::Region;
use bytes::Bytes;
use kinglet::{Code, Driver, Error, JobHandle, JobId, Report};
use kinglet_aws::Conductor;
use kinglet_aws::ledger::JobEntry;
use kinglet_aws::objects::Replace;
use kinglet_core::ids::Timestamp;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The bucket of inputs, and that of outputs.
pub const INPUT: &str = "input";
pub const OUTPUT: &str = "output";

/// What a workload works with.
pub struct World {
    /// The region.
    pub region: Arc<Region>,
    /// Its own numbers, by the seed.
    pub chance: Chance,
    /// Chooses its inputs: runs of one variant have the same results.
    pub variant: u64,
    /// Somebody who looks at the region from outside.
    pub observer: Conductor,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    goals: BTreeMap<String, Goal>,
    may_fail: Vec<&'static str>,
    may_be_refused: Vec<&'static str>,
    ended: Vec<JobEntry>,
    /// When what jobs left was removed for the first time.
    cleaned: Option<Timestamp>,
    violations: Vec<String>,
}

/// A result that a job may write.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The name of the job's first input, or the job's name if it has none.
    pub of: String,
    /// Its records, sorted.
    pub records: Vec<String>,
}

/// What is expected of one output.
#[derive(Clone, Debug, Default)]
pub struct Goal {
    /// What lay there before: keys and ETags.
    pub before: BTreeMap<String, String>,
    /// The job whose result lay there before.
    pub replaces: Option<JobId>,
    /// The records that each job may write, sorted.
    pub results: Vec<Expected>,
    /// Whether at most one job may write there.
    pub once: bool,
}

impl World {
    /// Returns a world for a workload.
    pub fn new(region: Arc<Region>, variant: u64) -> Self {
        let observer = region.observer();
        World { chance: Chance::of(region.seed, "workload"), region, variant, observer, state: Mutex::default() }
    }

    /// Returns a driver on a machine of its own.
    ///
    /// # Errors
    /// Returns what the driver says of it.
    pub fn driver(&self) -> Result<(Arc<Machine>, Driver), Error> {
        let machine = Machine::start(&self.region, "driver", self.region.nature("driver"));
        let driver = self.driver_on(&machine)?;
        Ok((machine, driver))
    }

    /// Returns a driver on a machine that no fault strikes.
    ///
    /// # Errors
    /// Returns what the driver says of it.
    pub fn safe_driver(&self) -> Result<Driver, Error> {
        self.driver_on(&Machine::start(&self.region, "driver", Nature::SAFE))
    }

    fn driver_on(&self, machine: &Arc<Machine>) -> Result<Driver, Error> {
        Driver::simulated(self.region.conductor(machine), self.region.conditions.concurrency)
    }

    /// Runs a program on a machine; `None` if the machine dies before its end.
    pub async fn on<F: Future>(&self, machine: &Machine, program: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            () = machine.died() => None,
            done = program => Some(done),
        }
    }

    /// Submits a job on a machine; `None` if the machine dies, or if the driver is refused.
    pub async fn submit(
        &self,
        machine: &Machine,
        submitting: impl Future<Output = Result<JobHandle, Error>>,
    ) -> Option<JobHandle> {
        match self.on(machine, submitting).await? {
            Ok(handle) => Some(handle),
            Err(error) => {
                // What stood still for an hour was signed an hour ago.
                let is_late = error.is(Code::Clock) && self.region.faults.struck().iter().any(|fault| fault.is_long());
                if !is_late && !self.may_be_refused_with(error.code()) {
                    self.violates(format!("a submission is refused: {error} ({})", error.code()));
                }
                None
            }
        }
    }

    /// Waits for a job as a driver does that may die; another driver may then take the job up, or nobody.
    pub async fn follow(&self, machine: &Machine, handle: &JobHandle) -> Option<Result<Report, Error>> {
        if let Some(done) = self.on(machine, handle.wait()).await {
            return Some(done);
        }
        if self.chance.hits(500_000) {
            return None;
        }
        tokio::time::sleep(Duration::from_secs(self.chance.between(1, 300))).await;
        let (machine, driver) = self.driver().ok()?;
        self.on(&machine, async {
            let handle = driver.attach(handle.id()).await?;
            handle.wait().await
        })
        .await
    }

    /// Writes an object of the input.
    pub async fn put(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>) {
        let put = self.observer.objects.put(bucket, key, bytes.into(), Replace::Yes).await;
        if let Err(error) = put {
            self.violates(format!("preparing {key}: {error}"));
        }
    }

    /// Says what is expected of an output, `s3://output/PREFIX`, as it is now.
    pub async fn expect(&self, prefix: &str, results: impl IntoIterator<Item = (String, Vec<String>)>) {
        let mut goal = self.lock().goals.remove(prefix).unwrap_or_default();
        goal.before = self.listing(prefix).await;
        goal.results.extend(results.into_iter().map(|(of, records)| Expected { of, records }));
        self.lock().goals.insert(prefix.to_owned(), goal);
    }

    /// Returns what lies in an output: keys and ETags.
    pub async fn listing(&self, prefix: &str) -> BTreeMap<String, String> {
        match self.observer.objects.list(OUTPUT, prefix).await {
            Ok(listed) => listed.into_iter().map(|object| (object.key, object.etag)).collect(),
            Err(error) => {
                self.violates(format!("listing {prefix}: {error}"));
                BTreeMap::new()
            }
        }
    }

    /// Notes that an object was put into an output by somebody else, and stays.
    pub fn stays(&self, prefix: &str, key: &str, etag: &str) {
        let mut state = self.lock();
        state.goals.entry(prefix.to_owned()).or_default().before.insert(key.to_owned(), etag.to_owned());
    }

    /// Notes that jobs have ended, and returns all that have: the ledger forgets those that were cleaned.
    pub fn with_earlier(&self, jobs: Vec<JobEntry>) -> Vec<JobEntry> {
        let mut state = self.lock();
        state.ended.retain(|earlier| jobs.iter().all(|job| job.job != earlier.job));
        state.ended.extend(jobs);
        state.ended.clone()
    }

    /// Notes that what jobs have left was removed. Returns when that was for the first time.
    pub fn cleaned(&self) -> Timestamp {
        let now = self.observer.now();
        *self.lock().cleaned.get_or_insert(now)
    }

    /// Notes the job whose result lies in an output before the workload.
    pub fn replaces(&self, prefix: &str, job: &JobId) {
        self.lock().goals.entry(prefix.to_owned()).or_default().replaces = Some(job.clone());
    }

    /// Says that jobs may fail with this code.
    pub fn may_fail(&self, code: &'static str) {
        self.lock().may_fail.push(code);
    }

    /// Returns whether jobs may fail with this code.
    pub fn may_fail_with(&self, code: &str) -> bool {
        self.lock().may_fail.contains(&code)
    }

    /// Says that jobs may be refused with this code: before they have a plan, but not later.
    pub fn may_be_refused(&self, code: &'static str) {
        self.lock().may_be_refused.push(code);
    }

    /// Returns whether jobs may be refused with this code.
    pub fn may_be_refused_with(&self, code: &str) -> bool {
        let state = self.lock();
        state.may_be_refused.contains(&code) || state.may_fail.contains(&code)
    }

    /// Says that at most one job may write to an output.
    pub fn is_written_once(&self, prefix: &str) {
        self.lock().goals.entry(prefix.to_owned()).or_default().once = true;
    }

    /// Notes that something is not as it must be.
    pub fn violates(&self, what: String) {
        self.region.says(&format!("VIOLATION: {what}"));
        self.lock().violations.push(what);
    }

    /// Returns what is expected of outputs.
    pub fn goals(&self) -> BTreeMap<String, Goal> {
        self.lock().goals.clone()
    }

    /// Returns what was not as it must be.
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
