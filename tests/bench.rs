//! `kinglet bench` at tiny sizes: every benchmark runs as often as asked, the raw numbers are all there and agree with each
//! other, the bill is the sum of the jobs, and nothing is left. The embedded services answer as the model of AWS says.

use crate::programs;
use crate::support::{conductor, driver, run};
use kinglet::Timestamp;
use kinglet::measure::Samples;
use kinglet_aws::Conductor;
use kinglet_aws::objects::Replace;
use kinglet_aws::probe::Probe;
use kinglet_aws::upload::Upload;
use kinglet_core::ids::JobId;
use kinglet_core::model::PAGE;
use serde_json::Value;
use std::fs;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn the_whole_set_is_measured_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["bench", "--sizes", "200kB,50kB", "--tasks", "40", "--repeat", "2", "--json", "--memory-mb", "512"];
    let ran = run(programs::kinglet().args(args).arg("--data-dir").arg(dir.path()));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "something is left");
    let results: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&results["version"], &results["place"]), (&2.into(), &"embedded".into()));
    let functions: Vec<_> = results["functions"].as_array().unwrap().iter().collect();
    let names: Vec<_> = functions.iter().map(|function| function["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["kinglet-splitter", "kinglet-mapper", "kinglet-mapper-large", "kinglet-reducer"]);
    assert_eq!((&functions[1]["memory_mb"], &functions[2]["memory_mb"]), (&512.into(), &2048.into()));

    let cases = results["cases"].as_array().unwrap();
    let named: Vec<_> = cases.iter().map(|case| (case["name"].as_str().unwrap(), number(&case["size"]))).collect();
    let want = [("write", 200e3), ("read", 200e3), ("word-count", 50e3), ("word-count", 200e3), ("empty-tasks", 40.0)];
    assert_eq!(named, want);
    let (mut jobs, mut gb_seconds, mut invocations) = (0, 0.0, 0.0);
    for case in cases {
        let runs = case["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 2);
        for run in runs {
            let report = &run["report"];
            let amount = if case["unit"] == "B" { number(&case["size"]) } else { 40.0 };
            assert_eq!(run["wall_ms"], report["wall"]["total_ms"]);
            let rate = amount * 1e3 / number(&run["wall_ms"]).max(1.0);
            assert!((number(&run["per_second"]) - rate).abs() < rate * 1e-6, "{run}");
            let attempts = 1.0 + number(&report["map_tasks"]) + number(&report["reduce_tasks"]);
            assert_eq!(number(&run["cold"]) + number(&run["warm"]), attempts);
            match case["name"].as_str().unwrap() {
                "write" => assert_eq!(number(&report["bytes_out"]), amount),
                "empty-tasks" => assert_eq!(number(&report["map_tasks"]), amount),
                _ => assert_eq!(number(&report["bytes_in"]), amount),
            }
            jobs += 1;
            gb_seconds += number(&report["gb_seconds"]);
            invocations += number(&report["requests"]["lambda"]);
        }
        let walls: Vec<_> = runs.iter().map(|run| number(&run["wall_ms"])).collect();
        // Of two runs the slower one is the median.
        assert_eq!(walls[case["median"].as_u64().unwrap() as usize], walls[0].max(walls[1]));
    }
    // Every function began cold once, in some run.
    let colds = cases.iter().flat_map(|case| case["runs"].as_array().unwrap()).map(|run| number(&run["cold"]));
    assert!(colds.sum::<f64>() >= 3.0);
    // The job that made the smaller corpus is on the bill too.
    assert_eq!(number(&results["bill"]["jobs"]) as usize, jobs + 1);
    assert!(number(&results["bill"]["gb_seconds"]) > gb_seconds);
    assert!(number(&results["bill"]["requests"]["lambda"]) >= invocations + 3.0);
    let cost = &results["bill"]["cost"];
    let parts: f64 = ["lambda", "dynamodb", "s3"].map(|part| number(&cost[part])).iter().sum();
    assert!(parts > 0.0 && (parts - number(&cost["total"])).abs() < 1e-12);
}

/// Every line that `kinglet bench --services` has.
const LINES: [&str; 42] = [
    "clock",
    "dynamodb-condition",
    "dynamodb-conflict",
    "dynamodb-consistency",
    "dynamodb-get",
    "dynamodb-query",
    "dynamodb-race",
    "dynamodb-token",
    "dynamodb-too-large",
    "dynamodb-transact",
    "dynamodb-update",
    "lambda-control",
    "lambda-invoke-event",
    "lambda-ping",
    "lambda-too-large",
    "s3-abort-completed",
    "s3-complete-aborted",
    "s3-complete-again",
    "s3-complete-deleted",
    "s3-complete-once",
    "s3-complete-replaced",
    "s3-complete-taken",
    "s3-complete-upload",
    "s3-consistency",
    "s3-create-upload",
    "s3-delete",
    "s3-delete-stale",
    "s3-get-1kib",
    "s3-get-8mib",
    "s3-get-stale",
    "s3-head",
    "s3-list",
    "s3-put-1kib",
    "s3-put-8mib",
    "s3-put-missing",
    "s3-put-new-taken",
    "s3-put-stale",
    "s3-race-new",
    "s3-race-replace",
    "s3-tiny-parts",
    "start-ramp",
    "start-warm",
];

/// Asserts that each line is there with what was measured and what the model says, and that its section is on the page.
pub(crate) fn check_lines(services: &Value) {
    let page = fs::read_to_string(format!("{}/../{PAGE}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let lines = services.as_array().unwrap();
    for name in LINES {
        assert_eq!(lines.iter().filter(|line| line["name"] == name).count(), 1, "{name}: {services}");
    }
    for line in lines {
        let section = format!("\n### {}\n", line["section"].as_str().unwrap());
        assert!(page.contains(&section), "there is no section for {line}");
        assert!(!line["model"]["says"].as_str().unwrap().is_empty(), "{line}");
        let kinds: Vec<_> = line["measured"].as_object().unwrap().keys().collect();
        let known = ["times", "answers", "value", "starts", "nothing"];
        assert!(kinds.len() == 1 && known.contains(&kinds[0].as_str()), "{line}");
    }
}

#[test]
fn the_embedded_services_answer_as_the_model_of_aws_says() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["bench", "--services", "--quick", "--json", "--memory-mb", "512", "--concurrency", "3"];
    let ran = run(programs::kinglet().args(args).arg("--data-dir").arg(dir.path()));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "something is left");
    let results: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(results["cases"].as_array().unwrap().len(), 0);
    check_lines(&results["services"]);
    for line in results["services"].as_array().unwrap() {
        assert_ne!(line["model"]["agrees"], Value::Bool(false), "{line}");
        assert!(line["measured"].get("nothing").is_none() || line["name"] == "start-cold", "{line}");
        if let Some(times) = line["measured"].get("times") {
            assert!(number(&times["n"]) > 0.0 && number(&times["median_us"]) <= number(&times["p99_us"]), "{line}");
        }
    }
    // All of them were started at once, each on a function of its own.
    let ramp = results["services"].as_array().unwrap().iter().find(|line| line["name"] == "start-ramp").unwrap();
    let started: f64 = ramp["measured"]["starts"].as_array().unwrap().iter().map(number).sum();
    assert_eq!(started, 3.0);
    // What it costs was said before.
    let stated = ran.err.lines().next().unwrap();
    assert!(
        stated.starts_with("the services: up to ") && stated.contains("keeps 3 functions for 1 s: about $"),
        "{stated}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_are_tried_with_no_more_requests_than_stated_and_all_of_it_can_be_removed() {
    let driver = driver(|local| local).await;
    let conductor = conductor(&driver);
    let job = JobId::new(Timestamp::now(), 7);
    let before = conductor.clients.meter.totals();
    let lines = Probe::new(&conductor, job.clone(), Samples::FEW).run(&mut |_| {}).await;
    assert_eq!(lines.len(), LINES.iter().filter(|name| !name.starts_with("start-")).count());
    let (sent, stated) = (conductor.clients.meter.since(&before), Samples::FEW.requests());
    for (sent, stated) in [
        (sent.s3_put, stated.s3_put),
        (sent.s3_get, stated.s3_get),
        (sent.s3_delete, stated.s3_delete),
        (sent.dynamodb, stated.dynamodb),
        (sent.lambda, stated.lambda),
    ] {
        assert!(sent <= stated && stated <= 2 * sent, "{sent} were sent and {stated} stated");
    }

    let (bucket, prefix) = (&conductor.stack.work_bucket, Conductor::prefix(&job));
    let objects = &conductor.objects;
    objects.put(bucket, &format!("{prefix}bench/more"), "more".into(), Replace::Yes).await.unwrap();
    let mut upload = Upload::new(objects, bucket, &format!("{prefix}bench/open"));
    upload.push(vec![0; 16 << 20].into()).await.unwrap();
    upload.leave_open().await.unwrap();
    assert!(!objects.list(bucket, &prefix).await.unwrap().is_empty());
    assert_eq!(objects.uploads(bucket, &prefix).await.unwrap().len(), 1);
    conductor.forget_all(&job).await.unwrap();
    assert_eq!(objects.list(bucket, &prefix).await.unwrap(), []);
    assert_eq!(objects.uploads(bucket, &prefix).await.unwrap(), []);
    assert_eq!(conductor.ledger.forget(&job).await.unwrap(), 0);
    driver.close().await;
}

#[test]
fn a_person_gets_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("place");
    fs::create_dir(&place).unwrap();
    let args = ["bench", "--quick", "--sizes", "30kB", "--tasks", "3", "--at"];
    let ran = run(programs::kinglet().args(args).arg(&place).arg("--data-dir").arg(dir.path().join("data")));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for row in ["write 30kB ", "read 30kB ", "word-count 30kB ", "empty-tasks 3 ", "all 4 jobs: ", "on AWS about $"] {
        assert!(ran.out.lines().any(|line| line.starts_with(row)), "{row} is not in: {}", ran.out);
    }
    assert!(ran.err.contains("word count of corpus-30kB, 1 of 1"), "{}", ran.err);
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0, "something is left");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    for (args, code, says) in [
        (&["bench", "--sizes", "1.5GB"][..], 2, "whole number"),
        (&["bench", "--tasks", "0"], 2, "0 is not in 1..=100000"),
        (&["bench", "--quick", "--at", "/nowhere/at/all"], 1, "making a directory in /nowhere/at/all"),
    ] {
        let ran = run(programs::kinglet().args(args));
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
        assert!(ran.err.contains(says), "{says} is not in: {}", ran.err);
    }
}
