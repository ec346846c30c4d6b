//! What the functions log: every task's start and end, with its job, task, attempt, request and trace; metrics by the rules of
//! CloudWatch's embedded metric format; errors with code, message and hint; the end of those that could not speak any more.

use crate::programs;
use crate::support::{driver, shown, text};
use kinglet::{Driver, JobId, Submit};
use kinglet_core::wire::{emf, trace};
use kinglet_jobs::{BenchWrite, WordCount};
use kinglet_local::lambda::{Fault, FaultPlan, FaultRule, InvocationReport};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

/// All lines of JSON that the functions of a driver have logged.
fn lines(driver: &Driver) -> Vec<Value> {
    let reports = driver.runtime().unwrap().host().reports();
    let logs: BTreeSet<_> = reports.iter().filter_map(|report| report.log.clone()).collect();
    let text: String = logs.iter().map(|log| fs::read_to_string(log).unwrap()).collect();
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn of_message<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["message"] == message).collect()
}

/// Runs a job to its end on an input of so many bytes: its id, and whether it succeeded.
async fn run<J: kinglet::Job>(driver: &Driver, job: &J, input: &[u8], choices: fn(Submit) -> Submit) -> (JobId, bool) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in"), input).unwrap();
    let submit = Submit::new([shown(&dir.path().join("in"))], shown(&dir.path().join("out")));
    let handle = driver.submit(job, choices(submit)).await.unwrap();
    let done = handle.wait().await;
    idle(driver).await;
    (handle.id().clone(), done.is_ok())
}

