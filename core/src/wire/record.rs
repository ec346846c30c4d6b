//! Records: what a commit says about the attempt whose output counts. A record is stored in a frame, in an attribute of a group
//! item. Map records have version 2, merge records version 1, reduce records version 4.

use super::frame::{Framed, Kind};
use crate::codecs::Codec;
use crate::ids::{AttemptId, Partition, Piece, Timestamp};
use crate::range::ByteRange;
use serde::{Deserialize, Serialize};

/// Where the runs of a map attempt lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// In DynamoDB items, by partition.
    Inline,
    /// In one S3 object, with its [`RunIndex`] in DynamoDB.
    Object,
    /// Nowhere: there are no pairs.
    Nowhere,
}

/// Where a map task stopped before its split's end, and its next piece starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The position of the object in the split's list of ranges.
    pub range_idx: u32,
    /// The offset in that object, in bytes. In a compressed object, how far its bytes are accounted for.
    pub offset: u64,
    /// In a compressed object: where decompressing starts again.
    #[serde(default)]
    pub unpack: Option<UnpackFrom>,
}

impl Position {
    /// Returns the position at an offset of an object that is not compressed, or at the start of one that is.
    pub fn at(range_idx: u32, offset: u64) -> Self {
        Position { range_idx, offset, unpack: None }
    }
}

/// Where reading goes on in a compressed object: at a block, some bytes into what it holds.
///
/// ```text
/// object     … block │ block         │ block …
///                    from
/// unpacked   ────────├───────┤record │ record
///                    base    base + skip
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpackFrom {
    /// The codec.
    pub codec: Codec,
    /// The offset in the object at which the block starts.
    pub from: u64,
    /// How many unpacked bytes come before the block, counted from where the first piece of the split began.
    pub base: u64,
    /// How many unpacked bytes of the block come before the next record.
    pub skip: u64,
}

/// How many requests an attempt sent, by what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// S3: PUT, COPY, POST and LIST.
    pub s3_put: u64,
    /// S3: GET and HEAD.
    pub s3_get: u64,
    /// S3: DELETE and abort, which are free.
    pub s3_delete: u64,
    /// DynamoDB requests.
    pub dynamodb: u64,
    /// DynamoDB write units in thousandths.
    pub write_milliunits: u64,
    /// DynamoDB read units in thousandths.
    pub read_milliunits: u64,
    /// Lambda invocations.
    pub lambda: u64,
    /// How many of these requests were repeats by the SDK.
    pub again: u64,
}

/// Sums that cannot be stay at the largest number: they are for reports, and a stored number must not end who adds it up.
impl std::ops::AddAssign for Requests {
    fn add_assign(&mut self, other: Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.s3_put, other.s3_put);
        add(&mut self.s3_get, other.s3_get);
        add(&mut self.s3_delete, other.s3_delete);
        add(&mut self.dynamodb, other.dynamodb);
        add(&mut self.write_milliunits, other.write_milliunits);
        add(&mut self.read_milliunits, other.read_milliunits);
        add(&mut self.lambda, other.lambda);
        add(&mut self.again, other.again);
    }
}

/// How long an attempt took and what it ran on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// When the handler started.
    pub started_at: Timestamp,
    /// The time from then to the commit, in milliseconds.
    pub ran_ms: u64,
    /// How long the function took to start, if this was its first invocation, in milliseconds.
    pub init_ms: u64,
    /// The function's memory in MB.
    pub memory_mb: u32,
    /// The requests before the commit, without the commit itself. For work that belongs to no task, all requests.
    pub requests: Requests,
}

impl Usage {
    /// Returns what Lambda bills for it, in GB-seconds: the time of init and run, times the memory.
    pub fn gb_seconds(&self) -> f64 {
        self.ran_ms.saturating_add(self.init_ms) as f64 / 1e3 * f64::from(self.memory_mb) / 1024.0
    }
}

impl Framed for Usage {
    const KIND: Kind = Kind::Usage;
    const VERSION: u8 = 1;

