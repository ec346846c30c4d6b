//! The index of a job's runs: each reducer reads one row of it and no records of map tasks; whoever dies while it is written is
//! followed by another; and when the job has succeeded it goes with the runs.

use crate::rig::{self, MAPPER, REDUCER, Rig, refuse, until};
use crate::support::{naive_count, read_output, shown, text};
use kinglet::{Report, Submit};
use kinglet_core::ids::JobId;
use kinglet_core::wire::spec::Indexed;
use kinglet_jobs::WordCount;
use kinglet_local::gate::{Rule, Strike};
use std::fs;
use std::time::Duration;

/// How many reducers read.
const PARTITIONS: u64 = 5;

/// How often a request is sent: a rule that strikes none.
fn counted(rule: kinglet_local::gate::Matching) -> Rule {
    rule.times(0).does(Strike::LoseReply)
}

/// What is asked for while a job finds its runs: rows and tables of an index; the indexes of map attempts; groups' records.
fn asked() -> Vec<Rule> {
    vec![
        counted(Rule::s3("GetObject").containing("/index/")),
        counted(Rule::s3("PutObject").containing("/index/")),
        counted(Rule::dynamodb("Query").containing("#index#")),
        counted(Rule::dynamodb("BatchGetItem").containing("#map#")),
    ]
}

fn submission(rig: &Rig, output: &str, indexed: Indexed) -> Submit {
    rig.submission(output).with_inline_bytes(0).with_partitions(PARTITIONS as u32).with_indexed(indexed)
}

/// Runs a word count to its end without a driver that looks. Returns the report, and how often each of [`asked`] was sent.
async fn count(rig: &Rig, output: &str, submit: Submit) -> (Report, Vec<u64>) {
    rig.strike(asked());
    let handle = rig.driver.submit(&WordCount, submit).await.unwrap();
    rig.ends_alone(handle.id()).await;
    rig.idle().await;
    let seen = rig.gates().counts().into_iter().map(|(seen, _)| seen).collect();
    let report = rig::end(&handle).await.unwrap();
    rig.is_right(output);
    (report, seen)
}

/// The keys of the indexes that lie in the work bucket.
async fn indexes(rig: &Rig, job: &JobId) -> Vec<String> {
    let (bucket, prefix) = (&rig.conductor.stack.work_bucket, format!("jobs/{job}/index/"));
    rig.conductor.objects.list(bucket, &prefix).await.unwrap().into_iter().map(|object| object.key).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reducer_reads_one_row_of_the_index_and_nothing_of_the_map_tasks() {
    let rig = Rig::new().await;
    let (_, by_ledger) = count(&rig, "ledger", submission(&rig, "ledger", Indexed::Never)).await;
    let (report, by_index) = count(&rig, "index", submission(&rig, "index", Indexed::Always).with_runs_kept()).await;
    // All map tasks are in one group, whose records and indexes every reducer reads, and two who decide and end the job.
    let [gets, puts, queries, _] = by_ledger[..] else { panic!("{by_ledger:?}") };
    assert_eq!((gets, puts, queries), (0, 0, PARTITIONS));
    // A row each and the table; the indexes are read once.
    let [gets, puts, queries, _] = by_index[..] else { panic!("{by_index:?}") };
    assert_eq!((gets, puts, queries), (PARTITIONS + 1, 1, 1));
    // Each reducer read the records, and now who writes the index does.
    assert_eq!(by_ledger[3] - by_index[3], PARTITIONS - 1, "{by_ledger:?} {by_index:?}");
    assert_eq!(indexes(&rig, &report.job).await, [format!("jobs/{}/index/1", report.job)]);
    rig.leaves_nothing(&report.job).await;
    rig.driver.close().await;
}

/// The rule that decides by itself leaves a small job as it is: what it takes is what it took.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_job_is_not_indexed() {
    let rig = Rig::new().await;
    let (_, never) = count(&rig, "never", submission(&rig, "never", Indexed::Never)).await;
    let (_, chosen) = count(&rig, "chosen", submission(&rig, "chosen", Indexed::WhereCheaper)).await;
    assert_eq!(never, chosen);
    rig.driver.close().await;
}

