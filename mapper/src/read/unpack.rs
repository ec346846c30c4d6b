//! Reading a compressed object: one thread unpacks it and cuts it into chunks for all threads that map.
//!
//! ```text
//! GETs ──blocks──▶ a thread: Unpacker ──chunks, and where they leave off──▶ this task ──chunks──▶ the engine
//! ```
//!
//! The thread knows nothing of time and memory. This task takes what it has unpacked, decides whether to stop there, and
//! hands it on. When it drops its end of the channel the thread ends, and with it the GETs.

use super::{Done, Gets, Read};
use bytes::Bytes;
use kinglet_aws::beside::{Inbox, Outbox};
use kinglet_core::budget::{UNPACK_PERCENT, UNPACKED_RECORD_PERCENT, memory_bytes};
use kinglet_core::engine::cut::{Chunk, Cuts};
use kinglet_core::wire::record::Position;
use kinglet_core::{ByteRange, Code, Codec, Error, MAGIC_BYTES, Result, limits};
use kinglet_formats::Source;
use kinglet_formats::unpack::{Bounds, Part, Step, Unpacker};
use tokio::time::Instant;

/// How many bytes are fetched at once behind the split's end, to unpack the block in which its last record ends (1 MiB).
const BEHIND_BYTES: u64 = 1 << 20;

/// How many blocks wait to be unpacked: one, so that behind the split no more is fetched than its last record needs.
const BLOCKS_WAITING: usize = 1;

/// How many steps of unpacking wait to be handed on.
const STEPS_WAITING: usize = 4;

/// What one step unpacked, or several that ended no record.
struct Unpacked {
    chunks: Vec<Chunk>,
    /// Where the next piece goes on if this one stops here; `None` where it cannot.
    rest: Option<Position>,
    /// The bytes that this piece has accounted for if it stops here, or at its end.
    taken: Option<ByteRange>,
    /// Up to where the object's bytes are accounted for.
    progress: u64,
    /// Whether earlier pieces have mapped what comes next.
    is_skipping: bool,
    is_done: bool,
}

/// What became of a range.
pub(crate) struct Ended {
    /// The bytes that this piece has accounted for.
    pub(crate) taken: Option<ByteRange>,
    /// How many of the range's bytes are done.
    pub(crate) assigned: u64,
    /// Where the next piece goes on, if this one stopped before the range's end.
    pub(crate) rest: Option<Position>,
}

/// The blocks that the GETs bring, for the thread that unpacks them.
struct Pipe(Inbox<Result<Bytes>>);

impl Source for Pipe {
    fn next(&mut self) -> Result<Option<Bytes>> {
        self.0.take().transpose()
    }
}

/// Unpacks until the part ends or nobody wants more.
fn unpack(mut unpacker: Unpacker, out: &Outbox<Result<Unpacked>>) -> Result<()> {
    loop {
        let mut chunks = Vec::new();
        let is_done = unpacker.step(&mut |chunk| chunks.push(chunk))? == Step::Done;
        let is_skipping = unpacker.is_skipping();
        if chunks.is_empty() && !is_done && !is_skipping {
            continue;
        }
        let end = chunks.last().map(|chunk| chunk.offset + chunk.bytes.len() as u64);
        let rest = end.filter(|_| !is_done).and_then(|end| unpacker.position(end));
        let (taken, progress) = (unpacker.taken(rest), unpacker.progress());
        let sent = out.push(Ok(Unpacked { chunks, rest, taken, progress, is_skipping, is_done }));
        if is_done || sent.is_err() {
            return Ok(());
        }
    }
}

