//! Records that are not valid are left out once each, with their place, and all others are mapped, however the input arrives.

use super::conformance::chunks;
use super::cut::{Chunk, Cuts};
use super::map::{Chunks, MapOptions, Mapped};
use super::quarantine::{Sums, quarantine};
use super::reduce::ReduceOptions;
use super::run::Run;
use super::tests::Taken;
use crate::wire::run::{Compression, RunReader};
use crate::{
    Batch, Batches, Block, BlockColumn, Blocks, Cells, Code, Csv, CsvDialect, Datum, Emitter, Extent, Format, Job,
    JsonLines, Lines, Located, LocatedRecord, MaxRejected, Parquet, Result, RowFormat, RowGroup, Rows, Sink, UserError,
    UserResult, Values,
};
use bytes::Bytes;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// Makes a job that emits what its records say, by their offsets.
macro_rules! echo {
    ($job:ident, $format:ty, $input:expr, |$record:ident, $out:ident| $map:expr) => {
        #[derive(Serialize, Deserialize)]
        struct $job;
        impl Job for $job {
            const NAME: &'static str = "echo";
            type Input = $format;
            type Key = u64;
            type Value = String;
            type Output = ();
            fn input(&self) -> $format {
                $input
            }
            fn map(&self, $record: <$format as Format>::Record<'_>, $out: &mut Emitter<'_, u64, String>) -> UserResult {
                $map
            }
            fn reduce(&self, _: u64, _: Values<'_, String>, _: &mut Sink<'_, ()>) -> UserResult {
                Ok(())
            }
        }
    };
}

fn say<R: std::fmt::Debug>(located: LocatedRecord<'_, R>, out: &mut Emitter<'_, u64, String>) -> UserResult {
    out.emit(located.offset, format!("{:?}", located.record))
}

/// As some data is written: rows of `id`, a tab, and a text.
fn tabs() -> CsvDialect {
    CsvDialect::tsv().without_quoted_newlines()
}

type Pair = (u32, String);

echo!(OfJson, Located<JsonLines<Pair>>, Located::default(), |pair, out| say(pair, out));
echo!(OfLines, Located<Lines>, Located::default(), |line, out| say(line, out));
echo!(OfTabs, Located<Csv<Pair>>, Located(Csv::new(tabs())), |pair, out| say(pair, out));
echo!(OfQuotes, Located<Csv<Pair>>, Located::default(), |pair, out| say(pair, out));
echo!(OfRows, Located<Rows>, Located(Rows(RowFormat::JsonLines)), |row, out| say(row, out));
echo!(InBatches, Batches<Located<JsonLines<Pair>>>, Batches::default(), |batch, out| in_batch(&batch, out));
echo!(AroundBatches, Located<Batches<Lines>>, Located::default(), |batch, out| {
    let mut lines = vec![];
    batch.record.for_each(|line| {
        lines.push(format!("{line:?}"));
        Ok(())
    })?;
    out.emit(batch.offset, lines.join(" "))
});
echo!(OfItsOwn, JsonLines<Pair>, JsonLines::default(), |pair, out| match pair.0 {
    7 => Err(UserError::new("no sevens").of_record(0..1, 2)),
    _ => out.emit(0, pair.1),
});

fn in_batch(batch: &Batch<'_, Located<JsonLines<Pair>>>, out: &mut Emitter<'_, u64, String>) -> UserResult {
    // As a kernel would, the job first takes all records, and fails if one of them is not valid.
    let mut all = vec![];
    batch.for_each(|pair| {
        all.push((pair.offset, format!("{:?}", pair.record)));
        Ok(())
    })?;
    all.into_iter().try_for_each(|(at, pair)| out.emit(at, pair))
}

struct Given(Mutex<VecDeque<Chunk>>);

impl Chunks for Given {
    fn next(&self) -> Result<Option<Chunk>> {
        Ok(self.0.lock().unwrap().pop_front())
    }
    fn name(&self, _: u32) -> &str {
        "s3://b/k"
    }
    fn unpacked_from(&self, range_idx: u32) -> u64 {
        u64::from(range_idx) * 1_000
    }
}

/// How an object comes to the threads of its tasks.
#[derive(Clone, Debug)]
struct Way {
    cuts: Vec<usize>,
    block_bytes: usize,
    threads: usize,
    memory_bytes: usize,
}

