//! Workers die, stall, answer too late or twice, and Lambda refuses: the answer stays the same to the byte, and a job that
//! cannot succeed says why and leaves nothing.

use crate::support::{driver, naive_count, nothing_published, read_output, reconciles, shown, text};
use kinglet::{Driver, Local, Report, Submit};
use kinglet_jobs::WordCount;
use kinglet_local::lambda::{Fault, FaultCount, FaultPlan, FaultRule, When};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

const MAPPER: &str = "kinglet-mapper";
const MAPPER_LARGE: &str = "kinglet-mapper-large";
const REDUCER: &str = "kinglet-reducer";
const SPLITTER: &str = "kinglet-splitter";

/// Kills before a worker can have done anything of use.
const KILL: Fault = Fault::KillWorker { after: Duration::ZERO };

/// An input, a driver, and the parts of a run without faults.
struct Bench {
    dir: TempDir,
    input: PathBuf,
    driver: Driver,
    want: Vec<Vec<u8>>,
}

impl Bench {
    async fn new(choices: impl FnOnce(Local) -> Local) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let input = dir.path().join("in.txt");
        fs::write(&input, text(3, 100_000)).unwrap();
        let driver = driver(choices).await;
        let mut bench = Bench { dir, input, driver, want: vec![] };
        let (report, parts) = bench.run("calm").await;
        assert_eq!((report.retries, report.map_tasks), (0, 10));
        bench.want = parts;
        bench
    }

    /// Runs the job and checks all but its parts, which it returns.
    async fn run(&self, output: &str) -> (Report, Vec<Vec<u8>>) {
        let output = self.dir.path().join(output);
        let submit = in_tasks(Submit::new([shown(&self.input)], shown(&output)));
        let report = self.driver.submit(&WordCount, submit).await.unwrap().wait().await.unwrap();
        let input = fs::read(&self.input).unwrap();
        let out = read_output(&output);
        assert!(out.counts == naive_count([&input[..]]));
        reconciles(&out, &[(shown(&self.input), input.len() as u64)]);
        (report, out.parts)
    }

    /// Runs the job under a plan: the parts must be those of the calm run. What fired, and the report.
    async fn hurt(&self, seed: u64, rules: Vec<FaultRule>) -> (Vec<FaultCount>, Report) {
        let host = self.driver.runtime().unwrap().host();
        host.set_faults(FaultPlan { seed, rules });
        let (report, parts) = self.run(&format!("hurt-{seed}")).await;
        assert!(parts == self.want, "seed {seed}");
        let counts = host.fault_counts();
        host.set_faults(FaultPlan::default());
        (counts, report)
    }
}

fn in_tasks(submit: Submit) -> Submit {
    submit.with_split_bytes(10_000).with_partitions(3)
}

fn fired(counts: &[FaultCount]) -> Vec<u64> {
    counts.iter().map(|count| count.fired).collect()
}

