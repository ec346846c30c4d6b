//! One map task: it takes chunks and makes one sorted run for each partition, on all threads.

use super::cut::Chunk;
use super::quarantine::Reject;
use super::rejects::{Origin, Rejecting, Rejects, RowsLie, invalid_row};
use super::run::{Room, Run, RunFile};
use crate::error::{Code, Error, Result, UserResult};
use crate::format::{Extent, Format, RowGroup};
use crate::guard::{catch_as, guarded, named, named_of, stopped};
use crate::job::{Emitter, Job};
use crate::key::{GroupedBy, Key, PlacedBy, Placing};
use crate::max_rejected::MaxRejected;
use crate::pairs::{Finished, Shard, ShardOptions, Spilled, Table, tmp_error};
use crate::side::Side;
use crate::value::Value;
use crate::wire::run::{Compression, RunReader};
use rayon::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The source from which the threads of a task get their chunks.
pub trait Chunks: Sync {
    /// Waits for the next chunk and returns it; `None` ends the task.
    ///
    /// # Errors
    /// Returns the error that kept the input from being read.
    fn next(&self) -> Result<Option<Chunk>>;

    /// Returns the side of a join that all chunks are of.
    fn side(&self) -> Side {
        Side::Left
    }

    /// Returns the name, in errors, of the object that a chunk came from: `s3://bucket/key`.
    fn name(&self, range_idx: u32) -> &str;

    /// Returns what errors call that from which the chunk's offset is counted: the object, unless only a part of it is unpacked.
    fn counted_in(&self, range_idx: u32) -> &str {
        self.name(range_idx)
    }

    /// Returns the offset of the object from which on it was unpacked, if the chunk's offset is counted from there; otherwise 0.
    fn unpacked_from(&self, range_idx: u32) -> u64 {
        let _ = range_idx;
        0
    }
}

/// A function that makes an encoded list of pairs of a chunk, in place of a job's `map`.
pub type PairsOf = dyn Fn(&[u8]) -> Result<Vec<u8>> + Send + Sync;

/// How a map task is run.
#[derive(Clone, Debug)]
pub struct MapOptions {
    /// How many partitions the pairs go to.
    pub partitions: u32,
    /// How many threads map, sort and write.
    pub threads: usize,
    /// What all threads together may hold before they spill, in bytes.
    pub memory_bytes: usize,
    /// Where spill files go.
    pub tmp: PathBuf,
    /// Whether runs are compressed.
    pub compression: Compression,
    /// Set when nobody wants the result any more; `map` is then not called again.
    pub stop: Arc<AtomicBool>,
    /// How many records that are not valid the job may leave out, if any. They are then the first run, before those of the
    /// partitions.
    pub max_rejected: Option<MaxRejected>,
}

/// The result of a map task.
pub struct Mapped {
    /// One run for each partition; before them, where records may be left out, one of these.
    pub runs: Vec<Run>,
    /// What the task did.
    pub counts: MapCounts,
}

/// What a map task did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapCounts {
    /// Records given to `map`.
    pub records: u64,
    /// Records left out, as they are not valid.
    pub rejected: u64,
    /// Pairs that `map` emitted.
    pub pairs_emitted: u64,
    /// Pairs in the runs, after combining.
    pub pairs_out: u64,
    /// How often a thread's tables were spilled to `/tmp`.
    pub spills: u64,
    /// Bytes written to `/tmp`.
    pub spill_bytes: u64,
}

/// Returns the job's input format.
pub(super) fn input<J: Job>(job: &J) -> Result<J::Input> {
    let made = guarded(|| Ok(named("`input`", || job.input())));
    made.map_err(|e| e.context(format!("setting up the input format (job {})", J::NAME)))
}

/// Runs a map task on the threads of `pool`.
pub(super) fn run<J: Job>(
    job: &J,
    pool: &rayon::ThreadPool,
    options: &Arc<MapOptions>,
    chunks: &dyn Chunks,
) -> Result<Mapped> {
    let input = input(job)?;
    run_with(job, pool, options, chunks, &|chunk, emitter, rejects| {
        let (object, side) = (chunks.name(chunk.range_idx), chunks.side());
        if let Some(rows) = &chunk.rows {
            return map_rows(
                job,
                &input,
                &**rows,
                RowsLie { first_row: chunk.offset, object, side },
                emitter,
                rejects,
                &options.stop,
            );
        }
        let extent = Extent { bytes: &chunk.bytes, offset: chunk.offset, head: &chunk.head, object, side };
        let origin = Origin { extent, unpacked_from: chunks.unpacked_from(chunk.range_idx) };
        let counted_in = chunks.counted_in(chunk.range_idx);
        map_extent(job, &input, origin, emitter, rejects, &options.stop, counted_in)
    })
}

