//! A job tried out in memory, and its laws: whatever order its records and values come in, however they are combined, and
//! however many partitions there are, the same result must come out, as nothing of this is defined. What is run is the engine of
//! the functions.
//!
//! ```text
//! object ──map──▶ pairs ──reduce──▶ result          what it is compared with, in this order
//!            │       ├─────reduce─────────▶         reduced again
//!            │       ├─reverse──reduce─────▶        each key's values in reverse
//!            │       └─combine──reduce─────▶        combined by twos, all, and in reverse
//!            ├──again──▶ pairs ──▶                  mapped again
//!            ├──cut────▶ pairs ──▶                  mapped record by record, from the last to the first
//!            └──with the combiner ──▶               as the functions do it, for each number of partitions
//! ```

use super::conformance::chunks;
use super::cut::{Chunk, Cuts};
use super::map::{Chunks, MapOptions};
use super::passes::Opening;
use super::reduce::{ReduceOptions, Runs};
use crate::codec::{decode, encode};
use crate::error::{Code, Error, Result, UserResult};
use crate::format::{Format, Items};
use crate::job::{Emitter, Job, Sink, Values, decode_params, encode_params};
use crate::join::{Join, Joined};
use crate::key::{GroupedBy, Key, PlacedBy};
use crate::side::Side;
use crate::value::{Combiner, Value, fold_into};
use crate::wire::cost::Workload;
use crate::wire::items;
use crate::wire::run::{AnyRun, Compression, RunReader, RunWriter};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::io::Cursor;
use std::sync::{Arc, Mutex, PoisonError};

/// Runs a job on one object in memory, checks the job's laws, and returns its result as text: the parts, one after another, for
/// the first of the numbers of `partitions`.
///
/// The laws are what a job must keep so that its result does not depend on how it happens to be run:
///
/// - a key comes back from its encoding as it went in, and encoded keys sort as the keys do;
/// - `map` and `reduce` do the same each time;
/// - `reduce` does not depend on the order of a key's values, and the combiner changes nothing;
/// - the result does not depend on where the input is cut, nor on the number of partitions, except for the order of its lines.
///
/// A job that is made for one partition is checked with `&[1]`, and a job on [`Items`] by [`check_job_items`]. A sum of
/// floating-point numbers depends on the order in its last digits: check such a job on numbers that add up exactly, as small
/// whole numbers do.
///
/// ```
/// use kinglet_core::{Combiner, Emitter, Job, Sink, UserResult, Values, Words, check_job};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Count;
///
/// impl Job for Count {
///     const NAME: &'static str = "count";
///     type Input = Words;
///     type Key = String;
///     type Value = u64;
///     type Output = (String, u64);
///
///     fn map(&self, word: &[u8], out: &mut Emitter<'_, String, u64>) -> UserResult {
///         out.emit(std::str::from_utf8(word)?, 1)
///     }
///     fn combiner(&self) -> Option<Combiner<u64>> {
///         Some(Combiner::sum())
///     }
///     fn reduce(&self, word: String, counts: Values<'_, u64>, out: &mut Sink<'_, (String, u64)>) -> UserResult {
///         out.push(&(word, counts.sum()))
///     }
/// }
///
/// let result = check_job(&Count, b"to be or not to be", &[1, 3])?;
/// assert_eq!(result, "be\t2\nnot\t1\nor\t1\nto\t2\n");
/// # Ok::<(), kinglet_core::Error>(())
/// ```
///
/// # Errors
/// Returns the error with which the job fails: that of its `map` (`map-failed`), of its `reduce` (`reduce-failed`), of its input
/// format, or `panic`.
///
/// # Panics
/// Panics when a law does not hold, and says which and where; or when `partitions` is empty or has a zero.
#[track_caller]
pub fn check_job<J: Job>(job: &J, object: &[u8], partitions: &[u32]) -> Result<String> {
    check_laws(job, &[(Side::Left, object)], partitions, |result| result)
}

/// Runs a join on two objects in memory, one for each side, checks its laws as [`check_job`] does, and returns its result as text: all
/// rows, in the order of their bytes, as a join's rows have none.
///
/// # Errors
/// As [`check_job`].
///
/// # Panics
/// As [`check_job`].
#[track_caller]
pub fn check_join<J: Join>(job: &Joined<J>, left: &[u8], right: &[u8], partitions: &[u32]) -> Result<String> {
    check_laws(job, &[(Side::Left, left), (Side::Right, right)], partitions, |result| in_order(&result))
}

