//! The manifest: what a finished job read and wrote, and the proof that the sums agree. It lies next to the parts as
//! `_manifest.json` and is written last of all: an output without a manifest is not whole.

use crate::error::{Code, Error, Result};
use crate::guesses::{Broken, breaks};
use crate::ids::{JobId, Partition};
use crate::range::ByteRange;
use crate::wire::ended::EndSums;
use crate::wire::files::{FileList, LeftFile};
use crate::wire::plan::{Inputs, Split};
use crate::wire::record::{MapRecord, MergeRecord, ReducePiece, ReduceRecord, numbered};
use crate::wire::spec::{InputSpec, JobSpec, RightSpec, Splitting, part_job, part_partition};
use serde::{Deserialize, Serialize};

/// A job's manifest; see the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the layout, 2. Version 1 named parts without the job's id and listed no ETags.
    pub version: u32,
    /// The job's id.
    pub job: String,
    /// The job's name.
    pub name: String,
    /// Objects of the input, empty ones included.
    pub objects: u64,
    /// Bytes of the input: the bytes listed, assigned and read, which are equal.
    pub bytes: u64,
    /// Records given to `map`.
    pub records: u64,
    /// Records that were not valid and were left out.
    pub rejected: u64,
    /// Pairs shuffled.
    pub pairs: u64,
    /// Records written.
    pub records_out: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// The parts that were written, in the order of the partitions, and of one partition in the order of its keys. A partition has
    /// more than one where its reducer needed more time than a function lives, and where the values of columns are folders.
    pub parts: Vec<PartEntry>,
    /// The records that were not valid and were left out, in an object of their own, if there are any: see
    /// [`crate::engine::quarantine`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<PartEntry>,
    /// The splits that were read, piece by piece, in the order of the input.
    pub splits: Vec<SplitEntry>,
    /// Empty objects.
    pub empty: Vec<String>,
}

impl Manifest {
    /// Returns what is told of the job at its end.
    pub fn sums(&self) -> EndSums {
        let Manifest { objects, bytes, records, rejected, pairs, records_out, bytes_out, ref parts, .. } = *self;
        EndSums { objects, bytes, records, rejected, pairs, records_out, bytes_out, parts: parts.len() as u64 }
    }

    /// Returns what the job wrote: the quarantine, and the parts.
    pub fn written(&self) -> impl Iterator<Item = &PartEntry> {
        self.quarantine.iter().chain(&self.parts)
    }

    /// Returns the same, to be completed.
    pub fn written_mut(&mut self) -> impl Iterator<Item = &mut PartEntry> {
        self.quarantine.iter_mut().chain(&mut self.parts)
    }
}

/// One part of the output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartEntry {
    /// Its name within the output, with its folders.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many records it has.
    pub records: u64,
    /// The CRC-32 of its bytes.
    pub crc32: u32,
    /// The attempt that wrote it.
    pub attempt: String,
    /// Its ETag in S3, with its quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// One committed piece of a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitEntry {
    /// The map task.
    pub task: u32,
    /// Which piece of its split.
    pub piece: u16,
    /// The attempt that was committed.
    pub attempt: String,
    /// The objects that it read: the name of each, and where in it the piece began and ended (half open).
    pub ranges: Vec<(String, u64, u64)>,
    /// Bytes read.
    pub bytes: u64,
    /// Records given to `map`.
    pub records: u64,
    /// Records that were not valid and were left out.
    pub rejected: u64,
    /// The CRC-32 of the bytes read, in order.
    pub crc32: u32,
}

impl PartEntry {
    fn of_file(LeftFile { name, bytes, records, crc32, .. }: &LeftFile, record: &ReduceRecord) -> Self {
        let attempt = record.attempt.to_string();
        PartEntry { name: name.clone(), bytes: *bytes, records: *records, crc32: *crc32, attempt, etag: None }
    }

    fn of(ReducePiece { partition, piece, record }: ReducePiece<'_>, spec: &JobSpec, job: &JobId) -> Self {
        PartEntry {
            name: spec.name_of(partition, piece, job),
            bytes: record.bytes_out,
            records: record.records_out,
            crc32: record.crc32,
            attempt: record.attempt.to_string(),
            // The object does not exist yet: S3 names its ETag when the upload is completed.
            etag: None,
        }
    }
}

/// A task's committed pieces, in order.
pub type Pieces = Vec<MapRecord>;

/// What a job's tasks have committed, and what they were given.
#[derive(Clone, Copy, Debug)]
pub struct Done<'a> {
    /// The splits, one for each map task.
    pub splits: &'a [Split],
    /// What the map tasks have committed.
    pub maps: &'a [Pieces],
    /// What the merge tasks have committed, if the job has any.
    pub merges: &'a [Vec<MergeRecord>],
    /// How many reduce tasks there are: the partitions, and before them that of the records left out where the job may leave out
    /// any.
    pub partitions: u32,
    /// What the reduce tasks have committed, one piece after the other.
    pub reduces: &'a [ReduceRecord],
    /// The lists of those pieces that have left files in folders, in order.
    pub files: &'a [FileList],
}

