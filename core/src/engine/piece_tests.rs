//! Reduce tasks that stop and go on: however often, they reduce what one piece would have.

use super::erased::{ErasedJob, Registry};
use super::passes::{Opening, Rest};
use super::reduce::{CurrentKey, ReduceCounts, ReduceOptions, Reduced, Runs};
use crate::error::Result;
use crate::wire::run::{AnyRun, Compression, RunReader, RunWriter};
use crate::{Emitter, Job, Sink, UserResult, Values, Words};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::io::Cursor;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Lists the values of each key: their number and their sum.
#[derive(Serialize, Deserialize)]
struct List;

impl Job for List {
    const NAME: &'static str = "list";
    type Input = Words;
    type Key = Vec<u8>;
    type Value = Vec<u8>;
    type Output = (u64, u64);

    fn map(&self, _: &[u8], _: &mut Emitter<'_, Vec<u8>, Vec<u8>>) -> UserResult {
        Ok(())
    }
    fn reduce(&self, key: Vec<u8>, values: Values<'_, Vec<u8>>, out: &mut Sink<'_, (u64, u64)>) -> UserResult {
        let mut found: Vec<_> = values.map(|value| value.iter().map(|byte| u64::from(*byte)).sum::<u64>()).collect();
        found.sort_unstable();
        out.push(&(key.len() as u64, found.len() as u64))?;
        found.into_iter().try_for_each(|sum| out.push(&(sum, 0)))
    }
    fn reduce_nothing(&self, out: &mut Sink<'_, (u64, u64)>) -> UserResult {
        out.push(&(0, 0))
    }
}

fn job() -> Box<dyn ErasedJob> {
    let params = crate::encode_params(&List).unwrap();
    Registry::new().job::<List>().open("list", &super::erased::signature::<List>(), &params).unwrap()
}

/// Runs that can be opened anywhere, and how often each was.
#[derive(Clone)]
struct Stored {
    runs: Arc<Vec<Vec<u8>>>,
    opened: Arc<Mutex<Vec<Opening>>>,
}

/// Bytes that do not compress.
fn value(key: u8, bytes: usize) -> Vec<u8> {
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(u32::from(key)), next).take(bytes).map(|state| (state >> 24) as u8).collect()
}

impl Stored {
    /// Runs of pairs whose keys are numbers, and whose values have so many bytes.
    fn of(runs: &[Vec<u8>], value_bytes: usize) -> Self {
        let write = |keys: &Vec<u8>| {
            let mut keys = keys.clone();
            keys.sort_unstable();
            let mut writer = RunWriter::new(Compression::None);
            keys.iter().for_each(|key| writer.push(&mut vec![b'k', *key], &value(*key, value_bytes)).unwrap());
            writer.finish().0
        };
        Stored { runs: Arc::new(runs.iter().map(write).collect()), opened: Arc::default() }
    }

    fn openings(&self) -> Vec<Opening> {
        std::mem::take(&mut *self.opened.lock().unwrap())
    }
}

impl Runs for Stored {
    fn count(&self) -> usize {
        self.runs.len()
    }
    fn open(&mut self, openings: &[Opening]) -> Result<Vec<AnyRun>> {
        self.opened.lock().unwrap().extend_from_slice(openings);
        let open = |Opening { run, place }: &Opening| {
            let rest = self.runs[*run][place.offset as usize..].to_vec();
            RunReader::resume(Cursor::new(rest), "run", *place).map(RunReader::boxed)
        };
        openings.iter().map(open).collect()
    }
}

