//! A sample of the pairs that a job makes of its input, taken before the job is submitted: where its partitions are to end
//! ([`Job::bounds`]) follows from the keys.
//!
//! What is read is chosen by the input alone, so the same input gives the same sample. All objects, end to end in order, are cut into
//! at most [`SAMPLE_PIECES`] stretches of equal length, and a piece is read of each, from a place in it that is drawn by the names and sizes
//! of the objects:
//!
//! ```text
//! objects     │── a ──│────────────────── b ──────────────────│─ c ─│── d ──│
//! stretches   │          │          │          │          │          │
//! pieces         ▪▪         ▪▪       ▪▪                 ▪▪          ▪▪
//! ```
//!
//! So large objects are sampled more often than small ones, and sorted input as well as any. Each stretch counts as much as any other,
//! whatever the records of its piece are.
//!
//! | what is read of an object | |
//! |---|---|
//! | lines, JSON lines, CSV and the like | its first bytes, which have its head; and [`SAMPLE_PIECE_BYTES`] at each place that was drawn, of which the first and last record are left out if they are cut |
//! | what is compressed, or cannot be cut | as many bytes from its start on, up to [`SAMPLE_LONG_PIECE_BYTES`] |
//! | Parquet | its footer, and the first rows of each row group in which a place lies, as much as the pieces there have together |
//! | Avro | its head, and the first block behind each place |
//!
//! Where most records are so long that they fill more than a piece, the same is done once more, with fewer and longer pieces. A sample
//! that misses what matters makes parts uneven, and never a wrong result.

use crate::columns::{BLOCK_BYTES_MAX, Columns, Group, ReadBlocks};
use crate::look::{LOOK_BYTES, Start};
use crate::submission::{Places, set_reads};
use crate::{Code, Codec, Driver, Error, Format, Framing, Job, PathPart, Result, Schema, Side, Submit};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use kinglet_core::budget::{SAMPLE_LONG_PIECE_BYTES, SAMPLE_LONG_PIECES, SAMPLE_PIECE_BYTES, SAMPLE_PIECES};
use kinglet_core::codec::encode;
use kinglet_core::engine::cut::Chunk;
use kinglet_core::engine::sample::{SampledPiece, Sampler};
use kinglet_core::{Blocks, ByteRange, Fetched, RangedObject, RowGroup};
use kinglet_splitter::list::{self, Sampled as SampledObject};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many of an object's first bytes are read to see how it is compressed, and its head (16 KiB). A longer head is looked for in
/// [`SAMPLE_LONG_PIECE_BYTES`].
const HEAD_BYTES: u64 = 16 << 10;

/// How much of a row group is held at once while it is decoded (1 MiB).
const ROW_GROUP_WINDOW_BYTES: u64 = 1 << 20;

/// In how many stretches an object is cut if there are few objects, so that small ones are seen, too.
const OBJECT_STRETCHES: u64 = 4;

/// How many objects are read at once.
const OBJECTS_AT_ONCE: usize = 16;

/// How many pieces of each of them.
const PIECES_AT_ONCE: usize = 8;

/// How much of an input is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// How many pieces are read at most, each of 64 KiB; 256 by default.
    pub pieces: u32,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling { pieces: SAMPLE_PIECES }
    }
}

/// The objects that a job would read, but for empty ones.
#[derive(Debug)]
pub struct Inputs {
    objects: Vec<SampledObject>,
    common: String,
    side: Side,
}

impl Inputs {
    /// Returns what the names of all objects begin with, as a job is told them: `s3://bucket/logs/2026-`.
    pub fn common(&self) -> &str {
        &self.common
    }

    /// Returns how many objects there are.
    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    /// Returns how many bytes they have, as they are stored.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.listed.size).sum()
    }

    /// Returns the objects, in the order of the input.
    pub(crate) fn all(&self) -> &[SampledObject] {
        &self.objects
    }

    /// Returns a number that is the same for the same sizes and names, behind what these have in common.
    fn seed(&self) -> u64 {
        self.objects.iter().fold(0, |seed, object| {
            let name = object.shown.get(self.common.len()..).unwrap_or_default();
            let of_name = name.bytes().fold(seed, |seed, byte| mix(seed ^ u64::from(byte)));
            mix(of_name ^ object.listed.size)
        })
    }
}

/// A sample of the pairs that a job makes of its input.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sample<K, V> {
    /// The pairs, in the order of their keys.
    pub pairs: Vec<SampledPair<K, V>>,
    /// Of Parquet and Avro: the names of the columns that objects have, those that their paths say behind them, each list once.
    pub columns: Vec<Vec<String>>,
    /// How many objects were read from.
    pub sampled: usize,
    /// Of how many that are not empty.
    pub objects: usize,
    /// How many bytes the pieces have; of Parquet, at most.
    pub bytes: u64,
}

