//! A small direct-mapped cache in front of the tables, for the keys that come again and again: in text a few thousand words
//! are most of what is read. A hit costs one comparison and no table lookup; a miss sends what lay in the slot on its way.

use super::table::{HEAD_BYTES, Head};

/// Sized to stay within a core's second-level cache beside everything else.
const SLOTS: usize = 8192;

/// A pair, with the hash of its key.
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
    /// It was combined with its like, or lies in a slot that was free.
    Taken,
    /// It lies in the slot now; the pair that lay there must go on.
    Evicted(Slot<V>),
}

impl<V> Front<V> {
    pub(super) fn new() -> Self {
        Front { slots: (0..SLOTS).map(|_| None).collect() }
    }

    /// Whether keys of this length can be offered: those that a head holds in full.
    #[inline(always)]
    pub(super) fn holds(len: usize) -> bool {
        len <= HEAD_BYTES
    }

    #[inline(always)]
    pub(super) fn offer(&mut self, hash: u64, head: Head, value: V, fold: fn(&mut V, V)) -> Offered<V> {
        let slot = &mut self.slots[hash as usize % SLOTS];
        match slot {
            Some(there) if there.head == head => {
                fold(&mut there.value, value);
                Offered::Taken
            }
            _ => match slot.replace(Slot { head, hash, value }) {
                Some(old) => Offered::Evicted(old),
                None => Offered::Taken,
            },
        }
    }

    /// Takes everything out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Slot<V>> {
        self.slots.iter_mut().filter_map(Option::take)
    }
}

/// The half of a hash that a table goes by, which is not the one that [`partition`] goes by.
#[inline(always)]
pub(super) fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}
