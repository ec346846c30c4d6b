//! The ledger as [`super::advance`] sees it.

use crate::error::Error;
use crate::grid::Grid;
use crate::ids::{Piece, ProgramId, Stage, TaskIdx, Timestamp};
use crate::range::ByteRange;
use crate::wire::cost::Cap;
use crate::wire::index::IndexAt;
use crate::wire::record::{Position, Requests, Usage};
use crate::wire::reread::{Reread, Rereads};
use crate::wire::spec::Indexed;
use serde::{Deserialize, Serialize};

/// The phase of a job. A job only ever moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The driver has written the job; the splitter runs or is about to.
    Splitting,
    /// The plan stands; mappers run.
    Mapping,
    /// All map tasks are committed; their runs are merged, in a job that has merge tasks.
    Merging,
    /// All map tasks, and merge tasks, are committed; reducers run.
    Reducing,
    /// All reduce tasks are committed and the sums agree; the parts and the manifest are being made visible. From here on
    /// the job succeeds, unless somebody else has changed its output or the output can no longer be written.
    Publishing,
    /// Everything that the job put into its output is being removed; then the job has failed or is cancelled.
    Undoing,
    /// The manifest is written, everything that it lists is there, and the output is free again.
    Succeeded,
    /// A task failed for good, or the input or output cannot be used.
    Failed,
    /// Someone cancelled it.
    Cancelled,
}

impl Phase {
    /// Returns whether the job has ended.
    pub fn is_final(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed | Phase::Cancelled)
    }

    /// Returns the phase's name in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Splitting => "splitting",
            Phase::Mapping => "mapping",
            Phase::Merging => "merging",
            Phase::Reducing => "reducing",
            Phase::Publishing => "publishing",
            Phase::Undoing => "undoing",
            Phase::Succeeded => "succeeded",
            Phase::Failed => "failed",
            Phase::Cancelled => "cancelled",
        }
    }

    /// Returns the phase with this name.
    pub fn parse(word: &str) -> Option<Self> {
        use Phase::{Cancelled, Failed, Mapping, Merging, Publishing, Reducing, Splitting, Succeeded, Undoing};
        let all = [Splitting, Mapping, Merging, Reducing, Publishing, Undoing, Succeeded, Failed, Cancelled];
        all.into_iter().find(|p| p.as_str() == word)
    }

    /// Returns the stage whose tasks run in this phase, if any do.
    pub fn stage(self) -> Option<Stage> {
        match self {
            Phase::Splitting => Some(Stage::Split),
            Phase::Mapping => Some(Stage::Map),
            Phase::Merging => Some(Stage::Merge),
            Phase::Reducing => Some(Stage::Reduce),
            _ => None,
        }
    }
}

/// A job's own item.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// The phase it is in.
    pub phase: Phase,
    /// When it came into its phases.
    pub phase_at: PhaseTimes,
    /// How many map tasks it has, once the plan stands.
    pub map_tasks: u32,
    /// How many reduce tasks it has, once the plan stands.
    pub partitions: u32,
    /// How its runs are merged before they are reduced, if they are.
    pub grid: Option<Grid>,
    /// The size of the input, once the plan stands.
    pub input: InputSize,
    /// How its calls are spread over its tasks, if its map tasks are batches of calls and once the plan stands.
    pub calls: Option<CallsView>,
    /// The numbers of the calls that were cancelled one by one.
    pub cancelled: Vec<u32>,
    /// How often a task may be tried.
    pub tries_max: u16,
    /// The functions' timeout in milliseconds.
    pub timeout_ms: u64,
    /// How long the job may take in all, in milliseconds.
    pub ms_max: u64,
    /// Its ceiling, if it has one, and what it has spent.
    pub capped: Option<Capped>,
    /// The map tasks, the last of all, that read splits again which others had begun at wrong places.
    pub rereads: Rereads,
    /// The plan that counts, of those that splitters may have written.
    pub plan: Option<String>,
    /// Whether it writes an output, which it then owns.
    pub writes_output: bool,
    /// Whether a task of Step Functions waits for its end.
    pub is_awaited: bool,
    /// The number of the turn. One process has the turn and takes the job through its phase; another that takes the turn
    /// because that one seems dead raises the number.
    pub turn: u64,
    /// When the process that has the turn last gave a sign of life.
    pub turn_at: Timestamp,
    /// How many of the stage's tasks, counted from the first, were sent to their functions.
    pub sent: u32,
    /// The index of its runs.
    pub index: IndexView,
    /// The upload of the manifest, while the job is publishing.
    pub manifest_upload: Option<String>,
    /// The phase in which it ends once it is undone.
    pub ending: Option<Phase>,
    /// The shipped program that runs its tasks.
    pub program: Option<ProgramId>,
    /// Why it failed.
    pub error: Option<Error>,
    /// Time and requests that belong to no task: those of the splitter up to its plan, and of the processes that moved the
    /// job from mapping to reducing and to its end.
    pub beside: Vec<Usage>,
}