    fn check(&self) -> std::result::Result<(), &'static str> {
        let Requests { s3_put, s3_get, s3_delete, dynamodb, write_milliunits, read_milliunits, lambda, again } =
            self.requests;
        countable(&[self.started_at.0, self.ran_ms, self.init_ms, s3_put, s3_get, s3_delete, dynamodb])?;
        countable(&[write_milliunits, read_milliunits, lambda, again])
    }
}

/// The largest number that a record may hold: 17 TB, or 557 years in milliseconds. The sums of half a million records can then be
/// counted.
const COUNT_MAX: u64 = 1 << 44;

pub(super) fn countable(numbers: &[u64]) -> std::result::Result<(), &'static str> {
    match numbers.iter().all(|n| *n <= COUNT_MAX) {
        true => Ok(()),
        false => Err("a number that no attempt can have counted"),
    }
}

/// A committed map attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapRecord {
    /// The attempt that was committed.
    pub attempt: AttemptId,
    /// Bytes assigned to this piece, without those that it handed back.
    pub bytes_assigned: u64,
    /// Where this piece's whole records lie in the object, if the split is one range. `None` if no record starts in it. Of a
    /// compressed object, where the blocks lie that the piece unpacked; of one whose rows lie in columns, the split up to where the
    /// piece stopped.
    pub taken: Option<ByteRange>,
    /// Bytes of the records read; of a compressed object, its own bytes, not those that they become; of one whose rows lie in
    /// columns, the bytes of the split, of which only those were fetched that the job wants.
    pub bytes_read: u64,
    /// The CRC-32 of the records' bytes, in order; of none where rows lie in columns, which several threads read.
    pub crc32: u32,
    /// Records given to `map`.
    pub records: u64,
    /// Records that were not valid and were left out, which is none unless the job may leave some out.
    pub rejected: u64,
    /// Pairs that `map` emitted.
    pub pairs_emitted: u64,
    /// Pairs in the runs.
    pub pairs_out: u64,
    /// Bytes of the runs.
    pub run_bytes: u64,
    /// Where the runs lie.
    pub placement: Placement,
    /// How often a thread's tables were spilled to `/tmp`.
    pub spills: u64,
    /// Where the next piece starts, if the attempt handed the rest of its split back.
    pub remainder: Option<Position>,
    /// Time and requests.
    pub usage: Usage,
}

impl Framed for MapRecord {
    const KIND: Kind = Kind::MapRecord;
    const VERSION: u8 = 2;

    fn check(&self) -> std::result::Result<(), &'static str> {
        let MapRecord { bytes_assigned, bytes_read, records, rejected, pairs_emitted, pairs_out, run_bytes, .. } =
            *self;
        countable(&[bytes_assigned, bytes_read, records, rejected, pairs_emitted, pairs_out, run_bytes, self.spills])?;
        self.usage.check()?;
        // Whoever reads runs by their keys counts their items by this.
        match self.placement {
            Placement::Inline if self.run_bytes > INLINE_BYTES_MAX => {
                Err("inline runs of more bytes than may lie there")
            }
            _ => Ok(()),
        }
    }
}

/// The most bytes of an attempt that may lie inline, whatever a job asks for (1 GiB): they are held in memory.
pub const INLINE_BYTES_MAX: u64 = 1 << 30;

/// A committed merge attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeRecord {
    /// The attempt that was committed.
    pub attempt: AttemptId,
    /// Runs merged.
    pub runs: u64,
    /// Bytes of these.
    pub bytes_in: u64,
    /// Pairs read from them.
    pub pairs_in: u64,
    /// Pairs in the runs that it wrote: fewer where pairs of one key were combined.
    pub pairs_out: u64,
    /// Bytes of the runs that it wrote.
    pub run_bytes: u64,
    /// Where these lie: in S3, or nowhere.
    pub placement: Placement,
    /// How many of the task's map attempts this piece and those before it have merged, if it left others to the next piece.
    pub merged: Option<u32>,
    /// Time and requests.
    pub usage: Usage,
}

impl Framed for MergeRecord {
    const KIND: Kind = Kind::MergeRecord;
    const VERSION: u8 = 1;

