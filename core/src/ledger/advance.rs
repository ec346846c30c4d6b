//! `advance`: from what the ledger says and the time, what is to be done. It does no I/O and reads no clock, so that a
//! simulation can drive it through years of bad luck in a second.
//!
//! Anyone may call it at any time, several at once: the splitter after splitting, a worker whose commit completes a stage or
//! whose attempt failed, the driver as it polls, the sweeper. Whoever carries a command out first claims it with a
//! conditional write; the others find it claimed.

use super::calls::{self, Fewer, HALVINGS_MAX, Verdict};
use super::view::{LedgerView, Phase, TaskView, TryView};
use crate::error::Error;
use crate::ids::{Piece, TaskIdx, Timestamp};
use crate::wire::record::Position;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Claim try `number` of splitting and invoke the splitter again.
    Split {
        /// From 1.
        number: u64,
    },
    /// Claim try `number` of a task's piece and invoke it.
    Invoke {
        /// The task, of the stage the job is in.
        task: TaskIdx,
        /// Which piece.
        piece: Piece,
        /// Where the piece starts.
        start: Option<Position>,
        /// Which try.
        number: u16,
        /// What it is given, because tries before it died of memory.
        relief: Relief,
    },
    /// All map tasks are committed: go on to reducing.
    StartReducing,
    /// All reduce tasks are committed: reconcile, write the manifest, and be done.
    Finish,
    /// Commit, in the name of a piece's first call, that it failed, and go on behind it: it killed its worker when it was alone.
    Settle {
        /// The task.
        task: TaskIdx,
        /// Which piece.
        piece: Piece,
        /// Where the piece starts.
        start: Option<Position>,
        /// How the worker died.
        error: Error,
    },
    /// Give the job up.
    Fail(Error),
}

/// How often a piece's tries have died of memory. The next one gets [`Relief::eased`] work.
///
/// A map task reads as a stream and spills, so what kills it is a record or a table that the job's own code holds: less input
/// may help, and more memory helps. A reduce task has neither: it merges as a stream in bounded memory, its values are the
/// job's, and one that dies is only tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relief {
    /// On the mapper.
    pub died: u16,
    /// On the larger mapper.
    pub died_larger: u16,
    /// Where the piece holds calls: how few of them the next try makes.
    pub fewer: Option<Fewer>,
}

/// Where a try runs and how much it takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eased {
    /// Whether on the larger mapper.
    pub larger: bool,
    /// How many bytes to take at most before the rest is handed back.
    pub bytes_max: Option<u64>,
}

/// Half of a piece of an object below this is not worth a function. Of items, which may be any amount of work, one is.
pub const HALF_BYTES_MIN: u64 = 1 << 20;

impl Relief {
    /// Half of the piece first; then, or when it is too small for that, the whole on the larger mapper; then half there, and so
    /// on. Without a larger mapper: half, a quarter, an eighth.
    pub fn eased(self, piece_bytes: u64, half_bytes_min: u64, has_larger: bool) -> Eased {
        let can_halve = piece_bytes > half_bytes_min;
        let larger = has_larger && (self.died_larger > 0 || self.died > 1 || self.died > 0 && !can_halve);
        let halvings = if larger { self.died_larger } else { self.died };
        let halved = || (piece_bytes >> halvings.min(20)).max(half_bytes_min);
        Eased { larger, bytes_max: (halvings > 0 && can_halve).then(halved) }
    }
}

/// A worker that says nothing for this long beyond its function's timeout is lost, in milliseconds.
const LOST_GRACE_MS: u64 = 15_000;

/// After so long without a plan, at most, the splitter is invoked again, in milliseconds: listing a million objects takes about
/// as long.
/// Two splitters do no harm: the first to record a plan wins.
const SPLIT_PATIENCE_MS: u64 = 120_000;

/// When nothing at all happens in a stage for this long, tasks that have not started are invoked again: Lambda may hold an
/// asynchronous event back for as long as it is throttled, but then others run.
const IDLE_MS: u64 = 120_000;

