//! A shard: one thread's share of a map task. It takes pairs, puts each into its partition's table, and combines the pairs
//! of equal keys.
//!
//! A shard's memory is bounded: when its tables exceed their budget, they are sorted, written to a spill file in the
//! function's `/tmp`, and emptied.

use super::front::{Front, Offered, Slot, tag};
use super::spill::{Spill, Spilled};
use super::table::{Head, Table};
use crate::error::{Code, Error, Result};
use crate::key::{GroupedBy, PlacedBy, Placing};
use crate::value::Value;
use crate::wire::run::Compression;
use std::path::PathBuf;
use std::sync::Arc;

/// How shards work.
#[derive(Clone)]
pub(crate) struct ShardOptions {
    /// How many partitions the pairs go to.
    pub(crate) partitions: u32,
    /// How much one shard may hold before it spills, in bytes.
    pub(crate) memory_bytes: usize,
    /// Where spill files go.
    pub(crate) tmp: PathBuf,
    /// Whether runs are compressed.
    pub(crate) compression: Compression,
    /// What of a key decides its partition, where that is not all of it.
    pub(crate) placed_by: Option<PlacedBy>,
    /// How much of a key says its group, where groups are not single keys: no bound lies within one.
    pub(crate) grouped_by: Option<GroupedBy>,
}

/// Returns the partition of a key's hash.
#[inline(always)]
fn partition(hash: u64, partitions: u32) -> usize {
    (((hash & 0xffff_ffff) * u64::from(partitions)) >> 32) as usize
}

/// Returns the hash of a key. It decides the key's partition, so it must be the same in all versions and on all machines.
#[inline(always)]
pub(crate) fn hash(key: &[u8]) -> u64 {
    rapidhash::v3::rapidhash_v3_nano_inline::<true, false>(key, &rapidhash::v3::DEFAULT_RAPID_SECRETS)
}

/// One thread's tables.
pub(crate) struct Shard<V> {
    tables: Vec<Table<V>>,
    front: Front<V>,
    fold: Option<fn(&mut V, V)>,
    options: Arc<ShardOptions>,
    bounds: Arc<[Vec<u8>]>,
    budget_bytes: usize,
    until_check: usize,
    spills: Vec<Spilled>,
    emitted: u64,
}

/// How many pairs may come between two checks of the memory held. A key counts as one more pair for each `CHECK_KEY_BYTES`, and
/// the memory that a value owns for each `CHECK_HEAP_BYTES`. So at most 9 MB come in between, not counting the last pair.
const CHECK_EVERY: usize = 8192;
const CHECK_KEY_BYTES: usize = 64;
const CHECK_HEAP_BYTES: usize = 1024;

/// The most bytes that one shard holds before it spills (3 GiB).
const BUDGET_BYTES_MAX: usize = 3 << 30;

/// Checks that offsets of 32 bits reach all of an arena. It may grow beyond the budget by what comes between two checks, which
/// ends with a key of any length, and by the batch that waits when the pairs end. A table's index numbers its entries in 32
/// bits, too; as an entry has 24 bytes or more, far fewer fit into the budget.
const _: () = assert!(
    BUDGET_BYTES_MAX
        + CHECK_EVERY * CHECK_KEY_BYTES
        + 2 * super::table::WAITING_ARENA_BYTES
        + crate::limits::KEY_BYTES_MAX
        <= super::table::ARENA_BYTES_MAX
);

impl<V: Value> Shard<V> {
    /// Makes an empty shard. `bounds` are the encoded keys, in ascending order, at which partitions begin; without any, keys
    /// are spread by their hash.
    pub(crate) fn new(options: Arc<ShardOptions>, fold: Option<fn(&mut V, V)>, bounds: Arc<[Vec<u8>]>) -> Self {
        let budget_bytes = options.memory_bytes.min(BUDGET_BYTES_MAX);
        Shard {
            tables: (0..options.partitions).map(|_| Table::new()).collect(),
            front: Front::new(),
            fold,
            options,
            bounds,
            budget_bytes,
            until_check: CHECK_EVERY,
            spills: Vec::new(),
            emitted: 0,
        }
    }

