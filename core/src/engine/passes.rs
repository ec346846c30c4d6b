//! How a reduce task opens its runs. Where there are more than may be open at once, groups of them are merged into one run each
//! first, through `/tmp`.
//!
//! A group is merged in chunks: the next one when the one before it is read. So `/tmp` holds a part of the partition, which may
//! be larger than `/tmp` is.
//!
//! ```text
//! runs    0 1 2 … 767   768 …        of which as many as a group has are open while a chunk is made
//!         ╰────┬────╯ ╰──┬──╯
//!           chunk      chunk         in /tmp, together as large as the task is told
//!             ╰────┬─────╯
//!                merge ──▶ reduce
//! ```
//!
//! Where so many runs make more groups than may be open at once, each group is one chunk, and groups are merged likewise: that
//! takes room for all of them.

use crate::error::Result;
use crate::pairs::{Merge, tmp_error};
use crate::wire::run::{AnyRun, Compression, RunPlace, RunReader, RunWriter};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many bytes are gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// The runs of a partition, which are opened as they are needed: there may be more than can be open at once. Then a run may be
/// opened again, further on.
pub trait Runs: Send {
    /// Returns how many runs there are.
    fn count(&self) -> usize;

    /// Opens some of the runs, all at once, so that they can be fetched in parallel.
    ///
    /// # Errors
    /// Returns the error that keeps a run from being read.
    fn open(&mut self, openings: &[Opening]) -> Result<Vec<AnyRun>>;
}

/// How much is open, and written, at once.
pub(super) struct Bounds {
    /// How many runs.
    pub(super) fan_in_max: usize,
    /// Where chunks are written.
    pub(super) tmp: PathBuf,
    /// How many bytes of chunks there are at once.
    pub(super) tmp_bytes: u64,
}

/// A run, and where reading of it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Which run.
    pub run: usize,
    /// The place in it.
    pub place: RunPlace,
}

/// Where an earlier piece of a task has stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// The last key that it reduced, encoded.
    pub after: Vec<u8>,
    /// The runs that are left, in order, and where the next pair of each lies, or one before it.
    pub runs: Vec<Opening>,
}

/// All runs of a task, open for a merge.
pub(super) struct Opened {
    pub(super) merge: Merge<Box<dyn Read + Send>>,
    pub(super) sources: Sources,
}

/// What a merge reads, in order.
pub(super) struct Sources(Vec<Source>);

enum Source {
    Run(usize),
    /// Groups that are merged into one run, and where the chunk of each begins that is being read.
    Groups(Vec<Begun>),
}

/// Where the chunk of a group begins that is being read.
type Begun = Arc<Mutex<Vec<Opening>>>;

/// The runs of a task, which its groups open in turn.
type Shared = Arc<Mutex<Box<dyn Runs>>>;

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A run that is merged from groups.
struct Merged {
    reader: AnyRun,
    groups: Vec<Begun>,
}

impl Opened {
    /// Opens the runs of a task, or what is left of them.
    pub(super) fn all(mut runs: Box<dyn Runs>, start: Option<&Rest>, bounds: &Bounds) -> Result<Self> {
        let fan_in = bounds.fan_in_max.max(2);
        let whole = |run| Opening { run, place: RunPlace::default() };
        let (openings, after) = match start {
            Some(rest) => (rest.runs.clone(), Some(rest.after.clone())),
            None => ((0..runs.count()).map(whole).collect(), None),
        };
        if openings.len() <= fan_in {
            let sources = openings.iter().map(|opening| Source::Run(opening.run)).collect();
            let merge = Merge::after(runs.open(&openings)?, after.as_deref())?;
            return Ok(Opened { merge, sources: Sources(sources) });
        }
        let runs = Arc::new(Mutex::new(runs));
        let groups = openings.len().div_ceil(fan_in);
        let chunk_bytes = match groups <= fan_in {
            true => (bounds.tmp_bytes / groups as u64).max(1),
            false => u64::MAX,
        };
        let mut merged = Vec::with_capacity(groups);
        for openings in openings.chunks(fan_in) {
            let begun = Begun::default();
            let group = Group {
                runs: runs.clone(),
                left: openings.to_vec(),
                begun: begun.clone(),
                after: after.clone(),
                chunk_bytes,
                tmp: bounds.tmp.clone(),
                chunk: None,
                writer: Some(RunWriter::new(Compression::Lz4)),
            };
            let reader = RunReader::open(Box::new(group) as Box<dyn Read + Send>, "a merge pass")?;
            merged.push(Merged { reader, groups: vec![begun] });
        }
        while merged.len() > fan_in {
            let rest = merged.split_off(fan_in);
            let groups = merged.iter().flat_map(|one| one.groups.clone()).collect();
            let reader = merge_pass(merged.into_iter().map(|one| one.reader).collect(), &bounds.tmp)?;
            merged = rest;
            merged.push(Merged { reader, groups });
        }
        let sources = merged.iter().map(|one| Source::Groups(one.groups.clone())).collect();
        let merge = Merge::new(merged.into_iter().map(|one| one.reader).collect())?;
        Ok(Opened { merge, sources: Sources(sources) })
    }
}

