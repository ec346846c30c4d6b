//! Sends tasks: those of a stage from the first that was not sent, and tries that were claimed.

use super::turn::{KEEP_EVERY, Turn};
use crate::conductor::{Conductor, plan_of};
use crate::replies::Pause;
use futures_util::{StreamExt, TryStreamExt, stream};
use kinglet_core::ids::{JobId, Partition, Piece, Stage, TaskIdx, TryKey};
use kinglet_core::ledger::{Eased, HALF_BYTES_MIN, JobView, Phase, Relief};
use kinglet_core::wire::event::{Event, MapEvent, MergeEvent, ReduceEvent, SplitEvent};
use kinglet_core::wire::index::{IndexTable, RowsAt};
use kinglet_core::wire::plan::PlanIndex;
use kinglet_core::wire::record::Position;
use kinglet_core::wire::spec::{JobSpec, Objects as Which};
use kinglet_core::{ByteRange, Code, Error, Result};

/// The number of events sent between two signs of life.
const SENT_AT_ONCE: u32 = 500;

/// How many tries are marked as accepted at once.
const ACCEPTED_AT_ONCE: usize = 16;

/// A try that was claimed and is to be sent.
pub(super) struct Claimed {
    pub(super) key: TryKey,
    pub(super) start: Option<Position>,
    pub(super) relief: Relief,
}

impl Conductor {
    /// Sends the tasks of the job's stage, from the first that was not sent, and gives signs of life meanwhile. If Lambda
    /// takes no more for now, another process goes on later. A task that can never be sent fails the job.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses.
    pub async fn send_stage(&self, job: &JobId, view: &JobView, turn: &Turn) -> Result<()> {
        let sent = self.send_from(job, view, turn).await;
        self.fail_if_fatal(job, view.phase, sent).await
    }

