//! What a map task and a reduce task say of themselves: their counts, their runs and pieces, and how they end when the job's
//! code, the input or whoever wanted them fails.

use super::cut::Chunk;
use super::erased::{ErasedJob, Registry, signature};
use super::map::{Chunks, MapOptions, Mapped};
use super::passes::Opening;
use super::reduce::{FileOp, ReduceCounts, ReduceOptions, Runs};
use super::run::Run;
use crate::wire::run::{AnyRun, Compression, RunReader, RunWriter};
use crate::{Code, Combiner, Emitter, Error, Job, Lines, Result, Side, Sink, UserError, UserResult, Values};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// Counts words, and does as some words say.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Tally {
    combine: bool,
    bounds: Vec<String>,
    speaks_of_nothing: bool,
}

impl Job for Tally {
    const NAME: &'static str = "tally";
    type Input = Lines;
    type Key = String;
    type Value = u32;
    type Output = (String, u32);

    fn map(&self, line: &str, out: &mut Emitter<'_, String, u32>) -> UserResult {
        if line == "ours" {
            return Err(Error::new(Code::ItemTooLarge, "an error of ours, by `?`").into());
        }
        line.split(' ').try_for_each(|word| out.emit(word, 1))
    }

    fn combiner(&self) -> Option<Combiner<u32>> {
        self.combine.then(Combiner::sum)
    }

    fn bounds(&self) -> Vec<String> {
        self.bounds.clone()
    }

    fn reduce(&self, word: String, mut ones: Values<'_, u32>, out: &mut Sink<'_, (String, u32)>) -> UserResult {
        match &*word {
            "fails" => Err(UserError::new("this word will not do")),
            "panics" => panic!("this word is unthinkable"),
            "once" => out.push(&(word, ones.next().unwrap_or(0))),
            "never" => Ok(()),
            _ => out.push(&(word, ones.sum())),
        }
    }

    fn reduce_nothing(&self, out: &mut Sink<'_, (String, u32)>) -> UserResult {
        if self.speaks_of_nothing { out.push(&("nothing".to_owned(), 0)) } else { Ok(()) }
    }
}

fn registry() -> Registry {
    Registry::new().job::<Tally>()
}

fn open(job: &Tally) -> Box<dyn ErasedJob> {
    registry().open("tally", &signature::<Tally>(), &crate::encode_params(job).unwrap()).unwrap()
}

struct Given(Mutex<VecDeque<Chunk>>);

impl Given {
    /// One chunk, or none when there is no text.
    fn text(text: &str) -> Self {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let chunk = Chunk { bytes, range_idx: 0, offset: 100, head: Bytes::new(), rows: None };
        Given(Mutex::new((!text.is_empty()).then_some(chunk).into_iter().collect()))
    }
}

impl Chunks for Given {
    fn next(&self) -> Result<Option<Chunk>> {
        Ok(self.0.lock().unwrap().pop_front())
    }
    fn name(&self, _: u32) -> &str {
        "the input"
    }
}

fn map_options(partitions: u32) -> MapOptions {
    MapOptions {
        partitions,
        threads: 1,
        memory_bytes: 1 << 30,
        tmp: std::env::temp_dir(),
        compression: Compression::None,
        stop: Arc::default(),
        max_rejected: None,
    }
}

fn pool() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap()
}

fn map(job: &Tally, options: MapOptions, text: &str) -> Result<Mapped> {
    open(job).map(&pool(), &Arc::new(options), &Given::text(text))
}

/// The pairs of a run.
fn pairs(run: Run) -> Vec<(String, u32)> {
    let mut reader = RunReader::open(run.into_reader().unwrap(), "run").unwrap();
    let mut pairs = vec![];
    while reader.advance().unwrap() {
        let word = String::from_utf8(reader.key().to_vec()).unwrap();
        pairs.push((word, crate::codec::decode(reader.value()).unwrap()));
    }
    pairs
}

