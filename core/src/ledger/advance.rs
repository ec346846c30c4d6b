//! `advance` decides what is to be done, from the ledger and the time. It does no I/O and reads no clock, so that a
//! simulation can drive it through years of bad luck in a second.
//!
//! Anyone may call it at any time, and several may at once: the splitter after splitting, a worker whose commit completes a
//! stage or whose attempt failed, the driver as it polls, the sweeper. Before one of them carries a command out, it claims
//! the command with a conditional write; the others find it claimed.
//!
//! **Waiting is not dying.** Lambda keeps an event that it cannot run yet for up to six hours. So a try that has not started
//! has not failed, and silence means something only where a sign of life was due:
//!
//! | what is silent | a sign was due | what is done |
//! |---|---|---|
//! | a try that started | every [`HEARTBEAT_MS`] | after [`SILENCE_MS`] it counts as failed, and the next try is sent |
//! | a try that was claimed, and that Lambda is not known to have accepted | at once | after [`CLAIM_MS`] the *same* try is sent again |
//! | a piece that its predecessor's worker was to send | at once | after [`HANDOVER_MS`] the *same* try is sent again |
//! | a try that Lambda has accepted | when a function is free | nothing while other tries run; in an idle stage the *same* try is sent again after [`RESEND_MS`], and after twice as long each further time |
//! | the process that moved the job into its phase, or took its turn | every few seconds | after [`TURN_MS`] another process takes the turn and goes on where that one stopped |
//! | the process that indexes the runs of a job whose map tasks are committed | every few seconds | after [`TURN_MS`] another process takes the turn and begins anew; after [`INDEX_TRIES_MAX`] of them, reducers do without |
//!
//! **A ceiling holds.** A job with a ceiling starts nothing once it has spent, or taken, what it may, and ends; `spent.rs` says what
//! counts. A backup that could pass the ceiling is not sent, and a task that needs a further try which could ends the job. A job
//! whose tasks are all committed is published all the same: that costs a few requests, and what it cost is spent.
//!
//! Sending a try again is not another try: of its executions the first to start does the work, and the others see that and
//! leave. So sending again costs a request but never a second run, and cannot fail a job.

use super::calls::{self, Fewer, HALVINGS_MAX, Verdict};
use super::failures::{counts, is_death, is_out_of_memory};
use super::spent::Room;
use super::view::{LedgerView, Phase, Reads, TaskView, TryView};
use crate::budget::{STRAGGLER_DONE_PERCENT, STRAGGLER_FACTOR, STRAGGLER_MS_MIN, TIMED_OUT_TRIES_MAX};
use crate::error::{Code, Error};
use crate::ids::{Piece, TaskIdx, Timestamp};
use crate::range::ByteRange;
use crate::wire::record::Position;

/// Something that is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Claim the sending of a try, and invoke its function.
    Invoke(Invoke),
    /// Claim the turn after this one, and go on with what its holder seems to have left undone.
    TakeTurn {
        /// The turn that has fallen silent.
        turn: u64,
    },
    /// Look which splits were begun at wrong places, and have them read again: all map tasks are committed, and some do not begin
    /// where the one before ended. Where none was, go on to merging or reducing.
    Reread {
        /// How many map tasks the job has.
        map_tasks: u32,
    },
    /// Go on to merging the runs: all map tasks are committed, of a job that has merge tasks.
    StartMerging,
    /// Go on to reducing: all map tasks, and merge tasks, are committed.
    StartReducing(FindRuns),
    /// Reconcile, publish and end the job: all tasks are committed.
    Finish,
    /// Commit on behalf of a piece's first call that it failed, and go on with the call after it.
    Settle(Settle),
    /// Give the job up with this error.
    Fail(Error),
}

/// How reducers are to find their runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindRuns {
    /// By an index, where one is cheaper. Who writes one takes the turn first.
    Cheapest,
    /// By what the map attempts have written into the ledger: whoever tried to write an index has fallen silent.
    Ledger,
}

