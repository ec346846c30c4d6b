//! Scenarios: regions in trouble, and a region at scale. Each prints what became of one job.

use crate::check;
use crate::faults::Faults;
use crate::model::BYTES_PER_S;
use crate::region::{Conditions, Region};
use crate::run::simulate;
use crate::trace::Trace;
use crate::workloads;
use crate::world::World;
use kinglet::{Forecast, Job, Phase, Range, Report, RunsMerged, Submit, prices};
use kinglet_core::model::lambda::NETWORK_BYTES_PER_S;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A region, and a job in it.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// How many map tasks the job has, and how many partitions.
    tasks: u64,
    partitions: u32,
    work: Work,
    /// How many bytes a second a function takes from S3 and works on.
    bytes_per_s: u64,
    conditions: fn() -> Conditions,
}

/// What a map task does.
#[derive(Clone, Copy)]
enum Work {
    /// It reads a number and has a pair for one of a hundred keys.
    Sums,
    /// It reads so many MB, has pairs for each of the partitions, or for one in so many, and its runs lie in S3.
    Spread { mb: usize, one_in: u64, merged: RunsMerged },
}

/// Returns the shape of a published job, or of a sort, as its plan has it, of tasks that read so many MB: see
/// `published_jobs_by_the_plan` and `sorts_go_through_a_second_stage_where_that_pays` in `core/src/cost/tests.rs`. What a vCPU takes
/// for a GB is said there as well.
const fn planned(
    (name, about): (&'static str, &'static str),
    (tasks, partitions): (u64, u32),
    (mb, s_per_gb): (usize, f64),
    merged: RunsMerged,
) -> Scenario {
    let bytes_per_s = (1e9 / (s_per_gb + 1e9 / NETWORK_BYTES_PER_S as f64)) as u64;
    let work = Work::Spread { mb, one_in: 1, merged };
    Scenario { name, about, tasks, partitions, work, bytes_per_s, conditions: plain }
}

/// An hour.
const HOUR: Duration = Duration::from_secs(3_600);

/// How many bytes each item's task reads stand for: enough that a task takes some seconds.
const SCALE: u64 = 1 << 20;

fn plain() -> Conditions {
    Conditions { scale: SCALE, calm_extra: 2 * HOUR, ..Conditions::default() }
}

/// All scenarios.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "calm",
        about: "nothing is wrong",
        tasks: 2_000,
        partitions: 8,
        work: Work::Sums,
        bytes_per_s: BYTES_PER_S,
        conditions: plain,
    },
    Scenario {
        name: "account-of-10",
        about: "an account that may run 10 functions at once",
        tasks: 200,
        partitions: 4,
        work: Work::Sums,
        bytes_per_s: BYTES_PER_S,
        conditions: || Conditions { concurrency: 10, ..plain() },
    },
    Scenario {
        name: "neighbour",
        about: "another tenant takes 900 of 1,000 functions for ten minutes",
        tasks: 2_000,
        partitions: 8,
        work: Work::Sums,
        bytes_per_s: BYTES_PER_S,
        conditions: || Conditions { neighbour: Some((Duration::ZERO, Duration::from_secs(600), 900)), ..plain() },
    },
    Scenario {
        name: "storm",
        about: "S3 answers 503 to half of the requests to the work bucket for a minute",
        tasks: 2_000,
        partitions: 8,
        work: Work::Sums,
        bytes_per_s: BYTES_PER_S,
        conditions: || Conditions { storm: Some((Duration::from_secs(1), Duration::from_secs(61))), ..plain() },
    },
    Scenario {
        name: "table-of-100",
        about: "a table that takes 100 write units a second",
        tasks: 500,
        partitions: 4,
        work: Work::Sums,
        bytes_per_s: BYTES_PER_S,
        conditions: || Conditions { table_write_units: Some(100), ..plain() },
    },
    Scenario {
        name: "clocks",
        about: "drivers' clocks are 299 s fast, functions' 299 s slow",
        tasks: 500,
        partitions: 4,
        work: Work::Sums,
        bytes_per_s: BYTES_PER_S,
        conditions: || Conditions { clocks_apart_ms: 299_000, ..plain() },
    },
    Scenario {
        name: "twice",
        about: "every event is delivered twice, and once more after 3 hours",
        tasks: 500,
        partitions: 4,
        work: Work::Sums,
        bytes_per_s: BYTES_PER_S,
        conditions: || Conditions { twice: true, ..plain() },
    },
    Scenario {
        name: "slow",
        about: "each tenth function is four times slower",
        tasks: 2_000,
        partitions: 8,
        work: Work::Sums,
        bytes_per_s: BYTES_PER_S,
        conditions: || Conditions { slow_one_in: 10, slower: 4.0, ..plain() },
    },
    Scenario {
        name: "shuffle",
        about: "20,000 map tasks that each have pairs for all of 96 partitions",
        tasks: 20_000,
        partitions: 96,
        work: Work::Spread { mb: 1, one_in: 1, merged: RunsMerged::WhereBetter },
        bytes_per_s: BYTES_PER_S,
        conditions: plain,
    },
    Scenario {
        name: "large",
        about: "100,000 map tasks on 1,000 functions",
        tasks: 100_000,
        partitions: 32,
        work: Work::Sums,
        bytes_per_s: BYTES_PER_S,
        conditions: plain,
    },
    planned(("aggregation", "the published aggregation of 126.8 GB"), (505, 24), (240, 3.7), RunsMerged::Never),
    planned(("scan", "the published scan of 6.38 GB"), (50, 1), (122, 6.4), RunsMerged::Never),
    planned(("sort-100-gb", "a sort of 100 GB"), (400, 192), (238, 8.0), RunsMerged::Never),
    planned(("sort-1-tb", "a sort of 1 TB"), (4_000, 768), (238, 8.0), RunsMerged::Always),
    planned(("sort-10-tb", "a sort of 10 TB"), (40_000, 768), (238, 8.0), RunsMerged::Always),
    Scenario {
        work: Work::Spread { mb: 954, one_in: 8, merged: RunsMerged::Always },
        ..planned(
            ("sort-100-tb", "a sort of 100 TB, of which a map task has pairs for one partition in 8"),
            (100_000, 6_144),
            (954, 8.0),
            RunsMerged::Always,
        )
    },
];

