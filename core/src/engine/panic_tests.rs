//! Wherever the job's own code runs, a panic and an error of it are the job's, with the text, and say what ran.

use super::cut::Chunk;
use super::erased::{ErasedJob, Registry, signature};
use super::map::{Chunks, MapOptions};
use super::passes::Opening;
use super::reduce::{ReduceOptions, Runs};
use crate::wire::run::{AnyRun, Compression, RunReader, RunWriter};
use crate::{
    Code, Combiner, Emitter, Error, Extent, Format, Job, Key, Lines, Result, Row, Side, Sink, UserError, UserResult,
    Values,
};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use std::sync::{Arc, Mutex};

/// Where the job's code panics, or fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum At {
    #[default]
    Nowhere,
    Params,
    Input,
    Framing,
    Cut,
    Place,
    Map,
    Combiner,
    Combining,
    Bounds,
    EncodingBound,
    EncodingKey,
    EncodingValue,
    ValueFails,
    DecodingKey,
    DecodingValue,
    Reduce,
    Nothing,
    Writing,
}
use At::*;

impl At {
    /// Panics if it is this place at which the job breaks.
    fn breaks(self, here: At) {
        if self == here {
            panic!("it panics at {here:?}");
        }
    }
}

/// A key, a value and an output that do as they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Does(At);

impl Serialize for Does {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            EncodingValue | EncodingKey | EncodingBound => panic!("it panics at {:?}", self.0),
            ValueFails => Err(ser::Error::custom("it fails at ValueFails")),
            at => at.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Does {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match At::deserialize(from)? {
            at @ (DecodingKey | DecodingValue | Params) => panic!("it panics at {at:?}"),
            ValueFails => Err(de::Error::custom("it fails at ValueFails")),
            at => Ok(Does(at)),
        }
    }
}

impl Key for Does {}

impl Row for Does {
    fn write_fields(&self, _: &mut Vec<u8>) {
        self.0.breaks(At::Writing);
    }
}

#[derive(Default)]
struct Breaks(At, Lines);

impl Format for Breaks {
    type Record<'a> = &'a str;
    const NAME: &'static str = "breaks";

    fn framing(&self) -> crate::Framing {
        self.0.breaks(At::Framing);
        crate::Framing::Separated
    }

    fn first_cut(&self, bytes: &[u8]) -> Option<usize> {
        self.0.breaks(At::Cut);
        self.1.first_cut(bytes)
    }

    fn for_each<'a>(&'a self, extent: Extent<'a>, each: impl FnMut(usize, &'a str) -> UserResult) -> UserResult<u64> {
        self.1.for_each(extent, each)
    }

    fn place(&self, _: Extent<'_>, _: usize) -> String {
        panic!("it panics at Place")
    }
}

#[derive(Serialize, Deserialize)]
struct Broken {
    at: At,
    combine: bool,
    param: Does,
}

impl Job for Broken {
    const NAME: &'static str = "broken";
    type Input = Breaks;
    type Key = Does;
    type Value = Does;
    type Output = Does;

    fn input(&self) -> Breaks {
        self.at.breaks(At::Input);
        Breaks(self.at, Lines)
    }

    fn map(&self, _: &str, out: &mut Emitter<'_, Does, Does>) -> UserResult {
        match self.at {
            Map => panic!("it panics at Map"),
            Place => Err(UserError::new("it fails at Place")),
            EncodingKey => out.emit(Does(EncodingKey), Does(Nowhere)),
            EncodingBound => Ok(()),
            at => out.emit(Does(Nowhere), Does(at)),
        }
    }

    fn combiner(&self) -> Option<Combiner<Does>> {
        self.at.breaks(At::Combiner);
        self.combine.then(|| {
            crate::Combiner::new(|a: &mut Does, b: Does| {
                a.0.breaks(Combining);
                b.0.breaks(Combining);
            })
        })
    }

    fn bounds(&self) -> Vec<Does> {
        self.at.breaks(At::Bounds);
        if self.at == EncodingBound { vec![Does(EncodingBound)] } else { vec![] }
    }

    fn reduce(&self, _: Does, values: Values<'_, Does>, out: &mut Sink<'_, Does>) -> UserResult {
        self.at.breaks(At::Reduce);
        for value in values {
            out.push(&value)?;
        }
        Ok(())
    }

    fn reduce_nothing(&self, _: &mut Sink<'_, Does>) -> UserResult {
        panic!("it panics at Nothing")
    }
}

fn params(at: At, combine: bool) -> Vec<u8> {
    crate::encode_params(&Broken { at, combine, param: Does(if at == Params { Params } else { Nowhere }) }).unwrap()
}

fn open(at: At, combine: bool) -> Result<Box<dyn ErasedJob>> {
    Registry::new().job::<Broken>().open("broken", &signature::<Broken>(), &params(at, combine))
}

struct Text(Mutex<Vec<Chunk>>);

impl Chunks for Text {
    fn next(&self) -> Result<Option<Chunk>> {
        Ok(self.0.lock().unwrap().pop())
    }
    fn name(&self, _: u32) -> &str {
        "the input"
    }
}

fn options(memory_bytes: usize) -> Arc<MapOptions> {
    let (tmp, compression) = (std::env::temp_dir(), Compression::Lz4);
    let stop = Arc::default();
    Arc::new(MapOptions { partitions: 2, threads: 2, memory_bytes, tmp, compression, stop, max_rejected: None })
}

/// Runs a map task of three records, of which each is a chunk.
fn map(at: At, combine: bool, memory_bytes: usize) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let chunk =
        |_| Chunk { bytes: Bytes::from_static(b"x\n"), range_idx: 0, offset: 0, head: Bytes::new(), rows: None };
    let text = Text(Mutex::new((0..3).map(chunk).collect()));
    open(at, combine)?.map(&pool, &options(memory_bytes), &text).map(drop)
}

