//! The index of a job's runs: for each partition, where the runs of all committed map attempts lie. It is one S3 object,
//! `jobs/<job>/index/<number>`, which whoever takes a job from mapping to reducing may write, so that a reducer reads its own
//! row and nobody else's. All integers are little-endian.
//!
//! ```text
//! 0            "KNGX" version:u8=1 0:u8 0:u16
//! 8            stripe × stripes             each has some of the attempts, in order, and all partitions
//! table        "KNGX" version:u8=1 0:u8 0:u16
//!              crc32:u32                    of what follows
//!              partitions:u32
//!              row_ends:u64 × stripes × partitions   where each row ends in the object; the first starts at 8
//!
//! stripe       row × partitions
//! row          entry × attempts with a run, then crc32:u32 of the partition (u32) and the entries; nothing if there are none
//! entry        step:varint                  the task less that of the row's last entry, × 4; + 2 if it is a further piece
//!                                           or try; + 1 if its run lies in S3
//!              piece:varint number:varint   only of a further piece or try; else both are 0
//!              nonce:u32
//!              from:varint bytes:varint     only where the run lies in S3: where it lies in the attempt's object
//! varint       as in a run
//! ```
//!
//! An attempt's runs that lie in DynamoDB are found there by partition, so its entry, in every row, says only that it counts.
//!
//! Indexes come by attempt and are wanted by partition. A writer holds one stripe at a time, about as large as it is told, so its
//! memory is bounded whatever a job's size; a reader asks for one range of each stripe. Most jobs have one stripe: 64 MiB hold
//! six million entries.
//!
//! The ledger has the place of the table, and an event of a reducer those of its rows.

use super::record::RunIndex;
use super::run::{read_varint, write_varint};
use crate::error::{Code, Error, Result};
use crate::ids::{AttemptId, Partition, Piece, TaskIdx};
use crate::limits::MAP_TASKS_MAX;
use crate::range::ByteRange;
use serde::{Deserialize, Serialize};

const MAGIC: [u8; 8] = *b"KNGX\x01\0\0\0";
const CRC_BYTES: usize = 4;
const TABLE_HEADER_BYTES: usize = MAGIC.len() + CRC_BYTES + 4;
const ROW_END_BYTES: usize = 8;

const IN_S3: u64 = 1;
const FURTHER: u64 = 2;
const FLAG_BITS: u32 = 2;

/// The size of a stripe from which it is sent, in bytes (64 MiB).
pub const STRIPE_BYTES: usize = 64 << 20;

/// About how many bytes an entry takes whose run lies in S3.
pub const ENTRY_BYTES: u64 = 11;

/// A committed map attempt that may have a run of some partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunAt {
    /// The task.
    pub task: TaskIdx,
    /// The piece of its split.
    pub piece: Piece,
    /// The attempt.
    pub attempt: AttemptId,
    /// Where the run lies in the attempt's object; `None` if the attempt's runs lie in DynamoDB.
    pub range: Option<ByteRange>,
}

impl RunAt {
    /// What entries of a row are ordered by.
    fn order(&self) -> (TaskIdx, Piece) {
        (self.task, self.piece)
    }
}

/// A job's index, as the ledger names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexAt {
    /// The number in its key.
    pub number: u16,
    /// Where its table lies.
    pub table: ByteRange,
}

/// The rows of one partition, as an event names them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsAt {
    /// The number in the index's key.
    pub number: u16,
    /// Where they lie, one for each stripe that has one.
    pub rows: Vec<ByteRange>,
}

/// A row that is being written.
#[derive(Clone, Default)]
struct Row {
    bytes: Vec<u8>,
    /// The task of its last entry.
    task: u32,
}

/// Writes an index, attempt by attempt.
pub struct IndexWriter {
    stripe_bytes: usize,
    rows: Vec<Row>,
    /// The bytes of the stripe so far.
    held: usize,
    ends: Vec<u64>,
    /// The end of what was handed out.
    at: u64,
    last: Option<(TaskIdx, Piece)>,
}

