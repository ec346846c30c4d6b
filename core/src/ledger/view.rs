//! The ledger as [`super::advance`] sees it.

use crate::error::Error;
use crate::ids::{Piece, ProgramId, TaskIdx, Timestamp};
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
    /// All parts are committed and the manifest is written.
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
            Phase::Succeeded => "succeeded",
            Phase::Failed => "failed",
            Phase::Cancelled => "cancelled",
        }
    }

    /// The phase of a word.
    pub fn parse(word: &str) -> Option<Self> {
        use Phase::{Cancelled, Failed, Mapping, Reducing, Splitting, Succeeded};
        [Splitting, Mapping, Reducing, Succeeded, Failed, Cancelled].into_iter().find(|p| p.as_str() == word)
    }
}

/// The job's own item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    /// Where it stands.
    pub phase: Phase,
    /// Since when, by phase: splitting, mapping, reducing, end.
    pub phase_at: [Option<Timestamp>; 4],
    /// Map tasks, once the plan stands.
    pub map_tasks: u32,
    /// Reduce tasks, once the plan stands.
    pub partitions: u32,
    /// Objects and bytes of the input, once the plan stands.
    pub input: (u64, u64),
    /// How many calls there are and how many a task makes, when its map tasks are batches of calls and the plan stands.
    pub calls: Option<CallsView>,
    /// Calls that were cancelled one by one.
    pub cancelled: Vec<u32>,
    /// How often a task may be tried.
    pub tries_max: u16,
    /// The functions' timeout in milliseconds.
    pub timeout_ms: u64,
    /// The shipped program that runs its tasks.
    pub program: Option<ProgramId>,
    /// Why it failed.
    pub error: Option<Error>,
    /// Time and requests that belong to no task: of the splitter up to its plan, and of those who took the job from mapping to
    /// reducing and to its end.
    pub beside: Vec<Usage>,
}

/// The calls of a map, spread over its tasks in order, the same number on each but perhaps fewer on the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallsView {
    /// All of them.
    pub count: u64,
    /// Of each task.
    pub per_task: u32,
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
    /// The tasks of the stage, in order; empty while splitting and at the end.
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
    /// When somebody claimed to invoke it.
    pub claimed_at: Option<Timestamp>,
    /// When a worker began.
    pub started_at: Option<Timestamp>,
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
