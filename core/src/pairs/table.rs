//! A table: the pairs of one partition on one thread.
//!
//! An entry holds the first 16 bytes of its key as two big-endian numbers, so that most comparisons touch no other memory; the
//! rest of the key, its tail, lies in an arena. With a combiner, an open-addressing index finds the entry of a key. Lookups
//! are made in batches, in three passes (touch the slots, touch the entries, then look up), so that the cache misses of a
//! batch overlap instead of queueing up: a table is far larger than the caches, and its misses are most of its cost.
//!
//! The offset of a tail in its arena has 32 bits, which keeps an entry without a value at 24 bytes. A shard spills before one
//! of its arenas is longer than that. [`together`] does not join tables whose arenas would be longer together, as those of all
//! threads of a mapper of 10 GB can be.

use crate::value::{Value, fold_into};

/// How many pairs wait before they are looked up together.
pub(super) const BATCH: usize = 512;

/// How many bytes of keys' tails fill a batch before it has [`BATCH`] pairs (1 MiB).
pub(super) const WAITING_ARENA_BYTES: usize = 1 << 20;

/// The longest arena, in bytes: an entry has 32 bits for the offset of its tail.
pub(crate) const ARENA_BYTES_MAX: usize = u32::MAX as usize;

/// The head of a key: its first 16 bytes, or all of a shorter key, and its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Head {
    pub(super) first: u64,
    pub(super) second: u64,
    pub(super) len: u32,
}

/// How many bytes of a key the head holds.
pub(super) const HEAD_BYTES: usize = 16;

impl Head {
    #[inline(always)]
    pub(super) fn of(key: &[u8]) -> Self {
        let len = key.len() as u32;
        match key.len() {
            0..=8 => Head { first: word(key), second: 0, len },
            9..=15 => Head { first: word(&key[..8]), second: word(&key[8..]), len },
            _ => Head { first: word(&key[..8]), second: word(&key[8..16]), len },
        }
    }

    /// Appends the bytes that the head holds to `buffer`.
    #[inline]
    pub(super) fn write(&self, buffer: &mut Vec<u8>) {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&self.first.to_be_bytes());
        bytes[8..].copy_from_slice(&self.second.to_be_bytes());
        buffer.extend_from_slice(&bytes[..(self.len as usize).min(HEAD_BYTES)]);
    }

    #[inline]
    pub(super) fn tail_len(&self) -> usize {
        (self.len as usize).saturating_sub(HEAD_BYTES)
    }
}

/// Returns up to eight bytes as a big-endian number, padded with zeros on the right.
#[inline(always)]
fn word(bytes: &[u8]) -> u64 {
    let n = bytes.len();
    if n >= 8 {
        let mut eight = [0; 8];
        eight.copy_from_slice(&bytes[..8]);
        u64::from_be_bytes(eight)
    } else if n >= 4 {
        let (mut low, mut high) = ([0; 4], [0; 4]);
        low.copy_from_slice(&bytes[..4]);
        high.copy_from_slice(&bytes[n - 4..]);
        let (low, high) = (u64::from(u32::from_be_bytes(low)), u64::from(u32::from_be_bytes(high)));
        (low << 32) | (high << (8 * (8 - n)))
    } else if n > 0 {
        let (a, b, c) = (u64::from(bytes[0]), u64::from(bytes[n / 2]), u64::from(bytes[n - 1]));
        (a << 56) | (b << (56 - 8 * (n / 2))) | (c << (56 - 8 * (n - 1)))
    } else {
        0
    }
}

/// One pair, or the combination of all pairs of its key.
pub(super) struct Entry<V> {
    pub(super) head: Head,
    /// The offset in the arena of the bytes after the head.
    pub(super) tail: u32,
    pub(super) value: V,
}

/// A pair that waits for its batch.
struct Waiting<V> {
    entry: Entry<V>,
    tag: u32,
}

