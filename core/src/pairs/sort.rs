//! Sorts the entries of one partition by key.

use super::table::{Entry, HEAD_BYTES, Table, Weigh};
use std::cmp::Ordering;

/// Compares two keys, each with its arena, by their heads, then by their tails. Heads are padded with zeros, so where heads and
/// tails are equal the shorter key is the prefix of the longer one.
#[inline(always)]
pub(super) fn compare<V>((a, arena_a): (&Entry<V>, &[u8]), (b, arena_b): (&Entry<V>, &[u8])) -> Ordering {
    match (a.head.first, a.head.second).cmp(&(b.head.first, b.head.second)) {
        Ordering::Equal => compare_tails((a, arena_a), (b, arena_b)),
        unequal => unequal,
    }
}

#[inline]
fn compare_tails<V>((a, arena_a): (&Entry<V>, &[u8]), (b, arena_b): (&Entry<V>, &[u8])) -> Ordering {
    let (la, lb) = (a.head.len as usize, b.head.len as usize);
    if la <= HEAD_BYTES && lb <= HEAD_BYTES {
        return la.cmp(&lb);
    }
    a.tail(arena_a).cmp(b.tail(arena_b)).then(la.cmp(&lb))
}

/// The pairs of a table, sorted by key; some may have been taken already.
pub(super) struct Sorted<V> {
    pub(super) entries: std::vec::IntoIter<Entry<V>>,
    pub(super) arena: Vec<u8>,
}

/// Sorts the pairs of a table by key. Pairs of equal keys are in no particular order.
pub(super) fn sorted<V: Weigh>(mut table: Table<V>) -> Sorted<V> {
    table.drop_index();
    let (entries, arena) = (&mut table.entries, &table.arena);
    entries.sort_unstable_by(|a, b| compare((a, arena), (b, arena)));
    Sorted { entries: table.entries.into_iter(), arena: table.arena }
}