/// When a job came into the phases that it has reached. It is serialised as a list of five.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[Option<Timestamp>; 5]", into = "[Option<Timestamp>; 5]")]
pub struct PhaseTimes {
    /// When it was created.
    pub splitting: Option<Timestamp>,
    /// When its plan stood.
    pub mapping: Option<Timestamp>,
    /// When all map tasks were committed, if its runs are merged then.
    pub merging: Option<Timestamp>,
    /// When all map tasks, and merge tasks, were committed.
    pub reducing: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

impl From<[Option<Timestamp>; 5]> for PhaseTimes {
    fn from([splitting, mapping, merging, reducing, ended]: [Option<Timestamp>; 5]) -> Self {
        PhaseTimes { splitting, mapping, merging, reducing, ended }
    }
}

impl From<PhaseTimes> for [Option<Timestamp>; 5] {
    fn from(at: PhaseTimes) -> Self {
        [at.splitting, at.mapping, at.merging, at.reducing, at.ended]
    }
}

/// How far the index of a job's runs is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexView {
    /// Whether the job is to have one.
    pub wanted: Indexed,
    /// How many processes have begun to write one, each in a turn of its own. They wrote it as the numbers from 1 to this.
    pub tries: u16,
    /// The one that counts, once the job is reducing, if there is one.
    pub at: Option<IndexAt>,
}

/// The size of a job's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputSize {
    /// How many objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many more were found and left out, as they are hidden or no data.
    pub skipped: u64,
}

/// How the calls of a map are spread over its tasks: in order, the same number for each, except that the last may have fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallsView {
    /// How many calls there are in all.
    pub count: u64,
    /// How many each task makes.
    pub per_task: u32,
}

impl JobView {
    /// Makes the view of a job that has just come into this phase and for which nothing has been done yet.
    pub fn new(phase: Phase) -> Self {
        JobView {
            phase,
            phase_at: PhaseTimes::default(),
            map_tasks: 0,
            partitions: 0,
            grid: None,
            input: InputSize::default(),
            calls: None,
            cancelled: vec![],
            tries_max: 1,
            timeout_ms: 0,
            ms_max: u64::MAX,
            capped: None,
            rereads: Rereads::default(),
            plan: None,
            writes_output: false,
            is_awaited: false,
            turn: 0,
            turn_at: Timestamp(0),
            sent: 0,
            index: IndexView::default(),
            manifest_upload: None,
            ending: None,
            program: None,
            error: None,
            beside: vec![],
        }
    }
}

impl JobView {
    /// Returns how many tasks a stage has, once the plan stands.
    pub fn tasks_of(&self, stage: Stage) -> u32 {
        match stage {
            Stage::Split => 1,
            Stage::Map => self.map_tasks,
            Stage::Merge => self.grid.map_or(0, |grid| grid.tasks()),
            Stage::Reduce => self.partitions,
        }
    }

    /// Returns how many map tasks its plan has.
    pub fn planned_tasks(&self) -> u32 {
        self.rereads.planned(self.map_tasks)
    }

    /// Returns what a map task reads again, if it is a reread.
    pub fn reread(&self, task: TaskIdx) -> Option<&Reread> {
        self.rereads.of(task, self.map_tasks)
    }
}

impl CallsView {
    /// Returns how many calls a task makes.
    pub fn of(&self, task: TaskIdx) -> u64 {
        let from = u64::from(task.0) * u64::from(self.per_task);
        self.count.saturating_sub(from).min(self.per_task.into())
    }
}

/// Everything that [`super::advance`] needs: the job, and the tasks of the stage it is in.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerView {
    /// The job.
    pub job: JobView,
    /// The tasks of the stage, in order. While splitting it is the one task of splitting; in the last phases there are none.
    pub tasks: Vec<TaskView>,
}

