//! What [`check_job`](super::trial::check_job) passes, and what it finds.

use super::trial::{check_job, check_job_items};
use crate::{Batch, Batches, Combiner, Emitter, Items, Job, Key, Lines, Sink, UserResult, Values};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Adds up numbers by their last digit.
#[derive(Default, Serialize, Deserialize)]
struct Adds {
    wrong: Wrong,
}

/// What is wrong with the job.
#[derive(Default, PartialEq, Serialize, Deserialize)]
enum Wrong {
    #[default]
    Nothing,
    /// The combiner keeps the larger number.
    CombinerMax,
    /// The combiner takes away the second number: which one that is depends on the order.
    CombinerMinus,
    /// `map` emits a number that differs from call to call.
    MapCounts,
    /// `reduce` writes a number that differs from call to call.
    ReduceCounts,
    /// `reduce` writes the first number that comes.
    ReduceFirst,
    /// There is a line for each partition that has no pair.
    Nothings,
}

static CALLS: AtomicU64 = AtomicU64::new(0);

impl Job for Adds {
    const NAME: &'static str = "adds";
    type Input = Lines;
    type Key = u64;
    type Value = i64;
    type Output = (u64, i64);

    fn map(&self, line: &str, out: &mut Emitter<'_, u64, i64>) -> UserResult {
        let number: i64 = line.parse()?;
        let more = if self.wrong == Wrong::MapCounts { CALLS.fetch_add(1, Ordering::Relaxed) as i64 } else { 0 };
        out.emit(number.unsigned_abs() % 10, number + more)
    }

    fn combiner(&self) -> Option<Combiner<i64>> {
        match self.wrong {
            Wrong::CombinerMax => Some(Combiner::max()),
            Wrong::CombinerMinus => Some(Combiner::new(|a, b| *a -= b)),
            Wrong::ReduceFirst => None,
            _ => Some(Combiner::sum()),
        }
    }

    fn reduce(&self, digit: u64, mut numbers: Values<'_, i64>, out: &mut Sink<'_, (u64, i64)>) -> UserResult {
        let number = match self.wrong {
            Wrong::ReduceFirst => numbers.next().unwrap_or(0),
            Wrong::ReduceCounts => CALLS.fetch_add(1, Ordering::Relaxed) as i64,
            // Any order gives the same, so only the combiner is wrong.
            _ => numbers.sum(),
        };
        out.push(&(digit, number))
    }

    fn reduce_nothing(&self, out: &mut Sink<'_, (u64, i64)>) -> UserResult {
        if self.wrong == Wrong::Nothings { out.push(&(0, 0)) } else { Ok(()) }
    }
}

const NUMBERS: &[u8] = b"11\n1\n2\n42\n21\n7\n31\n";

/// What is said of a job, or its result.
fn checked(wrong: Wrong, partitions: &[u32]) -> String {
    said(|| check_job(&Adds { wrong }, NUMBERS, partitions).unwrap())
}

fn said(check: impl FnOnce() -> String) -> String {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)) {
        Ok(result) => result,
        Err(panic) => panic.downcast_ref::<String>().unwrap().clone(),
    }
}

#[test]
fn a_job_that_keeps_the_laws_gives_its_result() {
    assert_eq!(checked(Wrong::Nothing, &[1]), "1\t64\n2\t44\n7\t7\n");
    let mut lines: Vec<_> = checked(Wrong::Nothing, &[3, 1, 7]).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["1\t64", "2\t44", "7\t7"]);
    let adds = Adds::default();
    assert_eq!(check_job(&adds, b"", &[2]).unwrap(), "");
    let long: String = (0..5_000).map(|n| format!("{n}\n")).collect();
    assert!(check_job(&adds, long.as_bytes(), &[1, 4]).unwrap().starts_with("0\t1247500\n1\t1248000\n"));
}

#[test]
fn the_jobs_own_error_comes_back_with_its_place() {
    let error = check_job(&Adds::default(), b"1\nno number\n", &[1]).unwrap_err();
    assert_eq!(error.code(), "map-failed");
    assert!(error.to_string().contains("the object at byte 2"), "{error}");
}

#[test]
fn a_combiner_that_changes_the_result_is_found() {
    let found = checked(Wrong::CombinerMax, &[1]);
    assert_eq!(
        found,
        "the result of job adds is another when values are combined by twos: \"1\\t42\\n\", not \"1\\t64\\n\""
    );
    assert!(checked(Wrong::CombinerMinus, &[1]).contains("combined"), "{found}");
}

#[test]
fn a_map_that_is_not_deterministic_is_found() {
    let found = checked(Wrong::MapCounts, &[1]);
    assert!(found.starts_with("the result of job adds is another when it is mapped again: \"1\\t"), "{found}");
}

#[test]
fn a_reduce_that_is_not_deterministic_is_found() {
    let found = checked(Wrong::ReduceCounts, &[1]);
    assert!(found.starts_with("the result of job adds is another when it is reduced again: \"1\\t"), "{found}");
}

#[test]
fn a_reduce_that_depends_on_the_order_of_values_is_found() {
    let found = checked(Wrong::ReduceFirst, &[1]);
    assert_eq!(
        found,
        "the result of job adds is another when each key's values come in reverse: \"1\\t31\\n\", not \"1\\t11\\n\""
    );
}

