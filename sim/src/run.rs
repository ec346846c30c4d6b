//! One run: a workload in a region, under a seed.

use crate::check;
use crate::faults::{Fault, Faults, Struck};
use crate::model;
use crate::region::{Conditions, Region};
use crate::trace::Trace;
use crate::workloads::Workload;
use crate::world::World;
use kinglet::Phase;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many variants of its input a workload has.
const VARIANTS: u64 = 16;

/// How often the stack's schedule sweeps.
const SWEEP: Duration = Duration::from_millis(model::SWEEP_MS);

/// How often it does once all jobs have ended, so that hours of nothing take little time here.
const SELDOM: Duration = Duration::from_secs(900);

/// What is run.
#[derive(Clone)]
pub struct Run {
    pub workload: &'static Workload,
    pub seed: u64,
    pub conditions: Conditions,
    /// The most faults.
    pub faults_max: u32,
    /// What the name of a step has in it, if faults strike only there; else the seed decides.
    pub focus: Option<String>,
    /// Only these faults.
    pub only: Option<BTreeSet<Struck>>,
    /// Whether the trace is kept.
    pub keep_trace: bool,
}

/// What came of it.
pub struct Ran {
    /// What was not as it must be.
    pub violations: Vec<String>,
    /// The faults that struck.
    pub struck: Vec<Fault>,
    /// How the jobs ended.
    pub ends: Vec<Phase>,
    /// The hash of what each job has written, by output and input.
    pub written: BTreeMap<String, u64>,
    /// The trace's hash, and its lines if they were kept.
    pub hash: u64,
    pub trace: Vec<String>,
    /// Requests served, by operation.
    pub requests: BTreeMap<String, u64>,
    /// How long the workload took in the region, and how long the run in all.
    pub took: Duration,
    pub simulated: Duration,
    /// How long the run took here.
    pub real: Duration,
}

/// Runs a simulation on this thread, in virtual time and with numbers of this seed.
pub fn simulate<T>(seed: u64, simulation: impl Future<Output = T>) -> T {
    // Everything that draws numbers on this thread starts anew.
    fastrand::seed(seed);
    kinglet_aws::seed_thread(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime of one thread");
    let done = runtime.block_on(simulation);
    // Tasks that wait for ever, such as those of dead processes, end here.
    runtime.shutdown_background();
    done
}

impl Run {
    /// Returns the run of a workload under a seed, with what the seed says of the region.
    pub fn of(workload: &'static Workload, seed: u64, faults_max: u32, focus: Option<&str>) -> Self {
        let mut conditions = Conditions::of_seed(seed);
        (workload.region)(&mut conditions);
        let focus = focus.map(str::to_owned);
        Run { workload, seed, conditions, faults_max, focus, only: None, keep_trace: false }
    }

    /// Returns the calm run that has the same results.
    pub fn calm(&self) -> Self {
        let mut conditions = Conditions::default();
        (self.workload.region)(&mut conditions);
        Run { seed: self.seed % VARIANTS, conditions, faults_max: 0, only: None, ..self.clone() }
    }

    /// Runs it on this thread.
    pub fn go(&self) -> Ran {
        simulate(self.seed, self.run(Instant::now()))
    }

    /// Runs it on this thread, and compares what jobs have written with what they write when nothing goes wrong, byte for byte.
    pub fn judged(&self) -> Ran {
        type Written = BTreeMap<String, u64>;
        static CALM: Mutex<BTreeMap<(&str, u64), Written>> = Mutex::new(BTreeMap::new());
        let mut ran = self.go();
        let calm_run = self.calm();
        let key = (self.workload.name, calm_run.seed);
        let known = CALM.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let calm = known.unwrap_or_else(|| {
            let written = calm_run.go().written;
            CALM.lock().unwrap_or_else(PoisonError::into_inner).insert(key, written.clone());
            written
        });
        for (result, hash) in &ran.written {
            if calm.get(result).is_some_and(|calm| calm != hash) {
                ran.violations.push(format!("{result} has other bytes than when nothing goes wrong"));
            }
        }
        ran
    }

    async fn run(&self, began: Instant) -> Ran {
        let faults = Faults::of(self.seed, self.faults_max, self.focus.as_deref(), self.only.clone());
        let trace = Trace::new(self.keep_trace);
        let region = match Region::make(self.seed, self.conditions.clone(), faults, trace).await {
            Ok(region) => region,
            Err(error) => panic!("making a region: {error}"),
        };
        let world = Arc::new(World::new(region.clone(), self.seed % VARIANTS));
        check::plant(&world).await;
        let sweeping = region.sweep(SWEEP);
        (self.workload.run)(world.clone()).await;
        check::ends(&world, Duration::ZERO).await;
        let took = region.since_start();
        region.faults.pause(true);
        sweeping.abort();
        // Zombies of any age come back: what was late, what was delivered again. They may even begin a job.
        let sweeping = region.sweep(SELDOM);
        tokio::time::sleep(Duration::from_secs(8 * 3_600)).await;
        let jobs = check::ends(&world, region.since_start()).await;
        check::executions(&world);
        sweeping.abort();
        let written = check::outputs(&world, &jobs).await;
        check::leaks(&world).await;
        let struck = region.faults.struck();
        region.lambda.close();
        Ran {
            violations: world.violations(),
            struck,
            ends: jobs.iter().map(|job| job.phase).collect(),
            written,
            hash: region.trace.hash(),
            trace: region.trace.lines(),
            requests: region.trace.requests(),
            took,
            simulated: region.since_start(),
            real: began.elapsed(),
        }
    }
}
