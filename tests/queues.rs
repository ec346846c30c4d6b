//! Waiting is not dying: what Lambda keeps in its queue, or delivers twice, is run once; what never ends is ended, and what can
//! never run is named. `queues_program.rs` runs the jobs.

use crate::programs;
use crate::rig::{self, CLAIM, COMMIT, Rig};
use crate::support::{conductor_on, nothing_published, run, shown, text};
use kinglet::{Local, LocalFunctions, Phase, Submit, Timestamp};
use kinglet_aws::Clock;
use kinglet_jobs::WordCount;
use kinglet_local::gate::{Rule, Strike};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// How long each record takes that waits in a queue, in seconds: 2, or what this variable says.
const QUEUE_S: &str = "KINGLET_QUEUE_S";

fn program(case: &str, ms: u64) -> (Value, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let ran = run(programs::of_example("queues").args([case, &ms.to_string()]).current_dir(dir.path()));
    assert_eq!(ran.code, Some(0), "{case}: {}", ran.err);
    (serde_json::from_str(&ran.out).unwrap(), dir)
}

#[test]
fn tasks_that_waited_for_a_free_function_were_taken_for_lost_and_run_again() {
    let queue_s: u64 = std::env::var(QUEUE_S).ok().and_then(|s| s.parse().ok()).unwrap_or(2);
    let (said, _) = program("queue", queue_s * 1_000);
    let all: Vec<u32> = (0..10).collect();
    assert_eq!(said, json!({ "retries": 0, "seen": { "mappers": 10, "mapped": all } }));
}

#[test]
fn an_event_that_lambda_delivered_twice_was_mapped_twice() {
    let (said, _) = program("twice", 2_000);
    // The second executions were there, and left.
    assert_eq!(said, json!({ "fired": 2, "retries": 0, "seen": { "mappers": 4, "mapped": [0, 1] } }));
}

#[test]
fn a_record_that_never_ends_was_tried_until_there_were_no_tries_left() {
    let (said, dir) = program("endless", 0);
    assert_eq!(said["code"], "timed-out", "{said}");
    assert!(said["message"].as_str().unwrap().contains("failed 2 times"), "{said}");
    assert_eq!(said["seen"]["mapped"], json!([0, 1, 1, 2]), "{said}");
    nothing_published(&dir.path().join("out"));
}

#[test]
fn mappers_of_a_cancelled_job_ran_on_to_their_end() {
    let (said, dir) = program("cancel", 100);
    // Of the 50 s that each of them had to go on.
    assert!(said["code"] == "cancelled" && said["left after"].as_u64().unwrap() < 20_000, "{said}");
    nothing_published(&dir.path().join("out"));
}