/// Checks that all sums agree and returns the manifest.
///
/// # Errors
/// Returns [`Error::Corrupt`] (`unreconciled`), which names the first sum that does not agree.
pub fn reconcile(job: &JobId, spec: &JobSpec, inputs: &Inputs, done: &Done<'_>) -> Result<Manifest> {
    let Done { splits, maps, merges, partitions, reduces, files } = *done;
    let unreconciled = |what: String| Error::new(Code::Unreconciled, format!("reconciling job {job}: {what}"));
    let same = |what: &str, a: u64, b: u64| {
        if a == b { Ok(()) } else { Err(unreconciled(format!("{what}: {a} is not {b}"))) }
    };
    // What was stored is not trusted: sums that wrap around could agree by chance, or on purpose.
    let sum = |what: &str, numbers: &mut dyn Iterator<Item = u64>| {
        let mut sum: u64 = 0;
        for n in numbers {
            let beyond = || unreconciled(format!("{what}: more than can be counted"));
            sum = sum.checked_add(n).ok_or_else(beyond)?;
        }
        Ok::<u64, Error>(sum)
    };
    let records = || maps.iter().flatten();
    let is_guessed = |right: &RightSpec| right.splitting == Splitting::Guessed;
    if spec.options.splitting == Splitting::Guessed || spec.options.right.as_ref().is_some_and(is_guessed) {
        check_guesses(job, spec, splits, maps)?;
    }
    same("map tasks planned and committed", splits.len() as u64, maps.len() as u64)?;
    let planned = sum("bytes assigned", &mut splits.iter().map(Split::bytes))?;
    same("bytes listed and assigned", inputs.bytes, planned)?;
    let committed = sum("bytes committed", &mut records().map(|r| r.bytes_assigned))?;
    same("bytes assigned and committed", planned, committed)?;
    same("bytes listed and read", inputs.bytes, sum("bytes read", &mut records().map(|r| r.bytes_read))?)?;
    let mapped = sum("records mapped", &mut records().map(|r| r.records))?;
    let rejected = sum("records left out", &mut records().map(|r| r.rejected))?;
    let whole = reduces.iter().filter(|record| !record.hands_on).count();
    same("reduce tasks planned and committed", partitions.into(), whole as u64)?;
    // It is written in one piece.
    let quarantines = spec.quarantines() as usize;
    let Some((quarantine, reduced)) = reduces.split_at_checked(quarantines) else {
        return Err(unreconciled(format!("no reduce task of {partitions} has written the records left out")));
    };
    let kept = sum("records left out and written", &mut quarantine.iter().map(|r| r.records_out))?;
    same("records left out and written", rejected, kept)?;
    check_rejected(job, spec, rejected, mapped)?;
    let given = sum("items given", &mut spec.inputs.iter().map(InputSpec::items))?;
    if given > 0 {
        same("items given and mapped", given, sum("records", &mut [mapped, rejected].into_iter())?)?;
    }
    let pairs = sum("pairs written", &mut records().map(|r| r.pairs_out))?;
    let reduced_pairs = sum("pairs reduced", &mut reduced.iter().map(|r| r.pairs_in))?;
    match merges {
        [] => same("pairs written and reduced", pairs, reduced_pairs)?,
        merges => {
            let merges = || merges.iter().flatten();
            same("pairs written and merged", pairs, sum("pairs merged", &mut merges().map(|r| r.pairs_in))?)?;
            let merged = sum("pairs written by merges", &mut merges().map(|r| r.pairs_out))?;
            same("pairs merged and reduced", merged, reduced_pairs)?;
        }
    }
    let records_out = sum("records written", &mut reduced.iter().map(|r| r.records_out))?;
    let bytes_out = sum("bytes written", &mut reduced.iter().map(|r| r.bytes_out))?;

    let name = |input_idx: u32, key: &str| match spec.inputs.get(input_idx as usize) {
        Some(input) => input.shown_key(key),
        None => key.to_owned(),
    };
    let mut entries = Vec::new();
    // Within an object, the ranges that the splits took must lie end to end and reach its end: sums alone could hide a gap and an
    // overlap.
    let is_whole = |end: Option<End<'_>>| match end {
        Some(End { key, at, size, .. }) => same(&format!("the bytes taken of {key} and its size"), at, size),
        None => Ok(()),
    };
    let mut end: Option<End<'_>> = None;
    for (task, (split, pieces)) in splits.iter().zip(maps).enumerate() {
        for (piece, record) in pieces.iter().enumerate() {
            let ranges = match (&split.ranges[..], record.taken) {
                ([range], Some(ByteRange { from, to })) => {
                    let at = match end {
                        Some(end) if end.key == range.key && end.input_idx == range.input_idx => end.at,
                        before => {
                            is_whole(before)?;
                            0
                        }
                    };
                    same(&format!("the end of one split and the start of the next in {}", range.key), at, from)?;
                    end = Some(End { key: &range.key, input_idx: range.input_idx, at: to, size: range.size });
                    vec![(name(range.input_idx, &range.key), from, to)]
                }
                ([_], None) => vec![],
                (ranges, _) => {
                    let from = piece_start(pieces, piece);
                    let to = record.remainder.map_or(ranges.len(), |p| p.range_idx as usize);
                    ranges
                        .get(from..to)
                        .unwrap_or(&[])
                        .iter()
                        .map(|r| (name(r.input_idx, &r.key), r.from, r.to))
                        .collect()
                }
            };
            entries.push(SplitEntry {
                task: task as u32,
                piece: piece as u16,
                attempt: record.attempt.to_string(),
                ranges,
                bytes: record.bytes_read,
                records: record.records,
                rejected: record.rejected,
                crc32: record.crc32,
            });
        }
    }
    is_whole(end)?;
    let (mut written, mut lists) = (Vec::new(), files.iter());
    for piece in numbered(reduces) {
        let has_folders = !spec.output.format.partition_by().is_empty() && !spec.is_quarantine(piece.partition);
        if !has_folders {
            same("files in folders of an output without", 0, piece.record.files.into())?;
            written.push(PartEntry::of(piece, spec, job));
            continue;
        }
        let list = match piece.record.files {
            0 => &[][..],
            _ => lists.next().map_or(&[][..], |list| &list.files),
        };
        same("files left and listed", piece.record.files.into(), list.len() as u64)?;
        let sum_of = |what: &str, of: fn(&LeftFile) -> u64| sum(what, &mut list.iter().map(of));
        same(
            "records written and in files",
            piece.record.records_out,
            sum_of("records in files", |file| file.records)?,
        )?;
        same("bytes written and in files", piece.record.bytes_out, sum_of("bytes in files", |file| file.bytes)?)?;
        let number = piece.partition.0.checked_sub(spec.quarantines()).map(Partition);
        let is_its =
            |file: &&LeftFile| part_job(&file.name).as_ref() != Some(job) || part_partition(&file.name) != number;
        if let Some(strange) = list.iter().find(is_its) {
            return Err(unreconciled(format!("{} is no file of partition {}", strange.name, piece.partition.0)));
        }
        written.extend(list.iter().map(|file| PartEntry::of_file(file, piece.record)));
    }
    same("lists of files that belong to no piece", 0, lists.len() as u64)?;
    let mut written = written.into_iter();
    let quarantine = written.by_ref().take(quarantines).find(|entry| entry.records > 0);
    Ok(Manifest {
        version: 2,
        job: job.to_string(),
        name: spec.job.clone(),
        objects: inputs.objects,
        bytes: inputs.bytes,
        records: mapped,
        rejected,
        pairs,
        records_out,
        bytes_out,
        parts: written.collect(),
        quarantine,
        splits: entries,
        empty: inputs.empty.iter().map(|object| name(object.input_idx, &object.key)).collect(),
    })
}

