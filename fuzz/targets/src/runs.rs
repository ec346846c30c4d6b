//! Runs: a run is refused, or its keys ascend and it can be written again; a merge of runs gives every pair of theirs, key by key
//! in order. Input: how many runs; for each but the last its length in two bytes, and its bytes; the last run.

use crate::input::Input;
use crate::{Seed, golden, seal};
use kinglet_core::engine::passes::Opening;
use kinglet_core::engine::reduce::{ReduceCounts, ReduceOptions, Reduced, Runs};
use kinglet_core::wire::run::{AnyRun, Compression, RunReader, RunWriter};
use kinglet_core::{
    ErasedJob, Job, Registry, Result, Sink, UserResult, Values, Words, codec, encode_params, signature,
};
use serde::{Deserialize, Serialize};
use std::io::Cursor;
use std::sync::{Arc, OnceLock};

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let count = usize::from(input.byte()) % 5 + 1;
    let mut runs: Vec<Vec<u8>> = (1..count)
        .map(|_| {
            let length = input.short();
            input.take(length).to_vec()
        })
        .collect();
    runs.push(input.0.to_vec());
    for run in &runs {
        let _ = pairs(run);
    }
    runs.iter_mut().for_each(|run| seal::run(run));
    let read: Vec<Result<Vec<Pair>>> = runs.iter().map(|run| pairs(run)).collect();
    for pairs in read.iter().flatten() {
        rewritten(pairs);
    }
    merged(&runs, &read);
}

struct Pair {
    key: Vec<u8>,
    value: Vec<u8>,
}

/// Reads all pairs of a run.
fn pairs(run: &[u8]) -> Result<Vec<Pair>> {
    let mut reader = RunReader::open(run, "it")?;
    let mut pairs: Vec<Pair> = Vec::new();
    while reader.advance()? {
        assert!(pairs.last().is_none_or(|last| last.key[..] <= *reader.key()), "keys out of order");
        pairs.push(Pair { key: reader.key().to_vec(), value: reader.value().to_vec() });
    }
    Ok(pairs)
}

/// Writes the pairs again, in each way, and compares what is read of that.
fn rewritten(read: &[Pair]) {
    for compression in [Compression::None, Compression::Lz4] {
        let mut writer = RunWriter::new(compression);
        for pair in read {
            writer.push_encoded(&mut pair.key.clone(), &pair.value).expect("what was read can be written");
        }
        let again = pairs(&writer.finish().0).expect("what was written can be read");
        assert!(again.len() == read.len());
        assert!(again.iter().zip(read).all(|(a, b)| a.key == b.key && a.value == b.value), "other pairs");
    }
}

/// A job whose output is each key, in hexadecimal digits, which sort as the keys do.
#[derive(Serialize, Deserialize)]
struct Keys;

impl Job for Keys {
    const NAME: &'static str = "keys";
    type Input = Words;
    type Key = Vec<u8>;
    type Value = Vec<u8>;
    type Output = String;

    fn map(&self, _: &[u8], _: &mut kinglet_core::Emitter<'_, Vec<u8>, Vec<u8>>) -> UserResult {
        Ok(())
    }

