//! A map task that dies of memory is tried again on its own: halved, then on the larger mapper. Memory is enforced as on
//! Lambda; what does not fit is a line of 150 MB, which no cut divides.

use crate::support::{driver, nothing_published, shown};
use kinglet::{Driver, JobOptions, Submit};
use kinglet_jobs::BenchEmpty;
use kinglet_local::lambda::InvocationReport;
use std::fs;
use tempfile::TempDir;

const MAPPER: &str = "kinglet-mapper";
const MAPPER_LARGE: &str = "kinglet-mapper-large";

/// Ten objects of a thousand lines, and one of a single line that takes more than 128 MB to read.
fn input() -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    fs::create_dir(&input).unwrap();
    for n in 0..10 {
        fs::write(input.join(format!("small-{n}")), "a line\n".repeat(1_000)).unwrap();
    }
    fs::write(input.join("large"), vec![b'x'; 150_000_000]).unwrap();
    (dir, shown(&input))
}

async fn driver_of(larger_mb: u32) -> Driver {
    driver(|local| {
        local.with_concurrency(2).with_memory_mb(128).with_mapper_large_memory_mb(larger_mb).with_memory_enforced()
    })
    .await
}

fn submit(input: &str, output: &str) -> Submit {
    // The small objects are packed into one split; the large one has three, the first of which holds the line.
    let options =
        JobOptions { concurrency: 0, split_bytes: Some(50_000_000), partitions: Some(1), ..JobOptions::default() };
    Submit::new([input.to_owned()], output).with_options(options)
}

/// How the runs of a function ended, by its name: those that fell, and those that did not.
fn ended(reports: &[InvocationReport], function: &str) -> (usize, usize) {
    let of = |failed: bool| reports.iter().filter(|r| *r.function == *function && r.error.is_some() == failed).count();
    (of(true), of(false))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_needs_the_larger_mapper_gets_it_and_the_others_keep_their_results() {
    let (dir, input) = input();
    let output = dir.path().join("out");
    let driver = driver_of(2_048).await;
    let report = driver.submit(&BenchEmpty, submit(&input, &shown(&output))).await.unwrap().wait().await.unwrap();
    let reports = driver.runtime().unwrap().host().reports();
    // The line's split died whole and halved, and came through on the larger mapper.
    assert_eq!(ended(&reports, MAPPER), (2, report.map_tasks as usize - 1), "{report}");
    assert_eq!(ended(&reports, MAPPER_LARGE), (0, 1), "{report}");
    let killed = reports.iter().find(|r| r.error.is_some()).unwrap();
    assert_eq!((killed.memory_mb, killed.max_memory_mb), (128, 128));
    assert_eq!(report.retries, 2);
    assert_eq!((report.records_in, report.bytes_in), (10_001, 150_070_000));
    driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_fits_nowhere_fails_the_job_and_says_with_which_memory() {
    let (dir, input) = input();
    let output = dir.path().join("out");
    let driver = driver_of(144).await;
    let error = driver.submit(&BenchEmpty, submit(&input, &shown(&output))).await.unwrap().wait().await.unwrap_err();
    assert_eq!(error.code(), "out-of-memory");
    let said = error.to_string();
    assert!(said.contains("failed 4 times, the last time with 144 MB of memory"), "{said}");
    assert!(error.hint().unwrap().contains("--mapper-large-memory-mb"), "{error:?}");
    let reports = driver.runtime().unwrap().host().reports();
    assert_eq!((ended(&reports, MAPPER).0, ended(&reports, MAPPER_LARGE)), (2, (2, 0)));
    nothing_published(&output);
    driver.close().await;
}
