//! A run's bytes, one by one: what is shared, where blocks end, and what a reader refuses although its checksums fit.

use super::run::{BLOCK_BYTES, Compression, RunReader, RunWriter};
use crate::error::{Code, Error, Result};

const HEADER: &[u8; 8] = b"KRUN\x01\0\0\0";
const HEADER_BYTES: usize = 8;
const BLOCK_HEADER_BYTES: usize = 12;
const END_BYTES: usize = 20;

/// A block as it lies, its checksum fitting what is stored.
fn block(raw_bytes: usize, stored: &[u8]) -> Vec<u8> {
    let fields = [raw_bytes as u32, stored.len() as u32, crc32fast::hash(stored)];
    [fields.map(u32::to_le_bytes).concat(), stored.to_vec()].concat()
}

fn end(pairs: u64) -> Vec<u8> {
    block(0, &pairs.to_le_bytes())
}

fn run(parts: &[&[u8]]) -> Vec<u8> {
    [&HEADER[..], &parts.concat()].concat()
}

/// All pairs, each as its key and its encoded value.
fn read(bytes: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut reader = RunReader::open(bytes, "it")?;
    let mut pairs = vec![];
    while reader.advance()? {
        pairs.push((reader.key().to_vec(), reader.value().to_vec()));
    }
    Ok(pairs)
}

fn refusal(bytes: &[u8]) -> Error {
    read(bytes).unwrap_err()
}

/// Writes pairs whose values are encoded already.
fn written(pairs: &[(Vec<u8>, Vec<u8>)], compression: Compression) -> Vec<u8> {
    let mut writer = RunWriter::new(compression);
    for (key, value) in pairs {
        writer.push_encoded(&mut key.clone(), value).unwrap();
    }
    let (bytes, count) = writer.finish();
    assert_eq!(count, pairs.len() as u64);
    bytes
}

#[test]
fn a_key_is_stored_without_what_it_shares_with_the_one_before() {
    for shared in 0..40 {
        for (rest, next_rest) in [(0, 1), (1, 1), (9, 20)] {
            let key = |byte: u8, rest: usize| [vec![7; shared], vec![byte; rest]].concat();
            let pairs = [(key(1, rest), vec![]), (key(2, next_rest), vec![])];
            let bytes = written(&pairs, Compression::None);
            let want = HEADER_BYTES + BLOCK_HEADER_BYTES + (3 + shared + rest) + (3 + next_rest) + END_BYTES;
            assert_eq!(bytes.len(), want, "{shared} bytes shared, {rest} and {next_rest} not");
            assert_eq!(read(&bytes).unwrap(), pairs);
        }
    }
}

