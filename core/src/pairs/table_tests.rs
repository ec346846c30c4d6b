//! What a table and the cache before it hold and weigh, pair by pair.

use super::front::{Front, Offered, Slot, tag};
use super::merge::Merge;
use super::sort;
use super::spill::{Spill, tmp_error};
use super::table::{ARENA_BYTES_MAX, BATCH, Entry, HEAD_BYTES, Head, Table, WAITING_ARENA_BYTES, together};
use crate::wire::run::{Compression, RunReader, RunWriter};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::ErrorKind;

fn tail(key: &[u8]) -> &[u8] {
    key.get(HEAD_BYTES..).unwrap_or(&[])
}

/// A key of so many bytes that is told apart by its last ones.
fn key(bytes: usize, number: u32) -> Vec<u8> {
    let mut key = vec![b'k'; bytes.saturating_sub(4)];
    key.extend(&number.to_be_bytes()[4 - bytes.min(4)..]);
    key
}

/// The pairs of a table by their keys; a key that stands twice is a mistake.
fn pairs<V>(table: Table<V>) -> BTreeMap<Vec<u8>, V> {
    let mut pairs = BTreeMap::new();
    let arena = table.arena;
    for entry in table.entries {
        let mut key = vec![];
        entry.write_key(&arena, &mut key);
        assert!(pairs.insert(key, entry.value).is_none(), "a key stands twice");
    }
    pairs
}

#[test]
fn keys_are_combined_whatever_their_length_and_however_their_tags_collide() {
    // All tags alike, a few, or all different; enough keys for the index to grow several times.
    for tags in [1u32, 7, u32::MAX] {
        for bytes in [4, 8, 9, 15, 16, 17, 40] {
            let keys = if tags == 1 { 300 } else { 3_000 };
            let mut table = Table::<u32>::new();
            for round in 0..3 {
                for number in 0..keys {
                    let key = key(bytes, number);
                    let tag = (number % tags).wrapping_mul(0x9e37_79b9);
                    if table.wait(tag, Head::of(&key), tail(&key), 1 << (8 * round)) {
                        table.settle(|all, more| *all += more);
                    }
                }
            }
            table.settle(|all, more| *all += more);
            let got = pairs(table);
            assert_eq!(got.len(), keys as usize, "{bytes} bytes, {tags} tags");
            assert!(got.values().all(|value| *value == 0x0001_0101), "{bytes} bytes, {tags} tags");
        }
    }
}

#[test]
fn a_batch_is_full_by_its_pairs_or_by_its_bytes() {
    let mut table = Table::<u32>::new();
    for number in 1..=BATCH as u32 {
        let key = key(40, number);
        assert_eq!(table.wait(number, Head::of(&key), tail(&key), 1), number as usize == BATCH, "pair {number}");
    }
    assert!(table.entries.is_empty(), "a pair waits until it is settled");
    table.settle(|_, _| ());
    assert_eq!(table.entries.len(), BATCH);
    let long = vec![7; WAITING_ARENA_BYTES / 2 + HEAD_BYTES];
    assert!(!table.wait(1, Head::of(&long), tail(&long), 1));
    assert!(table.wait(2, Head::of(&long), tail(&long), 1), "the second fills it");
}

#[test]
fn what_values_own_is_weighed_as_they_come_and_as_they_grow() {
    let bytes = |len: usize| vec![7u8; len];
    // An encoding has one byte for a length below 251, and a value weighs twice its encoding.
    let mut table = Table::<Vec<u8>>::new();
    let short = Head::of(b"short");
    assert_eq!(table.push(short, &[], bytes(100)), 202);
    assert_eq!(table.push(short, &[], bytes(10)), 22);
    assert_eq!(table.heap_bytes, 224);

    let mut table = Table::<Vec<u8>>::new();
    for (len, weighs) in [(100, 202), (10, 222), (0, 222)] {
        table.wait(1, short, &[], bytes(len));
        table.settle(|all, more| all.extend(more));
        assert_eq!(table.heap_bytes, weighs);
    }
    table.wait(2, Head::of(b"other"), &[], bytes(4));
    table.settle(|all, more| all.extend(more));
    assert_eq!(table.heap_bytes, 222 + 10);
    // A combiner may make a value smaller, too.
    table.wait(1, short, &[], vec![]);
    table.settle(|all, _| all.truncate(60));
    assert_eq!(table.heap_bytes, 122 + 10);

    let mut numbers = Table::<u64>::new();
    assert_eq!(numbers.push(short, &[], 7), 0, "what owns nothing weighs nothing beside its entry");
}

