//! Runs that are merged before they are reduced, by groups of map tasks and bands of partitions: results are what they would be without,
//! in requests as the plan counts them, and whoever dies meanwhile is followed by another.

use crate::rig::{self, REDUCER, Rig, refuse};
use crate::support::{job, naive_count, read_output, read_parts, shown, text};
use kinglet::{Report, RunsMerged, Submit};
use kinglet_core::grid::Grid;
use kinglet_core::ids::JobId;
use kinglet_jobs::WordCount;
use kinglet_local::gate::{Rule, Strike};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Words in so many files, each a map task, and a submission that counts them.
fn many(rig: &Rig, files: u64, bytes: usize, output: &str) -> (Vec<Vec<u8>>, Submit) {
    let dir = rig.path("many");
    fs::create_dir_all(&dir).unwrap();
    let texts: Vec<_> = (0..files).map(|n| text(n, bytes)).collect();
    texts.iter().zip(0..).for_each(|(text, n)| fs::write(dir.join(format!("f{n:03}")), text).unwrap());
    let submit = Submit::new([shown(&dir)], shown(&rig.path(output))).with_split_bytes(1 << 16);
    (texts, submit.with_runs_merged(RunsMerged::Always))
}

/// The keys of merged runs that lie in the work bucket.
async fn merged(rig: &Rig, job: &JobId) -> Vec<String> {
    let (bucket, prefix) = (&rig.conductor.stack.work_bucket, format!("jobs/{job}/merged/"));
    rig.conductor.objects.list(bucket, &prefix).await.unwrap().into_iter().map(|object| object.key).collect()
}

fn is_right(rig: &Rig, output: &str, texts: &[Vec<u8>]) {
    assert!(read_output(&rig.path(output)).counts == naive_count(texts.iter().map(Vec::as_slice)));
}

fn grid(report: &Report, partitions: u32) -> Grid {
    Grid::of(report.map_tasks as u32, partitions).unwrap()
}

/// How often what one reads of the other is asked for: bundles by merge tasks, merged runs by reducers.
fn gets() -> [Rule; 2] {
    ["/runs/", "/merged/"].map(|of| Rule::s3("GetObject").containing(of).times(0).does(Strike::LoseReply))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_merge_task_reads_its_group_and_each_reducer_its_band() {
    let rig = Rig::new().await;
    let (texts, submit) = many(&rig, 70, 40_000, "out");
    rig.strike(gets());
    let handle = rig.driver.submit(&WordCount, submit.with_partitions(6).with_runs_kept()).await.unwrap();
    rig.ends_alone(handle.id()).await;
    let asked: Vec<u64> = rig.gates().counts().into_iter().map(|(seen, _)| seen).collect();
    let report = rig::end(&handle).await.unwrap();
    is_right(&rig, "out", &texts);
    let grid = grid(&report, 6);
    assert_eq!((report.map_tasks, grid.groups(), grid.bands()), (70, 8, 3));
    assert_eq!(report.merge_tasks, u64::from(grid.tasks()));
    // Each text has words of every partition.
    let (bands, groups) = (u64::from(grid.bands()), u64::from(grid.groups()));
    assert_eq!(asked, [70 * bands, 6 * groups]);
    // Words that several texts of a group have are combined.
    assert!(report.merged_bytes < report.shuffle_bytes, "{report}");
    assert_eq!((report.runs.object, report.runs.inline), (70, 0), "merged runs lie in S3");
    assert_eq!(merged(&rig, &report.job).await.len(), grid.tasks() as usize);
    rig.idle().await;
    rig.leaves_nothing(&report.job).await;
    rig.driver.close().await;
}

/// The runs of both stages go when the job has succeeded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merged_runs_are_removed_and_a_job_of_one_group_and_one_band_is_a_job() {
    let rig = Rig::new().await;
    for (files, partitions) in [(1, 1), (3, 1), (1, 5)] {
        let output = format!("out-{files}-{partitions}");
        fs::remove_dir_all(rig.path("many")).unwrap_or_default();
        let (texts, submit) = many(&rig, files, 5_000, &output);
        let handle = rig.driver.submit(&WordCount, submit.with_partitions(partitions)).await.unwrap();
        let report = rig::end(&handle).await.unwrap();
        is_right(&rig, &output, &texts);
        rig.idle().await;
        assert!(merged(&rig, &report.job).await.is_empty());
        assert!(report.removed_bytes >= report.shuffle_bytes + report.merged_bytes, "{report}");
        rig.leaves_nothing(&report.job).await;
    }
    rig.driver.close().await;
}

