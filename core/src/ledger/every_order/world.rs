//! One state of the world: what the ledger says of a job, and who is about to do what.
//!
//! Times are ages: how long ago something was, in milliseconds, up to [`AGE_MAX`]. So two worlds that differ only in when they
//! happened are one.

use super::super::{
    CallsView, EVENT_AGE_MS_MAX, Failure, JobView, LedgerView, Phase, PhaseTimes, TaskView, TryView, advance,
};
use super::super::{Capped, Command, FindRuns, IndexView, InputSize, Reads, Spent};
use crate::error::{Code, Error};
use crate::grid::{Grid, GridSizes};
use crate::ids::{Piece, Stage, TaskIdx, Timestamp};
use crate::prices::Prices;
use crate::range::ByteRange;
use crate::wire::cost::{Cap, Ceiling};
use crate::wire::reread::{Reread, Rereads};

/// How long ago something was, in milliseconds.
pub(super) type Age = u64;

/// From this age on, nothing changes any more.
pub(super) const AGE_MAX: Age = EVENT_AGE_MS_MAX;

/// How many bytes a split has.
const RECORD_BYTES: u64 = 10;

/// The moment at which every world is looked at.
const NOW: u64 = 10 * AGE_MAX;

/// The job that is explored, and what may happen to it.
#[derive(Clone, Copy)]
pub(super) struct Job {
    pub(super) name: &'static str,
    /// Where it begins.
    pub(super) from: Phase,
    pub(super) maps: u8,
    pub(super) partitions: u8,
    /// How many of the map tasks are done from the start, each after a second.
    pub(super) done: u8,
    pub(super) tries_max: u16,
    pub(super) timeout_ms: Age,
    pub(super) ms_max: Option<Age>,
    /// How many faults there are at most.
    pub(super) faults: u8,
    /// How a try fails, of the faults that the ledger hears of.
    pub(super) fails: &'static [Code],
    /// The stage, by its number, whose tasks may commit their first pieces short of their ends.
    pub(super) short: Option<u8>,
    /// Whether somebody may cancel it.
    pub(super) cancel: bool,
    /// Whether a second decider may have seen the same, and act later.
    pub(super) late: bool,
    /// If its map tasks are batches of calls: how many calls each makes.
    pub(super) calls: u8,
    /// The calls, of all, that kill their worker.
    pub(super) kills: &'static [u8],
    /// How these kill. Without a code, nobody hears of it.
    pub(super) killed_by: Option<Code>,
    /// Whether its runs are indexed before they are reduced.
    pub(super) index: bool,
    /// Whether its runs are merged before they are reduced: by a task for each partition.
    pub(super) merged: bool,
    /// Which map tasks, of those of the plan, begin at wrong places.
    pub(super) wrong: &'static [u8],
    /// How long its functions may run in all, which is what it may spend: they have 1 GB, and a GB-second costs a dollar.
    pub(super) spent_max: Option<Age>,
}

impl Job {
    fn grid(&self) -> Option<Grid> {
        let sizes = GridSizes { group_tasks: self.maps.into(), band_partitions: 1 };
        Grid::new(self.maps.into(), self.partitions.into(), sizes).filter(|_| self.merged)
    }

    fn merges(&self) -> u32 {
        self.grid().map_or(0, |grid| grid.tasks())
    }
}

/// What the ledger and the world hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) phase: Phase,
    pub(super) ending: Option<Phase>,
    /// The code of the error with which the job ends.
    pub(super) cause: Option<Code>,
    /// How long ago the job was created, if it has a deadline.
    pub(super) age: Age,
    pub(super) turn: u64,
    pub(super) turn_age: Age,
    pub(super) sent: u8,
    /// How many processes have begun to write the index.
    pub(super) index_tries: u16,
    /// Which tasks were begun at wrong places and are read again, by the last of the map tasks.
    pub(super) rereads: Vec<u8>,
    pub(super) split: Task,
    pub(super) maps: Vec<Task>,
    pub(super) merges: Vec<Task>,
    pub(super) reduces: Vec<Task>,
    /// Events in Lambda's queue.
    pub(super) events: Vec<Event>,
    /// Workers.
    pub(super) runs: Vec<Run>,
    /// Processes that have, or had, a turn.
    pub(super) holders: Vec<Holder>,
    /// What a second decider is about to do.
    pub(super) late: Option<Late>,
    /// The calls that were settled, by number.
    pub(super) settled: Vec<u8>,
    pub(super) faults_left: u8,
    pub(super) cancelled: bool,
    /// If it has a ceiling: how long the tries ran that committed or were overtaken, and the longest of the stage that committed.
    pub(super) spent: Age,
    pub(super) dearest: Age,
}

