//! Whether a job's runs are indexed by partition, which the model and whoever takes a job to reducing decide by the same rule.
//!
//! | | by the ledger | by an index |
//! |---|---|---|
//! | who takes the job to reducing | | reads all records and indexes once, and writes one object |
//! | each reducer | reads all records and indexes | one GET for each stripe of the object, mostly one |
//!
//! Without an index a job's read units grow with map tasks times partitions, and for each index again with the partitions: 100,000
//! map tasks and 1,000 partitions take 131 million of them, $16. The rule compares what is charged for requests alone. What an
//! index makes slower, at the barrier, and what it makes faster, in each reducer, are about the same in a small job; and
//! [`SAVED_USD_MIN`] keeps small jobs from an additional step that would save them nothing to speak of.

use super::{groups, index_bytes, map_group_bytes, puts, units};
use crate::limits::TASKS_PER_GROUP;
use crate::prices;
use crate::wire::index::{ENTRY_BYTES, STRIPE_BYTES};
use crate::wire::spec::Indexed;

/// The least that an index must save, in US dollars (a tenth of a cent).
const SAVED_USD_MIN: f64 = 0.001;

/// The mean length of runs at which numbers of an index take the most bytes that they take in practice (4 GB).
const LONG_RUNS_BYTES: f64 = 4e9;

/// What is known of a job when its map tasks are committed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Barrier {
    /// Map tasks.
    pub map_tasks: u64,
    /// Committed attempts whose runs lie in DynamoDB.
    pub inline: u64,
    /// Committed attempts whose runs lie in S3.
    pub in_s3: u64,
    /// How many bytes the runs of such an attempt have together, in the mean.
    pub runs_bytes: f64,
    /// Reduce tasks.
    pub partitions: u32,
}

impl Barrier {
    /// Returns the job of so many tasks that gains most by an index, so that others need not be looked at. More pieces than tasks
    /// can make a job gain a little more still, which is let go.
    pub fn at_most(map_tasks: u32, partitions: u32) -> Self {
        let map_tasks = map_tasks.into();
        Barrier { map_tasks, inline: 0, in_s3: map_tasks, runs_bytes: LONG_RUNS_BYTES, partitions }
    }

    /// Returns whether the job's runs are to be indexed.
    pub fn is_indexed(&self, wanted: Indexed) -> bool {
        match wanted {
            Indexed::Always => true,
            Indexed::Never => false,
            Indexed::WhereCheaper => self.saved_usd() >= SAVED_USD_MIN,
        }
    }

    /// What an index saves in US dollars, less what it costs.
    fn saved_usd(&self) -> f64 {
        let readers = f64::from(self.partitions);
        let by_ledger = readers * self.ledger_units() * prices::DYNAMODB_READ_UNIT;
        let written = self.ledger_units() * prices::DYNAMODB_READ_UNIT
            + prices::DYNAMODB_WRITE_UNIT
            + puts(self.index_bytes()) * prices::S3_PUT;
        by_ledger - written - readers * self.stripes() * prices::S3_GET
    }

    /// The groups of the ledger that hold the map tasks.
    fn groups(&self) -> f64 {
        groups(self.map_tasks as f64)
    }

    /// The read units of all indexes of map attempts.
    pub(super) fn attempt_units(&self) -> f64 {
        if self.in_s3 == 0 {
            return 0.0;
        }
        let of_group = (self.in_s3 as f64 / self.groups()).max(1.0);
        // A group with few such attempts may have none; it is asked all the same only if it has one.
        let asked = self.groups().min(self.in_s3 as f64);
        asked * units(of_group * index_bytes(self.partitions, self.runs_bytes), 4_096.0)
    }

    /// The read units that it takes to read all records and all indexes of map attempts.
    fn ledger_units(&self) -> f64 {
        debug_assert!(self.groups() * f64::from(TASKS_PER_GROUP) >= self.map_tasks as f64);
        self.record_units() + self.attempt_units()
    }

    /// The read units of all records.
    pub(super) fn record_units(&self) -> f64 {
        self.groups() * units(map_group_bytes(), 4_096.0)
    }

    /// About how many bytes the index has.
    pub(super) fn index_bytes(&self) -> f64 {
        let entry = |attempts: u64, bytes: u64| attempts as f64 * bytes as f64;
        let row = entry(self.in_s3, ENTRY_BYTES) + entry(self.inline, ENTRY_BYTES / 2);
        f64::from(self.partitions) * row
    }

    /// In how many stripes it lies: so many GETs each reducer sends.
    pub(super) fn stripes(&self) -> f64 {
        units(self.index_bytes(), STRIPE_BYTES as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn barrier(map_tasks: u64, partitions: u32) -> Barrier {
        Barrier { map_tasks, inline: 0, in_s3: map_tasks, runs_bytes: 1e6, partitions }
    }

    #[test]
    fn an_index_pays_where_many_read_what_many_wrote() {
        let indexed = |of: Barrier| of.is_indexed(Indexed::WhereCheaper);
        for (map_tasks, partitions) in [(0, 1), (1, 1), (100, 10), (1_000, 1), (100_000, 1), (1_000, 32)] {
            assert!(!indexed(barrier(map_tasks, partitions)), "{map_tasks} × {partitions}");
        }
        for (map_tasks, partitions) in
            [(40, 1_000), (1_000, 128), (4_000, 945), (100_000, 8), (100_000, 1_000), (100_000, 10_000)]
        {
            assert!(indexed(barrier(map_tasks, partitions)), "{map_tasks} × {partitions}");
        }
        // Runs in DynamoDB are found there, but their attempts' records are read by everyone as well.
        let inline = Barrier { inline: 10_000, in_s3: 0, ..barrier(10_000, 100) };
        assert!(indexed(inline) && inline.saved_usd() < barrier(10_000, 100).saved_usd());
        assert!(barrier(1, 1).is_indexed(Indexed::Always) && !barrier(100_000, 1_000).is_indexed(Indexed::Never));
    }

    #[test]
    fn what_is_refused_by_its_size_is_refused_when_it_is_known() {
        for map_tasks in [1u32, 33, 100, 1_000, 5_000] {
            for partitions in [1u32, 7, 50, 300] {
                let known = Barrier { inline: 5, runs_bytes: 1e8, ..barrier(map_tasks.into(), partitions) };
                let at_most = Barrier::at_most(map_tasks, partitions);
                assert!(at_most.saved_usd() >= known.saved_usd(), "{map_tasks} × {partitions}");
            }
        }
    }

    #[test]
    fn the_largest_shuffle_by_hand() {
        let large = barrier(100_000, 1_000);
        // 3,125 groups: a unit for the records of each, and 41 for its 32 indexes, which have 125 and 5,000 bytes each.
        assert_eq!((large.record_units(), large.attempt_units()), (3_125.0, 3_125.0 * 41.0));
        // 1.1 GB in stripes of 67 MB; 1,000 reducers read each.
        assert_eq!((large.index_bytes(), large.stripes()), (1.1e9, 17.0));
        let (written, read) = (131_250.0 * 0.125e-6 + 0.625e-6 + 68.0 * 5e-6, 17_000.0 * 0.4e-6);
        assert!(
            (large.saved_usd() - (131_250_000.0 * 0.125e-6 - written - read)).abs() < 1e-9,
            "{}",
            large.saved_usd()
        );
    }
}
