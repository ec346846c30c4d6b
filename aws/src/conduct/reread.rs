//! Has splits read again that were begun at wrong places; `core/src/guesses.rs` says which these are.
//!
//! | who | does | on which condition |
//! |---|---|---|
//! | anyone who sees that all is mapped, and that ends and starts of splits do not meet | reads the spec, the plan and all commits, and adds tasks to the job that read such splits again; with that, takes the turn and sends them | the job is mapping, and has as many tasks and the turn as they were seen |
//! | the same, where no split was wrong | takes the job to reducing | as in `reduce` |
//! | anyone who sees that the turn has been silent for ten seconds | takes the turn, and sends the tasks | as ever |
//!
//! The write that adds the tasks says which others do not count any more. Whoever saw the job before it sees other tasks than those
//! that are there now, so it is refused what it would write. All tasks that do not count have committed before, so none of them can
//! still commit.
//!
//! Usually every end meets a start, which the commits say that are read anyway to see that all is mapped: nothing more is asked for.

use super::turn::Turn;
use crate::conductor::{Conductor, plan_of};
use crate::heap::on_heap;
use crate::objects::SMALL_BYTES_MAX;
use kinglet_core::grid::Grid;
use kinglet_core::guesses::Counted;
use kinglet_core::ids::JobId;
use kinglet_core::ledger::{FindRuns, JobView, Phase};
use kinglet_core::limits::{MAP_TASKS_MAX, REREADS_MAX};
use kinglet_core::manifest::WHOLE_OBJECTS;
use kinglet_core::wire::plan;
use kinglet_core::wire::record::{MapRecord, Requests};
use kinglet_core::wire::reread::{Reread, Rereads};
use kinglet_core::{Code, Error, Result};

impl Conductor {
    /// Has those splits read again that were begun at wrong places. If there are none, goes on to merging or reducing.
    pub(super) async fn reread(&self, job: &JobId, view: &JobView, before: &Requests) -> Result<()> {
        let wrong = on_heap(|| self.wrong_splits(job, view)).await?;
        if wrong.is_empty() {
            return match view.grid {
                Some(_) => self.start_merging(job, view, before).await,
                None => self.start_reducing(job, view, FindRuns::Cheapest, before).await,
            };
        }
        for Reread { first, last, start, .. } in &wrong {
            tracing::info!(%job, first = first.0, last = last.0, start, "splits that began at a wrong place are read again");
        }
        let rereads = Rereads([&view.rereads.0[..], &wrong].concat());
        let map_tasks = view.map_tasks.saturating_add(u32::try_from(wrong.len()).unwrap_or(u32::MAX));
        if rereads.0.len() > REREADS_MAX || u64::from(map_tasks) > MAP_TASKS_MAX {
            let message = format!(
                "job {job}: splits of {} objects began at wrong places, and {} of a job's {MAP_TASKS_MAX} map tasks, at most \
                 {REREADS_MAX} in all, could read them again",
                wrong.len(),
                MAP_TASKS_MAX.saturating_sub(view.map_tasks.into()),
            );
            return Err(Error::new(Code::SplitGuess, message).with_hint(WHOLE_OBJECTS));
        }
        if self.ledger.reread(job, view, map_tasks, &rereads).await? {
            let (turn, sent) = (view.turn + 1, view.map_tasks);
            let grid = view.grid.and_then(|grid| Grid::new(map_tasks, view.partitions, grid.sizes()));
            let view = JobView { map_tasks, grid, rereads, turn, sent, ..view.clone() };
            let turn = Turn::new(Phase::Mapping, turn);
            on_heap(|| self.send_stage(job, &view, &turn)).await?;
        }
        Ok(())
    }

    async fn wrong_splits(&self, job: &JobId, view: &JobView) -> Result<Vec<Reread>> {
        let key = Self::plan_key(job, plan_of(job, view)?);
        let (spec, bytes, maps) = tokio::try_join!(
            self.spec(job),
            self.objects.get_whole(&self.stack.work_bucket, &key, SMALL_BYTES_MAX),
            self.ledger.committed::<MapRecord>(job, view.map_tasks),
        )?;
        let (splits, _) = plan::read(&bytes)?;
        Ok(Counted::of(&view.rereads, &splits, &maps).wrong(&spec, view.planned_tasks()))
    }
}
