//! Functions called on the embedded runtime: what comes back, in which order, and what becomes of calls that fail, kill their
//! workers, take too long or are cancelled. `calls_program.rs` makes the calls and checks their results; here it is run.

use crate::programs;
use crate::support::{Ran, conductor, create_job, driver, run};
use kinglet::{Code, Error};
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_core::ledger::Phase;
use kinglet_core::limits::CALLS_CANCELLED_MAX;
use serde_json::Value;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

fn program(case: &str) -> (Ran, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let ran = run(programs::of_example("calls").arg(case).current_dir(dir.path()));
    (ran, dir)
}

/// Runs a case that must succeed: what it said, and the directory it ran in.
#[track_caller]
fn says(case: &str) -> (Value, TempDir) {
    let (ran, dir) = program(case);
    assert_eq!(ran.code, Some(0), "{case}: {}", ran.err);
    (serde_json::from_str(&ran.out).unwrap(), dir)
}

#[test]
fn every_kind_of_function_is_called_and_its_results_come_in_order() {
    says("kinds");
}

#[test]
fn a_call_that_fails_or_panics_is_a_result_and_its_batch_mates_keep_theirs() {
    let (report, _) = says("failures");
    assert_eq!((&report["done"], &report["failed"]), (&100.into(), &20.into()), "{report}");
    // No batch was tried again for it.
    assert_eq!(report["lambda"], report["batches"], "{report}");
}

#[test]
fn a_call_that_kills_its_worker_fails_alone() {
    let (report, _) = says("deadly");
    assert_eq!((&report["done"], &report["failed"]), (&40.into(), &2.into()), "{report}");
}

#[test]
fn a_call_out_of_time_fails_alone() {
    assert_eq!(says("out of time").0["failed"], 1);
}

#[test]
fn a_map_that_could_pass_its_ceiling_ends_and_its_finished_calls_have_their_results() {
    assert_eq!(says("ceiling").0["failed"], 2);
}

#[test]
fn a_call_out_of_memory_gets_more_and_fails_alone_where_that_is_not_enough() {
    assert_eq!(says("out of memory").0["failed"], 0);
    assert_eq!(says("out of all memory").0["failed"], 1);
}

#[test]
fn many_short_calls_share_invocations_and_requests() {
    let (report, _) = says("many");
    let count = |name: &str| report[name].as_u64().unwrap();
    assert_eq!((count("calls"), count("done"), count("jobs")), (10_000, 10_000, 2), "{report}");
    // How many of them share one is measured; on the slowest machine it is more than a few.
    assert!(count("batches") <= 1_000 && count("lambda") == count("batches"), "{report}");
    assert!(count("s3") <= 20 + 4 * count("batches"), "{report}");
}

#[test]
fn inputs_and_results_larger_than_any_payload_come_through() {
    says("large");
    says("too large");
}

#[test]
fn shared_data_is_read_by_all_calls() {
    says("shared");
}

#[test]
fn results_are_reduced_where_they_are() {
    says("reduce");
}

#[test]
fn a_functions_pairs_go_to_a_jobs_reduce() {
    let (said, dir) = says("into a job");
    assert_eq!((&said["records"], &said["out"]), (&50.into(), &6.into()));
    let parts = fs::read_dir(dir.path().join("out")).unwrap().map(|entry| entry.unwrap().path());
    let parts = parts.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("part-"));
    let text: String = parts.map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["0\t10", "1\t10", "2\t10", "3\t10", "4\t10", "all\t50"]);
}

#[test]
fn some_or_all_are_waited_for_and_come_as_they_end() {
    says("waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_cancelled_one_by_one_than_the_ledger_holds_are_refused_and_the_map_can_still_be_cancelled() {
    let driver = driver(|local| local).await;
    let conductor = conductor(&driver);
    let job = create_job(&conductor, "map", None).await;
    // The largest numbers that calls have.
    let numbers: Vec<u32> = (0..CALLS_CANCELLED_MAX as u32 + 1).map(|n| u32::MAX - n).collect();
    let (first, last) = numbers.split_at(CALLS_CANCELLED_MAX);
    conductor.ledger.cancel_calls(&job, first).await.unwrap();
    let error = conductor.ledger.cancel_calls(&job, last).await.unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), ("calls-cancelled", false), "{error}");
    assert!(error.hint().unwrap().contains("Calls::cancel"));
    assert_eq!(conductor.ledger.job(&job).await.unwrap().cancelled.len(), CALLS_CANCELLED_MAX);

    // There is room for the job's end, with an error as long as they come.
    let error = Error::new(Code::Cancelled, "x".repeat(20_000));
    let view = conductor.ledger.job(&job).await.unwrap();
    assert!(conductor.ledger.end(&job, &view, &[Phase::Splitting], Phase::Cancelled, &error).await.unwrap());
    // Of no job there is nothing to cancel.
    let nobody = JobId::new(Timestamp::now(), 2);
    assert_ne!(conductor.ledger.cancel_calls(&nobody, last).await.unwrap_err().code(), "calls-cancelled");
    driver.close().await;
}