struct One(Option<Vec<u8>>);

impl Runs for One {
    fn count(&self) -> usize {
        1
    }
    fn open(&mut self, _: &[Opening]) -> Result<Vec<AnyRun>> {
        Ok(vec![RunReader::open(std::io::Cursor::new(self.0.take().unwrap()), "run")?.boxed()])
    }
}

/// Runs a reduce task over one pair.
fn reduce(at: At) -> Result<()> {
    let mut writer = RunWriter::new(Compression::Lz4);
    let key = if at == DecodingKey { DecodingKey } else { Nowhere };
    let mut encoded = vec![];
    Does(key).encode(&mut encoded).unwrap();
    if at != Nothing {
        writer.push_encoded(&mut encoded, &crate::codec::encode(&at).unwrap()).unwrap();
    }
    let options = ReduceOptions { fan_in_max: 8, output_bytes: 64, ..ReduceOptions::default() };
    open(at, false)?.reduce(&options, Box::new(One(Some(writer.finish().0))), &mut |_| Ok(())).map(drop)
}

/// The job's error: its own, which no other try mends, with its text, and with the name of the job.
#[track_caller]
fn jobs_own(done: Result<()>, what: &str, at: At) {
    let error = done.expect_err(what);
    assert!(error.is(Code::Panic) && matches!(error, Error::UserCode(_)), "{error:?}");
    assert!(!error.is_retryable());
    let said = error.to_string();
    assert!(said.ends_with(&format!("{what} panicked: it panics at {at:?}")), "{said}");
    assert!(said.contains("job broken"), "{said}");
}

const MANY: usize = 1 << 30;

#[test]
fn whatever_of_the_job_panics_before_and_while_it_maps_is_named() {
    assert!(map(Nowhere, false, MANY).is_ok() && map(Nowhere, true, MANY).is_ok());
    let of_param = format!("decoding a {}", std::any::type_name::<Broken>());
    jobs_own(map(Params, false, MANY), &of_param, Params);
    jobs_own(map(Input, false, MANY), "`input`", Input);
    jobs_own(map(At::Combiner, false, MANY), "`combiner`", At::Combiner);
    jobs_own(map(Bounds, false, MANY), "`bounds`", Bounds);
    let of_value = format!("encoding a {}", std::any::type_name::<Does>());
    jobs_own(map(EncodingBound, false, MANY), &of_value, EncodingBound);
    jobs_own(map(Map, false, MANY), "the job's code", Map);
    jobs_own(map(EncodingKey, false, MANY), "the job's code", EncodingKey);
    jobs_own(open(Framing, false).and_then(|job| job.cuts(Side::Left)).map(drop), "the input format", Framing);
}

/// Values are combined as they come, when the task ends, and when spills are merged.
#[test]
fn a_combiner_that_panics_is_named_wherever_it_runs() {
    for memory_bytes in [MANY, 1] {
        jobs_own(map(Combining, true, memory_bytes), "the combiner", Combining);
    }
}

#[test]
fn a_value_that_does_not_serialise_is_the_jobs_fault_at_the_end_of_the_task() {
    let of_value = format!("encoding a {}", std::any::type_name::<Does>());
    for (combine, memory_bytes) in [(false, MANY), (true, MANY), (false, 1), (true, 1)] {
        jobs_own(map(EncodingValue, combine, memory_bytes), &of_value, EncodingValue);
        let error = map(ValueFails, combine, memory_bytes).unwrap_err();
        assert!(error.is(Code::ValueEncode) && !error.is_retryable(), "{error:?}");
        assert!(error.to_string().contains("it fails at ValueFails"), "{error}");
    }
}

#[test]
fn a_format_that_cannot_say_where_a_record_is_does_not_hide_what_failed_there() {
    let error = map(Place, false, MANY).unwrap_err();
    let want = "mapping the input (job broken): it fails at Place";
    assert_eq!((error.code(), &*error.to_string()), ("map-failed", want));
}

#[test]
fn pairs_that_a_call_made_are_taken_under_the_guard() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let by = |at: At, key: At| {
        let text = Text(Mutex::new(vec![Chunk {
            bytes: Bytes::new(),
            range_idx: 0,
            offset: 0,
            head: Bytes::new(),
            rows: None,
        }]));
        let pairs = move |_: &[u8]| crate::codec::encode(&vec![(key, at), (Nowhere, at)]);
        open(at, true).unwrap().map_by(&pool, &options(MANY), &text, &pairs).map(drop)
    };
    assert!(by(Nowhere, Nowhere).is_ok());
    let list = format!("decoding a {}", std::any::type_name::<Vec<(Does, Does)>>());
    jobs_own(by(DecodingValue, Nowhere), &list, DecodingValue);
    jobs_own(by(Combining, Nowhere), "the combiner", Combining);
}

#[test]
fn whatever_of_the_job_panics_while_it_reduces_is_named() {
    assert!(reduce(Nowhere).is_ok());
    let decoding = format!("decoding a {}", std::any::type_name::<Does>());
    jobs_own(reduce(DecodingKey), &decoding, DecodingKey);
    jobs_own(reduce(DecodingValue), &decoding, DecodingValue);
    jobs_own(reduce(Reduce), "the job's code", Reduce);
    jobs_own(reduce(Writing), "the job's code", Writing);
    jobs_own(reduce(Nothing), "`reduce_nothing`", Nothing);
    let error = reduce(ValueFails).unwrap_err();
    assert!(error.is(Code::ValueDecode), "{error:?}");
}
