//! One reduce task: it merges sorted runs into one sorted part, as a stream.

use crate::Code;
use crate::error::Result;
use crate::format::OpenTyped;
use crate::guard::{catch_as, guarded, named_of, stopped};
use crate::job::{Job, Sink, Values};
use crate::key::Key;
use crate::output::OutputFormat;
use crate::pairs::{Groups, Merge, tmp_error};
use crate::part::Part;
use crate::wire::run::{AnyRun, Compression, RunReader, RunWriter};
use std::io::{BufReader, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a reduce task is run.
#[derive(Clone, Debug)]
pub struct ReduceOptions {
    /// How many runs may be open at once; more are merged in several passes through `/tmp`.
    pub fan_in_max: usize,
    /// How records are written.
    pub format: OutputFormat,
    /// Opens what writes them, if the format stores types.
    pub typed: OpenTyped,
    /// How many bytes of output are handed on at once.
    pub output_bytes: usize,
    /// Where the passes write.
    pub tmp: PathBuf,
    /// Set when nobody wants the result any more; `reduce` is then not called again.
    pub stop: Arc<AtomicBool>,
}

/// What a reduce task did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReduceCounts {
    /// Pairs read from the runs.
    pub pairs_in: u64,
    /// Keys given to `reduce`.
    pub keys: u64,
    /// Records that `reduce` wrote.
    pub records_out: u64,
    /// Bytes of these records.
    pub bytes_out: u64,
}

/// The runs of a partition, which are opened as they are needed: there may be more than can be open at once.
pub trait Runs {
    /// Returns how many runs there are.
    fn count(&self) -> usize;

    /// Opens some of the runs, all at once, so that they can be fetched in parallel.
    ///
    /// # Errors
    /// Returns the error that keeps a run from being read.
    fn open(&mut self, which: std::ops::Range<usize>) -> Result<Vec<AnyRun>>;
}

/// Runs a reduce task and gives the part's bytes to `out` in order.
pub(super) fn run<J: Job>(
    job: &J,
    options: &ReduceOptions,
    runs: &mut dyn Runs,
    out: &mut dyn FnMut(Vec<u8>) -> Result<()>,
) -> Result<ReduceCounts> {
    let runs = open_all(runs, options)?;
    let mut groups = Groups::<J::Value, _>::new(Merge::new(runs)?);
    let mut counts = ReduceCounts::default();
    let mut part = Part::new(&options.format, options.output_bytes, &options.typed)?;
    let mut encoded = Vec::new();
    while groups.next_key(&mut encoded)? {
        if options.stop.load(Ordering::Relaxed) {
            return Err(stopped());
        }
        let decode = || named_of("decoding a", std::any::type_name::<J::Key>(), || J::Key::decode(&encoded));
        let key = guarded(decode).map_err(|e| e.context(place::<J>(&encoded)))?;
        counts.keys += 1;
        let mut sink = Sink::new(&mut part, out);
        let reduced = catch_as("the job's code", || job.reduce(key, Values::new(&mut groups), &mut sink));
        groups.check()?;
        match reduced {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                return Err(error.into_error(Code::ReduceFailed).context(place::<J>(&encoded)));
            }
            Err(panic) => return Err(panic.context(place::<J>(&encoded))),
        }
        part.check().map_err(|e| e.context(place::<J>(&encoded)))?;
        groups.skip_rest()?;
    }
    counts.pairs_in = groups.pairs();
    if counts.keys == 0 {
        let mut sink = Sink::new(&mut part, out);
        let reduced = catch_as("`reduce_nothing`", || job.reduce_nothing(&mut sink));
        let reduced = reduced.and_then(|reduced| reduced.map_err(|error| error.into_error(Code::ReduceFailed)));
        let reduced = reduced.and_then(|()| part.check());
        reduced.map_err(|e| e.context(format!("reducing no pair (job {})", J::NAME)))?;
    }
    part.finish(out)?;
    Ok(ReduceCounts { records_out: part.records, bytes_out: part.bytes, ..counts })
}

fn place<J: Job>(key: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&key[..key.len().min(64)]);
    format!("reducing key {shown:?} (job {})", J::NAME)
}

/// Opens all runs. If there are too many, it merges some into runs in `/tmp` first, until few enough are left.
pub(super) fn open_all(runs: &mut dyn Runs, options: &ReduceOptions) -> Result<Vec<AnyRun>> {
    let fan_in = options.fan_in_max.max(2);
    let count = runs.count();
    if count <= fan_in {
        return runs.open(0..count);
    }
    let mut merged = Vec::new();
    for from in (0..count).step_by(fan_in) {
        merged.push(merge_pass(runs.open(from..(from + fan_in).min(count))?, options)?);
    }
    while merged.len() > fan_in {
        let rest = merged.split_off(fan_in);
        let one = merge_pass(merged, options)?;
        merged = rest;
        merged.push(one);
    }
    Ok(merged)
}

/// Merges some runs into one in `/tmp`.
fn merge_pass(runs: Vec<AnyRun>, options: &ReduceOptions) -> Result<AnyRun> {
    let tmp = |e: std::io::Error| tmp_error("merging runs", &options.tmp, &e);
    let mut file = tempfile::tempfile_in(&options.tmp).map_err(tmp)?;
    let mut merge = Merge::new(runs)?;
    let mut writer = RunWriter::new(Compression::Lz4);
    let mut key = Vec::new();
    while let Some(top) = merge.top() {
        key.clear();
        key.extend_from_slice(top.key());
        writer.push_encoded(&mut key, top.value())?;
        if writer.out.len() >= 1 << 20 {
            file.write_all(&writer.out).map_err(tmp)?;
            writer.out.clear();
        }
        merge.advance()?;
    }
    file.write_all(&writer.finish().0).map_err(tmp)?;
    file.seek(SeekFrom::Start(0)).map_err(tmp)?;
    RunReader::open(Box::new(BufReader::with_capacity(256 << 10, file)), "a merge pass")
}
