//! One reduce task: it merges sorted runs into one sorted part, as a stream. It may stop at the end of a key, and another piece
//! of the task goes on from there, with a part of its own.

pub use super::passes::Runs;
use super::passes::{Bounds, Opened, Rest};
use crate::Code;
use crate::budget::{KEPT_PERCENT, MEMORY_MB, OPEN_RUNS_MAX, PASSES_BYTES_MAX, memory_bytes};
use crate::error::Result;
use crate::format::OpenTyped;
use crate::guard::{catch_as, guarded, named, named_of, stopped};
use crate::job::{Job, Sink, Values};
use crate::key::Key;
use crate::output::OutputFormat;
use crate::pairs::{Groups, KeptRoom};
pub use crate::part::FileOp;
use crate::part::Part;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
    /// How much the passes may write there at once, in bytes.
    pub tmp_bytes: u64,
    /// How much memory the values of a key may hold that `reduce` keeps, in bytes; more of them lie in `/tmp`.
    pub kept_bytes: usize,
    /// Set when nobody wants the result any more; `reduce` is then not called again.
    pub stop: Arc<AtomicBool>,
    /// Where an earlier piece has stopped, if this is not the first.
    pub start: Option<Rest>,
    /// Set when the rest is to be left to another piece: the task then stops at the end of a key, its first at the earliest.
    pub hand_on: Arc<AtomicBool>,
    /// Is told each key before it is reduced, for who watches the time.
    pub key: Option<CurrentKey>,
}

impl Default for ReduceOptions {
    /// Returns the options of a whole task, with room for all that a function may have.
    fn default() -> Self {
        ReduceOptions {
            fan_in_max: OPEN_RUNS_MAX,
            format: OutputFormat::default(),
            typed: OpenTyped::default(),
            output_bytes: 1 << 20,
            tmp: std::env::temp_dir(),
            tmp_bytes: PASSES_BYTES_MAX,
            kept_bytes: memory_bytes(MEMORY_MB, KEPT_PERCENT) as usize,
            stop: Arc::default(),
            start: None,
            hand_on: Arc::default(),
            key: None,
        }
    }
}

impl ReduceOptions {
    /// Returns how much the values of a key may hold that are kept.
    fn kept_room(&self) -> KeptRoom {
        KeptRoom { memory_bytes: self.kept_bytes, tmp: self.tmp.clone() }
    }

    /// Returns how many runs are open, and how many bytes in `/tmp`, at once.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds { fan_in_max: self.fan_in_max, tmp: self.tmp.clone(), tmp_bytes: self.tmp_bytes }
    }
}

/// The key that a task reduces, as far as people are shown it.
#[derive(Clone, Debug, Default)]
pub struct CurrentKey(Arc<Mutex<Vec<u8>>>);

impl CurrentKey {
    fn set(&self, key: &[u8]) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.clear();
        held.extend_from_slice(&key[..key.len().min(SHOWN_BYTES)]);
    }

    /// Returns the key as text; `None` before the first and after the last.
    pub fn shown(&self) -> Option<String> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!held.is_empty()).then(|| shown(&held))
    }
}

/// What a piece of a reduce task did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reduced {
    /// How much.
    pub counts: ReduceCounts,
    /// What it has left to the next piece, if it has.
    pub rest: Option<Rest>,
}

/// How much a piece of a reduce task did.
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

/// Runs a reduce task, or a piece of it, and gives what it writes to `out` in order.
pub(super) fn run<J: Job>(
    job: &J,
    options: &ReduceOptions,
    runs: Box<dyn Runs>,
    out: &mut dyn FnMut(FileOp) -> Result<()>,
) -> Result<Reduced> {
    let Opened { merge, sources } = Opened::all(runs, options.start.as_ref(), &options.bounds())?;
    let grouped_by = guarded(|| Ok(named("`grouped_by`", || job.grouped_by())));
    let grouped_by = grouped_by.map_err(|e| e.context(format!("beginning a reduce task (job {})", J::NAME)))?;
    let mut groups = Groups::<J::Value, _>::grouped(merge, grouped_by);
    let room = options.kept_room();
    let (mut counts, mut rest) = (ReduceCounts::default(), None);
    let mut part = Part::new(&options.format, options.output_bytes, &options.typed)?;
    let mut encoded = Vec::new();
    loop {
        // A piece reduces at least one key, so that each is a step towards the end.
        if counts.keys > 0 && options.hand_on.load(Ordering::Relaxed) && groups.merge().top().is_some() {
            rest = Some(Rest { after: groups.last_key().to_vec(), runs: sources.left(groups.merge()) });
            break;
        }
        if !groups.next_key(&mut encoded)? {
            break;
        }
        if options.stop.load(Ordering::Relaxed) {
            return Err(stopped());
        }
        if let Some(key) = &options.key {
            key.set(&encoded);
        }
        let decode = || named_of("decoding a", std::any::type_name::<J::Key>(), || J::Key::decode(&encoded));
        let key = guarded(decode).map_err(|e| e.context(place::<J>(&encoded)))?;
        counts.keys += 1;
        let mut sink = Sink::new(&mut part, out);
        let reduced = catch_as("the job's code", || job.reduce(key, Values::new(&mut groups, &room), &mut sink));
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
    if let Some(key) = &options.key {
        key.set(&[]);
    }
    counts.pairs_in = groups.pairs();
    if counts.keys == 0 && options.start.is_none() {
        let mut sink = Sink::new(&mut part, out);
        let reduced = catch_as("`reduce_nothing`", || job.reduce_nothing(&mut sink));
        let reduced = reduced.and_then(|reduced| reduced.map_err(|error| error.into_error(Code::ReduceFailed)));
        let reduced = reduced.and_then(|()| part.check());
        reduced.map_err(|e| e.context(format!("reducing no pair (job {})", J::NAME)))?;
    }
    part.finish(out)?;
    Ok(Reduced { counts: ReduceCounts { records_out: part.records, bytes_out: part.bytes, ..counts }, rest })
}

/// How much of a key people are shown, in bytes.
const SHOWN_BYTES: usize = 64;

fn shown(key: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(&key[..key.len().min(SHOWN_BYTES)]))
}

fn place<J: Job>(key: &[u8]) -> String {
    format!("reducing key {} (job {})", shown(key), J::NAME)
}
