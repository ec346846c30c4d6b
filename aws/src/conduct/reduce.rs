//! Takes a job whose map tasks are all committed to reducing; before that, where it pays, indexes its runs by partition.
//!
//! | who | does | on which condition |
//! |---|---|---|
//! | anyone who sees that all is mapped | decides by [`Barrier`] whether the runs are indexed; if not, moves the job on | the job is mapping |
//! | the same, if they are | takes the turn, and with it number 1 | the turn is as it was seen, and nobody has begun |
//! | who has the turn | reads each map attempt's index once, writes the object of its number, and moves the job on with that | the job is mapping |
//! | anyone who sees that the turn has been silent for ten seconds | takes the turn, and with it the next number | the turn is as it was seen |
//! | anyone who sees that the third one has | moves the job on without an index | the job is mapping |
//!
//! Where the runs are merged first, the job goes on to that, and then to reducing without an index: each of these moves is made by anyone
//! who sees that a stage is over, on the condition that the job is in the phase before.
//!
//! The move to reducing names the index, and is made once. Whoever loses it has written an object of a number of its own, and removes it; if it
//! dies first, the object goes with the job's runs, by its number.

use super::turn::Turn;
use crate::conductor::Conductor;
use crate::heap::on_heap;
use crate::ledger::{Committed, Reduced};
use kinglet_core::cost::Barrier;
use kinglet_core::ids::JobId;
use kinglet_core::ledger::{FindRuns, IndexView, JobView, Phase};
use kinglet_core::wire::index::IndexAt;
use kinglet_core::wire::record::{MapRecord, Placement, Requests};
use kinglet_core::{Code, Result};

impl Conductor {
    /// Goes on to merging, and sends the merge tasks.
    pub(super) async fn start_merging(&self, job: &JobId, view: &JobView, before: &Requests) -> Result<()> {
        let now = self.now();
        let usage = self.usage_since(before, now);
        let spent = view.capped.as_ref().map(|capped| capped.until_here(view.timeout_ms, now));
        if self.ledger.merge(job, usage.as_ref(), spent.as_ref()).await? {
            let view = JobView { phase: Phase::Merging, sent: 0, ..view.clone() };
            let turn = Turn::new(Phase::Merging, 1);
            return on_heap(|| self.send_stage(job, &view, &turn)).await;
        }
        Ok(())
    }

    /// Goes on to reducing, by an index of the runs where that is cheaper.
    pub(super) async fn start_reducing(
        &self,
        job: &JobId,
        view: &JobView,
        find: FindRuns,
        before: &Requests,
    ) -> Result<()> {
        // What reduces the results of calls reads all of them.
        if find == FindRuns::Cheapest && view.calls.is_none() && may_be_indexed(view) {
            let committed = self.ledger.counted(job, view).await?;
            if barrier(view, &committed).is_indexed(view.index.wanted) {
                if self.ledger.begin_index(job, view).await? {
                    let (turn, index) = (view.turn + 1, IndexView { tries: 1, ..view.index });
                    let view = JobView { turn, index, ..view.clone() };
                    return self.index_and_reduce(job, &view, &committed, before).await;
                }
                return Ok(());
            }
        }
        self.reduce(job, view, None, before).await
    }

    /// Indexes the runs in the turn that this process has just taken from another, and goes on to reducing.
    pub(super) async fn index_again(&self, job: &JobId, view: &JobView, turn: &Turn) -> Result<()> {
        let before = self.clients.meter.totals();
        let committed = self.ledger.counted(job, view).await?;
        let index = IndexView { tries: view.index.tries + 1, ..view.index };
        let view = JobView { turn: turn.number, index, ..view.clone() };
        self.index_and_reduce(job, &view, &committed, &before).await
    }

    /// Writes the index of the number that this process has taken with the turn, and goes on to reducing by it.
    async fn index_and_reduce(
        &self,
        job: &JobId,
        view: &JobView,
        committed: &Committed<MapRecord>,
        before: &Requests,
    ) -> Result<()> {
        let (number, turn) = (view.index.tries, Turn::new(Phase::Mapping, view.turn));
        let written = tokio::select! {
            biased;
            written = on_heap(|| self.runs(job).write_index(number, view.partitions, committed)) => written,
            // What is on its way stays behind, and goes with the job.
            taken = turn.keep(self, job) => Err(taken),
        };
        match written {
            Ok(index) => {
                tracing::debug!(%job, ?index, "the runs are indexed");
                self.reduce(job, view, Some(index), before).await
            }
            Err(error) if error.is(Code::TurnTaken) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Moves the job to reducing, and sends its reducers.
    async fn reduce(&self, job: &JobId, view: &JobView, index: Option<IndexAt>, before: &Requests) -> Result<()> {
        let now = self.now();
        let usage = self.usage_since(before, now);
        let spent = view.capped.as_ref().map(|capped| capped.until_here(view.timeout_ms, now));
        if self.ledger.reduce(job, view.phase, &Reduced { index, usage, spent }).await? {
            let index = IndexView { at: index, ..view.index };
            let view = JobView { phase: Phase::Reducing, sent: 0, index, ..view.clone() };
            let turn = Turn::new(Phase::Reducing, 1);
            return on_heap(|| self.send_stage(job, &view, &turn)).await;
        }
        if let Some(IndexAt { number, .. }) = index
            && let Err(error) = self.runs(job).remove_indexes(number..=number).await
        {
            tracing::warn!(%job, %error, "removing an index of runs that does not count");
        }
        Ok(())
    }
}

/// Returns whether the runs of a job of this size can be worth an index, before anything is read to know it.
fn may_be_indexed(view: &JobView) -> bool {
    Barrier::at_most(view.map_tasks, view.partitions).is_indexed(view.index.wanted)
}

fn barrier(view: &JobView, committed: &Committed<MapRecord>) -> Barrier {
    let lie = |placement: Placement| committed.iter().flatten().filter(move |record| record.placement == placement);
    let in_s3 = lie(Placement::Object).count() as u64;
    let run_bytes: u64 = lie(Placement::Object).map(|record| record.run_bytes).sum();
    Barrier {
        map_tasks: view.map_tasks.into(),
        inline: lie(Placement::Inline).count() as u64,
        in_s3,
        runs_bytes: run_bytes as f64 / in_s3.max(1) as f64,
        partitions: view.partitions,
    }
}