    fn check(&self) -> std::result::Result<(), &'static str> {
        countable(&[self.runs, self.bytes_in, self.pairs_in, self.pairs_out, self.run_bytes])?;
        self.usage.check()?;
        match self.placement {
            Placement::Inline => Err("merged runs in DynamoDB, where none lie"),
            Placement::Object | Placement::Nowhere => Ok(()),
        }
    }
}

/// A committed reduce attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReduceRecord {
    /// The attempt that was committed.
    pub attempt: AttemptId,
    /// Runs merged.
    pub runs: u64,
    /// Pairs read from them.
    pub pairs_in: u64,
    /// Keys given to `reduce`.
    pub keys: u64,
    /// Records written.
    pub records_out: u64,
    /// Bytes of the part, or of all files.
    pub bytes_out: u64,
    /// The CRC-32 of the part; 0 of files in folders, each of which has its own.
    pub crc32: u32,
    /// The upload that will become the part, if the job writes an output that has no folders.
    pub upload: Option<OpenUpload>,
    /// How many files the attempt has left in folders: a [`super::files::FileList`] has them, unless there are none.
    pub files: u32,
    /// Whether the attempt left the rest of its partition to the next piece: it wrote a [`super::rest::ReduceRest`].
    pub hands_on: bool,
    /// Time and requests.
    pub usage: Usage,
}

impl Framed for ReduceRecord {
    const KIND: Kind = Kind::ReduceRecord;
    const VERSION: u8 = 4;

    fn check(&self) -> std::result::Result<(), &'static str> {
        countable(&[self.runs, self.pairs_in, self.keys, self.records_out, self.bytes_out])?;
        self.usage.check()?;
        match &self.upload {
            Some(_) if self.files > 0 => Err("a part, and files in folders"),
            Some(upload) if upload.etags.len() > ETAGS_MAX => Err("an upload with more ETags than a record holds"),
            _ => Ok(()),
        }
    }
}

/// Returns the piece of each of some reduce records, which come by partition and in order: the first partition's first piece is
/// the first of them.
pub fn numbered(records: &[ReduceRecord]) -> impl Iterator<Item = ReducePiece<'_>> {
    let (mut partition, mut piece) = (0, Some(Piece(0)));
    records.iter().map_while(move |record| {
        let this = ReducePiece { partition: Partition(partition), piece: piece?, record };
        piece = match record.hands_on {
            // No task has more pieces than can be numbered.
            true => this.piece.next().ok(),
            false => Some(Piece(0)),
        };
        partition += u32::from(!record.hands_on);
        Some(this)
    })
}

/// A committed piece of a reduce task.
#[derive(Clone, Copy, Debug)]
pub struct ReducePiece<'a> {
    /// The partition.
    pub partition: Partition,
    /// Which piece of its task.
    pub piece: Piece,
    /// Its record.
    pub record: &'a ReduceRecord,
}

/// A multipart upload whose bytes are all sent but which nobody has completed: it is not an object yet. It can be completed or
/// aborted once, and never both, so whoever holds its id can make its object appear once, and not again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenUpload {
    /// S3's id of the upload.
    pub id: String,
    /// The ETags of its parts, in order. It is empty if there are more than [`ETAGS_MAX`]; then S3 must be asked for them.
    pub etags: Vec<String>,
}

impl OpenUpload {
    /// Returns the upload as a record holds it: with at most [`ETAGS_MAX`] ETags.
    #[must_use]
    pub fn bounded(self) -> Self {
        if self.etags.len() > ETAGS_MAX { OpenUpload { etags: vec![], ..self } } else { self }
    }
}

/// How many ETags a record holds at most, so that 32 records easily fit into the 400 KB of an item.
pub const ETAGS_MAX: usize = 64;

/// Where the run of each partition lies in a map attempt's object: run `n` is the bytes `ends[n-1]..ends[n]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunIndex {
    /// The offset after the last byte of each run.
    pub ends: Vec<u64>,
}

impl Framed for RunIndex {
    const KIND: Kind = Kind::RunIndex;
    const VERSION: u8 = 1;

    fn check(&self) -> std::result::Result<(), &'static str> {
        if self.ends.is_sorted() { Ok(()) } else { Err("a run that ends before it starts") }
    }
}

