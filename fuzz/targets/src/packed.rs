//! Compressed objects: whatever a stream says, it is unpacked or refused, in bounded memory; splits whose blocks meet unpack to what
//! the object unpacks to. Input: the codec; how many bytes come at once; how many cuts, and each in two bytes; the object.

use crate::Seed;
use crate::input::Input;
use bytes::Bytes;
use kinglet_core::engine::cut::{Chunk, Cuts};
use kinglet_core::wire::plan::ObjectRange;
use kinglet_core::{ByteLines, ByteRange, Codec, Result};
use kinglet_formats::unpack::{Bounds, Part, Step, Unpacker};
use kinglet_formats::{Packer, Source, read_seek_table};
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

const CODECS: [Codec; 6] = [Codec::Gzip, Codec::Zstd, Codec::Bzip2, Codec::Lz4, Codec::Snappy, Codec::Xz];

/// After how many unpacked bytes an input is let be (4 MiB): what takes long says nothing more.
const UNPACKED_BYTES: u64 = 4 << 20;

/// What came out of splits.
#[derive(Clone, Debug, Default)]
struct Unpacked {
    bytes: u64,
    hash: DefaultHasher,
}

impl Unpacked {
    fn sums(&self) -> (u64, u64) {
        (self.bytes, self.hash.finish())
    }
}

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let codec = CODECS[usize::from(input.byte()) % CODECS.len()];
    let step = usize::from(input.byte()) + 1;
    let count = input.byte() % 6;
    let cuts: Vec<usize> = (0..count).map(|_| input.short()).collect();
    let object = Bytes::copy_from_slice(input.0);
    if codec == Codec::Zstd {
        let _ = read_seek_table(&object, object.len() as u64);
    }
    let size = object.len() as u64;
    let mut whole = Unpacked::default();
    let is_whole = matches!(split(codec, &object, ByteRange { from: 0, to: size }, step, &mut whole), Ok(Some(_)));
    let mut ends: Vec<u64> = cuts.iter().map(|cut| (*cut as u64).min(size)).chain([0, size]).collect();
    ends.sort_unstable();
    ends.dedup();
    // Any other is one split, or is cut where its table says.
    let is_cut = matches!(codec, Codec::Gzip | Codec::Bzip2);
    if !is_cut || !is_whole || ends.len() < 3 {
        return;
    }
    let (mut unpacked, mut met) = (Unpacked::default(), 0);
    for range in ends.windows(2) {
        match split(codec, &object, ByteRange { from: range[0], to: range[1] }, step, &mut unpacked) {
            // The manifest's check refuses what does not meet.
            Ok(Some(taken)) if taken.from == met => met = taken.to,
            Ok(None) => {}
            _ => return,
        }
    }
    if met == size {
        assert_eq!(unpacked.sums(), whole.sums(), "the splits {ends:?} meet, and unpack to something else");
    }
}

/// The bytes of an object, as they come.
struct Slices {
    left: Bytes,
    step: usize,
}

impl Source for Slices {
    fn next(&mut self) -> Result<Option<Bytes>> {
        let bytes = self.left.len().min(self.step);
        Ok((bytes > 0).then(|| self.left.split_to(bytes)))
    }
}

/// Unpacks a split. Returns what it accounts for.
fn split(codec: Codec, object: &Bytes, of: ByteRange, step: usize, out: &mut Unpacked) -> Result<Option<ByteRange>> {
    let range = ObjectRange {
        input_idx: 0,
        key: "it".to_owned(),
        etag: String::new(),
        size: object.len() as u64,
        from: of.from,
        to: of.to,
        codec: Some(codec),
    };
    let part = Part { range: &range, range_idx: 0, start: None, codec, shown: "it".to_owned() };
    let bounds = Bounds { window_bytes: 8 << 20, record_bytes: 1 << 20, expansion: 1_100 };
    let source = Slices { left: object.slice(part.reads_from() as usize..), step };
    let mut unpacker = Unpacker::new(&part, Cuts::shared(Arc::new(ByteLines)), bounds, Box::new(source))?;
    loop {
        let step = unpacker.step(&mut |chunk: Chunk| {
            out.bytes += chunk.bytes.len() as u64;
            out.hash.write(&chunk.bytes);
        })?;
        if step == Step::Done {
            let taken = unpacker.taken(None);
            assert!(taken.is_none_or(|taken| taken.from <= taken.to && taken.to <= object.len() as u64), "{taken:?}");
            return Ok(taken);
        }
        if out.bytes > UNPACKED_BYTES {
            return Ok(None);
        }
    }
}

/// A BGZF block whose bytes are stored as they are.
fn bgzf(text: &[u8]) -> Vec<u8> {
    let mut out = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0".to_vec();
    let length = text.len() as u16;
    out.extend((length + 5 + 18 + 8 - 1).to_le_bytes());
    out.push(1);
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(text);
    out.extend(crc32fast::hash(text).to_le_bytes());
    out.extend(u32::from(length).to_le_bytes());
    out
}

pub(crate) fn seeds() -> Vec<Seed> {
    let text = b"one line\nanother line\n\nthe last has no end".repeat(3);
    let of = |codec: u8, object: &[u8]| [&[codec, 49, 2, 30, 0, 60, 0][..], object].concat();
    let packed = |codec: Codec, parts: usize| -> Vec<u8> {
        let whole = |text: &[u8]| {
            let mut packer = Packer::new(codec).expect("a codec that is compiled");
            let mut out = packer.push(text.to_vec()).expect("memory");
            out.extend(packer.finish().expect("memory"));
            out
        };
        text.chunks(text.len().div_ceil(parts)).flat_map(whole).collect()
    };
    // What `printf 'a line\nanother\n' | xz -0` of XZ Utils 5.4.1 writes.
    let xz = b"\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x0c\x00\x00\x00\x8f\x98\x41\x9c\x01\x00\x0e\x61\x20\x6c\x69\x6e\x65\x0a\x61\x6e\x6f\x74\x68\x65\x72\x0a\x00\x00\xd9\x0a\xd7\x2b\x39\xe0\x56\x35\x00\x01\x27\x0f\xdf\x1a\xfc\x6a\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a";
    let names = ["gzip", "zstd", "bzip2", "lz4", "snappy"];
    let mut seeds: Vec<_> =
        (0u8..).zip(names).map(|(n, name)| Seed::new(name, of(n, &packed(CODECS[usize::from(n)], 2)))).collect();
    let blocks: Vec<_> = text.chunks(50).flat_map(bgzf).collect();
    seeds.push(Seed::new("bgzf", of(0, &blocks)));
    seeds.push(Seed::new("xz", of(5, xz)));
    seeds
}

/// A fuzzer finds its way from objects that are read.
#[test]
fn seeds_are_unpacked() {
    for seed in seeds() {
        let codec = CODECS[usize::from(seed.bytes[0])];
        let object = Bytes::copy_from_slice(&seed.bytes[7..]);
        let (mut out, of) = (Unpacked::default(), ByteRange { from: 0, to: object.len() as u64 });
        let taken = split(codec, &object, of, 50, &mut out).unwrap_or_else(|e| panic!("{}: {e}", seed.name));
        assert_eq!(taken, Some(of), "{}", seed.name);
        assert!(out.bytes > 0, "{}", seed.name);
    }
}
