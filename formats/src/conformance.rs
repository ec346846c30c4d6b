//! The laws of a format, on a compressed object: wherever it is cut into splits, wherever pieces of them stop, and however its
//! bytes arrive, the same records come out as of what it unpacks to, once and in order.

use crate::codecs::input::Source;
use crate::unpack::{Bounds, Part, Step, Unpacker};
use bytes::Bytes;
use kinglet_core::engine::cut::{Chunk, Cuts};
use kinglet_core::wire::plan::ObjectRange;
use kinglet_core::wire::record::Position;
use kinglet_core::{ByteRange, Codec, Extent, Format, Result, Side};
use std::fmt::Debug;
use std::sync::Arc;

/// A compressed object that [`check_packed`] reads.
#[derive(Clone, Copy, Debug)]
pub struct PackedObject<'a> {
    /// The codec.
    pub codec: Codec,
    /// The object.
    pub bytes: &'a [u8],
    /// What it unpacks to.
    pub unpacked: &'a [u8],
}

/// How [`check_packed`] reads an object.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Offsets in the object at which it is cut into splits, in any order. A codec whose objects are not cut is given none.
    pub cuts: &'a [usize],
    /// How many bytes come at once.
    pub block_bytes: usize,
    /// After how many chunks each piece of a split stops and leaves the rest to the next, where it can.
    pub chunks: usize,
}

/// What a piece of a split read.
struct Piece {
    chunks: Vec<Chunk>,
    taken: Option<ByteRange>,
    rest: Option<Position>,
}

/// The bytes of an object from a place on.
struct Slices {
    left: Bytes,
    block_bytes: usize,
}

impl Source for Slices {
    fn next(&mut self) -> Result<Option<Bytes>> {
        let bytes = self.left.len().min(self.block_bytes.max(1));
        Ok((bytes > 0).then(|| self.left.split_to(bytes)))
    }
}

/// Checks a format's laws on a compressed object, as [`kinglet_core::check_format`] does on a plain one, and the laws of the codec
/// with them. Formats that [need offsets](Format::needs_offsets) are only read uncut.
///
/// # Panics
/// Panics when a law does not hold, saying which, or when the object is not valid in the codec or the format.
pub fn check_packed<F: Format, T: PartialEq + Debug>(
    format: F,
    object: PackedObject<'_>,
    how: Reading<'_>,
    mut see: impl FnMut(F::Record<'_>) -> T,
) {
    let format = Arc::new(format);
    let finds = Cuts::shared(format.clone());
    let head = match format.has_head() {
        true => &object.unpacked[..finds.first(object.unpacked, 0).unwrap_or(object.unpacked.len())],
        false => &[],
    };
    let mut read = |bytes: &[u8], offset: u64| {
        let mut seen = Vec::new();
        let read =
            format.for_each(Extent { bytes, offset, head, object: "the object", side: Side::Left }, |_, record| {
                seen.push(see(record));
                Ok(())
            });
        if let Err(error) = read {
            panic!("the object is not valid from byte {offset} on: {error}");
        }
        seen
    };
    let whole = read(object.unpacked, 0);
    let bytes = Bytes::copy_from_slice(object.bytes);
    let mut ends: Vec<usize> = how.cuts.iter().map(|cut| (*cut).min(bytes.len())).chain([0, bytes.len()]).collect();
    ends.sort_unstable();
    ends.dedup();
    let (mut unpacked, mut records, mut taken) = (Vec::new(), Vec::new(), 0);
    for split in ends.windows(2) {
        let mut start = None;
        loop {
            let piece = piece(
                object.codec,
                &bytes,
                &ByteRange { from: split[0] as u64, to: split[1] as u64 },
                start,
                how,
                &finds,
            );
            if let Some(range) = piece.taken {
                assert_eq!(range.from, taken, "a piece starts where the one before it ended, of the splits {ends:?}");
                taken = range.to;
            }
            for chunk in piece.chunks {
                if how.cuts.is_empty() {
                    assert_eq!(chunk.offset, unpacked.len() as u64, "a chunk lies where it says");
                }
                unpacked.extend_from_slice(&chunk.bytes);
                records.extend(read(&chunk.bytes, chunk.offset));
            }
            start = piece.rest;
            if start.is_none() {
                break;
            }
        }
    }
    assert_eq!(taken, bytes.len() as u64, "the splits {ends:?} together are the object");
    assert!(unpacked == object.unpacked, "the splits {ends:?} unpack to the whole, {how:?}");
    assert_eq!(records, whole, "the records of the splits {ends:?} and those of the whole, {how:?}");
}

/// Reads a piece of a split as a mapper does.
fn piece(
    codec: Codec,
    object: &Bytes,
    split: &ByteRange,
    start: Option<Position>,
    how: Reading<'_>,
    finds: &Cuts,
) -> Piece {
    let range = ObjectRange {
        input_idx: 0,
        key: "the object".to_owned(),
        etag: String::new(),
        size: object.len() as u64,
        from: split.from,
        to: split.to,
        codec: Some(codec),
    };
    let part = Part { range: &range, range_idx: 0, start, codec, shown: "the object".to_owned() };
    let bounds = Bounds { window_bytes: 128 << 20, record_bytes: 1 << 30, expansion: u32::MAX };
    let source = Slices { left: object.slice(part.reads_from() as usize..), block_bytes: how.block_bytes };
    let unpacker = Unpacker::new(&part, finds.clone(), bounds, Box::new(source));
    let mut unpacker = unpacker.unwrap_or_else(|error| panic!("opening the object: {error}"));
    let (mut chunks, mut given) = (Vec::new(), Vec::new());
    loop {
        let step = unpacker.step(&mut |chunk| chunks.push(chunk));
        let step = step.unwrap_or_else(|error| panic!("reading {split:?} from {start:?} on, {how:?}: {error}"));
        let end = chunks.last().map(|chunk: &Chunk| chunk.offset + chunk.bytes.len() as u64);
        given.append(&mut chunks);
        if given.len() >= how.chunks.max(1)
            && let Some(rest) = end.and_then(|end| unpacker.position(end))
        {
            return Piece { chunks: given, taken: unpacker.taken(Some(rest)), rest: Some(rest) };
        }
        if step == Step::Done {
            return Piece { chunks: given, taken: unpacker.taken(None), rest: None };
        }
    }
}