impl IndexWriter {
    /// Begins an index of so many partitions, whose stripes have about `stripe_bytes` at most.
    pub fn new(partitions: u32, stripe_bytes: usize) -> Self {
        let rows = vec![Row::default(); partitions as usize];
        IndexWriter { stripe_bytes, rows, held: 0, ends: Vec::new(), at: 0, last: None }
    }

    /// Adds a committed attempt: with the index of its object, or without if its runs lie in DynamoDB. Attempts come in the
    /// order of their tasks and pieces.
    ///
    /// # Errors
    /// Returns `frame-corrupt` when the attempt's index is of another number of partitions, or attempts come in disorder.
    pub fn push(&mut self, task: TaskIdx, piece: Piece, attempt: AttemptId, index: Option<&RunIndex>) -> Result<()> {
        let of = RunAt { task, piece, attempt, range: None };
        if self.last.is_some_and(|last| last >= of.order()) {
            return Err(corrupt(&format!("attempts of task {} come in disorder", task.0)));
        }
        if index.is_some_and(|index| index.ends.len() != self.rows.len()) {
            let message = format!("the index of task {} has not {} runs", task.0, self.rows.len());
            return Err(corrupt(&message));
        }
        self.last = Some(of.order());
        for (row, partition) in self.rows.iter_mut().zip(0..) {
            let range = index.and_then(|index| index.range(partition));
            if index.is_none() || range.is_some_and(|range| range.bytes() > 0) {
                let before = row.bytes.len();
                row.push(&RunAt { range, ..of });
                self.held += row.bytes.len() - before;
            }
        }
        Ok(())
    }

    /// Returns the bytes of the stripe if it is full, row by row, to be sent in this order behind what was returned before.
    pub fn full_stripe(&mut self) -> Option<Vec<Vec<u8>>> {
        (self.held >= self.stripe_bytes).then(|| self.take_stripe())
    }

    fn take_stripe(&mut self) -> Vec<Vec<u8>> {
        let mut parts = Vec::with_capacity(self.rows.len() + 1);
        if self.at == 0 {
            parts.push(MAGIC.to_vec());
            self.at = MAGIC.len() as u64;
        }
        self.held = 0;
        for (row, partition) in self.rows.iter_mut().zip(0u32..) {
            let mut bytes = std::mem::take(row).bytes;
            if !bytes.is_empty() {
                bytes.extend(row_crc(Partition(partition), &bytes).to_le_bytes());
            }
            self.at += bytes.len() as u64;
            self.ends.push(self.at);
            parts.push(bytes);
        }
        parts
    }

    /// Ends the index. Returns its last bytes, and where the table lies in the object.
    pub fn finish(mut self) -> (Vec<Vec<u8>>, ByteRange) {
        let mut parts = if self.held > 0 || self.at == 0 { self.take_stripe() } else { vec![] };
        let mut rest = (self.rows.len() as u32).to_le_bytes().to_vec();
        self.ends.iter().for_each(|end| rest.extend(end.to_le_bytes()));
        let mut table = MAGIC.to_vec();
        table.extend(crc32fast::hash(&rest).to_le_bytes());
        table.extend(rest);
        let range = ByteRange { from: self.at, to: self.at + table.len() as u64 };
        parts.push(table);
        (parts, range)
    }
}

impl Row {
    fn push(&mut self, of: &RunAt) {
        let RunAt { task, piece, attempt, range } = *of;
        let is_further = piece.0 > 0 || attempt.number > 0;
        let flags = if is_further { FURTHER } else { 0 } | if range.is_some() { IN_S3 } else { 0 };
        write_varint(&mut self.bytes, u64::from(task.0 - self.task) << FLAG_BITS | flags);
        if is_further {
            write_varint(&mut self.bytes, piece.0.into());
            write_varint(&mut self.bytes, attempt.number.into());
        }
        self.bytes.extend(attempt.nonce.to_le_bytes());
        if let Some(range) = range {
            write_varint(&mut self.bytes, range.from);
            write_varint(&mut self.bytes, range.bytes());
        }
        self.task = task.0;
    }
}

