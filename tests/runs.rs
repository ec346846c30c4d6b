//! Where intermediate results lie: what is written to any place comes back from it, what is not there is missed, and when the
//! job has succeeded they go.

use crate::rig::{self, PATIENCE, REDUCER, Rig, refuse};
use crate::support::{conductor, create_job, driver};
use kinglet::{Report, Submit};
use kinglet_aws::runs::{Batch, RunsAttempt};
use kinglet_core::ids::{AttemptId, JobId, Piece, TaskIdx};
use kinglet_core::wire::record::{MapRecord, Placement, Usage};
use kinglet_jobs::WordCount;
use kinglet_local::gate::{Rule, Strike};
use std::fs;
use std::time::Duration;

/// A batch whose results lie here, as its commit says it.
fn batch(of: RunsAttempt, placement: Placement, run_bytes: u64) -> Batch {
    let record = MapRecord {
        attempt: of.attempt,
        bytes_assigned: 0,
        taken: None,
        bytes_read: 0,
        crc32: 0,
        records: 0,
        rejected: 0,
        pairs_emitted: 0,
        pairs_out: 0,
        run_bytes,
        placement,
        spills: 0,
        remainder: None,
        usage: Usage::default(),
    };
    Batch { task: of.task, piece: of.piece, record }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_come_back_from_every_place_in_the_order_asked_for() {
    let driver = driver(|local| local).await;
    let conductor = conductor(&driver);
    let job = create_job(&conductor, "map", None).await;
    let store = conductor.runs(&job);
    let mut batches = Vec::new();
    let mut wanted = Vec::new();
    // Of several groups, since inline results lie by group, and longer than an item.
    for (n, (bytes, inline_max)) in [(10, None), (0, None), (900_000, Some(u64::MAX)), (20, Some(0)), (9_000_000, None)]
        .into_iter()
        .cycle()
        .take(15)
        .enumerate()
    {
        let (task, piece) = (TaskIdx(n as u32 * 20), Piece(n as u16 % 2));
        let of = RunsAttempt { task, piece, attempt: AttemptId { number: 0, nonce: n as u32 } };
        let results = vec![n as u8; bytes];
        let placed = store.write_results(of, results.clone(), inline_max).await.unwrap();
        let want = match (bytes, inline_max) {
            (0, _) => Placement::Nowhere,
            (9_000_000, _) | (_, Some(0)) => Placement::Object,
            _ => Placement::Inline,
        };
        assert_eq!((placed.placement, placed.bytes), (want, bytes as u64));
        batches.push(batch(of, placed.placement, placed.bytes));
        wanted.push(results);
    }
    assert_eq!(store.results(&batches).await.unwrap(), wanted);
    batches.reverse();
    wanted.reverse();
    assert_eq!(store.results(&batches).await.unwrap(), wanted);
    assert!(store.results(&[]).await.unwrap().is_empty());

    // An attempt that wrote nothing, and one of which something is missing.
    let of = RunsAttempt { task: TaskIdx(1), piece: Piece(0), attempt: AttemptId { number: 3, nonce: 3 } };
    for placement in [Placement::Inline, Placement::Object, Placement::Nowhere] {
        assert!(store.results(&[batch(of, placement, 7)]).await.is_err(), "{placement:?}");
    }
    store.write_results(of, vec![1; 6], None).await.unwrap();
    let error = store.results(&[batch(of, Placement::Inline, 7)]).await.unwrap_err();
    assert_eq!(error.code(), "results-missing");
    driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_reduce_function_returned_comes_back_wherever_it_lies() {
    let driver = driver(|local| local).await;
    let conductor = conductor(&driver);
    let job = create_job(&conductor, "map", None).await;
    let store = conductor.runs(&job);
    for (nonce, bytes) in [(1, 10), (2, 9_000_000)] {
        let attempt = AttemptId { number: 0, nonce };
        let result = vec![nonce as u8; bytes];
        store.write_reduced(attempt, result.clone()).await.unwrap();
        assert_eq!(store.reduced(attempt).await.unwrap(), result);
    }
    assert!(store.reduced(AttemptId { number: 0, nonce: 3 }).await.is_err());
    driver.close().await;
}

/// The keys of the runs that a job has in S3.
async fn runs_of(rig: &Rig, job: &JobId) -> Vec<String> {
    let (bucket, prefix) = (&rig.conductor.stack.work_bucket, format!("jobs/{job}/runs/"));
    rig.conductor.objects.list(bucket, &prefix).await.unwrap().into_iter().map(|object| object.key).collect()
}

/// Runs a word count whose runs lie in S3.
async fn counted(rig: &Rig, output: &str, choose: impl FnOnce(Submit) -> Submit) -> Report {
    let submit = choose(rig.submission(output).with_inline_bytes(0));
    let report = rig::end(&rig.driver.submit(&WordCount, submit).await.unwrap()).await.unwrap();
    rig.is_right(output);
    rig.idle().await;
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runs_of_a_job_that_has_succeeded_are_removed_unless_they_are_kept() {
    let rig = Rig::new().await;
    let kept = counted(&rig, "kept", Submit::with_runs_kept).await;
    assert_eq!((kept.runs.object, kept.removed_bytes), (rig::MAPS, 0));
    let removed = counted(&rig, "removed", |submit| submit).await;
    assert_eq!((removed.runs.object, removed.removed_bytes), (rig::MAPS, removed.shuffle_bytes));
    assert!(removed.to_string().contains("those in S3, ") && !kept.to_string().contains("those in S3, "));
    // Those of the other job are as they were, and so is all else of this one.
    assert_eq!((runs_of(&rig, &kept.job).await.len() as u64, runs_of(&rig, &removed.job).await.len()), (rig::MAPS, 0));
    rig.conductor.spec(&removed.job).await.unwrap();
    rig.leaves_nothing(&removed.job).await;
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_runs_cannot_be_removed_has_succeeded_all_the_same() {
    let rig = Rig::new().await;
    rig.strike([Rule::s3("DeleteObjects").containing("/runs/").times(u64::MAX).does(refuse(403, "AccessDenied"))]);
    let report = counted(&rig, "out", |submit| submit).await;
    assert_eq!((runs_of(&rig, &report.job).await.len() as u64, rig.struck()), (rig::MAPS, vec![1]));
    rig.strike([]);
    rig.leaves_nothing(&report.job).await;
    rig.driver.close().await;
}

/// A job that fails or is cancelled keeps its runs, which may say why, and reducers of it may still read them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runs_of_a_job_that_has_not_succeeded_stay() {
    let rig = Rig::new().await;
    rig.strike([Rule::s3("UploadPart").containing("part-").does(Strike::HoldBefore)]);
    let submit = rig.submission("out").with_inline_bytes(0);
    let handle = rig.driver.submit(&WordCount, submit).await.unwrap();
    let held = rig.held().await;
    handle.cancel().await.unwrap();
    held.go_on();
    rig.idle().await;
    assert_eq!(runs_of(&rig, handle.id()).await.len() as u64, rig::MAPS);
    rig.leaves_nothing(handle.id()).await;
    rig.driver.close().await;
}

/// A reducer stands still before it reads a run. Another does its task, the job succeeds, and the run is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reducer_that_stood_still_until_the_runs_were_gone_has_not_failed() {
    let rig = Rig::new().await;
    rig.strike([Rule::s3("GetObject").containing("/runs/").does(Strike::HoldBefore)]);
    let submit = rig.submission("out").with_inline_bytes(0).with_partitions(1);
    let handle = rig.driver.submit(&WordCount, submit).await.unwrap();
    let held = rig.held().await;
    let job = handle.id();
    rig.conductor.try_failed(job, rig::FIRST_REDUCE, rig.says_of_first_reduce(job).await, &rig::lost()).await.unwrap();
    rig::end(&handle).await.unwrap();
    let gone = async {
        while !runs_of(&rig, handle.id()).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the runs go");
    held.go_on();
    rig.idle().await;
    let reports = rig.host().reports().into_iter().filter(|report| *report.function == *REDUCER);
    let logs: String = reports.filter_map(|report| fs::read_to_string(report.log?).ok()).collect();
    let of = |outcome: &str| logs.matches(&format!(r#""outcome":"{outcome}""#)).count();
    assert_eq!([of("committed"), of("skipped"), of("failed")], [1, 1, 0], "{logs}");
    rig.is_right("out");
    rig.driver.close().await;
}
