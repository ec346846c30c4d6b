//! How the runs of a job are merged between mapping and reducing, where so many tasks map and reduce that each reducer's GET for each
//! mapper would cost more than merging: by *groups* of map tasks and *bands* of partitions.
//!
//! ```text
//!                        band 0          band 1
//!                     partitions 0–4  partitions 5–9
//! group 0, maps 0–31  merge task 0    merge task 2
//! group 1, maps 32–63 merge task 1    merge task 3
//! ```
//!
//! A merge task reads what its group has mapped for its band, one GET for each map attempt, and writes one object with a run for each
//! partition of its band. A reducer reads its partition's runs of the merge tasks of its band. So M map tasks and R partitions make
//! M × bands + R × groups GETs in place of M × R: of 100,000 and 1,000, 3.5 million in place of 100 million.
//! Starling and Lambada shuffle so, too: Perron and others, <https://arxiv.org/abs/1911.11727>, section 4.2; Müller and others,
//! <https://arxiv.org/abs/1912.00937>, section 4.4.
//!
//! The merge tasks of a band are numbered one behind the other, as a reducer reads their records together.

use crate::ids::{Partition, TaskIdx};
use crate::limits::{MAP_TASKS_MAX, TASKS_PER_GROUP};
use std::ops::Range;

/// The groups and bands of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    map_tasks: u32,
    partitions: u32,
    sizes: GridSizes,
}

/// How large groups and bands are; the last of each may be smaller. The ledger has these numbers, so that a job goes on as it began
/// whatever a later version would choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GridSizes {
    /// Map tasks of a group.
    pub group_tasks: u32,
    /// Partitions of a band.
    pub band_partitions: u32,
}

/// Where a merge task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Whose runs it merges.
    pub group: u32,
    /// For which partitions.
    pub band: u32,
}

impl GridSizes {
    /// Returns the sizes for a job of so many map tasks and partitions: about √M groups and √R bands. Groups of many tasks are those
    /// of the ledger, or several of them, so that nobody reads another group's records.
    pub fn of(map_tasks: u32, partitions: u32) -> Self {
        let root = |n: u32| f64::from(n.max(1)).sqrt().ceil() as u32;
        let tasks = root(map_tasks);
        let group_tasks = if tasks < TASKS_PER_GROUP { tasks } else { tasks.next_multiple_of(TASKS_PER_GROUP) };
        GridSizes { group_tasks, band_partitions: partitions.max(1).div_ceil(root(partitions)) }
    }
}

impl Grid {
    /// Returns the grid of a job; `None` of a job without tasks, and of sizes that no job has.
    pub fn new(map_tasks: u32, partitions: u32, sizes: GridSizes) -> Option<Self> {
        let grid = Grid { map_tasks, partitions, sizes };
        let is_one = map_tasks > 0 && partitions > 0 && sizes.group_tasks > 0 && sizes.band_partitions > 0;
        // Whoever reads its tasks asks for as many items.
        (is_one && u64::from(grid.groups()) * u64::from(grid.bands()) <= MAP_TASKS_MAX).then_some(grid)
    }

    /// Returns the grid that a job of so many map tasks and partitions would have.
    pub fn of(map_tasks: u32, partitions: u32) -> Option<Self> {
        Self::new(map_tasks, partitions, GridSizes::of(map_tasks, partitions))
    }

    /// Returns how large its groups and bands are.
    pub fn sizes(&self) -> GridSizes {
        self.sizes
    }

    /// Returns how many groups there are.
    pub fn groups(&self) -> u32 {
        self.map_tasks.div_ceil(self.sizes.group_tasks)
    }

    /// Returns how many bands there are.
    pub fn bands(&self) -> u32 {
        self.partitions.div_ceil(self.sizes.band_partitions)
    }

    /// Returns how many merge tasks there are.
    pub fn tasks(&self) -> u32 {
        self.groups() * self.bands()
    }

    /// Returns where a merge task stands; `None` if there is no such task.
    pub fn cell(&self, task: TaskIdx) -> Option<Cell> {
        (task.0 < self.tasks()).then(|| Cell { group: task.0 % self.groups(), band: task.0 / self.groups() })
    }