/// A task in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Task {
    pub(super) done: bool,
    pub(super) ran_ms: Age,
    pub(super) piece: u8,
    pub(super) since: Age,
    /// The first call of the piece that is next, and the end of the task's calls.
    pub(super) calls: (u8, u8),
    /// The tries of that piece, by number.
    pub(super) tries: Vec<Try>,
}

/// A try in the ledger, and what is true of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Try {
    pub(super) number: u8,
    pub(super) sends: u8,
    pub(super) sent: Option<Age>,
    pub(super) accepted: bool,
    /// How long ago it started. Once it has failed: how long it ran, if the job has a ceiling.
    pub(super) started: Option<Age>,
    pub(super) alive: Option<Age>,
    /// Which of its executions runs it, counted from 1.
    pub(super) run: u8,
    pub(super) larger: bool,
    pub(super) calls_max: Option<u8>,
    pub(super) failed: Option<Code>,
    /// Whether one of its workers was hurt: it died, stands still, or failed. The ledger does not know it.
    pub(super) hurt: bool,
}

/// Which try of which piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Which {
    pub(super) stage: u8,
    pub(super) task: u8,
    pub(super) piece: u8,
    pub(super) number: u8,
}

/// What a try is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Given {
    pub(super) larger: bool,
    /// Whether it stops short of the end of its piece.
    pub(super) half: bool,
    pub(super) calls_max: Option<u8>,
}

/// An event in Lambda's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Event {
    pub(super) which: Which,
    pub(super) given: Given,
}

/// A worker that runs a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Run {
    pub(super) which: Which,
    pub(super) given: Given,
    /// Which of the try's executions it is, counted from 1.
    pub(super) run: u8,
    pub(super) age: Age,
    /// Whether it stands still, and gives no sign of life, for as long as it likes.
    pub(super) still: bool,
}

/// A process that took a turn and takes the job through the phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Holder {
    pub(super) phase: Phase,
    pub(super) turn: u64,
    /// The first task that it has not sent.
    pub(super) next: u8,
    /// Whether it writes the index, all tasks being done.
    pub(super) indexes: bool,
    pub(super) still: bool,
}

/// What a decider that is slow has decided, and when and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Late {
    pub(super) phase: Phase,
    pub(super) turn_age: Age,
    pub(super) command: Held,
}

/// A command that can be hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held(pub(super) Command);

impl std::hash::Hash for Held {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match &self.0 {
            Command::Invoke(i) => (0, i.of.task.0, i.of.piece.0, i.number, i.sends, i.relief.died).hash(state),
            Command::TakeTurn { turn } => (1, turn).hash(state),
            Command::StartMerging => 6.hash(state),
            Command::StartReducing(find) => (2, *find == FindRuns::Ledger).hash(state),
            Command::Finish => 3.hash(state),
            Command::Settle(settle) => (4, settle.of.task.0, settle.of.piece.0, settle.error.code()).hash(state),
            Command::Fail(error) => (5, error.code()).hash(state),
            Command::Reread { map_tasks } => (6, map_tasks).hash(state),
        }
    }
}

/// How many stages there are.
pub(super) const STAGES: u8 = 4;

/// The stages, by their numbers in [`Which`].
pub(super) fn stage_number(stage: Stage) -> u8 {
    match stage {
        Stage::Split => 0,
        Stage::Map => 1,
        Stage::Reduce => 2,
        Stage::Merge => 3,
    }
}