impl RunIndex {
    /// Returns the index of runs of these lengths in bytes, one behind the other.
    pub fn of(lengths: impl IntoIterator<Item = u64>) -> Self {
        let ends = lengths.into_iter().scan(0u64, |end, length| {
            *end = end.saturating_add(length);
            Some(*end)
        });
        RunIndex { ends: ends.collect() }
    }

    /// Returns where the run of one partition lies.
    pub fn range(&self, partition: u32) -> Option<ByteRange> {
        let at = partition as usize;
        let from = if at == 0 { 0 } else { *self.ends.get(at - 1)? };
        Some(ByteRange { from, to: *self.ends.get(at)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame;

    #[test]
    fn golden_and_back() {
        let attempt = AttemptId { number: 1, nonce: 2 };
        let requests = Requests {
            s3_put: 1,
            s3_get: 2,
            s3_delete: 3,
            dynamodb: 4,
            write_milliunits: 5,
            read_milliunits: 6,
            lambda: 7,
            again: 8,
        };
        let usage = Usage { started_at: Timestamp(3), ran_ms: 4, init_ms: 5, memory_mb: 6, requests };
        let map = MapRecord {
            attempt,
            bytes_assigned: 1,
            taken: Some(ByteRange { from: 2, to: 3 }),
            bytes_read: 4,
            crc32: 5,
            records: 6,
            rejected: 7,
            pairs_emitted: 8,
            pairs_out: 9,
            run_bytes: 10,
            placement: Placement::Object,
            spills: 11,
            remainder: Some(Position {
                range_idx: 12,
                offset: 13,
                unpack: Some(UnpackFrom { codec: Codec::Bzip2, from: 14, base: 15, skip: 16 }),
            }),
            usage,
        };
        let reduce = ReduceRecord {
            attempt,
            runs: 1,
            pairs_in: 2,
            keys: 3,
            records_out: 4,
            bytes_out: 5,
            crc32: 6,
            upload: Some(OpenUpload { id: "u".into(), etags: vec!["\"e\"".into()] }),
            files: 0,
            hands_on: true,
            usage,
        };
        let index = RunIndex { ends: vec![10, 20, 20] };
        let mut bytes = frame::write(&map).unwrap();
        assert_eq!(frame::read::<MapRecord>(&bytes, "").unwrap(), map);
        let plain = MapRecord { remainder: Some(Position::at(12, 13)), ..map.clone() };
        assert_eq!(frame::read::<MapRecord>(&frame::write(&plain).unwrap(), "").unwrap(), plain);
        bytes.extend(frame::write(&reduce).unwrap());
        assert_eq!(frame::read::<ReduceRecord>(&frame::write(&reduce).unwrap(), "").unwrap(), reduce);
        let both = ReduceRecord { files: 1, ..reduce.clone() };
        assert!(frame::read::<ReduceRecord>(&frame::write(&both).unwrap(), "").is_err());
        let many = ReduceRecord { files: 10_000, upload: None, ..reduce.clone() };
        assert_eq!(frame::read::<ReduceRecord>(&frame::write(&many).unwrap(), "").unwrap(), many);
        bytes.extend(frame::write(&index).unwrap());
        bytes.extend(frame::write(&usage).unwrap());
        crate::wire::golden(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/records-v5.bin"), &bytes);
        assert_eq!(index.range(0), Some(ByteRange { from: 0, to: 10 }));
        assert_eq!(index.range(2), Some(ByteRange { from: 20, to: 20 }));
        assert_eq!(index.range(3), None);
    }

    #[test]
    fn golden_of_a_merge_and_back() {
        let attempt = AttemptId { number: 1, nonce: 2 };
        let merge = MergeRecord {
            attempt,
            runs: 1,
            bytes_in: 2,
            pairs_in: 3,
            pairs_out: 4,
            run_bytes: 5,
            placement: Placement::Object,
            merged: Some(6),
            usage: Usage { started_at: Timestamp(3), ran_ms: 4, ..Usage::default() },
        };
        let bytes = frame::write(&merge).unwrap();
        crate::wire::golden(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/merge-v1.bin"), &bytes);
        assert_eq!(frame::read::<MergeRecord>(&bytes, "").unwrap(), merge);
        let inline = MergeRecord { placement: Placement::Inline, ..merge.clone() };
        assert!(frame::read::<MergeRecord>(&frame::write(&inline).unwrap(), "").is_err());
        let beyond = MergeRecord { pairs_in: COUNT_MAX + 1, ..merge };
        assert!(frame::read::<MergeRecord>(&frame::write(&beyond).unwrap(), "").is_err());
    }

    #[test]
    fn pieces_are_numbered_within_their_partitions() {
        let record = |hands_on| ReduceRecord {
            attempt: AttemptId { number: 0, nonce: 0 },
            runs: 0,
            pairs_in: 0,
            keys: 0,
            records_out: 0,
            bytes_out: 0,
            crc32: 0,
            upload: None,
            files: 0,
            hands_on,
            usage: Usage::default(),
        };
        let records = [false, true, true, false, false, true, false].map(record);
        let numbers: Vec<_> = numbered(&records).map(|one| (one.partition.0, one.piece.0)).collect();
        assert_eq!(numbers, [(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (3, 0), (3, 1)]);
    }

    #[test]
    fn requests_are_added_up_each_kind_by_itself() {
        let of = |n: u64| Requests {
            s3_put: n,
            s3_get: 2 * n,
            s3_delete: 3 * n,
            dynamodb: 4 * n,
            write_milliunits: 5 * n,
            read_milliunits: 6 * n,
            lambda: 7 * n,
            again: 8 * n,
        };
        let mut all = Requests::default();
        for n in [1, 10, 100] {
            all += of(n);
        }
        assert_eq!(all, of(111));
    }

    #[test]
    fn what_no_attempt_can_have_written_is_not_read() {
        let attempt = AttemptId { number: 1, nonce: 2 };
        let usage = Usage::default();
        let map = MapRecord {
            attempt,
            bytes_assigned: COUNT_MAX,
            taken: None,
            bytes_read: 0,
            crc32: 0,
            records: 0,
            rejected: 0,
            pairs_emitted: 0,
            pairs_out: 0,
            run_bytes: INLINE_BYTES_MAX,
            placement: Placement::Inline,
            spills: 0,
            remainder: None,
            usage,
        };
        let says = |record: &MapRecord| {
            frame::read::<MapRecord>(&frame::write(record).unwrap(), "it").map_err(|e| e.to_string())
        };
        assert_eq!(says(&map), Ok(map.clone()));
        let beyond = says(&MapRecord { records: COUNT_MAX + 1, ..map.clone() }).unwrap_err();
        assert_eq!(beyond, "reading it: a number that no attempt can have counted");
        let usage = Usage { ran_ms: u64::MAX, ..usage };
        assert!(says(&MapRecord { usage, ..map.clone() }).is_err());
        let run_bytes = INLINE_BYTES_MAX + 1;
        assert!(says(&MapRecord { run_bytes, ..map.clone() }).unwrap_err().contains("inline"));
        assert!(says(&MapRecord { run_bytes, placement: Placement::Object, ..map }).is_ok());
        let index = frame::write(&RunIndex { ends: vec![7, 3] }).unwrap();
        assert_eq!(frame::read::<RunIndex>(&index, "it").unwrap_err().code(), "frame-corrupt");
    }

    #[test]
    fn a_record_holds_all_etags_of_an_upload_or_none() {
        let upload = |parts: usize| OpenUpload { id: "u".into(), etags: vec!["e".into(); parts] };
        assert_eq!(upload(ETAGS_MAX).bounded(), upload(ETAGS_MAX));
        assert_eq!(upload(ETAGS_MAX + 1).bounded(), upload(0));
    }

    #[test]
    fn the_runs_of_an_object_lie_end_to_end() {
        let index = RunIndex { ends: vec![7, 7, 30, 31] };
        assert_eq!(
            [0, 1, 2, 3].map(|run| index.range(run)),
            [(0, 7), (7, 7), (7, 30), (30, 31)].map(|range| Some(range.into()))
        );
        assert_eq!([4, 5, u32::MAX].map(|run| index.range(run)), [None; 3]);
    }
}