/// Runs a map task in which a function makes the pairs instead of the job's `map`. Each chunk is one item.
pub(super) fn run_by<J: Job>(
    job: &J,
    pool: &rayon::ThreadPool,
    options: &Arc<MapOptions>,
    chunks: &dyn Chunks,
    pairs_of: &PairsOf,
) -> Result<Mapped> {
    run_with(job, pool, options, chunks, &|chunk, emitter, _| {
        if options.stop.load(Ordering::Relaxed) {
            return Err(stopped());
        }
        let pairs = pairs_of(&chunk.bytes)?;
        let taken = catch_as("the job's code", || {
            for (key, value) in crate::codec::decode::<Vec<(J::Key, J::Value)>>(&pairs)? {
                emitter.emit(&key, value).map_err(|e| e.into_error(Code::MapFailed))?;
            }
            Ok(1)
        });
        taken.map_err(|e| e.context(format!("taking the pairs of a call (job {})", J::NAME))).flatten()
    })
}

/// What a job's `map` emits its pairs through.
type EmitterOf<'a, J> = Emitter<'a, <J as Job>::Key, <J as Job>::Value>;

/// Maps a chunk to pairs, and returns how many valid records it had.
type MapChunk<'a, J> = dyn Fn(&Chunk, &mut EmitterOf<'_, J>, Option<&mut Rejects<'_>>) -> Result<u64> + Sync + 'a;

/// Which part of what a thread may hold is for the records that it leaves out.
const REJECTS_PART: usize = 8;

fn run_with<J: Job>(
    job: &J,
    pool: &rayon::ThreadPool,
    options: &Arc<MapOptions>,
    chunks: &dyn Chunks,
    map_chunk: &MapChunk<'_, J>,
) -> Result<Mapped> {
    let at = |place: &'static str| {
        move |e: Error| if e.is(Code::Panic) { e.context(format!("{place} a map task (job {})", J::NAME)) } else { e }
    };
    let combiner = guarded(|| Ok(named("`combiner`", || job.combiner()))).map_err(at("beginning"))?;
    let fold = combiner.map(|combiner| combiner.0);
    let bounds = guarded(|| encoded_bounds(job, options.partitions)).map_err(at("beginning"))?;
    let thread_bytes = options.memory_bytes / options.threads.max(1);
    let rejects_bytes = options.max_rejected.map_or(0, |_| thread_bytes / REJECTS_PART);
    let placed_by = guarded(|| Ok(named("`placed_by`", || job.placed_by()))).map_err(at("beginning"))?;
    let grouped_by = guarded(|| Ok(named("`grouped_by`", || job.grouped_by()))).map_err(at("beginning"))?;
    let shards = ShardOptions {
        partitions: options.partitions,
        memory_bytes: thread_bytes - rejects_bytes,
        tmp: options.tmp.clone(),
        compression: options.compression,
        placed_by: placed_by.or_else(|| grouped_by.clone().map(placed_by_group)),
        grouped_by,
    };
    let rejecting = options
        .max_rejected
        .map(|max| Rejecting::new(max, ShardOptions { memory_bytes: rejects_bytes, ..shards.clone() }));
    let shards = Arc::new(shards);
    let records = AtomicU64::new(0);
    let stopped = AtomicBool::new(false);
    let finished: Vec<Result<FinishedThread<J::Value>>> = pool.broadcast(|_| {
        let mut shard = Shard::new(shards.clone(), fold, bounds.clone());
        let mut rejects = rejecting.as_ref().map(Rejecting::thread);
        let result = map_chunks::<J>(map_chunk, chunks, &mut shard, rejects.as_mut(), &records, &stopped);
        if result.is_err() {
            stopped.store(true, Ordering::Relaxed);
        }
        let rejects = rejects.map(Rejects::finish);
        result.and_then(|()| guarded(|| Ok(FinishedThread { pairs: shard.finish(), rejects })).map_err(at("ending")))
    });
    let finished = finished.into_iter().collect::<Result<Vec<_>>>()?;
    let mut counts = MapCounts { records: records.into_inner(), ..MapCounts::default() };
    let mut spills = Vec::new();
    let mut tables: Vec<Vec<Table<J::Value>>> = (0..options.partitions).map(|_| Vec::new()).collect();
    let (mut rejects, mut rejects_spills) = (Vec::new(), Vec::new());
    for FinishedThread { pairs: shard, rejects: of_thread } in finished {
        counts.pairs_emitted += shard.emitted;
        spills.extend(shard.spills);
        tables.iter_mut().zip(shard.tables).for_each(|(all, table)| all.push(table));
        if let Some(Finished { tables, spills, emitted }) = of_thread {
            counts.rejected += emitted;
            rejects_spills.extend(spills);
            rejects.extend(tables);
        }
    }
    counts.spills = (spills.len() + rejects_spills.len()) as u64;
    counts.spill_bytes = spills.iter().chain(&rejects_spills).map(|spill| spill.bytes()).sum();
    let held: usize = tables.iter().flatten().map(Table::bytes).sum();
    let held_of_rejects: usize = rejects.iter().map(Table::bytes).sum();
    let room = Room::beside(held + held_of_rejects, options.memory_bytes);
    let rejected = match rejecting {
        Some(_) => Some(write_run(options, &room, 0, rejects, &rejects_spills, None)?),
        None => None,
    };
    let runs = pool.install(|| {
        tables
            .into_par_iter()
            .enumerate()
            .map(|(partition, tables)| {
                guarded(|| write_run(options, &room, partition, tables, &spills, fold)).map_err(at("ending"))
            })
            .collect::<Result<Vec<_>>>()
    })?;
    counts.pairs_out = runs.iter().map(|run| run.pairs).sum();
    Ok(Mapped { runs: rejected.into_iter().chain(runs).collect(), counts })
}