impl World {
    /// The world in which a job begins.
    pub(super) fn begin(job: &Job) -> Self {
        let per_task = job.calls;
        let map = |n: u8| Task {
            done: n < job.done || matches!(job.from, Phase::Merging | Phase::Reducing),
            ran_ms: if n < job.done { 1_000 } else { 0 },
            calls: (n * per_task, (n + 1) * per_task),
            ..Task::default()
        };
        let mut world = World {
            phase: job.from,
            ending: None,
            cause: None,
            age: 0,
            turn: 1,
            turn_age: 0,
            sent: 0,
            index_tries: 0,
            rereads: vec![],
            split: Task::default(),
            maps: (0..job.maps).map(map).collect(),
            merges: (0..job.merges()).map(|_| Task { done: job.from == Phase::Reducing, ..Task::default() }).collect(),
            reduces: (0..job.partitions).map(|_| Task::default()).collect(),
            events: vec![],
            runs: vec![],
            holders: vec![],
            late: None,
            settled: vec![],
            faults_left: job.faults,
            cancelled: false,
            spent: 0,
            dearest: 0,
        };
        if job.from == Phase::Splitting {
            world.turn = 0;
            let which = Which { stage: 0, task: 0, piece: 0, number: 0 };
            world.events.push(Event { which, given: Given::default() });
        } else {
            world.holders.push(Holder { phase: job.from, turn: 1, next: job.done, indexes: false, still: false });
        }
        world
    }

    /// The tasks of a stage.
    pub(super) fn tasks(&self, stage: u8) -> &[Task] {
        match stage {
            0 => std::slice::from_ref(&self.split),
            1 => &self.maps,
            2 => &self.reduces,
            _ => &self.merges,
        }
    }

    pub(super) fn tasks_mut(&mut self, stage: u8) -> &mut [Task] {
        match stage {
            0 => std::slice::from_mut(&mut self.split),
            1 => &mut self.maps,
            2 => &mut self.reduces,
            _ => &mut self.merges,
        }
    }

    /// The stage that the job is in, if its tasks run.
    pub(super) fn stage(&self) -> Option<u8> {
        self.phase.stage().map(stage_number)
    }

    /// Whether a process goes on with the turn and shows that it lives.
    pub(super) fn is_held(&self) -> bool {
        self.holders.iter().any(|h| !h.still && (h.phase, h.turn) == (self.phase, self.turn))
    }

    /// Whether a worker runs this try and shows that it lives.
    pub(super) fn lives(&self, stage: u8, task: u8, tried: &Try) -> bool {
        let piece = self.tasks(stage)[task as usize].piece;
        let which = Which { stage, task, piece, number: tried.number };
        self.runs.iter().any(|run| run.which == which && run.run == tried.run && !run.still)
    }

    /// What `advance` says of this world.
    pub(super) fn commands(&self, job: &Job) -> Vec<Command> {
        advance(&self.view(job), Timestamp(NOW))
    }

    /// What `advance` would say if the job could spend so many dollars.
    pub(super) fn commands_below(&self, job: &Job, usd: f64) -> Vec<Command> {
        let mut view = self.view(job);
        view.job.capped = Some(self.capped(usd));
        advance(&view, Timestamp(NOW))
    }

    fn capped(&self, usd: f64) -> Capped {
        let seconds = |ms: Age| ms as f64 / 1e3;
        let (gb_seconds, dearest_gb_s) = (seconds(self.spent), seconds(self.dearest));
        let prices = Prices { lambda_gb_second: 1.0, lambda_request: 0.0, ..Prices::of_us_east_1("x86_64") };
        let cap = Cap { ceiling: Ceiling { usd: Some(usd), seconds: None }, prices };
        Capped { cap, spent: Spent { gb_seconds, dearest_gb_s, ..Spent::default() } }
    }