/// A backup is worth its cost only when the task runs this many times longer than its siblings did…
const STRAGGLER_FACTOR: u64 = 4;

/// …and at least this long, in milliseconds…
const STRAGGLER_MS_MIN: u64 = 10_000;

/// …and this part of the siblings is done.
const STRAGGLER_DONE_PERCENT: usize = 75;

/// What is to be done now. The order does not matter; an empty list says: wait.
pub fn advance(view: &LedgerView, now: Timestamp) -> Vec<Command> {
    let since = |at: Option<Timestamp>| at.map_or(0, |at| now.since_ms(at));
    match view.job.phase {
        Phase::Succeeded | Phase::Failed | Phase::Cancelled => vec![],
        Phase::Splitting => {
            let patience_ms = SPLIT_PATIENCE_MS.min(view.job.timeout_ms + LOST_GRACE_MS);
            match since(view.job.phase_at[0]) / patience_ms {
                0 => vec![],
                number => vec![Command::Split { number }],
            }
        }
        Phase::Mapping if view.tasks.iter().all(|task| task.done) => match view.job.partitions {
            // Calls whose results are read by the driver.
            0 => vec![Command::Finish],
            _ => vec![Command::StartReducing],
        },
        Phase::Reducing if view.tasks.iter().all(|task| task.done) => vec![Command::Finish],
        Phase::Mapping | Phase::Reducing => advance_stage(view, now),
    }
}

fn advance_stage(view: &LedgerView, now: Timestamp) -> Vec<Command> {
    let sibling_ms = median_ran_ms(&view.tasks);
    let idle = last_sign(view).is_none_or(|at| now.since_ms(at) > IDLE_MS);
    let mut commands = Vec::new();
    for task in view.tasks.iter().filter(|task| !task.done) {
        match decide(view, task, sibling_ms, idle, now) {
            Some(Command::Fail(error)) => return vec![Command::Fail(error)],
            Some(command) => commands.push(command),
            None => {}
        }
    }
    commands
}

fn decide(view: &LedgerView, task: &TaskView, sibling_ms: Option<u64>, idle: bool, now: Timestamp) -> Option<Command> {
    let lost = |t: &TryView| t.started_at.is_some_and(|at| now.since_ms(at) > view.job.timeout_ms + LOST_GRACE_MS);
    let failures: Vec<_> = task.tries.iter().filter_map(|t| t.failed.as_ref()).collect();
    // The call that reduces them is no batch: it is a task like any other.
    let batches = view.job.calls.filter(|_| view.job.phase == Phase::Mapping);
    let is_fatal = |error: &Error| match batches {
        Some(_) => !error.is_retryable() && !calls::is_death(error),
        None => !error.is_retryable() && !is_out_of_memory(error),
    };
    if let Some(fatal) = failures.iter().find(|f| is_fatal(&f.error)) {
        return Some(Command::Fail(fatal.error.clone()));
    }
    let live: Vec<_> = task.tries.iter().filter(|t| t.failed.is_none() && !lost(t)).collect();
    // The first try leaves no trace until it starts: without one, it is on its way.
    let next = task.tries.iter().map(|t| t.number + 1).max().unwrap_or(0).max(1);
    // Pieces that hold calls are halved, which is no failure of theirs: the calls are then tried on their own.
    let tries_max = view.job.tries_max.saturating_add(if batches.is_some() { HALVINGS_MAX } else { 0 });
    let deaths = calls::deaths(task, lost);
    let invoke = |number| {
        let fewer = batches.map(|_| calls::fewer(task, &deaths));
        let relief = Relief { fewer, ..relief(&task.tries) };
        Some(Command::Invoke { task: task.task, piece: task.piece, start: task.start, number, relief })
    };
    let tried = failures.len() + task.tries.iter().filter(|t| t.failed.is_none() && lost(t)).count();
    if live.is_empty() && tried > 0 {
        if batches.is_some() {
            return match calls::verdict(view, task, &deaths) {
                Verdict::Again => invoke(next),
                Verdict::Settle(error) => {
                    Some(Command::Settle { task: task.task, piece: task.piece, start: task.start, error })
                }
                Verdict::GiveUp => Some(Command::Fail(given_up(view.job.phase, task, tried))),
            };
        }
        if next >= view.job.tries_max {
            return Some(Command::Fail(given_up(view.job.phase, task, tried)));
        }
        return invoke(next);
    }
    let waiting = live.iter().all(|t| t.started_at.is_none());
    if waiting {
        return match idle && now.since_ms(task.since) > IDLE_MS {
            true if next < tries_max => invoke(next),
            true => Some(Command::Fail(given_up(view.job.phase, task, task.tries.len()))),
            false => None,
        };
    }
    let ran = live.iter().filter_map(|t| t.started_at).map(|at| now.since_ms(at)).max().unwrap_or(0);
    let straggles = sibling_ms.is_some_and(|ms| ran > (ms * STRAGGLER_FACTOR).max(STRAGGLER_MS_MIN));
    if straggles && live.len() == 1 && next < tries_max { invoke(next) } else { None }
}