/// A piece of a task in the job's current stage, and where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceAt {
    /// The task.
    pub task: TaskIdx,
    /// Which piece of the task.
    pub piece: Piece,
    /// Where the piece starts, if it is not the first.
    pub start: Option<Position>,
}

/// A try that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invoke {
    /// The piece that is tried.
    pub of: PieceAt,
    /// The number of the try, from 0.
    pub number: u16,
    /// How often the try was claimed before.
    pub sends: u16,
    /// What the earlier tries that died mean for this one: less work or more memory.
    pub relief: Relief,
}

/// A call that killed its worker while it was the only one: the first call of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    /// The piece that starts with the call.
    pub of: PieceAt,
    /// How the worker died.
    pub error: Error,
}

/// How often a piece's tries have died of memory. [`Relief::eased`] says what the next try is given.
///
/// A map task reads as a stream and spills, so what fills its memory is a record, or a table that the job's own code holds:
/// less input may help, and more memory helps. A reduce task can be given neither. It merges as a stream in bounded memory,
/// and the values that it holds are the job's own, so one that dies is only tried again.
///
/// A try of a reduce task that runs out of time was at a key that did not fit into what was left of it. The next one hands on early,
/// so that another piece begins near that key, with all of its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relief {
    /// Deaths on the mapper.
    pub died: u16,
    /// Deaths on the larger mapper.
    pub died_larger: u16,
    /// If the piece holds calls: how few of them the next try makes.
    pub fewer: Option<Fewer>,
    /// Whether a try has run out of time.
    pub timed_out: bool,
}

/// Where a try runs and how much of its piece it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eased {
    /// Whether it runs on the larger mapper.
    pub larger: bool,
    /// How many bytes it takes at most before it hands the rest back.
    pub bytes_max: Option<u64>,
}

/// The size down to which a piece of an object is halved, in bytes (1 MiB): less is not worth a function. A piece of items,
/// each of which may be any amount of work, is halved down to one item.
pub const HALF_BYTES_MIN: u64 = 1 << 20;

impl Relief {
    /// Returns what the next try is given after deaths of memory. First, half of the piece; then, or at once if the piece is
    /// too small to be halved, the whole piece on the larger mapper; then half of it there, and so on. Without a larger
    /// mapper: half, a quarter, an eighth, and so on.
    pub fn eased(self, piece_bytes: u64, half_bytes_min: u64, has_larger: bool) -> Eased {
        let can_halve = piece_bytes > half_bytes_min;
        let larger = has_larger && (self.died_larger > 0 || self.died > 1 || self.died > 0 && !can_halve);
        let halvings = if larger { self.died_larger } else { self.died };
        let halved = || (piece_bytes >> halvings.min(20)).max(half_bytes_min);
        Eased { larger, bytes_max: (halvings > 0 && can_halve).then(halved) }
    }
}

/// How often a running worker gives a sign of life, in milliseconds (40 s). Each costs a write to the ledger; most tasks are
/// shorter and write none.
pub const HEARTBEAT_MS: u64 = 40_000;

/// How long a worker may give no sign of life before it counts as lost, in milliseconds (130 s): three heartbeats and some
/// seconds more, as a request may be slow.
pub const SILENCE_MS: u64 = 130_000;

/// The [`HEARTBEAT_MS`] of a splitter (10 s). It is shorter because a job has only one splitter, and nobody reports its death.
pub const SPLIT_HEARTBEAT_MS: u64 = 10_000;
/// The [`SILENCE_MS`] of a splitter (40 s); see [`SPLIT_HEARTBEAT_MS`].
pub const SPLIT_SILENCE_MS: u64 = 40_000;

/// How long after its function's timeout a worker counts as lost whatever signs of life it gave, in milliseconds (15 s).
pub(super) const LOST_GRACE_MS: u64 = 15_000;

