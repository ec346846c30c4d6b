//! Threads need little stack, though nothing is optimised: tests of other modules that go deep are run again, where every
//! thread has half of what it usually has. The functions' first threads have no more either.

use crate::programs;
use crate::support::run;
use std::process::Command;

/// Tokio, and the tests' harness, give a thread 2 MB. These tests pass with 680 KB and not with 600 (2026-11-22); the SDK alone
/// takes 330 KB for a request.
const STACK_KB: usize = 1_024;

/// Jobs and calls to their end, a splitter that cannot run, and a job that is undone, with its output cleaned.
const DEEP: [&str; 5] = [
    "calls::a_functions_pairs_go_to_a_jobs_reduce",
    "calls::every_kind_of_function_is_called_and_its_results_come_in_order",
    "ends::a_worker_that_died_while_it_undid_a_job_left_its_claim_and_uploads",
    "queues::a_splitter_that_can_never_run_was_waited_for_without_end",
    "queues::an_ordinary_map_task_costs_three_writes_at_most",
];

#[test]
fn the_futures_of_requests_filled_the_stack_of_whoever_waited_for_them() {
    // Whatever is still to be built is built with a usual stack.
    programs::directory();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -s $0 && exec \"$@\"", &STACK_KB.to_string()]);
    command.arg(std::env::current_exe().unwrap()).arg("--exact").args(DEEP);
    let ran = run(command.env("RUST_MIN_STACK", (STACK_KB << 10).to_string()));
    assert!(ran.code == Some(0) && ran.out.contains(&format!("{} passed", DEEP.len())), "{}{}", ran.out, ran.err);
}