/// Checks the laws of a job, whose results are compared as `seen`.
#[track_caller]
fn check_laws<J: Job>(
    job: &J,
    object: &[(Side, &[u8])],
    partitions: &[u32],
    seen: fn(Vec<u8>) -> Vec<u8>,
) -> Result<String> {
    let reduce = |job: &_, parts: &_| reduce(job, parts).map(seen);
    assert!(!partitions.is_empty() && !partitions.contains(&0), "a job has one partition or more, not {partitions:?}");
    // The job's parameters travel to the functions, so what is run is what arrives there.
    let params = encode_params(job)?;
    let (job, apart) = (decode_params::<J>(&params)?, Apart(decode_params::<J>(&params)?));
    let parts = map(&apart, object, partitions[0], Arrival::Whole)?;
    check_keys::<J>(&parts)?;
    let result = reduce(&job, &parts)?;
    same::<J>("when it is reduced again", &result, &reduce(&job, &parts)?);
    same::<J>("when each key's values come in reverse", &result, &reduce(&job, &in_reverse(&parts))?);
    let again = map(&apart, object, partitions[0], Arrival::Whole)?;
    same::<J>("when it is mapped again", &result, &reduce(&job, &again)?);
    let cut = map(&apart, object, partitions[0], Arrival::RecordByRecord)?;
    same::<J>("when its input is cut at every record", &result, &reduce(&job, &cut)?);
    if let Some(Combiner(fold)) = job.combiner() {
        let twos = combined(&parts, fold, 2)?;
        same::<J>("when values are combined by twos", &result, &reduce(&job, &twos)?);
        let all = combined(&parts, fold, usize::MAX)?;
        same::<J>("when all values of a key are combined", &result, &reduce(&job, &all)?);
        let all = combined(&in_reverse(&parts), fold, usize::MAX)?;
        same::<J>("when all values of a key are combined in reverse", &result, &reduce(&job, &all)?);
    }
    for partitions in partitions {
        let parts = map(&job, object, *partitions, Arrival::RecordByRecord)?;
        let way = format!("with {partitions} partitions");
        same::<J>(&way, &in_order(&result), &in_order(&reduce(&job, &parts)?));
    }
    Ok(String::from_utf8_lossy(&result).into_owned())
}

/// Runs a job on items, as [`check_job`] does on an object, and checks its laws.
///
/// ```
/// use kinglet_core::{Emitter, Items, Job, Sink, UserResult, Values, check_job_items};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Squares;
///
/// impl Job for Squares {
///     const NAME: &'static str = "squares";
///     type Input = Items<u64>;
///     type Key = ();
///     type Value = u64;
///     type Output = u64;
///
///     fn map(&self, n: u64, out: &mut Emitter<'_, (), u64>) -> UserResult {
///         out.emit((), n * n)
///     }
///     fn reduce(&self, _: (), squares: Values<'_, u64>, out: &mut Sink<'_, u64>) -> UserResult {
///         out.push(&squares.sum())
///     }
/// }
///
/// assert_eq!(check_job_items(&Squares, 1..=3, &[1])?, "14\n");
/// # Ok::<(), kinglet_core::Error>(())
/// ```
///
/// # Errors
/// As [`check_job`], and `value-encode` when an item cannot be encoded.
///
/// # Panics
/// As [`check_job`].
#[track_caller]
pub fn check_job_items<T, J>(job: &J, items: impl IntoIterator<Item = T>, partitions: &[u32]) -> Result<String>
where
    T: Value,
    J: Job<Input = Items<T>>,
{
    let mut object = items::Writer::new();
    for item in items {
        object.push(&item)?;
    }
    check_job(job, &object.into_bytes(), partitions)
}

/// How the input comes to `map`.
#[derive(Clone, Copy)]
enum Arrival {
    Whole,
    /// In chunks as small as can be, the last one first, as other threads may take them.
    RecordByRecord,
}

/// One pair of a run.
#[derive(Clone)]
struct Pair {
    key: Vec<u8>,
    value: Vec<u8>,
}

/// The pairs of a partition, by their keys.
type Pairs = Vec<Pair>;

