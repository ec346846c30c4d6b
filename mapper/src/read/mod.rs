//! Reading a split: ranged GETs ahead of the engine, blocks cut at record boundaries. Reading stops early, at a record
//! boundary, when time or memory demands it.

mod blocks;
mod row_groups;
mod unpack;

use bytes::Bytes;
use kinglet_aws::Objects;
use kinglet_aws::beside::{Beside, Inbox, Outbox};
use kinglet_core::budget::{GET_BYTES, READ_AHEAD_BYTES};
use kinglet_core::engine::cut::{Chunk, Cuts, Cutter, Wants};
use kinglet_core::engine::map::Chunks;
use kinglet_core::guard::catch_as;
use kinglet_core::wire::plan::{ObjectRange, Split};
use kinglet_core::wire::record::Position;
use kinglet_core::wire::spec::JobSpec;
use kinglet_core::{ByteRange, Code, Codec, Error, Result, Side, limits};
use kinglet_formats::unpack::Part;
pub(crate) use row_groups::Decoders;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio::time::Instant;
use unpack::To;

/// How many GETs are under way at once, within [`READ_AHEAD_BYTES`]: many small objects or a few large ranges.
const AHEAD_GETS: usize = 16;

/// How many bytes beyond the split's end are fetched with it, so that its last record rarely needs a further request.
const TAIL_BYTES: u64 = 64 << 10;

/// How many bytes of an object's start are read first for its head.
const HEAD_BYTES: u64 = 16 << 10;

/// How many chunks wait for the engine. Of records that carry their length, each of which may be hours of work, and of row groups,
/// only one waits: what waits can no longer be handed back.
const CHUNKS_WAITING: usize = 64;
const FRAMED_WAITING: usize = 1;

/// When to stop before the split's end.
pub(crate) struct Stop {
    pub(crate) at: Instant,
    /// When even a piece must stop that has mapped nothing yet.
    pub(crate) at_last: Instant,
    pub(crate) bytes_max: Option<u64>,
    /// The most chunks. Where records carry their length, a chunk is a record.
    pub(crate) chunks_max: Option<u64>,
    /// Set by the consumer of the chunks to stop reading.
    pub(crate) told: Arc<AtomicBool>,
}

/// A reading of a split, or of the rest of one.
pub(crate) struct Read<'a> {
    pub(crate) objects: &'a Objects,
    pub(crate) spec: &'a JobSpec,
    pub(crate) split: &'a Split,
    pub(crate) start: Option<Position>,
    /// How it is known where the first record starts.
    pub(crate) begins: Begins,
    pub(crate) stop: Stop,
    pub(crate) memory_mb: u32,
    pub(crate) beside: Beside,
    pub(crate) decoders: Decoders,
}

/// How it is known where the first record of a split starts that is a range of an object.
#[derive(Clone, Default)]
pub(crate) struct Begins {
    /// Whether one starts exactly at the start that is given, as the splits before it have proved.
    pub(crate) at_record: bool,
    /// Set where it is a guess, of which nothing that was read shows that it is right.
    pub(crate) guessed: Arc<AtomicBool>,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) chunks: u64,
    pub(crate) bytes_assigned: u64,
    pub(crate) bytes_read: u64,
    pub(crate) crc32: u32,
    pub(crate) taken: Option<ByteRange>,
    pub(crate) remainder: Option<Position>,
}

/// Brings together what the reader did and what was made of it. If both failed, one caused the other: where the reader says that
/// the engine stopped, the engine's error counts.
pub(crate) fn both<T>(read: Result<Done>, made: Result<T>) -> Result<(Done, T)> {
    match (read, made) {
        (Ok(read), made) => Ok((read, made?)),
        (Err(cut_off), Err(error)) if cut_off.is(Code::Engine) => Err(error),
        (Err(error), _) => Err(error),
    }
}

/// Returns from which byte of a compressed object on it is unpacked, if not from its start: nobody knows how many bytes came before.
fn unpacked_from(range: &ObjectRange) -> Option<u64> {
    let is_part = range.from > 0 && range.codec.is_some_and(|codec| codec != Codec::None);
    is_part.then_some(range.from)
}

/// Runs what calls the job's input format, which may be its author's own.
fn guarded<T>(code: impl FnOnce() -> T) -> Result<T> {
    catch_as("the input format", code).map_err(|e| e.context("cutting the input"))
}

/// The engine's end of the channel of chunks.
pub(crate) struct Feed {
    chunks: Mutex<Inbox<Result<Chunk>>>,
    names: Vec<String>,
    /// What offsets are counted in, by range: where that is not the object from its start on.
    counted_in: Vec<Option<String>>,
    /// From which byte of an object on it is unpacked, by range.
    unpacked_from: Vec<u64>,
    side: Side,
}

