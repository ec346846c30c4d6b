//! What can happen next in a world, and what it makes of it.

use super::super::{Command, Phase};
use super::rules::{Comes, Commits};
use super::world::{Age, Event, Given, Held, Job, Late, Which, World, stage_number};
use crate::error::Code;

/// Something that can happen next. Numbers are places in the world's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A function is free and takes an event.
    Take(usize),
    /// A function takes an event, and Lambda will deliver it once more.
    TakeTwice(usize),
    /// Lambda loses an event.
    Lose(usize),
    /// Lambda gives an event up, and says so.
    GiveUp(usize),
    /// A worker commits and leaves.
    Commit(usize, Commits),
    /// A worker fails, and the ledger hears of it.
    Fail(usize, Code),
    /// A worker dies, and nobody hears of it.
    Die(usize),
    /// A worker stands still.
    Stall(usize),
    /// A process that has a turn does all that it has to do.
    Hold(usize),
    /// A process that has a turn dies after it has sent so many tasks.
    HoldAndDie(usize, u8),
    /// A process that has a turn stands still.
    HoldStill(usize),
    /// The job can never be published.
    HoldInVain(usize),
    /// Somebody looks, and carries out one of the commands.
    Look(usize, Comes),
    /// Somebody looks, and is slow.
    LookSlowly(usize),
    /// Who was slow carries it out.
    Late(Comes),
    /// Who was slow has died.
    NeverMind,
    /// Somebody cancels the job.
    Cancel,
    /// Time passes, up to the next moment at which something may count as silent or late.
    Wait(Age),
}

/// How long events may wait in Lambda's queue before that counts as a fault.
const QUEUE_MS: Age = 300_000;

impl Step {
    /// Whether it is a fault, of which there is a bounded number.
    pub(super) fn is_fault(self, world: &World, job: &Job) -> bool {
        match self {
            Step::TakeTwice(_) | Step::Lose(_) | Step::GiveUp(_) | Step::Stall(_) => true,
            Step::HoldAndDie(..) | Step::HoldStill(_) | Step::HoldInVain(_) => true,
            Step::Look(_, comes) | Step::Late(comes) => comes != Comes::Through,
            Step::Commit(_, commits) => commits == Commits::AndDies,
            Step::Fail(run, code) => {
                // Lambda ends what runs longer than its function may.
                !(world.runs[run].still && code == Code::TimedOut || world.is_doomed(job, run))
            }
            Step::Die(run) => !world.is_doomed(job, run),
            Step::Wait(ms) => ms > QUEUE_MS && world.events.iter().any(|e| world.stage() == Some(e.which.stage)),
            Step::Take(_) | Step::Hold(_) | Step::LookSlowly(_) | Step::NeverMind | Step::Cancel => false,
        }
    }
}

impl World {
    /// Whether a run makes a call that kills it.
    fn is_doomed(&self, job: &Job, run: usize) -> bool {
        let run = &self.runs[run];
        let is_next = self.tasks(run.which.stage)[run.which.task as usize].piece == run.which.piece;
        run.which.stage == 1 && is_next && self.calls_of(run).any(|call| job.kills.contains(&call))
    }

    /// What a healthy world does next: all that is under way goes on; then somebody looks; then time passes.
    pub(super) fn healthy(&self, job: &Job, commands: &[Command]) -> Option<Step> {
        if let Some(n) = self.holders.iter().position(|h| !h.still) {
            return Some(Step::Hold(n));
        }
        if !self.events.is_empty() {
            return Some(Step::Take(0));
        }
        if let Some(n) = self.runs.iter().position(|r| !r.still) {
            return Some(match (self.is_doomed(job, n), job.killed_by) {
                (false, _) => Step::Commit(n, Commits::All),
                (true, Some(code)) => Step::Fail(n, code),
                (true, None) => Step::Die(n),
            });
        }
        if !commands.is_empty() {
            return Some(Step::Look(0, Comes::Through));
        }
        self.wait(job).map(Step::Wait)
    }

    /// All that can happen next.
    pub(super) fn steps(&self, job: &Job, commands: &[Command]) -> Vec<Step> {
        let mut steps = Vec::new();
        for n in 0..self.events.len() {
            steps.extend([Step::Take(n), Step::TakeTwice(n), Step::Lose(n), Step::GiveUp(n)]);
        }
        for (n, run) in self.runs.iter().enumerate() {
            match (self.is_doomed(job, n), job.killed_by) {
                (true, Some(code)) => steps.push(Step::Fail(n, code)),
                (true, None) => steps.push(Step::Die(n)),
                (false, _) => {
                    steps.extend([Step::Commit(n, Commits::All), Step::Die(n)]);
                    let may_be_short = job.short == Some(run.which.stage) && run.which.piece == 0;
                    steps.extend(may_be_short.then_some(Step::Commit(n, Commits::Short)));
                    let hands_on = may_be_short || run.which.stage == 0 || run.given.calls_max.is_some();
                    steps.extend(hands_on.then_some(Step::Commit(n, Commits::AndDies)));
                    steps.extend(job.fails.iter().map(|code| Step::Fail(n, *code)));
                }
            }
            match run.still {
                true => steps.push(Step::Fail(n, Code::TimedOut)),
                false => steps.push(Step::Stall(n)),
            }
        }
        for (n, holder) in self.holders.iter().enumerate() {
            steps.push(Step::Hold(n));
            steps.extend((!holder.still).then_some(Step::HoldStill(n)));
            let tasks = holder.phase.stage().map_or(0, |_| self.count(holder.phase) - holder.next);
            steps.extend((0..=tasks).map(|sent| Step::HoldAndDie(n, sent)));
            steps.extend((holder.phase == Phase::Publishing).then_some(Step::HoldInVain(n)));
        }
        for (n, command) in commands.iter().enumerate() {
            steps.extend(ways(command).map(|comes| Step::Look(n, comes)));
            steps.extend((job.late && self.late.is_none()).then_some(Step::LookSlowly(n)));
        }
        if let Some(late) = &self.late {
            steps.extend(ways(&late.command.0).map(Step::Late));
            steps.push(Step::NeverMind);
        }
        let is_open = self.phase < Phase::Publishing;
        steps.extend((job.cancel && !self.cancelled && is_open).then_some(Step::Cancel));
        steps.extend(self.wait(job).map(Step::Wait));
        steps.retain(|step| self.faults_left > 0 || !step.is_fault(self, job));
        steps
    }

