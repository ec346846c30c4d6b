//! Replies that are lost, and refusals that mean nothing but "again": the job succeeds, with nothing run twice.

use crate::programs;
use crate::rig::{CLAIM, COMMIT, MAPPER, MAPS, Rig, START, end, into_phase, refuse};
use crate::support::run;
use bytes::Bytes;
use kinglet::Timestamp;
use kinglet_aws::objects::Replace;
use kinglet_aws::upload::Upload;
use kinglet_core::budget::UPLOAD_PART_BYTES;
use kinglet_core::wire::record::ETAGS_MAX;
use kinglet_jobs::WordCount;
use kinglet_local::gate::{Rule, Service, Strike};

/// Runs a job for each of these rules, which must strike as often as they may: it succeeds, with so many retries, and all that
/// it leaves is its result.
async fn succeed(rig: &Rig, cases: Vec<(&str, Rule)>, retries: u64) {
    for (n, (name, rule)) in cases.into_iter().enumerate() {
        let budget = rule.budget;
        rig.strike([rule]);
        let out = format!("out-{retries}-{n}");
        if retries > 0 {
            rig.kill_next(MAPPER);
        }
        let handle = rig.submit(&out).await;
        // Not with the driver's help, which would go on with a job after some seconds whose worker had misunderstood.
        rig.ends_alone(handle.id()).await;
        let report = end(&handle).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(rig.struck(), [budget], "{name}");
        assert_eq!(report.retries, retries, "{name}");
        rig.is_right(&out);
        rig.strike([]);
        rig.idle().await;
        let output = rig.conductor.spec(handle.id()).await.unwrap().output;
        let left = rig.conductor.objects.uploads(&output.bucket, "").await.unwrap();
        assert!(left.is_empty(), "{name}: {left:?}");
        rig.leaves_nothing(handle.id()).await;
    }
}

fn update(text: impl Into<String>) -> kinglet_local::gate::Matching {
    Rule::dynamodb("UpdateItem").containing(text)
}

fn transact(text: &str) -> kinglet_local::gate::Matching {
    Rule::dynamodb("TransactWriteItems").containing(text)
}