/// Checks that no more records were left out than may be. The task that writes them has looked before, and names the first.
///
/// # Errors
/// Returns `too-many-rejected`.
fn check_rejected(job: &JobId, spec: &JobSpec, rejected: u64, mapped: u64) -> Result<()> {
    let read = rejected.saturating_add(mapped);
    match spec.options.max_rejected.filter(|max| !max.allows(rejected, read)) {
        None => Ok(()),
        Some(max) => {
            let says = format!("{rejected} of {read} records are not valid, and {max} may be left out");
            Err(Error::new(Code::TooManyRejected, format!("reconciling job {job}: {says}")))
        }
    }
}

/// Checks that every split began where the one before it ended. What was guessed of it is then what reading the object from its
/// start would have shown; see `core/src/format/quotes.rs`.
///
/// # Errors
/// Returns `split-guess`, which names the first split that began elsewhere.
fn check_guesses(job: &JobId, spec: &JobSpec, splits: &[Split], maps: &[Pieces]) -> Result<()> {
    let Some(Broken { at, start }) = breaks(spec, splits, maps).into_iter().next() else { return Ok(()) };
    let Some([range]) = splits.get(at).map(|split| &split.ranges[..]) else { return Ok(()) };
    let object = spec.inputs.get(range.input_idx as usize).map(|input| input.shown_key(&range.key));
    let object = object.as_deref().unwrap_or(&range.key);
    let mut taken = maps[at].iter().filter_map(|record| record.taken);
    let was = match taken.find(|taken| taken.from != start) {
        Some(taken) => format!("was taken to begin with the row at byte {}", taken.from),
        None => format!(
            "was read up to byte {}",
            maps[at].iter().filter_map(|record| record.taken).map(|t| t.to).max().unwrap_or(start)
        ),
    };
    let message = format!(
        "reconciling job {job}: the split of {object} from byte {} on {was}, but the row before it ends at byte {start}",
        range.from,
    );
    Err(Error::new(Code::SplitGuess, message).with_hint(WHOLE_OBJECTS))
}

/// What helps where splits cannot be begun by guesses.
pub const WHOLE_OBJECTS: &str = "read each object in one split: --whole-objects (`Submit::with_whole_objects`)";

/// How far an object has been read.
#[derive(Clone, Copy)]
struct End<'a> {
    key: &'a str,
    input_idx: u32,
    at: u64,
    /// The object's; of items, without the index behind them.
    size: u64,
}