fn relief(tries: &[TryView]) -> Relief {
    let died = |larger: bool| {
        let died = |t: &&TryView| t.larger == larger && t.failed.as_ref().is_some_and(|f| is_out_of_memory(&f.error));
        u16::try_from(tries.iter().filter(died).count()).unwrap_or(u16::MAX)
    };
    Relief { died: died(false), died_larger: died(true), fewer: None }
}

fn given_up(phase: Phase, task: &TaskView, tried: usize) -> Error {
    let last = task.tries.iter().rev().find_map(|t| Some((t, &t.failed.as_ref()?.error)));
    match last {
        Some((last, error)) => {
            let times = format!("task {} failed {tried} times, the last time", task.task.0);
            match last.memory_mb.filter(|_| is_out_of_memory(error)) {
                Some(mb) => {
                    error.clone().context(format!("{times} with {mb} MB of memory")).with_hint(more_memory(phase))
                }
                None => error.clone().context(times),
            }
        }
        None => Error::service("task-lost", format!("task {} was lost {tried} times without a word", task.task.0))
            .with_hint("the function's log says more; give the functions more memory or a longer timeout"),
    }
}

/// The way out for a task that died of memory wherever it ran.
fn more_memory(phase: Phase) -> &'static str {
    match phase {
        Phase::Reducing => {
            "a reducer merges as a stream, so what does not fit is one value, or what `reduce` holds or writes for one key: \
             give the reducers more memory (ReducerMemory; --memory-mb on the embedded runtime), or hold less"
        }
        _ => {
            "a mapper reads as a stream, so what does not fit is one record, or what `map` holds: give the larger mapper \
             more memory (MapperLargeMemory; --mapper-large-memory-mb on the embedded runtime), or hold less"
        }
    }
}

pub(super) fn is_out_of_memory(error: &Error) -> bool {
    error.code() == "out-of-memory"
}

/// How long the siblings that are done took, once enough of them are.
fn median_ran_ms(tasks: &[TaskView]) -> Option<u64> {
    let mut done: Vec<_> = tasks.iter().filter(|t| t.done).map(|t| t.ran_ms).collect();
    if done.is_empty() || done.len() * 100 < tasks.len() * STRAGGLER_DONE_PERCENT {
        return None;
    }
    done.sort_unstable();
    Some(done[done.len() / 2])
}

/// The last time that anything in the stage gave a sign of life.
fn last_sign(view: &LedgerView) -> Option<Timestamp> {
    let tries = view.tasks.iter().flat_map(|task| &task.tries);
    let of_tries = tries.flat_map(|t| [t.claimed_at, t.started_at, t.failed.as_ref().map(|f| f.at)]).flatten();
    let stage = if view.job.phase == Phase::Mapping { view.job.phase_at[1] } else { view.job.phase_at[2] };
    of_tries.chain(stage).chain(view.tasks.iter().map(|t| t.since)).max()
}

#[cfg(test)]
#[path = "advance_tests.rs"]
mod tests;