struct Taken(Vec<Option<Vec<u8>>>);

impl Taken {
    /// Runs of these words, each once with the value 1.
    fn words(runs: &[&[&str]]) -> Self {
        let run = |words: &&[&str]| {
            let mut writer = RunWriter::new(Compression::Lz4);
            words.iter().for_each(|word| writer.push(&mut word.as_bytes().to_vec(), &1u32).unwrap());
            Some(writer.finish().0)
        };
        Taken(runs.iter().map(run).collect())
    }
}

impl Runs for Taken {
    fn count(&self) -> usize {
        self.0.len()
    }
    fn open(&mut self, openings: &[Opening]) -> Result<Vec<AnyRun>> {
        let open = |bytes: Vec<u8>| Ok(RunReader::open(std::io::Cursor::new(bytes), "run")?.boxed());
        openings.iter().map(|opening| open(self.0[opening.run].take().unwrap())).collect()
    }
}

fn reduce_options(output_bytes: usize) -> ReduceOptions {
    ReduceOptions { fan_in_max: 8, output_bytes, ..ReduceOptions::default() }
}

/// What a reduce task counted, and the pieces in which it gave its part on.
fn reduce(job: &Tally, options: &ReduceOptions, runs: Taken) -> Result<(ReduceCounts, Vec<String>)> {
    let mut pieces = vec![];
    let reduced = open(job).reduce(options, Box::new(runs), &mut |op| {
        if let FileOp::Bytes(bytes) = op {
            pieces.push(String::from_utf8(bytes).unwrap());
        }
        Ok(())
    })?;
    Ok((reduced.counts, pieces))
}

#[test]
fn a_map_task_counts_what_it_read_and_what_it_wrote() {
    for (combine, pairs_out) in [(false, 6), (true, 3)] {
        let job = Tally { combine, ..Tally::default() };
        let Mapped { runs, counts } = map(&job, map_options(2), "b a\na c a\nb\n").unwrap();
        assert_eq!((counts.records, counts.pairs_emitted, counts.pairs_out), (3, 6, pairs_out));
        assert_eq!((counts.spills, counts.spill_bytes), (0, 0));
        assert_eq!(runs.len(), 2);
        assert_eq!(runs.iter().map(|run| run.pairs).sum::<u64>(), pairs_out);
    }
}

#[test]
fn a_run_has_the_length_and_the_pairs_that_it_says() {
    // More than is written at once, and more than a block.
    let key = |n: u32| format!("{n:05}{:040}", 0);
    let text: String = (0..40_000).map(|n| key(n * 7_919 % 40_000) + "\n").collect();
    for spilled in [false, true] {
        let memory_bytes = if spilled { 500_000 } else { 1 << 30 };
        let options = MapOptions { memory_bytes, ..map_options(1) };
        let Mapped { runs, counts } = map(&Tally::default(), options, &text).unwrap();
        assert_eq!(counts.spills > 1, spilled, "{counts:?}");
        assert_eq!(counts.spill_bytes > 0, spilled, "{counts:?}");
        let [run] = <[Run; 1]>::try_from(runs).unwrap_or_else(|runs| panic!("{} runs", runs.len()));
        let (bytes, count) = (run.bytes, run.pairs);
        let mut whole = vec![];
        run.read_to(&mut whole).unwrap();
        assert_eq!(whole.len() as u64, bytes);
        assert!(bytes > 1 << 20, "{bytes} bytes");
        let mut reader = RunReader::open(&whole[..], "run").unwrap();
        let mut read = 0;
        while reader.advance().unwrap() {
            assert_eq!(reader.key(), key(read).as_bytes());
            read += 1;
        }
        assert_eq!((read, count), (40_000, 40_000));
    }
}

