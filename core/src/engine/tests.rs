//! The engine's laws, on a whole job: whatever the threads, partitions, memory, fan-in and combiner, the result is that of a
//! naive program, and each part is sorted.

use super::cut::Chunk;
use super::erased::ErasedJob;
use super::map::{Chunks, MapOptions, Mapped};
use super::passes::Opening;
use super::reduce::{ReduceOptions, Runs};
use super::run::Run;
use crate::wire::run::{AnyRun, Compression, RunReader};
use crate::{Combiner, Emitter, Error, Job, Registry, Result, Sink, UserError, UserResult, Values, Words};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Gathers for each word the sorted list of the lengths of the words that came with it: its values own memory.
#[derive(Serialize, Deserialize)]
struct Gather {
    combine: bool,
    ordered: bool,
    fail_on: Option<String>,
    panic_on: Option<String>,
}

impl Job for Gather {
    const NAME: &'static str = "gather";
    type Input = Words;
    type Key = Vec<u8>;
    type Value = Vec<u32>;
    type Output = (Vec<u8>, String);

    fn map(&self, word: &[u8], out: &mut Emitter<'_, Vec<u8>, Vec<u32>>) -> UserResult {
        let is = |what: &Option<String>| what.as_ref().is_some_and(|what| what.as_bytes() == word);
        if is(&self.fail_on) {
            return Err(UserError::new("this word will not do"));
        }
        assert!(!is(&self.panic_on), "this word is unthinkable");
        out.emit(word, vec![word.len() as u32])
    }

    fn combiner(&self) -> Option<Combiner<Vec<u32>>> {
        self.combine.then(|| Combiner::new(|all: &mut Vec<u32>, more: Vec<u32>| all.extend(more)))
    }

    fn bounds(&self) -> Vec<Vec<u8>> {
        let bounds = ["ab", "b", "bbb"].map(|bound| bound.as_bytes().to_vec());
        if self.ordered { bounds.to_vec() } else { Vec::new() }
    }

    fn reduce(&self, word: Vec<u8>, lists: Values<'_, Vec<u32>>, out: &mut Sink<'_, (Vec<u8>, String)>) -> UserResult {
        let mut all: Vec<u32> = lists.flatten().collect();
        all.sort_unstable();
        out.push(&(word, format!("{}x{}", all.len(), all[0])))
    }
}

struct Given(Mutex<VecDeque<Chunk>>);

impl Chunks for Given {
    fn next(&self) -> Result<Option<Chunk>> {
        Ok(self.0.lock().unwrap().pop_front())
    }
    fn name(&self, _: u32) -> &str {
        "the input"
    }
}

/// Runs that were made here.
pub(super) struct Taken(pub(super) Vec<Option<Run>>);

impl Runs for Taken {
    fn count(&self) -> usize {
        self.0.len()
    }
    fn open(&mut self, openings: &[Opening]) -> Result<Vec<AnyRun>> {
        let open = |run: Run| Ok(RunReader::open(run.into_reader().unwrap(), "run")?.boxed());
        openings.iter().map(|opening| open(self.0[opening.run].take().unwrap())).collect()
    }
}

#[derive(Clone, Debug)]
struct Shape {
    threads: usize,
    partitions: u32,
    memory_bytes: usize,
    fan_in_max: usize,
    combine: bool,
    ordered: bool,
    compression: Compression,
}

fn open(job: &Gather) -> Box<dyn ErasedJob> {
    let params = crate::encode_params(job).unwrap();
    Registry::new().job::<Gather>().open("gather", &crate::signature::<Gather>(), &params).unwrap()
}

fn map(job: &dyn ErasedJob, shape: &Shape, text: &str) -> Result<Mapped> {
    let chunks = text.split_inclusive('\n').map(|line| Chunk {
        bytes: bytes::Bytes::copy_from_slice(line.as_bytes()),
        range_idx: 0,
        offset: (line.as_ptr() as usize - text.as_ptr() as usize) as u64,
        head: bytes::Bytes::new(),
        rows: None,
    });
    map_chunks(job, shape, &Given(Mutex::new(chunks.collect())))
}