/// Attempts of one job whose runs lie in DynamoDB, in S3 and nowhere, in several groups and pieces.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_names_runs_wherever_they_lie() {
    let rig = Rig::new().await;
    fs::create_dir(rig.path("many")).unwrap();
    // Few words or many, so that runs are short or long.
    let texts: Vec<Vec<u8>> = (0..70).map(|n| text(n, if n % 3 == 0 { 4_000 } else { 40 })).collect();
    texts.iter().zip(0..).for_each(|(text, n)| fs::write(rig.path("many").join(format!("f{n:02}")), text).unwrap());
    let submit = Submit::new([shown(&rig.path("many"))], shown(&rig.path("out"))).with_split_bytes(4_000);
    let submit = submit.with_partitions(3).with_inline_bytes(500).with_indexed(Indexed::Always);
    let handle = rig.driver.submit(&WordCount, submit).await.unwrap();
    let report = rig::end(&handle).await.unwrap();
    assert!(report.runs.inline > 0 && report.runs.object > 0 && report.map_tasks > 32, "{report:?}");
    assert!(read_output(&rig.path("out")).counts == naive_count(texts.iter().map(Vec::as_slice)));
    rig.idle().await;
    assert!(indexes(&rig, &report.job).await.is_empty(), "the index went with the runs");
    rig.leaves_nothing(&report.job).await;
    rig.driver.close().await;
}

/// The mapper that writes the index dies, before or after the object is there. Another writes one of the next number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_dies_with_an_index_half_written_is_followed_by_another() {
    rig::all_at_once([Strike::HoldBefore, Strike::HoldAfter].map(|strike| async move {
        let rig = Rig::new().await;
        rig.strike([Rule::s3("PutObject").containing("/index/").does(strike)]);
        let handle = rig.driver.submit(&WordCount, submission(&rig, "out", Indexed::Always)).await.unwrap();
        let held = rig.held().await;
        rig.kill(MAPPER).await;
        held.lose();
        let report = rig::end(&handle).await.unwrap();
        assert_eq!(rig.conductor.ledger.job(&report.job).await.unwrap().index.at.map(|at| at.number), Some(2));
        rig.is_right("out");
        rig.idle().await;
        assert!(indexes(&rig, &report.job).await.is_empty(), "both went with the runs");
        rig.leaves_nothing(&report.job).await;
        rig.driver.close().await;
    }))
    .await;
}

/// A job whose index cannot be written fails, and says why, as it would if its runs could not be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_index_cannot_be_written_fails() {
    let rig = Rig::new().await;
    let denied = Rule::s3("PutObject").containing("/index/").times(u64::MAX).does(refuse(403, "AccessDenied"));
    rig.strike([denied]);
    let handle = rig.driver.submit(&WordCount, submission(&rig, "out", Indexed::Always)).await.unwrap();
    let error = rig::end(&handle).await.unwrap_err();
    assert_eq!(error.code(), "access-denied");
    assert!(error.to_string().contains("/index/1"), "{error}");
    rig.leaves_nothing(handle.id()).await;
    rig.driver.close().await;
}

/// A reducer stands still before it reads its row. Another does its task, the job succeeds, and the index is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reducer_that_stood_still_until_the_index_was_gone_has_not_failed() {
    let rig = Rig::new().await;
    let submit = submission(&rig, "out", Indexed::Always).with_partitions(1);
    // The first GET is that of the table.
    rig.strike([Rule::s3("GetObject").containing("/index/").after(1).does(Strike::HoldBefore)]);
    let handle = rig.driver.submit(&WordCount, submit).await.unwrap();
    let held = rig.held().await;
    let job = handle.id();
    rig.conductor.try_failed(job, rig::FIRST_REDUCE, rig.says_of_first_reduce(job).await, &rig::lost()).await.unwrap();
    let report = rig::end(&handle).await.unwrap();
    let mut left = indexes(&rig, &report.job).await.len();
    while left > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        left = indexes(&rig, &report.job).await.len();
    }
    held.go_on();
    rig.idle().await;
    let reports = rig.host().reports().into_iter().filter(|report| *report.function == *REDUCER);
    let logs: String = reports.filter_map(|report| fs::read_to_string(report.log?).ok()).collect();
    let of = |outcome: &str| logs.matches(&format!(r#""outcome":"{outcome}""#)).count();
    assert_eq!([of("committed"), of("skipped"), of("failed")], [1, 1, 0], "{logs}");
    rig.is_right("out");
    until("nothing runs", || rig.host().pending() == 0).await;
    rig.driver.close().await;
}
