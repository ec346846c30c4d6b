//! A small direct-mapped cache in front of the tables, for the keys that come again and again: a few thousand words make up
//! most of a text. A hit costs one comparison and no table lookup; a miss evicts the pair in the slot to its table.

use super::table::{HEAD_BYTES, Head};
use crate::value::fold_into;

/// How many slots there are: few enough to stay in a core's second-level cache along with everything else.
const SLOTS: usize = 8192;

/// A pair with the hash of its key.
pub(super) struct Slot<V> {
    pub(super) head: Head,
    pub(super) hash: u64,
    pub(super) value: V,
}

pub(super) struct Front<V> {
    slots: Vec<Option<Slot<V>>>,
}

/// What became of a pair that was offered.
pub(super) enum Offered<V> {
    /// It was combined with a pair of the same key, or lies in a slot that was free.
    Taken,
    /// It lies in the slot now, and the pair that lay there must go to its table.
    Evicted(Slot<V>),
}

impl<V> Front<V> {
    pub(super) fn new() -> Self {
        Front { slots: (0..SLOTS).map(|_| None).collect() }
    }

    /// Returns whether keys of this length can be offered: only those that a head holds in full.
    #[inline(always)]
    pub(super) fn holds(len: usize) -> bool {
        len <= HEAD_BYTES
    }

    #[inline(always)]
    pub(super) fn offer(&mut self, hash: u64, head: Head, value: V, fold: fn(&mut V, V)) -> Offered<V> {
        let slot = &mut self.slots[hash as usize % SLOTS];
        match slot {
            Some(there) if there.head == head => {
                fold_into(fold, &mut there.value, value);
                Offered::Taken
            }
            _ => match slot.replace(Slot { head, hash, value }) {
                Some(old) => Offered::Evicted(old),
                None => Offered::Taken,
            },
        }
    }

    /// Takes all pairs out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Slot<V>> {
        self.slots.iter_mut().filter_map(Option::take)
    }
}

/// Returns the half of a hash that tables use. The other half decides the partition.
#[inline(always)]
pub(super) fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}