const WHOLE: Way = Way { cuts: vec![], block_bytes: 1 << 20, threads: 1, memory_bytes: 1 << 30 };

fn chunks_of<J: Job>(job: &J, object: &[u8], from: usize, to: usize, block_bytes: usize) -> Vec<Chunk> {
    let input = Arc::new(job.input());
    let finds = Cuts::shared(input.clone());
    let head = match input.has_head() {
        true => Bytes::copy_from_slice(&object[..finds.first(object, 0).unwrap_or(object.len())]),
        false => Bytes::new(),
    };
    let all = chunks(&finds, object, from, to, block_bytes);
    all.into_iter().map(|chunk| Chunk { head: head.clone(), ..chunk }).collect()
}

/// Maps what is given, and leaves out as many records as are allowed.
fn map<J: Job>(job: &J, given: Vec<Chunk>, way: &Way, max: MaxRejected) -> Result<Mapped> {
    let options = MapOptions {
        partitions: 2,
        threads: way.threads,
        memory_bytes: way.memory_bytes,
        tmp: std::env::temp_dir(),
        compression: Compression::None,
        stop: Arc::default(),
        max_rejected: Some(max),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(way.threads).build().unwrap();
    super::map::run(job, &pool, &Arc::new(options), &Given(Mutex::new(given.into())))
}

/// What became of an object.
#[derive(Debug, PartialEq)]
struct Done {
    records: u64,
    valid: Vec<(u64, String)>,
    quarantine: Vec<Json>,
}

/// Where the splits of an object end.
fn ends(object: &[u8], way: &Way) -> Vec<usize> {
    let mut ends: Vec<usize> = way.cuts.iter().map(|cut| cut % (object.len() + 1)).collect();
    ends.extend([0, object.len()]);
    ends.sort_unstable();
    ends.dedup();
    ends
}

/// Returns whether each split begins where the one before it ends, without which a job of quoted rows fails.
fn is_proved<J: Job>(job: &J, object: &[u8], way: &Way) -> bool {
    let splits = ends(object, way);
    let mut all = splits.windows(2).flat_map(|split| chunks_of(job, object, split[0], split[1], way.block_bytes));
    let mut end = 0;
    all.all(|chunk| chunk.offset == std::mem::replace(&mut end, chunk.offset + chunk.bytes.len() as u64))
        && end == object.len() as u64
}

/// Maps the splits of an object and writes its quarantine.
fn run<J: Job>(job: &J, object: &[u8], way: &Way) -> Done {
    let ends = ends(object, way);
    let (mut valid, mut rejects) = (vec![], vec![]);
    let (mut read, mut rejected) = (0, 0);
    for split in ends.windows(2) {
        let given = chunks_of(job, object, split[0], split[1], way.block_bytes);
        let Mapped { runs, counts } = map(job, given, way, MaxRejected::Percent(100.0)).unwrap();
        let mut runs = runs.into_iter();
        let of_task = runs.next().unwrap();
        assert_eq!(of_task.pairs, counts.rejected);
        rejects.push(Some(of_task));
        assert_eq!(runs.len(), 2, "one for each partition");
        assert_eq!(runs.as_slice().iter().map(|run| run.pairs).sum::<u64>(), counts.pairs_out);
        runs.for_each(|run| valid.extend(pairs(run)));
        read += counts.records + counts.rejected;
        rejected += counts.rejected;
    }
    valid.sort();
    let sums = Sums { rejected, read, max: MaxRejected::Percent(100.0) };
    let quarantine = lines(&sums, rejects).unwrap();
    assert_eq!(quarantine.len(), rejected as usize);
    Done { records: read - rejected, valid, quarantine }
}

fn pairs(run: Run) -> Vec<(u64, String)> {
    let mut reader = RunReader::open(run.into_reader().unwrap(), "run").unwrap();
    let mut pairs = vec![];
    while reader.advance().unwrap() {
        let key = u64::from_be_bytes(reader.key().try_into().unwrap());
        pairs.push((key, crate::codec::decode(reader.value()).unwrap()));
    }
    pairs
}

/// Writes a quarantine, and reads its lines.
fn lines(sums: &Sums, runs: Vec<Option<Run>>) -> Result<Vec<Json>> {
    let options = ReduceOptions { fan_in_max: 3, output_bytes: 100, ..ReduceOptions::default() };
    let mut text = vec![];
    let counts = quarantine(sums, &options, Box::new(Taken(runs)), &mut |bytes| {
        text.extend(bytes);
        Ok(())
    })?;
    let lines: Vec<Json> = text.split_inclusive(|b| *b == b'\n').map(|l| serde_json::from_slice(l).unwrap()).collect();
    assert_eq!((counts.bytes_out, counts.records_out), (text.len() as u64, lines.len() as u64));
    assert_eq!(counts.pairs_in, counts.records_out);
    Ok(lines)
}

/// The offsets, lengths and texts of a quarantine.
fn places(quarantine: &[Json]) -> Vec<(u64, u64, String)> {
    let place = |line: &Json| {
        assert_eq!(line["object"], "s3://b/k");
        assert!(line.get("unpacked_from").is_none(), "{line}");
        let raw = line["raw"].as_str().unwrap_or_else(|| line["raw_base64"].as_str().unwrap());
        let at = line["offset"].as_u64().or(line["row"].as_u64());
        (at.unwrap(), line["bytes"].as_u64().unwrap(), raw.to_owned())
    };
    quarantine.iter().map(place).collect()
}

/// Puts lines together, and says where each starts.
fn object(lines: &[(bool, String)], ends: &str) -> (Vec<u8>, Vec<(bool, usize)>) {
    let (mut bytes, mut starts) = (vec![], vec![]);
    for (is_valid, line) in lines {
        starts.push((*is_valid, bytes.len()));
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(ends.as_bytes());
    }
    (bytes, starts)
}

fn ways() -> impl Strategy<Value = Way> {
    let memory = prop_oneof![Just(1usize), Just(100_000), Just(1 << 30)];
    (proptest::collection::vec(0usize..400, 0..5), 1usize..60, 1usize..4, memory)
        .prop_map(|(cuts, block_bytes, threads, memory_bytes)| Way { cuts, block_bytes, threads, memory_bytes })
}

fn json_lines() -> impl Strategy<Value = Vec<(bool, String)>> {
    let line = prop_oneof![
        3 => (any::<u32>(), "[a-cé ]{0,9}").prop_map(|pair| (true, serde_json::to_string(&pair).unwrap())),
        1 => "[a-cé]{1,20}".prop_map(|text| (false, text)),
        1 => Just((false, "[1, \"cut".to_owned())),
        1 => Just((false, "[-1, \"\"]".to_owned())),
    ];
    proptest::collection::vec(line, 0..20)
}

fn tab_rows() -> impl Strategy<Value = Vec<(bool, String)>> {
    let row = prop_oneof![
        3 => (any::<u32>(), "[a-cé]{0,9}").prop_map(|(id, text)| (true, format!("{id}\t{text}"))),
        1 => "[a-c]{1,9}\t[a-c]{0,9}".prop_map(|row| (false, row)),
        1 => Just((false, "1\t2\t3".to_owned())),
        1 => Just((false, "1".to_owned())),
        1 => Just((false, "1\t\"open".to_owned())),
    ];
    proptest::collection::vec(row, 0..20)
}

/// Rows of CSV, of which some go over several lines, and of these only such are not valid as are of another type.
fn quoted_rows() -> impl Strategy<Value = Vec<(bool, String)>> {
    let text = "(\"[a-c\n,]{0,9}\"|[a-c]{0,5})";
    let row = prop_oneof![
        4 => (any::<u32>(), text).prop_map(|(id, text)| (true, format!("{id},{text}"))),
        1 => ("[a-c]{1,3}", text).prop_map(|(id, text)| (false, format!("{id},{text}"))),
        1 => Just((false, "1,2,3".to_owned())),
        1 => Just((false, "1,a\"b\"".to_owned())),
    ];
    proptest::collection::vec(row, 0..20)
}

/// Checks what became of lines that are valid or not.
fn check(done: &Done, bytes: &[u8], starts: &[(bool, usize)]) {
    let of = |wanted: bool| starts.iter().filter(move |(is_valid, _)| *is_valid == wanted).map(|(_, at)| *at as u64);
    assert_eq!(done.valid.iter().map(|(at, _)| *at).collect::<Vec<_>>(), of(true).collect::<Vec<_>>());
    assert_eq!(done.records, done.valid.len() as u64);
    let rejected = of(false).map(|at| {
        let text = std::str::from_utf8(&bytes[at as usize..]).unwrap().lines().next().unwrap();
        (at, text.len() as u64, text.to_owned())
    });
    assert_eq!(places(&done.quarantine), rejected.collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn wherever_input_is_cut_each_record_is_mapped_or_left_out_once(
        lines in json_lines(), rows in tab_rows(), way in ways(), crlf: bool,
    ) {
        let ends = if crlf { "\r\n" } else { "\n" };
        let (bytes, starts) = object(&lines, ends);
        let done = run(&OfJson, &bytes, &way);
        check(&done, &bytes, &starts);
        prop_assert_eq!(&run(&InBatches, &bytes, &way), &done);
        let head = (true, "id\ttext".to_owned());
        let (bytes, starts) = object(&[&[head][..], &rows].concat(), ends);
        check(&run(&OfTabs, &bytes, &way), &bytes, &starts[1..]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 2_000, ..ProptestConfig::with_cases(150) })]
    #[test]
    fn wherever_rows_of_several_lines_are_cut_each_is_mapped_or_left_out_once(rows in quoted_rows(), way in ways()) {
        let head = (true, "id,text".to_owned());
        let (bytes, starts) = object(&[&[head][..], &rows].concat(), "\n");
        prop_assume!(is_proved(&OfQuotes, &bytes, &way));
        let done = run(&OfQuotes, &bytes, &way);
        let of = |wanted: bool| starts[1..].iter().zip(&rows).filter(move |(start, _)| start.0 == wanted);
        let places_of_valid: Vec<_> = done.valid.iter().map(|(at, _)| *at as usize).collect();
        prop_assert_eq!(places_of_valid, of(true).map(|(start, _)| start.1).collect::<Vec<_>>());
        let left: Vec<_> = of(false).map(|(start, row)| (start.1 as u64, row.1.len() as u64, row.1.clone())).collect();
        prop_assert_eq!(places(&done.quarantine), left);
    }
}

#[test]
fn a_line_that_is_not_utf8_comes_back_byte_for_byte() {
    let bytes = b"good\n\xff\xfe\r\n\xe4\nlast \xf0\x9f";
    for block_bytes in 1..30 {
        let Done { valid, quarantine, .. } = run(&OfLines, bytes, &Way { block_bytes, ..WHOLE });
        assert_eq!(valid, [(0, "\"good\"".to_owned())]);
        assert_eq!(
            places(&quarantine),
            [(5, 2, "//4=".to_owned()), (9, 1, "5A==".to_owned()), (11, 7, "bGFzdCDwnw==".to_owned())]
        );
        assert!(quarantine[0]["reason"].as_str().unwrap().starts_with("the line is not UTF-8"), "{quarantine:?}");
        assert!(quarantine.iter().all(|line| line.get("raw").is_none()));
    }
    let Done { valid, quarantine, .. } = run(&AroundBatches, b"a\nb\n\xff\nc\nd\n\xff", &WHOLE);
    assert_eq!(valid, [(0, "\"a\" \"b\"".to_owned()), (6, "\"c\" \"d\"".to_owned())], "a batch between two of them");
    assert_eq!(quarantine.len(), 2);
}

#[test]
fn rows_without_types_are_left_out_as_others_are() {
    let Done { valid, quarantine, .. } = run(&OfRows, b"{\"a\": 1}\n{\"a\": \n[1]\n", &WHOLE);
    assert_eq!((valid.len(), places(&quarantine)), (2, vec![(9, 6, "{\"a\": ".to_owned())]));
}

#[test]
fn a_row_of_several_lines_is_left_out_only_if_it_is_one_for_certain() {
    let done = run(&OfQuotes, b"id,text\nx,\"two\nlines\"\n1,\"a \"\"b\"\"\"\n2,a,b\n3\n", &WHOLE);
    assert_eq!(done.valid, [(22, "(1, \"a \\\"b\\\"\")".to_owned())]);
    let left = [(8, 13, "x,\"two\nlines\""), (34, 5, "2,a,b"), (40, 1, "3")];
    assert_eq!(places(&done.quarantine), left.map(|(at, bytes, raw)| (at, bytes, raw.to_owned())));

    let fails = |object: &str| {
        let given = chunks_of(&OfQuotes, object.as_bytes(), 0, object.len(), 1 << 20);
        map(&OfQuotes, given, &WHOLE, MaxRejected::Percent(100.0)).err().map(|e| (e.code().to_owned(), e.to_string()))
    };
    // A stray quote: the rows up to the next one would be lost.
    for (rows, at, says) in [
        ("1,5\" pipe\n2,b\n3,6\" pipe\n", 8, "field 2 has a \""),
        ("1,a\n2,\"b\n3,c\n", 12, "never closed"),
        ("1,\"a\n2,b\n3,c\",d\n", 8, "3 fields"),
    ] {
        let (code, error) = fails(&format!("id,text\n{rows}")).unwrap();
        assert_eq!(code, "record-invalid");
        assert!(error.contains(&format!("s3://b/k at byte {at}")) && error.contains(says), "{error}");
    }
    assert_eq!(fails("id,text\n1,5\" pipe, 6\"\n"), None, "in one line it is one row");
    // A head that is wrong, or lacks a column.
    assert_eq!(fails("id,te\"xt\n1,\"a\n").unwrap().0, "record-invalid");
    assert_eq!(fails("\nid,text\n1,a\n").unwrap().0, "record-invalid");
}

#[test]
fn an_error_of_the_jobs_own_code_is_never_a_record_that_is_left_out() {
    let given = chunks_of(&OfItsOwn, b"x\n[1, \"a\"]\n[7, \"b\"]\n", 0, 20, 1 << 20);
    let error = map(&OfItsOwn, given, &WHOLE, MaxRejected::Percent(100.0)).err().unwrap();
    assert_eq!(error.code(), "map-failed");
    assert_eq!(error.to_string(), "mapping s3://b/k at byte 2 (job echo): no sevens");
}

/// A wrong format, which says of a record that it ends where it starts.
#[derive(Default)]
struct Endless;

impl Format for Endless {
    type Record<'a> = ();
    const NAME: &'static str = "endless";

    fn for_each<'a>(&'a self, _: Extent<'a>, _: impl FnMut(usize, Self::Record<'a>) -> UserResult) -> UserResult<u64> {
        Err(UserError::new("again and again").of_record(0..0, 0))
    }
}

