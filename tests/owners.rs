//! Each output has one owner: of jobs that race to it one writes, an overwritten result stays until the new one is whole, and
//! whoever comes late, at whatever step, changes nothing that anybody reads.

use crate::rig::{
    COMMIT, MAPPER, MAPS, PARTS, PATIENCE, REDUCER, Rig, START, age, end, in_tasks, into_phase, refuse, snapshot, until,
};
use crate::support::{
    Counts, count, failed, naive_count, nothing_published, read_listed, read_output, run, text, word_count,
};
use bytes::Bytes;
use kinglet::{Code, Error, Submit, Timestamp};
use kinglet_aws::Conductor;
use kinglet_aws::objects::Replace;
use kinglet_core::ids::JobId;
use kinglet_core::wire::record::ReduceRecord;
use kinglet_jobs::WordCount;
use kinglet_local::gate::{Rule, Strike};
use kinglet_local::lambda::{Fault, FaultPlan, FaultRule};
use kinglet_local::s3::BucketKind;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How many rounds of a race are run: 12, or what this variable says.
const RACES: &str = "KINGLET_RACES";

/// Two programs at once, many rounds: by turns with the same and with different inputs, into nothing, beside a result, and
/// over one.
#[test]
fn two_programs_that_race_to_one_output_left_a_manifest_without_its_parts() {
    let rounds: u64 = std::env::var(RACES).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(12);
    let dir = tempfile::tempdir().unwrap();
    let inputs = [1, 2].map(|seed| (format!("in-{seed}"), text(seed, 20_000 * seed as usize)));
    inputs.iter().for_each(|(name, bytes)| fs::write(dir.path().join(name), bytes).unwrap());
    let counts: [Counts; 2] = [0, 1].map(|n: usize| naive_count([&inputs[n].1[..]]));
    let mut refused = 0;
    for round in 0..rounds {
        let (same, over) = (round % 2 == 0, round / 2 % 3 > 0);
        let output = dir.path().join("out");
        // Into nothing, or over what the round before has left.
        if !over && output.exists() {
            fs::remove_dir_all(&output).unwrap();
        }
        let picks = [0, if same { 0 } else { 1 }];
        let ran = std::thread::scope(|scope| {
            let racing = picks.map(|pick| {
                let (dir, name) = (dir.path(), &inputs[pick].0);
                scope.spawn(move || {
                    let args = [name, "--output", "out", "--split-bytes", "5000", "--partitions", "3", "--overwrite"];
                    run(&mut word_count(dir, &args[..if over { 8 } else { 7 }]))
                })
            });
            racing.map(|racing| racing.join().unwrap())
        });
        let of_round = format!("round {round} of {rounds}, same: {same}, over: {over}: {ran:#?}");
        let won: Vec<usize> = (0..2).filter(|n| ran[*n].code == Some(0)).map(|n| picks[n]).collect();
        for ran in ran.iter().filter(|ran| ran.code != Some(0)) {
            refused += 1;
            failed(ran, &["the output out is taken"]);
            // It names the job that has it, unless that has no name yet, or the result.
            let names = ["taken by job ", "just being started", "_manifest.json is there", "out/part-"];
            assert!(names.iter().any(|name| ran.err.contains(name)), "{of_round}");
        }
        assert!(if over { !won.is_empty() } else { won.len() == 1 }, "{of_round}");
        let out = read_output(&output);
        assert!(won.iter().any(|pick| out.counts == counts[*pick]), "{of_round}");
    }
    assert!(refused > 0 || rounds < 3, "no two of them ever met");
}

