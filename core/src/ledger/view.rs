//! The ledger as [`super::advance`] sees it.

use crate::error::Error;
use crate::ids::{Piece, ProgramId, Stage, TaskIdx, Timestamp};
use crate::wire::record::{Position, Usage};
use serde::{Deserialize, Serialize};

/// Where a job stands. It only ever goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The driver has written the job; the splitter is at work or about to be.
    Splitting,
    /// The plan stands; mappers are at work.
    Mapping,
    /// All map tasks are committed; reducers are at work.
    Reducing,
    /// All reduce tasks are committed and their sums agree; the parts and the manifest are being made visible. From here on the
    /// job succeeds, unless somebody else has changed its output, or it cannot be written any more.
    Publishing,
    /// The job will have failed or been cancelled once everything that it put into its output is gone.
    Undoing,
    /// The manifest is written, everything that it lists is there, and the output is free again.
    Succeeded,
    /// A task failed for good, or the input or output did not do.
    Failed,
    /// Someone cancelled it.
    Cancelled,
}

impl Phase {
    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed | Phase::Cancelled)
    }

    /// The word that stands in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Splitting => "splitting",
            Phase::Mapping => "mapping",
            Phase::Reducing => "reducing",
            Phase::Publishing => "publishing",
            Phase::Undoing => "undoing",
            Phase::Succeeded => "succeeded",
            Phase::Failed => "failed",
            Phase::Cancelled => "cancelled",
        }
    }

    /// The phase of a word.
    pub fn parse(word: &str) -> Option<Self> {
        use Phase::{Cancelled, Failed, Mapping, Publishing, Reducing, Splitting, Succeeded, Undoing};
        let all = [Splitting, Mapping, Reducing, Publishing, Undoing, Succeeded, Failed, Cancelled];
        all.into_iter().find(|p| p.as_str() == word)
    }

    /// The kind of task that is at work in it.
    pub fn stage(self) -> Option<Stage> {
        match self {
            Phase::Splitting => Some(Stage::Split),
            Phase::Mapping => Some(Stage::Map),
            Phase::Reducing => Some(Stage::Reduce),
            _ => None,
        }
    }
}

/// The job's own item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    /// Where it stands.
    pub phase: Phase,
    /// Since when.
    pub phase_at: PhaseTimes,
    /// Map tasks, once the plan stands.
    pub map_tasks: u32,
    /// Reduce tasks, once the plan stands.
    pub partitions: u32,
    /// How large the input is, once the plan stands.
    pub input: InputSize,
    /// How many calls there are and how many a task makes, when its map tasks are batches of calls and the plan stands.
    pub calls: Option<CallsView>,
    /// Calls that were cancelled one by one.
    pub cancelled: Vec<u32>,
    /// How often a task may be tried.
    pub tries_max: u16,
    /// The functions' timeout in milliseconds.
    pub timeout_ms: u64,
    /// How long the job may take in all, in milliseconds.
    pub ms_max: u64,
    /// Which of the plans that splitters may have written is the job's.
    pub plan: Option<String>,
    /// Whether it writes an output, which it then owns.
    pub writes_output: bool,
    /// Whose turn it is to take the job through its phase: raised by whoever takes the turn from one that seems dead.
    pub turn: u64,
    /// When whoever has the turn last gave a sign of life.
    pub turn_at: Timestamp,
    /// How many of the stage's tasks, from the first on, were sent to their functions.
    pub sent: u32,
    /// The upload of the manifest, while the job is publishing.
    pub manifest_upload: Option<String>,
    /// What it comes to once it is undone.
    pub ending: Option<Phase>,
    /// The shipped program that runs its tasks.
    pub program: Option<ProgramId>,
    /// Why it failed.
    pub error: Option<Error>,
    /// Time and requests that belong to no task: of the splitter up to its plan, and of those who took the job from mapping to
    /// reducing and to its end.
    pub beside: Vec<Usage>,
}