echo!(OfEndless, Endless, Endless, |_record, _out| Ok(()));

#[test]
fn a_format_that_does_not_go_on_ends_the_task() {
    let given = chunks_of(&OfEndless, b"x\n", 0, 2, 1 << 20);
    let error = map(&OfEndless, given, &WHOLE, MaxRejected::Percent(100.0)).err().unwrap();
    assert_eq!(error.to_string(), "mapping s3://b/k at byte 0 (job echo): again and again");
}

#[test]
fn a_task_that_leaves_out_more_than_its_job_may_fails_and_names_the_first() {
    let bytes = b"[1, \"\"]\nx\ny\n[2, \"\"]\nz\n";
    let fails = |max: MaxRejected| {
        let given = chunks_of(&OfJson, bytes, 0, bytes.len(), 1 << 20);
        map(&OfJson, given, &WHOLE, max).err()
    };
    assert!(fails(MaxRejected::Count(3)).is_none() && fails(MaxRejected::Percent(0.0)).is_none());
    let error = fails(MaxRejected::Count(2)).unwrap();
    assert!(error.is(Code::TooManyRejected) && !error.is_retryable() && error.hint().is_some());
    let says = "mapping s3://b/k at byte 20 (job echo): more records are not valid than the 2 that may be left out: \
                the first is in s3://b/k at byte 8: the line is not the JSON that is expected";
    assert!(error.to_string().starts_with(says), "{error}");
    assert!(fails(MaxRejected::Count(0)).unwrap().to_string().starts_with("mapping s3://b/k at byte 8 "));
}

