//! Joins are what nested loops over both sides say, however their input is cut, wherever rows lie, and in however many pieces they are
//! reduced.

use super::cut::Chunk;
use super::erased::{ErasedJob, Registry, signature};
use super::map::{Chunks, MapOptions};
use super::passes::{Opening, Rest};
use super::reduce::{ReduceOptions, Runs};
use crate::wire::run::{AnyRun, Compression, RunReader};
use crate::{
    Code, How, Join, JoinKey, Joined, Key, LeftRows, Lines, Matched, Result, RightRows, Side, Sink, UserError,
    UserResult, check_join, encode_params,
};
use bytes::Bytes;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::io::{Cursor, Read};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// Joins lines `KEY VALUE`, of which `-` is no key.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct ByFirst {
    how: How,
    kept: Side,
    /// Which part of the side that goes by each key but one is said to have.
    share: Option<f64>,
}

fn split(line: &str) -> UserResult<(Option<String>, String)> {
    let (key, value) = line.split_once(' ').ok_or_else(|| UserError::new("no value"))?;
    Ok(((key != "-").then(|| key.to_owned()), value.to_owned()))
}

impl Join for ByFirst {
    const NAME: &'static str = "by-first";
    type LeftInput = Lines;
    type RightInput = Lines;
    type Key = String;
    type Left = String;
    type Right = (String, u8);
    type Output = (String, String, String);

    fn how(&self) -> How {
        self.how
    }
    fn kept(&self) -> Side {
        self.kept
    }
    fn share(&self, key: &String) -> Option<f64> {
        self.share.filter(|_| key != "b")
    }
    fn map_left(&self, line: &str, out: &mut LeftRows<'_, '_, Self>) -> UserResult {
        match split(line)? {
            (Some(key), value) => out.emit(key, value),
            (None, value) => out.emit_alone(value),
        }
    }
    fn map_right(&self, line: &str, out: &mut RightRows<'_, '_, Self>) -> UserResult {
        match split(line)? {
            (Some(key), value) => out.emit(&key, (value, 7)),
            (None, value) => out.emit_alone((value, 7)),
        }
    }
    fn join(
        &self,
        key: Option<&String>,
        rows: Matched<'_, String, (String, u8)>,
        out: &mut Sink<'_, (String, String, String)>,
    ) -> UserResult {
        let left = rows.left().map_or("", String::as_str);
        let right = rows.right().map_or("", |(value, _)| value);
        out.push(&(key.map_or("-", String::as_str).to_owned(), left.to_owned(), right.to_owned()))
    }
}

/// Rows of a side: a key, if any, and a value.
type Rows = Vec<(Option<String>, String)>;

fn written(rows: &Rows) -> Vec<String> {
    rows.iter().map(|(key, value)| format!("{} {value}\n", key.as_deref().unwrap_or("-"))).collect()
}

/// What nested loops say, in order.
fn nested(how: How, left: &Rows, right: &Rows) -> Vec<String> {
    let matches = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    let line =
        |key: &Option<String>, left: &str, right: &str| format!("{}\t{left}\t{right}\n", key.as_deref().unwrap_or("-"));
    let mut lines = Vec::new();
    for (key, value) in left {
        let found: Vec<_> = right.iter().filter(|(other, _)| matches(key, other)).collect();
        match how {
            How::Semi if !found.is_empty() => lines.push(line(key, value, "")),
            How::Semi => {}
            How::Anti if found.is_empty() => lines.push(line(key, value, "")),
            How::Anti => {}
            _ => {
                lines.extend(found.iter().map(|(_, other)| line(key, value, other)));
                if found.is_empty() && how.writes_alone(Side::Left) {
                    lines.push(line(key, value, ""));
                }
            }
        }
    }
    if how.writes_alone(Side::Right) {
        let is_alone = |key: &Option<String>| !left.iter().any(|(other, _)| matches(key, other));
        lines.extend(right.iter().filter(|(key, _)| is_alone(key)).map(|(key, value)| line(key, "", value)));
    }
    lines.sort_unstable();
    lines
}

/// The lines of a split.
struct Split {
    chunks: Mutex<Vec<Chunk>>,
    side: Side,
}

impl Chunks for Split {
    fn next(&self) -> Result<Option<Chunk>> {
        Ok(self.chunks.lock().unwrap().pop())
    }
    fn side(&self) -> Side {
        self.side
    }
    fn name(&self, _: u32) -> &str {
        "it"
    }
}

#[derive(Clone)]
struct Stored(Arc<Vec<Vec<u8>>>);

impl Runs for Stored {
    fn count(&self) -> usize {
        self.0.len()
    }
    fn open(&mut self, openings: &[Opening]) -> Result<Vec<AnyRun>> {
        let open = |Opening { run, place }: &Opening| {
            let rest = self.0[*run][place.offset as usize..].to_vec();
            RunReader::resume(Cursor::new(rest), "run", *place).map(RunReader::boxed)
        };
        openings.iter().map(open).collect()
    }
}