/// Keeps each group in one partition.
fn placed_by_group(grouped_by: GroupedBy) -> PlacedBy {
    Arc::new(move |key: &[u8]| Placing::by(grouped_by(key)))
}

/// What a thread leaves.
struct FinishedThread<V> {
    pairs: Finished<V>,
    rejects: Option<Finished<Reject>>,
}

/// Writes one partition's run, and gives the memory of its tables back.
fn write_run<V: Value>(
    options: &MapOptions,
    room: &Room,
    partition: usize,
    tables: Vec<Table<V>>,
    spills: &[Spilled],
    fold: Option<fn(&mut V, V)>,
) -> Result<Run> {
    let tables_bytes = tables.iter().map(Table::bytes).sum();
    let mut run = RunFile::new(room, &options.tmp, options.compression);
    if spills.is_empty() {
        run.take_tables(tables, fold)?;
        room.give(tables_bytes);
    } else {
        let mut readers = Vec::new();
        for spill in spills {
            readers.push(spill.open(partition)?.boxed());
        }
        // The pairs still in memory become one more run to merge, which is smaller than a spill.
        let mut rest = RunFile::new(room, &options.tmp, options.compression);
        rest.take_tables(tables, fold)?;
        room.give(tables_bytes);
        let rest = rest.finish()?;
        let rest_bytes = rest.memory_bytes();
        let tmp = |e: std::io::Error| tmp_error("reading a run", &options.tmp, &e);
        readers.push(RunReader::open(rest.into_reader().map_err(tmp)?, "the last in memory")?.boxed());
        run.take_merged(readers, fold)?;
        room.give(rest_bytes);
    }
    run.finish()
}

/// Returns the keys at which these partitions end, encoded: the job's bounds; or those of them at which each partition has as many
/// ranges as the others, if there are more of these than partitions.
fn encoded_bounds<J: Job>(job: &J, partitions: u32) -> Result<Arc<[Vec<u8>]>> {
    let encode = |bound: &J::Key| {
        let mut bytes = Vec::new();
        named_of("encoding a", std::any::type_name::<J::Key>(), || bound.encode(&mut bytes)).map(|()| bytes)
    };
    let bounds = named("`bounds`", || job.bounds());
    let bounds = bounds.iter().map(encode).collect::<Result<Vec<_>>>()?;
    if !bounds.is_sorted() {
        return Err(Error::new(Code::Bounds, format!("the bounds of job {} are not in ascending order", J::NAME)));
    }
    let (ranges, partitions) = (bounds.len() + 1, partitions.max(1) as usize);
    if ranges <= partitions {
        return Ok(bounds.into());
    }
    Ok((1..partitions).map(|partition| bounds[partition * ranges / partitions - 1].clone()).collect())
}