fn map_chunks(job: &dyn ErasedJob, shape: &Shape, chunks: &dyn Chunks) -> Result<Mapped> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(shape.threads).build().unwrap();
    let options = Arc::new(MapOptions {
        partitions: shape.partitions,
        threads: shape.threads,
        memory_bytes: shape.memory_bytes,
        tmp: std::env::temp_dir(),
        compression: shape.compression,
        stop: Arc::default(),
        max_rejected: None,
    });
    job.map(&pool, &options, chunks)
}

/// Maps each text as a task, reduces all, and returns the parts.
fn run(shape: &Shape, texts: &[String]) -> Vec<String> {
    let job = open(&Gather { combine: shape.combine, ordered: shape.ordered, fail_on: None, panic_on: None });
    let mut partitions: Vec<Taken> = (0..shape.partitions).map(|_| Taken(vec![])).collect();
    for text in texts {
        let Mapped { runs, counts } = map(&*job, shape, text).unwrap();
        assert_eq!(counts.records as usize, text.split_ascii_whitespace().count());
        assert_eq!(counts.pairs_emitted, counts.records);
        partitions.iter_mut().zip(runs).for_each(|(all, run)| all.0.push(Some(run)));
    }
    let options = ReduceOptions { fan_in_max: shape.fan_in_max, output_bytes: 64, ..ReduceOptions::default() };
    let reduce = |runs: Taken| {
        let mut part = vec![];
        let counts = job.reduce(&options, Box::new(runs), &mut |op| {
            part.extend(op.into_bytes());
            Ok(())
        });
        let counts = counts.unwrap().counts;
        assert_eq!(counts.bytes_out as usize, part.len());
        let part = String::from_utf8(part).unwrap();
        assert_eq!(counts.records_out as usize, part.lines().count());
        part
    };
    partitions.into_iter().map(reduce).collect()
}

fn naive(texts: &[String]) -> BTreeMap<String, String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    texts.iter().flat_map(|t| t.split_ascii_whitespace()).for_each(|word| *counts.entry(word).or_default() += 1);
    counts.into_iter().map(|(word, n)| (word.to_owned(), format!("{n}x{}", word.len()))).collect()
}

fn law(shape: &Shape, texts: &[String]) {
    let mut got = BTreeMap::new();
    let mut last: Option<String> = None;
    for part in run(shape, texts) {
        let records: Vec<_> = part.lines().map(|line| line.split_once('\t').unwrap()).collect();
        assert!(records.is_sorted_by(|a, b| a.0.as_bytes() < b.0.as_bytes()), "a part is sorted, each key once");
        if let (true, Some((first, _))) = (shape.ordered, records.first()) {
            assert!(last.as_deref().is_none_or(|last| last < *first), "parts follow each other in order");
        }
        last = records.last().map(|(word, _)| (*word).to_owned()).or(last);
        got.extend(records.iter().map(|(word, said)| ((*word).to_owned(), (*said).to_owned())));
    }
    assert_eq!(got, naive(texts));
}