    /// The world after a step.
    pub(super) fn after(&self, job: &Job, commands: &[Command], step: Step) -> World {
        let mut next = self.clone();
        next.faults_left -= u8::from(step.is_fault(self, job));
        match step {
            Step::Take(n) => {
                let event = next.events.remove(n);
                next.start(event);
            }
            Step::TakeTwice(n) => next.start(self.events[n]),
            Step::Lose(n) => drop(next.events.remove(n)),
            Step::GiveUp(n) => {
                let event = next.events.remove(n);
                next.fail(event.which, None, Code::Undelivered);
            }
            Step::Commit(n, commits) => {
                let run = next.runs.remove(n);
                next.commit(job, &run, commits);
            }
            Step::Fail(n, code) => {
                let run = next.runs.remove(n);
                next.fail(run.which, Some(run.run), code);
            }
            Step::Die(n) => {
                next.hurt(n);
                next.runs.remove(n);
            }
            Step::Stall(n) => {
                next.hurt(n);
                (next.runs[n].still, next.runs[n].age) = (true, 0);
            }
            Step::Hold(n) => next.go_on(job, n),
            Step::HoldAndDie(n, sent) => {
                let holder = next.holders.remove(n);
                next.send(holder.phase, holder.next, holder.next + sent);
            }
            Step::HoldStill(n) => next.holders[n].still = true,
            Step::HoldInVain(n) => {
                next.holders.remove(n);
                next.end(job, &[Phase::Publishing], Phase::Failed, Some(Code::AccessDenied), Comes::Through);
            }
            Step::Look(n, comes) => next.carry_out(job, &commands[n], self.phase, self.turn_age, comes),
            Step::LookSlowly(n) => {
                let command = Held(commands[n].clone());
                next.late = Some(Late { phase: self.phase, turn_age: self.turn_age, command });
            }
            Step::Late(comes) => {
                if let Some(Late { phase, turn_age, command }) = next.late.take() {
                    next.carry_out(job, &command.0, phase, turn_age, comes);
                }
            }
            Step::NeverMind => next.late = None,
            Step::Cancel => {
                next.cancelled = true;
                let open = [Phase::Splitting, Phase::Mapping, Phase::Merging, Phase::Reducing];
                next.end(job, &open, Phase::Cancelled, Some(Code::Cancelled), Comes::Through);
            }
            Step::Wait(ms) => next.pass(job, ms),
        }
        next.tidy(job);
        next
    }

    /// Notes that the worker of a run is hurt.
    fn hurt(&mut self, n: usize) {
        let run = self.runs[n];
        let task = &mut self.tasks_mut(run.which.stage)[run.which.task as usize];
        if task.piece == run.which.piece && !task.done {
            let there = task.tried(run.which.number);
            there.hurt |= there.run == run.run;
        }
    }

    /// How many tasks the stage of a phase has.
    fn count(&self, phase: Phase) -> u8 {
        phase.stage().map_or(0, |stage| self.tasks(stage_number(stage)).len() as u8)
    }

    fn send(&mut self, phase: Phase, from: u8, to: u8) {
        let Some(stage) = phase.stage().map(stage_number) else { return };
        let event = |task| Event { which: Which { stage, task, piece: 0, number: 0 }, given: Given::default() };
        self.events.extend((from..to).map(event));
    }

    fn go_on(&mut self, job: &Job, n: usize) {
        let mut holder = self.holders.remove(n);
        match holder.phase {
            Phase::Publishing if self.phase == Phase::Publishing => self.move_to(Phase::Succeeded),
            Phase::Undoing if self.phase == Phase::Undoing => {
                let ending = self.ending.unwrap_or(Phase::Failed);
                self.move_to(ending);
            }
            // Who was overtaken wrote under a number of its own, and whoever is first to move the job says which counts.
            Phase::Mapping if holder.indexes && self.phase == Phase::Mapping => {
                self.move_to(Phase::Reducing);
                self.hold(Comes::Through);
            }
            Phase::Mapping if job.maps == 0 || holder.indexes => {}
            Phase::Mapping | Phase::Merging | Phase::Reducing => {
                let count = self.count(holder.phase);
                self.send(holder.phase, holder.next, count);
                holder.next = count;
                self.keep_turn(&holder);
            }
            _ => {}
        }
    }
}

/// How far somebody may come with a command.
fn ways(command: &Command) -> impl Iterator<Item = Comes> + use<> {
    let between = match command {
        Command::Invoke(_) => &[Comes::Through, Comes::ToTheClaim, Comes::ToTheEvent][..],
        Command::Finish
        | Command::TakeTurn { .. }
        | Command::StartMerging
        | Command::Reread { .. }
        | Command::StartReducing(_)
        | Command::Fail(_)
        | Command::Settle(_) => &[Comes::Through, Comes::ToTheClaim],
    };
    between.iter().copied()
}
