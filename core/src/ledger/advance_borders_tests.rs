//! Where `advance` changes its mind: one view on each side of a border, and what is said when a task is given up.

use super::{
    CLAIM_MS, CallsView, Command, EVENT_AGE_MS_MAX, Eased, Failure, HALF_BYTES_MIN, HANDOVER_MS, Invoke, JobView,
    LedgerView, Phase,
};
use super::{RESEND_MS, Relief, SILENCE_MS, SPLIT_SILENCE_MS, TaskView, TryView, advance};
use crate::error::{Code, Error};
use crate::ids::{Piece, TaskIdx, Timestamp};

/// A job that began at 0 and whose tasks have all been sent.
fn view(phase: Phase, tasks: u32) -> LedgerView {
    let at = Some(Timestamp(0));
    let job = JobView {
        phase_at: [at, at, None, None, None].into(),
        map_tasks: tasks,
        partitions: 1,
        tries_max: 4,
        timeout_ms: 900_000,
        sent: tasks,
        ..JobView::new(phase)
    };
    LedgerView { job, tasks: (0..tasks).map(|n| TaskView { task: TaskIdx(n), ..TaskView::default() }).collect() }
}

fn started(number: u16, at: u64) -> TryView {
    TryView { number, started_at: Some(Timestamp(at)), ..TryView::default() }
}

fn failed(number: u16, error: &Error) -> TryView {
    TryView { failed: Some(Failure { error: error.clone(), at: Timestamp(1) }), ..started(number, 0) }
}

/// What is sent, as task and try.
fn sent(view: &LedgerView, now: u64) -> Vec<(u32, u16)> {
    let sends = advance(view, Timestamp(now)).into_iter().filter_map(|command| match command {
        Command::Invoke(invoke) => Some((invoke.of.task.0, invoke.number)),
        _ => None,
    });
    sends.collect()
}

fn ends_with(view: &LedgerView, now: u64) -> Error {
    let mut commands = advance(view, Timestamp(now));
    let Some(Command::Fail(error)) = commands.pop() else { panic!("the job goes on: {commands:?}") };
    assert_eq!(commands, [], "who gives the job up does nothing besides");
    error
}

#[test]
fn what_died_on_the_larger_mapper_stays_there() {
    let relief = Relief { died: 1, died_larger: 1, ..Relief::default() };
    let half = HALF_BYTES_MIN * 2;
    assert_eq!(relief.eased(half * 2, HALF_BYTES_MIN, true), Eased { larger: true, bytes_max: Some(half) });
}

#[test]
fn a_try_that_nobody_is_known_to_have_sent_is_sent_again_soon() {
    let mut view = view(Phase::Mapping, 1);
    let claimed = TryView { sends: 1, sent_at: Some(Timestamp(5)), ..TryView::default() };
    view.tasks[0].tries = vec![claimed];
    assert_eq!(sent(&view, 5 + CLAIM_MS - 1), []);
    assert_eq!(sent(&view, 5 + CLAIM_MS), [(0, 0)]);
    // Once Lambda is known to have taken it, it waits there.
    view.tasks[0].tries[0].accepted = true;
    assert_eq!(sent(&view, 5 + CLAIM_MS), []);
}

#[test]
fn a_piece_is_sent_by_another_when_the_one_before_it_did_not_send_it() {
    let mut view = view(Phase::Mapping, 1);
    let task = &mut view.tasks[0];
    (task.piece, task.since) = (Piece(1), Timestamp(1_000));
    assert_eq!(sent(&view, 1_000 + HANDOVER_MS - 1), []);
    assert_eq!(sent(&view, 1_000 + HANDOVER_MS), [(0, 0)]);
}

#[test]
fn tasks_that_nobody_has_sent_yet_are_left_to_whoever_has_the_turn() {
    let mut view = view(Phase::Mapping, 4);
    view.job.sent = 2;
    assert_eq!(sent(&view, RESEND_MS), [(0, 0), (1, 0)]);
}

#[test]
fn a_splitter_is_lost_sooner_than_a_worker() {
    for (phase, silence_ms) in
        [(Phase::Splitting, SPLIT_SILENCE_MS), (Phase::Mapping, SILENCE_MS), (Phase::Reducing, SILENCE_MS)]
    {
        let mut view = view(phase, 1);
        view.tasks[0].tries = vec![started(0, 0)];
        assert_eq!(sent(&view, silence_ms), [], "{phase:?}");
        assert_eq!(sent(&view, silence_ms + 1), [(0, 1)], "{phase:?}");
    }
}

#[test]
fn a_task_that_may_be_tried_once_gets_no_backup() {
    let mut view = view(Phase::Mapping, 4);
    for task in &mut view.tasks[..3] {
        (task.done, task.ran_ms) = (true, 1_000);
    }
    view.tasks[3].tries = vec![started(0, 0)];
    assert_eq!(sent(&view, 100_000), [(3, 1)]);
    view.job.tries_max = 1;
    assert_eq!(sent(&view, 100_000), []);
}