#[test]
fn a_table_holds_what_its_entries_keys_index_and_values_take() {
    let mut table = Table::<Vec<u8>>::new();
    assert_eq!(table.bytes(), 0);
    let long = [7; 116];
    table.wait(1, Head::of(&long), tail(&long), vec![7; 100]);
    table.settle(|_, _| ());
    let entry_bytes = size_of::<Entry<Vec<u8>>>();
    // The key's tail has 100 bytes and lies in the arena, after it has lain in that of what waits; the index has 1,024 places.
    let want = table.entries.capacity() * entry_bytes + table.arena.capacity() + 1024 * 8 + 202;
    assert!(table.arena.capacity() >= 100);
    let waiting = table.bytes() - want;
    assert!((100..1_000).contains(&waiting), "{waiting} bytes for what waits");
}

#[test]
fn the_index_has_places_for_three_keys_in_five_and_is_doubled_for_more() {
    let mut table = Table::<u32>::new();
    for number in 0..1_300u32 {
        let key = key(8, number);
        table.wait(number.wrapping_mul(0x9e37_79b9), Head::of(&key), &[], 1);
        table.settle(|_, _| ());
        let places = match number + 1 {
            ..615 => 1_024,
            615..1_229 => 2_048,
            _ => 4_096,
        };
        // Short keys lie in their entries, and numbers own nothing.
        let entries = table.entries.capacity() * size_of::<Entry<u32>>();
        assert_eq!(table.bytes(), entries + places * 8, "{} keys", number + 1);
    }
}

#[test]
fn tables_are_brought_together_as_long_as_their_tails_fit_into_one_arena() {
    let table = |tail_bytes: usize| {
        let key = vec![7; HEAD_BYTES + tail_bytes];
        let mut table = Table::<Vec<u8>>::new();
        table.push(Head::of(&key), tail(&key), vec![1]);
        table
    };
    let lengths = |tails: &[usize], most: usize| {
        let tables = together(tails.iter().map(|bytes| table(*bytes)).collect(), most);
        assert!(tables.iter().all(|table| table.heap_bytes == 4 * table.entries.len()));
        tables.iter().map(|table| (table.entries.len(), table.arena.len())).collect::<Vec<_>>()
    };
    assert_eq!(lengths(&[10, 20, 30], ARENA_BYTES_MAX), [(3, 60)]);
    assert_eq!(lengths(&[10, 20, 30], 60), [(3, 60)]);
    assert_eq!(lengths(&[10, 20, 30], 59), [(2, 30), (1, 30)]);
    assert_eq!(lengths(&[30, 31, 29], 60), [(2, 59), (1, 31)]);
    assert_eq!(lengths(&[10, 20], 0), [(1, 10), (1, 20)]);
}

#[test]
fn heads_sort_as_their_keys_do() {
    let mut keys: Vec<Vec<u8>> = vec![];
    for bytes in 0..20 {
        for last in [0, 1, 0x80, 0xff] {
            for at in 0..bytes {
                let mut key = vec![7; bytes];
                key[at] = last;
                keys.push(key);
            }
        }
        keys.push(vec![0; bytes]);
    }
    keys.sort();
    keys.dedup();
    let mut arena = vec![];
    let mut entry = |key: &Vec<u8>| {
        let at = arena.len() as u32;
        arena.extend_from_slice(tail(key));
        Entry { head: Head::of(key), tail: at, value: () }
    };
    let entries: Vec<_> = keys.iter().map(&mut entry).collect();
    for (a, x) in entries.iter().zip(&keys) {
        let mut written = vec![];
        a.write_key(&arena, &mut written);
        assert_eq!(&written, x);
        for (b, y) in entries.iter().zip(&keys) {
            assert_eq!(sort::compare((a, &arena), (b, &arena)), x.cmp(y), "{x:?} and {y:?}");
            assert_eq!(a.same_key(&arena, b, &arena), x == y, "{x:?} and {y:?}");
        }
    }
    assert_eq!(sort::compare((&entries[0], &arena), (&entries[0], &arena)), Ordering::Equal);
}