fn shapes() -> impl Strategy<Value = Shape> {
    let memory = prop_oneof![Just(1usize), Just(20_000), Just(1 << 30)];
    (1usize..4, 1u32..6, memory, 2usize..5, any::<[bool; 3]>()).prop_map(
        |(threads, partitions, memory_bytes, fan_in_max, [combine, ordered, lz4])| Shape {
            threads,
            partitions,
            memory_bytes,
            fan_in_max,
            combine,
            ordered,
            compression: if lz4 { Compression::Lz4 } else { Compression::None },
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn every_shape_gives_the_naive_result(
        shape in shapes(),
        texts in proptest::collection::vec("([ab]{1,3}|[ab]{15,18}|[a-z]{1,30})([ \n]([ab]{1,3}|[ab]{15,18}|[a-z]{1,30})){0,200}", 0..8),
    ) {
        law(&shape, &texts);
    }
}

fn shape() -> Shape {
    let compression = Compression::Lz4;
    Shape {
        threads: 2,
        partitions: 3,
        memory_bytes: 1 << 30,
        fan_in_max: 8,
        combine: true,
        ordered: false,
        compression,
    }
}

#[test]
fn full_memory_is_spilled_and_comes_back() {
    let text: String = (0..60_000).map(|n| format!("word{:05} common\n", n % 20_011)).collect();
    for combine in [true, false] {
        let shape = Shape { memory_bytes: 300_000, combine, ..shape() };
        let job = open(&Gather { combine, ordered: false, fail_on: None, panic_on: None });
        let Mapped { counts, .. } = map(&*job, &shape, &text).unwrap();
        assert!(counts.spills > 3, "{counts:?}");
        law(&shape, std::slice::from_ref(&text));
    }
}

#[test]
fn keys_longer_than_any_buffer() {
    let long = "x".repeat(3_000_000);
    law(&shape(), &[format!("{long} short\n{long}y {long}\n"), format!("{long}\nshort")]);
}

#[test]
fn an_error_and_a_panic_of_the_jobs_code_name_the_place() {
    let fails = |job: &Gather| map(&*open(job), &shape(), "fine\nall bad\n").map(|_| ()).unwrap_err();
    let error = fails(&Gather { combine: true, ordered: false, fail_on: Some("bad".into()), panic_on: None });
    assert!(matches!(error, Error::UserCode(_)));
    assert_eq!(error.code(), "map-failed");
    let said = error.to_string();
    assert!(said.contains("the input at byte 9") && said.contains("this word will not do"), "{said}");
    let error = fails(&Gather { combine: false, ordered: false, fail_on: None, panic_on: Some("bad".into()) });
    assert_eq!(error.code(), "panic");
    assert!(error.to_string().contains("this word is unthinkable"), "{error}");
}

/// Lines of one word of 4,000 letters, each made as it is asked for. A word starts with its number, and repeats 16 letters that
/// follow from it.
struct LongWords(AtomicU64);

impl LongWords {
    const COUNT: u64 = 1_400_000;

    fn word(number: u64) -> String {
        let letters = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("{number:016}{}", format!("{letters:016x}").repeat(249))
    }
}

impl Chunks for LongWords {
    fn next(&self) -> Result<Option<Chunk>> {
        let first = self.0.fetch_add(100, Ordering::Relaxed);
        if first >= Self::COUNT {
            return Ok(None);
        }
        let text: String = (first..first + 100).map(|number| Self::word(number) + "\n").collect();
        Ok(Some(Chunk { bytes: text.into(), range_idx: 0, offset: 0, head: bytes::Bytes::new(), rows: None }))
    }
    fn name(&self, _: u32) -> &str {
        "the input"
    }
}

#[test]
#[ignore = "takes 12 GB of memory; run it in release"]
fn more_than_4_gib_of_keys_in_one_partition() {
    let shape = Shape { threads: 4, partitions: 1, memory_bytes: 64 << 30, combine: false, ..shape() };
    let job = open(&Gather { combine: false, ordered: false, fail_on: None, panic_on: None });
    let Mapped { mut runs, counts } = map_chunks(&*job, &shape, &LongWords(AtomicU64::new(0))).unwrap();
    assert_eq!((counts.pairs_out, counts.spills), (LongWords::COUNT, 0), "all of it is in memory");
    let mut run = RunReader::open(runs.remove(0).into_reader().unwrap(), "run").unwrap();
    for number in 0..LongWords::COUNT {
        assert!(run.advance().unwrap());
        assert!(run.key() == LongWords::word(number).as_bytes(), "word {number}");
    }
    assert!(!run.advance().unwrap());
}