/// A pair of a [`Sample`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SampledPair<K, V> {
    /// Its key.
    pub key: K,
    /// Its value.
    pub value: V,
    /// How many bytes of the input it stands for.
    pub weight: f64,
}

impl<K: Clone + Ord, V> Sample<K, V> {
    /// Returns keys between which lie about as many bytes of the input each: `most` of them, or fewer if the sample has fewer keys.
    /// For [`Job::bounds`].
    pub fn bounds(&self, most: usize) -> Vec<K> {
        let all: f64 = self.pairs.iter().map(|pair| pair.weight).sum();
        let (mut bounds, mut before) = (Vec::new(), 0.0);
        for pair in &self.pairs {
            let next = (bounds.len() + 1) as f64 / (most + 1) as f64 * all;
            // The first key begins the first range.
            if before >= next && bounds.last() != Some(&pair.key) && self.pairs[0].key != pair.key {
                bounds.push(pair.key.clone());
            }
            before += pair.weight;
        }
        bounds.truncate(most);
        bounds
    }
}

impl<K: Ord, V> Sample<K, V> {
    /// Returns which part of the input each of these keys has, from 0 to 1, of keys that have at least `least` of it; `of` makes a key of
    /// a pair's. At most as many come as there can be of such.
    pub fn shares<T: PartialEq>(&self, least: f64, of: impl Fn(&K) -> Option<T>) -> Vec<(T, f64)> {
        let all: f64 = self.pairs.iter().map(|pair| pair.weight).sum();
        let mut shares: Vec<(T, f64)> = Vec::new();
        // The pairs of a key stand one behind the other.
        for pair in &self.pairs {
            let Some(key) = of(&pair.key) else { continue };
            let share = pair.weight / all;
            match shares.last_mut().filter(|(last, _)| *last == key) {
                Some((_, sum)) => *sum += share,
                None => {
                    if shares.last().is_some_and(|(_, sum)| *sum < least) {
                        shares.pop();
                    }
                    shares.push((key, share));
                }
            }
        }
        shares.retain(|(_, share)| *share >= least);
        shares
    }
}

/// A place in an object from which a piece is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Drawn {
    /// The object's number.
    object: usize,
    /// The offset in the object.
    at: u64,
    /// In how many stretches it was drawn, next to each other.
    stretches: usize,
}

/// How many pieces are read, and how long they are.
#[derive(Clone, Copy)]
struct Pieces {
    most: u64,
    bytes: u64,
}

/// A piece of an object, as a map task has it.
struct Piece {
    chunk: Chunk,
    /// For how many stretches it stands.
    stretches: usize,
    /// How many times as long as it was read it has become.
    expansion: f64,
    /// Whether its start was guessed.
    is_guess: bool,
}

/// What was read of an object.
#[derive(Default)]
struct OfObject {
    shown: String,
    pieces: Vec<Piece>,
    columns: Option<Vec<String>>,
    bytes: u64,
}

/// How the objects of an input are read.
struct Reading<J: Job> {
    sampler: Arc<Sampler<J>>,
    framing: Framing,
    codec: Option<Codec>,
    pieces: Pieces,
}

impl Driver {
    /// Samples the pairs that a job makes of the input of a submission: of at most 256 pieces of it of 64 KiB, which are drawn from all
    /// of it. Where records are longer than that, up to 16 pieces of 1 MiB are read besides; of an object that must be read from its
    /// start, as a compressed one, 1 MiB at most. The same input gives the same sample.
    ///
    /// The job's `map` runs in this program. Records that are not valid are left out: the job itself says so.
    ///
    /// ```no_run
    /// # use kinglet::{Driver, Emitter, Job, Lines, Result, Sampling, Sink, Submit, UserResult, Values};
    /// # use serde::{Deserialize, Serialize};
    /// /// Writes each line once, and all of them in order.
    /// #[derive(Serialize, Deserialize)]
    /// struct Ordered { bounds: Vec<String> }
    ///
    /// impl Job for Ordered {
    ///     const NAME: &'static str = "ordered";
    ///     type Input = Lines; type Key = String; type Value = (); type Output = String;
    ///     fn map(&self, line: &str, out: &mut Emitter<'_, String, ()>) -> UserResult {
    ///         out.emit(line, ())
    ///     }
    ///     fn bounds(&self) -> Vec<String> {
    ///         self.bounds.clone()
    ///     }
    ///     fn reduce(&self, line: String, _: Values<'_, ()>, out: &mut Sink<'_, String>) -> UserResult {
    ///         out.push(&line)
    ///     }
    /// }
    ///
    /// # async fn run(driver: Driver) -> Result<()> {
    /// let submit = Submit::new(["logs/"], "sorted").with_partitions(8);
    /// let sample = driver.sample(&Ordered { bounds: vec![] }, &submit, Sampling::default()).await?;
    /// let job = Ordered { bounds: sample.bounds(1_000) };
    /// driver.submit(&job, submit).await?.wait().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of the job's `map`, apart from records that are not valid; `input-missing`, `columns`, `column-missing`, `codec-unknown`;
    /// `access-denied` where this program may not read what the functions may; [a service error](crate#errors).
    pub async fn sample<J: Job>(
        &self,
        job: &J,
        submit: &Submit,
        sampling: Sampling,
    ) -> Result<Sample<J::Key, J::Value>> {
        self.sample_of(&self.list_inputs(submit).await?, job, submit, sampling).await
    }