impl Read<'_> {
    /// Returns the codec of a range's object, for which its first bytes are looked at unless the plan or the job says it.
    pub(crate) async fn codec(&self, range_idx: usize, gets: &mut Gets) -> Result<Codec> {
        let range = &self.split.ranges[range_idx];
        if let Some(start) = self.start.filter(|start| start.range_idx as usize == range_idx) {
            match start.unpack {
                Some(unpack) => return Ok(unpack.codec),
                None if start.offset > range.from => return Ok(Codec::None),
                None => {}
            }
        }
        if let Some(codec) = range.codec.or(self.spec.unpack_of(range.input_idx).codec) {
            return Ok(codec);
        }
        self.fetch_ahead(gets);
        match gets.ahead.front_mut().filter(|fetch| fetch.range_idx == range_idx && range.from == 0) {
            Some(fetch) => Codec::of(&self.shown(range), &fetch.peek(MAGIC_BYTES).await?),
            None => Ok(Codec::None),
        }
    }

    /// Reads a range of a compressed object.
    pub(crate) async fn unpack(&self, part: Part<'_>, cuts: &Cuts, gets: &mut Gets, to: &mut To<'_>) -> Result<Ended> {
        let (range, accounted) = (part.range, part.accounted());
        let before = to.done.bytes_read;
        let mut head = None;
        let mut ended = None;
        let hand_on = async |mut steps: Inbox<Result<Unpacked>>| {
            while let Some(step) = steps.recv().await {
                let step = step?;
                for mut chunk in step.chunks {
                    if cuts.head() {
                        let known = match head.take() {
                            Some(head) => head,
                            None if chunk.offset == 0 => first_record(cuts, &chunk.bytes),
                            None => self.packed_head(&part, cuts).await?,
                        };
                        chunk.head = known.clone();
                        head = Some(known);
                    }
                    to.send(chunk).await?;
                }
                to.done.bytes_read = before + step.progress.saturating_sub(accounted);
                if step.is_skipping && Instant::now() >= self.stop.at_last {
                    return Err(too_slow(&part));
                }
                // Whole objects are handed back whole; only a split of a single range is divided.
                let stops = self.split.ranges.len() == 1 && step.rest.is_some() && self.must_stop(to.done);
                if step.is_done || stops {
                    let rest = step.rest.filter(|_| stops);
                    let assigned = rest.map_or(range.to, |rest| rest.offset) - accounted;
                    ended = Some(Ended { taken: step.taken, assigned, rest });
                    return Ok(());
                }
            }
            Ok(())
        };
        let bounds = Bounds {
            window_bytes: memory_bytes(self.memory_mb, UNPACK_PERCENT),
            record_bytes: memory_bytes(self.memory_mb, UNPACKED_RECORD_PERCENT),
            expansion: self.spec.unpack_of(range.input_idx).expansion_max,
        };
        self.unpacking(&part, cuts, bounds, gets, hand_on).await?;
        let ended = ended.ok_or_else(|| Error::new(Code::Engine, "unpacking stopped"))?;
        to.done.bytes_read = before + ended.taken.map_or(0, |taken| taken.to - taken.from);
        Ok(ended)
    }

    /// Unpacks a part on a thread of its own, while its bytes are fetched and what comes out is handed on.
    async fn unpacking(
        &self,
        part: &Part<'_>,
        cuts: &Cuts,
        bounds: Bounds,
        gets: &mut Gets,
        hand_on: impl AsyncFnOnce(Inbox<Result<Unpacked>>) -> Result<()>,
    ) -> Result<()> {
        let (blocks, pipe) = self.beside.channel(BLOCKS_WAITING);
        let (out, steps) = self.beside.channel(STEPS_WAITING);
        let unpacker = Unpacker::new(part, cuts.clone(), bounds, Box::new(Pipe(pipe)))?;
        let engine = move || {
            if let Err(error) = unpack(unpacker, &out) {
                // Whoever hands on has stopped, and has an error of its own, if the channel is closed.
                let _ = out.push(Err(error));
            }
        };
        let fetching = self.fetch_for(part, gets, blocks);
        let (((), ran), handed_on) = tokio::join!(self.beside.after(fetching, engine), hand_on(steps));
        handed_on.and(ran)
    }

    /// Fetches the bytes of a part, those behind its range as they are wanted, until nobody takes any.
    async fn fetch_for(&self, part: &Part<'_>, gets: &mut Gets, out: Outbox<Result<Bytes>>) {
        let (range_idx, mut at) = (part.range_idx as usize, part.reads_from());
        loop {
            self.fetch_ahead(gets);
            let mut fetch = match gets.ahead.pop_front_if(|fetch| fetch.range_idx == range_idx) {
                Some(fetch) => fetch,
                None if at == part.range.size || out.room().await.is_err() => return,
                None => self.fetch(range_idx, at, (at + BEHIND_BYTES).min(part.range.size)),
            };
            while let Some(block) = fetch.next().await {
                at += block.as_ref().map_or(0, |block| block.len() as u64);
                let failed = block.is_err();
                if out.send(block).await.is_err() || failed {
                    return;
                }
            }
        }
    }

    /// Returns the first record of a part's object, which is unpacked from its start.
    async fn packed_head(&self, part: &Part<'_>, cuts: &Cuts) -> Result<Bytes> {
        let range = kinglet_core::wire::plan::ObjectRange { from: 0, ..part.range.clone() };
        let start = Part { range: &range, start: None, ..part.clone() };
        let bounds = Bounds {
            window_bytes: memory_bytes(self.memory_mb, UNPACK_PERCENT),
            record_bytes: limits::HEAD_BYTES_MAX,
            expansion: u32::MAX,
        };
        let mut head = Bytes::new();
        let keep = async |mut steps: Inbox<Result<Unpacked>>| {
            while let Some(step) = steps.recv().await {
                if let Some(chunk) = step?.chunks.first() {
                    head = first_record(cuts, &chunk.bytes);
                    return Ok(());
                }
            }
            Ok(())
        };
        Box::pin(self.unpacking(&start, cuts, bounds, &mut Gets::default(), keep)).await?;
        Ok(head)
    }
}

/// Where what was read goes, and what is known of it.
pub(crate) struct To<'a> {
    pub(crate) out: &'a Outbox<Result<Chunk>>,
    pub(crate) done: &'a mut Done,
    pub(crate) crc: &'a mut crc32fast::Hasher,
}

impl To<'_> {
    async fn send(&mut self, chunk: Chunk) -> Result<()> {
        self.done.chunks += 1;
        self.crc.update(&chunk.bytes);
        self.out.send(Ok(chunk)).await.map_err(|_| Error::new(Code::Engine, "the engine stopped"))
    }
}

fn first_record(cuts: &Cuts, bytes: &Bytes) -> Bytes {
    bytes.slice(..cuts.first(bytes, 0).unwrap_or(bytes.len()))
}

/// Makes the error of an object whose unpacking up to where the last piece stopped takes all of the time there is.
fn too_slow(part: &Part<'_>) -> Error {
    let message = format!(
        "unpacking {} ({}): the time of a function is not enough to come to where the last piece stopped",
        part.shown, part.codec
    );
    Error::new(Code::UnpackTime, message).with_hint(
        "compress the object in pieces (bzip2, bgzip, or zstd with a seek table), or give the functions more time",
    )
}