/// How long after the claim to send it a try is sent again, if Lambda is not known to have accepted it, in milliseconds (20 s).
pub const CLAIM_MS: u64 = 20_000;

/// How long the worker of one piece has to send the next piece before another process sends it, in milliseconds (60 s). If that
/// worker died, it was between two requests.
pub const HANDOVER_MS: u64 = 60_000;

/// How long after it was sent a try is sent again while no try of the stage runs, in milliseconds (15 minutes); the wait
/// doubles each time. Lambda waits up to 5 minutes before it tries a throttled event again:
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>, 2026-11.
pub const RESEND_MS: u64 = 900_000;

/// The age from which an event cannot be left in Lambda's queue, in milliseconds (6 hours and 10 minutes): Lambda gives an
/// event up after 6 hours at most. Same page.
pub const EVENT_AGE_MS_MAX: u64 = 6 * 3_600_000 + 600_000;

/// How many of the tries that are silent in Lambda's queue are sent again at once: enough to see whether the queue moves.
const RESENDS_MAX: usize = 64;

/// How long the process that moved a job into a phase may give no sign of life before another takes its turn, in milliseconds
/// (10 s). It gives one every few seconds until the phase's work is done.
pub const TURN_MS: u64 = 10_000;

/// How many processes try to write the index of a job's runs, one after the other, before reducers do without. It takes seconds,
/// or minutes in the largest jobs, and who dies of it, of time or memory, would do so again; a function that has just begun has
/// more time than one that has mapped before.
pub const INDEX_TRIES_MAX: u16 = 3;

/// Returns what is to be done now. The order of the commands does not matter; an empty list means to wait.
pub fn advance(view: &LedgerView, now: Timestamp) -> Vec<Command> {
    let job = &view.job;
    let is_silent = now.since_ms(job.turn_at) >= TURN_MS;
    let take_turn = || vec![Command::TakeTurn { turn: job.turn }];
    let taken_ms = job.phase_at.splitting.map_or(0, |at| now.since_ms(at));
    let commands = match job.phase {
        Phase::Succeeded | Phase::Failed | Phase::Cancelled => vec![],
        Phase::Publishing | Phase::Undoing if is_silent => take_turn(),
        Phase::Publishing | Phase::Undoing => vec![],
        _ if taken_ms > job.ms_max => vec![Command::Fail(took_too_long(job.ms_max))],
        Phase::Splitting => advance_stage(view, now),
        Phase::Mapping if view.tasks.iter().all(|task| task.done) => match job.partitions {
            // A map of calls: the driver reads the results.
            0 => vec![Command::Finish],
            _ if job.index.tries == 0 && !splits_meet(view) => vec![Command::Reread { map_tasks: job.map_tasks }],
            _ if job.grid.is_some() => vec![Command::StartMerging],
            _ => match job.index.tries {
                0 => vec![Command::StartReducing(FindRuns::Cheapest)],
                _ if !is_silent => vec![],
                tries if tries < INDEX_TRIES_MAX => take_turn(),
                _ => vec![Command::StartReducing(FindRuns::Ledger)],
            },
        },
        // Each reducer reads the records of its own band alone, so that an index would save nothing.
        Phase::Merging if view.tasks.iter().all(|task| task.done) => vec![Command::StartReducing(FindRuns::Ledger)],
        Phase::Reducing if view.tasks.iter().all(|task| task.done) => vec![Command::Finish],
        Phase::Mapping | Phase::Merging | Phase::Reducing => {
            let mut commands = advance_stage(view, now);
            if (job.sent as usize) < view.tasks.len() && is_silent && !matches!(commands[..], [Command::Fail(_)]) {
                commands.extend(take_turn());
            }
            commands
        }
    };
    match (job.phase.stage(), &commands[..]) {
        // A job that ends anyway ends for its own reason.
        (None, _) | (_, [Command::Fail(_) | Command::Finish]) => commands,
        _ => match Room::of(view, now).passed(taken_ms) {
            Some(passed) => vec![Command::Fail(passed)],
            None => commands,
        },
    }
}