/// With no time, each piece of a merge task merges one map attempt's, and each piece of a reduce task reduces one key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merge_tasks_hand_on_what_they_have_no_time_for() {
    let rig = Rig::new().await;
    let dir = rig.path("few");
    fs::create_dir(&dir).unwrap();
    (0..9).for_each(|n| fs::write(dir.join(n.to_string()), format!("a b c {n}")).unwrap());
    let submit = Submit::new([shown(&dir)], shown(&rig.path("out"))).with_split_bytes(1 << 16).with_partitions(2);
    let submit = submit.with_runs_merged(RunsMerged::Always).with_reduce_time(Duration::ZERO);
    // One object is one task.
    let submit = submit.with_items_per_split(1).with_split_bytes(1);
    let handle = rig.driver.submit(&WordCount, submit).await.unwrap();
    let report = rig::end(&handle).await.unwrap();
    let grid = grid(&report, 2);
    assert!(report.merge_tasks > u64::from(grid.tasks()), "{report}");
    assert!(report.reduce_tasks > 2, "{report}");
    let counts = read_output(&rig.path("out")).counts;
    assert_eq!(counts.values().sum::<u64>(), 9 * 4);
    rig.idle().await;
    rig.leaves_nothing(&report.job).await;
    rig.driver.close().await;
}

/// Whoever merges dies as it has begun, or before or after its object is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_task_whose_function_dies_is_done_by_another() {
    let object = || Rule::s3("PutObject").containing("/merged/");
    let begun = Rule::dynamodb("UpdateItem").containing("#merge#").does(Strike::HoldAfter);
    let rules = [begun, object().does(Strike::HoldBefore), object().does(Strike::HoldAfter)];
    rig::all_at_once(rules.map(|rule| async move {
        let rig = Rig::new().await;
        let (texts, submit) = many(&rig, 5, 5_000, "out");
        rig.strike([rule]);
        let handle = rig.driver.submit(&WordCount, submit.with_partitions(3)).await.unwrap();
        let held = rig.held().await;
        rig.kill(REDUCER).await;
        held.lose();
        let report = rig::end(&handle).await.unwrap();
        is_right(&rig, "out", &texts);
        rig.idle().await;
        rig.leaves_nothing(&report.job).await;
        rig.driver.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_runs_cannot_be_merged_fails_and_says_why() {
    let rig = Rig::new().await;
    let denied = Rule::s3("PutObject").containing("/merged/").times(u64::MAX).does(refuse(403, "AccessDenied"));
    rig.strike([denied]);
    let (_, submit) = many(&rig, 2, 5_000, "out");
    let handle = rig.driver.submit(&WordCount, submit.with_partitions(2)).await.unwrap();
    let error = rig::end(&handle).await.unwrap_err();
    assert_eq!(error.code(), "access-denied");
    assert!(error.to_string().contains("/merged/"), "{error}");
    rig.leaves_nothing(handle.id()).await;
    rig.driver.close().await;
}

/// Merging changes no byte, of whichever job: not the order of what is equal, not what is left out, not a join.
#[test]
fn whatever_the_job_its_output_is_the_same_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (input, clean) = (dir.path().join("in"), dir.path().join("clean"));
    fs::create_dir(&input).unwrap();
    fs::create_dir(&clean).unwrap();
    for file in 0..12 {
        let mut rows = String::from("town,price,n\n");
        for n in 0..40 {
            let (town, price) = (["bern", "aarau", "chur", "zug"][(file + n) % 4], (file * 7 + n * 13) % 11);
            writeln!(rows, "{town},{price},{file}-{n}").unwrap();
        }
        fs::write(clean.join(format!("{file:02}.csv")), &rows).unwrap();
        if file % 5 == 1 {
            rows.push_str("a row of one field\n");
        }
        fs::write(input.join(format!("{file:02}.csv")), rows).unwrap();
    }
    let rejects = ["--max-rejected", "10"];
    let jobs: [&[&str]; 6] = [
        &["word-count", "in"],
        &["sort", "in", "--by", "price desc, town"],
        &["aggregate", "count(), sum(price) as total", "in", "--by", "town"],
        &["distinct", "town,price", "in"],
        &["join", "clean", "--right", "clean", "--on", "n", "--format", "csv", "--right-format", "csv"],
        &["top", "7", "in", "--by", "price desc"],
    ];
    for args in jobs {
        let outputs = ["never", "always"].map(|merged| {
            let mut all = args.to_vec();
            all.extend(["--merge-runs", merged, "--partitions", "5", "--split-bytes", "700"]);
            if args[0] != "word-count" {
                all.extend(rejects);
            }
            let ran = job(dir.path(), &all);
            assert_eq!(ran.code, Some(0), "{args:?} {merged}: {}", ran.err);
            let merges = ran.out.contains(" merge, ") || ran.err.contains(" merge, ");
            assert_eq!(merges, merged == "always", "{args:?}: {} {}", ran.out, ran.err);
            contents(&dir.path().join("out"))
        });
        let [never, always] = outputs;
        assert!(!never.0.concat().is_empty(), "{args:?}");
        assert_eq!(always, never, "{args:?}");
    }
}

/// The parts of an output in order, and the records that were left out.
fn contents(output: &Path) -> (Vec<String>, Vec<String>) {
    let names = fs::read_dir(output).unwrap().map(|entry| entry.unwrap().path());
    let mut rejected: Vec<_> =
        names.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("_rejected-")).collect();
    rejected.sort();
    (read_parts(output), rejected.iter().map(|path| fs::read_to_string(path).unwrap()).collect())
}
