//! What a job's functions did, attempt by attempt.

use super::Requests;
use crate::{Error, Result};
use kinglet_aws::Conductor;
use kinglet_aws::ledger::{Committed, GroupTry, Record};
use kinglet_core::ids::{JobId, Piece, Stage, TaskIdx, Timestamp};
use kinglet_core::ledger::JobView;
use kinglet_core::wire::record::{MapRecord, MergeRecord, ReduceRecord, Usage};
use serde::{Deserialize, Serialize};

/// An execution of a piece of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attempt {
    /// The stage; `None` of what belongs to no task: splitting, and what moved the job from phase to phase and published it.
    pub stage: Option<Stage>,
    /// The task; of reduce tasks, the partition.
    pub task: u32,
    /// The piece of the task.
    pub piece: u16,
    /// The number of the try, from 0. Of a piece that was settled for its dead workers, 65535.
    pub number: u16,
    /// What became of it.
    pub outcome: Outcome,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it ran, in milliseconds: to its commit or its failure; if it still runs, until now.
    pub ran_ms: u64,
    /// How long its function took to start before that, in milliseconds; 0 if it was warm, or did not commit.
    pub init_ms: u64,
    /// Its function's memory in MB; 0 if that is not known.
    pub memory_mb: u32,
    /// Bytes of input that a map attempt read, of runs that a merge attempt read.
    pub bytes_in: u64,
    /// Records that a map attempt read, pairs that a merge or reduce attempt merged.
    pub records_in: u64,
    /// Bytes of the runs of a map or merge attempt, or of the part of a reduce attempt.
    pub bytes_out: u64,
    /// Pairs that a map or merge attempt shuffled, records that a reduce attempt wrote.
    pub records_out: u64,
    /// How often tables were full and were spilled.
    pub spills: u64,
    /// The requests before its commit, if it committed.
    pub requests: Requests,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// Its result counts.
    Committed,
    /// It failed, or died.
    Failed(Error),
    /// Another has committed its piece, or the job has ended without it.
    Overtaken,
    /// It runs, as far as is known.
    Running,
}

impl Attempt {
    fn of(stage: Option<Stage>, usage: &Usage) -> Self {
        Attempt {
            stage,
            task: 0,
            piece: 0,
            number: 0,
            outcome: Outcome::Committed,
            started_at: usage.started_at,
            ran_ms: usage.ran_ms,
            init_ms: usage.init_ms,
            memory_mb: usage.memory_mb,
            bytes_in: 0,
            records_in: 0,
            bytes_out: 0,
            records_out: 0,
            spills: 0,
            requests: Requests::counted(usage.requests),
        }
    }

    fn of_map(record: &MapRecord) -> Self {
        Attempt {
            bytes_in: record.bytes_read,
            records_in: record.records,
            bytes_out: record.run_bytes,
            records_out: record.pairs_out,
            spills: record.spills,
            ..Attempt::of(Some(Stage::Map), &record.usage)
        }
    }

    fn of_merge(record: &MergeRecord) -> Self {
        Attempt {
            bytes_in: record.bytes_in,
            records_in: record.pairs_in,
            bytes_out: record.run_bytes,
            records_out: record.pairs_out,
            ..Attempt::of(Some(Stage::Merge), &record.usage)
        }
    }

    fn of_reduce(record: &ReduceRecord) -> Self {
        Attempt {
            records_in: record.pairs_in,
            bytes_out: record.bytes_out,
            records_out: record.records_out,
            ..Attempt::of(Some(Stage::Reduce), &record.usage)
        }
    }

