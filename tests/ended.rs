//! An event bus is told of each job's end: once it has ended, however it has, and again and again until the bus takes it. The bus is
//! ministack's.

use crate::ministack::Ministack;
use crate::support::{conductor, driver, shown};
use crate::venv;
use kinglet::{Driver, Phase, Submit};
use kinglet_core::wire::event::{Event, SweepEvent};
use kinglet_jobs::WordCount;
use serde_json::Value;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

const SPLITTER: &str = "kinglet-splitter";

/// Runs the script that makes the bus, and takes what comes.
async fn script(python: &Path, url: &str, args: &[&str]) -> Vec<Value> {
    venv::said(python, "event_bus.py", args, ("EVENT_BUS_URL", url)).await
}

async fn telling(url: &str) -> Driver {
    driver(|local| {
        local.with_function_env("KINGLET_EVENT_BUS", "jobs").with_function_env("AWS_ENDPOINT_URL_EVENTBRIDGE", url)
    })
    .await
}

/// How many invocations of the splitter have ended, and how many of these without success.
fn splitters(driver: &Driver) -> (usize, usize) {
    let reports = driver.runtime().unwrap().host().reports();
    let of: Vec<_> = reports.iter().filter(|report| &*report.function == SPLITTER).collect();
    (of.len(), of.iter().filter(|report| report.error.is_some()).count())
}

async fn sweep(driver: &Driver) {
    let before = splitters(driver).0;
    conductor(driver).functions.start(&Event::Sweep(SweepEvent {})).await.unwrap();
    while splitters(driver).0 == before {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_bus_is_told_of_each_end() {
    let Some(python) = venv::python("an_event_bus_is_told_of_each_end") else { return };
    let server = Ministack::start(python);
    script(python, &server.url, &["make"]).await;
    let driver = telling(&server.url).await;
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (shown(&dir.path().join("in")), shown(&dir.path().join("out")));
    fs::write(&input, "a b a").unwrap();

    let succeeds = driver.submit(&WordCount, Submit::new([&input], &output)).await.unwrap();
    succeeds.wait().await.unwrap();
    let fails =
        driver.submit(&WordCount, Submit::new(["s3://nowhere/x"], shown(&dir.path().join("none")))).await.unwrap();
    assert_eq!(fails.wait().await.unwrap_err().code(), "bucket-missing");
    let told = script(python, &server.url, &["receive", "2"]).await;
    let of = |job: &kinglet::JobHandle| {
        told.iter().find(|event| event["detail"]["job"] == job.id().as_str()).unwrap_or_else(|| panic!("{told:?}"))
    };
    let event = of(&succeeds);
    assert_eq!((&event["source"], &event["detail-type"]), (&"kinglet".into(), &"Kinglet Job Ended".into()));
    let detail = &event["detail"];
    assert_eq!((&detail["stack"], &detail["name"]), (&"kinglet".into(), &"word-count".into()));
    assert_eq!(
        (&detail["state"], &detail["error"], &detail["output"]),
        (&"succeeded".into(), &Value::Null, &output.into())
    );
    let [submitted, ended] = ["submittedAt", "endedAt"].map(|name| detail[name].as_u64().unwrap());
    assert!(submitted <= ended && ended - submitted < 600_000, "{detail}");
    let detail = &of(&fails)["detail"];
    assert_eq!((&detail["state"], &detail["error"]["code"]), (&"failed".into(), &"bucket-missing".into()));

    // A driver that ends a job wakes nobody: the sweep tells of it, and of no other again.
    let cancelled =
        driver.submit(&WordCount, Submit::new(["s3://nowhere/y"], shown(&dir.path().join("no")))).await.unwrap();
    let _ = cancelled.cancel().await;
    while !cancelled.status().await.unwrap().phase.is_final() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sweep(&driver).await;
    sweep(&driver).await;
    let told = script(python, &server.url, &["receive", "1"]).await;
    let mut jobs: Vec<_> = told.iter().map(|event| event["detail"]["job"].as_str().unwrap()).collect();
    // Two that tell at the same time both tell.
    jobs.dedup();
    assert_eq!(jobs, [cancelled.id().as_str()]);
    driver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_whether_or_not_the_event_bus_can_be_told() {
    // Nobody listens there.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let driver = telling(&format!("http://127.0.0.1:{port}")).await;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in"), "a b a").unwrap();
    let (input, output) = (shown(&dir.path().join("in")), shown(&dir.path().join("out")));
    let job = driver.submit(&WordCount, Submit::new([input], output)).await.unwrap();
    job.wait().await.unwrap();
    assert_eq!(job.status().await.unwrap().phase, Phase::Succeeded);
    // Whoever tells says that it could not, and Lambda keeps the event.
    while splitters(&driver).1 == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The sweep goes on with all else.
    sweep(&driver).await;
    driver.close().await;
}
