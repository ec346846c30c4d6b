//! What a job with a ceiling is taken to have spent, and what [`advance`] makes of it. A GB-second costs a dollar here, and
//! nothing else costs anything, unless a test says so.

use super::view::{Failure, InputSize};
use super::*;
use crate::error::{Code, Error};
use crate::ids::{TaskIdx, Timestamp};
use crate::prices::Prices;
use crate::wire::cost::{Cap, Ceiling};
use crate::wire::record::{Requests, Usage};

fn prices() -> Prices {
    let of = Prices::of_us_east_1("x86_64");
    let (lambda_gb_second, lambda_request, s3_put, s3_get) = (1.0, 0.0, 0.0, 0.0);
    Prices { lambda_gb_second, lambda_request, s3_put, s3_get, dynamodb_write_unit: 0.0, dynamodb_read_unit: 0.0, ..of }
}

/// A mapping job of so many tasks, which may cost so many dollars and whose functions may run for 10 s.
fn view(usd: f64, tasks: Vec<TaskView>) -> LedgerView {
    let at = Some(Timestamp(0));
    let cap = Cap { ceiling: Ceiling { usd: Some(usd), seconds: None }, prices: prices() };
    let job = JobView {
        phase_at: [at, at, None, None, None].into(),
        map_tasks: tasks.len() as u32,
        partitions: 1,
        input: InputSize { objects: 1, bytes: 1, skipped: 0 },
        tries_max: 4,
        timeout_ms: 10_000,
        sent: tasks.len() as u32,
        capped: Some(Capped { cap, spent: Spent::default() }),
        ..JobView::new(Phase::Mapping)
    };
    LedgerView { job, tasks }
}

fn task(n: u32, tries: Vec<TryView>) -> TaskView {
    TaskView { task: TaskIdx(n), tries, ..TaskView::default() }
}

/// A try of a function of 1 GB that started at this second.
fn started(number: u16, at_s: u64) -> TryView {
    TryView { number, started_at: Some(Timestamp(at_s * 1_000)), memory_mb: Some(1_024), ..TryView::default() }
}

fn failed(number: u16, from_s: u64, to_s: u64, code: Code) -> TryView {
    let failure = Failure { error: Error::new(code, "it failed"), at: Timestamp(to_s * 1_000) };
    TryView { failed: Some(failure), ..started(number, from_s) }
}

fn at(s: u64) -> Timestamp {
    Timestamp(s * 1_000)
}

#[track_caller]
fn is_passed(commands: &[Command], says: &str) {
    let [Command::Fail(error)] = commands else { panic!("{commands:?}") };
    assert!(error.is(Code::CeilingPassed) && error.to_string().contains(says), "{error}");
    assert!(error.hint().unwrap().contains("--max-"), "{error:?}");
    assert!(!error.is_retryable());
}

#[test]
fn tries_are_counted_until_now_until_they_failed_or_until_their_timeout() {
    let tries = vec![failed(0, 0, 4, Code::Service), started(1, 5), TryView { number: 2, ..TryView::default() }];
    let mut view = view(100.0, vec![task(0, tries), task(1, vec![started(0, 0)])]);
    let usd = |view: &LedgerView, s| view.job.capped.as_ref().unwrap().usd(&view.tasks, 10_000, at(s));
    // 4 s, and 2 s until now; and 7 s.
    assert_eq!(usd(&view, 7), 4.0 + 2.0 + 7.0);
    // No function runs longer than its timeout, though the ledger has not heard of its end.
    assert_eq!(usd(&view, 500), 4.0 + 10.0 + 10.0);
    let spent = &mut view.job.capped.as_mut().unwrap().spent;
    spent.add_committed(&Usage { ran_ms: 1_500, init_ms: 500, memory_mb: 2_048, ..Usage::default() });
    spent.overtaken = vec![failed(0, 0, 3, Code::Crashed), TryView::default()];
    assert_eq!((spent.dearest_gb_s, spent.requests.lambda), (4.0, 1));
    assert_eq!(usd(&view, 7), 13.0 + 4.0 + 3.0);
    // One that was overtaken has said when it ended.
    let spent = &mut view.job.capped.as_mut().unwrap().spent;
    spent.overtaken.push(TryView { over_at: Some(at(6)), ..started(1, 4) });
    assert_eq!(usd(&view, 7), 20.0 + 2.0);
    view.job.capped.as_mut().unwrap().spent.overtaken.pop();
    // What was not read is taken for the dearest that can be: 10 s of 10 GB.
    view.job.capped.as_mut().unwrap().spent.unread = 2;
    assert_eq!(usd(&view, 7), 20.0 + 2.0 * 100.0);
}