/// What lies under an `s3://` output, checked against its manifest: the counts, and that nothing else lies there.
async fn read_s3(conductor: &Conductor, bucket: &str, prefix: &str) -> Counts {
    // The checks are those of local outputs.
    let dir = tempfile::tempdir().unwrap();
    for object in conductor.objects.list(bucket, prefix).await.unwrap() {
        let bytes = conductor.objects.get(bucket, &object.key, None).await.unwrap();
        fs::write(dir.path().join(object.key.strip_prefix(prefix).unwrap()), bytes).unwrap();
    }
    assert_eq!(conductor.objects.uploads(bucket, "").await.unwrap(), []);
    read_output(dir.path()).counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_drivers_wrote_to_one_prefix_at_once() {
    let rig = Rig::new().await;
    let runtime = rig.driver.runtime().unwrap();
    let texts = [text(1, 20_000), text(2, 15_000)];
    for bucket in ["texts", "results"] {
        runtime.create_bucket(bucket, BucketKind::Blobs).unwrap();
    }
    for (n, bytes) in texts.iter().enumerate() {
        let body = Bytes::from(bytes.clone());
        rig.conductor.objects.put("texts", &format!("{n}"), body, Replace::No).await.unwrap();
    }
    let submit = |n: usize| in_tasks(Submit::new([format!("s3://texts/{n}")], "s3://results/here"));
    let other = rig.second_driver().await;

    rig.strike([Rule::s3("UploadPart").containing("part-").does(Strike::HoldBefore)]);
    let first = rig.driver.submit(&WordCount, submit(0)).await.unwrap();
    let held = rig.held().await;
    for again in [submit(1), submit(1).with_overwrite()] {
        let error = other.submit(&WordCount, again).await.err().unwrap();
        assert_eq!(error.code(), "output-taken");
        assert!(error.to_string().contains(first.id().as_str()), "{error}");
        assert!(error.hint().unwrap().contains(&format!("kinglet attach {}", first.id())));
    }
    held.go_on();
    end(&first).await.unwrap();
    assert_eq!(rig.struck(), [1]);
    assert!(read_s3(&rig.conductor, "results", "here/").await == naive_count([&texts[0][..]]));

    let error = other.submit(&WordCount, submit(1)).await.err().unwrap();
    assert_eq!(error.code(), "output-exists", "{error}");
    let second = other.submit(&WordCount, submit(1).with_overwrite()).await.unwrap();
    end(&second).await.unwrap();
    assert!(read_s3(&rig.conductor, "results", "here/").await == naive_count([&texts[1][..]]));
    other.close().await;
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_counts_for_other_stacks_for_an_hour_after_it_was_renewed() {
    let rig = Rig::new().await;
    let out = rig.path("results/out");
    rig.make_results();
    let submit = || rig.submission_to("s3://results/out");
    let upload = Rule::s3("UploadPart").containing("part-").does(Strike::HoldBefore);
    // A stack whose ledger has other jobs.
    let mut other = rig.conductor.clone();
    other.stack.table = "another".into();
    let stranger = JobId::new(Timestamp::now(), 1);

    rig.strike([upload.clone()]);
    let first = rig.driver.submit(&WordCount, submit()).await.unwrap();
    let held = rig.held().await;
    let spec = rig.conductor.spec(first.id()).await.unwrap();
    let refused = || async {
        let error = other.take_output(&stranger, &spec, false).await.unwrap_err();
        let said = error.to_string();
        assert_eq!(error.code(), "output-taken", "{said}");
        assert!(said.contains(first.id().as_str()) && said.contains("another stack"), "{said}");
        assert!(error.hint().unwrap().contains("lapses in"), "{error:?}");
    };
    refused().await;
    age(&out, 59);
    refused().await;
    // The stack of the job looks after it.
    age(&out, 61);
    rig.conductor.renew_output(first.id()).await.unwrap();
    refused().await;
    // It does not for an hour, and the other takes the output for its own. The first finds that out, and leaves.
    age(&out, 61);
    other.take_output(&stranger, &spec, false).await.unwrap();
    held.go_on();
    let error = end(&first).await.unwrap_err();
    assert_eq!(error.code(), "output-taken", "{error}");
    rig.idle().await;
    assert_eq!(snapshot(&out).keys().collect::<Vec<_>>(), [Path::new("_owner.json")]);
    assert!(fs::read_to_string(out.join("_owner.json")).unwrap().contains(stranger.as_str()));
    assert_eq!(rig.conductor.objects.uploads("results", "").await.unwrap(), []);
    other.drop_late_claim(&stranger, &spec.output).await.unwrap();

    // Before parts become visible a claim is renewed that is not new: for an hour from there on nobody takes it.
    rig.strike([upload, Rule::s3("CompleteMultipartUpload").containing("part-").does(Strike::HoldBefore)]);
    let second = rig.driver.submit(&WordCount, submit()).await.unwrap();
    let held = rig.held().await;
    age(&out, 59);
    held.go_on();
    let held = rig.held().await;
    let claimed = fs::metadata(out.join("_owner.json")).unwrap().modified().unwrap();
    assert!(claimed.elapsed().unwrap() < Duration::from_secs(30 * 60));
    held.go_on();
    end(&second).await.unwrap();
    rig.is_right("results/out");
    rig.leaves_nothing(second.id()).await;
    rig.driver.close().await;
}

/// Files of the user's beside a result, with names like those of parts.
fn put_strangers(output: &Path) {
    fs::create_dir_all(output.join("part-dir")).unwrap();
    for name in ["part-notes.txt", "part-2024-01.parquet", "part-dir/part-00000-0123456789a-0123456789ab", "notes"] {
        fs::write(output.join(name), format!("the user's {name}")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overwriting_job_that_was_cancelled_had_removed_the_old_result() {
    let rig = Rig::new().await;
    end(&rig.submit("out").await).await.unwrap();
    let out = rig.path("out");
    put_strangers(&out);
    let before = snapshot(&out);
    for (name, rule) in [
        // The driver has claimed the output, and has written down what is to be replaced.
        ("splitter's look", Rule::s3("GetObject").containing("_owner.json").after(1).does(Strike::HoldBefore)),
        ("splitting", Rule::s3("PutObject").containing("/plan/").does(Strike::HoldBefore)),
        ("planned", Rule::dynamodb("UpdateItem").containing(into_phase("mapping")).does(Strike::HoldBefore)),
        ("mapping", Rule::dynamodb("UpdateItem").containing(COMMIT).does(Strike::HoldBefore)),
        ("mapped", Rule::dynamodb("UpdateItem").containing(COMMIT).after(MAPS - 1).does(Strike::HoldAfter)),
        ("reducing", Rule::s3("UploadPart").containing("part-").does(Strike::HoldBefore)),
        ("uploaded", Rule::s3("UploadPart").containing("part-").does(Strike::HoldAfter)),
        ("reduced", Rule::dynamodb("UpdateItem").containing(COMMIT).after(MAPS).does(Strike::HoldBefore)),
        ("complete", Rule::dynamodb("UpdateItem").containing(into_phase("publishing")).does(Strike::HoldBefore)),
    ] {
        rig.strike([rule]);
        let handle = rig.submit_over("out").await;
        let held = rig.held().await;
        read_listed(&out);
        handle.cancel().await.unwrap();
        let error = end(&handle).await.unwrap_err();
        assert!(matches!(error, Error::Cancelled(_)), "{name}: {error}");
        held.go_on();
        rig.idle().await;
        assert_eq!(rig.struck(), [1], "{name}");
        // The end may still be on its way to whoever was released.
        assert!(snapshot(&out) == before, "{name}: {:?}", snapshot(&out).keys());
    }
    rig.strike([]);
    let last = rig.submit_over("out").await;
    end(&last).await.unwrap();
    assert_only_result_changed(&out, &before);
    rig.leaves_nothing(last.id()).await;
    rig.driver.close().await;
}

/// Asserts that there is another whole result than before, none of that one's parts, and all else as it was.
#[track_caller]
fn assert_only_result_changed(output: &Path, before: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>) {
    let out = read_listed(output);
    let mut after = snapshot(output);
    let is_of = |path: &Path, job: &str| {
        path == Path::new("_manifest.json") || path.to_str().is_some_and(|name| name.ends_with(job))
    };
    let old: kinglet::Manifest = serde_json::from_slice(&before[Path::new("_manifest.json")]).unwrap();
    assert_ne!(old.job, out.manifest.job);
    after.retain(|path, _| !is_of(path, &out.manifest.job));
    let mut strangers = before.clone();
    strangers.retain(|path, _| !is_of(path, &old.job));
    assert!(strangers.len() >= 4 && after == strangers, "{:?}", after.keys());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overwriting_job_that_failed_had_removed_the_old_result_and_files_of_the_users() {
    let rig = Rig::new().await;
    end(&rig.submit("out").await).await.unwrap();
    let out = rig.path("out");
    put_strangers(&out);
    let before = snapshot(&out);
    for function in [MAPPER, REDUCER] {
        rig.kill_next(function);
        let submit = rig.submission("out").with_overwrite().with_tries(1);
        let handle = rig.driver.submit(&WordCount, submit).await.unwrap();
        let error = end(&handle).await.unwrap_err();
        assert!(error.to_string().contains("failed 1 times"), "{error}");
        assert_eq!(rig.host().fault_counts()[0].fired, 1);
        rig.idle().await;
        assert!(snapshot(&out) == before, "{function}: {:?}", snapshot(&out).keys());
    }
    // While the new job reduces, readers have the old result.
    rig.host().set_faults(FaultPlan::default());
    rig.strike([Rule::s3("UploadPart").containing("part-").does(Strike::HoldAfter)]);
    let handle = rig.submit_over("out").await;
    let held = rig.held().await;
    let old = read_listed(&out);
    assert_ne!(old.manifest.job, handle.id().as_str());
    held.go_on();
    end(&handle).await.unwrap();
    assert!(read_listed(&out).counts == old.counts);
    assert_only_result_changed(&out, &before);
    rig.leaves_nothing(handle.id()).await;
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_reducer_of_a_cancelled_job_wrote_into_the_next_jobs_output() {
    let rig = Rig::new().await;
    let commit = || Rule::dynamodb("UpdateItem").containing(COMMIT).after(MAPS);
    let rules = [
        Rule::s3("CreateMultipartUpload").containing("part-").does(Strike::HoldBefore),
        Rule::s3("CreateMultipartUpload").containing("part-").does(Strike::HoldAfter),
        Rule::s3("UploadPart").containing("part-").does(Strike::HoldBefore),
        Rule::s3("UploadPart").containing("part-").does(Strike::HoldAfter),
        commit().does(Strike::HoldBefore),
        commit().does(Strike::HoldAfter),
    ];
    // Who is late is the last of its stage, and is not.
    for (partitions, rule) in [1, 2].into_iter().flat_map(|count| rules.clone().map(|rule| (count, rule))) {
        let (of_case, out) = (format!("{partitions} parts, {rule:?}"), rig.path("out"));
        rig.strike([rule]);
        let submit = rig.submission("out").with_partitions(partitions);
        let first = rig.driver.submit(&WordCount, submit).await.unwrap();
        let held = rig.held().await;
        first.cancel().await.unwrap();
        assert!(end(&first).await.is_err(), "{of_case}");
        // A reducer that is not held may still be at its part, and then sees to it itself.
        until("nothing is in the output", || fs::read_dir(&out).map_or(true, |mut found| found.next().is_none())).await;
        let second = rig.submit("out").await;
        end(&second).await.unwrap();
        rig.is_right("out");
        let before = snapshot(&out);
        held.go_on();
        rig.idle().await;
        assert_eq!(rig.struck(), [1], "{of_case}");
        assert!(snapshot(&out) == before, "{of_case}: {:?}", snapshot(&out).keys());
        for job in [&first, &second] {
            let bucket = rig.conductor.spec(job.id()).await.unwrap().output.bucket;
            assert_eq!(rig.conductor.objects.uploads(&bucket, "").await.unwrap(), [], "{of_case}");
        }
        rig.leaves_nothing(second.id()).await;
        fs::remove_dir_all(&out).unwrap();
    }
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_left_its_second_parts_upload_where_uploads_may_not_be_listed() {
    let rig = Rig::new().await;
    rig.strike([
        // Of two reducers only the second commits.
        Rule::s3("UploadPart").containing("part-00000-").does(Strike::HoldBefore),
        Rule::s3("ListMultipartUploads").times(u64::MAX).does(refuse(403, "AccessDenied")),
    ]);
    let job = rig.submit("out").await;
    let held = rig.held().await;
    let ledger = &rig.conductor.ledger;
    let committed = async {
        while ledger.committed::<ReduceRecord>(job.id(), PARTS as u32).await.unwrap()[1].is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, committed).await.expect("the second reducer commits");
    job.cancel().await.unwrap();
    assert!(matches!(end(&job).await, Err(Error::Cancelled(_))));
    held.go_on();
    rig.idle().await;
    assert!(rig.struck()[1] > 0, "uploads were not listed");
    rig.strike([]);
    nothing_published(&rig.path("out"));
    rig.leaves_nothing(job.id()).await;
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_reducer_of_an_overwritten_job_brought_its_part_back() {
    let rig = Rig::new().await;
    // What is held was sent by a try that is dead, or by one of two executions of an event that came twice.
    let start = Rule::dynamodb("UpdateItem").containing(START).after(1 + MAPS).does(Strike::HoldBefore);
    let commit = Rule::dynamodb("UpdateItem").containing(COMMIT).after(MAPS).does(Strike::HoldBefore);
    let upload = |strike| Rule::s3("UploadPart").containing("part-").does(strike);
    for (n, (rule, twice)) in
        [(start, true), (upload(Strike::HoldBefore), false), (upload(Strike::HoldAfter), false), (commit, false)]
            .into_iter()
            .enumerate()
    {
        let out = format!("out-{n}");
        rig.strike([rule.clone()]);
        if twice {
            let rules = [0, 1].map(|nth| FaultRule::nth(REDUCER, nth, Fault::RunTwice));
            rig.host().set_faults(FaultPlan { seed: 0, rules: rules.into() });
        }
        let first = rig.submit(&out).await;
        let held = rig.held().await;
        if !twice {
            rig.kill(REDUCER).await;
        }
        let report = end(&first).await.unwrap();
        assert_eq!(report.retries > 0, !twice, "{report}");
        if twice {
            assert!(rig.host().fault_counts().iter().all(|count| count.fired == 1));
            rig.host().set_faults(FaultPlan::default());
        }
        rig.is_right(&out);
        let submit = rig.submission(&out).with_overwrite().with_partitions(1);
        let second = rig.driver.submit(&WordCount, submit).await.unwrap();
        end(&second).await.unwrap();
        rig.is_right(&out);
        let before = snapshot(&rig.path(&out));
        held.go_on();
        rig.idle().await;
        assert_eq!(rig.struck(), [1], "{rule:?}");
        assert!(snapshot(&rig.path(&out)) == before, "{rule:?}: {:?}", snapshot(&rig.path(&out)).keys());
        rig.leaves_nothing(second.id()).await;
    }
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_came_late_replaced_the_next_jobs() {
    let rig = Rig::new().await;
    let cancelled = Error::new(Code::Cancelled, "too late for that");
    for removed in [false, true] {
        let out = if removed { "removed" } else { "overwritten" };
        rig.strike([Rule::s3("CompleteMultipartUpload").containing("_manifest.json").does(Strike::HoldBefore)]);
        let first = rig.submit(out).await;
        let held = rig.held().await;
        // Another goes on, and the job has succeeded.
        rig.conductor.bring_to_end(first.id(), &cancelled).await.unwrap();
        end(&first).await.unwrap();
        rig.is_right(out);
        if removed {
            fs::remove_dir_all(rig.path(out)).unwrap();
            fs::create_dir(rig.path(out)).unwrap();
        } else {
            end(&rig.submit_over(out).await).await.unwrap();
            rig.is_right(out);
        }
        let before = snapshot(&rig.path(out));
        held.go_on();
        rig.idle().await;
        assert_eq!(rig.struck(), [1]);
        assert!(snapshot(&rig.path(out)) == before, "{out}: {:?}", snapshot(&rig.path(out)).keys());
        rig.leaves_nothing(first.id()).await;
    }
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_late_to_tidy_up_removed_the_next_jobs_claim_and_parts() {
    let rig = Rig::new().await;
    let cancelled = Error::new(Code::Cancelled, "too late for that");
    end(&rig.submit("out").await).await.unwrap();
    for rule in [
        // The claim; the parts of the result that is replaced.
        Rule::s3("DeleteObject").containing("_owner.json").does(Strike::HoldBefore),
        Rule::s3("DeleteObjects").containing("part-").does(Strike::HoldBefore),
        // And who has seen that all is as it was found, and goes on from there; who makes the first part appear.
        Rule::s3("HeadObject").containing("_manifest.json").does(Strike::HoldAfter),
        Rule::s3("CompleteMultipartUpload").containing("part-").does(Strike::HoldBefore),
    ] {
        rig.strike([rule.clone()]);
        let first = rig.submit_over("out").await;
        let held = rig.held().await;
        assert_eq!(rig.struck(), [1]);
        rig.conductor.bring_to_end(first.id(), &cancelled).await.unwrap();
        end(&first).await.unwrap();
        rig.strike([Rule::s3("UploadPart").containing("part-").does(Strike::HoldBefore)]);
        let second = rig.submit_over("out").await;
        let reducing = rig.held().await;
        held.go_on();
        // Only the one that is held, and its sibling's end, may be left.
        until("whoever was late has left", || rig.host().pending() <= 1).await;
        let owner = fs::read_to_string(rig.path("out/_owner.json")).unwrap();
        assert!(owner.contains(second.id().as_str()), "{rule:?}: {owner}");
        reducing.go_on();
        end(&second).await.unwrap();
        rig.idle().await;
        rig.is_right("out");
        rig.leaves_nothing(second.id()).await;
    }
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_a_driver_after_a_failed_job_removed_a_later_success() {
    let rig = Rig::new().await;
    // It had begun to write parts: only then was anything of it removed later.
    rig.kill_next(REDUCER);
    let submit = rig.submission("out").with_tries(1);
    let handle = rig.driver.submit(&WordCount, submit).await.unwrap();
    assert!(end(&handle).await.is_err());
    drop(handle);
    count(rig.dir.path(), &["in.txt", "--output", "out", "--partitions", "3"]);
    rig.is_right("out");
    let before = snapshot(&rig.path("out"));
    rig.driver.close().await;
    assert!(snapshot(&rig.dir.path().join("out")) == before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_wrote_over_what_another_hand_had_put_into_its_output_meanwhile() {
    let rig = Rig::new().await;
    let out = rig.path("out");
    // A manifest that is none of ours, put there when all parts are.
    rig.strike([Rule::s3("CompleteMultipartUpload").containing("_manifest.json").does(Strike::HoldBefore)]);
    let handle = rig.submit("out").await;
    let held = rig.held().await;
    fs::write(out.join("_manifest.json"), "the user's").unwrap();
    held.go_on();
    let error = end(&handle).await.unwrap_err();
    assert_eq!(error.code(), "output-changed", "{error}");
    rig.idle().await;
    let there: Vec<_> = snapshot(&out).into_iter().collect();
    assert_eq!(there, [("_manifest.json".into(), b"the user's".to_vec())]);
    rig.leaves_nothing(handle.id()).await;
    fs::remove_dir_all(&out).unwrap();

    // Its claim is gone: it cannot know who has the output.
    rig.strike([Rule::s3("UploadPart").containing("part-").does(Strike::HoldBefore)]);
    let handle = rig.submit("out").await;
    let held = rig.held().await;
    fs::remove_file(out.join("_owner.json")).unwrap();
    held.go_on();
    let error = end(&handle).await.unwrap_err();
    assert_eq!(error.code(), "output-taken", "{error}");
    rig.idle().await;
    nothing_published(&out);
    rig.leaves_nothing(handle.id()).await;
    rig.driver.close().await;
}
