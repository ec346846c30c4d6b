//! Commits: which attempt of a piece counts, and whether its commit completes a stage.
//!
//! One conditional update adds `t<task>.<piece>` to the item of the task's group unless it is there. The reply carries the
//! whole group, so the committer sees whether the group is complete. A complete group is added to the root's set in the same
//! way, and the reply says whether the stage is complete. There is no counter that could count twice.

use super::Ledger;
use super::item::{Item, binary, read_binary, read_text};
use super::job;
use super::keys::{Key, done_name, group_count, group_of, group_pk, job_pk, tasks_of};
use super::request::Updated;
use super::tries::GroupTry;
use aws_sdk_dynamodb::types::ReturnValue;
use kinglet_core::ids::{AttemptId, JobId, Piece, Stage, TaskIdx, Timestamp, TryKey};
use kinglet_core::ledger::{CallsView, JobView, Reads, TaskView};
use kinglet_core::wire::frame::{self, Framed};
use kinglet_core::wire::record::{MapRecord, MergeRecord, Placement, Position, ReduceRecord, Usage};
use kinglet_core::{ByteRange, Code, Error, Result};
use std::collections::{BTreeSet, HashMap};

/// The number of the attempt that stands for a worker that died. No try has it.
pub(crate) const SETTLED: u16 = u16::MAX;

/// A record that an attempt of a stage commits.
pub trait Record: Framed + Clone {
    /// The stage whose record it is.
    const STAGE: Stage;
    /// Returns the attempt that committed.
    fn attempt(&self) -> AttemptId;
    /// Returns what the attempt spent.
    fn usage(&self) -> &Usage;
    /// Returns whether the attempt did not finish its piece, so that another follows.
    fn hands_on(&self) -> bool;
    /// Returns where the next piece starts, if the record says that.
    fn remainder(&self) -> Option<Position>;
    /// Returns how many records the attempt read.
    fn records(&self) -> u64;
    /// Returns what a task has read, by its committed pieces.
    fn reads(_: &[Self]) -> Reads {
        Reads::Unsaid
    }
}

impl Record for MapRecord {
    const STAGE: Stage = Stage::Map;
    fn attempt(&self) -> AttemptId {
        self.attempt
    }
    fn usage(&self) -> &Usage {
        &self.usage
    }
    fn hands_on(&self) -> bool {
        self.remainder.is_some()
    }
    fn remainder(&self) -> Option<Position> {
        self.remainder
    }
    fn records(&self) -> u64 {
        self.records
    }
    fn reads(pieces: &[Self]) -> Reads {
        // Of several objects, a piece has read bytes and does not say where they lie.
        if pieces.iter().any(|piece| piece.taken.is_none() && piece.bytes_read == 0 && piece.bytes_assigned > 0) {
            return Reads::Nothing;
        }
        let mut taken = pieces.iter().filter_map(|piece| piece.taken);
        let first = taken.next();
        first.map_or(Reads::Unsaid, |first| {
            Reads::Records(ByteRange { to: taken.next_back().unwrap_or(first).to, ..first })
        })
    }
}

/// A record of an attempt that has written runs.
pub trait RunsRecord: Record {
    /// Returns where the runs lie.
    fn placement(&self) -> Placement;
    /// Returns how many bytes they have.
    fn run_bytes(&self) -> u64;
}

impl RunsRecord for MapRecord {
    fn placement(&self) -> Placement {
        self.placement
    }
    fn run_bytes(&self) -> u64 {
        self.run_bytes
    }
}

impl Record for MergeRecord {
    const STAGE: Stage = Stage::Merge;
    fn attempt(&self) -> AttemptId {
        self.attempt
    }
    fn usage(&self) -> &Usage {
        &self.usage
    }
    fn hands_on(&self) -> bool {
        self.merged.is_some()
    }
    fn remainder(&self) -> Option<Position> {
        self.merged.map(|merged| Position::at(merged, 0))
    }
    fn records(&self) -> u64 {
        0
    }
}

impl RunsRecord for MergeRecord {
    fn placement(&self) -> Placement {
        self.placement
    }
    fn run_bytes(&self) -> u64 {
        self.run_bytes
    }
}