#[test]
fn requests_and_invocations_are_in_the_bill() {
    let mut capped = view(1.0, vec![]).job.capped.unwrap();
    capped.cap.prices = Prices::of_us_east_1("x86_64");
    let requests =
        Requests { s3_put: 2, s3_get: 3, write_milliunits: 4_000, read_milliunits: 5_000, ..Requests::default() };
    capped.spent.add_committed(&Usage { ran_ms: 1_000, memory_mb: 1_024, requests, ..Usage::default() });
    let tries = [task(0, vec![started(0, 0), TryView { number: 1, ..TryView::default() }])];
    let want = 3.0 * 0.000_016_666_7 + 2.0 * 0.2e-6 + 4.0 * 0.625e-6 + 5.0 * 0.125e-6 + 2.0 * 5e-6 + 3.0 * 0.4e-6;
    assert!((capped.usd(&tries, 10_000, at(2)) - want).abs() < 1e-12);
}

#[test]
fn a_job_ends_when_what_it_may_cost_is_spent_and_not_before() {
    let view = view(6.0, vec![task(0, vec![started(0, 0)]), task(1, vec![started(0, 1)])]);
    assert_eq!(advance(&view, at(3)), []);
    is_passed(&advance(&view, at(4)), "has spent $7.000000 of the $6 that it may cost");
    // Without a ceiling, or with one of time alone, it goes on.
    let free = LedgerView { job: JobView { capped: None, ..view.job.clone() }, ..view.clone() };
    assert_eq!(advance(&free, at(9)), []);
}

#[test]
fn a_job_ends_when_it_has_taken_what_it_may() {
    let mut view = view(1e9, vec![task(0, vec![started(0, 0)])]);
    view.job.capped.as_mut().unwrap().cap.ceiling = Ceiling { usd: None, seconds: Some(7.5) };
    assert_eq!(advance(&view, Timestamp(7_500)), []);
    is_passed(&advance(&view, Timestamp(7_501)), "longer than the 7.5 s that it may, and has spent $7.501");
}

#[test]
fn a_further_try_is_sent_only_where_it_cannot_pass_the_ceiling() {
    let timed_out = |usd| view(usd, vec![task(0, vec![failed(0, 0, 10, Code::TimedOut)])]);
    is_passed(&advance(&timed_out(19.0), at(11)), "has spent $10.000000 of the $19");
    assert!(matches!(advance(&timed_out(21.0), at(11))[..], [Command::Invoke(Invoke { number: 1, .. })]));
    // A crash after a second says that the next costs about as much, though it might run into the timeout as well.
    let crashed = |usd| view(usd, vec![task(0, vec![failed(0, 0, 1, Code::Crashed)])]);
    is_passed(&advance(&crashed(1.5), at(2)), "a further try");
    assert!(matches!(advance(&crashed(2.5), at(2))[..], [Command::Invoke(_)]));
}

#[test]
fn several_further_tries_share_what_is_left() {
    let lost = |n| task(n, vec![failed(0, 0, 2, Code::Crashed)]);
    let three = |usd| view(usd, (0..3).map(lost).collect());
    is_passed(&advance(&three(11.0), at(3)), "has spent $6.000000");
    assert_eq!(advance(&three(12.5), at(3)).len(), 3);
    // One that was claimed and has not started will cost as much, and so will one that has just started.
    let waiting = TryView { number: 1, sends: 1, sent_at: Some(at(3)), accepted: true, ..TryView::default() };
    for under_way in [waiting, started(1, 3)] {
        let mut tasks = vec![lost(0), lost(1)];
        tasks[1].tries.push(under_way.clone());
        is_passed(&advance(&view(7.5, tasks.clone()), at(3)), "$2.000000 of tries that were begun");
        assert!(matches!(advance(&view(8.5, tasks), at(3))[..], [Command::Invoke(_)]), "{under_way:?}");
    }
}

#[test]
fn a_backup_that_could_pass_the_ceiling_is_not_sent_and_the_job_goes_on() {
    let done = |n| TaskView { done: true, ran_ms: 1_000, ..task(n, vec![]) };
    let straggling = |usd| {
        let mut view = view(usd, vec![done(0), done(1), done(2), task(3, vec![started(0, 0)])]);
        view.job.timeout_ms = 60_000;
        view
    };
    assert!(matches!(advance(&straggling(23.0), at(11))[..], [Command::Invoke(Invoke { number: 1, .. })]));
    assert_eq!(advance(&straggling(21.0), at(11)), []);
    is_passed(&advance(&straggling(21.0), at(21)), "has spent $21");
}

