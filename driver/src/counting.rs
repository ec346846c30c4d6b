//! Counts what the tasks of a job have committed, for whoever watches it.
//!
//! What is committed does not change. So a group of tasks, all of which are done, is read once, however often is counted; only
//! groups with an open task are read again.

use crate::status::Progress;
use kinglet_aws::ledger::{Ledger, Record, TaskPieces, group_count};
use kinglet_core::Result;
use kinglet_core::ids::{JobId, Stage};
use kinglet_core::ledger::{JobView, Phase};
use kinglet_core::wire::record::{MapRecord, MergeRecord, ReduceRecord};

/// What has been counted of a stage.
#[derive(Default)]
pub(crate) struct Counting {
    phase: Option<Phase>,
    /// The groups with an open task.
    open: Vec<u32>,
    /// Of the other groups.
    whole: Counts,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    done: u64,
    bytes: u64,
}

impl Counting {
    /// Returns the progress of a job with this item, with the tasks of its present stage counted.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(crate) async fn progress(&mut self, ledger: &Ledger, job: &JobId, view: &JobView) -> Result<Progress> {
        let mut progress = Progress::of(view);
        match view.phase {
            Phase::Mapping => {
                let read = |map: &MapRecord| map.bytes_read;
                let counts = self.count(ledger, job, (view.phase, view.map_tasks), read).await?;
                (progress.maps.done, progress.bytes.done) = (counts.done, counts.bytes);
            }
            Phase::Merging => {
                let tasks = view.tasks_of(Stage::Merge);
                let counts = self.count(ledger, job, (view.phase, tasks), |_: &MergeRecord| 0).await?;
                progress.merges.done = counts.done;
            }
            Phase::Reducing => {
                let counts = self.count(ledger, job, (view.phase, view.partitions), |_: &ReduceRecord| 0).await?;
                progress.reduces.done = counts.done;
            }
            _ => {}
        }
        Ok(progress)
    }

    async fn count<R: Record>(
        &mut self,
        ledger: &Ledger,
        job: &JobId,
        (phase, tasks): (Phase, u32),
        bytes_of: impl Fn(&R) -> u64,
    ) -> Result<Counts> {
        if self.phase != Some(phase) {
            *self = Counting { phase: Some(phase), open: (0..group_count(tasks)).collect(), whole: Counts::default() };
        }
        let found = ledger.committed_in::<R>(job, &self.open, tasks).await?;
        let mut all = self.whole;
        let mut open = Vec::new();
        for group in found.chunk_by(|a, b| a.group() == b.group()) {
            let done = |task: &&TaskPieces<R>| task.pieces.last().is_some_and(|last| !last.hands_on());
            let counts = Counts {
                done: group.iter().filter(done).count() as u64,
                bytes: group.iter().flat_map(|task| &task.pieces).map(&bytes_of).sum(),
            };
            all.add(counts);
            match counts.done == group.len() as u64 {
                true => self.whole.add(counts),
                false => open.extend(group.first().map(TaskPieces::group)),
            }
        }
        self.open = open;
        Ok(all)
    }
}

impl Counts {
    fn add(&mut self, more: Counts) {
        self.done += more.done;
        self.bytes += more.bytes;
    }
}