    /// Takes one pair.
    #[inline]
    pub(crate) fn add(&mut self, key: &[u8], value: V) -> Result<()> {
        self.emitted += 1;
        let head = Head::of(key);
        let hash = hash(key);
        match self.fold {
            // What leaves the front is placed by its hash alone.
            Some(fold)
                if Front::<V>::holds(key.len()) && self.bounds.is_empty() && self.options.placed_by.is_none() =>
            {
                match self.front.offer(hash, head, value, fold) {
                    Offered::Taken => Ok(()),
                    Offered::Evicted(Slot { hash, head, value }) => {
                        let at = partition(hash, self.options.partitions);
                        if self.tables[at].wait(tag(hash), head, &[], value) {
                            self.settle(at, fold)?;
                        }
                        Ok(())
                    }
                }
            }
            Some(fold) => {
                let at = self.partition(key, hash);
                self.check_length(key)?;
                if self.tables[at].wait(tag(hash), head, key.get(super::table::HEAD_BYTES..).unwrap_or(&[]), value) {
                    self.settle(at, fold)?;
                }
                Ok(())
            }
            None => {
                let at = self.partition(key, hash);
                self.check_length(key)?;
                let tail = key.get(super::table::HEAD_BYTES..).unwrap_or(&[]);
                let heap_bytes = self.tables[at].push(head, tail, value);
                let counts = 1 + key.len() / CHECK_KEY_BYTES + heap_bytes / CHECK_HEAP_BYTES;
                self.until_check = self.until_check.saturating_sub(counts);
                if self.until_check == 0 { self.check_memory() } else { Ok(()) }
            }
        }
    }

    #[inline]
    fn partition(&self, key: &[u8], hash: u64) -> usize {
        if self.bounds.is_empty() {
            let partitions = self.options.partitions;
            let Some(placed_by) = &self.options.placed_by else { return partition(hash, partitions) };
            let Placing { bytes, further } = placed_by(key);
            let at = partition(self::hash(key.get(..bytes).unwrap_or(key)), partitions);
            return (at + further as usize) % partitions.max(1) as usize;
        }
        let group = self.options.grouped_by.as_ref().and_then(|bytes| key.get(..bytes(key))).unwrap_or(key);
        let range = self.bounds.partition_point(|bound| bound.as_slice() <= group);
        range.min(self.options.partitions.saturating_sub(1) as usize)
    }

    /// Returns how many partitions there are.
    pub(crate) fn partitions(&self) -> u32 {
        self.options.partitions
    }

    fn check_length(&self, key: &[u8]) -> Result<()> {
        if key.len() > crate::limits::KEY_BYTES_MAX {
            return Err(Error::new(
                Code::KeyTooLong,
                format!("a key has {} bytes; the most is {}", key.len(), crate::limits::KEY_BYTES_MAX),
            )
            .with_hint("emit a hash or a prefix of the key"));
        }
        Ok(())
    }

    fn settle(&mut self, at: usize, fold: fn(&mut V, V)) -> Result<()> {
        self.tables[at].settle(fold);
        self.check_memory()
    }

    /// Spills when the tables hold more than they may.
    fn check_memory(&mut self) -> Result<()> {
        self.until_check = CHECK_EVERY;
        let held: usize = self.tables.iter().map(Table::bytes).sum();
        if held > self.budget_bytes { self.spill() } else { Ok(()) }
    }

    fn drain_front(&mut self) {
        let Some(fold) = self.fold else { return };
        for Slot { hash, head, value } in self.front.drain() {
            let at = partition(hash, self.options.partitions);
            if self.tables[at].wait(tag(hash), head, &[], value) {
                self.tables[at].settle(fold);
            }
        }
        for table in &mut self.tables {
            table.settle(fold);
        }
    }

