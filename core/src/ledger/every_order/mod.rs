//! `advance` under every order of events, for small jobs.
//!
//! The world is explored breadth first, from the job's beginning: whatever can happen next is tried, up to a number of faults.
//! A worker starts, commits, commits late, fails, dies, stands still; Lambda loses an event, delivers it twice, gives it up, or
//! has no free function for hours; a decider looks, is slow, or dies half way; time passes; somebody cancels the job. Worlds in
//! which the same is true are one, so that all orders are a few hundred thousand worlds.
//!
//! - `world.rs`: what is true of a job, in the ledger and beside it
//! - `rules.rs`: the ledger's conditional writes
//! - `happens.rs`: what can happen next
//! - `time.rs`: how time passes
//! - `laws.rs`: what must be true
//! - `search.rs`: explores, and follows each world to its end without further faults

mod happens;
mod laws;
mod rules;
mod search;
mod time;
mod world;

use super::{Phase, RESEND_MS};
use crate::error::Code;
use search::explore;
use world::Job;

/// One map task and one reduce task; a crash is the one failure of which the ledger hears.
const JOB: Job = Job {
    name: "",
    from: Phase::Mapping,
    maps: 1,
    partitions: 1,
    done: 0,
    tries_max: 4,
    timeout_ms: 200_000,
    ms_max: None,
    faults: 2,
    fails: &[Code::Crashed],
    short: None,
    cancel: false,
    late: false,
    calls: 0,
    kills: &[],
    killed_by: None,
    index: false,
    merged: false,
    wrong: &[],
    spent_max: None,
};

/// Three calls in one batch.
const CALLS: Job = Job { calls: 3, partitions: 0, faults: 1, ..JOB };

/// A failure of each kind that `advance` tells apart.
const ALL: &[Code] = &[Code::Crashed, Code::OutOfMemory, Code::TimedOut, Code::Panic, Code::Service];

/// Explores a job. It must be able to end in these phases, and in no others.
fn check(job: Job, ends: &[Phase]) {
    let began = std::time::Instant::now();
    let explored = explore(&job).unwrap_or_else(|broken| panic!("{broken}"));
    println!(
        "{}: {} worlds, {} steps; at most {} s to the end; {:?}",
        job.name,
        explored.worlds,
        explored.steps,
        explored.to_the_end_ms / 1_000,
        began.elapsed()
    );
    assert_eq!(explored.ends, ends, "{}", job.name);
    // An event that Lambda has lost is missed after a quarter of an hour, and after twice as long the next time.
    assert!(explored.to_the_end_ms <= 2 * RESEND_MS, "{}: {} ms", job.name, explored.to_the_end_ms);
}

use Phase::{Cancelled, Failed, Succeeded};

#[test]
fn a_job_from_its_first_event_to_its_end() {
    let job = Job { from: Phase::Splitting, ..JOB };
    check(Job { name: "three faults", faults: 3, fails: &[], ..job }, &[Succeeded, Failed]);
    check(Job { name: "all failures", fails: ALL, cancel: true, ..job }, &[Succeeded, Failed, Cancelled]);
    check(Job { name: "without faults", faults: 0, ..job }, &[Succeeded]);
}

#[test]
fn deciders_that_are_late() {
    let job = Job { late: true, faults: 1, ..JOB };
    check(Job { name: "late when mapping", ..job }, &[Succeeded, Failed]);
    let job = Job { from: Phase::Reducing, cancel: true, ..job };
    check(Job { name: "late when reducing", ..job }, &[Succeeded, Failed, Cancelled]);
    check(Job { name: "late and out of tries", tries_max: 1, ..job }, &[Succeeded, Failed, Cancelled]);
}

#[test]
fn tasks_side_by_side() {
    check(Job { name: "two map tasks", maps: 2, faults: 1, fails: ALL, ..JOB }, &[Succeeded, Failed]);
    check(
        Job { name: "two partitions", partitions: 2, from: Phase::Reducing, fails: &[], ..JOB },
        &[Succeeded, Failed],
    );
    check(Job { name: "three map tasks", maps: 3, faults: 1, fails: &[], ..JOB }, &[Succeeded, Failed]);
}

#[test]
fn tries_that_are_used_up() {
    let fails = &[Code::Crashed, Code::TimedOut];
    check(Job { name: "two tries", tries_max: 2, faults: 3, fails, ..JOB }, &[Succeeded, Failed]);
    check(Job { name: "a straggler", maps: 4, done: 3, ..JOB }, &[Succeeded, Failed]);
    check(Job { name: "a straggler's one try", maps: 4, done: 3, tries_max: 1, ..JOB }, &[Succeeded, Failed]);
    check(Job { name: "pieces", short: Some(1), fails: ALL, ..JOB }, &[Succeeded, Failed]);
    check(Job { name: "a deadline", ms_max: Some(100_000), faults: 1, fails: &[], ..JOB }, &[Succeeded, Failed]);
}

/// A reducer hands on as a mapper does, and may die between its commit and that.
#[test]
fn reduce_tasks_in_pieces() {
    let job = Job { short: Some(2), from: Phase::Reducing, ..JOB };
    check(Job { name: "a reduce task in pieces", fails: ALL, ..job }, &[Succeeded, Failed]);
    check(Job { name: "two of them", partitions: 2, faults: 1, fails: &[Code::Crashed], ..job }, &[Succeeded, Failed]);
    let late = Job { late: true, cancel: true, faults: 1, ..job };
    check(Job { name: "one of them, late", ..late }, &[Succeeded, Failed, Cancelled]);
    let most = Some(300_000);
    check(Job { name: "one of them below a ceiling", spent_max: most, faults: 1, ..job }, &[Succeeded, Failed]);
}