impl Scenario {
    /// Runs it on this thread and prints what came of it. Returns whether the job succeeded, and all that must hold does.
    pub fn go(&self, seed: u64, tasks: Option<u64>) -> bool {
        simulate(seed, self.run(seed, tasks.unwrap_or(self.tasks)))
    }

    async fn run(&self, seed: u64, tasks: u64) -> bool {
        let began = Instant::now();
        let faults = Faults::of(seed, 0, None, None);
        let conditions = Conditions { bytes_per_s: self.bytes_per_s, ..(self.conditions)() };
        let region = match Region::make(seed, conditions, faults, Trace::new(false)).await {
            Ok(region) => region,
            Err(error) => panic!("making a region: {error}"),
        };
        let world = Arc::new(World::new(region.clone(), 0));
        check::plant(&world).await;
        let sweeping = region.sweep(Duration::from_millis(crate::model::SWEEP_MS));
        let submit = Submit::to("s3://output/sums").with_items_per_split(1).with_partitions(self.partitions);
        world.expect("sums/", [(self.job().to_owned(), self.expected(tasks))]).await;
        let (before, served) = (region.since_start(), region.trace.requests());
        let program = async {
            let (_machine, driver) = world.driver()?;
            let handle = match self.work {
                Work::Sums => driver.submit_items(&workloads::Sums, 0..tasks, submit).await?,
                Work::Spread { mb, one_in, merged } => {
                    let job = workloads::Spread { partitions: self.partitions.into(), one_in };
                    let items = (0..tasks).map(|n| (n, "-".repeat(mb)));
                    let submit = submit.with_inline_bytes(0).with_runs_merged(merged);
                    driver.submit_items(&job, items, submit).await?
                }
            };
            handle.wait().await
        };
        let report = program.await;
        let took = region.since_start() - before;
        let mut requests = region.trace.requests();
        for (what, count) in served {
            requests.entry(what).and_modify(|all| *all -= count);
        }
        let jobs = check::ends(&world, Duration::ZERO).await;
        sweeping.abort();
        tokio::time::sleep(8 * HOUR).await;
        check::outputs(&world, &jobs).await;
        let violations = world.violations();
        let phases: Vec<&str> = jobs.iter().map(|job| job.phase.as_str()).collect();
        println!("{}: {}, {tasks} map tasks, seed {seed}", self.name, self.about);
        println!("  ended: {} after {:.1} s of the region", phases.join(", "), took.as_secs_f64());
        match &report {
            Ok(report) => println!(
                "  wall: {:.1} s mapping, {:.1} s merging ({} tasks), {:.1} s reducing; {} retries; the report's bill: {:.0} GB-s, {:.0} write and \
                 {:.0} read units, S3 {} put, {} get; ${:.4} in all",
                report.wall.map_ms as f64 / 1e3,
                report.wall.merge_ms as f64 / 1e3,
                report.merge_tasks,
                report.wall.reduce_ms as f64 / 1e3,
                report.retries,
                report.gb_seconds,
                report.requests.write_milliunits as f64 / 1e3,
                report.requests.read_milliunits as f64 / 1e3,
                report.requests.s3_put,
                report.requests.s3_get,
                report.cost.total
            ),
            Err(error) => println!("  error: {error}"),
        }
        print_requests(&requests, tasks);
        let tally = region.lambda.tally();
        let gb_seconds = tally.mb_ms as f64 / 1_024_000.0;
        let units = region.units();
        let dollars = gb_seconds * prices::LAMBDA_GB_SECOND_X86
            + tally.invocations as f64 * prices::LAMBDA_REQUEST
            + units.write * prices::DYNAMODB_WRITE_UNIT
            + units.read * prices::DYNAMODB_READ_UNIT
            + count(&requests, WRITES) * prices::S3_PUT
            + count(&requests, READS) * prices::S3_GET;
        if let Ok(report) = &report {
            print_predicted(report, &requests, units.write, tally.invocations);
        }
        println!(
            "  {} invocations, {} cold starts, at most {} at once, {} found no slot; {gb_seconds:.0} GB-s; \
             {:.0} write and {:.0} read units; ${dollars:.4} in all",
            tally.invocations, tally.cold_starts, tally.most_running, tally.throttled, units.write, units.read
        );
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("?").trim();
        println!("  here: {:.1} s, {peak} of memory, trace {:x}", began.elapsed().as_secs_f64(), region.trace.hash());
        violations.iter().take(8).for_each(|violation| println!("  VIOLATION: {violation}"));
        report.is_ok() && violations.is_empty() && jobs.iter().all(|job| job.phase == Phase::Succeeded)
    }
}