    /// Lists the objects that a job of this submission would read, as they are now; of a join, those of its left side.
    ///
    /// # Errors
    /// `input-missing`, `input-twice`; `local-path` on AWS; [a service error](crate#errors).
    pub async fn list_inputs(&self, submit: &Submit) -> Result<Inputs> {
        self.list_side(submit, Side::Left).await
    }

    /// Lists the objects of one side of a join, as they are now.
    ///
    /// # Errors
    /// As [`Driver::list_inputs`].
    pub async fn list_side(&self, submit: &Submit, side: Side) -> Result<Inputs> {
        let alone = submit.clone().with_side_alone(side);
        let inputs = Places::inputs(&self.shared, &alone).await?;
        let objects = &self.shared.conductor.objects;
        let objects = list::sample(objects, &inputs, &submit.conditions, usize::MAX).await?.objects;
        Ok(Inputs { common: common_start(objects.iter().map(|object| &object.shown[..])), objects, side })
    }

    /// Samples the pairs that a job makes of these objects, as [`Driver::sample`] does: for a job that must know beforehand what there
    /// is to read.
    ///
    /// # Errors
    /// As [`Driver::sample`].
    pub async fn sample_of<J: Job>(
        &self,
        inputs: &Inputs,
        job: &J,
        submit: &Submit,
        sampling: Sampling,
    ) -> Result<Sample<J::Key, J::Value>> {
        let mut submit = submit.clone();
        set_reads(job, &mut submit)?;
        let sampler = Arc::new(Sampler::new(job, inputs.side)?);
        let framing = job.input().of_side(inputs.side).frame().framing;
        let codec = match (inputs.side, submit.reads_right) {
            (Side::Right, Some((unpack, _))) => unpack.codec,
            _ => submit.unpack.codec,
        };
        let reading = |pieces| Reading { sampler: sampler.clone(), framing, codec, pieces };
        let pieces = Pieces { most: sampling.pieces.max(1).into(), bytes: SAMPLE_PIECE_BYTES };
        let mut taken = self.take(reading(pieces), inputs).await?;
        // Row groups have rows, unless a condition leaves all of them out.
        if 2 * taken.empty > taken.stretches && !framing.is_in_columns() {
            let long = Pieces { most: pieces.most.min(SAMPLE_LONG_PIECES.into()), bytes: SAMPLE_LONG_PIECE_BYTES };
            let again = self.take(reading(long), inputs).await?;
            if again.empty < again.stretches {
                taken = Taken { bytes: taken.bytes + again.bytes, ..again };
            }
        }
        let Taken { mut pairs, columns, sampled, bytes, .. } = taken;
        pairs.sort_by(|a: &SampledPair<J::Key, J::Value>, b| a.key.cmp(&b.key));
        Ok(Sample { pairs, columns, sampled, objects: inputs.objects.len(), bytes })
    }