fn row_crc(partition: Partition, entries: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&partition.0.to_le_bytes());
    crc.update(entries);
    crc.finalize()
}

fn corrupt(what: &str) -> Error {
    Error::new(Code::FrameCorrupt, format!("the index of the runs: {what}"))
}

/// Where the rows of an index lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexTable {
    number: u16,
    partitions: usize,
    ends: Vec<u64>,
}

impl IndexTable {
    /// Reads the table of an index of a job with so many partitions.
    ///
    /// # Errors
    /// Returns `frame-corrupt` when these bytes are no such table, or `frame-version` when they are one of another version.
    pub fn read(bytes: &[u8], at: IndexAt, partitions: u32) -> Result<Self> {
        let Some((header, ends)) = bytes.split_at_checked(TABLE_HEADER_BYTES) else {
            return Err(corrupt("its table is too short"));
        };
        check_magic(header)?;
        let crc = crc32fast::hash(&bytes[MAGIC.len() + CRC_BYTES..]);
        if header[MAGIC.len()..][..CRC_BYTES] != crc.to_le_bytes() {
            return Err(corrupt("the checksum of its table is wrong"));
        }
        if header[MAGIC.len() + CRC_BYTES..] != partitions.to_le_bytes() || partitions == 0 {
            return Err(corrupt("it is of another number of partitions"));
        }
        let partitions = partitions as usize;
        if ends.is_empty() || ends.len() % (ROW_END_BYTES * partitions) != 0 {
            return Err(corrupt("its table is not whole"));
        }
        let ends: Vec<u64> =
            ends.chunks_exact(ROW_END_BYTES).map(|b| b.try_into().map_or(0, u64::from_le_bytes)).collect();
        let lie_before = ends.last() == Some(&at.table.from) && ends[0] >= MAGIC.len() as u64;
        if !ends.is_sorted() || !lie_before {
            return Err(corrupt("its rows do not lie before its table"));
        }
        Ok(IndexTable { number: at.number, partitions, ends })
    }

    /// Returns where the rows of a partition lie; nothing if there is no such partition.
    pub fn rows(&self, partition: Partition) -> RowsAt {
        let first = partition.0 as usize;
        let row = |n: usize| {
            let from = if n == 0 { MAGIC.len() as u64 } else { self.ends[n - 1] };
            ByteRange { from, to: self.ends[n] }
        };
        let all = (first..self.ends.len()).step_by(self.partitions).map(row);
        let rows = if first < self.partitions { all.filter(|row| row.bytes() > 0).collect() } else { vec![] };
        RowsAt { number: self.number, rows }
    }
}

/// Checks the first bytes of an index or of its table.
fn check_magic(bytes: &[u8]) -> Result<()> {
    match bytes.get(..MAGIC.len()) {
        Some(magic) if magic == MAGIC => Ok(()),
        Some(magic) if magic[..4] == MAGIC[..4] => {
            let message = format!("the index of the runs: version {}, this program reads version 1", magic[4]);
            Err(Error::new(Code::FrameVersion, message)
                .with_hint("driver and functions are of different versions: deploy again"))
        }
        _ => Err(corrupt("not what it should be")),
    }
}

/// Reads a row, and adds what it holds to the runs that rows of the stripes before it have named.
///
/// # Errors
/// Returns `frame-corrupt` when these bytes are no row of this partition.
pub fn read_row(bytes: &[u8], partition: Partition, runs: &mut Vec<RunAt>) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let Some((entries, crc)) = bytes.split_last_chunk::<CRC_BYTES>() else {
        return Err(corrupt("a row is too short"));
    };
    if *crc != row_crc(partition, entries).to_le_bytes() {
        return Err(corrupt("the checksum of a row is wrong"));
    }
    let (mut at, mut task) = (0, 0u64);
    while at < entries.len() {
        let run = read_entry(entries, &mut at, task).ok_or_else(|| corrupt("an entry of a row is none"))?;
        if runs.last().is_some_and(|last| last.order() >= run.order()) {
            return Err(corrupt("the entries of a row are not in order"));
        }
        task = run.task.0.into();
        runs.push(run);
    }
    Ok(())
}

