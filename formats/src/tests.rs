//! Every codec with every kind of format, wherever an object is cut and however it arrives; and objects that are not whole.

use crate::codecs::input::Source;
use crate::unpack::{Bounds, Part, Step, Unpacker};
use crate::{PackedObject, Packer, Reading, check_packed, read_seek_table};
use bytes::Bytes;
use kinglet_core::engine::cut::Cuts;
use kinglet_core::wire::plan::ObjectRange;
use kinglet_core::{
    ByteLines, ByteRange, Codec, CsvDialect, CsvFields, CsvRow, Fixed, HeadedLines, JsonLines, Lines, Located, Result,
    Words,
};
use proptest::prelude::*;
use std::io::{Read, Write};

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    flate2::read::GzEncoder::new(text, flate2::Compression::fast()).read_to_end(&mut out).unwrap();
    out
}

/// A BGZF block, as bgzip writes it.
fn bgzf(text: &[u8]) -> Vec<u8> {
    let mut deflated = vec![];
    flate2::read::DeflateEncoder::new(text, flate2::Compression::fast()).read_to_end(&mut deflated).unwrap();
    let mut out = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0".to_vec();
    out.extend((deflated.len() as u16 + 18 + 8 - 1).to_le_bytes());
    out.extend(deflated);
    out.extend(crc32fast::hash(text).to_le_bytes());
    out.extend((text.len() as u32).to_le_bytes());
    out
}

fn zstd(text: &[u8]) -> Vec<u8> {
    ::zstd::stream::encode_all(text, 3).unwrap()
}

fn bzip2(text: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    ::bzip2::read::BzEncoder::new(text, ::bzip2::Compression::fast()).read_to_end(&mut out).unwrap();
    out
}

fn lz4(text: &[u8]) -> Vec<u8> {
    let mut info = lz4_flex::frame::FrameInfo::new();
    info.content_checksum = true;
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, vec![]);
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn snappy(text: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    snap::read::FrameEncoder::new(text).read_to_end(&mut out).unwrap();
    // Of nothing, the encoder makes nothing.
    if out.is_empty() { b"\xff\x06\0\0sNaPpY".to_vec() } else { out }
}

fn xz(text: &[u8]) -> Vec<u8> {
    let mut writer = lzma_rust2::XzWriter::new(vec![], lzma_rust2::XzOptions::with_preset(1)).unwrap();
    writer.write_all(text).unwrap();
    writer.finish().unwrap()
}

/// What a reducer writes of text that comes in blocks.
fn written(codec: Codec, blocks: &[Vec<u8>]) -> Vec<u8> {
    let mut packer = Packer::new(codec).unwrap();
    let mut out: Vec<_> = blocks.iter().flat_map(|block| packer.push(block.clone()).unwrap()).collect();
    out.extend(packer.finish().unwrap());
    out
}

type Pack = fn(&[u8]) -> Vec<u8>;

/// How objects are packed; of each, whether they can be cut anywhere.
const PACKS: [(Codec, Pack, bool); 7] = [
    (Codec::Gzip, gzip, false),
    (Codec::Gzip, bgzf, true),
    (Codec::Zstd, zstd, false),
    (Codec::Bzip2, bzip2, true),
    (Codec::Lz4, lz4, false),
    (Codec::Snappy, snappy, false),
    (Codec::Xz, xz, false),
];

/// An object of parts that are packed one by one.
fn packed(parts: &[Vec<u8>], pack: Pack) -> Vec<u8> {
    parts.iter().flat_map(|part| pack(part)).collect()
}

fn check(object: PackedObject<'_>, how: Reading<'_>) {
    let bytes = |record: &[u8]| record.to_vec();
    check_packed(Lines, object, how, str::to_owned);
    check_packed(ByteLines, object, how, bytes);
    check_packed(HeadedLines, object, how, bytes);
    check_packed(Words, object, how, bytes);
    let uncut = Reading { cuts: &[], ..how };
    check_packed(Fixed::<1>, object, uncut, |record| *record);
    check_packed(Located(Words), object, uncut, |word| (word.record.to_vec(), word.offset));
}