/// Whoever writes the index of a job's runs may die, or stand still and come back: the job is reduced once, by an index or without.
#[test]
fn an_index_between_mapping_and_reducing() {
    let job = Job { index: true, fails: &[], ..JOB };
    check(Job { name: "an index", faults: 0, ..job }, &[Succeeded]);
    check(Job { name: "an index, and three faults", faults: 3, ..job }, &[Succeeded, Failed]);
    check(Job { name: "an index, late", late: true, cancel: true, faults: 1, ..job }, &[Succeeded, Failed, Cancelled]);
    check(Job { name: "an index below a ceiling", spent_max: Some(100_000), ..job }, &[Succeeded, Failed]);
}

/// Merge tasks between mapping and reducing are tasks like any others.
#[test]
fn runs_that_are_merged_before_they_are_reduced() {
    let job = Job { merged: true, ..JOB };
    check(Job { name: "merging, without faults", faults: 0, ..job }, &[Succeeded]);
    check(Job { name: "merging", fails: ALL, ..job }, &[Succeeded, Failed]);
    let job = Job { from: Phase::Merging, ..job };
    check(
        Job { name: "merging for two partitions", partitions: 2, faults: 1, fails: &[], ..job },
        &[Succeeded, Failed],
    );
    check(Job { name: "merging in pieces", short: Some(3), faults: 1, fails: ALL, ..job }, &[Succeeded, Failed]);
    let late = Job { late: true, cancel: true, faults: 1, ..job };
    check(Job { name: "merging, late", ..late }, &[Succeeded, Failed, Cancelled]);
    check(Job { name: "merging below a ceiling", spent_max: Some(300_000), faults: 1, ..job }, &[Succeeded, Failed]);
}

/// Splits that begin at wrong places are read again before anything is reduced, each once, whoever dies or is late.
#[test]
fn splits_that_began_at_wrong_places() {
    let job = Job { maps: 2, wrong: &[1], fails: &[], faults: 1, ..JOB };
    check(Job { name: "the last split is wrong", faults: 2, ..job }, &[Succeeded, Failed]);
    check(Job { name: "a wrong split, late", late: true, cancel: true, ..job }, &[Succeeded, Failed, Cancelled]);
    let three = Job { maps: 3, done: 2, wrong: &[1, 2], ..job };
    check(Job { name: "two wrong splits", ..three }, &[Succeeded, Failed]);
    check(Job { name: "two wrong splits and an index", index: true, ..three }, &[Succeeded, Failed]);
    check(Job { name: "a wrong split below a ceiling", spent_max: Some(300_000), ..job }, &[Succeeded, Failed]);
    check(Job { name: "no faults", faults: 0, maps: 4, done: 3, wrong: &[1, 2, 3], ..job }, &[Succeeded]);
}

/// A job with a ceiling ends at it, and does not begin what could pass it.
#[test]
fn ceilings() {
    let fails = &[Code::Crashed, Code::TimedOut];
    // A task that stands still is lost after more than two minutes; the ceiling ends the job before, or leaves no room for more.
    let job = Job { spent_max: Some(100_000), fails, ..JOB };
    check(Job { name: "a low ceiling", from: Phase::Splitting, faults: 1, ..job }, &[Succeeded, Failed]);
    check(Job { name: "a ceiling", cancel: true, ..job }, &[Succeeded, Failed, Cancelled]);
    check(Job { name: "room for one more", spent_max: Some(300_000), tries_max: 3, ..job }, &[Succeeded, Failed]);
    check(Job { name: "two below a ceiling", maps: 2, faults: 1, ..job }, &[Succeeded, Failed]);
    check(Job { name: "a straggler below one", maps: 4, done: 3, faults: 1, ..job }, &[Succeeded, Failed]);
    check(Job { name: "late below a ceiling", late: true, faults: 1, ..job }, &[Succeeded, Failed]);
    let calls = Job { spent_max: Some(100_000), kills: &[1], killed_by: Some(Code::TimedOut), ..CALLS };
    check(Job { name: "calls below a ceiling", ..calls }, &[Succeeded, Failed]);
}

/// A call that kills its worker fails alone, and the others do not.
#[test]
fn calls_that_kill() {
    let crash = Some(Code::Crashed);
    check(Job { name: "a call that crashes", kills: &[1], killed_by: crash, ..CALLS }, &[Succeeded]);
    check(Job { name: "a call that ends silently", kills: &[2], ..CALLS }, &[Succeeded]);
    check(Job { name: "a call without end", kills: &[0], killed_by: Some(Code::TimedOut), ..CALLS }, &[Succeeded]);
    check(Job { name: "a hungry call", kills: &[1], killed_by: Some(Code::OutOfMemory), ..CALLS }, &[Succeeded]);
    check(Job { name: "only such calls", kills: &[0, 1, 2], killed_by: crash, ..CALLS }, &[Succeeded]);
    check(
        Job { name: "two batches", calls: 2, maps: 2, kills: &[0, 3], killed_by: crash, faults: 0, ..CALLS },
        &[Succeeded],
    );
    check(Job { name: "calls, late", kills: &[1], killed_by: crash, late: true, ..CALLS }, &[Succeeded]);
}