impl Sources {
    /// Returns what is left of the runs that a merge reads, as far as it has come. Of a group, that is all from the start of its
    /// chunk on: the keys of the pairs tell which of them were merged before.
    pub(super) fn left(&self, merge: &Merge<Box<dyn Read + Send>>) -> Vec<Opening> {
        let mut left = Vec::new();
        for (place, source) in merge.places().zip(&self.0) {
            match (place, source) {
                (None, _) => {}
                (Some(place), Source::Run(run)) => left.push(Opening { run: *run, place }),
                (Some(_), Source::Groups(groups)) => {
                    groups.iter().for_each(|begun| left.extend_from_slice(&lock(begun)));
                }
            }
        }
        left.sort_unstable_by_key(|opening| opening.run);
        left
    }
}

/// A group of runs, read as the bytes of one run, which is made while it is read.
struct Group {
    runs: Shared,
    /// What is not in a chunk yet.
    left: Vec<Opening>,
    begun: Begun,
    /// Pairs whose keys do not come after this one were reduced before.
    after: Option<Vec<u8>>,
    chunk_bytes: u64,
    tmp: PathBuf,
    /// The chunk that is being read.
    chunk: Option<BufReader<File>>,
    /// Writes the next chunk; `None` after the last.
    writer: Option<RunWriter>,
}

impl Group {
    /// Writes the next chunk.
    fn fill(&mut self) -> Result<()> {
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        // Its file is given back before the next one grows.
        self.chunk = None;
        lock(&self.begun).clone_from(&self.left);
        let mut file = Chunk::create(&self.tmp)?;
        let mut merge = Merge::after(lock(&self.runs).open(&self.left)?, self.after.as_deref())?;
        let mut key = Vec::new();
        while file.bytes + (writer.out.len() as u64) < self.chunk_bytes
            && let Some(top) = merge.top()
        {
            key.clear();
            key.extend_from_slice(top.key());
            writer.push_encoded(&mut key, top.value())?;
            file.drain(&mut writer)?;
            merge.advance()?;
        }
        if merge.top().is_some() {
            // What a reader has not come to must lie in this chunk or after it.
            writer.end_block();
            file.write(&std::mem::take(&mut writer.out))?;
            let left = merge
                .places()
                .zip(&self.left)
                .filter_map(|(place, Opening { run, .. })| place.map(|place| Opening { run: *run, place }));
            self.left = left.collect();
            self.writer = Some(writer);
        } else {
            file.write(&writer.finish().0)?;
        }
        self.chunk = Some(file.into_reader()?);
        Ok(())
    }
}

impl Read for Group {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.chunk.as_mut().map_or(Ok(0), |chunk| chunk.read(buffer))?;
            if read > 0 || buffer.is_empty() || self.writer.is_none() {
                return Ok(read);
            }
            self.fill().map_err(io::Error::other)?;
        }
    }
}

/// A file in `/tmp` that is written and then read.
struct Chunk<'a> {
    file: File,
    tmp: &'a Path,
    bytes: u64,
}

impl<'a> Chunk<'a> {
    fn create(tmp: &'a Path) -> Result<Self> {
        let file = tempfile::tempfile_in(tmp).map_err(|e| tmp_error("merging runs", tmp, &e))?;
        Ok(Chunk { file, tmp, bytes: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|e| tmp_error("merging runs", self.tmp, &e))
    }

    /// Writes what a writer has gathered, once it is worth it.
    fn drain(&mut self, writer: &mut RunWriter) -> Result<()> {
        if writer.out.len() >= WRITE_BYTES {
            self.write(&writer.out)?;
            writer.out.clear();
        }
        Ok(())
    }

    fn into_reader(mut self) -> Result<BufReader<File>> {
        self.file.seek(SeekFrom::Start(0)).map_err(|e| tmp_error("merging runs", self.tmp, &e))?;
        Ok(BufReader::with_capacity(256 << 10, self.file))
    }
}

/// Merges some runs into one in `/tmp`.
fn merge_pass(runs: Vec<AnyRun>, tmp: &Path) -> Result<AnyRun> {
    let mut file = Chunk::create(tmp)?;
    let mut merge = Merge::new(runs)?;
    let mut writer = RunWriter::new(Compression::Lz4);
    let mut key = Vec::new();
    while let Some(top) = merge.top() {
        key.clear();
        key.extend_from_slice(top.key());
        writer.push_encoded(&mut key, top.value())?;
        file.drain(&mut writer)?;
        merge.advance()?;
    }
    file.write(&writer.finish().0)?;
    RunReader::open(Box::new(file.into_reader()?), "a merge pass")
}