#[test]
fn a_job_that_leaves_out_too_many_in_all_its_tasks_names_the_first_of_all() {
    let tasks = || {
        // The second is of a part of a compressed object, which sorts behind the whole.
        let task = |range_idx, text: &'static str| {
            let bytes = Bytes::from_static(text.as_bytes());
            let chunk = Chunk { bytes, range_idx, offset: 50, head: Bytes::new(), rows: None };
            let Mapped { runs, .. } = map(&OfJson, vec![chunk], &WHOLE, MaxRejected::Count(5)).unwrap();
            runs.into_iter().next()
        };
        vec![task(3, "x\n"), task(0, "[1, \"\"]\nyy\n"), task(0, ""), task(0, "[1, \"\"]\n[2, \"\"]\nz\n")]
    };
    let judged = |max: MaxRejected| lines(&Sums { rejected: 3, read: 6, max }, tasks());
    let kept = judged(MaxRejected::Count(3)).unwrap();
    assert_eq!(kept, judged(MaxRejected::Percent(50.0)).unwrap());
    let places: Vec<_> = kept.iter().map(|line| (&line["unpacked_from"], &line["offset"], &line["raw"])).collect();
    let none = Json::Null;
    assert_eq!(
        places,
        [(&none, &json!(58), &json!("yy")), (&none, &json!(66), &json!("z")), (&json!(3_000), &json!(50), &json!("x"))]
    );
    for (max, says) in [(MaxRejected::Count(2), "2 may"), (MaxRejected::Percent(49.9), "49.9% may")] {
        let error = judged(max).unwrap_err();
        assert!(error.is(Code::TooManyRejected));
        let want =
            format!("3 of 6 records are not valid, and {says} be left out: the first is in s3://b/k at byte 58: ");
        assert!(error.to_string().starts_with(&want), "{error}");
    }
    assert_eq!(lines(&Sums { rejected: 0, read: 0, max: MaxRejected::Count(0) }, vec![]).unwrap(), Vec::<Json>::new());
}