fn s3(operation: &str, text: &str) -> kinglet_local::gate::Matching {
    Rule::s3(operation).containing(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_of_the_ledger_was_taken_for_somebody_elses_success() {
    let rig = Rig::new().await;
    let lost = |rule: kinglet_local::gate::Matching| rule.does(Strike::LoseReply);
    let cases = vec![
        ("creating the job", lost(transact("splitting"))),
        ("starting to split", lost(update(START))),
        ("starting to map", lost(update(START).after(1))),
        ("starting to reduce", lost(update(START).after(1 + MAPS))),
        ("recording the plan", lost(update(into_phase("mapping")))),
        ("the first commit", lost(update(COMMIT))),
        ("the last mapper's commit", lost(update(COMMIT).after(MAPS - 1))),
        ("the last reducer's commit", lost(update(COMMIT).after(MAPS + 1))),
        ("going on to reduce", lost(update(into_phase("reducing")))),
        ("going on to publish", lost(update(into_phase("publishing")))),
        ("noting the result", lost(update("SET #published"))),
        ("ending the job", lost(transact("succeeded"))),
    ];
    succeed(&rig, cases, 0).await;
    let cases = vec![
        ("claiming a further try", lost(update(CLAIM))),
        ("recording that it was sent", lost(update("SET #accepted = :accepted"))),
        ("recording that a try failed", lost(update("SET #failed_at = :failed_at"))),
    ];
    succeed(&rig, cases, 1).await;
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_of_s3_was_taken_for_another_jobs_object() {
    let rig = Rig::new().await;
    let lost = |operation: &str, text: &str| s3(operation, text).does(Strike::LoseReply);
    let cases = vec![
        ("claiming the output", lost("PutObject", "_owner.json")),
        ("writing the spec", lost("PutObject", "/spec")),
        ("writing the plan", lost("PutObject", "/plan/")),
        ("uploading a part", lost("UploadPart", "part-")),
        ("uploading the manifest", lost("UploadPart", "_manifest.json")),
        ("making a part appear", lost("CompleteMultipartUpload", "part-")),
        ("making the manifest appear", lost("CompleteMultipartUpload", "_manifest.json")),
        ("giving the output free", lost("DeleteObject", "_owner.json")),
    ];
    succeed(&rig, cases, 0).await;
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_beginning_was_not_heard_of_stayed_in_the_output() {
    let rig = Rig::new().await;
    let cases = vec![
        ("beginning a part", s3("CreateMultipartUpload", "part-").does(Strike::LoseReply)),
        ("beginning the manifest", s3("CreateMultipartUpload", "_manifest.json").does(Strike::LoseReply)),
    ];
    succeed(&rig, cases, 0).await;
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_with_another_write_failed_the_job() {
    let rig = Rig::new().await;
    let conflict = || refuse(409, "ConditionalRequestConflict");
    let cases = vec![
        ("claiming the output", s3("PutObject", "_owner.json").times(3).does(conflict())),
        ("making a part appear", s3("CompleteMultipartUpload", "part-").times(3).does(conflict())),
        ("making the manifest appear", s3("CompleteMultipartUpload", "_manifest.json").times(3).does(conflict())),
        ("giving the output free", s3("DeleteObject", "_owner.json").times(3).does(conflict())),
        (
            "a transaction that meets another",
            transact("succeeded").times(3).does(refuse(400, "TransactionConflictException")),
        ),
        ("creating the job", transact("splitting").times(3).does(refuse(400, "TransactionInProgressException"))),
    ];
    succeed(&rig, cases, 0).await;
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_upload_whose_completion_was_not_heard_of_failed() {
    let rig = Rig::new().await;
    rig.strike([s3("CompleteMultipartUpload", "large").does(Strike::LoseReply)]);
    let bucket = &rig.conductor.stack.work_bucket;
    let mut upload = Upload::new(&rig.conductor.objects, bucket, "large");
    let bytes = Bytes::from(vec![7; UPLOAD_PART_BYTES + 1]);
    upload.push(bytes.clone()).await.unwrap();
    let etag = upload.finish().await.unwrap();
    assert_eq!(rig.struck(), [1]);
    let there = rig.conductor.objects.head(bucket, "large").await.unwrap().unwrap();
    assert_eq!((there.etag, there.size), (etag, bytes.len() as u64));
    assert_eq!(rig.conductor.objects.uploads(bucket, "").await.unwrap(), []);
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_of_more_parts_than_a_record_holds_needed_a_right_that_nobody_had() {
    let rig = Rig::new().await;
    // In the work bucket the roles do not allow it.
    rig.strike([s3("ListParts", "large").times(u64::MAX).does(refuse(403, "AccessDenied"))]);
    let bucket = &rig.conductor.stack.work_bucket;
    let mut upload = Upload::new(&rig.conductor.objects, bucket, "large");
    let (bytes, parts) = (Bytes::from(vec![7; UPLOAD_PART_BYTES]), ETAGS_MAX + 1);
    for _ in 0..parts {
        upload.push(bytes.clone()).await.unwrap();
    }
    upload.finish().await.unwrap();
    let there = rig.conductor.objects.head(bucket, "large").await.unwrap().unwrap();
    assert_eq!(there.size, (UPLOAD_PART_BYTES * parts) as u64);
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_or_a_deletion_whose_reply_was_lost_was_taken_for_anothers() {
    let rig = Rig::new().await;
    let (bucket, objects) = (&rig.conductor.stack.work_bucket, &rig.conductor.objects);
    rig.strike([Rule::s3("PutObject").does(Strike::LoseReply), Rule::s3("DeleteObject").does(Strike::LoseReply)]);
    let put = objects.put(bucket, "claim", Bytes::from_static(b"mine"), Replace::No).await.unwrap();
    let kinglet_aws::objects::Put::Written(etag) = put else { panic!("{put:?}") };
    assert!(objects.delete_version(bucket, "claim", &etag).await.unwrap());
    assert_eq!(rig.struck(), [1, 1]);
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_hundred_throttled_requests_used_up_all_retries_of_a_process() {
    let rig = Rig::new().await;
    // One process makes all parts appear, 64 at once: each is refused more than once before the first of them succeeds.
    let refusals = 150;
    rig.strike([s3("CompleteMultipartUpload", "part-").times(refusals).does(refuse(503, "SlowDown"))]);
    let handle = rig.driver.submit(&WordCount, rig.submission("out").with_partitions(80)).await.unwrap();
    rig.ends_alone(handle.id()).await;
    let report = end(&handle).await.unwrap();
    assert_eq!((report.retries, rig.struck()), (0, vec![refusals]));
    rig.is_right("out");
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_whose_looks_at_its_job_failed_for_a_while_gave_it_up() {
    let rig = Rig::new().await;
    rig.strike([s3("UploadPart", "part-").does(Strike::HoldBefore)]);
    // One reducer, which looks at the job only now and then.
    let handle = rig.driver.submit(&WordCount, rig.submission("out").with_partitions(1)).await.unwrap();
    let held = rig.held().await;
    // It has to be signed in again, which the SDK does not try by itself.
    let refusals = 20;
    let refused = refuse(400, "ExpiredTokenException");
    rig.strike([Rule::dynamodb("GetItem").containing(handle.id().as_str()).times(refusals).does(refused)]);
    let (report, ()) = tokio::join!(end(&handle), async {
        crate::rig::until("looks have failed", || rig.struck() == [refusals]).await;
        held.go_on();
    });
    assert_eq!(report.unwrap().retries, 0);
    rig.is_right("out");
    rig.driver.close().await;
}

/// The same with what the SDK tries again, in a program that tells it to try once.
#[test]
fn a_driver_gave_a_job_up_after_the_sdk_had_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = programs::of_example("queues");
    let ran = run(command.arg("failing looks").current_dir(dir.path()).env("AWS_MAX_ATTEMPTS", "1"));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert!(said["refused"].as_u64() >= Some(20), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cleaning_removed_what_calls_share_and_what_a_driver_was_just_submitting() {
    let rig = Rig::new().await;
    let shared = rig.driver.share(&vec![1u64, 2, 3]).await.unwrap();
    // A driver is between its first object and the ledger's entry.
    rig.strike([Rule::dynamodb("TransactWriteItems").does(Strike::HoldBefore)]);
    let submission = rig.submission("out");
    let (handle, ()) = tokio::join!(rig.driver.submit(&WordCount, submission), async {
        let held = rig.held().await;
        let soon = Timestamp(Timestamp::now().0 + 3_600_000);
        let cleaned = rig.driver.clean(soon).await.unwrap();
        assert_eq!(cleaned.jobs, []);
        let left = rig.conductor.leftovers().await.unwrap();
        assert_eq!(left.len(), 2, "{left:?}");
        held.go_on();
    });
    let handle = handle.unwrap();
    end(&handle).await.unwrap();
    assert_eq!(rig.struck(), [1]);
    rig.is_right("out");
    // What was shared stays when the job goes.
    let soon = Timestamp(Timestamp::now().0 + 3_600_000);
    assert_eq!(rig.driver.clean(soon).await.unwrap().jobs, [handle.id().clone()]);
    assert_eq!(rig.conductor.leftovers().await.unwrap().len(), 1);
    drop(shared);
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_broke_off_was_taken_for_a_whole_one() {
    let rig = Rig::new().await;
    let cases = vec![
        ("the spec", s3("GetObject", "/spec").times(3).does(Strike::HalfBody)),
        ("the plan", s3("GetObject", "/plan/").times(3).does(Strike::HalfBody)),
        ("the claim", s3("GetObject", "_owner.json").times(3).does(Strike::HalfBody)),
        ("the input", s3("GetObject", "local-input").times(3).does(Strike::HalfBody)),
        ("the ledger", Rule::any(Service::DynamoDb).after(9).times(3).does(Strike::HalfBody)),
    ];
    succeed(&rig, cases, 0).await;
    rig.driver.close().await;
}
