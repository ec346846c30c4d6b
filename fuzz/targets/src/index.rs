//! Indexes of a job's runs: rows of them, and tables of rows. Input: which; the bytes, before a table how many partitions it is of.

use crate::input::Input;
use crate::{Seed, golden, seal};
use kinglet_core::ByteRange;
use kinglet_core::ids::Partition;
use kinglet_core::wire::index::{IndexAt, IndexTable, IndexWriter, RunAt, read_row};
use kinglet_core::wire::record::RunIndex;

/// The partition whose rows are read, and how many there are: the other's runs lie before its own.
const PARTITION: Partition = Partition(1);
const PARTITIONS: u32 = 2;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    match input.byte() {
        0 => {
            let mut sealed = input.0.to_vec();
            seal::row(&mut sealed, PARTITION);
            for bytes in [input.0, &sealed] {
                let mut runs = Vec::new();
                if read_row(bytes, PARTITION, &mut runs).is_ok() {
                    written_again(&runs);
                }
            }
        }
        _ => {
            let partitions = u32::from(input.byte());
            // The table says itself where it lies: behind its last row.
            let from = input.0.last_chunk().map_or(0, |end| u64::from_le_bytes(*end));
            let to = from.saturating_add(input.0.len() as u64);
            let at = IndexAt { number: 3, table: ByteRange { from, to } };
            let mut sealed = input.0.to_vec();
            seal::table(&mut sealed, partitions);
            for bytes in [input.0, &sealed] {
                if let Ok(table) = IndexTable::read(bytes, at, partitions) {
                    lie_before(&table, partitions, from);
                }
            }
        }
    }
}

/// What was read of a row is in order, and a writer makes of it what reads the same.
fn written_again(runs: &[RunAt]) {
    let mut writer = IndexWriter::new(PARTITIONS, usize::MAX);
    for RunAt { task, piece, attempt, range } in runs {
        let index = range.map(|range| RunIndex { ends: vec![range.from, range.to] });
        writer.push(*task, *piece, *attempt, index.as_ref()).expect("what was read can be written");
    }
    let (parts, range) = writer.finish();
    let object = parts.concat();
    let bytes = |range: ByteRange| &object[range.from as usize..range.to as usize];
    let at = IndexAt { number: 3, table: range };
    let table = IndexTable::read(bytes(range), at, PARTITIONS).expect("a table that was written");
    let mut again = Vec::new();
    for row in table.rows(PARTITION).rows {
        read_row(bytes(row), PARTITION, &mut again).expect("a row that was written");
    }
    assert_eq!(again, runs);
}

/// The rows of all partitions lie between the index's first bytes and its table, each at its own place.
fn lie_before(table: &IndexTable, partitions: u32, table_from: u64) {
    let mut rows: Vec<_> = (0..partitions).flat_map(|n| table.rows(Partition(n)).rows).collect();
    rows.sort_unstable_by_key(|row| row.from);
    assert!(rows.iter().all(|row| row.from >= 8 && row.from < row.to && row.to <= table_from), "{rows:?}");
    assert!(rows.windows(2).all(|two| two[0].to <= two[1].from), "{rows:?}");
    assert!(table.rows(Partition(partitions)).rows.is_empty());
}

pub(crate) fn seeds() -> Vec<Seed> {
    let of = |which: &[u8], bytes: &[u8]| [which, bytes].concat();
    let index = golden!("index-v1.bin");
    let table = index.windows(4).rposition(|bytes| bytes == b"KNGX").expect("a table");
    let end = |n: usize| {
        let at = table + 16 + 8 * n;
        u64::from_le_bytes(*index[at..].first_chunk().expect("an end")) as usize
    };
    vec![
        Seed::new("row", of(&[0], &index[end(0)..end(1)])),
        Seed::new("row-of-both-places", of(&[0], &index[8..end(0)])),
        Seed::new("table", of(&[1, 3], &index[table..])),
    ]
}
