//! Plans and what came of them: the requests that are predicted are those that are counted, a plan starts nothing, and a job
//! above its ceiling is refused, or stopped when it reaches it.

use crate::programs;
use crate::rig::{MAPPER, Rig, SPLITTER};
use crate::support::{nothing_published, run, shown, text};
use kinglet::prices::Prices;
use kinglet::{Code, Forecast, JobHandle, Phase, Range, Report, RunsMerged, Submit};
use kinglet_jobs::{BenchHold, Primes, PrimesOf, WordCount};
use kinglet_local::gate::{Rule, Strike};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

/// Waits for a job's end without asking: a driver that waits reads the ledger all the time, by the clock.
async fn report(rig: &Rig, handle: JobHandle) -> Report {
    rig.ends_alone(handle.id()).await;
    handle.wait().await.unwrap()
}

/// A count beside what was predicted.
struct Beside {
    what: &'static str,
    counted: f64,
    predicted: Range,
}

/// How far the two may be apart, as a part of what was counted; and by one request, as one object is looked at and several are
/// listed. Read units are not compared: a driver that waits reads by the clock.
const APART_MAX: f64 = 0.05;

#[track_caller]
fn agrees(name: &str, report: &Report) {
    let requests = &report.requests;
    let Forecast { s3_put, s3_get, lambda, write_units, .. } = report.predicted.unwrap();
    let beside = |what, counted, predicted| Beside { what, counted, predicted };
    let all = [
        beside("S3 put", requests.s3_put as f64, s3_put),
        beside("S3 get", requests.s3_get as f64, s3_get),
        beside("Lambda", requests.lambda as f64, lambda),
        beside("write units", requests.write_milliunits as f64 / 1e3, write_units),
    ];
    let apart = |of: &Beside| (of.predicted.likely - of.counted).abs() > APART_MAX * of.counted + 1.0;
    let said =
        |of: &Beside| format!("{name}: {} {} counted, {:.1} predicted", of.what, of.counted, of.predicted.likely);
    all.iter().for_each(|of| eprintln!("{}", said(of)));
    let apart: Vec<_> = all.iter().filter(|of| apart(of)).map(said).collect();
    assert!(apart.is_empty(), "{apart:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requests_that_are_predicted_are_those_that_are_counted() {
    let rig = Rig::new().await;
    fs::create_dir(rig.path("many")).unwrap();
    for n in 0..100 {
        fs::write(rig.path("many").join(format!("f{n:03}")), text(n, 3_000)).unwrap();
    }
    fs::write(rig.path("large"), text(7, 3_000_000)).unwrap();
    let cases = [
        ("one small file", "in.txt", 1 << 20, 1),
        ("many small files", "many", 5_000, 3),
        ("one large file", "large", 100_000, 4),
    ];
    for (name, input, split_bytes, partitions) in cases {
        let submit = Submit::new([shown(&rig.path(input))], shown(&rig.path(&format!("out-{input}"))));
        // With all runs in S3, no count depends on how many bytes they have.
        let submit = submit.with_split_bytes(split_bytes).with_partitions(partitions).with_inline_bytes(0);
        let report = report(&rig, rig.driver.submit(&WordCount, submit).await.unwrap()).await;
        assert_eq!((report.retries, report.runs.inline), (0, 0));
        agrees(name, &report);
    }
    let submit = Submit::new([shown(&rig.path("many"))], shown(&rig.path("out-merged"))).with_split_bytes(5_000);
    let submit = submit.with_partitions(6).with_runs_merged(RunsMerged::Always);
    let merged = report(&rig, rig.driver.submit(&WordCount, submit).await.unwrap()).await;
    assert!(merged.merge_tasks > 10, "{merged}");
    agrees("many small files, whose runs are merged", &merged);
    let primes = Primes::new(0, 1_000_000, PrimesOf::Count).unwrap();
    let submit = Submit::to(shown(&rig.path("primes"))).with_partitions(1).with_items_per_split(1);
    let handle = rig.driver.submit_items(&primes, primes.stretches(40), submit).await.unwrap();
    agrees("primes", &report(&rig, handle).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_starts_nothing_and_is_what_the_job_then_does() {
    let rig = Rig::new().await;
    let submit = || rig.submission("out").with_inline_bytes(0);
    let planned = rig.driver.plan(&WordCount, submit()).await.unwrap();
    assert_eq!(rig.host().pending(), 0);
    assert!(!rig.path("out").exists());
    let report = report(&rig, rig.driver.submit(&WordCount, submit()).await.unwrap()).await;
    let plan = &planned.plan;
    assert_eq!((plan.map_tasks, u64::from(plan.partitions)), (report.map_tasks, report.reduce_tasks));
    assert_eq!((plan.objects, plan.bytes), (report.objects, report.bytes_in));
    assert_eq!(Some(plan.forecast), report.predicted);
    assert_eq!(planned.recommended, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_above_its_ceiling_is_refused_and_leaves_nothing() {
    let rig = Rig::new().await;
    let dear = || rig.submission("out").with_max_usd(1e-9);
    let error = rig.driver.submit(&WordCount, dear()).await.err().unwrap();
    assert_eq!(error.code(), "over-ceiling");
    assert!(error.to_string().contains("the job would cost about $0.0"), "{error}");
    let error = rig.driver.submit(&WordCount, rig.submission("out").with_max_seconds(1e-6)).await.err().unwrap();
    assert_eq!(error.code(), "over-ceiling");
    for none in [0.0, -1.0, f64::NAN] {
        let error = rig.driver.submit(&WordCount, rig.submission("out").with_max_usd(none)).await.err().unwrap();
        assert_eq!(error.code(), "ceiling", "{none}");
    }
    for none in [-1.0, f64::NAN, f64::INFINITY] {
        let prices = Prices { s3_put: none, ..Prices::of_us_east_1("x86_64") };
        let error = rig.driver.submit(&WordCount, rig.submission("out").with_prices(prices)).await.err().unwrap();
        assert_eq!(error.code(), "prices", "{none}");
    }
    assert!(!rig.path("out").exists());
    assert!(rig.host().reports().iter().all(|report| *report.function != *SPLITTER));
    // One that is high enough is no obstacle.
    let submit = rig.submission("out").with_max_usd(1.0).with_max_seconds(80.0);
    report(&rig, rig.driver.submit(&WordCount, submit).await.unwrap()).await;
    rig.is_right("out");
}

/// Runs a job of `queues_program.rs` that passes its ceiling. Returns what it says, and how many dollars it had spent.
#[track_caller]
fn passes_its_ceiling(case: &str, ms: u64) -> (Value, f64) {
    let dir = tempfile::tempdir().unwrap();
    let ran = run(programs::of_example("queues").args([case, &ms.to_string()]).current_dir(dir.path()));
    assert_eq!(ran.code, Some(0), "{case}: {}", ran.err);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    let message = said["message"].as_str().unwrap();
    eprintln!("{case}: {message}");
    assert_eq!((&said["code"], &said["phase"]), (&json!("ceiling-passed"), &json!("failed")), "{said}");
    assert_eq!(said["attached"], said["message"]);
    assert!(said["hint"].as_str().unwrap().contains("--max-"), "{said}");
    nothing_published(&dir.path().join("out"));
    let usd = message.split("has spent $").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    let usd = usd.unwrap_or_else(|| panic!("it does not say what was spent: {message}"));
    (said, usd)
}

#[test]
fn a_job_whose_code_loops_for_ever_stops_within_its_ceiling() {
    let (said, usd) = passes_its_ceiling("endless below a ceiling", 0);
    // One try of 3 s on 1,769 MB at a dollar a GB-second, and little besides: a second one would have been too much.
    assert_eq!(said["seen"]["mapped"], json!([0, 1, 2]), "{said}");
    assert!((5.0..8.0).contains(&usd), "{said}");
    assert!(said["message"].as_str().unwrap().contains("of the $8 that it may cost, and a task needs a further try"));
}

#[test]
fn a_job_that_spends_more_than_was_likely_is_stopped_at_its_ceiling() {
    let (said, usd) = passes_its_ceiling("slow below a ceiling", 100);
    // Two functions spend 3.5 dollars a second, and the driver looks each second.
    assert!((20.0..32.0).contains(&usd), "{said}");
    assert!(said["left after"].as_u64().unwrap() < 20_000, "{said}");
}

#[test]
fn a_job_that_takes_longer_than_its_ceiling_is_stopped() {
    let (said, _) = passes_its_ceiling("too long", 100);
    assert!(said["message"].as_str().unwrap().contains("longer than the 3 s that it may"), "{said}");
}

/// A job that stays below its ceiling is tried again like any other, and writes down that it was; one without a ceiling writes
/// nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_below_its_ceiling_is_not_disturbed() {
    let rig = Rig::new().await;
    let noted = Rule::dynamodb("UpdateItem").containing("\"x0.0.1\"").times(0).does(Strike::LoseReply);
    for (output, usd) in [("with", Some(1.0)), ("without", None)] {
        rig.strike([noted.clone()]);
        rig.kill_next(MAPPER);
        let submit = rig.submission(output).with_split_bytes(1 << 20);
        let submit = usd.into_iter().fold(submit, |submit, usd| submit.with_max_usd(usd));
        let report = report(&rig, rig.driver.submit(&WordCount, submit).await.unwrap()).await;
        assert_eq!((report.map_tasks, report.retries), (1, 1), "{output}");
        assert_eq!(rig.gates().counts()[0].0, u64::from(usd.is_some()), "{output}");
        rig.is_right(output);
    }
}

/// Nobody waits for the job, and the embedded runtime has no schedule: only its own mappers can see that it has come to its ceiling.
#[tokio::test(flavor = "multi_thread")]
async fn a_mapper_that_hands_on_looks_at_the_ceiling() {
    let rig = Rig::new().await;
    let items = vec![Vec::new(); 400];
    let submit =
        Submit::to(shown(&rig.path("held"))).with_items_per_split(400).with_map_time(Duration::from_millis(300));
    let submit = submit.with_max_seconds(3.0);
    let handle = rig.driver.submit_items(&BenchHold { ms: 200 }, items, submit).await.unwrap();
    let view = loop {
        let view = rig.conductor.ledger.job(handle.id()).await.unwrap();
        if view.phase.is_final() {
            break view;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(view.phase, Phase::Failed);
    assert!(view.error.as_ref().unwrap().is(Code::CeilingPassed), "{:?}", view.error);
    rig.driver.close().await;
}