fn map_chunks<J: Job>(
    map_chunk: &MapChunk<'_, J>,
    chunks: &dyn Chunks,
    shard: &mut Shard<J::Value>,
    mut rejects: Option<&mut Rejects<'_>>,
    records: &AtomicU64,
    stopped: &AtomicBool,
) -> Result<()> {
    while !stopped.load(Ordering::Relaxed) {
        let Some(chunk) = chunks.next()? else {
            return Ok(());
        };
        // Numbers begin at another one in each chunk: a chunk may have few pairs that go anywhere.
        let number = (chunk.offset.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as u16;
        let mut emitter = Emitter::new(shard).with_number(number.wrapping_add(chunk.range_idx as u16));
        let count = map_chunk(&chunk, &mut emitter, rejects.as_deref_mut())?;
        records.fetch_add(count, Ordering::Relaxed);
    }
    Ok(())
}

fn map_extent<J: Job>(
    job: &J,
    input: &J::Input,
    origin: Origin<'_>,
    emitter: &mut Emitter<'_, J::Key, J::Value>,
    rejects: Option<&mut Rejects<'_>>,
    stop: &AtomicBool,
    counted_in: &str,
) -> Result<u64> {
    let mapped = catch_as("the job's code", || {
        let each = |at: usize, record: <J::Input as Format>::Record<'_>| {
            // This reads a cache line that nobody writes, which costs nothing compared to the record.
            let mapped = if stop.load(Ordering::Relaxed) { Err(stopped().into()) } else { job.map(record, emitter) };
            mapped.map_err(|error| error.at(at))
        };
        match rejects {
            None => input.for_each(origin.extent, each),
            Some(rejects) => rejects.for_each_valid(input, origin, each),
        }
    });
    let named = Extent { object: counted_in, ..origin.extent };
    let place = |at: usize| {
        let place = catch_as("the input format", || input.place(named, at));
        format!("mapping {} (job {})", place.unwrap_or_else(|_| counted_in.to_owned()), J::NAME)
    };
    match mapped {
        Ok(Ok(count)) => Ok(count),
        Ok(Err(error)) => {
            let (at, error) = error.take_place();
            Err(error.into_error(Code::MapFailed).context(place(at)))
        }
        Err(panic) => Err(panic.context(format!("{} or after", place(0)))),
    }
}

/// Maps the rows of a row group, which is decoded on this thread.
fn map_rows<J: Job>(
    job: &J,
    input: &J::Input,
    group: &dyn RowGroup,
    mut lie: RowsLie<'_>,
    emitter: &mut Emitter<'_, J::Key, J::Value>,
    mut rejects: Option<&mut Rejects<'_>>,
    stop: &AtomicBool,
) -> Result<u64> {
    let mut count = 0;
    let mut blocks = group.open()?;
    while let Some(mut block) = blocks.next_block()? {
        let place = |at: usize| {
            format!("mapping {} at {} (job {})", lie.object, group.place(lie.first_row + at as u64), J::NAME)
        };
        let told = |mapped: Result<UserResult<u64>>| match mapped {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => {
                let (at, error) = error.take_place();
                Err(error.into_error(Code::MapFailed).context(place(at)))
            }
            Err(panic) => Err(panic.context(format!("{} or after", place(0)))),
        };
        if let Some(rejects) = rejects.as_deref_mut() {
            let checked = catch_as("the job's code", || rejects.check_rows(input, &mut block, lie).map(|()| 0));
            told(checked)?;
        }
        loop {
            let (mut given, mut is_of_job) = (0, false);
            let mapped = catch_as("the job's code", || {
                input.for_each_row(lie.extent(&block), |at, record| {
                    let mapped =
                        if stop.load(Ordering::Relaxed) { Err(stopped().into()) } else { job.map(record, emitter) };
                    mapped.map_err(|error| error.at(at)).inspect_err(|_| is_of_job = true)?;
                    given += 1;
                    Ok(())
                })
            });
            match (mapped, rejects.as_deref_mut()) {
                (Ok(Err(error)), Some(rejects)) if !is_of_job => {
                    let Some(row) = invalid_row(&error, &block) else { return told(Ok(Err(error))) };
                    told(Ok(rejects.keep_row(&block, lie, row, error).map(|()| 0)))?;
                    count += given;
                    block.begin_at(row + 1);
                }
                (mapped, _) => break count += told(mapped)?,
            }
        }
        lie.first_row += block.rows() as u64;
    }
    Ok(count)
}
