//! One merge task: it merges what a group of map tasks has for a band of partitions into one run for each of these.
//!
//! Map attempts have written their runs by partition, so a merge task reads each attempt's bundle once, from its start to its end, and
//! all of them side by side:
//!
//! ```text
//! bundles   attempt 0 │ head │ run of partition 5 │ run of 6 │ …
//!           attempt 1 │ head │ run of partition 5 │ run of 6 │ …
//!                              ╰──── merged ────╯
//! out                 │        run of partition 5        │ run of 6 │ …
//! ```
//!
//! Values of one key come in the order of their attempts, as they would without the merge.

use crate::error::{Code, Error, Result};
use crate::guard::{guarded, named, stopped};
use crate::job::Job;
use crate::pairs::{write_as_they_are, write_merged};
use crate::wire::bundle::BundleHead;
use crate::wire::run::{AnyRun, Compression, RunReader, RunWriter};
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many bytes of a run are gathered before they are handed on.
const OUT_BYTES: usize = 1 << 20;

/// How often it is looked whether somebody wants the result still, in pairs.
const LOOK_PAIRS: u32 = 1 << 12;

/// How a merge task is run.
#[derive(Clone, Debug)]
pub struct MergeOptions {
    /// How the runs are stored.
    pub compression: Compression,
    /// Whether the band's first partition holds records that were left out, whose values are not the job's.
    pub has_quarantine: bool,
    /// Set when nobody wants the result any more.
    pub stop: Arc<AtomicBool>,
}

/// What a merge task, or a piece of it, has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// The length of each partition's run in bytes; 0 of one without pairs.
    pub lengths: Vec<u64>,
    /// Runs that were merged.
    pub runs: u64,
    /// Bytes of these.
    pub bytes_in: u64,
    /// Pairs that were read, but for records that were left out.
    pub pairs_in: u64,
    /// Pairs that were written, but for records that were left out.
    pub pairs_out: u64,
}

/// The bundles of some map attempts, read side by side.
pub struct Bundles {
    bundles: Vec<Bundle>,
    partitions: usize,
    next: usize,
}

struct Bundle {
    name: String,
    lengths: Vec<u64>,
    body: Arc<Mutex<Body>>,
}

/// A bundle behind its head.
struct Body {
    reader: Box<dyn Read + Send>,
    /// How much of the run that is being read is left.
    left: u64,
}

/// The run of a bundle that is being read.
struct Part(Arc<Mutex<Body>>);

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let most = buffer.len().min(usize::try_from(body.left).unwrap_or(usize::MAX));
        let read = body.reader.read(&mut buffer[..most])?;
        body.left -= read as u64;
        Ok(read)
    }
}

/// A partition's runs, which the merge reads.
struct Opened {
    runs: Vec<AnyRun>,
    bytes: u64,
}

impl Bundles {
    /// Reads the heads of these bundles, given with their names for errors. Each has the runs of so many partitions.
    ///
    /// # Errors
    /// Returns `frame-corrupt` when one is no such bundle; passes on the errors of reading them.
    pub fn open(bundles: Vec<(String, Box<dyn Read + Send>)>, partitions: usize) -> Result<Self> {
        let bundles = bundles.into_iter().map(|(name, mut reader)| {
            let head = BundleHead::read(&mut reader, partitions, &name)?;
            let lengths = head.lengths().collect();
            Ok(Bundle { name, lengths, body: Arc::new(Mutex::new(Body { reader, left: 0 })) })
        });
        Ok(Bundles { bundles: bundles.collect::<Result<_>>()?, partitions, next: 0 })
    }

    /// Opens the runs of the next partition, when those of the last are read to their ends; `None` after the last partition.
    fn next(&mut self) -> Result<Option<Opened>> {
        let partition = self.next;
        self.next += 1;
        let mut opened = Opened { runs: Vec::new(), bytes: 0 };
        for Bundle { name, lengths, body } in &self.bundles {
            let mut held = body.lock().unwrap_or_else(PoisonError::into_inner);
            let behind =
                |what: String| Error::new(Code::RunCorrupt, format!("reading run {name}: {what} behind its end"));
            if held.left > 0 {
                return Err(behind(format!("{} bytes are", held.left)));
            }
            if partition == self.partitions {
                let read = held.reader.read(&mut [0]).map_err(|e| behind(e.to_string()))?;
                if read > 0 {
                    return Err(behind("there are bytes".to_owned()));
                }
                continue;
            }
            held.left = lengths[partition];
            drop(held);
            if lengths[partition] > 0 {
                let part: Box<dyn Read + Send> = Box::new(Part(body.clone()));
                opened.runs.push(RunReader::open(part, name.clone())?);
                opened.bytes += lengths[partition];
            }
        }
        Ok((partition < self.partitions).then_some(opened))
    }
}