impl Chunks for Feed {
    fn next(&self) -> Result<Option<Chunk>> {
        let mut chunks = self.chunks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        chunks.take().transpose()
    }

    fn side(&self) -> Side {
        self.side
    }

    fn name(&self, range_idx: u32) -> &str {
        self.names.get(range_idx as usize).map_or("", String::as_str)
    }

    fn counted_in(&self, range_idx: u32) -> &str {
        match self.counted_in.get(range_idx as usize) {
            Some(Some(part)) => part,
            _ => self.name(range_idx),
        }
    }

    fn unpacked_from(&self, range_idx: u32) -> u64 {
        self.unpacked_from.get(range_idx as usize).copied().unwrap_or(0)
    }
}

/// The GETs of a split.
#[derive(Default)]
pub(crate) struct Gets {
    /// Those to come: a range, and the bytes from and to.
    plan: VecDeque<(usize, u64, u64)>,
    /// Those under way.
    pub(crate) ahead: VecDeque<Fetch>,
}

/// A GET under way.
pub(crate) struct Fetch {
    pub(crate) range_idx: usize,
    bytes: u64,
    blocks: mpsc::Receiver<Result<Bytes>>,
    /// What was looked at already.
    first: Bytes,
}

impl Fetch {
    /// Returns the next block.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes>> {
        match self.first.is_empty() {
            true => self.blocks.recv().await,
            false => Some(Ok(std::mem::take(&mut self.first))),
        }
    }

    /// Returns the first bytes, so many at least if there are, which the next block will still have.
    pub(crate) async fn peek(&mut self, bytes: usize) -> Result<Bytes> {
        while self.first.len() < bytes {
            let Some(block) = self.blocks.recv().await.transpose()? else {
                break;
            };
            self.first = if self.first.is_empty() { block } else { [&self.first[..], &block].concat().into() };
        }
        Ok(self.first.clone())
    }
}

impl<'a> Read<'a> {
    /// Returns the side of a join that the split is of.
    pub(crate) fn side(&self) -> Side {
        self.split.ranges.first().map_or(Side::Left, |range| self.spec.side_of(range.input_idx))
    }

    /// Returns the feed for the engine, and the future that fills it.
    pub(crate) fn start(self, cuts: Cuts) -> (Feed, impl Future<Output = Result<Done>> + use<'a>) {
        let (sender, receiver) = self.beside.channel(if cuts.framed() || cuts.columns().is_some() {
            FRAMED_WAITING
        } else {
            CHUNKS_WAITING
        });
        let names = self.split.ranges.iter().map(|range| self.shown(range)).collect();
        let counted_in = self.split.ranges.iter().map(|range| self.counted_in(range)).collect();
        let unpacked_from = self.split.ranges.iter().map(|range| unpacked_from(range).unwrap_or(0)).collect();
        let side = self.side();
        let reading = async move {
            let done = self.read(&cuts, &sender).await;
            if let Err(error) = &done {
                // The engine must not take what it has for the whole split.
                let _ = sender.send(Err(error.clone())).await;
            }
            done
        };
        (Feed { chunks: Mutex::new(receiver), names, counted_in, unpacked_from, side }, reading)
    }

    fn counted_in(&self, range: &ObjectRange) -> Option<String> {
        unpacked_from(range).map(|from| format!("{} (unpacked from its byte {from} on)", self.shown(range)))
    }

    pub(crate) fn shown(&self, range: &ObjectRange) -> String {
        self.spec.inputs.get(range.input_idx as usize).map_or_else(|| range.key.clone(), |i| i.shown_key(&range.key))
    }

    fn bucket(&self, range: &ObjectRange) -> &str {
        self.spec.inputs.get(range.input_idx as usize).map_or("", |input| &input.bucket)
    }

