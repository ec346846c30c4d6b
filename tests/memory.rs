//! A map task that dies of memory is tried again on its own: halved, then on the larger mapper. Memory is enforced as on
//! Lambda; what does not fit is one item of 150 MB, which no cut divides.

use crate::support::{driver, endpoints, nothing_published, shown};
use kinglet::{Driver, JobHandle, Submit};
use kinglet_aws::{Clients, Ledger};
use kinglet_core::wire::record::MapRecord;
use kinglet_jobs::BenchEmpty;
use kinglet_local::lambda::InvocationReport;

const MAPPER: &str = "kinglet-mapper";
const MAPPER_LARGE: &str = "kinglet-mapper-large";

async fn driver_of(larger_mb: u32) -> Driver {
    driver(|local| {
        local.with_concurrency(2).with_memory_mb(128).with_mapper_large_memory_mb(larger_mb).with_memory_enforced()
    })
    .await
}

/// Ten splits of two items each; in the first, an item that takes more than 128 MB to read stands before a small one.
async fn submit(driver: &Driver, output: &str) -> JobHandle {
    let mut items = vec![vec![1u8; 1_000]; 20];
    items[0] = vec![1; 150_000_000];
    let submit = Submit::to(output).with_partitions(1).with_items_per_split(2);
    driver.submit_items(&BenchEmpty, items, submit).await.unwrap()
}

/// The ledger, as somebody else sees it.
fn ledger(driver: &Driver) -> Ledger {
    let clients = Clients::at(&endpoints(driver));
    Ledger::new(clients.dynamodb.clone(), "kinglet", clients.meter, clients.clock)
}

/// How the runs of a function ended, by its name: those that fell, and those that did not.
fn ended(reports: &[InvocationReport], function: &str) -> (usize, usize) {
    let of = |failed: bool| reports.iter().filter(|r| *r.function == *function && r.error.is_some() == failed).count();
    (of(true), of(false))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_needs_the_larger_mapper_gets_it_and_the_others_keep_their_results() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    let driver = driver_of(2_048).await;
    let report = submit(&driver, &shown(&output)).await.wait().await.unwrap();
    let reports = driver.runtime().unwrap().host().reports();
    // The item's split died whole and halved, and came through on the larger mapper.
    assert_eq!(ended(&reports, MAPPER), (2, report.map_tasks as usize - 1), "{report}");
    assert_eq!(ended(&reports, MAPPER_LARGE), (0, 1), "{report}");
    let killed = reports.iter().find(|r| r.error.is_some()).unwrap();
    assert_eq!((killed.memory_mb, killed.max_memory_mb), (128, 128));
    assert_eq!(report.retries, 2);
    let ledger = ledger(&driver);
    let (view, committed) =
        (ledger.job(&report.job).await.unwrap(), ledger.committed::<MapRecord>(&report.job, 10).await);
    let died = ledger.overtaken(&report.job, &committed.unwrap()).await.unwrap();
    let died: Vec<_> = died.iter().filter_map(|tried| tried.usage(&view)).collect();
    assert_eq!(died.iter().map(|usage| usage.memory_mb).collect::<Vec<_>>(), [128, 128]);
    let died_gb_seconds: f64 = died.iter().map(|usage| usage.gb_seconds()).sum();
    assert!(died_gb_seconds > 0.0 && report.gb_seconds > died_gb_seconds, "what they took is on the bill: {report}");
    assert_eq!((report.records_in, report.map_tasks), (20, 10));
    assert!(report.bytes_in > 150_000_000);
    driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_fits_nowhere_fails_the_job_and_says_with_which_memory() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    let driver = driver_of(144).await;
    let error = submit(&driver, &shown(&output)).await.wait().await.unwrap_err();
    assert_eq!(error.code(), "out-of-memory");
    let said = error.to_string();
    assert!(said.contains("failed 4 times, the last time with 144 MB of memory"), "{said}");
    assert!(error.hint().unwrap().contains("--mapper-large-memory-mb"), "{error:?}");
    let reports = driver.runtime().unwrap().host().reports();
    assert_eq!((ended(&reports, MAPPER).0, ended(&reports, MAPPER_LARGE)), (2, (2, 0)));
    nothing_published(&output);
    driver.close().await;
}