    fn spill(&mut self) -> Result<()> {
        let mut spill = Spill::create(&self.options.tmp, self.options.compression)?;
        for table in &mut self.tables {
            let mut table = std::mem::replace(table, Table::new());
            if let Some(fold) = self.fold {
                table.settle(fold);
            }
            spill.partition(table, self.fold)?;
        }
        self.spills.push(spill.finish()?);
        Ok(())
    }

    /// Ends the shard, and returns what is still in memory, by partition, and what was spilled.
    pub(crate) fn finish(mut self) -> Finished<V> {
        self.drain_front();
        Finished { tables: self.tables, spills: self.spills, emitted: self.emitted }
    }
}

/// What a shard leaves.
pub(crate) struct Finished<V> {
    pub(crate) tables: Vec<Table<V>>,
    pub(crate) spills: Vec<Spilled>,
    pub(crate) emitted: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(partitions: u32, memory_bytes: usize) -> Arc<ShardOptions> {
        let (tmp, compression) = (std::env::temp_dir(), Compression::Lz4);
        Arc::new(ShardOptions { partitions, memory_bytes, tmp, compression, placed_by: None, grouped_by: None })
    }

    #[test]
    fn memory_is_spilled_as_it_fills_with_a_few_large_values() {
        let mut shard = Shard::new(options(2, 1 << 20), None, Arc::new([]));
        for n in 0u32..100 {
            shard.add(&n.to_be_bytes(), vec![0u8; 1 << 20]).unwrap();
        }
        let held: usize = shard.tables.iter().map(Table::bytes).sum();
        // A value weighs twice its encoding.
        assert!(held < 32 << 20, "{held} bytes are held");
        assert!(shard.spills.len() > 5);
    }

    #[test]
    fn a_key_longer_than_any_may_be_is_refused() {
        let shard = Shard::<u32>::new(options(1, 1), None, Arc::new([]));
        // Nobody touches the zeros, so that they take addresses and no memory.
        let zeros = vec![0; crate::limits::KEY_BYTES_MAX + 1];
        shard.check_length(&zeros[1..]).unwrap();
        assert_eq!(shard.check_length(&zeros).unwrap_err().code(), "key-too-long");
    }

    #[test]
    fn hashes_are_spread_over_the_partitions_in_equal_shares_by_their_lower_half() {
        let steps = 1_000u64;
        for partitions in [1, 2, 3, 7] {
            let mut counts = vec![0u64; partitions as usize];
            for step in 0..steps {
                let low = (step << 32) / steps;
                let at = partition(low, partitions);
                assert_eq!(partition(low | 0xdead_beef << 32, partitions), at, "the upper half is the table's");
                counts[at] += 1;
            }
            let share = steps / u64::from(partitions);
            assert!(counts.iter().all(|count| count.abs_diff(share) <= 1), "{counts:?}");
        }
        assert_eq!(partition(u64::MAX, 7), 6);
    }

    #[test]
    fn keys_that_begin_alike_go_to_one_partition_if_that_is_what_places_them() {
        let fold: fn(&mut u64, u64) = |all, more| *all += more;
        for fold in [None, Some(fold)] {
            let placed_by: PlacedBy = Arc::new(|key: &[u8]| match key {
                [b'l', ..] => Placing { bytes: 1_000, further: 8 },
                _ => Placing::by(2),
            });
            let options = Arc::new(ShardOptions { placed_by: Some(placed_by), ..(*options(7, 1 << 20)).clone() });
            let mut shard = Shard::new(options, fold, Arc::new([]));
            for n in 0..1_000 {
                shard.add(format!("{:02}{n:05}", n % 10).as_bytes(), 1u64).unwrap();
            }
            // More than there is of a key is all of it.
            shard.add(b"long", 1).unwrap();
            let finished = shard.finish();
            let counts: Vec<_> = finished.tables.iter().map(|table| table.entries.len()).collect();
            let at = |key: &[u8]| partition(hash(key), 7);
            let mut want = vec![0; 7];
            (0..10).for_each(|n| want[at(format!("{n:02}").as_bytes())] += 100);
            want[(at(b"long") + 8) % 7] += 1;
            assert_eq!(counts, want);
        }
    }