/// How a join is run.
#[derive(Clone, Copy, Debug)]
struct Way {
    partitions: u32,
    lines_per_split: usize,
    kept_bytes: usize,
    map_bytes: usize,
    fan_in_max: usize,
    hand_on: bool,
}

fn open(job: ByFirst) -> Box<dyn ErasedJob> {
    let params = encode_params(&Joined(job)).unwrap();
    Registry::new().job::<Joined<ByFirst>>().open("by-first", &signature::<Joined<ByFirst>>(), &params).unwrap()
}

fn run(job: ByFirst, left: &Rows, right: &Rows, way: Way) -> Result<Vec<String>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let options = Arc::new(MapOptions {
        partitions: way.partitions,
        threads: 2,
        memory_bytes: way.map_bytes,
        tmp: std::env::temp_dir(),
        compression: Compression::Lz4,
        stop: Arc::default(),
        max_rejected: None,
    });
    let job = open(job);
    let mut runs: Vec<Vec<Vec<u8>>> = vec![vec![]; way.partitions as usize];
    for (side, rows) in [(Side::Left, left), (Side::Right, right)] {
        for lines in written(rows).chunks(way.lines_per_split) {
            let chunk = |line: &String| Chunk {
                bytes: Bytes::copy_from_slice(line.as_bytes()),
                range_idx: 0,
                offset: 0,
                head: Bytes::new(),
                rows: None,
            };
            let split = Split { chunks: Mutex::new(lines.iter().map(chunk).collect()), side };
            let mapped = job.map(&pool, &options, &split)?;
            for (all, run) in runs.iter_mut().zip(mapped.runs) {
                let mut bytes = Vec::new();
                run.into_reader().unwrap().read_to_end(&mut bytes).unwrap();
                all.push(bytes);
            }
        }
    }
    let mut out = Vec::new();
    for runs in runs {
        let (runs, mut start): (_, Option<Rest>) = (Stored(Arc::new(runs)), None);
        loop {
            let options = ReduceOptions {
                fan_in_max: way.fan_in_max,
                kept_bytes: way.kept_bytes,
                hand_on: Arc::new(AtomicBool::new(way.hand_on)),
                start: start.take(),
                ..ReduceOptions::default()
            };
            let reduced = job.reduce(&options, Box::new(runs.clone()), &mut |op| {
                out.extend(op.into_bytes());
                Ok(())
            })?;
            match reduced.rest {
                Some(rest) => start = Some(rest),
                None => break,
            }
        }
    }
    let mut lines: Vec<String> = String::from_utf8(out).unwrap().split_inclusive('\n').map(str::to_owned).collect();
    lines.sort_unstable();
    Ok(lines)
}