impl Scenario {
    /// The name of the job.
    fn job(&self) -> &'static str {
        match self.work {
            Work::Sums => workloads::Sums::NAME,
            Work::Spread { .. } => workloads::Spread::NAME,
        }
    }

    /// The records of the result.
    fn expected(&self, tasks: u64) -> Vec<String> {
        let mut sums = BTreeMap::<u64, u64>::new();
        match self.work {
            Work::Sums => (0..tasks).for_each(|n| *sums.entry(n % 100).or_default() += n),
            Work::Spread { one_in, .. } => {
                let own = |partition: u64| (0..tasks).filter(|n| n % one_in == partition % one_in).count() as u64;
                let by_remainder: Vec<u64> = (0..one_in).map(own).collect();
                let all = 0..u64::from(self.partitions);
                sums.extend(all.map(|partition| (partition, by_remainder[(partition % one_in) as usize])));
                sums.retain(|_, tasks| *tasks > 0);
            }
        }
        let mut records: Vec<String> = sums.into_iter().map(|(key, sum)| format!("{key}\t{sum}")).collect();
        records.sort();
        records
    }
}

/// What was counted beside what the job's own plan predicted.
fn print_predicted(report: &Report, requests: &BTreeMap<String, u64>, write_units: f64, invocations: u64) {
    let Some(Forecast { s3_get, s3_put, lambda, write_units: units, .. }) = &report.predicted else { return };
    let apart = |what: &str, is: f64, by: &Range| {
        format!("{what} {is:.0} of {:.0} ({:+.1} %)", by.likely, 100.0 * (is / by.likely - 1.0))
    };
    let all = [
        apart("GET", count(requests, READS), s3_get),
        apart("PUT", count(requests, WRITES), s3_put),
        apart("write units", write_units, units),
        apart("invocations", invocations as f64, lambda),
    ];
    println!("  counted, of those predicted: {}", all.join(", "));
}

/// What S3 bills as GET, and as PUT.
const READS: &[&str] = &["GET", "HEAD"];
const WRITES: &[&str] = &["PUT", "PUT?partNumber&uploadId", "POST?uploads", "POST?uploadId", "GET?list-type&prefix"];

fn count(requests: &BTreeMap<String, u64>, names: &[&str]) -> f64 {
    let of = |(what, count): (&String, &u64)| if names.contains(&what.as_str()) { *count } else { 0 };
    requests.iter().map(of).sum::<u64>() as f64
}

fn print_requests(requests: &BTreeMap<String, u64>, tasks: u64) {
    let of = |(what, count): (&String, &u64)| format!("{what} {count} ({:.2})", *count as f64 / tasks as f64);
    let all: Vec<String> = requests.iter().filter(|(_, count)| **count > 0).map(of).collect();
    println!("  requests (a task): {}", all.join(", "));
}