    fn reduce(&self, key: Vec<u8>, values: Values<'_, Vec<u8>>, out: &mut Sink<'_, String>) -> UserResult {
        // Every other key leaves its values to be skipped.
        if key.len().is_multiple_of(2) {
            let _ = values.map(|value| value.len()).sum::<usize>();
        }
        out.push(&key.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn job() -> &'static dyn ErasedJob {
    static JOB: OnceLock<Box<dyn ErasedJob>> = OnceLock::new();
    let opened = || {
        let params = encode_params(&Keys).expect("no parameters");
        Registry::new().job::<Keys>().open(Keys::NAME, &signature::<Keys>(), &params).expect("the job")
    };
    &**JOB.get_or_init(opened)
}

struct Given(Vec<Vec<u8>>);

impl Runs for Given {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn open(&mut self, openings: &[Opening]) -> Result<Vec<AnyRun>> {
        let open = |opening: &Opening| {
            let rest = self.0[opening.run][opening.place.offset as usize..].to_vec();
            RunReader::resume(Cursor::new(rest), "it", opening.place).map(RunReader::boxed)
        };
        openings.iter().map(open).collect()
    }
}

/// Merges the runs, at once and in passes, and compares the keys with those that were read.
fn merged(runs: &[Vec<u8>], read: &[Result<Vec<Pair>>]) {
    let whole = read.iter().all(Result::is_ok);
    // Values that are no byte strings are an error only where they are read.
    let valued = read.iter().flatten().flatten().all(|pair| codec::decode::<Vec<u8>>(&pair.value).is_ok());
    let mut want: Vec<&[u8]> = read.iter().flatten().flatten().map(|pair| &pair.key[..]).collect();
    let pairs = want.len() as u64;
    want.sort_unstable();
    want.dedup();
    let lines: Vec<String> = want.iter().map(|key| key.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
    let at_once = runs.len().max(2);
    for (fan_in_max, hand_on, tmp_bytes) in [(at_once, false, 1 << 20), (2, false, 1), (at_once, true, 1), (2, true, 1)]
    {
        let mut start = None;
        let (mut out, mut all) = (Vec::new(), ReduceCounts::default());
        let whole_part = loop {
            let options = ReduceOptions {
                fan_in_max,
                tmp_bytes,
                start: start.take(),
                hand_on: Arc::new(hand_on.into()),
                ..ReduceOptions::default()
            };
            let reduced = job().reduce(&options, Box::new(Given(runs.to_vec())), &mut |op| {
                out.extend(op.into_bytes());
                Ok(())
            });
            let Ok(Reduced { counts, rest }) = reduced else { break false };
            (all.pairs_in, all.keys) = (all.pairs_in + counts.pairs_in, all.keys + counts.keys);
            start = rest;
            if start.is_none() {
                break true;
            }
        };
        if !whole_part {
            assert!(!whole || !valued, "runs that can be read cannot be merged");
            continue;
        }
        assert!(whole, "a run that cannot be read was merged");
        assert_eq!((all.pairs_in, all.keys), (pairs, lines.len() as u64));
        assert!(out.split(|byte| *byte == b'\n').zip(&lines).all(|(got, want)| got == want.as_bytes()), "other keys");
    }
}

pub(crate) fn seeds() -> Vec<Seed> {
    let written = |words: &str, compression| {
        let mut writer = RunWriter::new(compression);
        let mut words: Vec<&str> = words.split(' ').collect();
        words.sort_unstable();
        for (n, word) in words.into_iter().enumerate() {
            writer.push(&mut word.as_bytes().to_vec(), &vec![n as u8; n]).expect("a pair");
        }
        writer.finish().0
    };
    let (plain, packed) = (Compression::None, Compression::Lz4);
    let several = |runs: &[Vec<u8>]| {
        let (last, others) = runs.split_last().expect("a run");
        let mut bytes = vec![others.len() as u8];
        for run in others {
            bytes.extend((run.len() as u16).to_le_bytes());
            bytes.extend(run);
        }
        bytes.extend(last);
        bytes
    };
    let text = "the quick brown fox jumps over the lazy dog and the quicker brown foxes";
    vec![
        Seed::new("golden", several(&[golden!("run-v1.bin").to_vec()])),
        Seed::new("none", several(&[RunWriter::new(plain).finish().0])),
        Seed::new("plain", several(&[written(text, plain)])),
        Seed::new("packed", several(&[written(&"a b c ab abc abcd ".repeat(9), packed)])),
        Seed::new("two", several(&[written("a b c d", plain), written("a c e", plain)])),
        Seed::new("four", several(&["x y", "x", "y z", "w x"].map(|words| written(words, plain)))),
    ]
}