/// Reads the entry that starts here, in a row whose last one was of this task; `None` if there is none that can be.
fn read_entry(bytes: &[u8], at: &mut usize, task: u64) -> Option<RunAt> {
    let mut number = || read_varint(bytes, at).map(|n| n as u64);
    let step = number()?;
    let task = task.checked_add(step >> FLAG_BITS).filter(|task| *task < MAP_TASKS_MAX)?;
    let (piece, tried) = if step & FURTHER == 0 {
        (0, 0)
    } else {
        let further = (u16::try_from(number()?).ok()?, u16::try_from(number()?).ok()?);
        if further == (0, 0) {
            return None;
        }
        further
    };
    let nonce = u32::from_le_bytes(*bytes.get(*at..)?.first_chunk()?);
    *at += size_of::<u32>();
    let range = if step & IN_S3 == 0 {
        None
    } else {
        let mut number = || read_varint(bytes, at).map(|n| n as u64);
        let (from, bytes) = (number()?, number()?);
        Some(ByteRange { from, to: from.checked_add(bytes).filter(|to| *to > from)? })
    };
    let attempt = AttemptId { number: tried, nonce };
    Some(RunAt { task: TaskIdx(task as u32), piece: Piece(piece), attempt, range })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An attempt and the lengths of its runs; without lengths, they lie in DynamoDB.
    type Made = (u32, u16, AttemptId, Option<Vec<u64>>);

    fn index_of(lengths: &[u64]) -> RunIndex {
        let ends = lengths.iter().scan(0, |end, n| {
            *end += n;
            Some(*end)
        });
        RunIndex { ends: ends.collect() }
    }

    fn write(partitions: u32, stripe_bytes: usize, made: &[Made]) -> (Vec<u8>, IndexAt) {
        let mut writer = IndexWriter::new(partitions, stripe_bytes);
        let mut object = Vec::new();
        for (task, piece, attempt, lengths) in made {
            let index = lengths.as_deref().map(index_of);
            writer.push(TaskIdx(*task), Piece(*piece), *attempt, index.as_ref()).unwrap();
            object.extend(writer.full_stripe().into_iter().flatten().flatten());
        }
        let (rest, table) = writer.finish();
        object.extend(rest.into_iter().flatten());
        assert_eq!(table.to, object.len() as u64);
        (object, IndexAt { number: 1, table })
    }

    fn bytes_of(object: &[u8], range: ByteRange) -> &[u8] {
        &object[range.from as usize..range.to as usize]
    }

    fn table_of(object: &[u8], at: IndexAt, partitions: u32) -> Result<IndexTable> {
        IndexTable::read(bytes_of(object, at.table), at, partitions)
    }

    fn read(object: &[u8], at: IndexAt, partitions: u32, partition: u32) -> Result<Vec<RunAt>> {
        let mut runs = Vec::new();
        for row in table_of(object, at, partitions)?.rows(Partition(partition)).rows {
            read_row(bytes_of(object, row), Partition(partition), &mut runs)?;
        }
        Ok(runs)
    }

    fn wanted(made: &[Made], partition: u32) -> Vec<RunAt> {
        let of = |(task, piece, attempt, lengths): &Made| {
            let range = lengths.as_deref().map(|lengths| index_of(lengths).range(partition).unwrap());
            let is_there = range.is_none_or(|range| range.bytes() > 0);
            is_there.then_some(RunAt { task: TaskIdx(*task), piece: Piece(*piece), attempt: *attempt, range })
        };
        made.iter().filter_map(of).collect()
    }

    fn sample() -> Vec<Made> {
        let attempt = |number, nonce| AttemptId { number, nonce };
        vec![
            (0, 0, attempt(0, 7), Some(vec![300, 0, 5])),
            (1, 0, attempt(2, u32::MAX), None),
            (1, 1, attempt(0, 1), Some(vec![0, 0, 0])),
            (99_999, 0, attempt(0, 2), Some(vec![0, 1 << 40, 1])),
        ]
    }

    #[test]
    fn golden() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/index-v1.bin");
        let (object, at) = write(3, 24, &sample());
        crate::wire::golden(path, &object);
        assert_eq!(table_of(&object, at, 3).unwrap().ends.len(), 6, "two stripes of three rows");
        for partition in 0..3 {
            assert_eq!(read(&object, at, 3, partition).unwrap(), wanted(&sample(), partition));
        }
        assert_eq!(table_of(&object, at, 3).unwrap().rows(Partition(3)).rows, []);
    }

    proptest! {
        #[test]
        fn each_partition_finds_its_runs_however_many_stripes_there_are(
            made in proptest::collection::btree_map(
                (0u32..200, 0u16..3),
                (0u16..2, any::<u32>(), proptest::option::of(proptest::collection::vec(0u64..3_000, 4))), 0..60),
            stripe_bytes in 1usize..400,
        ) {
            let made: Vec<Made> = made
                .into_iter()
                .map(|((task, piece), (number, nonce, lengths))| (task, piece, AttemptId { number, nonce }, lengths))
                .collect();
            let (object, at) = write(4, stripe_bytes, &made);
            for partition in 0..4 {
                prop_assert_eq!(read(&object, at, 4, partition).unwrap(), wanted(&made, partition));
            }
        }
    }

    #[test]
    fn every_damaged_byte_of_a_row_and_of_the_table_is_noticed() {
        let (object, at) = write(3, usize::MAX, &sample());
        for byte in 8..object.len() {
            let mut bad = object.clone();
            bad[byte] ^= 0x10;
            assert!((0..3).any(|partition| read(&bad, at, 3, partition).is_err()), "byte {byte}");
        }
    }

    #[test]
    fn a_row_of_another_partition_and_a_table_of_another_job_are_refused() {
        let (object, at) = write(3, usize::MAX, &sample());
        let rows = table_of(&object, at, 3).unwrap().rows(Partition(0)).rows;
        let error = read_row(bytes_of(&object, rows[0]), Partition(2), &mut vec![]).unwrap_err();
        assert!(error.is(Code::FrameCorrupt), "{error}");
        assert!(table_of(&object, at, 4).unwrap_err().is(Code::FrameCorrupt));
        let mut newer = object[at.table.from as usize..].to_vec();
        newer[4] += 1;
        assert!(IndexTable::read(&newer, at, 3).unwrap_err().is(Code::FrameVersion));
        let none = IndexAt { table: ByteRange { from: at.table.from + 1, to: at.table.to }, ..at };
        assert!(IndexTable::read(&object[at.table.from as usize..], none, 3).is_err());
    }

    #[test]
    fn attempts_that_no_job_can_have_are_not_written() {
        let attempt = AttemptId { number: 0, nonce: 0 };
        let mut writer = IndexWriter::new(2, 100);
        writer.push(TaskIdx(3), Piece(0), attempt, Some(&index_of(&[1, 1]))).unwrap();
        for (task, piece, index) in [(3, 0, None), (2, 9, None), (4, 0, Some(index_of(&[1])))] {
            let error = writer.push(TaskIdx(task), Piece(piece), attempt, index.as_ref()).unwrap_err();
            assert!(error.is(Code::FrameCorrupt), "{error}");
        }
    }

    #[test]
    fn a_hundred_thousand_tasks_take_about_as_many_bytes_as_they_are_planned_with() {
        let lengths = vec![1_000; 100];
        let made: Vec<Made> =
            (0..1_000).map(|task| (task, 0, AttemptId { number: 0, nonce: task }, Some(lengths.clone()))).collect();
        let (object, at) = write(100, STRIPE_BYTES, &made);
        let each = at.table.from as f64 / (1_000.0 * 100.0);
        assert!((ENTRY_BYTES as f64 - 2.0..=ENTRY_BYTES as f64).contains(&each), "{each}: {}", object.len());
    }
}