impl Record for ReduceRecord {
    const STAGE: Stage = Stage::Reduce;
    fn attempt(&self) -> AttemptId {
        self.attempt
    }
    fn usage(&self) -> &Usage {
        &self.usage
    }
    fn hands_on(&self) -> bool {
        self.hands_on
    }
    fn remainder(&self) -> Option<Position> {
        None
    }
    fn records(&self) -> u64 {
        0
    }
}

/// The committed pieces of each task of a stage, in order.
pub type Committed<R> = Vec<Vec<R>>;

/// The committed pieces of one task, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPieces<R> {
    /// The task.
    pub task: TaskIdx,
    /// Their records.
    pub pieces: Vec<R>,
}

impl<R> TaskPieces<R> {
    /// Returns the group of tasks in whose item they lie.
    pub fn group(&self) -> u32 {
        group_of(self.task)
    }
}

/// A job's own item, and what some of its tasks have committed.
#[derive(Clone, Debug)]
pub struct Look<R> {
    /// The job.
    pub view: JobView,
    /// The requested tasks, in order.
    pub tasks: Vec<TaskPieces<R>>,
}

/// What is read of a stage to decide what follows.
pub(super) struct StageRead<R> {
    /// The groups' items, by their partition keys.
    pub(super) items: HashMap<String, Item>,
    /// What is committed.
    pub(super) committed: Committed<R>,
    /// The tasks, with the tries of their next pieces.
    pub(super) tasks: Vec<TaskView>,
    /// The tries of other pieces, in groups with an open task.
    pub(super) tries: Vec<GroupTry>,
}

/// The result of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// This attempt's output counts.
    Won {
        /// Whether every task of the stage is now committed.
        stage_complete: bool,
    },
    /// Another attempt committed first; this one's output is never read.
    Lost(AttemptId),
}