fn always(function: &str, fault: Fault, budget: u64) -> FaultRule {
    FaultRule { fault, function: Some(function.to_owned()), when: When::Probability(1.0), budget }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_workers_are_tried_again() {
    let bench = Bench::new(|local| local).await;
    let rules = vec![
        FaultRule::nth(MAPPER, 0, KILL),
        FaultRule::nth(MAPPER, 4, KILL),
        FaultRule::nth(MAPPER, 9, KILL),
        FaultRule::nth(REDUCER, 1, KILL),
    ];
    let (counts, report) = bench.hurt(1, rules).await;
    assert_eq!(fired(&counts), [1, 1, 1, 1]);
    assert_eq!(report.retries, 4);
    bench.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_and_events_that_come_twice_change_nothing() {
    let bench = Bench::new(|local| local).await;
    let rules = vec![
        FaultRule::nth(MAPPER, 2, Fault::LoseReply),
        FaultRule::nth(MAPPER, 9, Fault::LoseReply),
        FaultRule::nth(REDUCER, 0, Fault::LoseReply),
        FaultRule::nth(MAPPER, 0, Fault::RunTwice),
        FaultRule::nth(MAPPER, 5, Fault::RunTwice),
        FaultRule::nth(REDUCER, 2, Fault::RunTwice),
        FaultRule::nth(SPLITTER, 0, Fault::RunTwice),
    ];
    let (counts, report) = bench.hurt(2, rules).await;
    assert_eq!(fired(&counts), [1; 7]);
    assert_eq!(report.retries, 0, "the work was done, whoever heard of it");
    // The splitter's answer, alone: its record of failure has nowhere to go.
    let (counts, report) = bench.hurt(3, vec![FaultRule::nth(SPLITTER, 0, Fault::LoseReply)]).await;
    assert_eq!((fired(&counts), report.retries), (vec![1], 0));
    bench.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_workers_are_waited_for() {
    let bench = Bench::new(|local| local).await;
    let freeze = Fault::FreezeWorker { after: Duration::from_millis(2), pause: Duration::from_millis(700) };
    let rules = [MAPPER, REDUCER, SPLITTER].map(|function| FaultRule::nth(function, 0, freeze));
    let (counts, report) = bench.hurt(4, rules.into()).await;
    assert_eq!((fired(&counts), report.retries), (vec![1; 3], 0));
    bench.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_and_failed_invocations_are_sent_again() {
    let bench = Bench::new(|local| local).await;
    let rules = [SPLITTER, MAPPER, REDUCER].into_iter().flat_map(|function| {
        [FaultRule::nth(function, 0, Fault::Throttle), FaultRule::nth(function, 1, Fault::ErrorBefore)]
    });
    let (counts, report) = bench.hurt(5, rules.collect()).await;
    assert_eq!((fired(&counts), report.retries), (vec![1; 6], 0));
    bench.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_faults_at_once_by_seed() {
    let bench = Bench::new(|local| local).await;
    let (mut all, mut retries) = ([0; 6], 0);
    for seed in 10..16 {
        let freeze = Fault::FreezeWorker { after: Duration::from_millis(5), pause: Duration::from_millis(50) };
        // Three kills in all leave each task a try, even if all hit one; a splitter that dies has a test of its own.
        let rules = vec![
            FaultRule { budget: 2, when: When::Probability(0.2), ..always(MAPPER, KILL, 2) },
            FaultRule { when: When::Probability(0.3), ..always(REDUCER, KILL, 1) },
            FaultRule::randomly(0.2, 3, Fault::RunTwice),
            FaultRule::randomly(0.2, 2, freeze),
            FaultRule::randomly(0.2, 3, Fault::Throttle),
            FaultRule::randomly(0.2, 3, Fault::ErrorBefore),
        ];
        let (counts, report) = bench.hurt(seed, rules).await;
        assert!(fired(&counts).iter().sum::<u64>() >= 3, "seed {seed}: {counts:?}");
        all.iter_mut().zip(fired(&counts)).for_each(|(sum, fired)| *sum += fired);
        // A kill may hit the second run of an event that came twice, which costs no try.
        assert!(report.retries <= counts[0].fired + counts[1].fired, "seed {seed}: {counts:?}, {report}");
        retries += report.retries;
    }
    assert!(retries > 0 && all.iter().all(|fired| *fired > 0), "{retries} retries, fired {all:?}");
    bench.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_splitter_that_dies_is_started_again() {
    // Its event has no second home: the driver's look at the ledger helps, some time after the timeout.
    let bench = Bench::new(|local| local.with_timeout(Duration::from_secs(5))).await;
    let (counts, report) = bench.hurt(6, vec![FaultRule::nth(SPLITTER, 0, KILL)]).await;
    assert_eq!((fired(&counts), report.retries), (vec![1], 0));
    bench.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_die_every_time_fail_the_job_and_leave_nothing() {
    let bench = Bench::new(|local| local).await;
    let host = bench.driver.runtime().unwrap().host();
    for (function, tries_max) in [(MAPPER, 4), (MAPPER, 1), (REDUCER, 3)] {
        // Whoever is killed is taken for out of memory, and its task goes to the larger mapper.
        let rules = [function, MAPPER_LARGE].map(|function| always(function, KILL, u64::MAX));
        host.set_faults(FaultPlan { seed: 7, rules: rules.into() });
        let output = bench.dir.path().join("failed");
        let submit = in_tasks(Submit::new([shown(&bench.input)], shown(&output))).with_tries(tries_max);
        let error = bench.driver.submit(&WordCount, submit).await.unwrap().wait().await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains(&format!("failed {tries_max} times")) && said.contains("killed"), "{said}");
        assert!(error.hint().is_some(), "{said}");
        let fired: u64 = fired(&host.fault_counts()).iter().sum();
        assert!(fired >= u64::from(tries_max), "{fired} of {tries_max} kills");
        nothing_published(&output);
    }
    // And the stack is well afterwards.
    host.set_faults(FaultPlan::default());
    let (_, parts) = bench.run("well").await;
    assert!(parts == bench.want);
    bench.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mappers_out_of_time_hand_back_the_rest_as_further_pieces() {
    let driver = driver(|local| local).await;
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    fs::create_dir(&input).unwrap();
    // One object that is one split, and many that are packed into one.
    let large = text(8, 3_000_000);
    fs::write(input.join("large"), &large).unwrap();
    let mut sizes = vec![(shown(&input.join("large")), large.len() as u64)];
    let mut all = vec![large];
    for n in 0..8 {
        let small = text(n, 5_000);
        fs::write(input.join(format!("small-{n}")), &small).unwrap();
        sizes.push((shown(&input.join(format!("small-{n}"))), small.len() as u64));
        all.push(small);
    }
    let output = dir.path().join("out");
    let submit = in_tasks(Submit::new([shown(&input)], shown(&output))).with_split_bytes(100 << 20);
    let submit = submit.with_map_time(Duration::from_millis(1));
    let report = driver.submit(&WordCount, submit).await.unwrap().wait().await.unwrap();
    let out = read_output(&output);
    assert!(out.counts == naive_count(all.iter().map(|bytes| &bytes[..])));
    reconciles(&out, &sizes);
    let pieces = out.manifest.splits.iter().filter(|split| split.piece > 0).count();
    assert!(pieces > 0 && out.manifest.splits.len() as u64 == report.map_tasks, "{report}");
    assert_eq!(report.retries, 0);
    driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_split_out_of_time_is_continued_where_it_stopped() {
    let driver = driver(|local| local).await;
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    let large = text(9, 6_000_000);
    fs::write(&input, &large).unwrap();
    let submit = in_tasks(Submit::new([shown(&input)], shown(&output))).with_split_bytes(100 << 20);
    let submit = submit.with_map_time(Duration::from_millis(1));
    let report = driver.submit(&WordCount, submit).await.unwrap().wait().await.unwrap();
    let out = read_output(&output);
    assert!(out.counts == naive_count([&large[..]]));
    reconciles(&out, &[(shown(&input), large.len() as u64)]);
    assert!(report.map_tasks > 2, "{report}");
    let last = out.manifest.splits.last().unwrap();
    assert_eq!((last.task, u64::from(last.piece) + 1), (0, report.map_tasks));
    driver.close().await;
}