    async fn read(&self, cuts: &Cuts, out: &Outbox<Result<Chunk>>) -> Result<Done> {
        let first = self.start.map_or(0, |position| position.range_idx as usize);
        let mut done = Done::default();
        let mut crc = crc32fast::Hasher::new();
        let plan = if cuts.columns().is_some() { VecDeque::new() } else { self.fetches(first, cuts.framed()) };
        let mut gets = Gets { plan, ahead: VecDeque::new() };
        let mut chunks = Vec::new();
        for (range_idx, range) in self.split.ranges.iter().enumerate().skip(first) {
            let from = self.from(range_idx, range);
            if done.bytes_read > 0 && self.must_stop(&done) {
                done.remainder = Some(Position::at(range_idx as u32, range.from));
                break;
            }
            if let Some(selection) = cuts.columns() {
                let sent = self.decoded(range_idx, cuts, selection, out, done.bytes_read).await?;
                done.chunks += sent.chunks;
                // A block may go beyond the range, as a record of text does.
                done.bytes_read += match (cuts.in_blocks(), sent.taken) {
                    (true, taken) => taken.map_or(0, |taken| taken.bytes()),
                    (false, _) => sent.bytes,
                };
                done.bytes_assigned += sent.bytes;
                done.taken = sent.taken;
                done.remainder = sent.stopped.map(|at| Position::at(range_idx as u32, at));
                if done.remainder.is_some() {
                    break;
                }
                continue;
            }
            let codec = if cuts.framed() { Codec::None } else { self.codec(range_idx, &mut gets).await? };
            if codec != Codec::None {
                let start = self.start.filter(|start| start.range_idx as usize == range_idx);
                let part = Part { range, range_idx: range_idx as u32, start, codec, shown: self.shown(range) };
                let mut to = To { out, done: &mut done, crc: &mut crc };
                let ended = self.unpack(part, cuts, &mut gets, &mut to).await?;
                gets.forget(range_idx);
                done.bytes_assigned += ended.assigned;
                (done.taken, done.remainder) = (ended.taken, ended.rest);
                if done.remainder.is_some() {
                    break;
                }
                continue;
            }
            let mut cutter = Cutter::new(cuts.clone(), range_idx as u32, from, range.to, range.size);
            if self.starts_at_record(range_idx, range) {
                cutter = cutter.at_record();
            }
            let mut wants = if from < range.to { Wants::More } else { Wants::Nothing };
            let mut stopped = None;
            let mut head = None;
            while wants == Wants::More && stopped.is_none() {
                self.fetch_ahead(&mut gets);
                let mut fetch = match gets.ahead.pop_front() {
                    Some(fetch) if fetch.range_idx == range_idx => fetch,
                    // Everything planned for this range is read, and its last record goes on: fetch on demand, more each
                    // time.
                    other => {
                        other.into_iter().for_each(|fetch| gets.ahead.push_front(fetch));
                        let tail = (cutter.reads_from() - range.to).clamp(TAIL_BYTES, GET_BYTES);
                        let to = (cutter.reads_from() + tail).min(range.size);
                        self.fetch(range_idx, cutter.reads_from(), to)
                    }
                };
                while wants == Wants::More && stopped.is_none() {
                    let Some(block) = fetch.next().await else {
                        break;
                    };
                    let block = block?;
                    wants = guarded(|| cutter.feed(block, &mut |chunk| chunks.push(chunk)))?;
                    if cutter.is_guessed() {
                        self.begins.guessed.store(true, Ordering::Relaxed);
                    }
                    for mut chunk in chunks.drain(..) {
                        if cuts.head() {
                            let known = match head.take() {
                                Some(head) => head,
                                None => self.head(cuts, &chunk).await?,
                            };
                            chunk.head = known.clone();
                            head = Some(known);
                        }
                        let (offset, end) = (chunk.offset, chunk.offset + chunk.bytes.len() as u64);
                        if cuts.framed() && done.bytes_read > 0 && !self.has_room(out).await? {
                            stopped = Some(offset);
                            break;
                        }
                        done.chunks += 1;
                        done.bytes_read += chunk.bytes.len() as u64;
                        crc.update(&chunk.bytes);
                        out.send(Ok(chunk)).await.map_err(|_| Error::new(Code::Engine, "the engine stopped"))?;
                        // Whole objects are handed back whole; only a split of a single range is divided.
                        if self.split.ranges.len() == 1 && end < range.to && self.must_stop(&done) {
                            stopped = Some(end);
                            break;
                        }
                    }
                }
            }
            gets.forget(range_idx);
            match stopped {
                Some(end) => {
                    done.bytes_assigned += end - from;
                    done.taken = cutter.taken().map(|taken| ByteRange { to: end, ..taken });
                    done.remainder = Some(Position::at(range_idx as u32, end));
                    break;
                }
                None => {
                    done.bytes_assigned += range.to - from;
                    done.taken = cutter.taken();
                }
            }
        }
        if self.split.ranges.len() > 1 {
            done.taken = None;
        }
        done.crc32 = crc.finalize();
        Ok(done)
    }

    /// Returns the first record of a chunk's object: from the chunk if it starts there, else by a GET.
    async fn head(&self, cuts: &Cuts, chunk: &Chunk) -> Result<Bytes> {
        if chunk.offset == 0 {
            let cut = guarded(|| cuts.first(&chunk.bytes, 0))?;
            return Ok(chunk.bytes.slice(..cut.unwrap_or(chunk.bytes.len())));
        }
        let range_idx = chunk.range_idx as usize;
        let range = &self.split.ranges[range_idx];
        let mut head = Vec::new();
        // Most heads have a few hundred bytes; a second, longer GET serves the others.
        for to in [HEAD_BYTES, limits::HEAD_BYTES_MAX].map(|most| most.min(range.size)) {
            let mut fetch = self.fetch(range_idx, head.len() as u64, to);
            while let Some(block) = fetch.blocks.recv().await {
                head.extend_from_slice(&block?);
                if let Some(cut) = guarded(|| cuts.first(&head, 0))? {
                    head.truncate(cut);
                    return Ok(head.into());
                }
            }
        }
        let most = limits::HEAD_BYTES_MAX;
        Err(Error::new(
            Code::HeadTooLong,
            format!("the first record of {} has more than {most} bytes", self.shown(range)),
        )
        .with_hint("it should name the columns; is the input in another format?"))
    }