    async fn send_from(&self, job: &JobId, view: &JobView, turn: &Turn) -> Result<()> {
        let program = view.program;
        let index = if view.phase == Phase::Mapping { Some(self.plan_index(job, view).await?) } else { None };
        let table = self.index_table(job, view).await?;
        let event = |task: TaskIdx| match &index {
            Some(index) => {
                let plan = split_at(index, job, view, task)?;
                Ok(Event::Map(MapEvent::first(job.clone(), task, plan, program)))
            }
            None if view.phase == Phase::Merging => Ok(Event::Merge(MergeEvent::first(job.clone(), task, program))),
            None => {
                let index = rows_of(table.as_ref(), task);
                Ok(Event::Reduce(ReduceEvent { index, ..ReduceEvent::first(job.clone(), task, program) }))
            }
        };
        let count = view.phase.stage().map_or(0, |stage| view.tasks_of(stage));
        let (mut sent, mut pause) = (view.sent, Pause::default());
        while sent < count {
            let to = count.min(sent + SENT_AT_ONCE);
            let events = (sent..to).map(|task| event(TaskIdx(task))).collect::<Result<Vec<_>>>()?;
            let mut sending = std::pin::pin!(self.functions.start_all(events));
            let done = loop {
                tokio::select! {
                    biased;
                    done = &mut sending => break done,
                    // Lambda may be slow to take them; others must not conclude that nobody sends.
                    () = tokio::time::sleep(KEEP_EVERY) => {
                        if !self.ledger.keep_turn(job, view.phase, turn.number, sent).await? {
                            return Ok(());
                        }
                    }
                }
            };
            match done {
                Ok(()) => sent = to,
                // Tasks that were sent are sent again: the second execution of a try ends itself.
                Err(error) if error.is(Code::Throttled) => {
                    tracing::warn!(%job, %error, sent, "Lambda takes no more events for now");
                    if pause.wait("sending events").await.is_err() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
            if sent == count && !self.in_function {
                // A driver's caller need not wait until the ledger says that all tasks are sent. If it never does, all are
                // sent again.
                let (conductor, job, phase, number) = (self.clone(), job.clone(), view.phase, turn.number);
                tokio::spawn(async move { conductor.ledger.keep_turn(&job, phase, number, sent).await });
                return Ok(());
            }
            if !self.ledger.keep_turn(job, view.phase, turn.number, sent).await? {
                return Ok(()); // Another process has the turn, or the stage is over.
            }
        }
        Ok(())
    }

    pub(super) async fn invoke(&self, job: &JobId, view: &JobView, claimed: Vec<Claimed>) -> Result<()> {
        let invoked = self.invoke_claimed(job, view, claimed).await;
        self.fail_if_fatal(job, view.phase, invoked).await
    }

    async fn invoke_claimed(&self, job: &JobId, view: &JobView, claimed: Vec<Claimed>) -> Result<()> {
        let program = view.program;
        let index = if view.phase == Phase::Mapping { Some(self.plan_index(job, view).await?) } else { None };
        let table = self.index_table(job, view).await?;
        let mut events = Vec::with_capacity(claimed.len());
        for Claimed { key, start, relief } in &claimed {
            let (TryKey { task, piece, number, .. }, job) = (*key, job.clone());
            let Some(index) = &index else {
                events.push(match key.stage {
                    Stage::Split => Event::Split(SplitEvent { job, number }),
                    Stage::Merge => {
                        let start = start.map_or(0, |start| start.range_idx);
                        let first = MergeEvent::first(job, task, program);
                        let (early, died) = (relief.timed_out, relief.died);
                        Event::Merge(MergeEvent { piece, number, start, early, died, ..first })
                    }
                    _ => {
                        // A further piece is told by the one before it where its runs lie.
                        let index = rows_of(table.as_ref(), task).filter(|_| piece == Piece(0));
                        let first = ReduceEvent::first(job, task, program);
                        Event::Reduce(ReduceEvent { piece, number, early: relief.timed_out, index, ..first })
                    }
                });
                continue;
            };
            let at = split_at(index, &job, view, task)?;
            // Only a try that eases a task which died of memory needs the size of its piece.
            let has_died = relief.died > 0 || relief.died_larger > 0;
            let (piece_bytes, half_bytes_min) = if relief.fewer.is_some() || !has_died {
                (0, 0)
            } else {
                let plan = plan_of(&job, view)?;
                let (split, spec) = tokio::try_join!(self.split(&job, plan, at), self.spec(&job))?;
                let split = view.reread(task).map_or(split.clone(), |reread| reread.split(split));
                (split.bytes_from(start.unwrap_or(Position::at(0, 0))), half_bytes_min(&spec))
            };
            let has_larger = self.stack.functions.mapper_large.is_some();
            let (Eased { larger, bytes_max }, calls_max) = match relief.fewer {
                Some(fewer) => (Eased { larger: fewer.larger && has_larger, bytes_max: None }, Some(fewer.calls_max)),
                None => (relief.eased(piece_bytes, half_bytes_min, has_larger), None),
            };
            let first = MapEvent::first(job, task, at, program);
            events.push(Event::Map(MapEvent { piece, number, start: *start, bytes_max, calls_max, larger, ..first }));
        }
        self.functions.start_all(events).await?;
        let accepted: Vec<_> = claimed.iter().map(|claimed| self.ledger.accepted(job, claimed.key)).collect();
        stream::iter(accepted).buffer_unordered(ACCEPTED_AT_ONCE).try_collect().await
    }

    /// Fails a job in this phase if the error would recur each time. Returns `done` unchanged.
    pub(super) async fn fail_if_fatal(&self, job: &JobId, phase: Phase, done: Result<()>) -> Result<()> {
        if let Err(error) = &done
            && self.decides(error)
        {
            self.fail_in(job, &[phase], Phase::Failed, error).await?;
        }
        done
    }

    /// Reads where the rows of the index of a job's runs lie, if the job is reducing and has one.
    async fn index_table(&self, job: &JobId, view: &JobView) -> Result<Option<IndexTable>> {
        match view.index.at {
            Some(at) if view.phase == Phase::Reducing => {
                self.runs(job).index_table(at, view.partitions).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Returns where a task's split lies in the plan.
    pub(crate) async fn plan_at(&self, job: &JobId, view: &JobView, task: TaskIdx) -> Result<ByteRange> {
        let index = self.plan_index(job, view).await?;
        split_at(&index, job, view, task)
    }
}

/// Returns where a task's split lies in the plan. A reread has that of the first task that it replaces.
fn split_at(index: &PlanIndex, job: &JobId, view: &JobView, task: TaskIdx) -> Result<ByteRange> {
    let planned = view.reread(task).map_or(task, |reread| reread.first);
    index.split(planned).ok_or_else(|| no_task(job, task))
}

fn rows_of(table: Option<&IndexTable>, task: TaskIdx) -> Option<RowsAt> {
    table.map(|table| table.rows(Partition(task.0)))
}

fn no_task(job: &JobId, task: TaskIdx) -> Error {
    Error::new(Code::PlanCorrupt, format!("job {job} has no task {}", task.0))
}

/// Returns the smallest piece, in bytes, that a halved piece may become; for items, about one of them.
fn half_bytes_min(spec: &JobSpec) -> u64 {
    match spec.inputs.first().map(|input| &input.objects) {
        Some(Which::Items(items)) => items.items_bytes / items.items.max(1),
        _ => HALF_BYTES_MIN,
    }
}