/// The last worker writes its line after the job has ended: it is done when it can be given another event.
async fn idle(driver: &Driver) {
    while driver.runtime().unwrap().host().pending() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn in_tasks(submit: Submit) -> Submit {
    submit.with_split_bytes(10_000).with_partitions(3)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_task_has_a_start_and_an_end_with_metrics_and_all_have_the_jobs_trace() {
    let driver = driver(|local| local).await;
    let (first, _) = run(&driver, &WordCount, &text(1, 50_000), in_tasks).await;
    let (second, _) = run(&driver, &WordCount, &text(2, 50_000), in_tasks).await;
    let lines = lines(&driver);
    let reports: Vec<InvocationReport> = driver.runtime().unwrap().host().reports();

    // One splitter, five mappers and three reducers a job, in any order.
    let mut want = BTreeSet::new();
    for job in [&first, &second] {
        want.insert((job.to_string(), "split".to_owned(), None));
        want.extend((0..5).map(|n| (job.to_string(), "map".to_owned(), Some(n))));
        want.extend((0..3).map(|n| (job.to_string(), "reduce".to_owned(), Some(n))));
    }
    let about = |line: &Value| {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (text("job"), text("stage"), line["task"].as_u64())
    };
    for message in ["task started", "task ended"] {
        let found = of_message(&lines, message);
        assert_eq!(found.iter().map(|line| about(line)).collect::<BTreeSet<_>>(), want, "{message}");
        assert_eq!(found.len(), want.len(), "{message}");
    }

    // Every line says of which invocation, job and trace it is.
    let requests: BTreeMap<_, _> = reports.iter().map(|report| (&*report.request_id, report)).collect();
    for line in &lines {
        let job: JobId = line["job"].as_str().unwrap_or_else(|| panic!("no job in {line}")).parse().unwrap();
        assert_eq!(line["traceId"], trace::root_of(&job), "{line}");
        let report = requests[line["requestId"].as_str().unwrap()];
        if line["message"] == "task started" {
            assert_eq!((&line["function"], &line["cold"]), (&(*report.function).into(), &report.cold.into()), "{line}");
        }
    }

    let ended = of_message(&lines, "task ended");
    for line in &ended {
        emf::check(&line.to_string()).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!((&line["JobName"], &line["Failed"]), (&"word-count".into(), &0.into()), "{line}");
        assert!(line["Duration"].as_f64().unwrap() > 0.0 && line["MemoryPeak"].as_u64().unwrap() > 0, "{line}");
        let report = requests[line["requestId"].as_str().unwrap()];
        assert_eq!(line["ColdStart"], u64::from(report.cold), "{line}");
    }
    let sum = |stage: &str, metric: &str| -> u64 {
        let lines = ended.iter().filter(|line| line["stage"] == stage && line["job"] == first.as_str());
        lines.map(|line| line[metric].as_u64().unwrap()).sum()
    };
    assert_eq!((sum("split", "Records"), sum("split", "Bytes"), sum("map", "Bytes")), (1, 50_000, 50_000));
    let words = text(1, 50_000).split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count() as u64;
    assert_eq!(sum("map", "Records"), words);
    assert!(sum("reduce", "Records") > 0 && sum("reduce", "Bytes") > 0);
    driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_is_logged_with_its_code_and_the_job_that_it_ended() {
    let driver = driver(|local| local).await;
    let dir = tempfile::tempdir().unwrap();
    let submit = Submit::to(shown(&dir.path().join("out"))).with_items_per_split(1);
    let handle = driver.submit_items(&BenchWrite { bytes: 0 }, [7u64], submit).await.unwrap();
    assert_eq!(handle.wait().await.unwrap_err().code(), "map-failed");
    idle(&driver).await;
    let job = handle.id();
    let lines = lines(&driver);
    let tried = of_message(&lines, "a try failed");
    assert_eq!((tried.len(), &tried[0]["level"], &tried[0]["code"]), (1, &"WARN".into(), &"map-failed".into()));
    assert!(tried[0]["error"].as_str().unwrap().contains("at least one byte"), "{tried:?}");
    let ended = of_message(&lines, "the job ended without success");
    assert_eq!((ended.len(), &ended[0]["level"], &ended[0]["code"]), (1, &"ERROR".into(), &"map-failed".into()));
    for line in [tried[0], ended[0]] {
        assert_eq!((&line["job"], &line["task"], &line["attempt"]), (&job.as_str().into(), &0.into(), &0.into()));
    }
    let task = of_message(&lines, "task ended").into_iter().find(|line| line["stage"] == "map").unwrap();
    assert_eq!((&task["outcome"], &task["code"], &task["Failed"]), (&"failed".into(), &"map-failed".into(), &1.into()));
    driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_splitter_speaks_for_a_function_that_died() {
    let driver = driver(|local| local).await;
    let host = driver.runtime().unwrap().host();
    let kill = Fault::KillWorker { after: Duration::ZERO };
    host.set_faults(FaultPlan { seed: 1, rules: vec![FaultRule::nth("kinglet-mapper", 2, kill)] });
    let (job, succeeded) = run(&driver, &WordCount, &text(3, 50_000), in_tasks).await;
    assert!(succeeded && host.fault_counts()[0].fired == 1);
    let lines = lines(&driver);
    let died: Vec<_> = lines.iter().filter(|line| line["outcome"] == "died").collect();
    assert_eq!(died.len(), 1);
    emf::check(&died[0].to_string()).unwrap();
    let want = [("job", job.as_str()), ("stage", "map"), ("code", "out-of-memory"), ("Function", "kinglet-mapper")];
    for (name, value) in want {
        assert_eq!(died[0][name], value, "{}", died[0]);
    }
    assert_eq!((&died[0]["JobName"], &died[0]["Failed"]), (&"word-count".into(), &1.into()));
    // The second try hangs in the same trace, though the splitter asked for it.
    let again = lines.iter().find(|line| line["attempt"] == 1 && line["message"] == "task started").unwrap();
    assert_eq!((&again["task"], &again["traceId"]), (&died[0]["task"], &trace::root_of(&job).into()));
    driver.close().await;
}

#[test]
fn what_the_jobs_own_code_logs_has_its_task_and_what_it_prints_passes_through() {
    let dir = tempfile::tempdir().unwrap();
    let ran = crate::support::run(programs::of_example("items").arg("logs").current_dir(dir.path()));
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let (json, other): (Vec<&str>, Vec<&str>) = ran.out.lines().partition(|line| line.starts_with('{'));
    let lines: Vec<Value> = json.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = of_message(&lines, "said by the job");
    assert!(!said.is_empty(), "{}", ran.out);
    for line in said {
        assert_eq!((&line["level"], &line["target"], &line["stage"]), (&"INFO".into(), &"items".into(), &"map".into()));
        // Each item is a task of its own here; the job's thread is not the one that took the event.
        assert_eq!((&line["number"], &line["attempt"]), (&line["task"], &0.into()), "{line}");
        assert_eq!(line["traceId"], trace::root_of(&line["job"].as_str().unwrap().parse().unwrap()));
    }
    let panics = of_message(&lines, "a panic");
    assert_eq!((panics.len(), &panics[0]["code"], &panics[0]["task"]), (1, &"panic".into(), &3.into()), "{panics:?}");
    assert!(panics[0]["error"].as_str().unwrap().contains("this number is unthinkable"), "{}", panics[0]);
    assert!(panics[0]["place"].as_str().unwrap().contains("items_program.rs:"), "{}", panics[0]);
    assert!(panics[0]["thread"].as_str().unwrap().starts_with("engine-"), "{}", panics[0]);
    assert!(other.contains(&"printed by the job: 3"), "{}", ran.out);
}