fn piece_start(pieces: &Pieces, piece: usize) -> usize {
    let before = piece.checked_sub(1).and_then(|at| pieces.get(at));
    before.and_then(|record| record.remainder).map_or(0, |position| position.range_idx as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MaxRejected;
    use crate::ids::AttemptId;
    use crate::wire::plan::{EmptyObject, ObjectRange};
    use crate::wire::record::{Placement, Usage};
    use crate::wire::spec::{ItemsSpec, Objects};

    fn spec() -> JobSpec {
        JobSpec::of_one_object()
    }

    fn map(from: u64, to: u64, assigned: u64) -> MapRecord {
        MapRecord {
            attempt: AttemptId { number: 0, nonce: 1 },
            bytes_assigned: assigned,
            taken: Some(ByteRange { from, to }),
            bytes_read: to - from,
            crc32: 0,
            records: 1,
            rejected: 0,
            pairs_emitted: 1,
            pairs_out: 1,
            run_bytes: 1,
            placement: Placement::Inline,
            spills: 0,
            remainder: None,
            usage: Usage::default(),
        }
    }

    fn reduce(pairs_in: u64) -> ReduceRecord {
        ReduceRecord {
            attempt: AttemptId { number: 0, nonce: 1 },
            runs: 2,
            pairs_in,
            keys: 1,
            records_out: 1,
            bytes_out: 5,
            crc32: 0,
            upload: None,
            files: 0,
            hands_on: false,
            usage: Usage::default(),
        }
    }

    /// Of an output without folders.
    fn reconcile(
        job: &JobId,
        spec: &JobSpec,
        inputs: &Inputs,
        splits: &[Split],
        maps: &[Pieces],
        reduces: &[ReduceRecord],
    ) -> Result<Manifest> {
        let partitions = reduces.iter().filter(|record| !record.hands_on).count() as u32;
        super::reconcile(job, spec, inputs, &Done { splits, maps, merges: &[], partitions, reduces, files: &[] })
    }

    fn split(from: u64, to: u64) -> Split {
        let range = ObjectRange { input_idx: 0, key: "k".into(), etag: "e".into(), size: 10, from, to, codec: None };
        Split { ranges: vec![range] }
    }

    #[test]
    fn sums_that_agree_make_a_manifest_and_others_are_named() {
        let job: JobId = "id".parse().unwrap();
        let (inputs, splits) = (Inputs { objects: 1, bytes: 10, empty: vec![] }, [split(0, 5), split(5, 10)]);
        let go = |maps: &[Pieces], reduces: &[ReduceRecord]| reconcile(&job, &spec(), &inputs, &splits, maps, reduces);
        let manifest = go(&[vec![map(0, 7, 5)], vec![map(7, 10, 5)]], &[reduce(2)]).unwrap();
        assert_eq!(manifest.parts[0].name, "part-00000-id");
        assert_eq!(manifest.splits[1].ranges, [("s3://b/k".to_owned(), 7, 10)]);
        let says = |maps: &[Pieces], reduces: &[ReduceRecord], what: &str| {
            let error = go(maps, reduces).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
        };
        says(&[vec![map(0, 7, 5)], vec![map(7, 9, 5)]], &[reduce(2)], "bytes listed and read: 10 is not 9");
        says(&[vec![map(0, 6, 5)], vec![map(5, 9, 5)]], &[reduce(2)], "the end of one split");
        says(&[vec![map(0, 7, 5)], vec![map(7, 10, 5)]], &[reduce(3)], "pairs written and reduced: 2 is not 3");
        says(&[vec![map(0, 7, 5)]], &[reduce(1)], "map tasks planned and committed");
    }

    /// No sum shows that a partition without a pair is missing.
    #[test]
    fn each_reduce_task_has_ended_and_that_of_records_left_out_is_there() {
        let job: JobId = "id".parse().unwrap();
        let mut spec = spec();
        spec.options.max_rejected = Some(MaxRejected::Count(1));
        let inputs = Inputs { objects: 1, bytes: 10, empty: vec![] };
        let (splits, maps) = ([split(0, 10)], [vec![MapRecord { pairs_out: 0, ..map(0, 10, 10) }]]);
        let quarantine = ReduceRecord { records_out: 0, ..reduce(0) };
        let go = |partitions: u32, reduces: &[ReduceRecord]| {
            let done = Done { splits: &splits, maps: &maps, merges: &[], partitions, reduces, files: &[] };
            super::reconcile(&job, &spec, &inputs, &done)
        };
        assert_eq!(go(2, &[quarantine.clone(), reduce(0)]).unwrap().parts.len(), 1);
        let unended = [quarantine.clone(), ReduceRecord { hands_on: true, ..reduce(0) }];
        for (partitions, reduces, says) in [
            (2, &unended[..], "reduce tasks planned and committed: 2 is not 1"),
            (2, &[quarantine], "reduce tasks planned and committed: 2 is not 1"),
            (0, &[], "no reduce task of 0 has written the records left out"),
        ] {
            let error = go(partitions, reduces).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn pairs_are_followed_through_the_merges() {
        let job: JobId = "id".parse().unwrap();
        let (inputs, splits) = (Inputs { objects: 1, bytes: 10, empty: vec![] }, [split(0, 5), split(5, 10)]);
        let maps = [vec![map(0, 7, 5)], vec![map(7, 10, 5)]];
        let merge = |pairs_in, pairs_out| MergeRecord {
            attempt: AttemptId { number: 0, nonce: 1 },
            runs: 2,
            bytes_in: 9,
            pairs_in,
            pairs_out,
            run_bytes: 9,
            placement: Placement::Object,
            merged: None,
            usage: Usage::default(),
        };
        let go = |merges: &[Vec<MergeRecord>], pairs: u64| {
            let done =
                Done { splits: &splits, maps: &maps, merges, partitions: 1, reduces: &[reduce(pairs)], files: &[] };
            super::reconcile(&job, &spec(), &inputs, &done)
        };
        assert_eq!(go(&[vec![merge(1, 1), merge(1, 0)]], 1).unwrap().pairs, 2);
        let says = |merges: &[Vec<MergeRecord>], pairs: u64| go(merges, pairs).unwrap_err().to_string();
        let lost = says(&[vec![merge(1, 1)]], 1);
        assert!(lost.contains("pairs written and merged: 2 is not 1"), "{lost}");
        let doubled = says(&[vec![merge(2, 1)]], 2);
        assert!(doubled.contains("pairs merged and reduced: 1 is not 2"), "{doubled}");
        let beyond = says(&[vec![merge(u64::MAX, 1), merge(3, 1)]], 2);
        assert!(beyond.contains("more than can be counted"), "{beyond}");
    }

    #[test]
    fn a_guess_that_the_split_before_disproves_names_both_places() {
        let job: JobId = "id".parse().unwrap();
        let (inputs, splits) = (Inputs { objects: 1, bytes: 10, empty: vec![] }, [split(0, 5), split(5, 10)]);
        let mut spec = spec();
        for (maps, says) in [
            (
                [vec![map(0, 9, 5)], vec![map(6, 10, 5)]],
                "from byte 5 on was taken to begin with the row at byte 6, but the row before it ends at byte 9",
            ),
            ([vec![map(0, 6, 5)], vec![map(9, 10, 5)]], "at byte 9, but the row before it ends at byte 6"),
        ] {
            spec.options.splitting = Splitting::Guessed;
            let error = reconcile(&job, &spec, &inputs, &splits, &maps, &[reduce(2)]).unwrap_err();
            assert_eq!(error.code(), "split-guess");
            assert!(error.to_string().contains(says), "{error}");
            spec.options.splitting = Splitting::Anywhere;
            assert_eq!(
                reconcile(&job, &spec, &inputs, &splits, &maps, &[reduce(2)]).unwrap_err().code(),
                "unreconciled"
            );
        }
        spec.options.splitting = Splitting::Guessed;
        let right = [vec![map(0, 9, 5)], vec![map(9, 10, 5)]];
        assert!(reconcile(&job, &spec, &inputs, &splits, &right, &[reduce(2)]).is_ok());
    }

    fn range(input_idx: u32, key: &str, from: u64, to: u64) -> ObjectRange {
        ObjectRange { input_idx, key: key.into(), etag: "e".into(), size: 10, from, to, codec: None }
    }

    /// Ranges lie end to end within one object of one input, not across objects.
    #[test]
    fn an_object_begins_at_its_first_byte_whatever_was_read_before() {
        let job: JobId = "id".parse().unwrap();
        let mut spec = spec();
        spec.inputs.push(InputSpec { bucket: "c".into(), ..spec.inputs[0].clone() });
        let inputs = Inputs { objects: 2, bytes: 20, empty: vec![EmptyObject { input_idx: 1, key: "none".into() }] };
        for (second, third) in [((0, "other"), (0, "other")), ((1, "k"), (1, "k"))] {
            let splits = [range(0, "k", 0, 10), range(second.0, second.1, 0, 4), range(third.0, third.1, 4, 10)];
            let splits = splits.map(|range| Split { ranges: vec![range] });
            let go = |from: u64, to: u64| {
                let maps = [vec![map(0, 10, 10)], vec![map(from, to, 4)], vec![map(to, from + 10, 6)]];
                reconcile(&job, &spec, &inputs, &splits, &maps, &[reduce(3)])
            };
            let manifest = go(0, 5).unwrap();
            let ranges: Vec<_> = manifest.splits.iter().flat_map(|split| &split.ranges).cloned().collect();
            let shown = |(input, key): (u32, &str)| spec.inputs[input as usize].shown_key(key);
            assert_eq!(ranges, [(shown((0, "k")), 0, 10), (shown(second), 0, 5), (shown(third), 5, 10)]);
            assert_eq!((manifest.objects, manifest.bytes, manifest.records, manifest.pairs), (2, 20, 3, 3));
            assert_eq!(manifest.empty, [shown((1, "none"))]);
            // The right number of bytes, from the wrong place.
            let error = go(1, 5).unwrap_err();
            assert!(error.to_string().contains("the end of one split and the start of the next"), "{error}");
        }
    }

    #[test]
    fn the_pieces_of_a_split_of_several_objects_have_its_ranges_between_them() {
        let job: JobId = "id".parse().unwrap();
        let splits = [Split { ranges: (0..4).map(|n| range(0, &n.to_string(), 0, 10)).collect() }];
        let inputs = Inputs { objects: 4, bytes: 40, empty: vec![] };
        // Handed back after the fourth byte of the third range, which is therefore listed with the second piece.
        let record = |read: u64, remainder| MapRecord { bytes_read: read, taken: None, remainder, ..map(0, 0, 0) };
        let handed_back = Some(crate::wire::record::Position::at(2, 4));
        let first = MapRecord { bytes_assigned: 40, ..record(24, handed_back) };
        let manifest =
            reconcile(&job, &spec(), &inputs, &splits, &[vec![first, record(16, None)]], &[reduce(2)]).unwrap();
        let keys = |piece: usize| {
            let names = manifest.splits[piece].ranges.iter().map(|(name, from, to)| (name.clone(), *from, *to));
            names.collect::<Vec<_>>()
        };
        let named = |n: u32| (spec().inputs[0].shown_key(&n.to_string()), 0, 10);
        assert_eq!(keys(0), [named(0), named(1)]);
        assert_eq!(keys(1), [named(2), named(3)]);
        assert_eq!((manifest.splits[0].piece, manifest.splits[1].piece), (0, 1));
    }

    #[test]
    fn items_that_were_given_were_mapped_or_rejected() {
        let job: JobId = "id".parse().unwrap();
        let mut spec = spec();
        let made = |items| ItemsSpec { key: "k".into(), etag: "e".into(), items, items_bytes: 10, splits: 2 };
        let (inputs, splits) = (Inputs { objects: 1, bytes: 10, empty: vec![] }, [split(0, 5), split(5, 10)]);
        let rejecting = MapRecord { rejected: 2, ..map(5, 10, 5) };
        let maps = [vec![map(0, 5, 5)], vec![rejecting]];
        spec.options.max_rejected = Some(MaxRejected::Count(2));
        let quarantine = ReduceRecord { records_out: 2, ..reduce(2) };
        for (given, agrees) in [(4, true), (3, false), (5, false), (1, false)] {
            spec.inputs[0].objects = Objects::Items(made(given));
            let done = reconcile(&job, &spec, &inputs, &splits, &maps, &[quarantine.clone(), reduce(2)]);
            assert_eq!(done.is_ok(), agrees, "{given}: {done:?}");
        }
    }

    #[test]
    fn every_sum_that_does_not_agree_is_refused_by_its_name() {
        let job: JobId = "id".parse().unwrap();
        let splits = [split(0, 5), split(5, 10)];
        let says = |listed: u64, pieces: [MapRecord; 2], pairs_in: u64| {
            let inputs = Inputs { objects: 1, bytes: listed, empty: vec![] };
            let maps = pieces.map(|piece| vec![piece]);
            reconcile(&job, &spec(), &inputs, &splits, &maps, &[reduce(pairs_in)]).map_err(|error| {
                assert_eq!(error.code(), "unreconciled");
                error.to_string()
            })
        };
        let good = || [map(0, 5, 5), map(5, 10, 5)];
        says(10, good(), 2).unwrap();
        let refused = |said: Result<Manifest, String>, sum: &str| {
            assert_eq!(said.unwrap_err(), format!("reconciling job id: {sum}"));
        };
        // Each is the only sum that is wrong.
        refused(says(11, good(), 2), "bytes listed and assigned: 11 is not 10");
        refused(says(10, [map(0, 5, 4), map(5, 10, 5)], 2), "bytes assigned and committed: 10 is not 9");
        let read_less = MapRecord { bytes_read: 4, ..map(5, 10, 5) };
        refused(says(10, [map(0, 5, 5), read_less], 2), "bytes listed and read: 10 is not 9");
        refused(says(10, good(), 1), "pairs written and reduced: 2 is not 1");
        let gap = [map(0, 5, 5), MapRecord { bytes_read: 5, ..map(6, 10, 5) }];
        refused(says(10, gap, 2), "the end of one split and the start of the next in k: 5 is not 6");
        let overlap = [map(0, 5, 5), MapRecord { bytes_read: 5, ..map(4, 10, 5) }];
        refused(says(10, overlap, 2), "the end of one split and the start of the next in k: 5 is not 4");
    }

    #[test]
    fn the_manifest_has_the_sums_of_all_pieces_and_parts_and_each_ones_own_figures() {
        let job: JobId = "id".parse().unwrap();
        let (inputs, splits) = (Inputs { objects: 1, bytes: 10, empty: vec![] }, [split(0, 5), split(5, 10)]);
        let attempt = |number| AttemptId { number, nonce: 1 };
        let handed_back = Some(crate::wire::record::Position::at(0, 2));
        let figures = |piece: MapRecord, records, rejected, crc32, number| MapRecord {
            records,
            rejected,
            pairs_out: 2,
            crc32,
            attempt: attempt(number),
            ..piece
        };
        // The first split in two pieces, of which the first hands back three bytes.
        let one = MapRecord { remainder: handed_back, ..figures(map(0, 2, 2), 3, 1, 7, 0) };
        let two = figures(map(2, 6, 3), 5, 0, 8, 1);
        let three = figures(map(6, 10, 5), 11, 2, 9, 2);
        let maps = [vec![one, two], vec![three]];
        let part = |pairs_in, records_out, bytes_out, crc32, number| ReduceRecord {
            records_out,
            bytes_out,
            crc32,
            attempt: attempt(number),
            ..reduce(pairs_in)
        };
        let reduces = [part(3, 3, 40, 4, 0), part(4, 2, 20, 5, 0), part(2, 1, 30, 6, 3)];
        let mut spec = spec();
        spec.options.max_rejected = Some(MaxRejected::Count(3));
        let manifest = reconcile(&job, &spec, &inputs, &splits, &maps, &reduces).unwrap();
        assert_eq!((manifest.records, manifest.rejected, manifest.pairs), (19, 3, 6));
        assert_eq!((manifest.records_out, manifest.bytes_out), (3, 50));
        let piece = |split: &SplitEntry| {
            let (task, piece, bytes) = (split.task, split.piece, split.bytes);
            (task, piece, bytes, split.records, split.rejected, split.crc32, split.attempt.clone())
        };
        let attempts = [0, 1, 2, 3].map(|number| attempt(number).to_string());
        assert_eq!(
            manifest.splits.iter().map(piece).collect::<Vec<_>>(),
            [
                (0, 0, 2, 3, 1, 7, attempts[0].clone()),
                (0, 1, 4, 5, 0, 8, attempts[1].clone()),
                (1, 0, 4, 11, 2, 9, attempts[2].clone()),
            ]
        );
        let part = |name: &str, bytes, records, crc32, attempt: &str| PartEntry {
            name: name.into(),
            bytes,
            records,
            crc32,
            attempt: attempt.into(),
            etag: None,
        };
        assert_eq!(
            manifest.parts,
            [part("part-00000-id", 20, 2, 5, &attempts[0]), part("part-00001-id", 30, 1, 6, &attempts[3])]
        );
        assert_eq!(manifest.quarantine, Some(part("_rejected-id.jsonl", 40, 3, 4, &attempts[0])));
        let names: Vec<_> = manifest.written().map(|entry| &*entry.name).collect();
        assert_eq!(names, ["_rejected-id.jsonl", "part-00000-id", "part-00001-id"]);
    }

    #[test]
    fn files_in_folders_are_listed_and_make_up_what_their_piece_has_written() {
        let job: JobId = "19aa5440eb0-f0a9c3d5e7ab".parse().unwrap();
        let (inputs, splits) = (Inputs { objects: 1, bytes: 10, empty: vec![] }, [split(0, 5), split(5, 10)]);
        let mut spec = spec();
        spec.output.format = crate::OutputFormat::json_lines().with_partition_by(["k"]);
        let name = |value: u32, partition, piece| {
            let (partition, piece) = (Partition(partition), crate::ids::Piece(piece));
            spec.output.file_name(&format!("k={value}/"), partition, piece, &job, 0)
        };
        let file = |name: String, bytes, records| LeftFile {
            name,
            upload: crate::wire::record::OpenUpload { id: "u".into(), etags: vec![] },
            bytes,
            records,
            crc32: 7,
        };
        let lists = [
            FileList { files: vec![file(name(1, 0, 0), 10, 1), file(name(2, 0, 0), 20, 2)] },
            FileList { files: vec![file(name(2, 0, 1), 5, 1)] },
        ];
        let piece = |files, records_out, bytes_out, hands_on| ReduceRecord {
            files,
            records_out,
            bytes_out,
            hands_on,
            ..reduce(1)
        };
        // The first partition in two pieces, the second without a record.
        let reduces =
            [piece(2, 3, 30, true), piece(1, 1, 5, false), ReduceRecord { pairs_in: 0, ..piece(0, 0, 0, false) }];
        let maps = [vec![map(0, 7, 5)], vec![map(7, 10, 5)]];
        let go = |spec: &JobSpec, reduces: &[ReduceRecord], lists: &[FileList]| {
            super::reconcile(
                &job,
                spec,
                &inputs,
                &Done { splits: &splits, maps: &maps, merges: &[], partitions: 2, reduces, files: lists },
            )
        };
        let manifest = go(&spec, &reduces, &lists).unwrap();
        let listed: Vec<_> = manifest.parts.iter().map(|part| (part.name.clone(), part.bytes, part.records)).collect();
        assert_eq!(listed, [(name(1, 0, 0), 10, 1), (name(2, 0, 0), 20, 2), (name(2, 0, 1), 5, 1)]);
        assert_eq!((manifest.records_out, manifest.bytes_out), (4, 35));
        let refused = |spec: &JobSpec, reduces: &[ReduceRecord], lists: &[FileList], says: &str| {
            let error = go(spec, reduces, lists).unwrap_err();
            assert!(error.is(Code::Unreconciled) && error.to_string().contains(says), "{error}");
        };
        refused(&spec, &reduces, &lists[..1], "files left and listed: 1 is not 0");
        let more = [&lists[..], &lists[..1]].concat();
        refused(&spec, &reduces, &more, "lists of files that belong to no piece: 0 is not 1");
        let change = |change: fn(&mut LeftFile)| {
            let mut lists = lists.clone();
            change(&mut lists[0].files[1]);
            lists
        };
        refused(&spec, &reduces, &change(|file| file.records = 1), "records written and in files: 3 is not 2");
        refused(&spec, &reduces, &change(|file| file.bytes = 21), "bytes written and in files: 30 is not 31");
        let strange = "no file of partition 0";
        refused(&spec, &reduces, &change(|file| file.name = file.name.replace("00000-", "00001-")), strange);
        refused(&spec, &reduces, &change(|file| file.name = file.name.replace("19aa", "19ab")), strange);
        spec.output.format = crate::OutputFormat::json_lines();
        refused(&spec, &reduces, &lists, "files in folders of an output without");
    }

    #[test]
    fn what_is_left_out_is_written_whole_and_is_no_more_than_may_be() {
        let job: JobId = "id".parse().unwrap();
        let (inputs, splits) = (Inputs { objects: 1, bytes: 10, empty: vec![] }, [split(0, 5), split(5, 10)]);
        let says = |max_rejected, rejected: [u64; 2], written: &[u64]| {
            let mut spec = spec();
            spec.options.max_rejected = max_rejected;
            let piece = |from, rejected| vec![MapRecord { rejected, ..map(from, from + 5, 5) }];
            let maps = [piece(0, rejected[0]), piece(5, rejected[1])];
            let kept = written.iter().map(|&count| ReduceRecord { records_out: count, ..reduce(count) });
            let reduces: Vec<_> = kept.chain([reduce(2)]).collect();
            reconcile(&job, &spec, &inputs, &splits, &maps, &reduces).map_err(|error| {
                let said = error.to_string().strip_prefix("reconciling job id: ").unwrap().to_owned();
                (error.code().to_owned(), said)
            })
        };
        let count = |most| Some(MaxRejected::Count(most));
        let manifest = says(count(3), [1, 2], &[3]).unwrap();
        assert_eq!((manifest.rejected, manifest.records, manifest.records_out), (3, 2, 1));
        // Nothing is left out: there is no such object.
        let manifest = says(count(3), [0, 0], &[0]).unwrap();
        assert_eq!((manifest.quarantine, &*manifest.parts[0].name), (None, "part-00000-id"));
        let refused = |code: &str, said: &str| Err((code.to_owned(), said.to_owned()));
        let lost = "records left out and written: 3 is not 2";
        assert_eq!(says(count(3), [1, 2], &[2]), refused("unreconciled", lost));
        let not_allowed = "records left out and written: 1 is not 0";
        assert_eq!(says(None, [0, 1], &[]), refused("unreconciled", not_allowed));
        let too_many = "3 of 5 records are not valid, and 2 may be left out";
        assert_eq!(says(count(2), [1, 2], &[3]), refused("too-many-rejected", too_many));
        assert!(says(Some(MaxRejected::Percent(60.0)), [1, 2], &[3]).is_ok());
        let too_many = "3 of 5 records are not valid, and 59% may be left out";
        assert_eq!(says(Some(MaxRejected::Percent(59.0)), [1, 2], &[3]), refused("too-many-rejected", too_many));
    }

    #[test]
    fn an_object_is_read_to_its_end_whatever_was_read_of_others() {
        let job: JobId = "id".parse().unwrap();
        let keys = ["a", "b"];
        let splits = keys.map(|key| Split { ranges: vec![range(0, key, 0, 10)] });
        let inputs = Inputs { objects: 2, bytes: 20, empty: vec![] };
        let says = |a: MapRecord, b: MapRecord| {
            reconcile(&job, &spec(), &inputs, &splits, &[vec![a], vec![b]], &[reduce(2)])
                .map(|manifest| manifest.bytes)
                .map_err(|error| error.to_string())
        };
        let refused = |key: &str, to: u64| {
            Err(format!("reconciling job id: the bytes taken of {key} and its size: {to} is not 10"))
        };
        assert_eq!(says(map(0, 10, 10), map(0, 10, 10)), Ok(20));
        // As many bytes in all, or what is said to be as many.
        assert_eq!(says(map(0, 8, 10), map(0, 12, 10)), refused("a", 8));
        let miscounted = MapRecord { bytes_read: 10, ..map(0, 8, 10) };
        assert_eq!(says(map(0, 10, 10), miscounted), refused("b", 8));
    }

    /// In a split that is one range, a piece may hold no record's start: it has nothing to list, and the next goes on where the
    /// one before it ended.
    #[test]
    fn a_piece_in_which_no_record_starts_lists_no_range() {
        let job: JobId = "id".parse().unwrap();
        let inputs = Inputs { objects: 1, bytes: 10, empty: vec![] };
        let splits = [split(0, 4), split(4, 6), split(6, 10)];
        let nothing = MapRecord { taken: None, bytes_read: 0, ..map(0, 0, 2) };
        let maps = [vec![map(0, 8, 4)], vec![nothing], vec![map(8, 10, 4)]];
        let manifest = reconcile(&job, &spec(), &inputs, &splits, &maps, &[reduce(3)]).unwrap();
        let listed: Vec<_> = manifest.splits.iter().map(|split| split.ranges.len()).collect();
        assert_eq!(listed, [1, 0, 1]);
    }
}