const WRITTEN: [Codec; 6] = [Codec::None, Codec::Gzip, Codec::Zstd, Codec::Bzip2, Codec::Lz4, Codec::Snappy];

#[test]
fn what_is_written_is_read_and_is_the_same_each_time() {
    let large: Vec<Vec<u8>> = (0..40u32).map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes().repeat(9_000)).collect();
    for codec in WRITTEN {
        for blocks in [&[][..], &[vec![]], &[b"a\nb".to_vec(), b"\n".to_vec()], &large] {
            let (bytes, unpacked) = (written(codec, blocks), blocks.concat());
            assert_eq!(bytes, written(codec, blocks), "{codec}");
            if codec == Codec::None {
                assert_eq!(bytes, unpacked);
                continue;
            }
            assert_eq!(Codec::of("a", &bytes), Ok(codec));
            let object = PackedObject { codec, bytes: &bytes, unpacked: &unpacked };
            check_packed(ByteLines, object, Reading { cuts: &[], block_bytes: 4_096, chunks: 3 }, |line| line.to_vec());
        }
    }
    let error = Packer::new(Codec::Xz).err().unwrap();
    assert!(error.code() == "codec-missing" && error.hint().unwrap().contains("zstd"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn every_codec_keeps_the_laws(
        parts in proptest::collection::vec("[ab\\n ,]{0,40}", 1..6), cuts in proptest::collection::vec(0.0..1.0f64, 0..5),
        block_bytes in 1usize..200, chunks in 1usize..4,
    ) {
        let parts: Vec<Vec<u8>> = parts.into_iter().map(String::into_bytes).collect();
        let unpacked = parts.concat();
        for (codec, pack, can_cut) in PACKS {
            let bytes = packed(&parts, pack);
            let object = PackedObject { codec, bytes: &bytes, unpacked: &unpacked };
            let mut at: Vec<usize> = cuts.iter().map(|cut| (cut * bytes.len() as f64) as usize).collect();
            at.retain(|_| can_cut);
            check(object, Reading { cuts: &at, block_bytes, chunks });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn rows_of_csv_and_json_keep_the_laws_in_every_codec(
        parts in proptest::collection::vec("[a\"\n,]{0,9}", 1..8), cuts in proptest::collection::vec(0.0..1.0f64, 0..5),
        block_bytes in 1usize..200, chunks in 1usize..4,
    ) {
        let quoted: Vec<Vec<u8>> =
            parts.iter().map(|text| format!("\"{}\",x\n", text.replace('"', "\"\"")).into_bytes()).collect();
        let lines: Vec<Vec<u8>> = parts.iter().map(|text| format!("{}\n", text.replace(['"', '\n'], "")).into_bytes()).collect();
        let json: Vec<Vec<u8>> =
            parts.iter().map(|text| format!("\"{}\"\r\n", text.replace('"', "").replace('\n', "\\n")).into_bytes()).collect();
        for (codec, pack, can_cut) in PACKS {
            let check = |parts: &[Vec<u8>], check: &dyn Fn(PackedObject<'_>, Reading<'_>)| {
                let (unpacked, bytes) = (parts.concat(), packed(parts, pack));
                let mut at: Vec<usize> = cuts.iter().map(|cut| (cut * bytes.len() as f64) as usize).collect();
                at.retain(|_| can_cut);
                let object = PackedObject { codec, bytes: &bytes, unpacked: &unpacked };
                check(object, Reading { cuts: &at, block_bytes, chunks });
            };
            let fields = |row: CsvRow<'_>| row.bytes().to_vec();
            check(&json, &|object, how| check_packed(JsonLines::<String>::default(), object, how, |text| text));
            let anywhere = CsvDialect::new().without_head().without_quotes().with_short_rows();
            // The first row has the most fields.
            let lines = [&[b",,,,,,,,,,\n".to_vec()], &lines[..]].concat();
            check(&lines, &|object, how| check_packed(CsvFields::new(anywhere), object, how, fields));
            check(&quoted, &|object, how| {
                check_packed(CsvFields::default(), object, Reading { cuts: &[], ..how }, fields);
            });
        }
    }
}

/// Every single cut, through headers, marks and all.
#[test]
fn an_object_is_cut_at_every_byte() {
    let parts = [b"one two\nthree ".to_vec(), vec![], b"four\n".to_vec(), b"\n\nfive six".to_vec()];
    let unpacked = parts.concat();
    for (codec, pack, _) in PACKS.into_iter().filter(|(_, _, can_cut)| *can_cut) {
        let bytes = packed(&parts, pack);
        let object = PackedObject { codec, bytes: &bytes, unpacked: &unpacked };
        for cut in 0..=bytes.len() {
            check(object, Reading { cuts: &[cut, cut + 9], block_bytes: 7, chunks: 1 });
        }
    }
}

/// Lines whose blocks come out long, so that records cross blocks and blocks cross pieces.
fn long_text(bytes: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut text = Vec::with_capacity(bytes);
    while text.len() < bytes {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let line = format!("{:x} {}", state >> 20, "word ".repeat((state >> 60) as usize));
        text.extend_from_slice(line.as_bytes());
        text.push(if state >> 40 & 7 == 0 { b' ' } else { b'\n' });
    }
    text.truncate(bytes);
    text
}

#[test]
fn blocks_of_many_bytes_are_read_in_pieces() {
    let unpacked = long_text(1_500_000);
    let words = |record: &[u8]| record.len();
    for (codec, pack, can_cut) in PACKS {
        // Blocks of BGZF are short; bzip2 cuts at its lowest level after 100 kB by itself.
        let parts: Vec<Vec<u8>> = match (codec, can_cut) {
            (Codec::Gzip, true) => unpacked.chunks(60_000).map(<[u8]>::to_vec).collect(),
            _ => unpacked.chunks(1_000_000).map(<[u8]>::to_vec).collect(),
        };
        let bytes = packed(&parts, pack);
        let object = PackedObject { codec, bytes: &bytes, unpacked: &unpacked };
        let cuts: Vec<usize> = if can_cut { (1..6).map(|n| bytes.len() * n / 6).collect() } else { vec![] };
        check_packed(Words, object, Reading { cuts: &cuts, block_bytes: 50_000, chunks: 1 }, words);
        check_packed(ByteLines, object, Reading { cuts: &cuts, block_bytes: 1 << 20, chunks: 3 }, words);
    }
}

#[test]
fn frames_are_found_by_their_seek_table() {
    let parts: Vec<Vec<u8>> = long_text(40_000).chunks(7_000).map(<[u8]>::to_vec).collect();
    let frames: Vec<Vec<u8>> = parts.iter().map(|part| zstd(part)).collect();
    let mut table = b"\x5e\x2a\x4d\x18".to_vec();
    table.extend((frames.len() as u32 * 8 + 9).to_le_bytes());
    for (part, frame) in parts.iter().zip(&frames) {
        table.extend((frame.len() as u32).to_le_bytes());
        table.extend((part.len() as u32).to_le_bytes());
    }
    table.extend((frames.len() as u32).to_le_bytes());
    table.extend(b"\0\xb1\xea\x92\x8f");
    let (bytes, unpacked) = ([frames.concat(), table.clone()].concat(), parts.concat());
    let starts = read_seek_table(&table, bytes.len() as u64).unwrap();
    let object = PackedObject { codec: Codec::Zstd, bytes: &bytes, unpacked: &unpacked };
    let cuts: Vec<usize> = starts.iter().map(|start| *start as usize).collect();
    for cuts in [&cuts[..], &cuts[..3], &cuts[2..3], &[]] {
        check_packed(Lines, object, Reading { cuts, block_bytes: 999, chunks: 1 }, str::to_owned);
        check_packed(Words, object, Reading { cuts, block_bytes: 4_000, chunks: 2 }, |word| word.to_vec());
    }
}

struct Once(Option<Bytes>);

impl Source for Once {
    fn next(&mut self) -> Result<Option<Bytes>> {
        Ok(self.0.take().filter(|bytes| !bytes.is_empty()))
    }
}

const BOUNDS: Bounds = Bounds { window_bytes: 8 << 20, record_bytes: 1 << 20, expansion: 1_100 };

/// Unpacks a range of an object, and returns what came out before its end or an error.
fn unpack(codec: Codec, object: &[u8], within: ByteRange, bounds: Bounds) -> Result<Vec<u8>> {
    let range = ObjectRange {
        input_idx: 0,
        key: String::new(),
        etag: String::new(),
        size: object.len() as u64,
        from: within.from,
        to: within.to,
        codec: Some(codec),
    };
    let part = Part { range: &range, range_idx: 0, start: None, codec, shown: "s3://b/k".to_owned() };
    let source = Box::new(Once(Some(Bytes::copy_from_slice(&object[within.from as usize..]))));
    let mut unpacker = Unpacker::new(&part, Cuts::of(ByteLines), bounds, source)?;
    let mut out = vec![];
    while unpacker.step(&mut |chunk| out.extend_from_slice(&chunk.bytes))? == Step::More {}
    Ok(out)
}

fn whole(codec: Codec, object: &[u8]) -> Result<Vec<u8>> {
    unpack(codec, object, ByteRange { from: 0, to: object.len() as u64 }, BOUNDS)
}

#[test]
fn an_object_that_is_cut_short_is_refused_wherever_it_is_cut() {
    let text = long_text(900);
    for (codec, pack, _) in PACKS {
        let (first, second) = (pack(&text), pack(b"and some more\n"));
        let object = [&first[..], &second].concat();
        assert_eq!(whole(codec, &object).unwrap(), [&text[..], b"and some more\n"].concat());
        for end in 1..object.len() {
            match whole(codec, &object[..end]) {
                // What lies between two members is whole, and so is Snappy between two chunks, which have no end.
                Ok(got) => {
                    assert!(end == first.len() || codec == Codec::Snappy && end >= 10, "{codec} {end} {}", got.len())
                }
                Err(error) => {
                    assert_eq!(error.code(), "compressed-corrupt", "{codec} {end}: {error}");
                    assert!(
                        error.to_string().contains("s3://b/k") && error.to_string().contains("at byte "),
                        "{error}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_follows_the_end_is_refused_but_zeros_where_tools_write_them() {
    for (codec, pack, _) in PACKS {
        let object = pack(b"a line\n");
        for tail in [&b"garbage behind it"[..], b"\n", b"\0\0\0\0and more"] {
            let error = whole(codec, &[&object[..], tail].concat()).unwrap_err();
            assert_eq!(error.code(), "compressed-corrupt", "{codec} {tail:?}: {error}");
        }
        let padded = whole(codec, &[&object[..], &[0; 8]].concat());
        assert_eq!(padded.is_ok(), matches!(codec, Codec::Gzip | Codec::Xz), "{codec}");
    }
}

/// Whatever a byte is changed to, what comes out is an error, or the records as they were. What codecs do not check, such as
/// the name of a file in a header, does not matter. Zstd and Snappy are checked where they have checksums, as here.
#[test]
fn a_changed_byte_is_found_or_does_not_matter() {
    let text = long_text(700);
    let checked = |text: &[u8]| {
        let mut encoder = ::zstd::stream::Encoder::new(vec![], 3).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    for (codec, pack, _) in PACKS {
        let object = if codec == Codec::Zstd { checked(&text) } else { pack(&text) };
        for at in 0..object.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut other = object.clone();
                other[at] ^= flip;
                match whole(codec, &other) {
                    // By this bit, Snappy tells a chunk that may be skipped, and it knows of no length of the whole.
                    Ok(_) if codec == Codec::Snappy && at == 10 && flip >= 0x80 => {}
                    Ok(got) => assert!(got == text || got.is_empty() && at < 10, "{codec}: byte {at} by {flip:#x}"),
                    Err(error) => {
                        let known = ["compressed-corrupt", "unpack-window", "expansion"];
                        assert!(known.contains(&error.code()), "{codec}: byte {at}: {error}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_expands_too_far_is_refused_in_bounded_memory() {
    let zeros = |bytes: usize| vec![b'\n'; bytes];
    let bomb = bzip2(&zeros(300 << 20));
    assert!(bomb.len() < 100_000);
    let range = ByteRange { from: 0, to: bomb.len() as u64 };
    let error = unpack(Codec::Bzip2, &bomb, range, BOUNDS).unwrap_err();
    assert_eq!(error.code(), "expansion");
    assert!(error.to_string().contains("1100 times") && error.hint().unwrap().contains("--expansion-max"), "{error}");
    assert_eq!(unpack(Codec::Bzip2, &bomb, range, Bounds { expansion: u32::MAX, ..BOUNDS }).unwrap().len(), 300 << 20);
    // One line of zeros: the record is what does not fit.
    let line = gzip(&vec![0; 3 << 20]);
    assert_eq!(whole(Codec::Gzip, &line).unwrap_err().code(), "unpacked-record");
}

#[test]
fn a_window_that_memory_does_not_allow_is_refused() {
    let text = long_text(9 << 20);
    let mut encoder = ::zstd::stream::Encoder::new(vec![], 1).unwrap();
    encoder.window_log(24).unwrap();
    encoder.write_all(&text).unwrap();
    let zstd = encoder.finish().unwrap();
    let mut options = lzma_rust2::XzOptions::with_preset(0);
    options.lzma_options.dict_size = 32 << 20;
    let mut writer = lzma_rust2::XzWriter::new(vec![], options).unwrap();
    writer.write_all(b"a line\n").unwrap();
    let xz = writer.finish().unwrap();
    for (codec, object) in [(Codec::Zstd, zstd), (Codec::Xz, xz)] {
        let range = ByteRange { from: 0, to: object.len() as u64 };
        let error = unpack(codec, &object, range, BOUNDS).unwrap_err();
        assert_eq!(error.code(), "unpack-window", "{codec}: {error}");
        unpack(codec, &object, range, Bounds { window_bytes: 64 << 20, ..BOUNDS }).unwrap();
    }
}

/// A block of BGZF that is stored in another looks like a block of the object itself. Two splits that saw different blocks
/// do not meet.
#[test]
fn a_block_within_a_block_makes_splits_that_do_not_meet() {
    let inner = [bgzf(b"not these\n"), bgzf(b"lines\n"), bgzf(b"")].concat();
    let mut stored = vec![1];
    stored.extend((inner.len() as u16).to_le_bytes());
    stored.extend((!(inner.len() as u16)).to_le_bytes());
    stored.extend(&inner);
    let mut outer = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0".to_vec();
    outer.extend((stored.len() as u16 + 18 + 8 - 1).to_le_bytes());
    outer.extend(&stored);
    outer.extend(crc32fast::hash(&inner).to_le_bytes());
    outer.extend((inner.len() as u32).to_le_bytes());
    let object = [bgzf(b"a line\n"), outer, bgzf(b"last\n")].concat();
    // Where the first of the blocks within the block starts.
    let cut = bgzf(b"a line\n").len() + 18 + 5;
    let found = std::panic::catch_unwind(|| {
        let packed = [b"a line\n".to_vec(), inner.clone(), b"last\n".to_vec()].concat();
        let object = PackedObject { codec: Codec::Gzip, bytes: &object, unpacked: &packed };
        check_packed(ByteLines, object, Reading { cuts: &[cut, cut + 1], block_bytes: 99, chunks: 9 }, <[u8]>::to_vec);
    });
    let said = *found.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("a piece starts where the one before it ended"), "{said}");
}

#[test]
fn an_object_that_is_not_bgzf_throughout_is_not_read_in_splits() {
    let object = [bgzf(b"a line\n"), gzip(b"another\n")].concat();
    let (size, cut) = (object.len() as u64, object.len() as u64 - 2);
    assert_eq!(whole(Codec::Gzip, &object).unwrap(), b"a line\nanother\n");
    let error = unpack(Codec::Gzip, &object, ByteRange { from: 0, to: cut }, BOUNDS).unwrap_err();
    assert_eq!(error.code(), "compressed-mixed");
    assert_eq!(unpack(Codec::Gzip, &object, ByteRange { from: cut, to: size }, BOUNDS).unwrap(), b"");
}