/// Reduces in one piece or, told so, in one for each key. Returns the sums of the counts, and the parts together.
fn reduce(runs: &Stored, fan_in_max: usize, tmp_bytes: u64, hand_on: bool) -> (ReduceCounts, Vec<u8>, usize) {
    let (mut sum, mut out, mut start, mut pieces) = (ReduceCounts::default(), vec![], None, 0);
    loop {
        let hand_on = Arc::new(AtomicBool::new(hand_on));
        let options =
            ReduceOptions { fan_in_max, tmp_bytes, output_bytes: 64, start, hand_on, ..ReduceOptions::default() };
        let reduced = job().reduce(&options, Box::new(runs.clone()), &mut |op| {
            out.extend(op.into_bytes());
            Ok(())
        });
        let Reduced { counts, rest } = reduced.unwrap();
        sum.pairs_in += counts.pairs_in;
        sum.keys += counts.keys;
        sum.records_out += counts.records_out;
        sum.bytes_out += counts.bytes_out;
        pieces += 1;
        start = rest;
        if start.is_none() {
            return (sum, out, pieces);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn pieces_reduce_what_one_would_have(
        runs in proptest::collection::vec(proptest::collection::vec(0u8..12, 0..12), 1..12),
        // Small values share a block, of the large ones a block holds four.
        value_bytes in prop_oneof![Just(3usize), Just(40_000usize)],
        fan_in_max in 2usize..5,
        tmp_bytes in prop_oneof![Just(1u64), Just(600_000u64)],
    ) {
        let runs = Stored::of(&runs, value_bytes);
        let (counts, part, pieces) = reduce(&runs, 1_000, 1 << 30, false);
        prop_assert_eq!(pieces, 1);
        for (fan_in_max, hand_on) in [(fan_in_max, false), (1_000, true), (fan_in_max, true)] {
            let (got, parts, pieces) = reduce(&runs, fan_in_max, tmp_bytes, hand_on);
            prop_assert_eq!(got, counts);
            prop_assert!(parts == part);
            prop_assert_eq!(pieces as u64, if hand_on { counts.keys.max(1) } else { 1 });
        }
    }
}

/// The next piece does not read the runs from their starts, and does not open those that are read.
#[test]
fn the_next_piece_begins_near_where_the_one_before_it_ended() {
    let all: Vec<u8> = (0..=255).collect();
    let runs = Stored::of(&[all.clone(), all[..10].to_vec(), all[250..].to_vec()], 10_000);
    let hand_on = Arc::new(AtomicBool::new(false));
    let options = ReduceOptions { hand_on: hand_on.clone(), output_bytes: 1, ..ReduceOptions::default() };
    let mut records = 0;
    let reduced = job().reduce(&options, Box::new(runs.clone()), &mut |op| {
        records += op.into_bytes().iter().filter(|byte| **byte == b'\n').count();
        hand_on.store(records > 400, Ordering::Relaxed);
        Ok(())
    });
    let Rest { after, runs: left } = reduced.unwrap().rest.expect("it has stopped");
    let last = after[1];
    assert!((150..250).contains(&last), "{last}");
    assert_eq!(runs.openings().len(), 3);
    assert_eq!(
        left.iter().map(|opening| opening.run).collect::<Vec<_>>(),
        [0, 2],
        "the second run was read to its end"
    );
    assert!(left[0].place.offset > 1_500_000 && left[0].place.taken == u64::from(last) + 1, "{left:?}");
    assert_eq!(left[1].place.taken, 0);
    let options = ReduceOptions { start: Some(Rest { after, runs: left.clone() }), ..ReduceOptions::default() };
    let reduced = job().reduce(&options, Box::new(runs.clone()), &mut |_| Ok(())).unwrap();
    assert_eq!((reduced.counts.keys, reduced.counts.pairs_in), (u64::from(255 - last), u64::from(255 - last) + 6));
    assert_eq!(runs.openings(), left);
}

/// A partition of which `/tmp` holds a part is read as it is needed, further on each time.
#[test]
fn a_partition_that_is_larger_than_tmp_is_merged_in_chunks() {
    let keys: Vec<u8> = (0..100).collect();
    let runs = Stored::of(&vec![keys; 4], 10_000);
    let (counts, part, _) = reduce(&runs, 100, 1, false);
    assert_eq!(runs.openings().len(), 4);
    let (in_chunks, same, _) = reduce(&runs, 2, 1 << 20, false);
    assert_eq!((in_chunks, same == part), (counts, true));
    let openings = runs.openings();
    assert!((8..20).contains(&openings.len()), "{}", openings.len());
    let of_first: Vec<u64> =
        openings.iter().filter(|opening| opening.run == 0).map(|opening| opening.place.taken).collect();
    assert!(of_first[0] == 0 && of_first.is_sorted_by(|a, b| a < b), "{of_first:?}");
    // With room for all of it, each run is opened once.
    reduce(&runs, 2, 1 << 30, false);
    assert_eq!(runs.openings().len(), 4);
}

#[test]
fn who_watches_the_time_is_told_the_key_and_no_more_of_it_than_people_read() {
    let mut writer = RunWriter::new(Compression::None);
    writer.push(&mut vec![b'a'; 1_000], &vec![1u8]).unwrap();
    let runs = Stored { runs: Arc::new(vec![writer.finish().0]), opened: Arc::default() };
    let key = CurrentKey::default();
    assert_eq!(key.shown(), None);
    let options = ReduceOptions { key: Some(key.clone()), output_bytes: 1, ..ReduceOptions::default() };
    let mut seen = None;
    let reduced = job().reduce(&options, Box::new(runs), &mut |_| {
        seen = seen.take().or(key.shown());
        Ok(())
    });
    reduced.unwrap();
    assert_eq!((seen, key.shown()), (Some(format!("{:?}", "a".repeat(64))), None));
}