/// Returns whether every split begins where the one before it ended, or an object does. Where one does not, or was read in vain, its
/// object and its plan say whether it should have.
fn splits_meet(view: &LedgerView) -> bool {
    if view.job.calls.is_some() {
        return true;
    }
    let mut end = None;
    let meets = |task: &TaskView| match task.reads {
        Reads::Nothing => false,
        // It reads whole objects.
        Reads::Unsaid => true,
        Reads::Records(ByteRange { from, to }) => {
            let meets = from == 0 || end == Some(from);
            end = Some(to);
            meets
        }
    };
    let in_order = view.job.rereads.in_order(view.job.map_tasks);
    in_order.into_iter().filter_map(|task| view.tasks.get(task.0 as usize)).all(meets)
}

fn took_too_long(ms_max: u64) -> Error {
    Error::new(Code::JobTooLong, format!("the job has taken longer than the {} s that it may", ms_max / 1_000))
        .with_hint("give it more time (--job-timeout; `Submit::with_job_timeout`), or less to do")
}

/// What the decisions about the tasks of a stage share.
struct Stage<'a> {
    view: &'a LedgerView,
    now: Timestamp,
    /// The median time of the tasks that are done, once enough of them are.
    sibling_ms: Option<u64>,
    /// Whether no try of the stage runs.
    is_idle: bool,
}

fn advance_stage(view: &LedgerView, now: Timestamp) -> Vec<Command> {
    let mut stage = Stage { view, now, sibling_ms: median_ran_ms(&view.tasks), is_idle: true };
    let open = || view.tasks.iter().filter(|task| !task.done);
    stage.is_idle = !open().flat_map(|task| &task.tries).any(|t| stage.runs(t));
    let (mut commands, mut resends) = (Vec::new(), 0);
    let (mut room, mut is_too_dear) = (Room::of(view, now), false);
    for task in open() {
        match stage.decide(task) {
            Some(Decision::Do(Command::Fail(error))) => return vec![Command::Fail(error)],
            Some(Decision::Try(command) | Decision::Backup(command)) if room.take() => commands.push(command),
            Some(Decision::Try(_)) => is_too_dear = true,
            Some(Decision::Backup(_)) => {}
            Some(Decision::Do(command)) => commands.push(command),
            Some(Decision::SendAgain(command)) if resends < RESENDS_MAX => {
                resends += 1;
                commands.push(command);
            }
            Some(Decision::SendAgain(_)) | None => {}
        }
    }
    if is_too_dear { vec![Command::Fail(room.too_little())] } else { commands }
}

enum Decision {
    Do(Command),
    /// What it begins is a further try, without which the task cannot go on.
    Try(Command),
    /// What it begins is a further try beside one that runs.
    Backup(Command),
    SendAgain(Command),
}