#[test]
fn as_many_calls_of_a_batch_run_at_once_as_are_asked_for() {
    let (said, _) = says("at once");
    assert_eq!(said, serde_json::json!([vec![16; 16], vec![1; 8]]));
}

#[test]
fn one_or_all_are_cancelled_and_the_workers_are_free_again() {
    says("cancel");
    says("cancel one that runs");
}

#[test]
fn the_first_call_that_fails_ends_the_wait_for_all_results() {
    says("fails early");
}

#[test]
fn a_map_is_attached_to_by_its_jobs_from_another_driver_while_it_runs_and_after() {
    let (said, _) = says("attach");
    let want = [
        ("output-type", "fn((alloc::string::String, u64)) -> u64, not alloc::string::String", "returns"),
        ("job-kind", "is a map whose results are reduced by a function, not", "`Driver::attach_map_reduce`"),
        ("job-kind", "is a map whose results are fetched, not", "`Driver::attach_map`"),
        ("output-type", "are those of sum, fn(alloc::vec::Vec<u64>) -> u64, not", "returns"),
        ("job-kind", "(count) is a job with an output of its own, not", "`Driver::attach`"),
        ("job-kind", "(count) is a job with an output of its own, not", "`Driver::attach`"),
        ("jobs-of-two-maps", " calls gated, and job ", "each map"),
        ("jobs-missing", "a map has at least one job", "all of its jobs"),
        ("job-missing", "there is no job 19aa5440eb0-f0a9c3d5e7ab", "7 days"),
    ];
    assert_eq!(said.as_array().unwrap().len(), want.len());
    for ((code, message, hint), got) in want.iter().zip(said.as_array().unwrap()) {
        assert_eq!(got[0], *code, "{got}");
        assert!(got[1].as_str().unwrap().contains(message), "{got}");
        assert!(got[2].as_str().unwrap().contains(hint), "{got}");
    }
}

#[test]
fn what_is_wrong_with_calls_is_said() {
    let (said, _) = says("bad input");
    let want = [
        ("function-not-registered", "the function calls::unregistered is not registered"),
        ("no-inputs", "there are no inputs for square"),
        ("value-encode", "input 0: encoding a calls::No"),
        ("calls-per-batch", "a batch of 0 calls does nothing"),
        ("calls-at-once", "513 calls cannot run at once"),
        ("call-input", "call 0: reading the input: "),
        ("function-not-registered", "no function named \"newer\" is registered in the functions (bad_words, "),
        ("function-types", "function changed is fn(u32) -> u32 in the functions, but fn(u64) -> u64 in the driver"),
    ];
    assert_eq!(said.as_array().unwrap().len(), want.len());
    for ((code, message), got) in want.iter().zip(said.as_array().unwrap()) {
        assert_eq!(got[0], *code, "{got}");
        assert!(got[1].as_str().unwrap().starts_with(message), "{got}");
        assert!(got[2] == true || *code == "value-encode", "{got}: no hint");
    }
}

#[test]
fn a_driver_that_ends_before_its_calls_ends_them_with_an_error() {
    for case in ["closed", "dropped"] {
        let (said, _) = says(case);
        let said = said.as_array().unwrap();
        assert_eq!(said.len(), 3);
        for (call, error) in said.iter().enumerate() {
            assert!(error[0] == "driver-closed" && error[2] == true, "{case}: {error}");
            let message = error[1].as_str().unwrap();
            assert!(message.starts_with(&format!("call {call} of waits had not ended")), "{case}: {message}");
        }
    }
}

fn one(n: u8) -> u8 {
    n
}

fn two(n: u8) -> u8 {
    n + 1
}

#[test]
#[ignore = "the test below runs it, in a process of its own"]
fn two_of_one_name() {
    let jobs = kinglet::Registry::new().named_function("same", one).named_function("same", two);
    let code = kinglet::main(jobs, async || panic!("the program is not to start"));
    assert_eq!(code, std::process::ExitCode::FAILURE);
}

#[test]
fn two_functions_of_one_name_stop_a_program_before_it_starts() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let ran = run(command.args(["--exact", "calls::two_of_one_name", "--ignored", "--nocapture"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("error: two functions are registered as \"same\""), "{ran:?}");
    assert!(ran.err.contains("hint: give one of them a name of its own"), "{ran:?}");
}