/// One task of a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskView {
    /// Which one.
    pub task: TaskIdx,
    /// Whether all its pieces are committed.
    pub done: bool,
    /// How long its committed pieces ran, in milliseconds.
    pub ran_ms: u64,
    /// The piece that is next to be committed, unless the task is done.
    pub piece: Piece,
    /// Where that piece starts, if it is not the first.
    pub start: Option<Position>,
    /// How many calls that piece holds, if it holds calls.
    pub calls: u64,
    /// What its committed pieces have read, if it is a map task.
    pub reads: Reads,
    /// When that piece could first run: when the stage began, or when the piece before it was committed.
    pub since: Timestamp,
    /// The tries of that piece that the ledger knows. The first try is sent without a trace and appears once it has started.
    pub tries: Vec<TryView>,
}

/// What a map task has read, as far as its commits say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reads {
    /// They do not say: it reads several objects, or has committed nothing.
    #[default]
    Unsaid,
    /// Records that lie here in its object.
    Records(ByteRange),
    /// One of its pieces found no record, and was to read some bytes.
    Nothing,
}

/// One try of a piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TryView {
    /// The number of the try, from 0.
    pub number: u16,
    /// How often somebody has claimed to send it. It is 0 if it was only sent by the process that moved the job on.
    pub sends: u16,
    /// When it was last claimed.
    pub sent_at: Option<Timestamp>,
    /// Whether the sender has noted that Lambda accepted what it sent last. A sender that died may not have noted it.
    pub accepted: bool,
    /// When a worker started it.
    pub started_at: Option<Timestamp>,
    /// When that worker last gave a sign of life, if it has run long enough to give one.
    pub alive_at: Option<Timestamp>,
    /// The memory of that worker's function, in MB.
    pub memory_mb: Option<u32>,
    /// Whether that function is the larger mapper.
    pub larger: bool,
    /// How many calls it was given at most, if the piece holds calls and it was not given all of them.
    pub calls_max: Option<u32>,
    /// How it failed, if it did.
    pub failed: Option<Failure>,
    /// When its execution ended without a result, as another had committed the piece or nobody wanted it any more. One that died
    /// has not said so.
    pub over_at: Option<Timestamp>,
}

impl TryView {
    /// Returns when it ended without a result, if it has said so.
    pub fn ended_at(&self) -> Option<Timestamp> {
        self.failed.as_ref().map(|failure| failure.at).or(self.over_at)
    }
}

/// The failure of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why it failed.
    pub error: Error,
    /// When it failed.
    pub at: Timestamp,
}

/// The ceiling of a job, and what it has spent.
#[derive(Clone, Debug, PartialEq)]
pub struct Capped {
    /// The ceiling, and the prices by which it is watched.
    pub cap: Cap,
    /// What was spent, but for the tries of pieces that are not committed.
    pub spent: Spent,
}

/// What a job has spent, but for the tries of pieces that are not committed: those change with every moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spent {
    /// Function time times memory, in GB-seconds.
    pub gb_seconds: f64,
    /// The requests.
    pub requests: Requests,
    /// The function time of the dearest try of the stage that committed, in GB-seconds.
    pub dearest_gb_s: f64,
    /// The tries of committed pieces that did not commit, as far as they were read.
    pub overtaken: Vec<TryView>,
    /// How many such tries there are besides.
    pub unread: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_its_word_its_stage_and_whether_it_is_the_last() {
        use Phase::{Cancelled, Failed, Mapping, Merging, Publishing, Reducing, Splitting, Succeeded, Undoing};
        for (phase, word, stage, is_final) in [
            (Splitting, "splitting", Some(Stage::Split), false),
            (Mapping, "mapping", Some(Stage::Map), false),
            (Merging, "merging", Some(Stage::Merge), false),
            (Reducing, "reducing", Some(Stage::Reduce), false),
            (Publishing, "publishing", None, false),
            (Undoing, "undoing", None, false),
            (Succeeded, "succeeded", None, true),
            (Failed, "failed", None, true),
            (Cancelled, "cancelled", None, true),
        ] {
            assert_eq!((phase.as_str(), phase.stage(), phase.is_final()), (word, stage, is_final));
            assert_eq!(Phase::parse(word), Some(phase));
        }
        assert_eq!([Phase::parse(""), Phase::parse("Mapping")], [None, None]);
    }

    #[test]
    fn the_calls_of_all_tasks_are_all_calls_and_the_last_task_may_have_fewer() {
        let calls = CallsView { count: 10, per_task: 4 };
        assert_eq!([0, 1, 2, 3].map(|task| calls.of(TaskIdx(task))), [4, 4, 2, 0]);
        let even = CallsView { count: 8, per_task: 4 };
        assert_eq!([0, 1, 2].map(|task| even.of(TaskIdx(task))), [4, 4, 0]);
    }
}