    /// The ledger as `advance` sees it.
    fn view(&self, job: &Job) -> LedgerView {
        let began = Some(at(self.age));
        let view = JobView {
            phase_at: PhaseTimes { splitting: began, mapping: began, ..PhaseTimes::default() },
            map_tasks: self.maps.len() as u32,
            rereads: Rereads(self.rereads.iter().map(|task| reread(*task)).collect()),
            partitions: job.partitions.into(),
            grid: job.grid(),
            input: InputSize { objects: 1, bytes: 1, skipped: 0 },
            calls: (job.calls > 0)
                .then(|| CallsView { count: u64::from(job.calls) * u64::from(job.maps), per_task: job.calls.into() }),
            tries_max: job.tries_max,
            timeout_ms: job.timeout_ms,
            ms_max: job.ms_max.unwrap_or(u64::MAX),
            capped: job.spent_max.map(|most| self.capped(most as f64 / 1e3)),
            writes_output: job.partitions > 0,
            turn: self.turn,
            turn_at: at(self.turn_age),
            sent: self.sent.into(),
            index: IndexView { tries: self.index_tries, ..IndexView::default() },
            ending: self.ending,
            ..JobView::new(self.phase)
        };
        let tasks = self.stage().map_or(&[][..], |stage| self.tasks(stage));
        let mut tasks: Vec<_> = tasks.iter().zip(0..).map(|(task, n)| task.view(n)).collect();
        if self.phase == Phase::Mapping && job.calls == 0 {
            for task in tasks.iter_mut().filter(|task| task.done) {
                task.reads = self.reads(job, task.task.0 as u8);
            }
        }
        LedgerView { job: view, tasks }
    }

    /// What a map task has read that is done. A split has ten bytes, and is one record; one that begins wrong reads half of it, or
    /// is the last and finds nothing.
    fn reads(&self, job: &Job, task: u8) -> Reads {
        let of = |split: u8| u64::from(split) * RECORD_BYTES;
        match self.rereads.get(usize::from(task).wrapping_sub(job.maps.into())) {
            Some(first) => Reads::Records(ByteRange { from: of(*first), to: of(first + 1) }),
            None if !job.wrong.contains(&task) => Reads::Records(ByteRange { from: of(task), to: of(task + 1) }),
            None if task + 1 == job.maps => Reads::Nothing,
            None => Reads::Records(ByteRange { from: of(task) + RECORD_BYTES / 2, to: of(task + 1) }),
        }
    }

    /// The first task that began at a wrong place and is not read again.
    pub(super) fn first_wrong(&self, job: &Job) -> Option<u8> {
        job.wrong.iter().copied().find(|task| !self.rereads.contains(task))
    }
}

fn reread(task: u8) -> Reread {
    let first = TaskIdx(task.into());
    let start = u64::from(task) * RECORD_BYTES;
    Reread { first, last: first, start, to: start + RECORD_BYTES }
}

impl Task {
    fn view(&self, task: u32) -> TaskView {
        TaskView {
            task: TaskIdx(task),
            done: self.done,
            ran_ms: self.ran_ms,
            piece: Piece(self.piece.into()),
            start: None,
            calls: u64::from(self.calls.1 - self.calls.0),
            reads: Reads::Unsaid,
            since: at(self.since),
            tries: self.tries.iter().map(Try::view).collect(),
        }
    }

    /// The try with this number, which is made if nobody has written it yet.
    pub(super) fn tried(&mut self, number: u8) -> &mut Try {
        let place = match self.tries.binary_search_by_key(&number, |t| t.number) {
            Ok(place) => place,
            Err(place) => {
                self.tries.insert(place, Try { number, ..Try::default() });
                place
            }
        };
        &mut self.tries[place]
    }
}

impl Try {
    fn view(&self) -> TryView {
        TryView {
            number: self.number.into(),
            sends: self.sends.into(),
            sent_at: self.sent.map(at),
            accepted: self.accepted,
            started_at: self.started.map(at),
            alive_at: self.alive.map(at),
            memory_mb: self.started.map(|_| 1_024),
            larger: self.larger,
            calls_max: self.calls_max.map(u32::from),
            failed: self.failed.map(|code| Failure { error: Error::new(code, "it failed"), at: at(0) }),
            over_at: None,
        }
    }

    /// How long ago its worker last gave a sign of life.
    pub(super) fn silence(&self) -> Option<Age> {
        self.started.map(|started| self.alive.unwrap_or(started).min(started))
    }
}

fn at(age: Age) -> Timestamp {
    Timestamp(NOW - age)
}