/// However many partitions there are, and whether their pairs were spilled or not.
#[test]
fn all_finished_runs_together_hold_no_more_than_a_task_may() {
    let text: String = (0..100_000).map(|n| format!("{n:07}{:033}\n", 0)).collect();
    for memory_bytes in [1 << 20, 4 << 20, 64 << 20] {
        let options = MapOptions { memory_bytes, ..map_options(50) };
        let Mapped { runs, counts } = map(&Tally::default(), options, &text).unwrap();
        assert_eq!(counts.spills > 0, memory_bytes < 64 << 20);
        let held: usize = runs.iter().map(Run::memory_bytes).sum();
        let bytes: u64 = runs.iter().map(|run| run.bytes).sum();
        assert!(held <= memory_bytes + memory_bytes / 4, "{held} bytes of {bytes}, with {memory_bytes}");
        match memory_bytes >> 20 {
            1 => assert!((held as u64) < bytes, "{held} bytes of {bytes}"),
            64 => assert!(held as u64 >= bytes, "{held} bytes of {bytes}"),
            _ => {}
        }
        assert_eq!(runs.into_iter().map(|run| pairs(run).len()).sum::<usize>(), 100_000);
    }
}

#[test]
fn the_threads_of_a_map_task_share_its_memory() {
    let text: String = (0..100_000).map(|n| format!("{n:040}\n")).collect();
    // One chunk goes to one thread, whatever the others leave unused.
    let spills = |threads: usize| {
        let options = MapOptions { threads, memory_bytes: 4 << 20, ..map_options(1) };
        map(&Tally::default(), options, &text).unwrap().counts.spills
    };
    let (alone, of_four) = (spills(1), spills(4));
    assert!(alone > 0 && of_four > 2 * alone, "{alone} spills of one thread, {of_four} of a fourth of the memory");
}

#[test]
fn keys_between_two_bounds_go_to_one_partition() {
    let bounds = vec!["b".to_owned(), "d".to_owned()];
    for combine in [false, true] {
        let job = Tally { combine, bounds: bounds.clone(), ..Tally::default() };
        let words = |partitions: u32| -> Vec<Vec<String>> {
            let Mapped { runs, .. } = map(&job, map_options(partitions), "a\nb\nba\nc\nd\nx\n").unwrap();
            runs.into_iter().map(|run| pairs(run).into_iter().map(|(word, _)| word).collect()).collect()
        };
        assert_eq!(words(3), [vec!["a"], vec!["b", "ba", "c"], vec!["d", "x"]]);
        // With fewer each takes as many ranges, the last more if they do not come out even; of more the last are empty.
        assert_eq!(words(2), [vec!["a"], vec!["b", "ba", "c", "d", "x"]]);
        assert_eq!(words(1), [vec!["a", "b", "ba", "c", "d", "x"]]);
        assert_eq!(words(4), [vec!["a"], vec!["b", "ba", "c"], vec!["d", "x"], vec![]]);
    }
}

#[test]
fn of_more_bounds_than_partitions_each_partition_gets_its_share() {
    let words: Vec<String> = (0..100).map(|n| format!("{n:02}")).collect();
    let text = words.join("\n");
    let job = Tally { bounds: words[1..].to_vec(), ..Tally::default() };
    for partitions in [1, 2, 3, 7, 99, 100] {
        let Mapped { runs, .. } = map(&job, map_options(partitions), &text).unwrap();
        let parts: Vec<Vec<String>> =
            runs.into_iter().map(|run| pairs(run).into_iter().map(|(word, _)| word).collect()).collect();
        let share = 100 / partitions as usize;
        assert!(parts.iter().all(|part| part.len() == share || part.len() == share + 1), "{partitions}: {parts:?}");
        assert_eq!(parts.concat(), words);
    }
}

#[test]
fn bounds_out_of_order_are_the_jobs_fault() {
    let job = Tally { bounds: vec!["d".into(), "b".into()], ..Tally::default() };
    let error = map(&job, map_options(3), "a\n").err().unwrap();
    assert_eq!(error.code(), "bounds");
}