    /// Returns the map tasks of a group.
    pub fn maps(&self, group: u32) -> Range<u32> {
        let from = group.saturating_mul(self.sizes.group_tasks).min(self.map_tasks);
        from..from.saturating_add(self.sizes.group_tasks).min(self.map_tasks)
    }

    /// Returns the partitions of a band.
    pub fn partitions(&self, band: u32) -> Range<u32> {
        let from = band.saturating_mul(self.sizes.band_partitions).min(self.partitions);
        from..from.saturating_add(self.sizes.band_partitions).min(self.partitions)
    }

    /// Returns the band of a partition.
    pub fn band_of(&self, partition: Partition) -> u32 {
        partition.0 / self.sizes.band_partitions
    }

    /// Returns the merge tasks of a band.
    pub fn merges(&self, band: u32) -> Range<u32> {
        let from = band.min(self.bands()) * self.groups();
        from..(from + self.groups()).min(self.tasks())
    }
}

/// Returns the ledger's groups in which some tasks stand.
pub fn ledger_groups(tasks: &Range<u32>) -> Range<u32> {
    tasks.start / TASKS_PER_GROUP..tasks.end.div_ceil(TASKS_PER_GROUP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hundred_thousand_mappers_and_a_thousand_reducers() {
        let grid = Grid::of(100_000, 1_000).unwrap();
        assert_eq!(grid.sizes(), GridSizes { group_tasks: 320, band_partitions: 32 });
        assert_eq!((grid.groups(), grid.bands(), grid.tasks()), (313, 32, 10_016));
        assert_eq!(grid.cell(TaskIdx(314)), Some(Cell { group: 1, band: 1 }));
        assert_eq!((grid.maps(312), grid.partitions(31)), (99_840..100_000, 992..1_000));
        assert_eq!((grid.band_of(Partition(999)), grid.merges(31)), (31, 9_703..10_016));
        assert_eq!(ledger_groups(&grid.maps(1)), 10..20);
        let largest = Grid::of(100_000, 10_001).unwrap();
        assert_eq!(largest.tasks(), 313 * 101);
    }

    #[test]
    fn what_no_job_has_is_no_grid() {
        let of = |maps, partitions, group_tasks, band_partitions| {
            Grid::new(maps, partitions, GridSizes { group_tasks, band_partitions })
        };
        assert_eq!([of(0, 1, 1, 1), of(1, 0, 1, 1), of(1, 1, 0, 1), of(1, 1, 1, 0)], [None; 4]);
        assert_eq!(of(100_000, 10_000, 1, 1), None, "a billion tasks");
        assert!(of(100_000, 1, 1, u32::MAX).is_some());
        assert_eq!(of(u32::MAX, 1, u32::MAX, 1).unwrap().maps(0), 0..u32::MAX);
    }

    proptest! {
        #[test]
        fn each_pair_of_a_map_task_and_a_partition_is_one_merge_tasks(
            maps in 1u32..200, partitions in 1u32..60, group_tasks in 1u32..70, band_partitions in 1u32..70
        ) {
            for sizes in [GridSizes { group_tasks, band_partitions }, GridSizes::of(maps, partitions)] {
                let grid = Grid::new(maps, partitions, sizes).unwrap();
                let mut seen = vec![0; (maps * partitions) as usize];
                for task in 0..grid.tasks() {
                    let Cell { group, band } = grid.cell(TaskIdx(task)).unwrap();
                    prop_assert!(grid.merges(band).contains(&task));
                    for (map, partition) in grid.maps(group).flat_map(|map| grid.partitions(band).map(move |p| (map, p))) {
                        seen[(map * partitions + partition) as usize] += 1;
                        prop_assert_eq!(grid.band_of(Partition(partition)), band);
                    }
                }
                prop_assert!(seen.iter().all(|times| *times == 1));
                prop_assert_eq!(grid.cell(TaskIdx(grid.tasks())), None);
            }
        }
    }
}