#[test]
fn lengths_take_seven_bits_a_byte() {
    for (bytes, length_bytes) in [(0, 1), (1, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (100_000, 3)] {
        for pair in [(vec![7; bytes], vec![]), (vec![], vec![7; bytes])] {
            let pairs = [pair];
            let run = written(&pairs, Compression::None);
            let want = HEADER_BYTES + BLOCK_HEADER_BYTES + 2 + length_bytes + bytes + END_BYTES;
            assert_eq!(run.len(), want, "{bytes} bytes");
            assert_eq!(read(&run).unwrap(), pairs);
        }
    }
}

#[test]
fn a_block_ends_with_the_pair_that_fills_it() {
    // A pair takes three bytes and its key's rest; keys of one letter each share nothing.
    let pair = |letter: u8, bytes: usize| (vec![letter; bytes - 3], vec![]);
    // The key's length takes three bytes where it is this long.
    let long = |letter: u8, bytes: usize| (vec![letter; bytes - 5], vec![]);
    let blocks = |pairs: &[(Vec<u8>, Vec<u8>)]| {
        let bytes = written(pairs, Compression::None);
        assert_eq!(read(&bytes).unwrap(), pairs);
        let (mut at, mut blocks) = (HEADER_BYTES, vec![]);
        while at < bytes.len() - END_BYTES {
            let raw_bytes = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            blocks.push(raw_bytes);
            at += BLOCK_HEADER_BYTES + raw_bytes;
        }
        blocks
    };
    assert!(blocks(&[]).is_empty());
    assert_eq!(blocks(&[long(b'a', BLOCK_BYTES), pair(b'b', 10)]), [BLOCK_BYTES, 10]);
    assert_eq!(blocks(&[long(b'a', BLOCK_BYTES - 1), pair(b'b', 10)]), [BLOCK_BYTES + 9]);
    assert_eq!(blocks(&[long(b'a', BLOCK_BYTES - 10), pair(b'b', 10)]), [BLOCK_BYTES]);
    assert_eq!(
        blocks(&[long(b'a', 2 * BLOCK_BYTES), long(b'b', BLOCK_BYTES), pair(b'c', 9)]),
        [2 * BLOCK_BYTES, BLOCK_BYTES, 9]
    );
}

#[test]
fn the_first_key_of_a_block_is_whole() {
    // Two keys that share all but their last byte, with a block's end between them.
    let key = |last: u8| [vec![7; BLOCK_BYTES], vec![last]].concat();
    let pairs = [(key(1), vec![]), (key(2), vec![])];
    let bytes = written(&pairs, Compression::None);
    assert_eq!(bytes.len(), HEADER_BYTES + 2 * (BLOCK_HEADER_BYTES + 5 + BLOCK_BYTES + 1) + END_BYTES);
    assert_eq!(read(&bytes).unwrap(), pairs);
}

#[test]
fn what_lz4_would_not_make_shorter_is_stored_as_it_is() {
    let pair = |bytes: &[u8]| [(vec![], bytes.to_vec())];
    let noise: Vec<u8> = (0..100u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert_eq!(written(&pair(&noise), Compression::Lz4), written(&pair(&noise), Compression::None));
    let zeros = vec![0; 100];
    let (packed, plain) = (written(&pair(&zeros), Compression::Lz4), written(&pair(&zeros), Compression::None));
    assert!(packed.len() < plain.len());
    assert_eq!(read(&packed).unwrap(), read(&plain).unwrap());
    // A block that lz4 leaves as long as it is, of which the length alone says that it is not packed.
    let mut lengths = vec![];
    for repeated in 4..9 {
        let value = [b"abcdefgh", &b"abcdefgh"[..repeated], b"0123456789"].concat();
        let raw = [&[0, 0, value.len() as u8][..], &value].concat();
        lengths.push(lz4_flex::block::compress(&raw).len().cmp(&raw.len()));
        assert_eq!(read(&written(&pair(&value), Compression::Lz4)).unwrap(), pair(&value), "{repeated} bytes twice");
    }
    assert!(lengths.contains(&std::cmp::Ordering::Equal), "{lengths:?}");
}

#[test]
fn another_version_is_told_apart_from_what_is_no_run() {
    let with = |at: usize, byte: u8| {
        let mut bytes = run(&[&end(0)]);
        bytes[at] = byte;
        refusal(&bytes)
    };
    assert_eq!(with(0, b'k').code(), "run-magic");
    let newer = with(4, 2);
    assert_eq!((newer.code(), newer.to_string().contains("version 2")), ("run-version", true), "{newer}");
    assert_eq!(with(6, 1).code(), "run-version", "a flag that this version does not know");
}

#[test]
fn a_run_that_ends_early_is_truncated_wherever_it_ends() {
    let whole = run(&[&block(5, &[0, 1, 1, b'a', 9]), &end(1)]);
    assert_eq!(read(&whole).unwrap(), [(b"a".to_vec(), vec![9])]);
    for cut in 0..whole.len() {
        assert_eq!(refusal(&whole[..cut]).code(), "run-truncated", "cut at {cut}");
    }
}

#[test]
fn lengths_that_cannot_be_are_refused_before_anything_of_their_size_is_asked_for() {
    let pair = &[0, 1, 1, b'a', 9];
    let stored_more = block(4, pair);
    let end_of_seven = block(0, &[0; 7]);
    let end_of_nine = block(0, &[0; 9]);
    // More than a pair of the largest size.
    let too_large = block(u32::MAX as usize, pair);
    for bad in [stored_more, end_of_seven, end_of_nine, too_large] {
        let error = refusal(&run(&[&bad]));
        assert!(error.to_string().contains("a block's length is wrong"), "{error}");
    }
}

#[test]
fn blocks_and_pairs_that_are_not_what_they_say_are_refused() {
    let refused = |parts: &[&[u8]], says: &str| {
        let error = refusal(&run(parts));
        assert!(error.code() == "run-corrupt" && error.to_string().contains(says), "{says}: {error}");
    };
    let plain = |raw: &[u8]| block(raw.len(), raw);
    refused(&[&plain(&[0, 1, 1, b'a', 9]), &end(2)], "the number of pairs is wrong");
    refused(&[&end(1)], "the number of pairs is wrong");
    let packed = lz4_flex::block::compress(&[0; 200]);
    refused(&[&block(201, &packed)], "a block does not decompress");
    refused(&[&block(199, &packed)], "a block does not decompress");
    for (what, raw) in [
        ("it shares more than there was", &[1, 0, 0][..]),
        ("its key is not whole", &[0, 2, 0, b'a']),
        ("its value is not whole", &[0, 1, 2, b'a', 9]),
        ("its last length is missing", &[0, 1]),
        ("a length goes on for ever", &[0x80; 12]),
    ] {
        let error = refusal(&run(&[&plain(raw), &end(1)]));
        assert!(error.to_string().contains("a pair is not whole"), "{what}: {error}");
    }
    // The second pair of a block shares as much as the first has, and no more.
    let pairs = |shared: u8| plain(&[0, 1, 0, b'a', shared, 1, 0, b'b']);
    assert_eq!(read(&run(&[&pairs(1), &end(2)])).unwrap()[1].0, b"ab");
    refused(&[&pairs(2), &end(2)], "after 1 pairs: a pair is not whole");
    // Nothing is shared across blocks.
    refused(&[&plain(&[0, 1, 0, b'a']), &plain(&[1, 1, 0, b'b']), &end(2)], "after 1 pairs: a pair is not whole");
}

#[test]
fn keys_that_do_not_ascend_are_refused_within_a_block_and_from_one_to_the_next() {
    let plain = |raw: &[u8]| block(raw.len(), raw);
    for blocks in [
        vec![plain(&[0, 1, 0, b'b', 0, 1, 0, b'a'])],
        vec![plain(&[0, 2, 0, b'a', b'b', 1, 1, 0, b'a'])],
        vec![plain(&[0, 2, 0, b'a', b'b', 1, 0, 0])],
        vec![plain(&[0, 1, 0, b'b']), plain(&[0, 1, 0, b'a'])],
        vec![plain(&[0, 2, 0, b'a', b'b']), plain(&[0, 1, 0, b'a'])],
    ] {
        let parts: Vec<&[u8]> = blocks.iter().map(|block| &block[..]).collect();
        let error = refusal(&run(&[&parts[..], &[&end(2)]].concat()));
        assert!(error.to_string().ends_with("after 1 pairs: its keys are not in order"), "{error}");
    }
    // Equal keys may follow each other.
    let equal = run(&[&plain(&[0, 1, 0, b'a', 1, 0, 0]), &plain(&[0, 1, 0, b'a']), &end(3)]);
    assert_eq!(read(&equal).unwrap(), vec![(b"a".to_vec(), vec![]); 3]);
}

#[test]
fn a_block_is_given_room_only_as_its_bytes_come() {
    struct Counted<'a>(&'a [u8], usize);
    impl std::io::Read for Counted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1 = self.1.max(buffer.len());
            self.0.read(buffer)
        }
    }
    // A gigabyte, of which nothing is there.
    let raw_bytes = 1u32 << 30;
    let bytes = run(&[&raw_bytes.to_le_bytes(), &raw_bytes.to_le_bytes(), &[0; 4]]);
    let mut source = Counted(&bytes, 0);
    let error = RunReader::open(&mut source, "it").unwrap().advance().unwrap_err();
    assert_eq!((error.code(), source.1), ("run-truncated", 1 << 20));
    // LZ4 cannot make a gigabyte of 4 MB.
    let packed = run(&[&raw_bytes.to_le_bytes(), &(4u32 << 20).to_le_bytes(), &[0; 4]]);
    assert!(refusal(&packed).to_string().contains("a block's length is wrong"));
    // But it makes very much of little, when that is all alike.
    let alike = [(vec![7; 3 << 20], vec![9; 3 << 20])];
    assert_eq!(read(&written(&alike, Compression::Lz4)).unwrap(), alike);
}

#[test]
fn what_a_source_says_of_a_failed_read_is_handed_on() {
    struct Fails(Option<Error>);
    impl std::io::Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(self.0.take().map_or_else(|| std::io::Error::other("no such luck"), std::io::Error::other))
        }
    }
    let error = |source: Fails| RunReader::open(source, "it").err().unwrap();
    let changed = Error::new(Code::ObjectChanged, "another object");
    assert_eq!(error(Fails(Some(changed.clone()))), changed);
    let other = error(Fails(None));
    assert_eq!((other.code(), &*other.to_string()), ("run-read", "reading run it: no such luck"));
}