#[test]
fn the_jobs_own_reason_to_end_comes_first_and_what_is_done_is_published() {
    let broken = view(1.0, vec![task(0, vec![failed(0, 0, 5, Code::Panic)])]);
    assert!(matches!(&advance(&broken, at(6))[..], [Command::Fail(error)] if error.is(Code::Panic)));
    let spent = |phase| {
        let mut view = view(1.0, vec![TaskView { done: true, ..task(0, vec![]) }]);
        view.job.phase = phase;
        view.job.capped.as_mut().unwrap().spent.gb_seconds = 1.5;
        view
    };
    // Reducers would cost more; publishing costs nothing that counts.
    is_passed(&advance(&spent(Phase::Mapping), at(6)), "has spent $1.500000 of the $1");
    assert_eq!(advance(&spent(Phase::Reducing), at(6)), [Command::Finish]);
    let mut calls = spent(Phase::Mapping);
    calls.job.partitions = 0;
    assert_eq!(advance(&calls, at(6)), [Command::Finish]);
    for phase in [Phase::Publishing, Phase::Undoing, Phase::Failed] {
        assert!(!matches!(advance(&spent(phase), at(6))[..], [Command::Fail(_)]), "{phase:?}");
    }
}

#[test]
fn a_batch_is_not_halved_and_not_gone_on_with_beyond_the_ceiling() {
    let batch = |usd, calls, tries: Vec<TryView>| {
        let mut view = view(usd, vec![TaskView { calls, ..task(0, tries) }]);
        (view.job.partitions, view.job.calls) = (0, Some(CallsView { count: calls, per_task: calls as u32 }));
        view
    };
    let out_of_time = |calls_max| TryView { calls_max, ..failed(0, 0, 10, Code::TimedOut) };
    is_passed(&advance(&batch(15.0, 4, vec![out_of_time(None)]), at(11)), "a further try");
    assert!(matches!(advance(&batch(25.0, 4, vec![out_of_time(None)]), at(11))[..], [Command::Invoke(_)]));
    // Settling the only call begins nothing; settling one of several begins with the next.
    assert!(matches!(advance(&batch(15.0, 1, vec![out_of_time(None)]), at(11))[..], [Command::Settle(_)]));
    is_passed(&advance(&batch(15.0, 2, vec![out_of_time(Some(1))]), at(11)), "a further try");
    assert!(matches!(advance(&batch(25.0, 2, vec![out_of_time(Some(1))]), at(11))[..], [Command::Settle(_)]));
}

#[test]
fn tries_are_read_only_when_they_could_make_out_that_the_ceiling_is_passed() {
    let must_read = |usd, unread, done| {
        let mut view = view(usd, vec![TaskView { done, ..task(0, vec![]) }]);
        let capped = view.job.capped.as_mut().unwrap();
        capped.spent.unread = unread;
        capped.must_read(&view.tasks, 10_000, at(1))
    };
    assert!(!must_read(1.0, 0, false) && !must_read(1.0, 0, true));
    // Each may have cost a hundred, and a further try another hundred.
    assert!(must_read(299.0, 2, false) && !must_read(301.0, 2, false));
    // What a stage has spent is written down once, so it must be right.
    assert!(must_read(1e9, 1, true));
}

#[test]
fn what_a_stage_has_spent_is_written_down_with_what_still_runs() {
    let mut view = view(1e9, vec![]);
    let capped = view.job.capped.as_mut().unwrap();
    let requests = Requests { s3_get: 9, ..Requests::default() };
    capped.spent.add_committed(&Usage { ran_ms: 2_000, memory_mb: 1_024, requests, ..Usage::default() });
    capped.spent.overtaken = vec![failed(0, 0, 3, Code::Crashed), started(1, 100), TryView::default()];
    // It runs until its timeout, which comes before it must have seen that the stage is over.
    assert_eq!(capped.until_here(10_000, at(104)).gb_seconds(), 2.0 + 3.0 + 10.0);
    let usage = capped.until_here(900_000, at(104));
    assert_eq!(usage.gb_seconds(), 2.0 + 3.0 + 4.0 + STOPPED_MS as f64 / 1e3);
    assert_eq!((usage.requests.s3_get, usage.requests.lambda), (9, 3));
}