impl Stage<'_> {
    fn runs(&self, t: &TryView) -> bool {
        t.started_at.is_some() && t.failed.is_none() && !self.is_lost(t)
    }

    /// Returns whether a try has started, and has given no sign of life for too long or must have run out of time.
    fn is_lost(&self, t: &TryView) -> bool {
        t.failed.is_none()
            && t.started_at.is_some_and(|started_at| {
                let last = t.alive_at.map_or(started_at, |alive_at| alive_at.max(started_at));
                let silence_ms = if self.view.job.phase == Phase::Splitting { SPLIT_SILENCE_MS } else { SILENCE_MS };
                self.now.since_ms(last) > silence_ms
                    || self.now.since_ms(started_at) > self.view.job.timeout_ms + LOST_GRACE_MS
            })
    }

    fn decide(&self, task: &TaskView) -> Option<Decision> {
        let job = &self.view.job;
        let failures: Vec<_> =
            task.tries.iter().filter_map(|t| t.failed.as_ref()).filter(|f| counts(&f.error)).collect();
        // The call that reduces the results is not a batch: it is a task like any other.
        let batches = job.calls.filter(|_| job.phase == Phase::Mapping);
        let is_fatal = |error: &Error| match batches {
            Some(_) => !error.is_retryable() && !is_death(error),
            None => !error.is_retryable() && !is_out_of_memory(error),
        };
        if let Some(fatal) = failures.iter().find(|f| is_fatal(&f.error)) {
            return Some(Decision::Do(Command::Fail(fatal.error.clone())));
        }
        let lost = |t: &TryView| self.is_lost(t);
        let live: Vec<_> = task.tries.iter().filter(|t| t.failed.is_none() && !lost(t)).collect();
        let tried = failures.len() + task.tries.iter().filter(|t| lost(t)).count();
        // The first try leaves no trace in the ledger until it starts. Without a trace, it is on its way.
        let next = task.tries.iter().map(|t| t.number + 1).max().unwrap_or(0).max(1);
        let deaths = calls::deaths(task, lost);
        let of = PieceAt { task: task.task, piece: task.piece, start: task.start };
        let invoke = |number, sends| {
            let fewer = batches.filter(|_| !deaths.is_empty()).map(|_| calls::fewer(task, &deaths));
            let relief = Relief { fewer, ..relief(&task.tries) };
            Command::Invoke(Invoke { of, number, sends, relief })
        };
        if live.is_empty() && !task.tries.is_empty() {
            if batches.is_some() {
                return Some(match calls::verdict(self.view, task, &deaths) {
                    Verdict::Again => Decision::Try(invoke(next, 0)),
                    // The calls that are left of the piece go on at once.
                    Verdict::Settle(error) if task.calls > 1 => Decision::Try(Command::Settle(Settle { of, error })),
                    Verdict::Settle(error) => Decision::Do(Command::Settle(Settle { of, error })),
                    Verdict::GiveUp => Decision::Do(Command::Fail(given_up(job.phase, task, tried))),
                });
            }
            let timed_out = failures.iter().filter(|f| f.error.is(Code::TimedOut)).count();
            let is_over = tried >= job.tries_max.into() || timed_out >= TIMED_OUT_TRIES_MAX;
            return Some(match is_over {
                true => Decision::Do(Command::Fail(given_up(job.phase, task, tried))),
                false => Decision::Try(invoke(next, 0)),
            });
        }
        if live.iter().all(|t| t.started_at.is_none()) {
            let waiting = live.last();
            let (number, sends) = waiting.map_or((0, 0), |t| (t.number, t.sends));
            return match self.patience(task, waiting.copied()) {
                Patience::Over => Some(Decision::Do(invoke(number, sends))),
                Patience::OverInQueue => Some(Decision::SendAgain(invoke(number, sends))),
                Patience::Lasts => None,
            };
        }
        // Halving a piece of calls costs tries that are not failures of its other calls, so such a piece has more tries.
        let tries_max = job.tries_max.saturating_add(if batches.is_some() { HALVINGS_MAX } else { 0 });
        let ran = live.iter().filter_map(|t| t.started_at).map(|at| self.now.since_ms(at)).max().unwrap_or(0);
        let straggles = self.sibling_ms.is_some_and(|ms| ran > (ms * STRAGGLER_FACTOR).max(STRAGGLER_MS_MIN));
        (straggles && live.len() == 1 && next < tries_max).then(|| Decision::Backup(invoke(next, 0)))
    }

    /// Returns whether to keep waiting for a try that has not started. `waiting` is `None` for a first try without a trace.
    fn patience(&self, task: &TaskView, waiting: Option<&TryView>) -> Patience {
        let job = &self.view.job;
        let in_queue = |since: Timestamp, sends: u16| {
            let waited_ms = self.now.since_ms(since);
            let is_long = self.is_idle && waited_ms >= RESEND_MS << sends.min(5);
            if is_long || waited_ms >= EVENT_AGE_MS_MAX { Patience::OverInQueue } else { Patience::Lasts }
        };
        let over_after = |since: Timestamp, ms: u64| match self.now.since_ms(since) >= ms {
            true => Patience::Over,
            false => Patience::Lasts,
        };
        match waiting.and_then(|t| Some((t, t.sent_at?))) {
            Some((t, sent_at)) if t.accepted => in_queue(sent_at, t.sends.saturating_sub(1)),
            Some((_, sent_at)) => over_after(sent_at, CLAIM_MS),
            // The driver that submitted the job was to send it, and may have died before it did.
            None if job.phase == Phase::Splitting => over_after(task.since, CLAIM_MS),
            None if task.piece.0 > 0 => over_after(task.since, HANDOVER_MS),
            // The process that has the turn has yet to send it.
            None if task.task.0 >= job.sent => Patience::Lasts,
            None => in_queue(task.since.max(job.turn_at), 0),
        }
    }
}