#[test]
fn a_record_that_never_ends_kept_its_function_until_its_timeout_when_the_job_was_cancelled() {
    let (said, dir) = program("cancel endless", 0);
    // After 30 s, not after the 900 s of the timeout.
    assert!(said["code"] == "cancelled" && said["left after"].as_u64().unwrap() < 80_000, "{said}");
    nothing_published(&dir.path().join("out"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_whose_clock_was_five_minutes_fast_took_running_tries_for_dead() {
    let rig = Rig::new().await;
    let held = Rule::dynamodb("UpdateItem").containing(COMMIT).does(Strike::HoldBefore);
    let claims = Rule::dynamodb("UpdateItem").containing(CLAIM).times(0).does(Strike::LoseReply);
    rig.strike([held, claims]);
    let handle = rig.submit("out").await;
    let commit = rig.held().await;
    for off_ms in [300_000_i64, -300_000, 86_400_000] {
        let clock = Clock::of_machine(Timestamp(Timestamp::now().0.saturating_add_signed(off_ms)));
        let other = conductor_on(&rig.driver, clock.clone());
        for _ in 0..3 {
            assert_eq!(other.conduct(handle.id()).await.unwrap(), Phase::Mapping);
        }
        let left_ms = off_ms + clock.ahead_ms().unwrap();
        assert!(left_ms.abs() < 2_000, "{off_ms} ms off, and {left_ms} ms after the services had answered");
    }
    assert_eq!(rig.gates().counts()[1].0, 0, "a try was claimed");
    commit.go_on();
    assert_eq!(rig::end(&handle).await.unwrap().retries, 0);
    rig.is_right("out");
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordinary_map_task_costs_three_writes_at_most() {
    let rig = Rig::new().await;
    let count = |operation, text| Rule::dynamodb(operation).containing(text).times(0).does(Strike::LoseReply);
    let operations = ["UpdateItem", "PutItem", "BatchWriteItem", "TransactWriteItems"];
    // By the key of the task's group; and all writes of batches, which are runs, and the index of those that lie in S3.
    let rules = operations.map(|operation| count(operation, "#map#"));
    let runs = Rule::dynamodb("BatchWriteItem").times(0).does(Strike::LoseReply);
    for inline_bytes in [u64::MAX, 0] {
        rig.strike(rules.iter().cloned().chain([runs.clone()]).collect::<Vec<_>>());
        let output = format!("out-{inline_bytes}");
        let submit = rig.submission(&output).with_inline_bytes(inline_bytes);
        let handle = Box::pin(rig.driver.submit(&WordCount, submit)).await.unwrap();
        rig::end(&handle).await.unwrap();
        rig.is_right(&output);
        let seen: Vec<u64> = rig.gates().counts().into_iter().map(|(seen, _)| seen).collect();
        // A start and a commit each, and the runs or their index.
        assert_eq!(seen, [2 * rig::MAPS, 0, 0, 0, rig::MAPS]);
    }
    rig.driver.close().await;
}

/// A job whose splitter is this program: the error.
async fn with_splitter(make: impl FnOnce(&Path)) -> kinglet::Error {
    let dir = tempfile::tempdir().unwrap();
    let functions = dir.path().join("functions");
    fs::create_dir(&functions).unwrap();
    for role in ["mapper", "reducer"] {
        let name = format!("kinglet-{role}");
        symlink(programs::directory().join(&name), functions.join(&name)).unwrap();
    }
    make(&functions.join("kinglet-splitter"));
    fs::write(dir.path().join("in.txt"), text(1, 1_000)).unwrap();
    let choices = |local: Local| local.with_functions(LocalFunctions::Directory(functions.clone()));
    let driver = crate::support::driver(choices).await;
    let out = dir.path().join("out");
    let submit = Submit::new([shown(&dir.path().join("in.txt"))], shown(&out));
    let ended = async { driver.submit(&WordCount, submit).await?.wait().await };
    let error = tokio::time::timeout(Duration::from_secs(150), ended).await.expect("the job ends").unwrap_err();
    nothing_published(&out);
    driver.close().await;
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_splitter_that_can_never_run_was_waited_for_without_end() {
    let dies = with_splitter(|path| symlink("/bin/false", path).unwrap());
    let is_none = with_splitter(|path| {
        fs::write(path, "no program").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    });
    let (dies, is_none) = tokio::join!(dies, is_none);
    assert!(dies.to_string().contains("exit status 1") && dies.hint().is_some(), "{dies}");
    assert!(dies.to_string().contains("splitting failed"), "{dies}");
    assert!(is_none.to_string().contains("splitting failed") && is_none.hint().is_some(), "{is_none}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a quarter of an hour: run it when what is done about a silent splitter changes"]
async fn a_splitter_that_answers_and_never_begins_was_waited_for_without_end() {
    let rig = Rig::new().await;
    // It cannot say that it begins, and so does nothing.
    let never = rig::refuse(500, "InternalServerError");
    rig.strike([Rule::dynamodb("UpdateItem").containing(rig::START).times(u64::MAX).does(never)]);
    let handle = rig.submit("out").await;
    let began = std::time::Instant::now();
    let ended = tokio::time::timeout(Duration::from_secs(1_500), Box::pin(handle.wait())).await;
    let error = ended.expect("the job ends").unwrap_err();
    println!("{:.0} s: {error}", began.elapsed().as_secs_f64());
    assert!(error.to_string().contains("has not begun"), "{error}");
    rig.idle().await;
    nothing_published(&rig.path("out"));
    rig.driver.close().await;
}