#[test]
fn a_long_record_is_kept_in_part_with_its_length() {
    let long = format!("\"{}", "é".repeat(100_000));
    let Done { quarantine, .. } = run(&OfJson, format!("{long}\n").as_bytes(), &WHOLE);
    let [line] = &quarantine[..] else { panic!("{} lines", quarantine.len()) };
    let kept = line["raw"].as_str().unwrap();
    // The cut is in the middle of a character.
    assert_eq!((line["bytes"].as_u64(), kept.len()), (Some(200_001), (64 << 10) - 1));
    assert!(long.starts_with(kept));
    let quoted = format!("[{:?}, \"\"]", "é".repeat(10_000));
    let Done { quarantine, .. } = run(&OfJson, format!("{quoted}\n").as_bytes(), &WHOLE);
    let reason = quarantine[0]["reason"].as_str().unwrap();
    assert!(reason.len() < 1_100 && reason.ends_with("é…"), "{} bytes: {reason}", reason.len());
}

#[test]
fn what_is_left_out_is_spilled_as_memory_fills() {
    let text: String = (0..40_000).map(|n| format!("{n}: {}\n", "x".repeat(n % 100))).collect();
    let given = chunks_of(&OfJson, text.as_bytes(), 0, text.len(), 1 << 20);
    let way = Way { threads: 2, memory_bytes: 1 << 20, ..WHOLE };
    let Mapped { runs, counts } = map(&OfJson, given, &way, MaxRejected::Percent(100.0)).unwrap();
    assert!(counts.spills > 2 && counts.spill_bytes > 1 << 20, "{counts:?}");
    assert_eq!((counts.records, counts.rejected, counts.pairs_emitted), (0, 40_000, 0));
    let sums = Sums { rejected: 40_000, read: 40_000, max: MaxRejected::Percent(100.0) };
    let lines = lines(&sums, vec![runs.into_iter().next()]).unwrap();
    assert!(lines.is_sorted_by_key(|line| line["offset"].as_u64()) && lines.len() == 40_000);
    assert_eq!(lines[39_999]["raw"], text.lines().last().unwrap());
}