/// Runs a merge task, or a piece of it, and gives the runs that it writes to `out`, one behind the other.
pub(super) fn run<J: Job>(
    job: &J,
    options: &MergeOptions,
    mut bundles: Bundles,
    out: &mut dyn FnMut(Vec<u8>) -> Result<()>,
) -> Result<Merged> {
    let mut merged = Merged::default();
    while let Some(Opened { runs, bytes }) = bundles.next()? {
        let is_quarantine = options.has_quarantine && merged.lengths.is_empty();
        merged.runs += runs.len() as u64;
        merged.bytes_in += bytes;
        if runs.is_empty() {
            merged.lengths.push(0);
            continue;
        }
        let (mut writer, mut bytes, mut looked) = (RunWriter::new(options.compression), 0, 0u32);
        let mut after = |writer: &mut RunWriter| {
            looked = looked.wrapping_add(1);
            if looked % LOOK_PAIRS == 0 && options.stop.load(Ordering::Relaxed) {
                return Err(stopped());
            }
            if writer.out.len() >= OUT_BYTES {
                bytes += writer.out.len() as u64;
                out(std::mem::take(&mut writer.out))?;
            }
            Ok(())
        };
        let pairs_in = match is_quarantine {
            true => write_as_they_are(runs, &mut writer, &mut after)?,
            false => merge(job, runs, &mut writer, &mut after)?,
        };
        let (rest, pairs_out) = writer.finish();
        merged.lengths.push(bytes + rest.len() as u64);
        out(rest)?;
        if !is_quarantine {
            merged.pairs_in += pairs_in;
            merged.pairs_out += pairs_out;
        }
    }
    Ok(merged)
}