    /// Maps all records of these objects in this program, for a job that sends them to its functions as a parameter. Returns the pairs in the
    /// order of their keys; `None` if these have more than `bytes_max` when they are encoded, if the objects have four times as much as
    /// they are stored, or if one of them, and it is not Parquet or Avro, has more than a look reads of it (1 MiB).
    ///
    /// # Errors
    /// Those of the job's `map`; `record-invalid`; `column-missing`, `codec-unknown`; `access-denied` where this program may not read
    /// what the functions may; [a service error](crate#errors).
    pub async fn map_all<J: Job>(
        &self,
        inputs: &Inputs,
        job: &J,
        submit: &Submit,
        bytes_max: u64,
    ) -> Result<Option<Vec<(J::Key, J::Value)>>> {
        if inputs.objects.iter().map(|object| object.listed.size).sum::<u64>() / 4 > bytes_max {
            return Ok(None);
        }
        let mut submit = submit.clone();
        set_reads(job, &mut submit)?;
        let sampler = Arc::new(Sampler::new(job, inputs.side)?.of_all());
        let codec = match (inputs.side, submit.reads_right) {
            (Side::Right, Some((unpack, _))) => unpack.codec,
            _ => submit.unpack.codec,
        };
        let (mut all, mut bytes) = (Vec::new(), 0);
        for object in &inputs.objects {
            let Some(chunks) = self.whole(object, &sampler, codec).await? else { return Ok(None) };
            for chunk in chunks {
                let (sampler, shown) = (sampler.clone(), object.shown.clone());
                let pairs = in_background(move || sampler.map(chunk, &shown)).await?.pairs;
                for (key, value) in &pairs {
                    bytes += (encode(key)?.len() + encode(value)?.len()) as u64;
                }
                if bytes > bytes_max {
                    return Ok(None);
                }
                all.extend(pairs);
            }
        }
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Some(all))
    }

    /// Reads all of an object.
    async fn whole<J: Job>(
        &self,
        object: &SampledObject,
        sampler: &Arc<Sampler<J>>,
        codec: Option<Codec>,
    ) -> Result<Option<Vec<Chunk>>> {
        let SampledObject { bucket, listed, shown } = object;
        let size = listed.size;
        if sampler.cuts().columns().is_some() {
            let ranged = self.shared.conductor.objects.ranged(bucket, &listed.key, &listed.etag, shown);
            let looked = Columns { object: Arc::new(ranged), size, in_blocks: sampler.cuts().in_blocks() };
            let sampler = sampler.clone();
            return in_background(move || {
                let Some(selection) = sampler.cuts().columns() else { return Ok(None) };
                let chunk = |group: Group| Chunk {
                    bytes: Bytes::new(),
                    range_idx: 0,
                    offset: group.first_row,
                    head: Bytes::new(),
                    rows: Some(group.rows),
                };
                let groups = looked.groups(selection, ROW_GROUP_WINDOW_BYTES)?;
                groups.map(|group| group.map(chunk)).collect::<Result<_>>().map(Some)
            })
            .await;
        }
        if size > LOOK_BYTES {
            return Ok(None);
        }
        let first = self.read(object, 0, size).await?;
        let codec = codec.map_or_else(|| Codec::of(shown, &first), Ok)?;
        let unpacked = Start { shown, first, size }.unpacked(codec)?;
        if !unpacked.whole {
            return Ok(None);
        }
        let (bytes, cuts) = (Bytes::from(unpacked.bytes), sampler.cuts());
        let head = match cuts.head() {
            true => bytes.slice(..cuts.first(&bytes, 0).unwrap_or(bytes.len())),
            false => Bytes::new(),
        };
        let chunk = Chunk { bytes, range_idx: 0, offset: 0, head, rows: None };
        Ok(Some(if chunk.bytes.is_empty() { vec![] } else { vec![chunk] }))
    }

    /// Reads pieces of these objects and maps them.
    async fn take<J: Job>(&self, reading: Reading<J>, inputs: &Inputs) -> Result<Taken<J>> {
        let found = &inputs.objects;
        let sizes: Vec<u64> = found.iter().map(|object| object.listed.size).collect();
        let seed = inputs.seed();
        let drawn = draw(&sizes, reading.pieces, seed);
        let stretches: usize = drawn.iter().map(|drawn| drawn.stretches).sum();
        let weight = sizes.iter().sum::<u64>() as f64 / stretches.max(1) as f64;
        let of_objects: Vec<&[Drawn]> = drawn.chunk_by(|a, b| a.object == b.object).collect();
        let sampled = of_objects.len();
        let reads = of_objects.into_iter().map(|drawn| self.read_object(&reading, &found[drawn[0].object], drawn));
        let mut reads = stream::iter(reads).buffered(OBJECTS_AT_ONCE);
        let mut taken = Taken { pairs: Vec::new(), columns: Vec::new(), sampled, bytes: 0, empty: 0, stretches };
        while let Some(OfObject { shown, pieces, columns, bytes }) = reads.try_next().await? {
            taken.bytes += bytes;
            taken.columns.extend(columns.filter(|names| !taken.columns.contains(names)));
            for piece in pieces {
                let (sampler, shown) = (reading.sampler.clone(), shown.clone());
                let Piece { stretches, expansion, .. } = piece;
                let mapped = in_background(move || map(&sampler, piece, &shown)).await?;
                match mapped {
                    Some(SampledPiece { pairs, records }) if records > 0 => {
                        let weight = weight * stretches as f64 * expansion / records as f64;
                        taken.pairs.extend(pairs.into_iter().map(|(key, value)| SampledPair { key, value, weight }));
                    }
                    _ => taken.empty += stretches,
                }
            }
        }
        Ok(taken)
    }

    /// Reads the pieces that were drawn of an object.
    async fn read_object<J: Job>(
        &self,
        reading: &Reading<J>,
        object: &SampledObject,
        drawn: &[Drawn],
    ) -> Result<OfObject> {
        if reading.framing == Framing::RowGroups {
            return self.row_groups(reading, object, drawn).await;
        }
        if reading.framing == Framing::Blocks {
            return self.blocks(reading, object, drawn).await;
        }
        let SampledObject { shown, listed, .. } = object;
        let size = listed.size;
        let first = self.read(object, 0, HEAD_BYTES.min(size)).await?;
        let codec = reading.codec.map_or_else(|| Codec::of(shown, &first), Ok)?;
        let from_start = match reading.framing {
            // What stands next to a quote proves nothing there.
            Framing::Quoted(quotes) => quotes.escape.is_some(),
            Framing::Whole => true,
            _ => false,
        };
        let cuts = reading.sampler.cuts();
        if codec != Codec::None || from_start {
            let to = (drawn.len() as u64 * reading.pieces.bytes).min(SAMPLE_LONG_PIECE_BYTES).min(size);
            let packed = self.read(object, 0, to).await?;
            let start = Start { shown, first: packed, size };
            let unpacked = start.unpacked(codec)?;
            let expansion = unpacked.bytes.len() as f64 / to.max(1) as f64;
            let stretches = drawn.iter().map(|drawn| drawn.stretches).sum();
            let piece = piece(reading, &Bytes::new(), unpacked.bytes.into(), 0, unpacked.whole);
            let pieces = vec![Piece { stretches, expansion, ..piece.unwrap_or_else(Piece::empty) }];
            return Ok(OfObject { shown: shown.clone(), pieces, bytes: to, columns: None });
        }
        let head = match cuts.head() {
            false => Bytes::new(),
            true => match cuts.first(&first, 0) {
                Some(end) => first.slice(..end),
                None if first.len() as u64 == size => first,
                None => {
                    let more = self.read(object, 0, SAMPLE_LONG_PIECE_BYTES.min(size)).await?;
                    cuts.first(&more, 0).map_or_else(Bytes::new, |end| more.slice(..end))
                }
            },
        };
        let mut read = OfObject { shown: shown.clone(), ..OfObject::default() };
        let reads = drawn.iter().map(|drawn| self.read(object, drawn.at, (drawn.at + reading.pieces.bytes).min(size)));
        let mut reads = stream::iter(reads).buffered(PIECES_AT_ONCE).zip(stream::iter(drawn));
        while let Some((bytes, Drawn { at, stretches, .. })) = reads.next().await {
            let bytes = bytes?;
            let ends = at + bytes.len() as u64 == size;
            read.bytes += bytes.len() as u64;
            // One without a record counts, and stands for nothing.
            let piece = piece(reading, &head, bytes, *at, ends).unwrap_or_else(Piece::empty);
            read.pieces.push(Piece { stretches: *stretches, ..piece });
        }
        Ok(read)
    }

    async fn read(&self, object: &SampledObject, from: u64, to: u64) -> Result<Bytes> {
        let SampledObject { bucket, listed, shown } = object;
        let objects = &self.shared.conductor.objects;
        let mut reader = objects.read(bucket, &listed.key, Some(&listed.etag), from, to, shown);
        Ok(reader.all().await?.into())
    }

    /// Finds the row groups in which the drawn places lie, and has their first rows read.
    async fn row_groups<J: Job>(
        &self,
        reading: &Reading<J>,
        object: &SampledObject,
        drawn: &[Drawn],
    ) -> Result<OfObject> {
        let SampledObject { bucket, listed, shown } = object;
        let ranged = self.shared.conductor.objects.ranged(bucket, &listed.key, &listed.etag, shown);
        let looked = Columns::framed(reading.framing, Arc::new(ranged), listed.size);
        let (drawn, shown) = (drawn.to_vec(), shown.clone());
        let (sampler, pieces) = (reading.sampler.clone(), reading.pieces);
        in_background(move || {
            let file = looked.footer()?;
            let mut read = OfObject { columns: Some(columns_of(file.schema(), &shown)), ..OfObject::default() };
            let Some(selection) = sampler.cuts().columns() else { return Ok(read) };
            let plan = file.plan(selection)?;
            let groups = file.row_groups(ByteRange { from: 0, to: looked.size });
            let lies_in = |at: u64| groups.partition_point(|group| group.from <= at).saturating_sub(1);
            for within in drawn.chunk_by(|a, b| lies_in(a.at) == lies_in(b.at)) {
                let Some(group) = groups.get(lies_in(within[0].at)) else { continue };
                let most = within.len() as u64 * pieces.bytes;
                let counted = Arc::new(Counted::new(looked.object.clone(), Arc::default()));
                let rows = plan.row_group(group.number, counted.clone(), ROW_GROUP_WINDOW_BYTES);
                let chunk = Chunk {
                    bytes: Bytes::new(),
                    range_idx: 0,
                    offset: group.first_row,
                    head: Bytes::new(),
                    rows: Some(Arc::new(FirstRows { rows, counted, most })),
                };
                read.bytes += most;
                let stretches = within.iter().map(|drawn| drawn.stretches).sum();
                read.pieces.push(Piece { chunk, stretches, expansion: 1.0, is_guess: false });
            }
            Ok(OfObject { shown, ..read })
        })
        .await
    }

    /// Reads the first block that starts behind each of the drawn places.
    async fn blocks<J: Job>(&self, reading: &Reading<J>, object: &SampledObject, drawn: &[Drawn]) -> Result<OfObject> {
        let SampledObject { bucket, listed, shown } = object;
        let ranged = self.shared.conductor.objects.ranged(bucket, &listed.key, &listed.etag, shown);
        let counted = Arc::new(Counted::new(Arc::new(ranged), Arc::default()));
        let looked = Columns::framed(reading.framing, counted.clone(), listed.size);
        let (drawn, shown, sampler) = (drawn.to_vec(), shown.clone(), reading.sampler.clone());
        in_background(move || {
            let file = looked.head()?.file;
            let mut read = OfObject { columns: Some(columns_of(file.schema(), &shown)), ..OfObject::default() };
            let Some(selection) = sampler.cuts().columns() else { return Ok(read) };
            let plan = file.plan(selection)?;
            for Drawn { at, stretches, .. } in drawn {
                let range = ByteRange { from: at, to: looked.size };
                let found = ReadBlocks::new(looked.clone(), &file, range, at == 0).next_block()?;
                read.pieces.push(match found {
                    Some(block) => {
                        let offset = Framing::place_in_block(block.lies.from, 0);
                        let rows = Some(plan.block(block, BLOCK_BYTES_MAX));
                        let chunk = Chunk { bytes: Bytes::new(), range_idx: 0, offset, head: Bytes::new(), rows };
                        Piece { chunk, stretches, expansion: 1.0, is_guess: at > 0 }
                    }
                    // The last block starts before it.
                    None => Piece { stretches, ..Piece::empty() },
                });
            }
            read.bytes = counted.asked_for();
            Ok(OfObject { shown, ..read })
        })
        .await
    }
}