/// When a job came into its phases, as far as it came. It is written as a list of four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[Option<Timestamp>; 4]", into = "[Option<Timestamp>; 4]")]
pub struct PhaseTimes {
    /// When it was created.
    pub splitting: Option<Timestamp>,
    /// When its plan stood.
    pub mapping: Option<Timestamp>,
    /// When all map tasks were committed.
    pub reducing: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

impl From<[Option<Timestamp>; 4]> for PhaseTimes {
    fn from([splitting, mapping, reducing, ended]: [Option<Timestamp>; 4]) -> Self {
        PhaseTimes { splitting, mapping, reducing, ended }
    }
}

impl From<PhaseTimes> for [Option<Timestamp>; 4] {
    fn from(at: PhaseTimes) -> Self {
        [at.splitting, at.mapping, at.reducing, at.ended]
    }
}

/// How large a job's input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputSize {
    /// How many objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The calls of a map, spread over its tasks in order, the same number on each but perhaps fewer on the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallsView {
    /// All of them.
    pub count: u64,
    /// Of each task.
    pub per_task: u32,
}

impl JobView {
    /// A job that was created just now: nobody has done anything for it yet.
    pub fn new(phase: Phase) -> Self {
        JobView {
            phase,
            phase_at: PhaseTimes::default(),
            map_tasks: 0,
            partitions: 0,
            input: InputSize::default(),
            calls: None,
            cancelled: vec![],
            tries_max: 1,
            timeout_ms: 0,
            ms_max: u64::MAX,
            plan: None,
            writes_output: false,
            turn: 0,
            turn_at: Timestamp(0),
            sent: 0,
            manifest_upload: None,
            ending: None,
            program: None,
            error: None,
            beside: vec![],
        }
    }
}

impl CallsView {
    /// How many calls a task makes.
    pub fn of(&self, task: TaskIdx) -> u64 {
        let from = u64::from(task.0) * u64::from(self.per_task);
        self.count.saturating_sub(from).min(self.per_task.into())
    }
}

/// Everything that [`super::advance`] needs: the job, and the tasks of the stage it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerView {
    /// The job.
    pub job: JobView,
    /// The tasks of the stage, in order; while splitting the one of splitting, and none at the end.
    pub tasks: Vec<TaskView>,
}

/// One task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskView {
    /// Which one.
    pub task: TaskIdx,
    /// Whether all its pieces are committed.
    pub done: bool,
    /// How long its committed pieces ran, in milliseconds.
    pub ran_ms: u64,
    /// The piece that is to be done, when it is not done.
    pub piece: Piece,
    /// Where that piece starts, when it is not the first.
    pub start: Option<Position>,
    /// How many calls that piece holds, when it holds calls.
    pub calls: u64,
    /// When that piece could first be run: when the stage began, or the piece before it was committed.
    pub since: Timestamp,
    /// The tries of that piece that the ledger knows of. The first is invoked without a trace; it shows once it has started.
    pub tries: Vec<TryView>,
}

/// One try.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TryView {
    /// From 0.
    pub number: u16,
    /// How often somebody has claimed to send it; 0 when only whoever moved the job on has sent it.
    pub sends: u16,
    /// When the last of these claims was.
    pub sent_at: Option<Timestamp>,
    /// Whether Lambda has taken what was sent last, as far as whoever sent it could still say so.
    pub accepted: bool,
    /// When a worker began.
    pub started_at: Option<Timestamp>,
    /// When that worker last gave a sign of life, if it has run for long enough to give one.
    pub alive_at: Option<Timestamp>,
    /// The memory of that worker's function in MB.
    pub memory_mb: Option<u32>,
    /// Whether that was the larger mapper.
    pub larger: bool,
    /// Where the piece holds calls: how many of them it was given at most, if not all.
    pub calls_max: Option<u32>,
    /// How it ended, when it failed.
    pub failed: Option<Failure>,
}

/// A try that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// When.
    pub at: Timestamp,
}
