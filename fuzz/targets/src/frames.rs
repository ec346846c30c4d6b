//! Records in frames, and plans: what is read is either refused, or can be written and read again as the same. Input: which kind
//! of record; the bytes.

use crate::input::Input;
use crate::{Seed, golden, seal};
use kinglet_core::ids::{Partition, Piece, TaskIdx, Timestamp};
use kinglet_core::wire::files::FileList;
use kinglet_core::wire::frame::{self, Framed};
use kinglet_core::wire::plan::{self, Inputs, PlanIndex, Split};
use kinglet_core::wire::record::{MapRecord, ReduceRecord, Requests, RunIndex, Usage};
use kinglet_core::wire::rest::ReduceRest;
use kinglet_core::wire::spec::{self, JobSpec};
use kinglet_core::{Code, Error};
use std::fmt::Debug;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let kind = input.byte();
    let bytes = input.0;
    match kind {
        0 => record(bytes, |spec: &JobSpec| {
            let job = "19aa5440eb0-f0a9c3d5e7ab".parse().expect("an id");
            let [first, other] = [0, 7].map(|partition| spec.key_of(Partition(partition), Piece(3), &job));
            for key in [first, other, spec.output.owner_key(), spec.output.manifest_key()] {
                let name = key.strip_prefix(&spec.output.prefix).expect("a name of the output lies below its prefix");
                assert!(!name.contains('/'), "{name}");
                let _ = (spec.output.shown_key(&key), spec::part_job(name));
            }
            for key in spec.output.written() {
                assert!(key.starts_with(&spec.output.prefix));
            }
            let _ = spec.output.in_folders();
            let _ = (spec.writes_output(), spec.inputs.iter().map(|input| input.shown_key("a/b")).collect::<Vec<_>>());
        }),
        1 => record(bytes, |split: &Split| {
            let _ = split.bytes();
            assert!(split.ranges.iter().all(|range| range.from <= range.to && range.to <= range.size));
        }),
        2 => record(bytes, |map: &MapRecord| {
            let _ = map.usage.gb_seconds();
            let mut sum = Requests::default();
            (0..3).for_each(|_| sum += map.usage.requests);
        }),
        3 => record(bytes, |_: &ReduceRecord| ()),
        4 => record(bytes, |index: &RunIndex| {
            let ranges = (0..).map_while(|n| index.range(n));
            assert_eq!(ranges.map(|range| range.bytes()).sum::<u64>(), index.ends.last().copied().unwrap_or(0));
            assert_eq!(index.range(u32::MAX), None);
        }),
        5 => record(bytes, |error: &Error| {
            let _ = (error.clone().shortened(), error.is_retryable(), error.known_code(), error.to_string());
        }),
        6 => record(bytes, |_: &Inputs| ()),
        7 => record(bytes, |usage: &Usage| {
            let _ = (usage.gb_seconds(), Timestamp(0).since_ms(usage.started_at));
        }),
        9 => record(bytes, |rest: &ReduceRest| {
            let runs = rest.runs.iter().map(|run| (run.run().range.map(|range| range.bytes()), run.place));
            assert!(runs.into_iter().all(|(bytes, place)| bytes.is_none_or(|bytes| place.offset <= bytes)));
        }),
        10 => record(bytes, |list: &FileList| {
            for file in &list.files {
                let mut parts = file.name.split('/');
                assert!(parts.all(|part| !matches!(part, "" | "." | "..")), "{} leads elsewhere", file.name);
                let _ = (spec::part_job(&file.name), spec::part_partition(&file.name));
            }
        }),
        _ => {
            let mut sealed = bytes.to_vec();
            seal::plan(&mut sealed);
            for bytes in [bytes, &sealed] {
                whole_plan(bytes);
            }
        }
    }
}

/// Reads a record as it is, and as the payload of a frame with the right checksum.
fn record<T: Framed + Debug + PartialEq>(bytes: &[u8], use_it: impl Fn(&T)) {
    let payload = bytes.get(12..).unwrap_or_default();
    for bytes in [bytes, &seal::frame::<T>(bytes), &seal::frame::<T>(payload)] {
        let Ok(record) = frame::read::<T>(bytes, "it") else { continue };
        use_it(&record);
        let again = frame::write(&record).expect("what was read can be written");
        assert_eq!(frame::read::<T>(&again, "it again").expect("what was written can be read"), record);
    }
}

fn whole_plan(bytes: &[u8]) {
    let Ok(index) = PlanIndex::read(bytes) else {
        assert!(plan::read(bytes).is_err());
        return;
    };
    for task in 0..3 {
        if let Some(at) = index.split(TaskIdx(task)) {
            assert!(at.from <= at.to && at.to <= index.inputs());
        }
    }
    assert_eq!(index.split(TaskIdx(u32::MAX)), None);
    let Ok((splits, inputs)) = plan::read(bytes) else { return };
    let again = plan::write(&splits, &inputs).expect("what was read can be written");
    assert_eq!(plan::read(&again).expect("what was written can be read"), (splits, inputs));
}

pub(crate) fn seeds() -> Vec<Seed> {
    let of = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
    let error = frame::write(&Error::new(Code::JobMissing, "a message").with_hint("a hint")).expect("an error");
    let records = golden!("records-v5.bin");
    // The golden file has four frames, one behind the other.
    let starts: Vec<usize> = (0..records.len()).filter(|at| records[*at..].starts_with(b"KNGL")).collect();
    let part = |n: usize| &records[starts[n]..starts.get(n + 1).copied().unwrap_or(records.len())];
    let (splits, inputs) = plan::read(golden!("plan-v2.bin")).expect("the golden plan");
    vec![
        Seed::new("spec", of(0, golden!("spec-v12.bin"))),
        Seed::new("split", of(1, &frame::write(&splits[1]).expect("a split"))),
        Seed::new("map", of(2, part(0))),
        Seed::new("reduce", of(3, part(1))),
        Seed::new("index", of(4, part(2))),
        Seed::new("error", of(5, &error)),
        Seed::new("inputs", of(6, &frame::write(&inputs).expect("the inputs"))),
        Seed::new("usage", of(7, part(3))),
        Seed::new("plan", of(8, golden!("plan-v2.bin"))),
        Seed::new("rest", of(9, golden!("rest-v1.bin"))),
        Seed::new("files", of(10, golden!("files-v1.bin"))),
    ]
}