impl Ledger {
    /// Returns whether a piece is committed.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn is_committed(&self, job: &JobId, key: TryKey) -> Result<bool> {
        let doing = format!("looking whether {key} is committed");
        let item = self.item(doing, Key::group(job, key.stage, group_of(key.task))).await?;
        Ok(item.is_some_and(|item| item.contains_key(&done_name(key.task, key.piece))))
    }

    /// Commits an attempt, unless another attempt of the piece has committed.
    ///
    /// # Errors
    /// Returns `too-many-pieces` when the item of the task's group is full; or a service error (`access-denied`, `throttled`,
    /// `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn commit<R: Record>(
        &self,
        job: &JobId,
        task: TaskIdx,
        piece: Piece,
        record: &R,
        task_count: u32,
    ) -> Result<Commit> {
        let group = group_of(task);
        let key = Key::group(job, R::STAGE, group);
        let doing = format!("committing {} task {} (attempt {})", R::STAGE, task.0, record.attempt());
        let committing = self
            .update(doing.clone(), key.clone())
            .set_as("done", &done_name(task, piece), binary(frame::write(record)?))
            .ttl()
            .when("attribute_not_exists(#done)")
            .returning(ReturnValue::AllNew);
        let item = match committing.write().await? {
            Updated::Done(item) => item,
            // The SDK may have sent the request again after a lost reply. Then the record that stands there is this attempt's
            // own.
            Updated::Unmet { error, .. } => {
                let item = self.item(doing, key).await?;
                let winner = pieces::<R>(item.as_ref(), task)?.get(piece.0 as usize).map(Record::attempt);
                match winner {
                    Some(winner) if winner != record.attempt() => return Ok(Commit::Lost(winner)),
                    Some(_) => item,
                    // Nobody's record stands there, so what refused the write was not its condition.
                    None => return Err(error),
                }
            }
            Updated::TooLarge(error) => {
                return Err(Error::new(Code::TooManyPieces, error.to_string()).with_hint(
                    "32 tasks share an item of 400 KB, which holds about 3,500 pieces: give tasks more time, or make \
                     splits, partitions or batches smaller, so that they are handed back less often",
                ));
            }
        };
        for task in tasks_of(group, task_count) {
            if !is_done(&pieces::<R>(item.as_ref(), TaskIdx(task))?) {
                return Ok(Commit::Won { stage_complete: false });
            }
        }
        let stage_complete = self.complete_group(job, R::STAGE, group, group_count(task_count)).await?;
        Ok(Commit::Won { stage_complete })
    }

    /// Adds a complete group to the root. Returns whether all groups are now complete.
    async fn complete_group(&self, job: &JobId, stage: Stage, group: u32, groups: u32) -> Result<bool> {
        if groups == 1 {
            return Ok(true);
        }
        let doing = format!("completing group {group} of the {stage} stage of job {job}");
        let completing = self.update(doing, Key::root(job, stage)).add("groups", [group]).ttl();
        match completing.returning(ReturnValue::AllNew).write().await? {
            Updated::Done(root) => {
                let complete = root.as_ref().and_then(|item| item.get("groups")).and_then(|set| set.as_ns().ok());
                Ok(complete.is_some_and(|set| set.len() == groups as usize))
            }
            Updated::Unmet { error, .. } | Updated::TooLarge(error) => Err(error),
        }
    }

    /// Reads the committed pieces of a task.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn pieces_of<R: Record>(&self, job: &JobId, task: TaskIdx) -> Result<Vec<R>> {
        let doing = format!("reading the pieces of {} task {}", R::STAGE, task.0);
        pieces(self.item(doing, Key::group(job, R::STAGE, group_of(task))).await?.as_ref(), task)
    }

    /// Reads the committed pieces of every task of a stage.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn committed<R: Record>(&self, job: &JobId, task_count: u32) -> Result<Committed<R>> {
        let groups: Vec<u32> = (0..group_count(task_count)).collect();
        let tasks = self.committed_in(job, &groups, task_count).await?;
        Ok(tasks.into_iter().map(|task| task.pieces).collect())
    }

    /// Reads the committed pieces of every map task. Tasks whose splits are read again by others have none that count.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn counted(&self, job: &JobId, view: &JobView) -> Result<Committed<MapRecord>> {
        let mut committed = self.committed::<MapRecord>(job, view.map_tasks).await?;
        view.rereads.forget_in(&mut committed);
        Ok(committed)
    }

    /// Reads the committed pieces of every task of some groups of a stage.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn committed_in<R: Record>(
        &self,
        job: &JobId,
        groups: &[u32],
        task_count: u32,
    ) -> Result<Vec<TaskPieces<R>>> {
        let keys = groups.iter().map(|group| Key::group(job, R::STAGE, *group)).collect();
        grouped(job, groups, task_count, &by_pk(self.items(keys).await?))
    }

    /// Reads the job's own item and the committed pieces of every task of some groups of a stage, in one request for up to 99
    /// groups. The pieces may be newer than the item. Where the item says that the stage is over, all of its pieces are
    /// returned.
    ///
    /// # Errors
    /// Returns the errors of [`Ledger::job`].
    pub async fn look<R: Record>(&self, job: &JobId, groups: &[u32], task_count: u32) -> Result<Look<R>> {
        let keys = groups.iter().map(|group| Key::group(job, R::STAGE, *group));
        let items = by_pk(self.items(std::iter::once(Key::job(job)).chain(keys).collect()).await?);
        let item = items.get(&job_pk(job)).ok_or_else(|| self.job_missing(job))?;
        let view = job::view(job, item)?;
        // A request does not read its items at one moment: of an ended job, the pieces are read once more.
        let tasks = match view.phase.is_final() {
            true => self.committed_in(job, groups, task_count).await?,
            false => grouped(job, groups, task_count, &items)?,
        };
        Ok(Look { view, tasks })
    }

    /// Reads the tasks of a job's stage as [`kinglet_core::ledger::advance`] sees them, and adds to the view of a job with a ceiling
    /// what was spent on them. Tries are read only for groups with an open task.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn tasks<R: Record>(&self, job: &JobId, view: &mut JobView, now: Timestamp) -> Result<Vec<TaskView>> {
        let (calls, since) = match R::STAGE {
            Stage::Reduce => (None, view.phase_at.reducing),
            Stage::Merge => (None, view.phase_at.merging),
            Stage::Map | Stage::Split => (view.calls, view.phase_at.mapping),
        };
        let count = view.tasks_of(R::STAGE);
        let stage = self.stage::<R>(job, count, calls, since.unwrap_or_default()).await?;
        self.add_spent(job, view, &stage, now).await?;
        Ok(stage.tasks)
    }

    async fn stage<R: Record>(
        &self,
        job: &JobId,
        task_count: u32,
        calls: Option<CallsView>,
        since: Timestamp,
    ) -> Result<StageRead<R>> {
        let groups: Vec<u32> = (0..group_count(task_count)).collect();
        let keys = groups.iter().map(|group| Key::group(job, R::STAGE, *group)).collect();
        let items = by_pk(self.items(keys).await?);
        let committed = grouped::<R>(job, &groups, task_count, &items)?.into_iter().map(|task| task.pieces);
        let committed: Committed<R> = committed.collect();
        let mut tasks: Vec<TaskView> =
            (0..).zip(&committed).map(|(task, pieces)| view(TaskIdx(task), pieces, calls, since)).collect();
        let open: BTreeSet<u32> = tasks.iter().filter(|task| !task.done).map(|task| group_of(task.task)).collect();
        let mut others = Vec::new();
        for group in open {
            for tried in self.tries(job, R::STAGE, group).await? {
                let task = tasks.get_mut(tried.task.0 as usize);
                match task.filter(|view| view.piece == tried.piece && !view.done) {
                    Some(view) => view.tries.push(tried.view),
                    None => others.push(tried),
                }
            }
        }
        Ok(StageRead { items, committed, tasks, tries: others })
    }
}

