//! Scenarios: regions in trouble, and a region at scale. Each prints what became of one job.

use crate::check;
use crate::faults::Faults;
use crate::region::{Conditions, Region};
use crate::run::simulate;
use crate::trace::Trace;
use crate::workloads;
use crate::world::World;
use kinglet::{Phase, Submit, prices};
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
    /// How many items a map task has: each makes a pair of one of a hundred keys.
    items: u32,
    conditions: fn() -> Conditions,
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
    Scenario { name: "calm", about: "nothing is wrong", tasks: 2_000, partitions: 8, items: 1, conditions: plain },
    Scenario {
        name: "account-of-10",
        about: "an account that may run 10 functions at once",
        tasks: 200,
        partitions: 4,
        items: 1,
        conditions: || Conditions { concurrency: 10, ..plain() },
    },
    Scenario {
        name: "neighbour",
        about: "another tenant takes 900 of 1,000 functions for ten minutes",
        tasks: 2_000,
        partitions: 8,
        items: 1,
        conditions: || Conditions { neighbour: Some((Duration::ZERO, Duration::from_secs(600), 900)), ..plain() },
    },
    Scenario {
        name: "storm",
        about: "S3 answers 503 to half of the requests to the work bucket for a minute",
        tasks: 2_000,
        partitions: 8,
        items: 1,
        conditions: || Conditions { storm: Some((Duration::from_secs(1), Duration::from_secs(61))), ..plain() },
    },
    Scenario {
        name: "table-of-100",
        about: "a table that takes 100 write units a second",
        tasks: 500,
        partitions: 4,
        items: 1,
        conditions: || Conditions { table_write_units: Some(100), ..plain() },
    },
    Scenario {
        name: "clocks",
        about: "drivers' clocks are 299 s fast, functions' 299 s slow",
        tasks: 500,
        partitions: 4,
        items: 1,
        conditions: || Conditions { clocks_apart_ms: 299_000, ..plain() },
    },
    Scenario {
        name: "twice",
        about: "every event is delivered twice, and once more after 3 hours",
        tasks: 500,
        partitions: 4,
        items: 1,
        conditions: || Conditions { twice: true, ..plain() },
    },
    Scenario {
        name: "slow",
        about: "each tenth function is four times slower",
        tasks: 2_000,
        partitions: 8,
        items: 1,
        conditions: || Conditions { slow_one_in: 10, slower: 4.0, ..plain() },
    },
    Scenario {
        name: "shuffle",
        about: "20,000 map tasks that each have pairs for all of 96 partitions",
        tasks: 20_000,
        partitions: 96,
        items: 100,
        conditions: plain,
    },
    Scenario {
        name: "large",
        about: "100,000 map tasks on 1,000 functions",
        tasks: 100_000,
        partitions: 32,
        items: 1,
        conditions: plain,
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
        let region = match Region::make(seed, (self.conditions)(), faults, Trace::new(false)).await {
            Ok(region) => region,
            Err(error) => panic!("making a region: {error}"),
        };
        let world = Arc::new(World::new(region.clone(), 0));
        check::plant(&world).await;
        let sweeping = region.sweep(Duration::from_millis(crate::model::SWEEP_MS));
        let submit =
            Submit::to("s3://output/sums").with_items_per_split(self.items as usize).with_partitions(self.partitions);
        let mut sums = BTreeMap::<u64, u64>::new();
        let items = tasks * u64::from(self.items);
        (0..items).for_each(|n| *sums.entry(n % 100).or_default() += n);
        let mut records: Vec<String> = sums.into_iter().map(|(key, sum)| format!("{key}\t{sum}")).collect();
        records.sort();
        world.expect("sums/", [("sums".to_owned(), records)]).await;
        let (before, served) = (region.since_start(), region.trace.requests());
        let program = async {
            let (_machine, driver) = world.driver()?;
            driver.submit_items(&workloads::Sums, 0..items, submit).await?.wait().await
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
        let count = |names: &[&str]| {
            let of = |(what, count): (&String, &u64)| if names.contains(&what.as_str()) { *count } else { 0 };
            requests.iter().map(of).sum::<u64>() as f64
        };
        let writes =
            count(&["PUT", "PUT?partNumber&uploadId", "POST?uploads", "POST?uploadId", "GET?list-type&prefix"]);
        let dollars = gb_seconds * prices::LAMBDA_GB_SECOND_X86
            + tally.invocations as f64 * prices::LAMBDA_REQUEST
            + units.write * prices::DYNAMODB_WRITE_UNIT
            + units.read * prices::DYNAMODB_READ_UNIT
            + writes * prices::S3_PUT
            + count(&["GET", "HEAD"]) * prices::S3_GET;
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

fn print_requests(requests: &BTreeMap<String, u64>, tasks: u64) {
    let of = |(what, count): (&String, &u64)| format!("{what} {count} ({:.2})", *count as f64 / tasks as f64);
    let all: Vec<String> = requests.iter().filter(|(_, count)| **count > 0).map(of).collect();
    println!("  requests (a task): {}", all.join(", "));
}