impl<V> Entry<V> {
    /// Returns the bytes after the head.
    #[inline]
    pub(super) fn tail<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        match self.head.tail_len() {
            0 => &[],
            n => &arena[self.tail as usize..][..n],
        }
    }

    /// Appends the key to `buffer`.
    #[inline]
    pub(super) fn write_key(&self, arena: &[u8], buffer: &mut Vec<u8>) {
        self.head.write(buffer);
        buffer.extend_from_slice(self.tail(arena));
    }

    /// Returns whether this key and another, each with its arena, are the same.
    #[inline]
    pub(super) fn same_key(&self, arena: &[u8], other: &Entry<V>, others_arena: &[u8]) -> bool {
        self.head == other.head && self.tail(arena) == other.tail(others_arena)
    }
}

/// The memory that a value owns beyond its own size.
pub(crate) trait Weigh {
    const HAS_HEAP: bool;
    fn heap_bytes(&self) -> usize;
}

impl<V: Value> Weigh for V {
    const HAS_HEAP: bool = std::mem::needs_drop::<V>();

    /// Estimates the memory that the value owns as twice its encoding, which grows with the value.
    #[inline(always)]
    fn heap_bytes(&self) -> usize {
        if Self::HAS_HEAP { 2 * crate::codec::encoded_len(self) } else { 0 }
    }
}

pub(crate) struct Table<V> {
    pub(super) entries: Vec<Entry<V>>,
    pub(super) arena: Vec<u8>,
    /// `tag << 32 | position of the entry + 1`; 0 is a free slot. The slot of a tag is its high bits.
    slots: Vec<u64>,
    shift: u32,
    waiting: Vec<Waiting<V>>,
    waiting_arena: Vec<u8>,
    /// What the values of the entries hold beyond their own size, estimated by their encoded size.
    pub(super) heap_bytes: usize,
}

impl<V: Weigh> Table<V> {
    pub(super) fn new() -> Self {
        Table {
            entries: Vec::new(),
            arena: Vec::new(),
            slots: Vec::new(),
            shift: 32,
            waiting: Vec::new(),
            waiting_arena: Vec::new(),
            heap_bytes: 0,
        }
    }