#[test]
fn a_task_that_nobody_wants_stops_before_the_jobs_code_is_called_again() {
    let stop = || Arc::new(AtomicBool::new(true));
    let options = MapOptions { stop: stop(), ..map_options(1) };
    assert_eq!(map(&Tally::default(), options.clone(), "a\n").err().unwrap().code(), "cancelled");
    let error = open(&Tally::default()).map_by(&pool(), &Arc::new(options), &Given::text("a\n"), &|_| unreachable!());
    assert_eq!(error.err().unwrap().code(), "cancelled");
    let options = ReduceOptions { stop: stop(), ..reduce_options(64) };
    assert_eq!(reduce(&Tally::default(), &options, Taken::words(&[&["panics"]])).unwrap_err().code(), "cancelled");
}

#[test]
fn a_function_gives_a_jobs_pairs_in_place_of_its_map() {
    let twice = |chunk: &[u8]| {
        let word = String::from_utf8(chunk.to_vec()).unwrap();
        crate::codec::encode(&vec![(word.clone(), 1u32), (word, 2)])
    };
    let job = open(&Tally { combine: true, ..Tally::default() });
    let Mapped { mut runs, counts } =
        job.map_by(&pool(), &Arc::new(map_options(1)), &Given::text("word"), &twice).unwrap();
    assert_eq!((counts.records, counts.pairs_emitted, counts.pairs_out), (1, 2, 1));
    assert_eq!(pairs(runs.remove(0)), [("word".to_owned(), 3)]);
    let other = |_: &[u8]| crate::codec::encode(&vec![1u64 << 40]);
    let error = job.map_by(&pool(), &Arc::new(map_options(1)), &Given::text("word"), &other).err().unwrap();
    assert_eq!(error.code(), "value-decode");
}

#[test]
fn an_error_of_ours_comes_out_of_the_jobs_code_as_it_went_in() {
    let error = map(&Tally::default(), map_options(1), "fine\nours\n").err().unwrap();
    assert_eq!((error.code(), matches!(error, Error::Limit(_))), ("item-too-large", true));
    assert!(error.to_string().starts_with("mapping the input at byte 105 (job tally): "), "{error}");
}

#[test]
fn a_reduce_task_counts_every_pair_read_or_not() {
    let runs = Taken::words(&[&["a", "never", "once", "once"], &["a", "never", "once"], &[]]);
    let (counts, pieces) = reduce(&Tally::default(), &reduce_options(1 << 20), runs).unwrap();
    assert_eq!(pieces, ["a\t2\nonce\t1\n"]);
    let want = ReduceCounts { pairs_in: 7, keys: 3, records_out: 2, bytes_out: pieces[0].len() as u64 };
    assert_eq!(counts, want);
}

#[test]
fn a_part_is_given_on_in_pieces_of_at_least_so_many_bytes() {
    // Each record has four bytes.
    let words = ["a", "b", "c", "d", "e"];
    let pieces = |output_bytes: usize| -> Vec<usize> {
        let (counts, pieces) =
            reduce(&Tally::default(), &reduce_options(output_bytes), Taken::words(&[&words])).unwrap();
        assert_eq!((counts.bytes_out, pieces.concat()), (20, "a\t1\nb\t1\nc\t1\nd\t1\ne\t1\n".to_owned()));
        pieces.iter().map(String::len).collect()
    };
    assert_eq!(pieces(8), [8, 8, 4]);
    assert_eq!(pieces(9), [12, 8]);
    assert_eq!(pieces(21), [20]);
}

#[test]
fn a_partition_without_a_pair_is_spoken_of_once_and_only_then() {
    let job = Tally { speaks_of_nothing: true, ..Tally::default() };
    let (counts, pieces) = reduce(&job, &reduce_options(64), Taken::words(&[&[], &[]])).unwrap();
    assert_eq!((counts.keys, counts.records_out, pieces.concat()), (0, 1, "nothing\t0\n".to_owned()));
    let (counts, pieces) = reduce(&job, &reduce_options(64), Taken::words(&[&["never"]])).unwrap();
    assert_eq!((counts.keys, counts.records_out, pieces.concat()), (1, 0, String::new()));
}