#[test]
fn the_cache_combines_what_comes_again_and_hands_on_what_it_makes_room_for() {
    let mut front = Front::<u32>::new();
    let (a, b) = (Head::of(b"a"), Head::of(b"b"));
    let add: fn(&mut u32, u32) = |all, more| *all += more;
    // Both would lie in the same slot, as their hashes differ in the upper half only.
    let (hash_a, hash_b) = (5, 5 | 1 << 40);
    assert!(matches!(front.offer(hash_a, a, 1, add), Offered::Taken));
    assert!(matches!(front.offer(hash_a, a, 2, add), Offered::Taken));
    let Offered::Evicted(slot) = front.offer(hash_b, b, 4, add) else { panic!("there is room for one") };
    let pair = |Slot { hash, head, value }| (hash, head, value);
    assert_eq!(pair(slot), (hash_a, a, 3));
    assert!(matches!(front.offer(6, a, 8, add), Offered::Taken), "another slot");
    let left: Vec<_> = front.drain().map(pair).collect();
    assert_eq!(left, [(hash_b, b, 4), (6, a, 8)]);
    assert_eq!(front.drain().count(), 0);
    assert!(Front::<u32>::holds(HEAD_BYTES) && !Front::<u32>::holds(HEAD_BYTES + 1));
    assert_eq!(tag(0x0123_4567_89ab_cdef), 0x0123_4567);
}

#[test]
fn a_spill_gives_each_partitions_run_back_by_itself() {
    let mut spill = Spill::create(&std::env::temp_dir(), Compression::None).unwrap();
    // The second is larger than what is written at once, and than what is read at once.
    let counts = [3, 40_000, 0, 1];
    for count in counts {
        let mut table = Table::<u32>::new();
        for number in (0..count).rev() {
            let key = key(40, number);
            table.push(Head::of(&key), tail(&key), number);
        }
        spill.partition(table, None).unwrap();
    }
    let spilled = spill.finish().unwrap();
    let mut bytes = 0;
    for (partition, count) in counts.into_iter().enumerate() {
        let mut reader = spilled.open(partition).unwrap();
        let mut writer = RunWriter::new(Compression::None);
        for number in 0..count {
            assert!(reader.advance().unwrap(), "pair {number} of partition {partition}");
            assert_eq!(reader.key(), key(40, number));
            writer.push(&mut key(40, number), &number).unwrap();
        }
        assert!(!reader.advance().unwrap(), "partition {partition} has {count} pairs");
        bytes += writer.finish().0.len() as u64;
    }
    assert_eq!(spilled.bytes(), bytes);
}

#[test]
fn equal_keys_of_one_partition_are_combined_as_they_are_written() {
    let keys = [&b"a"[..], b"b", b"a", b"a key of more than sixteen bytes", b"a key of more than sixteen byteS", b"a"];
    let written = |fold: Option<fn(&mut u32, u32)>| {
        let mut spill = Spill::create(&std::env::temp_dir(), Compression::None).unwrap();
        let mut table = Table::<u32>::new();
        for key in [keys, keys].concat() {
            table.push(Head::of(key), tail(key), 1);
        }
        spill.partition(table, fold).unwrap();
        let mut reader = spill.finish().unwrap().open(0).unwrap();
        let mut pairs = vec![];
        while reader.advance().unwrap() {
            pairs.push((reader.key().to_vec(), crate::codec::decode::<u32>(reader.value()).unwrap()));
        }
        pairs
    };
    assert_eq!(written(None).len(), 12);
    let combined = written(Some(|all, more| *all += more));
    let want = [(keys[0], 6), (keys[4], 2), (keys[3], 2), (keys[1], 2)].map(|(key, count)| (key.to_vec(), count));
    assert_eq!(combined, want);
}

#[test]
fn a_full_tmp_is_told_apart_from_one_that_cannot_be_written() {
    let of = |kind: ErrorKind| tmp_error("spilling", std::path::Path::new("/tmp"), &kind.into());
    for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge] {
        let error = of(kind);
        assert_eq!(error.code(), "tmp-full", "{kind}");
        assert!(error.to_string().starts_with("spilling in /tmp: "), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("larger /tmp")), "{error:?}");
    }
    assert_eq!(of(ErrorKind::PermissionDenied).code(), "tmp");
}

#[test]
fn equal_keys_come_from_the_runs_in_their_order() {
    for count in 1..9u32 {
        let runs = (0..count).map(|number| {
            let mut writer = RunWriter::new(Compression::None);
            for key in [b"a", b"b"] {
                writer.push(&mut key.to_vec(), &number).unwrap();
            }
            RunReader::open(std::io::Cursor::new(writer.finish().0), "run").unwrap()
        });
        let mut merge = Merge::new(runs.collect()).unwrap();
        let mut got = vec![];
        while let Some(top) = merge.top() {
            got.push((top.key().to_vec(), crate::codec::decode::<u32>(top.value()).unwrap()));
            merge.advance().unwrap();
        }
        let of = |key: &[u8]| (0..count).map(|number| (key.to_vec(), number)).collect::<Vec<_>>();
        assert_eq!(got, [of(b"a"), of(b"b")].concat());
    }
}
