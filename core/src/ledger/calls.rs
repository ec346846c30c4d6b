//! Batches of calls in [`super::advance`]. A call that kills its worker takes its batch with it, so the batch is halved until
//! that call is alone; then only that call fails.

use super::failures::{counts, is_death, is_out_of_memory};
use super::view::{LedgerView, TaskView, TryView};
use crate::budget::ALONE_TRIES_MAX;
use crate::error::{Code, Error};

/// How often a batch can be halved: no batch holds as many as 2^20 calls.
pub(super) const HALVINGS_MAX: u16 = 20;

/// How few calls the next try makes, and where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fewer {
    /// How many calls it makes at most; it hands the rest back.
    pub calls_max: u32,
    /// Whether it runs on the larger mapper, if there is one.
    pub larger: bool,
}

/// Returns how many calls the first try of the next piece makes, after a try that was given `calls_max` of its piece's calls
/// has done them. If a try died before that one, the call that killed is most likely among the next `calls_max`, so the next
/// makes half as many. If none died, it makes twice as many.
pub fn calls_after(try_number: u16, calls_max: u32) -> u32 {
    if try_number > 0 { (calls_max / 2).max(1) } else { calls_max.saturating_mul(2) }
}

/// A try whose worker died.
#[derive(Clone)]
pub(super) struct Death {
    error: Option<Error>,
    larger: bool,
    /// How many calls the try was given.
    calls: u64,
}

pub(super) enum Verdict {
    Again,
    Settle(Error),
    GiveUp,
}

/// Returns the tries of a piece whose workers died: those that were lost, and those with an error that [`is_death`].
pub(super) fn deaths(task: &TaskView, lost: impl Fn(&TryView) -> bool) -> Vec<Death> {
    let died = |t: &&TryView| match &t.failed {
        Some(failure) => is_death(&failure.error),
        None => lost(t),
    };
    let death = |t: &TryView| Death {
        error: t.failed.as_ref().map(|f| f.error.clone()),
        larger: t.larger,
        calls: t.calls_max.map_or(task.calls, |most| task.calls.min(most.into())),
    };
    task.tries.iter().filter(died).map(death).collect()
}

/// Returns how few calls the next try makes.
pub(super) fn fewer(task: &TaskView, deaths: &[Death]) -> Fewer {
    // The fewest that any of them was given, not what the last one was: a try without a trace may have been given all.
    let least = deaths.iter().map(|death| death.calls).min();
    let calls = least.map_or(task.calls, |least| (least / 2).max(1));
    let starved = deaths.last().is_some_and(|d| d.larger || d.error.as_ref().is_some_and(is_out_of_memory));
    Fewer { calls_max: u32::try_from(calls).unwrap_or(u32::MAX), larger: least == Some(1) && starved }
}

/// Decides what becomes of a piece of which no try lives.
pub(super) fn verdict(view: &LedgerView, task: &TaskView, deaths: &[Death]) -> Verdict {
    let alone = deaths.iter().filter(|death| death.calls == 1).count();
    let last = deaths.last().map(|death| death.error.clone());
    let timed_out = matches!(&last, Some(Some(error)) if error.is(Code::TimedOut));
    let enough = if timed_out { 1 } else { ALONE_TRIES_MAX.min(view.job.tries_max.into()) };
    if alone >= enough {
        let lost = || Error::new(Code::TaskLost, "its worker was lost without a word");
        return Verdict::Settle(last.flatten().unwrap_or_else(lost));
    }
    let failed = task.tries.iter().filter(|t| t.failed.as_ref().is_some_and(|f| counts(&f.error))).count();
    let others = failed.saturating_sub(deaths.len());
    if others >= view.job.tries_max.into() { Verdict::GiveUp } else { Verdict::Again }
}

#[cfg(test)]
mod tests {
    use super::super::view::{CallsView, Failure, InputSize, JobView, Phase};
    use super::super::{Command, Invoke, Settle, advance};
    use super::*;
    use crate::ids::{Piece, TaskIdx, Timestamp};