/// Maps the object, and returns each partition's pairs.
fn map<J: Job>(job: &J, object: &[(Side, &[u8])], partitions: u32, arrival: Arrival) -> Result<Vec<Pairs>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|e| Error::new(Code::Threads, format!("starting a thread: {e}")))?;
    let options = Arc::new(MapOptions {
        partitions,
        threads: 1,
        memory_bytes: 64 << 20,
        tmp: std::env::temp_dir(),
        compression: Compression::None,
        stop: Arc::default(),
        max_rejected: None,
    });
    let mut all: Vec<Pairs> = (0..partitions).map(|_| Pairs::new()).collect();
    for (side, object) in object {
        let given = Given { chunks: Mutex::new(cut(job, *side, object, arrival)?), side: *side };
        let mapped = super::map::run(job, &pool, &options, &given)?;
        for (pairs, run) in all.iter_mut().zip(mapped.runs) {
            pairs.extend(read(run.into_reader())?);
        }
    }
    if object.len() > 1 {
        all.iter_mut().for_each(|pairs| pairs.sort_by(|a, b| a.key.cmp(&b.key)));
    }
    Ok(all)
}

/// Cuts the object as a mapper does.
fn cut<J: Job>(job: &J, side: Side, object: &[u8], arrival: Arrival) -> Result<Vec<Chunk>> {
    if object.is_empty() {
        return Ok(vec![]);
    }
    let finds = Cuts::of_side(Arc::new(super::map::input(job)?), side);
    let head = match finds.head() {
        true => Bytes::copy_from_slice(&object[..finds.first(object, 0).unwrap_or(object.len())]),
        false => Bytes::new(),
    };
    let block_bytes = match arrival {
        Arrival::Whole => object.len(),
        Arrival::RecordByRecord => 1,
    };
    let chunks = chunks(&finds, object, 0, object.len(), block_bytes);
    Ok(chunks.into_iter().map(|chunk| Chunk { head: head.clone(), ..chunk }).collect())
}

/// Reads the pairs of a run.
fn read(run: std::io::Result<impl std::io::Read>) -> Result<Pairs> {
    let run = run.map_err(|e| crate::pairs::tmp_error("reading a run", &std::env::temp_dir(), &e))?;
    let mut reader = RunReader::open(run, "a run")?;
    let mut pairs = Vec::new();
    while reader.advance()? {
        pairs.push(Pair { key: reader.key().to_vec(), value: reader.value().to_vec() });
    }
    Ok(pairs)
}

/// Reduces the partitions, and returns their parts, one after another.
fn reduce<J: Job>(job: &J, parts: &[Pairs]) -> Result<Vec<u8>> {
    let options = ReduceOptions::default();
    let mut result = Vec::new();
    for pairs in parts {
        let mut run = RunWriter::new(Compression::None);
        for Pair { key, value } in pairs {
            run.push_encoded(&mut key.clone(), value)?;
        }
        super::reduce::run(job, &options, Box::new(One(run.finish().0)), &mut |op| {
            result.extend(op.into_bytes());
            Ok(())
        })?;
    }
    Ok(result)
}

/// Returns the pairs with the values of each key in reverse.
fn in_reverse(parts: &[Pairs]) -> Vec<Pairs> {
    let reverse = |pairs: &Pairs| of_keys(pairs).flat_map(|of_key| of_key.iter().rev().cloned()).collect();
    parts.iter().map(reverse).collect()
}

/// Combines the values of each key, this many at once.
fn combined<V: Value>(parts: &[Pairs], fold: fn(&mut V, V), at_once: usize) -> Result<Vec<Pairs>> {
    let combine = |pairs: &Pairs| {
        let together = of_keys(pairs).flat_map(|of_key| of_key.chunks(at_once));
        together.map(|pairs| combine(pairs, fold)).collect()
    };
    parts.iter().map(combine).collect()
}

/// Makes one pair of some pairs of one key.
fn combine<V: Value>(pairs: &[Pair], fold: fn(&mut V, V)) -> Result<Pair> {
    let mut value: V = decode(&pairs[0].value)?;
    for pair in &pairs[1..] {
        fold_into(fold, &mut value, decode(&pair.value)?);
    }
    Ok(Pair { key: pairs[0].key.clone(), value: encode(&value)? })
}

/// Returns the pairs of each key.
fn of_keys(pairs: &Pairs) -> impl Iterator<Item = &[Pair]> {
    pairs.chunk_by(|a, b| a.key == b.key)
}