/// Merges the runs of one partition into one, with the job's combiner. Returns how many pairs it has read.
fn merge<J: Job>(
    job: &J,
    runs: Vec<AnyRun>,
    writer: &mut RunWriter,
    after: &mut dyn FnMut(&mut RunWriter) -> Result<()>,
) -> Result<u64> {
    let merged = guarded(|| {
        let combiner = named("`combiner`", || job.combiner());
        write_merged(runs, combiner.map(|combiner| combiner.0), writer, after)
    });
    merged.map_err(|e| if e.is(Code::Panic) { e.context(format!("in a merge task (job {})", J::NAME)) } else { e })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::erased::{ErasedJob, Registry, signature};
    use crate::{Combiner, Emitter, Lines, Sink, UserResult, Values};
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeMap;
    use std::io::Cursor;

    macro_rules! job {
        ($name:ident, $combiner:expr) => {
            #[derive(Serialize, Deserialize)]
            struct $name;
            impl Job for $name {
                const NAME: &'static str = stringify!($name);
                type Input = Lines;
                type Key = String;
                type Value = u64;
                type Output = ();
                fn map(&self, _: &str, _: &mut Emitter<'_, String, u64>) -> UserResult {
                    Ok(())
                }
                fn combiner(&self) -> Option<Combiner<u64>> {
                    $combiner
                }
                fn reduce(&self, _: String, _: Values<'_, u64>, _: &mut Sink<'_, ()>) -> UserResult {
                    Ok(())
                }
            }
        };
    }
    job!(Summed, Some(Combiner::sum()));
    job!(Kept, None);
    job!(Panics, Some(Combiner::new(|_, _| panic!("no sum"))));

    fn opened<J: Job>(job: &J) -> Box<dyn ErasedJob> {
        let params = crate::encode_params(job).unwrap();
        Registry::new().job::<J>().open(J::NAME, &signature::<J>(), &params).unwrap()
    }

    type Pairs = Vec<(String, u64)>;

    fn run_of(pairs: &Pairs) -> Vec<u8> {
        let mut pairs = pairs.clone();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        if pairs.is_empty() {
            return Vec::new();
        }
        let mut writer = RunWriter::new(Compression::Lz4);
        for (key, value) in &pairs {
            writer.push(&mut key.clone().into_bytes(), value).unwrap();
        }
        writer.finish().0
    }

    fn bundle_of(partitions: &[Pairs]) -> Vec<u8> {
        let runs: Vec<_> = partitions.iter().map(run_of).collect();
        let head = BundleHead::of(runs.iter().map(|run| run.len() as u64)).write().unwrap();
        [head, runs.concat()].concat()
    }

    fn options() -> MergeOptions {
        MergeOptions { compression: Compression::Lz4, has_quarantine: false, stop: Arc::default() }
    }

    fn bundles(attempts: &[Vec<u8>], partitions: usize) -> Result<Bundles> {
        let readers = attempts.iter().zip(0..).map(|(bytes, n)| {
            let reader: Box<dyn Read + Send> = Box::new(Cursor::new(bytes.clone()));
            (format!("attempt {n}"), reader)
        });
        Bundles::open(readers.collect(), partitions)
    }

    /// Merges; returns the pairs of each partition's run, and what was done.
    fn merged(
        job: &dyn ErasedJob,
        options: &MergeOptions,
        attempts: &[Vec<u8>],
        partitions: usize,
    ) -> Result<(Vec<Pairs>, Merged)> {
        let mut bytes = Vec::new();
        let done = job.merge(options, bundles(attempts, partitions)?, &mut |block| {
            bytes.extend(block);
            Ok(())
        })?;
        assert_eq!(done.lengths.iter().sum::<u64>(), bytes.len() as u64);
        let (mut runs, mut rest) = (Vec::new(), &bytes[..]);
        for length in &done.lengths {
            let (run, behind) = rest.split_at(*length as usize);
            rest = behind;
            let mut pairs = Vec::new();
            if !run.is_empty() {
                let mut reader = RunReader::open(run, "merged").unwrap();
                while reader.advance().unwrap() {
                    let key = String::from_utf8(reader.key().to_vec()).unwrap();
                    pairs.push((key, crate::codec::decode(reader.value()).unwrap()));
                }
            }
            runs.push(pairs);
        }
        Ok((runs, done))
    }

    proptest! {
        #[test]
        fn each_partition_is_what_its_runs_are_merged_to(
            attempts in proptest::collection::vec(
                proptest::collection::vec(proptest::collection::vec(("[ab]{0,3}", 0u64..99), 0..9), 3), 1..6)
        ) {
            let stored: Vec<_> = attempts.iter().map(|attempt| bundle_of(attempt)).collect();
            let (kept, done) = merged(&*opened(&Kept), &options(), &stored, 3).unwrap();
            let all: usize = attempts.iter().flatten().map(Vec::len).sum();
            prop_assert_eq!((done.pairs_in, done.pairs_out), (all as u64, all as u64));
            prop_assert_eq!(done.runs, attempts.iter().flatten().filter(|run| !run.is_empty()).count() as u64);
            let (summed, sums) = merged(&*opened(&Summed), &options(), &stored, 3).unwrap();
            prop_assert_eq!(sums.pairs_in, all as u64);
            for partition in 0..3 {
                // In the order of the attempts, and of one attempt in the order in which they came.
                let mut want: Pairs = attempts.iter().flat_map(|attempt| attempt[partition].clone()).collect();
                want.sort_by(|a, b| a.0.cmp(&b.0));
                prop_assert_eq!(&kept[partition], &want);
                let mut by_key: BTreeMap<String, u64> = BTreeMap::new();
                want.into_iter().for_each(|(key, value)| *by_key.entry(key).or_default() += value);
                prop_assert_eq!(&summed[partition], &by_key.into_iter().collect::<Pairs>());
            }
        }
    }

    #[test]
    fn records_that_were_left_out_are_neither_combined_nor_counted() {
        let pair = |value| vec![("k".to_owned(), value)];
        let stored = [1, 2].map(|n| bundle_of(&[pair(n), pair(10 * n)]));
        let quarantine = MergeOptions { has_quarantine: true, ..options() };
        let (runs, done) = merged(&*opened(&Summed), &quarantine, &stored, 2).unwrap();
        assert_eq!(runs, [[pair(1), pair(2)].concat(), pair(30)]);
        assert_eq!((done.runs, done.pairs_in, done.pairs_out), (4, 2, 1));
    }

    #[test]
    fn what_is_damaged_or_unwanted_is_an_error() {
        let pair = |key: &str| vec![(key.to_owned(), 1)];
        let whole = bundle_of(&[pair("a"), pair("b")]);
        let job = opened(&Summed);
        for cut in 0..whole.len() {
            let error = merged(&*job, &options(), &[whole[..cut].to_vec()], 2).unwrap_err();
            assert!(error.is(Code::FrameCorrupt) || error.is(Code::RunTruncated), "{cut}: {error}");
            assert!(error.to_string().contains("attempt 0"), "{error}");
        }
        // A run that ends before the head says so.
        let run = run_of(&pair("a"));
        let head = BundleHead::of([run.len() as u64 + 1, 0]).write().unwrap();
        let longer = [head, run, vec![0]].concat();
        let error = merged(&*job, &options(), &[longer], 2).unwrap_err();
        assert!(error.is(Code::RunCorrupt) && error.to_string().contains("1 bytes are behind its end"), "{error}");
        // The same of the last run, and bytes that no head knows of.
        let run = run_of(&pair("a"));
        let head = BundleHead::of([0, run.len() as u64 + 1]).write().unwrap();
        let error = merged(&*job, &options(), &[[head, run, vec![0]].concat()], 2).unwrap_err();
        assert!(error.is(Code::RunCorrupt) && error.to_string().contains("1 bytes are behind its end"), "{error}");
        let error = merged(&*job, &options(), &[[whole.clone(), vec![0]].concat()], 2).unwrap_err();
        assert!(error.is(Code::RunCorrupt) && error.to_string().contains("there are bytes behind"), "{error}");
        let panics = merged(&*opened(&Panics), &options(), &[whole.clone(), whole.clone()], 2).unwrap_err();
        assert!(panics.is(Code::Panic), "{panics}");
        let said = panics.to_string();
        assert!(said.contains("the combiner") && said.contains("in a merge task (job Panics)"), "{said}");

        let many: Pairs = (0..=u64::from(LOOK_PAIRS)).map(|n| (format!("{n:06}"), n)).collect();
        let stopping = MergeOptions { stop: Arc::new(true.into()), ..options() };
        let error = merged(&*job, &stopping, &[bundle_of(&[many, vec![]])], 2).unwrap_err();
        assert!(error.is(Code::Cancelled), "{error}");
    }
}
