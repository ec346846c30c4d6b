//! Rereads: the tasks that read splits again which had begun at wrong places. The ledger has a job's in its own item, in a frame of
//! kind Rereads:
//!
//! ```text
//! reread × n       first:u32 last:u32 start:u64 to:u64     as bincode has them
//! ```
//!
//! Of a job whose plan has 5 tasks, two of which began wrong:
//!
//! ```text
//! map task    0    1    2    3    4    5        5 is the reread of 2 and 3: what these committed does not count
//! in order    0    1    5              4
//! ```

use super::frame::{Framed, Kind};
use crate::ids::TaskIdx;
use crate::limits::{MAP_TASKS_MAX, REREADS_MAX};
use serde::{Deserialize, Serialize};

/// A task that reads splits of one object again, one after the other, from a place on where a record is proved to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reread {
    /// The first of the tasks whose commits do not count any more.
    pub first: TaskIdx,
    /// The last of them.
    pub last: TaskIdx,
    /// Where its first record starts in the object: where the records before it end.
    pub start: u64,
    /// Where the last of the splits ends. It may lie before `start`: then a record that began earlier reaches over all of them.
    pub to: u64,
}

/// The rereads of a job, in the order in which they were found to be needed. Its map task with the number of the plan's splits is
/// the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rereads(pub Vec<Reread>);

impl Framed for Rereads {
    const KIND: Kind = Kind::Rereads;
    const VERSION: u8 = 1;

    fn check(&self) -> std::result::Result<(), &'static str> {
        if self.0.len() > REREADS_MAX {
            return Err("more rereads than a job may have");
        }
        if self.0.iter().any(|reread| reread.first > reread.last || u64::from(reread.last.0) >= MAP_TASKS_MAX) {
            return Err("a reread of no task");
        }
        let mut sorted: Vec<_> = self.0.iter().map(|reread| (reread.first, reread.last)).collect();
        sorted.sort_unstable();
        match sorted.windows(2).all(|pair| pair[0].1 < pair[1].0) {
            true => Ok(()),
            false => Err("a task that is read again twice"),
        }
    }
}

impl Rereads {
    /// Returns how many of so many map tasks are those of the plan.
    pub fn planned(&self, map_tasks: u32) -> u32 {
        map_tasks.saturating_sub(u32::try_from(self.0.len()).unwrap_or(u32::MAX))
    }

    /// Returns what a task reads again, if it is a reread.
    pub fn of(&self, task: TaskIdx, map_tasks: u32) -> Option<&Reread> {
        let n = task.0.checked_sub(self.planned(map_tasks))?;
        self.0.get(n as usize)
    }

    /// Returns whether the splits of a task are read again by others, so that what it has committed does not count.
    pub fn replaces(&self, task: TaskIdx) -> bool {
        self.0.iter().any(|reread| (reread.first..=reread.last).contains(&task))
    }

    /// Empties the lists, one for each map task, of those tasks whose splits others read again.
    pub fn forget_in<T>(&self, tasks: &mut [Vec<T>]) {
        for reread in &self.0 {
            let replaced = tasks.get_mut(reread.first.0 as usize..=reread.last.0 as usize);
            replaced.into_iter().flatten().for_each(Vec::clear);
        }
    }

    /// Returns the map tasks whose commits count, in the order of the input.
    pub fn in_order(&self, map_tasks: u32) -> Vec<TaskIdx> {
        let planned = self.planned(map_tasks);
        let mut sorted: Vec<_> = self.0.iter().zip(planned..).collect();
        sorted.sort_unstable_by_key(|(reread, _)| reread.first);
        let (mut order, mut next) = (Vec::with_capacity(map_tasks as usize), 0);
        for (reread, task) in sorted {
            order.extend((next..reread.first.0.min(planned)).map(TaskIdx));
            order.push(TaskIdx(task));
            next = reread.last.0.saturating_add(1);
        }
        order.extend((next..planned).map(TaskIdx));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame;

    fn reread(first: u32, last: u32) -> Reread {
        Reread { first: TaskIdx(first), last: TaskIdx(last), start: 300, to: 400 }
    }

    #[test]
    fn golden_and_back() {
        let rereads = Rereads(vec![reread(2, 3), reread(0, 0)]);
        let bytes = frame::write(&rereads).unwrap();
        crate::wire::golden(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/rereads-v1.bin"), &bytes);
        assert_eq!(frame::read::<Rereads>(&bytes, "it").unwrap(), rereads);
    }

    #[test]
    fn what_counts_comes_in_the_order_of_the_input() {
        let order = |rereads: &[Reread], map_tasks| {
            Rereads(rereads.to_vec()).in_order(map_tasks).into_iter().map(|task| task.0).collect::<Vec<_>>()
        };
        assert_eq!(order(&[], 3), [0, 1, 2]);
        assert_eq!(order(&[reread(2, 3)], 6), [0, 1, 5, 4]);
        assert_eq!(order(&[reread(2, 3), reread(0, 0)], 7), [6, 1, 5, 4]);
        assert_eq!(order(&[reread(0, 4)], 6), [5]);
        assert!(order(&[], 0).is_empty());
        let rereads = Rereads(vec![reread(2, 3), reread(0, 0)]);
        assert_eq!((0..7).filter(|task| rereads.replaces(TaskIdx(*task))).collect::<Vec<_>>(), [0, 2, 3]);
        assert_eq!(
            [4, 5, 6, 7].map(|task| rereads.of(TaskIdx(task), 7).map(|r| r.first.0)),
            [None, Some(2), Some(0), None]
        );
    }

    #[test]
    fn no_task_is_read_again_twice_and_none_that_cannot_be() {
        let says = |rereads: Vec<Reread>| Rereads(rereads).check();
        assert_eq!(says(vec![reread(2, 3), reread(0, 1)]), Ok(()));
        assert!(says(vec![reread(2, 3), reread(3, 4)]).unwrap_err().contains("twice"));
        assert!(says(vec![reread(3, 2)]).unwrap_err().contains("no task"));
        assert!(says(vec![reread(0, MAP_TASKS_MAX as u32)]).unwrap_err().contains("no task"));
        assert!(says((0..=REREADS_MAX as u32).map(|n| reread(n, n)).collect()).unwrap_err().contains("more"));
    }
}