/// Checks that keys come back from their encodings, and that these sort as the keys do.
#[track_caller]
fn check_keys<J: Job>(parts: &[Pairs]) -> Result<()> {
    for pairs in parts {
        let mut before: Option<Decoded<J::Key>> = None;
        for pair in of_keys(pairs) {
            let encoded = &pair[0].key;
            let shown = String::from_utf8_lossy(encoded);
            let key = J::Key::decode(encoded).unwrap_or_else(|e| panic!("a key of job {}, {shown:?}: {e}", J::NAME));
            let mut again = Vec::new();
            key.encode(&mut again)?;
            assert!(
                again == *encoded,
                "a key of job {} is encoded as {shown:?}, and when that is decoded and encoded again, as {:?}",
                J::NAME,
                String::from_utf8_lossy(&again)
            );
            if let Some(before) = &before {
                assert!(
                    before.key < key,
                    "of two keys of job {}, {:?} sorts before {shown:?} when they are encoded, but not as keys",
                    J::NAME,
                    before.shown
                );
            }
            before = Some(Decoded { key, shown: shown.into_owned() });
        }
    }
    Ok(())
}

/// A key, and its encoding as it is shown.
struct Decoded<K> {
    key: K,
    shown: String,
}

/// Panics if a result is another one when the job is run in some way, and shows the first line that differs.
#[track_caller]
fn same<J: Job>(way: &str, result: &[u8], other: &[u8]) {
    let (mut lines, mut others) = (lines(result), lines(other));
    loop {
        match (lines.next(), others.next()) {
            (None, None) => return,
            (line, other) if line == other => {}
            (line, other) => {
                let shown = |line: Option<&[u8]>| match line {
                    Some(line) => format!("{:?}", String::from_utf8_lossy(line)),
                    None => "nothing more".to_owned(),
                };
                panic!("the result of job {} is another {way}: {}, not {}", J::NAME, shown(other), shown(line));
            }
        }
    }
}

/// Returns the lines of a result, in order.
fn in_order(result: &[u8]) -> Vec<u8> {
    let mut lines: Vec<_> = lines(result).collect();
    lines.sort_unstable();
    lines.concat()
}

fn lines(result: &[u8]) -> impl Iterator<Item = &[u8]> {
    result.split_inclusive(|byte| *byte == b'\n')
}

/// Chunks that are there.
struct Given {
    chunks: Mutex<Vec<Chunk>>,
    side: Side,
}

impl Chunks for Given {
    fn next(&self) -> Result<Option<Chunk>> {
        Ok(self.chunks.lock().unwrap_or_else(PoisonError::into_inner).pop())
    }

    fn side(&self) -> Side {
        self.side
    }

    fn name(&self, _: u32) -> &str {
        "the object"
    }
}

/// The one run of a partition.
struct One(Vec<u8>);

impl Runs for One {
    fn count(&self) -> usize {
        1
    }

    fn open(&mut self, _: &[Opening]) -> Result<Vec<AnyRun>> {
        Ok(vec![RunReader::open(Cursor::new(std::mem::take(&mut self.0)), "a run")?.boxed()])
    }
}

/// A job without its combiner. Every other method of [`Job`] is handed on.
#[derive(Serialize, Deserialize)]
struct Apart<J>(J);

impl<J: Job> Job for Apart<J> {
    const NAME: &'static str = J::NAME;
    type Input = J::Input;
    type Key = J::Key;
    type Value = J::Value;
    type Output = J::Output;

    fn input(&self) -> J::Input {
        self.0.input()
    }

    fn map(&self, record: <J::Input as Format>::Record<'_>, out: &mut Emitter<'_, J::Key, J::Value>) -> UserResult {
        self.0.map(record, out)
    }

    fn bounds(&self) -> Vec<J::Key> {
        self.0.bounds()
    }

    fn placed_by(&self) -> Option<PlacedBy> {
        self.0.placed_by()
    }

    fn grouped_by(&self) -> Option<GroupedBy> {
        self.0.grouped_by()
    }

    fn workload(&self) -> Workload {
        self.0.workload()
    }

    fn reduce(&self, key: J::Key, values: Values<'_, J::Value>, out: &mut Sink<'_, J::Output>) -> UserResult {
        self.0.reduce(key, values, out)
    }

    fn reduce_nothing(&self, out: &mut Sink<'_, J::Output>) -> UserResult {
        self.0.reduce_nothing(out)
    }
}