    /// The hash is part of what mappers of one job agree on, whatever their versions: it places a key in a partition.
    #[test]
    fn a_keys_hash_never_changes() {
        let partitions =
            [&b""[..], b"a", b"kinglet", b"a key of more than sixteen bytes"].map(|key| partition(hash(key), 1_000));
        assert_eq!(partitions, [885, 201, 813, 998]);
    }

    #[test]
    fn a_shard_spills_what_its_memory_does_not_hold_and_keeps_every_pair() {
        let fold: fn(&mut u64, u64) = |all, more| *all += more;
        for fold in [None, Some(fold)] {
            let spills = |memory_bytes: usize| {
                let mut shard = Shard::new(options(3, memory_bytes), fold, Arc::new([]));
                for n in 0u64..100_000 {
                    shard.add(format!("{n:040}").as_bytes(), 1).unwrap();
                    let held: usize = shard.tables.iter().map(Table::bytes).sum();
                    // What comes between two looks is 8,192 pairs, or a batch for each table; vectors grow by doubling.
                    assert!(held < 2 * memory_bytes + (2 << 20), "{held} bytes are held");
                }
                let finished = shard.finish();
                assert_eq!(finished.emitted, 100_000);
                let in_memory: usize = finished.tables.iter().map(|table| table.entries.len()).sum();
                let mut pairs = in_memory;
                for spilled in &finished.spills {
                    for partition in 0..3 {
                        let mut reader = spilled.open(partition).unwrap();
                        while reader.advance().unwrap() {
                            pairs += 1;
                        }
                    }
                }
                assert_eq!(pairs, 100_000);
                finished.spills.len()
            };
            let (whole, fourth) = (spills(4 << 20), spills(1 << 20));
            assert!(whole > 0 && fourth > 2 * whole, "{whole} spills of 4 MiB, {fourth} of a fourth of it");
        }
    }

    #[test]
    fn long_keys_and_what_values_own_bring_the_next_look_at_the_memory_closer() {
        let mut shard = Shard::<Vec<u8>>::new(options(1, 1 << 30), None, Arc::new([]));
        let mut left = CHECK_EVERY;
        // A value weighs twice its encoding, which has 1 or 3 bytes for its length.
        for (key_bytes, value_bytes, counts) in
            [(0, 0, 1), (63, 500, 1), (64, 0, 2), (1_000, 0, 16), (1, 509, 2), (1, 2_045, 5), (128, 2_045, 7)]
        {
            shard.add(&vec![7; key_bytes], vec![7; value_bytes]).unwrap();
            left -= counts;
            assert_eq!(shard.until_check, left, "a key of {key_bytes} bytes and a value of {value_bytes}");
        }
        shard.add(&vec![7; CHECK_EVERY * CHECK_KEY_BYTES], vec![]).unwrap();
        assert_eq!(shard.until_check, CHECK_EVERY, "it has looked");
    }

    #[test]
    fn short_keys_that_come_again_and_again_stay_before_the_tables() {
        let mut shard = Shard::<u64>::new(options(1, 1 << 30), Some(|all, more| *all += more), Arc::new([]));
        for key in [&b"again"[..], b"and again"].repeat(1_000) {
            shard.add(key, 1).unwrap();
        }
        assert!(shard.tables[0].entries.is_empty());
        let finished = shard.finish();
        let mut counts: Vec<_> = finished.tables[0].entries.iter().map(|entry| entry.value).collect();
        counts.sort_unstable();
        assert_eq!((counts, finished.emitted), (vec![1_000, 1_000], 2_000));
    }
}