/// Returns the names of an object's columns, those that its path says behind them.
fn columns_of(schema: Schema, shown: &str) -> Vec<String> {
    let mut columns: Vec<String> = schema.columns.into_iter().map(|column| column.name).collect();
    for part in PathPart::all(shown) {
        if !columns.contains(&part.name.clone().into_owned()) {
            columns.push(part.name.into_owned());
        }
    }
    columns
}

/// What was taken of an input.
struct Taken<J: Job> {
    pairs: Vec<SampledPair<J::Key, J::Value>>,
    columns: Vec<Vec<String>>,
    sampled: usize,
    bytes: u64,
    /// How many stretches gave no record.
    empty: usize,
    stretches: usize,
}

impl Piece {
    fn empty() -> Self {
        let chunk = Chunk { bytes: Bytes::new(), range_idx: 0, offset: 0, head: Bytes::new(), rows: None };
        Piece { chunk, stretches: 1, expansion: 1.0, is_guess: false }
    }
}

/// Makes a piece of the whole records among bytes of an object.
fn piece<J: Job>(reading: &Reading<J>, head: &Bytes, bytes: Bytes, at: u64, ends: bool) -> Option<Piece> {
    let records = reading.sampler.cuts().whole(&bytes, at, ends)?;
    let offset = at + records.start as u64;
    let chunk = Chunk { bytes: bytes.slice(records), range_idx: 0, offset, head: head.clone(), rows: None };
    let is_guess = at > 0 && matches!(reading.framing, Framing::Quoted(_));
    Some(Piece { chunk, stretches: 1, expansion: 1.0, is_guess })
}