/// Maps items by their partition keys, which must differ.
fn by_pk(items: Vec<Item>) -> HashMap<String, Item> {
    items.into_iter().map(|item| (read_text(&item, "pk").unwrap_or_default().to_owned(), item)).collect()
}

/// Reads the pieces of the tasks of some groups from the groups' items, given by their partition keys.
fn grouped<R: Record>(
    job: &JobId,
    groups: &[u32],
    task_count: u32,
    items: &HashMap<String, Item>,
) -> Result<Vec<TaskPieces<R>>> {
    let mut tasks = Vec::new();
    for group in groups {
        let item = items.get(&group_pk(job, R::STAGE, *group));
        for task in tasks_of(*group, task_count).map(TaskIdx) {
            tasks.push(TaskPieces { task, pieces: pieces(item, task)? });
        }
    }
    Ok(tasks)
}

/// Reads the committed pieces of one task from its group's item, in order.
fn pieces<R: Record>(item: Option<&Item>, task: TaskIdx) -> Result<Vec<R>> {
    let mut found = Vec::new();
    loop {
        let name = done_name(task, Piece(found.len() as u16));
        let Some(bytes) = item.and_then(|item| read_binary(item, &name)) else {
            return Ok(found);
        };
        let record: R = frame::read(bytes, &format!("the record of {} task {name}", R::STAGE))?;
        let more = record.hands_on();
        found.push(record);
        if !more {
            return Ok(found);
        }
    }
}

fn is_done<R: Record>(pieces: &[R]) -> bool {
    pieces.last().is_some_and(|last| !last.hands_on())
}

fn view<R: Record>(task: TaskIdx, pieces: &[R], calls: Option<CallsView>, since: Timestamp) -> TaskView {
    let last_end = pieces.last().map(|r| Timestamp(r.usage().started_at.0 + r.usage().ran_ms));
    TaskView {
        task,
        done: is_done(pieces),
        ran_ms: pieces.iter().map(|r| r.usage().ran_ms).sum(),
        piece: Piece(pieces.len() as u16),
        start: pieces.last().and_then(Record::remainder),
        calls: calls.map_or(0, |calls| calls.of(task).saturating_sub(pieces.iter().map(Record::records).sum())),
        reads: R::reads(pieces),
        since: last_end.unwrap_or(since),
        tries: Vec::new(),
    }
}