enum Patience {
    Lasts,
    /// It may never have been sent.
    Over,
    /// It was sent, and Lambda should have run it long ago.
    OverInQueue,
}

fn relief(tries: &[TryView]) -> Relief {
    let died = |larger: bool| {
        // A program also aborts when the system refuses to give it memory.
        let starved = |error: &Error| is_out_of_memory(error) || error.is(Code::Aborted);
        let died = |t: &&TryView| t.larger == larger && t.failed.as_ref().is_some_and(|f| starved(&f.error));
        u16::try_from(tries.iter().filter(died).count()).unwrap_or(u16::MAX)
    };
    let timed_out = tries.iter().any(|t| t.failed.as_ref().is_some_and(|f| f.error.is(Code::TimedOut)));
    Relief { died: died(false), died_larger: died(true), fewer: None, timed_out }
}

fn given_up(phase: Phase, task: &TaskView, tried: usize) -> Error {
    let counted = |t: &&TryView| t.failed.as_ref().is_some_and(|f| counts(&f.error));
    let last = task.tries.iter().rev().find(counted).and_then(|t| Some((t, &t.failed.as_ref()?.error)));
    match last {
        Some((last, error)) => {
            let times = match phase {
                Phase::Splitting => format!("splitting failed {tried} times, the last time"),
                _ => format!("task {} failed {tried} times, the last time", task.task.0),
            };
            match last.memory_mb.filter(|_| is_out_of_memory(error)) {
                Some(mb) => {
                    error.clone().context(format!("{times} with {mb} MB of memory")).with_hint(more_memory(phase))
                }
                None => error.clone().context(times),
            }
        }
        None if phase == Phase::Splitting => {
            Error::new(Code::TaskLost, format!("the splitter was lost {tried} times without a word"))
                .with_hint("the splitter's log says more; `kinglet doctor` tries it")
        }
        None => Error::new(Code::TaskLost, format!("task {} was lost {tried} times without a word", task.task.0))
            .with_hint("the function's log says more; give the functions more memory or a longer timeout"),
    }
}

/// Returns the hint for a task that is given up because it died of memory.
fn more_memory(phase: Phase) -> &'static str {
    match phase {
        Phase::Merging => {
            "a merge task holds a block of each run that it merges, and its combiner's values: give the reducers more memory \
             (ReducerMemory; --memory-mb on the embedded runtime), or reduce without merging first (--merge-runs never)"
        }
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

/// Returns the median time of the tasks that are done, once enough of them are.
fn median_ran_ms(tasks: &[TaskView]) -> Option<u64> {
    let mut done: Vec<_> = tasks.iter().filter(|t| t.done).map(|t| t.ran_ms).collect();
    if done.is_empty() || done.len() * 100 < tasks.len() * STRAGGLER_DONE_PERCENT {
        return None;
    }
    done.sort_unstable();
    Some(done[done.len() / 2])
}

#[cfg(test)]
#[path = "advance_tests.rs"]
mod tests;