/// Maps a piece; `None` if it has no records, or none that are valid.
fn map<J: Job>(sampler: &Sampler<J>, piece: Piece, shown: &str) -> Result<Option<SampledPiece<J>>> {
    let Piece { chunk, is_guess, .. } = piece;
    if chunk.bytes.is_empty() && chunk.rows.is_none() {
        return Ok(None);
    }
    match sampler.map(chunk, shown) {
        Ok(mapped) => Ok(Some(mapped)),
        Err(error) if is_guess || error.is(Code::RecordInvalid) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Draws a place in each of so many stretches of the objects, end to end, in order.
fn draw(sizes: &[u64], Pieces { most, bytes }: Pieces, seed: u64) -> Vec<Drawn> {
    let all: u64 = sizes.iter().sum();
    // Several of each object, if there are few.
    let stretches = all.div_ceil(bytes).max(OBJECT_STRETCHES * sizes.len() as u64).min(most).min(all);
    let mut ends = sizes.iter().scan(0, |end, size| {
        *end += size;
        Some(*end)
    });
    let (mut object, mut end) = (0, ends.next().unwrap_or(0));
    let place = |stretch: u64| (u128::from(stretch) * u128::from(all) / u128::from(stretches)) as u64;
    let drawn = (0..stretches).map(|stretch| {
        let (from, to) = (place(stretch), place(stretch + 1));
        let spare = (to - from).saturating_sub(bytes);
        let at = from + mix(seed ^ stretch) % (spare + 1);
        while end <= at {
            (object, end) = (object + 1, ends.next().unwrap_or(u64::MAX));
        }
        let size = sizes[object];
        // A piece that would go beyond the object begins earlier.
        Drawn { object, at: (at + size - end).min(size.saturating_sub(bytes)), stretches: 1 }
    });
    let mut all: Vec<Drawn> = Vec::new();
    for next in drawn {
        match all.last_mut().filter(|last| (last.object, last.at) == (next.object, next.at)) {
            Some(last) => last.stretches += 1,
            None => all.push(next),
        }
    }
    all
}

/// Steele, Lea and Flood's SplitMix64: <https://doi.org/10.1145/2714064.2660195>.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Returns what all names begin with.
fn common_start<'a>(mut names: impl Iterator<Item = &'a str>) -> String {
    let mut common = names.next().unwrap_or_default();
    for name in names {
        let same = common.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        common = &common[..(0..=same).rev().find(|at| common.is_char_boundary(*at)).unwrap_or(0)];
    }
    common.to_owned()
}

/// An object of which it is counted how much is asked for.
pub(crate) struct Counted {
    object: Arc<dyn RangedObject>,
    bytes: Arc<AtomicU64>,
}

impl Counted {
    /// Counts what is asked for, in `bytes`.
    pub(crate) fn new(object: Arc<dyn RangedObject>, bytes: Arc<AtomicU64>) -> Self {
        Counted { object, bytes }
    }

    fn asked_for(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl RangedObject for Counted {
    fn name(&self) -> &str {
        self.object.name()
    }

    fn fetch(&self, range: ByteRange) -> Box<dyn Fetched> {
        self.bytes.fetch_add(range.bytes(), Ordering::Relaxed);
        self.object.fetch(range)
    }
}

/// The first rows of a row group: until so many bytes were asked for, and a block at least.
struct FirstRows {
    rows: Arc<dyn RowGroup>,
    counted: Arc<Counted>,
    most: u64,
}

impl RowGroup for FirstRows {
    fn ahead(&self) {}

    fn place(&self, row: u64) -> String {
        self.rows.place(row)
    }

    fn open(&self) -> Result<Box<dyn Blocks>> {
        let (counted, most) = (self.counted.clone(), self.most);
        Ok(Box::new(FirstBlocks { blocks: self.rows.open()?, counted, most, is_first: true }))
    }
}

struct FirstBlocks {
    blocks: Box<dyn Blocks>,
    counted: Arc<Counted>,
    most: u64,
    is_first: bool,
}

impl Blocks for FirstBlocks {
    fn next_block(&mut self) -> Result<Option<kinglet_core::Block>> {
        if !std::mem::take(&mut self.is_first) && self.counted.asked_for() > self.most {
            return Ok(None);
        }
        self.blocks.next_block()
    }
}

async fn in_background<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let stopped = |e| Error::new(Code::Threads, format!("sampling the input: {e}"));
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinglet_core::ids::Timestamp;

    fn inputs(objects: &[(&str, u64)]) -> Inputs {
        let object = |(shown, size): &(&str, u64)| SampledObject {
            bucket: "b".into(),
            listed: kinglet_aws::objects::Listed {
                key: (*shown).into(),
                etag: "e".into(),
                size: *size,
                modified: Timestamp(0),
            },
            shown: (*shown).into(),
        };
        let common = common_start(objects.iter().map(|(shown, _)| *shown));
        Inputs { objects: objects.iter().map(object).collect(), common, side: Side::Left }
    }

    #[test]
    fn pieces_are_drawn_of_equal_stretches_of_all_objects() {
        let pieces = Pieces { most: 256, bytes: 64 << 10 };
        let sizes = [1 << 30, 10, 3 << 30, 100 << 10];
        let drawn = draw(&sizes, pieces, 7);
        let of = |object| drawn.iter().filter(|drawn| drawn.object == object).count();
        assert!(drawn.len() == 256 && of(0).abs_diff(64) <= 1 && of(2).abs_diff(192) <= 1, "{} {}", of(0), of(2));
        let at = drawn.windows(2).filter(|both| both[0].object == both[1].object).map(|both| both[1].at - both[0].at);
        assert!(at.clone().all(|apart| apart <= 2 * (4 << 30) / 256), "none is left out");
        assert_eq!(drawn, draw(&sizes, pieces, 7));
        assert_ne!(drawn, draw(&sizes, pieces, 8));
        assert!(drawn.iter().all(|drawn| drawn.at + pieces.bytes <= sizes[drawn.object]));
        // Small objects are seen if there are few, and weigh as much as they are large.
        let small = draw(&[200 << 10, 40 << 10, 80 << 10], pieces, 7);
        let weight = |object| -> usize {
            small.iter().filter(|drawn| drawn.object == object).map(|drawn| drawn.stretches).sum()
        };
        let weights = [weight(0), weight(1), weight(2)];
        assert!(
            weights[0].abs_diff(8) <= 1 && (1..=2).contains(&weights[1]) && weights[2].abs_diff(3) <= 1,
            "{small:?}"
        );
        assert_eq!(small.iter().filter(|drawn| drawn.object == 1).count(), 1, "it is shorter than a piece");
        assert_eq!(draw(&[], pieces, 7), []);
        assert_eq!(draw(&[1], pieces, 7), [Drawn { object: 0, at: 0, stretches: 1 }]);
    }

    #[test]
    fn what_is_drawn_depends_on_names_behind_what_they_have_in_common_and_on_sizes() {
        let here = inputs(&[("/a/x/1.csv", 5), ("/a/x/2.csv", 6)]);
        assert_eq!((here.common(), here.objects(), here.bytes()), ("/a/x/", 2, 11));
        assert_eq!(here.seed(), inputs(&[("/b/1.csv", 5), ("/b/2.csv", 6)]).seed());
        assert_ne!(here.seed(), inputs(&[("/a/x/1.csv", 5), ("/a/x/3.csv", 6)]).seed());
        assert_ne!(here.seed(), inputs(&[("/a/x/1.csv", 5), ("/a/x/2.csv", 7)]).seed());
        assert_eq!(common_start(["aé", "aè"].into_iter()), "a");
        assert_eq!((common_start(["one"].into_iter()), common_start([].into_iter())), ("one".into(), "".into()));
    }

    #[test]
    fn keys_with_much_of_the_input_are_known_by_their_shares() {
        let pair = |key: u32, weight| SampledPair { key, value: (), weight };
        let pairs = [(1, 1.0), (2, 2.0), (2, 3.0), (3, 1.0), (5, 1.0), (7, 2.0)];
        let pairs = pairs.map(|(key, weight)| pair(key, weight)).to_vec();
        let sample = Sample { pairs, columns: vec![], sampled: 1, objects: 1, bytes: 1 };
        assert_eq!(sample.shares(0.2, |key| Some(*key)), [(2, 0.5), (7, 0.2)]);
        assert_eq!(sample.shares(0.6, |key| Some(key % 2 == 1)), []);
        assert_eq!(sample.shares(0.4, |key| (*key > 2).then_some(key % 2)), [(1, 0.4)]);
        assert!(sample.shares(0.0, |_| None::<u32>).is_empty());
    }

    #[test]
    fn bounds_have_as_many_bytes_of_input_between_them() {
        let sample = |weights: &[(u32, f64)]| Sample {
            pairs: weights.iter().map(|(key, weight)| SampledPair { key: *key, value: (), weight: *weight }).collect(),
            columns: vec![],
            sampled: 1,
            objects: 1,
            bytes: 1,
        };
        let even: Vec<(u32, f64)> = (0..100).map(|key| (key, 2.0)).collect();
        assert_eq!(sample(&even).bounds(3), [25, 50, 75]);
        assert_eq!(sample(&even).bounds(1_000).len(), 99);
        // Rows of one piece count more than those of another.
        assert_eq!(sample(&[(0, 1.0), (1, 1.0), (2, 1.0), (3, 3.0), (4, 3.0), (5, 3.0)]).bounds(3), [3, 4, 5]);
        assert!(sample(&[(7, 1.0); 5]).bounds(3).is_empty());
        assert!(sample(&[]).bounds(3).is_empty());
        assert!(sample(&even).bounds(0).is_empty());
    }
}
