//! Manifests, claims and the sums that make a manifest: whatever was stored, sums that do not agree are an error, and a manifest
//! is what the records say. Input: which of them; the bytes.

use crate::input::Input;
use crate::{Seed, golden};
use kinglet_core::ids::{JobId, Partition, Piece};
use kinglet_core::manifest::{Done, Manifest, Pieces, reconcile};
use kinglet_core::wire::files::{FileList, LeftFile};
use kinglet_core::wire::frame;
use kinglet_core::wire::owner::{OWNER, Owner};
use kinglet_core::wire::plan::{self, Inputs, ObjectRange, Split};
use kinglet_core::wire::record::{MapRecord, MergeRecord, OpenUpload, ReduceRecord};
use kinglet_core::wire::spec::{JobSpec, MANIFEST, part_job};
use kinglet_core::{ByteRange, MaxRejected, OutputFormat, codec};

/// What a job has stored by its end.
type Stored = (JobSpec, Inputs, Vec<Split>, Vec<Pieces>, Vec<Vec<MergeRecord>>, u32, Vec<ReduceRecord>, Vec<FileList>);

const JOB: &str = "19aa5440eb0-f0a9c3d5e7ab";

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    match input.byte() {
        0 => {
            if let Ok(manifest) = serde_json::from_slice::<Manifest>(input.0) {
                let text = serde_json::to_vec(&manifest).expect("what was read can be written");
                let again: Manifest = serde_json::from_slice(&text).expect("what was written can be read");
                assert_eq!(again, manifest);
                manifest.written().for_each(|part| drop(part_job(&part.name)));
            }
        }
        1 => {
            if let Ok(owner) = Owner::read(input.0, OWNER) {
                let again = owner.to_bytes().expect("what was read can be written");
                assert_eq!(Owner::read(&again, OWNER).expect("what was written can be read"), owner);
                for job in owner.heritage().iter().map(|heritage| &heritage.job) {
                    file_name(job);
                }
            }
        }
        _ => {
            if let Ok(stored) = codec::decode::<Stored>(input.0) {
                reconciled(&stored);
            }
        }
    }
}

/// An id that was read names a file, and nothing else.
fn file_name(job: &JobId) {
    assert_eq!(job.as_str().parse::<JobId>().as_ref(), Ok(job));
    assert!(!job.as_str().contains(['/', '.', '\0']) && !job.as_str().is_empty());
}

fn reconciled((spec, inputs, splits, maps, merges, partitions, reduces, files): &Stored) {
    let job: JobId = JOB.parse().expect("an id");
    let done = Done { splits, maps, merges, partitions: *partitions, reduces, files };
    let Ok(manifest) = reconcile(&job, spec, inputs, &done) else { return };
    assert_eq!(reduces.iter().filter(|record| !record.hands_on).count() as u64, u64::from(*partitions));
    let exactly = |numbers: &mut dyn Iterator<Item = u64>| numbers.map(u128::from).sum::<u128>();
    let (maps, bytes) = (|| maps.iter().flatten(), u128::from(manifest.bytes));
    assert_eq!(exactly(&mut maps().map(|record| record.bytes_read)), bytes);
    assert_eq!(exactly(&mut maps().map(|record| record.bytes_assigned)), bytes);
    assert_eq!(exactly(&mut maps().map(|record| record.records)), manifest.records.into());
    assert_eq!(exactly(&mut maps().map(|record| record.pairs_out)), manifest.pairs.into());
    let (quarantine, reduces) = reduces.split_at(spec.quarantines() as usize);
    let (left_out, kept) = (manifest.rejected, manifest.quarantine.as_ref().map_or(0, |kept| kept.records));
    assert_eq!(exactly(&mut maps().map(|record| record.rejected)), left_out.into());
    assert_eq!((exactly(&mut quarantine.iter().map(|record| record.records_out)), kept), (left_out.into(), left_out));
    let merges = || merges.iter().flatten();
    let shuffled = if merges().next().is_some() {
        assert_eq!(exactly(&mut merges().map(|record| record.pairs_in)), manifest.pairs.into());
        exactly(&mut merges().map(|record| record.pairs_out))
    } else {
        manifest.pairs.into()
    };
    assert_eq!(exactly(&mut reduces.iter().map(|record| record.pairs_in)), shuffled);
    assert_eq!(exactly(&mut manifest.parts.iter().map(|part| part.bytes)), manifest.bytes_out.into());
    let listed = files.iter().map(|list| list.files.len()).sum::<usize>();
    let want = if spec.output.format.partition_by().is_empty() { reduces.len() } else { listed };
    assert_eq!(manifest.parts.len(), want);
    for part in manifest.written() {
        assert_eq!(part_job(&part.name), Some(job.clone()), "{MANIFEST} names a part that is another's");
    }
    let text = serde_json::to_vec_pretty(&manifest).expect("a manifest can be written");
    assert_eq!(serde_json::from_slice::<Manifest>(&text).expect("it can be read"), manifest);
}