fn rows() -> impl Strategy<Value = Rows> {
    // Keys of which one is the beginning of another, with zeros and ones behind it, and none.
    let keys = ["a", "a\0", "a\u{1}", "a\0\u{1}", "", "b", "ba"].map(|key| Some(key.to_owned()));
    let keys = proptest::sample::select([&keys[..], &[None]].concat());
    proptest::collection::vec((keys, "[a-z]{0,9}"), 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn a_join_is_what_nested_loops_say(
        left in rows(), right in rows(), kept in proptest::sample::select(Side::BOTH.to_vec()),
        share in proptest::option::of(0.0..1.5), partitions in 1u32..6, lines_per_split in 1usize..30,
        kept_bytes in 0usize..120, map_bytes in 0usize..400, fan_in_max in 2usize..5, hand_on: bool,
    ) {
        for how in How::ALL {
            let want = nested(how, &left, &right);
            let whole = Way {
                partitions: 1,
                lines_per_split: 99,
                kept_bytes: 1 << 20,
                map_bytes: 1 << 20,
                fan_in_max: 99,
                hand_on: false,
            };
            let way = Way { partitions, lines_per_split, kept_bytes, map_bytes, fan_in_max, hand_on };
            for way in [whole, way] {
                let got = run(ByFirst { how, kept, share }, &left, &right, way).unwrap();
                prop_assert!(got == want, "{how} join, {way:?}: {got:?}, not {want:?}");
            }
        }
    }
}

/// One key of which neither side fits into what may be kept.
#[test]
fn a_key_may_have_more_rows_on_both_sides_than_fit_into_memory() {
    let rows = |count: usize| -> Rows { (0..count).map(|n| (Some("k".to_owned()), format!("{n:04}"))).collect() };
    let (left, right) = (rows(150), rows(400));
    let way =
        Way { partitions: 2, lines_per_split: 40, kept_bytes: 1_000, map_bytes: 1_000, fan_in_max: 99, hand_on: true };
    for kept in Side::BOTH {
        for how in How::ALL {
            let got = run(ByFirst { how, kept, share: None }, &left, &right, way).unwrap();
            assert!(got == nested(how, &left, &right), "{how}: {}", got.len());
        }
    }
}

#[test]
fn the_error_of_a_join_fails_the_job_by_its_place() {
    let rows: Rows = vec![(Some("a".into()), "1".into())];
    let job = ByFirst { how: How::Inner, kept: Side::Left, share: None };
    let error = check_join(&Joined(job), b"a 1\nb\n", written(&rows).concat().as_bytes(), &[1]).unwrap_err();
    assert!(error.is(Code::MapFailed) && error.to_string().contains("byte 4"), "{error}");
}

#[test]
fn laws_of_joins_are_checked() {
    for how in How::ALL {
        let (left, right) = (b"a 1\nb 2\n- 3\nb 4\n", b"b x\nc y\n- z\nb w\n");
        let text =
            check_join(&Joined(ByFirst { how, kept: Side::Right, share: Some(0.5) }), left, right, &[1, 4]).unwrap();
        let want = match how {
            How::Inner => "b\t2\tw\nb\t2\tx\nb\t4\tw\nb\t4\tx\n",
            How::Left => "-\t3\t\na\t1\t\nb\t2\tw\nb\t2\tx\nb\t4\tw\nb\t4\tx\n",
            How::Right => "-\t\tz\nb\t2\tw\nb\t2\tx\nb\t4\tw\nb\t4\tx\nc\t\ty\n",
            How::Full => "-\t\tz\n-\t3\t\na\t1\t\nb\t2\tw\nb\t2\tx\nb\t4\tw\nb\t4\tx\nc\t\ty\n",
            How::Semi => "b\t2\t\nb\t4\t\n",
            How::Anti => "-\t3\t\na\t1\t\n",
        };
        assert_eq!(text, want, "{how}");
    }
}

/// What a heavy key has is in as many parts as its share says, and no part has all of it.
#[test]
fn a_key_with_much_of_a_side_is_spread() {
    let rows = |count: usize| -> Rows { (0..count).map(|n| (Some("k".to_owned()), format!("{n:04}"))).collect() };
    let (left, right) = (rows(400), rows(3));
    let parts = |how, kept, share| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let options = Arc::new(MapOptions {
            partitions: 8,
            threads: 1,
            memory_bytes: 1 << 20,
            tmp: std::env::temp_dir(),
            compression: Compression::None,
            stop: Arc::default(),
            max_rejected: None,
        });
        let bytes = Bytes::from(written(&left).concat());
        let chunk = Chunk { bytes, range_idx: 0, offset: 0, head: Bytes::new(), rows: None };
        let split = Split { chunks: Mutex::new(vec![chunk]), side: Side::Left };
        let mapped = open(ByFirst { how, kept, share }).map(&pool, &options, &split).unwrap();
        let mut pairs: Vec<u64> = mapped.runs.iter().map(|run| run.pairs).filter(|pairs| *pairs > 0).collect();
        pairs.sort_unstable();
        pairs
    };
    assert_eq!(parts(How::Inner, Side::Right, None), [400]);
    assert_eq!(parts(How::Inner, Side::Right, Some(0.3)), [133, 133, 134]);
    assert_eq!(parts(How::Left, Side::Right, Some(1.0)), [50; 8]);
    assert_eq!(parts(How::Semi, Side::Left, Some(0.5)), [100; 4]);
    // The side that is kept goes to all of them.
    assert_eq!(parts(How::Inner, Side::Left, Some(0.3)), [400; 3]);
    // One part could not know whether a row has a match in another.
    assert_eq!(parts(How::Left, Side::Left, Some(1.0)), [400]);
    assert_eq!(parts(How::Full, Side::Right, Some(1.0)), [400]);
    for how in How::ALL {
        let way = Way {
            partitions: 8,
            lines_per_split: 50,
            kept_bytes: 1 << 20,
            map_bytes: 1 << 20,
            fan_in_max: 99,
            hand_on: false,
        };
        let got = run(ByFirst { how, kept: Side::Right, share: Some(0.6) }, &left, &right, way).unwrap();
        assert!(got == nested(how, &left, &right), "{how}");
    }
}

proptest! {
    #[test]
    fn keys_of_joins_come_back_sort_as_they_do_and_are_refused_when_they_are_cut(
        a in join_key(), b in join_key(), cut in 0usize..20,
    ) {
        let encoded = |key: &JoinKey<String>| {
            let mut bytes = Vec::new();
            key.encode(&mut bytes).unwrap();
            bytes
        };
        let (x, y) = (encoded(&a), encoded(&b));
        prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        prop_assert_eq!(JoinKey::decode(&x).unwrap(), a);
        if cut < x.len() {
            // What is left may be another key, and is never a panic.
            let _ = JoinKey::<String>::decode(&x[..cut]);
        }
    }
}

fn join_key() -> impl Strategy<Value = JoinKey<String>> {
    prop_oneof![
        ("[ab\0\u{1}]{0,4}", 0u8..2).prop_map(|(key, turn)| JoinKey::Keyed(key, turn)),
        (any::<u16>(), 0u8..2).prop_map(|(place, turn)| JoinKey::Alone(place, turn)),
        ("[ab\0\u{1}]{0,4}", any::<u16>(), 0u8..2).prop_map(|(key, place, turn)| JoinKey::Placed(key, place, turn)),
    ]
}