    fn job(calls: u32) -> JobView {
        let at = Some(Timestamp(0));
        JobView {
            phase_at: [at, at, None, None, None].into(),
            map_tasks: 1,
            input: InputSize { objects: 1, bytes: 1, skipped: 0 },
            calls: Some(CallsView { count: calls.into(), per_task: calls }),
            tries_max: 4,
            timeout_ms: 60_000,
            sent: 1,
            ..JobView::new(Phase::Mapping)
        }
    }

    /// Plays a batch of `calls` calls of which those in `kills` kill their workers. Returns which calls failed, by number, and
    /// how many workers died.
    fn play(calls: u32, kills: &[u32], error: &Error) -> (Vec<u32>, usize) {
        let (at, job) = (Some(Timestamp(0)), job(calls));
        let fresh = |piece, calls| TaskView { task: TaskIdx(0), piece: Piece(piece), calls, ..TaskView::default() };
        let mut view = LedgerView { job, tasks: vec![fresh(0, calls.into())] };
        let (mut from, mut failed, mut deaths, mut piece) = (0, vec![], 0, 0);
        let mut next: (u16, Option<u32>) = (0, None);
        for _ in 0..10_000 {
            let (number, calls_max) = next;
            let upto = calls_max.map_or(calls, |most| (from + most).min(calls));
            let started = TryView { number, started_at: at, calls_max, ..TryView::default() };
            if kills.iter().any(|k| (from..upto).contains(k)) {
                deaths += 1;
                let failure = Some(Failure { error: error.clone(), at: Timestamp(1) });
                view.tasks[0].tries.push(TryView { failed: failure, ..started });
            } else {
                from = upto;
                piece += 1;
                view.tasks[0] = fresh(piece, (calls - from).into());
                view.tasks[0].done = from == calls;
                next = (0, calls_max.map(|most| calls_after(number, most)));
            }
            match &advance(&view, Timestamp(2))[..] {
                [] => {}
                [Command::Finish] => return (failed, deaths),
                [Command::Invoke(Invoke { number, relief, .. })] => {
                    next = (*number, Some(relief.fewer.unwrap().calls_max))
                }
                [Command::Settle(Settle { error: said, .. })] => {
                    assert_eq!(said, error);
                    failed.push(from);
                    from += 1;
                    piece += 1;
                    view.tasks[0] = fresh(piece, (calls - from).into());
                    view.tasks[0].done = from == calls;
                    next = (0, Some(calls_after(0, 1)));
                    if from == calls {
                        assert_eq!(advance(&view, Timestamp(2)), [Command::Finish]);
                        return (failed, deaths);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        panic!("the batch hangs at {from}");
    }

    #[test]
    fn a_call_that_kills_its_worker_fails_alone() {
        let (crash, timeout) = (Error::new(Code::Crashed, "exit"), Error::new(Code::TimedOut, "3 s"));
        // Errors that a shipped program brings on itself are not retryable; in a batch, they fail only the call that did it.
        for code in [Code::Exited, Code::StackOverflow, Code::Panic] {
            assert_eq!(play(64, &[9, 40], &Error::new(code, "its own doing")).0, [9, 40], "{code}");
        }
        for calls in [1u32, 2, 3, 7, 64, 1000] {
            for kill in [0, calls / 3, calls - 1] {
                let (failed, deaths) = play(calls, &[kill], &crash);
                assert_eq!(failed, [kill], "{calls} calls");
                let halvings = calls.ilog2() as usize + 1;
                assert!(deaths <= halvings + 3, "{calls} calls, {kill} kills: {deaths} deaths");
                assert!(play(calls, &[kill], &timeout).1 < deaths, "a call out of time is not tried alone again");
            }
        }
        assert_eq!(play(64, &[0, 1, 63], &crash).0, [0, 1, 63]);
        assert_eq!(play(5, &[0, 1, 2, 3, 4], &crash).0, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_reducing_call_that_dies_again_and_again_is_given_up() {
        for (code, tries) in [(Code::Crashed, 4), (Code::Exited, 1), (Code::OutOfMemory, 4)] {
            let error = Error::new(code, "it died");
            let mut view = LedgerView { job: job(100), tasks: vec![TaskView::default()] };
            view.job.phase = Phase::Reducing;
            let mut number = 0;
            let ended = loop {
                let failure = Some(Failure { error: error.clone(), at: Timestamp(1) });
                let started = TryView { number, started_at: Some(Timestamp(0)), ..TryView::default() };
                view.tasks[0].tries.push(TryView { failed: failure, ..started });
                match advance(&view, Timestamp(2)).pop() {
                    Some(Command::Invoke(Invoke { number: next, .. })) if next < 100 => number = next,
                    other => break other,
                }
            };
            assert!(matches!(&ended, Some(Command::Fail(e)) if e.is(code)), "{ended:?}");
            assert_eq!(view.tasks[0].tries.len(), tries, "{code}");
        }
    }

    #[test]
    fn after_a_death_half_as_many_calls_are_made_and_after_none_twice_as_many() {
        assert_eq!([1, 2, 3, 8].map(|calls| calls_after(0, calls)), [2, 4, 6, 16]);
        assert_eq!([1, 2, 3, 8].map(|calls| calls_after(1, calls)), [1, 1, 1, 4]);
        assert_eq!(calls_after(0, u32::MAX), u32::MAX);
    }

    #[test]
    fn a_call_that_kills_is_tried_twice_alone_but_once_when_its_time_was_up_or_the_job_allows_no_more() {
        let (crash, timeout) = (Error::new(Code::Crashed, "exit"), Error::new(Code::TimedOut, "3 s"));
        let verdict_of = |error: &Error, deaths: u16, tries_max: u16| {
            let died = |number| TryView {
                number,
                started_at: Some(Timestamp(0)),
                failed: Some(Failure { error: error.clone(), at: Timestamp(1) }),
                ..TryView::default()
            };
            let task = TaskView { calls: 1, tries: (0..deaths).map(died).collect(), ..TaskView::default() };
            let view = LedgerView { job: JobView { tries_max, ..job(1) }, tasks: vec![task] };
            match &advance(&view, Timestamp(2))[..] {
                [Command::Invoke(_)] => "again",
                [Command::Settle(_)] => "settled",
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((verdict_of(&crash, 1, 4), verdict_of(&crash, 2, 4)), ("again", "settled"));
        assert_eq!(verdict_of(&crash, 1, 1), "settled");
        assert_eq!(verdict_of(&timeout, 1, 4), "settled");
    }

    #[test]
    fn a_call_whose_worker_is_lost_without_a_word_fails_as_lost() {
        let started = |number| TryView { number, started_at: Some(Timestamp(0)), ..TryView::default() };
        let task = TaskView { calls: 1, tries: vec![started(0), started(1)], ..TaskView::default() };
        let view = LedgerView { job: job(1), tasks: vec![task] };
        let commands = advance(&view, Timestamp(1_000_000));
        assert!(matches!(&commands[..], [Command::Settle(settle)] if settle.error.is(Code::TaskLost)), "{commands:?}");
    }

    /// A batch whose tries fail, and whose workers do not die, is no call's fault: the job fails as any other.
    #[test]
    fn a_batch_that_fails_again_and_again_is_given_up_whatever_died_in_between() {
        let failed = |number, error: &Error| TryView {
            number,
            started_at: Some(Timestamp(0)),
            failed: Some(Failure { error: error.clone(), at: Timestamp(1) }),
            ..TryView::default()
        };
        let (slow, crash) = (Error::new(Code::Service, "slow down"), Error::new(Code::Crashed, "exit"));
        let mut tries = vec![failed(0, &crash), failed(1, &slow), failed(2, &slow), failed(3, &slow)];
        let task = |tries| TaskView { calls: 8, tries, ..TaskView::default() };
        let decide = |tries: &[TryView]| {
            advance(&LedgerView { job: job(8), tasks: vec![task(tries.to_vec())] }, Timestamp(2)).pop()
        };
        assert!(
            matches!(decide(&tries), Some(Command::Invoke(Invoke { number: 4, .. }))),
            "three of four tries are spent"
        );
        tries.push(failed(4, &slow));
        assert!(matches!(decide(&tries), Some(Command::Fail(error)) if error.is(Code::Service)));
    }
}