    /// Returns whether a record starts where reading a range does, as the piece before or the splits before have read up to there.
    pub(crate) fn starts_at_record(&self, range_idx: usize, range: &ObjectRange) -> bool {
        let from = self.from(range_idx, range);
        from == 0 || from > range.from || self.begins.at_record
    }

    fn from(&self, range_idx: usize, range: &ObjectRange) -> u64 {
        match self.start {
            Some(start) if start.range_idx as usize == range_idx => start.offset.clamp(range.from, range.to),
            _ => range.from,
        }
    }

    pub(crate) fn must_stop(&self, done: &Done) -> bool {
        self.stop.chunks_max.is_some_and(|most| done.chunks >= most) || self.must_stop_at(done.bytes_read)
    }

    /// Returns whether reading must stop that has read so many bytes.
    pub(crate) fn must_stop_at(&self, bytes_read: u64) -> bool {
        self.stop.bytes_max.is_some_and(|most| bytes_read >= most)
            || self.stop.told.load(Ordering::Relaxed)
            || Instant::now() >= self.stop.at
    }

    /// Waits until the engine takes another chunk. Returns `false` if it was time to stop before that.
    async fn has_room(&self, out: &Outbox<Result<Chunk>>) -> Result<bool> {
        match tokio::time::timeout_at(self.stop.at, out.room()).await {
            Ok(Ok(_)) if self.stop.told.load(Ordering::Relaxed) => Ok(false),
            Ok(room) => room.map(|_| true).map_err(|_| Error::new(Code::Engine, "the engine stopped")),
            Err(_) => Ok(false),
        }
    }

    /// Returns all GETs that this split needs, except those for records that reach far beyond its end. Records that carry
    /// their length never cross it.
    fn fetches(&self, first: usize, framed: bool) -> VecDeque<(usize, u64, u64)> {
        let mut all = VecDeque::new();
        for (range_idx, range) in self.split.ranges.iter().enumerate().skip(first) {
            let from = self.from(range_idx, range);
            let end = if range.to < range.size && !framed { (range.to + TAIL_BYTES).min(range.size) } else { range.to };
            let unpack =
                self.start.filter(|start| start.range_idx as usize == range_idx).and_then(|start| start.unpack);
            let is_packed = range.codec.is_some_and(|codec| codec != Codec::None);
            let mut at = match unpack {
                Some(unpack) => unpack.from,
                None if framed || is_packed => from,
                None => from.saturating_sub(1),
            };
            while at < end && from < range.to {
                // A remainder smaller than half a GET joins the GET before it.
                let next = if end - at < GET_BYTES + GET_BYTES / 2 { end } else { at + GET_BYTES };
                all.push_back((range_idx, at, next));
                at = next;
            }
        }
        all
    }

    pub(crate) fn fetch_ahead(&self, Gets { plan, ahead }: &mut Gets) {
        let mut under_way: u64 = ahead.iter().map(|fetch| fetch.bytes).sum();
        while ahead.len() < AHEAD_GETS && (ahead.is_empty() || under_way < READ_AHEAD_BYTES) {
            let Some((range_idx, from, to)) = plan.pop_front() else {
                return;
            };
            under_way += to - from;
            ahead.push_back(self.fetch(range_idx, from, to));
        }
    }

    pub(crate) fn fetch(&self, range_idx: usize, from: u64, to: u64) -> Fetch {
        let range = &self.split.ranges[range_idx];
        let mut reader =
            self.objects.read(self.bucket(range), &range.key, Some(&range.etag), from, to, &self.shown(range));
        // A body comes in blocks of some 10 to 500 KB, so this many nearly always hold a whole GET.
        let (sender, blocks) = mpsc::channel(256);
        tokio::spawn(async move {
            while let Some(block) = reader.next().await.transpose() {
                let failed = block.is_err();
                if sender.send(block).await.is_err() || failed {
                    return;
                }
            }
        });
        Fetch { range_idx, bytes: to - from, blocks, first: Bytes::new() }
    }
}

impl Gets {
    /// Ends the GETs of a range.
    fn forget(&mut self, range_idx: usize) {
        self.ahead.retain(|fetch| fetch.range_idx != range_idx);
        self.plan.retain(|(idx, _, _)| *idx != range_idx);
    }
}