#[test]
fn what_fails_in_reduce_names_its_key() {
    let failed = |word: &str| reduce(&Tally::default(), &reduce_options(64), Taken::words(&[&[word]])).unwrap_err();
    let said = |error: &Error| (error.code().to_owned(), error.to_string());
    let place = |word: &str| format!("reducing key {word:?} (job tally): ");
    assert_eq!(said(&failed("fails")), ("reduce-failed".into(), place("fails") + "this word will not do"));
    let panicked = place("panics") + "the job's code panicked: this word is unthinkable";
    assert_eq!(said(&failed("panics")), ("panic".into(), panicked));
}

#[test]
fn a_value_that_does_not_decode_ends_the_task_though_reduce_saw_an_end() {
    let mut writer = RunWriter::new(Compression::None);
    writer.push_encoded(&mut b"a".to_vec(), &[1]).unwrap();
    writer.push_encoded(&mut b"a".to_vec(), &[]).unwrap();
    let runs = Taken(vec![Some(writer.finish().0)]);
    let error = reduce(&Tally::default(), &reduce_options(64), runs).unwrap_err();
    assert_eq!(error.code(), "value-decode");
}

#[test]
fn more_runs_than_can_be_open_are_brought_together_first() {
    for count in 0..20usize {
        for fan_in_max in [0, 2, 3, 8] {
            let words = ["a", "b"];
            let runs = Taken::words(&vec![&words[..]; count]);
            let options = ReduceOptions { fan_in_max, ..reduce_options(64) };
            let (counts, pieces) = reduce(&Tally::default(), &options, runs).unwrap();
            let want = if count == 0 { String::new() } else { format!("a\t{count}\nb\t{count}\n") };
            assert_eq!((counts.pairs_in, pieces.concat()), (2 * count as u64, want), "{count} by {fan_in_max}");
        }
    }
}

#[test]
fn no_more_runs_are_opened_at_once_than_may_be() {
    struct Counted(Taken, Arc<Mutex<Vec<usize>>>);
    impl Runs for Counted {
        fn count(&self) -> usize {
            self.0.count()
        }
        fn open(&mut self, openings: &[Opening]) -> Result<Vec<AnyRun>> {
            self.1.lock().unwrap().push(openings.len());
            self.0.open(openings)
        }
    }
    for (count, opened) in [(1, vec![1]), (4, vec![4]), (5, vec![4, 1]), (8, vec![4, 4]), (9, vec![4, 4, 1])] {
        let counted = Arc::new(Mutex::new(vec![]));
        let runs = Counted(Taken::words(&vec![&["a"][..]; count]), counted.clone());
        let options = ReduceOptions { fan_in_max: 4, ..reduce_options(64) };
        open(&Tally::default()).reduce(&options, Box::new(runs), &mut |_| Ok(())).unwrap();
        assert_eq!(*counted.lock().unwrap(), opened, "{count} runs");
    }
}

#[test]
fn a_registry_names_its_jobs_and_what_they_take() {
    assert_eq!(registry().names().collect::<Vec<_>>(), ["tally"]);
    let error = registry().open("other", "", &[]).err().unwrap();
    assert!(error.to_string().contains("(registered: tally)"), "{error}");
    let job = open(&Tally::default());
    assert_eq!((job.name(), &*job.pairs()), ("tally", std::any::type_name::<Vec<(String, u32)>>()));
    assert_eq!(job.cuts(Side::Left).unwrap().first(b"a\nb", 0), Some(2));
    let said = signature::<Tally>();
    assert!(said.starts_with("lines → (") && said.contains("String") && said.contains("u32"), "{said}");
}
