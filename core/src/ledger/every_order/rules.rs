//! The ledger's conditional writes: what each does, and on which condition. The real ones are in `aws/src/ledger/` (`tries.rs`,
//! `commits.rs`, `phases.rs`), and what is done in which order in `aws/src/conduct/` and `aws/src/calls.rs`.

use super::super::Command;
use super::super::{
    FindRuns, HALF_BYTES_MIN, Invoke, Phase, PieceAt, SILENCE_MS, SPLIT_SILENCE_MS, Settle, calls_after,
};
use super::world::{Age, Event, Given, Holder, Job, Run, Task, Which, World};
use crate::error::Code;

/// The bytes of a piece of a map task: enough to be halved.
const PIECE_BYTES: u64 = 64 << 20;

/// How far a decider comes with a command before it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comes {
    /// It carries it out.
    Through,
    /// It has claimed it, and not sent it.
    ToTheClaim,
    /// It has sent it, and not noted that Lambda took it.
    ToTheEvent,
}

/// How a run commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commits {
    /// All of its piece, or all that it was given.
    All,
    /// Less than its piece, though it could have done it all.
    Short,
    /// Less than its piece; it dies before it has sent the rest.
    AndDies,
}

impl World {
    /// The task that a try is of, if the try's piece is the one that is next.
    fn task_of(&mut self, which: Which) -> Option<&mut Task> {
        let task = &mut self.tasks_mut(which.stage)[which.task as usize];
        (!task.done && task.piece == which.piece).then_some(task)
    }

    /// Carries a command out that was decided in this phase, when the turn's last sign was so long ago.
    pub(super) fn carry_out(&mut self, job: &Job, command: &Command, phase: Phase, turn_age: u64, comes: Comes) {
        match command {
            Command::Invoke(invoke) => {
                if let Some(stage) = phase.stage() {
                    self.invoke(super::world::stage_number(stage), invoke, comes);
                }
            }
            Command::TakeTurn { turn } => {
                if (self.phase, self.turn, self.turn_age) == (phase, *turn, turn_age) {
                    (self.turn, self.turn_age) = (turn + 1, 0);
                    if self.is_indexing() {
                        self.index_tries += 1;
                    }
                    self.hold(comes);
                }
            }
            Command::StartMerging => {
                if self.phase == Phase::Mapping {
                    self.move_to(Phase::Merging);
                    self.hold(comes);
                }
            }
            Command::Reread { map_tasks } => {
                if self.phase != Phase::Mapping || self.index_tries > 0 || self.maps.len() != *map_tasks as usize {
                    return;
                }
                let Some(task) = self.first_wrong(job) else {
                    return self.carry_out(job, &Command::StartReducing(FindRuns::Cheapest), phase, turn_age, comes);
                };
                (self.turn, self.turn_age, self.sent) = (self.turn + 1, 0, self.maps.len() as u8);
                self.rereads.push(task);
                self.maps.push(Task::default());
                self.hold(comes);
            }
            Command::StartReducing(FindRuns::Cheapest) if job.index => {
                if self.phase == Phase::Mapping && self.index_tries == 0 {
                    (self.turn, self.turn_age, self.index_tries) = (self.turn + 1, 0, 1);
                    self.hold(comes);
                }
            }
            Command::StartReducing(_) => {
                if self.phase == phase {
                    self.move_to(Phase::Reducing);
                    self.hold(comes);
                }
            }
            Command::Finish if job.partitions == 0 => {
                if self.phase == phase {
                    self.move_to(Phase::Succeeded);
                }
            }
            Command::Finish => {
                if self.phase == Phase::Reducing {
                    self.move_to(Phase::Publishing);
                    self.hold(comes);
                }
            }
            Command::Settle(settle) => self.settle(settle, comes),
            Command::Fail(error) => self.end(job, &[phase], Phase::Failed, error.known_code(), comes),
        }
    }

    fn invoke(&mut self, stage: u8, invoke: &Invoke, comes: Comes) {
        let Invoke { of: PieceAt { task, piece, .. }, number, sends, relief } = invoke;
        let which = Which { stage, task: task.0 as u8, piece: piece.0 as u8, number: *number as u8 };
        let Some(task) = self.task_of(which) else { return };
        let there = task.tried(which.number);
        let is_due = there.started.is_none() && there.failed.is_none() && u16::from(there.sends) == *sends;
        if !is_due {
            return;
        }
        there.sends += 1;
        (there.sent, there.accepted) = (Some(0), comes == Comes::Through);
        if comes != Comes::ToTheClaim {
            let eased = relief.eased(PIECE_BYTES, HALF_BYTES_MIN, true);
            let given = match relief.fewer {
                Some(fewer) => {
                    Given { larger: fewer.larger, half: false, calls_max: u8::try_from(fewer.calls_max).ok() }
                }
                None => Given { larger: eased.larger, half: eased.bytes_max.is_some(), calls_max: None },
            };
            self.events.push(Event { which, given });
        }
    }

    /// Moves the job into a phase.
    pub(super) fn move_to(&mut self, phase: Phase) {
        (self.phase, self.turn, self.turn_age, self.sent) = (phase, 1, 0, 0);
        (self.dearest, self.index_tries) = (0, 0);
        for task in self.maps.iter_mut().chain(&mut self.merges).chain(&mut self.reduces) {
            task.since = 0;
        }
    }

    /// The process that took the turn goes on with it, unless it has died.
    pub(super) fn hold(&mut self, comes: Comes) {
        if comes == Comes::Through {
            let indexes = self.is_indexing();
            let next = if indexes { self.maps.len() as u8 } else { self.sent };
            self.holders.push(Holder { phase: self.phase, turn: self.turn, next, indexes, still: false });
        }
    }