/// What a job of two splits has stored that all agrees.
fn whole() -> Stored {
    let spec: JobSpec = frame::read(golden!("spec-v12.bin"), "the golden spec").expect("a spec");
    let mut spec = JobSpec { inputs: spec.inputs[..1].to_vec(), calls: None, ..spec };
    // The golden spec's output lies in folders.
    spec.output.format = OutputFormat::csv();
    let (_, inputs) = plan::read(golden!("plan-v2.bin")).expect("the golden plan");
    let range =
        |from, to| ObjectRange { input_idx: 0, key: "k".into(), etag: "e".into(), size: 10, from, to, codec: None };
    let splits = [(0, 5), (5, 10)].map(|(from, to)| Split { ranges: vec![range(from, to)] });
    let records = golden!("records-v5.bin");
    let second = 1 + records[1..].windows(4).position(|bytes| bytes == b"KNGL").expect("a second frame");
    let third = second + 1 + records[second + 1..].windows(4).position(|bytes| bytes == b"KNGL").expect("a third");
    let map: MapRecord = frame::read(&records[..second], "a map record").expect("a record");
    let reduce: ReduceRecord = frame::read(&records[second..third], "a reduce record").expect("a record");
    let map = |from: u64, to: u64| MapRecord {
        bytes_assigned: 5,
        bytes_read: to - from,
        taken: Some(ByteRange { from, to }),
        pairs_out: 1,
        remainder: None,
        ..map.clone()
    };
    let maps = vec![vec![map(0, 7)], vec![map(7, 10)]];
    let rejected = maps.iter().flatten().map(|record| record.rejected).sum();
    spec.options.max_rejected = Some(MaxRejected::Count(rejected));
    let reduce = ReduceRecord { hands_on: false, ..reduce };
    let quarantine = ReduceRecord { records_out: rejected, ..reduce.clone() };
    (
        spec,
        Inputs { objects: 1, bytes: 10, ..inputs },
        splits.to_vec(),
        maps,
        vec![],
        2,
        vec![quarantine, reduce],
        vec![],
    )
}

/// The same, with runs that were merged.
fn whole_with_merges() -> Stored {
    let (spec, inputs, splits, maps, _, partitions, reduces, files) = whole();
    let merge: MergeRecord = frame::read(golden!("merge-v1.bin"), "a merge record").expect("a record");
    let reduced = reduces.iter().skip(1).map(|record| record.pairs_in).sum();
    let first = MergeRecord { pairs_in: 2, pairs_out: reduced, ..merge.clone() };
    let second = MergeRecord { pairs_in: 0, pairs_out: 0, merged: None, ..merge };
    (spec, inputs, splits, maps, vec![vec![first, second]], partitions, reduces, files)
}

/// What says that records were left out, and that nobody has written them.
fn without_quarantine() -> Stored {
    let (spec, inputs, splits, mut maps, merges, _, _, files) = whole();
    maps.iter_mut().flatten().for_each(|record| (record.rejected, record.pairs_out) = (0, 0));
    (spec, inputs, splits, maps, merges, 0, vec![], files)
}

/// The same, with files in folders.
fn whole_in_folders() -> Stored {
    let (mut spec, inputs, splits, maps, merges, partitions, mut reduces, _) = whole();
    spec.output.format = OutputFormat::json_lines().with_partition_by(["k"]);
    let job = JOB.parse().expect("an id");
    let half = |n: u32, bytes, records| LeftFile {
        name: spec.output.file_name(&format!("k={n}/"), Partition(0), Piece(0), &job, n),
        upload: OpenUpload { id: "u".into(), etags: vec![] },
        bytes,
        records,
        crc32: n,
    };
    let last = reduces.last_mut().expect("a partition");
    *last = ReduceRecord { files: 2, upload: None, ..last.clone() };
    let files = vec![half(0, 1, 1), half(1, last.bytes_out - 1, last.records_out - 1)];
    (spec, inputs, splits, maps, merges, partitions, reduces, vec![FileList { files }])
}

pub(crate) fn seeds() -> Vec<Seed> {
    let of = |which: u8, bytes: &[u8]| [&[which], bytes].concat();
    let stored = whole();
    let (spec, inputs, splits, maps, merges, partitions, reduces, files) = &stored;
    let job = JOB.parse().expect("an id");
    let done = Done { splits, maps, merges, partitions: *partitions, reduces, files };
    let manifest = reconcile(&job, spec, inputs, &done).expect("sums that agree");
    vec![
        Seed::new("manifest", of(0, &serde_json::to_vec(&manifest).expect("a manifest"))),
        Seed::new("owner", of(1, golden!("owner-v1.json"))),
        Seed::new("stored", of(2, &codec::encode(&stored).expect("what was stored"))),
        Seed::new("stored-with-merges", of(2, &codec::encode(&whole_with_merges()).expect("what was stored"))),
        Seed::new("stored-without-quarantine", of(2, &codec::encode(&without_quarantine()).expect("what was stored"))),
        Seed::new("stored-in-folders", of(2, &codec::encode(&whole_in_folders()).expect("what was stored"))),
    ]
}