echo!(OfColumns, Located<Parquet<Pair>>, Located(Parquet::default().with_columns(["id", "text"])), |pair, out| say(
    pair, out
));
echo!(
    InRowBatches,
    Batches<Located<Parquet<Pair>>>,
    Batches(Located(Parquet::default().with_columns(["id", "text"]))),
    |batch, out| {
        let mut all = vec![];
        batch.for_each(|pair| {
            all.push((pair.offset, format!("{:?}", pair.record)));
            Ok(())
        })?;
        all.into_iter().try_for_each(|(offset, pair)| out.emit(offset, pair))
    }
);

/// A column that holds whatever it is given.
struct Column(Vec<Datum<'static>>);

impl Cells for Column {
    fn get(&self, row: usize) -> Datum<'_> {
        self.0[row].clone()
    }
}

/// A row group whose blocks have these rows: what `id` is, and whether the job wants the row.
struct Decoded(Vec<Vec<(Datum<'static>, bool)>>);

impl RowGroup for Decoded {
    fn ahead(&self) {}

    fn open(&self) -> Result<Box<dyn Blocks>> {
        Ok(Box::new(Opened(self.0.clone().into())))
    }
}

struct Opened(VecDeque<Vec<(Datum<'static>, bool)>>);

impl Blocks for Opened {
    fn next_block(&mut self) -> Result<Option<Block>> {
        Ok(self.0.pop_front().map(|rows| {
            let chosen = (0..).zip(&rows).filter(|(_, (_, wanted))| *wanted).map(|(row, _)| row);
            let chosen = rows.iter().any(|(_, wanted)| !wanted).then(|| chosen.collect());
            let texts = rows.iter().map(|_| Datum::Text("t".into())).collect();
            let (count, ids) = (rows.len(), rows.into_iter().map(|(id, _)| id).collect());
            let column = |name: &str, values| BlockColumn { name: name.into(), cells: Box::new(Column(values)) };
            Block::new(vec![column("id", ids), column("text", texts)], count, chosen)
        }))
    }
}

fn ids() -> impl Strategy<Value = Vec<Vec<(Datum<'static>, bool)>>> {
    let id = prop_oneof![
        3 => (0i64..100).prop_map(Datum::Int),
        1 => Just(Datum::Int(-1)),
        1 => Just(Datum::Text("seven".into())),
    ];
    proptest::collection::vec(proptest::collection::vec((id, proptest::bool::weighted(0.8)), 1..9), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_row_in_columns_that_is_not_of_the_type_is_left_out_and_all_others_are_mapped(blocks in ids(), in_batches: bool) {
        let (mut valid, mut left_out) = (vec![], vec![]);
        for (place, (id, wanted)) in (7u64..).zip(blocks.iter().flatten()) {
            match id {
                _ if !wanted => {}
                Datum::Int(id) if *id >= 0 => valid.push((place, format!("({id}, \"t\")"))),
                Datum::Int(id) => left_out.push((place, format!("{{\"id\":{id},\"text\":\"t\"}}"))),
                _ => left_out.push((place, "{\"id\":\"seven\",\"text\":\"t\"}".to_owned())),
            }
        }
        let rows = Some(Arc::new(Decoded(blocks)) as Arc<dyn RowGroup>);
        let chunk = Chunk { bytes: Bytes::new(), range_idx: 0, offset: 7, head: Bytes::new(), rows };
        let way = Way { threads: 1, ..WHOLE };
        let given = vec![chunk];
        let all = MaxRejected::Percent(100.0);
        let Mapped { runs, counts } = match in_batches {
            true => map(&InRowBatches, given, &way, all).unwrap(),
            false => map(&OfColumns, given, &way, all).unwrap(),
        };
        prop_assert_eq!((counts.records, counts.rejected), (valid.len() as u64, left_out.len() as u64));
        let mut runs = runs.into_iter();
        let sums = Sums { rejected: counts.rejected, read: counts.records + counts.rejected, max: all };
        let quarantine = lines(&sums, vec![runs.next()]).unwrap();
        let mut mapped: Vec<_> = runs.flat_map(pairs).collect();
        mapped.sort();
        prop_assert_eq!(mapped, valid);
        let kept: Vec<_> = places(&quarantine).into_iter().map(|(place, bytes, raw)| {
            assert_eq!(bytes, raw.len() as u64);
            (place, raw)
        }).collect();
        prop_assert_eq!(kept, left_out);
        prop_assert!(quarantine.iter().all(|line| line.get("offset").is_none()));
    }
}

#[test]
fn a_row_in_columns_fails_a_task_that_may_leave_none_out_and_names_its_place() {
    let rows = vec![vec![(Datum::Int(1), true), (Datum::Int(-1), true)]];
    let rows = Some(Arc::new(Decoded(rows)) as Arc<dyn RowGroup>);
    let chunk = Chunk { bytes: Bytes::new(), range_idx: 0, offset: 7, head: Bytes::new(), rows };
    let given = vec![chunk];
    let error = map(&OfColumns, given, &WHOLE, MaxRejected::Count(0)).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), "too-many-rejected");
    assert!(error.to_string().contains("row 8"), "{error}");
}
