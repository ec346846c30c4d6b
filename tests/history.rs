//! What is known of each attempt of a job: all of them are there, whatever became of them; the page has the same when the job's program
//! is gone.

use crate::programs;
use crate::rig::{MAPPER, REDUCER, end};
use crate::support::{driver, run, shown};
use kinglet::{Attempt, CsvDialect, History, Outcome, RowFormat, Stage, Submit};
use kinglet_jobs::Cat;
use kinglet_local::lambda::{Fault, FaultPlan, FaultRule};
use std::fs;
use std::path::Path;
use std::time::Duration;

fn rows(dir: &Path) -> String {
    let file = dir.join("a.csv");
    fs::write(&file, "n,word\n".to_owned() + &(0..4_000).map(|n| format!("{n},w{n}\n")).collect::<String>()).unwrap();
    shown(&file)
}

fn codes(attempts: &[Attempt]) -> Vec<&str> {
    let code = |attempt: &Attempt| match &attempt.outcome {
        Outcome::Failed(error) => Some(error.code().to_owned().leak() as &str),
        _ => None,
    };
    attempts.iter().filter_map(code).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_attempt_is_there_with_what_became_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let driver = driver(|local| local).await;
    let kill = Fault::KillWorker { after: Duration::ZERO };
    let rules = vec![FaultRule::nth(MAPPER, 1, kill), FaultRule::nth(REDUCER, 0, kill)];
    driver.runtime().unwrap().host().set_faults(FaultPlan { seed: 1, rules });
    let job = Cat { format: RowFormat::Csv(CsvDialect::new()) };
    let submit =
        Submit::new([rows(dir.path())], shown(&dir.path().join("out"))).with_split_bytes(8_000).with_partitions(2);
    let handle = driver.submit(&job, submit).await.unwrap();
    let report = end(&handle).await.unwrap();
    let history = handle.history().await.unwrap();
    let of = |stage: Stage| -> Vec<&Attempt> {
        history.attempts.iter().filter(|one| one.stage == Some(stage) && one.outcome == Outcome::Committed).collect()
    };
    let (maps, reduces) = (of(Stage::Map), of(Stage::Reduce));
    assert_eq!((maps.len() as u64, reduces.len() as u64), (report.map_tasks, report.reduce_tasks));
    // A worker that the system kills is taken for one that ran out of memory, as on Lambda.
    assert_eq!(codes(&history.attempts), ["out-of-memory", "out-of-memory"]);
    let sum = |of: &[&Attempt], what: fn(&Attempt) -> u64| of.iter().map(|one| what(one)).sum::<u64>();
    assert_eq!(sum(&maps, |one| one.records_in), 4_000);
    assert_eq!(sum(&maps, |one| one.bytes_in), report.bytes_in);
    assert_eq!(sum(&maps, |one| one.bytes_out), report.shuffle_bytes);
    assert_eq!(sum(&reduces, |one| one.bytes_out), report.bytes_out);
    assert_eq!(history.attempts.iter().map(|one| u64::from(one.number > 0)).sum::<u64>(), report.retries);
    // In the order in which they began, and none of them outside of the job.
    assert!(history.attempts.is_sorted_by_key(|one| one.started_at));
    let [began, .., ended] = <[_; 5]>::from(history.status.times).map(Option::unwrap_or_default);
    assert!(history.attempts.iter().all(|one| began <= one.started_at && one.started_at <= ended));
    // Splitting, and what moved the job on.
    assert!(history.attempts.iter().any(|one| one.stage.is_none()));
    // What the report counts is what the attempts add up to.
    assert_eq!(history.attempts.iter().filter(|one| one.init_ms > 0).count() as u64, report.cold_starts);

    let same: History = serde_json::from_str(&serde_json::to_string(&history).unwrap()).unwrap();
    assert_eq!(same, history);
    driver.close().await;
}

#[test]
fn a_page_is_written_at_a_jobs_end_and_later() {
    let dir = tempfile::tempdir().unwrap();
    rows(dir.path());
    let kinglet = |args: &[&str]| {
        let state = dir.path().join("state");
        run(programs::kinglet().current_dir(dir.path()).env("KINGLET_STATE_DIR", state).args(args))
    };
    let counted = ["run", "count", "a.csv", "--output", "out", "--overwrite", "--report"];
    let ran = kinglet(&[&counted[..], &["job.html"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let page = fs::read_to_string(dir.path().join("job.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("\"phase\":\"succeeded\""));
    let later = kinglet(&["report", "last"]);
    assert_eq!(later.code, Some(0), "{}", later.err);
    assert_eq!(fs::read_to_string(dir.path().join(later.out.trim())).unwrap(), page);
    let told = kinglet(&["report", "last", "--json"]);
    let history: History = serde_json::from_str(&told.out).unwrap();
    assert_eq!(history.attempts.iter().filter(|one| one.stage == Some(Stage::Map)).count(), 1);

    // However the job ends.
    fs::write(dir.path().join("b.csv"), "n,word\n1,2,3\n").unwrap();
    let failed = kinglet(&["run", "count", "b.csv", "--output", "out2", "--report", "failed.html"]);
    assert_eq!(failed.code, Some(1), "{}", failed.out);
    let page = fs::read_to_string(dir.path().join("failed.html")).unwrap();
    assert!(page.contains("\"record-invalid\"") && page.contains("\"phase\":\"failed\""));
    kinglet(&["report", "last", "-o", "again.html"]);
    assert_eq!(fs::read_to_string(dir.path().join("again.html")).unwrap(), page);

    // A page that cannot be written does not undo the job.
    let ran = kinglet(&[&counted[..], &["no/such/job.html"]].concat());
    assert!(ran.code == Some(1) && ran.err.contains("writing no/such/job.html"), "{}", ran.err);
    assert!(ran.out.contains("succeeded") || ran.out.contains("output"), "{}", ran.out);
    assert!(dir.path().join("out/_manifest.json").exists());
    let ran = kinglet(&["report", "1999"]);
    assert!(ran.code == Some(1) && ran.err.contains("there is no job"), "{}", ran.err);
}