#[test]
fn a_result_that_depends_on_the_number_of_partitions_is_found() {
    assert_eq!(checked(Wrong::Nothings, &[1]), "1\t64\n2\t44\n7\t7\n");
    let found = checked(Wrong::Nothings, &[1, 50]);
    assert!(found.starts_with("the result of job adds is another with 50 partitions: \"0\\t0\\n\""), "{found}");
    assert!(checked(Wrong::Nothing, &[]).contains("not []"));
}

/// A job that depends on how many records come at once.
#[derive(Serialize, Deserialize)]
struct CountsBatches;

impl Job for CountsBatches {
    const NAME: &'static str = "counts-batches";
    type Input = Batches<Lines>;
    type Key = ();
    type Value = u64;
    type Output = u64;

    fn map(&self, _: Batch<'_, Lines>, out: &mut Emitter<'_, (), u64>) -> UserResult {
        out.emit((), 1)
    }

    fn reduce(&self, (): (), batches: Values<'_, u64>, out: &mut Sink<'_, u64>) -> UserResult {
        out.push(&batches.sum())
    }
}

#[test]
fn a_result_that_depends_on_where_the_input_is_cut_is_found() {
    let found = said(|| check_job(&CountsBatches, NUMBERS, &[1]).unwrap());
    assert_eq!(
        found,
        "the result of job counts-batches is another when its input is cut at every record: \"7\\n\", not \"1\\n\""
    );
}

/// A key that loses a part of itself on its way.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Rounded(u16);

impl Key for Rounded {
    fn encode(&self, out: &mut Vec<u8>) -> crate::Result<()> {
        self.0.encode(out)
    }
    fn decode(bytes: &[u8]) -> crate::Result<Self> {
        Ok(Rounded(u16::decode(bytes)? / 10 * 10))
    }
}

/// A key whose encoding sorts the small after the large.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct LittleEndian(u16);

impl Key for LittleEndian {
    fn encode(&self, out: &mut Vec<u8>) -> crate::Result<()> {
        out.extend(self.0.to_le_bytes());
        Ok(())
    }
    fn decode(bytes: &[u8]) -> crate::Result<Self> {
        let bytes = bytes.try_into().map_err(|_| crate::Error::new(crate::Code::KeyDecode, "two bytes are a key"))?;
        Ok(LittleEndian(u16::from_le_bytes(bytes)))
    }
}

/// A key that cannot be read again.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Lost(u16);

impl Key for Lost {
    fn encode(&self, _: &mut Vec<u8>) -> crate::Result<()> {
        Ok(())
    }
    fn decode(bytes: &[u8]) -> crate::Result<Self> {
        u16::decode(bytes).map(Lost)
    }
}

macro_rules! counts_by {
    ($name:ident, $key:ident) => {
        #[derive(Serialize, Deserialize)]
        struct $name;

        impl Job for $name {
            const NAME: &'static str = "counts-by";
            type Input = Items<u16>;
            type Key = $key;
            type Value = u64;
            type Output = (u16, u64);

            fn map(&self, n: u16, out: &mut Emitter<'_, $key, u64>) -> UserResult {
                out.emit(&$key(n), 1)
            }
            fn reduce(&self, key: $key, ones: Values<'_, u64>, out: &mut Sink<'_, (u16, u64)>) -> UserResult {
                out.push(&(key.0, ones.sum()))
            }
        }
    };
}
counts_by!(ByRounded, Rounded);
counts_by!(ByLittleEndian, LittleEndian);
counts_by!(ByLost, Lost);

#[test]
fn keys_that_do_not_decode_to_themselves_are_found() {
    let found = said(|| check_job_items(&ByRounded, [20, 65 * 256 + 66], &[1]).unwrap());
    assert!(found.contains(r#"a key of job counts-by is encoded as "AB", and when that is decoded"#), "{found}");
    let found = said(|| check_job_items(&ByLost, [7], &[1]).unwrap());
    assert!(found.starts_with(r#"a key of job counts-by, "": decoding"#), "{found}");
    assert_eq!(check_job_items(&ByRounded, [20], &[1, 2]).unwrap(), "20\t1\n");
}

#[test]
fn keys_whose_encodings_sort_otherwise_are_found() {
    let found = said(|| check_job_items(&ByLittleEndian, [66 * 256 + 65, 65 * 256 + 66], &[1]).unwrap());
    assert_eq!(found, r#"of two keys of job counts-by, "AB" sorts before "BA" when they are encoded, but not as keys"#);
    assert_eq!(check_job_items(&ByLittleEndian, [3, 1, 3], &[1]).unwrap(), "1\t1\n3\t2\n");
}

/// A job on items, whose partitions are ranges of its keys.
#[derive(Serialize, Deserialize)]
struct Squares;

impl Job for Squares {
    const NAME: &'static str = "squares";
    type Input = Items<Range<u64>>;
    type Key = u64;
    type Value = u64;
    type Output = (u64, u64);

    fn map(&self, range: Range<u64>, out: &mut Emitter<'_, u64, u64>) -> UserResult {
        range.into_iter().try_for_each(|n| out.emit(n, n * n))
    }

    fn bounds(&self) -> Vec<u64> {
        vec![3, 5]
    }

    fn reduce(&self, n: u64, mut squares: Values<'_, u64>, out: &mut Sink<'_, (u64, u64)>) -> UserResult {
        out.push(&(n, squares.next().unwrap_or(0)))
    }
}

#[test]
fn items_are_checked_too() {
    assert_eq!(check_job_items(&Squares, [4..6, 1..4], &[3, 1]).unwrap(), "1\t1\n2\t4\n3\t9\n4\t16\n5\t25\n");
    assert_eq!(check_job_items(&Squares, [], &[1]).unwrap(), "");
}