    /// Returns the memory held, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<V>>()
            + self.arena.capacity()
            + self.slots.capacity() * 8
            + self.waiting_arena.capacity()
            + self.heap_bytes
    }

    /// Adds a pair as it is. Returns the memory that its value owns.
    #[inline]
    pub(super) fn push(&mut self, head: Head, tail: &[u8], value: V) -> usize {
        let heap_bytes = value.heap_bytes();
        self.heap_bytes += heap_bytes;
        let at = self.arena.len() as u32;
        self.arena.extend_from_slice(tail);
        self.entries.push(Entry { head, tail: at, value });
        heap_bytes
    }

    /// Adds a pair that will be combined with pairs of its key. Returns whether a batch is full: then call [`Self::settle`].
    #[inline]
    pub(super) fn wait(&mut self, tag: u32, head: Head, tail: &[u8], value: V) -> bool {
        let at = self.waiting_arena.len() as u32;
        if !tail.is_empty() {
            self.waiting_arena.extend_from_slice(tail);
        }
        self.waiting.push(Waiting { entry: Entry { head, tail: at, value }, tag });
        self.waiting.len() >= BATCH || self.waiting_arena.len() >= WAITING_ARENA_BYTES
    }

    /// Looks up the pairs that wait, and combines or inserts each.
    pub(super) fn settle(&mut self, fold: fn(&mut V, V)) {
        if self.waiting.is_empty() {
            return;
        }
        while (self.entries.len() + self.waiting.len()) * 5 > self.slots.len() * 3 {
            self.grow();
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut touched = 0;
        let mut candidates = [0u32; BATCH];
        for (pair, candidate) in waiting.iter().zip(&mut candidates) {
            *candidate = self.slots[(pair.tag >> self.shift) as usize] as u32;
        }
        for candidate in &candidates[..waiting.len().min(BATCH)] {
            touched ^= self.entries.get((*candidate as usize).wrapping_sub(1)).map_or(0, |e| e.head.first);
        }
        std::hint::black_box(touched);
        for pair in waiting.drain(..) {
            self.settle_one(pair, fold);
        }
        self.waiting = waiting;
        self.waiting_arena.clear();
    }

    #[inline]
    fn settle_one(&mut self, pair: Waiting<V>, fold: fn(&mut V, V)) {
        let mask = self.slots.len() - 1;
        let mut at = (pair.tag >> self.shift) as usize;
        let tail_len = pair.entry.head.tail_len();
        let tail = &self.waiting_arena[pair.entry.tail as usize..][..tail_len];
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            if (slot >> 32) as u32 == pair.tag {
                let entry = &mut self.entries[slot as u32 as usize - 1];
                if entry.head == pair.entry.head
                    && (tail_len == 0 || &self.arena[entry.tail as usize..][..tail_len] == tail)
                {
                    if V::HAS_HEAP {
                        let before = entry.value.heap_bytes();
                        fold_into(fold, &mut entry.value, pair.entry.value);
                        self.heap_bytes = (self.heap_bytes + entry.value.heap_bytes()).saturating_sub(before);
                    } else {
                        fold_into(fold, &mut entry.value, pair.entry.value);
                    }
                    return;
                }
            }
            at = (at + 1) & mask;
        }
        let tail_at = self.arena.len() as u32;
        self.arena.extend_from_slice(tail);
        self.heap_bytes += pair.entry.value.heap_bytes();
        self.entries.push(Entry { head: pair.entry.head, tail: tail_at, value: pair.entry.value });
        self.slots[at] = u64::from(pair.tag) << 32 | self.entries.len() as u64;
    }

    /// Doubles the index. Slots are in the order of their tags, except after collisions, so both indexes are walked in order.
    fn grow(&mut self) {
        let len = (self.slots.len() * 2).max(1024);
        let old = std::mem::replace(&mut self.slots, vec![0; len]);
        self.shift = 32 - len.trailing_zeros();
        let mask = len - 1;
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            let mut at = ((slot >> 32) as u32 >> self.shift) as usize;
            while self.slots[at] != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = slot;
        }
    }

    /// Takes in another thread's pairs of the same partition; a key may occur twice afterwards. Both arenas together must not
    /// be longer than [`ARENA_BYTES_MAX`], which [`together`] ensures.
    fn absorb(&mut self, mut other: Table<V>) {
        debug_assert!(self.arena.len() + other.arena.len() <= ARENA_BYTES_MAX, "offsets are 32 bits wide");
        let base = self.arena.len() as u32;
        self.slots = Vec::new();
        other.slots = Vec::new();
        self.arena.append(&mut other.arena);
        self.heap_bytes += other.heap_bytes;
        self.entries.reserve(other.entries.len());
        self.entries.extend(other.entries.into_iter().map(|mut entry| {
            entry.tail += base;
            entry
        }));
    }

    /// Drops the index, which is of no use once the pairs are in another order.
    pub(super) fn drop_index(&mut self) {
        self.slots = Vec::new();
    }
}

/// Joins the tables that the threads have of one partition into one table. If their tails are longer than `arena_bytes_max`
/// together, which is [`ARENA_BYTES_MAX`] except in tests, it joins them in order into as few tables as hold them. These are
/// merged as they are written; wider offsets would avoid that, but make every entry of every job larger.
pub(crate) fn together<V: Weigh>(tables: Vec<Table<V>>, arena_bytes_max: usize) -> Vec<Table<V>> {
    let mut together: Vec<Table<V>> = Vec::new();
    for table in tables {
        let has_room = |all: &&mut Table<V>| all.arena.len() + table.arena.len() <= arena_bytes_max;
        match together.iter_mut().find(has_room) {
            Some(all) => all.absorb(table),
            None => together.push(table),
        }
    }
    together
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_head_gives_its_bytes_back(key in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut got = vec![];
            Head::of(&key).write(&mut got);
            prop_assert_eq!(&got[..], &key[..key.len().min(HEAD_BYTES)]);
        }
    }
}