    /// Whether all is mapped, and somebody was to write the index.
    pub(super) fn is_indexing(&self) -> bool {
        self.phase == Phase::Mapping && self.index_tries > 0
    }

    /// Ends the job without success, if it is in one of these phases.
    pub(super) fn end(&mut self, job: &Job, from: &[Phase], ending: Phase, cause: Option<Code>, comes: Comes) {
        if from.contains(&self.phase) {
            self.cause = cause;
            if job.partitions > 0 {
                self.ending = Some(ending);
                self.move_to(Phase::Undoing);
                self.hold(comes);
            } else {
                self.move_to(ending);
            }
        }
    }

    /// Commits the failure of a piece's first call, and sends the rest.
    fn settle(&mut self, settle: &Settle, comes: Comes) {
        let PieceAt { task, piece, .. } = settle.of;
        let which = Which { stage: 1, task: task.0 as u8, piece: piece.0 as u8, number: 0 };
        let Some(task) = self.task_of(which) else { return };
        let call = task.calls.0;
        task.commit(Some(1), 0);
        let rest = (!task.done).then_some(Event {
            which: Which { piece: which.piece + 1, ..which },
            given: Given { calls_max: u8::try_from(calls_after(0, 1)).ok(), ..Given::default() },
        });
        self.settled.push(call);
        self.settled.sort_unstable();
        if comes == Comes::Through {
            self.events.extend(rest);
        }
    }

    /// A worker gets an event: it starts the try, unless another has, or the job has gone on.
    pub(super) fn start(&mut self, event: Event) {
        let Event { which, given } = event;
        let silence_ms = if which.stage == 0 { SPLIT_SILENCE_MS } else { SILENCE_MS };
        if self.stage() != Some(which.stage) {
            return;
        }
        let Some(task) = self.task_of(which) else { return };
        let there = task.tried(which.number);
        let is_silent = there.silence().is_none_or(|silence| silence > silence_ms);
        if there.failed.is_some() || !is_silent {
            return;
        }
        let run = there.run + 1;
        (there.started, there.alive, there.run) = (Some(0), None, run);
        (there.larger, there.calls_max) = (given.larger, given.calls_max);
        self.runs.push(Run { which, given, run, age: 0, still: false });
    }

    /// The calls that a run makes.
    pub(super) fn calls_of(&self, run: &Run) -> std::ops::Range<u8> {
        let (from, to) = self.tasks(run.which.stage)[run.which.task as usize].calls;
        from..run.given.calls_max.map_or(to, |most| to.min(from.saturating_add(most)))
    }

    /// A worker commits and leaves. A splitter records its plan.
    pub(super) fn commit(&mut self, job: &Job, run: &Run, commits: Commits) {
        let which = run.which;
        if which.stage == 0 {
            if self.phase == Phase::Splitting {
                self.spend(job, run);
                self.move_to(Phase::Mapping);
                self.hold(if commits == Commits::AndDies { Comes::ToTheClaim } else { Comes::Through });
            }
            return;
        }
        let calls = self.calls_of(run);
        self.spend(job, run);
        let Some(task) = self.task_of(which) else { return };
        let is_half = run.given.half && which.stage == 1;
        let is_short = (is_half || commits != Commits::All) && which.piece == 0;
        let calls_max = run.given.calls_max.map(|most| calls_after(which.number.into(), most.into()));
        let (made, given) = match job.calls {
            0 if is_short => (Some(0), Given { half: false, ..run.given }),
            0 => (None, Given::default()),
            _ => {
                let calls_max = calls_max.and_then(|most| u8::try_from(most).ok());
                (Some(calls.len() as u8), Given { calls_max, ..Given::default() })
            }
        };
        task.commit(made, run.age);
        if !task.done && commits != Commits::AndDies {
            self.events.push(Event { which: Which { piece: which.piece + 1, number: 0, ..which }, given });
        }
    }

    /// Adds up what the tries of a piece have spent, if the job has a ceiling, as this run is about to commit it.
    fn spend(&mut self, job: &Job, run: &Run) {
        let Some(most) = job.spent_max else { return };
        let Some(task) = self.task_of(run.which) else { return };
        let overtaken = task.tries.iter().filter(|t| t.number != run.which.number).filter_map(|t| t.started);
        let overtaken: Age = overtaken.map(|ran| ran.min(job.timeout_ms)).sum();
        // From the ceiling on, it makes no difference how much it was.
        (self.spent, self.dearest) = ((self.spent + run.age + overtaken).min(most), self.dearest.max(run.age));
    }

    /// Records the failure of a try, if this run of it says so, or, without a run, if nobody has started it.
    pub(super) fn fail(&mut self, which: Which, run: Option<u8>, code: Code) {
        let Some(task) = self.task_of(which) else { return };
        let there = task.tried(which.number);
        if there.failed.is_none() && (there.started.is_none() || run == Some(there.run)) {
            (there.failed, there.hurt) = (Some(code), true);
        }
    }

    /// Gives a sign of life for a turn, and says what was sent in it.
    pub(super) fn keep_turn(&mut self, holder: &Holder) {
        if (self.phase, self.turn) == (holder.phase, holder.turn) {
            (self.turn_age, self.sent) = (0, holder.next);
        }
    }
}

impl Task {
    /// Commits the next piece. It ends the task, unless it made only so many calls of those that are left, or stopped short.
    fn commit(&mut self, calls: Option<u8>, ran_ms: u64) {
        let left = self.calls.1 - self.calls.0;
        self.done = calls.is_none_or(|made| left > 0 && made >= left);
        self.calls.0 += calls.unwrap_or(left).min(left);
        self.ran_ms += ran_ms;
        self.piece += 1;
        self.since = 0;
        self.tries.clear();
    }
}