#[test]
fn nobody_straggles_before_three_quarters_of_the_tasks_are_done() {
    for (done, straggles) in [(0, false), (1, false), (2, false), (3, true)] {
        let mut view = view(Phase::Mapping, 4);
        for task in &mut view.tasks[..done] {
            (task.done, task.ran_ms) = (true, 1_000);
        }
        for task in &mut view.tasks[done..] {
            task.tries = vec![started(0, 0)];
        }
        assert_eq!(!sent(&view, 100_000).is_empty(), straggles, "{done} of 4 are done");
    }
}

#[test]
fn a_straggler_is_one_against_the_median_of_its_siblings() {
    let mut view = view(Phase::Mapping, 5);
    for (task, ran_ms) in view.tasks.iter_mut().zip([90_000, 1_000, 5_000, 3_000]) {
        (task.done, task.ran_ms) = (true, ran_ms);
    }
    view.tasks[4].tries = vec![started(0, 0)];
    // Sorted, 5 s is in the middle.
    assert_eq!(sent(&view, 20_000), []);
    assert_eq!(sent(&view, 20_001), [(4, 1)]);
}

#[test]
fn a_task_whose_tries_were_lost_without_a_word_says_so_and_where_to_look() {
    let lost = |phase| {
        let mut view = view(phase, 8);
        for task in &mut view.tasks[..7] {
            task.done = true;
        }
        view.tasks[7].tries = (0..4).map(|number| started(number, 0)).collect();
        ends_with(&view, SILENCE_MS + 1)
    };
    for phase in [Phase::Mapping, Phase::Reducing] {
        let error = lost(phase);
        assert_eq!((error.code(), &*error.to_string()), ("task-lost", "task 7 was lost 4 times without a word"));
        assert!(error.hint().is_some_and(|hint| hint.contains("the function's log")), "{error:?}");
    }
    let error = lost(Phase::Splitting);
    assert_eq!((error.code(), &*error.to_string()), ("task-lost", "the splitter was lost 4 times without a word"));
    assert!(error.hint().is_some_and(|hint| hint.contains("the splitter's log")), "{error:?}");
}

/// A map task of so many calls, of which one try ran.
fn batch(calls: u32, last: TryView) -> LedgerView {
    let mut view = view(Phase::Mapping, 1);
    view.job.partitions = 0;
    view.job.calls = Some(CallsView { count: calls.into(), per_task: calls });
    view.tasks[0].calls = calls.into();
    view.tasks[0].tries = vec![last];
    view
}

#[test]
fn what_is_no_calls_doing_ends_a_batch_or_is_tried_again() {
    // The input is gone: no other try finds it, and it is no call's fault.
    let gone = Error::new(Code::ObjectChanged, "another object");
    assert_eq!(ends_with(&batch(8, failed(0, &gone)), 2), gone);
    // S3 had a bad minute: that kills nobody, so all calls are tried again as they were.
    let slow = Error::new(Code::Service, "slow down");
    let commands = advance(&batch(8, failed(0, &slow)), Timestamp(2));
    let [Command::Invoke(Invoke { number: 1, relief, .. })] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(*relief, Relief::default());
}

/// How many calls the next try makes after these, and whether on the larger mapper.
fn fewer(calls: u32, tries: Vec<TryView>) -> (u32, bool) {
    let mut view = batch(calls, TryView::default());
    view.tasks[0].tries = tries;
    let commands = advance(&view, Timestamp(2));
    let [Command::Invoke(Invoke { relief, .. })] = &commands[..] else { panic!("{commands:?}") };
    let fewer = relief.fewer.unwrap_or_else(|| panic!("no fewer: {relief:?}"));
    (fewer.calls_max, fewer.larger)
}

#[test]
fn a_batch_is_halved_and_a_call_alone_goes_to_the_larger_mapper_only_when_memory_was_short() {
    let (starved, crashed) = (Error::new(Code::OutOfMemory, "killed"), Error::new(Code::Crashed, "exit"));
    for error in [&starved, &crashed] {
        assert_eq!(fewer(9, vec![failed(0, error)]), (4, false), "{error}");
        assert_eq!(fewer(2, vec![failed(0, error)]), (1, false), "{error}");
    }
    let of_one = |error: &Error| TryView { calls_max: Some(1), ..failed(1, error) };
    assert_eq!(fewer(9, vec![failed(0, &starved), of_one(&starved)]), (1, true));
    assert_eq!(fewer(9, vec![failed(0, &crashed), of_one(&crashed)]), (1, false));
}

/// Lambda gives an event up after six hours; what is sent again before that may run twice.
#[test]
fn no_event_is_given_up_for_lost_while_lambda_may_have_it() {
    let hour_ms = 3_600_000;
    assert!((6 * hour_ms + 1..7 * hour_ms).contains(&EVENT_AGE_MS_MAX));
    let mut view = view(Phase::Mapping, 2);
    // Another task runs, so that nothing says that the queue stands still.
    let sign = |now| TryView { alive_at: Some(Timestamp(now)), ..started(0, now) };
    for (now, again) in [(6 * hour_ms, vec![]), (EVENT_AGE_MS_MAX - 1, vec![]), (EVENT_AGE_MS_MAX, vec![(1, 0)])] {
        view.tasks[0].tries = vec![sign(now - 1_000)];
        assert_eq!(sent(&view, now), again, "after {now} ms");
    }
}