    /// Makes one of a try that did not commit; `None` of one that waits for a function.
    fn of_try(stage: Stage, tried: GroupTry, is_settled: bool, job: &JobView, now: Timestamp) -> Option<Self> {
        // A worker may die before it can say that it has begun.
        let died_at = tried.view.failed.as_ref().map(|failure| failure.at);
        let unseen = died_at.map(|started_at| Usage { started_at, ..Usage::default() });
        let usage = tried.usage(job).or(unseen)?;
        let outcome = match tried.view.failed {
            Some(failure) => Outcome::Failed(failure.error),
            None if is_settled || job.phase.is_final() => Outcome::Overtaken,
            None => Outcome::Running,
        };
        let ran_ms = if outcome == Outcome::Running { now.since_ms(usage.started_at) } else { usage.ran_ms };
        let placed = Attempt::of(Some(stage), &usage).at(tried.task, tried.piece, tried.view.number);
        Some(Attempt { outcome, ran_ms, ..placed })
    }

    fn at(self, task: TaskIdx, piece: Piece, number: u16) -> Self {
        Attempt { task: task.0, piece: piece.0, number, ..self }
    }
}

/// What is read of a job's attempts.
pub(super) struct Gathered<'a> {
    pub(super) maps: &'a Committed<MapRecord>,
    pub(super) merges: &'a Committed<MergeRecord>,
    pub(super) reduces: &'a Committed<ReduceRecord>,
    /// The tries that did not commit, of map, merge and reduce tasks.
    pub(super) others: [Vec<GroupTry>; 3],
}

impl Gathered<'_> {
    /// Returns the attempts, in the order in which they began.
    pub(super) fn attempts(self, job: &JobView, now: Timestamp) -> Vec<Attempt> {
        let [of_map, of_merge, of_reduce] = self.others;
        let mut attempts: Vec<_> = job.beside.iter().map(|usage| Attempt::of(None, usage)).collect();
        add(&mut attempts, self.maps, Attempt::of_map);
        add(&mut attempts, self.merges, Attempt::of_merge);
        add(&mut attempts, self.reduces, Attempt::of_reduce);
        add_others(&mut attempts, self.maps, of_map, job, now);
        add_others(&mut attempts, self.merges, of_merge, job, now);
        add_others(&mut attempts, self.reduces, of_reduce, job, now);
        attempts.sort_by_key(|one| (one.started_at, one.stage, one.task, one.piece, one.number));
        attempts
    }
}

fn add<R: Record>(attempts: &mut Vec<Attempt>, committed: &Committed<R>, of: fn(&R) -> Attempt) {
    for (task, pieces) in (0..).map(TaskIdx).zip(committed) {
        for (piece, record) in (0..).map(Piece).zip(pieces) {
            attempts.push(of(record).at(task, piece, record.attempt().number));
        }
    }
}

fn add_others<R: Record>(
    attempts: &mut Vec<Attempt>,
    committed: &Committed<R>,
    others: Vec<GroupTry>,
    job: &JobView,
    now: Timestamp,
) {
    for tried in others {
        let pieces = committed.get(tried.task.0 as usize);
        let record = pieces.and_then(|pieces| pieces.get(usize::from(tried.piece.0)));
        if record.is_none_or(|record| record.attempt().number != tried.view.number) {
            attempts.extend(Attempt::of_try(R::STAGE, tried, record.is_some(), job, now));
        }
    }
}

/// Reads the attempts of a job in any phase: a request for each 32 tasks and one for each 3,200.
pub(crate) async fn attempts(conductor: &Conductor, job: &JobId, view: &JobView) -> Result<Vec<Attempt>> {
    let ledger = &conductor.ledger;
    let maps: Committed<MapRecord> = ledger.committed(job, view.map_tasks).await?;
    let merges: Committed<MergeRecord> = ledger.committed(job, view.tasks_of(Stage::Merge)).await?;
    let reduces: Committed<ReduceRecord> = ledger.committed(job, view.partitions).await?;
    let tries = |stage| ledger.tries_of(job, stage, view.tasks_of(stage));
    let others = [tries(Stage::Map).await?, tries(Stage::Merge).await?, tries(Stage::Reduce).await?];
    Ok(Gathered { maps: &maps, merges: &merges, reduces: &reduces, others }.attempts(view, conductor.now()))
}
